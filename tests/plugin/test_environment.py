"""The compute environment is found in a fixed order, made without touching QGIS, and never half there."""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path

import pytest
from qgis.core import QgsProcessingContext, QgsProcessingException, QgsSettings
from qgis.PyQt.QtCore import QLockFile

from spectrafilm.algorithms.setup_environment import SetupEnvironmentAlgorithm
from spectrafilm.engine import partial_outputs
from spectrafilm.plugin import engine_process, environment, settings
from spectrafilm.plugin.environment import Installation


@pytest.fixture(autouse=True)
def clean(qgis_app, monkeypatch, tmp_path):
    """No interpreter chosen, no environment made, and a list of requirements that is quick to install."""
    for key in (settings.PYTHON, settings.ENVIRONMENT):
        QgsSettings().remove(key)
    monkeypatch.delenv(environment.VARIABLE, raising=False)
    settings.set_environment_folder(tmp_path / "none")
    requirements = tmp_path / "requirements.txt"
    requirements.write_text("# nothing\n")
    monkeypatch.setattr(environment, "REQUIREMENTS", requirements)
    yield requirements
    for key in (settings.PYTHON, settings.ENVIRONMENT):
        QgsSettings().remove(key)


def unchecked():
    """No proof is asked of environments that hold nothing."""


@pytest.fixture
def made(tmp_path, feedback):
    folder = tmp_path / "made"
    environment.create(Installation(folder), unchecked, feedback)
    environment.mark_complete(folder)
    return folder


def test_the_setting_goes_before_the_variable_before_the_own_environment(made, tmp_path, monkeypatch):
    assert environment.find_python() == str(environment.interpreter_of(made))
    other = tmp_path / "python-of-the-variable"
    other.symlink_to(sys.executable)
    monkeypatch.setenv(environment.VARIABLE, str(other))
    assert environment.find_python() == str(other)
    # As Windows copies a path.
    settings.set_python_interpreter(f'"{sys.executable}"')
    assert environment.find_python() == sys.executable


def test_without_any_the_sentence_says_what_to_do():
    with pytest.raises(QgsProcessingException, match="run 'Set up compute environment'"):
        environment.find_python()


@pytest.mark.parametrize("where", ["setting", "variable"])
def test_an_interpreter_that_does_not_exist_is_named_with_its_origin(monkeypatch, where):
    if where == "setting":
        settings.set_python_interpreter("/nowhere/python")
    else:
        monkeypatch.setenv(environment.VARIABLE, "/nowhere/python")
    with pytest.raises(QgsProcessingException) as caught:
        environment.find_python()
    origin = "Settings > Options > SpectraFiLM" if where == "setting" else "SPECTRAFILM_PYTHON"
    assert "/nowhere/python" in str(caught.value)
    # Where an interpreter is named, an environment made now would not be used.
    assert f"{origin}, is no program that exists; name another there, or none" in str(caught.value)


def test_an_interpreter_whose_name_no_file_can_have_is_no_program(monkeypatch):
    monkeypatch.setenv(environment.VARIABLE, "/" + "x" * 300)
    with pytest.raises(QgsProcessingException, match="is no program that exists"):
        environment.find_python()


def test_an_environment_is_current_until_the_requirements_change(made, clean):
    assert environment.is_current(made)
    clean.write_text("# something else\n")
    assert environment.is_complete(made)
    assert not environment.is_current(made)


def test_without_the_python_it_was_made_from_it_is_made_anew(made, tmp_path, feedback):
    """As after an update of QGIS on Windows, where the interpreter of an environment is no link."""
    config, interpreter = made / "pyvenv.cfg", environment.interpreter_of(made)
    interpreter.unlink()
    interpreter.write_text("No Python at 'C:\\QGIS 3.34\\python.exe'")
    assert environment.is_current(made)
    lines = config.read_text().splitlines()
    config.write_text("\n".join(f"home = {tmp_path / 'gone'}" if li.startswith("home") else li for li in lines))
    assert not environment.is_current(made)
    with pytest.raises(QgsProcessingException, match="run 'Set up compute environment'"):
        environment.find_python()
    environment.create(Installation(made), unchecked, feedback)
    environment.mark_complete(made)
    assert environment.is_current(made)


def test_a_broken_marker_is_no_current_environment(made):
    (made / environment.MARKER).write_text("{")
    assert not environment.is_current(made)


def test_what_cannot_be_installed_leaves_nothing(tmp_path, clean, feedback):
    clean.write_text("no-such-package==0.0.0\n")
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    with pytest.raises(QgsProcessingException, match="could not be installed; .*no-such-package"):
        environment.create(Installation(tmp_path / "new", wheels=str(wheels)), unchecked, feedback)
    assert not (tmp_path / "new").exists()


def test_an_environment_that_works_outlives_a_rebuild_that_fails(made, tmp_path, clean, feedback):
    (made / "mine.txt").write_text("x")
    clean.write_text("no-such-package==0.0.0\n")
    (tmp_path / "wheels").mkdir()
    with pytest.raises(QgsProcessingException, match="could not be installed"):
        environment.create(Installation(made, wheels=str(tmp_path / "wheels")), unchecked, feedback)
    assert (made / "mine.txt").is_file()
    assert environment.find_python() == str(environment.interpreter_of(made))
    clean.write_text("# nothing\n")

    def broken():
        raise QgsProcessingException("torch computes nonsense")

    with pytest.raises(QgsProcessingException, match="nonsense"):
        environment.create(Installation(made), broken, feedback)
    assert (made / "mine.txt").is_file()
    environment.create(Installation(made), unchecked, feedback)
    assert not (made / "mine.txt").exists()
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("made")] == ["made"]


def test_a_file_is_no_folder_for_an_environment(tmp_path, feedback):
    (tmp_path / "file").write_text("x")
    with pytest.raises(QgsProcessingException, match="is a file; choose a folder"):
        environment.create(Installation(tmp_path / "file"), unchecked, feedback)


def test_a_folder_of_the_users_beside_an_environment_is_left_alone(made, feedback):
    thesis = made.with_name("made.before") / "thesis.txt"
    thesis.parent.mkdir()
    thesis.write_text("x")
    with pytest.raises(QgsProcessingException, match="made.before is in the way"):
        environment.create(Installation(made), unchecked, feedback)
    assert thesis.is_file()
    assert environment.is_complete(made)


def test_a_further_index_is_asked_as_well(tmp_path, clean, feedback):
    """An index that is a folder of files, as pip takes it."""
    shelf = tmp_path / "index" / "tiny-part"
    shelf.mkdir(parents=True)
    make_wheel(shelf / "tiny_part-1.0-py3-none-any.whl")
    (shelf / "index.html").write_text('<a href="tiny_part-1.0-py3-none-any.whl">tiny_part</a>')
    (tmp_path / "empty" / "tiny-part").mkdir(parents=True)
    (tmp_path / "empty" / "tiny-part" / "index.html").write_text("")
    clean.write_text("tiny-part==1.0\n")
    addresses = [(tmp_path / name).as_uri() for name in ("empty", "index")]
    installation = Installation(tmp_path / "new", index=addresses[0], extra_index=addresses[1])
    environment.create(installation, unchecked, feedback)
    assert list((tmp_path / "new").rglob("tiny_part.py"))


def test_wheels_are_installed_without_a_network(tmp_path, clean, feedback, monkeypatch):
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/nothing")
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    make_wheel(wheels / "tiny_part-1.0-py3-none-any.whl")
    clean.write_text("tiny-part==1.0\n")
    environment.create(Installation(tmp_path / "new", wheels=str(wheels)), unchecked, feedback)
    site = next((tmp_path / "new").rglob("site-packages"))
    assert (site / "tiny_part.py").is_file()
    assert feedback.positions == sorted(feedback.positions)


def make_wheel(path):
    """The smallest wheel there is."""
    import zipfile

    info = "tiny_part-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr("tiny_part.py", "")
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: tiny-part\nVersion: 1.0\n")
        tags = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        wheel.writestr(f"{info}/WHEEL", tags)
        wheel.writestr(f"{info}/RECORD", f"tiny_part.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n")


def test_cancelling_leaves_nothing(tmp_path, feedback):
    canceller = threading.Timer(0.5, feedback.cancel)
    canceller.start()
    with pytest.raises(QgsProcessingException, match="cancelled"):
        environment.create(Installation(tmp_path / "new"), unchecked, feedback)
    assert not (tmp_path / "new").exists()


def test_what_a_cancelled_command_has_started_ends_with_it(tmp_path, feedback):
    late = tmp_path / "late"
    child = f"import time; open({str(tmp_path / 'begun')!r}, 'x'); time.sleep(2); open({str(late)!r}, 'x')"
    command = [sys.executable, "-c", f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"]
    threading.Timer(1.0, feedback.cancel).start()
    with pytest.raises(QgsProcessingException, match="cancelled"):
        environment._run(command, feedback, (0.0, 4.0), "")
    assert (tmp_path / "begun").exists()
    time.sleep(2)
    assert not late.exists()


@pytest.mark.parametrize("tries", [2, 99])
def test_files_that_are_held_a_little_longer_do_not_spoil_a_later_run(made, tmp_path, feedback, monkeypatch, tries):
    """On Windows a process that was ended may hold files, which cannot be deleted then; a stand-in for that."""
    held = []

    def rmtree(folder, ignore_errors):
        if folder == made and held and len(held) < tries:
            held.append(folder)
            (folder / environment.BEGUN).unlink(missing_ok=True)  # the others go all the same
            return
        delete(folder, ignore_errors=ignore_errors)

    def broken():
        (made / "held.dll").touch()
        held.append(made)
        raise QgsProcessingException("cancelled")

    (made / "mine.txt").write_text("x")
    delete = environment.shutil.rmtree
    monkeypatch.setattr(environment.shutil, "rmtree", rmtree)
    monkeypatch.setattr(environment, "ATTEMPTS", 3)
    monkeypatch.setattr(partial_outputs, "PAUSE_SECONDS", 0.0)
    with pytest.raises(QgsProcessingException, match="cancelled"):
        environment.create(Installation(made), broken, feedback)
    assert environment.is_complete(made) is (tries == 2)
    assert ((made if tries == 2 else made.with_name("made.before")) / "mine.txt").is_file()
    held.clear()
    environment.create(Installation(made), unchecked, feedback)
    assert not (made / "held.dll").exists()


def test_an_interpreter_of_its_own_may_be_chosen_and_checked(made, feedback, monkeypatch):
    """Dialogs give paths with slashes of their own."""
    python = environment.interpreter_of(made)
    settings.set_python_interpreter(f"{made}//{python.relative_to(made)}")
    monkeypatch.setattr(engine_process, "run_job", lambda *_: {"device": "the CPU"})
    algorithm = SetupEnvironmentAlgorithm()
    algorithm.initAlgorithm()
    values = algorithm.processAlgorithm({"FOLDER": str(made)}, QgsProcessingContext(), feedback)
    assert values == {"PYTHON": str(python)}


def test_a_folder_with_other_things_in_it_is_left_alone(tmp_path, feedback):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    # As in a user's own environment.
    (tmp_path / "mine" / "pyvenv.cfg").write_text("home = /usr/bin")
    with pytest.raises(QgsProcessingException, match="not empty and no environment made by SpectraFiLM"):
        environment.create(Installation(tmp_path / "mine"), unchecked, feedback)
    assert (tmp_path / "mine" / "thesis.txt").exists()


@pytest.mark.parametrize(("answer", "reason"), [
    ("", "nowhere"), ("linux-x86_64 3 8", r"is 3\.8"), ("darwin-x86_64 3 12", "made for Intel"),
])  # fmt: skip
def test_a_base_interpreter_that_will_not_do_is_one_sentence(tmp_path, feedback, answer, reason):
    base = "/nowhere/python3"
    if answer:
        other = tmp_path / "python3"
        other.write_text(f"#!/bin/sh\necho {answer}\n")
        other.chmod(0o755)
        base = str(other)
    with pytest.raises(QgsProcessingException, match=rf"Python 3.10 or newer is needed .*{reason}"):
        environment.create(Installation(tmp_path / "new", base=base), unchecked, feedback)
    assert not (tmp_path / "new").exists()


def test_a_folder_too_deep_for_windows_is_refused_before_anything_is_fetched(tmp_path, feedback, monkeypatch):
    """Whether long paths are allowed is asked of Windows, which is faked here."""
    monkeypatch.setattr(environment, "_long_paths_allowed", lambda: False)
    environment._check_length(Path(r"C:\Users\mueller\AppData\Local\SpectraFiLM\env"))
    deep = tmp_path / ("a" * 80)
    with pytest.raises(QgsProcessingException, match="too deep for Windows.*at most 69 characters"):
        environment.create(Installation(deep), unchecked, feedback)
    assert not deep.exists()


def test_two_runs_do_not_make_the_same_environment(tmp_path, feedback):
    lock = QLockFile(str(tmp_path / "new.lock"))
    assert lock.tryLock(0)
    begun = tmp_path / "new" / environment.BEGUN
    begun.parent.mkdir()
    begun.touch()
    with pytest.raises(QgsProcessingException, match="Another run is making the environment"):
        environment.create(Installation(begun.parent), unchecked, feedback)
    lock.unlock()
    assert begun.exists(), "what the other run has made so far"


def test_qgis_itself_is_never_taken_for_python(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "executable", str(tmp_path / "qgis-bin.exe"))
    assert Path(environment._base_interpreter("")).name.startswith("python")
    assert os.access(environment._base_interpreter(""), os.X_OK)
