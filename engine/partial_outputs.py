"""Names of what is temporary, known on both sides of the border.

An output is written beside its destination under a name that carries the run's token and renamed
when it is whole. Should the engine be killed, the QGIS half finds its remains by the token.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from collections.abc import Iterable
from pathlib import Path

# On Windows a process that was ended may hold its files a little longer.
ATTEMPTS = 10 if os.name == "nt" else 1
PAUSE_SECONDS = 0.2
MARK = ".spectrafilm-part-"
# Beginning of the name of the folder for temporary files of one run.
SCRATCH = "spectrafilm-"


def partial_path(destination: str, token: str) -> Path:
    """Where an output is written until it is whole.

    A name of fixed length, since that of the destination may be as long as names can be; its suffix stays, since
    drivers go by it.
    """
    path = Path(destination)
    digest = hashlib.sha256(path.name.encode("utf-8", "surrogateescape")).hexdigest()[:8]
    return path.with_name(f"{MARK}{token}-{digest}{path.suffix}")


def remove_partial_outputs(destinations: Iterable[str], token: str) -> None:
    """Delete what a run left behind in the folders of its destinations."""
    for folder in {Path(d).parent for d in destinations if d}:
        with contextlib.suppress(OSError):
            for path in folder.iterdir():
                if path.name.startswith(f"{MARK}{token}-"):
                    _remove(path)


def _remove(path: Path) -> None:
    for attempt in range(ATTEMPTS):
        with contextlib.suppress(OSError):
            os.remove(path)
        if not path.exists():
            return
        if attempt < ATTEMPTS - 1:
            time.sleep(PAUSE_SECONDS)
