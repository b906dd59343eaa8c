"""Networks learn what is there to learn, members and subsets stay apart, and a seed decides everything."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array

from spectrafilm.engine.cover import Cover
from spectrafilm.engine.ensemble import FilmEnsemble
from spectrafilm.engine.methods import METHODS, scale_layers
from spectrafilm.engine.networks import GeoDiffNetFilm
from spectrafilm.engine.training import Samples, fit, predict_experts, predict_logits


def covered(targets, share) -> Cover:
    """Each pixel lies in a polygon of its own, which covers a share of it."""
    return Cover(csr_array(np.diag(share.astype(np.float32))), targets + 1, np.arange(len(targets)))


@pytest.fixture
def samples():
    """Classes that need both: the spectrum says one half of the answer, the features the other."""
    rng = np.random.default_rng(0)
    spectra = rng.normal(0, 1, (240, 8)).astype(np.float32)
    features = rng.normal(0, 1, (240, 4)).astype(np.float32)
    spectra[:, 0] += np.sign(spectra[:, 0])
    features[:, 0] += np.sign(features[:, 0])
    return Samples(spectra, features, 2 * (spectra[:, 0] > 0) + (features[:, 0] > 0), 4)


@pytest.mark.parametrize("key", ["spectrafilm", "geodiffnet-f"])
def test_fusion_needs_and_uses_both_inputs(samples, key, progress):
    half = np.arange(240) < 160
    network = fit(METHODS[key], samples, [half], 0, progress)[0].network
    predicted = predict_logits(network, samples).mean(0).argmax(1)
    assert (predicted == samples.targets)[~half].mean() > 0.75


@pytest.mark.parametrize(("key", "ceiling"), [("spectral", 0.7), ("geodiffnet", 0.7)])
def test_one_input_alone_cannot_tell_all_classes(samples, key, ceiling, progress):
    half = np.arange(240) < 160
    network = fit(METHODS[key], samples, [half], 0, progress)[0].network
    predicted = predict_logits(network, samples).mean(0).argmax(1)
    assert 0.3 < (predicted == samples.targets)[~half].mean() < ceiling


@pytest.mark.parametrize("key", list(METHODS))
def test_logits_of_many_pixels_are_computed_piece_by_piece(samples, key, progress, monkeypatch):
    network = fit(METHODS[key], samples, [np.ones(240, bool)], 0, progress)[0].network
    at_once, sizes = predict_logits(network, samples), []
    monkeypatch.setattr("spectrafilm.engine.training.PIECE", 100)
    network.register_forward_pre_hook(lambda _network, inputs: sizes.append(len(inputs[0])))
    np.testing.assert_allclose(predict_logits(network, samples), at_once, atol=1e-4)
    assert sizes == [100, 100, 40]


@pytest.mark.parametrize("key", list(METHODS))
def test_the_same_seed_gives_the_same_network(samples, key, progress):
    everything = [np.ones(240, bool)]
    first, second, other = (
        predict_logits(fit(METHODS[key], samples, everything, seed, progress)[0].network, samples)
        for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, second)
    assert np.abs(first - other).max() > 1e-3


@pytest.mark.parametrize("key", ["spectrafilm", "spectral"])
def test_pixels_that_polygons_cover_little_count_little(samples, key, progress):
    """Most training pixels lie at a border of their polygon and show the other class."""
    training, border = np.arange(240) < 200, np.arange(240) < 130
    truth = (samples.spectra[:, 0] > 0).astype(int)
    labelled = replace(samples, targets=np.where(border, 1 - truth, truth), classes=2)
    hits = []
    for share in (np.where(border, 0.2, 1.0), np.ones(240)):
        cover = covered(labelled.targets, share)
        network = fit(METHODS[key], replace(labelled, cover=cover), [training], 0, progress)[0].network
        experts = predict_experts(network, samples).mean(1).argmax(-1)
        hits.append((experts == truth)[:, ~training].mean(1))
    assert (hits[0] > 0.7).all()
    assert (hits[1] < 0.3).all()


@pytest.mark.parametrize("key", ["spectrafilm", "spectral"])
def test_a_pixel_in_polygons_of_two_classes_is_as_much_of_each_as_they_cover(samples, key, progress):
    """All pixels are labelled 0 by the polygon around their centre; another one covers more or less of them."""
    share = (samples.spectra[:, 0] > 0) * 0.4 + 0.1
    own, other = np.arange(240), np.arange(240, 480)
    shares = csr_array((np.r_[1 - share, share].astype(np.float32), (np.r_[own, own], np.r_[own, other])))
    cover = Cover(shares, np.repeat([1, 2], 240), np.r_[own, other])
    mixed = replace(samples, targets=np.zeros(240, np.int64), classes=2, polygons=own, cover=cover)
    network = fit(METHODS[key], mixed, [np.ones(240, bool)], 0, progress)[0].network
    experts = np.exp(predict_experts(network, samples)).mean(1)[..., 1]
    assert (experts[:, share > 0.4].mean(1) > 0.35).all()
    assert (experts[:, share < 0.2].mean(1) < 0.25).all()


def test_a_class_of_tiny_polygons_only_is_not_lost(samples):
    share = np.where(samples.targets == 3, 0.1, 1.0)
    share[samples.targets == 0] = 0.8
    ((_, trust),) = replace(samples, cover=covered(samples.targets, share)).shown([np.ones(240, bool)])
    counted = [set(trust[samples.targets == target].round(6)) for target in range(4)]
    assert counted == [{0.512}, {1.0}, {1.0}, {0.125}]


def test_a_pixel_that_is_mostly_of_other_classes_shows_its_own_alone():
    shares = csr_array(np.array([[0.4, 0.5], [0.5, 0.25]], np.float32))
    shown, trust = Cover(shares, np.array([1, 2]), np.array([7, 8])).shown(np.array([0, 0]), 2)
    np.testing.assert_allclose(shown, [[1, 0], [2 / 3, 1 / 3]], atol=1e-6)
    np.testing.assert_allclose(trust, [0.4**3, 0.75**3], atol=1e-6)


def test_cover_by_some_classes_numbers_them_anew():
    shares = csr_array(np.array([[0.2, 0.3, 0.4, 0.1], [0, 0.6, 0.7, 0.5]], np.float32))
    some = Cover(shares, np.array([1, 2, 3, 3]), np.array([7, 8, 9, 10])).of_classes(np.array([1, 3]))
    assert (some.class_ids.tolist(), some.polygons.tolist()) == ([1, 2, 2], [7, 9, 10])
    np.testing.assert_allclose(some.by_class(2), [[0.2, 0.5], [0, 1]])


def test_what_held_out_polygons_cover_is_unknown(samples):
    """Half of pixel 0 of polygon 7 lies in polygon 8, which is held out."""
    shares = csr_array(np.array([[0.5, 0.5], [0, 1]], np.float32))
    both = replace(
        samples, spectra=samples.spectra[:2], features=samples.features[:2], targets=np.array([0, 1]), classes=2,
        polygons=np.array([7, 8]), cover=Cover(shares, np.array([1, 2]), np.array([7, 8])),
    )  # fmt: skip
    ((shown, trust),) = both.shown([np.ones(2, bool)])
    assert shown.tolist() == [[0.5, 0.5], [0, 1]]
    assert trust.tolist() == [1, 1]
    ((shown, trust),) = both.shown([np.array([True, False])])
    assert shown[0].tolist() == [1, 0]
    assert trust[0] == 0.5**3


def test_a_subset_learns_nothing_from_pixels_outside_it(samples, progress):
    flipped = Samples(samples.spectra, samples.features, samples.targets.copy(), 4)
    half = np.arange(240) < 120
    flipped.targets[~half] = 3 - flipped.targets[~half]
    for key in METHODS:
        one, two = (fit(METHODS[key], s, [half], 0, progress)[0].network for s in (samples, flipped))
        np.testing.assert_allclose(predict_logits(one, samples), predict_logits(two, samples), atol=1e-5)


def test_film_starts_as_the_identity():
    torch.manual_seed(0)
    spectra, features = torch.randn(5, 20), torch.randn(5, 7)
    network = GeoDiffNetFilm(20, 7, 3).eval()
    torch.testing.assert_close(network(spectra, features)[0], network.head(features))
    ensemble = FilmEnsemble(2, 20, 7, 0, 3)
    assert not ensemble.scale.weight.any()
    assert not ensemble.shift.weight.any()


def test_every_expert_sees_its_own_inputs_only():
    torch.manual_seed(0)
    ensemble = FilmEnsemble(2, 6, 4, 3, 5).eval()
    spectra, features = torch.randn(1, 7, 6), torch.randn(1, 7, 7)
    assert ensemble.experts_named == ("spectral", "neighbourhood", "FiLM")
    assert ensemble.spectrum_alone == (True, False, False)
    with torch.no_grad():
        before = ensemble.experts(spectra, features)
        for columns, changed in ((slice(0, 4), (False, False, True)), (slice(4, 7), (False, True, False))):
            other = features.clone()
            other[..., columns] += 1
            after = ensemble.experts(spectra, other)
            assert tuple(not torch.equal(a, b) for a, b in zip(before, after, strict=True)) == changed
        ensemble.set_shares([0.25, 0.0, 0.75])
        torch.testing.assert_close(ensemble(spectra[0], features[0]), 0.25 * before[0] + 0.75 * before[2])


def test_the_kernel_expert_joins_after_training(samples, progress):
    network = fit(METHODS["spectrafilm"], samples, [np.ones(240, bool)], 0, progress)[0].network
    assert network.experts_named == ("spectral", "FiLM", "kernel")
    assert network.spectrum_alone == (True, False, False)
    np.testing.assert_allclose(network.shares, [1 / 3] * 3)
    experts = predict_experts(network, samples)
    assert (experts[2] == experts[2][:1]).all()
    assert (experts[2, 0].argmax(1) == samples.targets).mean() > 0.75


def test_an_expert_without_a_share_is_not_asked(samples, progress, monkeypatch):
    network = fit(METHODS["spectrafilm"], samples, [np.ones(240, bool)], 0, progress)[0].network
    experts = predict_experts(network, samples)
    for shares, asked in (([0.3, 0.7, 1e-7], ("spectral", "FiLM")), ([0.0, 0.0, 1.0], ("kernel",))):
        network.set_shares(shares)
        assert network.experts_asked == asked
        assert network.asks_about_features
        np.testing.assert_allclose(predict_logits(network, samples), np.tensordot(shares, experts, 1), atol=1e-5)
    network.set_shares([1.0, 0.0, 0.0])
    assert not network.asks_about_features
    monkeypatch.setattr(network, "_fuse", None)
    monkeypatch.setattr(network.kernel, "forward", None)
    np.testing.assert_allclose(predict_logits(network, samples), experts[0], atol=1e-5)


def test_members_of_an_ensemble_are_independent():
    torch.manual_seed(0)
    ensemble = FilmEnsemble(4, 6, 10, 2, 3).eval()
    spectra, features = torch.randn(5, 6), torch.randn(5, 12)
    whole = ensemble(spectra, features)
    part = ensemble.select([3, 1]).eval()(spectra, features)
    torch.testing.assert_close(part, whole[[3, 1]])


def test_one_pixel_a_class_can_be_trained_on(progress):
    rng = np.random.default_rng(0)
    samples = Samples(rng.normal(0, 1, (2, 6)).astype(np.float32), rng.normal(0, 1, (2, 8)).astype(np.float32),
                      np.array([0, 1]), 2)  # fmt: skip
    for method in METHODS.values():
        logits = predict_logits(fit(method, samples, [np.ones(2, bool)], 0, progress)[0].network, samples)
        assert np.isfinite(logits).all()


def test_default_layers_are_carried_over_to_other_backbones():
    assert scale_layers((5, 8, 10), 12) == (5, 8, 10)
    assert scale_layers((8,), 16) == (11,)  # the end of the 32-pixel stage, as in the paper
    assert scale_layers((7, 8), 16) == (10, 11)
