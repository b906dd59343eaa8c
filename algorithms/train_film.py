"""spectrafilm:trainfilm"""

from __future__ import annotations

from typing import Any

from qgis.core import (
    QgsProcessingContext,
    QgsProcessingFeedback,
    QgsProcessingParameterBoolean,
    QgsProcessingParameterFile,
    QgsProcessingParameterFileDestination,
)

from ..engine.jobs import TrainFilm
from .base import ACCURACIES
from .labelled_scene import LabelledSceneAlgorithm

RESULTS = {
    **ACCURACIES,
    "OVERALL_ACCURACY_LOW": "Overall accuracy, lower end of its 95 % interval",
    "OVERALL_ACCURACY_HIGH": "Overall accuracy, upper end of its 95 % interval",
}
METHODS = {
    "spectrafilm": "SpectraFiLM", "geodiffnet-f": "GeoDiffNet-F (as published)",
    "geodiffnet": "GeoDiffNet (spatial only)", "spectral": "Spectral only", "diffspectralnet": "DiffSpectralNet",
    "diffcrn": "DiffCRN",
}  # fmt: skip


class TrainFilmAlgorithm(LabelledSceneAlgorithm):
    """A model from a scene and digitized polygons."""

    ID = "trainfilm"
    TITLE = "Train model"
    GROUP = "Land cover"
    ICON = "trainfilm.svg"
    TAGS = "hyperspectral, classification, classifier, supervised, few-shot, deep learning, diffusion, FiLM, land cover"
    HELP = (
        "Trains a land-cover model from a scene and a few polygons drawn on it, and estimates how accurate it is at "
        "places like these.\n\n"
        "Draw several small polygons for each class in different parts of the scene rather than one large one: "
        "accuracy is estimated by cross-validation that never tests a polygon on itself, which needs at least two "
        "polygons a class. The whole map is usually less accurate than polygons drawn where a class is plain to see; "
        "'Assess accuracy' with independent samples tells. Class names and colours are taken from the layer's "
        "categorized style where it has one.\n\n"
        "SpectraFiLM combines spectra with spatial features of a frozen diffusion U-Net by feature-wise linear "
        "modulation (FiLM), looks at the spectrum alone and at the pixel's neighbourhood, too, and compares the pixel "
        "with the labelled ones; cross-validation decides how much each of these counts, and whether neighbouring "
        "pixels that look alike vote together. GeoDiffNet-F and GeoDiffNet are the methods as published. "
        "DiffSpectralNet and DiffCRN need a backbone from 'Pretrain on scene'."
    )

    def initAlgorithm(self, configuration: dict[str, Any] | None = None) -> None:  # noqa: N802
        self.add_labelled_scene()
        self.add_choice(
            "METHOD", "Method", METHODS, 0,
            "SpectraFiLM is the default because it was the most accurate on average in our benchmarks on scenes of 10 "
            "m and finer. Where pixels are 30 m wide, compare it with 'Spectral only' on your scene.",
        )  # fmt: skip
        self.add_features_raster(
            "A raster from 'Extract spatial features' of the same scene, to be used instead of computing features. "
            "Backbone, composites, layers and timesteps are those of the raster then."
        )
        self.add_feature_choices(
            "Decoder layers whose activations are taken, as in 9,10,11; 0 is the deepest (bundled backbone: 0 to 11). "
            "Left empty: the default of the method, or with timesteps left empty, too, those of the analysis.",
            "How much noise is added, as in 0,50; 0 is the cleanest (bundled backbone: 0 to 999). Left empty: the "
            "default of the method, or with layers left empty, too, those of the analysis.",
        )
        self.add(
            QgsProcessingParameterFile("ANALYSIS", self.tr("Analysis"), QgsProcessingParameterFile.Behavior.File,
                                       optional=True, fileFilter=self.tr("Reports") + " (*.html *.json)"),
            "A report of 'Analyse layers and timesteps', whose recommendation is used where both layers and timesteps "
            "are left empty.",
            advanced=True,
        )
        self.add(
            QgsProcessingParameterBoolean("ANALYSE", self.tr("Choose layers and timesteps by an analysis"), False,
                                          optional=True),
            "Compare all decoder layers at several timesteps by cross-validation first, and train with what is "
            "recommended. Takes some minutes more.",
            advanced=True,
        )  # fmt: skip
        self.add_group_field()
        self.add_device()
        self.add_seed()
        self.add(
            QgsProcessingParameterFileDestination("MODEL", self.tr("Model"),
                                                  self.tr("SpectraFiLM model (*.safetensors)")),
            "The trained model, for 'Predict map'.",
        )  # fmt: skip
        self.add_report(
            "Accuracy, whether more polygons would help, labels, spectra and settings as a page; the same figures as "
            "JSON beside it.",
            optional=True,
        )
        self.add_figures(RESULTS, "per cent, cross-validated")

    def processAlgorithm(  # noqa: N802
        self, parameters: dict[str, Any], context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> dict[str, Any]:
        model = self.parameterAsFileOutput(parameters, "MODEL", context)
        report = self.parameterAsFileOutput(parameters, "REPORT", context)
        with self.exported(parameters, context, feedback) as labelled_scene:
            job = TrainFilm(
                **labelled_scene,
                model=model,
                report=report,
                labels_title=self._labels_title,
                method=self.choice_of(parameters, "METHOD", METHODS, context),
                features=self.features_of(parameters, context),
                **self.feature_choices_of(parameters, context),
                analysis=self.parameterAsString(parameters, "ANALYSIS", context),
                analyse=self.parameterAsBool(parameters, "ANALYSE", context),
                device=self.device_of(parameters, context),
                seed=self.parameterAsInt(parameters, "SEED", context),
            )
            values = self.run_job(job, feedback)
        return {"MODEL": model, "REPORT": report, **{key: values[key.lower()] for key in RESULTS}}
