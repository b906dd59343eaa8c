"""Small real files to test with: a scene of four quarters, polygons on it, an untrained backbone."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import rasterio
import torch
from diffusers import DDPMScheduler, UNet2DModel
from rasterio.transform import from_origin

from spectrafilm.engine.polygons import Part

HEIGHT, WIDTH, BANDS = 80, 100, 24
CRS = "EPSG:32633"
TRANSFORM = from_origin(380000.0, 5820000.0, 10.0, 10.0)
WAVELENGTHS = np.linspace(450.0, 1000.0, BANDS)
QUARTERS = {"field": (slice(0, 40), slice(0, 50)), "roof": (slice(0, 40), slice(50, 100)),
            "water": (slice(40, 80), slice(0, 50)), "tree": (slice(40, 80), slice(50, 100))}  # fmt: skip


def make_spectra(seed: int = 0) -> np.ndarray:
    """Reflectance (BANDS, HEIGHT, WIDTH): four quarters with smooth spectra of their own, and noise."""
    rng = np.random.default_rng(seed)
    x = np.linspace(0, 1, BANDS)
    shapes = {
        "field": 0.05 + 0.4 / (1 + np.exp(-20 * (x - 0.45))),
        "roof": 0.15 + 0.2 * x,
        "water": 0.08 * (1 - x) + 0.01,
        "tree": 0.03 + 0.25 / (1 + np.exp(-20 * (x - 0.45))),
    }
    scene = np.empty((BANDS, HEIGHT, WIDTH), np.float32)
    for name, (rows, columns) in QUARTERS.items():
        scene[:, rows, columns] = shapes[name][:, None, None]
    noisy = scene * rng.normal(1, 0.05, (1, HEIGHT, WIDTH)) + rng.normal(0, 0.01, scene.shape)
    return noisy.astype(np.float32)


def write_scene(path: Path, spectra: np.ndarray, **options) -> Path:
    """Write a scene with per-band wavelengths in nm; options replace parts of the profile."""
    wavelengths = options.pop("wavelengths", WAVELENGTHS[: len(spectra)])
    profile = {"driver": "GTiff", "dtype": spectra.dtype, "count": len(spectra), "height": spectra.shape[1],
               "width": spectra.shape[2], "crs": CRS, "transform": TRANSFORM, "nodata": -1.0, **options}  # fmt: skip
    with rasterio.open(path, "w", **profile) as dataset:
        dataset.write(spectra)
        for band, wavelength in enumerate(() if wavelengths is None else wavelengths, 1):
            dataset.update_tags(band, wavelength=f"{wavelength:.2f}", wavelength_units="Nanometers")
    return path


def square(row: int, column: int, size: int = 4) -> dict:
    """A polygon over `size` x `size` pixels, in map coordinates."""
    x, y = TRANSFORM.c + 10.0 * column, TRANSFORM.f - 10.0 * row
    side = 10.0 * size
    ring = [[x, y], [x + side, y], [x + side, y - side], [x, y - side], [x, y]]
    return {"type": "Polygon", "coordinates": [ring]}


def rectangle(class_id: int, left: float, top: float, right: float, bottom: float) -> Part:
    """A labelled rectangle, in pixels."""
    ring = np.array([[left, top], [right, top], [right, bottom], [left, bottom], [left, top]], float)
    return Part(class_id, (ring,))


def write_polygons(path: Path, features: list[tuple[object, dict]], field: str = "class") -> Path:
    """Write a GeoJSON file of (class, geometry)."""
    items = [{"type": "Feature", "properties": {field: name}, "geometry": g} for name, g in features]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": items}))
    return path


def quarter_polygons() -> list[tuple[object, dict]]:
    """Three squares in every quarter."""
    return [
        (name, square(rows.start + dr, columns.start + dc))
        for name, (rows, columns) in QUARTERS.items()
        for dr, dc in ((4, 4), (24, 30), (14, 16))
    ]


def save_backbone(folder: Path, seed: int = 0, **changes) -> Path:
    """A small untrained U-Net in diffusers format, with 12 decoder layers and 32-pixel patches."""
    torch.manual_seed(seed)
    options = {
        "sample_size": 32, "in_channels": 3, "out_channels": 3, "layers_per_block": 2,
        "block_out_channels": (8, 8, 16, 16), "norm_num_groups": 4,
        "down_block_types": ("DownBlock2D", "DownBlock2D", "AttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "AttnUpBlock2D", "UpBlock2D", "UpBlock2D"), **changes,
    }  # fmt: skip
    UNet2DModel(**options).save_pretrained(folder)
    DDPMScheduler(1000).save_pretrained(folder)
    return folder
