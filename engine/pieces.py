"""Scenes read piece by piece, as much at a time as fits into memory.

Not in `feature_source`, for which torch is loaded.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product

import numpy as np
from rasterio.windows import Window

from .outputs import BLOCK_COLUMNS, BLOCK_ROWS
from .progress import Progress
from .scene import Band, Scene

CHUNK_VALUES = 30_000_000

# Window, spectra (bands, height, span), valid (height, span), features (channels, height, span). The span is the
# window's width and, where more was asked for, some columns of the scene on both sides.
Piece = tuple[Window, np.ndarray, np.ndarray, np.ndarray]


def stream_spectra(scene: Scene, bands: Sequence[Band], progress: Progress, derived: int = 0) -> Iterator[Piece]:
    """Pieces of a scene without features, for what looks at spectra only.

    Args:
        derived: how many values the caller makes of each pixel, for which memory is left.
    """
    for window in bounded_windows(scene, len(bands) + derived, progress):
        spectra, valid = scene.read(window, bands)
        yield window, spectra, valid, np.zeros((0, *valid.shape), np.float32)


def bounded_windows(scene: Scene, values_per_pixel: int, progress: Progress) -> Iterator[Window]:
    """Windows of a bounded number of values, in whole blocks of our rasters; as wide as the scene where that fits."""
    pixels = CHUNK_VALUES // values_per_pixel
    columns = min(max(pixels // BLOCK_ROWS // BLOCK_COLUMNS, 1) * BLOCK_COLUMNS, scene.width)
    rows = max(pixels // columns // BLOCK_ROWS, 1) * BLOCK_ROWS
    corners = product(range(0, scene.width, columns), range(0, scene.height, rows))
    for column, row in progress.track(list(corners)):
        yield Window(column, row, min(columns, scene.width - column), min(rows, scene.height - row))
