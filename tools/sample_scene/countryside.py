"""The open landscape: parcels of farmland, the river, the lake and the stands of the forest."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .canvas import Canvas, Mask, Patch, Window, window_around
from .classes import BARE_SOIL, BROADLEAVED, CONIFERS, CROP, GRASSLAND, STUBBLE, WATER, LandCover
from .frames import Curve, Frame
from .textures import fractal_field, smooth_field

Floats = NDArray[np.float64]
Rectangle = tuple[float, float, float, float]
Pair = tuple[str, str]

CROPS: tuple[Pair, ...] = (("wheat", "loam"), ("maize", "loam"), ("beet", "wet soil"), ("wheat", "sand"))
SOILS: tuple[Pair, ...] = (("loam", "wet soil"), ("sand", "loam"), ("loam", "straw"))
STUBBLES: tuple[Pair, ...] = (("straw", "loam"), ("straw", "dry grass"), ("straw", "sand"))
MEADOWS: tuple[Pair, ...] = (("grass", "dry grass"), ("grass", "straw"), ("grass", "dry grass"))
DECIDUOUS: tuple[Pair, ...] = (("oak", "beech"), ("beech", "oak"), ("oak", "willow"))
EVERGREEN: tuple[Pair, ...] = (("pine", "spruce"), ("spruce", "pine"), ("pine", "litter"))

# What farmers grow, as a pack of cards: dealt without replacement, so no scene lacks a class.
ROTATION = (CROP, GRASSLAND, BARE_SOIL, STUBBLE, CROP, GRASSLAND, STUBBLE, BARE_SOIL, CROP)


def split(rectangle: Rectangle, longest: float, rng: np.random.Generator) -> list[Rectangle]:
    """Divide a rectangle (u0, u1, v0, v1; metres) across its longer side until no side exceeds `longest`."""
    u0, u1, v0, v1 = rectangle
    along, across = u1 - u0, v1 - v0
    if max(along, across) < longest * rng.uniform(0.8, 1.3):
        return [rectangle]
    if along > across:
        cut = u0 + along * rng.uniform(0.35, 0.65)
        halves = ((u0, cut, v0, v1), (cut, u1, v0, v1))
    else:
        cut = v0 + across * rng.uniform(0.35, 0.65)
        halves = ((u0, u1, v0, cut), (u0, u1, cut, v1))
    return [part for half in halves for part in split(half, longest, rng)]


def paint_farmland(canvas: Canvas, rng: np.random.Generator) -> Floats:
    """Cover the whole scene with parcels; returns the distance to the nearest parcel boundary, metres."""
    grid = canvas.grid
    x, y = grid.cell_centres()
    half = 0.5 * grid.extent
    shape = x.shape
    frame = Frame(half, half, rng.uniform(0.15, 0.45), bend=rng.uniform(20, 45), length=rng.uniform(250, 400))
    u, v = frame.to_local(x, y)
    u = u + 5.0 * smooth_field(shape, 25, rng)
    v = v + 5.0 * smooth_field(shape, 25, rng)
    relief = smooth_field(shape, 45, rng)
    blotches = fractal_field(shape, 120, rng, slope=1.3)
    boundary = np.full(shape, np.inf)
    deck: list[LandCover] = []
    for u0, u1, v0, v1 in split((-1.5 * half, 1.5 * half, -1.5 * half, 1.5 * half), 290.0, rng):
        inside = (u >= u0) & (u < u1) & (v >= v0) & (v < v1)
        if not inside.any():
            continue
        if not deck:
            deck = [ROTATION[i] for i in rng.permutation(len(ROTATION))]
        window = window_around(inside)
        field, near_u, near_v = inside[window], u[window], v[window]
        edge = np.minimum(np.minimum(near_u - u0, u1 - near_u), np.minimum(near_v - v0, v1 - near_v))
        boundary[window][field] = edge[field]
        across = near_v if u1 - u0 > v1 - v0 else near_u
        _paint_field(canvas, window, field, deck.pop(), across, relief[window], blotches[window], rng)
    margin = boundary < 1.8
    path = canvas.add(Patch(BARE_SOIL, "sand", "dry grass"))
    verge = canvas.add(Patch(GRASSLAND, "dry grass", "grass"))
    canvas.paint(margin, verge, mix=0.4 + 0.2 * blotches)
    tracks = margin & (smooth_field(shape, 60, rng) > 0.3)
    canvas.paint(tracks, path, mix=0.3 + 0.2 * blotches)
    return boundary


def _paint_field(
    canvas: Canvas,
    window: Window,
    inside: Mask,
    cover: LandCover,
    across: Floats,
    relief: Floats,
    blotches: Floats,
    rng: np.random.Generator,
) -> None:
    """One field: drill rows and wheel tracks across it, a gradient with the relief, blotches of growth.

    All arrays have the shape of the window; `across` is the distance across the rows in metres.
    """
    phase = rng.uniform(0.0, 60.0)
    slope = rng.uniform(-0.08, 0.08)
    if cover is CROP:
        material, second = CROPS[rng.integers(len(CROPS))]
        tracks = np.mod(across + phase, rng.uniform(22.0, 30.0)) < rng.uniform(3.0, 5.0)
        mix = rng.uniform(0.05, 0.2) + slope * relief + 0.06 * blotches + 0.45 * tracks
        tone, height = 1.0 - 0.10 * tracks, 0.8
    elif cover is STUBBLE:
        material, second = STUBBLES[rng.integers(len(STUBBLES))]
        swath = np.sin(2.0 * np.pi * (across + phase) / rng.uniform(20.0, 28.0))
        mix = rng.uniform(0.1, 0.45) + slope * relief + 0.05 * blotches + 0.18 * swath
        tone, height = 0.86 + 0.06 * swath, 0.1
    elif cover is BARE_SOIL:
        material, second = SOILS[rng.integers(len(SOILS))]
        beds = np.sin(2.0 * np.pi * (across + phase) / rng.uniform(32.0, 50.0))
        mix = rng.uniform(0.05, 0.4) + 2.0 * slope * relief + 0.08 * blotches
        tone, height = 1.0 + 0.06 * beds + 0.04 * blotches, 0.0
    else:
        material, second = MEADOWS[rng.integers(len(MEADOWS))]
        mix = rng.uniform(0.25, 0.4) + slope * relief + 0.12 * blotches
        tone, height = 1.0 + 0.05 * blotches, 0.2
    patch = canvas.add(Patch(cover, material, second))
    canvas.paint(inside, patch, window=window, mix=mix, tone=tone, height=height)


def paint_water(canvas: Canvas, rng: np.random.Generator) -> Mask:
    """A winding river and a lake with grassy banks; returns where trees may line them."""
    grid = canvas.grid
    x, y = grid.cell_centres()
    size = grid.extent
    ripple = smooth_field(x.shape, 10, rng)
    river = Curve(
        0.5 * size, rng.uniform(0.56, 0.60) * size, rng.uniform(-0.15, -0.03), 60.0, rng.uniform(150, 200),
        rng.uniform(0.0, 6.0),
    )
    bank = np.abs(river.signed_distance(x, y)) + 3.0 * ripple - rng.uniform(22.0, 27.0)
    lake_frame = Frame(rng.uniform(0.16, 0.24) * size, rng.uniform(0.75, 0.79) * size, rng.uniform(-0.5, 0.3))
    u, v = lake_frame.to_local(x, y)
    coves = fractal_field(x.shape, 160, rng)
    shore = (np.hypot(u / 165.0, v / 95.0) - 1.0 + 0.16 * coves) * 95.0
    meadow = canvas.add(Patch(GRASSLAND, "grass", "dry grass"))
    flats = (bank < 38.0 + 14.0 * coves) | (shore < 28.0)
    canvas.paint(flats, meadow, mix=0.3 + 0.15 * coves, height=0.3)
    waves = 1.0 + 0.04 * smooth_field(x.shape, 2, rng)
    canvas.paint(bank < 0.0, canvas.add(Patch(WATER, "river water", "lake water")), mix=0.3 + 0.1 * coves,
                 tone=waves, height=-1.0)
    canvas.paint(shore < 0.0, canvas.add(Patch(WATER, "lake water", "river water")), mix=0.15 + 0.1 * coves,
                 tone=waves, height=-1.0)
    near = np.minimum(bank, shore)
    return (near > 1.0) & (near < 20.0)


def paint_forest(canvas: Canvas, rng: np.random.Generator) -> tuple[Mask, Mask]:
    """The forest floor, stand by stand; returns where conifers and where broadleaved trees stand."""
    grid = canvas.grid
    x, y = grid.cell_centres()
    size = grid.extent
    edge = fractal_field(x.shape, 150, rng)
    south = Curve(0.4 * size, 0.86 * size, rng.uniform(0.05, 0.25), 50.0, 190.0, rng.uniform(0, 6))
    wood = Frame(rng.uniform(0.80, 0.86) * size, rng.uniform(0.70, 0.74) * size, rng.uniform(-0.4, 0.4))
    u, v = wood.to_local(x, y)
    forest = (south.signed_distance(x, y) + 14.0 * edge > 0.0) | (
        (np.hypot(u / 190.0, v / 120.0) - 1.0) * 120.0 + 18.0 * edge < 0.0
    )
    north = np.hypot(x - 0.28 * size, y - 0.10 * size) / 115.0 - 1.0 + 0.22 * edge < 0.0
    forest = (forest | north) & (canvas.label != WATER.id)

    frame = Frame(0.5 * size, 0.5 * size, rng.uniform(-0.6, -0.3))
    u, v = frame.to_local(x, y)
    u = u + 12.0 * smooth_field(x.shape, 20, rng)
    v = v + 12.0 * smooth_field(x.shape, 20, rng)
    conifers = np.zeros(x.shape, dtype=bool)
    litter = 0.5 + 0.2 * fractal_field(x.shape, 60, rng)
    evergreen = bool(rng.integers(2))
    for u0, u1, v0, v1 in split((-size, size, -size, size), 210.0, rng):
        stand = forest & (u >= u0) & (u < u1) & (v >= v0) & (v < v1)
        if not stand.any():
            continue
        cover = CONIFERS if evergreen else BROADLEAVED
        canvas.paint(stand, canvas.add(Patch(cover, "litter", "dry grass")), mix=litter, height=0.3)
        conifers |= stand & evergreen
        evergreen = not evergreen if rng.uniform() < 0.75 else evergreen
    return conifers, forest & ~conifers
