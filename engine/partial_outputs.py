"""Temporary names of outputs in the making, known on both sides of the border.

An output is written beside its destination under a name that carries the run's token and renamed
when it is whole. Should the engine be killed, the QGIS half finds its remains by the token.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path

MARK = ".spectrafilm-part-"


def partial_path(destination: str, token: str) -> Path:
    """Where an output is written until it is whole; suffixes stay, since drivers go by them."""
    path = Path(destination)
    return path.with_name(f"{MARK}{token}-{path.name}")


def remove_partial_outputs(destinations: Iterable[str], token: str) -> None:
    """Delete what a run left behind in the folders of its destinations."""
    for folder in {Path(d).parent for d in destinations if d}:
        with contextlib.suppress(OSError):
            for path in folder.iterdir():
                if path.name.startswith(f"{MARK}{token}-"):
                    with contextlib.suppress(OSError):
                        os.remove(path)
