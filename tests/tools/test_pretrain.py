"""Pretraining goes on after a stop as if there had been none, and can begin with the weights of another run."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.ndimage import label

from spectrafilm.engine.device import choose_device
from spectrafilm.engine.progress import Progress
from spectrafilm.tools.pretrain.landscapes import MATERIALS, LandscapeSampler, draw_materials
from spectrafilm.tools.pretrain.run import Run, Settings

DEVICE = choose_device("cpu", Progress())


@pytest.fixture
def settings(tmp_path):
    photographs = tmp_path / "photographs"
    photographs.mkdir()
    rng = np.random.default_rng(0)
    for index in range(3):
        Image.fromarray(rng.integers(0, 256, (24, 20, 3), dtype=np.uint8)).save(photographs / f"{index}.png")
    return Settings(str(photographs), crop=16, channels=(32, 32), attention_from=1, batch=2)


def weights(run):
    return torch.cat([p.flatten() for p in run.average.parameters()])


@pytest.mark.parametrize("generated", [False, True], ids=["photographs", "landscapes"])
def test_a_run_goes_on_where_it_was_stopped(settings, tmp_path, generated):
    settings = replace(settings, photographs="") if generated else settings
    Run(tmp_path / "whole", settings, DEVICE, False).train(8, 60)
    Run(tmp_path / "parts", settings, DEVICE, False).train(4, 60)
    resumed = Run(tmp_path / "parts", settings, DEVICE, False)
    assert resumed.step == 2
    resumed.train(8, 60)
    whole = Run(tmp_path / "whole", settings, DEVICE, False)
    torch.testing.assert_close(weights(resumed), weights(whole))
    losses = [json.loads(line) for line in (tmp_path / "parts" / "log.jsonl").read_text().splitlines()]
    assert [set(record["held_out"]) >= {"0", "950"} for record in losses] == [True, True]
    for picture, size in (("samples_00000008.png", (64, 64)), ("crops.png", (128, 64))):
        with Image.open(tmp_path / "parts" / picture) as image:
            assert image.size == size


def test_a_run_begins_with_weights_that_are_needed_once_only(settings, tmp_path):
    first = Run(tmp_path / "first", settings, DEVICE, False)
    first.train(4, 60)
    start = tmp_path / "first" / "backbones" / "00000004"
    second = Run(tmp_path / "second", replace(settings, start=str(start)), DEVICE, False)
    # The weights were kept in half precision.
    torch.testing.assert_close(weights(second), weights(first), atol=1e-3, rtol=1e-3)
    assert second.step == 0
    second.train(4, 60)
    shutil.rmtree(start)
    resumed = Run(tmp_path / "second", replace(settings, start=str(start)), DEVICE, False)
    torch.testing.assert_close(weights(resumed), weights(second))


def test_workers_draw_the_same_crops(settings, tmp_path):
    run = {}
    for workers in (0, 2):
        run[workers] = Run(tmp_path / str(workers), settings, DEVICE, False)
        run[workers].train(8, 60, workers)
    torch.testing.assert_close(weights(run[2]), weights(run[0]))


def test_the_learning_rate_falls_to_zero(settings, tmp_path):
    run = Run(tmp_path / "run", replace(settings, warmup=1, decay_crops=8), DEVICE, False)

    def changed(crops):
        before = torch.cat([p.detach().flatten() for p in run.model.parameters()])
        run.train(crops, 60)
        return (torch.cat([p.detach().flatten() for p in run.model.parameters()]) - before).abs().max()

    first, last, after = (changed(crops) for crops in (2, 8, 10))
    assert first > 0 and last > 0
    assert after == 0


def test_a_folder_of_other_settings_is_left_alone(settings, tmp_path):
    Run(tmp_path / "run", settings, DEVICE, False)
    with pytest.raises(ValueError, match="other settings"):
        Run(tmp_path / "run", replace(settings, batch=3), DEVICE, False)


def test_landscapes_are_seen_with_the_noise_of_a_sensor():
    sampler = LandscapeSampler(32)
    seen, clean = sampler.batch(np.random.default_rng(0), 20)
    again, _ = sampler.batch(np.random.default_rng(0), 20)
    np.testing.assert_array_equal(seen, again)
    assert seen.shape == clean.shape == (20, 3, 32, 32)
    assert seen.min() >= -1 and seen.max() <= 1
    # White: a pixel's noise says nothing of its neighbour's, while what is seen does.
    assert abs(neighbours_alike(seen - clean)) < 0.1
    assert neighbours_alike(clean) > 0.5
    assert 0 < (seen - clean).std() < clean.std()


def neighbours_alike(images):
    return np.corrcoef(images[..., 1:].ravel(), images[..., :-1].ravel())[0, 1]


def test_few_materials_come_back_in_many_places():
    rng = np.random.default_rng(0)
    maps = [draw_materials(rng, 64) for _ in range(30)]
    kinds = [len(np.unique(m)) for m in maps]
    areas = [sum(label(m == k)[1] for k in np.unique(m)) for m in maps]
    assert max(kinds) <= MATERIALS
    assert np.median(areas) > 3 * np.median(kinds) > 3
