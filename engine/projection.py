"""Affine maps that bring spectra and spatial features to a scale a small network learns from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import block_diag

SPECTRAL_COMPONENTS = 40
WHITENING = 0.25
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

    def apply(self, values: np.ndarray) -> np.ndarray:
        """Map (n, D) to (n, k) float32."""
        return ((values - self.mean) @ self.components.T).astype(np.float32)


def fit_spectral(pixels: np.ndarray) -> Projection:
    """Principal components of standardised spectra, partly whitened, with an overall standard deviation of 1.

    Each component is divided by a power of its standard deviation. Left as they are (power 0), the
    first (brightness) drowns the rest; fully whitened (power 1), the noisy last ones count as much
    as the first. 1/4 is a compromise: less suits scenes where many small differences count, more
    those where few do.

    Args:
        pixels: (n, bands) spectra of the scene, labelled or not.
    """
    mean, spread = pixels.mean(0), np.maximum(pixels.std(0), 1e-12)
    axes, deviations = _principal_axes((pixels - mean) / spread, SPECTRAL_COMPONENTS)
    weights = axes / (deviations**WHITENING)[:, None]
    overall = np.sqrt(np.mean(deviations ** (2 - 2 * WHITENING)))
    return Projection(mean.astype(np.float32), (weights / spread / overall).astype(np.float32))


def fit_standard(pixels: np.ndarray) -> Projection:
    """Every band with mean 0 and standard deviation 1."""
    return Projection(
        pixels.mean(0).astype(np.float32), np.diag(1 / np.maximum(pixels.std(0), 1e-12)).astype(np.float32)
    )


def fit_spatial(features: np.ndarray, means: int = 0) -> Projection:
    """Principal components of spatial features with a common scale, so that they keep their ratios.

    Means of neighbourhoods have components of their own, which come last, as many as there are means, with
    an overall standard deviation of 1.

    Args:
        features: (n, channels) features of pixels of the scene, labelled or not.
        means: how many of the channels, the last ones, are means of neighbourhoods.
    """
    mean = features.mean(0)
    channels = len(mean) - means
    spatial = SPATIAL_SCALE * _common_scale(features[:, :channels] - mean[:channels], SPATIAL_COMPONENTS)
    of_means = np.zeros((means, means))
    axes = _common_scale(features[:, channels:] - mean[channels:], means)
    of_means[: len(axes)] = axes
    return Projection(mean.astype(np.float32), block_diag(spatial, of_means).astype(np.float32))


def _common_scale(centred: np.ndarray, count: int) -> np.ndarray:
    """The first principal axes (k, D) over their overall standard deviation."""
    if not centred.shape[1]:
        return np.zeros((0, 0))
    axes, deviations = _principal_axes(centred, count)
    return axes / np.sqrt(np.mean(deviations**2))


def _principal_axes(centred: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The first axes (k, D) and the standard deviation along each (k,)."""
    values, vectors = np.linalg.eigh(centred.T.astype(np.float64) @ centred / len(centred))
    order = np.argsort(values)[::-1][: min(count, len(centred))]
    deviations = np.sqrt(np.maximum(values[order], 0))
    kept = deviations > 1e-6 * deviations[0]
    return vectors.T[order][kept], deviations[kept]
