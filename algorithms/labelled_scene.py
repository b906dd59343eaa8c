"""What the algorithms that learn from polygons on a scene share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from qgis.core import (
    QgsProcessing,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeatureSourceDefinition,
    QgsProcessingFeedback,
    QgsProcessingParameterFeatureSource,
    QgsProcessingParameterField,
    QgsProcessingParameterRasterLayer,
)

from ..plugin.polygon_source import FIELD, GROUP, Legend, export_features, layer_title, read_legend
from ..plugin.scratch import temporary_folder
from .base import SpectraFilmAlgorithm, crs_text

LABELS = [QgsProcessing.SourceType.TypeVectorPolygon, QgsProcessing.SourceType.TypeVectorPoint]


class LabelledSceneAlgorithm(SpectraFilmAlgorithm):
    """An algorithm with a scene, polygons on it, the field of their class, and choices of features."""

    NUMBERS = ("LAYERS", "TIMESTEPS")

    def __init__(self) -> None:
        super().__init__()
        self._legend = Legend()
        self._labels_title = ""

    def add_labelled_scene(self) -> None:
        """Declare INPUT, POLYGONS and CLASS_FIELD."""
        self.add(
            QgsProcessingParameterRasterLayer("INPUT", self.tr("Scene")),
            "The hyperspectral or multispectral raster on which the polygons were drawn.",
        )
        self.add(
            QgsProcessingParameterFeatureSource("POLYGONS", self.tr("Training polygons or points"), LABELS),
            "Polygons of known land cover, in any coordinate reference system. A pixel is used when its centre lies "
            "in a polygon; polygons smaller than a pixel use the pixels that they mostly cover. A point labels the "
            "pixel that it lies in.",
        )  # fmt: skip
        self.add(
            QgsProcessingParameterField("CLASS_FIELD", self.tr("Class field"), "class", "POLYGONS"),
            "The field that says which class a polygon or point shows, as text or number.",
        )

    def add_group_field(self) -> None:
        """Declare GROUP_FIELD."""
        self.add(
            QgsProcessingParameterField("GROUP_FIELD", self.tr("Group field"), None, "POLYGONS", optional=True),
            "A field with the same value in polygons that belong together: of one agricultural field, plot or site. "
            "They count as one polygon, so that validation never tests one with what was learnt from others of its "
            "group. Polygons without a value stand for themselves.",
            advanced=True,
        )

    def prepareAlgorithm(  # noqa: N802
        self, parameters: dict[str, Any], context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> bool:
        polygons = definition = parameters["POLYGONS"]
        if isinstance(definition, QgsProcessingFeatureSourceDefinition):
            polygons = definition.source  # the layer behind 'Selected features only'
        layer = self.parameterAsVectorLayer({"POLYGONS": polygons}, "POLYGONS", context)
        field = self.parameterAsString(parameters, "CLASS_FIELD", context)
        self._legend = read_legend(layer, field)
        group_field = self.parameterAsString(parameters, "GROUP_FIELD", context)
        self._labels_title = layer_title(layer, field, definition, group_field) if layer else ""
        return True

    @contextmanager
    def exported(
        self, parameters: dict[str, Any], context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> Iterator[dict[str, Any]]:
        """The parts of a job that say which scene, polygons and classes, while their temporary file exists."""
        scene, crs = self.raster_of(parameters, "INPUT", context)
        source = self.parameterAsSource(parameters, "POLYGONS", context)
        if source is None:
            raise QgsProcessingException(self.invalidSourceError(parameters, "POLYGONS"))
        with temporary_folder() as folder:
            polygons = folder / "polygons.geojson"
            field = self.parameterAsString(parameters, "CLASS_FIELD", context)
            group_field = self.parameterAsString(parameters, "GROUP_FIELD", context)
            label_crs = export_features(source, field, self._legend, crs, polygons, context, feedback, group_field)
            yield {
                "scene": scene,
                "polygons": str(polygons),
                "class_field": FIELD,
                "group_field": GROUP if group_field else "",
                "polygons_crs": crs_text(label_crs),
                "class_names": self._legend.names,
                "class_colours": self._legend.colours,
                "scene_crs": crs_text(crs),
            }
