"""The main job without QGIS: train and map, on files, with the figures and forms users rely on."""

from __future__ import annotations

import json

import numpy as np
import rasterio
from synthetic import BANDS, HEIGHT, QUARTERS, WAVELENGTHS, WIDTH, make_spectra, write_scene
from training_job import NAMES, training

from spectrafilm.engine.jobs import PredictMap
from spectrafilm.engine.progress import Recorder
from spectrafilm.engine.runner import run_job


def test_an_easy_scene_is_learned_and_validated_by_polygon(trained):
    folder, values, recorder = trained
    assert values["overall_accuracy"] > 95
    report = json.loads((folder / "r.json").read_text())
    interval = {"value": values["overall_accuracy"], "low": values["overall_accuracy_low"],
                "high": values["overall_accuracy_high"]}  # fmt: skip
    assert report["accuracy"]["overall"] == interval
    assert report["folds"] == 3
    assert report["accuracy"]["groups"] == 12
    assert np.array(report["accuracy"]["matrix"]).sum() == 12 * 16
    experts = report["settings"]["experts, weighed by cross-validation"]
    assert [part.split()[0] for part in experts.split(", ")] == ["spectral", "neighbourhood", "FiLM", "kernel"]
    assert not recorder.warnings
    assert recorder.positions == sorted(recorder.positions)
    assert recorder.positions[-1] == 1.0


def test_the_report_is_one_page_with_its_pictures(trained):
    folder, _, _ = trained
    page = (folder / "r.html").read_text()
    assert page.count("data:image/png;base64,") == 4
    assert "http" not in page.replace("http-equiv", "")
    for name in NAMES:
        assert name in page


def test_the_map_is_right_and_carries_names_and_colours(mapped):
    with rasterio.open(mapped / "map.tif") as dataset:
        classes = dataset.read(1)
        assert dataset.nodata == 0
        assert dataset.colormap(1)[2] == (0xCC, 0x22, 0x22, 255)
        assert [name for _, name, _ in json.loads(dataset.tags()["SPECTRAFILM_CLASSES"])] == list(NAMES)
    for number, name in enumerate(NAMES, 1):
        assert (classes[QUARTERS[name]] == number).mean() > 0.95
    assert "<Category>roof</Category>" in (mapped / "map.tif.aux.xml").read_text()
    assert 'label="roof" color="#cc2222"' in (mapped / "map.qml").read_text()


def test_confidence_and_probabilities_fit_the_map(mapped):
    with rasterio.open(mapped / "map.tif") as dataset:
        classes = dataset.read(1)
    with rasterio.open(mapped / "probabilities.tif") as dataset:
        probabilities = dataset.read()
        assert dataset.descriptions == NAMES
    with rasterio.open(mapped / "confidence.tif") as dataset:
        confidence = dataset.read(1)
    with rasterio.open(mapped / "uncertainty.tif") as dataset:
        uncertainty = dataset.read(1)
    np.testing.assert_allclose(probabilities.sum(0), 1, atol=1e-4)
    np.testing.assert_array_equal(probabilities.argmax(0) + 1, classes)
    np.testing.assert_allclose(probabilities.max(0), confidence, atol=1e-6)
    assert 0 <= uncertainty.min() < uncertainty.max() <= 1
    least = confidence < np.quantile(confidence, 0.1)
    assert uncertainty[least].mean() > 2 * uncertainty[~least].mean()


def test_invalid_pixels_are_0_in_the_map_and_nodata_elsewhere(trained, tmp_path):
    spectra = make_spectra(1)
    spectra[5, 10:20, 10:20] = np.nan
    scene = write_scene(tmp_path / "gaps.tif", spectra)
    job = PredictMap(str(scene), str(trained[0] / "m.safetensors"), str(tmp_path / "map.tif"), str(tmp_path / "c.tif"))
    run_job(job, Recorder())
    with rasterio.open(tmp_path / "map.tif") as dataset:
        assert not dataset.read(1)[10:20, 10:20].any()
        assert (dataset.read(1) == 0).sum() == 100
    with rasterio.open(tmp_path / "c.tif") as dataset:
        assert (dataset.read(1) == dataset.nodata).sum() == 100


def test_the_same_inputs_give_the_same_map(trained, mapped, scene_path, polygons_path, backbone_path, tmp_path):
    run_job(training(scene_path, polygons_path, backbone_path, tmp_path), Recorder())
    run_job(PredictMap(str(scene_path), str(tmp_path / "m.safetensors"), str(tmp_path / "map.tif")), Recorder())
    assert (tmp_path / "map.tif").read_bytes() == (mapped / "map.tif").read_bytes()


def test_bands_in_another_order_and_unit_give_the_same_map(trained, mapped, tmp_path):
    scene = write_scene(tmp_path / "s.tif", make_spectra()[::-1].copy(), wavelengths=WAVELENGTHS[::-1])
    run_job(PredictMap(str(scene), str(trained[0] / "m.safetensors"), str(tmp_path / "map.tif")), Recorder())
    with rasterio.open(tmp_path / "map.tif") as ours, rasterio.open(mapped / "map.tif") as theirs:
        assert (ours.read(1) == theirs.read(1)).mean() > 0.995


def test_a_scene_with_one_more_band_gives_the_same_image(polygons_path, backbone_path, tmp_path):
    spectra, wavelengths = make_spectra(), 450.0 + 8 * np.arange(BANDS)
    one_more = np.concatenate([np.random.default_rng(1).uniform(0, 1, (1, HEIGHT, WIDTH)).astype(np.float32), spectra])
    scene = write_scene(tmp_path / "a.tif", spectra, wavelengths=wavelengths)
    longer = write_scene(tmp_path / "b.tif", one_more, wavelengths=[442.0, *wavelengths])
    run_job(training(scene, polygons_path, backbone_path, tmp_path, method="geodiffnet-f", validate=False), Recorder())
    found = []
    for path in (scene, longer):
        probabilities = tmp_path / "probabilities.tif"
        job = PredictMap(str(path), str(tmp_path / "m.safetensors"), str(tmp_path / "map.tif"),
                         probabilities=str(probabilities))  # fmt: skip
        run_job(job, Recorder())
        with rasterio.open(probabilities) as dataset:
            found.append(dataset.read())
    np.testing.assert_array_equal(*found)


