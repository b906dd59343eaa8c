"""The engine's side of the border: one JSON message a line on standard output.

Messages: {"type": "hello"}, {"type": "progress", "percent", "until"}, {"type": "info" | "warning" |
"error", "text"}, {"type": "result", "values"}. `until` is where the current step ends, between which
and `percent` the other side may let its progress bar creep.

The job comes as one line on standard input, which then stays open: when it closes, the other side
has cancelled or died, and the engine stops.
"""

from __future__ import annotations

import _thread
import atexit
import json
import os
import shutil
import sys
import threading
import time
import traceback
from typing import Any, NoReturn, TextIO

from .errors import EngineError, reason
from .jobs import SAVE_MEMORY, Job, from_json
from .parent import wait_until_stdin_closes
from .partial_outputs import PUBLISHED, PUBLISHING, SCRATCH, remove_partial_outputs
from .progress import Progress

GRACE_SECONDS = 1.0
MINIMUM_STEP = 0.001
EXIT_ERROR = 1
EXIT_CANCELLED = 3
# Windows' numbers for a library that is missing, lacks a function or does not start, for one of another processor, and
# for one that a policy such as Smart App Control blocks.
LIBRARY_ERRORS = (126, 127, 1114, 193, 4551)
# Not enough memory, out of memory, and a paging file too small for what a library or file takes.
MEMORY_ERRORS = (8, 14, 1455)
# How torch's errors say the same: on the CPU (two systems), and on MPS or within libraries of CUDA.
MEMORY_SAYINGS = ("can't allocate memory", "not enough memory", "out of memory")


class MessageStream(Progress):
    """Progress and messages as lines of JSON."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._stream = stream
        self._sent = -1.0
        self._lock = threading.Lock()

    def send(self, kind: str, **content: Any) -> None:
        """Write one message."""
        line = json.dumps({"type": kind, **content}, allow_nan=False)
        with self._lock:
            self._stream.write(line + "\n")
            self._stream.flush()

    def show(self, fraction: float, until: float) -> None:
        if fraction >= self._sent + MINIMUM_STEP or (fraction == 1.0 and self._sent < 1.0):
            self._sent = fraction
            self.send("progress", percent=round(100 * fraction, 2), until=round(100 * until, 2))

    def info(self, text: str) -> None:
        self.send("info", text=text)

    def warning(self, text: str) -> None:
        super().warning(text)
        self.send("warning", text=text)


def serve() -> int:
    """Read a job from standard input, run it, and report; the process's exit status."""
    atexit.register(_remove_scratch)
    stream = _claim_stdout()
    messages = MessageStream(stream)
    messages.send("hello")
    try:
        job, token = from_json(sys.stdin.readline())
    except ValueError as error:
        text = f"The engine was given no job it understands ({error}); if the plugin was just updated, start QGIS anew."
        messages.send("error", text=text)
        return EXIT_ERROR
    _stop_when_stdin_closes(job, token)
    try:
        # Imported here, so that a broken environment is reported as a message and not as a traceback.
        from .runner import run_job

        values = run_job(job, messages, token)
    except EngineError as error:
        messages.send("error", text=str(error))
        return EXIT_ERROR
    except KeyboardInterrupt:
        return EXIT_CANCELLED
    except Exception as error:
        # Of its own libraries torch says on Windows that they cannot be loaded by an OSError.
        if isinstance(error, ImportError) or getattr(error, "winerror", None) in LIBRARY_ERRORS:
            # numpy's own error is a page on what may be wrong, about the one that tells what is.
            cause = error.__cause__ or error
            messages.send("error", text=f"The compute environment is broken ({cause}).", environment=True)
            return EXIT_ERROR
        if _is_lack_of_memory(error):
            text = f"The engine ran out of memory; {SAVE_MEMORY}."
        else:  # a fault of ours: the user still gets one sentence, the log the trace
            text = f"The engine failed unexpectedly ({type(error).__name__}: {reason(error)})."
        traceback.print_exc()
        messages.send("error", text=text)
        return EXIT_ERROR
    messages.send("result", values=values)
    return 0


def end(status: int) -> NoReturn:
    """End the process as it is.

    To take its libraries down needs a second or two after torch was used, in which a cancel would say that nothing was
    written, and a fault of a driver would count as one of the run.
    """
    _remove_scratch()
    os._exit(status)


def _is_lack_of_memory(error: Exception) -> bool:
    """Whether memory ran out; torch has errors of its own for that."""
    said = str(error)
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or getattr(error, "winerror", None) in MEMORY_ERRORS
        or (isinstance(error, RuntimeError) and any(saying in said for saying in MEMORY_SAYINGS))
    )


def _claim_stdout() -> TextIO:
    """Keep the real standard output for messages; whatever libraries print goes to standard error."""
    stream = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return stream


def _remove_scratch() -> None:
    """Delete the folder for temporary files, which QGIS made and cannot delete where it has crashed."""
    if folder := os.environ.get(SCRATCH):
        shutil.rmtree(folder, ignore_errors=True)


def _stop_when_stdin_closes(job: Job, token: str) -> None:
    def watch() -> None:
        wait_until_stdin_closes()
        with PUBLISHING:
            if PUBLISHED.is_set():
                return
            _thread.interrupt_main()
        # A long call in native code does not see the interrupt.
        time.sleep(GRACE_SECONDS)
        with PUBLISHING:
            remove_partial_outputs(job.outputs(), token)
            _remove_scratch()
            os._exit(EXIT_CANCELLED)

    threading.Thread(target=watch, daemon=True).start()
