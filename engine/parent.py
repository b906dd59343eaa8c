"""Noticing that the program which started this one is gone: standard input closes."""

from __future__ import annotations

import os
import sys
import time

LOOK_SECONDS = 0.1


def wait_until_stdin_closes(windows: bool = os.name == "nt") -> None:
    """Return when the pipe on standard input is closed at its other end."""
    if not windows:
        sys.stdin.read()
        return
    # While a read waits, Windows lets nobody else ask about the pipe, as libraries of numpy do while they are
    # loaded: they would wait for ever (numpy issue 24290). So it is looked at again and again instead.
    import ctypes
    import msvcrt

    pipe = ctypes.c_void_p(msvcrt.get_osfhandle(0))  # type: ignore[attr-defined]
    kernel = ctypes.windll.kernel32  # type: ignore[attr-defined]
    while kernel.PeekNamedPipe(pipe, None, 0, None, None, None):
        time.sleep(LOOK_SECONDS)
