"""What people add to the scene: a few hand-drawn training polygons, and reference points far from them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from . import classes as lc
from .canvas import Canvas, Grid, Mask
from .classes import CLASSES, LandCover
from .layout import Truth
from .textures import gaussian_blur

Floats = NDArray[np.float64]
Ring = Floats
"""Corners (x, y) in metres from the upper left corner of the scene, shape (corners, 2), not closed."""

REFERENCE_GAP = 3.0
"""Reference points are farther than this from every training polygon, in pixels."""
REFERENCE_PURITY = 0.6
POINTS_PER_CLASS = (60, 100)


@dataclass(frozen=True)
class Plan:
    """How an analyst samples one class."""

    polygons: int
    reach: float
    """Longest distance from the middle of a polygon to its outline, metres."""
    pixels: tuple[int, int]
    """Fewest and most pixel centres in one polygon."""


PLANS: dict[LandCover, Plan] = {
    lc.WATER: Plan(4, 48.0, (10, 60)),
    lc.ASPHALT: Plan(8, 50.0, (4, 40)),
    lc.FLAT_ROOF: Plan(6, 36.0, (4, 20)),
    lc.TILE_ROOF: Plan(8, 26.0, (3, 6)),
    lc.BARE_SOIL: Plan(5, 50.0, (12, 60)),
    lc.STUBBLE: Plan(5, 50.0, (12, 60)),
    lc.CROP: Plan(7, 50.0, (12, 60)),
    lc.GRASSLAND: Plan(8, 46.0, (5, 60)),
    lc.BROADLEAVED: Plan(7, 44.0, (5, 60)),
    lc.CONIFERS: Plan(5, 46.0, (10, 60)),
}
# Pairs of roofs drawn as one feature, as people do with multipart geometries.
MULTIPART = lc.TILE_ROOF


@dataclass(frozen=True)
class Feature:
    """One training feature; more than one ring makes it multipart."""

    cover: LandCover
    rings: tuple[Ring, ...]


@dataclass(frozen=True)
class ReferencePoints:
    """Points at pixel centres; all arrays have shape (points,)."""

    row: NDArray[np.int64]
    column: NDArray[np.int64]
    label: NDArray[np.uint8]


def inside_ring(x: Floats, y: Floats, ring: Ring) -> Mask:
    """Which points lie in a polygon (even-odd rule); x and y of any one shape, in metres."""
    inside = np.zeros(x.shape, dtype=bool)
    for (x0, y0), (x1, y1) in zip(ring, np.roll(ring, -1, axis=0)):
        if y0 != y1:
            inside ^= ((y0 > y) != (y1 > y)) & (x < (x1 - x0) * (y - y0) / (y1 - y0) + x0)
    return inside


def distance_to_ring(x: Floats, y: Floats, ring: Ring) -> Floats:
    """Metres from points to a polygon, 0 inside it."""
    nearest = np.full(x.shape, np.inf)
    for (x0, y0), (x1, y1) in zip(ring, np.roll(ring, -1, axis=0)):
        dx, dy = x1 - x0, y1 - y0
        along = np.clip(((x - x0) * dx + (y - y0) * dy) / max(dx * dx + dy * dy, 1e-9), 0.0, 1.0)
        nearest = np.minimum(nearest, np.hypot(x - x0 - along * dx, y - y0 - along * dy))
    return np.where(inside_ring(x, y, ring), 0.0, nearest)


def draw_polygons(canvas: Canvas, truth: Truth, seen: Mask, rng: np.random.Generator) -> list[Feature]:
    """A few irregular polygons per class, spread over different objects and over the scene.

    Raises RuntimeError when a class has too few places to draw in.
    """
    features: list[Feature] = []
    taken: list[tuple[float, float]] = []
    for cover in CLASSES:
        rings = _draw_class(canvas, truth, seen, cover, taken, rng)
        if cover is MULTIPART:
            features.append(Feature(cover, (rings.pop(), rings.pop())))
        features.extend(Feature(cover, (ring,)) for ring in rings)
    return features


def _draw_class(
    canvas: Canvas,
    truth: Truth,
    seen: Mask,
    cover: LandCover,
    taken: list[tuple[float, float]],
    rng: np.random.Generator,
) -> list[Ring]:
    grid, plan = canvas.grid, PLANS[cover]
    x, y = grid.pixel_centres()
    share = truth.cover[cover.id - 1]
    visible = gaussian_blur((canvas.label == cover.id).astype(float), 1.2) > 0.5
    visible &= np.kron(seen, np.ones((grid.oversample, grid.oversample), dtype=bool))
    middle = grid.oversample // 2
    objects = canvas.patch[middle :: grid.oversample, middle :: grid.oversample]
    candidates = np.argwhere(seen & (share >= 0.62))
    owner = objects[candidates[:, 0], candidates[:, 1]]
    owners = np.unique(owner)
    rings: list[Ring] = []
    used: set[int] = set()
    for attempt in range(3000):
        if len(rings) == plan.polygons:
            return rings
        owned = candidates[owner == rng.choice(owners)]
        row, column = owned[rng.integers(len(owned))]
        centre = float(x[row, column]), float(y[row, column])
        if any(np.hypot(centre[0] - a, centre[1] - b) < 80.0 for a, b in taken):
            continue
        # Prefer objects that have no polygon yet, until there are none left to be found.
        if objects[row, column] in used and attempt < 300:
            continue
        ring = _draw_ring(visible, grid, centre, plan.reach, rng)
        pixels = inside_ring(x, y, ring) & seen
        if not plan.pixels[0] <= pixels.sum() <= plan.pixels[1] or share[pixels].mean() < 0.68:
            continue
        rings.append(ring)
        used.add(int(objects[row, column]))
        taken.append(centre)
    raise RuntimeError(f"found room for {len(rings)} of {plan.polygons} polygons of '{cover.name}'")


def _draw_ring(
    visible: Mask, grid: Grid, centre: tuple[float, float], reach: float, rng: np.random.Generator
) -> Ring:
    """A star-shaped outline that stays, mostly, inside the visible object around `centre`.

    Rays run from the centre to the edge of the object; a corner is set on about every fourth of them, mostly
    short of the edge, and always on the longest ray and the one opposite, so that roads get long polygons.
    """
    rays = 48
    angles = 2.0 * np.pi * np.arange(rays) / rays
    steps = np.arange(1.0, reach, 1.0)
    column = ((centre[0] + np.outer(np.cos(angles), steps)) / grid.cell_size).astype(int)
    row = ((centre[1] + np.outer(np.sin(angles), steps)) / grid.cell_size).astype(int)
    on_grid = (row >= 0) & (row < grid.cells) & (column >= 0) & (column < grid.cells)
    hit = ~(visible[np.clip(row, 0, grid.cells - 1), np.clip(column, 0, grid.cells - 1)] & on_grid)
    length = np.where(hit.any(axis=1), hit.argmax(axis=1), len(steps)) * 1.0
    # Nobody draws spikes: a corner goes about as far as the rays beside it.
    length = np.minimum(length, np.maximum(np.roll(length, 1), np.roll(length, -1)))
    length = np.minimum(length, 1.5 * np.minimum(np.roll(length, 2), np.roll(length, -2)) + 4.0)
    longest = int(length.argmax())
    corners = {longest, (longest + rays // 2) % rays}
    corners |= {int(c) for c in np.arange(0, rays, 4) + rng.integers(0, 4, rays // 4)}
    chosen = np.array(sorted(corners))
    radius = length[chosen] * rng.uniform(0.75, 1.02, len(chosen)) * rng.uniform(0.85, 1.0)
    radius = np.maximum(radius, 3.0) + rng.normal(0.0, 0.5, len(chosen))
    direction = angles[chosen] + rng.uniform(-0.05, 0.05, len(chosen))
    ring = np.stack([np.cos(direction), np.sin(direction)], axis=1) * radius[:, None]
    return np.asarray(np.round(np.clip(ring + centre, 0.0, grid.extent), 1), dtype=np.float64)


def training_labels(features: list[Feature], grid: Grid) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Class id and feature number (from 1) of the pixels whose centre is in a polygon.

    Both have shape (pixels, pixels) and are 0 outside the polygons.
    """
    x, y = grid.pixel_centres()
    label = np.zeros(x.shape, dtype=np.uint8)
    group = np.zeros(x.shape, dtype=np.int64)
    for number, feature in enumerate(features, start=1):
        for ring in feature.rings:
            inside = inside_ring(x, y, ring)
            label[inside] = feature.cover.id
            group[inside] = number
    return label, group


def distance_to_polygons(features: list[Feature], grid: Grid) -> Floats:
    """Pixels from each pixel centre to the nearest training polygon, shape (pixels, pixels)."""
    x, y = grid.pixel_centres()
    rings = [ring for feature in features for ring in feature.rings]
    nearest = np.full(x.shape, np.inf)
    for ring in rings:
        nearest = np.minimum(nearest, distance_to_ring(x, y, ring))
    return nearest / grid.pixel_size


def draw_points(
    truth: Truth, seen: Mask, features: list[Feature], grid: Grid, rng: np.random.Generator
) -> ReferencePoints:
    """Stratified random reference points among pixels that one class covers by at least 60 %."""
    allowed = seen & (truth.purity >= REFERENCE_PURITY)
    allowed &= distance_to_polygons(features, grid) > REFERENCE_GAP
    chosen = []
    for cover in CLASSES:
        candidates = np.argwhere(allowed & (truth.majority == cover.id))
        wanted = int(np.clip(len(candidates) // 25, *POINTS_PER_CLASS))
        chosen.append(rng.permutation(candidates)[:wanted])
    row, column = np.concatenate(chosen).T
    return ReferencePoints(row, column, truth.majority[row, column])
