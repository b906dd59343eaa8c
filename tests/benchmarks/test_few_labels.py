"""Draws of labels and the rows of the page of few labels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from spectrafilm.benchmarks.accuracy import __main__ as benchmark
from spectrafilm.benchmarks.accuracy import pool as benchmark_pool
from spectrafilm.benchmarks.accuracy.fusions import ConcatenationEnsemble, SumEnsemble
from spectrafilm.benchmarks.accuracy.own_scenes import own_scenes
from spectrafilm.benchmarks.accuracy.pool import Near, Pool, make_pool
from spectrafilm.benchmarks.accuracy.rows import ROWS, Prediction
from spectrafilm.benchmarks.real_scenes.scenes import LabelledScene
from spectrafilm.engine.labels import Labels
from spectrafilm.engine.polygons import make_classes


def test_features_are_computed_for_rows_that_need_them(matlab, tmp_path):
    (scene,) = own_scenes(matlab, tmp_path / "work")
    pool = make_pool(LabelledScene(scene, matlab, tmp_path, None), smoothed=True)
    training, testing = pool.draw("random pixels", 3, 0)
    ROWS["SVM"](pool, training, testing, 0)
    assert not list(tmp_path.glob("features-*"))
    ROWS["SVM, features alone"](pool, training, testing, 0)
    assert len(list(tmp_path.glob("features-*"))) == 1


def test_profiles_are_computed_once_for_rows_that_need_them(matlab, tmp_path, monkeypatch):
    computed = []

    def profiles(image):
        computed.append(image)
        return image[:27]

    monkeypatch.setattr(benchmark_pool, "_profiles", profiles)
    (scene,) = own_scenes(matlab, tmp_path / "work")
    pool = make_pool(LabelledScene(scene, matlab, tmp_path, None))
    training, testing = pool.draw("random pixels", 3, 0)
    ROWS["SVM"](pool, training, testing, 0)
    assert not computed
    for _ in range(2):
        ROWS["SVM, morphological profiles"](pool, training, testing, 0)
    assert len(computed) == 1


def test_features_that_an_interruption_cut_off_are_computed_anew(matlab, tmp_path, monkeypatch):
    (scene,) = own_scenes(matlab, tmp_path / "work")
    pool = make_pool(LabelledScene(scene, matlab, tmp_path, None))
    key, save = ("spectrafilm", "bundled"), np.save

    def interrupted(path, _values):
        path.write_bytes(b"cut off")
        raise KeyboardInterrupt

    monkeypatch.setattr(np, "save", interrupted)
    with pytest.raises(KeyboardInterrupt):
        pool.features[key]
    monkeypatch.setattr(np, "save", save)
    assert len(pool.features[key]) == len(pool.labels)


@pytest.fixture
def pool():
    """40 pixels of each of 3 classes in polygons of 8."""
    ids = np.repeat([1, 2, 3], 40)
    labels = Labels(np.arange(120), np.arange(120), ids, np.arange(120) // 8)
    nothing = np.zeros((120, 1), np.float32)
    classes = make_classes(["a", "b", "c"])
    return Pool("p", labels, classes, nothing, nothing, nothing, 1.0, {}, lambda: nothing, {}, 0, None)


def test_classes_that_are_left_out_are_not_listed(pool):
    few = replace(pool, labels=pool.labels.select(pool.labels.class_ids != 2))
    assert benchmark._pixels_by_class(few) == "class a 40 pixels of 5 area(s), class c 40 pixels of 5 area(s)"


@pytest.mark.parametrize("protocol", ["random pixels", "polygons apart"])
def test_draws_are_balanced_disjoint_and_repeatable(pool, protocol):
    training, testing = pool.draw(protocol, 5, 7)
    assert np.bincount(pool.labels.class_ids[training]).tolist() == [0, 5, 5, 5]
    assert not set(training) & set(testing)
    again = pool.draw(protocol, 5, 7)
    assert all(np.array_equal(a, b) for a, b in zip((training, testing), again, strict=True))
    assert not np.array_equal(training, pool.draw(protocol, 5, 8)[0])


def test_all_labels_are_more_than_any_number(pool):
    many = replace(pool, labels=pool.labels.select(np.arange(72_000) % 120))
    assert len(many.draw("random pixels", 9999, 0)[0]) == 3 * 12_000


def test_random_pixels_are_held_out_one_by_one(pool, tmp_path):
    """Whoever labels single pixels has no polygons that could be held out."""
    seen = {}

    def classify(given, training, testing, seed):
        seen[len(seen)] = len(np.unique(given.labels.polygons[training]))
        return Prediction(given.labels.class_ids[testing])

    for protocol in ("random pixels", "polygons apart"):
        benchmark.measure(pool, protocol, 20, 0, {"any": classify}, tmp_path / "results.jsonl")
    assert seen == {0: 3 * 20, 1: 3 * 3}, "polygons of the training pixels"


def test_polygons_apart_shares_no_polygon(pool):
    training, testing = pool.draw("polygons apart", 20, 0)
    assert not set(pool.labels.polygons[training]) & set(pool.labels.polygons[testing])


@pytest.mark.parametrize("ensemble", [SumEnsemble, ConcatenationEnsemble])
def test_rivals_of_film_see_both_inputs_and_do_not_scale(ensemble):
    torch.manual_seed(0)
    network = ensemble(2, 6, 5, 0, 3).eval()
    spectra, features = torch.randn(1, 7, 6), torch.randn(1, 7, 5)
    with torch.no_grad():
        network.embed_out.weight.zero_()
        fused = network.experts(spectra, features)[1]
        network.scale.weight.normal_()
        assert torch.equal(network.experts(spectra, features)[1], fused)
        assert not torch.equal(network.experts(spectra, 2 * features)[1], fused)
        network.shift.weight.normal_()
        by_spectrum = network.experts(spectra, features)[1]
        assert not torch.equal(network.experts(2 * spectra, features)[1], by_spectrum)


def test_a_majority_filter_mends_single_pixels_and_keeps_borders(pool):
    side = 12
    rows, columns = (a.ravel() for a in np.indices((side, side)))
    ids = np.where(columns < side // 2, 1, 2)
    speckled = (rows % 4 == 0) & (columns % 4 == 0)
    spectra = np.where(speckled, 3 - ids, ids)[:, None].astype(np.float32)
    everywhere = np.arange(side**2)
    scene = replace(
        pool, labels=Labels(rows, columns, ids, everywhere), spectra=spectra,
        near=Near(rows, columns, spectra, {}, everywhere),
    )  # fmt: skip
    training = np.flatnonzero(~speckled)[::5]
    plain, mended = (
        ROWS[row](scene, training, everywhere, 0).class_ids == ids for row in ("SVM", "SVM, 3 x 3 majority")
    )
    assert np.array_equal(plain, ~speckled)
    assert mended.all()
