"""The scenes that time and memory are measured on are scenes that the engine works on."""

from __future__ import annotations

import json

import numpy as np
import rasterio
from synthetic import make_spectra, write_scene

from spectrafilm.benchmarks.speed.large_scenes import repeat_scene, sample_labels, write_field_labels, write_fields
from spectrafilm.engine.jobs import TrainFilm
from spectrafilm.engine.progress import Recorder
from spectrafilm.engine.runner import run_job
from spectrafilm.engine.scene import Scene


def test_labels_of_the_fields_tell_the_classes_apart(tmp_path):
    write_fields(tmp_path / "s.tif", 256)
    write_field_labels(tmp_path / "l.geojson", 256)
    job = TrainFilm(str(tmp_path / "s.tif"), str(tmp_path / "l.geojson"), str(tmp_path / "m.safetensors"),
                    polygons_crs="EPSG:32633", method="spectral")  # fmt: skip
    assert run_job(job, Recorder())["overall_accuracy"] > 95
    with Scene.open(str(tmp_path / "s.tif")) as scene:
        assert (len(scene.bands), scene.bands[-1].wavelength) == (200, 2390.0)


def test_a_repeated_scene_holds_the_original_in_every_corner(tmp_path):
    write_scene(tmp_path / "s.tif", make_spectra())
    repeat_scene(tmp_path / "s.tif", tmp_path / "large.tif", 2)
    with rasterio.open(tmp_path / "s.tif") as small, rasterio.open(tmp_path / "large.tif") as large:
        assert (large.width, large.height) == (2 * small.width, 2 * small.height)
        assert large.transform == small.transform
        assert large.tags(3) == small.tags(3)
        np.testing.assert_array_equal(large.read()[:, small.height :, small.width :], small.read())


def test_sampled_labels_are_as_many_as_asked_for(tmp_path):
    values = np.zeros((20, 30), np.uint8)
    values[:, :10], values[:, 20:] = 1, 2
    with rasterio.open(tmp_path / "l.tif", "w", driver="GTiff", width=30, height=20, count=1, dtype="uint8",
                       crs="EPSG:32633", transform=rasterio.transform.from_origin(0, 20, 1, 1)) as dataset:  # fmt: skip
        dataset.write(values, 1)
    sample_labels(tmp_path / "l.tif", tmp_path / "l.geojson", 15)
    features = json.loads((tmp_path / "l.geojson").read_text())["features"]
    areas = {"class 1": 0.0, "class 2": 0.0}
    for feature in features:
        ring = np.array(feature["geometry"]["coordinates"][0])
        x, y = ring.T
        areas[feature["properties"]["class"]] += abs(np.sum(x[:-1] * y[1:] - x[1:] * y[:-1])) / 2
    assert areas == {"class 1": 15.0, "class 2": 15.0}
