"""What is done with rasters when QGIS shows them after a run."""

from __future__ import annotations

import os
from contextlib import suppress

from qgis.core import (
    QgsApplication,
    QgsLayerTree,
    QgsLayerTreeLayer,
    QgsMapLayer,
    QgsPalettedRasterRenderer,
    QgsProcessingContext,
    QgsProcessingFeedback,
    QgsProcessingLayerPostProcessorInterface,
    QgsProcessingParameterDefinition,
    QgsProject,
    QgsRasterLayer,
)
from qgis.PyQt import sip


class Loader(QgsProcessingLayerPostProcessorInterface):
    """Shows what a file holds now.

    Args:
        above: of the output that this one must not cover; QGIS 3.22 loads them in the order of their random paths, each
            above those before it or, in a group for results, below.
    """

    def __init__(self, above: Loader | None = None) -> None:
        super().__init__()
        self._layer_id = ""
        self.users_style = ""
        self._above = above
        self._beneath: list[Loader] = []
        if above is not None:
            above._beneath.append(self)

    def postProcessLayer(  # noqa: N802
        self, layer: QgsMapLayer, context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> None:
        layer.reload()
        show_anew(layer.source(), layer.project())
        if self.users_style:
            layer.loadNamedStyle(self.users_style)
        else:
            self.style(layer)
        layer.triggerRepaint()
        self._layer_id = layer.id()
        top = self if self._above is None else self._above
        for other in top._beneath if layer.project() is not None else ():
            _lift(top._layer_id, other._layer_id, layer.project().layerTreeRoot())

    def style(self, layer: QgsMapLayer) -> None:
        """Give the loaded layer its colours."""


def _lift(upper_id: str, lower_id: str, root: QgsLayerTree) -> None:
    """Put one layer right above another that covers it in the same group."""
    upper, lower = root.findLayer(upper_id), root.findLayer(lower_id)
    if upper is None or lower is None or upper.parent() != lower.parent():
        return
    group = lower.parent()
    order = [node.layerId() if isinstance(node, QgsLayerTreeLayer) else "" for node in group.children()]
    if order.index(upper_id) > order.index(lower_id):
        group.insertChildNode(order.index(lower_id), upper.clone())
        group.removeChildNode(upper)


# QGIS calls a post-processor after the algorithm that set it is gone, and deletes it with the run's context.
_loaders: set[Loader] = set()


def when_loaded(
    path: str, output: QgsProcessingParameterDefinition, loader: Loader, context: QgsProcessingContext
) -> None:
    """Have an output treated when it is loaded, if it is; a `loader` serves one output of one run."""
    if context.willLoadLayerOnCompletion(path):
        # QGIS has given it before ours, and not to outputs of a model's steps.
        loader.users_style = _users_style(output.algorithm().id(), output.name())
        _loaders.difference_update([used for used in tuple(_loaders) if sip.isdeleted(used)])
        _loaders.add(loader)
        details = context.layerToLoadOnCompletionDetails(path)
        details.setPostProcessor(loader)
        # Layers of a model are called as its outputs are, in ours by their keys.
        if details.name == output.name():
            details.name = output.description()


def _users_style(algorithm: str, output: str) -> str:
    """The style that 'Edit rendering styles for outputs' gives an output; empty for none."""
    # No stable part of QGIS, and nothing that a run which is done should fail for.
    with suppress(ImportError, AttributeError):
        registry = QgsApplication.processingRegistry()
        if hasattr(registry, "defaultStyleRegistry"):  # QGIS 4.4 and later
            return str(registry.defaultStyleRegistry().defaultStyleForOutput(algorithm, output))
        from processing.gui.RenderingStyles import RenderingStyles

        return str(RenderingStyles.getStyle(algorithm, output) or "")
    return ""


def show_anew(path: str, project: QgsProject | None) -> None:
    """Have a project's layers that were there before a run read what it wrote: they would go on to show the old file.

    Where a map has other classes now, its layers take them over.
    """
    file = os.path.realpath(path)
    layers = project.mapLayers().values() if project else ()
    shown = [la for la in layers if isinstance(la, QgsRasterLayer) and os.path.realpath(la.source()) == file]
    if not shown:
        return
    written = QgsRasterLayer(path, "")  # with the style that lies beside it
    for layer in shown:
        layer.reload()
        if _classes(layer) and _classes(written) and _classes(layer) != _classes(written):
            layer.setRenderer(written.renderer().clone())
        layer.triggerRepaint()


def _classes(layer: QgsRasterLayer) -> list[tuple[float, str]]:
    """Numbers and names of the classes that a layer shows; none where it does not show classes."""
    renderer = layer.renderer()
    return [(c.value, c.label) for c in renderer.classes()] if isinstance(renderer, QgsPalettedRasterRenderer) else []
