"""Components find what stands out from the noise, not what varies most."""

from __future__ import annotations

import numpy as np
import pytest

from spectrafilm.engine.components import neighbour_noise, noise_adjusted_components, principal_components
from spectrafilm.engine.projection import fit_spectral, fit_standard

SIDE, BANDS = 60, 12
RNG = np.random.default_rng(0)
# A bright pattern in all bands, a faint one in bands 2 and 3; the last four bands are noisy.
FAINT = np.zeros(BANDS)
FAINT[[2, 3]] = 0.3, -0.3
DEVIATIONS = np.full(BANDS, 0.05)
DEVIATIONS[-4:] = 2.0
ROWS, COLUMNS = np.indices((SIDE, SIDE))
BRIGHT_FIELD = np.where(ROWS < SIDE // 2, -1.0, 1.0)
FAINT_FIELD = np.where(COLUMNS < SIDE // 2, -1.0, 1.0)
NOISE = DEVIATIONS[:, None, None] * RNG.standard_normal((BANDS, SIDE, SIDE))
SCENE = np.ones(BANDS)[:, None, None] * BRIGHT_FIELD + FAINT[:, None, None] * FAINT_FIELD + NOISE
PIXELS = SCENE.reshape(BANDS, -1).T
STEPS = (SCENE[:, :, 1::2] - SCENE[:, :, ::2]).reshape(BANDS, -1).T


def share_explained(components, field):
    """How much (0..1) of a pattern each component shows."""
    values = (PIXELS - components.mean) @ components.axes.T
    return np.corrcoef(values.T, field.ravel())[-1, :-1] ** 2


def test_noise_is_estimated_from_neighbours():
    np.testing.assert_allclose(np.sqrt(np.diag(neighbour_noise(STEPS))), DEVIATIONS, rtol=0.1)


def test_a_faint_pattern_comes_before_loud_noise():
    noise = neighbour_noise(STEPS)
    adjusted = noise_adjusted_components(PIXELS, noise, BANDS)
    assert share_explained(adjusted, FAINT_FIELD).argmax() == 1
    assert share_explained(adjusted, FAINT_FIELD)[1] > 0.9
    assert share_explained(principal_components(PIXELS, noise, BANDS), FAINT_FIELD).argmax() > 2
    assert (adjusted.signal[:2] > 0.9).all()
    assert (adjusted.signal[2:] < 0.2).all()


@pytest.mark.parametrize("make", [principal_components, noise_adjusted_components])
def test_components_are_uncorrelated_and_of_unit_variance(make):
    components = make(PIXELS, neighbour_noise(STEPS), BANDS)
    values = (PIXELS - components.mean) @ components.axes.T
    np.testing.assert_allclose(np.cov(values.T, bias=True), np.eye(BANDS), atol=1e-8)
    assert (np.diff(components.strength) <= 0).all()


def test_a_band_with_hardly_any_noise_does_not_come_first():
    noise = np.diag([1e-3] * (BANDS - 1) + [1e-8])
    adjusted, principal = (make(PIXELS, noise, 3) for make in (noise_adjusted_components, principal_components))
    both = np.corrcoef((PIXELS @ adjusted.axes.T)[:, 0], (PIXELS @ principal.axes.T)[:, 0])
    assert abs(both[0, 1]) > 0.99


def test_noise_adjusted_components_do_not_hang_on_the_unit():
    noise = neighbour_noise(STEPS)
    plain = noise_adjusted_components(PIXELS, noise, 5)
    scaled = noise_adjusted_components(1e4 * PIXELS, 1e8 * noise, 5)
    assert len(plain.axes) == len(plain.signal) == 5
    np.testing.assert_allclose(1e4 * scaled.axes, plain.axes, rtol=1e-6, atol=1e-6)


def test_without_neighbours_nothing_is_noise():
    noise = neighbour_noise(np.zeros((0, BANDS)))
    adjusted, principal = (make(PIXELS, noise, 3) for make in (noise_adjusted_components, principal_components))
    assert (adjusted.signal == 1).all()
    np.testing.assert_allclose(adjusted.axes, principal.axes, atol=1e-9)


def test_bands_that_say_the_same_count_once():
    twice = np.concatenate([PIXELS, PIXELS], 1)
    noise = neighbour_noise(np.concatenate([STEPS, STEPS], 1))
    assert len(principal_components(twice, noise, 2 * BANDS).axes) == BANDS
    assert np.isfinite(fit_spectral(twice, noise).components).all()


def test_projected_spectra_have_a_deviation_of_one_a_band():
    projected = fit_spectral(PIXELS, neighbour_noise(STEPS)).apply(PIXELS)
    assert projected.shape == (len(PIXELS), 2 * BANDS)
    assert np.sum(projected**2) / len(PIXELS) == pytest.approx(BANDS, rel=1e-3)


def test_a_component_counts_by_its_signal_and_a_root_of_its_strength():
    noise = neighbour_noise(STEPS)
    found = principal_components(PIXELS, noise, BANDS)
    deviations = fit_spectral(PIXELS, noise).apply(PIXELS)[:, :BANDS].std(0)
    expected = found.signal * found.strength**0.25
    np.testing.assert_allclose(deviations / deviations[0], expected / expected[0], rtol=1e-3)


def test_large_values_with_little_contrast_keep_their_scale():
    """Brightness temperatures, say: sums of 100 000 of them as 32-bit floats would be far off."""
    pixels = np.random.default_rng(0).normal(30_000, 30, (100_000, 3)).astype(np.float32)
    projected = fit_standard(pixels).apply(pixels)
    np.testing.assert_allclose(projected.mean(0, dtype=float), 0, atol=0.01)
    np.testing.assert_allclose(projected.std(0, dtype=float), 1, atol=0.01)
    found = principal_components(pixels, np.eye(3), 3)
    np.testing.assert_allclose((pixels - found.mean).mean(0, dtype=float) / 30, 0, atol=0.01)
