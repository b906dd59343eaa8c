"""The compute environment that jobs run in: the one that the user names, or the one that the plugin made."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from qgis.core import QgsProcessingException

from . import settings
from .paths import REQUIREMENTS

VARIABLE = "SPECTRAFILM_PYTHON"
MARKER = "spectrafilm-environment.json"
# Lies in a folder from before anything else is in it: what holds neither is not ours to delete.
BEGUN = "spectrafilm-environment.begun"
# Where users may have pip install.
PIP_PLACES = ("PIP_TARGET", "PIP_PREFIX", "PIP_ROOT")
# Otherwise a console opens on Windows for each process.
NO_WINDOW = getattr(subprocess, "CREATE_NO_WINDOW", 0)


def find_python() -> str:
    """The interpreter of the compute environment.

    Searched for in the plugin's setting, the variable SPECTRAFILM_PYTHON, and the environment that
    the plugin made.

    Raises:
        QgsProcessingException: there is none, or it may not be entered; the sentence says what to do.
    """
    chosen = settings.python_interpreter()
    if chosen:
        return _existing(chosen, "chosen in Settings > Options > SpectraFiLM")
    chosen = os.environ.get(VARIABLE, "")
    if chosen:
        return _existing(chosen, f"named by the variable {VARIABLE}")
    folder = settings.environment_folder()
    if is_complete(folder):
        return str(interpreter_of(folder))
    if (folder / BEGUN).is_file() and not (folder / MARKER).is_file():
        raise QgsProcessingException(
            f"The compute environment {folder} is not complete: wait if it is being made just now, or run 'Set up "
            "compute environment' again."
        )
    raise QgsProcessingException(
        "SpectraFiLM has no compute environment yet: run 'Set up compute environment' from the Processing toolbox "
        "once, or choose a Python interpreter with torch, diffusers, rasterio and scikit-learn in "
        "Settings > Options > SpectraFiLM."
    )


def interpreter_of(folder: Path) -> Path:
    """The interpreter inside a virtual environment."""
    return folder / "Scripts" / "python.exe" if os.name == "nt" else folder / "bin" / "python"


def is_complete(folder: Path) -> bool:
    """Whether the plugin made this environment, to its end.

    Raises:
        QgsProcessingException: the folder may not be entered.
    """
    with closed_folder_reported(folder):
        return (folder / MARKER).is_file() and interpreter_of(folder).exists() and _has_base(folder)


@contextlib.contextmanager
def closed_folder_reported(folder: Path) -> Iterator[None]:
    """Say in a sentence that a folder may not be entered, as one that another user made."""
    try:
        yield
    except PermissionError as error:
        raise QgsProcessingException(
            f"The environment folder {folder} may not be entered ({error.strerror}); have its permissions changed, or "
            "choose another one in 'Set up compute environment'."
        ) from error


def _has_base(folder: Path) -> bool:
    """Whether the Python that an environment was made from is still there.

    On Windows its interpreter is no link to that, and each version of QGIS has a folder of its own.
    """
    with contextlib.suppress(OSError, ValueError):
        for line in (folder / "pyvenv.cfg").read_text(encoding="utf-8").splitlines():
            key, _, value = line.partition("=")
            if key.strip() == "home":
                return any(Path(value.strip()).glob("python*"))
    return False


def is_current(folder: Path) -> bool:
    """Whether a complete environment was made from today's requirements; raises as `is_complete`."""
    if not is_complete(folder):
        return False
    with contextlib.suppress(ValueError, KeyError, OSError):
        return json.loads((folder / MARKER).read_text(encoding="utf-8"))["requirements"] == _requirements_digest()
    return False


def is_outdated(python: str) -> bool:
    """Whether an interpreter is that of the plugin's own environment, made from other requirements than today's."""
    folder = settings.environment_folder()
    return Path(python) == interpreter_of(folder) and not is_current(folder)


def mark_complete(folder: Path) -> None:
    """Remember that an environment was made to its end and passed its check."""
    # One that others share may be read-only.
    if not is_current(folder):
        marker = {"requirements": _requirements_digest()}
        (folder / MARKER).write_text(json.dumps(marker) + "\n", encoding="utf-8")
    settings.set_environment_folder(folder)


def variables_for_python() -> dict[str, str]:
    """The environment variables without those by which QGIS leads its own Python, and users pip.

    PYTHONEXECUTABLE, which QGIS sets on Windows, is heeded even with `-I`: pip would install into QGIS's Python.
    """
    return {
        name: value for name, value in os.environ.items() if not name.upper().startswith(("PYTHON", *PIP_PLACES))
    }


def _existing(path: str, origin: str) -> str:
    # A path that was copied may stand in quotes.
    path = os.path.expanduser(path.strip().strip('"'))  # noqa: PTH111  (Path's raises for users that do not exist)
    found = path if os.path.isfile(path) else shutil.which(path)  # noqa: PTH113  (Path's raises for names too long)
    if not found:
        # An environment that is made now would not be used before this name is gone.
        raise QgsProcessingException(
            f"The Python interpreter {path}, {origin}, is no program that exists; name another there, or none to use "
            "the environment that 'Set up compute environment' makes."
        )
    return found


def _requirements_digest() -> str:
    return hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()
