"""Candidates for labels: one of every kind that is uncertain, spread where nothing is, however a scene is cut."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from spectrafilm.engine.progress import Progress
from spectrafilm.engine.sample_choice import Candidates, choose_samples, hesitation, mean_around


@pytest.fixture
def groups():
    """Four kinds of spectra, a hundred pixels of each, where two classes tie."""
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(4), 100)
    spectra = (np.eye(4)[group] * 5 + rng.normal(0, 0.1, (400, 4))).astype(np.float32)
    places = rng.permutation(80 * 80)[:400]
    return Candidates(places // 80, places % 80, spectra, np.full((400, 2), 0.5), np.ones(400))


def choose(candidates, labelled, count):
    return candidates.select(choose_samples(candidates, labelled, count, Progress()))


def kinds(pixels):
    return pixels.spectra.argmax(1).tolist()


def nothing(candidates):
    return candidates.select(np.zeros(0, int))


def test_every_kind_that_is_uncertain_is_chosen(groups):
    assert sorted(kinds(choose(groups, nothing(groups), 4))) == [0, 1, 2, 3]
    # One kind a little more uncertain takes the first place, but not all of them.
    uncertain = replace(groups, uncertainty=np.where(np.array(kinds(groups)) == 2, 0.98, 0.7))
    chosen = kinds(choose(uncertain, nothing(groups), 6))
    assert chosen[0] == 2
    assert set(chosen) == {0, 1, 2, 3}


def test_what_the_model_is_sure_of_is_left_alone(groups):
    sure = replace(groups, uncertainty=np.where(np.array(kinds(groups)) == 1, 0.9, 0.01))
    assert kinds(choose(sure, nothing(groups), 4)) == [1, 1, 1, 1]


def test_where_the_model_hesitates_nowhere_places_are_spread():
    rows, columns = (i.ravel() for i in np.indices((20, 20)))
    spectra = np.random.default_rng(0).normal(0, 1, (400, 4)).astype(np.float32)
    sure = Candidates(rows, columns, spectra, np.tile([1.0, 0.0], (400, 1)), np.zeros(400))
    chosen = choose(sure, nothing(sure), 4)
    places = np.stack([chosen.rows, chosen.columns], 1)
    assert (np.ptp(places, axis=0) >= 10).all()
    apart = np.linalg.norm(places[:, None] - places, axis=2)
    assert apart[np.triu_indices(4, 1)].min() > 5


def test_kinds_that_are_labelled_come_last(groups):
    # More pixels of labelled kinds are offered than of others.
    few, kind = np.arange(400) % 4 == 0, np.array(kinds(groups))
    free = groups.select(np.where(kind < 2, few, ~few))
    chosen = kinds(choose(free, groups.select((kind >= 2) & few), 2))
    assert sorted(chosen) == [0, 1]


def test_nothing_is_chosen_twice(groups):
    same = groups.select(np.zeros(5, int))
    assert len(choose(same, nothing(groups), 9)) == 5
    chosen = choose(groups, groups, 400)
    assert len(set(zip(chosen.rows.tolist(), chosen.columns.tolist(), strict=True))) == 400


def test_candidates_do_not_hang_on_how_a_scene_is_cut(groups):
    def places(pixels):
        return set(zip(pixels.rows.tolist(), pixels.columns.tolist(), strict=True))

    whole = groups.one_per_block(8, 0)
    parts = [groups.select(np.arange(start, 400, 7)).one_per_block(8, 0) for start in range(7)]
    assert places(Candidates.join(parts).one_per_block(8, 0)) == places(whole)
    assert len(whole) == len(set(zip((whole.rows // 8).tolist(), (whole.columns // 8).tolist(), strict=True)))
    assert places(groups.one_per_block(8, 1)) != places(whole)
    inside = np.stack([whole.rows % 8, whole.columns % 8]).mean(1)
    assert inside == pytest.approx([3.5, 3.5], abs=1), "from anywhere in a block"


def test_a_line_of_mixed_pixels_counts_less_than_an_area():
    probabilities = np.tile([0.9, 0.06, 0.04], (81, 1))
    image = probabilities.reshape(9, 9, 3)
    image[:, 2] = image[:, 5:8] = (0.4, 0.4, 0.2)
    valid = np.ones((9, 9), bool)
    valid[4, 4] = False
    uncertainty = np.zeros((9, 9))
    uncertainty[valid] = mean_around(hesitation(probabilities)[valid.ravel()], valid)
    assert uncertainty[4, 6] == pytest.approx(1.0)
    assert uncertainty[4, 2] == pytest.approx((1 + 2 * 0.16) / 3)
    # Pixels outside of the image and those without data do not count.
    assert uncertainty[0, 0] == pytest.approx(0.16)
    assert uncertainty[4, 5] == pytest.approx((6 + 2 * 0.16) / 8)
