"""spectrafilm:analysefeatures"""

from __future__ import annotations

from typing import Any

from qgis.core import QgsProcessingContext, QgsProcessingFeedback, QgsProcessingOutputString

from ..engine.jobs import AnalyseFeatures
from .base import ACCURACIES
from .labelled_scene import LabelledSceneAlgorithm


class AnalyseFeaturesAlgorithm(LabelledSceneAlgorithm):
    """The best decoder layers and timesteps for a scene."""

    ID = "analysefeatures"
    TITLE = "Analyse layers and timesteps"
    GROUP = "Single steps"
    ICON = "analysefeatures.svg"
    TAGS = "hyperspectral, diffusion, U-Net, decoder layer, timestep, cross-validation"
    HELP = (
        "Finds out which decoder layers of the diffusion U-Net, at which timesteps, tell your classes apart best on "
        "your scene: a grid of accuracies, each from a cross-validation that never tests a polygon on itself.\n\n"
        "The U-Net sees every patch once per timestep, whatever the number of layers. The report shows the grid as a "
        "picture and recommends a setting: the default, unless another one is better by more than chance explains. "
        "Give the report to 'Train model' as 'Analysis', and leave layers and timesteps empty there."
    )

    def initAlgorithm(self, configuration: dict[str, Any] | None = None) -> None:  # noqa: N802
        self.add_labelled_scene()
        self.add_feature_choices(
            "Decoder layers to compare, as in 5,6,7,8; 0 is the deepest. Left empty: all of them.",
            "Timesteps to compare, as in 0,50,100. Left empty: 0, 5, 10 and 20 % of the backbone's timesteps.",
        )
        self.add_group_field()
        self.add_device()
        self.add_seed()
        self.add_report("The grid as a page; the same figures as JSON beside it, which 'Train model' can read.")
        self.addOutput(QgsProcessingOutputString("BEST_LAYERS", self.tr("Recommended decoder layers")))
        self.addOutput(QgsProcessingOutputString("BEST_TIMESTEPS", self.tr("Recommended timesteps")))
        self.add_figures(ACCURACIES, "per cent, of the recommended setting")

    def processAlgorithm(  # noqa: N802
        self, parameters: dict[str, Any], context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> dict[str, Any]:
        report = self.parameterAsFileOutput(parameters, "REPORT", context)
        with self.exported(parameters, context, feedback) as labelled_scene:
            job = AnalyseFeatures(
                **labelled_scene,
                report=report,
                **self.feature_choices_of(parameters, context),
                device=self.device_of(parameters, context),
                seed=self.parameterAsInt(parameters, "SEED", context),
            )
            values = self.run_job(job, feedback)
        return {
            "REPORT": report,
            "BEST_LAYERS": values["layers"],
            "BEST_TIMESTEPS": values["timesteps"],
            **{key: values[key.lower()] for key in ACCURACIES},
        }
