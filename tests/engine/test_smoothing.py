"""Neighbours that look alike: what they are averaged to, when they are asked, and that maps do not depend on pieces."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from rasterio.windows import Window
from synthetic import BANDS, HEIGHT, WIDTH, make_spectra, square, write_polygons, write_scene
from training_job import training

from spectrafilm.engine import features as features_module
from spectrafilm.engine import pieces, training_data
from spectrafilm.engine.jobs import ExtractFeatures, PredictMap
from spectrafilm.engine.labels import Labels
from spectrafilm.engine.model import Model
from spectrafilm.engine.progress import Progress, Recorder
from spectrafilm.engine.runner import run_job
from spectrafilm.engine.scene import Scene
from spectrafilm.engine.smoothing import RADIUS, REACH, STEPS, ScoredRows, Smoothing, around, average_alike, in_context
from spectrafilm.engine.survey import survey_scene


@pytest.mark.parametrize("step", [1, 2])
@pytest.mark.parametrize("gaps", [0.0, 0.3, 0.9])
def test_an_average_counts_every_pixel_around_by_how_alike_it_is(step, gaps):
    rng = np.random.default_rng(0)
    valid = rng.random((19, 17)) >= gaps
    rows, columns = np.nonzero(valid)
    spectra = rng.normal(size=(len(rows), 3)).astype(np.float32)
    logits = rng.normal(size=(2, len(rows), 4)).astype(np.float32)
    averaged = average_alike(logits, spectra, rows + 100, columns + 50, 1.5, step)
    for i in range(len(rows)):
        down, right = rows - rows[i], columns - columns[i]
        near = (abs(down) <= step * RADIUS) & (abs(right) <= step * RADIUS) & (down % step == 0) & (right % step == 0)
        weights = np.exp(-((spectra[near] - spectra[i]) ** 2).sum(1) / 1.5)
        expected = (weights[:, None] * logits[:, near]).sum(1) / weights.sum()
        np.testing.assert_allclose(averaged[:, i], expected, rtol=1e-4, atol=1e-6)


def test_a_border_stays_sharp():
    """Two materials side by side, one of them with a wrong pixel."""
    rows, columns = (i.ravel() for i in np.indices((6, 10)))
    spectra = np.where(columns < 5, 0.0, 10.0)[:, None].astype(np.float32)
    logits = np.where(columns < 5, 1.0, -1.0)[None, :, None] * np.array([1.0, -1.0])
    wrong = (rows == 3) & (columns == 2)
    logits[:, wrong] *= -1
    smoothed = Smoothing((0.6, 0.4), 1.0).apply(logits, spectra, rows, columns)
    assert (smoothed[0].argmax(1) == (columns >= 5)).all()
    np.testing.assert_array_equal(Smoothing((), 1.0).apply(logits, spectra, rows, columns), logits)


def test_each_round_mixes_in_its_share_of_what_the_one_before_came_to():
    rng = np.random.default_rng(0)
    rows, columns = (i.ravel() for i in np.indices((8, 9)))
    spectra = rng.normal(size=(72, 3)).astype(np.float32)
    logits = rng.normal(size=(2, 72, 4)).astype(np.float32)
    first = 0.7 * logits + 0.3 * average_alike(logits, spectra, rows, columns, 2.0, STEPS[0])
    second = 0.9 * first + 0.1 * average_alike(first, spectra, rows, columns, 2.0, STEPS[1])
    for shares, expected in (((0.3,), first), ((0.3, 0.1), second)):
        smoothed = Smoothing(shares, 2.0).apply(logits, spectra, rows, columns)
        np.testing.assert_allclose(smoothed, expected, rtol=1e-5, atol=1e-6)
    assert [Smoothing((0.5,) * rounds).reach for rounds in (0, 1, 2)] == [0, 2, 6], "two pixels, then two steps of two"


def test_what_surrounds_a_pixel_ends_at_the_edges_of_the_scene():
    height, width = 3 * REACH, 4 * REACH
    rows, columns = around(np.array([0, height - 1]), np.array([0, width - 1]), height, width)
    found = np.zeros((height, width), bool)
    found[rows, columns] = True
    expected = np.zeros((height, width), bool)
    expected[: REACH + 1, : REACH + 1] = expected[-REACH - 1 :, -REACH - 1 :] = True
    np.testing.assert_array_equal(found, expected)
    keys = rows * width + columns
    assert (np.diff(keys) > 0).all(), "in raster order, none twice"


def test_surroundings_are_read_of_as_many_labelled_pixels_as_fit(noisy_scene_path):
    side = 2 * REACH + 1
    rows, columns = np.array([10, 10, 10, 40, 40]), np.array([10, 30, 50, 10, 30])
    labels = Labels(rows, columns, np.ones(5, np.int64), np.arange(5))
    with Scene.open(str(noisy_scene_path)) as scene:
        found = training_data._with_surroundings(
            scene, survey_scene(scene), labels, np.array([3, 1, 0, 2, 4]), 2 * side**2, Progress()
        )
    places = set(zip(found[0].tolist(), found[1].tolist(), strict=True))
    assert set(zip(rows.tolist(), columns.tolist(), strict=True)) < places, "all labelled pixels"
    assert len(places) == 2 * side**2 + 3, "surroundings of the first two"
    assert {(40 - REACH, 10 - REACH), (10 + REACH, 30 + REACH)} < places


@pytest.mark.parametrize("heights", [(50,), (1, 2, 30, 17), (16, 32, 2), (16,) * 6])
def test_rows_are_given_out_once_with_those_around_them(heights):
    total, pieces = sum(heights), []
    for left in (0, 256):
        top = 0
        for height in heights:
            image = np.broadcast_to(np.arange(top, top + height)[None, :, None], (1, height, 3))
            window = Window(left, top, 3, height)
            pieces.append(ScoredRows(window, image, image[0] % 3 > 0, image[None]))
            top += height
    seen = []
    for window, rows in in_context(iter(pieces), 2, total):
        known = rows.spectra[0, :, 0]
        wanted = np.arange(max(window.row_off - 2, 0), min(window.row_off + window.height + 2, total))
        assert set(wanted) <= set(known), "two rows above and below"
        assert known[0] == rows.window.row_off
        np.testing.assert_array_equal(rows.logits[0], rows.spectra)
        np.testing.assert_array_equal(rows.valid, rows.spectra[0] % 3 > 0)
        assert len(known) <= max(heights) + 16 + 2 * 2, "no more rows are held than it takes"
        assert window.row_off % 16 == 0, "whole blocks of the rasters"
        seen += [(window.col_off, row) for row in range(window.row_off, window.row_off + window.height)]
    assert seen == [(left, row) for left in (0, 256) for row in range(total)]


@pytest.fixture
def noisy_scene_path(tmp_path) -> Path:
    spectra = make_spectra() + np.random.default_rng(1).normal(0, 0.3, (BANDS, HEIGHT, WIDTH))
    return write_scene(tmp_path / "scene.tif", spectra.astype(np.float32))


@pytest.fixture
def smooth_model(noisy_scene_path, polygons_path, backbone_path, tmp_path) -> Path:
    """A model in which neighbours have a large share, whatever validation thought of them."""
    run_job(training(noisy_scene_path, polygons_path, backbone_path, tmp_path), Recorder())
    model = Model.load(str(tmp_path / "m.safetensors"))
    model.smoothing = replace(model.smoothing, shares=(0.8, 0.8))
    model.save(tmp_path / "smooth.safetensors")
    return tmp_path / "smooth.safetensors"


def mapped(scene: Path, model: Path, backbone: Path, path: Path, features: str = "") -> np.ndarray:
    job = PredictMap(str(scene), str(model), str(path.with_suffix(".map.tif")), backbone=str(backbone),
                     probabilities=str(path), features=features)  # fmt: skip
    run_job(job, Recorder())
    with rasterio.open(path) as dataset:
        return dataset.read()


def test_a_smoothed_map_does_not_depend_on_pieces(noisy_scene_path, backbone_path, smooth_model, tmp_path, monkeypatch):
    whole = mapped(noisy_scene_path, smooth_model, backbone_path, tmp_path / "whole.tif")
    features = tmp_path / "f.tif"
    run_job(ExtractFeatures(str(noisy_scene_path), str(features), str(backbone_path)), Recorder())
    monkeypatch.setattr(features_module, "STRIP_VALUES", 1)
    strips = mapped(noisy_scene_path, smooth_model, backbone_path, tmp_path / "strips.tif")
    np.testing.assert_allclose(strips, whole, atol=1e-4)
    monkeypatch.setattr(pieces, "CHUNK_VALUES", 1)
    blocks = mapped(noisy_scene_path, smooth_model, backbone_path, tmp_path / "blocks.tif", str(features))
    # Features rasters have half precision.
    np.testing.assert_allclose(blocks, whole, atol=0.02)
    alone = Model.load(str(smooth_model))
    alone.smoothing = Smoothing()
    alone.save(tmp_path / "alone.safetensors")
    unsmoothed = mapped(noisy_scene_path, tmp_path / "alone.safetensors", backbone_path, tmp_path / "alone.tif")
    assert abs(unsmoothed - whole).max() > 0.1, "the share must matter"


@pytest.mark.parametrize("fields", [True, False])
def test_neighbours_are_asked_where_validation_says_that_they_know(backbone_path, tmp_path, fields):
    """Two fields, or two materials scattered pixel by pixel; noise hides which is which."""
    rng = np.random.default_rng(0)
    material = np.broadcast_to(np.arange(WIDTH) >= WIDTH // 2, (HEIGHT, WIDTH))
    if not fields:
        material = rng.random((HEIGHT, WIDTH)) < 0.5
    spectra = 0.5 + 0.2 * material + rng.normal(0, 0.4, (BANDS, HEIGHT, WIDTH))
    scene = write_scene(tmp_path / "s.tif", spectra.astype(np.float32))
    places = [(row, column) for row in range(4, 72, 7) for column in range(4, 92, 6)]
    features = [("ab"[int(material[place])], square(*place, 1)) for place in places]
    job = training(scene, write_polygons(tmp_path / "p.geojson", features), backbone_path, tmp_path,
                   class_names=("a", "b"), class_colours=("#aa0000", "#00aa00"))  # fmt: skip
    recorder = Recorder()
    run_job(job, recorder)
    smoothing = Model.load(job.model).smoothing
    assert len(smoothing.shares) == (len(STEPS) if fields else 0), smoothing
    assert all(share > 0.4 for share in smoothing.shares)
    said = [message for message in recorder.messages if "Neighbours that look alike" in message]
    assert ("within 6 pixels" if fields else "not asked") in said[0]


def test_neighbours_count_in_what_experts_disagree_about_as_in_the_map(smooth_model, noisy_scene_path, backbone_path,
                                                                       tmp_path):  # fmt: skip
    model = Model.load(str(smooth_model))
    features = ExtractFeatures(str(noisy_scene_path), str(tmp_path / "f.tif"), str(backbone_path))
    run_job(features, Progress())
    outputs = {"output": str(tmp_path / "map.tif"), "uncertainty": str(tmp_path / "u.tif")}
    run_job(PredictMap(str(noisy_scene_path), str(smooth_model), features=features.output, **outputs), Progress())
    with rasterio.open(noisy_scene_path) as scene, rasterio.open(features.output) as raster:
        spectra = torch.from_numpy(model.spectral.apply(scene.read().reshape(BANDS, -1).T))
        seen = torch.from_numpy(model.spatial.apply(raster.read().reshape(raster.count, -1).T.astype(np.float32)))
    with torch.inference_mode():
        experts = torch.stack(model.network.experts(spectra[None], seen[None])).numpy()
    classes = np.arange(experts.shape[-1])
    votes = np.einsum("k,krnc->nc", model.network.shares.numpy(), experts.argmax(-1)[..., None] == classes)
    rows, columns = (i.ravel() for i in np.indices((HEIGHT, WIDTH)))
    votes = (votes / model.members)[None].astype(np.float32)
    votes = model.smoothing.apply(votes, spectra.numpy(), rows, columns)[0]
    with rasterio.open(tmp_path / "map.tif") as mapped_classes, rasterio.open(tmp_path / "u.tif") as uncertainty:
        mapped_ids, found = mapped_classes.read(1).ravel(), uncertainty.read(1).ravel()
    np.testing.assert_allclose(found, 1 - votes[np.arange(len(votes)), mapped_ids - 1], atol=1e-3)
    assert found.max() > 0.2
