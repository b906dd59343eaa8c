"""Labels are taken as QGIS has them: selections, filters, other systems, invalid shapes, styles."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import pytest
from in_qgis import POLYGONS, SCENE
from qgis.core import (
    QgsCategorizedSymbolRenderer,
    QgsCoordinateReferenceSystem,
    QgsCoordinateTransformContext,
    QgsEditorWidgetSetup,
    QgsFeature,
    QgsFillSymbol,
    QgsGeometry,
    QgsInvertedPolygonRenderer,
    QgsPointXY,
    QgsProcessing,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeatureSourceDefinition,
    QgsProcessingParameterFeatureSource,
    QgsProcessingParameters,
    QgsProject,
    QgsRasterLayer,
    QgsRelation,
    QgsRendererCategory,
    QgsSingleSymbolRenderer,
    QgsVectorFileWriter,
    QgsVectorLayer,
)
from qgis.PyQt.QtCore import QDate

from spectrafilm.plugin.polygon_source import Legend, export_features, layer_title, read_legend

UTM = QgsCoordinateReferenceSystem("EPSG:32633")
SQUARE = "Polygon((380000 5780000, 380100 5780000, 380100 5780100, 380000 5780100, 380000 5780000))"
BOW_TIE = "Polygon((380000 5780000, 380100 5780100, 380100 5780000, 380000 5780100, 380000 5780000))"
CURVE = "CurvePolygon(CircularString(380000 5780000, 380050 5780050, 380100 5780000, 380050 5779950, 380000 5780000))"
MULTI = "MultiPolygonZ(((380000 5780000 5, 380010 5780000 5, 380010 5780010 5, 380000 5780000 5)))"


def memory_layer(features, crs="EPSG:32633", field="class:string", kind="Polygon"):
    layer = QgsVectorLayer(f"{kind}?crs={crs}&field={field}", "labels", "memory")
    for value, wkt in features:
        feature = QgsFeature(layer.fields())
        feature.setAttribute(0, value)
        feature.setGeometry(QgsGeometry.fromWkt(wkt))
        assert layer.dataProvider().addFeature(feature)
    return layer


@pytest.fixture
def export(qgis_app, feedback, tmp_path):
    """Export as an algorithm would; returns the GeoJSON features."""

    def run(layer, field="class", legend=None, selected=False, group="", scene_crs=UTM):
        context = QgsProcessingContext()
        QgsProject.instance().addMapLayer(layer, False)
        value = QgsProcessingFeatureSourceDefinition(layer.id(), selected) if selected else layer.id()
        context.setProject(QgsProject.instance())
        definition = QgsProcessingParameterFeatureSource("P", "", [QgsProcessing.SourceType.TypeVectorAnyGeometry])
        source = QgsProcessingParameters.parameterAsSource(definition, {"P": value}, context)
        path = tmp_path / "labels.geojson"
        export_features(source, field, legend or Legend(), scene_crs, path, context, feedback, group)
        return json.loads(path.read_text())["features"]

    yield run
    QgsProject.instance().clear()


def warnings_in(folder):
    return json.loads((folder / "labels.geojson").read_text())["spectrafilm_warnings"]


def classes_of(features):
    return [f["properties"]["class"] for f in features]


def test_a_memory_layer(export, feedback):
    assert classes_of(export(memory_layer([("roof", SQUARE), ("tree", MULTI)]))) == ["roof", "tree"]
    assert feedback.infos == ["Labels in EPSG:32633, scene in EPSG:32633."]


def test_selected_features_only(export):
    layer = memory_layer([("a", SQUARE), ("b", SQUARE), ("c", SQUARE)])
    layer.selectByExpression("class = 'b'")
    assert classes_of(export(layer, selected=True)) == ["b"]


def test_features_keep_the_ids_that_they_have_in_the_layer(export):
    layer = memory_layer([("a", SQUARE), ("b", SQUARE), ("c", SQUARE)])
    layer.selectByExpression("class <> 'a'")
    assert sorted(f["id"] for f in export(layer, selected=True)) == sorted(layer.selectedFeatureIds()) == [2, 3]


def test_the_case_of_a_field_does_not_matter_to_the_legend():
    layer = QgsVectorLayer(POLYGONS, "labels", "ogr")
    layer.loadDefaultStyle()
    assert read_legend(layer, "CLASS") == read_legend(layer, "class") != Legend()


def test_dates_are_classes_as_people_write_them(export):
    layer = QgsVectorLayer("Polygon?crs=EPSG:32633&field=class:date", "labels", "memory")
    feature = QgsFeature(layer.fields())
    feature.setAttribute(0, QDate(2020, 1, 31))
    feature.setGeometry(QgsGeometry.fromWkt(SQUARE))
    layer.dataProvider().addFeature(feature)
    assert classes_of(export(layer)) == ["2020-01-31"]


def test_groups_are_exported_as_texts_and_may_be_empty(export):
    layer = memory_layer([("a", SQUARE), ("b", SQUARE)], field="class:string&field=plot:int")
    layer.dataProvider().changeAttributeValues({1: {1: 12}})
    groups = [f["properties"]["group"] for f in export(layer, group="plot")]
    assert groups == ["12", None]
    assert "group" not in export(layer)[0]["properties"]
    with pytest.raises(QgsProcessingException, match="no field 'site'"):
        export(layer, group="site")


def test_a_report_says_which_features_were_used(qgis_app):
    layer = memory_layer([("a", SQUARE)])
    definition = QgsProcessingFeatureSourceDefinition(layer.id(), True)
    definition.filterExpression = "class <> 'b'"
    assert layer_title(layer, "class", definition) == (
        "labels, field class, selected features only, where class <> 'b'"
    )
    assert layer_title(layer, "class", layer, "plot") == "labels, field class, groups by plot"


def test_an_empty_selection_is_one_sentence(export):
    with pytest.raises(QgsProcessingException, match="hold no features"):
        export(memory_layer([("a", SQUARE)]), selected=True)


def test_edits_that_are_not_saved(export):
    layer = memory_layer([("a", SQUARE), ("b", SQUARE)])
    first, second = (feature.id() for feature in layer.getFeatures())
    layer.startEditing()
    layer.changeAttributeValue(first, 0, "c")
    layer.deleteFeature(second)
    assert classes_of(export(layer)) == ["c"]
    assert layer.isModified()


def test_a_filter_of_the_layer(export):
    layer = QgsVectorLayer(POLYGONS, "labels", "ogr")
    assert layer.setSubsetString("class = 'Water'")
    assert set(classes_of(export(layer))) == {"Water"}


def test_another_coordinate_system_is_reprojected_and_both_are_named(export, feedback):
    lonlat = "Polygon((13.0 52.0, 13.001 52.0, 13.001 52.001, 13.0 52.0))"
    feature = export(memory_layer([("a", lonlat)], crs="EPSG:4326"))[0]
    x, y = feature["geometry"]["coordinates"][0][0]
    assert (x, y) == (pytest.approx(362710, abs=100), pytest.approx(5763000, abs=1000))
    assert feedback.infos == ["Labels in EPSG:4326, scene in EPSG:32633; the labels are reprojected."]


def test_invalid_geometries_are_repaired_and_counted(export, tmp_path):
    features = export(memory_layer([("a", BOW_TIE), ("b", SQUARE)]))
    assert warnings_in(tmp_path) == ["1 invalid geometrie(s) were repaired."]
    assert features[0]["geometry"]["type"] == "MultiPolygon"
    triangles = features[0]["geometry"]["coordinates"]
    assert len(triangles) == 2
    area = sum(QgsGeometry.fromPolygonXY([[QgsPointXY(*p) for p in ring] for ring in rings]).area()
               for rings in triangles)  # fmt: skip
    assert area == pytest.approx(QgsGeometry.fromWkt(SQUARE).area() / 2)


def test_a_spike_of_a_polygon_is_cut_off(export):
    """Repaired it is a polygon and a line."""
    spike = "Polygon((380000 5780000, 380100 5780000, 380100 5780100, 380200 5780200, 380100 5780100, 380000 5780000))"
    assert export(memory_layer([("a", spike)]))[0]["geometry"]["type"] in ("Polygon", "MultiPolygon")


def test_a_polygon_without_area_is_left_out(export, tmp_path):
    flat = "Polygon((380000 5780000, 380100 5780100, 380000 5780000, 380000 5780000))"
    assert classes_of(export(memory_layer([("a", flat), ("b", SQUARE)]))) == ["b"]
    assert "1 of them have no area and are left out." in warnings_in(tmp_path)


def test_labels_without_any_area_are_one_sentence(export):
    flat = "Polygon((380000 5780000, 380100 5780100, 380000 5780000, 380000 5780000))"
    with pytest.raises(QgsProcessingException, match="None of the labels 'labels' has an area; draw polygons"):
        export(memory_layer([("a", flat)]))


def test_labels_whose_file_is_gone_are_one_sentence(export, tmp_path):
    copy = shutil.copy(POLYGONS, tmp_path / "p.gpkg")
    layer = QgsVectorLayer(str(copy), "labels", "ogr")
    Path(copy).unlink()
    with pytest.raises(QgsProcessingException, match="'labels' could be read; check whether"):
        export(layer)
    with pytest.raises(QgsProcessingException, match="'labels' have no fields; check whether .* can still be read"):
        export(QgsVectorLayer("Polygon?crs=EPSG:32633", "labels", "memory"))


def test_metres_that_are_said_to_be_degrees_are_a_matter_of_the_coordinate_system(export, tmp_path):
    with pytest.raises(QgsProcessingException, match="'labels' can be reprojected to EPSG:32633; check in which"):
        export(memory_layer([("a", SQUARE)], crs="EPSG:4326"))
    degrees = "Polygon((13.25 52.15, 13.26 52.15, 13.26 52.16, 13.25 52.15))"
    assert classes_of(export(memory_layer([("a", SQUARE), ("b", degrees)], crs="EPSG:4326"))) == ["b"]
    assert warnings_in(tmp_path) == ["1 feature(s) could not be reprojected and are left out."]


def test_curves_become_polygons(export):
    geometry = export(memory_layer([("a", CURVE)], kind="CurvePolygon"))[0]["geometry"]
    assert geometry["type"] == "Polygon"
    assert len(geometry["coordinates"][0]) > 10


def test_numbers_and_nothing_are_classes_and_no_class(export):
    features = export(memory_layer([(3.0, SQUARE), (None, SQUARE), (math.nan, SQUARE)], field="class:double"))
    assert classes_of(features) == ["3", None, None]


def test_yes_and_no_are_written_as_in_styles():
    """QGIS writes the values of a boolean field as true and false into styles and reads them back as texts."""
    legend = Legend(("true", "false"), ("wood", "open"), ("#005500", "#aabb11"))
    assert [legend.name_of(value) for value in (True, False, "true", None)] == ["wood", "open", "wood", None]


def test_an_empty_polygon_is_no_geometry(export):
    features = export(memory_layer([("a", "Polygon EMPTY"), ("b", SQUARE)]))
    assert [bool(f["geometry"]) for f in features] == [False, True]


def test_a_missing_field_names_those_there_are(export):
    with pytest.raises(QgsProcessingException, match="no field 'klass' \\(they have class\\)"):
        export(memory_layer([("a", SQUARE)]), field="klass")


def test_a_field_without_any_value_is_called_as_users_know_it(export):
    layer = memory_layer([(None, SQUARE), ("", SQUARE)], field="kind:string")
    with pytest.raises(QgsProcessingException, match="field 'kind' is empty"):
        export(layer, field="kind")


def test_labels_without_a_coordinate_system_are_one_sentence(export, tmp_path):
    layer = memory_layer([("a", SQUARE)])
    layer.setCrs(QgsCoordinateReferenceSystem())
    options = QgsVectorFileWriter.SaveVectorOptions()
    QgsVectorFileWriter.writeAsVectorFormatV3(layer, str(tmp_path / "a.gpkg"), QgsCoordinateTransformContext(), options)
    for labels in (layer, QgsVectorLayer(str(tmp_path / "a.gpkg"), "a", "ogr")):
        with pytest.raises(QgsProcessingException, match="have no coordinate reference system"):
            export(labels)


def test_a_table_without_geometries_is_one_sentence(export):
    with pytest.raises(QgsProcessingException, match="are a table without geometries"):
        export(QgsVectorLayer("None?field=class:string", "labels", "memory"))


def test_a_scene_without_a_coordinate_system_is_said_to_have_none(export, feedback):
    export(memory_layer([("a", SQUARE)]), scene_crs=QgsCoordinateReferenceSystem())
    assert feedback.infos == ["Labels in EPSG:32633, scene in no coordinate reference system."]


def styled(layer, categories, attribute="class"):
    symbols = [(v, label, QgsFillSymbol.createSimple({"color": colour})) for v, label, colour in categories]
    layer.setRenderer(QgsCategorizedSymbolRenderer(attribute, [QgsRendererCategory(v, s, t) for v, t, s in symbols]))
    return layer


def test_names_and_colours_come_from_the_categorized_style(export):
    layer = styled(memory_layer([(2, SQUARE), (7, SQUARE)], field="class:int"),
                   [(7, "Roof", "#ff0000"), (2, "Tree", "#008000"), ("", "others", "#000000")])  # fmt: skip
    legend = read_legend(layer, "class")
    assert legend == Legend(("7", "2"), ("Roof", "Tree"), ("#ff0000", "#008000"))
    assert classes_of(export(layer, legend=legend)) == ["Tree", "Roof"]


@pytest.mark.parametrize("label", ["", " "])
def test_a_class_without_a_name_in_the_legend_is_called_by_its_value(qgis_app, label):
    layer = styled(memory_layer([("a", SQUARE)]), [("a", label, "#ff0000")])
    assert read_legend(layer, "class").names == ("a",)


def test_a_style_within_another_counts_and_a_category_may_have_no_symbol():
    layer = styled(memory_layer([("a", SQUARE)]), [("a", "A", "#ff0000"), ("b", "B", "#00ff00")])
    expected = read_legend(layer, "class")
    layer.setRenderer(QgsInvertedPolygonRenderer(layer.renderer().clone()))
    assert read_legend(layer, "class") == expected != Legend()
    bare = QgsCategorizedSymbolRenderer("class", [QgsRendererCategory("a", None, "A")])
    layer.setRenderer(bare)
    assert read_legend(layer, "class") == Legend(("a",), ("A",), ("",))


def test_a_style_by_another_field_is_left_alone(qgis_app):
    assert read_legend(styled(memory_layer([("a", SQUARE)]), [("a", "A", "#ff0000")], "other"), "class") == Legend()


def test_a_layer_of_the_project_keeps_the_style_it_has(qgis_app):
    layer = QgsVectorLayer(POLYGONS, "labels", "ogr")
    layer.setRenderer(QgsSingleSymbolRenderer(QgsFillSymbol()))
    QgsProject.instance().addMapLayer(layer)
    assert read_legend(layer, "class") == Legend()
    assert isinstance(layer.renderer(), QgsSingleSymbolRenderer)
    QgsProject.instance().clear()


@pytest.fixture
def keys(qgis_app):
    """A table of the project in which numbers have names."""
    table = QgsVectorLayer("None?field=number:int&field=name:string", "keys", "memory")
    for values in ((7, "Roof"), (2, "Tree")):
        feature = QgsFeature(table.fields())
        feature.setAttributes(list(values))
        table.dataProvider().addFeature(feature)
    table.setDisplayExpression("name")
    QgsProject.instance().addMapLayer(table)
    yield table
    QgsProject.instance().clear()


@pytest.mark.parametrize("widget", ["ValueMap", "ValueRelation", "RelationReference"])
def test_without_such_a_style_names_are_those_of_the_attribute_table(keys, export, widget):
    layer = memory_layer([(7, SQUARE), (11, SQUARE), (None, SQUARE), (2, SQUARE)], field="class:int")
    QgsProject.instance().addMapLayer(layer, False)
    relation = QgsRelation()
    relation.setId("r")
    relation.setReferencingLayer(layer.id())
    relation.setReferencedLayer(keys.id())
    relation.addFieldPair("class", "number")
    QgsProject.instance().relationManager().addRelation(relation)
    settings = {
        "ValueMap": {"map": [{"Roof": "7"}, {"Tree": "2"}, {"Water": "1"}]},
        "ValueRelation": {"Layer": keys.id(), "Key": "number", "Value": "name"},
        "RelationReference": {"Relation": "r"},
    }
    layer.setEditorWidgetSetup(0, QgsEditorWidgetSetup(widget, settings[widget]))
    legend = read_legend(layer, "class")
    assert legend == Legend(("2", "7"), ("Tree", "Roof"))
    assert classes_of(export(layer, legend=legend)) == ["Roof", "11", None, "Tree"]
    assert read_legend(styled(layer, [(2, "Wood", "#008000")]), "class").names == ("Wood",)


@pytest.mark.parametrize(("widget", "settings"), [
    ("Range", {}), ("ValueRelation", {"Layer": "gone", "Key": "number", "Value": "name"}), ("ValueMap", {}),
    ("ValueRelation", {"Layer": "gone", "Key": "number", "Value": "name", "AllowMulti": True}),
    ("RelationReference", {"Relation": "gone"}),
])  # fmt: skip
def test_a_widget_without_names_gives_none(qgis_app, widget, settings):
    layer = memory_layer([(1000, SQUARE)], field="class:int")
    layer.setEditorWidgetSetup(0, QgsEditorWidgetSetup(widget, settings))
    assert read_legend(layer, "class").name_of(1000) == "1000"


def test_the_style_file_beside_a_layer_is_read(qgis_app):
    legend = read_legend(QgsVectorLayer(POLYGONS, "labels", "ogr"), "class")
    assert legend.names[0] == "Water"
    assert len(set(legend.colours)) == 10


def test_the_sample_scene_opens_with_its_style(qgis_app):
    layer = QgsRasterLayer(SCENE, "scene")
    assert layer.isValid()
    assert layer.bandCount() == 80
