"""The page of options."""

from __future__ import annotations

import processing
from qgis.PyQt.QtWidgets import QLabel

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


def test_sentences_are_broken_where_letters_are_large(qgis_app):
    """A long line would be cut off."""
    page = OptionsPage(None)
    sentences = [label for label in page.findChildren(QLabel) if len(label.text()) > 30]
    assert len(sentences) == 2
    assert all(label.wordWrap() for label in sentences)
