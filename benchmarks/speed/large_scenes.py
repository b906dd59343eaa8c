"""Scenes of any size, and labels for them, to measure time and memory with."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from rasterio.features import shapes
from rasterio.windows import Window

BANDS = 200
CLASSES = 4
BLOCK = 256
FIELD = 32  # pixels between the corners of the fields


def write_fields(path: Path, size: int) -> None:
    """A square int16 scene of 200 bands: fields of four smooth spectra with noise, 10 m, reflectance times 10 000."""
    rng = np.random.default_rng(1)
    steps = np.linspace(0, 3 * np.pi, BANDS)
    spectra = np.stack([2500 + 1500 * np.sin(steps * (k + 1) / 2 + k) for k in range(CLASSES)])
    fields = _fields(size)
    profile = {
        "driver": "GTiff", "width": size, "height": size, "count": BANDS, "dtype": "int16", "nodata": -32768,
        "crs": "EPSG:32633", "transform": Affine(10, 0, 400000, 0, -10, 5800000), "tiled": True, "blockxsize": BLOCK,
        "blockysize": BLOCK, "interleave": "pixel", "BIGTIFF": "IF_SAFER",
    }  # fmt: skip
    with rasterio.open(path, "w", **profile) as dataset:
        for band in range(1, BANDS + 1):
            dataset.update_tags(band, wavelength=f"{400 + (band - 1) * 10}", wavelength_units="nm")
        for row in range(0, size, BLOCK):
            for column in range(0, size, BLOCK):
                rows, columns = np.mgrid[row : min(row + BLOCK, size), column : min(column + BLOCK, size)]
                clean = spectra[fields[rows // FIELD, columns // FIELD]]
                noisy = clean * rng.normal(1, 0.05, (*rows.shape, 1)) + rng.normal(0, 100, (*rows.shape, BANDS))
                dataset.write(noisy.transpose(2, 0, 1).astype(np.int16),
                              window=Window(column, row, rows.shape[1], rows.shape[0]))  # fmt: skip


def _fields(size: int) -> np.ndarray:
    side = size // FIELD + 1
    return np.random.default_rng(0).integers(CLASSES, size=(side, side))


def write_field_labels(path: Path, size: int) -> None:
    """Five polygons a class, each a piece of a field of the scene of the same size, as GeoJSON."""
    fields = _fields(size)
    features = []
    for k in range(CLASSES):
        for row, column in np.argwhere(fields[:-1, :-1] == k)[:5]:
            left, top = 400000 + 10 * FIELD * column + 80, 5800000 - 10 * FIELD * row - 80
            ring = [[left, top], [left + 60, top], [left + 60, top - 60], [left, top - 60], [left, top]]
            geometry = {"type": "Polygon", "coordinates": [[[float(x), float(y)] for x, y in ring]]}
            features.append({"type": "Feature", "properties": {"class": f"class {k}"}, "geometry": geometry})
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}), encoding="utf-8")


def repeat_scene(source: Path, path: Path, times: int) -> None:
    """The scene `times` x `times` side by side, so that the labels of its first corner hold in it too."""
    with rasterio.open(source) as original:
        profile = original.profile | {
            "width": original.width * times, "height": original.height * times, "BIGTIFF": "YES", "driver": "GTiff",
        }  # fmt: skip
        with rasterio.open(path, "w", **profile) as dataset:
            for band in range(1, original.count + 1):
                dataset.update_tags(band, **original.tags(band))
                dataset.write(np.tile(original.read(band), (times, times)), band)


def sample_labels(labels: Path, path: Path, per_class: int) -> None:
    """At most `per_class` pixels of every value of a label raster, as polygons in GeoJSON."""
    rng = np.random.default_rng(0)
    with rasterio.open(labels) as dataset:
        values = dataset.read(1)
        kept = np.zeros(values.shape, np.int32)
        for value in np.unique(values[values > 0]):
            pixels = np.flatnonzero(values == value)
            kept.flat[rng.permutation(pixels)[:per_class]] = value
        features = list(_pixels(kept, dataset.transform))
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}), encoding="utf-8")


def _pixels(values: np.ndarray, transform: Affine) -> Iterator[dict[str, Any]]:
    for geometry, value in shapes(values, mask=values > 0, transform=transform):
        yield {"type": "Feature", "properties": {"class": f"class {int(value)}"}, "geometry": geometry}
