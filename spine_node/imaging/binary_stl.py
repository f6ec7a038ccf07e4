"""The binary STL format: triangles and nothing else, neither names nor units."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from spine_node.imaging.volume import FloatArray

HEADER = "Spine Node surface, unit mm, DICOM patient coordinates (LPS)"
"""The 80 free bytes at the start say what the format cannot. With "solid" they would mean ASCII STL."""

_FACET = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])


def binary_stl(triangles_mm: FloatArray, header: str = HEADER) -> bytes:
    """Triangles as a binary STL file.

    Parameters
    ----------
    triangles_mm : ndarray, shape (n, 3, 3)
        Corners of each triangle in LPS mm, counter-clockwise from outside; written in single precision.
    header : str
        At most 80 ASCII characters.
    """
    a, b, c = np.moveaxis(triangles_mm, 1, 0)
    facets = np.zeros(len(triangles_mm), dtype=_FACET)
    normal = np.cross(b - a, c - a)
    facets["normal"] = normal / np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-30)
    facets["corners"] = triangles_mm
    size: NDArray[np.uint32] = np.array([len(facets)], dtype="<u4")
    return header.encode("ascii").ljust(80)[:80] + size.tobytes() + facets.tobytes()
