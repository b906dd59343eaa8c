"""Components of spectra, ordered by how much signal stands out from the noise.

Principal components are ordered by variance, and in a noisy scene most of them are noise. How much of a
component is noise is told by neighbouring pixels, which mostly show the same cover.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import eigh

# In units of a band's variance. Neighbours in a smooth or resampled scene differ less than its bands err.
NOISE_FLOOR = 0.03
# Neighbours may differ because the ground does, so nothing is taken for noise altogether.
LEAST_SIGNAL = 0.01


@dataclass(frozen=True)
class Components:
    """Uncorrelated linear functions of spectra, each of variance 1 over the scene.

    Attributes:
        mean: (B,) of the spectra, to be taken off first.
        axes: (k, B) weights of the bands.
        strength: (k,) what they are ordered by, largest first.
        signal: (k,) share of the variance that is no noise (0..1).
    """

    mean: np.ndarray
    axes: np.ndarray
    strength: np.ndarray
    signal: np.ndarray


def neighbour_noise(steps: np.ndarray) -> np.ndarray:
    """Covariance (B, B) of noise from differences (m, B) between neighbouring pixels; zeros where there are none.

    What the ground itself varies by from pixel to pixel counts as noise, too.

    Source: Switzer & Green (1984), Min/max autocorrelation factors for multivariate spatial imagery.
    """
    steps = steps.astype(np.float64)
    return steps.T @ steps / (2 * max(len(steps), 1))


def principal_components(pixels: np.ndarray, noise: np.ndarray, count: int) -> Components:
    """The first components of standardised bands by variance.

    Args:
        pixels: (n, B) spectra.
        noise: (B, B) covariance of their noise.
    """
    mean, spread, covariance = _standardised(pixels)
    variances, vectors = np.linalg.eigh(covariance)
    return _components(mean, spread, noise, variances, vectors, count)


def noise_adjusted_components(pixels: np.ndarray, noise: np.ndarray, count: int) -> Components:
    """The first components of standardised bands by the ratio of their variance to that of their noise.

    Source: Green et al. (1988), A transformation for ordering multispectral data in terms of image quality with
    implications for noise removal (minimum noise fractions); here with a floor of the noise.

    Args:
        pixels: (n, B) spectra.
        noise: (B, B) covariance of their noise.
    """
    mean, spread, covariance = _standardised(pixels)
    adjusted = noise / np.outer(spread, spread) + NOISE_FLOOR * np.eye(len(spread))
    ratios, vectors = eigh(covariance, adjusted)
    return _components(mean, spread, noise, ratios, vectors, count)


def _standardised(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean and standard deviation of each band, and the covariance of the bands divided by it."""
    mean, spread = pixels.mean(0, dtype=np.float64), np.maximum(pixels.std(0, dtype=np.float64), 1e-12)
    centred = (pixels - mean) / spread
    return mean, spread, centred.T @ centred / len(centred)


def _components(
    mean: np.ndarray, spread: np.ndarray, noise: np.ndarray, strength: np.ndarray, vectors: np.ndarray, count: int
) -> Components:
    order = np.argsort(strength)[::-1][:count]
    order = order[strength[order] > 1e-12 * strength.max()]
    axes = (vectors[:, order] / np.sqrt(strength[order]) / spread[:, None]).T
    axes = oriented(axes)
    of_noise = np.einsum("kb,bc,kc->k", axes, noise, axes)
    return Components(mean, axes, strength[order], np.clip(1 - of_noise, LEAST_SIGNAL, 1))


def oriented(axes: np.ndarray) -> np.ndarray:
    """Axes (k, B) of which the largest weight is positive: the sign of a component is arbitrary."""
    return axes * np.sign(axes[np.arange(len(axes)), np.abs(axes).argmax(1)])[:, None]
