"""Choosing which pixels to label next: uncertain ones, far from each other in spectrum and space.

Source: Demir, Persello and Bruzzone (2011), Batch-mode active-learning methods for the interactive
classification of remote sensing images: multiclass-level uncertainty, then clusters (MCLU-ECBD), here
with k-means and with the calibrated probabilities of an ensemble instead of distances to hyperplanes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.cluster import KMeans

SPACE_SHARE = 1 / 3


@dataclass(frozen=True)
class Candidates:
    """Pixels that could be labelled.

    Attributes:
        rows, columns: (n,) positions.
        spectra: (n, k) projected, with an overall standard deviation of about 1.
        probabilities: (n, C).
    """

    rows: np.ndarray
    columns: np.ndarray
    spectra: np.ndarray
    probabilities: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def uncertainty(self) -> np.ndarray:
        """(n,) 1 minus the difference of the two highest probabilities: 1 where two classes tie."""
        top = np.partition(self.probabilities, -2, axis=1)[:, -2:]
        return 1 - (top[:, 1] - top[:, 0])

    def select(self, keep: np.ndarray) -> Candidates:
        """Those that a mask or an index array picks."""
        return Candidates(self.rows[keep], self.columns[keep], self.spectra[keep], self.probabilities[keep])

    def one_per_block(self, side: int, rng: np.random.Generator) -> Candidates:
        """A random one of every block of `side` x `side` pixels: neighbours tell much the same."""
        order = rng.permutation(len(self))
        blocks = np.stack([self.rows[order] // side, self.columns[order] // side], 1)
        _, first = np.unique(blocks, axis=0, return_index=True)
        return self.select(order[first])

    @classmethod
    def join(cls, parts: list[Candidates]) -> Candidates:
        """All of several."""
        return cls(*(np.concatenate([getattr(p, name) for p in parts])
                     for name in ("rows", "columns", "spectra", "probabilities")))  # fmt: skip


def choose_samples(candidates: Candidates, count: int, seed: int) -> Candidates:
    """At most `count` candidates, the most uncertain first.

    The more uncertain half is grouped into clusters by spectrum and position, which makes up a third of the
    distance, and the most uncertain of each cluster is taken. Clusters of few, the most uncertain of all, would show
    the same mixtures of two classes again and again where classes overlap. Those less than half as uncertain as the
    first are only taken where there are not enough others.
    """
    uncertainty = candidates.uncertainty
    order = np.argsort(-uncertainty, kind="stable")
    hesitant = int((uncertainty >= 0.5 * uncertainty[order[0]]).sum())
    pool = candidates.select(order[: max(min(hesitant, len(order) // 2), count)])
    if len(pool) <= count:
        return pool
    position = np.stack([pool.rows, pool.columns], 1).astype(float)
    position = (position - position.mean(0)) / np.maximum(position.std(0), 1e-9)
    variance = max(float(pool.spectra.var(0).sum()), 1e-9)
    weight = np.sqrt(variance * SPACE_SHARE / (1 - SPACE_SHARE) / 2)
    clusters = KMeans(count, n_init=3, random_state=seed).fit_predict(np.hstack([pool.spectra, weight * position]))
    _, first = np.unique(clusters, return_index=True)
    return pool.select(np.sort(first))
