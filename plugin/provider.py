"""The Processing provider: the plugin's algorithms and ready-made models."""

from __future__ import annotations

from qgis.core import QgsApplication, QgsMessageLog, QgsProcessingModelAlgorithm, QgsProcessingProvider
from qgis.PyQt.QtGui import QIcon

from ..algorithms.analyse_features import AnalyseFeaturesAlgorithm
from ..algorithms.assess_accuracy import AssessAccuracyAlgorithm
from ..algorithms.download_backbone import DownloadBackboneAlgorithm
from ..algorithms.extract_features import ExtractFeaturesAlgorithm
from ..algorithms.import_scene import ImportSceneAlgorithm
from ..algorithms.make_labels import MakeLabelsAlgorithm
from ..algorithms.predict_map import PredictMapAlgorithm
from ..algorithms.pretrain_scene import PretrainSceneAlgorithm
from ..algorithms.select_bands import SelectBandsAlgorithm
from ..algorithms.setup_environment import SetupEnvironmentAlgorithm
from ..algorithms.suggest_samples import SuggestSamplesAlgorithm
from ..algorithms.train_film import TrainFilmAlgorithm
from .help_page import help_address
from .paths import ICONS, MODELS

ALGORITHMS = (
    ImportSceneAlgorithm,
    SelectBandsAlgorithm,
    ExtractFeaturesAlgorithm,
    PretrainSceneAlgorithm,
    AnalyseFeaturesAlgorithm,
    MakeLabelsAlgorithm,
    TrainFilmAlgorithm,
    PredictMapAlgorithm,
    AssessAccuracyAlgorithm,
    SuggestSamplesAlgorithm,
    SetupEnvironmentAlgorithm,
    DownloadBackboneAlgorithm,
)


class ReadyMadeModel(QgsProcessingModelAlgorithm):
    """A model of the plugin. QGIS has one name for a model's id and title; here the id stays lower-case."""

    def displayName(self) -> str:  # noqa: N802
        return self.name().replace("_", " ").capitalize()

    def helpUrl(self) -> str:  # noqa: N802
        return help_address()

    def icon(self) -> QIcon:
        return QIcon(self.svgIconPath())

    def svgIconPath(self) -> str:  # noqa: N802
        return str(ICONS / "spectrafilm.svg")

    def createInstance(self) -> ReadyMadeModel:  # noqa: N802
        model = ReadyMadeModel()
        model.loadVariant(self.toVariant())
        model.setProvider(self.provider())
        model.setSourceFilePath(self.sourceFilePath())
        return model


class SpectraFilmProvider(QgsProcessingProvider):
    """Everything under 'SpectraFiLM' in the toolbox."""

    def id(self) -> str:
        return "spectrafilm"

    def name(self) -> str:
        return "SpectraFiLM"

    def icon(self) -> QIcon:
        return QIcon(self.svgIconPath())

    def svgIconPath(self) -> str:  # noqa: N802
        return str(ICONS / "spectrafilm.svg")

    def supportedOutputRasterLayerExtensions(self) -> list[str]:  # noqa: N802
        return ["tif"]

    def loadAlgorithms(self) -> None:  # noqa: N802
        for algorithm in ALGORITHMS:
            self.addAlgorithm(algorithm())
        if QgsApplication.processingRegistry().providerById(self.id()) is None:
            return  # a model finds its algorithms by way of the registry
        for path in sorted(MODELS.glob("*.model3")):
            model = ReadyMadeModel()
            if model.fromFile(str(path)):
                model.setSourceFilePath(str(path))  # QGIS has no Python command and no history of models without a file
                self.addAlgorithm(model)
            else:
                QgsMessageLog.logMessage(f"The model {path.name} could not be loaded.", "SpectraFiLM")
