"""spectrafilm:selectbands"""

from __future__ import annotations

from typing import Any

from qgis.core import (
    QgsProcessingContext,
    QgsProcessingFeedback,
    QgsProcessingParameterNumber,
    QgsProcessingParameterRasterDestination,
    QgsProcessingParameterRasterLayer,
    QgsProcessingParameterString,
)

from ..engine.jobs import SelectBands
from .base import SpectraFilmAlgorithm, crs_text
from .loaded_rasters import Loader

BAND_NUMBERS = "band numbers"
METHODS = {
    "true colour": "True colour", "colour infrared": "Colour infrared", BAND_NUMBERS: "Band numbers",
    "most informative bands": "Most informative", "one principal-component triplet": "Principal components",
}  # fmt: skip


class SelectBandsAlgorithm(SpectraFilmAlgorithm):
    """A three-band pseudo-RGB raster of a scene."""

    ID = "selectbands"
    TITLE = "Select bands (pseudo-RGB)"
    GROUP = "Single steps"
    ICON = "selectbands.svg"
    TAGS = "hyperspectral, RGB, true colour, true color, composite, principal components, PCA"
    NUMBERS = ("BANDS",)
    HELP = (
        "Makes a three-band image of a hyperspectral scene: by wavelength, by band numbers, or by a criterion "
        "computed from the data. Bands that are flagged bad, empty or constant are never used. The log names the "
        "bands chosen and their wavelengths.\n\n"
        "'Most informative' picks the three bands whose covariance matrix, less that of their noise, has the largest "
        "determinant (after Sheffield 1985)."
    )

    def initAlgorithm(self, configuration: dict[str, Any] | None = None) -> None:  # noqa: N802
        self.add(
            QgsProcessingParameterRasterLayer("INPUT", self.tr("Scene")),
            "A multispectral or hyperspectral raster with at least three bands. Choosing by wavelength needs "
            "wavelengths in its metadata (per-band tags or an ENVI header).",
        )
        self.add_choice(
            "METHOD", "Choose bands by", METHODS, 0,
            "True colour takes the bands nearest to 655, 555 and 475 nm, colour infrared those nearest to 840, 655 "
            "and 555 nm, each at most 60 nm away.",
        )  # fmt: skip
        self.add(
            QgsProcessingParameterString("BANDS", self.tr("Band numbers"), optional=True),
            "Only for 'Band numbers': red, green and blue, counted from 1, as in 40,30,15.",
        )
        for key, title, default in (("STRETCH_LOW", "Stretch from", 2.0), ("STRETCH_HIGH", "Stretch to", 98.0)):
            self.add(
                QgsProcessingParameterNumber(key, self.tr(title + " (per cent)"),
                                             QgsProcessingParameterNumber.Type.Double, default, minValue=0,
                                             maxValue=100),
                "Percentiles of each channel that become darkest and brightest.",
                advanced=True,
            )  # fmt: skip
        self.add(
            QgsProcessingParameterRasterDestination("OUTPUT", self.tr("Pseudo-RGB")),
            "GeoTIFF with three bands of bytes; 0 is no data.",
        )

    def checkParameterValues(self, parameters: dict[str, Any], context: QgsProcessingContext) -> tuple[bool, str]:  # noqa: N802
        fine, problem = super().checkParameterValues(parameters, context)
        if not fine:
            return False, problem
        by_number = self.choice_of(parameters, "METHOD", METHODS, context) == BAND_NUMBERS
        if by_number and len(self.numbers_of(parameters, "BANDS", context)) != 3:
            return False, self.tr("Three band numbers are needed (red, green, blue), as in 40,30,15.")
        low, high = (self.parameterAsDouble(parameters, k, context) for k in ("STRETCH_LOW", "STRETCH_HIGH"))
        if low >= high:
            return False, self.tr("The stretch must begin below its end, as in 2 to 98 per cent.")
        return True, ""

    def processAlgorithm(  # noqa: N802
        self, parameters: dict[str, Any], context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> dict[str, Any]:
        scene, crs = self.raster_of(parameters, "INPUT", context)
        output = self.parameterAsOutputLayer(parameters, "OUTPUT", context)
        job = SelectBands(
            scene=scene,
            output=output,
            composite=self.choice_of(parameters, "METHOD", METHODS, context),
            bands=self.numbers_of(parameters, "BANDS", context),
            stretch_low=self.parameterAsDouble(parameters, "STRETCH_LOW", context),
            stretch_high=self.parameterAsDouble(parameters, "STRETCH_HIGH", context),
            scene_crs=crs_text(crs),
        )
        self.run_job(job, feedback)
        self.hand_over("OUTPUT", output, Loader(), context)
        return {"OUTPUT": output}
