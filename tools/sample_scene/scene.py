"""The whole scene in memory: everything that is drawn at random comes from one seed."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from .bands import BandTable, band_table
from .canvas import Canvas, Grid, Mask
from .digitize import Feature, ReferencePoints, draw_points, draw_polygons
from .layout import Truth, make_layout, pixel_truth, swath_mask
from .mixing import Sensor, Sun, illumination, mix_pixels, observe, to_counts

GRID = Grid()
SUN = Sun()
SENSOR = Sensor()


@dataclass(frozen=True)
class Image:
    """What the sensor saw, and of what."""

    canvas: Canvas
    table: BandTable
    counts: NDArray[np.int16]
    """Reflectance x 10 000, shape (bands, pixels, pixels)."""
    seen: Mask
    """Pixels inside the swath, shape (pixels, pixels)."""
    truth: Truth


@dataclass(frozen=True)
class Scene:
    """What the files hold."""

    image: Image
    polygons: list[Feature]
    points: ReferencePoints


def make_image(seed: int, grid: Grid = GRID, sun: Sun = SUN, sensor: Sensor = SENSOR) -> Image:
    """Lay out a landscape and take its picture.

    Each step draws from its own generator, so that a change of the noise leaves the landscape as it was.
    """
    ground, materials, noise = (np.random.default_rng([seed, step]) for step in range(3))
    table = band_table()
    canvas = make_layout(grid, ground)
    seen = swath_mask(grid, ground)
    direct, sky = illumination(canvas, sun, ground)
    cube = mix_pixels(canvas, table, direct, sky, materials)
    counts = to_counts(observe(cube, table, sensor, noise), table, seen)
    return Image(canvas, table, counts, seen, pixel_truth(canvas))


def sample(image: Image, seed: int) -> Scene:
    """Add what people draw: training polygons and reference points."""
    people = np.random.default_rng([seed, 3])
    polygons = draw_polygons(image.canvas, image.truth, image.seen, people)
    points = draw_points(image.truth, image.seen, polygons, image.canvas.grid, people)
    return Scene(image, polygons, points)


def make_scene(seed: int = 0, noise: float = 1.0) -> Scene:
    """The scene of a seed, with so many times the noise; the bundled one has 0 and 1."""
    sensor = replace(SENSOR, read_noise=noise * SENSOR.read_noise, photon_noise=noise * SENSOR.photon_noise)
    return sample(make_image(seed, sensor=sensor), seed)
