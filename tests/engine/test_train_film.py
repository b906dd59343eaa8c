"""Training with few, odd or unusable labels, with every method, and with choices that overrule each other."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import rasterio
import rasterio.shutil
import torch
from synthetic import (
    BANDS,
    CRS,
    make_spectra,
    quarter_polygons,
    save_backbone,
    square,
    write_polygons,
    write_scene,
)
from training_job import COLOURS, NAMES, training

from spectrafilm.engine.errors import EngineError
from spectrafilm.engine.folds import split_by_polygon
from spectrafilm.engine.jobs import AssessAccuracy, ExtractFeatures, PredictMap, PretrainScene, SelectBands
from spectrafilm.engine.model import Model
from spectrafilm.engine.progress import Recorder
from spectrafilm.engine.runner import run_job
from spectrafilm.engine.scene import Scene
from spectrafilm.engine.tasks.training_inputs import read_labels


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
    assert any("Only one polygon or group labels pixels of tree" in w for w in recorder.warnings)
    assert any(f"only a few labelled pixels of tree ({count**2})" in w for w in recorder.warnings)
    assert "Only one polygon" in (tmp_path / "r.html").read_text()


def test_pixels_that_polygons_share_or_cover_in_part_are_told_of(scene_path, tmp_path):
    # Two of the four pixels of the first lie in the second, too; one of these and three others have a part in neither.
    first, second = NAMES[:2]
    meeting = [(first, square(8, 8, 1.75)), (second, square(8, 9.75, 2))]
    polygons = write_polygons(tmp_path / "p.geojson", quarter_polygons() + meeting)
    for method, told in (("spectral", 2), ("geodiffnet-f", 0)):
        recorder = Recorder()
        run_job(training(scene_path, polygons, save_backbone(tmp_path / "b"), tmp_path, method=method, validate=False,
                         report=""), recorder)  # fmt: skip
        shared = "2 of 200 pixels lie in polygons of several classes and are trained as mixtures of these."
        partly = "4 of 200 pixels show in part what no polygon tells of them, or mostly other classes; they count less."
        assert [m for m in recorder.messages if m in (shared, partly)] == [shared, partly][:told]


def test_polygons_of_a_group_stay_on_one_side_whatever_their_classes(scene_path, backbone_path, tmp_path):
    # Of the three polygons of each class, two lie in the same plot, where all classes are; the third has none.
    polygons = write_polygons(tmp_path / "p.geojson", quarter_polygons())
    collection = json.loads(polygons.read_text())
    for index, feature in enumerate(collection["features"]):
        feature["properties"]["plot"] = None if index % 3 == 2 else 7.0
    polygons.write_text(json.dumps(collection))
    job = training(scene_path, polygons, backbone_path, tmp_path, group_field="plot")
    recorder = Recorder()
    with Scene.open(str(scene_path)) as scene:
        classes, labels, _ = read_labels(job, scene, recorder)
    assert "12 polygons with labels are 5" in recorder.messages[-1]
    folds = split_by_polygon(labels, classes, 0, recorder)
    sides = [[set(labels.polygons[side]) for side in fold] for fold in zip(folds.training, folds.testing, strict=True)]
    assert len(sides) == 2
    assert all(not trained & tested for trained, tested in sides)
    run_job(job, recorder)
    report = json.loads((tmp_path / "r.json").read_text())
    assert [row["polygons"] for row in report["label_rows"]] == [2] * 4
    assert report["accuracy"]["groups"] == len(set.union(*(tested for _, tested in sides)))
    assert "Polygons of one group count as one polygon" in (tmp_path / "r.html").read_text()
    with pytest.raises(EngineError, match="no field 'field'; choose the field that holds what belongs together"):
        run_job(replace(job, group_field="field"), recorder)


def test_a_polygon_of_the_wrong_class_is_named_in_the_report(scene_path, backbone_path, tmp_path):
    right, wrong = NAMES[:2]
    drawn = quarter_polygons()
    at = next(index for index, (name, _) in enumerate(drawn) if name == right)
    drawn[at] = (wrong, drawn[at][1])
    polygons = write_polygons(tmp_path / "p.geojson", drawn)
    collection = json.loads(polygons.read_text())
    for number, feature in enumerate(collection["features"], 100):
        feature["id"] = number
    polygons.write_text(json.dumps(collection))
    recorder = Recorder()
    run_job(training(scene_path, polygons, backbone_path, tmp_path), recorder)
    assert any(m.startswith("1 polygon(s) are taken for another class") for m in recorder.messages)
    (doubtful,) = json.loads((tmp_path / "r.json").read_text())["doubtful"]
    ring = np.array(drawn[at][1]["coordinates"][0])
    assert (doubtful["polygon"], doubtful["pixels"]) == (f"feature {100 + at}", 16)
    assert (doubtful["class"]["name"], doubtful["taken_for"]["name"]) == (wrong, right)
    assert doubtful["probability"] < 0.5 < doubtful["probability_of_other"]
    assert (ring.min(0) < (doubtful["x"], doubtful["y"])).all() and ((doubtful["x"], doubtful["y"]) < ring.max(0)).all()
    assert f"feature {100 + at}" in (tmp_path / "r.html").read_text()


def test_where_no_polygon_is_doubtful_nothing_is_said_of_any(scene_path, polygons_path, backbone_path, tmp_path):
    recorder = Recorder()
    run_job(training(scene_path, polygons_path, backbone_path, tmp_path), recorder)
    assert json.loads((tmp_path / "r.json").read_text())["doubtful"] == []
    assert "Polygons to look at" not in (tmp_path / "r.html").read_text()
    assert not any("taken for another class" in m for m in recorder.messages)


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
    recorder = Recorder()
    run_job(PredictMap(scene_path, str(tmp_path / "m.safetensors"), str(tmp_path / "map.tif"),
                       features=str(tmp_path / "f.tif"), backbone=backbone_path), recorder)  # fmt: skip
    expected = "Not used, since the model, Spectral only, sees no spatial features: features, backbone."
    assert expected in recorder.warnings


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


def test_a_scene_without_red_has_a_report(backbone_path, polygons_path, tmp_path):
    wavelengths = np.r_[np.linspace(430, 550, 12), np.linspace(800, 1000, 12)]
    scene = write_scene(tmp_path / "s.tif", make_spectra(), wavelengths=wavelengths)
    run_job(training(scene, polygons_path, backbone_path, tmp_path, method="spectral"), Recorder())
    assert (tmp_path / "r.html").exists()


def test_names_of_classes_may_hold_dollar_signs(scene_path, backbone_path, tmp_path):
    features = [(f"{name} $x^$ y", geometry) for name, geometry in quarter_polygons()]
    polygons = write_polygons(tmp_path / "p.geojson", features)
    run_job(training(scene_path, polygons, backbone_path, tmp_path, method="spectral"), Recorder())
    assert [c.name for c in Model.load(str(tmp_path / "m.safetensors")).classes] == [
        "field $x^$ y", "roof $x^$ y", "tree $x^$ y", "water $x^$ y",
    ]  # fmt: skip


def test_kappa_of_a_single_validated_class_is_not_defined(scene_path, backbone_path, tmp_path):
    one_each = list(dict(quarter_polygons()).items())
    polygons = write_polygons(tmp_path / "p.geojson", [*one_each, ("field", square(4, 4)), ("field", square(20, 20))])
    recorder = Recorder()
    values = run_job(training(scene_path, polygons, backbone_path, tmp_path, method="spectral"), recorder)
    assert values["kappa"] is None
    assert "kappa not defined" in " ".join(recorder.messages)
    assert Model.load(str(tmp_path / "m.safetensors")).scores["kappa"] is None


def test_what_a_run_reads_is_never_overwritten(polygons_path, backbone_path, tmp_path):
    """The body of an ENVI file whose header was chosen, the source of a virtual raster, the backbone."""
    body = write_scene(tmp_path / "s.img", make_spectra(), driver="ENVI")
    virtual = tmp_path / "s.vrt"
    with rasterio.open(body) as source:
        rasterio.shutil.copy(source, virtual, driver="VRT")
    backbone = tmp_path / "b.safetensors"
    run_job(PretrainScene(str(body), str(backbone), cubes=8, width=8), Recorder())
    before = {path: path.read_bytes() for path in (body, backbone)}
    for scene in (body.with_suffix(".hdr"), virtual):
        with pytest.raises(EngineError, match="also an input of this run"):
            run_job(SelectBands(str(scene), str(body)), Recorder())
    job = training(virtual, polygons_path, backbone, tmp_path)
    with pytest.raises(EngineError, match="also an input of this run"):
        run_job(replace(job, model=str(backbone)), Recorder())
    assert before == {path: path.read_bytes() for path in before}


def test_a_report_does_not_replace_the_figures_of_the_analysis(scene_path, polygons_path, backbone_path, tmp_path):
    """Whose page was chosen, while they are read from the JSON beside it."""
    (tmp_path / "a.json").write_text('{\n "title": "Decoder layers and timesteps"\n}')
    job = training(scene_path, polygons_path, backbone_path, tmp_path, analysis=str(tmp_path / "a.html"))
    with pytest.raises(EngineError, match=r"a\.json is also an input of this run"):
        run_job(replace(job, report=str(tmp_path / "a.htm")), Recorder())


def test_names_that_differ_by_case_or_blanks_are_pointed_out(scene_path, backbone_path, tmp_path):
    names = {"field": "Field", "roof": "roof", "tree": "fi eld", "water": "water"}
    polygons = write_polygons(tmp_path / "p.geojson", [(names[name], g) for name, g in quarter_polygons()])
    recorder = Recorder()
    job = training(scene_path, polygons, backbone_path, tmp_path, method="spectral", class_names=(), class_colours=())
    run_job(job, recorder)
    assert "'fi eld' and 'Field' are different classes; make them one if they are the same." in recorder.warnings


def test_confidences_from_a_few_polygons_are_not_promised(scene_path, backbone_path, tmp_path):
    polygons = write_polygons(tmp_path / "p.geojson", [f for i, f in enumerate(quarter_polygons()) if i % 3])
    run_job(training(scene_path, polygons, backbone_path, tmp_path, method="spectral"), Recorder())
    recorder = Recorder()
    run_job(PredictMap(str(scene_path), str(tmp_path / "m.safetensors"), str(tmp_path / "map.tif"),
                       confidence=str(tmp_path / "c.tif")), recorder)  # fmt: skip
    assert any("of 8 polygons only, so that they may be far off" in w for w in recorder.warnings)


def test_colours_of_a_legend_stay_with_their_classes(scene_path, polygons_path, tmp_path, progress):
    job = training(scene_path, polygons_path, "", tmp_path, class_names=("moon", *NAMES),
                   class_colours=("#010101", *COLOURS))  # fmt: skip
    with Scene.open(str(scene_path)) as scene:
        classes, _, _ = read_labels(job, scene, progress)
    assert [(c.name, c.colour) for c in classes] == list(zip(NAMES, COLOURS, strict=True))


def test_a_class_that_may_stand_for_no_label_is_warned_of(scene_path, backbone_path, tmp_path):
    named = [("0" if name == "water" else name, geometry) for name, geometry in quarter_polygons()]
    recorder = Recorder()
    polygons = write_polygons(tmp_path / "p.geojson", named)
    run_job(training(scene_path, polygons, backbone_path, tmp_path, method="spectral", validate=False), recorder)
    assert sum("'0' is trained as a class like the others" in warning for warning in recorder.warnings) == 1


@pytest.mark.parametrize("method", ["geodiffnet", "geodiffnet-f"])
def test_published_methods_do_not_look_at_means_in_a_features_raster(
    scene_path, polygons_path, backbone_path, tmp_path, method
):
    raster = tmp_path / "features.tif"
    run_job(ExtractFeatures(str(scene_path), str(raster), str(backbone_path)), Recorder())
    job = training(scene_path, polygons_path, backbone_path, tmp_path, method=method, features=str(raster))
    run_job(job, Recorder())
    model = Model.load(job.model)
    network, means = model.network, model.features.means
    assert means > 0
    assert network.channels == model.channels - means
    spectra, features = torch.randn(5, BANDS), torch.randn(5, model.channels)
    changed = features.clone()
    changed[:, -means:] += 1
    with torch.inference_mode():
        assert torch.equal(network(spectra, features), network(spectra, changed))


def test_labels_that_agree_with_nothing_are_warned_of(scene_path, backbone_path, tmp_path):
    """In training and in an assessment: each quarter holds polygons of three classes."""
    polygons = quarter_polygons()
    names = [polygons[(3 * i + i // 3) % len(polygons)][0] for i in range(len(polygons))]
    path = write_polygons(tmp_path / "p.geojson", [(n, geometry) for n, (_, geometry) in zip(names, polygons)])
    recorder = Recorder()
    run_job(training(scene_path, path, backbone_path, tmp_path, method="spectral"), recorder)
    assert any("classified no better than by chance" in warning for warning in recorder.warnings)
    assert "classified no better than by chance" in (tmp_path / "r.html").read_text()

    right = write_polygons(tmp_path / "right.geojson", polygons)
    run_job(training(scene_path, right, backbone_path, tmp_path, method="spectral", report=""), Recorder())
    land_cover = str(tmp_path / "map.tif")
    run_job(PredictMap(str(scene_path), str(tmp_path / "m.safetensors"), land_cover), Recorder())
    for reference, warned in ((path, True), (right, False)):
        recorder = Recorder()
        run_job(AssessAccuracy(land_cover, str(reference), str(tmp_path / "a.html"), reference_crs=CRS), recorder)
        assert any("agree no better than by chance" in warning for warning in recorder.warnings) == warned
