"""The layout of the scene: what covers which cell, how high it is, and what one would call each pixel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from . import classes as lc
from .canvas import Canvas, Grid, Mask, Patch
from .classes import CLASSES, LandCover
from .countryside import DECIDUOUS, EVERGREEN, paint_farmland, paint_forest, paint_water
from .frames import Curve, Frame
from .settlement import paint_estate, paint_quarter, paint_road
from .textures import fractal_field, smooth_field
from .trees import BROADLEAVED_TREES, CONIFEROUS_TREES, Crowns, grow

Floats = NDArray[np.float64]

# Crowns get their materials from this many stands of each kind, so that woods differ from one another.
STANDS = 14
# Unevenness of each class: standard deviation of the share of the second material, and of the brightness.
GRAIN: dict[LandCover, tuple[float, float]] = {
    lc.WATER: (0.15, 0.03),
    lc.ASPHALT: (0.25, 0.06),
    lc.FLAT_ROOF: (0.30, 0.09),
    lc.TILE_ROOF: (0.30, 0.08),
    lc.BARE_SOIL: (0.24, 0.04),
    lc.STUBBLE: (0.20, 0.04),
    lc.CROP: (0.10, 0.04),
    lc.GRASSLAND: (0.26, 0.05),
    lc.BROADLEAVED: (0.25, 0.10),
    lc.CONIFERS: (0.25, 0.10),
}
GRAIN_SIZE = 2.5
"""Cells."""


@dataclass(frozen=True)
class Truth:
    """What covers each pixel."""

    cover: Floats
    """Share of each class, shape (classes, pixels, pixels); sums to one."""
    majority: NDArray[np.uint8]
    """Class id with the largest share, shape (pixels, pixels)."""
    purity: Floats
    """That share, shape (pixels, pixels)."""


def make_layout(grid: Grid, rng: np.random.Generator) -> Canvas:
    """Paint the landscape from the ground up: farmland, water, forest, roads, town, estate, trees."""
    canvas = Canvas(grid)
    size = grid.extent
    x, y = grid.cell_centres()
    boundary = paint_farmland(canvas, rng)
    banks = paint_water(canvas, rng)
    conifers, broadleaved = paint_forest(canvas, rng)

    rough = fractal_field(x.shape, 200, rng)
    trunk = Curve(0.50 * size, 0.35 * size, rng.uniform(1.25, 1.4), 35.0, 210.0, rng.uniform(0, 6))
    lane = Curve(0.74 * size, 0.27 * size, rng.uniform(-0.16, -0.08), 22.0, 160.0, rng.uniform(0, 6))
    paint_road(canvas, trunk, 17.0, rng, median=1.5)
    avenue = paint_road(canvas, lane, 7.0, rng)
    town = np.hypot((x - 0.75 * size) / 1.1, y - 0.26 * size) + 45.0 * rough < 0.215 * size
    north = lane.signed_distance(x, y) < 0.0
    turn = rng.uniform(-0.45, -0.1)
    old = Frame(0.75 * size, 0.2 * size, turn, rng.uniform(15, 30), 170.0)
    new = Frame(0.75 * size, 0.35 * size, turn + rng.uniform(0.4, 0.7), rng.uniform(15, 30), 170.0)
    gardens = paint_quarter(canvas, old, town & north, rng)
    gardens += paint_quarter(canvas, new, town & ~north, rng)
    estate = Frame(rng.uniform(0.295, 0.315) * size, rng.uniform(0.40, 0.42) * size, lane.angle, 10.0, 120.0)
    paint_estate(canvas, estate, (0.30 * size, 0.155 * size), rng)

    ground = (canvas.height < 1.0) & ~np.isin(canvas.label, (lc.WATER.id, lc.ASPHALT.id))
    hedges = (boundary < 6.0) & (smooth_field(x.shape, 50, rng) > 1.2)
    density = np.select(
        [~ground, broadleaved, conifers, hedges, banks & (rough > 0.4), avenue & (rough > -0.2)],
        [0.0, 0.97, 0.04, 0.75, 0.9, 0.4],
        default=gardens,
    )
    _plant(canvas, grow(canvas, BROADLEAVED_TREES, density, rng), True, rng)
    density = np.select([~ground, conifers, broadleaved, gardens > 0.0], [0.0, 0.98, 0.03, 0.03], default=0.0)
    _plant(canvas, grow(canvas, CONIFEROUS_TREES, density, rng), False, rng)
    _roughen(canvas, rng)
    return canvas


def _plant(canvas: Canvas, crowns: Crowns, deciduous: bool, rng: np.random.Generator) -> None:
    """Paint crowns wherever they stand above what is there; neighbouring trees share a stand."""
    pairs = DECIDUOUS if deciduous else EVERGREEN
    cover = lc.BROADLEAVED if deciduous else lc.CONIFERS
    stands = np.array([canvas.add(Patch(cover, *pairs[i % len(pairs)])) for i in range(STANDS)], np.int32)
    region = smooth_field(canvas.label.shape, 40, rng)
    rank = np.clip((region + 2.0) / 4.0 * STANDS, 0, STANDS - 1).astype(int)
    visible = crowns.mask & (crowns.height > canvas.height)
    canvas.paint(
        visible,
        stands[rank],
        height=crowns.height,
        mix=0.15 + 0.7 * crowns.lot,
        tone=0.95 + 0.4 * crowns.lot - 0.15 * crowns.depth,
    )


def _roughen(canvas: Canvas, rng: np.random.Generator) -> None:
    """Vary every surface at the scale of a pixel, by as much as its class is uneven."""
    ids = [c.id for c in GRAIN]
    amount = np.zeros((2, max(ids) + 1))
    amount[:, ids] = np.array(list(GRAIN.values())).T
    shape = canvas.label.shape
    canvas.mix += amount[0][canvas.label] * smooth_field(shape, GRAIN_SIZE, rng)
    canvas.mix.clip(0.0, 1.0, out=canvas.mix)
    canvas.tone *= np.clip(1.0 + amount[1][canvas.label] * smooth_field(shape, GRAIN_SIZE, rng), 0.5, 1.5)


def pixel_truth(canvas: Canvas) -> Truth:
    """Shares of the classes in each pixel."""
    grid = canvas.grid
    blocks = canvas.label.reshape(grid.pixels, grid.oversample, grid.pixels, grid.oversample)
    cover = np.stack([(blocks == c.id).mean(axis=(1, 3)) for c in CLASSES])
    ids = np.array([c.id for c in CLASSES], dtype=np.uint8)
    return Truth(cover, ids[cover.argmax(axis=0)], cover.max(axis=0))


def swath_mask(grid: Grid, rng: np.random.Generator) -> Mask:
    """Pixels that the sensor saw, (pixels, pixels): the strip was flown at an angle, so a corner is missing.

    Its edge wavers a little, as the roll of an aircraft leaves it after georeferencing.
    """
    x, y = grid.pixel_centres()
    edge = Frame(0.0, 0.0, rng.uniform(0.28, 0.36), bend=6.0, length=35.0)
    u, _ = edge.to_local(x, y)
    return u > 0.115 * grid.extent
