"""spectrafilm:setupenvironment"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from qgis.core import (
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeedback,
    QgsProcessingOutputString,
    QgsProcessingParameterBoolean,
    QgsProcessingParameterFile,
    QgsProcessingParameterString,
)

from ..engine.jobs import CheckEnvironment
from ..plugin import engine_process, environment, settings
from ..plugin.installation import Installation, make_environment
from ..plugin.paths import chosen_folder
from .base import SpectraFilmAlgorithm


class SetupEnvironmentAlgorithm(SpectraFilmAlgorithm):
    """A working compute environment."""

    ID = "setupenvironment"
    TITLE = "Set up compute environment"
    GROUP = "Setup"
    ICON = "setupenvironment.svg"
    TAGS = "install, dependencies, python, torch, CUDA, GPU"
    HELP = (
        "Makes the Python environment in which SpectraFiLM computes: torch, diffusers, rasterio, scikit-learn and "
        "what they need, in a folder of their own. QGIS's Python is left as it is. Needs a network or a folder of "
        "wheels, and 1 to 2 GB of disk; on Linux about 6 GB, since torch comes with CUDA there by default. "
        "Intel Macs and macOS before 14 have no torch that is new enough.\n\n"
        "At its end it runs the diffusion U-Net once, as proof. An environment that is complete, up to date and works "
        "is only checked.\n\n"
        "You can also use an environment of your own: name its interpreter under Settings > Options > SpectraFiLM, "
        "or in the variable SPECTRAFILM_PYTHON."
    )

    def initAlgorithm(self, configuration: dict[str, Any] | None = None) -> None:  # noqa: N802
        self.add(
            QgsProcessingParameterString("FOLDER", self.tr("Folder of the environment"), optional=True),
            "Where to make it. Left empty: in your QGIS profile, on Windows in the folder SpectraFiLM of your local "
            "application data, since paths may not be long there.",
        )
        self.add(
            QgsProcessingParameterFile("BASE_PYTHON", self.tr("Base interpreter"),
                                       QgsProcessingParameterFile.Behavior.File, optional=True,
                                       fileFilter=self.tr("All files") + " (*)"),
            "Python 3.10 to 3.14 from which the environment is made. Left empty: QGIS's own or, where that will not "
            "do, another one that is found.",
            advanced=True,
        )  # fmt: skip
        self.add(
            QgsProcessingParameterFile("WHEELS", self.tr("Folder of wheels"),
                                       QgsProcessingParameterFile.Behavior.Folder, optional=True),
            "For machines without a network: a folder filled with 'pip download -r requirements.txt', by the same "
            "version of Python on the same system. The file lies in the plugin's folder 'resources'.",
            advanced=True,
        )  # fmt: skip
        self.add(
            QgsProcessingParameterString("INDEX_URL", self.tr("Package index"), optional=True),
            "Address of a package index to use instead of the default, such as a mirror in your institution. It must "
            "hold all packages.",
            advanced=True,
        )
        self.add(
            QgsProcessingParameterString("EXTRA_INDEX_URL", self.tr("Further package index"), optional=True),
            "Address of a package index to ask as well, such as one of those that pytorch.org names: that of its 'cpu' "
            "builds saves several GB on Linux, that of a version of CUDA lets an NVIDIA GPU compute on Windows.",
            advanced=True,
        )
        self.add_proxy()
        self.add(
            QgsProcessingParameterBoolean("REBUILD", self.tr("Make it anew"), defaultValue=False),
            "Make the environment again even if it is complete.",
            advanced=True,
        )
        self.addOutput(QgsProcessingOutputString("PYTHON", self.tr("Interpreter of the environment")))

    def checkParameterValues(self, parameters: dict[str, Any], context: QgsProcessingContext) -> tuple[bool, str]:  # noqa: N802
        wheels = self.parameterAsString(parameters, "WHEELS", context)
        if wheels and not any(Path(wheels).glob("*.whl")):
            return False, self.tr("The folder of wheels {0} holds no *.whl.").format(wheels)
        return super().checkParameterValues(parameters, context)

    def processAlgorithm(  # noqa: N802
        self, parameters: dict[str, Any], context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> dict[str, Any]:
        given = self.parameterAsString(parameters, "FOLDER", context)
        folder = chosen_folder(given) if given else settings.environment_folder()
        python = str(environment.interpreter_of(folder))
        overruled = settings.python_interpreter()
        # As paths, since one that was chosen in a dialog has forward slashes on Windows, too.
        if overruled and Path(overruled) != Path(python):
            raise QgsProcessingException(
                self.tr("Settings > Options > SpectraFiLM names the interpreter {0}, which goes before any environment "
                        "made here; clear that setting first.").format(overruled)
            )  # fmt: skip

        def check() -> dict[str, Any]:
            return engine_process.run_job(CheckEnvironment(), python, feedback)

        values = None
        if not self.parameterAsBool(parameters, "REBUILD", context) and environment.is_current(folder):
            feedback.pushInfo(self.tr("The environment {0} is complete; it is checked.").format(folder))
            try:
                values = check()
            except QgsProcessingException as error:
                # As after an update of the system's Python, which looks for packages in a folder of another name.
                feedback.pushWarning(self.tr("{0} It is made anew.").format(_problem(error)))
        if values is None:
            try:
                values = make_environment(
                    Installation(
                        folder=folder,
                        base=self.parameterAsString(parameters, "BASE_PYTHON", context),
                        wheels=self.parameterAsString(parameters, "WHEELS", context),
                        index=self.parameterAsString(parameters, "INDEX_URL", context),
                        extra_index=self.parameterAsString(parameters, "EXTRA_INDEX_URL", context),
                        proxy=self.proxy_of(parameters, context),
                    ),
                    check,
                    feedback,
                )
            except QgsProcessingException as error:
                raise QgsProcessingException(
                    self.tr("{0} It was made just now; choose another folder or another base interpreter.").format(
                        _problem(error))
                ) from error  # fmt: skip
        environment.mark_complete(folder)
        feedback.pushInfo(self.tr("SpectraFiLM computes on {0}.").format(values["device"]))
        variable = os.environ.get(environment.VARIABLE, "")
        if not overruled and variable and Path(variable) != Path(python):
            feedback.pushWarning(
                self.tr("The variable {0} names the interpreter {1}, which goes first.").format(
                    environment.VARIABLE, variable)
            )  # fmt: skip
        return {"PYTHON": python}


def _problem(error: QgsProcessingException) -> str:
    """What is wrong with the environment, without the advice to set it up; raises an error about something else."""
    if not str(error).endswith(engine_process.SET_IT_UP):
        raise error
    return str(error).removesuffix(engine_process.SET_IT_UP).rstrip()
