"""Everything around the bones: skin, fat, muscle, lungs, organs, gas, as layers painted in order."""

from __future__ import annotations

import numpy as np
import torch

from spine_node.phantom.arms import Arm, arms
from spine_node.phantom.habitus import Habitus
from spine_node.phantom.lattice import Field, Lattice
from spine_node.phantom.layers import COARSE_MM, Layer, interpolate
from spine_node.phantom.paint import DISTRACTORS
from spine_node.phantom.shapes import Limb, union
from spine_node.phantom.skeleton import Skeleton
from spine_node.phantom.thorax import RIB_REACH

_WIDTH = (
    "-220:165 -60:172 0:178 90:168 L4:152 L2:142 T11:147 T7:152 T4:160 T2:182 T1:165 C7:105 C6:66 C4:60 C2:66"
)
_FRONT = "-220:95 0:112 90:118 L4:118 L1:128 T10:146 T7:150 T4:122 T1:84 C7:66 C5:58 C3:66 C2:100"
_BACK = "-220:90 0:112 60:106 L4:94 L1:88 T10:84 T7:84 T3:90 C7:84 C4:70 C2:80"
_FAT = "-220:0.9 0:1.2 100:1.3 L2:1.1 T8:0.7 T2:0.6 C4:0.35"
_WALL = "-220:60 0:55 80:30 L3:22 L1:16 T8:12 T2:14"
"""Half width, depth before and behind the spine, share of fat, thickness of the muscular wall (mm) by
height: above the hips in mm, or at a level."""


class Surroundings:
    """Builds the layers of one person on the coarse lattice of an image."""

    def __init__(self, skeleton: Skeleton, at: Lattice, habitus: Habitus, rng: np.random.Generator) -> None:
        self.at, self.habitus, self._rng = at, habitus, rng
        self.k = float(skeleton.spec.scale)
        middles = {b.level: b.body.middle_mm for b in skeleton.bones}
        self.level_z = {level: float(p[2]) for level, p in middles.items()}
        path = np.array(
            [
                [0, 10, -400],
                [0, 10, -40],
                skeleton.s1.middle_mm,
                *[b.body.middle_mm for b in skeleton.bones[::-1]],
            ]
        )
        top = path[-1] + np.array([0, -10, 250.0])
        self.path = np.vstack([path, top])
        self.skeleton = skeleton
        # a coordinate that does not change along an axis is not repeated along it
        self.x, self.y, self.z = (at.thin(row, np.zeros(3)) for row in np.eye(3))
        self.layers: list[Layer] = []

    def _of_z(self, values: list[tuple[float, float]]) -> Field:
        z, v = zip(*sorted(values), strict=True)
        return interpolate(self.z, z, v)

    def _table(self, text: str) -> Field:
        pairs = (item.split(":") for item in text.split())
        return self._of_z([(self._z(at) if at[0].isalpha() else float(at), float(mm)) for at, mm in pairs])

    def _spine(self) -> tuple[Field, Field]:
        x, y, z = self.path.T.tolist()
        return interpolate(self.z, z, x), interpolate(self.z, z, y)

    def _y_at(self, height_mm: float) -> float:
        return float(np.interp(height_mm, self.path[:, 2], self.path[:, 1]))

    def _z(self, level: str) -> float:
        near = {"L5": "L4", "T12": "T11"}
        return self.level_z.get(level, self.level_z.get(near.get(level, level), 0.0))

    def _add(self, name: str, distance: Field) -> None:
        distance = distance.expand(self.at.shape)
        near = distance < COARSE_MM * 1.8
        where: list[slice] = []
        for axis, n in enumerate(self.at.shape):
            other = [k for k in range(3) if k != axis]
            rows = torch.nonzero(near.any(other[1]).any(other[0])).flatten()
            if len(rows) == 0:
                return
            low, high = max(int(rows[0]) - 1, 0), min(int(rows[-1]) + 2, n)
            if high - low < 2:
                return
            where.append(slice(low, high))
        a, b, c = where
        self.layers.append(Layer(name, (a, b, c), distance[a, b, c].contiguous()))

    def _blob(
        self,
        name: str,
        centre: tuple[float, float, float],
        radii: tuple[float, float, float],
        within: Field | None = None,
        gas_above_mm: float | None = None,
    ) -> None:
        """An ellipsoid with a slightly uneven surface, kept inside another layer.

        Above a height it may hold gas: the level of a fluid is flat in a person who stands.
        """
        low = np.array(centre) - 1.4 * max(radii) - 3 * COARSE_MM
        high = np.array(centre) + 1.4 * max(radii) + 3 * COARSE_MM
        where = self.at.around(low, high)
        if where is None:
            return
        block = self.at.block(where)
        u, v, w = block.coordinates(np.diag(1 / np.array(radii)), centre).unbind(0)
        wave = self._rng.normal(0, 0.06, 6).tolist()
        uneven = torch.sin(2.3 * u + 1.7 * w + wave[3] * 30) * wave[0]
        uneven += torch.sin(2.1 * v + 1.3 * u + wave[4] * 30) * wave[1]
        d = (u * u).addcmul_(v, v).addcmul_(w, w).sqrt_().add_(uneven).sub_(1).mul_(min(radii))
        if within is not None:
            d = torch.maximum(d, within[where])
        if min(d.shape) >= 2 and bool((d < 0).any()):
            self.layers.append(Layer(name, where, d))
            if gas_above_mm is not None:
                gas = torch.maximum(d + 2.5, gas_above_mm - block.along([0, 0, 1], np.zeros(3)))
                self.layers.append(Layer("gas", where, gas))

    def build(self) -> list[Layer]:
        """All layers, outside first."""
        g, k, fat = self.habitus.girth, self.k, self.habitus.fat_mm
        sx, sy = self._spine()
        z = self._z
        width = self._table(_WIDTH) * (k * g)
        front = self._table(_FRONT) * (k * g)
        back = self._table(_BACK) * (k * (0.5 + 0.5 * g))
        head = ((self.z - z("C2")) / 60).clamp_(0, 1)
        width, front = width + 16 * k * head, front + 5 * k * head
        front, back = front + fat * 0.5, back + fat * 0.35
        width = width + fat * 0.7
        cx, cy = 0.75 * sx, sy + (back - front) / 2
        depth = (front + back) / 2
        u2, v2 = ((self.x - cx) / width).square_(), ((self.y - cy) / depth).square_()
        k2 = ((u2 * u2 + v2 * v2).sqrt_() * 0.35).add_(u2 + v2, alpha=0.65).sqrt_()
        skin = k2.sub_(1).mul_(torch.minimum(width, depth))
        legs = torch.minimum(*[length(self.x - s * 92 * k, self.y - 8) for s in (-1, 1)])
        below = torch.sigmoid((-60 * k - self.z) / 9)
        skin = torch.lerp(skin, legs - (86 * k * g + fat * 0.5), below.expand_as(skin))
        limbs: list[Limb] = []
        self.arms: list[Arm] = arms(self.skeleton, self.habitus.arms)
        for arm in self.arms:
            limbs += arm.flesh(g, fat)
        arm_skin = union(limbs, self.at, 12.0, 2 * COARSE_MM)
        self._add("skin", torch.minimum(skin, arm_skin))
        self._add("fat", torch.minimum(skin, arm_skin) + 2.0)
        # fat lies thicker in front of the abdomen and behind the pelvis than elsewhere
        swell = self._table(_FAT)
        muscle = skin + (2 + fat * swell)
        self._add("muscle", torch.minimum(muscle, arm_skin + (2 + min(0.35 * fat, 12.0))))
        wall = self._table(_WALL)
        cavity = muscle + wall
        beside = length((self.x - sx) / 1.25, self.y - sy - 28 * k) - 44 * k
        cavity = torch.maximum(cavity, -beside)  # the back muscles
        # its roof is the diaphragm
        roof = z("T12") + 32 * k * (1 - ((self.x - sx) / (105 * k)) ** 2)
        cavity = torch.maximum(cavity, torch.maximum(-self.z - 25, 0.8 * (self.z - roof)))
        self._add("visceral_fat", cavity)
        self._organs(cavity, muscle + 4.0, sx, sy)
        self._chest(sx, sy)
        self._stand(float((sy + back).max()))
        for _ in range(self.habitus.distractors):
            self._distractor()
        return self.layers

    def _stand(self, behind_mm: float) -> None:
        """What holds the person still: backrest, bar, chin rest."""
        habitus, k = self.habitus, self.k
        if habitus.backrest:
            half = 60 + float(self._rng.uniform(0, 60))
            board = (self.y - (behind_mm + 12)).abs() - 5.0
            self._add("stand", torch.maximum(board, (self.x - float(self.path[-2, 0])).abs() - half))
        if habitus.arms == "bar":
            left, right = (arm.hand for arm in self.arms)
            reach = 1.15 * (left - right)
            bar = Limb(right - 0.15 * reach, right + reach, (12.0, 12.0, 12.0), np.array([0.0, 0, 1]))
            self._add("stand", bar.distance(self.at))
        if habitus.chin_rest:
            x, y, z = self.path[-2] + np.array([0.0, -78.0 * k, -62.0 * k])
            cushion = torch.maximum((self.x - x).abs() - 35, (self.y - y).abs() - 22)
            self._add("stand", torch.maximum(cushion, (self.z - z).abs() - 12))

    def _distractor(self) -> None:
        """A blob that may lie anywhere in the image, also in the air."""
        rng = self._rng
        index = rng.uniform(0, 1, 3) * np.array(self.at.shape)
        centre = (self.at.affine[:3, :3] @ index + self.at.affine[:3, 3]).tolist()
        radii = np.exp(rng.uniform(np.log(6), np.log(45), 3)).tolist()
        self._blob(str(rng.choice(DISTRACTORS)), centre, radii)

    def _organs(self, cavity: Field, inner: Field, sx: Field, sy: Field) -> None:
        k, z, rng = self.k, self._z, self._rng
        y3 = self._y_at(z("L3"))
        deep, deeper = cavity - 3, cavity - 5
        for s in (-1, 1):
            down = ((z("L1") - self.z) / max(z("L1"), 1.0)).clamp_(0, 1.2)
            r = length(self.x - (sx + s * (26 + 34 * down) * k), self.y - (sy + (6 - 40 * down**2) * k))
            psoas = r - (12 + 13 * (down * 2).clamp_max_(1)) * k
            self._add("muscle", torch.maximum(psoas, torch.maximum(self.z - z("L1"), 20 - self.z)))
            self._blob(
                "kidney", (s * 62 * k, y3 + 8 * k, z("L1") - 12 * (s < 0)), (27 * k, 24 * k, 52 * k), cavity
            )
        self._blob("liver", (-62 * k, y3 - 50 * k, z("L1") + 22), (84 * k, 72 * k, 74 * k), deep)
        self._blob("spleen", (98 * k, y3 + 6 * k, z("L1") + 30), (32 * k, 40 * k, 48 * k), deep)
        fluid = z("L1") + float(rng.uniform(-25, 12)) * k
        self._blob("stomach", (56 * k, y3 - 62 * k, z("L1") + 26), (46 * k, 38 * k, 54 * k), deep, fluid)
        for _ in range(22):
            c = (rng.uniform(-110, 110) * k, y3 - rng.uniform(30, 95) * k, rng.uniform(20, z("L1")))
            r = rng.uniform(14, 30) * k
            level = c[2] + float(rng.uniform(-0.3, 0.8)) * r if rng.random() < 0.25 else None
            self._blob("bowel", c, (r, r * rng.uniform(0.6, 1.2), r * rng.uniform(0.6, 1.5)), deep, level)
        for _ in range(self.habitus.gas):
            c = (rng.uniform(-105, 105) * k, y3 - rng.uniform(50, 100) * k, rng.uniform(30, z("L1") + 20))
            r = rng.uniform(8, 24) * k
            self._blob("gas", c, (r, r * rng.uniform(0.5, 1.1), r * rng.uniform(0.5, 1.6)), deeper)
        for _ in range(16):  # fat between the muscles of back and buttock
            height = rng.uniform(-60, z("T10"))
            c = (rng.uniform(-120, 120) * k, self._y_at(height) + rng.uniform(15, 75) * k, height)
            r = rng.uniform(12, 40) * k
            self._blob("fat", c, (r, r * rng.uniform(0.1, 0.3), r * rng.uniform(0.4, 1.2)), inner)
        self._blob("bladder", (0, -25 * k, 10), (38 * k, 34 * k, 30 * k), None)
        for x, y, top in ((9, -30, "T4"), (-16, -28, "T11")):  # aorta, inferior vena cava
            tube = length(self.x - (sx + x * k), self.y - (sy + y * k)) - 10 * k
            self._add("vessel", torch.maximum(tube, torch.maximum(z("L4") - self.z, self.z - z(top))))

    def _chest(self, sx: Field, sy: Field) -> None:
        k, z = self.k, self._z
        reach = self._of_z(
            [
                (z(f"T{n}") - 0.12 * RIB_REACH[n] * k, (RIB_REACH[n] - 7) * k)
                for n in range(1, 12)
                if f"T{n}" in self.level_z
            ]
        )
        depth = reach * 0.80
        cy = sy - 0.62 * depth + 19 * k
        chest = (length((self.x - sx) / reach, (self.y - cy) / depth) - 1) * depth
        chest = torch.maximum(chest, self.z - z("T1") - 8)
        # behind the ribs' necks lie the erector muscles
        chest = torch.maximum(chest, 0.85 * (self.y - (sy + 9 * k) - 0.6 * (self.x - sx).abs_()))
        # the mediastinum is widest at the heart, narrow before and behind it
        fore = self.y - (sy - 75 * k)
        high = (1.25 - (self.z - z("T9")) / (z("T3") - z("T9")) * 0.5).clamp_(0.6, 1.4)
        middle = torch.exp(-(fore / (48 * k)).square_()) * (24 * k) * high + 14 * k
        column = length(self.x - sx, (self.y - (sy + 14 * k)) * 0.8)
        rng = self._rng
        for s in (-1, 1):
            dome_top = z("T9") + (4 if s < 0 else -6) + float(rng.normal(0, 8))
            away = ((self.x - (sx + s * 65 * k)) / (80 * k)).square_()
            bow = (away + ((self.y - cy) / (95 * k)).square_()).clamp_max_(1.69)
            dome = dome_top - 62 * k * bow
            lung = torch.maximum(chest, (dome - self.z) * 0.7)
            lung = torch.maximum(lung, (middle - s * (self.x - sx)) * 0.7)
            lung = torch.maximum(lung, float(rng.uniform(19, 25)) * k - column)
            self._add("lung", lung)
        y8 = self._y_at(z("T8"))
        x8 = float(np.interp(z("T8"), self.path[:, 2], self.path[:, 0]))
        self._blob("heart", (x8 + 22 * k, y8 - 80 * k, z("T8") + 6), (54 * k, 42 * k, 50 * k))
        trachea = length(self.x - sx, self.y - (sy - 30 * k)) - 8.5 * k
        self._add("airway", torch.maximum(trachea, torch.maximum(z("T4") - self.z, self.z - z("C4"))))
        self._blob(
            "airway",
            (0, self._y_at(z("C2")) - 32 * k, z("C2")),
            (14 * k, 11 * k, 34 * k),
        )


def length(x: Field, y: Field) -> Field:
    """Length of the vector (x, y); the two are broadcast."""
    return (x * x + y * y).sqrt_()
