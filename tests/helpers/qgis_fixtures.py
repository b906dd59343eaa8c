"""Fixtures of every test that runs inside QGIS: the plugin as `qgis_process` loads it."""

from __future__ import annotations

import pytest
from in_qgis import Listener

from spectrafilm.plugin.plugin import SpectraFilmPlugin


@pytest.fixture
def feedback(qgis_app):
    return Listener()


@pytest.fixture
def provider(qgis_app, qgis_processing):
    plugin = SpectraFilmPlugin(None)
    plugin.initProcessing()
    yield plugin.provider
    plugin.unload()
