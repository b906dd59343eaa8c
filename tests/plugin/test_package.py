"""What QGIS and the plugin repository look at before anything runs."""

from __future__ import annotations

import ast
import re
import sys
from configparser import ConfigParser

import pytest
from in_qgis import ROOT

REQUIREMENTS = (ROOT / "resources" / "requirements.txt").read_text().splitlines()
ENGINE_PACKAGES = {re.match(r"[a-z0-9-]+", line)[0] for line in REQUIREMENTS if not line.startswith("#")}
ENGINE_PACKAGES = ENGINE_PACKAGES - {"scikit-learn"} | {"sklearn"}
HALVES = {"plugin": ROOT / "plugin", "algorithms": ROOT / "algorithms", "ui": ROOT / "ui"}
SHARED = {"jobs", "partial_outputs", "backbone_registry", "class_colours"}


def modules_of(path):
    """Every absolute or relative module that a file imports."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield "." * node.level + (node.module or "")


def test_metadata_is_complete():
    parser = ConfigParser(interpolation=None)
    parser.read(ROOT / "metadata.txt", encoding="utf-8")
    general = parser["general"]
    for key in ("name", "description", "about", "version", "author", "email", "tags", "icon", "tracker", "repository"):
        assert general[key]
    assert "torch" in general["about"]
    assert general["hasProcessingProvider"] == "yes"
    assert (general["qgisMinimumVersion"], general["qgisMaximumVersion"]) == ("3.22", "4.99")
    assert "supportsQt6" not in general
    assert (ROOT / general["icon"]).is_file()
    assert (ROOT / "LICENSE").read_text().lstrip().startswith("GNU GENERAL PUBLIC LICENSE")
    assert f"## {general['version']}" in (ROOT / "CHANGELOG.md").read_text()


@pytest.mark.parametrize("path", [p for half in HALVES.values() for p in half.glob("*.py")], ids=lambda p: p.stem)
def test_the_qgis_half_imports_no_engine_package(path):
    for module in modules_of(path):
        assert module.split(".")[0] not in ENGINE_PACKAGES
        if module.startswith("..engine"):
            assert module.removeprefix("..engine.") in SHARED
        assert not module.startswith(("PyQt5", "PyQt6"))


@pytest.mark.parametrize("path", sorted((ROOT / "engine").rglob("*.py")), ids=lambda p: p.stem)
def test_the_engine_imports_no_qgis(path):
    assert not [m for m in modules_of(path) if m.split(".")[0] in ("qgis", "processing", "osgeo")]


@pytest.mark.parametrize("name", sorted(SHARED))
def test_what_both_halves_share_needs_the_standard_library_only(name):
    for module in modules_of(ROOT / "engine" / f"{name}.py"):
        assert module.split(".")[0] in sys.stdlib_module_names


def test_loading_the_plugin_loads_no_engine_package(provider):
    heavy = ENGINE_PACKAGES - {"numpy"}  # QGIS itself brings numpy
    assert not heavy & {name.split(".")[0] for name in sys.modules}
