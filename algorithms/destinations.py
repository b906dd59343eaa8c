"""What can be known of outputs before a run: whether they could be written, and whether an input would be lost."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from qgis.core import (
    QgsDataSourceUri,
    QgsMapLayer,
    QgsProcessingAlgorithm,
    QgsProcessingContext,
    QgsProcessingFeatureSourceDefinition,
    QgsProcessingOutputLayerDefinition,
    QgsProcessingParameterDefinition,
    QgsProcessingParameterFeatureSink,
    QgsProcessingParameterFile,
    QgsProcessingParameterFolderDestination,
    QgsProcessingParameterRasterDestination,
    QgsProcessingParameters,
    QgsProcessingUtils,
    QgsProject,
    QgsProperty,
    QgsProviderRegistry,
    QgsVectorFileWriter,
    QgsVectorLayer,
)

from ..engine.partial_outputs import identity

RASTER_SUFFIXES = ("", ".tif", ".tiff")
# What a shapefile consists of, too.
SHAPEFILE_SUFFIXES = (".dbf", ".shx", ".prj", ".cpg")
# In bytes. QGIS empties a layer's file that is there before it notices that a new one has no room.
LEAST_ROOM = 2**20


class Place(NamedTuple):
    """A file, or a table in it; `table` is empty for the whole."""

    file: str
    table: str = ""

    def overlaps(self, other: Place) -> bool:
        """Whether what is written to one changes the other."""
        alike = identity(self.file) == identity(other.file)
        return alike and (not self.table or not other.table or self.table == other.table)


def problem_of(algorithm: QgsProcessingAlgorithm, parameters: dict[str, Any], context: QgsProcessingContext) -> str:
    """What is wrong with where the outputs shall go; empty where nothing is."""
    inputs = {
        place
        for definition in algorithm.parameterDefinitions() if not definition.isDestination()
        for place in _read(definition, parameters, context)
    }  # fmt: skip
    for definition in algorithm.destinationParameterDefinitions():
        text = text_of(parameters.get(definition.name()), context)
        if text.startswith("memory:") and not isinstance(definition, QgsProcessingParameterFeatureSink):
            return f"The output {text} cannot be kept in memory, as only vectors can; name a file or TEMPORARY_OUTPUT."
        place = _written(text, definition)
        if place is None or isinstance(definition, QgsProcessingParameterFolderDestination):
            continue
        if any(place.overlaps(other) for other in inputs):
            return f"The output {text} is also an input of this run; choose another name for it."
        if problem := problem_of_folder(definition, parameters, context):
            return problem
        suffix = Path(place.file).suffix.lower()
        if isinstance(definition, QgsProcessingParameterRasterDestination) and suffix not in RASTER_SUFFIXES:
            return f"The output {text} would be a GeoTIFF; choose a name that ends with .tif."
    return ""


def problem_of_folder(
    definition: QgsProcessingParameterDefinition, parameters: dict[str, Any], context: QgsProcessingContext
) -> str:
    """What is wrong with the folder of an output; empty where nothing is. It may change while a run works."""
    place = _written(text_of(parameters.get(definition.name()), context), definition)
    if place is None:
        return ""
    folder = Path(place.file).parent
    if not os.path.isdir(folder):  # noqa: PTH112  (Path's raises where one may not look)
        return f"The output folder {folder} does not exist; create it or choose another."
    if _is_full(folder):
        return f"The disk with the output folder {folder} is full; make room or choose another."
    return ""


def is_occupied(
    definition: QgsProcessingParameterDefinition, parameters: dict[str, Any], context: QgsProcessingContext
) -> bool:
    """Whether a file, or a layer in it, is there already where an output shall go."""
    place = _written(text_of(parameters.get(definition.name()), context), definition)
    if place is None or not os.path.exists(place.file):  # noqa: PTH110  (Path's raises where one may not look)
        return False
    return not place.table or place.table in _tables(place.file)


def _is_full(folder: Path) -> bool:
    """Whether a folder's disk is full; one that does not tell, as some on a network, is taken not to be."""
    try:
        usage = shutil.disk_usage(folder)
    except OSError:
        return False
    return usage.total > 0 and usage.free < LEAST_ROOM


def _read(
    definition: QgsProcessingParameterDefinition, parameters: dict[str, Any], context: QgsProcessingContext
) -> Iterator[Place]:
    """What a parameter that is a layer or a file is read from."""
    value = text_of(parameters.get(definition.name()), context)
    if value and isinstance(definition, QgsProcessingParameterFile):
        yield Place(os.path.realpath(value))
    elif value and definition.type() in ("source", "vector", "raster", "layer"):
        given = parameters[definition.name()]
        chosen = given if isinstance(given, QgsMapLayer) else value
        layer = QgsProcessingParameters.parameterAsLayer(definition, {definition.name(): chosen}, context)
        if layer is not None:
            yield from _places_of(layer, context.project() or QgsProject.instance())


def _places_of(layer: QgsMapLayer, project: QgsProject) -> Iterator[Place]:
    """Where a layer is kept, and those that a virtual layer is made of."""
    parts = QgsProviderRegistry.instance().decodeUri(layer.providerType(), layer.source())
    if path := parts.get("path"):
        file = os.path.realpath(path)
        yield Place(file, parts.get("layerName") or _only_table(file))
        if Path(file).suffix.lower() == ".shp":
            yield from (Place(str(Path(file).with_suffix(suffix))) for suffix in SHAPEFILE_SUFFIXES)
    # A layer of a provider that this QGIS does not have has none.
    if isinstance(layer, QgsVectorLayer) and layer.dataProvider() is not None:
        for dependency in layer.dataProvider().dependencies():
            if (other := project.mapLayer(dependency.layerId())) is not None:
                yield from _places_of(other, project)


def _only_table(file: str) -> str:
    """The table of a file that has one; empty where it has several, or is none of tables."""
    tables = _tables(file)
    return tables[0] if len(tables) == 1 else ""


def _tables(file: str) -> list[str]:
    return [str(table.name()) for table in QgsProviderRegistry.instance().providerMetadata("ogr").querySublayers(file)]


def text_of(value: Any, context: QgsProcessingContext) -> str:
    """The text of a parameter, data-defined or not; empty where it is nothing of the kind."""
    if isinstance(value, QgsProcessingOutputLayerDefinition):
        value = value.sink
    elif isinstance(value, QgsProcessingFeatureSourceDefinition):
        value = value.source
    if isinstance(value, QgsProperty):
        return str(value.valueAsString(context.expressionContext(), "")[0])
    return value.id() if isinstance(value, QgsMapLayer) else str(value or "")


def _written(text: str, definition: QgsProcessingParameterDefinition) -> Place | None:
    """The file, or the table in one, that a destination names; None for none, a temporary one, or a database."""
    if not text or text == "TEMPORARY_OUTPUT" or text.startswith(("memory:", "postgis:", "spatialite:")):
        return None
    if text.startswith("ogr:"):
        uri = QgsDataSourceUri(text[len("ogr:") :])
        return Place(os.path.realpath(uri.database()), uri.table()) if uri.database() else None
    if QgsProcessingUtils.decodeProviderKeyAndUri(text)[0]:
        return None
    if isinstance(definition, QgsProcessingParameterFeatureSink):
        # QGIS writes a GeoPackage where a name does not end as that of a format does.
        text += "" if QgsVectorFileWriter.driverForExtension(Path(text).suffix) else ".gpkg"
    return Place(os.path.realpath(text))
