"""spectrafilm:trainfilm"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from qgis.core import (
    QgsProcessing,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeatureSourceDefinition,
    QgsProcessingFeedback,
    QgsProcessingOutputNumber,
    QgsProcessingParameterEnum,
    QgsProcessingParameterFeatureSource,
    QgsProcessingParameterField,
    QgsProcessingParameterFileDestination,
    QgsProcessingParameterRasterLayer,
)

from ..engine.jobs import TrainFilm
from ..plugin.polygon_source import FIELD, Legend, export_features, read_legend
from .base import SpectraFilmAlgorithm, crs_text

METHODS = ("spectrafilm", "geodiffnet-f", "geodiffnet", "spectral")
NUMBERS = {
    "OVERALL_ACCURACY": "overall_accuracy",
    "AVERAGE_ACCURACY": "average_accuracy",
    "KAPPA": "kappa",
}


class TrainFilmAlgorithm(SpectraFilmAlgorithm):
    """A model from a scene and digitized polygons."""

    ID = "trainfilm"
    TITLE = "Train model"
    GROUP = "Land cover"
    ICON = "trainfilm.svg"
    HELP = (
        "Trains a land-cover model from a scene and a few polygons drawn on it, and estimates how accurate the map "
        "will be.\n\n"
        "Draw several small polygons for each class in different parts of the scene rather than one large one: "
        "accuracy is estimated by cross-validation that never tests a polygon on itself, which needs at least two "
        "polygons a class. Class names and colours are taken from the layer's categorized style where it has one.\n\n"
        "SpectraFiLM combines spectra with spatial features of a frozen diffusion U-Net by feature-wise linear "
        "modulation (FiLM) and trains an ensemble; GeoDiffNet-F and GeoDiffNet are the methods as published."
    )

    def __init__(self) -> None:
        super().__init__()
        self._legend = Legend()

    def initAlgorithm(self, configuration: dict[str, Any] | None = None) -> None:  # noqa: N802
        self.add(
            QgsProcessingParameterRasterLayer("INPUT", self.tr("Scene")),
            "The hyperspectral or multispectral raster on which the polygons were drawn.",
        )
        self.add(
            QgsProcessingParameterFeatureSource("POLYGONS", self.tr("Training polygons"),
                                                [QgsProcessing.SourceType.TypeVectorPolygon]),
            "Polygons of known land cover, in any coordinate reference system. A pixel is used when its centre lies "
            "in a polygon; polygons smaller than a pixel use the pixels that they mostly cover.",
        )  # fmt: skip
        self.add(
            QgsProcessingParameterField("CLASS_FIELD", self.tr("Class field"), parentLayerParameterName="POLYGONS"),
            "The field that says which class a polygon shows, as text or number.",
        )
        self.add(
            QgsProcessingParameterEnum("METHOD", self.tr("Method"), [
                self.tr("SpectraFiLM"), self.tr("GeoDiffNet-F (as published)"),
                self.tr("GeoDiffNet (spatial only)"), self.tr("Spectral only")], defaultValue=0),
            "SpectraFiLM is the default because it was the most accurate in our benchmarks; see the user guide.",
        )  # fmt: skip
        self.add(
            QgsProcessingParameterRasterLayer("FEATURES", self.tr("Features"), optional=True),
            "A raster from 'Extract spatial features' of the same scene, to be used instead of computing features.",
            advanced=True,
        )
        self.add_feature_choices()
        self.add_device()
        self.add_seed()
        self.add(
            QgsProcessingParameterFileDestination("MODEL", self.tr("Model"),
                                                  self.tr("SpectraFiLM model (*.safetensors)")),
            "The trained model, for 'Predict map'.",
        )  # fmt: skip
        self.add(
            QgsProcessingParameterFileDestination("REPORT", self.tr("Report"), self.tr("HTML files (*.html)"),
                                                  optional=True),
            "Accuracy, labels, spectra and settings as a page; the same figures as JSON beside it.",
        )  # fmt: skip
        for key, title in (("OVERALL_ACCURACY", "Overall accuracy"), ("AVERAGE_ACCURACY", "Average accuracy"),
                           ("KAPPA", "Cohen's kappa")):  # fmt: skip
            self.addOutput(QgsProcessingOutputNumber(key, self.tr(title + " (per cent, cross-validated)")))

    def checkParameterValues(self, parameters: dict[str, Any], context: QgsProcessingContext) -> tuple[bool, str]:  # noqa: N802
        problem = self.check_numbers(parameters, ("LAYERS", "TIMESTEPS"), context)
        return (False, problem) if problem else super().checkParameterValues(parameters, context)

    def prepareAlgorithm(  # noqa: N802
        self, parameters: dict[str, Any], context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> bool:
        polygons = parameters["POLYGONS"]
        if isinstance(polygons, QgsProcessingFeatureSourceDefinition):
            polygons = polygons.source  # the layer behind 'Selected features only'
        layer = self.parameterAsVectorLayer({"POLYGONS": polygons}, "POLYGONS", context)
        self._legend = read_legend(layer, self.parameterAsString(parameters, "CLASS_FIELD", context))
        return True

    def processAlgorithm(  # noqa: N802
        self, parameters: dict[str, Any], context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> dict[str, Any]:
        scene, crs = self.raster_of(parameters, "INPUT", context)
        source = self.parameterAsSource(parameters, "POLYGONS", context)
        if source is None:
            raise QgsProcessingException(self.invalidSourceError(parameters, "POLYGONS"))
        features = ""
        if parameters.get("FEATURES"):
            features, _ = self.raster_of(parameters, "FEATURES", context)
        model = self.parameterAsFileOutput(parameters, "MODEL", context)
        report = self.parameterAsFileOutput(parameters, "REPORT", context)
        label_crs = crs if crs.isValid() else source.sourceCrs()
        with tempfile.TemporaryDirectory(prefix="spectrafilm-") as folder:
            polygons = Path(folder) / "polygons.geojson"
            field = self.parameterAsString(parameters, "CLASS_FIELD", context)
            export_features(source, field, self._legend, label_crs, polygons, context, feedback)
            job = TrainFilm(
                scene=scene,
                polygons=str(polygons),
                model=model,
                report=report,
                class_field=FIELD,
                polygons_crs=crs_text(label_crs),
                class_names=self._legend.names,
                class_colours=self._legend.colours,
                method=METHODS[self.parameterAsEnum(parameters, "METHOD", context)],
                features=features,
                backbone=self.parameterAsString(parameters, "BACKBONE", context),
                composites=self.composites_of(parameters, context),
                layers=self.numbers_of(parameters, "LAYERS", context),
                timesteps=self.numbers_of(parameters, "TIMESTEPS", context),
                device=self.device_of(parameters, context),
                seed=self.parameterAsInt(parameters, "SEED", context),
                scene_crs=crs_text(crs),
            )
            values = self.run_job(job, feedback)
        return {"MODEL": model, "REPORT": report, **{key: values[name] for key, name in NUMBERS.items()}}
