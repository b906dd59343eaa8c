"""Cross-validation never tests a polygon on itself."""

from __future__ import annotations

import warnings

import numpy as np

from spectrafilm.engine.folds import FOLDS, split_by_polygon
from spectrafilm.engine.labels import Labels
from spectrafilm.engine.polygons import make_classes


def labels_of(polygons):
    """Labels from (class id, polygon, pixels)."""
    ids = np.concatenate([np.full(n, c) for c, _, n in polygons])
    groups = np.concatenate([np.full(n, p) for _, p, n in polygons])
    return Labels(np.arange(len(ids)), np.zeros(len(ids), int), ids, groups)


def classes(count):
    return make_classes([f"class {i}" for i in range(count)])


def test_no_polygon_stands_on_both_sides_and_every_pixel_is_tested_once(progress):
    labels = labels_of([(c, 10 * c + p, 5 + p) for c in (1, 2, 3) for p in range(6)])
    folds = split_by_polygon(labels, classes(3), 0, progress)
    assert len(folds) == 5
    for training, testing in zip(folds.training, folds.testing, strict=True):
        assert not (training & testing).any()
        assert not set(labels.polygons[training]) & set(labels.polygons[testing])
        assert set(labels.class_ids[training]) == {1, 2, 3}
    assert (np.sum(folds.testing, axis=0) == 1).all()
    assert folds.validated.all()


def test_a_class_with_one_polygon_is_trained_on_but_not_validated(progress):
    labels = labels_of([(1, 1, 5), (1, 2, 5), (2, 3, 5), (2, 4, 5), (3, 5, 5)])
    folds = split_by_polygon(labels, classes(3), 0, progress)
    alone = labels.class_ids == 3
    assert all(t[alone].all() for t in folds.training)
    np.testing.assert_array_equal(folds.validated, ~alone)
    assert "Only one polygon or group labels pixels of class 2" in progress.warnings[0]


def test_a_group_with_all_of_a_class_stands_on_one_side_with_its_other_classes(progress):
    labels = labels_of([(1, p, 5) for p in range(4)] + [(2, 0, 3), (3, 4, 5), (3, 5, 5)])
    folds = split_by_polygon(labels, classes(3), 0, progress)
    for training, testing in zip(folds.training, folds.testing, strict=True):
        assert not set(labels.polygons[training]) & set(labels.polygons[testing])
        assert set(labels.class_ids[training]) == {1, 2, 3}
    np.testing.assert_array_equal(folds.validated, labels.polygons > 0)


def test_classes_with_two_polygons_are_named_in_one_warning(progress):
    labels = labels_of([(1, 1, 5), (1, 2, 5), (2, 3, 5), (2, 4, 5), (3, 5, 5), (3, 6, 5), (3, 7, 5)])
    split_by_polygon(labels, classes(3), 0, progress)
    assert len(progress.warnings) == 1
    assert "Only two polygons or groups label pixels of class 0, class 1;" in progress.warnings[0]


def test_no_fold_takes_a_class_away_from_training(progress):
    labels = labels_of([(1, p, 4) for p in range(2)] + [(2, 10 + p, 4) for p in range(9)])
    for seed in range(10):
        folds = split_by_polygon(labels, classes(2), seed, progress)
        assert all(set(labels.class_ids[t]) == {1, 2} for t in folds.training)
        assert folds.validated.all()


def test_one_polygon_a_class_gives_no_fold(progress):
    folds = split_by_polygon(labels_of([(1, 1, 5), (2, 2, 5)]), classes(2), 0, progress)
    assert len(folds) == 0
    assert not folds.validated.any()


def test_the_same_seed_gives_the_same_folds(progress):
    labels = labels_of([(c, 10 * c + p, 5) for c in (1, 2) for p in range(7)])
    first, second = (split_by_polygon(labels, classes(2), 3, progress) for _ in range(2))
    assert len(first) == FOLDS
    np.testing.assert_array_equal(first.testing, second.testing)


def test_another_seed_gives_other_folds(progress):
    labels = labels_of([(c, 10 * c + p, 5) for c in (1, 2) for p in range(7)])
    first, other = (split_by_polygon(labels, classes(2), seed, progress) for seed in (3, 4))
    assert not np.array_equal(first.testing, other.testing)


def test_a_class_of_fewer_pixels_than_folds_brings_no_warning_of_a_library(progress):
    labels = labels_of([(1, p, 4) for p in range(9)] + [(2, 10, 1), (2, 11, 1), (2, 12, 1)])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert split_by_polygon(labels, classes(2), 0, progress).validated.all()
