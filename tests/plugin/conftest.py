"""A compute environment that is quick to make."""

from __future__ import annotations

import pytest
from in_qgis import unchecked
from qgis.core import QgsSettings
from qgis_fixtures import feedback, provider  # noqa: F401

from spectrafilm.plugin import environment, installation, settings
from spectrafilm.plugin.installation import Installation, make_environment


@pytest.fixture
def requirements(qgis_app, monkeypatch, tmp_path):
    """No interpreter chosen, no environment made, and a list of requirements that holds nothing."""
    for key in (settings.PYTHON, settings.ENVIRONMENT):
        QgsSettings().remove(key)
    monkeypatch.delenv(environment.VARIABLE, raising=False)
    settings.set_environment_folder(tmp_path / "none")
    file = tmp_path / "requirements.txt"
    file.write_text("# nothing\n")
    for module in (environment, installation):
        monkeypatch.setattr(module, "REQUIREMENTS", file)
    yield file
    for key in (settings.PYTHON, settings.ENVIRONMENT):
        QgsSettings().remove(key)


@pytest.fixture
def made(requirements, tmp_path, feedback):  # noqa: F811
    """A whole environment."""
    folder = tmp_path / "made"
    make_environment(Installation(folder), unchecked, feedback)
    environment.mark_complete(folder)
    return folder
