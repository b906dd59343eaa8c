"""Places to label next: uncertain, apart from each other, outside of what is labelled."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from synthetic import CRS, HEIGHT, TRANSFORM, WIDTH, make_spectra, square, write_polygons, write_scene

from spectrafilm.engine.errors import EngineError
from spectrafilm.engine.jobs import SuggestSamples, TrainFilm
from spectrafilm.engine.progress import Progress, Recorder
from spectrafilm.engine.runner import run_job
from spectrafilm.engine.sample_choice import Candidates, choose_samples, hesitation, mean_around


def pixel(place):
    x, y = place["centre"]
    return int((TRANSFORM.f - y) // 10), int((x - TRANSFORM.c) // 10)


@pytest.fixture(scope="module")
def model(scene_path, polygons_path, tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "m.safetensors"
    run_job(TrainFilm(str(scene_path), str(polygons_path), str(path), polygons_crs=CRS, method="spectral"), Recorder())
    return str(path)


@pytest.fixture(scope="module")
def mixed_scene(tmp_path_factory):
    """The quarters, with a strip in which field and roof are mixed half and half."""
    spectra = make_spectra()
    spectra[:, 8:32, 40:60] = (spectra[:, 8:32, 20:40] + spectra[:, 8:32, 60:80]) / 2
    return write_scene(tmp_path_factory.mktemp("mixed") / "scene.tif", spectra)


def test_places_are_where_the_model_hesitates(model, mixed_scene):
    recorder = Recorder()
    result = run_job(SuggestSamples(str(mixed_scene), model, count=6), recorder)
    assert [p["rank"] for p in result["places"]] == [1, 2, 3, 4, 5, 6]
    for place in result["places"]:
        row, column = pixel(place)
        assert 8 <= row < 32 and 40 <= column < 60
        assert {place["predicted"], place["rival"]} == {"field", "roof"}
    assert result["places"][0]["confidence"] < 0.9
    assert recorder.positions == sorted(recorder.positions)
    assert recorder.positions[-1] == 1.0
    json.dumps(result)


def test_places_lie_apart(model, mixed_scene):
    places = run_job(SuggestSamples(str(mixed_scene), model, count=6), Recorder())["places"]
    blocks = {(row // 8, column // 8) for row, column in map(pixel, places)}
    assert len(blocks) == 6


def test_nothing_is_suggested_where_something_is_drawn(model, mixed_scene, tmp_path):
    drawn = write_polygons(tmp_path / "drawn.geojson", [(None, square(6, 38, 24))])
    job = SuggestSamples(str(mixed_scene), model, count=6, labelled=str(drawn), labelled_crs=CRS)
    for row, column in map(pixel, run_job(job, Recorder())["places"]):
        assert not (6 <= row < 30 and 38 <= column < 62)


def test_a_scene_that_is_labelled_throughout_says_so(model, mixed_scene, tmp_path):
    drawn = write_polygons(tmp_path / "drawn.geojson", [(None, square(-1, -1, max(HEIGHT, WIDTH) + 2))])
    with pytest.raises(EngineError, match="labelled already"):
        run_job(SuggestSamples(str(mixed_scene), model, labelled=str(drawn), labelled_crs=CRS), Recorder())


def test_few_candidates_are_all_suggested_with_a_warning(model, mixed_scene):
    recorder = Recorder()
    result = run_job(SuggestSamples(str(mixed_scene), model, count=1000), recorder)
    assert 50 < len(result["places"]) <= (HEIGHT // 8) * (WIDTH // 8 + 1)
    assert any("place(s)" in text for text in recorder.warnings)


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


def test_kinds_that_are_labelled_come_last(groups):
    labelled = groups.select(np.array(kinds(groups)) == 3)
    free = groups.select(np.array(kinds(groups)) != 3)
    # A pixel of a labelled kind is offered, too.
    free = Candidates.join([free, labelled.select(np.arange(50))])
    chosen = kinds(choose(free, labelled.select(np.arange(50, 100)), 3))
    assert sorted(chosen) == [0, 1, 2]


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
