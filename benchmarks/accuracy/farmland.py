"""Write generated farmland: make farmland WORDS='FOLDER [--seed 0] [--noise 1]'.

Large fields, pixels of 20 m, and crops in spring that differ by little but what the plough left: what the sample scene,
a town with its surroundings, has little of. `farmlandN.tif` and `farmlandN_gt.tif` can be measured by `--own FOLDER`.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import NamedTuple

import numpy as np
from rasterio.transform import from_origin
from scipy.ndimage import binary_dilation, gaussian_filter

from spectrafilm.tools.sample_scene.countryside import split
from spectrafilm.tools.sample_scene.spectra import MATERIALS
from spectrafilm.tools.sample_scene.textures import fractal_field, smooth_field

from .own_scenes import write_geotiff

SIDE = 145
CELLS_PER_PIXEL = 4
LONGEST_FIELD = 26.0
METRES = 20.0
PLACE = {"crs": "EPSG:32616", "transform": from_origin(500_000, 4_400_000, METRES, METRES)}
WAVELENGTHS = np.linspace(400.0, 2450.0, 200)
SCALE = 10_000
# Noise of a band at its best, in reflectance; more in the infrared and the violet, much more beside water vapour.
NOISE = 0.006
VAPOUR = ((1380.0, 40.0, 6.0), (1880.0, 50.0, 8.0), (2440.0, 60.0, 3.0), (935.0, 20.0, 1.0), (1130.0, 25.0, 1.5))
Range = tuple[float, float]


class Crop(NamedTuple):
    """A class: what grows, what lies between, what is below, and the shares of the first two in a field (0..1)."""

    plant: str
    litter: str
    soil: str
    grown: Range
    left: Range


CROPS = (
    Crop("maize", "straw", "loam", (0.03, 0.12), (0.35, 0.65)),
    Crop("maize", "straw", "loam", (0.03, 0.12), (0.15, 0.35)),
    Crop("maize", "straw", "loam", (0.05, 0.15), (0.0, 0.15)),
    Crop("beet", "straw", "wet soil", (0.02, 0.10), (0.35, 0.65)),
    Crop("beet", "straw", "wet soil", (0.02, 0.10), (0.15, 0.35)),
    Crop("beet", "straw", "wet soil", (0.03, 0.12), (0.0, 0.15)),
    Crop("wheat", "straw", "loam", (0.5, 0.75), (0.0, 0.15)),
    Crop("wheat", "dry grass", "sand", (0.35, 0.6), (0.0, 0.15)),
    Crop("beet", "dry grass", "loam", (0.6, 0.9), (0.0, 0.1)),
    Crop("grass", "straw", "loam", (0.2, 0.45), (0.4, 0.6)),
    Crop("grass", "dry grass", "loam", (0.45, 0.75), (0.15, 0.4)),
    Crop("oak", "grass", "loam", (0.3, 0.5), (0.4, 0.6)),
    Crop("oak", "beech", "litter", (0.5, 0.7), (0.2, 0.4)),
    Crop("grass", "bitumen felt", "concrete", (0.3, 0.6), (0.05, 0.25)),
)


def make_farmland(seed: int, noise: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Reflectance (200, SIDE, SIDE) and class ids (SIDE, SIDE), 0 between fields."""
    rng = np.random.default_rng(seed)
    field, crops = _fields(rng)
    between = binary_dilation((np.diff(field, axis=0, prepend=-1) != 0) | (np.diff(field, axis=1, prepend=-1) != 0))
    cube = _mixed(field, crops, between, rng)
    cube = np.stack([gaussian_filter(band, 0.5) for band in cube])
    level = noise * NOISE * _relative_noise()[:, None, None]
    cube += level * rng.standard_normal(cube.shape) + 0.25 * level * rng.standard_normal((len(cube), 1, SIDE))
    centre = (slice(CELLS_PER_PIXEL // 2, None, CELLS_PER_PIXEL),) * 2
    mostly_field = _per_pixel(between.astype(float)) < 0.3
    return cube, np.where(mostly_field, crops[field[centre]] + 1, 0).astype(np.uint8)


def _fields(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """The field of each cell, and the crop of each field; a pack of cards, so that no crop is missing."""
    cells = SIDE * CELLS_PER_PIXEL
    y, x = np.indices((cells, cells)) / CELLS_PER_PIXEL + 0.5 * smooth_field((cells, cells), 15, rng)
    field = np.zeros((cells, cells), np.int64)
    crops: list[int] = []
    deck: list[int] = []
    for u0, u1, v0, v1 in split((-5.0, SIDE + 5.0, -5.0, SIDE + 5.0), LONGEST_FIELD, rng):
        deck = deck or rng.permutation(len(CROPS)).tolist()
        field[(x >= u0) & (x < u1) & (y >= v0) & (y < v1)] = len(crops)
        crops.append(deck.pop())
    return field, np.array(crops)


def _mixed(field: np.ndarray, crops: np.ndarray, between: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Reflectance (200, SIDE, SIDE): every field has spectra and shares of its own, and varies within."""
    shape = field.shape
    spectra = [
        np.concatenate([MATERIALS[name](rng, 1, WAVELENGTHS) for name in names])
        for names in zip(*((CROPS[c].plant, CROPS[c].litter, CROPS[c].soil) for c in crops), strict=True)
    ]
    grain = smooth_field(shape, 2.0, rng)
    grown, left = (
        np.array([rng.uniform(*CROPS[c][part]) for c in crops])[field]
        * (1 + 0.25 * fractal_field(shape, 60, rng, slope=1.3) + 0.15 * grain)
        for part in (3, 4)
    )
    grown = grown.clip(0, 1)
    left = left.clip(0, 1 - grown)
    tone = rng.normal(1, 0.04, len(crops))[field] * (1 + 0.03 * smooth_field(shape, 2.0, rng))
    verge = MATERIALS["dry grass"](rng, 1, WAVELENGTHS)[0]
    rows = []
    for row in np.split(np.arange(shape[0]), SIDE):
        shares = grown[row], left[row], 1 - grown[row] - left[row]
        cells = sum(share[..., None] * kind[field[row]] for share, kind in zip(shares, spectra, strict=True))
        cells = np.where(between[row][..., None], verge, cells) * tone[row][..., None]
        rows.append(cells.reshape(CELLS_PER_PIXEL, SIDE, CELLS_PER_PIXEL, -1).mean((0, 2)).T)
    return np.stack(rows, 1)


def _per_pixel(cells: np.ndarray) -> np.ndarray:
    return cells.reshape(SIDE, CELLS_PER_PIXEL, SIDE, CELLS_PER_PIXEL).mean((1, 3))


def _relative_noise() -> np.ndarray:
    w = WAVELENGTHS
    level = 1 + 0.7 * np.exp(-(w - 400) / 60) + (w > 1000)
    return level * (1 + sum(excess * np.exp(-0.5 * ((w - at) / width) ** 2) for at, width, excess in VAPOUR))


def write_farmland(folder: Path, seed: int, noise: float = 1.0) -> tuple[Path, Path]:
    """Write the scene and its labels into a folder, and return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    cube, classes = make_farmland(seed, noise)
    scene, labels = folder / f"farmland{seed}.tif", folder / f"farmland{seed}_gt.tif"
    write_geotiff(scene, (SCALE * cube).round().clip(-300, 15_000).astype(np.int16), PLACE)
    write_geotiff(labels, classes[None], PLACE)
    return scene, labels


def main() -> None:
    """Read the command line and write the scene and its labels."""
    parser = argparse.ArgumentParser(prog="farmland", description="Write generated farmland.")
    parser.add_argument("folder", type=Path, help="where to write; made when missing")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--noise", type=float, default=1.0)
    arguments = parser.parse_args()
    write_farmland(arguments.folder, arguments.seed, arguments.noise)


if __name__ == "__main__":
    main()
