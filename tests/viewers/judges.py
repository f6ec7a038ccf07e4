"""Judges of what a viewer told: each compares it with the object itself and gives lines of the table."""

from __future__ import annotations

import base64
import io
import json
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
import pydicom
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from skimage import color

from tests.viewers import servers

AGREES = 0.98
"""Share of pixels that must be as expected, away from the edges of segments."""

HUE = 0.95
"""Least cosine between the colour seen, without its grey, and that of the segment."""


@dataclass(frozen=True)
class Line:
    """One line of the table; `right` is None for what is only told."""

    what: str
    right: bool | None
    seen: str


@dataclass(frozen=True, eq=False)
class Segments:
    """A SEG by highdicom's reader: an array of segment numbers, where it lies, and what its segments are."""

    numbers: NDArray[np.int64]
    to_index: NDArray[np.float64]
    labels: dict[int, str]
    cielab: dict[int, tuple[float, float, float]]

    @staticmethod
    def read(path: Path) -> Segments:
        seg = hd.seg.segread(path)
        volume = seg.get_volume(combine_segments=True)
        labels = {n: seg.get_segment_description(n).segment_label for n in seg.segment_numbers}
        cielab = {}
        for item in seg.SegmentSequence:
            lightness, a, b = (value / 65535 for value in item.RecommendedDisplayCIELabValue)
            cielab[int(item.SegmentNumber)] = (100 * lightness, 255 * a - 128, 255 * b - 128)
        return Segments(volume.array.astype(np.int64), np.linalg.inv(volume.affine), labels, cielab)

    def rgb(self, number: int) -> NDArray[np.float64]:
        """The colour of a segment as viewers take it, 0..255: CIELab of white D65."""
        return 255 * color.lab2rgb(self.cielab[number])

    def middle_mm(self, number: int) -> list[float]:
        """The voxel of a segment that is farthest from its edge, LPS mm."""
        depth = ndimage.distance_transform_edt(self.numbers == number)
        index = np.unravel_index(np.argmax(depth), depth.shape)
        return [float(v) for v in (np.linalg.inv(self.to_index) @ [*index, 1])[:3]]

    def at(
        self, points_mm: NDArray[np.float64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
        """For points (n, 3), LPS mm: the segment around (-1 at an edge), 0 far from all, inside or not."""
        index = np.rint(points_mm @ self.to_index[:3, :3].T + self.to_index[:3, 3]).astype(np.int64)
        inside = ((index >= 0) & (index < self.numbers.shape)).all(axis=1)
        index = np.where(inside[:, None], index, 0)
        low, high = ndimage.minimum_filter(self.numbers, 3), ndimage.maximum_filter(self.numbers, 3)
        near = np.where(low == high, low, -1)
        far = ndimage.maximum_filter(self.numbers, 5)
        place = tuple(index.T)
        return near[place], far[place], inside


def srgb(cielab: tuple[float, float, float]) -> NDArray[np.float64]:
    """CIELab of white D50, as DICOM means it (PS3.3 C.10.7.1.1), in sRGB 0..255."""
    adapted = np.array(
        [
            [0.9555766, -0.0230393, 0.0631636],
            [-0.0282895, 1.0099416, 0.0210077],
            [0.0122982, -0.0204830, 1.3299098],
        ]
    )  # Bradford, D50 to D65
    return 255 * color.xyz2rgb(adapted @ color.lab2xyz(cielab, illuminant="D50"))


def picture(png: str) -> NDArray[np.float64]:
    """A data address of a PNG as RGB, float."""
    raw = base64.b64decode(png.split(",", 1)[1])
    return np.asarray(Image.open(io.BytesIO(raw)).convert("RGB"), dtype=np.float64)


def judge_overlay(view: dict[str, Any], segments: Segments) -> tuple[float, float, int]:
    """Share of the pixels in segments that have the right colour, and of those outside that have none."""
    rgb = picture(view["png"])[::2, ::2]
    rows, columns = np.mgrid[: rgb.shape[0], : rgb.shape[1]] * 2
    points = (
        np.array(view["origin"])
        + columns[..., None] * np.array(view["right"])
        + rows[..., None] * np.array(view["down"])
    ).reshape(-1, 3)
    near, far, inside = segments.at(points)
    colour = rgb.reshape(-1, 3)
    colour = colour - colour.mean(axis=1, keepdims=True)
    strength = np.linalg.norm(colour, axis=1)
    wanted = np.zeros((max(segments.labels) + 1, 3))
    for number in segments.labels:
        wanted[number] = segments.rgb(number) - segments.rgb(number).mean()
    aim = wanted[np.maximum(near, 0)]
    cosine = (colour * aim).sum(axis=1) / np.maximum(strength * np.linalg.norm(aim, axis=1), 1e-9)
    within, without = inside & (near > 0), inside & (far == 0)
    right = (cosine[within] > HUE) & (strength[within] > 8)
    return float(right.mean()), float((strength[without] < 8).mean()), int(within.sum())


def seg_lines(name: str, told: dict[str, Any], path: Path, out: Path) -> Iterator[Line]:
    segments = Segments.read(path)
    yield Line(f"{name}: overlay", None, f"in all planes at attempt {told['attempt']} of at most 3")
    names = {s["number"]: s["label"] for s in told["segments"]}
    yield Line(f"{name}: segment names", names == segments.labels, f"{len(names)} of {len(segments.labels)}")
    shown = [label for row in told["rows"] for label in segments.labels.values() if label in row]
    yield Line(
        f"{name}: names in the panel", shown == list(segments.labels.values()), f"{len(shown)} in order"
    )
    shown_rgb = np.array([s["rgb"] for s in told["segments"]])
    numbers = [s["number"] for s in told["segments"]]
    off = np.abs(shown_rgb - [segments.rgb(n) for n in numbers]).max()
    meant = np.abs(shown_rgb - [srgb(segments.cielab[n]) for n in numbers]).max()
    seen = f"at most {off:.0f} of 255 from CIELab by white D65, {meant:.0f} by DICOM's D50"
    yield Line(f"{name}: colours", off <= 5, seen)
    for view in told["views"]:
        coloured, clean, pixels = judge_overlay(view, segments)
        Image.fromarray(picture(view["png"]).astype(np.uint8)).save(
            out / f"{name}-{view['target']}-{view['plane']}.png"
        )
        right = coloured >= AGREES and clean >= AGREES and pixels > 100
        seen = f"{coloured:.1%} of {pixels} pixels coloured as their voxel, {clean:.1%} outside grey"
        yield Line(f"{name}: {view['plane']} through {view['target']}", right, seen)


def picture_lines(name: str, told: dict[str, Any], paths: Sequence[Path]) -> Iterator[Line]:
    stored: dict[str, list[NDArray[np.float64]]] = {}
    titles: dict[str, list[str]] = {}
    for ds in map(pydicom.dcmread, paths):
        frames = ds.pixel_array.reshape(-1, ds.Rows, ds.Columns, 3)
        stored[str(ds.SOPInstanceUID)] = [frame.astype(np.float64) for frame in frames]
        labels = ds.get("FrameLabelVector") or [str(ds.get("ImageComments", ds.InstanceNumber))]
        titles[str(ds.SOPInstanceUID)] = [labels] if isinstance(labels, str) else list(labels)
    total = sum(map(len, stored.values()))
    yield Line(f"{name}: pictures", len(told["images"]) == total, f"{len(told['images'])} of {total}")
    for image in told["images"]:
        frame = image["frame"] - 1
        drawn, wanted = picture(image["png"]), stored[image["sop"]][frame]
        step = [(np.array(image[way]) - image["first"]) / 100 for way in ("right", "down")]
        rows, columns = np.mgrid[8 : wanted.shape[0] - 8 : 16, 8 : wanted.shape[1] - 8 : 16]
        place = np.array(image["first"]) + columns[..., None] * step[0] + rows[..., None] * step[1]
        x, y = np.rint(place).astype(int).reshape(-1, 2).T
        seen = (x >= 0) & (y >= 0) & (x < drawn.shape[1]) & (y < drawn.shape[0])
        # The viewer draws it smaller: compare with what is around each place.
        around = ndimage.uniform_filter(wanted, (9, 9, 1))[rows, columns].reshape(-1, 3)[seen]
        smooth = ndimage.uniform_filter(drawn, (3, 3, 1))[y[seen], x[seen]]
        same = float(np.corrcoef(smooth.ravel(), around.ravel())[0, 1]) if seen.sum() > 100 else 0.0
        yield Line(
            f"{name}: {titles[image['sop']][frame]}",
            same > 0.9,
            f"correlation {same:.2f} with the pixels stored",
        )


def report_line(name: str, told: dict[str, Any]) -> Line:
    seen = (
        f"asked to load: {told['prompt']}; measurements held {told['held']}, shown "
        f"{len(told['measurements'])}, drawn {len(told['annotations'])}"
    )
    return Line(f"{name}: lines", None, seen)


def pdf_line(name: str, told: dict[str, Any], path: Path) -> Line:
    ds = pydicom.dcmread(path)
    wanted = ds.EncapsulatedDocument[: ds.get("EncapsulatedDocumentLength", len(ds.EncapsulatedDocument))]
    got = base64.b64decode(told["bytes"])
    return Line(
        f"{name}: document", got.rstrip(b"\0") == wanted.rstrip(b"\0"), f"{len(got)} bytes, as stored"
    )


def adapters_lines(images: Path, segs: Sequence[Path]) -> Iterator[Line]:
    """Voxels of each segment by @cornerstonejs/adapters."""
    command = ["node", Path(__file__).with_name("adapters.mjs"), servers.CACHE, images, *segs]
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)
    counted = json.loads(done.stdout) if done.returncode == 0 else {}
    for path in segs:
        segments = Segments.read(path)
        values, counts = np.unique(segments.numbers[segments.numbers > 0], return_counts=True)
        wanted = {str(v): int(c) for v, c in zip(values, counts, strict=True)}
        seen = f"{sum(counted.get(str(path), {}).values())} of {sum(wanted.values())} voxels"
        yield Line(f"adapters: {path.stem}", counted.get(str(path)) == wanted, seen + done.stderr[-200:])
