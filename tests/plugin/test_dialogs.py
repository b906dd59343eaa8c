"""Dialogs of our algorithms are closed when the plugin goes, those of others are not."""

from __future__ import annotations

import time

import processing
import pytest
from in_qgis import SCENE
from qgis.core import QgsApplication
from qgis.PyQt.QtWidgets import QApplication

from spectrafilm.plugin.provider import SpectraFilmProvider
from spectrafilm.ui.dialogs import close_dialogs


@pytest.fixture
def provider(qgis_processing):
    provider = SpectraFilmProvider()
    QgsApplication.processingRegistry().addProvider(provider)
    yield provider
    QgsApplication.processingRegistry().removeProvider(provider)


def test_ours_are_closed_and_their_runs_cancelled(provider, tmp_path, monkeypatch):
    # The desktop is faked in tests, and QGIS's own widgets do not take fakes.
    monkeypatch.setattr("processing.gui.ParametersPanel.iface", None, raising=False)
    parameters = {"INPUT": SCENE, "OUTPUT": str(tmp_path / "f.tif")}
    idle, running, other = (
        processing.createAlgorithmDialog(name, parameters)
        for name in ("spectrafilm:selectbands", "spectrafilm:extractfeatures", "native:buffer")
    )
    for dialog in (idle, running, other):
        dialog.show()
    running.runButton().click()
    end = time.monotonic() + 60
    while not list(tmp_path.iterdir()) and time.monotonic() < end:
        QApplication.processEvents()
    assert running.cancelButton().isEnabled()
    close_dialogs(provider.id())
    assert [dialog.isVisible() for dialog in (idle, running, other)] == [False, False, True]
    assert not running.cancelButton().isEnabled()
    assert not list(tmp_path.iterdir()), "nothing partial is left"
    other.close()
