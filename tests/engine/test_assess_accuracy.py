"""What an assessment compares, counts and leaves out, on small maps."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio
from PIL import Image
from synthetic import CRS, HEIGHT, TRANSFORM, WIDTH, quarter_polygons, square, write_polygons
from training_job import NAMES

from spectrafilm.engine.errors import EngineError
from spectrafilm.engine.jobs import AssessAccuracy
from spectrafilm.engine.map_style import TAG, style_map
from spectrafilm.engine.pictures import font_families, map_picture
from spectrafilm.engine.polygons import LandCoverClass
from spectrafilm.engine.progress import Recorder
from spectrafilm.engine.runner import run_job


def write_classes(path, values, **options):
    place = {"driver": "GTiff", "width": values.shape[1], "height": values.shape[0], "count": 1, "dtype": "uint8",
             "crs": CRS, "transform": TRANSFORM, **options}  # fmt: skip
    with rasterio.open(path, "w", **place) as dataset:
        dataset.write(values.astype(place["dtype"]), 1)
    return str(path)


def test_an_assessment_has_the_reference_in_rows_and_leaves_out_what_is_no_data(tmp_path):
    values = np.repeat([[0] + [1] * 9 + [2] * 10], 10, 0)
    reference = np.ones((10, 20))
    reference[9] = reference[5:, 10:] = 9
    land_cover = write_classes(tmp_path / "map.tif", values, nodata=0)
    recorder = Recorder()
    job = AssessAccuracy(land_cover, write_classes(tmp_path / "r.tif", reference, nodata=9), str(tmp_path / "a.html"))
    run_job(job, recorder)
    report = json.loads((tmp_path / "a.json").read_text())
    assert report["accuracy"]["matrix"] == [[81, 50], [0, 0]]
    assert (report["accuracy"]["matrix_rows"], report["accuracy"]["matrix_columns"]) == ("reference", "prediction")
    assert report["area"]["classes"][0]["mapped_share"] == pytest.approx(100 * 90 / 190)
    assert "9 reference pixel(s) lie where the map has no data and are left out." in recorder.warnings
    assert not any("has no class" in warning for warning in recorder.warnings)


def test_what_the_map_marks_as_no_data_is_not_compared(tmp_path):
    values = np.repeat([[3] * 5 + [1] * 5 + [2] * 10], 10, 0)
    land_cover = write_classes(tmp_path / "map.tif", values, nodata=3)
    reference = write_classes(tmp_path / "r.tif", np.where(values == 3, 1, values))
    job = AssessAccuracy(land_cover, reference, str(tmp_path / "a.html"))
    assert run_job(job, Recorder())["overall_accuracy"] == 100


@pytest.mark.parametrize("odd", [-1, 1.5, 256])
def test_what_holds_other_numbers_than_those_of_classes_is_no_map(tmp_path, odd):
    """Such as confidences; 0 and 255 are numbers that a map may have."""
    values = np.repeat([[0] + [1] * 9 + [255] * 10], 10, 0).astype(float)
    land_cover, reference = str(tmp_path / "map.tif"), write_classes(tmp_path / "r.tif", values)
    job = AssessAccuracy(land_cover, reference, str(tmp_path / "a.html"))
    write_classes(land_cover, values, dtype="float32")
    assert run_job(job, Recorder())["overall_accuracy"] == 100
    values[3, 4] = odd
    write_classes(land_cover, values, dtype="float32")
    with pytest.raises(EngineError, match="values that are not class numbers from 0 to 255"):
        run_job(job, Recorder())


def test_the_page_of_a_map_of_one_class_shows_no_figures_that_there_are_not_and_breaks_its_long_name(tmp_path):
    values = np.ones((10, 20))
    files = (write_classes(tmp_path / name, values) for name in ("map.tif", "r.tif"))
    name = "forest with understorey " * 5
    run_job(AssessAccuracy(*files, str(tmp_path / "a.html"), map_values=("1",), map_names=(name,)), Recorder())
    page = (tmp_path / "a.html").read_text()
    assert "<b>–</b> Cohen" in page
    assert "––" not in page
    assert page.count(f'class="name"><span class="swatch" style="background:#1b7837"></span><bdi>{name}</bdi>') == 2


@pytest.mark.filterwarnings("error")
def test_a_class_name_that_no_font_can_write_is_drawn_without_a_word():
    assert map_picture(np.ones((2, 2)), [LandCoverClass(1, "forest \ue000", "#00ff00")])


def test_chinese_is_written_with_a_chinese_font_where_there_is_one_and_hindi_with_those_of_linux_too():
    installed = ["Arial", "Apple SD Gothic Neo", "Lohit Devanagari", "Malgun Gothic", "PingFang SC"]
    expected = ["DejaVu Sans", "PingFang SC", "Malgun Gothic", "Apple SD Gothic Neo", "Lohit Devanagari"]
    assert font_families(installed) == expected


def test_what_is_no_class_is_white_in_the_picture_of_a_map():
    """Many programs write 255 for no data."""
    classes = [LandCoverClass(1, "a", "#ff0000"), LandCoverClass(2, "b", "#0000ff")]
    picture = io.BytesIO(map_picture(np.array([[1, 2, 255, 255]]), classes))
    pixels = np.asarray(Image.open(picture).convert("RGB")).reshape(-1, 3)
    red, blue = ((pixels == colour).all(1).sum() for colour in ((255, 0, 0), (0, 0, 255)))
    assert blue == pytest.approx(red, rel=0.1)


def test_pictures_do_not_heed_a_users_settings_of_matplotlib(tmp_path):
    """Without LaTeX 'text.usetex' fails, and 'image.origin' turns maps upside down."""
    program = (
        "import sys, numpy as np; from spectrafilm.engine.pictures import map_picture; "
        "from spectrafilm.engine.polygons import LandCoverClass; "
        "sys.stdout.buffer.write(map_picture(np.array([[1], [0]]), [LandCoverClass(1, 'a', '#ff0000')]))"
    )

    variables = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2] / "build" / "plugins")}

    def picture():
        command = [sys.executable, "-c", program]
        return subprocess.run(command, cwd=tmp_path, env=variables, capture_output=True, check=True).stdout

    expected = picture()
    (tmp_path / "matplotlibrc").write_text("text.usetex: True\nimage.origin: lower\n")
    assert picture() == expected


def figures(folder, land_cover, reference, **options):
    """Of an assessment, as its report has them."""
    run_job(AssessAccuracy(land_cover, str(reference), str(folder / "a.html"), **options), Recorder())
    report = json.loads((folder / "a.json").read_text())
    return report["accuracy"], report["area"]


def test_pixels_of_a_label_raster_are_grouped_by_blocks_of_the_whole_map(tmp_path, monkeypatch):
    """Figures do not depend on how many pixels are compared at a time."""
    rng = np.random.default_rng(0)
    reference = rng.integers(1, 4, (80, 600))
    land_cover = write_classes(tmp_path / "map.tif", np.where(rng.random((80, 600)) < 0.8, reference, 1))
    labels = write_classes(tmp_path / "r.tif", reference)
    at_once = figures(tmp_path, land_cover, labels)
    assert at_once[0]["groups"] == 3 * 19
    page = (tmp_path / "a.html").read_text()
    assert "57 blocks of 32 x 32 pixels." in page
    assert "resample whole blocks" in page
    monkeypatch.setattr("spectrafilm.engine.tasks.assess_accuracy.VALUES_PER_PIXEL", 10**7)
    assert figures(tmp_path, land_cover, labels) == at_once


def test_polygons_over_all_of_a_large_map_are_compared_strip_by_strip(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    values = np.where(rng.random((200, 200)) < 0.8, [[1] * 100 + [2] * 100], 1)
    land_cover = write_classes(tmp_path / "map.tif", values)
    polygons = [(str(1 + (column >= 100)), square(row, column, 50))
                for row in range(0, 200, 50) for column in range(0, 200, 50)]  # fmt: skip
    reference = write_polygons(tmp_path / "r.geojson", polygons)
    at_once = figures(tmp_path, land_cover, reference, reference_crs=CRS)
    assert (at_once[0]["samples"], at_once[0]["groups"]) == (40_000, 16)
    monkeypatch.setattr("spectrafilm.engine.labels.STRIP_PIXELS", 10_000)
    assert figures(tmp_path, land_cover, reference, reference_crs=CRS) == at_once


def test_a_reference_that_agrees_by_chance_is_warned_of(tmp_path):
    """As one of another place, or with another order of its classes."""
    values = np.repeat([[1] * 10 + [2] * 10], 10, 0)
    land_cover, reference = write_classes(tmp_path / "map.tif", values), write_classes(tmp_path / "r.tif", 3 - values)
    recorder = Recorder()
    run_job(AssessAccuracy(land_cover, reference, str(tmp_path / "a.html")), recorder)
    assert any("no better than by chance" in warning for warning in recorder.warnings)
    assert "no better than by chance" in (tmp_path / "a.html").read_text()


def test_a_reference_whose_classes_lie_where_the_map_has_none_is_one_sentence(tmp_path):
    land_cover = write_classes(tmp_path / "map.tif", np.repeat([[0] * 10 + [1] * 5 + [2] * 5], 10, 0))
    reference = write_classes(tmp_path / "r.tif", np.repeat([[1] * 10 + [9] * 10], 10, 0))
    with pytest.raises(EngineError, match="No reference pixel lies where the map has a class"):
        run_job(AssessAccuracy(land_cover, reference, str(tmp_path / "a.html")), Recorder())
    assert not (tmp_path / "a.html").exists()


@pytest.mark.parametrize("crs", [CRS, None])
def test_a_map_and_a_reference_without_a_place_are_compared_pixel_by_pixel(tmp_path, crs):
    values = np.repeat([[1] * 10 + [2] * 10], 10, 0).astype(np.uint8)
    for name in ("map.tif", "reference.tif"):
        with rasterio.open(tmp_path / name, "w", driver="GTiff", width=20, height=10, count=1, dtype="uint8",
                           crs=crs) as dataset:  # fmt: skip
            dataset.write(values, 1)
    job = AssessAccuracy(str(tmp_path / "map.tif"), str(tmp_path / "reference.tif"), str(tmp_path / "a.html"),
                         map_crs=CRS, reference_crs=CRS)  # fmt: skip
    assert run_job(job, Recorder())["overall_accuracy"] == 100


def test_a_reference_that_no_way_leads_to_the_map_from_is_one_sentence(tmp_path):
    """As from a local system, which nothing connects with the Earth."""
    values = np.repeat([[1] * 10 + [2] * 10], 10, 0)
    land_cover = write_classes(tmp_path / "map.tif", values)
    reference = write_classes(tmp_path / "r.tif", values, crs='LOCAL_CS["site",UNIT["metre",1]]')
    with pytest.raises(EngineError, match="cannot be brought into the coordinate system of the map") as caught:
        run_job(AssessAccuracy(land_cover, reference, str(tmp_path / "a.html")), Recorder())
    assert len(str(caught.value)) < 600


def test_classes_that_the_map_lacks_are_warned_of_by_their_own_polygons(tmp_path):
    land_cover = write_classes(tmp_path / "map.tif", np.repeat([[1] * 10 + [2] * 10], 10, 0))
    features = [("1", square(0, 0)), ("2", square(0, 12)), ("crumb", square(6.2, 3.2, 0.2)), ("(lake)", square(5, 12))]
    reference = write_polygons(tmp_path / "r.geojson", features)
    recorder = Recorder()
    run_job(AssessAccuracy(land_cover, str(reference), str(tmp_path / "a.html"), reference_crs=CRS), recorder)
    assert [w for w in recorder.warnings if "cover no pixel" in w] == [
        "The polygons of class 'crumb' cover no pixel by more than half; the pixels they cover most are used."
    ]
    assert "17 of 49 reference pixels" in "".join(recorder.warnings)


def test_numbers_that_are_names_on_the_map_are_no_numbers_of_its_classes(tmp_path):
    """Codes 2 and 3 are the map's classes 1 and 2; a code 1 of the reference is not on it."""
    place = {"driver": "GTiff", "width": 20, "height": 10, "count": 1, "dtype": "uint8", "crs": CRS,
             "transform": rasterio.transform.from_origin(380000, 5820000, 10, 10)}  # fmt: skip
    values = np.repeat([[1] * 10 + [2] * 10], 10, 0).astype(np.uint8)
    with rasterio.open(tmp_path / "map.tif", "w", **place) as dataset:
        style_map(dataset, [LandCoverClass(1, "2", "#112233"), LandCoverClass(2, "3", "#445566")])
        dataset.write(values, 1)
    reference = values + 1
    reference[:5, :5] = 1
    with rasterio.open(tmp_path / "reference.tif", "w", **place) as dataset:
        dataset.write(reference, 1)
    recorder = Recorder()
    job = AssessAccuracy(str(tmp_path / "map.tif"), str(tmp_path / "reference.tif"), str(tmp_path / "a.html"))
    assert run_job(job, recorder)["overall_accuracy"] == 100
    assert recorder.warnings == [
        "The map has no class 1; reference pixels of it are left out.",
        "25 of 200 reference pixels are of classes that the map does not have; counted as errors they would make the "
        "overall accuracy 87.5 %.",
    ]


def test_the_area_of_a_map_in_degrees_shrinks_towards_the_pole(tmp_path):
    place = {"driver": "GTiff", "width": 20, "height": 40, "count": 1, "dtype": "uint8", "crs": "EPSG:4326",
             "transform": rasterio.transform.from_origin(10, 70, 0.5, 0.5)}  # fmt: skip
    values = np.repeat([1, 2], 20)[:, None].repeat(20, 1).astype(np.uint8)
    for name in ("map.tif", "reference.tif"):
        with rasterio.open(tmp_path / name, "w", **place) as dataset:
            dataset.write(values, 1)
    run_job(AssessAccuracy(str(tmp_path / "map.tif"), str(tmp_path / "reference.tif"), str(tmp_path / "a.html")),
            Recorder())  # fmt: skip
    north, south = (np.sin(np.radians(top)) - np.sin(np.radians(top - 10)) for top in (70, 60))
    shares = [c["mapped_share"] for c in json.loads((tmp_path / "a.json").read_text())["area"]["classes"]]
    assert shares[0] == pytest.approx(100 * north / (north + south), abs=0.01)


def test_assessment_finds_the_agreement_there_is(mapped, polygons_path, tmp_path):
    job = AssessAccuracy(str(mapped / "map.tif"), str(polygons_path), str(tmp_path / "a.html"), reference_crs=CRS)
    values = run_job(job, Recorder())
    assert values["overall_accuracy"] > 95
    report = json.loads((tmp_path / "a.json").read_text())
    assert report["area"]["overall"]["value"] > 90
    assert [c["name"] for c in report["accuracy"]["classes"]] == list(NAMES)


def test_assessment_against_a_label_raster_on_another_grid(mapped, tmp_path):
    labels = np.zeros((HEIGHT // 2, WIDTH // 2), np.uint8)
    labels[:20, :25], labels[20:, 25:] = 1, 4  # "field" is right, the second is called "water" but is "tree"
    with rasterio.open(mapped / "map.tif") as dataset:
        transform = dataset.transform @ dataset.transform.scale(2)
    with rasterio.open(tmp_path / "l.tif", "w", driver="GTiff", width=WIDTH // 2, height=HEIGHT // 2, count=1,
                       dtype="uint8", crs=CRS, transform=transform) as dataset:  # fmt: skip
        dataset.write(labels, 1)
    job = AssessAccuracy(str(mapped / "map.tif"), str(tmp_path / "l.tif"), str(tmp_path / "a.html"))
    recorder = Recorder()
    values = run_job(job, recorder)
    assert values["overall_accuracy"] == pytest.approx(50, abs=3)
    assert "matched by the map's numbers: 1 is field, 4 is water; check that they" in recorder.warnings[0]
    # ENVI's classifications say what their numbers mean; a name that the map lacks does not spoil the others.
    labels[39, 0] = 2
    with rasterio.open(tmp_path / "l.dat", "w", driver="ENVI", width=WIDTH // 2, height=HEIGHT // 2, count=1,
                       dtype="uint8", crs=CRS, transform=transform) as dataset:  # fmt: skip
        dataset.write(labels, 1)
    with (tmp_path / "l.hdr").open("a") as header:
        header.write("file type = ENVI Classification\nclasses = 5\nclass names = {\nnone, Field, a, b, tree}\n")
    job = AssessAccuracy(str(mapped / "map.tif"), str(tmp_path / "l.dat"), str(tmp_path / "a.html"))
    assert run_job(job, Recorder())["overall_accuracy"] > 95
    assert json.loads((tmp_path / "a.json").read_text())["accuracy"]["samples"] == 4 * 2 * 20 * 25
    # What QGIS knows of them goes the same way.
    job = AssessAccuracy(str(mapped / "map.tif"), str(tmp_path / "l.tif"), str(tmp_path / "a.html"),
                         reference_values=("1", "4"), reference_names=("field", "tree"))  # fmt: skip
    assert run_job(job, Recorder())["overall_accuracy"] > 95


def test_classes_that_the_user_renamed_in_the_style_of_the_map_are_known_by_both_names(tmp_path):
    """As where the class field of the training polygons held codes."""
    values = np.repeat([[1] * 5 + [2] * 5 + [3] * 5 + [4] * 5], 10, 0)
    land_cover = write_classes(tmp_path / "map.tif", values)
    with rasterio.open(land_cover, "r+") as dataset:
        style_map(dataset, [LandCoverClass(i, name, "#336699") for i, name in enumerate(("1", "roof", "3", "4"), 1)])
    squares = [(name, square(2, column)) for name, column in (("water", 0), ("roof", 5), ("tree", 10))]
    reference = write_polygons(tmp_path / "p.geojson", squares)
    recorder = Recorder()
    # A name that two classes share says nothing.
    style = {"map_values": ("1", "2", "3", "4"), "map_names": ("Water", "house", "tree", "Tree")}
    job = AssessAccuracy(land_cover, str(reference), str(tmp_path / "a.html"), reference_crs=CRS, **style)
    assert run_job(job, recorder)["overall_accuracy"] == 100
    assert "Reference classes are matched by names in the style of the map: water is 1." in recorder.messages
    assert recorder.warnings[0] == "The map has no class tree; reference pixels of it are left out."
    labels = write_classes(tmp_path / "l.tif", values)
    job = AssessAccuracy(land_cover, labels, str(tmp_path / "a.html"), reference_values=("1", "2"),
                         reference_names=("WATER", "house"), **style)  # fmt: skip
    assert run_job(job, Recorder())["overall_accuracy"] == 100


def test_many_classes_that_the_map_lacks_are_not_all_named(tmp_path):
    land_cover = write_classes(tmp_path / "map.tif", np.repeat([[1] * 10 + [2] * 10], 10, 0))
    reference = write_classes(tmp_path / "r.tif", np.arange(1, 201).reshape(10, 20))
    recorder = Recorder()
    run_job(AssessAccuracy(land_cover, reference, str(tmp_path / "a.html")), recorder)
    assert recorder.warnings[0].startswith("The map has no class 3, 4, 5,")
    assert recorder.warnings[0].endswith(", 21, 22 and 178 more; reference pixels of it are left out.")


def test_a_map_is_not_its_own_reference(mapped, tmp_path):
    """The dialog offers one layer for both."""
    job = AssessAccuracy(str(mapped / "map.tif"), f"{mapped}/./map.tif", str(tmp_path / "a.html"))
    with pytest.raises(EngineError, match="is the map itself"):
        run_job(job, Recorder())


def test_a_scene_is_no_reference_but_a_label_raster_may_have_a_band_of_opacity(mapped, tmp_path):
    with rasterio.open(mapped / "map.tif") as dataset:
        labels, profile = dataset.read(1), dataset.profile
    path = tmp_path / "labels.tif"
    job = AssessAccuracy(str(mapped / "map.tif"), str(path), str(tmp_path / "a.html"))
    bands = np.stack([labels, np.full_like(labels, 255)])
    for alpha in ("no", "yes"):
        with rasterio.open(path, "w", **{**profile, "count": 2, "alpha": alpha}) as dataset:
            dataset.write(bands)
        if alpha == "yes":
            assert run_job(job, Recorder())["overall_accuracy"] == 100
        else:
            with pytest.raises(EngineError, match="labels.tif has 2 bands and is no label raster"):
                run_job(job, Recorder())


def test_a_raster_of_heights_is_no_reference(mapped, tmp_path, monkeypatch):
    monkeypatch.setattr("spectrafilm.engine.tasks.assess_accuracy.MOST_VALUES", 100)
    with rasterio.open(mapped / "map.tif") as dataset:
        profile = {"driver": "GTiff", "width": WIDTH, "height": HEIGHT, "crs": CRS, "transform": dataset.transform}
    with rasterio.open(tmp_path / "dem.tif", "w", count=1, dtype="float32", **profile) as dataset:
        dataset.write(np.random.default_rng(0).random((HEIGHT, WIDTH), np.float32), 1)
    job = AssessAccuracy(str(mapped / "map.tif"), str(tmp_path / "dem.tif"), str(tmp_path / "a.html"))
    with pytest.raises(EngineError, match="dem.tif holds more than 100 different values and is no label raster"):
        run_job(job, Recorder())
    assert {p.name for p in tmp_path.iterdir()} == {"dem.tif"}


def test_complex_numbers_are_no_reference(mapped, tmp_path):
    with rasterio.open(mapped / "map.tif") as dataset:
        labels, profile = dataset.read(1), {**dataset.profile, "dtype": "complex64", "nodata": None}
    with rasterio.open(tmp_path / "radar.tif", "w", **profile) as dataset:
        dataset.write(labels.astype(np.complex64), 1)
    job = AssessAccuracy(str(mapped / "map.tif"), str(tmp_path / "radar.tif"), str(tmp_path / "a.html"))
    with pytest.raises(EngineError, match="radar.tif has complex numbers and is no label raster"):
        run_job(job, Recorder())


@pytest.mark.parametrize("number", ["2", "Infinity", "0.5", "256"])
def test_class_names_of_a_map_with_impossible_numbers_are_one_sentence(mapped, polygons_path, tmp_path, number):
    """Where a number stood for two classes, pixels of both counted for the second."""
    shutil.copy(mapped / "map.tif", tmp_path / "map.tif")
    with rasterio.open(tmp_path / "map.tif", "r+") as dataset:
        dataset.update_tags(**{TAG: dataset.tags()[TAG].replace("[1,", f"[{number},")})
    job = AssessAccuracy(str(tmp_path / "map.tif"), str(polygons_path), str(tmp_path / "a.html"), reference_crs=CRS)
    with pytest.raises(EngineError, match="The class names in .*map.tif are damaged"):
        run_job(job, Recorder())


def test_classes_of_the_reference_that_the_map_lacks_are_named(mapped, tmp_path):
    path = write_polygons(tmp_path / "p.geojson", [*quarter_polygons(), ("moon", square(5, 30))])
    recorder = Recorder()
    run_job(AssessAccuracy(str(mapped / "map.tif"), str(path), str(tmp_path / "a.html"), reference_crs=CRS), recorder)
    assert recorder.warnings[0] == "The map has no class moon; reference pixels of it are left out."
    assert "16 of 208 reference pixels" in recorder.warnings[-1]
