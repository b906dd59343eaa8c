"""From a QGIS polygon layer, as the user has it, to the GeoJSON file that the engine reads."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qgis.core import (
    NULL,
    QgsApplication,
    QgsCategorizedSymbolRenderer,
    QgsCoordinateReferenceSystem,
    QgsFeature,
    QgsFeatureRequest,
    QgsGeometry,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeatureSource,
    QgsProcessingFeatureSourceDefinition,
    QgsProcessingFeedback,
    QgsVectorLayer,
    QgsWkbTypes,
)
from qgis.PyQt.QtCore import QDate, QDateTime, Qt, QTime

FIELD, GROUP = "class", "group"
# How the name begins of what stands for no CRS in a GeoPackage; QGIS takes it for one.
UNDEFINED = "Undefined "
# Widgets of a field that show names instead of its values, in forms and attribute tables.
NAMING_WIDGETS = ("ValueMap", "ValueRelation", "RelationReference")


@dataclass(frozen=True)
class Legend:
    """Classes of a layer: field value (as text), name and, of a categorized style, colour, in the order of that."""

    values: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    colours: tuple[str, ...] = ()

    def name_of(self, value: Any) -> str | None:
        """The class name of a field value; None for no value, and for NaN."""
        if value is None or value == NULL or str(value).strip() == "":
            return None
        if isinstance(value, float) and math.isnan(value):
            return None
        text = value_text(value)
        return self.names[self.values.index(text)] if text in self.values else text


def value_text(value: Any) -> str:
    """A field value as text; 3.0 and 3 are the same class."""
    if isinstance(value, bool):
        return str(value).lower()  # as QGIS writes it into styles
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, (QDate, QDateTime, QTime)):
        return str(value.toString(Qt.DateFormat.ISODate))
    return str(value).strip()


def layer_title(layer: QgsVectorLayer, field: str, definition: Any, group_field: str = "") -> str:
    """What a report calls a layer: where it is from, its fields, and which of its features were used."""
    source = layer.name() if layer.providerType() == "memory" else layer.publicSource()
    title = f"{source}, field {field}" + (f", groups by {group_field}" if group_field else "")
    if isinstance(definition, QgsProcessingFeatureSourceDefinition):
        title += ", selected features only" if definition.selectedFeaturesOnly else ""
        # QGIS 3.32 and later.
        expression = getattr(definition, "filterExpression", "")
        title += f", where {expression}" if expression else ""
    return title


def read_legend(layer: QgsVectorLayer | None, field: str) -> Legend:
    """Names and colours from the layer's categorized renderer, where it classifies by this field; else from its widget.

    Call it where the layer may be touched: in the main thread.
    """
    if layer is None:
        return Legend()
    renderer = layer.renderer()
    if not isinstance(renderer, QgsCategorizedSymbolRenderer) and layer.project() is None:
        # A layer that was opened for this run only has not been given its style; one of the project keeps its own.
        layer.loadDefaultStyle()
        renderer = layer.renderer()
    # As in clusters of points and inverted polygons.
    while renderer is not None and renderer.embeddedRenderer() is not None:
        renderer = renderer.embeddedRenderer()
    if not isinstance(renderer, QgsCategorizedSymbolRenderer):
        return _names_in_table(layer, field)
    attribute = renderer.classAttribute().strip('"')
    if layer.fields().lookupField(attribute) != layer.fields().lookupField(field):
        return _names_in_table(layer, field)  # as by an expression, which is no field
    values, names, colours = [], [], []
    for category in renderer.categories():
        # A category may stand for several values.
        members = category.value() if isinstance(category.value(), list) else [category.value()]
        for value in members:
            if value is None or value == NULL or value_text(value) == "":
                continue
            values.append(value_text(value))
            names.append(category.label().strip() or value_text(value))
            colours.append(category.symbol().color().name() if category.symbol() else "")
    return Legend(tuple(values), tuple(names), tuple(colours))


def _names_in_table(layer: QgsVectorLayer, field: str) -> Legend:
    """Names that the attribute table shows instead of the values of a field, in the order of these."""
    index = layer.fields().lookupField(field)
    setup = layer.editorWidgetSetup(index)
    settings = setup.config()
    if setup.type() not in NAMING_WIDGETS or settings.get("AllowMulti"):
        return Legend()
    formatter = QgsApplication.fieldFormatterRegistry().fieldFormatter(setup.type())
    names = {}
    for value in sorted(v for v in layer.uniqueValues(index) if v is not None and v != NULL):
        text = value_text(value)
        name = formatter.representValue(layer, index, settings, None, value).strip()
        # A value without a name is shown in brackets, of some widgets with the user's marks between digits.
        if name not in ("", text, f"({text})", f"({layer.fields().at(index).displayString(value)})"):
            names[text] = name
    return Legend(tuple(names), tuple(names.values()))


def export_features(
    source: QgsProcessingFeatureSource,
    field: str | None,
    legend: Legend,
    scene_crs: QgsCoordinateReferenceSystem,
    path: Path,
    context: QgsProcessingContext,
    feedback: QgsProcessingFeedback,
    group_field: str = "",
) -> QgsCoordinateReferenceSystem:
    """Write the source's features as GeoJSON, with class name and group as properties, where fields are given.

    Takes what the source gives: selected features only, a filter, a memory layer. Invalid geometries
    are repaired. What a user should know of it stands in the file, too: the engine tells it, so that it is in the
    report.

    Returns:
        The CRS of what was written: the scene's or, where that has none, the source's own.

    Raises:
        QgsProcessingException: the source has no such field, nothing in it, no geometries, no CRS, no feature, or
            none that has an area in the scene's CRS.
    """
    fields = {key: name for key, name in ((FIELD, field), (GROUP, group_field)) if name}
    indices = _field_indices(source, fields)
    crs = scene_crs if scene_crs.isValid() else source.sourceCrs()
    feedback.pushInfo(
        f"Labels in {_crs_name(source.sourceCrs())}, scene in {_crs_name(scene_crs)}"
        + ("." if source.sourceCrs() == crs else "; the labels are reprojected.")
    )
    legends = {FIELD: legend, GROUP: Legend()}
    lost: list[int] = []
    request = QgsFeatureRequest().setDestinationCrs(crs, context.transformContext())
    request.setTransformErrorCallback(lambda feature: lost.append(feature.id()))
    request.setSubsetOfAttributes(list(indices.values()))
    flag = QgsProcessingFeatureSource.Flag.FlagSkipGeometryValidityChecks
    features: list[dict[str, Any]] = []
    repaired = without_area = 0
    for feature in _until_cancelled(source.getFeatures(request, flag), feedback):
        # Coordinates of another system than the layer's become infinite, without an error.
        if not feature.geometry().isEmpty() and not feature.geometry().boundingBox().isFinite():
            lost.append(feature.id())
            continue
        geometry, was_invalid = _repaired(feature.geometry())
        repaired += was_invalid
        if was_invalid and geometry.type() != feature.geometry().type():
            without_area += 1
            continue
        features.append({
            "type": "Feature",
            "id": feature.id(),
            "properties": {
                key: legends[key].name_of(feature.attribute(index)) for key, index in indices.items()
            },
            "geometry": None if geometry.isEmpty() else json.loads(geometry.asJson(9)),
        })  # fmt: skip
    if not features:
        problem = (
            f"can be reprojected to {_crs_name(crs)}; check in which coordinate reference system they were drawn, and "
            "set it in the layer's properties."
            if lost else "has an area; draw polygons." if without_area
            else "could be read; check whether the layer's source is still there."
        )  # fmt: skip
        raise QgsProcessingException(f"None of the labels '{source.sourceName()}' {problem}")
    if field and all(f["properties"][FIELD] is None for f in features):
        # The engine would call it by the name that it has in the file.
        raise QgsProcessingException(
            f"The class field '{field}' is empty (NULL) in every feature; fill it in, or choose another."
        )
    warnings = []
    if repaired:
        warnings.append(f"{repaired} invalid geometrie(s) were repaired.")
    if without_area:
        warnings.append(f"{without_area} of them have no area and are left out.")
    if lost:
        warnings.append(f"{len(lost)} feature(s) could not be reprojected and are left out.")
    collection = {"type": "FeatureCollection", "spectrafilm_warnings": warnings, "features": features}
    path.write_text(json.dumps(collection), encoding="utf-8")
    return crs


def _field_indices(source: QgsProcessingFeatureSource, fields: dict[str, str]) -> dict[str, int]:
    """The index of each field, given by its name, in a source that can be exported.

    Raises:
        QgsProcessingException: the source cannot be, or a field is missing.
    """
    if fields and not source.fields().count():
        raise QgsProcessingException(
            f"The labels '{source.sourceName()}' have no fields; check whether the layer's source can still be read."
        )
    indices = {key: source.fields().lookupField(name) for key, name in fields.items()}
    for key, index in indices.items():
        if index < 0:
            names = ", ".join(f.name() for f in source.fields())
            raise QgsProcessingException(
                f"The labels have no field '{fields[key]}' (they have {names}); choose another."
            )
    if source.wkbType() == QgsWkbTypes.Type.NoGeometry:
        raise QgsProcessingException(
            f"The labels '{source.sourceName()}' are a table without geometries; choose a layer of polygons or points."
        )
    if not source.sourceCrs().isValid() or source.sourceCrs().description().startswith(UNDEFINED):
        raise QgsProcessingException(
            f"The labels '{source.sourceName()}' have no coordinate reference system; set it in the layer's "
            "properties."
        )
    if not source.featureCount():
        raise QgsProcessingException(
            f"The labels '{source.sourceName()}' hold no features; draw polygons, or clear 'Selected features only'."
        )
    return indices


def _repaired(geometry: QgsGeometry) -> tuple[QgsGeometry, bool]:
    """A valid geometry, of polygons only where it was one, and whether it had to be repaired."""
    if geometry.isNull() or geometry.isEmpty() or geometry.isGeosValid():
        return geometry, False
    valid = geometry.makeValid()
    if geometry.type() == QgsWkbTypes.GeometryType.PolygonGeometry:
        valid.convertGeometryCollectionToSubclass(QgsWkbTypes.GeometryType.PolygonGeometry)
    return valid, True


def _until_cancelled(features: Iterable[QgsFeature], feedback: QgsProcessingFeedback) -> Iterable[QgsFeature]:
    for feature in features:
        if feedback.isCanceled():
            raise QgsProcessingException("The run was cancelled; no result was written.")
        yield feature


def _crs_name(crs: QgsCoordinateReferenceSystem) -> str:
    if not crs.isValid():
        return "no coordinate reference system"
    return crs.authid() or crs.description() or "an unnamed coordinate reference system"
