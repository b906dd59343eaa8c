"""From the layout to what the sensor records: illumination, linear mixing, optics, noise.

For one cell, with rho the spectrum of what covers it (a mix of its patch's two materials, times its tone):

    seen(wavelength) = rho(wavelength) * (sun * (1 - d(wavelength)) + sky * d(wavelength))

`sun` is the cosine of the angle between the sun and the surface's normal, relative to level ground, and next
to nothing in a cast shadow; `sky` is the visible part of the sky; d is the share of diffuse light, large in
the blue, little beyond 1000 nm. The correction to reflectance assumes level ground in full light, as real
ones do, so slopes and shadows stay in the data, and shadows are blue. A pixel is the mean of its cells
(linear mixing), blurred by the optics, plus some light of its neighbourhood (adjacency). Smile, brightness
across the swath, noise, stripes and the steps of the converter follow.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .bands import BandTable
from .canvas import Canvas, Grid
from .classes import BROADLEAVED, CONIFERS
from .spectra import MATERIALS
from .textures import fractal_field, gaussian_blur, smooth_field

Floats = NDArray[np.float64]

SCALE = 10_000
"""Counts per unit of reflectance."""
NODATA = -32768
STEP = 8
"""One step of the converter, in counts; finer than the noise, and what lets the file compress."""
# Around these wavelengths vapour or the end of the range leaves less light: nm, width, excess noise.
DIM = ((935.0, 22.0, 1.2), (1130.0, 30.0, 1.5), (1340.0, 40.0, 2.0), (1790.0, 40.0, 1.5), (1985.0, 40.0, 2.5),
       (2440.0, 60.0, 2.5))


@dataclass(frozen=True)
class Sun:
    """Where the sun stands, degrees; azimuth clockwise from north."""

    azimuth: float = 152.0
    elevation: float = 44.0


@dataclass(frozen=True)
class Sensor:
    """Imperfections of the instrument, in units of reflectance unless said otherwise."""

    read_noise: float = 0.004
    photon_noise: float = 0.010
    """Standard deviation at reflectance 1 in the best band; grows with the square root of the signal."""
    stripes: float = 0.0012
    smile: float = 1.5
    """Shift of the band centres at the edge of the swath, nm."""
    blur: float = 0.45
    """Standard deviation of the point spread function, pixels."""
    adjacency: float = 0.08
    """Share of a blue band's light that comes from the pixel's surroundings."""


def illumination(canvas: Canvas, sun: Sun, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Relative direct and diffuse light on each cell, both (cells, cells), 1 on level open ground."""
    grid = canvas.grid
    terrain = 9.0 * smooth_field(canvas.height.shape, 70, rng)
    surface = terrain + canvas.height
    azimuth, elevation = np.radians(sun.azimuth), np.radians(sun.elevation)
    to_sun = np.sin(azimuth), -np.cos(azimuth)  # x to the right, y downwards

    slope_y, slope_x = np.gradient(surface, grid.cell_size)
    facing = np.sin(elevation) - np.cos(elevation) * (slope_x * to_sun[0] + slope_y * to_sun[1])
    direct = np.clip(facing / np.sqrt(1.0 + slope_x**2 + slope_y**2), 0.0, None) / np.sin(elevation)
    # Light that enters a crown on its sunny side leaves it on all sides.
    leafy = (canvas.label == BROADLEAVED.id) | (canvas.label == CONIFERS.id)
    direct = np.where(leafy, 0.5 + 0.5 * np.clip(direct, 0.0, 1.6), np.clip(direct, 0.0, 1.5))
    shaded = _in_shadow(surface, grid, to_sun, float(np.tan(elevation)))
    direct = np.where(shaded, np.where(leafy, 0.22, 0.06), direct)
    around = gaussian_blur(canvas.height, 5.0 / grid.cell_size)
    sky = 1.0 - np.clip((around - canvas.height) / 18.0, 0.0, 0.7)
    return direct, sky


def _in_shadow(surface: Floats, grid: Grid, to_sun: tuple[float, float], rise: float) -> NDArray[np.bool_]:
    """Whether something towards the sun stands above the line to it; walks as far as a 30 m tree reaches."""
    shadow = np.zeros(surface.shape, dtype=bool)
    padded = np.pad(surface, pad := int(30.0 / rise / grid.cell_size) + 2, mode="edge")
    n = grid.cells
    for step in range(1, pad):
        row = pad + round(step * to_sun[1])
        column = pad + round(step * to_sun[0])
        blocker = padded[row : row + n, column : column + n]
        shadow |= blocker > surface + step * grid.cell_size * rise + 0.5
    return shadow


def diffuse_share(wavelength: Floats) -> Floats:
    """Share of the light on level ground that comes from the sky, by wavelength in nm."""
    return 0.02 + 0.27 * (wavelength / 450.0) ** -2.2


def mix_pixels(
    canvas: Canvas, table: BandTable, direct: Floats, sky: Floats, rng: np.random.Generator
) -> Floats:
    """Apparent reflectance of each pixel before the optics, shape (bands, pixels, pixels)."""
    grid = canvas.grid
    first, second = _patch_spectra(canvas, table.wavelength, rng)
    diffuse = diffuse_share(table.wavelength)
    lit = canvas.tone * direct
    scattered = canvas.tone * sky
    over = grid.oversample
    cube = np.empty((len(table), grid.pixels, grid.pixels))
    for row in range(grid.pixels):
        cells = slice(row * over, (row + 1) * over)
        patch, share = canvas.patch[cells], canvas.mix[cells][..., None]
        material = first[patch] * (1.0 - share) + second[patch] * share
        light = lit[cells][..., None] * (1.0 - diffuse) + scattered[cells][..., None] * diffuse
        seen = (material * light).reshape(over, grid.pixels, over, len(table))
        cube[:, row] = seen.mean(axis=(0, 2)).T
    return cube


def _patch_spectra(canvas: Canvas, wavelength: Floats, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Spectra of the first and second material of each patch, both (patches, bands)."""
    pair = []
    for names in ([p.material for p in canvas.patches], [p.second for p in canvas.patches]):
        spectra = np.empty((len(names), len(wavelength)))
        for material in sorted(set(names)):
            users = [i for i, name in enumerate(names) if name == material]
            spectra[users] = MATERIALS[material](rng, len(users), wavelength)
        pair.append(spectra)
    return pair[0], pair[1]


def observe(cube: Floats, table: BandTable, sensor: Sensor, rng: np.random.Generator) -> Floats:
    """What the sensor makes of apparent reflectance (bands, rows, columns); same shape and unit."""
    bands, rows, columns = cube.shape
    pad = 8
    padded = np.pad(cube, ((0, 0), (pad, pad), (pad, pad)), mode="reflect")
    sharp = gaussian_blur(padded, sensor.blur)[:, pad:-pad, pad:-pad]
    around = gaussian_blur(padded, 3.0)[:, pad:-pad, pad:-pad]
    share = (sensor.adjacency * (table.wavelength / 450.0) ** -1.0)[:, None, None]
    image = (1.0 - share) * sharp + share * around

    across = np.linspace(-1.0, 1.0, columns)
    shift = sensor.smile * across**2
    image = image + np.gradient(image, table.wavelength, axis=0) * shift
    # Leaves and soil send more light back towards the sun, so one side of the swath is brighter.
    haze = fractal_field((rows, columns), 100, rng, slope=2.0)
    image = image * (1.0 + 0.04 * across + 0.02 * haze)

    level = noise_level(table)[:, None, None]
    spread = np.hypot(sensor.read_noise, sensor.photon_noise * np.sqrt(np.clip(image, 0.0, None)))
    image = image + level * spread * rng.standard_normal(image.shape)
    return image + level * sensor.stripes * rng.standard_normal((bands, 1, columns))


def noise_level(table: BandTable) -> Floats:
    """Noise of each band relative to the best one, shape (bands,).

    The sun is weak in the violet, the infrared detector is the poorer one, and vapour dims its neighbours.
    """
    w = table.wavelength
    infrared = np.where(w > 1000.0, 3.0 + 1.5 * (w - 1000.0) / 1450.0, 0.0)
    noise = 1.0 + 1.6 * np.exp(-(w - 400.0) / 45.0) + infrared
    for centre, width, excess in DIM:
        noise = noise + excess * np.exp(-0.5 * ((w - centre) / width) ** 2)
    return np.where(table.good, noise, 12.0)


def to_counts(image: Floats, table: BandTable, seen: NDArray[np.bool_]) -> NDArray[np.int16]:
    """Integer reflectance x 10 000, nodata outside the swath and in opaque bands; (bands, rows, columns)."""
    counts = np.round(image * (SCALE / STEP)) * STEP
    integers: NDArray[np.int16] = np.clip(counts, -400, 15_000).astype(np.int16)
    integers[:, ~seen] = NODATA
    integers[table.opaque] = NODATA
    return integers
