"""Everything around the bones: skin, fat, muscle, lungs, organs, gas, as layers painted in order."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spine_node.phantom.lattice import Field, Lattice
from spine_node.phantom.layers import COARSE_MM, Layer
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


@dataclass(frozen=True, slots=True)
class Habitus:
    """How the person is built around the skeleton."""

    girth: float
    fat_mm: float
    gas: int

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Habitus:
        """A person of random girth, subcutaneous fat and bowel gas."""
        return cls(
            float(np.clip(rng.normal(1.0, 0.09), 0.82, 1.3)),
            float(np.clip(rng.gamma(4.0, 4.0), 4, 45)),
            int(rng.integers(2, 9)),
        )


class Surroundings:
    """Builds the layers of one person on the coarse lattice of an image."""

    def __init__(self, skeleton: Skeleton, at: Lattice, habitus: Habitus, rng: np.random.Generator) -> None:
        self.at, self.habitus, self._rng = at, habitus, rng
        self.k = skeleton.spec.scale
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
        self.x, self.y = at.along([1, 0, 0], np.zeros(3)), at.along([0, 1, 0], np.zeros(3))
        self.z = at.along([0, 0, 1], np.zeros(3))
        self.layers: list[Layer] = []

    def _of_z(self, values: list[tuple[float, float]]) -> Field:
        z, v = zip(*sorted(values), strict=True)
        return np.interp(self.z, z, v).astype(np.float32)

    def _table(self, text: str) -> Field:
        pairs = (item.split(":") for item in text.split())
        return self._of_z([(self._z(at) if at[0].isalpha() else float(at), float(mm)) for at, mm in pairs])

    def _spine(self) -> tuple[Field, Field]:
        return (
            np.interp(self.z, self.path[:, 2], self.path[:, 0]).astype(np.float32),
            np.interp(self.z, self.path[:, 2], self.path[:, 1]).astype(np.float32),
        )

    def _y_at(self, height_mm: float) -> float:
        return float(np.interp(height_mm, self.path[:, 2], self.path[:, 1]))

    def _z(self, level: str) -> float:
        near = {"L5": "L4", "T12": "T11"}
        return self.level_z.get(level, self.level_z.get(near.get(level, level), 0.0))

    def _add(self, name: str, distance: Field) -> None:
        near = np.argwhere(distance < COARSE_MM * 1.8)
        if len(near) == 0:
            return
        low = np.maximum(near.min(axis=0) - 1, 0)
        high = np.minimum(near.max(axis=0) + 2, self.at.shape)
        if (high - low < 2).any():
            return
        a, b, c = (slice(int(i), int(j)) for i, j in zip(low, high, strict=True))
        self.layers.append(Layer(name, (a, b, c), np.ascontiguousarray(distance[a, b, c])))

    def _blob(
        self,
        name: str,
        centre: tuple[float, float, float],
        radii: tuple[float, float, float],
        within: Field | None = None,
    ) -> None:
        """An ellipsoid with a slightly uneven surface, kept inside another layer."""
        cx, cy, cz = centre
        low = np.array(centre) - 1.4 * max(radii) - 3 * COARSE_MM
        high = np.array(centre) + 1.4 * max(radii) + 3 * COARSE_MM
        where = self.at.around(low, high)
        if where is None:
            return
        x, y, z = (c[where] for c in (self.x, self.y, self.z))
        u, v, w = (x - cx) / radii[0], (y - cy) / radii[1], (z - cz) / radii[2]
        wave = self._rng.normal(0, 0.06, 6)
        k = np.sqrt(u * u + v * v + w * w)
        k += (
            wave[0] * np.sin(2.3 * u + 1.7 * w + wave[3] * 30)
            + wave[1] * np.sin(2.1 * v + 1.3 * u + wave[4] * 30)
        ).astype(np.float32)
        d = ((k - 1) * min(radii)).astype(np.float32)
        if within is not None:
            d = np.maximum(d, within[where])
        if (d < 0).any() and min(d.shape) >= 2:
            self.layers.append(Layer(name, where, d))

    def build(self) -> list[Layer]:
        """All layers, outside first."""
        g, k, fat = self.habitus.girth, self.k, self.habitus.fat_mm
        sx, sy = self._spine()
        z = self._z
        width = self._table(_WIDTH) * np.float32(k * g)
        front = self._table(_FRONT) * np.float32(k * g)
        back = self._table(_BACK) * np.float32(k * (0.5 + 0.5 * g))
        head = np.clip((self.z - z("C2")) / 60, 0, 1)
        width, front = width + 16 * k * head, front + 5 * k * head
        front, back = front + fat * 0.5, back + fat * 0.35
        width = width + np.float32(fat * 0.7)
        cx, cy = 0.75 * sx, sy + (back - front) / 2
        depth = (front + back) / 2
        u, v = np.abs(self.x - cx) / width, np.abs(self.y - cy) / depth
        k2 = np.sqrt(np.sqrt(u**4 + v**4) * 0.35 + (u * u + v * v) * 0.65)
        skin = ((k2 - 1) * np.minimum(width, depth)).astype(np.float32)
        legs = np.minimum(
            *[
                np.hypot(self.x - s * 92 * k, (self.y - 8) * 1.0).astype(np.float32)
                - np.float32(86 * k * g + fat * 0.5)
                for s in (-1, 1)
            ]
        )
        low = self.z < -55 * k
        skin[low] = legs[low]
        self._add("skin", skin)
        self._add("fat", skin + np.float32(2.0))
        # fat lies thicker in front of the abdomen and behind the pelvis than elsewhere
        swell = self._table(_FAT)
        muscle = skin + 2 + fat * swell
        self._add("muscle", muscle)
        wall = self._table(_WALL)
        cavity = muscle + wall
        beside = np.hypot((self.x - sx) / 1.25, self.y - sy - 28 * k) - np.float32(44 * k)
        cavity = np.maximum(cavity, -beside)  # the back muscles
        cavity = np.maximum(cavity, np.maximum(-self.z - 25, self.z - z("T12")))
        self._add("visceral_fat", cavity)
        self._organs(cavity, muscle + np.float32(4), sx, sy)
        self._chest(sx, sy)
        return self.layers

    def _organs(self, cavity: Field, inner: Field, sx: Field, sy: Field) -> None:
        k, z, rng = self.k, self._z, self._rng
        y3 = self._y_at(z("L3"))
        for s in (-1, 1):
            down = np.clip((z("L1") - self.z) / max(z("L1"), 1.0), 0, 1.2)
            r = np.hypot(self.x - sx - s * (26 + 34 * down) * k, self.y - sy - (6 - 40 * down**2) * k)
            psoas = np.maximum(
                r - (12 + 13 * np.minimum(down * 2, 1)) * k, np.maximum(self.z - z("L1"), 20 - self.z)
            )
            self._add("muscle", psoas.astype(np.float32))
            self._blob(
                "kidney", (s * 62 * k, y3 + 8 * k, z("L1") - 12 * (s < 0)), (27 * k, 24 * k, 52 * k), cavity
            )
        self._blob("liver", (-62 * k, y3 - 50 * k, z("L1") + 22), (84 * k, 72 * k, 74 * k), cavity - 3)
        self._blob("spleen", (98 * k, y3 + 6 * k, z("L1") + 30), (32 * k, 40 * k, 48 * k), cavity - 3)
        self._blob("bowel", (58 * k, y3 - 62 * k, z("L1") + 18), (48 * k, 38 * k, 46 * k), cavity - 3)
        for _ in range(22):
            c = (rng.uniform(-110, 110) * k, y3 - rng.uniform(30, 95) * k, rng.uniform(20, z("L1")))
            r = rng.uniform(14, 30) * k
            self._blob("bowel", c, (r, r * rng.uniform(0.6, 1.2), r * rng.uniform(0.6, 1.5)), cavity - 3)
        for _ in range(self.habitus.gas):
            c = (rng.uniform(-105, 105) * k, y3 - rng.uniform(50, 100) * k, rng.uniform(30, z("L1") + 20))
            r = rng.uniform(8, 24) * k
            self._blob("gas", c, (r, r * rng.uniform(0.5, 1.1), r * rng.uniform(0.5, 1.6)), cavity - 5)
        for _ in range(16):  # fat between the muscles of back and buttock
            height = rng.uniform(-60, z("T10"))
            c = (rng.uniform(-120, 120) * k, self._y_at(height) + rng.uniform(15, 75) * k, height)
            r = rng.uniform(12, 40) * k
            self._blob("fat", c, (r, r * rng.uniform(0.1, 0.3), r * rng.uniform(0.4, 1.2)), inner)
        self._blob("bladder", (0, -25 * k, 10), (38 * k, 34 * k, 30 * k), None)
        aorta = np.hypot(self.x - sx - 9 * k, self.y - sy + 30 * k) - np.float32(10 * k)
        aorta = np.maximum(aorta, np.maximum(z("L4") - self.z, self.z - z("T4")))
        self._add("vessel", aorta.astype(np.float32))
        cava = np.hypot(self.x - sx + 16 * k, self.y - sy + 28 * k) - np.float32(10 * k)
        cava = np.maximum(cava, np.maximum(z("L4") - self.z, self.z - z("T11")))
        self._add("vessel", cava.astype(np.float32))

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
        inner = np.hypot((self.x - sx) / reach, (self.y - cy) / depth)
        chest = ((inner - 1) * depth).astype(np.float32)
        rng = self._rng
        for s in (-1, 1):
            dome_top = z("T9") + (4 if s < 0 else -6) + rng.normal(0, 8)
            bow = (
                1
                - np.clip(np.hypot((self.x - sx - s * 65 * k) / (80 * k), (self.y - cy) / (95 * k)), 0, 1.3)
                ** 2
            )
            dome = dome_top - 62 * k + 62 * k * bow
            lung = np.maximum(chest, (dome - self.z).astype(np.float32) * 0.7)
            lung = np.maximum(lung, (self.z - z("T1") - 8).astype(np.float32))
            # the mediastinum is widest at the heart, narrow before and behind it
            fore = self.y - sy + 75 * k
            middle = 14 * k + 24 * k * np.exp(-((fore / (48 * k)) ** 2)) * np.clip(
                1.25 - (self.z - z("T9")) / (z("T3") - z("T9")) * 0.5, 0.6, 1.4
            )
            lung = np.maximum(lung, (middle - s * (self.x - sx)).astype(np.float32) * 0.7)
            spine = np.hypot(self.x - sx, (self.y - sy - 14 * k) * 0.8) - np.float32(
                self._rng.uniform(19, 25) * k
            )
            lung = np.maximum(lung, -spine.astype(np.float32))
            # behind the ribs' necks lie the erector muscles
            behind = self.y - sy - 9 * k - 0.6 * np.abs(self.x - sx)
            lung = np.maximum(lung, (0.85 * behind).astype(np.float32))
            self._add("lung", lung)
        y8 = self._y_at(z("T8"))
        x8 = float(np.interp(z("T8"), self.path[:, 2], self.path[:, 0]))
        self._blob("heart", (x8 + 22 * k, y8 - 80 * k, z("T8") + 6), (54 * k, 42 * k, 50 * k))
        trachea = np.hypot(self.x - sx, self.y - sy + 30 * k) - np.float32(8.5 * k)
        self._add(
            "airway", np.maximum(trachea, np.maximum(z("T4") - self.z, self.z - z("C4"))).astype(np.float32)
        )
        self._blob(
            "airway",
            (0, self._y_at(z("C2")) - 32 * k, z("C2")),
            (14 * k, 11 * k, 34 * k),
        )
