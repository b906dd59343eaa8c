"""What people built: roads, the town with its gable roofs, the industrial estate with its flat ones."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from .canvas import Canvas, Mask, Patch
from .classes import ASPHALT, BARE_SOIL, FLAT_ROOF, GRASSLAND, TILE_ROOF, WATER
from .countryside import Pair, Rectangle
from .frames import Curve, Frame
from .textures import fractal_field, smooth_field

Floats = NDArray[np.float64]

PAVINGS: tuple[Pair, ...] = (
    ("old asphalt", "new asphalt"), ("new asphalt", "old asphalt"), ("old asphalt", "concrete"),
)
FLAT_ROOFS: tuple[Pair, ...] = (
    ("bitumen felt", "roof gravel"), ("roof gravel", "bitumen felt"), ("bitumen felt", "sheet metal"),
)
TILES: tuple[Pair, ...] = (("new tiles", "old tiles"), ("old tiles", "new tiles"))


def paint_building(
    canvas: Canvas,
    patch: int,
    centre: tuple[float, float],
    heading: float,
    size: tuple[float, float],
    height: float,
    gable: bool,
    rng: np.random.Generator,
) -> None:
    """A rectangular building: `size` is (length along `heading`, width) and `height` the eaves, in metres.

    A gable roof rises to a ridge along its length, so that one slope faces the sun; a flat roof has skylights
    and fittings on it instead, which are bright.
    """
    grid = canvas.grid
    window = grid.window(*centre, 0.5 * float(np.hypot(*size)) + grid.cell_size)
    x, y = grid.cell_centres(window)
    u, v = Frame(*centre, heading).to_local(x, y)
    mask = (np.abs(u) <= 0.5 * size[0]) & (np.abs(v) <= 0.5 * size[1])
    if gable and np.isin(canvas.label[window][mask], (WATER.id, ASPHALT.id, TILE_ROOF.id)).any():
        return  # the street was there first
    weather, bright = rng.uniform(0.1, 0.5), rng.uniform(0.9, 1.1)
    if gable:
        rise = 0.8 * np.maximum(0.5 * size[1] - np.abs(v), 0.0)
        canvas.paint(mask, patch, window=window, height=height + rise, mix=weather, tone=bright)
        return
    fittings = rng.uniform(size=mask.shape) < 0.05
    canvas.paint(mask, patch, window=window, height=height + 1.5 * fittings, mix=weather,
                 tone=bright + 0.8 * fittings)


def paint_quarter(canvas: Canvas, frame: Frame, ground: Mask, rng: np.random.Generator) -> Floats:
    """Houses between streets on some `ground`; returns the density of garden trees (cells, cells; 0..1)."""
    x, y = canvas.grid.cell_centres()
    u, v = frame.to_local(x, y)
    rough = fractal_field(x.shape, 80, rng)
    free = ground & ~np.isin(canvas.label, (WATER.id, ASPHALT.id))
    lawn = canvas.add(Patch(GRASSLAND, "grass", "dry grass"))
    canvas.paint(free, lawn, mix=0.35 + 0.2 * rough, tone=1.0 + 0.05 * rough, height=0.2)
    beds = free & (fractal_field(x.shape, 20, rng, slope=1.0) > 1.6)
    canvas.paint(beds, canvas.add(Patch(BARE_SOIL, "loam", "sand")), mix=0.4)

    reach = float(np.hypot(u, v)[ground].max())
    across = np.cumsum(np.r_[-reach, rng.uniform(74, 105, int(2.2 * reach / 74))])
    along = np.cumsum(np.r_[-reach, rng.uniform(100, 210, int(2.2 * reach / 100))])
    street = np.minimum(_nearest(v, across), _nearest(u, along))
    paving = canvas.add(Patch(ASPHALT, *_pick(PAVINGS, rng)))
    canvas.paint(free & (street < rng.uniform(5.0, 6.5)), paving, mix=0.3 + 0.2 * rough)
    for v0, v1 in pairwise(across):
        for u0, u1 in pairwise(along):
            _paint_block(canvas, frame, (u0, u1, v0, v1), ground, rng)
    return np.where(free & (street > 5.0), 0.05 + 0.12 * (rough > 0.8) + 0.6 * (rough > 1.7), 0.0)


def _pick(pairs: tuple[Pair, ...], rng: np.random.Generator) -> Pair:
    return pairs[rng.integers(len(pairs))]


def _nearest(values: Floats, lines: Floats) -> Floats:
    """Distance of each value to the nearest of some ascending line positions."""
    after = np.clip(np.searchsorted(lines, values), 1, len(lines) - 1)
    return np.minimum(np.abs(values - lines[after - 1]), np.abs(values - lines[after]))


def _paint_block(
    canvas: Canvas, frame: Frame, block: Rectangle, ground: Mask, rng: np.random.Generator
) -> None:
    """Two rows of houses, one along each long street; some blocks are a park, or a school with its yard."""
    u0, u1, v0, v1 = block
    middle = 0.5 * (u0 + u1), 0.5 * (v0 + v1)
    use = rng.uniform()
    if use < 0.12:
        return
    if use < 0.24 and _stands_on(canvas, ground, frame, middle):
        _paint_plot(canvas, frame, (u0 + 8, u1 - 8, v0 + 8, v1 - 8), rng)
        return
    dense = rng.uniform() < 0.5
    for v_row, side in ((v0, 1.0), (v1, -1.0)):
        width = rng.uniform(15.0, 19.0) if dense else rng.uniform(12.0, 16.0)
        position = u0 + rng.uniform(6.0, 14.0)
        while True:
            length = rng.uniform(24.0, 60.0) if dense else rng.uniform(14.0, 30.0)
            if position + length > u1 - 6.0:
                break
            v = v_row + side * (8.0 + rng.uniform(0.0, 6.0) + 0.5 * width)
            at = position + 0.5 * length, v
            if _stands_on(canvas, ground, frame, at) and rng.uniform() < 0.9:
                _paint_house(canvas, frame, at, (length, width), rng)
            position += length + (rng.uniform(0.0, 9.0) if dense else rng.uniform(5.0, 18.0))


def _stands_on(canvas: Canvas, ground: Mask, frame: Frame, at: tuple[float, float]) -> bool:
    """Whether the cell at (u, v) belongs to `ground`."""
    x, y = frame.to_scene(*at)
    row, column = int(y // canvas.grid.cell_size), int(x // canvas.grid.cell_size)
    return min(row, column) >= 0 and max(row, column) < canvas.grid.cells and bool(ground[row, column])


def _paint_house(
    canvas: Canvas, frame: Frame, at: tuple[float, float], size: tuple[float, float], rng: np.random.Generator
) -> None:
    gable = rng.uniform() < 0.82
    pair = _pick(TILES if gable else FLAT_ROOFS, rng)
    patch = canvas.add(Patch(TILE_ROOF if gable else FLAT_ROOF, *pair))
    heading = frame.heading(at[1]) + rng.normal(0.0, 0.03)
    paint_building(canvas, patch, frame.to_scene(*at), heading, size, rng.uniform(5.0, 10.0), gable, rng)


def paint_estate(canvas: Canvas, frame: Frame, size: tuple[float, float], rng: np.random.Generator) -> None:
    """An industrial estate of size (u, v) metres: a row of plots on either side of an access road."""
    x, y = canvas.grid.cell_centres()
    u, v = frame.to_local(x, y)
    inside = (np.abs(u) < 0.5 * size[0]) & (np.abs(v) < 0.5 * size[1])
    inside &= ~np.isin(canvas.label, (WATER.id, ASPHALT.id))
    rough = fractal_field(x.shape, 60, rng)
    canvas.paint(inside, canvas.add(Patch(GRASSLAND, "dry grass", "grass")), mix=0.4 + 0.2 * rough)
    paving = canvas.add(Patch(ASPHALT, *_pick(PAVINGS, rng)))
    canvas.paint(inside & (np.abs(v) < 6.0), paving, mix=0.3 + 0.2 * rough)
    for v0, v1 in ((-0.5 * size[1], -9.0), (9.0, 0.5 * size[1])):
        u0 = -0.5 * size[0]
        while u0 < 0.5 * size[0] - 55.0:
            u1 = min(u0 + rng.uniform(90.0, 150.0), 0.5 * size[0])
            setback = rng.uniform(3.0, 20.0) if v0 < 0.0 else 0.0
            _paint_plot(canvas, frame, (u0 + 3.0, u1 - 3.0, v0 + setback, v1), rng)
            u0 = u1 + (rng.uniform(10.0, 40.0) if rng.uniform() < 0.3 else 0.0)


def _paint_plot(
    canvas: Canvas, frame: Frame, plot: Rectangle, rng: np.random.Generator
) -> None:
    """A paved yard with parked cars and one or two halls on it."""
    u0, u1, v0, v1 = plot
    grid = canvas.grid
    middle = 0.5 * (u0 + u1), 0.5 * (v0 + v1)
    window = grid.window(*frame.to_scene(*middle), 0.5 * float(np.hypot(u1 - u0, v1 - v0)) + 30.0)
    x, y = grid.cell_centres(window)
    u, v = frame.to_local(x, y)
    yard = (u > u0) & (u < u1) & (v > v0) & (v < v1)
    paving = canvas.add(Patch(ASPHALT, *_pick(PAVINGS, rng)))
    cars = (rng.uniform(size=yard.shape) < 0.06) & (np.mod(v, 16.0) < 5.0)
    tone = 1.0 + cars * rng.choice([-0.4, 0.9, 1.6], size=yard.shape)
    canvas.paint(yard, paving, window=window, mix=rng.uniform(0.1, 0.5), tone=tone)
    halls = 2 if u1 - u0 > 138.0 else 1
    for start in u0 + (u1 - u0) / halls * np.arange(halls):
        length = (u1 - u0) / halls * rng.uniform(0.6, 0.8)
        width = (v1 - v0) * rng.uniform(0.5, 0.75)
        front = v0 + 5.0 if rng.uniform() < 0.5 else v1 - width - 5.0
        at = start + 4.0 + 0.5 * length, front + 0.5 * width
        patch = canvas.add(Patch(FLAT_ROOF, *_pick(FLAT_ROOFS, rng)))
        paint_building(canvas, patch, frame.to_scene(*at), frame.heading(at[1]), (length, width),
                       rng.uniform(5.0, 12.0), False, rng)


def paint_road(
    canvas: Canvas, line: Curve, half_width: float, rng: np.random.Generator, *, median: float = 0.0
) -> Mask:
    """A paved road with grass verges (and a green median); returns where avenue trees may stand."""
    x, y = canvas.grid.cell_centres()
    signed = line.signed_distance(x, y)
    off = np.abs(signed)
    rough = fractal_field(x.shape, 60, rng)
    verge = canvas.add(Patch(GRASSLAND, "dry grass", "grass"))
    canvas.paint(off < half_width + 6.0, verge, mix=0.5 + 0.2 * rough, height=0.2)
    lanes = (off < half_width) & (off >= median)
    ages = _pick(PAVINGS, rng), _pick(PAVINGS, rng)
    resurfaced = smooth_field(x.shape, 60, rng) > 0.2
    for part, pair in zip((lanes & resurfaced, lanes & ~resurfaced), ages):
        wear = 1.0 + 0.04 * np.cos(off * 1.7) + 0.02 * rough
        canvas.paint(part, canvas.add(Patch(ASPHALT, *pair)), mix=0.2 + 0.1 * rough, tone=wear)
    return (off > half_width + 3.0) & (off < half_width + 8.0)
