"""Validation judges every pixel by a network that did not see its polygon, and sets shares and temperature by it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from training_pixels import CLASSES, data_of

from spectrafilm.engine import validation
from spectrafilm.engine.methods import METHODS
from spectrafilm.engine.training import Fit


def trained_by(monkeypatch, data, say, progress):
    """Cross-validation with networks that say what a function of their training pixels and the targets says."""
    sides = []

    def fit(method, samples, subsets, *_):
        sides.extend(subsets)
        return [Fit(index, []) for index in range(len(subsets))]

    def predict_logits(network, samples):
        return say(sides[network], samples.targets)[None]

    monkeypatch.setattr(validation, "fit", fit)
    monkeypatch.setattr(validation, "predict_logits", predict_logits)
    return validation.train(METHODS["geodiffnet"], data, True, 0, progress)


def test_every_pixel_is_judged_by_the_network_that_did_not_see_its_polygon(monkeypatch, progress):
    def right_elsewhere(training, targets):
        return 9.0 * np.eye(CLASSES)[(targets + training) % CLASSES]

    assert trained_by(monkeypatch, data_of(5), right_elsewhere, progress).accuracy.overall.value == 100


def test_validation_has_the_reference_in_rows_and_undoes_overconfidence(monkeypatch, progress):
    def first_is_second(training, targets):
        return 20.0 * np.eye(CLASSES)[np.where(targets == 0, 1, targets)]

    trained = trained_by(monkeypatch, data_of(5), first_is_second, progress)
    np.testing.assert_array_equal(trained.accuracy.matrix, [[0, 20, 0], [0, 20, 0], [0, 0, 20]])
    assert trained.temperature > 2
    assert trained.scores["calibration_error"] > 1


def test_all_networks_have_the_shares_that_the_model_has(progress):
    trained = validation.train(METHODS["spectral"], data_of(4, noise=1.5), True, 0, progress)
    shares = [expert["share"] for expert in trained.scores["experts"].values()]
    assert abs(shares[0] - 0.5) > 0.01
    for fit in trained.fits:
        np.testing.assert_allclose(fit.network.shares, shares, atol=1e-6)


def test_without_validation_shares_are_those_that_are_likely_beforehand(progress):
    data = data_of(2)
    features = np.random.default_rng(0).normal(0, 1, (len(data.labels), 4)).astype(np.float32)
    data = replace(data, samples=replace(data.samples, features=features), autocorrelation=0.0)
    assert validation.train(METHODS["spectrafilm"], data, False, 0, progress).network.shares[0] > 0.9
