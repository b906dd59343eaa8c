"""Random fields on a grid, made with the FFT (numpy only)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def gaussian_blur(image: Floats, sigma: float) -> Floats:
    """Blur an image with a periodic Gaussian; shape (..., rows, columns), sigma in cells.

    Periodic, so pad beforehand where the wrap-around would be seen.
    """
    fy = np.fft.fftfreq(image.shape[-2])[:, None]
    fx = np.fft.rfftfreq(image.shape[-1])[None, :]
    transfer = np.exp(-2.0 * (np.pi * sigma) ** 2 * (fx**2 + fy**2))
    return np.fft.irfft2(np.fft.rfft2(image) * transfer, s=image.shape[-2:])


def smooth_field(shape: tuple[int, int], scale: float, rng: np.random.Generator) -> Floats:
    """Gaussian random field with one length scale (cells); zero mean, unit standard deviation."""
    return _standardise(gaussian_blur(rng.standard_normal(shape), scale))


def fractal_field(
    shape: tuple[int, int], largest: float, rng: np.random.Generator, slope: float = 1.6
) -> Floats:
    """Random field with detail at all scales up to `largest` cells; zero mean, unit standard deviation.

    The amplitude spectrum falls as frequency ** -slope; 1 is rough, 2 is smooth like rolling terrain.
    """
    fy = np.fft.fftfreq(shape[0])[:, None]
    fx = np.fft.rfftfreq(shape[1])[None, :]
    frequency = np.hypot(fx, fy)
    amplitude = np.maximum(frequency, 1.0 / largest) ** -slope
    amplitude[0, 0] = 0.0
    noise = np.fft.rfft2(rng.standard_normal(shape))
    return _standardise(np.fft.irfft2(noise * amplitude, s=shape))


def _standardise(field: Floats) -> Floats:
    return np.asarray((field - field.mean()) / field.std(), dtype=np.float64)
