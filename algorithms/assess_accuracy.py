"""spectrafilm:assessaccuracy"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qgis.core import (
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeedback,
    QgsProcessingParameterMapLayer,
    QgsProcessingParameterRasterLayer,
    QgsProcessingParameterString,
    QgsRasterLayer,
    QgsVectorLayer,
)

from ..engine.jobs import AssessAccuracy
from ..plugin.polygon_source import FIELD, GROUP, Legend, export_features, layer_title, read_legend
from ..plugin.raster_legend import read_raster_legend
from ..plugin.scratch import temporary_folder
from .base import ACCURACIES, SpectraFilmAlgorithm, crs_text


class AssessAccuracyAlgorithm(SpectraFilmAlgorithm):
    """Agreement of a map with a reference."""

    ID = "assessaccuracy"
    TITLE = "Assess accuracy"
    GROUP = "Land cover"
    ICON = "assessaccuracy.svg"
    TAGS = "validation, confusion matrix, error matrix, kappa, overall accuracy, area-adjusted"
    HELP = (
        "Compares a land-cover map with independent reference polygons, points or a label raster, and writes a "
        "report. It holds the confusion matrix (rows reference, columns map), overall and average accuracy, Cohen's "
        "kappa, precision, recall and F1 of every class with 95 % confidence intervals, and area-adjusted estimates "
        "after Olofsson et al. (2014).\n\n"
        "Classes are matched by name or, where the map has none of the names, by number. A reference that was also "
        "used for training tells nothing about the rest of the map."
    )

    def __init__(self) -> None:
        super().__init__()
        self._legend = self._map_legend = Legend()
        self._reference_title = self._group_field = ""

    def initAlgorithm(self, configuration: dict[str, Any] | None = None) -> None:  # noqa: N802
        self.add(
            QgsProcessingParameterRasterLayer("MAP", self.tr("Land-cover map")),
            "A map of class numbers: from 'Predict map', or any raster of whole numbers from 1 to 255.",
        )
        self.add(
            QgsProcessingParameterMapLayer("REFERENCE", self.tr("Reference")),
            "Polygons or points of known land cover, or a raster of class numbers (0 is unlabelled).",
        )
        # A text: QGIS crashes where a field belongs to a layer that is a raster.
        self.add(
            QgsProcessingParameterString("CLASS_FIELD", self.tr("Class field"), "class", optional=True),
            "For polygons and points: the name of the field that says which class they show. Not needed for a raster.",
        )
        self.add(
            QgsProcessingParameterString("GROUP_FIELD", self.tr("Group field"), optional=True),
            "For polygons and points: the name of a field with the same value in those that belong together, such as "
            "points of one plot or polygons of one agricultural field. They count as one in the intervals, which are "
            "too narrow where what is alike counts as many.",
            advanced=True,
        )
        self.add_report("The report as a page; the same figures as JSON beside it.")
        self.add_figures(ACCURACIES, "per cent")

    def checkParameterValues(self, parameters: dict[str, Any], context: QgsProcessingContext) -> tuple[bool, str]:  # noqa: N802
        layer = self.parameterAsLayer(parameters, "REFERENCE", context)
        if isinstance(layer, QgsVectorLayer) and not self.parameterAsString(parameters, "CLASS_FIELD", context):
            return False, self.tr("Choose the field of the reference that holds the class.")
        return super().checkParameterValues(parameters, context)

    def prepareAlgorithm(  # noqa: N802
        self, parameters: dict[str, Any], context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> bool:
        self._map_legend = read_raster_legend(self.parameterAsRasterLayer(parameters, "MAP", context))
        layer = self.parameterAsLayer(parameters, "REFERENCE", context)
        self._legend = read_raster_legend(layer)
        if isinstance(layer, QgsVectorLayer):
            field = self.parameterAsString(parameters, "CLASS_FIELD", context)
            self._legend = read_legend(layer, field)
            self._group_field = self.parameterAsString(parameters, "GROUP_FIELD", context)
            self._reference_title = layer_title(layer, field, parameters["REFERENCE"], self._group_field)
        return True

    def processAlgorithm(  # noqa: N802
        self, parameters: dict[str, Any], context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> dict[str, Any]:
        land_cover, crs = self.raster_of(parameters, "MAP", context)
        report = self.parameterAsFileOutput(parameters, "REPORT", context)
        with temporary_folder() as folder:
            reference, reference_crs = self._reference(parameters, crs, folder, context, feedback)
            job = AssessAccuracy(
                map=land_cover,
                reference=reference,
                report=report,
                class_field=FIELD,
                group_field=GROUP if self._group_field else "",
                reference_crs=reference_crs,
                map_crs=crs_text(crs),
                reference_title=self._reference_title,
                map_values=self._map_legend.values,
                map_names=self._map_legend.names,
                reference_values=self._legend.values,
                reference_names=self._legend.names,
            )
            values = self.run_job(job, feedback)
        return {"REPORT": report, **{key: values[key.lower()] for key in ACCURACIES}}

    def _reference(
        self, parameters: dict[str, Any], map_crs: Any, folder: Path, context: QgsProcessingContext,
        feedback: QgsProcessingFeedback,
    ) -> tuple[str, str]:  # fmt: skip
        """Path of the reference for the engine, and its CRS."""
        layer = self.parameterAsLayer(parameters, "REFERENCE", context)
        if isinstance(layer, QgsRasterLayer):
            reference, crs = self.raster_of(parameters, "REFERENCE", context)
            return reference, crs_text(crs)
        if not isinstance(layer, QgsVectorLayer):
            raise QgsProcessingException(
                self.tr("The reference {0} is neither a vector layer nor a raster that can be read.").format(
                    self.parameterAsString(parameters, "REFERENCE", context)
                )
            )
        field = self.parameterAsString(parameters, "CLASS_FIELD", context)
        source = self.parameterAsSource(parameters, "REFERENCE", context)
        path = folder / "reference.geojson"
        crs = export_features(source, field, self._legend, map_crs, path, context, feedback, self._group_field)
        return str(path), crs_text(crs)
