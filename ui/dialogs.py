"""The dialogs that QGIS shows for our algorithms."""

from __future__ import annotations

import time

from qgis.gui import QgsProcessingAlgorithmDialogBase
from qgis.PyQt.QtWidgets import QApplication

WAIT_SECONDS = 10.0


def close_dialogs(provider_id: str) -> None:
    """Cancel what runs in dialogs of a provider's algorithms and close them.

    QGIS crashes when such a dialog is used, or its run ends, after the provider is gone.
    """
    for dialog in QApplication.topLevelWidgets():
        if not isinstance(dialog, QgsProcessingAlgorithmDialogBase) or not _is_of(dialog, provider_id):
            continue
        cancel = dialog.cancelButton()
        cancel.click()
        end = time.monotonic() + WAIT_SECONDS
        while cancel.isEnabled() and time.monotonic() < end:
            QApplication.processEvents()
        dialog.close()


def _is_of(dialog: QgsProcessingAlgorithmDialogBase, provider_id: str) -> bool:
    algorithm = dialog.algorithm()
    return algorithm is not None and algorithm.provider() is not None and algorithm.provider().id() == provider_id
