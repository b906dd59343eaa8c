"""A features raster says how it was made, and fits the scene that it was made from only."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import rasterio
from synthetic import TRANSFORM, make_spectra, write_scene

from spectrafilm.engine.errors import EngineError
from spectrafilm.engine.feature_settings import TAG, FeatureSettings
from spectrafilm.engine.feature_source import RasterFeatures
from spectrafilm.engine.jobs import ExtractFeatures
from spectrafilm.engine.runner import run_job
from spectrafilm.engine.scene import Scene


def opened(features, scene_path):
    with Scene.open(str(scene_path)) as scene:
        return RasterFeatures(features, scene, scene.bands)


def extracted(scene_path, backbone_path, folder, progress, **changes):
    features = str(folder / "f.tif")
    run_job(ExtractFeatures(str(scene_path), features, str(backbone_path), **{"layers": (10,), **changes}), progress)
    return features


def test_settings_of_a_features_raster_are_those_asked_for(scene_path, backbone_path, tmp_path, progress):
    features = extracted(scene_path, backbone_path, tmp_path, progress, layers=(10, 10), stride=8, seed=7)
    with rasterio.open(features) as dataset:
        settings = FeatureSettings.from_json(dataset.tags()[TAG], features)
    assert (settings.layers, settings.stride, settings.seed) == ((10,), 8, 7)


def test_a_features_raster_of_another_place_is_refused(scene_path, backbone_path, tmp_path, progress):
    features = extracted(scene_path, backbone_path, tmp_path, progress)
    moved = write_scene(tmp_path / "moved.tif", make_spectra(), transform=TRANSFORM @ TRANSFORM.translation(1, 0))
    with pytest.raises(EngineError, match="does not lie on the grid"):
        opened(features, moved)


def test_a_features_raster_of_another_scene_is_refused_and_one_of_a_copy_is_not(
    scene_path, backbone_path, tmp_path, progress
):
    features = extracted(scene_path, backbone_path, tmp_path, progress)
    other = write_scene(tmp_path / "other.tif", make_spectra(seed=1))
    with pytest.raises(EngineError, match="was made from another scene than .*other.tif"):
        opened(features, other)
    copy = shutil.copy(scene_path, tmp_path / "copy.tif")
    assert opened(features, copy).channels == 8 * 1 + 2 * 3


def test_some_bands_of_a_features_raster_are_refused(scene_path, backbone_path, tmp_path, progress):
    """Their tags still say how all of them were made, and in which order."""
    features = extracted(scene_path, backbone_path, tmp_path, progress)
    some = str(tmp_path / "some.tif")
    with rasterio.open(features) as dataset, rasterio.open(some, "w", **{**dataset.profile, "count": 9}) as copy:
        copy.write(dataset.read(range(1, 10)))
        copy.update_tags(**dataset.tags())
    with pytest.raises(EngineError, match="has 9 of the 14 bands"):
        opened(some, scene_path)


def test_gaps_of_a_features_raster_are_kept_where_the_scene_has_data(scene_path, backbone_path, tmp_path, progress):
    """As where nodata was set when the features were extracted; the gaps are none of the pixels that are compared."""
    spectra = make_spectra()
    spectra[:, 28:38, 20:60] = -1.0
    gappy = write_scene(tmp_path / "gappy.tif", spectra)
    features = extracted(gappy, backbone_path, tmp_path, progress)
    with Scene.open(str(scene_path)) as scene:
        pieces = list(RasterFeatures(features, scene, scene.bands).stream(None, progress))
    valid = np.concatenate([valid for _, _, valid, _ in pieces])
    np.testing.assert_array_equal(valid, spectra[0] != -1.0)


def test_features_of_three_bands_of_unknown_origin_fit_any_scene_of_their_grid(
    scene_path, backbone_path, tmp_path, progress
):
    """As of an image that another program made of the scene."""
    image = write_scene(tmp_path / "image.tif", make_spectra()[[9, 4, 1]], wavelengths=None)
    features = extracted(image, backbone_path, tmp_path, progress)
    assert "does not say how its three bands were made" in progress.warnings[0]
    assert opened(features, scene_path).channels == 8 * 1 + 2 * 3
