"""The compute environment is made without touching QGIS, and never half there."""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path

import pytest
from file_server import serving
from in_qgis import unchecked
from qgis.core import QgsProcessingContext, QgsProcessingException
from qgis.PyQt.QtCore import QLockFile

from spectrafilm.algorithms.setup_environment import SetupEnvironmentAlgorithm
from spectrafilm.engine import partial_outputs
from spectrafilm.plugin import engine_process, environment, installation, settings
from spectrafilm.plugin.installation import Installation, make_environment

pytestmark = pytest.mark.usefixtures("requirements")


def test_what_cannot_be_installed_leaves_nothing(tmp_path, requirements, feedback):
    requirements.write_text("no-such-package==0.0.0\n")
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    with pytest.raises(QgsProcessingException, match="could not be installed; .*no-such-package"):
        make_environment(Installation(tmp_path / "new", wheels=str(wheels)), unchecked, feedback)
    assert not (tmp_path / "new").exists()


def test_an_environment_that_works_outlives_a_rebuild_that_fails(made, tmp_path, requirements, feedback):
    (made / "mine.txt").write_text("x")
    requirements.write_text("no-such-package==0.0.0\n")
    (tmp_path / "wheels").mkdir()
    with pytest.raises(QgsProcessingException, match="could not be installed"):
        make_environment(Installation(made, wheels=str(tmp_path / "wheels")), unchecked, feedback)
    assert (made / "mine.txt").is_file()
    assert environment.find_python() == str(environment.interpreter_of(made))
    requirements.write_text("# nothing\n")

    def broken():
        raise QgsProcessingException("torch computes nonsense")

    with pytest.raises(QgsProcessingException, match="nonsense"):
        make_environment(Installation(made), broken, feedback)
    assert (made / "mine.txt").is_file()
    make_environment(Installation(made), unchecked, feedback)
    assert not (made / "mine.txt").exists()
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("made")] == ["made"]


def test_a_file_is_no_folder_for_an_environment(tmp_path, feedback):
    (tmp_path / "file").write_text("x")
    with pytest.raises(QgsProcessingException, match="is a file; choose a folder"):
        make_environment(Installation(tmp_path / "file"), unchecked, feedback)


def test_a_link_to_a_folder_elsewhere_stays_one(tmp_path, feedback):
    """As where an environment shall lie on a larger disk."""
    link, elsewhere = tmp_path / "link", tmp_path / "elsewhere" / "env"
    elsewhere.mkdir(parents=True)
    link.symlink_to(elsewhere)
    for _ in ("new", "anew"):
        make_environment(Installation(link), unchecked, feedback)
        environment.mark_complete(link)
        assert link.is_symlink()
        assert environment.is_complete(elsewhere)
        assert [path.name for path in elsewhere.parent.iterdir()] == ["env"]


def test_an_empty_folder_that_cannot_be_deleted_is_filled(tmp_path, feedback, monkeypatch):
    """As one that an administrator made for a user, in a folder where only he may write; a stand-in for that."""
    given = tmp_path / "given"
    given.mkdir()
    delete = installation.shutil.rmtree

    def rmtree(folder, ignore_errors):
        for path in folder.iterdir() if folder == given else ():
            delete(path, ignore_errors=True)

    monkeypatch.setattr(installation.shutil, "rmtree", rmtree)
    make_environment(Installation(given), unchecked, feedback)
    assert environment.interpreter_of(given).exists()


def test_a_folder_of_the_users_beside_an_environment_is_left_alone(made, feedback):
    thesis = made.with_name("made.before") / "thesis.txt"
    thesis.parent.mkdir()
    thesis.write_text("x")
    with pytest.raises(QgsProcessingException, match="made.before is in the way"):
        make_environment(Installation(made), unchecked, feedback)
    assert thesis.is_file()
    assert environment.is_complete(made)


def test_a_further_index_is_asked_as_well(tmp_path, requirements, feedback):
    """An index that is a folder of files, as pip takes it."""
    shelf = tmp_path / "index" / "tiny-part"
    shelf.mkdir(parents=True)
    make_wheel(shelf / "tiny_part-1.0-py3-none-any.whl")
    (shelf / "index.html").write_text('<a href="tiny_part-1.0-py3-none-any.whl">tiny_part</a>')
    (tmp_path / "empty" / "tiny-part").mkdir(parents=True)
    (tmp_path / "empty" / "tiny-part" / "index.html").write_text("")
    requirements.write_text("tiny-part==1.0\n")
    addresses = [(tmp_path / name).as_uri() for name in ("empty", "index")]
    make_environment(
        Installation(tmp_path / "new", index=addresses[0], extra_index=addresses[1]), unchecked, feedback)
    assert list((tmp_path / "new").rglob("tiny_part.py"))


def test_wheels_are_installed_without_a_network(tmp_path, requirements, feedback, monkeypatch):
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/nothing")
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    make_wheel(wheels / "tiny_part-1.0-py3-none-any.whl")
    requirements.write_text("tiny-part==1.0\n")
    make_environment(Installation(tmp_path / "new", wheels=str(wheels)), unchecked, feedback)
    assert not (tmp_path / "new" / "temporary").exists()
    site = next((tmp_path / "new").rglob("site-packages"))
    assert (site / "tiny_part.py").is_file()
    assert feedback.positions == sorted(feedback.positions)


def test_where_a_user_has_pip_install_does_not_count(tmp_path, requirements, feedback, monkeypatch):
    monkeypatch.setenv("PIP_USER", "1")
    monkeypatch.setenv("PIP_TARGET", str(tmp_path / "target"))
    make_wheel(tmp_path / "tiny_part-1.0-py3-none-any.whl")
    requirements.write_text("tiny-part==1.0\n")
    make_environment(Installation(tmp_path / "new", wheels=str(tmp_path)), unchecked, feedback)
    assert list((tmp_path / "new").rglob("tiny_part.py"))
    assert not (tmp_path / "target").exists()


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
        make_environment(Installation(tmp_path / "new"), unchecked, feedback)
    assert not (tmp_path / "new").exists()


def test_what_is_fetched_goes_with_a_cancelled_run(tmp_path, requirements, feedback, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "PIP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "usual").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "usual"))
    make_wheel(tmp_path / "tiny_part-1.0-py3-none-any.whl")
    with serving(tmp_path) as server:
        server.break_after, server.stall = 100, True
        requirements.write_text(f"tiny-part @ {server.url}/tiny_part-1.0-py3-none-any.whl\n")

        def cancel():
            while not server.sent:
                time.sleep(0.05)
            time.sleep(0.5)
            feedback.cancel()

        threading.Thread(target=cancel, daemon=True).start()
        with pytest.raises(QgsProcessingException, match="cancelled"):
            make_environment(Installation(tmp_path / "new"), unchecked, feedback)
    assert not list((tmp_path / "usual").iterdir())
    assert not (tmp_path / "new").exists()


def test_a_program_that_the_system_does_not_start_is_one_sentence(tmp_path, feedback):
    """As where rules of an institution let programs run only from some folders."""
    (tmp_path / "python").touch(0o644)
    with pytest.raises(QgsProcessingException, match=r"python cannot be started \(Permission denied\)"):
        installation._run([str(tmp_path / "python")], feedback, (0.0, 4.0), "")


def test_settings_of_qgis_s_own_python_do_not_reach_another(made, feedback, monkeypatch):
    """On Windows QGIS names its interpreter by PYTHONEXECUTABLE, and pip would install into that."""
    python = str(environment.interpreter_of(made))
    monkeypatch.setenv("PYTHONEXECUTABLE", "/usr/bin/python3")
    monkeypatch.setenv("PYTHONHOME", "/nowhere")
    with pytest.raises(QgsProcessingException, match=rf"^Its prefix \({made}\)\.$"):
        installation._run([python, "-c", "import sys; sys.exit(sys.prefix)"], feedback, (0.0, 4.0), "Its prefix")
    assert installation._version_of(python)[0] == sys.version_info[:2]


def test_names_in_a_commands_messages_are_read_as_they_are(feedback, monkeypatch):
    """On Windows Python speaks to a pipe in the code page of the country, for which the variable stands here."""
    monkeypatch.setenv("PYTHONIOENCODING", "cp1252")
    command = [sys.executable, "-c", "import sys; sys.exit('Gro\N{LATIN SMALL LETTER SHARP S} fehlt')"]
    with pytest.raises(QgsProcessingException, match="Groß fehlt"):
        installation._run(command, feedback, (0.0, 4.0), "")


def test_what_a_cancelled_command_has_started_ends_with_it(tmp_path, feedback):
    late = tmp_path / "late"
    child = f"import time; open({str(tmp_path / 'begun')!r}, 'x'); time.sleep(2); open({str(late)!r}, 'x')"
    command = [sys.executable, "-c", f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"]
    threading.Timer(1.0, feedback.cancel).start()
    with pytest.raises(QgsProcessingException, match="cancelled"):
        installation._run(command, feedback, (0.0, 4.0), "")
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
            (folder / installation.BEGUN).unlink(missing_ok=True)  # the others go all the same
            return
        delete(folder, ignore_errors=ignore_errors)

    def broken():
        (made / "held.dll").touch()
        held.append(made)
        raise QgsProcessingException("cancelled")

    (made / "mine.txt").write_text("x")
    delete = installation.shutil.rmtree
    monkeypatch.setattr(installation.shutil, "rmtree", rmtree)
    monkeypatch.setattr(installation, "ATTEMPTS", 3)
    monkeypatch.setattr(partial_outputs, "PAUSE_SECONDS", 0.0)
    with pytest.raises(QgsProcessingException, match="cancelled"):
        make_environment(Installation(made), broken, feedback)
    assert environment.is_complete(made) is (tries == 2)
    assert ((made if tries == 2 else made.with_name("made.before")) / "mine.txt").is_file()
    held.clear()
    make_environment(Installation(made), unchecked, feedback)
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


def test_advice_on_an_environment_that_was_just_made_is_not_to_make_it(tmp_path, feedback):
    """As in a folder from which the system loads no libraries; here for lack of packages."""
    algorithm = SetupEnvironmentAlgorithm()
    algorithm.initAlgorithm()
    with pytest.raises(QgsProcessingException, match=r"is broken .* It was made just now; choose another folder"):
        algorithm.processAlgorithm({"FOLDER": str(tmp_path / "new")}, QgsProcessingContext(), feedback)
    assert not (tmp_path / "new").exists()


def test_an_environment_that_works_no_more_is_made_anew(made, feedback, monkeypatch):
    """As after an update of the system's Python, which leaves its packages behind."""
    (made / "mine.txt").write_text("x")
    run_job = engine_process.run_job

    def works_in_the_end(*arguments):
        return {"device": "the CPU"} if feedback.warnings else run_job(*arguments)

    monkeypatch.setattr(engine_process, "run_job", works_in_the_end)
    algorithm = SetupEnvironmentAlgorithm()
    algorithm.initAlgorithm()
    algorithm.processAlgorithm({"FOLDER": str(made)}, QgsProcessingContext(), feedback)
    (warning,) = feedback.warnings
    assert warning == "The compute environment is broken (No module named 'threadpoolctl'). It is made anew."
    assert not (made / "mine.txt").exists()
    assert environment.is_current(made)


def test_a_folder_with_other_things_in_it_is_left_alone(tmp_path, feedback):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    # As in a user's own environment.
    (tmp_path / "mine" / "pyvenv.cfg").write_text("home = /usr/bin")
    with pytest.raises(QgsProcessingException, match="not empty and no environment made by SpectraFiLM"):
        make_environment(Installation(tmp_path / "mine"), unchecked, feedback)
    assert (tmp_path / "mine" / "thesis.txt").exists()


@pytest.mark.parametrize(("answer", "reason"), [
    ("", "nowhere"), ("linux-x86_64 3 8", r"is 3\.8"), ("win32-AMD64 3 15", r"is 3\.15"),
    ("darwin-x86_64 3 12", "program for Intel"),
])  # fmt: skip
def test_a_base_interpreter_that_will_not_do_is_one_sentence(tmp_path, feedback, answer, reason):
    base = "/nowhere/python3"
    if answer:
        other = tmp_path / "python3"
        other.write_text(f"#!/bin/sh\necho {answer}\n")
        other.chmod(0o755)
        base = str(other)
    with pytest.raises(QgsProcessingException, match=rf"Python 3.10 to 3.14 is needed .*{reason}"):
        make_environment(Installation(tmp_path / "new", base=base), unchecked, feedback)
    assert not (tmp_path / "new").exists()


def test_python_is_found_where_it_is_on_macos(tmp_path, monkeypatch):
    """QGIS's own starts no environment there, and the system's is too old; all of them are faked here."""
    for folder, name, version in (("system", "python3", "9"), ("places", "python3.15", "15"),
                                  ("places", "python3.12", "12"), ("places", "python3.11", "11")):
        fake = tmp_path / folder / name
        fake.parent.mkdir(exist_ok=True)
        fake.write_text(f"#!/bin/sh\necho darwin-arm64 3 {version}\n")
        fake.chmod(0o755)
    monkeypatch.setattr(sys, "executable", "/Applications/QGIS.app/Contents/MacOS/QGIS")
    monkeypatch.setattr(sys, "exec_prefix", "/Applications/QGIS.app/Contents/Frameworks")
    monkeypatch.setenv("PATH", str(tmp_path / "system"))
    monkeypatch.setattr(installation, "PLACES", (str(tmp_path / "places"),))
    assert installation._base_interpreter("") == str(tmp_path / "places" / "python3.12")


def test_python_is_found_where_it_is_on_windows(tmp_path, monkeypatch):
    """QGIS changes the PATH there, and before 3.34 brings a Python that is too old; the system is faked here."""
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "AppData" / "Local"))
    monkeypatch.setenv("PROGRAMFILES", str(tmp_path / "Program Files"))
    local = tmp_path / "AppData" / "Local"
    present = [local / "Python" / "pythoncore-3.14-64", tmp_path / "Program Files" / "Python313",
               local / "Programs" / "Python" / "Python312"]  # fmt: skip
    for folder in (*present, local / "Programs" / "Python" / "Python39"):
        folder.mkdir(parents=True)
        (folder / "python.exe").touch()
    found = [Path(path) for path in installation._installed_versions(windows=True) if Path(path).is_file()]
    assert found == [folder / "python.exe" for folder in present]


def test_a_folder_too_deep_for_windows_is_refused_before_anything_is_fetched(tmp_path, feedback, monkeypatch):
    """Whether long paths are allowed is asked of Windows, which is faked here."""
    monkeypatch.setattr(installation, "_long_paths_allowed", lambda: False)
    installation._check_length(Path(r"C:\Users\mueller\AppData\Local\SpectraFiLM\env"))
    deep = tmp_path / ("a" * 80)
    with pytest.raises(QgsProcessingException, match="too deep for Windows.*at most 69 characters"):
        make_environment(Installation(deep), unchecked, feedback)
    assert not deep.exists()


def test_two_runs_do_not_make_the_same_environment(tmp_path, feedback):
    lock = QLockFile(str(tmp_path / "new.lock"))
    assert lock.tryLock(0)
    begun = tmp_path / "new" / installation.BEGUN
    begun.parent.mkdir()
    begun.touch()
    with pytest.raises(QgsProcessingException, match=r"Another run is making the .*, or delete .*new\.lock"):
        make_environment(Installation(begun.parent), unchecked, feedback)
    lock.unlock()
    assert begun.exists(), "what the other run has made so far"


def test_qgis_itself_is_never_taken_for_python(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "executable", str(tmp_path / "qgis-bin.exe"))
    assert Path(installation._base_interpreter("")).name.startswith("python")
    assert os.access(installation._base_interpreter(""), os.X_OK)
