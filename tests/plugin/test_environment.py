"""The compute environment is found in a fixed order, and never taken for whole where it is not."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from in_qgis import unchecked
from qgis.core import QgsProcessingException

from spectrafilm.algorithms.base import SpectraFilmAlgorithm
from spectrafilm.engine.jobs import CheckEnvironment
from spectrafilm.plugin import engine_process, environment, settings
from spectrafilm.plugin.installation import Installation, make_environment
from spectrafilm.ui.options import OptionsPage

pytestmark = pytest.mark.usefixtures("requirements")


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


def test_one_that_is_being_made_is_not_said_to_be_missing(made):
    (made / environment.MARKER).unlink()
    with pytest.raises(QgsProcessingException, match="made is not complete: wait if it is being made just now, or run"):
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


def test_an_environment_is_current_until_the_requirements_change(made, requirements):
    assert environment.is_current(made)
    requirements.write_text("# something else\n")
    assert environment.is_complete(made)
    assert not environment.is_current(made)


def test_a_run_in_an_environment_of_another_version_says_so(made, requirements, feedback, monkeypatch):
    """As after an update of the plugin: what has changed may fail in any way, or give other figures."""
    monkeypatch.setattr(engine_process, "run_job", lambda *_: {})
    SpectraFilmAlgorithm().run_job(CheckEnvironment(), feedback)
    assert not feedback.warnings
    requirements.write_text("# something else\n")
    SpectraFilmAlgorithm().run_job(CheckEnvironment(), feedback)
    (warning,) = feedback.warnings
    assert "made for another version of SpectraFiLM; run 'Set up compute environment'" in warning
    monkeypatch.setenv(environment.VARIABLE, sys.executable)
    SpectraFilmAlgorithm().run_job(CheckEnvironment(), feedback)
    assert len(feedback.warnings) == 1, "of the user's own environment nothing is known"


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
    make_environment(Installation(made), unchecked, feedback)
    environment.mark_complete(made)
    assert environment.is_current(made)


def test_a_folder_that_may_not_be_entered_is_one_sentence(made, feedback, monkeypatch):
    """As one that another user made; a stand-in for that."""
    stat = os.stat

    def refuse(path, *arguments, **options):
        if isinstance(path, (str, Path)) and made in Path(path).parents:
            raise PermissionError(13, "Permission denied", str(path))
        return stat(path, *arguments, **options)

    monkeypatch.setattr(os, "stat", refuse)
    sentence = r"made may not be entered \(Permission denied\); have its permissions changed, or choose another one in"
    with pytest.raises(QgsProcessingException, match=sentence):
        environment.find_python()
    with pytest.raises(QgsProcessingException, match=sentence):
        make_environment(Installation(made), unchecked, feedback)
    assert "may not be entered" in OptionsPage(None).status.text()


def test_a_complete_environment_that_may_not_be_changed_can_be_chosen(made, monkeypatch):
    """As one that an administrator made for all; a stand-in for that."""

    def refuse(path, *_arguments, **_options):
        raise PermissionError(13, "Permission denied", str(path))

    settings.set_environment_folder(made.parent / "none")
    monkeypatch.setattr(Path, "write_text", refuse)
    environment.mark_complete(made)
    assert settings.environment_folder() == made


def test_a_broken_marker_is_no_current_environment(made):
    (made / environment.MARKER).write_text("{")
    assert not environment.is_current(made)
