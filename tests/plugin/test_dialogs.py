"""Dialogs of our algorithms are closed when the plugin goes, those of others are not.

QGIS's own dialogs need its desktop, which tests have not; they are faked here.
"""

from __future__ import annotations

import pytest
from qgis.core import QgsApplication
from qgis.PyQt import sip
from qgis.PyQt.QtCore import QTimer
from qgis.PyQt.QtWidgets import QDialog, QPushButton

from spectrafilm.ui import dialogs


class FakeDialog(QDialog):
    """What QGIS's dialog of an algorithm has; its run ends a moment after it is cancelled."""

    def __init__(self, algorithm, running: bool) -> None:
        super().__init__()
        self._algorithm = algorithm
        self.button = QPushButton("Cancel", self)
        self.button.setEnabled(running)
        self.button.clicked.connect(lambda: QTimer.singleShot(200, lambda: self.button.setEnabled(False)))
        self.show()

    def algorithm(self):
        return self._algorithm

    def cancelButton(self) -> QPushButton:  # noqa: N802
        return self.button


@pytest.fixture
def opened(provider, monkeypatch):
    """By what they are: open dialogs of two of our algorithms, one of them running, of another's, and of none."""
    monkeypatch.setattr(dialogs, "DIALOG", FakeDialog)
    ours, others = provider.algorithm("selectbands"), QgsApplication.processingRegistry().algorithmById("native:buffer")
    made = {
        "idle": FakeDialog(ours, False), "running": FakeDialog(ours, True), "other": FakeDialog(others, True),
        "empty": FakeDialog(None, False),
    }  # fmt: skip
    yield made
    for dialog in made.values():
        sip.delete(dialog)


def test_ours_are_closed_and_their_runs_cancelled(provider, opened):
    dialogs.close_dialogs(provider.id())
    assert {name for name, dialog in opened.items() if dialog.isVisible()} == {"other", "empty"}
    assert not opened["running"].button.isEnabled()
    assert opened["other"].button.isEnabled()


def test_a_run_that_does_not_end_is_not_waited_for_for_ever(provider, opened, monkeypatch):
    monkeypatch.setattr(dialogs, "WAIT_SECONDS", 0.1)
    opened["running"].button.clicked.disconnect()
    dialogs.close_dialogs(provider.id())
    assert opened["running"].button.isEnabled()
    assert not opened["running"].isVisible()
