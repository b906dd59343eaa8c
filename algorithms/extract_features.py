"""spectrafilm:extractfeatures"""

from __future__ import annotations

from typing import Any

from qgis.core import (
    QgsProcessingContext,
    QgsProcessingFeedback,
    QgsProcessingParameterNumber,
    QgsProcessingParameterRasterDestination,
    QgsProcessingParameterRasterLayer,
)

from ..engine.jobs import ExtractFeatures
from .base import SpectraFilmAlgorithm, crs_text
from .loaded_rasters import Loader


class ExtractFeaturesAlgorithm(SpectraFilmAlgorithm):
    """A raster of spatial features."""

    ID = "extractfeatures"
    TITLE = "Extract spatial features"
    GROUP = "Single steps"
    ICON = "extractfeatures.svg"
    TAGS = "hyperspectral, deep features, embedding, diffusion, U-Net"
    NUMBERS = ("LAYERS", "TIMESTEPS")
    HELP = (
        "Shows patches of the scene to a frozen diffusion U-Net that was pretrained on pictures, and writes what "
        "its decoder layers make of them: one band for each feature channel. The last bands are means of the "
        "composites over 3 x 3 and 5 x 5 pixels.\n\n"
        "Training and mapping compute these features by themselves. Make the raster when several models shall "
        "use the same features, or to look at them. It can be large: hundreds of bands of 16-bit floats."
    )

    def initAlgorithm(self, configuration: dict[str, Any] | None = None) -> None:  # noqa: N802
        self.add(
            QgsProcessingParameterRasterLayer("INPUT", self.tr("Scene or pseudo-RGB")),
            "A scene, of which composites are made, or a raster with three bands from 'Select bands', which is used "
            "as it is.",
        )
        self.add_feature_choices(
            "Decoder layers whose activations are taken, as in 9,10,11; 0 is the deepest. Left empty: 7 "
            "and 8, or their counterparts in another backbone. The method DiffCRN wants 0,1,2,3, DiffSpectralNet 3.",
            "How much noise is added, as in 0,50; 0 is the cleanest. Left empty: 0. The method DiffCRN wants those "
            "that the log of 'Pretrain on scene' names, DiffSpectralNet 5.",
        )
        self.add(
            QgsProcessingParameterNumber("STRIDE", self.tr("Stride (pixels)"),
                                         QgsProcessingParameterNumber.Type.Integer, optional=True, minValue=2),
            "Distance between patches, even, at most the width of a patch; less is smoother and slower. Left empty: "
            "half of a patch (32 with the bundled backbone), as in training and mapping.",
            advanced=True,
        )  # fmt: skip
        self.add_device()
        self.add_seed()
        self.add(
            QgsProcessingParameterRasterDestination("OUTPUT", self.tr("Features")),
            "GeoTIFF with one band for each feature channel; its tags say how they were made.",
        )

    def processAlgorithm(  # noqa: N802
        self, parameters: dict[str, Any], context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> dict[str, Any]:
        scene, crs = self.raster_of(parameters, "INPUT", context)
        output = self.parameterAsOutputLayer(parameters, "OUTPUT", context)
        job = ExtractFeatures(
            scene=scene,
            output=output,
            **self.feature_choices_of(parameters, context),
            stride=self.parameterAsInt(parameters, "STRIDE", context),
            device=self.device_of(parameters, context),
            seed=self.parameterAsInt(parameters, "SEED", context),
            scene_crs=crs_text(crs),
        )
        self.run_job(job, feedback)
        self.hand_over("OUTPUT", output, Loader(), context)
        return {"OUTPUT": output}
