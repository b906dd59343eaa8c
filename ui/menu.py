"""Plugins > SpectraFiLM: the way from a scene to a map, for who does not know the Processing toolbox."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from qgis.core import QgsProcessingProvider
from qgis.gui import QgisInterface
from qgis.PyQt.QtCore import QCoreApplication, QUrl
from qgis.PyQt.QtGui import QDesktopServices, QIcon
from qgis.PyQt.QtWidgets import QMenu

from ..plugin.help_page import help_address
from .options import PAGE

# In the order of work.
STEPS = ("importscene", "makelabels", "trainfilm", "predictmap", "suggestsamples", "assessaccuracy")


class PluginMenu:
    """The menu, from when it is made until `remove`."""

    def __init__(self, iface: QgisInterface, provider: QgsProcessingProvider) -> None:
        self._iface = iface
        self._menu = QMenu(provider.name(), iface.mainWindow())
        self._menu.setIcon(provider.icon())
        for name in STEPS:
            self._add_algorithm(provider, name)
        self._menu.addSeparator()
        self._add_algorithm(provider, "setupenvironment")
        self._add(_tr("Options…"), lambda: iface.showOptionsDialog(iface.mainWindow(), PAGE))
        self._add(_tr("User guide"), lambda: QDesktopServices.openUrl(QUrl(help_address())))
        iface.pluginMenu().addMenu(self._menu)

    def remove(self) -> None:
        """Take the menu out again."""
        self._iface.pluginMenu().removeAction(self._menu.menuAction())
        self._menu.deleteLater()

    def _add_algorithm(self, provider: QgsProcessingProvider, name: str) -> None:
        algorithm = provider.algorithm(name)
        self._add(f"{algorithm.displayName()}…", partial(_open, algorithm.id()), algorithm.icon())

    def _add(self, text: str, what: Callable[[], object], icon: QIcon | None = None) -> None:
        action = self._menu.addAction(icon or QIcon(), text)
        action.triggered.connect(lambda _checked=False: what())


def _open(algorithm_id: str) -> None:
    # Not when the plugin is loaded: Processing may be turned off, and comes after it otherwise.
    from processing import execAlgorithmDialog

    execAlgorithmDialog(algorithm_id)


def _tr(text: str) -> str:
    return QCoreApplication.translate("SpectraFiLM", text)
