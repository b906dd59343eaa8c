"""Places to label next: uncertain, apart from each other, outside of what is labelled."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from rasterio.windows import Window
from synthetic import BANDS, CRS, HEIGHT, TRANSFORM, WIDTH, make_spectra, square, write_polygons, write_scene

from spectrafilm.engine import pieces
from spectrafilm.engine.errors import EngineError
from spectrafilm.engine.jobs import SuggestSamples, TrainFilm
from spectrafilm.engine.polygons import Part
from spectrafilm.engine.progress import Recorder
from spectrafilm.engine.runner import run_job
from spectrafilm.engine.tasks.suggest_samples import _covered


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
        x, y = TRANSFORM @ (column + 0.5, row + 0.5)
        assert place["centre"] == pytest.approx((x, y))
        around = [(x - 5, y + 5), (x + 5, y + 5), (x + 5, y - 5), (x - 5, y - 5)]
        np.testing.assert_allclose(place["corners"], around)
    assert result["places"][0]["confidence"] < 0.9
    assert recorder.positions == sorted(recorder.positions)
    assert recorder.positions[-1] == 1.0
    json.dumps(result)


def test_places_lie_apart(model, mixed_scene):
    places = run_job(SuggestSamples(str(mixed_scene), model, count=6), Recorder())["places"]
    blocks = {(row // 8, column // 8) for row, column in map(pixel, places)}
    assert len(blocks) == 6


@pytest.mark.parametrize("chunk", [pieces.CHUNK_VALUES, 1])
def test_nothing_is_suggested_where_something_is_drawn(model, mixed_scene, tmp_path, monkeypatch, chunk):
    """However many rows of the scene are looked at at a time."""
    monkeypatch.setattr(pieces, "CHUNK_VALUES", chunk)
    drawn = write_polygons(tmp_path / "drawn.geojson", [(None, square(6, 38, 24))])
    job = SuggestSamples(str(mixed_scene), model, count=6, labelled=str(drawn), labelled_crs=CRS)
    places = [pixel(place) for place in run_job(job, Recorder())["places"]]
    assert places[0][0] in (30, 31) and 40 <= places[0][1] < 60, "what is left of the strip"
    assert len(places) == 6
    assert not any(6 <= row < 30 and 38 <= column < 62 for row, column in places)


def test_a_pixel_that_a_polygon_or_point_touches_is_covered():
    touching = Part(1, (np.array([(30.9, 20.1), (31.1, 20.1), (31.1, 20.3), (30.9, 20.1)]),))
    point, elsewhere = Part(1, (np.array([(17.5, 40.5)]),)), Part(1, (np.array([(30.5, 8.5)]),))
    found = _covered([touching, point, elsewhere], Window(16, 16, 32, 40))
    assert found.shape == (40, 32)
    assert sorted(zip(*np.nonzero(found), strict=True)) == [(4, 14), (4, 15), (24, 1)]


def test_one_place_is_the_least_that_can_be_asked_for(model, mixed_scene):
    recorder = Recorder()
    assert len(run_job(SuggestSamples(str(mixed_scene), model, count=1), recorder)["places"]) == 1
    assert not recorder.warnings
    with pytest.raises(EngineError, match="0 places cannot be suggested"):
        run_job(SuggestSamples(str(mixed_scene), model, count=0), Recorder())


def test_a_scene_that_is_labelled_throughout_says_so(model, mixed_scene, tmp_path):
    drawn = write_polygons(tmp_path / "drawn.geojson", [(None, square(-1, -1, max(HEIGHT, WIDTH) + 2))])
    with pytest.raises(EngineError, match="labelled already"):
        run_job(SuggestSamples(str(mixed_scene), model, labelled=str(drawn), labelled_crs=CRS), Recorder())


def test_few_candidates_are_all_suggested_with_a_warning(model, mixed_scene):
    recorder = Recorder()
    result = run_job(SuggestSamples(str(mixed_scene), model, count=1000), recorder)
    assert 50 < len(result["places"]) <= (HEIGHT // 8) * (WIDTH // 8 + 1)
    assert any("place(s)" in text for text in recorder.warnings)
    assert max(place["confidence"] for place in result["places"]) > 0.9


def test_a_long_and_narrow_scene_has_no_more_candidates_than_a_square_one(model, tmp_path):
    line = make_spectra()[:, 4:6].reshape(BANDS, 1, -1)
    scene = write_scene(tmp_path / "scene.tif", np.tile(line, (1, 1, 200)))
    recorder = Recorder()
    run_job(SuggestSamples(str(scene), model, count=3), recorder)
    (candidates,) = [int(n) for text in recorder.messages for n in re.findall(r"Choosing 3 of (\d+)", text)]
    assert 1000 < candidates <= 4000
