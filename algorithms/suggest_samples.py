"""spectrafilm:suggestsamples"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from qgis.core import (
    QgsCoordinateReferenceSystem,
    QgsFeature,
    QgsFeatureSink,
    QgsGeometry,
    QgsPointXY,
    QgsProcessing,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeedback,
    QgsProcessingParameterEnum,
    QgsProcessingParameterFeatureSink,
    QgsProcessingParameterFeatureSource,
    QgsProcessingParameterNumber,
    QgsProcessingParameterRasterLayer,
    QgsVectorFileWriter,
    QgsVectorLayer,
    QgsWkbTypes,
)

from ..engine.jobs import SuggestSamples
from ..plugin.polygon_source import Legend, export_features
from ..plugin.scratch import temporary_folder
from .base import SpectraFilmAlgorithm, crs_text
from .destinations import problem_of_folder, text_of
from .labelled_scene import LABELS

# No field is called `class`: what the model believes is no label to train on. Without a length texts of more than 255
# characters would be refused.
FIELDS = {"rank": "integer", "predicted": "string(0)", "confidence": "double", "rival": "string(0)"}


class SuggestSamplesAlgorithm(SpectraFilmAlgorithm):
    """Where to draw the next polygons."""

    ID = "suggestsamples"
    TITLE = "Suggest samples"
    GROUP = "Land cover"
    ICON = "suggestsamples.svg"
    TAGS = "active learning, sampling, training data, uncertainty"
    HELP = (
        "Shows where the next polygons would help a model most: places that resemble, in spectrum and position, as "
        "much as possible of what it hesitates about, and neither each other nor what is labelled already.\n\n"
        "Visit the places in the order of their rank, draw a polygon of what is really there, and train again. The "
        "layer tells the class that the model predicts and its rival: guesses, not labels to train on."
    )

    def initAlgorithm(self, configuration: dict[str, Any] | None = None) -> None:  # noqa: N802
        self.add(QgsProcessingParameterRasterLayer("INPUT", self.tr("Scene")), "The scene to look for places in.")
        self.add_model()
        self.add(
            QgsProcessingParameterNumber("COUNT", self.tr("Number of places"),
                                         QgsProcessingParameterNumber.Type.Integer, 20, minValue=1, maxValue=1000),
            "How many places are suggested.",
        )  # fmt: skip
        self.add(
            QgsProcessingParameterFeatureSource("POLYGONS", self.tr("Polygons drawn so far"),
                                                LABELS, optional=True),
            "The labels that exist already; nothing is suggested within them, and what is like them comes last.",
        )  # fmt: skip
        self.add(
            QgsProcessingParameterEnum("SHAPE", self.tr("Shape"), [
                self.tr("Points"), self.tr("Squares of one pixel")], defaultValue=0),
            "Points at the centres of pixels, or the pixels themselves.",
        )  # fmt: skip
        self.add_features_of_model()
        self.add_device()
        self.add_seed()
        self.add(
            QgsProcessingParameterFeatureSink("OUTPUT", self.tr("Suggested samples"),
                                              QgsProcessing.SourceType.TypeVectorAnyGeometry),
            "A layer of places with rank, predicted class, its confidence (0 to 1) and the class that rivals it.",
        )  # fmt: skip

    def processAlgorithm(  # noqa: N802
        self, parameters: dict[str, Any], context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> dict[str, Any]:
        scene, crs = self.raster_of(parameters, "INPUT", context)
        drawn = self.parameterAsSource(parameters, "POLYGONS", context)
        with temporary_folder() as folder:
            labelled, label_crs = "", crs
            if drawn is not None and drawn.featureCount():
                path = folder / "labelled.geojson"
                labelled, label_crs = str(path), export_features(drawn, None, Legend(), crs, path, context, feedback)
            job = SuggestSamples(
                scene=scene,
                model=self.parameterAsFile(parameters, "MODEL", context),
                count=self.parameterAsInt(parameters, "COUNT", context),
                labelled=labelled,
                labelled_crs=crs_text(label_crs),
                features=self.features_of(parameters, context),
                backbone=self.parameterAsString(parameters, "BACKBONE", context),
                device=self.device_of(parameters, context),
                seed=self.parameterAsInt(parameters, "SEED", context),
                scene_crs=crs_text(crs),
            )
            result = self.run_job(job, feedback)
        return {"OUTPUT": self._write(parameters, result, context)}

    def _write(self, parameters: dict[str, Any], result: dict[str, Any], context: QgsProcessingContext) -> str:
        """The places as a layer; its id or path."""
        as_points = self.parameterAsEnum(parameters, "SHAPE", context) == 0
        # A memory layer understands type names; those of Qt changed between QGIS 3 and 4.
        template = "&".join(f"field={name}:{kind}" for name, kind in FIELDS.items())
        fields = QgsVectorLayer(f"Point?{template}", "", "memory").fields()
        kind = QgsWkbTypes.Type.Point if as_points else QgsWkbTypes.Type.Polygon
        crs = QgsCoordinateReferenceSystem.fromWkt(result["crs"])
        # QGIS would empty a layer that is there, leave half a file, and say in its own words why.
        if problem := problem_of_folder(self.parameterDefinition("OUTPUT"), parameters, context):
            raise QgsProcessingException(problem)
        sink, identifier = self.parameterAsSink(parameters, "OUTPUT", context, fields, kind, crs)
        if sink is None:
            raise QgsProcessingException(self.invalidSinkError(parameters, "OUTPUT"))
        for place in result["places"]:
            corners = [QgsPointXY(*corner) for corner in place["corners"]]
            feature = QgsFeature(fields)
            square = QgsGeometry.fromPolygonXY([[*corners, corners[0]]])
            feature.setGeometry(QgsGeometry.fromPointXY(QgsPointXY(*place["centre"])) if as_points else square)
            feature.setAttributes([place[name] for name in FIELDS])
            sink.addFeature(feature, QgsFeatureSink.Flag.FastInsert)
        del sink  # writes what is left, and does not say whether it could
        path = Path(identifier.split("|")[0])
        if path.is_file():
            written = QgsVectorLayer(identifier, "", "ogr")
            # Not by the number of features that a GeoPackage tells, which GDAL may have written without them.
            if sum(1 for _ in written.getFeatures()) < len(result["places"]):
                del written
                _delete_part(path, text_of(parameters["OUTPUT"], context))
                raise QgsProcessingException(
                    self.tr("The places could not be written to {0}; is there room on the disk?").format(path)
                )
        return str(identifier)


def _delete_part(path: Path, destination: str) -> None:
    """Delete what could be written of a layer, unless it is one of several in a file."""
    if path.suffix.lower() == ".shp":
        QgsVectorFileWriter.deleteShapeFile(str(path))
    elif not destination.startswith("ogr:"):
        with contextlib.suppress(OSError):
            path.unlink()
