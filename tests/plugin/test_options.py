"""The page of options."""

from __future__ import annotations

import processing

from spectrafilm.plugin import settings
from spectrafilm.ui.options import OptionsPage


def test_an_interpreter_that_was_just_cleared_does_not_hinder_the_set_up(qgis_app, qgis_processing, monkeypatch):
    settings.set_python_interpreter("/nowhere/python")
    named = []
    monkeypatch.setattr(
        processing, "execAlgorithmDialog", lambda *_: named.append(settings.python_interpreter()), raising=False
    )
    page = OptionsPage(None)
    try:
        page.interpreter.setFilePath("")
        page._set_up()
    finally:
        settings.set_python_interpreter("")
    assert named == [""]
