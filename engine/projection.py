"""Affine maps that bring spectra and spatial features to a scale a small network learns from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import block_diag

from .components import Components, noise_adjusted_components, principal_components

SPECTRAL_COMPONENTS = 40
STRENGTH_POWER = 0.25
NOISE_ADJUSTED_PART = 0.2
SPATIAL_COMPONENTS = 48
SPATIAL_SCALE = 0.5


@dataclass(frozen=True)
class Projection:
    """y = components (x - mean), from D to k numbers.

    Attributes:
        mean: (D,) float32.
        components: (k, D) float32.
    """

    mean: np.ndarray
    components: np.ndarray

    def variance(self, covariance: np.ndarray) -> float:
        """Variance, summed over the components, of what has a covariance (D, D) before projection."""
        return float(np.einsum("kb,bc,kc->", self.components, covariance, self.components))

    def apply(self, values: np.ndarray) -> np.ndarray:
        """Map (n, D) to (n, k) float32."""
        return ((values - self.mean) @ self.components.T).astype(np.float32)


def fit_spectral(pixels: np.ndarray, noise: np.ndarray) -> Projection:
    """Components of spectra by variance and by signal-to-noise ratio, as inputs of a classifier.

    Principal components keep what is large, noise-adjusted ones also what is small and yet well above the noise.
    The latter have a smaller part of the variance: on clean scenes of mixed pixels they made networks overfit.

    Each component has the share of its signal as standard deviation, times a power of its strength. Left as strong
    as they are (power 1/2), the first ones (brightness) drown the rest; with power 0 each counts alike. The power and
    the part of the noise-adjusted components were chosen by measurement.

    Args:
        pixels: (n, bands) spectra of the scene, labelled or not.
        noise: (bands, bands) covariance of their noise.
    """
    by_variance = principal_components(pixels, noise, SPECTRAL_COMPONENTS)
    by_ratio = noise_adjusted_components(pixels, noise, SPECTRAL_COMPONENTS)
    parts = ((by_variance, 1 - NOISE_ADJUSTED_PART), (by_ratio, NOISE_ADJUSTED_PART))
    axes = np.concatenate([np.sqrt(part) * _weighted(components) for components, part in parts])
    return Projection(by_variance.mean.astype(np.float32), axes.astype(np.float32))


def _weighted(components: Components) -> np.ndarray:
    """Axes (k, bands) of components with an overall standard deviation of 1."""
    deviations = components.signal * components.strength**STRENGTH_POWER
    return components.axes * (deviations / np.sqrt(np.mean(deviations**2)))[:, None]


def fit_standard(pixels: np.ndarray) -> Projection:
    """Every band with mean 0 and standard deviation 1."""
    # Sums of many values as 32-bit floats would lose what bands with large values and little contrast differ by.
    mean, deviation = pixels.mean(0, dtype=np.float64), pixels.std(0, dtype=np.float64)
    return Projection(mean.astype(np.float32), np.diag(1 / np.maximum(deviation, 1e-12)).astype(np.float32))


def fit_spatial(features: np.ndarray, means: int = 0) -> Projection:
    """Principal components of spatial features with a common scale, so that they keep their ratios.

    Means of neighbourhoods have components of their own, which come last, as many as there are means, with
    an overall standard deviation of 1.

    Args:
        features: (n, channels) features of pixels of the scene, labelled or not.
        means: how many of the channels, the last ones, are means of neighbourhoods.
    """
    mean = features.mean(0, dtype=np.float64).astype(np.float32)
    channels = len(mean) - means
    spatial = SPATIAL_SCALE * _common_scale(features[:, :channels] - mean[:channels], SPATIAL_COMPONENTS)
    of_means = np.zeros((means, means))
    axes = _common_scale(features[:, channels:] - mean[channels:], means)
    of_means[: len(axes)] = axes
    return Projection(mean, block_diag(spatial, of_means).astype(np.float32))


def _common_scale(centred: np.ndarray, count: int) -> np.ndarray:
    """The first principal axes (k, D) over their overall standard deviation."""
    if not centred.shape[1]:
        return np.zeros((0, 0))
    values, vectors = np.linalg.eigh(centred.T.astype(np.float64) @ centred / len(centred))
    order = np.argsort(values)[::-1][: min(count, len(centred))]
    deviations = np.sqrt(np.maximum(values[order], 0))
    kept = deviations > 1e-6 * deviations[0]
    return vectors.T[order][kept] / np.sqrt(np.mean(deviations[kept] ** 2))
