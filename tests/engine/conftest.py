"""Files made once for all engine tests."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from synthetic import make_spectra, quarter_polygons, save_backbone, write_polygons, write_scene
from training_job import training

from spectrafilm.engine.jobs import PredictMap
from spectrafilm.engine.progress import Recorder
from spectrafilm.engine.runner import run_job

# The networks of the tests are too small to share among threads.
torch.set_num_threads(1)


@pytest.fixture
def progress() -> Recorder:
    return Recorder()


@pytest.fixture(scope="session")
def scene_path(tmp_path_factory) -> Path:
    return write_scene(tmp_path_factory.mktemp("scene") / "scene.tif", make_spectra())


@pytest.fixture(scope="session")
def polygons_path(tmp_path_factory) -> Path:
    return write_polygons(tmp_path_factory.mktemp("polygons") / "polygons.geojson", quarter_polygons())


@pytest.fixture(scope="session")
def backbone_path(tmp_path_factory) -> Path:
    return save_backbone(tmp_path_factory.mktemp("backbone") / "small")


@pytest.fixture(scope="session")
def trained(scene_path, polygons_path, backbone_path, tmp_path_factory):
    """Folder of m.safetensors and r.html, what training returned, and what it said."""
    folder = tmp_path_factory.mktemp("trained")
    recorder = Recorder()
    values = run_job(training(scene_path, polygons_path, backbone_path, folder), recorder)
    return folder, values, recorder


@pytest.fixture(scope="session")
def mapped(trained, scene_path):
    """The same folder with the map and all that goes with it."""
    folder, _, _ = trained
    job = PredictMap(str(scene_path), str(folder / "m.safetensors"), str(folder / "map.tif"),
                     str(folder / "confidence.tif"), str(folder / "probabilities.tif"),
                     str(folder / "uncertainty.tif"))  # fmt: skip
    run_job(job, Recorder())
    return folder
