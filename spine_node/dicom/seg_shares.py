"""How many frames a Segmentation has, and how it is shared out where a viewer takes no more of them.

Weasis 4.6 shows no Segmentation of more than 400 frames.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from spine_node.dicom.forms import Form

Occupancy = NDArray[np.bool_]
"""Which structure (column) has a voxel in which slice (row)."""


def frame_slices(occupied: Occupancy, form: Form) -> NDArray[np.intp]:
    """The slice of each frame, in no order that a file need have.

    BINARY has a frame for each slice of each segment, empty ones never. LABELMAP has a frame for each
    slice from the first to the last that is not empty: readers (dcmqi up to 1.5.4) refuse gaps in between.
    """
    if form == "seg-binary":
        return np.nonzero(occupied)[0]
    there = np.flatnonzero(occupied.any(axis=1))
    return np.arange(there[0], there[-1] + 1) if len(there) else there


def shares(occupied: Occupancy, form: Form, most_frames: int | None) -> list[Occupancy]:
    """What goes into each instance, neighbours together, none with more than `most_frames` frames.

    A structure goes into one instance as a whole. Only one that is over the cap by itself, as a hip bone in
    slices of 0.3 mm is over 400, is cut between slices, into pieces as equal as can be.

    Parameters
    ----------
    occupied : ndarray of bool, shape (slices, structures)
    form : str
    most_frames : int, optional
        No cap if None.

    Returns
    -------
    list of ndarray of bool, shape (slices, structures)
        No place is in two of them, and every place in one.
    """
    if most_frames is None:
        return [occupied]
    if most_frames < 1:
        raise ValueError(f"a Segmentation of at most {most_frames} frames holds nothing; give 1 or more")
    found: list[Occupancy] = []
    for piece in _pieces(occupied, form, most_frames):
        if found and len(frame_slices(found[-1] | piece, form)) <= most_frames:
            found[-1] = found[-1] | piece
        else:
            found.append(piece)
    return found


def _pieces(occupied: Occupancy, form: Form, most_frames: int) -> list[Occupancy]:
    """Each structure by itself, and those that are over the cap in pieces."""
    pieces = []
    for column in range(occupied.shape[1]):
        alone = np.zeros_like(occupied)
        alone[:, column] = occupied[:, column]
        slices = frame_slices(alone, form)
        for run in np.array_split(slices, max(1, -(-len(slices) // most_frames))):
            piece = np.zeros_like(occupied)
            piece[run, column] = occupied[run, column]
            if piece.any():
                pieces.append(piece)
    return pieces
