"""The plugin's life in QGIS."""

from __future__ import annotations

from typing import Any

from qgis.core import QgsApplication
from qgis.gui import QgisInterface

from .provider import SpectraFilmProvider


class SpectraFilmPlugin:
    """Registers the Processing provider, and in the desktop a page of options and a menu."""

    def __init__(self, iface: QgisInterface | None) -> None:
        self.iface = iface
        self.provider: SpectraFilmProvider | None = None
        self.options: Any = None
        self.menu: Any = None

    def initProcessing(self) -> None:  # noqa: N802
        """Register the provider; all that `qgis_process` needs."""
        self.provider = SpectraFilmProvider()
        QgsApplication.processingRegistry().addProvider(self.provider)
        # The ready-made models are made of this provider's algorithms, which can only be found now.
        self.provider.refreshAlgorithms()

    def initGui(self) -> None:  # noqa: N802
        """Register everything the desktop shows."""
        self.initProcessing()
        from ..ui.options import OptionsFactory

        self.options = OptionsFactory()
        if self.iface is not None:
            from ..ui.menu import PluginMenu

            self.iface.registerOptionsWidgetFactory(self.options)
            self.menu = PluginMenu(self.iface, self.provider)

    def unload(self) -> None:
        """Take everything out again."""
        if self.menu is not None:
            self.menu.remove()
            self.menu = None
        if self.provider is not None:
            try:
                if self.iface is not None:
                    from ..ui.dialogs import close_dialogs

                    close_dialogs(self.provider.id())
            finally:
                QgsApplication.processingRegistry().removeProvider(self.provider)
                self.provider = None
        if self.options is not None and self.iface is not None:
            self.iface.unregisterOptionsWidgetFactory(self.options)
            self.options = None
