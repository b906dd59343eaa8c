"""Generated farmland holds every crop, and fields that are alike within."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import rasterio

from spectrafilm.benchmarks.accuracy import farmland
from spectrafilm.benchmarks.accuracy.own_scenes import own_scenes


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(farmland, "SIDE", 60)
    monkeypatch.setattr(farmland, "LONGEST_FIELD", 12.0)


def test_noise_changes_nothing_but_noise():
    clean, classes = farmland.make_farmland(0, noise=0.0)
    noisy, same = farmland.make_farmland(0, noise=2.0)
    np.testing.assert_array_equal(classes, same)
    assert set(np.unique(classes)) == set(range(len(farmland.CROPS) + 1))
    deviations = (noisy - clean).std((1, 2))
    assert deviations.min() == pytest.approx(2 * farmland.NOISE, rel=0.1)
    assert (clean > 0).all() and (clean < 1).all()
    assert not np.array_equal(farmland.make_farmland(1)[1], classes)


def test_neighbours_are_mostly_of_one_field():
    clean, classes = farmland.make_farmland(0, noise=0.0)
    labelled = (classes[:, 1:] > 0) & (classes[:, :-1] > 0)
    assert (classes[:, 1:] == classes[:, :-1])[labelled].mean() > 0.95
    step = abs(np.diff(clean, axis=2))[:, labelled].mean()
    assert step < 0.3 * abs(clean - clean[..., ::-1]).mean(), "pixels of a field are more alike than any two"


def test_the_command_writes_a_scene_that_can_be_measured(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["farmland", str(tmp_path / "new"), "--seed", "3"])
    farmland.main()
    (scene,) = own_scenes(tmp_path / "new", tmp_path / "work")
    with rasterio.open(scene.scene) as image, rasterio.open(scene.labels[0]) as labels:
        assert (image.count, image.shape, image.dtypes[0]) == (200, (60, 60), "int16")
        assert labels.read(1).max() == len(farmland.CROPS)
        assert image.transform == labels.transform
