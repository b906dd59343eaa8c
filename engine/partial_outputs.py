"""Names of files, above all of what is temporary, known on both sides of the border.

An output is written beside its destination under a name that carries the run's token and renamed
when it is whole. Should the engine be killed, the QGIS half finds its remains by the token.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

# On Windows a process that was ended may hold its files a little longer, and a virus scanner looks at new ones.
ATTEMPTS = 10 if os.name == "nt" else 1
PAUSE_SECONDS = 0.2
LONGEST_SUFFIX = 16
MARK = ".spectrafilm-part-"
# No run leaves a file alone for so long.
FORGOTTEN_SECONDS = 7 * 24 * 3600
# Variable of the engine's process: its folder for temporary files, which it may delete.
SCRATCH = "SPECTRAFILM_SCRATCH"
# Held while outputs get their names: a cancel meanwhile would leave new ones beside old ones.
PUBLISHING = threading.Lock()
# Set when they have them: a cancel comes too late then, and the run ends as it would have.
PUBLISHED = threading.Event()


def identity(path: str | Path) -> str:
    """The same for all names of a file; on some systems upper and lower case are alike."""
    name = os.path.normcase(os.path.realpath(path))
    # Python takes all disks of a Mac for those few that tell them apart.
    return name.lower() if sys.platform == "darwin" else name


def real_place(destination: str) -> str:
    """Where an output is written: a link stays one, as to a larger disk."""
    is_link = os.path.islink(destination)  # noqa: PTH114  (Path's raises for names too long)
    return os.path.realpath(destination) if is_link else destination


def partial_path(destination: str, token: str) -> Path:
    """Where an output is written until it is whole.

    A short name, since that of the destination may be as long as names can be; its suffix stays, since drivers go by
    it.
    """
    path = Path(real_place(destination))
    suffix = path.suffix if len(path.suffix) <= LONGEST_SUFFIX else ""
    digest = hashlib.sha256(path.name.encode("utf-8", "surrogateescape")).hexdigest()[:8]
    return path.with_name(f"{MARK}{token}-{digest}{suffix}")


def remove_partial_outputs(destinations: Iterable[str], token: str, attempts: int = 1) -> None:
    """Delete what a run left behind in the folders of its destinations, and what others did that nobody could end.

    Args:
        attempts: how often each file is tried; `ATTEMPTS` after the run was ended by force.
    """
    for folder in {Path(real_place(d)).parent for d in destinations if d}:
        with contextlib.suppress(OSError):
            for path in folder.iterdir():
                if path.name.startswith(f"{MARK}{token}-") or _is_forgotten(path):
                    _remove(path, attempts)


def _is_forgotten(path: Path) -> bool:
    """Whether a file is what a run has left that ended with the whole computer."""
    if path.name.startswith(MARK):
        with contextlib.suppress(OSError):
            return time.time() - path.stat().st_mtime > FORGOTTEN_SECONDS
    return False


def _remove(path: Path, attempts: int) -> None:
    for _ in tries(attempts):
        with contextlib.suppress(OSError):
            os.remove(path)
        if not path.exists():
            return


def tries(count: int) -> Iterator[int]:
    """So many tries, with a pause before each but the first; how many are left after it."""
    for done in range(count):
        if done:
            time.sleep(PAUSE_SECONDS)
        yield count - 1 - done
