"""Rasters that QGIS shows: what a run loads is named and styled, and what was shown before shows what a run wrote."""

from __future__ import annotations

import gc
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from in_qgis import SCENE, write_raster
from osgeo import gdal
from processing.core.ProcessingConfig import ProcessingConfig
from processing.gui.Postprocessing import handleAlgorithmResults
from processing.gui.RenderingStyles import RenderingStyles
from qgis.core import (
    QgsPalettedRasterRenderer,
    QgsProcessingContext,
    QgsProcessingOutputLayerDefinition,
    QgsProcessingUtils,
    QgsProject,
    QgsRasterLayer,
    QgsSingleBandGrayRenderer,
)
from qgis.PyQt import sip
from qgis.PyQt.QtGui import QColor

from spectrafilm.algorithms import loaded_rasters
from spectrafilm.algorithms.loaded_rasters import Loader, show_anew, when_loaded


def test_a_loaded_map_and_its_probabilities_are_named_and_styled(trained, provider, feedback, tmp_path):
    keys = ("OUTPUT", "CONFIDENCE", "PROBABILITIES")
    paths = path, *shares = [str(tmp_path / f"{key}.tif") for key in keys]
    context = QgsProcessingContext()
    context.setProject(QgsProject.instance())
    for key, output in zip(keys, paths, strict=True):  # named as QGIS does in our models
        details = QgsProcessingContext.LayerDetails(key, QgsProject.instance(), key)
        context.addLayerToLoadOnCompletion(output, details)
    algorithm = provider.algorithm("predictmap").create()
    # As batch mode gives an output that is left empty.
    empty = QgsProcessingOutputLayerDefinition("", QgsProject.instance())
    outputs = {**dict(zip(keys, paths, strict=True)), "UNCERTAINTY": empty}
    parameters = {"INPUT": SCENE, "MODEL": trained[0]["MODEL"], **outputs}
    results, ok = algorithm.run(parameters, context, feedback)
    assert ok
    # Models that were exported as Python ask for the key of every output.
    assert results == {**outputs, "UNCERTAINTY": ""}
    assert set(context.layersToLoadOnCompletion()) == set(paths)
    names = [context.layerToLoadOnCompletionDetails(output).name for output in paths]
    assert names == ["Land-cover map", "Confidence", "Class probabilities"]

    def loaded(output):
        layer = QgsProcessingUtils.mapLayerFromString(output, context)
        layer.setRenderer(QgsSingleBandGrayRenderer(layer.dataProvider(), 1))
        context.layerToLoadOnCompletionDetails(output).postProcessor().postProcessLayer(layer, context, feedback)
        return layer.renderer()

    assert isinstance(loaded(path), QgsPalettedRasterRenderer)
    # The same colours for the same confidence in every map, whatever values this one has.
    for renderer in map(loaded, shares):
        assert renderer.usesBands() == [1]
        items = renderer.shader().rasterShaderFunction().colorRampItemList()
        assert [(item.value, item.color.name()) for item in (items[0], items[-1])] == [(0, "#440154"), (1, "#fde725")]


def test_a_style_that_the_user_has_set_for_an_output_goes_before_ours(provider, feedback, tmp_path, monkeypatch):
    """By 'Edit rendering styles for outputs' in the toolbox."""
    monkeypatch.setattr("spectrafilm.plugin.engine_process.run_job", lambda *_: {})
    path, style, model = (str(tmp_path / name) for name in ("confidence.tif", "grey.qml", "model.safetensors"))
    Path(model).touch()
    layer = QgsRasterLayer(write_raster(Path(path), np.zeros((1, 8, 8), "float32")), "")
    layer.setRenderer(QgsSingleBandGrayRenderer(layer.dataProvider(), 1))
    layer.saveNamedStyle(style)
    monkeypatch.setattr(RenderingStyles, "styles", {"spectrafilm:predictmap": {"CONFIDENCE": style}})
    context = QgsProcessingContext()
    context.addLayerToLoadOnCompletion(path, QgsProcessingContext.LayerDetails("", QgsProject.instance(), "CONFIDENCE"))
    parameters = {"INPUT": SCENE, "MODEL": model, "OUTPUT": str(tmp_path / "map.tif"), "CONFIDENCE": path}
    algorithm = provider.algorithm("predictmap").create()
    assert algorithm.run(parameters, context, feedback)[1], feedback.errors
    context.layerToLoadOnCompletionDetails(path).postProcessor().postProcessLayer(layer, context, feedback)
    assert isinstance(layer.renderer(), QgsSingleBandGrayRenderer)


def test_layers_show_what_a_second_run_wrote_into_their_file(provider, feedback, tmp_path):
    """A dataset that is open goes on reading the file that was there before."""
    path = str(tmp_path / "bands.tif")
    shown = []
    for method in (0, 1):
        context = QgsProcessingContext()
        context.setProject(QgsProject.instance())
        context.addLayerToLoadOnCompletion(
            path, QgsProcessingContext.LayerDetails("", QgsProject.instance(), "OUTPUT")
        )
        algorithm = provider.algorithm("selectbands").create()
        assert algorithm.run({"INPUT": SCENE, "METHOD": method, "OUTPUT": path}, context, feedback)[1]
        if not shown:
            shown = QgsProject.instance().addMapLayers([QgsRasterLayer(path, name) for name in ("first", "second")])
        context.layerToLoadOnCompletionDetails(path).postProcessor().postProcessLayer(shown[0], context, feedback)
        file = gdal.Open(path)
        now = file.GetRasterBand(1).ReadAsArray().ravel().tolist()
        for layer in shown:
            block = layer.dataProvider().block(1, layer.extent(), 160, 160)
            assert [block.value(i) for i in range(len(now))] == now
    QgsProject.instance().clear()


def test_a_layer_shows_what_a_run_wrote_into_its_file_and_did_not_load(run, tmp_path):
    path = str(tmp_path / "bands.tif")
    run("selectbands", {"INPUT": SCENE, "METHOD": 0, "OUTPUT": path})
    shown = QgsProject.instance().addMapLayer(QgsRasterLayer(path, "bands"))
    run("selectbands", {"INPUT": SCENE, "METHOD": 1, "OUTPUT": path})
    now = gdal.Open(path).ReadAsArray()[0].ravel().tolist()
    block = shown.dataProvider().block(1, shown.extent(), 160, 160)
    assert [block.value(i) for i in range(len(now))] == now
    QgsProject.instance().clear()


def test_a_map_that_is_shown_takes_over_new_classes_but_not_the_colours_of_old_ones(provider, tmp_path):
    path = str(tmp_path / "map.tif")

    def write(names, colour):
        write_raster(Path(path), np.ones((1, 8, 8), "uint8"))
        layer = QgsRasterLayer(path, "written")
        classes = [QgsPalettedRasterRenderer.Class(i + 1, QColor(colour), name) for i, name in enumerate(names)]
        layer.setRenderer(QgsPalettedRasterRenderer(layer.dataProvider(), 1, classes))
        layer.saveNamedStyle(str(tmp_path / "map.qml"))

    def legend():
        return [(c.label, c.color.name()) for c in shown.renderer().classes()]

    write(["Forest", "Water"], "#ff0000")
    shown = QgsProject.instance().addMapLayer(QgsRasterLayer(path, "map"))
    for names, colour in ((["Forest", "Water"], "#ff0000"), (["Asphalt", "Forest", "Water"], "#0000ff")):
        write(names, "#0000ff")
        show_anew(path, QgsProject.instance())
        assert legend() == [(name, colour) for name in names]
    QgsProject.instance().clear()


@pytest.mark.parametrize(("names", "group"), [(("a_map", "b_confidence"), ""), (("b_map", "a_confidence"), "Results")])
def test_no_other_raster_of_a_run_covers_the_map(trained, provider, feedback, tmp_path, monkeypatch, names, group):
    """QGIS 3.22 loads outputs in the order of their paths, which are random where they are temporary."""
    project = QgsProject.instance()
    settings = {ProcessingConfig.RESULTS_GROUP_NAME: group}
    monkeypatch.setattr(ProcessingConfig, "getSetting", lambda name, *_: settings.get(name))
    # QGIS 3.44 takes no stand-in for the window.
    monkeypatch.setattr("processing.gui.Postprocessing.iface", None, raising=False)
    project.addMapLayer(QgsRasterLayer(SCENE, "scene"))
    paths = {key: str(tmp_path / f"{name}.tif") for key, name in zip(("OUTPUT", "CONFIDENCE"), names, strict=True)}
    context = QgsProcessingContext()
    context.setProject(project)
    for key, path in paths.items():
        context.addLayerToLoadOnCompletion(path, QgsProcessingContext.LayerDetails(key, project, key))
    algorithm = provider.algorithm("predictmap").create()
    parameters = {"INPUT": SCENE, "MODEL": trained[0]["MODEL"], **paths}
    assert algorithm.run(parameters, context, feedback)[1]
    handleAlgorithmResults(algorithm, context, feedback, parameters=parameters)
    shown = [node.name() for node in project.layerTreeRoot().findLayers()]
    project.clear()
    assert [name for name in shown if name != "scene"] == ["Land-cover map", "Confidence"]


def test_maps_of_one_session_are_all_styled(provider, feedback, tmp_path, monkeypatch):
    """QGIS deletes with a run's context what styles its outputs, so that nothing may be used twice."""
    monkeypatch.setattr("spectrafilm.plugin.engine_process.run_job", lambda *_: {})
    outputs = {key: str(tmp_path / f"{key}.tif") for key in ("OUTPUT", "CONFIDENCE", "UNCERTAINTY")}
    model = tmp_path / "model.safetensors"
    model.touch()
    for _ in range(2):
        context = QgsProcessingContext()
        for key, output in outputs.items():
            details = QgsProcessingContext.LayerDetails(key, QgsProject.instance(), key)
            context.addLayerToLoadOnCompletion(output, details)
        algorithm = provider.algorithm("predictmap").create()
        assert algorithm.run({"INPUT": SCENE, "MODEL": str(model), **outputs}, context, feedback)[1], feedback.errors
        stylers = [context.layerToLoadOnCompletionDetails(output).postProcessor() for output in outputs.values()]
        assert len({id(styler) for styler in stylers}) == 3
        del algorithm, context
        gc.collect()
        assert all(map(sip.isdeleted, stylers))


@pytest.mark.parametrize("has_registry", [True, False])
def test_styles_of_outputs_are_found_in_qgis_4_4(provider, monkeypatch, has_registry):
    """It keeps them in C++ and not in a module of Python any more; faked here, once without either."""
    styles = SimpleNamespace(defaultStyleForOutput=lambda algorithm, output: f"{algorithm} {output}.qml")
    registry = SimpleNamespace(**({"defaultStyleRegistry": lambda: styles} if has_registry else {}))
    monkeypatch.setattr(loaded_rasters, "QgsApplication", SimpleNamespace(processingRegistry=lambda: registry))
    monkeypatch.setitem(sys.modules, "processing.gui.RenderingStyles", None)
    context = QgsProcessingContext()
    context.addLayerToLoadOnCompletion("map.tif", QgsProcessingContext.LayerDetails("Map", QgsProject.instance()))
    loader = Loader()
    when_loaded("map.tif", provider.algorithm("predictmap").parameterDefinition("OUTPUT"), loader, context)
    assert loader.users_style == ("spectrafilm:predictmap OUTPUT.qml" if has_registry else "")
    assert context.layerToLoadOnCompletionDetails("map.tif").postProcessor() is loader
