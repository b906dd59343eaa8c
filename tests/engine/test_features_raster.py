"""A features raster says how it was made, and fits the scene that it was made from only."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, replace

import numpy as np
import pytest
import rasterio
from scipy.ndimage import uniform_filter
from synthetic import BANDS, HEIGHT, TRANSFORM, WIDTH, make_spectra, write_scene
from training_job import training

from spectrafilm.engine.errors import EngineError
from spectrafilm.engine.feature_settings import COMPOSITES_TAG, TAG, FeatureSettings
from spectrafilm.engine.feature_source import RasterFeatures
from spectrafilm.engine.jobs import ExtractFeatures, PredictMap, SelectBands
from spectrafilm.engine.model import Model
from spectrafilm.engine.progress import Recorder
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


def test_features_are_compared_by_all_that_decides_on_them():
    settings = FeatureSettings("b", "b.pt", "digest", (7,), (0,), 64, 32, 0, "", (3, 5))
    assert settings.means == 2 * 3, "of the three bands of an image of unknown origin"
    for name, change in {
        "backbone": {"backbone_sha256": "another"}, "decoder layers": {"layers": (8,)},
        "timesteps": {"timesteps": (50,)}, "stride": {"stride": 16}, "seed": {"seed": 1},
        "composites": {"composites": "{}"}, "neighbourhoods": {"neighbourhoods": (3,)},
    }.items():  # fmt: skip
        assert settings.differences(replace(settings, **change)) == [name]
    assert settings.differences(replace(settings, backbone="a copy", backbone_path="copy.pt")) == []


@pytest.mark.parametrize("change", [
    {"resolution": 2}, {"seed": -1}, {"layers": []}, {"neighbourhoods": [4]}, {"neighbourhoods": None},
    {"timesteps": "x"}, {"composites": "{}"},
], ids=str)  # fmt: skip
def test_a_description_of_features_that_cannot_be_made_here_is_refused(change):
    """As one that another version has written."""
    settings = FeatureSettings("b", "b.pt", "digest", (7,), (0,), 64, 32, 0, "", (3, 5))
    assert FeatureSettings.from_json(settings.to_json(), "f.tif") == settings
    described = {key: value for key, value in (asdict(settings) | change).items() if value is not None}
    with pytest.raises(EngineError, match=r"features in f\.tif is damaged, or of another .*; extract them again"):
        FeatureSettings.from_json(json.dumps(described), "f.tif")


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
        source = RasterFeatures(features, scene, scene.bands)
        pieces = list(source.stream(None, progress))
        np.testing.assert_array_equal(source.at(np.array([5]), np.array([7]), progress)[0], pieces[0][3][:, 5, 7])
        with pytest.raises(EngineError, match="has no data in 1 valid pixels of the scene"):
            source.at(np.array([5, 30]), np.array([7, 30]), progress)
    valid = np.concatenate([valid for _, _, valid, _ in pieces])
    np.testing.assert_array_equal(valid, spectra[0] != -1.0)


def test_a_features_raster_is_closed_with_its_scene(scene_path, backbone_path, tmp_path, progress):
    """Windows replaces no file that is open, and a notebook lives longer than a run."""
    with Scene.open(str(scene_path)) as scene:
        features = RasterFeatures(extracted(scene_path, backbone_path, tmp_path, progress), scene, scene.bands)
        assert len(features.at(np.zeros(1, int), np.zeros(1, int), progress)) == 1
    with pytest.raises(EngineError, match="Dataset is closed"):
        features.at(np.zeros(1, int), np.zeros(1, int), progress)


def test_features_of_three_bands_of_unknown_origin_fit_any_scene_of_their_grid(
    scene_path, backbone_path, tmp_path, progress
):
    """As of an image that another program made of the scene."""
    image = write_scene(tmp_path / "image.tif", make_spectra()[[9, 4, 1]], wavelengths=None)
    features = extracted(image, backbone_path, tmp_path, progress, composites="true colour")
    assert "taken as it is: composites" in progress.warnings[0]
    assert "does not say how its three bands were made" in progress.warnings[1]
    assert opened(features, scene_path).channels == 8 * 1 + 2 * 3
    with rasterio.open(image) as three, rasterio.open(features) as dataset:
        bands, means = three.read(), dataset.read([9, 10, 11])
    low, high = bands.min((1, 2), keepdims=True), bands.max((1, 2), keepdims=True)
    shown = uniform_filter(2 * (bands - low) / (high - low) - 1, (0, 3, 3))
    np.testing.assert_allclose(means[:, 2:-2, 2:-2], shown[:, 2:-2, 2:-2], atol=0.01)


def test_a_features_raster_replaces_computing(trained, mapped, scene_path, polygons_path, backbone_path, tmp_path):
    features = str(tmp_path / "f.tif")
    run_job(ExtractFeatures(str(scene_path), features, str(backbone_path)), Recorder())
    with rasterio.open(features) as dataset:
        settings = FeatureSettings.from_json(dataset.tags()[TAG], features)
        assert settings.layers == (7, 8)
        assert dataset.profile["tiled"]
        # Beyond one triplet the scene holds nothing but noise.
        assert dataset.count == 2 * 8 + 2 * 3
        assert dataset.descriptions[-1] == "composite 1, channel 2, mean of 5 x 5 pixels"
    job = training(scene_path, polygons_path, "", tmp_path, features=features)
    run_job(job, Recorder())
    model = str(tmp_path / "m.safetensors")
    assert Model.load(model).features == settings
    run_job(PredictMap(str(scene_path), model, str(tmp_path / "a.tif"), features=features), Recorder())
    run_job(PredictMap(str(scene_path), model, str(tmp_path / "b.tif")), Recorder())
    with rasterio.open(tmp_path / "a.tif") as a, rasterio.open(tmp_path / "b.tif") as b:
        assert (a.read(1) == b.read(1)).mean() > 0.99
    # The same settings computed on the fly give nearly the same network.
    with rasterio.open(tmp_path / "a.tif") as a, rasterio.open(mapped / "map.tif") as direct:
        assert (a.read(1) == direct.read(1)).mean() > 0.97


def test_features_made_otherwise_are_refused(trained, scene_path, backbone_path, tmp_path):
    features = str(tmp_path / "f.tif")
    job = ExtractFeatures(str(scene_path), features, str(backbone_path), layers=(3,), timesteps=(50,))
    run_job(job, Recorder())
    with pytest.raises(EngineError, match="made with other decoder layers, timesteps than the model"):
        run_job(PredictMap(str(scene_path), str(trained[0] / "m.safetensors"), str(tmp_path / "map.tif"),
                           features=features), Recorder())  # fmt: skip
    assert {p.name for p in tmp_path.iterdir()} == {"f.tif"}


def test_a_pseudo_rgb_chains_into_features_and_a_map(scene_path, polygons_path, backbone_path, tmp_path):
    rgb, features, model = (str(tmp_path / n) for n in ("rgb.tif", "f.tif", "m.safetensors"))
    run_job(SelectBands(str(scene_path), rgb), Recorder())
    with rasterio.open(rgb) as dataset:
        assert dataset.count == 3
        assert dataset.read().min() >= 1  # 0 is no data
        assert dataset.descriptions == ("10 (665 nm)", "5 (546 nm)", "2 (474 nm)")
    recorder = Recorder()
    run_job(ExtractFeatures(rgb, features, str(backbone_path)), recorder)
    assert not recorder.warnings
    run_job(training(scene_path, polygons_path, "", tmp_path, features=features), Recorder())
    # The recipe travelled from the image through the features into the model.
    run_job(PredictMap(str(scene_path), model, str(tmp_path / "map.tif")), Recorder())


def test_a_pseudo_rgb_whose_origin_is_damaged_is_one_sentence(scene_path, backbone_path, tmp_path, progress):
    rgb = str(tmp_path / "rgb.tif")
    run_job(SelectBands(str(scene_path), rgb), progress)
    with rasterio.open(rgb, "r+") as dataset:
        dataset.update_tags(**{COMPOSITES_TAG: '{"kind": "true colour"}'})
    with pytest.raises(EngineError, match="of how its bands were made is damaged"):
        extracted(rgb, backbone_path, tmp_path, progress)


def test_features_of_a_pseudo_rgb_of_another_scene_are_refused(scene_path, backbone_path, tmp_path, progress):
    """As of another date on the same grid."""
    rgb = str(tmp_path / "rgb.tif")
    run_job(SelectBands(str(scene_path), rgb), progress)
    features = extracted(rgb, backbone_path, tmp_path, progress)
    for fitting in (scene_path, rgb):
        assert opened(features, fitting).channels == 8 * 1 + 2 * 3
    other = write_scene(tmp_path / "other.tif", make_spectra(seed=1))
    other_rgb = str(tmp_path / "other_rgb.tif")
    run_job(SelectBands(str(other), other_rgb), progress)
    for foreign in (other, other_rgb):
        with pytest.raises(EngineError, match="was made from another scene than .*other"):
            opened(features, foreign)


def test_a_model_of_a_pseudo_rgb_itself_does_not_apply_its_recipe_to_it_once_more(
    scene_path, polygons_path, backbone_path, tmp_path
):
    rgb, features, model = (str(tmp_path / n) for n in ("rgb.tif", "f.tif", "m.safetensors"))
    run_job(SelectBands(str(scene_path), rgb), Recorder())
    run_job(ExtractFeatures(rgb, features, str(backbone_path)), Recorder())
    job = training(rgb, polygons_path, "", tmp_path, features=features, method="geodiffnet", validate=False)
    run_job(job, Recorder())
    run_job(PredictMap(rgb, model, str(tmp_path / "a.tif"), features=features), Recorder())
    run_job(PredictMap(rgb, model, str(tmp_path / "b.tif"), backbone=str(backbone_path)), Recorder())
    with rasterio.open(tmp_path / "a.tif") as a, rasterio.open(tmp_path / "b.tif") as b:
        assert (a.read(1) == b.read(1)).mean() > 0.95


def test_a_features_raster_has_no_data_where_the_scene_has_none(backbone_path, tmp_path):
    spectra = make_spectra()
    spectra[:, 20:40, 20:60] = -1.0
    scene, features = write_scene(tmp_path / "s.tif", spectra), tmp_path / "f.tif"
    run_job(ExtractFeatures(str(scene), str(features), str(backbone_path), layers=(10,)), Recorder())
    with rasterio.open(features) as dataset:
        hole = dataset.read_masks(1) == 0
    np.testing.assert_array_equal(hole, spectra[0] == -1.0)


def test_features_extracted_with_the_models_seed_fit_it(backbone_path, polygons_path, tmp_path):
    """In a scene larger than the sample that its composites are made from."""
    rng = np.random.default_rng(0)
    spectra = np.tile(make_spectra(), (1, 5, 5)) + rng.normal(0, 0.01, (BANDS, 5 * HEIGHT, 5 * WIDTH))
    scene, features = write_scene(tmp_path / "s.tif", spectra.astype(np.float32)), str(tmp_path / "f.tif")
    run_job(training(scene, polygons_path, backbone_path, tmp_path, seed=5, validate=False, layers=(10,)), Recorder())
    run_job(ExtractFeatures(str(scene), features, str(backbone_path), layers=(10,), seed=5), Recorder())
    job = PredictMap(str(scene), str(tmp_path / "m.safetensors"), str(tmp_path / "map.tif"), features=features)
    assert sum(run_job(job, Recorder())["pixels"].values()) == 25 * HEIGHT * WIDTH
