"""Training a method and validating it by polygon, in one go."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import nn

from .accuracy import Accuracy, assess
from .calibration import (
    calibration_error,
    fit_shares,
    fit_temperature,
    mixture,
    share_prior,
    shares_beforehand,
)
from .ensemble import FilmEnsemble
from .folds import Folds, split_by_polygon
from .methods import Method
from .progress import Progress
from .smoothing import Smoothing, average_alike, mix
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
    """

    fits: list[Fit]
    folds: Folds
    smoothing: Smoothing
    temperature: float
    accuracy: Accuracy | None
    scores: dict[str, Any]

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
    networks = [f.network for f in fits]
    accuracy, smoothing, temperature, scores = _validate(data, folds, networks[0], networks[1:])
    if "experts" in scores:
        progress.info(
            f"Experts, weighed by cross-validation (pixels two apart correlate by {data.autocorrelation:.2f}): "
            f"{describe_experts(scores['experts'])}."
        )
    if "neighbours" in scores:
        progress.info(f"Neighbours that look alike: a share of {smoothing.share:.0%} in a pixel's class.")
    return Trained(fits, folds, smoothing, temperature, accuracy, scores)


def _validate(
    data: TrainingData, folds: Folds, final: nn.Module, networks: list[Any]
) -> tuple[Accuracy | None, Smoothing, float, dict[str, Any]]:
    """Accuracy, smoothing, temperature and scores from predictions of pixels that a fold held out.

    The same predictions decide the shares of the experts, which are set in every network, and that of the
    neighbours; a few numbers make the accuracy hardly optimistic. Without folds the shares are those that are likely
    beforehand, and neighbours are not asked.
    """
    mixed = final if isinstance(final, FilmEnsemble) and len(final.experts_named) > 1 else None
    if not len(folds):
        if mixed:
            mix_beforehand(mixed, data.autocorrelation)
        return None, Smoothing(), 1.0, {}
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
    logits = held_out(predict_logits, networks, data, folds)[..., tested, :]
    smoothing = Smoothing()
    if data.surroundings:
        averaged = _held_out_averaged(networks, data, data.surroundings, folds)[..., tested, :]
        share = _share_of_neighbours(np.stack([logits, averaged]), targets, data.labels.polygons[tested], data)
        smoothing = Smoothing(share, data.noise)
        logits = mix(logits, averaged, smoothing.share)
        scores["neighbours"] = smoothing.share
    temperature = fit_temperature(logits, targets, data.labels.polygons[tested])
    probabilities = mixture(logits, temperature)
    names = [c.name for c in data.classes]
    accuracy = assess(targets + 1, probabilities.argmax(1) + 1, names, data.labels.polygons[tested])
    scores |= {
        "overall_accuracy": accuracy.overall.value,
        "average_accuracy": accuracy.average.value,
        "kappa": accuracy.kappa.value,
        "calibration_error": 100 * calibration_error(probabilities, targets),
        "protocol": f"{len(folds)}-fold cross-validation grouped by polygon",
        "samples": accuracy.samples,
        "polygons": accuracy.groups,
    }
    return accuracy, smoothing, temperature, scores


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


def _share_of_neighbours(logits: np.ndarray, targets: np.ndarray, polygons: np.ndarray, data: TrainingData) -> float:
    """How much neighbours have to say (0..1), found as for experts that see the spectrum alone or more.

    They are not asked unless held-out pixels speak for it: mixed pixels, trees and roofs are lost for nothing else.

    Args:
        logits: (2, members, n, C) of held-out pixels, alone and averaged with those around.
    """
    prior = share_prior((True, False), data.autocorrelation)
    share = float(fit_shares(logits, targets, polygons, prior)[1])
    return share if share > max(float(shares_beforehand(prior)[1]), LEAST_SHARE) else 0.0


def _held_out_averaged(networks: list[Any], data: TrainingData, surroundings: Surroundings, folds: Folds) -> np.ndarray:
    """Logits (members, n, C) of every pixel, averaged with those around, by the network that was not trained on it."""
    averaged = np.zeros_like(predict_logits(networks[0], data.samples))
    for network, tested in zip(networks, folds.testing, strict=True):
        near = surroundings.of(tested)
        own = predict_logits(network, near.samples)
        averaged[:, tested] = average_alike(own, near.samples.spectra, near.rows, near.columns, data.noise)[:, near.at]
    return averaged
