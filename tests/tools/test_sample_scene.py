"""The generator of the sample scene keeps its promises, and the bundled files are there and small."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from spectrafilm.tools.sample_scene.bands import band_table
from spectrafilm.tools.sample_scene.canvas import Grid
from spectrafilm.tools.sample_scene.classes import CLASSES
from spectrafilm.tools.sample_scene.digitize import (
    MULTIPART,
    PLANS,
    REFERENCE_GAP,
    REFERENCE_PURITY,
    distance_to_polygons,
    distance_to_ring,
    draw_polygons,
    inside_ring,
    training_labels,
)
from spectrafilm.tools.sample_scene.mixing import NODATA
from spectrafilm.tools.sample_scene.scene import Scene, make_image, make_scene
from spectrafilm.tools.sample_scene.spectra import MATERIALS

SAMPLE = Path(__file__).parents[2] / "resources" / "sample"
FILES = (
    "scene.tif", "scene.qml", "polygons.gpkg", "polygons.qml", "reference.gpkg", "reference.qml", "README.md",
)
SMALL = Grid(pixels=40)


@pytest.fixture(scope="module")
def scene() -> Scene:
    return make_scene(0)


def test_water_vapour_bands_are_flagged_and_some_are_opaque() -> None:
    table = band_table()
    assert 80 <= len(table) <= 100
    assert np.all(np.diff(table.wavelength) > 0)
    assert table.wavelength[0] == 400.0 and 2440.0 < table.wavelength[-1] <= 2450.0
    assert not table.good[table.nearest(1400.0)] and not table.good[table.nearest(1900.0)]
    assert table.good[table.nearest(550.0)] and table.good[table.nearest(2200.0)]
    assert 2 <= table.opaque.sum() <= 3
    assert not np.any(table.opaque & table.good)


def test_spectra_are_reflectances_and_leaves_have_a_red_edge() -> None:
    table = band_table()
    for name, material in MATERIALS.items():
        spectra = material(np.random.default_rng(0), 20, table.wavelength)
        assert spectra.shape == (20, len(table)), name
        assert spectra.min() >= 0.0 and spectra.max() < 0.8, name
    leaves = MATERIALS["oak"](np.random.default_rng(0), 20, table.wavelength)
    assert np.all(leaves[:, table.nearest(850.0)] > 5 * leaves[:, table.nearest(675.0)])


def test_same_seed_same_image_other_seed_other_image() -> None:
    first, again, other = make_image(3, SMALL), make_image(3, SMALL), make_image(4, SMALL)
    assert np.array_equal(first.counts, again.counts)
    assert np.array_equal(first.truth.majority, again.truth.majority)
    assert not np.array_equal(first.counts, other.counts)


def test_more_noise_leaves_the_landscape_as_it_was(scene: Scene) -> None:
    noisy = make_scene(0, noise=5.0)
    assert np.array_equal(noisy.image.truth.majority, scene.image.truth.majority)
    band = scene.image.table.nearest(2200.0)
    steps = [np.diff(s.image.counts[band].astype(float))[s.image.seen[:, 1:]] for s in (scene, noisy)]
    assert np.median(np.abs(steps[1])) > 3 * np.median(np.abs(steps[0]))


def test_same_seed_same_polygons(scene: Scene) -> None:
    image = scene.image
    again = draw_polygons(image.canvas, image.truth, image.seen, np.random.default_rng([0, 3]))
    assert len(again) == len(scene.polygons)
    for one, two in zip(scene.polygons, again):
        assert one.cover is two.cover
        assert all(np.array_equal(a, b) for a, b in zip(one.rings, two.rings))


def test_nodata_lies_outside_the_swath_and_in_opaque_bands(scene: Scene) -> None:
    image = scene.image
    assert 0.8 < image.seen.mean() < 1.0
    invalid = image.counts == NODATA
    assert invalid[image.table.opaque].all()
    assert np.array_equal(invalid[~image.table.opaque].any(axis=0), ~image.seen)


def test_every_class_has_polygons_of_the_planned_size(scene: Scene) -> None:
    x, y = scene.image.canvas.grid.pixel_centres()
    for cover in CLASSES:
        rings = [r for f in scene.polygons if f.cover is cover for r in f.rings]
        assert len(rings) == PLANS[cover].polygons
        few, many = PLANS[cover].pixels
        assert all(few <= np.sum(inside_ring(x, y, r) & scene.image.seen) <= many for r in rings)
    multipart = [f for f in scene.polygons if len(f.rings) > 1]
    assert [f.cover for f in multipart] == [MULTIPART]


def test_polygons_hold_mostly_their_class(scene: Scene) -> None:
    label, group = training_labels(scene.polygons, scene.image.canvas.grid)
    assert group.max() == len(scene.polygons)
    drawn = label > 0
    assert np.mean(label[drawn] == scene.image.truth.majority[drawn]) > 0.85


def test_every_class_has_reference_points_far_from_polygons(scene: Scene) -> None:
    points, truth = scene.points, scene.image.truth
    distance = distance_to_polygons(scene.polygons, scene.image.canvas.grid)
    assert distance[points.row, points.column].min() > REFERENCE_GAP
    assert scene.image.seen[points.row, points.column].all()
    assert truth.purity[points.row, points.column].min() >= REFERENCE_PURITY
    assert np.array_equal(truth.majority[points.row, points.column], points.label)
    counts = np.bincount(points.label, minlength=len(CLASSES) + 1)[1:]
    assert counts.min() >= 60 and counts.max() <= 100
    assert len(set(zip(points.row, points.column))) == len(points.row)


def test_distance_to_ring() -> None:
    square = np.array([[0.0, 0.0], [10.0, 0.0], [10.0, 10.0], [0.0, 10.0]])
    x, y = np.array([5.0, 13.0, 13.0]), np.array([5.0, 5.0, 14.0])
    assert distance_to_ring(x, y, square) == pytest.approx([0.0, 3.0, 5.0])


@pytest.mark.parametrize("name", FILES)
def test_bundled_file_exists(name: str) -> None:
    assert (SAMPLE / name).is_file()


def test_bundle_is_small() -> None:
    assert sum(path.stat().st_size for path in SAMPLE.iterdir()) <= 3_000_000
