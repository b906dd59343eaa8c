"""The toolbox: ids and keys that scripts rely on, help everywhere, models that hold together."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from qgis.core import (
    QgsApplication,
    QgsProcessingContext,
    QgsProcessingModelAlgorithm,
    QgsProcessingParameterDefinition,
    QgsProcessingParameterField,
)
from qgis.PyQt.QtCore import QUrl

KEYS = {
    "importscene": (["INPUT"], ["OUTPUT"]),
    "makelabels": (["INPUT", "CLASSES"], ["OUTPUT"]),
    "selectbands": (["INPUT", "METHOD", "BANDS", "STRETCH_LOW", "STRETCH_HIGH"], ["OUTPUT"]),
    "extractfeatures": (
        ["INPUT", "BACKBONE", "COMPOSITES", "LAYERS", "TIMESTEPS", "STRIDE", "DEVICE", "SEED"], ["OUTPUT"]),
    "pretrainscene": (
        ["INPUT", "METHOD", "CUBES", "POSITIONS", "WIDTH", "DEVICE", "SEED"], ["OUTPUT", "REPORT", "HELD_OUT_LOSS"]),
    "analysefeatures": (
        ["INPUT", "POLYGONS", "CLASS_FIELD", "BACKBONE", "COMPOSITES", "LAYERS", "TIMESTEPS", "DEVICE", "SEED"],
        ["REPORT", "BEST_LAYERS", "BEST_TIMESTEPS", "OVERALL_ACCURACY", "AVERAGE_ACCURACY", "KAPPA"]),
    "trainfilm": (
        ["INPUT", "POLYGONS", "CLASS_FIELD", "METHOD", "FEATURES", "BACKBONE", "COMPOSITES", "LAYERS", "TIMESTEPS",
         "ANALYSIS", "ANALYSE", "DEVICE", "SEED"],
        ["MODEL", "REPORT", "OVERALL_ACCURACY", "OVERALL_ACCURACY_LOW", "OVERALL_ACCURACY_HIGH", "AVERAGE_ACCURACY",
         "KAPPA"]),
    "predictmap": (
        ["INPUT", "MODEL", "FEATURES", "DEVICE"], ["OUTPUT", "CONFIDENCE", "PROBABILITIES", "UNCERTAINTY"]),
    "assessaccuracy": (
        ["MAP", "REFERENCE", "CLASS_FIELD"], ["REPORT", "OVERALL_ACCURACY", "AVERAGE_ACCURACY", "KAPPA"]),
    "suggestsamples": (
        ["INPUT", "MODEL", "COUNT", "POLYGONS", "SHAPE", "FEATURES", "BACKBONE", "DEVICE", "SEED"], ["OUTPUT"]),
    "setupenvironment": (["FOLDER", "PROXY"], ["PYTHON"]),
    "downloadbackbone": (["NAME", "CONSENT", "FOLDER", "REVISION", "SHA256", "PROXY"], ["BACKBONE"]),
}  # fmt: skip
MANDATORY = {"INPUT", "POLYGONS", "CLASS_FIELD", "MODEL", "MAP", "REFERENCE"}
MODELS = {"map_from_polygons": "Map from polygons", "all_single_steps": "All single steps"}


@pytest.mark.parametrize("name", KEYS)
def test_keys_are_those_that_scripts_rely_on(provider, name):
    algorithm = provider.algorithm(name)
    inputs, outputs = KEYS[name]
    definitions = [d.name() for d in algorithm.parameterDefinitions()]
    assert [key for key in definitions if key in inputs] == inputs
    assert set(outputs) <= {o.name() for o in algorithm.outputDefinitions()}


@pytest.mark.parametrize("name", KEYS)
def test_only_what_a_person_must_decide_is_mandatory(provider, name):
    optional = QgsProcessingParameterDefinition.Flag.FlagOptional
    for definition in provider.algorithm(name).parameterDefinitions():
        if definition.isDestination() or definition.flags() & optional:
            continue
        assert definition.defaultValue() is not None or definition.name() in MANDATORY


@pytest.mark.parametrize("name", KEYS)
def test_every_algorithm_and_parameter_explains_itself(provider, name):
    algorithm = provider.algorithm(name)
    assert algorithm.id() == f"spectrafilm:{name}"
    assert len(algorithm.shortHelpString()) > 80
    assert algorithm.shortHelpString().startswith(algorithm.shortDescription().removesuffix("."))
    assert "\n" not in algorithm.shortDescription()
    assert len(algorithm.tags()) > 2
    assert Path(algorithm.svgIconPath()).is_file()
    assert not algorithm.icon().isNull()
    for definition in algorithm.parameterDefinitions():
        assert len(definition.help()) > 15, definition.name()


@pytest.mark.parametrize("name", KEYS)
def test_algorithms_make_fresh_instances(provider, name):
    algorithm = provider.algorithm(name)
    copy = algorithm.create()
    assert copy is not algorithm
    assert copy.id() == algorithm.id()


@pytest.mark.parametrize(("name", "title"), MODELS.items())
def test_models_are_offered_and_can_run(provider, name, title):
    model = provider.algorithm(name)
    assert isinstance(model, QgsProcessingModelAlgorithm)
    assert model.displayName() == title
    ok, reason = model.canExecute()
    assert ok, reason
    ok, problems = model.validate()
    assert ok, problems
    assert all(child.algorithm().id().startswith("spectrafilm:") for child in model.childAlgorithms().values())
    copy = model.create()
    assert copy.displayName() == title
    assert [d.name() for d in copy.parameterDefinitions()] == [d.name() for d in model.parameterDefinitions()]


@pytest.mark.parametrize("name", [*KEYS, *MODELS])
def test_no_field_belongs_to_what_may_be_a_raster(provider, name):
    """QGIS crashes where it does and a raster is chosen, be it by opening the dialog."""
    definitions = {d.name(): d for d in provider.algorithm(name).parameterDefinitions()}
    for definition in definitions.values():
        if isinstance(definition, QgsProcessingParameterField):
            assert definitions[definition.parentLayerParameterName()].type() == "source"


def test_everything_is_gone_after_unloading(qgis_app, qgis_processing):
    from spectrafilm.plugin.plugin import SpectraFilmPlugin

    registry = QgsApplication.processingRegistry()
    plugin = SpectraFilmPlugin(None)
    plugin.initProcessing()
    assert registry.algorithmById("spectrafilm:trainfilm") is not None
    plugin.unload()
    assert registry.providerById("spectrafilm") is None
    plugin.unload()


def test_without_an_environment_everything_still_registers(provider, monkeypatch):
    monkeypatch.delenv("SPECTRAFILM_PYTHON")
    provider.refreshAlgorithms()
    assert {a.name() for a in provider.algorithms()} == {*KEYS, *MODELS}


@pytest.mark.parametrize("name", ["trainfilm", *MODELS])
def test_history_and_copying_have_a_python_command(provider, name):
    command = provider.algorithm(name).create().asPythonCommand({"INPUT": "scene.tif"}, QgsProcessingContext())
    assert command == f"processing.run(\"spectrafilm:{name}\", {{'INPUT':'scene.tif'}})"


@pytest.mark.parametrize("name", ["trainfilm", "map_from_polygons"])
def test_help_is_a_page_whose_pictures_and_links_lead_somewhere(provider, name):
    page = QUrl(provider.algorithm(name).helpUrl()).toLocalFile()
    html = Path(page).read_text(encoding="utf-8")
    targets = re.findall(r'(?:src|href)="([^"]*)"', html)
    assert len(targets) > 10
    for target in targets:
        if target.startswith("#"):
            assert f'id="{target[1:]}"' in html, target
        elif target.startswith("file:"):
            assert Path(QUrl(target).toLocalFile()).exists(), target
        else:
            assert target.startswith("http"), target
