"""The one place that knows RAS: NIfTI and some bundles use it, everything else is LPS.

LPS to RAS is its own inverse, so a test that goes there and back cannot fail: test with an
asymmetric phantom.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from spine_node.imaging.volume import FloatArray

_FLIP = np.diag([-1.0, -1.0, 1.0, 1.0])


def lps_from_ras(affine_ras: ArrayLike) -> FloatArray:
    """The (4, 4) affine that gives LPS mm where `affine_ras` gives RAS mm."""
    return np.asarray(_FLIP @ np.asarray(affine_ras, dtype=np.float64))


def ras_from_lps(affine_lps: ArrayLike) -> FloatArray:
    """The (4, 4) affine that gives RAS mm where `affine_lps` gives LPS mm."""
    return np.asarray(_FLIP @ np.asarray(affine_lps, dtype=np.float64))
