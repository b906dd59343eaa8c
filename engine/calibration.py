"""What is decided on pixels that a fold held out: the share of the FiLM expert, and honest confidences."""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp, softmax

BINS = 10
SHARES = np.linspace(0.0, 1.0, 11)


def fit_temperature(logits: np.ndarray, targets: np.ndarray) -> float:
    """The temperature under which held-out pixels are most likely.

    Source: Guo et al. (2017), On calibration of modern neural networks, for the mixture of an
    ensemble's members.

    Args:
        logits: (members, n, C) of pixels that the members were not trained on.
        targets: (n,) class indices, counted from 0.

    Returns:
        Between 0.2 and 5.
    """

    weights = np.full(len(targets), 1 / len(targets))
    return _best_temperature(logits, targets, weights)[0]


def fit_share(experts: np.ndarray, targets: np.ndarray) -> float:
    """The share of the FiLM expert under which held-out pixels are most likely, each at its best temperature.

    Classes count by the square root of their pixels, as in training.

    Args:
        experts: (2, members, n, C) log-probabilities of the spectral and the FiLM expert, for pixels
            that they were not trained on.
        targets: (n,) class indices, counted from 0.

    Returns:
        0 (spectral only) to 1 (FiLM only) in steps of 0.1.
    """
    counts = np.bincount(targets)[targets]
    weights = 1 / np.sqrt(counts)
    weights /= weights.sum()
    losses = [_best_temperature((1 - s) * experts[0] + s * experts[1], targets, weights)[1] for s in SHARES]
    return float(SHARES[int(np.argmin(losses))])


def _best_temperature(logits: np.ndarray, targets: np.ndarray, weights: np.ndarray) -> tuple[float, float]:
    """The temperature of the smallest weighted negative log-likelihood, and that likelihood."""

    def loss(log_temperature: float) -> float:
        scaled = logits / np.exp(log_temperature)
        log_members = scaled - logsumexp(scaled, axis=-1, keepdims=True)
        own = log_members[:, np.arange(len(targets)), targets]
        return float(-np.sum(weights * (logsumexp(own, axis=0) - np.log(len(logits)))))

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
