"""The grid of decoder layers and timesteps: what it measures, what it recommends, and who takes it over."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from synthetic import CRS, QUARTERS, make_spectra, save_backbone, square, write_polygons, write_scene

from spectrafilm.engine.backbone import Backbone
from spectrafilm.engine.composites import make_composites
from spectrafilm.engine.device import choose_device
from spectrafilm.engine.errors import EngineError
from spectrafilm.engine.feature_analysis import compute_activations
from spectrafilm.engine.feature_source import ComputedFeatures
from spectrafilm.engine.folds import Folds
from spectrafilm.engine.jobs import AnalyseFeatures, TrainFilm
from spectrafilm.engine.labels import Labels
from spectrafilm.engine.methods import DEFAULT
from spectrafilm.engine.model import Model
from spectrafilm.engine.patches import SceneImages
from spectrafilm.engine.progress import Recorder
from spectrafilm.engine.quick_judge import Judge, merit
from spectrafilm.engine.runner import run_job
from spectrafilm.engine.scene import Scene
from spectrafilm.engine.survey import survey_scene
from spectrafilm.engine.tasks.training_inputs import settings_for


def analysis(scene, polygons, backbone, folder, **changes):
    options = {"scene": str(scene), "polygons": str(polygons), "polygons_crs": CRS, "backbone": str(backbone),
               "report": str(folder / "analysis.html"), **changes}  # fmt: skip
    return AnalyseFeatures(**options)


def training(scene, polygons, backbone, folder, **changes):
    options = {"scene": str(scene), "polygons": str(polygons), "polygons_crs": CRS, "backbone": str(backbone),
               "model": str(folder / "m.safetensors"), "validate": False, **changes}  # fmt: skip
    return TrainFilm(**options)


@pytest.fixture(scope="module")
def analysed(scene_path, polygons_path, backbone_path, tmp_path_factory):
    folder = tmp_path_factory.mktemp("analysis")
    recorder = Recorder()
    passes: Counter[int] = Counter()
    original = Backbone.activations

    def counted(self, images, timestep, layers):
        passes[timestep] += len(images)
        return original(self, images, timestep, layers)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Backbone, "activations", counted)
        job = analysis(scene_path, polygons_path, backbone_path, folder, layers=(2, 5, 7), timesteps=(0, 300))
        values = run_job(job, recorder)
    return folder, values, recorder, passes


def test_every_layer_is_judged_at_every_timestep(analysed):
    folder, values, recorder, _ = analysed
    report = json.loads((folder / "analysis.json").read_text())
    assert [(c["layers"], c["timesteps"]) for c in report["cells"]] == [
        ([layer], [timestep]) for layer in (2, 5, 7) for timestep in (0, 300)
    ]
    assert report["combinations"][0]["layers"] == [7, 8]  # the default, though not in the grid
    assert [len(c["layers"]) for c in report["combinations"][1:]] == [2, 3]
    assert report["samples"] == 12 * 16
    assert report["polygons"] == 12
    assert values["overall_accuracy"] == report["recommended"]["with_spectra"]["overall_accuracy"]
    assert recorder.positions == sorted(recorder.positions)
    assert recorder.positions[-1] == 1.0


def test_activations_are_those_of_their_layer_and_timestep(scene_path, backbone_path, progress):
    backbone = Backbone.load(str(backbone_path), choose_device("cpu", progress))
    with Scene.open(str(scene_path)) as scene:
        survey = survey_scene(scene)
        composites = make_composites("principal components", survey)
        settings = settings_for(DEFAULT, backbone, composites, (), (), 0)
        source = ComputedFeatures(SceneImages(scene, survey.bands, composites), backbone, settings)
        rows, columns = np.array([5, 40, 70]), np.array([90, 3, 50])
        found = compute_activations(source, rows, columns, {7, 2}, {300, 0}, progress)
        assert set(found) == {(2, 0), (2, 300), (7, 0), (7, 300)}
        for (layer, timestep), activations in found.items():
            alone = source.changed(layers=(layer,), timesteps=(timestep,), neighbourhoods=())
            np.testing.assert_allclose(activations, alone.at(rows, columns, progress), rtol=2e-3, atol=2e-3)


def test_the_unet_sees_a_patch_once_per_timestep(analysed, polygons_path, scene_path, backbone_path, tmp_path):
    passes = analysed[3]
    # The backbone looks at one image by itself when it is loaded, at timestep 0.
    assert passes[0] - 1 == passes[300] > 0


def test_on_an_easy_scene_the_default_is_kept(analysed):
    folder, values, _, _ = analysed
    report = json.loads((folder / "analysis.json").read_text())
    assert report["spectra_alone"]["overall_accuracy"] > 95
    assert values["layers"] == "7,8"
    assert report["is_default"]


def test_training_takes_the_recommendation_over(analysed, scene_path, polygons_path, backbone_path, tmp_path):
    folder = analysed[0]
    report = json.loads((folder / "analysis.json").read_text())
    report["recommended"] = report["cells"][3]
    chosen = tmp_path / "analysis.json"
    chosen.write_text(json.dumps(report))
    run_job(training(scene_path, polygons_path, backbone_path, tmp_path, analysis=str(chosen)), Recorder())
    features = Model.load(str(tmp_path / "m.safetensors")).features
    assert (features.layers, features.timesteps) == ((5,), (300,))
    # What the user says goes first.
    job = training(scene_path, polygons_path, backbone_path, tmp_path, analysis=str(chosen), layers=(4,))
    run_job(job, Recorder())
    features = Model.load(str(tmp_path / "m.safetensors")).features
    assert (features.layers, features.timesteps) == ((4,), (0,))


def test_training_can_analyse_by_itself(scene_path, polygons_path, backbone_path, tmp_path):
    recorder = Recorder()
    run_job(training(scene_path, polygons_path, backbone_path, tmp_path, analyse=True), recorder)
    assert Model.load(str(tmp_path / "m.safetensors")).features.layers
    assert recorder.positions == sorted(recorder.positions)
    assert sum(text.startswith("Class ") for text in recorder.messages) == 4


def test_an_analysis_of_another_backbone_or_another_file_is_refused(
    analysed, scene_path, polygons_path, tmp_path
):
    other = save_backbone(tmp_path / "other", seed=1)
    report = analysed[0] / "analysis.html"
    with pytest.raises(EngineError, match="same backbone"):
        run_job(training(scene_path, polygons_path, other, tmp_path, analysis=str(report)), Recorder())
    stranger = tmp_path / "stranger.json"
    stranger.write_text('{"accuracy": 1}')
    with pytest.raises(EngineError, match="no report of"):
        run_job(training(scene_path, polygons_path, other, tmp_path, analysis=str(stranger)), Recorder())
    with pytest.raises(EngineError, match="cannot be read"):
        run_job(training(scene_path, polygons_path, other, tmp_path, analysis=str(tmp_path / "no.json")), Recorder())
    assert not (tmp_path / "m.safetensors").exists()


def test_single_polygons_cannot_be_compared(scene_path, backbone_path, tmp_path):
    polygons = [(name, square(rows.start + 8, columns.start + 8)) for name, (rows, columns) in QUARTERS.items()]
    path = write_polygons(tmp_path / "p.geojson", polygons)
    with pytest.raises(EngineError, match="at least two polygons a class"):
        run_job(analysis(scene_path, path, backbone_path, tmp_path), Recorder())
    assert not list(tmp_path.glob("analysis*"))


def test_a_layer_that_does_not_exist_is_named(scene_path, polygons_path, backbone_path, tmp_path):
    with pytest.raises(EngineError, match=r"no decoder layer 12; it has the layers 0 \(deepest\) to 11"):
        run_job(analysis(scene_path, polygons_path, backbone_path, tmp_path, layers=(12,)), Recorder())


def test_a_layer_given_twice_is_judged_once(scene_path, polygons_path, backbone_path, tmp_path):
    job = analysis(scene_path, polygons_path, backbone_path, tmp_path, layers=(7, 7), timesteps=(0, 0))
    run_job(job, Recorder())
    report = json.loads((tmp_path / "analysis.json").read_text())
    assert [(c["layers"], c["timesteps"]) for c in report["cells"]] == [([7], [0])]
    assert len(report["combinations"]) == 1


def test_where_spectra_say_nothing_texture_decides(backbone_path, tmp_path):
    """Two classes of one mean spectrum, one of them striped: only spatial features tell them apart."""
    spectra = make_spectra()
    rng = np.random.default_rng(0)
    flat = np.broadcast_to(spectra.mean((1, 2))[:, None, None], spectra.shape)
    stripes = np.where(np.arange(spectra.shape[2]) // 2 % 2, 0.5, 1.5)[None, None]
    # Brightness varies as much in the smooth half, without a pattern.
    blobs = np.repeat(np.repeat(rng.choice([0.5, 1.5], (20, 25)), 4, 0), 4, 1)[None]
    striped = np.arange(spectra.shape[1])[None, :, None] < 40
    scene = write_scene(tmp_path / "s.tif", (flat * np.where(striped, stripes, blobs)).astype(np.float32))
    places = [(row, column) for row in (4, 16, 28) for column in (6, 30, 54, 78)]
    polygons = write_polygons(tmp_path / "p.geojson", [
        (name, square(row + offset, column, 6)) for name, offset in (("striped", 0), ("plain", 40))
        for row, column in places
    ])  # fmt: skip
    run_job(analysis(scene, polygons, backbone_path, tmp_path, timesteps=(0,)), Recorder())
    report = json.loads((tmp_path / "analysis.json").read_text())
    assert report["spectra_alone"]["overall_accuracy"] < 75
    assert report["best"]["with_spectra"]["overall_accuracy"] > 80
    assert report["recommended"]["with_spectra"]["overall_accuracy"] > 80


def test_the_standard_error_of_a_gain_counts_polygons_not_pixels():
    ids = np.repeat([1, 2], 40)
    labels = Labels(np.zeros(80, int), np.zeros(80, int), ids, np.repeat(np.arange(8), 10))
    everything = np.ones(80, bool)
    judge = Judge(labels, Folds((everything,), (everything,), everything), 2)
    right, one_polygon_wrong = ids.copy(), ids.copy()
    one_polygon_wrong[:10] = 2
    figures = judge.figures(one_polygon_wrong)
    assert (figures.overall_accuracy, figures.average_accuracy) == (87.5, 87.5)
    gain, error = judge.gain(right, one_polygon_wrong)
    assert gain == pytest.approx(10 / 80)
    # A single polygon makes the difference: it may as well be chance. 2.36 is Student's for eight polygons.
    assert error == pytest.approx(gain * 2.36 / 1.96, rel=0.01)
    scattered = ids.copy()
    scattered[::8] = 3 - scattered[::8]
    gain, error = judge.gain(right, scattered)
    assert error < gain / 2
    # Several runs are averaged.
    assert judge.gain(right, np.stack([right, scattered])) == pytest.approx((gain / 2, error / 2))
    for polygons, finite in ((ids, True), (np.ones(80, int), False)):
        few = replace(judge, labels=replace(labels, polygons=polygons))
        assert np.isfinite(few.gain(right, scattered)[1]) == finite


def test_noise_beside_the_spectra_does_not_look_helpful():
    """It widens a kernel of one width, from which spectra gain that a narrow one serves badly."""
    ids, fold = np.repeat([1, 2], 40), np.arange(80) % 5
    labels = Labels(np.zeros(80, int), np.zeros(80, int), ids, np.arange(80))
    testing = tuple(fold == f for f in range(5))
    judge = Judge(labels, Folds(tuple(~t for t in testing), testing, np.ones(80, bool)), 2)
    gains = {judge.predict: 0.0, judge.predict_best: 0.0}
    for seed in range(6):
        rng = np.random.default_rng(seed)
        spectra = 2 * (rng.normal(size=(80, 4)) + np.outer(ids == 2, [1.2, 0.6, 0.0, 0.0]))
        both = np.concatenate([spectra, rng.normal(scale=0.3, size=(80, 60))], 1)
        for predict in gains:
            gains[predict] += (merit(judge.figures(predict(both))) - merit(judge.figures(predict(spectra)))) / 12
    assert gains[judge.predict] > 2
    assert gains[judge.predict_best] < 1


def test_features_without_any_variation_can_be_judged():
    ids = np.repeat([1, 2], 10)
    labels = Labels(np.zeros(20, int), np.zeros(20, int), ids, np.arange(20))
    fold = np.arange(20) % 2 == 0
    judge = Judge(labels, Folds((fold, ~fold), (~fold, fold), np.ones(20, bool)), 2)
    assert judge.figures(judge.predict_best(np.zeros((20, 3)))).overall_accuracy == 50
