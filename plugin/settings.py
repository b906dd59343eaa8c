"""What the user has set, kept in the QGIS profile."""

from __future__ import annotations

from pathlib import Path

from qgis.core import QgsApplication, QgsSettings

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
    default = Path(QgsApplication.qgisSettingsDirPath()) / "spectrafilm" / "environment"
    return Path(str(QgsSettings().value(ENVIRONMENT, "") or default))


def set_environment_folder(folder: Path) -> None:
    """Remember where the plugin's own compute environment was made."""
    QgsSettings().setValue(ENVIRONMENT, str(folder))
