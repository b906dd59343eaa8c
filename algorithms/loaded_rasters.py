"""What is done with rasters when QGIS loads them after a run."""

from __future__ import annotations

from qgis.core import (
    QgsMapLayer,
    QgsProcessingContext,
    QgsProcessingFeedback,
    QgsProcessingLayerPostProcessorInterface,
)
from qgis.PyQt import sip


class Loader(QgsProcessingLayerPostProcessorInterface):
    """Shows what a file holds now: a layer of the project that was there before this run still reads the old one."""

    def postProcessLayer(  # noqa: N802
        self, layer: QgsMapLayer, context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> None:
        project = layer.project()
        for shown in {layer, *(project.mapLayers().values() if project else ())}:
            if shown.source() == layer.source():
                shown.reload()
                shown.triggerRepaint()


# QGIS calls a post-processor after the algorithm that set it is gone, and deletes it with the run's context.
_loaders: set[Loader] = set()


def when_loaded(path: str, loader: Loader, context: QgsProcessingContext) -> None:
    """Have an output treated when it is loaded, if it is; a `loader` serves one output of one run."""
    if path and context.willLoadLayerOnCompletion(path):
        _loaders.difference_update([used for used in tuple(_loaders) if sip.isdeleted(used)])
        _loaders.add(loader)
        context.layerToLoadOnCompletionDetails(path).setPostProcessor(loader)
