"""A model keeps what it was made with, and says where a scene or its own file does not fit it."""

from __future__ import annotations

import importlib.metadata
import json
import shutil

import numpy as np
import pytest
import rasterio
import torch
from rasterio.enums import ColorInterp
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from synthetic import BANDS, WAVELENGTHS, make_spectra, save_backbone, write_scene

from spectrafilm.engine.calibration import mixture
from spectrafilm.engine.ensemble import FilmEnsemble
from spectrafilm.engine.errors import EngineError
from spectrafilm.engine.features import FeatureExtractor
from spectrafilm.engine.jobs import PredictMap
from spectrafilm.engine.methods import METHODS
from spectrafilm.engine.model import FORMAT, Model
from spectrafilm.engine.polygons import make_classes
from spectrafilm.engine.progress import Recorder
from spectrafilm.engine.projection import Projection
from spectrafilm.engine.runner import run_job
from spectrafilm.engine.scene import Scene
from spectrafilm.engine.smoothing import Smoothing
from spectrafilm.engine.survey import survey_scene
from spectrafilm.engine.tasks.model_on_scene import compare_values, model_bands
from spectrafilm.engine.version import plugin_version


def small_model(scene_path, **changes):
    """A spectral model of two classes that was not trained."""
    with Scene.open(str(scene_path)) as scene:
        survey = survey_scene(scene)
    projection = Projection(survey.pixels.mean(0), np.eye(BANDS, dtype=np.float32))
    torch.manual_seed(0)
    network = FilmEnsemble(2, BANDS, 0, 0, 2).eval()
    network.join_kernel(network.empty_kernel(3))
    options = {"wavelengths": (), "spatial": None, "usual": (None,) * BANDS, **changes}
    return Model(METHODS["spectral"], make_classes(["a", "b"]), band_numbers=tuple(range(1, BANDS + 1)),
                 spectral=projection, network=network, **options)  # fmt: skip


def test_a_model_keeps_its_temperature_and_its_smoothing(scene_path, tmp_path):
    model = small_model(scene_path, temperature=2.5, smoothing=Smoothing((0.4,), 0.7))
    model.save(tmp_path / "m.safetensors")
    again = Model.load(str(tmp_path / "m.safetensors"))
    assert (again.temperature, again.smoothing) == (2.5, Smoothing((0.4,), 0.7))
    logits = np.random.default_rng(0).normal(0, 3, (2, 5, 2))
    np.testing.assert_allclose(again.classification(logits).probabilities, mixture(logits, 2.5))


def test_a_model_that_is_saved_under_its_name_stays_what_it_was(scene_path, tmp_path):
    """Where tensors are still read from the file, they would change as it does."""
    path = tmp_path / "m.safetensors"
    small_model(scene_path).save(path)
    model = Model.load(str(path))
    means = model.spectral.mean.copy()
    model.smoothing = Smoothing((0.4, 0.25), 0.75)
    model.save(path)
    np.testing.assert_array_equal(model.spectral.mean, means)


def test_a_model_says_what_software_wrote_it(scene_path, tmp_path):
    small_model(scene_path).save(tmp_path / "m.safetensors")
    with safe_open(tmp_path / "m.safetensors", "pt") as file:
        software = json.loads(file.metadata()[FORMAT])["software"]
    assert software["spectrafilm"] == plugin_version()
    assert software["torch"] == importlib.metadata.version("torch")


def warnings_about_values(model, path, progress):
    with Scene.open(str(path)) as scene:
        compare_values(model, scene, list(scene.bands), progress)
    return progress.warnings


@pytest.mark.parametrize(("scale", "warned"), [(1e-4, True), (1.0, False), (1e4, True)])
def test_values_on_another_scale_are_pointed_out_either_way(scene_path, tmp_path, progress, scale, warned):
    path = write_scene(tmp_path / "s.tif", make_spectra() * np.float32(scale))
    warnings = warnings_about_values(small_model(scene_path), path, progress)
    assert [f"about {scale:.3g} times" in warning for warning in warnings] == [True] * warned


def test_values_are_compared_where_all_bands_have_data(scene_path, tmp_path, progress):
    spectra = make_spectra() * np.float32(1e4)
    spectra[0, :2] = np.nan
    spectra[1:, 2:4] = np.nan
    path = write_scene(tmp_path / "s.tif", spectra)
    assert "times those of the scene the model" in warnings_about_values(small_model(scene_path), path, progress)[0]


def test_a_bad_band_is_not_taken_for_one_of_the_model(scene_path, tmp_path, progress):
    model = small_model(scene_path, wavelengths=tuple(WAVELENGTHS))
    path = write_scene(tmp_path / "s.tif", make_spectra())
    with rasterio.open(path, "r+") as dataset:
        dataset.update_tags(3, bbl="0")
    with Scene.open(str(path)) as scene, pytest.raises(EngineError, match=r"no band for 1 of the 24 .* \(498 nm\)"):
        model_bands(model, scene, progress)


def test_a_band_of_opacity_is_not_taken_for_one_of_a_model_that_knows_numbers_only(scene_path, tmp_path, progress):
    """As where a model of red, green, blue and infrared is to map a picture with a band of opacity."""
    path = write_scene(tmp_path / "s.tif", make_spectra(), wavelengths=None)
    with rasterio.open(path, "r+") as dataset:
        dataset.write(np.ones(dataset.shape, np.float32), BANDS)
        dataset.colorinterp = [*dataset.colorinterp[:-1], ColorInterp.alpha]
    with Scene.open(str(path)) as scene, pytest.raises(EngineError, match=r"needs band 24, which .*s\.tif .* opacity"):
        model_bands(small_model(scene_path), scene, progress)


def test_without_wavelengths_bands_are_those_of_the_same_numbers(scene_path, tmp_path, progress):
    model = small_model(scene_path)
    with Scene.open(str(scene_path)) as scene:
        assert [band.number for band in model_bands(model, scene, progress)] == list(range(1, BANDS + 1))
    path = write_scene(tmp_path / "s.tif", make_spectra()[:20])
    with Scene.open(str(path)) as scene, pytest.raises(EngineError, match=r"needs band 24, but .*s\.tif has 20 bands"):
        model_bands(model, scene, progress)


def test_a_band_that_leaves_pixels_without_a_class_is_named(scene_path, tmp_path, progress):
    spectra = make_spectra()
    spectra[6, :, :40] = np.nan
    path = write_scene(tmp_path / "s.tif", spectra)
    assert warnings_about_values(small_model(scene_path), path, progress) == [
        "Band 7 (593 nm) alone has no data in 40% of the pixels that are valid in every other band; those pixels "
        "cannot be classified."
    ]


def test_undeclared_fill_values_of_a_scene_to_be_mapped_are_pointed_out(scene_path, tmp_path, progress):
    spectra = make_spectra()
    spectra[:, :20] = -9999.0
    path = write_scene(tmp_path / "s.tif", spectra, nodata=None)
    warnings = warnings_about_values(small_model(scene_path), path, progress)
    # The scale is that of the other pixels.
    assert [warning[:45] for warning in warnings] == ["About 25% of the pixels are -9999 in every ba"]


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


def test_a_model_does_not_have_another_computer_asked_for_its_backbone(model_path, scene_path, backbone_path, tmp_path):
    """Windows logs in where a path like //server/share/small leads; here it leads to /server/share/small."""
    moved = f"/{shutil.copytree(backbone_path, tmp_path / 'moved')}"
    rewritten(model_path, lambda d: d["features"].update(backbone_path=moved))
    with pytest.raises(EngineError, match="It was at //.*moved, on another computer than the model"):
        run_job(PredictMap(str(scene_path), str(model_path), str(tmp_path / "m.tif")), Recorder())
    for model, backbone in ((str(model_path), moved), (f"/{model_path}", "")):
        run_job(PredictMap(str(scene_path), model, str(tmp_path / "m.tif"), backbone=backbone), Recorder())


def test_the_unet_is_not_run_where_no_expert_asks_for_it(trained, scene_path, tmp_path, monkeypatch):
    model = Model.load(str(trained[0] / "m.safetensors"))
    assert model.network.experts_named == ("spectral", "neighbourhood", "FiLM", "kernel")
    runs, found = [], []
    real = FeatureExtractor._activations
    monkeypatch.setattr(FeatureExtractor, "_activations", lambda *arguments: runs.append(1) or real(*arguments))
    paths = [str(tmp_path / name) for name in ("m.safetensors", "map.tif", "c.tif", "p.tif", "u.tif")]
    for least in (1e-9, 0.0):
        model.network.shares.copy_(torch.tensor([0.3, 0.7, least, least]))
        model.save(tmp_path / "m.safetensors")
        before = len(runs)
        run_job(PredictMap(str(scene_path), *paths), Recorder())
        found.append((len(runs) - before, [rasterio.open(path).read() for path in paths[2:]]))
    (with_unet, expected), (without, same) = found
    assert with_unet
    assert not without
    for one, other in zip(expected, same, strict=True):
        np.testing.assert_allclose(other, one, atol=1e-5)


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
    # As where the disk kept room for the rest of a copy.
    model_path.write_bytes(whole[:-9000] + bytes(9000))
    with pytest.raises(EngineError, match=r"its content is not what was written\); copy it again"):
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
                   lambda d: d["features"].update(stride=None), lambda d: d["features"].update(seed=-1),
                   lambda d: d["features"].update(layers=[]), lambda d: d["features"].update(neighbourhoods=[2, 5]),
                   lambda d: d["features"].update(neighbourhoods=[3]), lambda d: d["features"].update(composites="{}"),
                   # Of 10^14 bytes.
                   lambda d: d.update(members=10**9),
                   lambda d: d.update(temperature=1e9), lambda d: d.update(features=None),
                   lambda d: d.update(usual=[[1.0]] * len(d["usual"])), lambda d: d["usual"].__setitem__(0, 0),
                   lambda d: d.update(scores="x"), lambda d: d["scores"].update(polygons="many"),
                   lambda d: d["band_numbers"].__setitem__(0, 10**30)):  # fmt: skip
        model_path.write_bytes(whole)
        rewritten(model_path, change)
        with pytest.raises(EngineError, match="damaged") as raised:
            load()
        assert "\n" not in str(raised.value) and len(str(raised.value)) < 250 + len(str(model_path))
    for name, spoil, sentence in (
        ("spectral.mean", lambda t: t[:1], "damaged"), ("network.shares", lambda t: t * np.nan, "not finite"),
        ("network.shares", lambda t: t * 0, "do not add up to 1"), ("spectral.components", lambda t: t[0], "damaged"),
        ("spectral.mean", lambda t: t.to(torch.float8_e4m3fn), "incomplete"),
    ):  # fmt: skip
        model_path.write_bytes(whole)
        rewritten(model_path, lambda d: None, {name: spoil(load_file(model_path)[name])})
        with pytest.raises(EngineError, match=sentence):
            load()
    model_path.write_bytes(whole)
    whole_numbers = load_file(model_path)["network.kernel.weights"].int()
    rewritten(model_path, lambda d: None, {"network.kernel.weights": whole_numbers})
    load()  # whole numbers, or such of another precision, are numbers, too
    for path in tmp_path.glob("out.*"):
        path.unlink()
    save_file({}, model_path, {FORMAT: "[" * 100_000})
    with pytest.raises(EngineError, match="nested too deeply"):
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
