"""spectrafilm:importscene"""

from __future__ import annotations

from typing import Any

from qgis.core import (
    QgsMapLayer,
    QgsMultiBandColorRenderer,
    QgsProcessingContext,
    QgsProcessingFeedback,
    QgsProcessingParameterFile,
    QgsProcessingParameterRasterDestination,
    QgsRaster,
)

from ..engine.jobs import ImportScene
from .base import SpectraFilmAlgorithm
from .loaded_rasters import Loader


class _NaturalColours(Loader):
    """Shows the visible bands of a loaded scene, which its file names; QGIS would show the first three."""

    def style(self, layer: QgsMapLayer) -> None:
        source = layer.dataProvider()
        number = {source.colorInterpretation(n): n for n in range(1, source.bandCount() + 1)}
        meaning = QgsRaster.ColorInterpretation
        layer.setRenderer(
            QgsMultiBandColorRenderer(
                source, number[meaning.RedBand], number[meaning.GreenBand], number[meaning.BlueBand]
            )
        )
        layer.setDefaultContrastEnhancement()


class ImportSceneAlgorithm(SpectraFilmAlgorithm):
    """A GeoTIFF of a product that QGIS does not show as a scene."""

    ID = "importscene"
    TITLE = "Import scene"
    GROUP = "Single steps"
    ICON = "importscene.svg"
    TAGS = "hyperspectral, PRISMA, EMIT, NEON, Tanager, HDF5, NetCDF, orthorectify, convert"
    HELP = (
        "Makes a GeoTIFF of a product that comes in an HDF5 or NetCDF file, which QGIS does not show as a scene: "
        "PRISMA L2D (.he5), EMIT L2A reflectance (.nc), reflectance of NEON's airborne observatory (.h5), and Tanager "
        "ortho surface reflectance (.h5).\n\n"
        "All bands are kept, with wavelengths. Bands that the product flags bad, or that lie where the water vapour of "
        "the air lets no light through, are flagged bad, and no algorithm of this plugin uses them. An EMIT scene is "
        "put in its place on the ground by the table that comes with it. Values are reflectance times 10 000.\n\n"
        "EnMAP and DESIS products are GeoTIFFs that need no import."
    )

    def initAlgorithm(self, configuration: dict[str, Any] | None = None) -> None:  # noqa: N802
        self.add(
            QgsProcessingParameterFile("INPUT", self.tr("Product"), QgsProcessingParameterFile.Behavior.File,
                                       fileFilter=self.tr("Products") + " (*.he5 *.nc *.h5)"),
            "The file as it was downloaded; unpack it if it is in a ZIP archive. What it is its content tells, not its "
            "name. PRISMA products of other levels than L2D lie on no grid.",
        )  # fmt: skip
        self.add(
            QgsProcessingParameterRasterDestination("OUTPUT", self.tr("Scene")),
            "GeoTIFF with all bands, on the product's own grid; about as large as the product unpacked.",
        )

    def processAlgorithm(  # noqa: N802
        self, parameters: dict[str, Any], context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> dict[str, Any]:
        output = self.parameterAsOutputLayer(parameters, "OUTPUT", context)
        self.run_job(ImportScene(self.parameterAsString(parameters, "INPUT", context), output), feedback)
        self.hand_over("OUTPUT", output, _NaturalColours(), context)
        return {"OUTPUT": output}
