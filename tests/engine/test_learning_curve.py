"""The learning curve rises where more polygons help, is flat where they do not, and says so in one sentence."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from synthetic import CRS, QUARTERS, square, write_polygons
from training_pixels import data_of

from spectrafilm.engine.folds import split_by_polygon
from spectrafilm.engine.jobs import TrainFilm
from spectrafilm.engine.labels import Labels
from spectrafilm.engine.learning_curve import PIXELS, _advise, measure_learning_curve
from spectrafilm.engine.methods import METHODS
from spectrafilm.engine.polygons import make_classes
from spectrafilm.engine.progress import Recorder
from spectrafilm.engine.projection import fit_standard
from spectrafilm.engine.runner import run_job
from spectrafilm.engine.training import Samples
from spectrafilm.engine.training_data import TrainingData


def measured(data, seed=0, method="spectral"):
    recorder = Recorder()
    folds = split_by_polygon(data.labels, data.classes, seed, recorder)
    return measure_learning_curve(METHODS[method], data, folds, seed, recorder)


def test_the_curve_rises_where_every_polygon_adds_a_kind():
    curve = measured(data_of(20, kinds=8))
    overall = [p.overall_accuracy for p in curve.points]
    assert overall == sorted(overall)
    assert overall[-1] > overall[0] + 15
    assert [p.polygons for p in curve.points] == [4, 8, 12, 16]
    half, everything = ((p.overall_accuracy + p.average_accuracy) / 2 for p in (curve.points[1], curve.points[3]))
    assert curve.gain == pytest.approx(everything - half)
    assert curve.gain > 2 * curve.error > 0
    assert "would probably help" in curve.advice
    assert f"changes by {curve.gain:+.1f} points (± {curve.error:.1f})" in curve.advice
    assert "'Suggest samples'" in curve.advice
    assert curve.points[0].overall_spread > curve.points[-1].overall_spread == 0


def test_the_curve_is_flat_where_a_few_polygons_say_it_all():
    curve = measured(data_of(12, noise=0.05))
    assert [p.overall_accuracy for p in curve.points] == [100] * 4
    assert (curve.gain, curve.error) == (0, 0)
    assert "would hardly help" in curve.advice


def test_of_few_polygons_and_much_noise_nothing_can_be_said():
    curve = measured(data_of(4, noise=2.0))
    assert len(curve.points) == 4
    assert "cannot be said" in curve.advice


@pytest.mark.parametrize(("gain", "error", "advice"), [
    (1.0, 0.4, "would hardly help"), (1.0, 0.6, "cannot be said"), (5.0, 2.6, "cannot be said"),
    (5.0, 2.5, "would probably help"), (-0.04, 0.1, "changes by +0.0 points"),
])  # fmt: skip
def test_advice_hangs_on_the_interval_of_95_per_cent(gain, error, advice):
    """Polygons are worth their work from two points of accuracy on."""
    assert advice in _advise(gain, error)


@pytest.mark.parametrize(
    ("polygons", "pixels", "reason"),
    [(1, 4, "nothing was cross-validated"), (3, 4, "fewer than 4 polygons"), (PIXELS // 3 + 1, 1, "take long with")],
)
def test_where_there_is_no_curve_the_reason_is_given(polygons, pixels, reason):
    curve = measured(data_of(polygons, pixels=pixels))
    assert curve.points == ()
    assert curve.advice.startswith("No learning curve was measured: ")
    assert reason in curve.advice


def test_large_polygons_crowd_no_small_one_out():
    data = data_of(6, pixels=200)
    small = np.flatnonzero((data.labels.polygons > 0) | (np.arange(len(data.labels)) == 0))
    one_pixel = replace(
        data, labels=data.labels.select(small), spectra=data.spectra[small],
        samples=replace(data.samples, spectra=data.samples.spectra[small], features=data.samples.features[small]),
    )  # fmt: skip
    assert len(small) > PIXELS
    assert measured(one_pixel).points[-1].polygons == pytest.approx(6 * 4 / 5)


def test_large_groups_crowd_no_class_out():
    groups, ids = np.repeat(np.arange(300), 20), np.ones(6000, int)
    ids[[0, 20, 40]] = 2
    labels = Labels(np.arange(6000), np.zeros(6000, int), ids, groups)
    spectra = np.random.default_rng(0).normal(ids[:, None], 0.1, (6000, 5)).astype(np.float32)
    samples = Samples(spectra, np.zeros((6000, 0), np.float32), ids - 1, 2)
    data = TrainingData(make_classes(["tree", "roof"]), labels, spectra, samples, fit_standard(spectra), None, 0, 1.0)
    points = measured(data).points
    assert len(points) == 4
    assert points[-1].average_accuracy > 75


def test_the_same_seed_gives_the_same_curve():
    data = data_of(10, kinds=5)
    assert measured(data, 3) == measured(data, 3)
    assert measured(data, 3).points != measured(data, 4).points


def test_the_stand_in_sees_what_the_network_sees():
    data = data_of(8, noise=0.05)
    deaf = np.random.default_rng(0).normal(0, 1, (len(data.labels), 6)).astype(np.float32)
    data = replace(data, samples=replace(data.samples, features=deaf))
    assert measured(data, method="geodiffnet").points[-1].overall_accuracy < 60
    assert measured(data, method="geodiffnet-f").points[-1].overall_accuracy > 90


def test_log_and_report_hold_the_curve(scene_path, tmp_path):
    squares = [
        (name, square(rows.start + row, columns.start + column))
        for name, (rows, columns) in QUARTERS.items()
        for row, column in ((2, 4), (2, 30), (14, 16), (24, 4), (24, 30))
    ]
    polygons = write_polygons(tmp_path / "p.geojson", squares)
    recorder = Recorder()
    job = TrainFilm(str(scene_path), str(polygons), str(tmp_path / "m.safetensors"), str(tmp_path / "r.html"),
                    polygons_crs=CRS, method="spectral")  # fmt: skip
    run_job(job, recorder)
    curve = json.loads((tmp_path / "r.json").read_text())["learning_curve"]
    assert [p["polygons"] for p in curve["points"]] == [1, 2, 3, 4]
    assert curve["advice"] in recorder.messages
    page = (tmp_path / "r.html").read_text()
    assert page.count("data:image/png;base64,") == 5
    assert "by a quick stand-in" in page
    assert curve["advice"].split(":")[0] in page
    without = Recorder()
    run_job(replace(job, report=""), without)
    assert not any("learning curve" in text for text in without.messages)


def test_a_report_without_a_curve_says_why(scene_path, polygons_path, tmp_path):
    job = TrainFilm(str(scene_path), str(polygons_path), str(tmp_path / "m.safetensors"), str(tmp_path / "r.html"),
                    polygons_crs=CRS, method="spectral")  # fmt: skip
    run_job(job, Recorder())
    assert "every class has fewer than 4 polygons" in (tmp_path / "r.html").read_text()
    curve = json.loads((tmp_path / "r.json").read_text())["learning_curve"]
    assert (curve["points"], curve["gain"]) == ([], None)
