"""A picture of a result, on its way to files and DICOM objects."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """One picture; never one with a patient's name in it.

    Attributes
    ----------
    name : str
        Of its file, without the ending: "coronal", "axial-L2".
    title : str
        For people, at most 64 characters, ASCII: "Coronal, Cobb angles".
    rgb : ndarray of uint8, shape (rows, columns, 3)
    image_columns : int, optional
        So many columns from the left hold the image; those beyond hold words only, which a page with
        tables of its own leaves out. All of them when not given.
    """

    name: str
    title: str
    rgb: NDArray[np.uint8]
    image_columns: int | None = None
