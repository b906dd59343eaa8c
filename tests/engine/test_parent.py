"""The end of the program that started the engine is noticed, on Windows without a read that waits."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

from spectrafilm.engine import parent

ROOT = Path(__file__).parents[2]


def test_a_closed_pipe_is_noticed():
    code = "from spectrafilm.engine.parent import wait_until_stdin_closes as wait; wait(); print('gone')"
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               env={**os.environ, "PYTHONPATH": str(ROOT / "build" / "plugins")})  # fmt: skip
    time.sleep(0.5)
    assert process.poll() is None
    output, _ = process.communicate(timeout=30)
    assert output.strip() == b"gone"


def test_windows_is_asked_again_and_again_and_nothing_is_read(monkeypatch):
    """Windows itself is faked here: a pipe that is closed when it is asked about for the third time."""
    answers, asked = [1, 1, 0], []

    def peek(pipe, *rest):
        asked.append((pipe.value, rest))
        return answers.pop(0)

    windll = SimpleNamespace(kernel32=SimpleNamespace(PeekNamedPipe=peek))
    monkeypatch.setattr(ctypes, "windll", windll, raising=False)
    monkeypatch.setitem(sys.modules, "msvcrt", SimpleNamespace(get_osfhandle=lambda number: 700 + number))
    monkeypatch.setattr(sys, "stdin", None)
    monkeypatch.setattr(parent, "LOOK_SECONDS", 0.0)
    parent.wait_until_stdin_closes(windows=True)
    assert asked == [(700, (None, 0, None, None, None))] * 3
