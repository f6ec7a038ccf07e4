"""A standing person in a cone-beam scanner: image, exact label map, exact landmarks, true parameters."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from spine_node.anatomy.landmarks import Endplate, Spine
from spine_node.imaging.volume import Grid, LabelMap, Volume
from spine_node.parameters.model import Measurements
from spine_node.phantom import implants, paint, physics, truth
from spine_node.phantom.drawing import Solid
from spine_node.phantom.habitus import Habitus
from spine_node.phantom.lattice import Lattice
from spine_node.phantom.library import TemplateLibrary
from spine_node.phantom.person import SpineSpec
from spine_node.phantom.pose import random_spec
from spine_node.phantom.rendering import Rendering, one_thread_per_operation
from spine_node.phantom.skeleton import Skeleton, build, landmarks, standing_place
from spine_node.phantom.vertebra import bridges
from spine_node.segmentation.device import device_of

FieldOfView = Literal["random", "whole", "thoracolumbar", "lumbopelvic", "cervicothoracic"]


@dataclass(frozen=True, slots=True, eq=False)
class Phantom:
    """One simulated examination.

    Attributes
    ----------
    volume : Volume
        Grey values, float32, in (slice, row, column) order; not Hounsfield units.
    label_map : LabelMap
        Exact structures on the same grid; 0 outside the imaged cylinder.
    semantic : ndarray of uint8
        Kind of tissue (`scene.SEMANTIC`) on the same grid.
    landmarks : Spine
        Exact landmarks of what lies wholly inside the image, LPS.
    truth : Measurements
    seed : int
    spec : SpineSpec
        The person.
    """

    volume: Volume
    label_map: LabelMap
    semantic: NDArray[np.uint8]
    landmarks: Spine
    truth: Measurements
    seed: int
    spec: SpineSpec


def generate(
    seed: int,
    *,
    spacing_mm: float | tuple[float, float] = 1.0,
    field_of_view: FieldOfView = "whole",
    clean: bool = False,
    painting: Literal["cbct", "random"] = "cbct",
    spec: SpineSpec | None = None,
    scanner: physics.Scanner | None = None,
    metal: implants.Metal | None = None,
    device: str = "cpu",
    templates: TemplateLibrary | None = None,
    template_share: float = 0.7,
) -> Phantom:
    """Make a phantom; the same arguments give the same voxels.

    Parameters
    ----------
    seed : int
    spacing_mm : float or tuple of float
        Voxel size: isotropic, or within the slices and from slice to slice.
    field_of_view
        "whole" reaches from the neck to below the femoral heads; "random" draws one.
    clean : bool
        A usual adult, little noise, nothing cut off.
    painting
        "cbct" as a scanner would show it, "random" with any contrast.
    spec : SpineSpec, optional
        The person; drawn from the seed when not given.
    scanner, metal : Scanner, Metal, optional
        The acquisition and the implants; drawn from the seed when not given.
    device : str
        Where voxels are computed: "cpu" (with torch's number of threads), "cuda", "cuda:N", or "auto"
        for a GPU when there is one. The same phantom comes out, but for rounding.
    templates : TemplateLibrary, optional
        Real shapes for the bones; the person stays the same. Real shapes carry none of the spurs and
        dished endplates that the person is given.
    template_share : float
        Chance that a person has them.

    Raises
    ------
    ConfigRefused
        If there is no such device here.
    """
    with one_thread_per_operation() as threads:
        rng = np.random.default_rng(seed)
        drawn = random_spec(rng, adult_clean=clean)
        spec = spec or drawn
        skeleton = build(spec)
        if templates is not None:
            skeleton = templates.dress(skeleton, np.random.default_rng([seed, 1895]), template_share)
        to_patient = standing_place(spec)
        grid = _grid(skeleton, to_patient, spacing_mm, field_of_view, clean, rng)
        at = Lattice.of(grid, np.linalg.inv(to_patient), device_of(device))
        drawn_scanner = physics.Scanner.draw(rng, clean=clean)
        scanner = scanner or drawn_scanner
        habitus = Habitus.draw(rng)
        # what came later has numbers of its own, so that it changes none of those drawn before
        later = np.random.default_rng([seed, 5])
        more: list[Solid] = []
        if not clean:
            habitus = habitus.positioned(later)
            more = bridges(skeleton, later)
        if painting == "random":
            habitus = replace(habitus, distractors=int(later.integers(4, 24)))
        palette = paint.ct_palette(rng, clean=clean) if painting == "cbct" else paint.random_palette(rng)
        drawn_metal = implants.Metal() if clean else implants.Metal.draw(skeleton, rng)
        metal = metal or drawn_metal
        rendering = Rendering(skeleton, at, scanner, habitus, palette, metal, seed, rng, more)
        values, labels, semantic = rendering.voxels(threads)
        everything = _as_shown(landmarks(skeleton, to_patient), scanner, grid)
        visible = _visible(everything, grid, scanner.field_radius_mm)
        return Phantom(
            Volume(grid, values),
            LabelMap(grid, labels),
            semantic,
            visible,
            truth.measure(everything, visible),
            seed,
            spec,
        )


def _grid(
    skeleton: Skeleton,
    to_patient: NDArray[np.float64],
    spacing_mm: float | tuple[float, float],
    field_of_view: FieldOfView,
    clean: bool,
    rng: np.random.Generator,
) -> Grid:
    """Axial slices about the spine; upwards or downwards, as scanners differ."""
    names = ("whole", "thoracolumbar", "lumbopelvic", "cervicothoracic")
    draw, chosen = rng.random(), str(field_of_view)
    if field_of_view == "random":
        chosen = names[int(np.searchsorted([0.5, 0.75, 0.9], draw))]
    z = {b.level: float(b.body.middle_mm[2]) for b in skeleton.bones}
    top_of = {b.level: float(b.body.superior_mm[2]) for b in skeleton.bones}
    heads = min(float(c[2]) - r for c, r in skeleton.heads.values())
    low = heads - rng.uniform(12, 60)
    high = rng.uniform(top_of["C7"] + 12, top_of["C2"] + 40)
    if clean:
        low, high = heads - 30, top_of["C4"] + 15
    if chosen == "thoracolumbar":
        low, high = rng.uniform(z["L4"] - 40, z["L1"] - 10), rng.uniform(z["T6"], z["T2"])
    elif chosen == "lumbopelvic":
        high = rng.uniform(z["L1"], z["T8"])
    elif chosen == "cervicothoracic":
        low = rng.uniform(z["T11"], z["T5"])
    size = (345.0, 345.0) if clean else tuple(rng.uniform(300, 360, 2))
    inside = [b.body.middle_mm for b in skeleton.bones if low <= b.body.middle_mm[2] <= high]
    if low <= 0:
        inside += [c for c, _ in skeleton.heads.values()] + [skeleton.s1.superior_mm]
    inside_lps = np.array(inside) @ to_patient[:3, :3].T + to_patient[:3, 3]
    middle = (inside_lps.min(axis=0) + inside_lps.max(axis=0)) / 2
    centre_x, centre_y = middle[0] + rng.normal(0, 4), middle[1] - 8 + rng.normal(0, 4)
    pixel, step = spacing_mm if isinstance(spacing_mm, tuple) else (spacing_mm, spacing_mm)
    columns, rows = (round(s / pixel) for s in size)
    slices = max(round((high - low) / step), 8)
    upwards = rng.random() < 0.5
    affine = np.zeros((4, 4))
    affine[2, 0] = step if upwards else -step
    affine[1, 1] = affine[0, 2] = pixel
    affine[:3, 3] = (
        centre_x - (columns - 1) / 2 * pixel,
        centre_y - (rows - 1) / 2 * pixel,
        low if upwards else low + (slices - 1) * step,
    )
    affine[3, 3] = 1
    return Grid((slices, rows, columns), affine)


def _as_shown(spine: Spine, scanner: physics.Scanner, grid: Grid) -> Spine:
    """Landmarks moved as the patient was, each structure as a whole, while its height was imaged."""
    ends = grid.affine[2, 3] + np.array([0, grid.affine[2, 0] * (grid.shape[0] - 1)])
    low, tall = float(ends.min()), float(np.ptp(ends))

    def away(at: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.append(scanner.sway_mm((float(at[2]) - low) / tall), 0.0)

    def plate(p: Endplate | None) -> Endplate | None:
        if p is None:
            return None
        by = away(p.centre_mm)
        edges = ("centre_mm", "anterior_mm", "posterior_mm", "left_mm", "right_mm")
        return replace(p, **{name: getattr(p, name) + by for name in edges})

    vertebrae = tuple(
        replace(
            v,
            body_centre_mm=v.body_centre_mm + away(v.body_centre_mm),
            superior=plate(v.superior),
            inferior=plate(v.inferior),
        )
        for v in spine.vertebrae
    )
    heads = {s: replace(h, centre_mm=h.centre_mm + away(h.centre_mm)) for s, h in spine.heads.items()}
    return replace(spine, vertebrae=vertebrae, heads=heads, s1=plate(spine.s1))


def _visible(spine: Spine, grid: Grid, radius_mm: float) -> Spine:
    """The landmarks whose structures lie wholly inside the imaged cylinder."""
    axis = grid.centre_mm[:2]

    def seen(*points: NDArray[np.float64], margin_mm: float = 0.0) -> bool:
        p = np.array(points)
        index = grid.to_index(p)
        reach = margin_mm / grid.spacing_mm
        boxed = ((index - reach >= 0) & (index + reach <= np.array(grid.shape) - 1)).all()
        return bool(boxed and (np.hypot(*(p[:, :2] - axis).T) + margin_mm <= radius_mm).all())

    kept, missing = [], dict(spine.missing)
    for v in spine.vertebrae:
        plates = [p for p in (v.superior, v.inferior) if p is not None]
        edges = [e for p in plates for e in (p.anterior_mm, p.posterior_mm, p.left_mm, p.right_mm)]
        if seen(*edges, v.body_centre_mm, margin_mm=1.0 if v.level != "C2" else 12.0):
            kept.append(v)
        else:
            missing[v.level] = "not wholly inside the image"
    heads = {}
    for side, head in spine.heads.items():
        if seen(head.centre_mm, margin_mm=head.radius_mm):
            heads[side] = head
        else:
            missing[f"femoral_head_{side}"] = "not wholly inside the image"
    s1 = spine.s1
    if s1 is not None and not seen(s1.anterior_mm, s1.posterior_mm, s1.left_mm, s1.right_mm, margin_mm=1.0):
        s1, missing["s1"] = None, "not wholly inside the image"
    return replace(spine, vertebrae=tuple(kept), heads=heads, s1=s1, missing=missing)
