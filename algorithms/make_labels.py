"""spectrafilm:makelabels"""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path
from typing import Any

from qgis.core import (
    QgsCategorizedSymbolRenderer,
    QgsEditorWidgetSetup,
    QgsFillSymbol,
    QgsProcessing,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeedback,
    QgsProcessingParameterFeatureSink,
    QgsProcessingParameterRasterLayer,
    QgsProcessingParameterString,
    QgsProcessingUtils,
    QgsRendererCategory,
    QgsVectorLayer,
    QgsWkbTypes,
)
from qgis.PyQt.QtCore import QCoreApplication
from qgis.PyQt.QtGui import QColor

from ..engine.class_colours import default_colours
from ..plugin.polygon_source import FIELD
from .base import SpectraFilmAlgorithm
from .destinations import is_occupied

EXAMPLE = "Water\nTrees\nGrassland\nCrops\nBare soil\nRoads\nRoofs"
UNNAMED = "#ff00ff"
# As many as a map may have.
MOST_CLASSES = 255


class MakeLabelsAlgorithm(SpectraFilmAlgorithm):
    """A layer to draw polygons in."""

    ID = "makelabels"
    TITLE = "Make label layer"
    GROUP = "Land cover"
    ICON = "makelabels.svg"
    TAGS = "training data, digitize, polygons, classes, legend"
    HELP = (
        "Makes an empty polygon layer to draw the land cover of a scene in, with a field for the class, a list of the "
        "classes to choose from, and their colours, which the map will have, too.\n\n"
        "Choose the layer, then Toggle Editing and Add Polygon Feature; after the last corner (right click) choose the "
        "class. Draw at least two, better five polygons or more of each class, in different parts of the scene."
    )

    def initAlgorithm(self, configuration: dict[str, Any] | None = None) -> None:  # noqa: N802
        self.add(
            QgsProcessingParameterRasterLayer("INPUT", self.tr("Scene")),
            "The scene to label; the layer gets its coordinate reference system.",
        )
        self.add(
            QgsProcessingParameterString("CLASSES", self.tr("Classes"), self.tr(EXAMPLE), multiLine=True),
            "The names of the classes, one a line or separated by commas. Classes for which nothing is drawn do no "
            "harm; others can be added in the layer's properties later.",
        )
        self.add(
            QgsProcessingParameterFeatureSink("OUTPUT", self.tr("Labels"),
                                              QgsProcessing.SourceType.TypeVectorPolygon),
            "The layer to draw in. Name a file: a temporary layer is lost when QGIS closes. A layer that is there "
            "already is never overwritten.",
        )  # fmt: skip

    def checkParameterValues(self, parameters: dict[str, Any], context: QgsProcessingContext) -> tuple[bool, str]:  # noqa: N802
        problem = self._problem(parameters, context)
        return (False, problem) if problem else super().checkParameterValues(parameters, context)

    def processAlgorithm(  # noqa: N802
        self, parameters: dict[str, Any], context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> dict[str, Any]:
        # The steps of a model are not checked beforehand.
        if problem := self._problem(parameters, context):
            raise QgsProcessingException(problem)
        _, crs = self.raster_of(parameters, "INPUT", context)
        if not crs.isValid():
            raise QgsProcessingException(
                self.tr("The scene has no coordinate reference system; set it in the layer's properties.")
            )
        self._classes = self._classes_of(parameters, context)
        fields = QgsVectorLayer(f"Polygon?field={FIELD}:string(0)", "", "memory").fields()
        sink, self._layer = self.parameterAsSink(
            parameters, "OUTPUT", context, fields, QgsWkbTypes.Type.Polygon, crs
        )  # fmt: skip
        if sink is None:
            raise QgsProcessingException(self.invalidSinkError(parameters, "OUTPUT"))
        return {"OUTPUT": self._layer}

    def postProcessAlgorithm(self, context: QgsProcessingContext, feedback: QgsProcessingFeedback) -> dict[str, Any]:  # noqa: N802
        layer = QgsProcessingUtils.mapLayerFromString(self._layer, context)
        if isinstance(layer, QgsVectorLayer):
            _prepare(layer, self._classes)
            file = Path(layer.source().split("|")[0])
            style = file.with_suffix(".qml")
            # There may be one of other layers in the file.
            if file.is_file() and not style.exists():
                layer.saveNamedStyle(str(style))
        return {}

    def _problem(self, parameters: dict[str, Any], context: QgsProcessingContext) -> str:
        count = len(self._classes_of(parameters, context))
        if not 2 <= count <= MOST_CLASSES:
            return self.tr("Name 2 to {0} different classes, one a line; there are {1}.").format(MOST_CLASSES, count)
        if is_occupied(self.parameterDefinition("OUTPUT"), parameters, context):
            return self.tr("There is a layer of this name already; draw on in it, or choose another name.")
        return ""

    def _classes_of(self, parameters: dict[str, Any], context: QgsProcessingContext) -> list[str]:
        text = self.parameterAsString(parameters, "CLASSES", context)
        return list(dict.fromkeys(name.strip() for name in re.split(r"[\n,;]", text) if name.strip()))


def _prepare(layer: QgsVectorLayer, classes: list[str]) -> None:
    """Give a layer the colours of its classes, and its forms a list to choose from."""
    categories = [
        QgsRendererCategory(name, _symbol(colour), name)
        for name, colour in zip(classes, default_colours(classes), strict=True)
    ]
    # What has no class, or one that was added, would not be seen.
    none = QCoreApplication.translate("SpectraFiLM", "none of them")
    categories.append(QgsRendererCategory("", _symbol(UNNAMED), none))
    layer.setRenderer(QgsCategorizedSymbolRenderer(FIELD, categories))
    index = layer.fields().lookupField(FIELD)
    layer.setEditorWidgetSetup(index, QgsEditorWidgetSetup("ValueMap", {"map": [{name: name} for name in classes]}))
    for other in set(layer.fields().allAttributesList()) - {index}:
        # Numbers of features, which files have.
        layer.setEditorWidgetSetup(other, QgsEditorWidgetSetup("Hidden", {}))
    form = layer.editFormConfig()
    # One class after the other is drawn. Not in every version of QGIS.
    with suppress(AttributeError):
        form.setReuseLastValue(index, True)
        layer.setEditFormConfig(form)


def _symbol(colour: str) -> QgsFillSymbol:
    """The scene shines through."""
    inside = QColor(colour)
    inside.setAlpha(90)
    return QgsFillSymbol.createSimple({
        "color": ",".join(map(str, inside.getRgb())), "outline_color": colour, "outline_width": "0.6",
    })  # fmt: skip
