"""Posterior elements, symmetric about the midsagittal plane of their vertebra, with a known canal.

Frame V of the body (X left, Y posterior, Z cranial), mm. The canal's midsagittal diameter and the
distance between the pedicles are inputs: the canal is carved with exactly these after everything
else has been put together.
"""

from __future__ import annotations

from dataclasses import dataclass

from tests.accuracy.bodies import Body
from tests.accuracy.solids import Block, Bone, Canal, Capsule, Ellipsoid, Lamina, Solid


@dataclass(frozen=True)
class ArchInputs:
    """What the posterior elements of one vertebra are made to, mm.

    `pedicle_z` is the height of the pedicles' axes above the middle of the body; `above` and `below`
    say how far the articular processes may reach beyond the body's plates.
    """

    canal_ap: float
    canal_w: float
    pedicle_half_width: float
    pedicle_half_height: float
    pedicle_z: float
    lamina: float
    roof: float
    transverse_span: float
    transverse_back: float
    spinous: float
    spinous_drop: float
    above: float
    below: float


def arch(body: Body, made: ArchInputs, plain: bool) -> Bone:
    """The posterior elements of a vertebra of C3 to L6."""
    wall = body.back_wall(made.pedicle_z)
    half_height = (body.superior.height - body.inferior.height) / 2
    narrow = made.canal_w / 2 > 0.9 * min(body.superior.a, body.inferior.a)
    canal = Canal(
        front=wall - 0.5 if narrow else 0.0,
        back=wall + made.canal_ap,
        width=made.canal_w,
        roof=0.0 if plain else made.roof * made.canal_ap,
    )
    build = _plain_solids if plain else _shaped_solids
    return Bone(tuple(build(body, made, canal, wall, half_height)), (canal,))


def _pedicles(body: Body, made: ArchInputs, wall: float) -> list[Solid]:
    x = made.canal_w / 2 + made.pedicle_half_width
    a, b = body.superior.a, body.superior.b
    radius, flat = made.pedicle_half_width + 0.3, made.pedicle_half_width / made.pedicle_half_height
    rear = (x, wall + 0.5 * made.canal_ap, made.pedicle_z)
    if x < a:
        return [Capsule((x, 0.35 * b, made.pedicle_z), rear, radius, flat)]
    # a canal wider than the body: out to the side in front of the canal first, then back
    corner = (x, wall - 1.5, made.pedicle_z)
    return [
        Capsule((0.6 * a, wall - 2.0, made.pedicle_z), corner, radius, flat),
        Capsule(corner, rear, radius, flat),
    ]


def _shaped_solids(body: Body, made: ArchInputs, canal: Canal, wall: float, high: float) -> list[Solid]:
    half, ap = made.canal_w / 2, made.canal_ap
    x = half + made.pedicle_half_width
    rear = canal.back + made.lamina
    side_rear = float(canal.roof_y(half)) if canal.roof else canal.back
    return [
        *_pedicles(body, made, wall),
        Lamina(canal, made.lamina, x + 1, -0.85 * high, max(0.5 * high, made.pedicle_z + 2.5)),
        Ellipsoid((x, (wall + 0.3 * ap + side_rear + 2) / 2, 0.0),
                  (made.pedicle_half_width + 1.5, (side_rear + 2 - wall - 0.3 * ap) / 2, high), 3.0),
        Ellipsoid((x + 0.5, wall + 0.5 * ap, high - 1), (3.2, 3.0, 1 + made.above), 2.5),
        Ellipsoid((half - 3.8, canal.back + 1.5, -0.9 * high), (3.4, 3.2, 0.1 * high + made.below), 2.5),
        Capsule((x + 1, wall + 0.45 * ap, made.pedicle_z),
                (made.transverse_span, wall + 0.45 * ap + made.transverse_back, made.pedicle_z + 1),
                3.2, flat=0.8),
        Capsule((0, rear - 2, -0.2 * high), (0, rear + made.spinous, -0.2 * high - made.spinous_drop),
                2.8, flat=0.45),
    ]  # fmt: skip


def _plain_solids(body: Body, made: ArchInputs, canal: Canal, wall: float, high: float) -> list[Solid]:
    half, wide = made.canal_w / 2, made.pedicle_half_width
    x, rear = half + wide, canal.back + made.lamina
    low, top = -0.7 * high, made.pedicle_z + made.pedicle_half_height
    middle, tall = (low + top) / 2, (top - low) / 2
    front = wall + 0.4 * made.canal_ap
    return [
        *_pedicles(body, made, wall),
        Block((x, (front + rear) / 2, middle), (wide, (rear - front) / 2, tall)),
        Block((0, canal.back + made.lamina / 2, middle), (half + wide, made.lamina / 2, tall)),
        Block((0, rear + made.spinous / 2, middle), (3.0, made.spinous / 2, 0.6 * tall)),
        Block(((x + made.transverse_span) / 2, front + 4, made.pedicle_z),
              ((made.transverse_span - x) / 2, 4.0, 4.0)),
    ]  # fmt: skip


def axis_arch(body: Body, canal_ap: float, canal_w: float) -> Bone:
    """The posterior elements of C2: lateral masses, ring and a stout spinous process."""
    wall = body.back_wall(0.0)
    canal = Canal(front=wall - 0.5, back=wall + canal_ap, width=canal_w, roof=0.25 * canal_ap)
    half, top = canal_w / 2, body.superior.height
    return Bone(
        (
            Ellipsoid((half + 2.5, 1.0, top - 5.0), (8.0, 8.0, 5.5), 2.5),
            Capsule((half + 3, 4.0, 0.0), (half + 2.5, wall + 0.6 * canal_ap, 0.0), 3.0),
            Lamina(canal, 4.5, half + 4, -5.0, 4.0),
            Capsule((0, canal.back + 3, -1.0), (0, canal.back + 18, -5.0), 3.5, flat=0.7),
        ),
        (canal,),
    )


def atlas_ring(dens_y: float, canal_ap: float, canal_w: float) -> tuple[Bone, Bone]:
    """C1 about the dens, in the frame of C2: its front with the lateral masses, and its posterior arch."""
    back = dens_y + 8 + canal_ap
    hole = Canal(front=dens_y - 7.5, back=back, width=canal_w, roof=0.25 * canal_ap)
    front = Bone(
        (
            Capsule((0, dens_y - 10.5, 0), (canal_w / 2, dens_y - 6, 0), 3.0, flat=0.7),
            Ellipsoid((canal_w / 2 + 4.5, dens_y + 1, 0), (7.5, 9.0, 6.5), 2.5),
        ),
        (hole,),
    )
    rear = Bone((Lamina(hole, 4.5, canal_w / 2 + 4, -3.5, 3.5),), (hole,))
    return front, rear
