"""The kernel expert: its closed forms are what they say, and odd inputs do not break it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import log_softmax

from spectrafilm.engine import kernel
from spectrafilm.engine.kernel import KernelMachine, fit_kernel

RNG = np.random.default_rng(0)


def two_parts(count):
    """Pixels whose class is told by the sign of the product of a number of either part."""
    spectra, features = RNG.normal(0, 1, (2, count, 2)).astype(np.float32)
    return [spectra, features], (spectra[:, 0] * features[:, 0] > 0).astype(np.int64)


def hits(machine, parts, targets):
    return (machine(torch.from_numpy(np.concatenate(parts, 1))).argmax(1).numpy() == targets).mean()


def fitted(parts, targets, polygons, classes) -> KernelMachine:
    """To pixels that show their class alone and count alike."""
    return fit_kernel(parts, targets, polygons, np.eye(classes)[targets], np.ones(len(targets)))


def test_one_part_modulates_the_other():
    parts, targets = two_parts(300)
    machine = fitted(parts, targets, np.arange(300), 2)
    others, truth = two_parts(500)
    assert hits(machine, others, truth) > 0.8
    blind = fitted(parts[:1], targets, np.arange(300), 2)
    assert hits(blind, others[:1], truth) < 0.6


def test_kernels_are_what_their_definition_says(monkeypatch):
    monkeypatch.setattr(kernel, "BLOCK", 7)
    parts, targets = two_parts(60)
    machine = fitted([5 * parts[0], parts[1]], targets, np.arange(60), 2)
    kept = machine.pixels.numpy().astype(float)
    pixels = np.concatenate([kept, kept + RNG.normal(0, 1, kept.shape)])
    parts = [(pixels[:, s], kept[:, s], scale) for s, scale in zip(np.s_[:2, 2:], machine.scales.tolist(), strict=True)]
    near = np.cumsum([(scale * (x[:, None] - y)) ** 2 @ np.ones(2) for x, y, scale in parts], 0)
    kernels = np.exp(-float(machine.bandwidth) * near / machine.typical.numpy()[:, None, None]).mean(0)
    expected = log_softmax(float(machine.sharpness) * kernels @ machine.weights.numpy(), -1)
    np.testing.assert_allclose(machine(torch.from_numpy(pixels).float()), expected, atol=1e-3)


def test_leaving_polygons_out_in_closed_form_is_what_refitting_gives():
    parts, targets = two_parts(40)
    polygons = np.repeat(np.arange(10), 4)
    distances = kernel._distances(parts)
    similarity = np.exp(-distances[-1] / np.median(distances[-1]))
    weights = kernel._pixel_weights(targets, RNG.uniform(0.1, 1, 40))
    indicators = kernel._indicators(np.eye(2)[targets])
    groups = [np.array([0]), np.array([1]), *(np.flatnonzero(polygons == p) for p in range(1, 10)), np.array([2, 3])]
    for ridge, residuals in kernel._residuals_left_out(similarity, weights, indicators, groups):
        for group in groups:
            rest = np.setdiff1d(np.arange(40), group)
            system = similarity[np.ix_(rest, rest)] + np.diag(ridge / weights[rest])
            predicted = similarity[np.ix_(group, rest)] @ np.linalg.solve(system, indicators[rest])
            np.testing.assert_allclose(residuals[group], indicators[group] - predicted, atol=1e-8)


def test_polygons_of_alike_pixels_ask_for_more_caution_than_single_pixels():
    """Ten alike pixels of a polygon say as much as one; who takes them for ten is too sure."""
    places = RNG.normal(0, 1, (20, 3))
    targets = np.repeat((RNG.random(20) < 0.5).astype(np.int64), 10)
    part = np.repeat(places, 10, 0).astype(np.float32) + 0.01 * RNG.normal(0, 1, (200, 3)).astype(np.float32)
    by_polygon = fitted([part], targets, np.repeat(np.arange(20), 10), 2)
    by_pixel = fitted([part], targets, np.arange(200), 2)
    elsewhere = torch.from_numpy(RNG.normal(0, 1, (300, 3)).astype(np.float32))
    surest = [machine(elsewhere).exp().max(1).values.mean() for machine in (by_polygon, by_pixel)]
    assert surest[0] < surest[1]


def test_a_class_of_one_polygon_does_not_decide_how_sure_the_kernel_is():
    rng = np.random.default_rng(0)
    targets = np.repeat([0, 1, 2], 40)
    part = (4 * np.eye(3)[targets] + rng.normal(0, 1, (120, 3))).astype(np.float32)
    many = np.arange(120) // 4
    one = np.where(targets == 2, 99, many)
    sure = [float(fitted([part], targets, polygons, 3).sharpness) for polygons in (many, one)]
    assert sure[1] > 0.7 * sure[0]


@pytest.mark.parametrize("targets", [[0, 1], [0, 0, 1], [0, 0, 0, 0]])
def test_one_pixel_or_one_class_can_be_fitted(targets):
    targets = np.array(targets)
    part = np.ones((len(targets), 3), np.float32)
    machine = fitted([part], targets, np.arange(len(targets)), 3)
    assert np.isfinite(machine(torch.from_numpy(part)).numpy()).all()


def test_as_many_classes_as_a_map_can_have_are_compared_by_more_than_one_pixel_each():
    rng = np.random.default_rng(0)
    targets, polygons = np.repeat(np.arange(255), 4), np.repeat(np.arange(510), 2)
    values = (rng.normal(0, 1, (255, 6))[targets] + rng.normal(0, 0.1, (1020, 6))).astype(np.float32)
    assert fitted([values], targets, polygons, 255).sharpness > 5


def test_of_many_pixels_all_of_small_classes_are_kept(monkeypatch):
    monkeypatch.setattr(kernel, "MOST_CENTRES", 60)
    monkeypatch.setattr(kernel, "MOST_COMPARED", 40)
    targets = np.repeat([0, 1, 2], [500, 300, 10])
    part = (targets[:, None] + 0.1 * RNG.normal(0, 1, (810, 2))).astype(np.float32)
    machine = fitted([part], targets, np.arange(810), 3)
    assert len(machine.pixels) == 60
    assert hits(machine, [part], targets) > 0.95
