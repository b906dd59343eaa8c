"""Temporary files of a run."""

from __future__ import annotations

import errno
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from qgis.core import QgsProcessingException

NO_ROOM = (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC))


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder that is deleted in the end, whatever a process that was killed has left in it.

    Raises:
        QgsProcessingException: there is no room for it, or for what is written into it.
    """
    folder = ""
    try:
        folder = tempfile.mkdtemp(prefix="spectrafilm-")
        yield Path(folder)
    except OSError as error:
        if folder and error.errno not in NO_ROOM:
            raise
        raise QgsProcessingException(
            f"Temporary files cannot be written to {tempfile.tempdir or 'any folder'} ({error.strerror or error}); "
            "make room there, or name another folder in the variable TMPDIR (TEMP on Windows) and start QGIS anew."
        ) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
