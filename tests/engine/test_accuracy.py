"""Figures of accuracy against worked examples, independent formulas and the published one."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, cohen_kappa_score, precision_recall_fscore_support

from spectrafilm.engine.accuracy import (
    _percentile,
    adjust_for_area,
    assess,
    average_accuracy,
    cohen_kappa,
    confusion_matrix,
    overall_accuracy,
)
from spectrafilm.engine.calibration import (
    calibration_error,
    fit_shares,
    fit_temperature,
    mixture,
    share_prior,
    shares_beforehand,
)

NAMES = ["a", "b", "c"]


@pytest.fixture
def pairs():
    rng = np.random.default_rng(0)
    reference = rng.integers(1, 4, 400)
    predicted = np.where(rng.random(400) < 0.7, reference, rng.integers(1, 4, 400))
    return reference, predicted


def test_a_constant_prediction_fills_one_column():
    matrix = confusion_matrix(np.array([1, 1, 2, 3, 3, 3]), np.full(6, 2), 3)
    np.testing.assert_array_equal(matrix, [[0, 2, 0], [0, 1, 0], [0, 3, 0]])


def test_figures_agree_with_scikit_learn(pairs):
    reference, predicted = pairs
    accuracy = assess(reference, predicted, NAMES, np.arange(400))
    precision, recall, f1, _ = precision_recall_fscore_support(reference, predicted)
    assert accuracy.overall.value == pytest.approx(100 * (reference == predicted).mean())
    assert accuracy.average.value == pytest.approx(100 * balanced_accuracy_score(reference, predicted))
    assert accuracy.kappa.value == pytest.approx(100 * cohen_kappa_score(reference, predicted))
    for i, c in enumerate(accuracy.classes):
        assert (c.precision.value, c.recall.value, c.f1.value) == pytest.approx(
            (100 * precision[i], 100 * recall[i], 100 * f1[i])
        )


def test_figures_of_resampled_matrices_are_those_of_each():
    matrices = np.random.default_rng(0).integers(1, 50, (5, 3, 3))
    matrices[0, 2] = 0  # no polygon of this class was drawn
    for figure in (overall_accuracy, average_accuracy, cohen_kappa):
        np.testing.assert_allclose(figure(matrices), [figure(matrix) for matrix in matrices])


def test_wilson_interval_of_a_worked_example():
    # 8 of 10: Wilson's 95 % interval is 49.0 to 94.3 per cent (Newcombe 1998, method 3).
    reference = np.ones(10, int)
    predicted = np.array([1] * 8 + [2] * 2)
    recall = assess(reference, predicted, NAMES, np.arange(10)).classes[0].recall
    assert (recall.low, recall.high) == (pytest.approx(49.0, abs=0.1), pytest.approx(94.3, abs=0.1))


def test_intervals_contain_their_value_and_widen_with_polygons(pairs):
    reference, predicted = pairs
    by_pixel = assess(reference, predicted, NAMES, np.arange(400))
    # In 20 polygons that are right or wrong as a whole there are 20 pieces of evidence, not 400.
    whole = np.where(np.repeat(np.random.default_rng(1).random(20) < 0.7, 20), reference, reference % 3 + 1)
    by_polygon = assess(reference, whole, NAMES, np.repeat(np.arange(20), 20))
    for accuracy in (by_pixel, by_polygon):
        for estimate in (accuracy.overall, accuracy.average, accuracy.kappa):
            assert estimate.low <= estimate.value <= estimate.high
    width = by_polygon.overall.high - by_polygon.overall.low
    assert width > 3 * (by_pixel.overall.high - by_pixel.overall.low)


def test_figures_of_billions_of_pixels_are_those_of_fewer_in_the_same_shares():
    reference, predicted, shares = np.array([1, 1, 2, 2]), np.array([1, 2, 1, 2]), np.array([2, 1, 1, 2])
    few, many = (assess(reference, predicted, NAMES[:2], np.arange(4), shares * n) for n in (10**6, 10**9))
    assert many.kappa.value == pytest.approx(few.kappa.value) == pytest.approx(100 / 3)
    perfect = assess(reference, reference, NAMES[:2], np.arange(4), shares * 10**9).classes[0].recall
    assert (perfect.low, perfect.value, perfect.high) == pytest.approx((100, 100, 100))


def test_pairs_may_come_with_how_often_they_occur(pairs):
    reference, predicted = pairs
    polygons = np.arange(400) % 20
    distinct, counts = np.unique(np.stack([reference, predicted, polygons]), axis=1, return_counts=True)
    assert len(counts) < 200
    counted, listed = assess(*distinct[:2], NAMES, distinct[2], counts), assess(reference, predicted, NAMES, polygons)
    np.testing.assert_array_equal(counted.matrix, listed.matrix)
    assert (counted.overall, counted.kappa, counted.samples, counted.groups) == (
        listed.overall, listed.kappa, 400, 20
    )  # fmt: skip


def test_many_blocks_of_a_large_map_take_no_memory_for_pairs_that_they_do_not_hold():
    rng = np.random.default_rng(0)
    reference, predicted = rng.integers(1, 21, (2, 40_000))
    blocks = np.arange(40_000) // 2
    tracemalloc.start()
    try:
        assess(reference, predicted, [str(i) for i in range(20)], blocks)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # Every block with every pair of classes would be 20 000 x 400 numbers.
    assert peak < 20_000 * 400 * 2


def test_many_classes_take_no_memory_for_all_resampled_matrices_at_once():
    rng = np.random.default_rng(0)
    reference = np.repeat(np.arange(1, 201), 20)
    predicted = np.where(rng.random(4000) < 0.7, reference, rng.integers(1, 201, 4000))
    tracemalloc.start()
    try:
        found = assess(reference, predicted, [str(i) for i in range(200)], np.arange(4000) // 5)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert found.kappa.low < found.kappa.value < found.kappa.high
    # A thousand matrices of 200 x 200 numbers would be 320 MB.
    assert peak < 50e6


def test_a_class_that_never_occurs_has_no_recall_and_does_not_lower_the_average():
    accuracy = assess(np.array([1, 1, 2, 2]), np.array([1, 1, 2, 3]), NAMES, np.arange(4))
    assert np.isnan(accuracy.classes[2].recall.value)
    assert accuracy.average.value == pytest.approx(75.0)


def test_area_adjusted_estimates_of_the_published_example():
    # Olofsson et al. (2014), tables 8 and 9: map classes in rows there, areas in pixels of 30 m.
    counts = np.array([[66, 0, 5, 4], [0, 55, 8, 12], [1, 0, 153, 11], [2, 1, 9, 313]])
    mapped = np.array([200_000, 150_000, 3_200_000, 6_450_000])
    adjusted = adjust_for_area(counts.T, mapped, ["deforestation", "gain", "forest", "other"])
    deforestation = adjusted.classes[0]
    assert adjusted.overall.value == pytest.approx(94.7, abs=0.05)
    assert adjusted.overall.high - adjusted.overall.value == pytest.approx(1.8, abs=0.1)
    assert deforestation.precision.value == pytest.approx(88, abs=0.5)
    assert deforestation.precision.high - deforestation.precision.value == pytest.approx(7, abs=0.5)
    assert deforestation.recall.value == pytest.approx(75, abs=0.5)
    assert deforestation.recall.high - deforestation.recall.value == pytest.approx(21, abs=0.5)
    area = 100_000 * deforestation.share.value  # 10 million pixels
    assert area == pytest.approx(235_086, abs=10)
    assert 100_000 * (deforestation.share.high - deforestation.share.value) == pytest.approx(68_418, abs=20)


def test_the_interval_of_a_precision_is_that_of_one_sample_fewer():
    precision = adjust_for_area(np.array([[3, 0], [1, 2]]), np.array([50, 50]), ["a", "b"]).classes[0].precision
    assert precision.value == pytest.approx(75)
    assert precision.low == pytest.approx(75 - 196 * np.sqrt(0.75 * 0.25 / 3), abs=0.01)
    assert precision.high == 100


def test_no_area_estimate_where_a_mapped_class_has_no_sample():
    assert adjust_for_area(np.diag([5, 5, 0]), np.array([10, 10, 3]), NAMES) is None
    assert adjust_for_area(np.diag([5, 5, 0]), np.array([10, 10, 0]), NAMES) is not None


def test_the_temperature_undoes_overconfidence():
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 1.5, (1, 4000, 3))
    targets = np.array([rng.choice(3, p=p) for p in mixture(logits, 1.0)])
    count = len(targets)
    assert fit_temperature(3 * logits, targets, np.arange(count)) == pytest.approx(3, rel=0.1)
    # The same pixels in a few polygons say less.
    assert 1.1 < fit_temperature(3 * logits, targets, np.arange(count) % 5) < 2.5
    before = calibration_error(mixture(3 * logits, 1.0), targets)
    after = calibration_error(mixture(3 * logits, 3.0), targets)
    assert after < 0.03 < before


def test_members_vote_with_their_probabilities():
    logits = np.log(np.array([[[0.98, 0.02]], [[0.4, 0.6]]]))
    np.testing.assert_allclose(mixture(logits, 1.0), [[0.69, 0.31]])


def test_calibration_error_weighs_bins_by_their_pixels():
    probabilities = np.array([[0.95, 0.05]] * 90 + [[0.65, 0.35]] * 10)
    targets = np.repeat([0, 1], [90, 10])
    assert calibration_error(probabilities, targets) == pytest.approx(0.9 * 0.05 + 0.1 * 0.65)


def test_shares_follow_the_evidence():
    """The second of three experts is right, the others guess."""
    targets = np.random.default_rng(0).integers(0, 3, 400)
    experts = np.full((3, 2, 400, 3), np.log(1 / 3))
    experts[1] = np.log(0.05)
    experts[1][:, np.arange(400), targets] = np.log(0.9)
    none = np.zeros(3)
    many = fit_shares(experts, targets, np.arange(400), none)
    few = fit_shares(experts, targets, np.arange(400) // 200, none)
    assert many.sum() == pytest.approx(1)
    assert many[1] > few[1] > 1 / 3
    alike = fit_shares(experts[[0, 0, 0]], targets, np.arange(400), none)
    np.testing.assert_allclose(alike, 1 / 3, atol=1e-3)


def test_shares_favour_the_spectrum_alone_until_evidence_is_against_it():
    """Two experts are right alike, or the one that sees the spectrum alone says anything."""
    rng = np.random.default_rng(0)
    targets = rng.integers(0, 3, 400)
    right, wrong = np.full((2, 1, 400, 3), np.log(0.05))
    right[:, np.arange(400), targets] = np.log(0.9)
    wrong[:, np.arange(400), rng.integers(0, 3, 400)] = np.log(0.9)
    mixed = share_prior([True, False], 0.6)
    assert fit_shares(np.stack([right, right]), targets, np.arange(400), mixed)[0] > 0.6
    assert fit_shares(np.stack([wrong, right]), targets, np.arange(400), mixed)[0] < 0.2
    # Where pixels are like those around them there is hardly a preference,
    smooth = fit_shares(np.stack([right, right]), targets, np.arange(400), share_prior([True, False], 0.95))
    assert 0.5 < smooth[0] < 0.52
    # and none where every expert sees the spectrum alone.
    alike = share_prior([True, True], 0.6)
    np.testing.assert_allclose(fit_shares(np.stack([right, right]), targets, np.arange(400), alike), 0.5)


def test_shares_count_classes_by_the_root_of_their_pixels():
    """One expert knows the large class, the other the many small ones, of as many pixels together."""
    targets = np.repeat(np.arange(10), [100] + [10] * 9)
    knows = np.stack([targets == 0, targets > 0])
    experts = np.full((2, 1, len(targets), 10), np.log(0.1))
    for expert, known in zip(experts, knows, strict=True):
        expert[0, known] = np.log(0.02)
        expert[0, known, targets[known]] = np.log(0.82)
    assert fit_shares(experts, targets, np.arange(len(targets)), np.zeros(2))[1] > 0.5


def test_without_evidence_shares_are_those_that_are_likely_beforehand():
    np.testing.assert_allclose(shares_beforehand(np.zeros(4)), 0.25)
    spectral = [shares_beforehand(share_prior([True, False, False, False], a))[0] for a in (1.0, 0.8, 0.6, 0.0)]
    assert spectral == sorted(spectral)
    assert spectral[0] == pytest.approx(0.25)
    assert spectral[-1] > 0.99


def test_one_polygon_has_no_interval_and_two_have():
    ids, wrong = np.repeat([1, 2], 5), np.array([1] * 5 + [2] * 4 + [1])
    one, two = (assess(ids, wrong, ["a", "b"], groups).overall for groups in (np.zeros(10, int), np.arange(10) // 5))
    assert str(one) == "90.0 %"
    assert np.isnan(one.low)
    assert two.low == pytest.approx(80)


def test_percentiles_are_expanded_where_polygons_are_few():
    # Of five, Student's t is 2.776; times the root of 5 / 4 it is 3.104, beyond which lies 0.0955 % of a normal one.
    found = _percentile(np.array(0.5), np.linspace(0, 1, 100_001), 5)
    assert (found.low, found.high) == pytest.approx((0.0955, 99.9045), abs=0.001)


def test_a_few_polygons_without_a_mistake_are_no_certainty():
    ids = np.repeat([1, 2], 20)
    found = assess(ids, ids, ["a", "b"], np.arange(40) // 10)
    assert found.overall.value == 100
    assert found.overall.low == pytest.approx(51.0, abs=0.1)  # Wilson's interval of 4 of 4


@pytest.mark.parametrize("polygons", [4, 8, 30])
def test_intervals_hold_what_they_promise_with_few_polygons(polygons):
    rng = np.random.default_rng(0)
    inside = 0
    for _ in range(150):
        share = rng.beta(4, 1, polygons)  # 80 per cent on average, as different as polygons are
        hits = rng.random((polygons, 10)) < share[:, None]
        reference = np.ones(hits.size, int)
        found = assess(reference, np.where(hits.ravel(), 1, 2), ["a", "b"], np.repeat(np.arange(polygons), 10))
        inside += found.overall.low <= 80 <= found.overall.high
    assert inside / 150 > 0.86


def test_a_class_with_a_single_sample_has_no_area_estimate():
    assert adjust_for_area(np.array([[9, 0], [0, 1]]), np.array([50, 50]), ["a", "b"]) is None


def test_chance_is_told_from_agreement():
    rng = np.random.default_rng(0)
    reference, groups = rng.integers(1, 4, 300), np.arange(300) // 5
    assert assess(reference, rng.integers(1, 4, 300), list("abc"), groups).is_chance
    right = np.where(rng.random(300) < 0.5, reference, 1)
    assert not assess(reference, right, list("abc"), groups).is_chance
    assert not assess(reference, reference, list("abc"), np.zeros(300, int)).is_chance, "one polygon, no interval"


def test_agreement_of_a_few_polygons_may_be_chance():
    found = assess(np.array([1, 1, 2, 2]), np.array([1, 1, 2, 1]), ["a", "b"], np.arange(4))
    assert found.kappa.value > 0
    assert found.is_chance
