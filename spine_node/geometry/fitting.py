"""Planes and spheres through surface points, robust against a minority that lies elsewhere."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spine_node.geometry.directions import DegenerateGeometry, FloatArray

_TUKEY = 4.685
"""Tukey's biweight constant: 95 % efficient where the scatter is Gaussian."""

_MAD_TO_SIGMA = 1.4826

_SETTLED = 1e-7
"""Change of a coefficient (mm, or less over a millimetre) from which a fit is not repeated."""


@dataclass(frozen=True, slots=True, eq=False)
class HeightPlane:
    """The plane height = offset + slope . (u, v), fitted to heights over a base plane.

    Attributes
    ----------
    offset_mm : float
        Height at (0, 0).
    slope : ndarray, shape (2,)
        mm of height per mm along u and v.
    residual_mm : float
        RMS distance, along the height, of the points that count.
    weights : ndarray, shape (n,)
        0 for points that do not count, up to 1.
    """

    offset_mm: float
    slope: FloatArray
    residual_mm: float
    weights: FloatArray

    def at(self, uv: FloatArray) -> FloatArray:
        """Heights at base points, shape (n, 2) to (n,)."""
        return np.asarray(self.offset_mm + uv @ self.slope)


@dataclass(frozen=True, slots=True, eq=False)
class Sphere:
    """A sphere through points; `inliers` of the (n,) points lie within the band used."""

    centre_mm: FloatArray
    radius_mm: float
    residual_mm: float
    inliers: np.ndarray


def robust_height_plane(
    uv: FloatArray,
    heights: FloatArray,
    *,
    scale_floor_mm: float = 0.1,
) -> HeightPlane:
    """The plane most points agree on, by Tukey's biweight from least squares.

    Parameters
    ----------
    uv : ndarray, shape (n, 2)
        Base points, mm.
    heights : ndarray, shape (n,)
        Heights over them, mm.
    scale_floor_mm : float
        The scatter is never taken to be smaller: exact points must not reject each other.

    Raises
    ------
    DegenerateGeometry
        If there are fewer than three points, or they lie on a line.
    """
    design = np.column_stack([np.ones(len(uv)), uv])
    solution, residuals, weights = _biweight(design, heights, scale_floor_mm)
    rms = float(np.sqrt(np.mean(residuals[weights > 0.05] ** 2)))
    return HeightPlane(float(solution[0]), np.asarray(solution[1:]), rms, weights)


def robust_height_bowl(uv: FloatArray, heights: FloatArray, *, scale_floor_mm: float = 0.1) -> FloatArray:
    """The second-order surface most points agree on: coefficients of 1, u, v, u2, uv, v2, shape (6,).

    Raises
    ------
    DegenerateGeometry
        If the points do not determine it.
    """
    return _biweight(bowl_terms(uv), heights, scale_floor_mm)[0]


def robust_surface(
    terms: FloatArray, heights: FloatArray, *, scale_floor_mm: float = 0.1
) -> tuple[FloatArray, FloatArray]:
    """Coefficients, shape (k,), of the terms, shape (n, k), that most heights agree on, and residuals (n,).

    Raises
    ------
    DegenerateGeometry
        If the points do not determine them.
    """
    solution, residuals, _ = _biweight(terms, heights, scale_floor_mm)
    return solution, residuals


def bowl_terms(uv: FloatArray) -> FloatArray:
    """What the coefficients of a bowl multiply, shape (n, 2) to (n, 6)."""
    u, v = uv[..., 0], uv[..., 1]
    return np.stack([np.ones_like(u), u, v, u * u, u * v, v * v], axis=-1)


def _biweight(
    design: FloatArray, heights: FloatArray, floor_mm: float
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Solution, residuals and weights of a linear fit by Tukey's biweight."""
    if len(design) < design.shape[1]:
        raise DegenerateGeometry(f"a surface needs {design.shape[1]} points, got {len(design)}")
    weights: FloatArray = np.ones(len(design))
    solution: FloatArray = np.zeros(design.shape[1])
    for turn in range(30):
        weighted = design.T * weights
        gram = weighted @ design
        # later turns only leave points out: their number says whether they still determine it
        if (turn == 0 and np.linalg.cond(gram) > 1e12) or np.count_nonzero(weights) < design.shape[1]:
            raise DegenerateGeometry("the points lie on a line and determine no surface")
        try:
            before, solution = solution, np.asarray(np.linalg.solve(gram, weighted @ heights))
        except np.linalg.LinAlgError as singular:
            raise DegenerateGeometry("the points lie on a line and determine no surface") from singular
        residuals = heights - design @ solution
        scale = max(_MAD_TO_SIGMA * _median(np.abs(residuals)), floor_mm)
        bent = residuals / (_TUKEY * scale)
        weights = np.maximum(1 - bent * bent, 0.0)
        weights *= weights
        if np.abs(solution - before).max() < _SETTLED:
            break
    return solution, residuals, weights


def _median(values: FloatArray) -> float:
    """Median of some hundred finite numbers: what numpy's own does beside it takes longer than that."""
    half = len(values) // 2
    values = np.partition(values, half)
    upper = float(values[half])
    return upper if len(values) % 2 else (float(values[:half].max()) + upper) / 2


def sphere_through(points_mm: FloatArray) -> tuple[FloatArray, float]:
    """Algebraic least-squares sphere of points, shape (n, 3): centre and radius in mm.

    Raises
    ------
    DegenerateGeometry
        If the points determine no sphere (fewer than four, or all in a plane).

    Examples
    --------
    >>> centre, radius = sphere_through(np.array([[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, 0, 1.0]]))
    >>> [round(float(x), 6) + 0.0 for x in centre], round(radius, 6)
    ([0.0, 0.0, 0.0], 1.0)
    """
    if len(points_mm) < 4:
        raise DegenerateGeometry(f"a sphere needs four points, got {len(points_mm)}")
    middle = points_mm.mean(axis=0)
    p = points_mm - middle
    design = np.column_stack([2 * p, np.ones(len(p))])
    solution, _, rank, _ = np.linalg.lstsq(design, (p**2).sum(axis=1), rcond=1e-9)
    if rank < 4:
        raise DegenerateGeometry("the points lie in a plane and determine no sphere")
    square = float(solution[3] + solution[:3] @ solution[:3])
    return np.asarray(solution[:3] + middle), float(np.sqrt(max(square, 0.0)))


def robust_sphere(
    points_mm: FloatArray,
    *,
    radius_range_mm: tuple[float, float],
    band_mm: float,
    trials: int = 200,
    seed: int = 0,
) -> Sphere:
    """The sphere with most points within `band_mm` of it, refined on those points.

    Parameters
    ----------
    points_mm : ndarray, shape (n, 3)
    radius_range_mm : tuple of float
        Spheres outside are not considered.
    band_mm : float
        Points nearer than this to the sphere count.
    trials, seed : int
        Random samples of four points, and what makes them the same each time.

    Raises
    ------
    DegenerateGeometry
        If no four points give a sphere of an allowed radius.
    """
    low, high = radius_range_mm
    rng = np.random.default_rng(seed)
    best: tuple[int, FloatArray, float] | None = None
    for _ in range(trials):
        sample = points_mm[rng.choice(len(points_mm), size=min(8, len(points_mm)), replace=False)]
        try:
            centre, radius = sphere_through(sample)
        except DegenerateGeometry:
            continue
        if not low <= radius <= high:
            continue
        count = int((np.abs(np.linalg.norm(points_mm - centre, axis=1) - radius) < band_mm).sum())
        if best is None or count > best[0]:
            best = (count, centre, radius)
    if best is None:
        raise DegenerateGeometry(f"no sphere of radius {low:.0f} to {high:.0f} mm fits the points")
    _, centre, radius = best
    for _ in range(20):
        inliers = np.abs(np.linalg.norm(points_mm - centre, axis=1) - radius) < band_mm
        if inliers.sum() < 4:
            break
        moved, radius = _geometric_sphere(points_mm[inliers], centre)
        step = float(np.linalg.norm(moved - centre))
        centre = moved
        if step < 1e-6:
            break
    distances = np.linalg.norm(points_mm - centre, axis=1) - radius
    inliers = np.abs(distances) < band_mm
    residual = float(np.sqrt(np.mean(distances[inliers] ** 2))) if inliers.any() else float("inf")
    return Sphere(centre, radius, residual, inliers)


def _geometric_sphere(points_mm: FloatArray, start_mm: FloatArray) -> tuple[FloatArray, float]:
    """Gauss-Newton on distances: the algebraic fit shrinks when only a cap is seen."""
    centre = start_mm
    for _ in range(10):
        away = points_mm - centre
        distance = np.linalg.norm(away, axis=1)
        design = np.column_stack([-away / distance[:, None], -np.ones(len(distance))])
        update, *_ = np.linalg.lstsq(design, -distance, rcond=None)
        centre = centre + update[:3]
        if np.linalg.norm(update[:3]) < 1e-9:
            break
    return np.asarray(centre), float(np.linalg.norm(points_mm - centre, axis=1).mean())
