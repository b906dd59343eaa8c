"""A user's own labelled scenes are measured as they are, or refused with what is wrong."""

from __future__ import annotations

import json
import sys
import zlib
from base64 import b64decode

import numpy as np
import pytest
import rasterio
from scipy.io import savemat
from scipy.sparse import csc_matrix
from synthetic import CRS, HEIGHT, QUARTERS, TRANSFORM, WIDTH, make_spectra, write_scene

from spectrafilm.benchmarks.accuracy import __main__ as benchmark
from spectrafilm.benchmarks.accuracy.own_scenes import own_scenes
from spectrafilm.benchmarks.json_lines import read_lines
from spectrafilm.benchmarks.real_scenes.scenes import LabelledScene


def test_a_matlab_scene_is_measured_from_the_command_line(matlab, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [
        "accuracy", "--python", sys.executable, "--own", str(matlab), "--folder", str(tmp_path / "work"),
        "--labels", "3", "--seeds", "2", "--rows", "SVM", "SpectraFiLM",
    ])  # fmt: skip
    benchmark.main()
    (file,) = (tmp_path / "work").glob("Farm_corrected-*/results.jsonl")
    results = read_lines(file)
    assert len(results) == 2 * 2 * 2, "rows, seeds, protocols"
    assert {r["training_pixels"] for r in results} == {6}
    assert {r["test_pixels"] for r in results if r["protocol"] == "polygons apart"} == {144}
    assert np.mean([r["overall_accuracy"] for r in results if r["row"] == "SpectraFiLM"]) > 80
    assert "class 1" in capsys.readouterr().out
    summary = json.loads((matlab / "pages" / "accuracy.json").read_text(encoding="utf-8"))["Farm corrected"]
    assert all(entry["seeds"] == [0, 1] for entry in summary)
    page = (matlab / "pages" / "accuracy.md").read_text(encoding="utf-8")
    assert "SpectraFiLM − best classical row" in page
    assert "Potsdam" not in page, "nothing of our scenes"
    benchmark.main()
    assert len(read_lines(file)) == len(results), "measured once"
    file.unlink()
    monkeypatch.setattr(sys, "argv", [*sys.argv, "--page-only", "--published"])
    benchmark.main()
    assert (matlab / "pages" / "accuracy.md").read_text(encoding="utf-8") == page


def write_labels(path, values, **options):
    options = {"crs": CRS, "transform": TRANSFORM, **options}
    height, width = values.shape
    with rasterio.open(path, "w", driver="GTiff", count=1, dtype=values.dtype, height=height, width=width,
                       **options) as dataset:  # fmt: skip
        dataset.write(values, 1)


def squares() -> np.ndarray:
    """Two squares of 8 x 8 pixels in each quarter of the synthetic scene, numbered 1 to 4."""
    ids = np.zeros((HEIGHT, WIDTH), np.int64)
    for number, (rows, columns) in enumerate(QUARTERS.values(), 1):
        for offset in (4, 24):
            top, left = rows.start + offset, columns.start + offset
            ids[top : top + 8, left : left + 8] = number
    return ids


def test_a_standard_division_is_measured_as_it_is(tmp_path, monkeypatch, capsys):
    """Beside one raster of all labels the division is taken: all pixels train that are asked for, all others test."""
    write_scene(tmp_path / "city.tif", make_spectra())
    ids = squares()
    training = np.indices(ids.shape)[0] % 8 < 2
    write_labels(tmp_path / "City_GT.tif", ids)
    write_labels(tmp_path / "city_train.tif", np.where(training, ids, 255).astype(np.uint8), nodata=255)
    write_labels(tmp_path / "city_test.tif", np.where(training, -1, ids))
    monkeypatch.setattr(sys, "argv", [
        "accuracy", "--python", sys.executable, "--own", str(tmp_path), "--folder", str(tmp_path / "work"),
        "--labels", "9999", "--seeds", "1", "--rows", "SVM",
    ])  # fmt: skip
    benchmark.main()
    (file,) = (tmp_path / "work").glob("city-*/results.jsonl")
    assert not [p for p in file.parent.iterdir() if p.is_dir()], "no profile of QGIS stays"
    (result,) = read_lines(file)
    assert result["protocol"] == "polygons apart"
    assert result["training_pixels"] == ((ids > 0) & training).sum()
    assert result["test_pixels"] == ((ids > 0) & ~training).sum()
    assert result["overall_accuracy"] > 95
    ours, theirs = (ids == 1).sum(), ((ids == 1) & training).sum()
    assert f"class 1 {ours} pixels of 5 area(s) ({theirs} to train)" in capsys.readouterr().out
    page = (tmp_path / "pages" / "accuracy.md").read_text(encoding="utf-8")
    assert "city (standard division), polygons apart" in page
    assert f"| *training / test pixels* | {result['training_pixels']} / {result['test_pixels']} |" in page
    assert "| | all |" in page
    assert "calibration" not in page.split("##")[-1], "only SpectraFiLM's is shown"
    assert "paired over seeds" not in page, "nothing is compared"


def test_other_labels_are_another_scene(tmp_path):
    write_scene(tmp_path / "a.tif", make_spectra())
    names = []
    for number in (1, 2):
        write_labels(tmp_path / "a_gt.tif", np.full((HEIGHT, WIDTH), number, np.uint8))
        names += [scene.name for scene in own_scenes(tmp_path, tmp_path / "work")]
    assert names[0] != names[1]


@pytest.mark.parametrize(("labels", "reason"), [
    (np.ones((30, 20)), "30 x 20 pixels"), (np.full((20, 30), 1.5), "decimals"),
])  # fmt: skip
def test_matlab_labels_that_do_not_fit_are_refused(tmp_path, labels, reason):
    savemat(tmp_path / "Farm.mat", {"cube": np.zeros((20, 30, 8))})
    savemat(tmp_path / "Farm_gt.mat", {"truth": labels})
    with pytest.raises(SystemExit, match=reason):
        own_scenes(tmp_path, tmp_path / "work")
    assert not list(tmp_path.glob("work/*/*.tif"))


# As MATLAB 7.3 writes it: `cube`, bytes from 0 on in 4 rows, 6 columns and 5 bands, and a number `n`.
MATLAB_73 = (
    "eNrzdQzxcXRSMNczVvB1DNFNy8xJVaA1YIABJk9fhlEwoKDTw8WNl0uKC8zh4GBgYRCAxg2E+g8FDVyofJj+BCjNCKU7oPQKJpg4I1hOAiou"
    "CDUfXV1IkKsrSPV/NACzx4AFQguMRtmIBB6ujgEgOgLKh6WnE0yo6pJLk1JBdB5aunQg015GBlaIGYwwvgWEZoYIsELVsUFpaDLFKc4MTMGM"
    "0HQMMYEDqp4DzGdiYmKEiEJ8CLQGooChAs1lBQMSD8F+/i6MwMIB6igGBWb86mH5tYJ1NA3jT1caEBoS/fB0i4tmBqYPEFtQwR4aFw4MJtwM"
    "Jv+ZGQikpwpo1HGguahiNFJGIpCziWJVdozn0nBL4df1zhQxCsiTNA8tZpS3jWZTcUrg1nRPFdDzyRI1DsyXsggrYVKwi2FXdU7k0fJIE9T3"
    "zRYzCSqQtgwvZVa0j+VQc0ni1fZMFzLwyxE3DS6UsYooY1FyiONUd03m0/HKEDb0z5UwCymStY4sh1gu4wAAWAdg1w=="
)


def test_matlab_files_of_version_7_3_are_read_as_the_others(tmp_path):
    (tmp_path / "Houston.mat").write_bytes(zlib.decompress(b64decode(MATLAB_73)))
    truth = np.arange(24).reshape(4, 6) % 3
    savemat(tmp_path / "Houston_gt.mat", {"map": truth, "classes": 2, "names": np.array(["a", "b"], object)})
    (scene,) = own_scenes(tmp_path, tmp_path / "work")
    with rasterio.open(scene.scene) as dataset:
        assert np.array_equal(dataset.read().transpose(1, 2, 0), np.arange(120).reshape(4, 6, 5))
    with rasterio.open(scene.labels[0]) as dataset:
        assert np.array_equal(dataset.read(1), truth)


@pytest.mark.parametrize(("content", "reason"), [
    ({"a": np.zeros((4, 6, 5)), "b": np.zeros((4, 6, 7))}, r"2 arrays of 3 dimensions \(a, b\)"),
    ({"a": np.zeros((4, 6, 5), complex)}, "0 arrays of 3 dimensions; one is needed"),
    ({"a": csc_matrix(np.ones((4, 6)))}, "0 arrays of 3 dimensions; one is needed"),
])  # fmt: skip
def test_matlab_files_without_the_one_cube_are_refused(tmp_path, content, reason):
    savemat(tmp_path / "Farm.mat", content)
    savemat(tmp_path / "Farm_gt.mat", {"truth": np.ones((4, 6))})
    with pytest.raises(SystemExit, match=reason):
        own_scenes(tmp_path, tmp_path / "work")


def test_sparse_labels_are_refused(tmp_path):
    savemat(tmp_path / "Farm.mat", {"cube": np.zeros((4, 6, 5))})
    savemat(tmp_path / "Farm_gt.mat", {"truth": csc_matrix(np.ones((4, 6)))})
    with pytest.raises(SystemExit, match="0 arrays of 2 dimensions"):
        own_scenes(tmp_path, tmp_path / "work")


def test_scenes_without_labels_are_named(tmp_path, capsys):
    for name in ("PaviaU", "PaviaU_gt", "Salinas", "SalinasGT"):
        savemat(tmp_path / f"{name}.mat", {"a": np.ones((4, 6) if name.lower().endswith("gt") else (4, 6, 5))})
    assert [s.title for s in own_scenes(tmp_path, tmp_path / "work")] == ["PaviaU"]
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["Salinas.mat", "SalinasGT.mat"]


@pytest.mark.parametrize("name", ["missing", "file.mat"])
def test_what_is_no_folder_is_refused(tmp_path, name):
    (tmp_path / "file.mat").touch()
    with pytest.raises(SystemExit, match="is no folder"):
        own_scenes(tmp_path / name, tmp_path / "work")


def test_corrected_and_uncorrected_cubes_are_two_scenes(tmp_path):
    for name in ("pines", "pines_corrected"):
        savemat(tmp_path / f"{name}.mat", {"cube": np.full((20, 30, 8), len(name))})
    savemat(tmp_path / "pines_gt.mat", {"truth": np.ones((20, 30), np.uint8)})
    scenes = own_scenes(tmp_path, tmp_path / "work")
    assert [s.title for s in scenes] == ["pines", "pines corrected"]
    assert scenes[0].name != scenes[1].name
    assert scenes[0].scene != scenes[1].scene


def test_half_a_division_is_no_division(tmp_path):
    for name in ("lonely", "half", "half_train"):
        write_scene(tmp_path / f"{name}.tif", make_spectra())
    with pytest.raises(SystemExit, match="has _train labels only"):
        own_scenes(tmp_path, tmp_path / "work")


@pytest.mark.parametrize("crs", [None, CRS])
def test_labels_without_a_place_are_those_of_the_scene_pixel_by_pixel(tmp_path, crs):
    write_scene(tmp_path / "a.tif", make_spectra())
    nowhere = {"crs": crs, "transform": None}
    write_labels(tmp_path / "a_gt.tif", squares(), **nowhere)
    (scene,) = own_scenes(tmp_path, tmp_path / "work")
    labels = LabelledScene(scene, tmp_path, tmp_path, None).labels
    assert np.array_equal(labels.class_ids, squares()[labels.rows, labels.columns])
    assert len(labels) == (squares() > 0).sum()
    write_labels(tmp_path / "a_gt.tif", squares()[1:], **nowhere)
    (scene,) = own_scenes(tmp_path, tmp_path / "work")
    with pytest.raises(SystemExit, match="another size than its scene"):
        LabelledScene(scene, tmp_path, tmp_path, None)


def test_labels_of_another_system_are_refused(tmp_path, monkeypatch):
    write_scene(tmp_path / "a.tif", make_spectra())
    write_labels(tmp_path / "a_gt.tif", squares(), crs="EPSG:32632")
    (scene,) = own_scenes(tmp_path, tmp_path / "work")
    with pytest.raises(SystemExit, match="another coordinate reference system"):
        LabelledScene(scene, tmp_path, tmp_path, None)


def test_a_folder_without_labels_says_how_to_name_them(tmp_path):
    with pytest.raises(SystemExit, match="name_gt"):
        own_scenes(tmp_path, tmp_path / "work")
