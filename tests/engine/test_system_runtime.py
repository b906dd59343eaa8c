"""On Windows, which is faked here, torch gets the C++ runtime of the system and not one that lies in QGIS's folder."""

from __future__ import annotations

import ctypes

import pytest

from spectrafilm.engine import runner
from spectrafilm.engine.jobs import CheckEnvironment
from spectrafilm.engine.progress import Progress
from spectrafilm.engine.system_runtime import load_system_runtime


def test_the_interpreter_s_or_the_system_s_is_loaded_on_windows_only(monkeypatch):
    loaded = []
    monkeypatch.setattr(ctypes, "WinDLL", lambda name, winmode: loaded.append((name, winmode)), raising=False)
    load_system_runtime(windows=False)
    assert not loaded
    load_system_runtime(windows=True)
    assert loaded == [("msvcp140.dll", 0xA00)]


def test_where_there_is_none_torch_says_so(monkeypatch):
    def missing(name, winmode):
        raise OSError(126, "The specified module could not be found")

    monkeypatch.setattr(ctypes, "WinDLL", missing, raising=False)
    load_system_runtime(windows=True)


def test_it_is_loaded_before_any_library(monkeypatch):
    order = []

    def find(job):
        order.append("libraries")
        raise StopIteration

    monkeypatch.setattr(runner, "load_system_runtime", lambda: order.append("runtime"))
    monkeypatch.setattr(runner, "_find_task", find)
    with pytest.raises(StopIteration):
        runner.run_job(CheckEnvironment(), Progress())
    assert order == ["runtime", "libraries"]
