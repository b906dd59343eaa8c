"""The border from QGIS's side: every way an engine can end becomes results or one clear sentence."""

from __future__ import annotations

import errno
import itertools
import os
import queue
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest
from in_qgis import BUSY, SCENE, fake_engine
from qgis.core import QgsProcessingException

from spectrafilm.engine.jobs import SelectBands, to_json
from spectrafilm.engine.partial_outputs import MARK
from spectrafilm.plugin import settings
from spectrafilm.plugin.engine_process import run_job
from spectrafilm.plugin.scratch import temporary_folder

# A fake engine that has begun to write, as a real one would, under the name that its token decides.
BEGIN = (
    "say(type='hello')\n"
    "job = json.loads(sys.stdin.readline())\n"
    "path = job['parameters']['output']\n"
    f"part = os.path.join(os.path.dirname(path), '{MARK}' + job['token'] + '-' + os.path.basename(path))\n"
    "open(part, 'w').write('half')\n"
)


@pytest.fixture
def job(tmp_path):
    (tmp_path / "out").mkdir()
    return SelectBands(SCENE, str(tmp_path / "out" / "rgb.tif"))


def remains(job):
    return list(Path(job.output).parent.iterdir())


def run(tmp_path, job, body, feedback):
    return run_job(job, fake_engine(tmp_path, body), feedback)


def test_results_messages_and_progress_come_through(tmp_path, job, feedback):
    body = BEGIN + (
        "say(type='info', text='reading')\nsay(type='warning', text='careful')\n"
        "say(type='progress', percent=40.0, until=60.0)\nsay(type='progress', percent=20.0, until=60.0)\n"
        "print('a library speaks', file=sys.stderr)\nsay(type='result', values={'bands': 3})"
    )
    assert run(tmp_path, job, body, feedback) == {"bands": 3}
    assert feedback.infos == ["reading"]
    assert feedback.warnings == ["careful"]
    assert feedback.positions == sorted(feedback.positions)
    assert feedback.positions[-1] == 100
    assert not remains(job)


@pytest.mark.parametrize(
    ("end", "sentence"),
    [
        ("os.kill(os.getpid(), signal.SIGKILL)", "most likely because the memory ran out"),
        ("sys.exit(137)", "most likely because the memory ran out"),
        ("os.kill(os.getpid(), signal.SIGSEGV)", "crashed (signal 11"),
        ("print('Traceback: boom', file=sys.stderr); sys.exit(4)", "crashed (exit status 4; Traceback: boom"),
        ("sys.exit(0)", "crashed (exit status 0"),
        ("print('Loading weights ...')", "not a message of the engine ('Loading weights ...')"),
        ("say(type='progress')", "not a message of the engine"),
        ("print('[1, 2]')", "not a message of the engine"),
        ("sys.stdout.buffer.write(bytes([255, 254, 10]))", "not a message of the engine"),
        ("say(type='error', text='No such band.'); sys.exit(1)", "No such band."),
        ("say(type='result', values={}); sys.exit(1)", "crashed (exit status 1"),
    ],
)
def test_every_bad_end_is_one_sentence_and_leaves_nothing(tmp_path, job, feedback, end, sentence):
    with pytest.raises(QgsProcessingException) as caught:
        run(tmp_path, job, BEGIN + end, feedback)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not remains(job)


@pytest.mark.parametrize(
    "body",
    [
        BEGIN + "time.sleep(60)",
        "time.sleep(60)",
        # One that ignores the closing of its input, and floods its output.
        BEGIN + "while True: say(type='info', text='x' * 100); time.sleep(0.001)",
    ],
)
def test_cancelling_ends_the_engine_within_two_seconds(tmp_path, job, feedback, body):
    canceller = threading.Timer(0.7, feedback.cancel)
    canceller.start()
    started = time.monotonic()
    with pytest.raises(QgsProcessingException, match="cancelled"):
        run(tmp_path, job, body, feedback)
    assert time.monotonic() - started < 0.7 + 2 + BUSY
    assert not remains(job)


def test_a_cancel_that_comes_too_late_does_not_deny_the_results(tmp_path, job, feedback):
    threading.Timer(0.7, feedback.cancel).start()
    body = BEGIN + "sys.stdin.read(); os.rename(part, path); say(type='result', values={})"
    with pytest.raises(QgsProcessingException, match="just after its results had been written"):
        run(tmp_path, job, body, feedback)
    assert remains(job) == [Path(job.output)]


@pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning")
def test_what_is_still_read_when_the_engine_has_ended_is_no_fault(tmp_path, job, feedback, monkeypatch):
    class Slow(queue.Queue):
        def put(self, item):
            time.sleep(0.01)
            super().put(item)

    monkeypatch.setattr(queue, "Queue", Slow)
    threading.Timer(0.7, feedback.cancel).start()
    with pytest.raises(QgsProcessingException, match="cancelled"):
        run(tmp_path, job, BEGIN + "[say(type='info', text='x') for _ in range(300)]; time.sleep(60)", feedback)
    for thread in threading.enumerate():
        if thread.name.endswith("(_listen)"):
            thread.join()


def test_a_long_silent_step_is_seen_to_be_alive(tmp_path, job, feedback):
    body = BEGIN + "say(type='progress', percent=10.0, until=50.0); time.sleep(3); say(type='result', values={})"
    started = time.monotonic()
    seen = []
    feedback.progressChanged.connect(lambda value: seen.append((time.monotonic() - started, value)))
    run(tmp_path, job, body, feedback)
    values = [v for _, v in seen]
    assert values == sorted(set(values))
    assert all(v < 50 for v in values[:-1])
    times = [0.0] + [t for t, _ in seen]
    assert max(b - a for a, b in itertools.pairwise(times)) < 1.0 + BUSY / 4


@pytest.mark.parametrize("name", ["missing/python", ""])
def test_an_interpreter_that_cannot_be_started_is_one_sentence(tmp_path, job, feedback, name):
    python = str(tmp_path / name) if name else str(tmp_path)
    with pytest.raises(QgsProcessingException, match="cannot be started"):
        run_job(job, python, feedback)


def test_an_environment_without_packages_says_what_to_do(tmp_path, job, feedback):
    # QGIS's own Python has no rasterio: a real interpreter, a really broken environment.
    with pytest.raises(QgsProcessingException) as caught:
        run_job(job, sys.executable, feedback)
    assert "environment is broken" in str(caught.value)
    assert "Set up compute environment" in str(caught.value)
    assert not remains(job)


def test_the_advice_fits_who_chose_the_interpreter(tmp_path, job, feedback):
    settings.set_python_interpreter(sys.executable)
    try:
        with pytest.raises(QgsProcessingException, match="Clear Settings > Options > SpectraFiLM"):
            run_job(job, sys.executable, feedback)
    finally:
        settings.set_python_interpreter("")


def test_the_advice_for_one_that_a_variable_names_is_about_the_variable(tmp_path, job, feedback, monkeypatch):
    monkeypatch.setenv("SPECTRAFILM_PYTHON", sys.executable)
    with pytest.raises(QgsProcessingException, match="Clear the variable SPECTRAFILM_PYTHON"):
        run_job(job, sys.executable, feedback)


def test_an_interpreter_that_is_none_says_what_to_do(tmp_path, job, feedback):
    with pytest.raises(QgsProcessingException) as caught:
        run(tmp_path, job, "print('bash: syntax error', file=sys.stderr); sys.exit(2)", feedback)
    assert "is broken (bash: syntax error)" in str(caught.value)


def test_a_missing_windows_library_is_explained(tmp_path, job, feedback):
    with pytest.raises(QgsProcessingException, match=r"Visual C\+\+ Redistributable"):
        run(tmp_path, job, "print('OSError: [WinError 126] c10.dll', file=sys.stderr); sys.exit(1)", feedback)


@pytest.mark.parametrize("error", [
    "OSError: [WinError 4551] c10.dll",
    "ImportError: DLL load failed while importing _C: An Application Control policy has blocked this file.",
])
def test_a_library_that_windows_blocks_is_explained(tmp_path, job, feedback, error):
    with pytest.raises(QgsProcessingException, match="Smart App Control"):
        run(tmp_path, job, f"print({error!r}, file=sys.stderr); sys.exit(1)", feedback)


def test_settings_of_qgis_do_not_reach_the_engine(tmp_path, job, feedback, monkeypatch):
    for name in ("PYTHONHOME", "GDAL_DATA", "PROJ_LIB", "MPLBACKEND"):
        monkeypatch.setenv(name, "/wrong")
    body = BEGIN + "say(type='result', values={k: v for k, v in os.environ.items() if v == '/wrong'})"
    # The fake is started by its own interpreter, which a wrong PYTHONHOME would keep from starting at all.
    assert run(tmp_path, job, body, feedback) == {}


def test_how_a_user_reaches_servers_does(tmp_path, job, feedback, monkeypatch):
    network = ("GDAL_HTTP_PROXY", "GDAL_HTTP_HEADERS", "CPL_VSIL_CURL_USE_HEAD")
    for name in network:
        monkeypatch.setenv(name, "the user's")
    body = BEGIN + 'say(type="result", values={k: v for k, v in os.environ.items() if v == "the user\'s"})'
    assert sorted(run(tmp_path, job, body, feedback)) == sorted(network)


def test_temporary_files_of_a_killed_engine_are_removed(tmp_path, job, feedback):
    body = BEGIN + "say(type='info', text=os.environ['TMPDIR']); os.kill(os.getpid(), signal.SIGKILL)"
    with pytest.raises(QgsProcessingException):
        run(tmp_path, job, body, feedback)
    assert not Path(feedback.infos[0]).exists()


def test_no_folder_for_temporary_files_is_one_sentence(tmp_path, job, feedback, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    with pytest.raises(QgsProcessingException, match=r"cannot be written to .*gone \(No such file .*\); make room"):
        run(tmp_path, job, "", feedback)


def test_no_room_for_temporary_files_is_one_sentence_and_leaves_none(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(QgsProcessingException, match="No space left"), temporary_folder() as folder:
        (folder / "begun").touch()
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with pytest.raises(PermissionError), temporary_folder():
        raise PermissionError("of something else")
    assert not list(tmp_path.iterdir())


def test_the_real_engine_answers(job, feedback):
    from in_qgis import engine_python

    values = run_job(job, engine_python(), feedback)
    assert len(values["bands"]) == 3
    assert Path(job.output).is_file()


def test_jobs_are_one_line():
    assert "\n" not in to_json(SelectBands("a\nb", "c"))
