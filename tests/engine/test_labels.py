"""Pixels are labelled by their centre, by majority where polygons are small, and never by two classes."""

from __future__ import annotations

import json
import math
import tracemalloc

import numpy as np
import pytest
from affine import Affine
from rasterio.crs import CRS
from synthetic import TRANSFORM, rectangle, square, write_polygons

from spectrafilm.engine import labels as labels_module
from spectrafilm.engine import strips as strips_module
from spectrafilm.engine.errors import EngineError
from spectrafilm.engine.labels import label_pixels, label_strips
from spectrafilm.engine.polygons import (
    Feature,
    Part,
    class_order,
    make_classes,
    read_features,
    read_geometries,
    to_parts,
)
from spectrafilm.engine.progress import Recorder

CLASSES = make_classes(["grass", "roof", "tree"])
UTM33 = CRS.from_epsg(32633)


def labelled(parts, progress, height=20, width=30):
    labels = label_pixels(parts, CLASSES, height, width, progress)
    return {(r, c): k for r, c, k in zip(labels.rows, labels.columns, labels.class_ids, strict=True)}


def test_a_pixel_is_labelled_when_its_centre_is_inside(progress):
    # The second holds a centre and covers little.
    found = labelled([rectangle(1, 2.4, 3.6, 4.6, 5.4), rectangle(2, 8.4, 8.4, 8.6, 8.6)], progress)
    assert found == {(4, 2): 1, (4, 3): 1, (4, 4): 1, (8, 8): 2}


def test_holes_are_not_labelled(progress):
    outer, hole = rectangle(1, 0, 0, 5, 5).rings[0], rectangle(1, 1, 1, 4, 4).rings[0]
    found = labelled([Part(1, (outer, hole))], progress)
    assert len(found) == 25 - 9
    assert (2, 2) not in found


def test_small_polygons_of_one_class_label_by_joint_majority(progress):
    """Slivers beside the centres of pixels cover 80 % of one, half of one, and 60 % of one that has 30 % of another."""
    slivers = [(2, 4.0, 4.3), (2, 4.52, 4.98), (2, 5.0, 5.3), (2, 5.7, 5.9), (2, 6.0, 6.4), (2, 6.8, 7.0),
               (1, 6.52, 6.78), (1, 9.0, 9.3)]  # fmt: skip
    parts = [rectangle(class_id, left, 4, right, 5) for class_id, left, right in slivers]
    parts += [rectangle(1, 10, 10, 12, 12), rectangle(2, 20, 10, 22, 12)]
    labels = label_pixels(parts, CLASSES, 20, 30, progress)
    small = labels.select(labels.rows == 4)
    # They belong to the largest sliver of their class.
    assert np.stack([small.columns, small.class_ids, small.polygons], 1).tolist() == [[4, 2, 1], [6, 2, 4]]


def test_a_class_of_tiny_polygons_only_gets_the_pixels_they_cover_most(progress):
    # The last one covers more, of a pixel that is another class's.
    parts = [rectangle(1, 10, 10, 12, 12), rectangle(3, 4.0, 4.0, 4.4, 4.4), rectangle(3, 20.0, 4.0, 20.2, 4.2),
             rectangle(3, 10.0, 10.0, 10.48, 10.48)]  # fmt: skip
    found = labelled(parts, progress)
    assert found[4, 4] == 3
    assert (4, 20) not in found
    assert found[10, 10] == 1
    assert "The polygons of class 'tree' cover no pixel by more than half" in progress.warnings[0]


def test_what_polygons_cover_of_a_pixel_is_measured_by_class(progress):
    # The second one covers what the first leaves free of column 4.
    parts = [rectangle(1, 2, 3, 4.75, 5), rectangle(1, 4.75, 3, 7, 5), rectangle(2, 7.75, 3, 9, 4.75),
             Part(3, (np.array([[12.1, 3.9]]),))]  # fmt: skip
    labels = label_pixels(parts, CLASSES, 20, 30, progress, measure_cover=True)
    assert labels.cover is not None
    places = zip(labels.rows.tolist(), labels.columns.tolist(), strict=True)
    cover = dict(zip(places, labels.cover.by_class(3).tolist(), strict=True))
    assert cover.pop((3, 12)) == [0, 0, 1]
    assert cover == {
        **{(row, column): [1, 0, 0] for row in (3, 4) for column in range(2, 7)},
        (3, 8): [0, 1, 0], (4, 8): [0, 0.75, 0],
    }  # fmt: skip
    alone = labels.cover.without(np.array([1]))
    assert alone.by_class(3)[(labels.rows == 3) & (labels.columns == 4)].tolist() == [[0.75, 0, 0]]
    assert alone.of_classes(np.array([1, 3])).by_class(2)[labels.columns == 12].tolist() == [[0, 1]]
    assert labels.select(labels.columns == 12).cover.by_class(3).tolist() == [[0, 0, 1]]


def test_the_border_of_a_polygon_larger_than_a_tile_is_measured(progress):
    labels = label_pixels([rectangle(1, 10.25, 10.25, 199.75, 199.5)], CLASSES, 300, 300, progress, measure_cover=True)
    inner = (labels.rows > 10) & (labels.columns > 10) & (labels.columns < 199) & (labels.rows < 199)
    cover = labels.cover.by_class(1)[:, 0]
    assert len(labels) == 189 * 190
    assert (cover[inner] == 1).all()
    assert cover[(labels.columns == 10) & (labels.rows > 10)] == pytest.approx(0.75)
    assert cover[(labels.rows == 10) & (labels.columns > 10) & (labels.columns < 199)] == pytest.approx(0.75)
    assert cover[0] == pytest.approx(0.75**2)


def test_outlines_of_rasters_are_taken_as_whole_pixels(progress, monkeypatch):
    monkeypatch.setattr(strips_module, "MOST_CORNERS", 3)
    labels = label_pixels([rectangle(1, 2.4, 3.4, 9, 9)], CLASSES, 20, 30, progress, measure_cover=True)
    assert (labels.cover.by_class(1) == 1).all()


def test_a_long_splinter_takes_no_memory_for_the_rectangle_around_it(progress):
    splinter = Part(1, (np.array([[0, 0.5], [900, 900.5], [900, 900.5001], [0, 0.5001], [0, 0.5]]),))
    tracemalloc.start()
    try:
        labels = label_pixels([splinter, rectangle(2, 5, 0, 9, 4)], CLASSES, 1000, 1000, progress)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert set(labels.class_ids) == {1, 2}
    assert labels.rows[labels.class_ids == 1].max() == 900
    assert peak < 40e6


def test_labels_do_not_depend_on_the_strips_in_which_they_are_found(monkeypatch):
    """Large, small and tiny polygons, slivers and points, which overlap and reach beyond the scene."""
    rng = np.random.default_rng(0)
    parts = [Part(3, (np.array([[0, 0.5], [70, 90.5], [70, 90.5001], [0, 0.5001], [0, 0.5]]),))]
    for size in (0.3, 0.8, 4, 40, 150) * 8:
        left, top = rng.uniform(-20, 100, 2).round(1)
        width, height = (size * rng.uniform(0.2, 1, 2)).round(2)
        parts.append(rectangle(1 if size > 10 else 2, left, top, left + width, top + height))
        parts.append(Part(2, (rng.uniform(0, 100, (1, 2)),)))
    # In the first pixels of strips.
    parts += [rectangle(2, 0, 84, 0.45, 85), rectangle(2, 0.55, 84, 1, 85), Part(2, (np.array([[0.0, 91.0]]),))]
    whole, pieces = Recorder(), Recorder()
    expected = label_pixels(parts, CLASSES, 100, 90, whole, measure_cover=True)
    monkeypatch.setattr(labels_module, "STRIP_PIXELS", 1)
    monkeypatch.setattr(labels_module, "STRIP_ROWS", 7)
    assert sum(1 for _ in label_strips(parts, CLASSES, 100, 90, Recorder())) == 15
    found = label_pixels(parts, CLASSES, 100, 90, pieces, measure_cover=True)
    for name in ("rows", "columns", "class_ids", "polygons"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
    np.testing.assert_array_equal(found.cover.shares.toarray(), expected.cover.shares.toarray())
    assert set(expected.class_ids) == {1, 2, 3}
    assert len(whole.warnings) == 4
    assert pieces.warnings == whole.warnings


def test_polygons_over_all_of_a_scene_take_memory_for_a_strip(progress, monkeypatch):
    monkeypatch.setattr(labels_module, "STRIP_PIXELS", 64_000)
    parts = [rectangle(1, 0, 0, 1000, 700), rectangle(2, 0, 700, 1000, 1000)]
    count = 0
    tracemalloc.start()
    try:
        for labels in label_strips(parts, CLASSES, 1000, 1000, progress):
            count += len(labels)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert count == 10**6
    # At once these would be 100 MB.
    assert peak < 20e6


def test_polygons_that_label_nothing_are_counted(progress):
    tiny = square(0, 0)["coordinates"][0][0]
    speck = [tiny, [tiny[0] + 1, tiny[1]], [tiny[0] + 1, tiny[1] - 1], tiny]
    geometries = [Feature("grass", square(10, 10)), Feature("grass", {"type": "Polygon", "coordinates": [speck]})]
    parts = to_parts(geometries, CLASSES, TRANSFORM, "EPSG:32633", UTM33)
    label_pixels(parts, CLASSES, 20, 30, progress)
    assert any("1 of the 2 polygons on the scene label no pixel" in w for w in progress.warnings)


def test_conflicting_pixels_are_dropped_and_counted(progress):
    found = labelled([rectangle(1, 0, 0, 4, 4), rectangle(2, 2, 2, 6, 6)], progress)
    assert not {(r, c) for r in (2, 3) for c in (2, 3)} & found.keys()
    assert len(found) == 2 * (16 - 4)
    assert progress.warnings == ["4 pixel(s) lie in polygons of different classes and are left out."]


def test_overlapping_polygons_of_one_class_are_no_conflict(progress):
    found = labelled([rectangle(1, 0, 0, 4, 4), rectangle(1, 2, 2, 6, 6)], progress)
    assert len(found) == 28
    assert not progress.warnings


def test_points_on_the_upper_and_left_edge_lie_in_the_first_pixels(progress):
    """As those do that were exported from the upper left corners of pixels."""
    places = [(0, 0), (0, 5), (5, 0), (-1, 5), (30, 5), (5, 20)]
    found = labelled([Part(1, (np.array([place], float),)) for place in places], progress, height=20, width=30)
    assert found == {(0, 0): 1, (5, 0): 1, (0, 5): 1}
    assert progress.warnings == ["3 of 6 polygons lie outside the scene and are left out."]


def test_polygons_outside_are_counted_and_none_inside_is_an_error(progress):
    inside, outside = rectangle(1, 0, 0, 4, 4), rectangle(2, 100, 100, 110, 110)
    assert len(labelled([inside, outside], progress)) == 16
    assert progress.warnings == ["1 of 2 polygons lie outside the scene and are left out."]
    with pytest.raises(EngineError, match="None of the 1 polygons lies on the scene"):
        labelled([outside], progress)


def test_polygons_of_a_raster_without_a_place_are_known_again(progress):
    """QGIS shows row 3 of such a scene at y = -3, and Polygonize writes y = 3."""
    upside_down = rectangle(1, 0, -20, 30, 0)
    with pytest.raises(EngineError, match="right above it.* -a_ullr 0 20 30 0"):
        labelled([upside_down], progress, height=20, width=30)
    with pytest.raises(EngineError, match="same area"):
        labelled([upside_down, rectangle(1, 2, -26, 6, -3)], progress, height=20, width=30)


def test_a_polygon_across_the_edge_labels_what_is_inside(progress):
    found = labelled([rectangle(1, -5, -5, 2, 2), rectangle(1, 28, 18, 35, 25)], progress, height=20, width=30)
    assert set(found) == {(0, 0), (0, 1), (1, 0), (1, 1), (18, 28), (18, 29), (19, 28), (19, 29)}


def test_points_label_the_pixel_they_lie_in(progress):
    found = labelled([Part(2, (np.array([[3.9, 7.1]]),))], progress)
    assert found == {(7, 3): 2}


def test_a_rotated_grid_is_followed(progress):
    transform = Affine.translation(380000, 5820000) @ Affine.rotation(30) @ Affine.scale(10, -10)
    corners = [transform @ corner for corner in ((2, 3), (6, 3), (6, 5), (2, 5), (2, 3))]
    geometry = {"type": "Polygon", "coordinates": [[list(c) for c in corners]]}
    parts = to_parts([Feature("grass", geometry)], CLASSES, transform, "EPSG:32633", UTM33)
    assert set(labelled(parts, progress)) == {(r, c) for r in (3, 4) for c in (2, 3, 4, 5)}


def test_other_coordinate_systems_are_reprojected(progress):
    from rasterio.warp import transform_geom

    lonlat = transform_geom("EPSG:32633", "EPSG:4326", square(3, 2, 4))
    parts = to_parts([Feature("grass", lonlat)], CLASSES, TRANSFORM, "EPSG:4326", UTM33)
    assert set(labelled(parts, progress)) == {(r, c) for r in range(3, 7) for c in range(2, 6)}


@pytest.mark.parametrize(("west", "drawn", "left"), [
    (190.0, -165.0, 6.25), (-170.0, 195.0, 6.25), (-170.0, -165.0, 6.25), (190.0, 195.0, 6.25), (190.0, 189.0, -1.25),
    (-180.0, 179.0, 448.75),
])  # fmt: skip
def test_longitudes_may_be_counted_from_0_or_from_greenwich_both_ways(west, drawn, left):
    grid = Affine(0.8, 0, west, 0, -0.5, 10)
    corners = [(0, 8), (2, 8), (2, 7), (0, 7), (0, 8)]
    geometry = {"type": "Polygon", "coordinates": [[[drawn + x, y] for x, y in corners]]}
    parts = to_parts([Feature("grass", geometry)], CLASSES, grid, "EPSG:4326", CRS.from_epsg(4326))
    assert parts[0].bounds() == pytest.approx((left, 4.0, left + 2.5, 6.0))
    metres = to_parts([Feature("grass", square(3, 1000))], CLASSES, TRANSFORM, "EPSG:32633", UTM33)
    assert metres[0].bounds() == (1000.0, 3.0, 1004.0, 7.0), "only degrees begin anew"


def test_coordinates_that_do_not_fit_their_system_are_one_sentence():
    """Metres in a layer to which degrees were assigned, as happens in QGIS."""
    with pytest.raises(EngineError, match="do not fit the coordinate system of their layer"):
        to_parts([Feature("grass", square(3, 2, 4))], CLASSES, TRANSFORM, "EPSG:4326", UTM33)


def test_systems_that_nothing_connects_are_one_short_sentence():
    local = CRS.from_wkt('LOCAL_CS["site",UNIT["metre",1]]')
    with pytest.raises(EngineError, match="do not fit the coordinate system of their layer") as caught:
        to_parts([Feature("grass", square(3, 2, 4))], CLASSES, TRANSFORM, "EPSG:32633", local)
    assert len(str(caught.value)) < 600


def test_coordinates_that_are_no_numbers_are_one_sentence():
    broken = {"type": "Polygon", "coordinates": [[[float("nan"), 0.0], [1.0, 0.0], [1.0, 1.0], [float("nan"), 0.0]]]}
    with pytest.raises(EngineError, match="coordinates that are no numbers"):
        to_parts([Feature("grass", broken)], CLASSES, TRANSFORM, "EPSG:32633", UTM33)


def test_empty_polygons_and_holes_are_passed_over(progress):
    outer = square(0, 0)["coordinates"][0]
    geometries = [{"type": "Polygon", "coordinates": c} for c in ([[]], [], [outer, []])]
    geometries.append({"type": "MultiPolygon", "coordinates": [[[]], [outer]]})
    parts = to_parts([Feature("grass", g) for g in geometries], CLASSES, TRANSFORM, "EPSG:32633", UTM33)
    assert [len(part.rings) for part in parts] == [1, 1]


def test_parts_of_a_multipolygon_are_polygons_of_their_own(progress):
    first, second, third = (square(place, place)["coordinates"] for place in (0, 6, 12))
    with_heights = [[[*position, 5.0] for position in ring] for ring in second]
    multi = {"type": "MultiPolygon", "coordinates": [first, with_heights, third]}
    points = {"type": "MultiPoint", "coordinates": [[TRANSFORM.c + 205, TRANSFORM.f - 5 - 10 * row] for row in (2, 5)]}
    parts = to_parts([Feature("grass", multi), Feature("roof", points)], CLASSES, TRANSFORM, "EPSG:32633", UTM33)
    labels = label_pixels(parts, CLASSES, 20, 30, progress)
    assert np.bincount(labels.polygons).tolist() == [16, 16, 16, 1, 1]
    assert labels.rows[labels.polygons > 2].tolist() == [2, 5]


@pytest.mark.parametrize("geometry", [
    {"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1]]]},
    {"type": "Polygon", "coordinates": [[0, 0], [1, 0], [1, 1], [0, 0]]},
    {"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, "north"], [0, 0]]]},
    {"type": "MultiPolygon", "coordinates": 3},
    {"type": "Point", "coordinates": [5]},
    {"type": "Point", "coordinates": [10**400, 5]},
    {"type": "Point", "coordinates": 5},
    {"type": "GeometryCollection", "geometries": ["Point"]},
    "POINT (1 2)",
], ids=str)  # fmt: skip
def test_geometries_that_are_none_are_one_sentence(geometry):
    with pytest.raises(EngineError, match="not written as GeoJSON has them"):
        to_parts([Feature("grass", geometry)], CLASSES, TRANSFORM, "EPSG:32633", UTM33)


def test_lines_are_refused():
    with pytest.raises(EngineError, match="draw polygons"):
        to_parts([Feature("grass", {"type": "LineString", "coordinates": [[0, 0], [1, 1]]})], CLASSES, TRANSFORM,
                 "EPSG:32633", UTM33)  # fmt: skip


@pytest.mark.parametrize(
    ("features", "field", "sentence"),
    [
        ([("a", square(0, 0))], "klass", "no field 'klass'"),
        ([(n, square(0, 0)) for n in (None, "", math.nan)], "class", "is empty \\(NULL\\) in every feature"),
        ([], "class", "holds no features"),
        ([("a", None), (None, square(0, 0))], "class", "No feature with a class has a geometry"),
    ],
)
def test_labels_without_classes_are_one_sentence(tmp_path, progress, features, field, sentence):
    path = write_polygons(tmp_path / "p.geojson", features)
    with pytest.raises(EngineError, match=sentence):
        read_features(str(path), field, progress)


def test_numbers_are_classes_too_and_nulls_are_counted(tmp_path, progress):
    path = write_polygons(tmp_path / "p.geojson", [(3, square(0, 0)), (3.0, square(8, 8)), (None, square(4, 4))])
    assert [feature.name for feature in read_features(str(path), "class", progress)] == ["3", "3"]
    assert progress.warnings == ["1 feature(s) without a class or geometry are left out."]
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())  # as programs on Windows write it
    assert len(read_features(str(path), "class", progress)) == 2


def test_what_qgis_found_while_exporting_is_told(tmp_path, progress):
    path = write_polygons(tmp_path / "p.geojson", [("a", square(0, 0))])
    path.write_text(json.dumps(json.loads(path.read_text()) | {"spectrafilm_warnings": ["one was repaired"]}))
    read_features(str(path), "class", progress)
    read_geometries(str(path), progress)
    assert progress.warnings == ["one was repaired"] * 2


@pytest.mark.parametrize("content", [
    "", "{}", "[]", '{"features": 3}', '{"features": ["x"]}', '{"features": [{"properties": "x"}]}',
    '{"features": [], "spectrafilm_warnings": 3}', "[" * 100_000,
], ids=lambda content: content[:40])  # fmt: skip
def test_what_is_no_geojson_is_one_sentence(tmp_path, progress, content):
    (tmp_path / "p.geojson").write_text(content)
    with pytest.raises(EngineError, match="not a GeoJSON"):
        read_features(str(tmp_path / "p.geojson"), "class", progress)


def test_classes_have_one_order_however_they_come():
    ordered = ["1", "1.0", "2", "Forest", "forest", "nan", "water"]
    for names in (ordered, ordered[::-1], [*ordered[3:], *ordered[:3]], [*ordered[5:], *ordered[:5]]):
        assert sorted(names, key=class_order) == ordered


def test_one_class_is_not_enough():
    with pytest.raises(EngineError, match="only 'grass'"):
        make_classes(["grass"])
