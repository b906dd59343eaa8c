"""Affine maps that bring spectra and spatial features to a scale a small network learns from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

SPECTRAL_COMPONENTS = 20
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
    """Principal components of standardised spectra, half whitened, with an overall standard deviation of 1.

    Each component is divided by the square root of its standard deviation. Left as they are, the
    first (brightness) drowns the rest; fully whitened, the noisy last ones count as much as the
    first. Measured on four scenes with 10 labels per class, half-way was best or level each time.

    Args:
        pixels: (n, bands) spectra of the scene, labelled or not.
    """
    mean, spread = pixels.mean(0), np.maximum(pixels.std(0), 1e-12)
    axes, deviations = _principal_axes((pixels - mean) / spread, SPECTRAL_COMPONENTS)
    weights = axes / np.sqrt(deviations)[:, None]
    overall = np.sqrt(np.mean(deviations))
    return Projection(mean.astype(np.float32), (weights / spread / overall).astype(np.float32))


def fit_standard(pixels: np.ndarray) -> Projection:
    """Every band with mean 0 and standard deviation 1."""
    return Projection(
        pixels.mean(0).astype(np.float32), np.diag(1 / np.maximum(pixels.std(0), 1e-12)).astype(np.float32)
    )


def fit_spatial(features: np.ndarray) -> Projection:
    """Principal components of spatial features with a common scale, so that they keep their ratios.

    Args:
        features: (n, channels) features of pixels of the scene, labelled or not.
    """
    mean = features.mean(0)
    axes, deviations = _principal_axes(features - mean, SPATIAL_COMPONENTS)
    overall = np.sqrt(np.mean(deviations**2))
    return Projection(mean.astype(np.float32), (SPATIAL_SCALE / overall * axes).astype(np.float32))


def _principal_axes(centred: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The first axes (k, D) and the standard deviation along each (k,)."""
    values, vectors = np.linalg.eigh(centred.T.astype(np.float64) @ centred / len(centred))
    order = np.argsort(values)[::-1][: min(count, len(centred))]
    deviations = np.sqrt(np.maximum(values[order], 0))
    kept = deviations > 1e-6 * deviations[0]
    return vectors.T[order][kept], deviations[kept]
