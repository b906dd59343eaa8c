"""The C++ runtime of Windows, which torch shares with everything that is loaded before it."""

from __future__ import annotations

import contextlib
import ctypes
import os

NAME = "msvcp140.dll"
# LOAD_LIBRARY_SEARCH_APPLICATION_DIR and LOAD_LIBRARY_SEARCH_SYSTEM32: an interpreter may have one of its own (conda).
PLACES = 0x200 | 0x800


def load_system_runtime(windows: bool = os.name == "nt") -> None:
    """Load the interpreter's or that of Windows; the first copy that a process loads serves all its libraries.

    torch does not load with one from before 2024 (torch issue 169429). Such lie in QGIS's folders, in which rasterio
    has libraries looked for, and in packages.
    """
    if windows:
        with contextlib.suppress(OSError):  # none is installed; torch says so itself
            ctypes.WinDLL(NAME, winmode=PLACES)  # type: ignore[attr-defined]
