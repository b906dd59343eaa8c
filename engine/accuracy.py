"""Accuracy of a map from pairs of reference and predicted classes.

Confusion matrices have the reference in rows and the prediction in columns, everywhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats
from scipy.sparse import csr_array

Z95 = 1.959963984540054
REPLICATES = 1000
# In confusion matrices that are held at a time.
MATRIX_VALUES = 1_000_000


@dataclass(frozen=True)
class Estimate:
    """A figure in per cent with its 95 % confidence interval; NaN where it is not defined."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        if np.isnan(self.value):
            return "not defined"
        if np.isnan(self.low):
            return f"{self.value:.1f} %"
        return f"{self.value:.1f} % ({self.low:.1f} to {self.high:.1f})"


@dataclass(frozen=True)
class ClassAccuracy:
    """Figures of one class: precision is the user's, recall the producer's accuracy."""

    name: str
    reference: int
    predicted: int
    precision: Estimate
    recall: Estimate
    f1: Estimate


@dataclass(frozen=True)
class Accuracy:
    """Figures of a map.

    Attributes:
        matrix: (C, C) int64 confusion matrix, rows reference, columns prediction.
        overall, average, kappa: OA, mean recall of the classes that occur, Cohen's kappa; per cent.
        classes: figures of each class.
        samples: number of pixels compared.
        groups: number of polygons or points, or of blocks of a label raster, that they come from.
        matrix_rows, matrix_columns: what stands in them, for reports.
    """

    matrix: np.ndarray
    overall: Estimate
    average: Estimate
    kappa: Estimate
    classes: tuple[ClassAccuracy, ...]
    samples: int
    groups: int
    matrix_rows: str = "reference"
    matrix_columns: str = "prediction"

    @property
    def is_chance(self) -> bool:
        """Whether agreement cannot be told from chance: kappa or, where it has one, its interval reaches 0."""
        kappa = self.kappa
        return bool(kappa.value <= 0 if np.isnan(kappa.low) else kappa.low <= 0)


@dataclass(frozen=True)
class AreaEstimate:
    """One class after correcting for the map's errors: share of the area and accuracies, per cent."""

    name: str
    mapped_share: float
    share: Estimate
    precision: Estimate
    recall: Estimate


@dataclass(frozen=True)
class AreaAdjusted:
    """Area-adjusted estimates: overall accuracy and one entry a class."""

    overall: Estimate
    classes: tuple[AreaEstimate, ...]


def known(figure: float) -> float | None:
    """A figure, or None where it is not defined: JSON has no NaN."""
    return None if np.isnan(figure) else figure


def confusion_matrix(
    reference: np.ndarray, predicted: np.ndarray, classes: int, counts: np.ndarray | None = None
) -> np.ndarray:
    """Counts (C, C) of class ids 1..C: rows reference, columns prediction.

    Args:
        counts: (n,) how often each pair occurs; once without.
    """
    flat = (np.asarray(reference, np.int64) - 1) * classes + (np.asarray(predicted, np.int64) - 1)
    return np.bincount(flat, counts, classes * classes).astype(np.int64).reshape(classes, classes)


def overall_accuracy(matrix: np.ndarray) -> np.ndarray:
    """Share (0..1) of agreement of matrices (..., C, C)."""
    return _divide(np.trace(matrix, axis1=-2, axis2=-1), matrix.sum((-2, -1)))


def average_accuracy(matrix: np.ndarray) -> np.ndarray:
    """Mean recall (0..1) over the classes that occur in the reference, of matrices (..., C, C)."""
    recall = _divide(np.diagonal(matrix, axis1=-2, axis2=-1), matrix.sum(-1))
    occurs = matrix.sum(-1) > 0
    return _divide(np.where(occurs, recall, 0.0).sum(-1), occurs.sum(-1))


def cohen_kappa(matrix: np.ndarray) -> np.ndarray:
    """Agreement beyond chance (-1..1) of matrices (..., C, C); NaN where chance agreement is 1."""
    total = matrix.sum((-2, -1))
    # As floats, since products of the counts of a large map are too large for integers.
    chance = _divide((matrix.sum(-1).astype(float) * matrix.sum(-2)).sum(-1), total.astype(float) ** 2)
    return _divide(overall_accuracy(matrix) - chance, 1.0 - chance)


@dataclass(frozen=True)
class Figures:
    """The usual figures in per cent, without intervals."""

    overall_accuracy: float
    average_accuracy: float
    kappa: float

    @classmethod
    def of(cls, reference: np.ndarray, predicted: np.ndarray, classes: int) -> Figures:
        """Those of class ids (n,), counted from 1."""
        matrix = confusion_matrix(reference, predicted, classes)
        parts = (overall_accuracy(matrix), average_accuracy(matrix), cohen_kappa(matrix))
        return cls(*(100 * float(part) for part in parts))


def assess(
    reference: np.ndarray, predicted: np.ndarray, names: Sequence[str], groups: np.ndarray,
    counts: np.ndarray | None = None,
) -> Accuracy:  # fmt: skip
    """All figures with 95 % confidence intervals.

    Intervals of OA, AA and kappa come from resampling whole polygons (expanded percentile bootstrap: Hesterberg,
    2015, What teachers should know about the bootstrap), since pixels of one polygon resemble each other. A single
    polygon has none; where all replicates are equal, it is Wilson's of so many polygons.
    Precision and recall have Wilson intervals; F1 has the Wilson interval of the Jaccard index
    J = TP / (TP + FP + FN), carried over by F1 = 2 J / (1 + J). These treat pixels as independent and
    are too narrow where polygons are large.

    Args:
        reference, predicted: (n,) class ids, counted from 1.
        names: of the classes 1..C.
        groups: (n,) the polygon or point of each pair.
        counts: (n,) how often each pair occurs in its group; once without.
    """
    count = len(names)
    matrix = confusion_matrix(reference, predicted, count, counts)
    figures = (overall_accuracy, average_accuracy, cohen_kappa)
    parts = [[f(m) for f in figures] for m in _bootstrap(reference, predicted, groups, counts, count)]
    replicates = np.concatenate(parts, axis=1)
    polygons = len(np.unique(groups))
    correct, per_reference, per_prediction = np.diag(matrix), matrix.sum(1), matrix.sum(0)
    classes = []
    for i, name in enumerate(names):
        jaccard = _wilson(correct[i], per_reference[i] + per_prediction[i] - correct[i])
        classes.append(ClassAccuracy(
            name, int(per_reference[i]), int(per_prediction[i]),
            _wilson(correct[i], per_prediction[i]), _wilson(correct[i], per_reference[i]),
            Estimate(*(200 * j / (100 + j) for j in (jaccard.value, jaccard.low, jaccard.high))),
        ))  # fmt: skip
    overall, average, kappa = (
        _percentile(figure(matrix), found, polygons) for figure, found in zip(figures, replicates, strict=True)
    )
    return Accuracy(matrix, overall, average, kappa, tuple(classes), int(matrix.sum()), polygons)


def adjust_for_area(matrix: np.ndarray, mapped: np.ndarray, names: Sequence[str]) -> AreaAdjusted | None:
    """Stratified estimates from a reference sample and the mapped area of every class.

    Source: Olofsson et al. (2014), Good practices for estimating area and assessing accuracy of land
    change, equations 1-11; strata are the map classes. Standard errors become intervals of +-1.96.

    Args:
        matrix: (C, C) counts, rows reference, columns prediction.
        mapped: (C,) area of each class in the map, in any unit.

    Returns:
        None where a mapped class has fewer than two samples, for which no estimate and its error exist.
    """
    counts = matrix.T.astype(float)  # the source has the map in rows
    per_stratum = counts.sum(1)
    weight = mapped / mapped.sum()
    if np.any((weight > 0) & (per_stratum < 2)):
        return None
    row_share = np.divide(counts, per_stratum[:, None], out=np.zeros_like(counts), where=per_stratum[:, None] > 0)
    share = weight[:, None] * row_share
    degrees = np.maximum(per_stratum - 1, 1)[:, None]
    variance = weight[:, None] ** 2 * row_share * (1 - row_share) / degrees  # of each entry of `share`
    users = np.diag(row_share)
    area = share.sum(0)
    recall = _divide(np.diag(share), area)
    own = np.diag(variance)
    others = variance.sum(0) - own
    recall_variance = _divide((1 - recall) ** 2 * own + recall**2 * others, area**2)
    users_variance = users * (1 - users) / degrees[:, 0]
    classes = tuple(
        AreaEstimate(
            name,
            100 * float(weight[j]),
            _normal(area[j], variance[:, j].sum()),
            _normal(users[j] if per_stratum[j] else np.nan, users_variance[j]),
            _normal(recall[j], recall_variance[j]),
        )
        for j, name in enumerate(names)
    )
    return AreaAdjusted(_normal(np.trace(share), own.sum()), classes)


def _bootstrap(
    reference: np.ndarray, predicted: np.ndarray, groups: np.ndarray, counts: np.ndarray | None, classes: int
) -> Iterator[np.ndarray]:
    """Confusion matrices (some, C, C) of resampled polygons, REPLICATES in all."""
    _, group = np.unique(groups, return_inverse=True)
    cell = (reference - 1) * classes + (predicted - 1)
    # Only what occurs is kept: a label raster has a block, each with a few cells, for every 1024 pixels of the map.
    present, cell = np.unique(cell, return_inverse=True)
    size = int(group.max(initial=0)) + 1
    values = np.ones(len(cell)) if counts is None else counts.astype(np.float64)
    per_cell = csr_array((values, (cell, group)), shape=(len(present), size))
    rng = np.random.default_rng(0)
    at_once = max(MATRIX_VALUES // classes**2, 1)
    for first in range(0, REPLICATES, at_once):
        replicates = np.zeros((min(at_once, REPLICATES - first), classes * classes))
        for replicate in replicates:
            drawn = np.bincount(rng.integers(size, size=size), minlength=size)
            replicate[present] = per_cell @ drawn
        yield replicates.reshape(-1, classes, classes)


def _percentile(value: np.ndarray, replicates: np.ndarray, polygons: int) -> Estimate:
    finite = replicates[np.isfinite(replicates)]
    if polygons < 2 or not len(finite):
        return Estimate(100 * float(value), np.nan, np.nan)
    if np.ptp(finite) < 1e-9 and 0 <= value <= 1:
        return _wilson(float(value) * polygons, polygons)
    tail = stats.norm.cdf(-np.sqrt(polygons / (polygons - 1)) * stats.t.ppf(0.975, polygons - 1))
    low, high = np.quantile(finite, (tail, 1 - tail))
    return Estimate(100 * float(value), 100 * float(low), 100 * float(high))


def _wilson(successes: float, trials: float) -> Estimate:
    """A proportion in per cent with its Wilson score interval."""
    if trials == 0:
        return Estimate(np.nan, np.nan, np.nan)
    share = successes / trials
    centre = (share + Z95**2 / (2 * trials)) / (1 + Z95**2 / trials)
    half = Z95 / (1 + Z95**2 / trials) * np.sqrt(share * (1 - share) / trials + Z95**2 / (4 * float(trials) ** 2))
    return Estimate(100 * float(share), 100 * float(max(centre - half, 0)), 100 * float(min(centre + half, 1)))


def _normal(share: float, variance: float) -> Estimate:
    half = Z95 * np.sqrt(variance)
    return Estimate(100 * float(share), 100 * float(max(share - half, 0)), 100 * float(min(share + half, 1)))


def _divide(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(np.asarray(denominator) != 0, np.asarray(numerator, float) / denominator, np.nan)
