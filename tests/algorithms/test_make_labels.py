"""A layer to draw labels in: classes with colours, a list to choose from, and nothing of what is drawn ever lost."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from in_qgis import POLYGONS, SCENE, write_raster
from qgis.core import (
    QgsFeature,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingUtils,
    QgsRenderContext,
    QgsVectorLayer,
)

from spectrafilm.plugin.polygon_source import read_legend

CLASSES = "Water\nmy own, Tree ;Water\n\n Roof "
NAMES = ("Water", "my own", "Tree", "Roof")


@pytest.mark.parametrize("output", ["labels.gpkg", "labels.shp", "TEMPORARY_OUTPUT"])
def test_classes_have_colours_and_can_be_chosen_from_a_list(provider, feedback, tmp_path, output):
    destination = output if output == "TEMPORARY_OUTPUT" else str(tmp_path / output)
    context = QgsProcessingContext()
    algorithm = provider.algorithm("makelabels").create()
    parameters = {"INPUT": SCENE, "CLASSES": CLASSES, "OUTPUT": destination}
    results, worked = algorithm.run(parameters, context, feedback)
    assert worked
    layers = [QgsProcessingUtils.mapLayerFromString(results["OUTPUT"], context)]
    if output != "TEMPORARY_OUTPUT":
        # As it is opened on another day.
        layers.append(QgsVectorLayer(destination, "labels", "ogr"))
    for layer in layers:
        assert (layer.crs().authid(), layer.featureCount()) == ("EPSG:32633", 0)
        legend = read_legend(layer, "class")
        assert legend.names == legend.values == NAMES
        assert legend.colours == ("#1f78b4", "#1b9e77", "#1b7837", "#d7301f")
        index = layer.fields().lookupField("class")
        assert layer.editorWidgetSetup(index).type() == "ValueMap"
        chosen = layer.editorWidgetSetup(index).config()["map"]
        assert [next(iter(entry.items())) for entry in chosen] == list(zip(NAMES, NAMES, strict=True))


def test_a_polygon_of_no_class_or_another_is_seen(run, tmp_path):
    layer = QgsVectorLayer(run("makelabels", {"INPUT": SCENE, "OUTPUT": str(tmp_path / "l.gpkg")})["OUTPUT"])
    renderer, context = layer.renderer(), QgsRenderContext()
    renderer.startRender(context, layer.fields())
    colours = []
    for name in (None, "Vineyard", "Water"):
        feature = QgsFeature(layer.fields())
        feature.setAttribute("class", name)
        colours.append(renderer.symbolForFeature(feature, context).color().name())
    renderer.stopRender(context)
    assert colours == ["#ff00ff", "#ff00ff", "#1f78b4"]


def test_what_was_drawn_is_never_lost(run, tmp_path):
    drawn = Path(shutil.copy(POLYGONS, tmp_path / "drawn.gpkg"))
    style = Path(shutil.copy(Path(POLYGONS).with_suffix(".qml"), tmp_path / "drawn.qml"))
    before, styled = drawn.read_bytes(), style.read_bytes()
    table = f"ogr:dbname='{drawn}' table=\"%s\" (geom)"
    for output in (str(drawn), str(drawn.with_suffix("")), table % "polygons"):
        with pytest.raises(QgsProcessingException, match="There is a layer of this name already; draw on in it"):
            run("makelabels", {"INPUT": SCENE, "OUTPUT": output})
        assert drawn.read_bytes() == before
    run("makelabels", {"INPUT": SCENE, "OUTPUT": table % "more"})
    assert QgsVectorLayer(f"{drawn}|layername=more").featureCount() == 0
    assert QgsVectorLayer(f"{drawn}|layername=polygons").featureCount() == 62
    assert style.read_bytes() == styled


@pytest.mark.parametrize(("classes", "count"), [("Water", 1), ("Water, Water\n", 1), (" ,\n;", 0),
                                                (",".join(map(str, range(256))), 256)])  # fmt: skip
def test_too_few_or_too_many_classes_are_one_sentence(run, tmp_path, classes, count):
    with pytest.raises(QgsProcessingException, match=f"Name 2 to 255 different classes, one a line; there are {count}"):
        run("makelabels", {"INPUT": SCENE, "CLASSES": classes, "OUTPUT": str(tmp_path / "l.gpkg")})
    assert not list(tmp_path.iterdir())


def test_a_scene_without_a_coordinate_system_is_one_sentence(run, tmp_path):
    scene = write_raster(tmp_path / "s.tif", np.zeros((3, 4, 4), np.int16), epsg=None)
    with pytest.raises(QgsProcessingException, match="The scene has no coordinate reference system; set it"):
        run("makelabels", {"INPUT": scene, "OUTPUT": str(tmp_path / "l.gpkg")})
    assert not (tmp_path / "l.gpkg").exists()
