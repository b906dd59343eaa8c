"""The algorithms in real QGIS on the sample scene: results, styles, chaining, batch."""

from __future__ import annotations

import json
from pathlib import Path

import processing
import pytest
from in_qgis import BUSY, CLASSES, POLYGONS, REFERENCE, SCENE, TRAIN, fake_engine, write_raster
from osgeo import gdal
from qgis.core import (
    QgsCoordinateTransform,
    QgsFeature,
    QgsGeometry,
    QgsPalettedRasterRenderer,
    QgsProcessing,
    QgsProcessingAlgRunnerTask,
    QgsProcessingContext,
    QgsProcessingFeatureSourceDefinition,
    QgsProject,
    QgsRasterLayer,
    QgsVectorLayer,
    QgsWkbTypes,
)

BOW_TIE = "Polygon((413110 5780635, 413130 5780650, 413130 5780635, 413110 5780650, 413110 5780635))"  # on water


def test_training_validates_and_reports(trained):
    results, listener = trained
    assert 70 < results["OVERALL_ACCURACY"] <= 100
    assert 0 < results["KAPPA"] < results["OVERALL_ACCURACY"]
    report = json.loads(Path(results["REPORT"]).with_suffix(".json").read_text())
    assert [row["name"] for row in report["label_rows"]] == CLASSES
    assert report["folds"] == 5
    assert report["settings"]["labels"] == f"{POLYGONS}, field class"
    assert results["OVERALL_ACCURACY_LOW"] < results["OVERALL_ACCURACY"] < results["OVERALL_ACCURACY_HIGH"]
    assert len(report["learning_curve"]["points"]) == 4
    assert report["learning_curve"]["advice"] in listener.infos
    assert listener.positions == sorted(listener.positions)
    assert any("Computing on" in text for text in listener.infos)


def test_the_analysis_of_features_recommends_a_setting_that_training_takes_over(run, tmp_path):
    report = str(tmp_path / "analysis.html")
    grid = {"LAYERS": "7,10", "TIMESTEPS": "0"}
    results = run("analysefeatures", {**TRAIN, **grid, "REPORT": report})
    assert "<img" in Path(report).read_text()
    content = json.loads(Path(report).with_suffix(".json").read_text())
    assert results["BEST_LAYERS"] == ",".join(map(str, content["recommended"]["layers"]))
    assert results["BEST_TIMESTEPS"] == "0"
    assert 50 < results["OVERALL_ACCURACY"] <= 100
    outputs = {"MODEL": str(tmp_path / "m.safetensors"), "REPORT": str(tmp_path / "training.html")}
    run("trainfilm", {**TRAIN, **outputs, "ANALYSIS": report})
    settings = json.loads((tmp_path / "training.json").read_text())["settings"]
    assert settings["decoder layers"] == results["BEST_LAYERS"].replace(",", ", ")


def test_points_label_the_pixels_they_lie_in(run, provider, tmp_path):
    types = provider.algorithm("trainfilm").parameterDefinition("POLYGONS").dataTypes()
    assert QgsProcessing.SourceType.TypeVectorPoint in types
    polygons = QgsVectorLayer(POLYGONS, "polygons", "ogr")
    definition = f"Point?crs={polygons.crs().authid()}&field=class:string&field=plot:int"
    points = QgsVectorLayer(definition, "points", "memory")
    for number, polygon in enumerate(polygons.getFeatures()):
        point = QgsFeature(points.fields())
        point.setAttributes([polygon["class"], number // 2])
        point.setGeometry(polygon.geometry().pointOnSurface())
        points.dataProvider().addFeature(point)
    QgsProject.instance().addMapLayer(points)
    outputs = {"MODEL": str(tmp_path / "model.safetensors"), "REPORT": str(tmp_path / "r.html")}
    trained = run("trainfilm", {**TRAIN, "POLYGONS": points.id(), "METHOD": 3, **outputs})
    assert trained["OVERALL_ACCURACY"] > 50
    accuracy = json.loads((tmp_path / "r.json").read_text())["accuracy"]
    assert accuracy["samples"] == accuracy["groups"]
    run("trainfilm", {**TRAIN, "POLYGONS": points.id(), "GROUP_FIELD": "plot", "METHOD": 3, **outputs})
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["accuracy"]["groups"] == points.featureCount() / 2
    QgsProject.instance().clear()
    assert report["settings"]["labels"].endswith("field class, groups by plot")


@pytest.mark.parametrize(("pretraining", "training"), [(0, 4), (1, 5)])
def test_a_backbone_pretrained_on_the_scene_trains_a_model(run, provider, tmp_path, pretraining, training):
    outputs = {"OUTPUT": str(tmp_path / "backbone.safetensors"), "REPORT": str(tmp_path / "pretraining.html")}
    pretrain = {"INPUT": SCENE, "METHOD": pretraining, "CUBES": 16, "POSITIONS": 16, "WIDTH": 4, **outputs}
    pretrained = run("pretrainscene", pretrain)
    assert 0 < pretrained["HELD_OUT_LOSS"] < 20
    made_by = json.loads((tmp_path / "pretraining.json").read_text())["method"]
    assert made_by == ("DiffSpectralNet", "DiffCRN")[pretraining]
    roofs = QgsVectorLayer(POLYGONS, "roofs", "ogr")
    QgsProject.instance().addMapLayer(roofs)
    roofs.selectByExpression("class in ('Tile roof', 'Flat roof')")
    labels = QgsProcessingFeatureSourceDefinition(roofs.id(), True)
    trained = run("trainfilm", {**TRAIN, "POLYGONS": labels, "METHOD": training, "BACKBONE": pretrained["OUTPUT"],
                                "MODEL": str(tmp_path / "model.safetensors")})  # fmt: skip
    QgsProject.instance().clear()
    assert 0 < trained["KAPPA"] <= 100
    ok, sentence = provider.algorithm("pretrainscene").checkParameterValues(
        pretrain | {"POSITIONS": 12}, QgsProcessingContext()
    )
    assert not ok
    assert "multiple of 8" in sentence


def test_widths_are_checked_before_pretraining(provider):
    algorithm, context = provider.algorithm("pretrainscene"), QgsProcessingContext()
    parameters = {"INPUT": SCENE, "OUTPUT": "TEMPORARY_OUTPUT", "WIDTH": 6}
    ok, sentence = algorithm.checkParameterValues({**parameters, "METHOD": 1}, context)
    assert not ok
    assert "multiple of 4" in sentence
    for fine in ({"METHOD": 0}, {"METHOD": 1, "WIDTH": None}, {"METHOD": 1, "WIDTH": 8}):
        assert algorithm.checkParameterValues({**parameters, **fine}, context)[0]


def test_mapping_writes_a_styled_map_and_everything_asked_for(trained, run, tmp_path):
    paths = {key: str(tmp_path / f"{key}.tif") for key in ("OUTPUT", "CONFIDENCE", "PROBABILITIES", "UNCERTAINTY")}
    results = run("predictmap", {"INPUT": SCENE, "MODEL": trained[0]["MODEL"], **paths})
    assert {key: results[key] for key in paths} == paths
    # GDAL outside QGIS knows names and colours.
    dataset = gdal.Open(paths["OUTPUT"])
    band = dataset.GetRasterBand(1)
    assert band.GetColorTable().GetColorEntry(1) == (56, 120, 190, 255)
    assert band.GetCategoryNames() == ["no data", *CLASSES]
    # QGIS takes the style that lies beside the map.
    layer = QgsRasterLayer(paths["OUTPUT"], "map")
    assert isinstance(layer.renderer(), QgsPalettedRasterRenderer)
    assert [c.label for c in layer.renderer().classes()] == CLASSES
    assert gdal.Open(paths["PROBABILITIES"]).RasterCount == len(CLASSES)


@pytest.mark.parametrize(("shape", "kind"), [(0, QgsWkbTypes.Type.Point), (1, QgsWkbTypes.Type.Polygon)])
def test_places_to_label_next_are_a_layer_outside_the_polygons(trained, run, shape, kind):
    parameters = {"INPUT": SCENE, "MODEL": trained[0]["MODEL"], "COUNT": 5, "POLYGONS": POLYGONS, "SHAPE": shape,
                  "OUTPUT": "memory:"}  # fmt: skip
    layer = run("suggestsamples", parameters)["OUTPUT"]
    assert layer.wkbType() == kind
    assert layer.crs() == QgsRasterLayer(SCENE).crs()
    places = sorted(layer.getFeatures(), key=lambda feature: feature["rank"])
    assert [place["rank"] for place in places] == [1, 2, 3, 4, 5]
    drawn = QgsVectorLayer(POLYGONS)
    transform = QgsCoordinateTransform(drawn.crs(), layer.crs(), QgsProject.instance())
    for polygon in drawn.getFeatures():
        geometry = polygon.geometry()
        geometry.transform(transform)
        assert not any(geometry.intersects(place.geometry().centroid()) for place in places)
    for place in places:
        assert {place["predicted"], place["rival"]} <= set(CLASSES)
        assert 0 < place["confidence"] <= 1


@pytest.mark.parametrize("output", ["memory:", "places.gpkg"])
def test_places_of_classes_with_very_long_names_are_not_lost(run, tmp_path, monkeypatch, output):
    name = "Grassland " * 30
    square = [[413100, 5780600], [413110, 5780600], [413110, 5780610], [413100, 5780610]]
    place = {"rank": 1, "predicted": name, "rival": name, "confidence": 0.5, "centre": square[0], "corners": square}
    values = {"crs": QgsRasterLayer(SCENE).crs().toWkt(), "places": [place]}
    monkeypatch.setenv("SPECTRAFILM_PYTHON", fake_engine(tmp_path, f"say(type='result', values={values!r})"))
    destination = output if output == "memory:" else str(tmp_path / output)
    model = tmp_path / "m.safetensors"
    layer = run("suggestsamples", {"INPUT": SCENE, "MODEL": str(model), "OUTPUT": destination})["OUTPUT"]
    layer = layer if output == "memory:" else QgsVectorLayer(layer)
    assert [feature["predicted"] for feature in layer.getFeatures()] == [name]


def test_the_accuracy_is_measured_on_the_independent_reference(trained, run, tmp_path):
    run("predictmap", {"INPUT": SCENE, "MODEL": trained[0]["MODEL"], "OUTPUT": str(tmp_path / "map.tif")})
    results = run("assessaccuracy", {"MAP": str(tmp_path / "map.tif"), "REFERENCE": REFERENCE, "CLASS_FIELD": "class",
                                     "REPORT": str(tmp_path / "a.html")})  # fmt: skip
    assert 75 < results["OVERALL_ACCURACY"] <= 100
    report = json.loads((tmp_path / "a.json").read_text())
    assert report["accuracy"]["samples"] == 713
    assert report["settings"]["reference"] == f"{REFERENCE}, field class"
    run("assessaccuracy", {"MAP": str(tmp_path / "map.tif"), "REFERENCE": REFERENCE, "CLASS_FIELD": "class",
                           "GROUP_FIELD": "class", "REPORT": str(tmp_path / "a.html")})  # fmt: skip
    grouped = json.loads((tmp_path / "a.json").read_text())
    assert grouped["accuracy"]["matrix"] == report["accuracy"]["matrix"]
    assert grouped["accuracy"]["groups"] == len(CLASSES) < report["accuracy"]["groups"]
    assert grouped["settings"]["reference"] == f"{REFERENCE}, field class, groups by class"
    assert f"{len(CLASSES)} groups, polygons or points" in (tmp_path / "a.html").read_text()


def test_a_reference_raster_lies_where_the_user_says(trained, run, tmp_path):
    """Whatever the file says of its coordinate reference system."""
    run("predictmap", {"INPUT": SCENE, "MODEL": trained[0]["MODEL"], "OUTPUT": str(tmp_path / "map.tif")})
    gdal.Translate(str(tmp_path / "wrong.tif"), str(tmp_path / "map.tif"), outputSRS="EPSG:32610")
    layer = QgsRasterLayer(str(tmp_path / "wrong.tif"), "reference")
    layer.setCrs(QgsRasterLayer(str(tmp_path / "map.tif")).crs())
    QgsProject.instance().addMapLayer(layer)
    results = run("assessaccuracy", {"MAP": str(tmp_path / "map.tif"), "REFERENCE": layer.id(),
                                     "REPORT": str(tmp_path / "a.html")})  # fmt: skip
    QgsProject.instance().clear()
    assert results["OVERALL_ACCURACY"] == 100


@pytest.mark.parametrize("other_is", ["MAP", "REFERENCE"])
def test_classes_of_rasters_are_matched_by_the_names_that_their_files_hold(trained, run, tmp_path, other_is):
    """As of maps from other programs, which number classes otherwise."""
    run("predictmap", {"INPUT": SCENE, "MODEL": trained[0]["MODEL"], "OUTPUT": str(tmp_path / "map.tif")})
    ours = gdal.Open(str(tmp_path / "map.tif"))
    numbers = ours.ReadAsArray()
    other = write_raster(tmp_path / "other.tif", ((len(CLASSES) + 1 - numbers) * (numbers > 0))[None])
    dataset = gdal.Open(other, gdal.GA_Update)
    dataset.GetRasterBand(1).SetCategoryNames(["", *CLASSES[::-1]])
    del dataset
    rasters = {"MAP": str(tmp_path / "map.tif"), "REFERENCE": str(tmp_path / "map.tif"), other_is: other}
    results = run("assessaccuracy", {**rasters, "REPORT": str(tmp_path / "a.html")})
    assert results["OVERALL_ACCURACY"] == 100


def test_selected_features_of_a_project_layer_are_the_labels(run, feedback, tmp_path):
    layer = QgsVectorLayer(POLYGONS, "labels", "ogr")
    QgsProject.instance().addMapLayer(layer)
    layer.selectByExpression("class in ('Water', 'Crop')")
    source = QgsProcessingFeatureSourceDefinition(layer.id(), True)
    results = run("trainfilm", {**TRAIN, "POLYGONS": source, "METHOD": 3, "MODEL": str(tmp_path / "m.safetensors"),
                                "REPORT": str(tmp_path / "r.html")})  # fmt: skip
    labels = json.loads((tmp_path / "r.json").read_text())["settings"]["labels"]
    assert labels == f"{POLYGONS}, field class, selected features only"
    QgsProject.instance().clear()
    assert results["OVERALL_ACCURACY"] > 95
    assert [t.split(":")[0] for t in feedback.infos if t.startswith("Class ")] == ["Class Water", "Class Crop"]


def test_a_memory_layer_in_another_system_is_the_labels(run, feedback, tmp_path):
    reprojected = processing.run("native:reprojectlayer", {"INPUT": POLYGONS, "TARGET_CRS": "EPSG:4326",
                                                           "OUTPUT": "memory:"})["OUTPUT"]  # fmt: skip
    parameters = {**TRAIN, "POLYGONS": reprojected, "METHOD": 3, "MODEL": str(tmp_path / "m.safetensors")}
    results = run("trainfilm", parameters)
    assert 60 < results["OVERALL_ACCURACY"] <= 100
    assert "Labels in EPSG:4326, scene in EPSG:32633; the labels are reprojected." in feedback.infos


def test_bands_by_every_method(run, tmp_path):
    for method in range(5):
        path = str(tmp_path / f"rgb{method}.tif")
        run("selectbands", {"INPUT": SCENE, "METHOD": method, "BANDS": "40,30,15", "OUTPUT": path})
        dataset = gdal.Open(path)
        assert dataset.RasterCount == 3
        assert dataset.GetRasterBand(1).GetNoDataValue() == 0
        assert 200 < dataset.GetRasterBand(1).ReadAsArray().max() <= 255


def test_batch_runs_one_after_another(provider, feedback, tmp_path):
    context = QgsProcessingContext()
    algorithm = provider.algorithm("selectbands")
    for number in range(3):
        parameters = {"INPUT": SCENE, "OUTPUT": str(tmp_path / f"{number}.tif")}
        assert algorithm.checkParameterValues(parameters, context)[0]
        _, ok = algorithm.create().run(parameters, context, feedback)
        assert ok
    assert len(list(tmp_path.glob("*.tif"))) == 3


def test_a_task_runs_beside_the_window_and_can_be_cancelled(provider, feedback, qgis_app, tmp_path):
    import time

    context = QgsProcessingContext()
    parameters = {**TRAIN, "MODEL": str(tmp_path / "m.safetensors"), "REPORT": str(tmp_path / "r.html")}
    task = QgsProcessingAlgRunnerTask(provider.algorithm("trainfilm"), parameters, context, feedback)
    ended = []
    task.executed.connect(lambda ok, results: ended.append(ok))
    from qgis.core import QgsApplication

    QgsApplication.taskManager().addTask(task)
    deadline = time.monotonic() + 60
    while not any("labelled pixels" in text for text in feedback.infos) and time.monotonic() < deadline:
        qgis_app.processEvents()
        time.sleep(0.05)
    started = time.monotonic()
    task.cancel()
    while not ended and time.monotonic() < deadline:
        qgis_app.processEvents()
        time.sleep(0.02)
    assert ended == [False]
    assert time.monotonic() - started < 2 + BUSY
    assert not list(tmp_path.iterdir())


def test_what_was_left_out_or_repaired_stands_in_log_and_report(run, feedback, tmp_path):
    layer = QgsVectorLayer("Polygon?crs=EPSG:32633&field=class:string", "labels", "memory")
    copies = [QgsFeature(f) for f in QgsVectorLayer(POLYGONS, "x", "ogr").getFeatures()]
    for index, original in enumerate(copies):
        feature = QgsFeature(layer.fields())
        feature.setGeometry(original.geometry())
        feature.setAttribute(0, None if index == 0 else original["class"])
        layer.dataProvider().addFeature(feature)
    bow_tie = QgsFeature(layer.fields())
    bow_tie.setGeometry(QgsGeometry.fromWkt(BOW_TIE))
    bow_tie.setAttribute(0, "Water")
    layer.dataProvider().addFeature(bow_tie)
    outputs = {"MODEL": str(tmp_path / "m.safetensors"), "REPORT": str(tmp_path / "r.html")}
    run("trainfilm", {**TRAIN, "POLYGONS": layer, "METHOD": 3, **outputs})
    expected = {"1 feature(s) without a class or geometry are left out.", "1 invalid geometrie(s) were repaired."}
    assert expected <= set(feedback.warnings)
    assert expected <= set(json.loads((tmp_path / "r.json").read_text())["warnings"])
