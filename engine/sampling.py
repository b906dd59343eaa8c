"""Picking and reading single pixels: labelled ones, and others around them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from rasterio.windows import Window

from .labels import Labels
from .progress import Progress
from .scene import Band, Scene

if TYPE_CHECKING:
    # Torch is loaded for it.
    from .patches import PatchGrid

BLOCK = 64
CONTEXT_PIXELS = 4000
CONTEXT_REACH = 24


def read_pixels(
    scene: Scene, bands: Sequence[Band], rows: np.ndarray, columns: np.ndarray, progress: Progress
) -> tuple[np.ndarray, np.ndarray]:
    """Spectra (n, bands) float32 and validity (n,) of pixels; reads only the blocks that hold them."""
    spectra = np.zeros((len(rows), len(bands)), np.float32)
    valid = np.zeros(len(rows), bool)
    block = (rows // BLOCK) * (-(-scene.width // BLOCK)) + columns // BLOCK
    ordered = np.argsort(block, kind="stable")
    for here in progress.track(np.split(ordered, np.flatnonzero(np.diff(block[ordered])) + 1) if len(block) else []):
        y, x = rows[here], columns[here]
        top, left = int(y.min()), int(x.min())
        window = Window(left, top, int(x.max()) - left + 1, int(y.max()) - top + 1)
        values, usable = scene.read(window, bands)
        spectra[here] = values[:, y - top, x - left].T
        valid[here] = usable[y - top, x - left]
    return spectra, valid


def thin_labels(labels: Labels, per_class: int, seed: int) -> np.ndarray:
    """Indices of at most `per_class` pixels of each class, drawn so that small polygons keep their share.

    Neighbouring pixels of one large polygon tell a network little that is new.
    """
    rng = np.random.default_rng(seed)
    kept = []
    for class_id in np.unique(labels.class_ids):
        ours = np.flatnonzero(labels.class_ids == class_id)
        if len(ours) > per_class:
            _, polygon, size = np.unique(labels.polygons[ours], return_inverse=True, return_counts=True)
            weight = 1 / np.sqrt(size[polygon])
            ours = rng.choice(ours, per_class, replace=False, p=weight / weight.sum())
        kept.append(ours)
    return np.sort(np.concatenate(kept))


def context_pixels(labels: Labels, grid: PatchGrid, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Pixels (rows, columns) near the labels, with a label or without, that cost no further patch.

    They show what features look like in general, so that principal components are not fitted to a
    handful of labelled pixels.
    """
    rng = np.random.default_rng(seed)
    computed = set(grid.containing(labels.rows, labels.columns))
    repeats = -(-4 * CONTEXT_PIXELS // len(labels))
    shift = rng.integers(-CONTEXT_REACH, CONTEXT_REACH + 1, (2, repeats * len(labels)))
    rows = np.tile(labels.rows, repeats) + shift[0]
    columns = np.tile(labels.columns, repeats) + shift[1]
    inside = (rows >= 0) & (rows < grid.height) & (columns >= 0) & (columns < grid.width)
    flat = np.unique(rows[inside] * grid.width + columns[inside])
    flat = rng.permutation(flat)[:CONTEXT_PIXELS]
    rows, columns = np.divmod(flat, grid.width)
    free = [
        all(
            (i, j) in computed
            for i in grid.around(row, grid.rows)
            for j in grid.around(column, grid.columns)
        )
        for row, column in zip(rows.tolist(), columns.tolist(), strict=True)
    ]
    return rows[free], columns[free]
