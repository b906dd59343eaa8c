"""Polygons that the others contradict."""

import numpy as np
import pytest

from spectrafilm.engine.doubtful import DoubtfulPolygon, find_doubtful
from spectrafilm.engine.labels import Labels


def test_polygons_are_judged_by_the_mean_of_their_pixels_the_least_probable_first():
    # Polygon 7 has one wrong pixel of three, 2 is wrong by little, and 5 is a group of two classes, one of them wrong.
    polygons = np.array([7, 7, 7, 2, 2, 5, 5, 5])
    class_ids = np.array([1, 1, 1, 3, 3, 1, 2, 2])
    probabilities = np.array([
        [0.9, 0.1, 0.0], [0.1, 0.9, 0.0], [0.8, 0.2, 0.0],
        [0.5, 0.0, 0.5], [0.6, 0.0, 0.4],
        [0.9, 0.1, 0.0], [0.7, 0.2, 0.1], [0.9, 0.0, 0.1],
    ])  # fmt: skip
    rows, columns = np.array([0, 0, 0, 4, 5, 9, 9, 9]), np.array([0, 1, 2, 4, 4, 0, 1, 2])
    first, second = find_doubtful(probabilities, Labels(rows, columns, class_ids, polygons))
    assert first == DoubtfulPolygon(5, 2, 1, pytest.approx(0.1), pytest.approx(0.8), 2, 9, 1)
    assert second == DoubtfulPolygon(2, 3, 1, pytest.approx(0.45), pytest.approx(0.55), 2, 4, 4)


def test_the_place_of_a_polygon_is_one_of_its_pixels():
    # The middle of a ring is outside it.
    rows, columns = np.nonzero(np.pad(np.zeros((3, 3)), 1, constant_values=1))
    labels = Labels(rows, columns, np.ones(len(rows), int), np.zeros(len(rows), int))
    (ring,) = find_doubtful(np.tile([0.2, 0.8], (len(rows), 1)), labels)
    assert (ring.row, ring.column) in set(zip(rows.tolist(), columns.tolist(), strict=True))
