"""How much of labelled pixels which polygons cover: what a pixel at a border shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.sparse import csr_array, vstack

# Of the share that polygons cover of a pixel: one of which half is unknown counts an eighth in training.
POWER = 3.0


@dataclass(frozen=True)
class Cover:
    """How much of each of several pixels which polygons cover.

    Attributes:
        shares: (n, p) float32 of pixels by polygons, 0..1.
        class_ids: (p,) int64 class of each polygon, counted from 1.
        polygons: (p,) int64, polygon or group of polygons, as in `Labels.polygons`.
    """

    shares: csr_array
    class_ids: np.ndarray
    polygons: np.ndarray

    @classmethod
    def join(cls, covers: Sequence[Cover]) -> Cover:
        """Of the pixels of several, by the same polygons."""
        return replace(covers[0], shares=vstack([cover.shares for cover in covers], "csr"))

    def select(self, keep: np.ndarray) -> Cover:
        """Of the pixels that a mask or an index array picks."""
        return replace(self, shares=self.shares[keep])

    def without(self, polygons: np.ndarray) -> Cover:
        """As though some polygons, or groups of them, had not been drawn."""
        return self._of_polygons(~np.isin(self.polygons, polygons))

    def of_classes(self, ids: np.ndarray) -> Cover:
        """By polygons of some classes only, whose sorted ids become 1, 2, ..."""
        kept = self._of_polygons(np.isin(self.class_ids, ids))
        return replace(kept, class_ids=np.searchsorted(ids, kept.class_ids) + 1)

    def by_class(self, classes: int) -> np.ndarray:
        """Share (n, classes) float32 of each pixel that polygons of every class cover together, at most 1."""
        count = len(self.class_ids)
        of_class = csr_array((np.ones(count, np.float32), (np.arange(count), self.class_ids - 1)), (count, classes))
        return (self.shares @ of_class).toarray().clip(max=1)

    def shown(self, targets: np.ndarray, classes: int) -> tuple[np.ndarray, np.ndarray]:
        """What pixels show: shares of the classes (n, classes) that add up to 1, and how much a pixel counts (n,).

        A pixel shows all that polygons cover of it, if at least half of that is of its own class, else its class alone:
        one that is nowhere the largest part would be lost. It counts the less, 0..1, the more of it is something else.

        Args:
            targets: (n,) own class of each pixel, counted from 0.
        """
        covered = self.by_class(classes)
        own, total = covered[np.arange(len(targets)), targets], covered.sum(1)
        mixed = own >= total / 2
        shares = covered / np.maximum(total, 1e-6)[:, None]
        shares[~mixed] = np.eye(classes, dtype=np.float32)[targets[~mixed]]
        return shares, np.where(mixed, total.clip(max=1), own).astype(float) ** POWER

    def _of_polygons(self, kept: np.ndarray) -> Cover:
        if kept.all():
            return self
        return Cover(self.shares[:, np.flatnonzero(kept)], self.class_ids[kept], self.polygons[kept])
