"""The main job without QGIS: train, map, assess, on files, with the figures and forms users rely on."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import rasterio
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from synthetic import (
    BANDS,
    CRS,
    HEIGHT,
    QUARTERS,
    WAVELENGTHS,
    WIDTH,
    make_spectra,
    quarter_polygons,
    save_backbone,
    square,
    write_polygons,
    write_scene,
)
from training_job import NAMES, training

from spectrafilm.engine.errors import EngineError
from spectrafilm.engine.feature_settings import TAG, FeatureSettings
from spectrafilm.engine.jobs import AssessAccuracy, ExtractFeatures, PredictMap, SelectBands
from spectrafilm.engine.model import FORMAT, Model
from spectrafilm.engine.progress import Recorder
from spectrafilm.engine.runner import run_job


@pytest.fixture(scope="module")
def trained(scene_path, polygons_path, backbone_path, tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    recorder = Recorder()
    values = run_job(training(scene_path, polygons_path, backbone_path, folder), recorder)
    return folder, values, recorder


@pytest.fixture(scope="module")
def mapped(trained, scene_path):
    folder, _, _ = trained
    job = PredictMap(str(scene_path), str(folder / "m.safetensors"), str(folder / "map.tif"),
                     str(folder / "confidence.tif"), str(folder / "probabilities.tif"),
                     str(folder / "uncertainty.tif"))  # fmt: skip
    run_job(job, Recorder())
    return folder


def test_an_easy_scene_is_learned_and_validated_by_polygon(trained):
    folder, values, recorder = trained
    assert values["overall_accuracy"] > 95
    report = json.loads((folder / "r.json").read_text())
    interval = {"value": values["overall_accuracy"], "low": values["overall_accuracy_low"],
                "high": values["overall_accuracy_high"]}  # fmt: skip
    assert report["accuracy"]["overall"] == interval
    assert report["folds"] == 3
    assert report["accuracy"]["groups"] == 12
    assert np.array(report["accuracy"]["matrix"]).sum() == 12 * 16
    experts = report["settings"]["experts, weighed by cross-validation"]
    assert [part.split()[0] for part in experts.split(", ")] == ["spectral", "neighbourhood", "FiLM", "kernel"]
    assert not recorder.warnings
    assert recorder.positions == sorted(recorder.positions)
    assert recorder.positions[-1] == 1.0


def test_the_report_is_one_page_with_its_pictures(trained):
    folder, _, _ = trained
    page = (folder / "r.html").read_text()
    assert page.count("data:image/png;base64,") == 4
    assert "http" not in page.replace("http-equiv", "")
    for name in NAMES:
        assert name in page


def test_the_map_is_right_and_carries_names_and_colours(mapped):
    with rasterio.open(mapped / "map.tif") as dataset:
        classes = dataset.read(1)
        assert dataset.nodata == 0
        assert dataset.colormap(1)[2] == (0xCC, 0x22, 0x22, 255)
        assert [name for _, name, _ in json.loads(dataset.tags()["SPECTRAFILM_CLASSES"])] == list(NAMES)
    for number, name in enumerate(NAMES, 1):
        assert (classes[QUARTERS[name]] == number).mean() > 0.95
    assert "<Category>roof</Category>" in (mapped / "map.tif.aux.xml").read_text()
    assert 'label="roof" color="#cc2222"' in (mapped / "map.qml").read_text()


def test_confidence_and_probabilities_fit_the_map(mapped):
    with rasterio.open(mapped / "map.tif") as dataset:
        classes = dataset.read(1)
    with rasterio.open(mapped / "probabilities.tif") as dataset:
        probabilities = dataset.read()
        assert dataset.descriptions == NAMES
    with rasterio.open(mapped / "confidence.tif") as dataset:
        confidence = dataset.read(1)
    with rasterio.open(mapped / "uncertainty.tif") as dataset:
        uncertainty = dataset.read(1)
    np.testing.assert_allclose(probabilities.sum(0), 1, atol=1e-4)
    np.testing.assert_array_equal(probabilities.argmax(0) + 1, classes)
    np.testing.assert_allclose(probabilities.max(0), confidence, atol=1e-6)
    assert 0 <= uncertainty.min() < uncertainty.max() <= 1
    least = confidence < np.quantile(confidence, 0.1)
    assert uncertainty[least].mean() > 2 * uncertainty[~least].mean()


def test_invalid_pixels_are_0_in_the_map_and_nodata_elsewhere(trained, tmp_path):
    spectra = make_spectra(1)
    spectra[5, 10:20, 10:20] = np.nan
    scene = write_scene(tmp_path / "gaps.tif", spectra)
    job = PredictMap(str(scene), str(trained[0] / "m.safetensors"), str(tmp_path / "map.tif"), str(tmp_path / "c.tif"))
    run_job(job, Recorder())
    with rasterio.open(tmp_path / "map.tif") as dataset:
        assert not dataset.read(1)[10:20, 10:20].any()
        assert (dataset.read(1) == 0).sum() == 100
    with rasterio.open(tmp_path / "c.tif") as dataset:
        assert (dataset.read(1) == dataset.nodata).sum() == 100


def test_the_same_inputs_give_the_same_map(trained, mapped, scene_path, polygons_path, backbone_path, tmp_path):
    run_job(training(scene_path, polygons_path, backbone_path, tmp_path), Recorder())
    run_job(PredictMap(str(scene_path), str(tmp_path / "m.safetensors"), str(tmp_path / "map.tif")), Recorder())
    assert (tmp_path / "map.tif").read_bytes() == (mapped / "map.tif").read_bytes()


def test_bands_in_another_order_and_unit_give_the_same_map(trained, mapped, tmp_path):
    scene = write_scene(tmp_path / "s.tif", make_spectra()[::-1].copy(), wavelengths=WAVELENGTHS[::-1])
    run_job(PredictMap(str(scene), str(trained[0] / "m.safetensors"), str(tmp_path / "map.tif")), Recorder())
    with rasterio.open(tmp_path / "map.tif") as ours, rasterio.open(mapped / "map.tif") as theirs:
        assert (ours.read(1) == theirs.read(1)).mean() > 0.995


def test_a_scene_with_one_more_band_gives_the_same_image(polygons_path, backbone_path, tmp_path):
    spectra, wavelengths = make_spectra(), 450.0 + 8 * np.arange(BANDS)
    one_more = np.concatenate([np.random.default_rng(1).uniform(0, 1, (1, HEIGHT, WIDTH)).astype(np.float32), spectra])
    scene = write_scene(tmp_path / "a.tif", spectra, wavelengths=wavelengths)
    longer = write_scene(tmp_path / "b.tif", one_more, wavelengths=[442.0, *wavelengths])
    run_job(training(scene, polygons_path, backbone_path, tmp_path, method="geodiffnet-f", validate=False), Recorder())
    found = []
    for path in (scene, longer):
        probabilities = tmp_path / "probabilities.tif"
        job = PredictMap(str(path), str(tmp_path / "m.safetensors"), str(tmp_path / "map.tif"),
                         probabilities=str(probabilities))  # fmt: skip
        run_job(job, Recorder())
        with rasterio.open(probabilities) as dataset:
            found.append(dataset.read())
    np.testing.assert_array_equal(*found)


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


def test_assessment_finds_the_agreement_there_is(mapped, polygons_path, tmp_path):
    job = AssessAccuracy(str(mapped / "map.tif"), str(polygons_path), str(tmp_path / "a.html"), reference_crs=CRS)
    values = run_job(job, Recorder())
    assert values["overall_accuracy"] > 95
    report = json.loads((tmp_path / "a.json").read_text())
    assert report["area"]["overall"]["value"] > 90
    assert [c["name"] for c in report["accuracy"]["classes"]] == list(NAMES)


def test_assessment_against_a_label_raster_on_another_grid(mapped, tmp_path):
    labels = np.zeros((HEIGHT // 2, WIDTH // 2), np.uint8)
    labels[:20, :25], labels[20:, 25:] = 1, 4  # "field" is right, the second is called "water" but is "tree"
    with rasterio.open(mapped / "map.tif") as dataset:
        transform = dataset.transform @ dataset.transform.scale(2)
    with rasterio.open(tmp_path / "l.tif", "w", driver="GTiff", width=WIDTH // 2, height=HEIGHT // 2, count=1,
                       dtype="uint8", crs=CRS, transform=transform) as dataset:  # fmt: skip
        dataset.write(labels, 1)
    job = AssessAccuracy(str(mapped / "map.tif"), str(tmp_path / "l.tif"), str(tmp_path / "a.html"))
    recorder = Recorder()
    values = run_job(job, recorder)
    assert values["overall_accuracy"] == pytest.approx(50, abs=3)
    assert "matched by the map's numbers: 1 is field, 4 is water; check that they" in recorder.warnings[0]
    # ENVI's classifications say what their numbers mean.
    with rasterio.open(tmp_path / "l.dat", "w", driver="ENVI", width=WIDTH // 2, height=HEIGHT // 2, count=1,
                       dtype="uint8", crs=CRS, transform=transform) as dataset:  # fmt: skip
        dataset.write(labels, 1)
    with (tmp_path / "l.hdr").open("a") as header:
        header.write("file type = ENVI Classification\nclasses = 5\nclass names = {\nnone, Field, a, b, tree}\n")
    job = AssessAccuracy(str(mapped / "map.tif"), str(tmp_path / "l.dat"), str(tmp_path / "a.html"))
    assert run_job(job, Recorder())["overall_accuracy"] > 95
    # What QGIS knows of them goes the same way.
    job = AssessAccuracy(str(mapped / "map.tif"), str(tmp_path / "l.tif"), str(tmp_path / "a.html"),
                         reference_values=("1", "4"), reference_names=("field", "tree"))  # fmt: skip
    assert run_job(job, Recorder())["overall_accuracy"] > 95


def test_a_raster_of_heights_is_no_reference(mapped, tmp_path, monkeypatch):
    monkeypatch.setattr("spectrafilm.engine.tasks.assess_accuracy.MOST_VALUES", 100)
    with rasterio.open(mapped / "map.tif") as dataset:
        profile = {"driver": "GTiff", "width": WIDTH, "height": HEIGHT, "crs": CRS, "transform": dataset.transform}
    with rasterio.open(tmp_path / "dem.tif", "w", count=1, dtype="float32", **profile) as dataset:
        dataset.write(np.random.default_rng(0).random((HEIGHT, WIDTH), np.float32), 1)
    job = AssessAccuracy(str(mapped / "map.tif"), str(tmp_path / "dem.tif"), str(tmp_path / "a.html"))
    with pytest.raises(EngineError, match="dem.tif holds more than 100 different values and is no label raster"):
        run_job(job, Recorder())
    assert {p.name for p in tmp_path.iterdir()} == {"dem.tif"}


def test_classes_of_the_reference_that_the_map_lacks_are_named(mapped, tmp_path):
    path = write_polygons(tmp_path / "p.geojson", [*quarter_polygons(), ("moon", square(5, 30))])
    recorder = Recorder()
    run_job(AssessAccuracy(str(mapped / "map.tif"), str(path), str(tmp_path / "a.html"), reference_crs=CRS), recorder)
    assert recorder.warnings[0] == "The map has no class moon; reference pixels of it are left out."
    assert "16 of 208 reference pixels" in recorder.warnings[-1]


def test_a_model_remembers_its_backbone_and_says_when_it_is_gone(trained, scene_path, backbone_path, tmp_path):
    moved = tmp_path / "moved"
    shutil.copytree(backbone_path, moved)
    model = Model.load(str(trained[0] / "m.safetensors"))
    other = save_backbone(tmp_path / "other", seed=5)
    with pytest.raises(EngineError, match="was trained with the backbone small .* is another one"):
        run_job(PredictMap(str(scene_path), str(trained[0] / "m.safetensors"), str(tmp_path / "m.tif"),
                           backbone=str(other)), Recorder())  # fmt: skip
    run_job(PredictMap(str(scene_path), str(trained[0] / "m.safetensors"), str(tmp_path / "m.tif"),
                       backbone=str(moved)), Recorder())  # fmt: skip
    assert model.features.backbone == "small"


def test_values_on_another_scale_are_pointed_out(trained, tmp_path):
    scene = write_scene(tmp_path / "s.tif", make_spectra() * np.float32(10000))
    recorder = Recorder()
    run_job(PredictMap(str(scene), str(trained[0] / "m.safetensors"), str(tmp_path / "map.tif")), recorder)
    assert "about 1e+04 times those of the scene" in recorder.warnings[0]


@pytest.fixture
def model_path(trained, tmp_path):
    return shutil.copy(trained[0] / "m.safetensors", tmp_path / "m.safetensors")


def rewritten(path, change, tensors=None):
    """The model file with changed metadata, or tensors."""
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    data = json.loads(metadata[FORMAT])
    change(data)
    save_file({**load_file(path), **(tensors or {})}, path, {FORMAT: json.dumps(data)})


def test_models_that_cannot_be_read_are_one_sentence(model_path, scene_path, backbone_path, tmp_path):
    def load():
        run_job(PredictMap(str(scene_path), str(model_path), str(tmp_path / "out.tif")), Recorder())

    whole = model_path.read_bytes()
    for cut in (0, 4, 100, len(whole) // 2, len(whole) - 1):
        model_path.write_bytes(whole[:cut])
        with pytest.raises(EngineError, match="not a SpectraFiLM model, or it is incomplete"):
            load()
    model_path.write_bytes((backbone_path / "diffusion_pytorch_model.safetensors").read_bytes())
    with pytest.raises(EngineError, match="not a SpectraFiLM model; choose"):
        load()
    model_path.write_bytes(whole)
    for version, sentence in (
        (99, "newer version of SpectraFiLM \\(format 99"), (1, "older version.* run 'Train model' again"),
    ):  # fmt: skip
        rewritten(model_path, lambda d, version=version: d.update(format_version=version))
        with pytest.raises(EngineError, match=sentence):
            load()
    for change in (lambda d: d.pop("classes"), lambda d: d.update(members=2), lambda d: d["classes"].pop(),
                   lambda d: d.update(method="magic"), lambda d: d.update(wavelengths=3),
                   lambda d: d.update(temperature=0), lambda d: d["classes"][0].update(id=0),
                   lambda d: d["classes"][0].update(colour="red"), lambda d: d["band_numbers"].pop(),
                   lambda d: d["smoothing"].update(shares=[0.5] * 9), lambda d: d["smoothing"].update(shares="x"),
                   lambda d: d.update(channels=1e999), lambda d: d.update(channels=3),
                   lambda d: d["classes"][0].update(name=None), lambda d: d["wavelengths"].__setitem__(0, "x"),
                   lambda d: d["band_numbers"].__setitem__(0, 1.5), lambda d: d["features"].update(layers=[[1]]),
                   lambda d: d["features"].update(stride=None)):  # fmt: skip
        model_path.write_bytes(whole)
        rewritten(model_path, change)
        with pytest.raises(EngineError, match="damaged"):
            load()
    for name, spoil, sentence in (
        ("spectral.mean", lambda t: t[:1], "damaged"), ("network.shares", lambda t: t * np.nan, "not finite"),
    ):  # fmt: skip
        model_path.write_bytes(whole)
        rewritten(model_path, lambda d: None, {name: spoil(load_file(model_path)[name])})
        with pytest.raises(EngineError, match=sentence):
            load()
    model_path.unlink()
    with pytest.raises(EngineError, match="does not exist"):
        load()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("wavelengths", "sentence"),
    [
        (WAVELENGTHS[:20], "has no band for 4 of the 24 wavelengths needed"),
        (WAVELENGTHS + 400, "has no band for"),
        (None, "does not say the wavelengths"),
    ],
)
def test_scenes_with_other_bands_are_refused(trained, tmp_path, wavelengths, sentence):
    count = 24 if wavelengths is None else len(wavelengths)
    scene = write_scene(tmp_path / "s.tif", make_spectra()[:count], wavelengths=wavelengths)
    with pytest.raises(EngineError, match=sentence):
        run_job(PredictMap(str(scene), str(trained[0] / "m.safetensors"), str(tmp_path / "map.tif")), Recorder())
    assert {p.name for p in tmp_path.iterdir()} == {"s.tif"}


def test_a_scene_without_a_valid_pixel_is_refused(trained, tmp_path):
    spectra = make_spectra()
    spectra[4] = np.nan
    scene = write_scene(tmp_path / "s.tif", spectra)
    with pytest.raises(EngineError, match="no valid pixel in the 24 bands that the model needs"):
        run_job(PredictMap(str(scene), str(trained[0] / "m.safetensors"), str(tmp_path / "map.tif")), Recorder())
    assert {p.name for p in tmp_path.iterdir()} == {"s.tif"}


def change(path, **values):
    """Change a JSON file."""
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda f: (f / "config.json").unlink(), "no config.json"),
        (lambda f: (f / "config.json").write_text("{"), "does not describe a UNet2DModel"),
        (lambda f: (f / "config.json").write_text('"someone/some-model"'), "it is no JSON object"),
        (lambda f: change(f / "config.json", norm_num_groups=0), "does not describe a UNet2DModel"),
        (lambda f: change(f / "config.json", block_out_channels=[]), "does not describe a UNet2DModel"),
        (lambda f: change(f / "config.json", act_fn=None), "does not describe a UNet2DModel"),
        (lambda f: change(f / "config.json", sample_size=7), "images of 7 pixels, which cannot be halved"),
        (lambda f: change(f / "scheduler_config.json", num_train_timesteps=0), "does not describe a noise schedule"),
        (lambda f: (f / "diffusion_pytorch_model.safetensors").unlink(), "has no weights"),
        (lambda f: (f / "diffusion_pytorch_model.safetensors").write_bytes(b"x" * 50), "are damaged"),
        (lambda f: (f / "scheduler_config.json").unlink(), "no scheduler_config.json"),
        (lambda f: shutil.copy(save_backbone(f.parent / "wide", block_out_channels=(16, 16, 16, 16))
                               / "diffusion_pytorch_model.safetensors", f), "do not fit their config.json"),
    ],
)  # fmt: skip
def test_unusable_backbones_are_one_sentence(scene_path, polygons_path, tmp_path, spoil, sentence):
    folder = save_backbone(tmp_path / "backbone")
    spoil(folder)
    with pytest.raises(EngineError, match=sentence):
        run_job(training(scene_path, polygons_path, folder, tmp_path), Recorder())
    assert not list(tmp_path.glob("*.safetensors"))
    assert not list(tmp_path.glob("*.html"))


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
