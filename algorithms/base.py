"""What the plugin's algorithms share."""

from __future__ import annotations

import os
from typing import Any

from qgis.core import (
    QgsCoordinateReferenceSystem,
    QgsProcessingAlgorithm,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeedback,
    QgsProcessingOutputNumber,
    QgsProcessingParameterDefinition,
    QgsProcessingParameterEnum,
    QgsProcessingParameterFile,
    QgsProcessingParameterFileDestination,
    QgsProcessingParameterNumber,
    QgsProcessingParameterRasterLayer,
    QgsProcessingParameterString,
)
from qgis.PyQt.QtCore import QCoreApplication, QThread
from qgis.PyQt.QtGui import QIcon

from ..engine.jobs import Job
from ..plugin import engine_process, settings
from ..plugin.environment import find_python, is_outdated
from ..plugin.help_page import help_address
from ..plugin.paths import ICONS
from ..plugin.raster_legend import gdal_name
from .destinations import problem_of
from .loaded_rasters import Loader, show_anew, when_loaded

# Choices: the engine's words and what people read. Models and scripts hold their numbers, so new ones come last.
DEVICES = {"auto": "Best available", "cuda": "CUDA", "mps": "MPS", "cpu": "CPU"}
# Keys of engine/composites.KINDS; the first entry leaves the choice to the method.
COMPOSITES = {
    "": "Default of the method",
    "principal components": "Principal components, three triplets",
    "one principal-component triplet": "Principal components, one triplet",
    "true colour": "True colour",
    "colour infrared": "Colour infrared",
    "true colour and principal components": "True colour and principal components",
    "most informative bands": "Most informative bands",
    "noise-adjusted components": "Noise-adjusted components",
}

# Of larger whole numbers QGIS makes 0 without a word.
LARGEST = 2**31 - 1

# Output keys, each of which the engine names in lower case.
ACCURACIES = {
    "OVERALL_ACCURACY": "Overall accuracy", "AVERAGE_ACCURACY": "Average accuracy", "KAPPA": "Cohen's kappa",
}  # fmt: skip


class SpectraFilmAlgorithm(QgsProcessingAlgorithm):
    """An algorithm that hands its work to the engine.

    Subclasses set `ID`, `TITLE`, `GROUP`, `HELP` and `TAGS` (other words that it is searched by), and declare
    parameters in `initAlgorithm`; `NUMBERS` are keys of texts of whole numbers.
    """

    ID = ""
    TITLE = ""
    GROUP = ""
    HELP = ""
    TAGS = ""
    ICON = "spectrafilm.svg"
    NUMBERS: tuple[str, ...] = ()

    def __init__(self) -> None:
        super().__init__()
        self._written: list[str] = []

    def name(self) -> str:
        return self.ID

    def displayName(self) -> str:  # noqa: N802
        return self.tr(self.TITLE)

    def group(self) -> str:
        return self.tr(self.GROUP)

    def groupId(self) -> str:  # noqa: N802
        return self.GROUP.lower().replace(" ", "")

    def shortHelpString(self) -> str:  # noqa: N802
        return self.tr(self.HELP)

    def shortDescription(self) -> str:  # noqa: N802
        return self.shortHelpString().partition("\n")[0].partition(". ")[0].removesuffix(".") + "."

    def tags(self) -> list[str]:
        return self.tr(self.TAGS).split(", ")

    def helpUrl(self) -> str:  # noqa: N802
        return help_address()

    def icon(self) -> QIcon:
        return QIcon(self.svgIconPath())

    def svgIconPath(self) -> str:  # noqa: N802
        return str(ICONS / self.ICON)

    def createInstance(self) -> SpectraFilmAlgorithm:  # noqa: N802
        return type(self)()

    def tr(self, text: str) -> str:
        """The text in the user's language."""
        return QCoreApplication.translate("SpectraFiLM", text)

    def checkParameterValues(self, parameters: dict[str, Any], context: QgsProcessingContext) -> tuple[bool, str]:  # noqa: N802
        problem = self._problem_of_inputs(parameters, context) or problem_of(self, parameters, context)
        return (False, problem) if problem else super().checkParameterValues(parameters, context)

    def add(self, parameter: QgsProcessingParameterDefinition, text: str, advanced: bool = False) -> None:
        """Declare a parameter with its help; rarely used ones go under 'Advanced'."""
        parameter.setHelp(self.tr(text))
        if advanced:
            parameter.setFlags(parameter.flags() | QgsProcessingParameterDefinition.Flag.FlagAdvanced)
        self.addParameter(parameter)

    def add_choice(
        self, key: str, title: str, choices: dict[str, str], default: int, text: str, advanced: bool = False
    ) -> None:
        """Declare a choice of one of several words of the engine, by what people read."""
        titles = [self.tr(choice) for choice in choices.values()]
        self.add(QgsProcessingParameterEnum(key, self.tr(title), titles, defaultValue=default), text, advanced)

    def add_model(self) -> None:
        """Declare MODEL."""
        self.add(
            QgsProcessingParameterFile("MODEL", self.tr("Model"), QgsProcessingParameterFile.Behavior.File,
                                       fileFilter=self.tr("SpectraFiLM model (*.safetensors)")),
            "A model from 'Train model'.",
        )  # fmt: skip

    def add_features_raster(self, text: str) -> None:
        """Declare FEATURES with this help."""
        features = QgsProcessingParameterRasterLayer("FEATURES", self.tr("Features"), optional=True)
        self.add(features, text, advanced=True)

    def add_features_of_model(self) -> None:
        """Declare FEATURES and BACKBONE for a trained model."""
        self.add_features_raster(
            "A raster from 'Extract spatial features' of this scene, made with the settings of the model. Left "
            "empty: features are computed."
        )
        self._add_backbone("Only needed where the model's backbone has moved since the training.")

    def _add_backbone(self, text: str) -> None:
        self.add(
            QgsProcessingParameterFile("BACKBONE", self.tr("Backbone"),
                                       QgsProcessingParameterFile.Behavior.File, optional=True,
                                       fileFilter=self.tr("Backbones") + " (*)"),  # a folder passes, too
            text,
            advanced=True,
        )  # fmt: skip

    def add_feature_choices(self, layers: str, timesteps: str) -> None:
        """Declare BACKBONE, COMPOSITES, LAYERS and TIMESTEPS, the last two with these helps."""
        self._add_backbone(
            "A diffusion U-Net: config.json of a folder in diffusers format, a checkpoint of guided-diffusion or "
            "improved-diffusion, such as 64x64_diffusion.pt, or an output of 'Pretrain on scene', which sees all bands "
            "instead of composites. Left empty: the bundled one."
        )
        self.add_choice(
            "COMPOSITES", "Composites", COMPOSITES, 0,
            "How the bands become the three-channel images that the backbone sees. SpectraFiLM's default, up to three "
            "triplets of noise-adjusted components, shows it nearly everything in the scene that is not noise; true "
            "colour is what the paper used.",
            advanced=True,
        )  # fmt: skip
        self.add(
            QgsProcessingParameterString("LAYERS", self.tr("Decoder layers"), optional=True), layers, advanced=True
        )
        self.add(
            QgsProcessingParameterString("TIMESTEPS", self.tr("Timesteps"), optional=True), timesteps, advanced=True
        )

    def add_device(self) -> None:
        """Declare DEVICE."""
        self.add_choice(
            "DEVICE", "Compute on", DEVICES, 0,
            "The best device is an NVIDIA GPU (CUDA), then Apple's GPU (MPS), then the CPU. A device that does not "
            "work is replaced by the CPU, with a warning.",
            advanced=True,
        )  # fmt: skip

    def add_seed(self) -> None:
        """Declare SEED."""
        self.add(
            QgsProcessingParameterNumber("SEED", self.tr("Seed"), QgsProcessingParameterNumber.Type.Integer, 0,
                                         minValue=0, maxValue=LARGEST),
            "Decides everything that is random. The same inputs, seed and device give the same result; another "
            "computer may round differently, which can change a figure by a few tenths of a point.",
            advanced=True,
        )  # fmt: skip

    def add_report(self, text: str, optional: bool = False) -> None:
        """Declare REPORT with this help."""
        kind = self.tr("HTML files (*.html)")
        self.add(QgsProcessingParameterFileDestination("REPORT", self.tr("Report"), kind, optional=optional), text)

    def add_figures(self, titles: dict[str, str], note: str) -> None:
        """Declare outputs that are numbers, by what people read; `note` stands behind each."""
        for key, title in titles.items():
            self.addOutput(QgsProcessingOutputNumber(key, self.tr(f"{title} ({note})")))

    def add_proxy(self) -> None:
        """Declare PROXY."""
        self.add(
            QgsProcessingParameterString("PROXY", self.tr("Proxy"), optional=True),
            "As in http://user:password@proxy:8080. Left empty: the proxy of QGIS's network settings.",
            advanced=True,
        )

    def proxy_of(self, parameters: dict[str, Any], context: QgsProcessingContext) -> str:
        """The address of PROXY; empty for none."""
        return self.parameterAsString(parameters, "PROXY", context) or settings.qgis_proxy()

    def choice_of(
        self, parameters: dict[str, Any], key: str, choices: dict[str, str], context: QgsProcessingContext
    ) -> str:
        """The engine's word for a parameter that `add_choice` declared."""
        return list(choices)[self.parameterAsEnum(parameters, key, context)]

    def device_of(self, parameters: dict[str, Any], context: QgsProcessingContext) -> str:
        """The engine's word for DEVICE."""
        return self.choice_of(parameters, "DEVICE", DEVICES, context)

    def feature_choices_of(self, parameters: dict[str, Any], context: QgsProcessingContext) -> dict[str, Any]:
        """The part of a job that `add_feature_choices` declared."""
        return {
            "backbone": self.parameterAsString(parameters, "BACKBONE", context),
            "composites": self.choice_of(parameters, "COMPOSITES", COMPOSITES, context),
            "layers": self.numbers_of(parameters, "LAYERS", context),
            "timesteps": self.numbers_of(parameters, "TIMESTEPS", context),
        }

    def numbers_of(self, parameters: dict[str, Any], key: str, context: QgsProcessingContext) -> tuple[int, ...]:
        """Whole numbers from a text such as "9, 10, 11".

        Raises:
            QgsProcessingException: the text holds something else.
        """
        given = parameters.get(key)
        # From Python; QGIS makes an empty text of a list.
        text = ",".join(map(str, given)) if isinstance(given, (list, tuple)) else self.parameterAsString(
            parameters, key, context)  # fmt: skip
        try:
            return tuple(int(part) for part in text.replace(";", ",").split(",") if part.strip())
        except ValueError:
            raise QgsProcessingException(
                self.tr("{0} must be whole numbers separated by commas, as in 9,10,11, not '{1}'.").format(key, text)
            ) from None

    def _problem_of_inputs(self, parameters: dict[str, Any], context: QgsProcessingContext) -> str:
        """What is wrong with `NUMBERS` or with rasters that are given; empty where nothing is."""
        rasters = (d.name() for d in self.parameterDefinitions() if isinstance(d, QgsProcessingParameterRasterLayer))
        try:
            for key in self.NUMBERS:
                self.numbers_of(parameters, key, context)
            for key in rasters:
                if parameters.get(key):
                    self.raster_of(parameters, key, context)
        except QgsProcessingException as error:
            return str(error)
        return ""

    def raster_of(
        self, parameters: dict[str, Any], key: str, context: QgsProcessingContext
    ) -> tuple[str, QgsCoordinateReferenceSystem]:
        """Path and CRS of a raster parameter.

        Raises:
            QgsProcessingException: it is no raster file. What is wrong with a path where there is none the engine says.
        """
        layer = self.parameterAsRasterLayer(parameters, key, context)
        if layer is None:
            path = self.parameterAsString(parameters, key, context)
            if os.path.isfile(path):  # noqa: PTH113  (Path's raises where one may not look)
                # QGIS would say that it is not found.
                raise QgsProcessingException(
                    self.tr(
                        "{0} cannot be opened as a raster; use 'Import scene' for a product of PRISMA, EMIT, NEON or "
                        "Tanager, beside an ENVI header choose the file that holds the data, and of another file with "
                        "several datasets add one to the project and choose its layer."
                    ).format(path)
                )
            return path, QgsCoordinateReferenceSystem()
        if layer.providerType() != "gdal":
            raise QgsProcessingException(
                self.tr("The layer '{0}' is no raster file ({1}); save it as a GeoTIFF first.").format(
                    layer.name(), layer.providerType()
                )
            )
        return gdal_name(layer), layer.crs()

    def features_of(self, parameters: dict[str, Any], context: QgsProcessingContext) -> str:
        """Path of FEATURES; empty where none is given."""
        return self.raster_of(parameters, "FEATURES", context)[0] if parameters.get("FEATURES") else ""

    def hand_over(self, key: str, path: str, loader: Loader, context: QgsProcessingContext) -> None:
        """Have a raster that was written shown: where it is already, and by a loader if it is loaded."""
        self._written.append(path)
        when_loaded(path, self.parameterDefinition(key), loader, context)

    def postProcessAlgorithm(self, context: QgsProcessingContext, feedback: QgsProcessingFeedback) -> dict[str, Any]:  # noqa: N802
        # Steps of a model run outside the main thread, where no layer of a project may be touched.
        if QThread.currentThread() == QCoreApplication.instance().thread():
            for path in self._written:
                show_anew(path, context.project())
        return {}

    def run_job(self, job: Job, feedback: QgsProcessingFeedback) -> dict[str, Any]:
        """Let the engine do a job."""
        python = find_python()
        if is_outdated(python):
            feedback.pushWarning(
                self.tr("The compute environment was made for another version of SpectraFiLM; run 'Set up compute "
                        "environment' to bring it up to date.")
            )  # fmt: skip
        return engine_process.run_job(job, python, feedback)


def crs_text(crs: QgsCoordinateReferenceSystem) -> str:
    """A CRS for the engine: its EPSG code, or WKT; empty for none."""
    if not crs.isValid():
        return ""
    authid = str(crs.authid())
    if authid.startswith("EPSG:"):
        return authid
    return str(crs.toWkt(QgsCoordinateReferenceSystem.WktVariant.WKT_PREFERRED))
