"""Choosing which pixels to label next: such that many uncertain pixels are like one that is labelled.

Source: Wei, Iyer and Bilmes (2015), Submodularity in data subset selection and active learning: the facility-location
function, maximised greedily; here every pixel counts by its uncertainty, and what is labelled already is covered.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import numpy as np
from scipy.ndimage import uniform_filter

from .progress import Progress

SPACE_SHARE = 1 / 3
# Squared distance over which two pixels are alike, in units of the median between candidates.
REACH = 0.1
NEARLY_NONE = 1e-6


@dataclass(frozen=True)
class Candidates:
    """Pixels that could be labelled.

    Attributes:
        rows, columns: (n,) positions.
        spectra: (n, k) projected.
        probabilities: (n, C).
        uncertainty: (n,) 0..1, by which they count.
    """

    rows: np.ndarray
    columns: np.ndarray
    spectra: np.ndarray
    probabilities: np.ndarray
    uncertainty: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)

    def select(self, keep: np.ndarray) -> Candidates:
        """Those that a mask or an index array picks."""
        return Candidates(*(values[keep] for values in self._values()))

    def one_per_block(self, side: int, seed: int) -> Candidates:
        """A random one of every block of `side` x `side` pixels: neighbours tell much the same.

        Which one depends on the seed and on where they lie, not on how a scene is cut into pieces.
        """
        order = np.argsort(_scattered(self.rows, self.columns, seed))
        blocks = np.stack([self.rows[order] // side, self.columns[order] // side], 1)
        _, first = np.unique(blocks, axis=0, return_index=True)
        return self.select(order[first])

    @classmethod
    def join(cls, parts: list[Candidates]) -> Candidates:
        """All of several."""
        return cls(*(np.concatenate(values) for values in zip(*(p._values() for p in parts), strict=True)))

    def _values(self) -> list[np.ndarray]:
        return [getattr(self, field.name) for field in fields(self)]


def _scattered(rows: np.ndarray, columns: np.ndarray, seed: int) -> np.ndarray:
    """Numbers (n,) of positions that look random and are always the same.

    Source: Steele, Lea & Flood (2014), Fast splittable pseudorandom number generators, the mixing of SplitMix64.
    """
    start = np.random.SeedSequence(seed).generate_state(1, np.uint64)
    value = start ^ (rows.astype(np.uint64) << np.uint64(32) | columns.astype(np.uint64))
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        value = (value ^ (value >> np.uint64(shift))) * np.uint64(factor)
    return value ^ (value >> np.uint64(31))


def hesitation(probabilities: np.ndarray) -> np.ndarray:
    """(n,) 1 minus the difference of the two highest of probabilities (n, C): 1 where two classes tie."""
    top = np.partition(probabilities, -2, axis=1)[:, -2:]
    return 1 - (top[:, 1] - top[:, 0])


def mean_around(values: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """The mean of values (n,) of valid pixels (height, width) over the valid ones of 3 x 3 pixels: (n,).

    Along the border of two classes pixels are mixed, and a line of them is all that a model hesitates about. Nobody
    could draw a polygon there.
    """
    image = np.zeros(valid.shape, np.float32)
    image[valid] = values
    total, count = (uniform_filter(x, 3, mode="constant") for x in (image, valid.astype(np.float32)))
    return total[valid] / count[valid]


def choose_samples(candidates: Candidates, labelled: Candidates, count: int, progress: Progress) -> np.ndarray:
    """Indices of at most `count` candidates, the one that helps most first.

    A place helps all uncertain pixels that are like it in spectrum and position, but not like a labelled or chosen one;
    its own uncertainty counts, too. The most uncertain pixels alone would show the same mixtures of two classes again
    and again where classes overlap.

    Args:
        candidates: a few thousand at most, since each is compared with each.
        labelled: pixels with a label; their uncertainty does not count.
    """
    points = _points(candidates, candidates)
    distance = _squared_distances(points, points)
    reach = max(REACH * float(np.median(distance)), 1e-9)
    alike = np.exp(-distance / reach)
    covered = np.exp(-_squared_distances(points, _points(labelled, candidates)) / reach).max(1, initial=0.0)
    # Where a model hesitates nowhere, places are at least spread.
    uncertainty = candidates.uncertainty + NEARLY_NONE
    gain = np.full(len(candidates), np.inf)
    chosen: list[int] = []
    for _ in progress.track(range(min(count, len(candidates)))):
        # Gains only shrink while places are chosen, so one that is still the largest when brought up to date is.
        best = -1
        while gain.argmax() != best:
            best = int(gain.argmax())
            gain[best] = uncertainty[best] * (uncertainty @ np.maximum(alike[best] - covered, 0.0))
        chosen.append(best)
        gain[best] = -np.inf
        covered = np.maximum(covered, alike[best])
    return np.array(chosen, int)


def _points(pixels: Candidates, among: Candidates) -> np.ndarray:
    """Spectra and positions (n, k + 2), of which positions make up SPACE_SHARE of the squared distances `among` all."""
    positions = [np.stack([p.rows, p.columns], 1).astype(np.float32) for p in (pixels, among)]
    spread = np.maximum(positions[1].std(0), 1e-9)
    variance = max(float(among.spectra.var(0).sum()), 1e-9)
    weight = math.sqrt(variance * SPACE_SHARE / (1 - SPACE_SHARE) / 2)
    return np.hstack([pixels.spectra, weight * (positions[0] - positions[1].mean(0)) / spread])


def _squared_distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(n, m) between points (n, k) and (m, k)."""
    return np.maximum((a**2).sum(1)[:, None] + (b**2).sum(1) - 2 * a @ b.T, 0.0)
