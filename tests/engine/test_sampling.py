"""Which labelled pixels are trained on where there are many, and which unlabelled ones lie around them."""

from __future__ import annotations

import numpy as np
from synthetic import HEIGHT, WIDTH, make_spectra, rectangle, write_scene

from spectrafilm.engine import training_data
from spectrafilm.engine.labels import Labels, label_pixels
from spectrafilm.engine.patches import PatchGrid
from spectrafilm.engine.polygons import make_classes
from spectrafilm.engine.sampling import context_pixels, thin_labels
from spectrafilm.engine.scene import Scene
from spectrafilm.engine.survey import survey_scene

CLASSES = make_classes(["grass", "roof"])


def test_thinning_keeps_small_polygons_and_every_class(progress):
    parts = [rectangle(1, 0, 0, 20, 20), rectangle(1, 25, 0, 27, 2), rectangle(2, 25, 10, 26, 11)]
    labels = label_pixels(parts, CLASSES, 20, 30, progress)
    kept = labels.select(thin_labels(labels, 100, seed=0))
    counts = {p: int((kept.polygons == p).sum()) for p in range(3)}
    assert counts[0] + counts[1] == 100
    assert counts[1] >= 3
    assert counts[2] == 1


def test_thinning_follows_the_seed(progress):
    labels = label_pixels([rectangle(1, 0, 0, 20, 20)], CLASSES, 20, 30, progress)
    first, again, other = (thin_labels(labels, 100, seed).tolist() for seed in (1, 1, 2))
    assert first == again != other


def test_context_pixels_cost_no_patch(progress):
    labels = label_pixels([rectangle(1, 40, 40, 44, 44)], CLASSES, 200, 200, progress)
    grid = PatchGrid(200, 200, 64, 32)
    rows, columns = context_pixels(labels, grid, seed=0)
    assert len(rows) > 50
    assert set(grid.containing(rows, columns)) <= set(grid.containing(labels.rows, labels.columns))


def test_context_pixels_lie_around_all_labels(progress):
    labels = label_pixels([rectangle(1, 20, 20, 180, 180)], CLASSES, 200, 200, progress)
    rows, _ = context_pixels(labels, PatchGrid(200, 200, 64, 32), seed=0)
    assert rows.min() < 30
    assert rows.max() > 170


def test_pixels_without_data_are_no_surroundings_and_no_context(tmp_path, progress):
    spectra = make_spectra()
    spectra[:, 30:40] = -1.0
    labels = Labels(np.array([28, 42]), np.array([50, 50]), np.array([1, 2]), np.arange(2))
    with Scene.open(str(write_scene(tmp_path / "s.tif", spectra))) as scene:
        survey = survey_scene(scene)
        near = training_data._with_surroundings(scene, survey, labels, np.arange(2), 10_000, progress)
        context = training_data.valid_context(scene, survey, labels, PatchGrid(HEIGHT, WIDTH, 32, 16), 0, progress)
    for rows in (near[0], context[0]):
        assert len(rows)
        assert not ((rows >= 30) & (rows < 40)).any()
