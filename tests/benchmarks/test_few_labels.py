"""The few-label benchmark measures what it says, also on a user's own scenes."""

from __future__ import annotations

import json
import sys
import zlib
from base64 import b64decode
from dataclasses import replace

import numpy as np
import pytest
import rasterio
import torch
from scipy.io import savemat
from scipy.sparse import csc_matrix
from synthetic import CRS, HEIGHT, QUARTERS, TRANSFORM, WIDTH, make_spectra, write_scene

from spectrafilm.benchmarks.accuracy import __main__ as benchmark
from spectrafilm.benchmarks.accuracy.fusions import ConcatenationEnsemble, SumEnsemble
from spectrafilm.benchmarks.accuracy.own_scenes import own_scenes
from spectrafilm.benchmarks.accuracy.pool import Near, Pool, make_pool
from spectrafilm.benchmarks.accuracy.rounds import labels_needed, mean_of_rounds, write_page
from spectrafilm.benchmarks.accuracy.rows import ROWS, Prediction
from spectrafilm.benchmarks.accuracy.summary import SUMMARY, joined, read_summary, write_summary
from spectrafilm.benchmarks.accuracy.table import draw_curves, paired
from spectrafilm.benchmarks.accuracy.table import write_page as write_accuracy
from spectrafilm.benchmarks.json_lines import read_lines
from spectrafilm.benchmarks.real_scenes.scenes import LabelledScene
from spectrafilm.engine.labels import Labels
from spectrafilm.engine.polygons import make_classes


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


def test_features_are_computed_for_rows_that_need_them(matlab, tmp_path):
    (scene,) = own_scenes(matlab, tmp_path / "work")
    pool = make_pool(LabelledScene(scene, matlab, tmp_path, None), smoothed=True)
    training, testing = pool.draw("random pixels", 3, 0)
    ROWS["SVM"](pool, training, testing, 0)
    assert not list(tmp_path.glob("features-*"))
    ROWS["SVM, features alone"](pool, training, testing, 0)
    assert len(list(tmp_path.glob("features-*"))) == 1


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


@pytest.fixture
def pool():
    """40 pixels of each of 3 classes in polygons of 8."""
    ids = np.repeat([1, 2, 3], 40)
    labels = Labels(np.arange(120), np.arange(120), ids, np.arange(120) // 8)
    nothing = np.zeros((120, 1), np.float32)
    classes = make_classes(["a", "b", "c"])
    return Pool("p", labels, classes, nothing, nothing, nothing, 1.0, {}, nothing, {}, 0, None)


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


def test_paired_differences_use_common_seeds_only():
    assert paired({0: 80.0, 1: 82.0, 2: 99.0}, {0: 79.0, 1: 79.0}) == pytest.approx((2.0, 1.0))
    difference, error = paired({0: 80.0}, {0: 79.0})
    assert difference == 1.0
    assert np.isnan(error)
    assert paired({0: 80.0}, {1: 79.0}) is None


def test_labels_needed_is_interpolated():
    curve = [{"labels": n, "overall_accuracy": a} for n, a in ((10, 50.0), (20, 60.0), (30, 58.0), (40, 70.0))]
    assert labels_needed(curve, "overall_accuracy", 55.0) == 15
    assert labels_needed(curve, "overall_accuracy", 65.0) == 30, "from the best point before, not from the dip"
    assert labels_needed(curve, "overall_accuracy", 71.0) is None


def test_the_page_of_suggestions_compares_whole_curves(tmp_path):
    def curve(*accuracies):
        return [{"labels": 10 * i, "overall_accuracy": a, "average_accuracy": a} for i, a in enumerate(accuracies, 1)]

    random, suggested = [curve(50, 60, 70), curve(50, 62, 70)], [curve(50, 70, 72), curve(50, 66, 72)]
    assert mean_of_rounds(random, "overall_accuracy") == {0: 65.0, 1: 66.0}
    write_page({"Town": {"random": random, "suggested": suggested}}, tmp_path)
    (row,) = (line for line in (tmp_path / "suggestions.md").read_text().splitlines() if line.startswith("| Town"))
    assert row.split(" | ")[1:4] == ["70.0 / 70.0", "72.0 / 72.0", "+4.5 ± 1.5 / +4.5 ± 1.5"]


def _draws(row, *accuracies, labels=5):
    return [
        {"protocol": "random pixels", "labels": labels, "seed": seed, "row": row, "overall_accuracy": accuracy,
         "average_accuracy": accuracy - 1, "kappa": accuracy - 2, "calibration_error": None}
        for seed, accuracy in enumerate(accuracies)
    ]  # fmt: skip


def test_the_page_averages_scenes_with_their_error(tmp_path):
    town = _draws("SVM", 50.0, 52.0) + _draws("SpectraFiLM", 54.0, 58.0)  # +4 and +6
    field = _draws("SVM", 70.0, 70.0) + _draws("SpectraFiLM", 72.0, 72.0)
    lake = _draws("SpectraFiLM", 90.0, 90.0)
    scenes = [("Town", town), ("Field", field), ("Lake", lake)]
    write_accuracy(scenes, {"dry land": ["Town", "Field"], "everything": ["Town", "Field", "Lake"]}, tmp_path)
    lines = (tmp_path / "accuracy.md").read_text().splitlines()
    (mean,) = (line for line in lines if line.startswith("| **mean of dry land**"))
    assert mean.split(" | ")[1].rstrip(" |") == "+3.5 ± 0.5 / +3.5 ± 0.5"
    assert not any("everything" in line for line in lines), "one of them has no rival"
    one_draw = [(title, [r for r in results if r["seed"] == 0]) for title, results in scenes]
    write_accuracy(one_draw, {"dry land": ["Town", "Field"]}, tmp_path)
    assert "± nan" not in (tmp_path / "accuracy.md").read_text()


def test_curves_of_scenes_with_a_division_have_all_that_others_have(tmp_path, monkeypatch):
    def drawn(*scenes):
        figures = []
        monkeypatch.setattr("matplotlib.pyplot.close", figures.append)
        draw_curves(list(scenes), tmp_path / "curves.png")
        return [axes for axes in figures[0].axes if axes.get_visible()], figures[0]

    apart = [r | {"protocol": "polygons apart"} for r in _draws("SVM", 50.0, labels=10)]
    (panel,), figure = drawn(("City", apart))
    assert panel.get_ylabel()
    assert panel.get_xlabel()
    assert panel.get_position().width > 0.8, "nothing is left free for random pixels"
    assert panel.get_position().height * figure.get_figheight() > 1.5, "nor is the legend taken from its height"
    random = [*_draws("SVM", 60.0), *_draws("SVM", 60.0, labels=10)]
    panels, _ = drawn(("Town", random), ("City", apart))
    assert all(p.get_xlabel() and p.get_ylabel() for p in panels)
    assert [t.get_text() for t in panels[0].get_xticklabels()] == ["5", "10"]


def test_figures_of_the_page_stand_for_what_is_not_measured_again(tmp_path):
    old = _draws("SVM", 50.123, 52.0) + _draws("SpectraFiLM", 54.0, 58.0)
    old[:2] = [r | {"training_pixels": 10 + k, "test_pixels": 90} for k, r in enumerate(old[:2])]
    write_summary([("Town", old)], tmp_path / SUMMARY)
    published = read_summary(tmp_path / SUMMARY, "Town")
    assert published == old
    new = _draws("SpectraFiLM", 60.0, 61.0, 62.0)
    assert joined(new, published) == new + old[:2]
    assert read_summary(tmp_path / SUMMARY, "Field") == []
    assert read_summary(tmp_path / "none.json", "Town") == []
