"""What the user has set, kept in the QGIS profile."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import quote

from qgis.core import QgsApplication, QgsNetworkAccessManager, QgsSettings

PYTHON = "spectrafilm/python"
ENVIRONMENT = "spectrafilm/environment"


def python_interpreter() -> str:
    """The interpreter chosen under Settings > Options > SpectraFiLM; empty where none is."""
    return str(QgsSettings().value(PYTHON, "") or "")


def set_python_interpreter(path: str) -> None:
    """Choose the interpreter; empty for the plugin's own environment."""
    QgsSettings().setValue(PYTHON, path)


def environment_folder() -> Path:
    """Where the plugin's own compute environment is, or would be."""
    return Path(str(QgsSettings().value(ENVIRONMENT, "") or _default_environment_folder()))


def _default_environment_folder() -> Path:
    local = os.environ.get("LOCALAPPDATA", "")
    if os.name == "nt" and local:
        # Paths within a profile of QGIS leave too little of the 259 characters of Windows for what torch holds, and
        # profiles may be copied over the network.
        return Path(local) / "SpectraFiLM" / "env"
    return Path(QgsApplication.qgisSettingsDirPath()) / "spectrafilm" / "environment"


def set_environment_folder(folder: Path) -> None:
    """Remember where the plugin's own compute environment was made."""
    QgsSettings().setValue(ENVIRONMENT, str(folder))


def backbones_folder() -> Path:
    """Where downloaded backbones are kept."""
    return Path(QgsApplication.qgisSettingsDirPath()) / "spectrafilm" / "backbones"


def qgis_proxy() -> str:
    """The proxy of QGIS's network settings, as an address; empty for none."""
    proxy = QgsNetworkAccessManager.instance().fallbackProxy()
    if not proxy.hostName():
        return ""
    # A password may hold the characters that divide an address.
    user = f"{quote(proxy.user(), '')}:{quote(proxy.password(), '')}@" if proxy.user() else ""
    return f"http://{user}{proxy.hostName()}:{proxy.port()}"
