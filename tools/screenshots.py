"""Pictures of the desktop for the user guide; run inside QGIS by `make screenshots`, after `make demo`.

Arguments come from the environment, since QGIS passes none on: SPECTRAFILM_ROOT is the project's folder.
"""

from __future__ import annotations

import os
import shutil
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import processing
from qgis.core import (
    QgsApplication,
    QgsFeature,
    QgsPalLayerSettings,
    QgsProject,
    QgsRasterLayer,
    QgsTextFormat,
    QgsVectorLayer,
    QgsVectorLayerSimpleLabeling,
)
from qgis.PyQt.QtCore import QPoint, QTimer
from qgis.PyQt.QtWidgets import QApplication, QDialog, QDockWidget, QWidget
from qgis.utils import iface

ROOT = Path(os.environ["SPECTRAFILM_ROOT"])
SAMPLE = ROOT / "resources" / "sample"
DEMO = ROOT / "build" / "demo"
IMAGES = ROOT / "docs" / "images"
SETTLE_MS = 3000


def grab(widget: QWidget, name: str) -> None:
    """Save what a window shows."""
    widget.grab().save(str(IMAGES / name))


def show_ranks(places: QgsVectorLayer) -> None:
    """Label places by their rank."""
    text = QgsTextFormat()
    text.setSize(9)
    text.buffer().setEnabled(True)
    settings = QgsPalLayerSettings()
    settings.fieldName = "rank"
    settings.setFormat(text)
    places.setLabeling(QgsVectorLayerSimpleLabeling(settings))
    places.setLabelsEnabled(True)


def steps() -> Iterator[None]:
    """One picture after another; every `yield` lets QGIS draw."""
    window = iface.mainWindow()
    window.setGeometry(0, 0, 1400, 900)
    project = QgsProject.instance()
    scene = QgsRasterLayer(str(SAMPLE / "scene.tif"), "Scene")
    polygons = QgsVectorLayer(str(DEMO / "labels" / "polygons.gpkg"), "Training polygons", "ogr")
    for layer in (scene, polygons):
        project.addMapLayer(layer)
    project.layerTreeRoot().findLayer(scene).setExpanded(False)
    for dock in window.findChildren(QDockWidget):
        dock.setVisible(dock.objectName() in ("Layers", "ProcessingToolbox"))
    toolbox = window.findChild(QDockWidget, "ProcessingToolbox")
    toolbox.searchBox.setText("SpectraFiLM")
    iface.mapCanvas().zoomToFullExtent()
    yield
    grab(window, "desktop_polygons.png")

    yield from drawing_steps(window, scene, polygons)
    parameters = {"INPUT": scene.id(), "POLYGONS": polygons.id(), "CLASS_FIELD": "class"}
    dialog = processing.createAlgorithmDialog("spectrafilm:trainfilm", parameters)
    dialog.resize(900, 640)
    dialog.show()
    yield
    grab(dialog, "train_dialog.png")
    dialog.close()

    land_cover = QgsRasterLayer(str(DEMO / "map.tif"), "Land cover")
    project.addMapLayer(land_cover)
    project.layerTreeRoot().findLayer(polygons).setItemVisibilityChecked(False)
    project.layerTreeRoot().findLayer(polygons).setExpanded(False)
    project.layerTreeRoot().findLayer(land_cover).setExpanded(True)
    yield
    grab(window, "desktop_map.png")

    parameters = {"INPUT": scene.id(), "MODEL": str(DEMO / "model.safetensors"), "POLYGONS": polygons.id(),
                  "COUNT": 20, "OUTPUT": "TEMPORARY_OUTPUT"}  # fmt: skip
    places = processing.run("spectrafilm:suggestsamples", parameters)["OUTPUT"]
    places.setName("Suggested samples")
    show_ranks(places)
    confidence = QgsRasterLayer(str(DEMO / "confidence.tif"), "Confidence")
    project.addMapLayer(confidence)
    project.addMapLayer(places)
    project.layerTreeRoot().findLayer(land_cover).setItemVisibilityChecked(False)
    project.layerTreeRoot().findLayer(land_cover).setExpanded(False)
    yield
    grab(window, "desktop_suggestions.png")

    yield from designer_steps()


def drawing_steps(window: QWidget, scene: QgsRasterLayer, polygons: QgsVectorLayer) -> Iterator[None]:
    """A label layer with every other polygon drawn, and the form of the next one."""
    project = QgsProject.instance()
    classes = [category.label() for category in polygons.renderer().categories() if category.label()]
    parameters = {"INPUT": scene.id(), "CLASSES": ",".join(classes), "OUTPUT": "TEMPORARY_OUTPUT"}
    labels = processing.run("spectrafilm:makelabels", parameters)["OUTPUT"]
    labels.setName("Labels")
    project.addMapLayer(labels)
    nodes = [project.layerTreeRoot().findLayer(layer) for layer in (polygons, labels)]
    nodes[0].setItemVisibilityChecked(False)
    nodes[0].setExpanded(False)
    nodes[1].setExpanded(True)
    labels.startEditing()
    for drawn in list(polygons.getFeatures())[::2]:
        feature = QgsFeature(labels.fields())
        feature.setAttribute("class", drawn["class"])
        feature.setGeometry(drawn.geometry())
        labels.addFeature(feature)
    iface.setActiveLayer(labels)
    iface.openFeatureForm(labels, feature, True, False)
    yield
    form = next(w for w in QApplication.topLevelWidgets() if isinstance(w, QDialog) and w.isVisible())
    form.move(window.geometry().center() + QPoint(60, 60))
    yield
    corner = window.geometry()
    screen = window.screen().grabWindow(0, corner.x(), corner.y(), corner.width(), corner.height())
    screen.save(str(IMAGES / "desktop_labels.png"))
    form.close()
    labels.rollBack()
    project.removeMapLayer(labels)
    nodes[0].setItemVisibilityChecked(True)
    nodes[0].setExpanded(True)


def designer_steps() -> Iterator[None]:
    """A ready-made model in the model designer."""
    model = QgsApplication.processingRegistry().algorithmById("spectrafilm:all_single_steps")
    from processing.modeler.ModelerDialog import ModelerDialog

    designer = ModelerDialog.create(model.create())
    # Without its panels the model is large enough to be read.
    for panel in designer.findChildren(QDockWidget):
        panel.hide()
    designer.resize(1300, 470)
    designer.show()
    yield
    designer.zoomFull()
    yield
    grab(designer, "model_designer.png")
    designer.setDirty(False)
    designer.close()


def run(todo: Iterator[None]) -> None:
    """Do one step and come back later; quit at the end or on a failure."""
    try:
        next(todo)
    except StopIteration:
        leave()
    except Exception:
        traceback.print_exc()
        leave()
    else:
        later(lambda: run(todo))


def leave() -> None:
    """Quit without the question whether to save."""
    QgsProject.instance().clear()
    QApplication.instance().exit(0)


def later(what: Callable[[], None]) -> None:
    """Call it when QGIS had time to draw."""
    QTimer.singleShot(SETTLE_MS, what)


IMAGES.mkdir(parents=True, exist_ok=True)
shutil.copyfile(DEMO / "overview.png", IMAGES / "sample_map.png")
later(lambda: run(steps()))
