"""The dialogs that QGIS shows for our algorithms."""

from __future__ import annotations

import time
from typing import Any

from qgis import gui
from qgis.PyQt import sip
from qgis.PyQt.QtWidgets import QApplication

# Its name up to QGIS 4.0, and since.
DIALOG = getattr(gui, "QgsProcessingAlgorithmDialogBase", None) or gui.QgsProcessingAlgorithmWidgetBase
WAIT_SECONDS = 10.0


def close_dialogs(provider_id: str) -> None:
    """Cancel what runs in dialogs of a provider's algorithms and close them.

    QGIS crashes when such a dialog is used, or its run ends, after the provider is gone.
    """
    for dialog in QApplication.allWidgets():
        # Closing one may delete others.
        if sip.isdeleted(dialog) or not isinstance(dialog, DIALOG) or not _is_of(dialog, provider_id):
            continue
        cancel = dialog.cancelButton()
        cancel.click()
        end = time.monotonic() + WAIT_SECONDS
        while not sip.isdeleted(cancel) and cancel.isEnabled() and time.monotonic() < end:
            QApplication.processEvents()
        if not sip.isdeleted(dialog):
            dialog.close()


def _is_of(dialog: Any, provider_id: str) -> bool:
    algorithm = dialog.algorithm()
    return algorithm is not None and algorithm.provider() is not None and algorithm.provider().id() == provider_id
