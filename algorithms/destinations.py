"""What can be known of outputs before a run: whether they could be written, and whether an input would be lost."""

from __future__ import annotations

import os
from collections.abc import Iterator
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
        os.path.realpath(path)
        for definition in algorithm.parameterDefinitions() if not definition.isDestination()
        for path in _files_of(definition, parameters, context)
    }  # fmt: skip
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


def _files_of(
    definition: QgsProcessingParameterDefinition, parameters: dict[str, Any], context: QgsProcessingContext
) -> Iterator[str]:
    """The file of a parameter that is a layer or a file, if there is one."""
    value = parameters.get(definition.name())
    if isinstance(value, QgsProcessingFeatureSourceDefinition):
        value = value.source.staticValue()
    if not value:
        return
    if isinstance(definition, QgsProcessingParameterFile):
        yield str(value)
    elif definition.type() in ("source", "vector", "raster", "layer"):
        layer = QgsProcessingParameters.parameterAsLayer(definition, {definition.name(): value}, context)
        if layer is not None:
            parts = QgsProviderRegistry.instance().decodeUri(layer.providerType(), layer.source())
            yield from (part for part in (parts.get("path"),) if part)


def _chosen_file(value: Any) -> Path | None:
    """The file that a destination names; None for none, a temporary one, or a table in a database."""
    if isinstance(value, QgsProcessingOutputLayerDefinition):
        value = value.sink.staticValue()
    text = str(value or "")
    if not text or text == "TEMPORARY_OUTPUT" or text.startswith(("memory:", "ogr:", "postgis:", "spatialite:")):
        return None
    return Path(text)
