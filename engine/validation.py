"""Training a method and validating it by polygon, in one go."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .accuracy import Accuracy, assess, known
from .calibration import (
    calibration_error,
    fit_shares,
    fit_temperature,
    mixture,
    share_prior,
    shares_beforehand,
)
from .doubtful import DoubtfulPolygon, find_doubtful
from .ensemble import FilmEnsemble
from .folds import Folds, split_by_polygon
from .methods import Method
from .progress import Progress
from .smoothing import STEPS, Smoothing, average_alike, mix, reach_of
from .training import Fit, Samples, fit, predict_experts, predict_logits
from .training_data import Surroundings, TrainingData

# Where surroundings are expected to mislead, a small share is chance: 0.12 and 0.22 cost a point on HyMap (all labels).
LEAST_SHARE = 0.23


@dataclass(frozen=True)
class Trained:
    """A trained network, and what the cross-validation said.

    Attributes:
        fits: of all pixels first, then of every fold.
        folds: none where nothing was validated.
        smoothing: how much the pixels around one have to say.
        temperature: by which logits are divided.
        accuracy: None where nothing was validated.
        scores: for the model file.
        doubtful: polygons that the others contradict.
    """

    fits: list[Fit]
    folds: Folds
    smoothing: Smoothing
    temperature: float
    accuracy: Accuracy | None
    scores: dict[str, Any]
    doubtful: list[DoubtfulPolygon]

    @property
    def network(self) -> Any:
        """The network of all pixels."""
        return self.fits[0].network


def train(
    method: Method, data: TrainingData, validate: bool, seed: int, progress: Progress,
    ensemble: type[FilmEnsemble] = FilmEnsemble,
) -> Trained:  # fmt: skip
    """Train on all pixels and, to validate, on those of every fold.

    Args:
        ensemble: for benchmarks that fuse spectra and features in another way.
    """
    if validate:
        folds = split_by_polygon(data.labels, data.classes, seed, progress)
    else:
        folds = Folds((), (), np.zeros(len(data.labels), bool))
    everything = np.ones(len(data.labels), bool)
    fits = fit(method, data.samples, [everything, *folds.training], seed, progress, ensemble)
    trained = _validate(data, folds, fits)
    scores = trained.scores
    if "experts" in scores:
        progress.info(
            "Experts, weighed by the probabilities that they give to held-out pixels, the spectral one favoured where "
            f"surroundings say little (correlation of pixels two rows or columns apart: {data.autocorrelation:.2f}): "
            f"{describe_experts(scores['experts'])}."
        )
    if "neighbours" in scores:
        progress.info(f"Neighbours that look alike: {describe_neighbours(scores['neighbours'])}.")
    return trained


def _validate(data: TrainingData, folds: Folds, fits: list[Fit]) -> Trained:
    """What predictions of pixels that a fold held out say.

    The same predictions decide the shares of the experts, which are set in every network, and that of the
    neighbours; a few numbers make the accuracy hardly optimistic. Without folds the shares are those that are likely
    beforehand, and neighbours are not asked.
    """
    final: Any = fits[0].network
    networks: list[Any] = [f.network for f in fits[1:]]
    mixed = final if isinstance(final, FilmEnsemble) else None
    if not len(folds):
        if mixed:
            mix_beforehand(mixed, data.autocorrelation)
        return Trained(fits, folds, Smoothing(), 1.0, None, {}, [])
    tested = folds.validated
    targets = data.samples.targets[tested]
    scores: dict[str, Any] = {}
    if mixed:
        experts = held_out(predict_experts, networks, data, folds)[..., tested, :]
        prior = share_prior(mixed.spectrum_alone, data.autocorrelation)
        shares = fit_shares(experts, targets, data.labels.polygons[tested], prior).tolist()
        scores["experts"] = {
            name: {"share": share, "overall_accuracy": 100 * float((mixture(own, 1.0).argmax(1) == targets).mean())}
            for name, share, own in zip(mixed.experts_named, shares, experts, strict=True)
        }
        for network in (mixed, *networks):
            network.set_shares(shares)
    if data.surroundings:
        logits, smoothing = _ask_neighbours(networks, data, data.surroundings, folds)
        scores["neighbours"] = list(smoothing.shares)
    else:
        logits, smoothing = held_out(predict_logits, networks, data, folds)[..., tested, :], Smoothing()
    temperature = fit_temperature(logits, targets, data.labels.polygons[tested])
    probabilities = mixture(logits, temperature)
    names = [c.name for c in data.classes]
    accuracy = assess(targets + 1, probabilities.argmax(1) + 1, names, data.labels.polygons[tested])
    scores |= {
        "overall_accuracy": accuracy.overall.value,
        "average_accuracy": accuracy.average.value,
        "kappa": known(accuracy.kappa.value),
        "calibration_error": 100 * calibration_error(probabilities, targets),
        "protocol": f"{len(folds)}-fold cross-validation grouped by polygon",
        "samples": accuracy.samples,
        "polygons": accuracy.groups,
    }
    doubtful = find_doubtful(probabilities, data.labels.select(tested))
    return Trained(fits, folds, smoothing, temperature, accuracy, scores, doubtful)


def mix_beforehand(ensemble: FilmEnsemble, autocorrelation: float) -> None:
    """Give the experts the shares that are likely where nothing was validated."""
    ensemble.set_shares(shares_beforehand(share_prior(ensemble.spectrum_alone, autocorrelation)).tolist())


def describe_experts(experts: dict[str, dict[str, float]]) -> str:
    """Share and accuracy of each expert for people."""
    return ", ".join(
        f"{name} {e['share']:.0%} (alone {e['overall_accuracy']:.1f} % overall accuracy)" for name, e in experts.items()
    )


def held_out(
    predict: Callable[[Any, Samples], np.ndarray], networks: list[Any], data: TrainingData, folds: Folds
) -> np.ndarray:
    """Predictions (..., n, C) of every pixel by the network that was not trained on it."""
    predictions = np.zeros_like(predict(networks[0], data.samples))
    for network, tested in zip(networks, folds.testing, strict=True):
        predictions[..., tested, :] = predict(network, data.samples)[..., tested, :]
    return predictions


def describe_neighbours(shares: Sequence[float]) -> str:
    """What neighbours have to say in each round, for people."""
    rounds = (f"{share:.0%} within {reach_of(number)} pixels" for number, share in enumerate(shares, 1))
    return "a share of " + ", then ".join(rounds) if shares else "not asked"


def _ask_neighbours(
    networks: list[Any], data: TrainingData, surroundings: Surroundings, folds: Folds
) -> tuple[np.ndarray, Smoothing]:
    """Smoothed logits (members, n, C) of held-out pixels, and how much neighbours have to say in each round.

    There is no further round where held-out pixels do not speak for one.
    """
    tested = folds.validated
    targets, polygons = data.samples.targets[tested], data.labels.polygons[tested]
    near = [surroundings.of(testing) for testing in folds.testing]
    logits = [predict_logits(network, n.samples) for network, n in zip(networks, near, strict=True)]

    def of_tested(by_fold: list[np.ndarray]) -> np.ndarray:
        gathered = np.zeros((by_fold[0].shape[0], len(tested), by_fold[0].shape[2]), np.float32)
        for fold, n, testing in zip(by_fold, near, folds.testing, strict=True):
            gathered[:, testing] = fold[:, n.at]
        return gathered[:, tested]

    smoothing = Smoothing(noise=data.noise)
    for step in STEPS:
        averaged = [
            average_alike(own, n.samples.spectra, n.rows, n.columns, data.noise, step)
            for own, n in zip(logits, near, strict=True)
        ]
        both = np.stack([of_tested(logits), of_tested(averaged)])
        share = _share_of_neighbours(both, targets, polygons, data.autocorrelation)
        if not share:
            break
        smoothing = replace(smoothing, shares=(*smoothing.shares, share))
        logits = [mix(own, mean, share) for own, mean in zip(logits, averaged, strict=True)]
    return of_tested(logits), smoothing


def _share_of_neighbours(
    logits: np.ndarray, targets: np.ndarray, polygons: np.ndarray, autocorrelation: float
) -> float:
    """How much neighbours have to say (0..1), found as for experts that see the spectrum alone or more.

    They are not asked unless held-out pixels speak for it: mixed pixels, trees and roofs are lost for nothing else.

    Args:
        logits: (2, members, n, C) of held-out pixels, alone and averaged with those around.
        autocorrelation: of the scene.
    """
    prior = share_prior((True, False), autocorrelation)
    share = float(fit_shares(logits, targets, polygons, prior)[1])
    return share if share > max(float(shares_beforehand(prior)[1]), LEAST_SHARE) else 0.0
