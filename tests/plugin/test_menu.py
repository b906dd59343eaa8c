"""The menu under 'Plugins': the steps to a map, each opening its dialog, and nothing left of it afterwards."""

from __future__ import annotations

from types import SimpleNamespace

import processing
import pytest
from qgis.PyQt.QtGui import QDesktopServices
from qgis.PyQt.QtWidgets import QMenu

from spectrafilm.plugin.help_page import help_address
from spectrafilm.plugin.plugin import SpectraFilmPlugin
from spectrafilm.ui.options import OptionsPage


@pytest.fixture
def desktop(qgis_app, qgis_processing):
    """What the plugin asks of a desktop, which there is none of here: a named fake, with a real menu."""
    plugins, pages, opened = QMenu(), [], []
    fake = SimpleNamespace(
        pluginMenu=lambda: plugins, mainWindow=lambda: None, registerOptionsWidgetFactory=pages.append,
        unregisterOptionsWidgetFactory=pages.remove, showOptionsDialog=lambda _window, page: opened.append(page),
    )  # fmt: skip
    plugin = SpectraFilmPlugin(fake)
    plugin.initGui()
    yield SimpleNamespace(plugin=plugin, plugins=plugins, pages=pages, opened=opened)
    plugin.unload()


def test_every_entry_opens_what_it_says(desktop, monkeypatch):
    opened = desktop.opened
    monkeypatch.setattr(processing, "execAlgorithmDialog", opened.append, raising=False)
    monkeypatch.setattr(QDesktopServices, "openUrl", lambda url: opened.append(url.toString()))
    (menu,) = (action.menu() for action in desktop.plugins.actions())
    assert menu.title() == "SpectraFiLM"
    entries = [action for action in menu.actions() if not action.isSeparator()]
    for action in entries:
        action.trigger()
    algorithms = [name.removeprefix("spectrafilm:") for name in opened if name.startswith("spectrafilm:")]
    assert algorithms == ["importscene", "makelabels", "trainfilm", "predictmap", "suggestsamples", "assessaccuracy",
                          "setupenvironment"]  # fmt: skip
    titles = [f"{desktop.plugin.provider.algorithm(name).displayName()}…" for name in algorithms]
    assert [action.text() for action in entries] == [*titles, "Options…", "User guide"]
    assert opened[-2:] == [OptionsPage(None).objectName(), help_address()]


def test_nothing_of_the_plugin_is_left_when_it_is_unloaded(desktop):
    assert desktop.pages
    desktop.plugin.unload()
    assert not desktop.plugins.actions()
    assert not desktop.pages
