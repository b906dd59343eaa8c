"""The sample scene's model, trained once for all tests of the algorithms."""

from __future__ import annotations

import processing
import pytest
from in_qgis import TRAIN, Listener
from qgis_fixtures import feedback, provider  # noqa: F401


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """Results of training on the sample scene, and what its feedback heard."""
    from spectrafilm.plugin.plugin import SpectraFilmPlugin

    plugin = SpectraFilmPlugin(None)
    plugin.initProcessing()
    listener = Listener()
    folder = tmp_path_factory.mktemp("trained")
    outputs = {"MODEL": str(folder / "model.safetensors"), "REPORT": str(folder / "training.html")}
    results = processing.run("spectrafilm:trainfilm", {**TRAIN, **outputs}, feedback=listener)
    plugin.unload()
    return results, listener


@pytest.fixture
def run(provider, feedback):  # noqa: F811
    return lambda name, parameters: processing.run(f"spectrafilm:{name}", parameters, feedback=feedback)
