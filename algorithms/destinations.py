"""What can be known of outputs before a run: whether they could be written, and whether an input would be lost."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from qgis.core import (
    QgsProcessingAlgorithm,
    QgsProcessingContext,
    QgsProcessingFeatureSourceDefinition,
    QgsProcessingOutputLayerDefinition,
    QgsProcessingParameterDefinition,
    QgsProcessingParameterFile,
    QgsProcessingParameterFolderDestination,
    QgsProcessingParameterRasterDestination,
    QgsProcessingParameters,
    QgsProviderRegistry,
)

RASTER_SUFFIXES = ("", ".tif", ".tiff")


def problem_of(algorithm: QgsProcessingAlgorithm, parameters: dict[str, Any], context: QgsProcessingContext) -> str:
    """What is wrong with where the outputs shall go; empty where nothing is."""
    inputs = {
        os.path.realpath(file)
        for definition in algorithm.parameterDefinitions()
        if not definition.isDestination() and (file := _file_of(definition, parameters, context))
    }
    for definition in algorithm.destinationParameterDefinitions():
        path = _chosen_file(parameters.get(definition.name()))
        if path is None or isinstance(definition, QgsProcessingParameterFolderDestination):
            continue
        if os.path.realpath(path) in inputs:
            return f"The output {path} is also an input of this run; choose another name for it."
        if not path.parent.is_dir():
            return f"The output folder {path.parent} does not exist; create it or choose another."
        is_raster = isinstance(definition, QgsProcessingParameterRasterDestination)
        if is_raster and path.suffix.lower() not in RASTER_SUFFIXES:
            return f"The output {path} would be a GeoTIFF; choose a name that ends with .tif."
    return ""


def _file_of(
    definition: QgsProcessingParameterDefinition, parameters: dict[str, Any], context: QgsProcessingContext
) -> str:
    """The file of a parameter that is a layer or a file; empty for none."""
    value = parameters.get(definition.name())
    if isinstance(value, QgsProcessingFeatureSourceDefinition):
        value = value.source.staticValue()
    if value and isinstance(definition, QgsProcessingParameterFile):
        return str(value)
    if value and definition.type() in ("source", "vector", "raster", "layer"):
        layer = QgsProcessingParameters.parameterAsLayer(definition, {definition.name(): value}, context)
        if layer is not None:
            parts = QgsProviderRegistry.instance().decodeUri(layer.providerType(), layer.source())
            return parts.get("path") or ""
    return ""


def _chosen_file(value: Any) -> Path | None:
    """The file that a destination names; None for none, a temporary one, or a table in a database."""
    if isinstance(value, QgsProcessingOutputLayerDefinition):
        value = value.sink.staticValue()
    text = str(value or "")
    if not text or text == "TEMPORARY_OUTPUT" or text.startswith(("memory:", "ogr:", "postgis:", "spatialite:")):
        return None
    return Path(text)
