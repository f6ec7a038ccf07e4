"""The landmarks of one vertebra: endplates, axes, canal, size."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from spine_node.anatomy.canal import ODD_FACING_DEG, facing_deg, find_canal
from spine_node.anatomy.dens import find_dens
from spine_node.anatomy.endplates import Plates, find_plates, with_edges
from spine_node.anatomy.grey import body_mean
from spine_node.anatomy.landmarks import Canal, Endplate, Vertebra
from spine_node.anatomy.pieces import EDGE_AREA_MM2, Pieces
from spine_node.anatomy.symmetry import Mirror, find_mirror
from spine_node.geometry.angles import angle_between_deg
from spine_node.geometry.directions import axes_from
from spine_node.imaging.components import Blob
from spine_node.imaging.surface import Field, field_of
from spine_node.imaging.volume import FloatArray, Volume

POSTERIOR_CUT_MM2 = 100.0
"""Posterior elements that end on the volume's border with more than this no longer show symmetry."""

ROUGH_PLATE_MM = 1.5
"""Scatter of an endplate from which it is called uneven (dome, erosion, poor segmentation)."""

FURTHEST_FROM_LINE_DEG = 50.0
"""Wedges and tilts of real endplates stay below this; what is steeper is the side of a remnant."""

UNDER_MM = 6.0
"""So much wall must be seen under the edges of a cut body's plate: it tells where they are."""

FACES = 2 / 3
"""Area of a surface over that of the voxels' faces on it, on average over its directions."""


@dataclass(frozen=True, slots=True, eq=False)
class Located:
    """A vertebra, what is missing of it and why, sentences, and the tip of its dens."""

    vertebra: Vertebra
    missing: dict[str, str]
    quality: list[str]
    dens_tip_mm: FloatArray | None = None


def locate_vertebra(piece: Pieces, guess: FloatArray, image: Volume | None = None) -> Located:
    """Every landmark of one vertebra.

    Parameters
    ----------
    piece : Pieces
        Its voxels.
    guess : ndarray, shape (3, 3)
        Left, posterior, cranial, columns, LPS, within some 20 degrees.
    image : Volume, optional
        On the label map's grid, for grey values.
    """
    level, body = piece.level, piece.body
    field = field_of(body)
    behind = None if piece.posterior is None else field_of(piece.posterior)
    plates = find_plates(level, body, field, piece.centre_mm, guess)
    missing = {f"{level}.{which}": why for which, why in plates.reasons.items()}
    said: list[str] = []
    if body.edge_area_mm2 > EDGE_AREA_MM2:
        missing[f"{level}.body"] = f"{level} body is cut by the field's edge"
    mirror, why = _mirror(piece, plates, field, behind, guess)
    axes = None if mirror is None else mirror.axes
    if mirror is None:
        missing[f"{level}.axes"] = why
    posterior = guess[:, 1] if axes is None else axes[:, 1]
    edged: dict[str, Endplate | None] = {}
    for which, plate in (("superior", plates.superior), ("inferior", plates.inferior)):
        edged[which] = None
        if plate is None:
            continue
        turned = float(angle_between_deg(plate.normal, guess[:, 2]))
        if turned > FURTHEST_FROM_LINE_DEG:
            missing[f"{level}.{which}"] = (
                f"{level} {which} endplate stands {turned:.0f} degrees off the line of vertebrae: it is none"
            )
            continue
        whole = with_edges(plate, which, body, field, piece.centre_mm, posterior)
        if _near_the_edge(body, whole, which):
            missing[f"{level}.{which}"] = f"{level} {which} endplate is cut by the field's edge"
            continue
        edged[which] = whole
        if plate.residual_mm > ROUGH_PLATE_MM:
            said.append(
                f"{level} {which} endplate is uneven: its surface scatters by {plate.residual_mm:.1f} mm."
            )
    canal: Canal | None = None
    if axes is not None and behind is not None:
        canal, reasons = find_canal(level, field, behind, axes, piece.centre_mm)
        missing |= reasons
        if canal is not None and abs(turn := facing_deg(canal, piece.centre_mm, axes)) > ODD_FACING_DEG:
            said.append(
                f"{level}: its mirror plane and its canal disagree by {abs(turn):.0f} degrees; its rotation "
                "is uncertain."
            )
    whole_mm3: float | None = None
    if piece.posterior is None:
        missing[f"{level}.whole"] = f"posterior elements of {level} are not labelled"
    elif piece.posterior.edge_area_mm2 > EDGE_AREA_MM2:
        missing[f"{level}.whole"] = f"posterior elements of {level} are cut by the field's edge"
    else:
        whole_mm3 = body.volume_mm3 + piece.posterior.volume_mm3
    vertebra = Vertebra(
        level,
        piece.centre_mm,
        edged["superior"],
        edged["inferior"],
        axes,
        axes_deg=0.0 if mirror is None else mirror.spread_deg,
        canal=canal,
        body_mm3=body.volume_mm3,
        whole_mm3=whole_mm3,
        surface_mm2=_surface_mm2(body),
        grey_mean=None if image is None else body_mean(image, body),
    )
    if level != "C2":
        return Located(vertebra, missing, said)
    dens, reasons = find_dens(body, field, guess if axes is None else axes)
    own_centre = replace(vertebra, body_centre_mm=dens.body_centre_mm)
    return Located(own_centre, missing | reasons, said, dens.tip_mm)


def _mirror(
    piece: Pieces, plates: Plates, field: Field, behind: Field | None, guess: FloatArray
) -> tuple[Mirror | None, str]:
    """The vertebra's mirror plane, or the reason why there is none."""
    level = piece.level
    if piece.posterior is None or behind is None:
        return None, f"posterior elements of {level} are not labelled: a body shows no rotation"
    if plates.cranial is None:
        return None, f"no endplate of {level} is seen"
    if piece.body.edge_area_mm2 > EDGE_AREA_MM2:
        return None, f"{level} body is cut by the field's edge"
    if piece.posterior.edge_area_mm2 > POSTERIOR_CUT_MM2:
        return None, f"posterior elements of {level} are cut by the field's edge"
    return find_mirror([field, behind], piece.centre_mm, axes_from(plates.cranial, guess[:, 1])), ""


def _near_the_edge(body: Blob, plate: Endplate, which: str) -> bool:
    """Whether an edge of a plate, or of a cut body the wall under it, is the end of the volume."""
    ends = np.stack([plate.anterior_mm, plate.posterior_mm, plate.left_mm, plate.right_mm])
    if body.edge_area_mm2 > EDGE_AREA_MM2:
        inward = -plate.normal if which == "superior" else plate.normal
        under = plate.centre_mm + 0.9 * (ends - plate.centre_mm) + UNDER_MM * inward
        ends = np.vstack([ends, under])
    return bool(body.at_edge(body.grid.to_index(ends)).any())


def _surface_mm2(body: Blob) -> float:
    """Area of the surface, from the voxel faces on it."""
    area = 0.0
    for axis, spacing in enumerate(body.grid.spacing_mm):
        changes = int(np.count_nonzero(np.diff(body.mask, axis=axis)))
        area += changes * body.grid.voxel_mm3 / float(spacing)
    return FACES * area
