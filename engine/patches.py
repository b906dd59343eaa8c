"""Patches of a scene's composites, as a backbone sees them.

Patches stand on a fixed grid. With stride S the central S x S pixels of the patches tile the scene,
so that no pixel sits at the very edge of the only patch that sees it; beyond the scene's edges the
scene is mirrored. What a pixel's features are therefore does not depend on which other patches are
computed: training on a few patches and mapping the whole scene see the same numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import distance_transform_edt

from .composites import Composites
from .errors import EngineError
from .scene import Band, Scene


@dataclass(frozen=True)
class PatchGrid:
    """Where patches stand: patch (i, j) covers rows from i * stride - margin, columns likewise."""

    height: int
    width: int
    patch: int
    stride: int

    def __post_init__(self) -> None:
        if not 0 < self.stride <= self.patch or (self.patch - self.stride) % 2:
            raise EngineError(
                f"The stride {self.stride} does not fit patches of {self.patch} pixels; choose an even number "
                f"up to {self.patch}, such as {self.patch // 2}."
            )

    @property
    def margin(self) -> int:
        """Pixels of a patch on each side of its central part."""
        return (self.patch - self.stride) // 2

    @property
    def rows(self) -> int:
        """Number of rows of patches."""
        return -(-self.height // self.stride)

    @property
    def columns(self) -> int:
        """Number of columns of patches."""
        return -(-self.width // self.stride)

    def around(self, position: int, count: int) -> range:
        """Indices, along one axis with `count` patches, of the patches that contain a pixel position."""
        first = (position + self.margin - self.patch) // self.stride + 1
        return range(max(first, 0), min((position + self.margin) // self.stride, count - 1) + 1)

    def containing(self, rows: np.ndarray, columns: np.ndarray) -> list[tuple[int, int]]:
        """The patches that contain any of the pixels, in row-major order."""
        found = {
            (i, j)
            for row, column in zip(rows.tolist(), columns.tolist(), strict=True)
            for i in self.around(row, self.rows)
            for j in self.around(column, self.columns)
        }
        return sorted(found)


@dataclass(frozen=True)
class MirroredRows:
    """Consecutive rows of a strip, mirrored at the scene's edges.

    Attributes:
        images: (composites, their channels, rows, span).
        valid: (rows, span) bool.
        spectra: (bands, rows, columns), of columns inside the scene only.
        left: scene column of the first of these columns.
    """

    images: np.ndarray
    valid: np.ndarray
    spectra: np.ndarray
    left: int

    def advance(self, following: MirroredRows) -> MirroredRows:
        """These rows without the first ones, for which the rows that follow make room."""
        count = len(following.valid)
        return MirroredRows(
            np.concatenate([self.images[:, :, count:], following.images], 2),
            np.concatenate([self.valid[count:], following.valid]),
            np.concatenate([self.spectra[:, count:], following.spectra], 1),
            self.left,
        )


@dataclass(frozen=True)
class SceneImages:
    """A scene as a backbone sees it: composites of its bands, mirrored at its edges."""

    scene: Scene
    bands: Sequence[Band]
    composites: Composites

    def read(self, row: int, column: int, height: int, width: int) -> MirroredRows:
        """A part of the scene and, mirrored, of what lies beyond its edges."""
        window, rows, columns = self.scene.reflect(row, column, height, width)
        spectra, valid = self.scene.read(window, self.bands)
        if len(rows) != window.height or rows[0] > rows[-1]:
            spectra, valid = spectra[:, rows], valid[rows]
        # The composites' few channels are mirrored instead of hundreds of bands.
        images = self.composites.apply(spectra).take(columns, -1)
        return MirroredRows(images, valid[:, columns], spectra, int(window.col_off))


def blend_window(patch: int) -> np.ndarray:
    """Weights (patch, patch) of a patch in overlaps: highest in its centre, above 0 at its edge."""
    profile = np.sin(np.pi * (np.arange(patch) + 0.5) / patch) ** 2
    return np.outer(profile, profile).astype(np.float32)


def fill_invalid(images: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Replace invalid pixels of images (..., height, width) by the nearest valid ones."""
    if valid.all() or not valid.any():
        return images
    rows, columns = distance_transform_edt(~valid, return_distances=False, return_indices=True)
    return images[..., rows, columns]
