"""Where a method's spatial features come from: computed from the scene, or read from a raster."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from rasterio.windows import Window

from .composites import image_itself
from .errors import EngineError
from .feature_settings import CHANNELS_TAG, COMPOSITES_TAG, SCENE_TAG, TAG, FeatureSettings
from .features import FeatureExtractor, gather_features, iterate_features, widened
from .patches import PatchGrid, SceneImages
from .pieces import Piece, bounded_windows
from .progress import Progress
from .projection import Projection
from .sampling import read_pixels
from .scene import Band, Scene

if TYPE_CHECKING:
    # Diffusers is loaded for it.
    from .backbone import Backbone


class FeatureSource(Protocol):
    """Features of a scene.

    Attributes:
        settings: how the features are made.
        channels: how many there are.
    """

    settings: FeatureSettings
    channels: int

    def at(self, rows: np.ndarray, columns: np.ndarray, progress: Progress) -> np.ndarray:
        """Features (n, channels) float32 of valid pixels."""

    def stream(
        self, projection: Projection | None, progress: Progress, reach: int = 0, derived: int = 0
    ) -> Iterator[Piece]:
        """Spectra and projected features of the whole scene, strip by strip from top to bottom.

        Args:
            reach: number of columns to add on both sides of every piece.
            derived: how many values the caller makes of each pixel of a piece, for which memory is left.
        """


class ComputedFeatures:
    """Features computed where they are needed."""

    def __init__(self, images: SceneImages, backbone: Backbone, settings: FeatureSettings) -> None:
        self.images, self.backbone, self.settings = images, backbone, settings
        self._extractor = self._make_extractor(None)
        self.channels = self._extractor.channels

    def changed(self, **changes: Any) -> ComputedFeatures:
        """Features of other layers, timesteps or neighbourhoods, otherwise the same."""
        return ComputedFeatures(self.images, self.backbone, replace(self.settings, **changes))

    def at(self, rows: np.ndarray, columns: np.ndarray, progress: Progress) -> np.ndarray:
        return gather_features(self.images, self._extractor, self.settings.stride, rows, columns, progress)

    def stream(
        self, projection: Projection | None, progress: Progress, reach: int = 0, derived: int = 0
    ) -> Iterator[Piece]:
        extractor = self._make_extractor(projection)
        return iterate_features(self.images, extractor, self.settings.stride, progress, reach, derived)

    def _make_extractor(self, projection: Projection | None) -> FeatureExtractor:
        return FeatureExtractor(
            self.backbone, self.settings.layers, self.settings.timesteps, self.images.composites.count,
            self.settings.seed, projection, self.settings.neighbourhoods,
        )  # fmt: skip


class RasterFeatures:
    """Features read from a raster that `extractfeatures` wrote for the same scene, with which it is closed.

    Raises:
        EngineError: the raster is no features raster, or is of another scene.
    """

    def __init__(self, path: str, scene: Scene, bands: Sequence[Band]) -> None:
        self._raster = scene.open_beside(path)
        text = self._raster.tag(TAG)
        if text is None:
            raise EngineError(f"{path} is not a features raster; choose one written by 'Extract spatial features'.")
        self.settings = FeatureSettings.from_json(text, path)
        if self.settings.composites and self.settings.composites == scene.tag(COMPOSITES_TAG):
            # The recipe is that of the image, not one to be applied to it once more.
            self.settings = replace(self.settings, composites=image_itself().to_json())
        self.channels = len(self._raster.bands)
        # Programs that take some bands out of a raster keep its tags.
        written = self._raster.tag(CHANNELS_TAG) or str(self.channels)
        if written != str(self.channels):
            raise EngineError(
                f"The features raster {path} has {self.channels} of the {written} bands that were written; choose the "
                "whole one, or extract the features again."
            )
        ours = (scene.width, scene.height, scene.transform)
        theirs = (self._raster.width, self._raster.height, self._raster.transform)
        if ours[:2] != theirs[:2] or not ours[2].almost_equals(theirs[2], 1e-6):
            raise EngineError(
                f"The features raster {path} ({theirs[0]} x {theirs[1]} pixels) does not lie on the grid of the "
                f"scene {scene.path} ({ours[0]} x {ours[1]}); extract the features of this scene."
            )
        if self._raster.tag(SCENE_TAG) not in (None, scene.digest(), scene.tag(SCENE_TAG)):
            raise EngineError(
                f"The features raster {path} was made from another scene than {scene.path}, whose pixels differ; "
                "extract the features of this scene."
            )
        self._scene, self._bands = scene, bands

    def at(self, rows: np.ndarray, columns: np.ndarray, progress: Progress) -> np.ndarray:
        features, valid = read_pixels(self._raster, self._raster.bands, rows, columns, progress)
        if not valid.all():
            raise EngineError(
                f"The features raster {self._raster.path} has no data in {(~valid).sum()} valid pixels of the "
                "scene; extract the features of this scene again."
            )
        return features

    def stream(
        self, projection: Projection | None, progress: Progress, reach: int = 0, derived: int = 0
    ) -> Iterator[Piece]:
        for window in bounded_windows(self._scene, 2 * self.channels + len(self._bands) + derived, progress):
            first, width = widened(window.col_off, window.width, reach, self._scene.width)
            wider = Window(first, window.row_off, width, window.height)
            spectra, valid = self._scene.read(wider, self._bands)
            features, has_features = self._raster.read(wider, self._raster.bands)
            if projection is not None:
                flat = projection.apply(features.reshape(self.channels, -1).T)
                features = flat.T.reshape(-1, *valid.shape)
            yield window, spectra, valid & has_features, features


def patch_grid(settings: FeatureSettings, scene: Scene) -> PatchGrid:
    """The grid of the patches from which features of a scene are made."""
    return PatchGrid(scene.height, scene.width, settings.patch, settings.stride)
