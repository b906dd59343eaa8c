"""Would more polygons help? Accuracy by the number of polygons, measured by a quick stand-in for the model."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from .accuracy import Z95, Figures
from .folds import Folds
from .labels import Labels, count_by_class
from .methods import Method
from .progress import Progress
from .projection import fit_spatial
from .quick_judge import Judge
from .training_data import TrainingData

SHARES = (0.25, 0.5, 0.75, 1.0)
REPETITIONS = 10
FEWEST_POLYGONS = 4
# Some seconds' work; of large polygons only some pixels are used.
PIXELS = 1000
# Points of accuracy; twice as many polygons are much work for less.
WORTHWHILE = 2.0
WHERE = "'Suggest samples' shows where to draw the next ones"


@dataclass(frozen=True)
class CurvePoint:
    """Accuracies in per cent with a number of polygons a class, the mean over classes and folds.

    Spreads are standard deviations over random choices of the polygons; 0 for all polygons, of which
    there is but one choice.
    """

    polygons: float
    overall_accuracy: float
    overall_spread: float
    average_accuracy: float
    average_spread: float


@dataclass(frozen=True)
class LearningCurve:
    """What was measured, and what follows from it.

    Attributes:
        points: for a quarter, half, three quarters and all of the polygons; empty where nothing could be measured.
        gain: points of accuracy, the mean of overall and average, that all polygons are better than half of them.
        error: standard error of the gain.
        advice: one sentence, also where there is no curve.
    """

    points: tuple[CurvePoint, ...]
    gain: float
    error: float
    advice: str


def measure_learning_curve(
    method: Method, data: TrainingData, folds: Folds, seed: int, progress: Progress
) -> LearningCurve:
    """Cross-validate with a share of the training polygons of every class, at least one, chosen at random ten times.

    The folds are those of the validation; a support vector machine sees what the network sees. All
    polygons are compared with half of them: as a rule that doubling brought more than the next one would.
    The standard error of this gain has two parts: which polygons are tested, and which half was drawn.

    Args:
        folds: of `data.labels`; without any there is no curve.
        seed: of what is chosen at random.
    """
    counts = [polygons for _, polygons in count_by_class(data.labels, data.classes).values()]
    if not len(folds):
        return _no_curve("nothing was cross-validated.")
    if max(counts) < FEWEST_POLYGONS:
        return _no_curve(f"every class has fewer than {FEWEST_POLYGONS} polygons, too few to leave some out; {WHERE}.")
    if sum(counts) > PIXELS:
        return _no_curve(f"it would take long with {sum(counts)} polygons.")
    rng = np.random.default_rng(seed)
    kept = _pixels_of_every_polygon(data.labels, rng)
    labels, inputs = data.labels.select(kept), _inputs(method, data)[kept]
    judge = Judge(labels, folds.select(kept), len(data.classes))
    # The polygons of a quarter are among those of the half: differences are then less of an accident.
    orders = [rng.permutation(labels.polygons.max() + 1) for _ in range(REPETITIONS)]
    points, predictions = [], {}
    for share in progress.track(SHARES):
        parts = [
            replace(judge.folds, training=tuple(_choose(labels, t, share, order) for t in judge.folds.training))
            for order in (orders if share < 1 else orders[:1])
        ]
        predictions[share] = np.stack([replace(judge, folds=part).predict(inputs) for part in parts])
        points.append(_point(labels, parts[0], [judge.figures(p) for p in predictions[share]]))
    everything, halves = predictions[1.0][0], predictions[0.5]
    gain, over_polygons = judge.gain(everything, halves)
    over_choices = np.std([judge.gain(everything, half)[0] for half in halves], ddof=1) / math.sqrt(REPETITIONS)
    gain, error = 100 * gain, 100 * math.hypot(over_polygons, over_choices)
    return LearningCurve(tuple(points), gain, error, _advise(gain, error))


def _pixels_of_every_polygon(labels: Labels, rng: np.random.Generator) -> np.ndarray:
    """Indices of at most `PIXELS` pixels: one of each polygon, then a second of each, and so on.

    Of a group of polygons one of each class counts, so that no class is lost.
    """
    _, polygons = np.unique(np.stack([labels.polygons, labels.class_ids]), axis=1, return_inverse=True)
    polygons = polygons.ravel()  # NumPy 2.0 returns it with two axes.
    order = rng.permutation(len(polygons))
    order = order[np.argsort(polygons[order], kind="stable")]
    _, starts, counts = np.unique(polygons[order], return_index=True, return_counts=True)
    turn = np.arange(len(order)) - np.repeat(starts, counts)
    return np.sort(order[np.argsort(turn, kind="stable")[:PIXELS]])


def _inputs(method: Method, data: TrainingData) -> np.ndarray:
    """What the network sees (n, k); of what published methods see, principal components."""
    samples = data.samples
    raw = method.uses_features and not method.components
    features = fit_spatial(samples.features).apply(samples.features) if raw else samples.features
    return np.concatenate([samples.spectra, features], 1) if method.uses_spectra else features


def _choose(labels: Labels, training: np.ndarray, share: float, order: np.ndarray) -> np.ndarray:
    """The part (n,) of a training side that lies in the first polygons of each class, in a random order."""
    chosen: list[int] = []
    for class_id in np.unique(labels.class_ids[training]):
        own = np.unique(labels.polygons[training & (labels.class_ids == class_id)])
        count = max(1, int(share * len(own) + 0.5))
        chosen += own[np.argsort(order[own])][:count].tolist()
    return training & np.isin(labels.polygons, chosen)


def _point(labels: Labels, folds: Folds, figures: Sequence[Figures]) -> CurvePoint:
    used = [len(np.unique(labels.polygons[t])) for t in folds.training]
    overall, average = ([getattr(f, name) for f in figures] for name in ("overall_accuracy", "average_accuracy"))
    return CurvePoint(
        float(np.mean(used)) / len(np.unique(labels.class_ids)),
        float(np.mean(overall)), float(np.std(overall)), float(np.mean(average)), float(np.std(average)),
    )  # fmt: skip


def _no_curve(reason: str) -> LearningCurve:
    return LearningCurve((), math.nan, math.nan, f"No learning curve was measured: {reason}")


def _advise(gain: float, error: float) -> str:
    """One sentence from the gain of all polygons over half of them."""
    change = round(gain, 1) + 0.0  # never -0.0
    measured = f"with all of yours instead of half the accuracy changes by {change:+.1f} points (± {error:.1f})"
    if gain + Z95 * error < WORTHWHILE:
        return f"More polygons of the same kind would hardly help: {measured}; {WHERE} if the map is wrong in places."
    if gain - Z95 * error > 0:
        return f"More polygons would probably help: {measured}; {WHERE}."
    return f"Whether more polygons would help cannot be said from so few: {measured}; {WHERE}."
