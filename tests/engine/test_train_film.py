"""Training with few, odd or unusable labels, with every method, and with choices that overrule each other."""

from __future__ import annotations

import json

import pytest
import rasterio
from synthetic import (
    make_spectra,
    quarter_polygons,
    square,
    write_polygons,
    write_scene,
)
from training_job import training

from spectrafilm.engine.errors import EngineError
from spectrafilm.engine.jobs import PredictMap
from spectrafilm.engine.model import Model
from spectrafilm.engine.progress import Recorder
from spectrafilm.engine.runner import run_job


def test_training_without_validation_gives_a_model_and_no_figures(scene_path, polygons_path, backbone_path, tmp_path):
    values = run_job(training(scene_path, polygons_path, backbone_path, tmp_path, validate=False), Recorder())
    assert set(values.values()) == {None}
    assert json.loads((tmp_path / "r.json").read_text())["accuracy"] is None
    model = Model.load(str(tmp_path / "m.safetensors"))
    assert (model.scores, model.temperature) == ({}, 1.0)
    # Nothing tells the experts apart but that one sees the spectrum alone.
    first, *others = model.network.shares.tolist()
    assert first == pytest.approx(0.25, abs=0.05)
    assert others == pytest.approx([(1 - first) / 3] * 3)


@pytest.mark.parametrize("method", ["geodiffnet-f", "geodiffnet", "spectral"])
def test_every_method_trains_and_maps(scene_path, polygons_path, backbone_path, tmp_path, method):
    run_job(training(scene_path, polygons_path, backbone_path, tmp_path, method=method), Recorder())
    job = PredictMap(str(scene_path), str(tmp_path / "m.safetensors"), str(tmp_path / "map.tif"),
                     uncertainty=str(tmp_path / "u.tif"))  # fmt: skip
    run_job(job, Recorder())
    with rasterio.open(tmp_path / "u.tif") as dataset:
        values = dataset.read(1)
        assert 0 <= values.min() < values.max() <= 1


@pytest.mark.parametrize("count", [1, 2])
def test_a_class_of_one_polygon_or_one_pixel_works_with_a_warning(scene_path, backbone_path, tmp_path, count):
    few = [("tree", square(60, 60, count))]
    polygons = write_polygons(tmp_path / "p.geojson", [f for f in quarter_polygons() if f[0] != "tree"] + few)
    recorder = Recorder()
    values = run_job(training(scene_path, polygons, backbone_path, tmp_path), recorder)
    assert values["overall_accuracy"] > 90
    assert any("Only one polygon was drawn for tree" in w for w in recorder.warnings)
    assert any("has only" in w for w in recorder.warnings)
    assert "Only one polygon" in (tmp_path / "r.html").read_text()


def test_one_polygon_a_class_is_mapped_but_not_validated(scene_path, backbone_path, tmp_path):
    polygons = write_polygons(tmp_path / "p.geojson", quarter_polygons()[::3])
    values = run_job(training(scene_path, polygons, backbone_path, tmp_path), Recorder())
    assert set(values.values()) == {None}
    assert "every class has a single polygon" in (tmp_path / "r.html").read_text()
    recorder = Recorder()
    run_job(PredictMap(scene_path, str(tmp_path / "m.safetensors"), str(tmp_path / "map.tif"),
                       confidence=str(tmp_path / "c.tif")), recorder)  # fmt: skip
    assert any("confidences are not calibrated" in w for w in recorder.warnings)


def test_choices_that_another_one_overrules_are_named(scene_path, polygons_path, backbone_path, tmp_path):
    recorder = Recorder()
    run_job(training(scene_path, polygons_path, backbone_path, tmp_path, method="spectral", layers=(1,), analyse=True,
                     validate=False), recorder)  # fmt: skip
    expected = "Not used, since Spectral only sees no spatial features: backbone, decoder layers, analysis."
    assert expected in recorder.warnings
    assert "Not validated, as asked for." in (tmp_path / "r.html").read_text()


def test_polygons_on_nodata_are_one_sentence(backbone_path, polygons_path, tmp_path):
    spectra = make_spectra()
    spectra[:, :60] = -1.0
    scene = write_scene(tmp_path / "s.tif", spectra)
    polygons = write_polygons(tmp_path / "p.geojson", [f for f in quarter_polygons() if f[0] in ("field", "roof")])
    with pytest.raises(EngineError, match="fewer than two classes"):
        run_job(training(scene, polygons, backbone_path, tmp_path), Recorder())


def test_polygons_that_cover_each_other_whole_are_one_sentence(scene_path, backbone_path, tmp_path):
    features = [(name, square(10, 10)) for name in ("field", "roof")]
    polygons = write_polygons(tmp_path / "p.geojson", features)
    with pytest.raises(EngineError, match="No pixel is labelled by one class alone"):
        run_job(training(scene_path, polygons, backbone_path, tmp_path), Recorder())
