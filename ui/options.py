"""Settings > Options > SpectraFiLM."""

from __future__ import annotations

import os

from qgis.core import QgsProcessingException
from qgis.gui import QgsFileWidget, QgsOptionsPageWidget, QgsOptionsWidgetFactory
from qgis.PyQt.QtCore import QCoreApplication
from qgis.PyQt.QtGui import QIcon
from qgis.PyQt.QtWidgets import QFormLayout, QLabel, QPushButton, QWidget

from ..plugin import environment, settings
from ..plugin.paths import ICONS

# By which QGIS finds the page.
PAGE = "spectrafilm"


def _tr(text: str) -> str:
    return QCoreApplication.translate("SpectraFiLM", text)


class OptionsPage(QgsOptionsPageWidget):
    """Which interpreter computes, and a button that makes one."""

    def __init__(self, parent: QWidget | None) -> None:
        super().__init__(parent)
        self.setObjectName(PAGE)
        self.interpreter = QgsFileWidget()
        self.interpreter.setFilePath(settings.python_interpreter())
        self.interpreter.setDialogTitle(_tr("Python interpreter of the compute environment"))
        hint = QLabel(_tr("Leave it empty to use the environment that the plugin makes for itself."))
        self.status = QLabel(self._status())
        for label in (hint, self.status):
            label.setWordWrap(True)
        setup = QPushButton(_tr("Set up compute environment…"))
        setup.clicked.connect(self._set_up)
        layout = QFormLayout(self)
        layout.addRow(_tr("Python interpreter"), self.interpreter)
        layout.addRow("", hint)
        layout.addRow("", setup)
        layout.addRow("", self.status)

    def apply(self) -> None:
        """Called when the user accepts the options."""
        settings.set_python_interpreter(self.interpreter.filePath().strip())

    def _status(self) -> str:
        if named := os.environ.get(environment.VARIABLE):
            return _tr("Left empty, {0} is used, which the variable {1} names.").format(named, environment.VARIABLE)
        folder = settings.environment_folder()
        try:
            if environment.is_current(folder):
                return _tr("The plugin's own environment is complete: {0}").format(folder)
            if environment.is_complete(folder):
                text = _tr("The plugin's own environment was made for an earlier version; set it up again: {0}")
                return text.format(folder)
        except QgsProcessingException as error:
            return str(error)
        return _tr("The plugin has no environment of its own yet.")

    def _set_up(self) -> None:
        from processing import execAlgorithmDialog

        self.apply()  # an interpreter that was just cleared would still go before the environment
        execAlgorithmDialog("spectrafilm:setupenvironment", {})
        self.status.setText(self._status())


class OptionsFactory(QgsOptionsWidgetFactory):
    """Adds the page to QGIS's options."""

    def __init__(self) -> None:
        super().__init__("SpectraFiLM", QIcon(str(ICONS / "spectrafilm.svg")))

    def createWidget(self, parent: QWidget | None = None) -> OptionsPage:  # noqa: N802
        return OptionsPage(parent)
