"""spectrafilm:downloadbackbone"""

from __future__ import annotations

from typing import Any

from qgis.core import (
    QgsProcessingContext,
    QgsProcessingFeedback,
    QgsProcessingOutputString,
    QgsProcessingParameterBoolean,
    QgsProcessingParameterEnum,
    QgsProcessingParameterString,
)

from ..engine.backbone_registry import RegisteredBackbone, read_registry
from ..engine.jobs import DownloadBackbone
from ..plugin import settings
from ..plugin.paths import chosen_folder
from .base import SpectraFilmAlgorithm


class DownloadBackboneAlgorithm(SpectraFilmAlgorithm):
    """A published backbone, downloaded once."""

    ID = "downloadbackbone"
    TITLE = "Download backbone"
    GROUP = "Setup"
    ICON = "downloadbackbone.svg"
    TAGS = "weights, pretrained, checkpoint, diffusion, U-Net"
    HELP = (
        "Downloads a published diffusion U-Net, to be given as 'Backbone' to 'Train model', 'Extract spatial "
        "features' or 'Analyse layers and timesteps'. The plugin brings a small one of its own and works "
        "without any of these.\n\n"
        "Nothing is downloaded before you agree to its size, source and licence. A download that was interrupted is "
        "resumed, every one is checked by its SHA-256 digest and loaded once, as proof; a backbone that is there and "
        "whole is only checked.\n\n"
        "Without a network, or where a proxy forbids it: download the file on another machine in a browser, and "
        "choose it as 'Backbone'. That always works."
    )

    def initAlgorithm(self, configuration: dict[str, Any] | None = None) -> None:  # noqa: N802
        entries = _downloadable()[0]
        self.add(
            QgsProcessingParameterEnum("NAME", self.tr("Backbone"), [entry.name for entry in entries],
                                       defaultValue=entries[0].name if entries else None, usesStaticStrings=True),
            "\n".join(["Which one.", *(f"{entry.name}: {entry.facts()}. {entry.note}" for entry in entries)]),
        )  # fmt: skip
        self.add(
            QgsProcessingParameterBoolean("CONSENT", self.tr("I agree to the download and its licence"),
                                          defaultValue=False),
            "Nothing is downloaded without it. What, how big, from where and under which licence is said in the help "
            "of 'Backbone', and in the message of a run without consent.",
        )  # fmt: skip
        self.add(
            QgsProcessingParameterString("FOLDER", self.tr("Folder for backbones"), optional=True),
            "Where to keep it, in a folder of its name. Left empty: in your QGIS profile.",
        )
        self.add(
            QgsProcessingParameterString("REVISION", self.tr("Revision"), optional=True),
            "The commit (40 hexadecimal digits) of a backbone from Hugging Face, where the plugin does not know it.",
        )
        self.add(
            QgsProcessingParameterString("SHA256", self.tr("SHA-256 of the weights"), optional=True),
            "The digest (64 hexadecimal digits) of the file of weights, where the plugin does not know it. Hugging "
            "Face shows it on the page of the file.",
        )
        self.add_proxy()
        self.addOutput(QgsProcessingOutputString("BACKBONE", self.tr("Backbone, for 'Train model'")))

    def canExecute(self) -> tuple[bool, str]:  # noqa: N802
        problem = _downloadable()[1]
        return not problem, problem

    def processAlgorithm(  # noqa: N802
        self, parameters: dict[str, Any], context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> dict[str, Any]:
        given = self.parameterAsString(parameters, "FOLDER", context)
        job = DownloadBackbone(
            backbone=self.parameterAsEnumString(parameters, "NAME", context),
            folder=str(chosen_folder(given) if given else settings.backbones_folder()),
            consent=self.parameterAsBool(parameters, "CONSENT", context),
            revision=self.parameterAsString(parameters, "REVISION", context),
            sha256=self.parameterAsString(parameters, "SHA256", context),
            proxy=self.proxy_of(parameters, context),
        )
        return {"BACKBONE": self.run_job(job, feedback)["backbone"]}


def _downloadable() -> tuple[tuple[RegisteredBackbone, ...], str]:
    """The backbones that can be downloaded, and what is wrong with the registry; empty where nothing is."""
    try:
        return tuple(entry for entry in read_registry() if entry.files), ""
    except ValueError as error:
        return (), str(error)
