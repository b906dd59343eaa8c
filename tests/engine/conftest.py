"""Files made once for all engine tests."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from synthetic import make_spectra, quarter_polygons, save_backbone, write_polygons, write_scene

from spectrafilm.engine.progress import Recorder

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
