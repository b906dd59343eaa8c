"""Outputs are checked before a run: nothing that it reads is overwritten, and nothing legitimate is refused."""

from __future__ import annotations

import resource
import shutil
import sys
from pathlib import Path

import pytest
from in_qgis import POLYGONS, SCENE
from qgis.core import (
    QgsApplication,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingOutputLayerDefinition,
    QgsProject,
    QgsProperty,
    QgsRasterLayer,
    QgsVectorFileWriter,
    QgsVectorLayer,
)


@pytest.fixture
def check(provider):
    """The problem of an algorithm's parameters, empty where there is none."""

    def run(name, parameters):
        algorithm = QgsApplication.processingRegistry().algorithmById(f"spectrafilm:{name}")
        context = QgsProcessingContext()
        context.setProject(QgsProject.instance())
        return algorithm.checkParameterValues(parameters, context)[1]

    yield run
    QgsProject.instance().clear()


@pytest.fixture
def labels(tmp_path):
    return shutil.copy(POLYGONS, tmp_path / "labels.gpkg")


def suggest(labels, output):
    return {"INPUT": SCENE, "MODEL": "m.safetensors", "POLYGONS": str(labels), "OUTPUT": output}


@pytest.mark.parametrize("table", ["polygons", "places"])
def test_a_new_table_beside_the_labels_is_fine_but_theirs_is_not(check, labels, table):
    problem = check("suggestsamples", suggest(labels, f"ogr:dbname='{labels}' table=\"{table}\" (geom)"))
    assert ("also an input" in problem) is (table == "polygons")


@pytest.mark.parametrize(("name", "ending", "lost"), [
    ("labels", "", True), ("labels.2020", "", True), ("labels", ".shp", False), ("labels", ".gpkg", True),
])  # fmt: skip
def test_a_name_that_qgis_completes_to_that_of_the_labels_is_theirs(check, tmp_path, name, ending, lost):
    """QGIS would make a GeoPackage of it, and empty the labels."""
    labels = shutil.copy(POLYGONS, tmp_path / f"{name}.gpkg")
    problem = check("suggestsamples", suggest(labels, str(tmp_path / (name + ending))))
    assert ("also an input" in problem) is lost


def test_on_a_mac_a_name_in_other_case_is_that_of_the_labels(check, labels, monkeypatch):
    """QGIS would empty them."""
    monkeypatch.setattr(sys, "platform", "darwin")
    assert "also an input" in check("suggestsamples", suggest(labels, str(labels).replace("labels", "Labels")))


def test_the_layers_behind_a_virtual_one_and_the_parts_of_a_shapefile_are_inputs(check, labels, tmp_path):
    shape = tmp_path / "drawn.shp"
    options = QgsVectorFileWriter.SaveVectorOptions()
    options.driverName = "ESRI Shapefile"
    QgsVectorFileWriter.writeAsVectorFormatV3(QgsVectorLayer(str(labels), "", "ogr"), str(shape),
                                              QgsProject.instance().transformContext(), options)  # fmt: skip
    drawn = QgsVectorLayer(str(shape), "drawn", "ogr")
    QgsProject.instance().addMapLayer(drawn)
    virtual = QgsVectorLayer("?query=select * from drawn", "virtual", "virtual")
    QgsProject.instance().addMapLayer(virtual)
    for output in (shape, shape.with_suffix(".dbf")):
        for polygons in (drawn.id(), virtual):
            problem = check("trainfilm", {"INPUT": SCENE, "POLYGONS": polygons, "CLASS_FIELD": "class",
                                          "MODEL": str(output)})  # fmt: skip
            assert "also an input" in problem


@pytest.mark.parametrize("wrap", [QgsProperty.fromExpression, lambda text: QgsProcessingOutputLayerDefinition(
    QgsProperty.fromExpression(text))])  # fmt: skip
def test_data_defined_outputs_are_what_they_say(check, labels, tmp_path, wrap):
    assert "also an input" in check("suggestsamples", suggest(labels, wrap(f"'{labels}'")))
    assert check("suggestsamples", suggest(labels, wrap(f"'{tmp_path}' || '/places.gpkg'"))) == ""


@pytest.mark.parametrize("output", [
    "TEMPORARY_OUTPUT", "memory:", "places.gpkg",
    "postgres://dbname='gis' host=localhost port=5432 table=\"public\".\"places\" (geom)",
    "mssql://dbname='gis' host=localhost table=\"dbo\".\"places\" (geom)",
])  # fmt: skip
def test_other_destinations_are_left_to_qgis(check, labels, output):
    assert check("suggestsamples", suggest(labels, output)) == ""


def test_a_full_disk_is_noticed_before_a_layer_is_emptied(check, labels, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    places = shutil.copy(labels, tmp_path / "places.gpkg")
    assert check("suggestsamples", suggest(labels, str(places))) == ""
    monkeypatch.setattr(shutil, "disk_usage", lambda _folder: usage._replace(free=1000))
    assert "is full" in check("suggestsamples", suggest(labels, str(places)))
    assert check("suggestsamples", suggest(labels, "memory:")) == ""
    monkeypatch.setattr(shutil, "disk_usage", lambda _folder: usage._replace(total=0, free=0))
    assert check("suggestsamples", suggest(labels, str(places))) == ""


def test_a_disk_that_fills_while_places_are_looked_for_costs_no_layer(check, run, labels, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    places = Path(shutil.copy(labels, tmp_path / "places.gpkg"))

    def fill(*_arguments):
        monkeypatch.setattr(shutil, "disk_usage", lambda _folder: usage._replace(free=1000))
        return {"crs": "", "places": []}

    monkeypatch.setattr("spectrafilm.plugin.engine_process.run_job", fill)
    with pytest.raises(QgsProcessingException, match="is full; make room"):
        run("suggestsamples", suggest(labels, str(places)))
    assert QgsVectorLayer(str(places)).featureCount() == QgsVectorLayer(str(labels)).featureCount() > 0


@pytest.mark.parametrize(("output", "room"), [
    ("places.gpkg", 100_000), ("places.shp", 1000), ("ogr:dbname='labels.gpkg' table=\"places\" (geom)", 200_000),
])  # fmt: skip
def test_places_that_find_no_room_leave_no_part_of_a_file(run, labels, tmp_path, monkeypatch, output, room):
    """As where a user's share of the disk is used up, of which the disk says nothing."""
    place = {"rank": 1, "predicted": "a" * 200, "rival": "b" * 200, "confidence": 0.5, "centre": [0, 0]}
    place["corners"] = [[0, 0], [1, 0], [1, 1]]
    result = {"crs": QgsRasterLayer(SCENE).crs().toWkt(), "places": [place] * 1000}
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(*_arguments):
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, limits[1]))
        return result

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("spectrafilm.plugin.engine_process.run_job", fill)
    try:
        with pytest.raises(QgsProcessingException, match="is there room on the disk"):
            run("suggestsamples", suggest(labels, output) | {"POLYGONS": None})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [path.name for path in tmp_path.iterdir()] == ["labels.gpkg"]
    assert QgsVectorLayer(f"{labels}|layername=polygons").featureCount() > 0


def test_a_layer_of_a_web_service_is_refused_before_the_run(check):
    tiles = QgsRasterLayer("type=xyz&url=https://localhost/{z}/{x}/{y}.png&zmin=0&zmax=1", "tiles", "wms")
    QgsProject.instance().addMapLayer(tiles)
    for layer in (tiles, tiles.id()):
        assert "'tiles' is no raster file" in check("predictmap", {"INPUT": layer, "MODEL": "m", "OUTPUT": "m.tif"})


def test_a_layer_of_a_provider_that_is_not_there_is_said_not_to_load(check, qgis_app):
    """As in a project from a QGIS with more plugins."""
    layer = QgsVectorLayer("nothing", "labels", "of no such provider")
    QgsProject.instance().addMapLayer(layer)
    assert "Could not load source layer for POLYGONS" in check("suggestsamples", suggest(layer.id(), "memory:"))


def test_only_vectors_can_be_kept_in_memory(check, labels):
    """A raster would be a file of that name in whichever folder QGIS was started from."""
    assert "kept in memory" in check("selectbands", {"INPUT": SCENE, "OUTPUT": "memory:rgb"})
    assert not check("suggestsamples", suggest(labels, "memory:places"))
