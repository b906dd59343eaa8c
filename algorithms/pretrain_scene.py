"""spectrafilm:pretrainscene"""

from __future__ import annotations

from typing import Any

from qgis.core import (
    QgsProcessingContext,
    QgsProcessingFeedback,
    QgsProcessingOutputNumber,
    QgsProcessingParameterFileDestination,
    QgsProcessingParameterNumber,
    QgsProcessingParameterRasterLayer,
)

from ..engine.jobs import PretrainScene
from .base import SpectraFilmAlgorithm, crs_text

INTEGER = QgsProcessingParameterNumber.Type.Integer
STEP = 8
METHODS = {"diffspectralnet": "DiffSpectralNet", "diffcrn": "DiffCRN"}
# DiffCRN divides its channels among so many.
HEADS = 4


class PretrainSceneAlgorithm(SpectraFilmAlgorithm):
    """A spectral diffusion backbone of the scene itself."""

    ID = "pretrainscene"
    TITLE = "Pretrain on scene"
    GROUP = "Single steps"
    ICON = "pretrainscene.svg"
    TAGS = "hyperspectral, self-supervised, diffusion, denoising, DiffSpectralNet, DiffCRN"
    HELP = (
        "Trains a diffusion model to take noise out of the scene's own spectra, after DiffSpectralNet (a "
        "three-dimensional U-Net) or DiffCRN (spatial and spectral self-attention). No labels and no download are "
        "needed. The result is a backbone that sees all bands at once: give it as 'Backbone' to 'Train model', above "
        "all with the method of the same name, to 'Extract spatial features' or to 'Analyse layers and timesteps'. It "
        "can be used on other scenes of the same sensor, too.\n\n"
        "On a CPU this takes some 5 to 10 minutes, on a slow or busy one an hour, whatever the size of the scene; the "
        "log soon tells how long. A run that is cancelled or broken off keeps nothing, and a later one starts anew. "
        "Train with this backbone and with the bundled one and compare the cross-validated accuracies."
    )

    def initAlgorithm(self, configuration: dict[str, Any] | None = None) -> None:  # noqa: N802
        self.add(
            QgsProcessingParameterRasterLayer("INPUT", self.tr("Scene")),
            "The hyperspectral or multispectral raster to learn from.",
        )
        self.add_choice(
            "METHOD", "Method", METHODS, 1,
            "Whose denoiser is trained. Every method of 'Train model' that uses a backbone can use either. DiffCRN's "
            "was the better one in our benchmarks.",
        )  # fmt: skip
        self.add(
            QgsProcessingParameterNumber("CUBES", self.tr("Training cubes, at most"), INTEGER, optional=True,
                                         minValue=STEP),
            "How many cubes of 32 x 32 pixels are seen; left empty, 1600 by DiffSpectralNet and 12000 by DiffCRN, "
            "which is several times faster, so that either takes about as long. Training ends earlier where parts of "
            "the scene that are held out are no longer denoised better. More take longer, in proportion.",
        )  # fmt: skip
        self.add(
            QgsProcessingParameterNumber("POSITIONS", self.tr("Spectral positions"), INTEGER, optional=True,
                                         minValue=STEP),
            "Neighbouring bands are averaged to so many positions, a multiple of 8; left empty, 32 by DiffSpectralNet, "
            "where twice as many take twice the time, and 64 by DiffCRN.",
            advanced=True,
        )  # fmt: skip
        self.add(
            QgsProcessingParameterNumber("WIDTH", self.tr("Width"), INTEGER, optional=True, minValue=1, maxValue=256),
            "Channels of the denoiser; left empty, 8 in the first level of DiffSpectralNet's U-Net (the authors have "
            "16) and 64 of DiffCRN's, a multiple of 4. Twice as many take up to four times the time.",
            advanced=True,
        )
        self.add_device()
        self.add_seed()
        self.add(
            QgsProcessingParameterFileDestination("OUTPUT", self.tr("Backbone"),
                                                  self.tr("SpectraFiLM backbone (*.safetensors)")),
            "The backbone, for 'Train model'.",
        )  # fmt: skip
        self.add_report(
            "How the error fell, and what the backbone makes of noise, as a page; the figures as JSON beside it.",
            optional=True,
        )
        title = "Error in held-out parts of the scene (mean absolute error, bands scaled to -1..1)"
        self.addOutput(QgsProcessingOutputNumber("HELD_OUT_LOSS", self.tr(title)))

    def checkParameterValues(self, parameters: dict[str, Any], context: QgsProcessingContext) -> tuple[bool, str]:  # noqa: N802
        positions = self.parameterAsInt(parameters, "POSITIONS", context)
        if positions % STEP:
            return False, self.tr("POSITIONS must be a multiple of {0}, not {1}.").format(STEP, positions)
        method = self.choice_of(parameters, "METHOD", METHODS, context)
        width = self.parameterAsInt(parameters, "WIDTH", context)
        if method == "diffcrn" and width % HEADS:
            return False, self.tr("WIDTH must be a multiple of {0} with DiffCRN, not {1}.").format(HEADS, width)
        return super().checkParameterValues(parameters, context)

    def processAlgorithm(  # noqa: N802
        self, parameters: dict[str, Any], context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> dict[str, Any]:
        scene, crs = self.raster_of(parameters, "INPUT", context)
        output = self.parameterAsFileOutput(parameters, "OUTPUT", context)
        report = self.parameterAsFileOutput(parameters, "REPORT", context)
        job = PretrainScene(
            scene=scene,
            output=output,
            report=report,
            method=self.choice_of(parameters, "METHOD", METHODS, context),
            cubes=self.parameterAsInt(parameters, "CUBES", context),
            positions=self.parameterAsInt(parameters, "POSITIONS", context),
            width=self.parameterAsInt(parameters, "WIDTH", context),
            device=self.device_of(parameters, context),
            seed=self.parameterAsInt(parameters, "SEED", context),
            scene_crs=crs_text(crs),
        )
        values = self.run_job(job, feedback)
        return {"OUTPUT": output, "REPORT": report, "HELD_OUT_LOSS": values["held_out_loss"]}
