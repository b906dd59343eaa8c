"""spectrafilm:predictmap"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qgis.core import (
    QgsGradientColorRamp,
    QgsGradientStop,
    QgsMapLayer,
    QgsProcessingContext,
    QgsProcessingFeedback,
    QgsProcessingParameterRasterDestination,
    QgsProcessingParameterRasterLayer,
    QgsSingleBandPseudoColorRenderer,
)
from qgis.PyQt.QtGui import QColor

from ..engine.jobs import PredictMap
from .base import SpectraFilmAlgorithm, crs_text
from .destinations import text_of
from .loaded_rasters import Loader

OPTIONAL_OUTPUTS = ("CONFIDENCE", "PROBABILITIES", "UNCERTAINTY")
VIRIDIS = ("#440154", "#3b528b", "#21918c", "#5ec962", "#fde725")


class _StyleLoader(Loader):
    """Gives a loaded map the style that lies beside it."""

    def __init__(self, land_cover: str) -> None:
        super().__init__()
        self._style = str(Path(land_cover).with_suffix(".qml"))

    def style(self, layer: QgsMapLayer) -> None:
        layer.loadNamedStyle(self._style)


class _ShareStyler(Loader):
    """Gives the first band of a loaded raster the colours of the range from 0 to 1, so that maps can be compared.

    Of class probabilities that is the first class; QGIS would take those of three for red, green and blue.
    """

    def style(self, layer: QgsMapLayer) -> None:
        first, *between, last = map(QColor, VIRIDIS)
        stops = [QgsGradientStop((i + 1) / (len(between) + 1), colour) for i, colour in enumerate(between)]
        renderer = QgsSingleBandPseudoColorRenderer(layer.dataProvider(), 1)
        renderer.setClassificationMin(0.0)
        renderer.setClassificationMax(1.0)
        renderer.createShader(QgsGradientColorRamp(first, last, False, stops))
        layer.setRenderer(renderer)


class PredictMapAlgorithm(SpectraFilmAlgorithm):
    """A land-cover map of a scene."""

    ID = "predictmap"
    TITLE = "Predict map"
    GROUP = "Land cover"
    ICON = "predictmap.svg"
    TAGS = "hyperspectral, classification, classify, land cover, confidence, uncertainty"
    HELP = (
        "Maps a scene with a trained model. The scene may be another one than the model was trained on: bands are "
        "matched by wavelength, and a scene that lacks some is refused.\n\n"
        "The scene is read and the map written piece by piece, so that its size is not limited by memory. Class "
        "names and colours stand in the GeoTIFF; pixels without valid data are 0."
    )

    def initAlgorithm(self, configuration: dict[str, Any] | None = None) -> None:  # noqa: N802
        self.add(QgsProcessingParameterRasterLayer("INPUT", self.tr("Scene")), "The scene to map.")
        self.add_model()
        self.add_features_of_model()
        self.add_device()
        self.add(
            QgsProcessingParameterRasterDestination("OUTPUT", self.tr("Land-cover map")),
            "GeoTIFF of class numbers with names and colours; 0 is no data.",
        )
        for key, title, text in (
            ("CONFIDENCE", "Confidence",
             "Probability (0 to 1) of the mapped class, calibrated where training could validate."),
            ("PROBABILITIES", "Class probabilities", "One band a class, each from 0 to 1."),
            ("UNCERTAINTY", "Uncertainty",
             "The share (0 to 1) of the experts' votes that went to another class than the map's; an expert's vote "
             "weighs as much as training gave it, and neighbours that look alike vote, too, where the model asks "
             "them. It shows where experts contradict each other; 'Confidence' is the better guide to what may be "
             "wrong. For methods without several experts it is the entropy of the probabilities."),
        ):  # fmt: skip
            self.add(
                QgsProcessingParameterRasterDestination(key, self.tr(title), optional=True,
                                                        createByDefault=key == "CONFIDENCE"),
                text,
            )  # fmt: skip

    def processAlgorithm(  # noqa: N802
        self, parameters: dict[str, Any], context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> dict[str, Any]:
        scene, crs = self.raster_of(parameters, "INPUT", context)
        paths = {
            key: self.parameterAsOutputLayer(parameters, key, context) if text_of(parameters.get(key), context) else ""
            for key in ("OUTPUT", *OPTIONAL_OUTPUTS)
        }
        job = PredictMap(
            scene=scene,
            model=self.parameterAsFile(parameters, "MODEL", context),
            output=paths["OUTPUT"],
            confidence=paths["CONFIDENCE"],
            probabilities=paths["PROBABILITIES"],
            uncertainty=paths["UNCERTAINTY"],
            features=self.features_of(parameters, context),
            backbone=self.parameterAsString(parameters, "BACKBONE", context),
            device=self.device_of(parameters, context),
            scene_crs=crs_text(crs),
        )
        self.run_job(job, feedback)
        land_cover = _StyleLoader(paths["OUTPUT"])
        for key in filter(paths.get, paths):
            self.hand_over(key, paths[key], land_cover if key == "OUTPUT" else _ShareStyler(land_cover), context)
        return paths
