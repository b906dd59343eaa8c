"""The same work on a CUDA device as on the CPU; run where there is one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import rasterio
import torch
from training_job import training

from spectrafilm.engine.backbone import Backbone
from spectrafilm.engine.device import choose_device
from spectrafilm.engine.features import FeatureExtractor
from spectrafilm.engine.jobs import ExtractFeatures, PredictMap, PretrainScene
from spectrafilm.engine.progress import Progress, Recorder
from spectrafilm.engine.runner import run_job
from spectrafilm.engine.scene_backbone import DENOISERS, SceneBackbone
from spectrafilm.engine.smoothing import Smoothing

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
BUNDLED = ""


def mapped(scene, model, path, device) -> np.ndarray:
    """Probabilities (C, height, width) of a scene."""
    outputs = {"output": str(path / "map.tif"), "probabilities": str(path / "p.tif")}
    recorder = Recorder()
    run_job(PredictMap(str(scene), str(model), device=device, **outputs), recorder)
    assert any("(CUDA)" in message for message in recorder.messages) == (device == "cuda")
    with rasterio.open(path / "p.tif") as source:
        return source.read()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_features_are_those_of_the_cpu(progress, dtype):
    devices = [choose_device(kind, progress) for kind in ("cuda", "cpu")]
    assert devices[0].target.type == "cuda"
    devices = [replace(device, dtype=kind) for device, kind in zip(devices, (dtype, torch.float32), strict=True)]
    images = np.random.default_rng(0).uniform(-1, 1, (4, 2, 3, 64, 64)).astype(np.float32)
    fast, exact = (
        FeatureExtractor(Backbone.load(BUNDLED, device), range(12), (0, 100), 2, neighbourhoods=(3,))(images)
        for device in devices
    )
    assert np.abs(fast - exact).mean() < 0.02 * np.abs(exact).mean()


def test_a_raster_of_features_can_be_made_on_either(scene_path, tmp_path):
    paths = [tmp_path / f"{device}.tif" for device in ("cuda", "cpu")]
    for path in paths:
        run_job(ExtractFeatures(str(scene_path), str(path), device=path.stem), Progress())
    fast, exact = (rasterio.open(path).read() for path in paths)
    assert np.abs(fast - exact).mean() < 0.02 * np.abs(exact).mean()


@pytest.mark.parametrize("method", ["spectrafilm", "geodiffnet", "geodiffnet-f", "spectral"])
def test_training_and_mapping_repeat_and_agree_with_the_cpu(scene_path, polygons_path, tmp_path, method):
    first, again = {}, {}
    for values in (first, again):
        job = training(scene_path, polygons_path, BUNDLED, tmp_path, method=method, device="cuda", report="")
        values.update(run_job(job, Progress()))
        values["probabilities"] = mapped(scene_path, job.model, tmp_path, "cuda")
    assert first["overall_accuracy"] == again["overall_accuracy"]
    np.testing.assert_array_equal(first["probabilities"], again["probabilities"])
    on_cpu = mapped(scene_path, job.model, tmp_path, "cpu")
    assert (first["probabilities"].argmax(0) == on_cpu.argmax(0)).mean() > 0.99
    assert np.abs(first["probabilities"] - on_cpu).mean() < 0.02


@pytest.mark.parametrize("method", DENOISERS)
def test_pretraining_repeats_and_its_backbone_serves(scene_path, polygons_path, tmp_path, method):
    path = tmp_path / "b.safetensors"
    first, again = {}, {}
    for weights in (first, again):
        run_job(PretrainScene(str(scene_path), str(path), method=method, cubes=200, device="cuda"), Progress())
        weights.update(SceneBackbone.load(path).denoiser.state_dict())
    assert all(torch.equal(values, again[name]) for name, values in first.items())
    job = training(scene_path, polygons_path, path, tmp_path, method=method, device="cuda", report="")
    run_job(job, Progress())
    shares = [mapped(scene_path, job.model, tmp_path, device) for device in ("cuda", "cpu")]
    assert (shares[0].argmax(0) == shares[1].argmax(0)).mean() > 0.99


@pytest.mark.parametrize("gaps", [0.0, 0.9])
def test_neighbours_vote_as_on_the_cpu(gaps):
    rng = np.random.default_rng(0)
    rows, columns = np.nonzero(rng.random((40, 50)) >= gaps)
    spectra = rng.normal(size=(len(rows), 3)).astype(np.float32)
    logits = rng.normal(size=(2, len(rows), 4)).astype(np.float32)
    fast, exact = (
        Smoothing((0.6, 0.4), 1.5).apply(logits, spectra, rows, columns, torch.device(kind)) for kind in ("cuda", "cpu")
    )
    np.testing.assert_allclose(fast, exact, rtol=1e-4, atol=1e-5)
