"""What is decided on pixels that a fold held out: the shares of the experts, and honest confidences."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp, softmax

from .kernel import thin_evenly

BINS = 10
SHARE_STEPS = 5
MOST_PIXELS = 2000
PRIOR_SPREAD = 0.3
SPECTRUM_PRIOR = 50.0


def fit_temperature(logits: np.ndarray, targets: np.ndarray, polygons: np.ndarray) -> float:
    """The temperature that held-out pixels make most probable.

    Source: Guo et al. (2017), On calibration of modern neural networks, for the mixture of an ensemble's members.
    They take the most likely temperature; of a few labels that can be far off, so that temperatures near 1 are
    more probable here beforehand (a normal distribution of the logarithm). All pixels together count as many
    observations as they have polygons.

    Args:
        logits: (members, n, C) of pixels that the members were not trained on.
        targets: (n,) class indices, counted from 0.
        polygons: (n,) which polygon a pixel lies in.

    Returns:
        Between 0.2 and 5.
    """
    weights = np.full(len(targets), 1 / len(targets))
    return _best_temperature(logits, targets, weights, 1 / (len(np.unique(polygons)) * PRIOR_SPREAD**2))[0]


def fit_shares(
    experts: np.ndarray, targets: np.ndarray, polygons: np.ndarray, prior: np.ndarray
) -> np.ndarray:
    """How much each expert has to say: the mean of all mixtures, weighted by their likelihood on held-out pixels.

    Mixtures with shares in steps of 0.2 are tried, each at its best temperature. All pixels together count as many
    observations as they have polygons, since those of one are alike. Few polygons say little; many leave little but the
    best mixture.
    Taking the best mixture alone follows chance where polygons are few.

    Classes count by the square root of their pixels, as in training.

    Args:
        experts: (K, members, n, C) log-probabilities, for pixels that the experts were not trained on.
        targets: (n,) class indices, counted from 0.
        polygons: (n,) which polygon a pixel lies in.
        prior: (K,) see `share_prior`.

    Returns:
        (K,) between 0 and 1, adding up to 1.
    """
    observations = len(np.unique(polygons))
    of_class = np.bincount(targets)
    some = thin_evenly(targets, MOST_PIXELS)
    experts, targets = experts[:, :, some], targets[some]
    weights = (np.sqrt(of_class) / np.maximum(np.bincount(targets, minlength=len(of_class)), 1))[targets]
    weights /= weights.sum()
    mixtures = _mixtures(len(experts))
    losses = np.array([_best_temperature(np.tensordot(m, experts, 1), targets, weights)[1] for m in mixtures])
    return softmax(mixtures @ prior - observations * losses) @ mixtures


def share_prior(spectrum_alone: Sequence[bool], autocorrelation: float) -> np.ndarray:
    """How much more probable a mixture is beforehand for each expert's share in it: (K,), as logarithms.

    The surroundings of polygons in one part of a scene may mislead in another, which only polygons in many parts can
    tell. So experts that see the spectrum alone are favoured: hardly where pixels are like those two apart, much where
    these show something else, as mixed pixels of 30 m in a town do. Strength and power were chosen by measurement.

    Args:
        spectrum_alone: for each expert, whether it sees nothing of a pixel's surroundings.
        autocorrelation: of pixels two apart (0..1), see `Survey.autocorrelation`.
    """
    return SPECTRUM_PRIOR * (1 - autocorrelation) ** 2 * np.array(spectrum_alone, float)


def shares_beforehand(prior: np.ndarray) -> np.ndarray:
    """Shares (K,) of the experts where no held-out pixel tells anything."""
    mixtures = _mixtures(len(prior))
    return softmax(mixtures @ prior) @ mixtures


def _mixtures(experts: int) -> np.ndarray:
    """All shares (m, experts) in steps of 0.2 that add up to 1."""
    parts = product(range(SHARE_STEPS + 1), repeat=experts)
    return np.array([p for p in parts if sum(p) == SHARE_STEPS]) / SHARE_STEPS


def _best_temperature(
    logits: np.ndarray, targets: np.ndarray, weights: np.ndarray, caution: float = 0.0
) -> tuple[float, float]:
    """The temperature of the smallest weighted negative log-likelihood, and that likelihood.

    Args:
        caution: how much half the squared logarithm of the temperature adds to it.
    """

    def loss(log_temperature: float) -> float:
        scaled = logits / np.exp(log_temperature)
        log_members = scaled - logsumexp(scaled, axis=-1, keepdims=True)
        own = log_members[:, np.arange(len(targets)), targets]
        unlikeliness = -np.sum(weights * (logsumexp(own, axis=0) - np.log(len(logits))))
        return float(unlikeliness + caution * log_temperature**2 / 2)

    found = minimize_scalar(loss, bounds=(np.log(0.2), np.log(5.0)), method="bounded")
    return float(np.exp(found.x)), float(found.fun)


def calibration_error(probabilities: np.ndarray, targets: np.ndarray) -> float:
    """Expected calibration error (0..1): how far confidence and share of hits differ, over ten bins.

    Args:
        probabilities: (n, C).
        targets: (n,) class indices, counted from 0.
    """
    confidence = probabilities.max(1)
    hit = probabilities.argmax(1) == targets
    bin_of = np.minimum((confidence * BINS).astype(int), BINS - 1)
    gaps = [
        abs(hit[bin_of == b].mean() - confidence[bin_of == b].mean()) * (bin_of == b).mean()
        for b in range(BINS)
        if (bin_of == b).any()
    ]
    return float(sum(gaps))


def mixture(logits: np.ndarray, temperature: float) -> np.ndarray:
    """Class probabilities (n, C) of an ensemble's logits (members, n, C)."""
    return softmax(logits / temperature, axis=-1).mean(0)
