"""The engine's side of the border: messages only, whatever libraries print, and an end when it is cancelled."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import MISSING, fields
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from synthetic import CRS, HEIGHT, QUARTERS, TRANSFORM, WIDTH

from spectrafilm.engine import protocol, runner
from spectrafilm.engine.jobs import JOBS, AssessAccuracy, PredictMap, SelectBands, TrainFilm, from_json, to_json
from spectrafilm.engine.map_style import style_map
from spectrafilm.engine.outputs import Outputs
from spectrafilm.engine.partial_outputs import PUBLISHED, SCRATCH
from spectrafilm.engine.polygons import make_classes
from spectrafilm.engine.progress import Progress, Recorder
from spectrafilm.engine.protocol import _is_lack_of_memory

ROOT = Path(__file__).parents[2]


class Engine:
    """The engine as the plugin starts it."""

    def __init__(self) -> None:
        self.process = subprocess.Popen([sys.executable, "-I", "-u", str(ROOT / "engine" / "launch.py"), "serve"],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                        text=True)  # fmt: skip

    def send(self, text: str) -> None:
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()

    def messages(self) -> list[dict]:
        """All messages until its end."""
        return [json.loads(line) for line in self.process.stdout]


@pytest.fixture
def engine():
    engine = Engine()
    yield engine
    engine.process.kill()
    engine.process.wait()


def test_a_job_answers_in_messages(engine, scene_path, tmp_path):
    engine.send(to_json(SelectBands(str(scene_path), str(tmp_path / "rgb.tif"))))
    messages = engine.messages()
    kinds = [m["type"] for m in messages]
    assert kinds[0] == "hello"
    assert kinds[-1] == "result"
    percents = [m["percent"] for m in messages if m["type"] == "progress"]
    assert percents == sorted(percents)
    assert percents[-1] == 100
    assert engine.process.wait() == 0
    assert (tmp_path / "rgb.tif").exists()


def test_an_error_is_one_message_and_a_non_zero_end(engine, tmp_path):
    engine.send(to_json(SelectBands(str(tmp_path / "none.tif"), str(tmp_path / "rgb.tif"))))
    messages = engine.messages()
    assert messages[-1]["type"] == "error"
    assert "does not exist" in messages[-1]["text"]
    assert engine.process.wait() == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("text", ["", "{", '{"job": "dance", "parameters": {}, "token": ""}', "[]",
                                  '{"job": "selectbands", "parameters": {"nonsense": 1}, "token": ""}'])  # fmt: skip
def test_what_is_no_job_is_one_message(engine, text):
    engine.send(text)
    messages = engine.messages()
    assert [m["type"] for m in messages] == ["hello", "error"]
    assert "if the plugin was just updated, start QGIS anew" in messages[-1]["text"]
    assert engine.process.wait() == 1


def test_the_end_does_not_wait_until_libraries_are_taken_down(tmp_path):
    """As torch takes seconds for."""
    code = (
        "import atexit, sys, time; atexit.register(time.sleep, 60)\n"
        "from spectrafilm.engine.__main__ import main; sys.argv[1:] = ['serve']; main()"
    )
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    done = subprocess.run([sys.executable, "-c", code], input="no job\n", capture_output=True, text=True, timeout=30,
                          check=False, env={**os.environ, "PYTHONPATH": str(ROOT / "build" / "plugins"),
                                            SCRATCH: str(scratch)})  # fmt: skip
    assert done.returncode == 1
    assert [json.loads(line)["type"] for line in done.stdout.splitlines()] == ["hello", "error"]
    assert not scratch.exists()


def test_what_libraries_print_does_not_reach_the_stream(tmp_path):
    code = (
        "from spectrafilm.engine import protocol\n"
        "stream = protocol._claim_stdout()\n"
        "print('a library speaks'); import os; os.system('echo a child speaks')\n"
        "protocol.MessageStream(stream).info('ours')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True,
                          env={**os.environ, "PYTHONPATH": str(ROOT / "build" / "plugins")})  # fmt: skip
    assert [json.loads(line) for line in done.stdout.splitlines()] == [{"type": "info", "text": "ours"}]
    assert "a library speaks" in done.stderr
    assert "a child speaks" in done.stderr


def test_bands_are_selected_and_maps_assessed_without_loading_torch(scene_path, polygons_path, tmp_path):
    land_cover = tmp_path / "map.tif"
    with rasterio.open(land_cover, "w", driver="GTiff", width=WIDTH, height=HEIGHT, count=1, dtype="uint8", crs=CRS,
                       transform=TRANSFORM) as dataset:  # fmt: skip
        style_map(dataset, make_classes(list(QUARTERS)))
        dataset.write(np.ones((HEIGHT, WIDTH), np.uint8), 1)
    jobs = [
        SelectBands(str(scene_path), str(tmp_path / "rgb.tif")),
        AssessAccuracy(str(land_cover), str(polygons_path), str(tmp_path / "report.html"), reference_crs=CRS),
    ]
    assert loaded_by(jobs) == set()


def test_a_method_without_features_maps_without_loading_diffusers(scene_path, polygons_path, tmp_path):
    model = str(tmp_path / "m.safetensors")
    runner.run_job(TrainFilm(str(scene_path), str(polygons_path), model, polygons_crs="EPSG:32633", method="spectral",
                             validate=False), Recorder())  # fmt: skip
    assert loaded_by([PredictMap(str(scene_path), model, str(tmp_path / "map.tif"))]) == {"torch"}


def loaded_by(jobs):
    """Which of the heavy libraries some jobs load."""
    code = f"""
import sys
from spectrafilm.engine.jobs import AssessAccuracy, PredictMap, SelectBands
from spectrafilm.engine.progress import Recorder
from spectrafilm.engine.runner import run_job
for job in {jobs!r}:
    run_job(job, Recorder())
print(*{{"torch", "diffusers"}} & sys.modules.keys())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True,
                          env={**os.environ, "PYTHONPATH": str(ROOT / "build" / "plugins")})  # fmt: skip
    return set(done.stdout.split())


def test_closing_the_input_ends_the_engine_within_two_seconds(engine, scene_path, polygons_path, tmp_path):
    job = TrainFilm(str(scene_path), str(polygons_path), str(tmp_path / "m.safetensors"), polygons_crs="EPSG:32633")
    engine.send(to_json(job, "token"))
    for line in engine.process.stdout:
        if "Training" in line or "Features of" in line:
            break
    started = time.monotonic()
    engine.process.stdin.close()
    status = engine.process.wait(60)
    # Two seconds, and four more for a busy machine; the work would take far longer.
    assert time.monotonic() - started < 6
    assert status == 3
    assert not list(tmp_path.iterdir())


def test_a_cancel_waits_until_all_outputs_have_their_names(monkeypatch, tmp_path):
    """Otherwise new files would lie beside old ones. It is too late then: the run ends as it would have."""
    replace, interrupted, ended, meanwhile = os.replace, threading.Event(), threading.Event(), []
    job = SelectBands("s.tif", str(tmp_path / "a"))
    PUBLISHED.clear()
    monkeypatch.setattr(protocol, "wait_until_stdin_closes", lambda: None)
    monkeypatch.setattr(protocol, "GRACE_SECONDS", 0.0)
    monkeypatch.setattr(protocol._thread, "interrupt_main", interrupted.set)
    monkeypatch.setattr(os, "_exit", lambda _status: ended.set())

    def replace_and_cancel(part, target):
        replace(part, target)
        if not meanwhile:
            protocol._stop_when_stdin_closes(job, "t")
        meanwhile.append(interrupted.wait(0.2))

    monkeypatch.setattr(os, "replace", replace_and_cancel)
    with Outputs((), "t") as outputs:
        for name in ("a", "b"):
            outputs.reserve(str(tmp_path / name)).write_text("new")
    assert meanwhile == [False, False]
    assert not interrupted.wait(0.2)
    assert not ended.is_set()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "b"]


@pytest.mark.parametrize("kind", JOBS.values(), ids=JOBS)
def test_jobs_survive_the_way_across(kind):
    required = {f.name: f"a {f.name}" for f in fields(kind) if f.default is MISSING}
    job = kind(**required)
    assert from_json(to_json(job, "abc")) == (job, "abc")
    assert set(job.outputs()) <= set(required.values()) | {""}


def test_stages_nest_and_progress_never_moves_back():
    recorder = Recorder()
    with recorder.stage(0.2, 0.6):
        recorder.set(0.5)
        with recorder.stage(0.5, 1.0):
            recorder.set(0.5)
        recorder.set(0.1)
    list(recorder.track([1, 2]))
    assert recorder.positions == pytest.approx([0.2, 0.4, 0.4, 0.5, 0.6, 0.6, 0.6, 0.6, 1.0])


def test_a_silent_progress_keeps_warnings_for_the_report():
    progress = Progress()
    progress.warning("take care")
    assert progress.warnings == ["take care"]


def test_lack_of_memory_is_known_by_all_its_names():
    assert _is_lack_of_memory(MemoryError())
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60)
    assert _is_lack_of_memory(caught.value)
    assert _is_lack_of_memory(torch.OutOfMemoryError("CUDA out of memory"))
    assert _is_lack_of_memory(RuntimeError("MPS backend out of memory (MPS allocated: 9.00 GB)"))
    assert not _is_lack_of_memory(ValueError("out of memory"))
    assert not _is_lack_of_memory(RuntimeError("a fault of ours"))
    assert _is_lack_of_memory(windows_error(1455))
    assert not _is_lack_of_memory(windows_error(126))


def windows_error(number):
    """As torch raises it where Windows does not load one of its libraries."""
    error = OSError(f"[WinError {number}] c10.dll")
    error.winerror = number
    return error


@pytest.mark.parametrize("error", [ImportError("no torch"), windows_error(126), windows_error(1114),
                                   windows_error(4551)])  # fmt: skip
def test_a_library_that_does_not_load_is_a_matter_of_the_environment(monkeypatch, error):
    text = f"The compute environment is broken ({error})."
    assert answer_to(error, monkeypatch) == {"type": "error", "text": text, "environment": True}


def test_a_fault_of_ours_is_one_line_whatever_a_library_says(monkeypatch):
    said = "incompatible arguments:\n  1. (self: str)" + 99 * "\n  #0 0x7f in libtorch.so"
    text = answer_to(TypeError(said), monkeypatch)["text"]
    assert text.startswith("The engine failed unexpectedly (TypeError: incompatible arguments: 1. (self: str) #0")
    assert "\n" not in text and len(text) < 300


def answer_to(error, monkeypatch):
    """The engine's last message of a job that raises an error."""

    def run_job(*_):
        raise error

    stream = io.StringIO()
    monkeypatch.setattr(protocol, "_claim_stdout", lambda: stream)
    monkeypatch.setattr(protocol, "_stop_when_stdin_closes", lambda *_: None)
    monkeypatch.setattr(protocol.atexit, "register", lambda _: None)
    monkeypatch.setattr(sys, "stdin", io.StringIO(to_json(SelectBands("s.tif", "r.tif"))))
    monkeypatch.setattr(runner, "run_job", run_job)
    assert protocol.serve() == 1
    return json.loads(stream.getvalue().splitlines()[-1])


def test_an_environment_whose_numpy_does_not_load_is_one_sentence(tmp_path):
    """A stand-in for numpy that fails as it does where a library of its own is missing."""
    (tmp_path / "numpy.py").write_text(r"raise ImportError('\nPlease read this:\n') from ImportError('no umath')")
    program = "import sys; sys.path.insert(0, sys.argv[1]); from spectrafilm.engine.protocol import serve; serve()"
    command = [sys.executable, "-c", program, str(tmp_path)]
    variables = {**os.environ, "PYTHONPATH": str(ROOT / "build" / "plugins")}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=variables) as process:
        process.stdin.write(to_json(SelectBands("s.tif", "r.tif")) + "\n")
        process.stdin.flush()
        message = json.loads(process.stdout.readlines()[-1])
    assert message["text"] == "The compute environment is broken (no umath)."
