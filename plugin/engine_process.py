"""The QGIS side of the border: runs one job of the engine in its own process.

Messages come as lines of JSON on the engine's standard output (see engine/protocol.py). Standard
input carries the job and stays open while the engine shall live: closing it cancels.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import threading
import time
import uuid
from pathlib import Path
from typing import IO, Any

from qgis.core import QgsProcessingException, QgsProcessingFeedback

from ..engine.jobs import SAVE_MEMORY, Job, to_json
from ..engine.partial_outputs import ATTEMPTS, SCRATCH, remove_partial_outputs
from . import settings
from .environment import NO_WINDOW, VARIABLE
from .paths import LAUNCHER
from .scratch import temporary_folder

POLL_SECONDS = 0.1
CREEP_SECONDS = 0.4
CREEP_SHARE = 0.006
# More than the engine takes to clean up.
CANCEL_SECONDS = 1.8
EXIT_SECONDS = 10
OUT_OF_MEMORY = (-9, 137)
# Settings of QGIS's own Python, GDAL and Qt would send the engine to the wrong libraries and data, those of a notebook
# to a display that is not there.
FOREIGN_SETTINGS = ("PYTHON", "GDAL_", "PROJ_", "OGR_", "QT_", "CPL_", "MPLBACKEND")
# But a scene on a server is only reached by way of the proxy and with the header or password that the user has set.
NETWORK_SETTINGS = ("GDAL_HTTP_", "GDAL_PROXY_AUTH", "CPL_VSIL_CURL_")
WINDOWS_POLICY_ERRORS = ("WinError 4551", "Application Control policy")
WINDOWS_LIBRARY_ERRORS = ("WinError 126", "WinError 127", "WinError 1114", "DLL load failed")
# At the end of errors that to make the plugin's own environment anew would mend.
SET_IT_UP = "Run 'Set up compute environment' from the Processing toolbox."


def run_job(job: Job, python: str, feedback: QgsProcessingFeedback) -> dict[str, Any]:
    """Run a job and return its results.

    Args:
        python: the interpreter of the compute environment.
        feedback: shown progress and messages; its cancellation ends the engine.

    Raises:
        QgsProcessingException: the job failed or was cancelled; nothing partial is left.
    """
    token = uuid.uuid4().hex[:12]
    with temporary_folder() as scratch:
        engine = _Engine(python, str(scratch))
        try:
            engine.send(to_json(job, token))
            return _Conversation(engine, feedback, any(job.outputs())).result()
        finally:
            engine.end()
            remove_partial_outputs(job.outputs(), token, ATTEMPTS)


def _is_foreign(variable: str) -> bool:
    """Whether an environment variable is meant for another program than the engine."""
    return variable.startswith(FOREIGN_SETTINGS) and not variable.startswith(NETWORK_SETTINGS)


class _Engine:
    """The engine's process; its output arrives as (stream name, line) in `lines`, None at the end of a stream."""

    def __init__(self, python: str, scratch: str) -> None:
        self.python = python
        self.lines: queue.Queue[tuple[str, bytes | None]] = queue.Queue()
        environment = {k: v for k, v in os.environ.items() if not _is_foreign(k.upper())}
        # Temporary copies die with the run, even when the engine is killed.
        environment.update({"TMPDIR": scratch, "TEMP": scratch, "TMP": scratch, SCRATCH: scratch})
        try:
            self.process = subprocess.Popen(
                [python, "-I", "-u", "-X", "utf8", str(LAUNCHER), "serve"],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment,
                creationflags=NO_WINDOW,
            )  # fmt: skip
        except OSError as error:
            raise QgsProcessingException(
                f"The Python interpreter {python} of the compute environment cannot be started "
                f"({error.strerror or error}). {_remedy(str(error), python)}"
            ) from error
        for name in ("stdout", "stderr"):
            threading.Thread(target=self._listen, args=(name, getattr(self.process, name)), daemon=True).start()

    def _listen(self, name: str, stream: IO[bytes]) -> None:
        # Closed by the one who reads: another thread would break off a line, or wait for it.
        with stream:
            for line in stream:
                self.lines.put((name, line))
        self.lines.put((name, None))

    def send(self, text: str) -> None:
        """Hand over the job."""
        with contextlib.suppress(OSError):  # it died at once; its exit tells why
            self.process.stdin.write(text.encode() + b"\n")  # type: ignore[union-attr]
            self.process.stdin.flush()  # type: ignore[union-attr]

    def cancel(self) -> None:
        """Ask the engine to stop, and end it where it does not."""
        with contextlib.suppress(OSError):
            self.process.stdin.close()  # type: ignore[union-attr]
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(CANCEL_SECONDS)
        self.end()

    def end(self) -> None:
        """Make sure that the process is gone."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        with contextlib.suppress(OSError):
            self.process.stdin.close()  # type: ignore[union-attr]


class _Conversation:
    """Reads the engine's messages until its end and shows them.

    Args:
        writes: whether the engine's job has outputs.
    """

    def __init__(self, engine: _Engine, feedback: QgsProcessingFeedback, writes: bool) -> None:
        self.engine = engine
        self.feedback = feedback
        self.writes = writes
        self.greeted = False
        self.values: dict[str, Any] | None = None
        self.error = ""
        self.noise: list[str] = []
        self.shown, self.until, self.moved = 0.0, 2.0, time.monotonic()

    def result(self) -> dict[str, Any]:
        """The job's results.

        Raises:
            QgsProcessingException: there are none.
        """
        streams = 2
        while streams:
            if self.feedback.isCanceled():
                self.engine.cancel()
                if self.writes and self.engine.process.returncode == 0:
                    raise QgsProcessingException("The run was cancelled just after its results had been written.")
                raise QgsProcessingException("The run was cancelled; no result was written.")
            try:
                name, line = self.engine.lines.get(timeout=POLL_SECONDS)
            except queue.Empty:
                self._creep()
                continue
            if line is None:
                streams -= 1
            elif name == "stdout":
                self._hear(line)
            else:
                self._overhear(line)
        try:
            status = self.engine.process.wait(EXIT_SECONDS)
        except subprocess.TimeoutExpired:
            raise QgsProcessingException("The engine closed its output and did not end; it was stopped.") from None
        if self.values is None or status != 0:
            raise QgsProcessingException(self._explain(status))
        self._show(100.0)
        return self.values

    def _hear(self, line: bytes) -> None:
        try:
            message = json.loads(line)
            kind = message["type"]
            if kind == "progress":
                self.until = float(message["until"])
                self._show(float(message["percent"]))
            elif kind == "info":
                self.feedback.pushInfo(message["text"])
            elif kind == "warning":
                self.feedback.pushWarning(message["text"])
            elif kind == "error":
                self.error = message["text"]
                if message.get("environment"):
                    self.error += " " + _remedy(self.error, self.engine.python)
            elif kind == "result":
                self.values = dict(message["values"])
            elif kind == "hello":
                self.greeted = True
        except (ValueError, KeyError, TypeError) as error:
            shown = line.decode("utf-8", "replace").strip()[:120]
            raise QgsProcessingException(
                f"The compute environment {self.engine.python} answered something that is not a message of the "
                f"engine ('{shown}'); check the interpreter in Settings > Options > SpectraFiLM."
            ) from error

    def _overhear(self, line: bytes) -> None:
        text = line.decode("utf-8", "replace").rstrip()
        if text:
            self.noise = [*self.noise[-49:], text]
            self.feedback.pushConsoleInfo(text)

    def _show(self, percent: float) -> None:
        """Move the progress bar, never backwards."""
        if percent > self.shown:
            self.shown, self.moved = percent, time.monotonic()
            self.feedback.setProgress(self.shown)

    def _creep(self) -> None:
        """Move a little towards the end of the current step, so that a long one is seen to be alive."""
        if time.monotonic() - self.moved > CREEP_SECONDS and self.until > self.shown:
            self._show(self.shown + CREEP_SHARE * (self.until - self.shown))

    def _explain(self, status: int) -> str:
        """One sentence on why the engine ended without a result."""
        if self.error:
            return self.error
        last = self.noise[-1] if self.noise else "it said nothing"
        if status in OUT_OF_MEMORY:
            return (
                f"The engine was ended by the system, most likely because the memory ran out; {SAVE_MEMORY}."
            )
        if not self.greeted:
            python = self.engine.python
            return f"The compute environment {python} is broken ({last}). {_remedy(last, python)}"
        how = f"signal {-status}" if status < 0 else f"exit status {status}"
        return f"The engine crashed ({how}; {last}); the messages above may tell why, please report them."


def _remedy(problem: str, python: str) -> str:
    if any(sign in problem for sign in WINDOWS_POLICY_ERRORS):
        return (
            "Windows blocks a library of the environment, as it is not signed: turn Smart App Control off in Windows "
            "Security, or have your administrator allow the environment's folder."
        )
    if any(sign in problem for sign in WINDOWS_LIBRARY_ERRORS):
        return (
            "A system library is missing or too old: install the latest Microsoft Visual C++ Redistributable (v14, "
            "x64), then run 'Set up compute environment' again."
        )
    if settings.python_interpreter():
        return "Clear Settings > Options > SpectraFiLM, or name an interpreter there that has all packages."
    variable = os.environ.get(VARIABLE, "")
    if variable and Path(variable) == Path(python):
        return f"Clear the variable {VARIABLE}, or name an interpreter in it that has all packages."
    return SET_IT_UP
