"""Pretraining goes on after a stop as if there had been none, and can begin with the weights of another run."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.ndimage import label

from spectrafilm.engine.device import choose_device
from spectrafilm.engine.progress import Progress
from spectrafilm.tools.pretrain.__main__ import main
from spectrafilm.tools.pretrain.episodes import CLASSES, LABELLED, OTHERS, draw_batch, draw_episode, episode_loss
from spectrafilm.tools.pretrain.landscapes import CROPS, MATERIALS, SHADES, LandscapeSampler, draw_objects
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


GENERATED = {"photographs": ""}
EPISODES = {"photographs": "", "batch": 8, "episodes": 0.1, "episode_layers": (1, 5)}


@pytest.mark.parametrize("other", [{}, GENERATED, EPISODES], ids=["photographs", "landscapes", "episodes"])
def test_a_run_goes_on_where_it_was_stopped(settings, tmp_path, other):
    settings = replace(settings, **other)
    Run(tmp_path / "whole", settings, DEVICE, False).train(4 * settings.batch, 60)
    Run(tmp_path / "parts", settings, DEVICE, False).train(2 * settings.batch, 60)
    resumed = Run(tmp_path / "parts", settings, DEVICE, False)
    assert resumed.step == 2
    resumed.train(4 * settings.batch, 60)
    whole = Run(tmp_path / "whole", settings, DEVICE, False)
    torch.testing.assert_close(weights(resumed), weights(whole))
    losses = [json.loads(line) for line in (tmp_path / "parts" / "log.jsonl").read_text().splitlines()]
    assert [set(record["held_out"]) >= {"0", "950"} for record in losses] == [True, True]
    for picture, size in ((f"samples_{4 * settings.batch:08d}.png", (64, 64)), ("crops.png", (128, 64))):
        with Image.open(tmp_path / "parts" / picture) as image:
            assert image.size == size


def test_the_command_line_knows_the_settings(tmp_path, monkeypatch):
    # What it would train is of the real size.
    monkeypatch.setattr(Run, "train", lambda self, crops, *_: None)
    words = "--warmup 30 --ema 0.99 --batch 8 --episodes 0.1 --episode-layers 9 11 --last-level-only --device cpu"
    monkeypatch.setattr(sys, "argv", ["pretrain", str(tmp_path), *words.split()])
    main()
    given = {"warmup": 30, "ema": 0.99, "batch": 8, "episodes": 0.1, "episode_layers": [9, 11], "last_level_only": True}
    assert json.loads((tmp_path / "settings.json").read_text()) == json.loads(json.dumps(asdict(Settings()))) | given


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
    drawn = [draw_objects(rng, 64, np.arange(MATERIALS))[0] // SHADES for _ in range(30)]
    materials = [len(np.unique(m)) for m in drawn]
    areas = [sum(label(m == k)[1] for k in np.unique(m)) for m in drawn]
    assert max(materials) <= MATERIALS
    assert np.median(areas) > 3 * np.median(materials) > 3


def test_crops_of_a_landscape_share_their_materials():
    landscape = LandscapeSampler(32).landscape(np.random.default_rng(1))
    assert landscape.seen.shape == (CROPS, 3, 32, 32) and landscape.materials.shape == (CROPS, 32, 32)
    pure = landscape.materials >= 0
    assert 0.5 < pure.mean() < 1
    colours = landscape.clean.transpose(0, 2, 3, 1)
    where = [[(landscape.materials == m) & (np.arange(CROPS)[:, None, None] % 2 == half) for half in range(2)]
             for m in range(MATERIALS)]  # fmt: skip
    pairs = [[colours[w].mean(0) for w in halves] for halves in where if min(w.sum() for w in halves) > 30]
    assert len(pairs) > 2
    here, there = np.array(pairs).swapaxes(0, 1)
    # A material looks more like itself in other crops than like the other materials.
    distances = np.linalg.norm(here[:, None] - there[None], axis=2)
    assert (distances.argmin(1) == np.arange(len(pairs))).mean() > 0.7


def test_an_episode_has_the_same_classes_in_other_crops():
    sampler, rng = LandscapeSampler(32), np.random.default_rng(0)
    groupings = set()
    for _ in range(20):
        landscape = sampler.landscape(rng)
        halves = draw_episode(rng, landscape)
        kept = []
        for (places, classes), count, crops in zip(halves, (LABELLED, OTHERS), ({0, 1}, {2, 3}), strict=True):
            assert len(places) == len(classes) == CLASSES * count
            used = classes >= 0
            assert set(places[used, 0]) <= crops
            assert set(np.unique(classes[used], return_counts=True)[1]) <= {count}
            assert len(np.unique(places[used], axis=0)) == used.sum()
            kept.append(classes[used])
            of_pixels = [x.reshape(CROPS, -1)[places[used, 0], places[used, 1]] for x in
                         (landscape.materials, landscape.kinds)]  # fmt: skip
            same = [all(len(set(x[classes[used] == c])) == 1 for c in set(classes[used])) for x in of_pixels]
            groupings.add(tuple(same))
            assert any(same)
        assert set(kept[0]) == set(kept[1])
    assert {(True, True), (True, False), (False, True)} <= groupings


def test_episodes_are_lost_where_activations_say_nothing():
    sampler = LandscapeSampler(32)
    seen, _, *episodes = (torch.from_numpy(x) for x in draw_batch(np.random.default_rng(0), sampler, 4))
    of_episodes = seen[: 2 * CROPS]
    colours = episode_loss(of_episodes, episodes, 32)
    noise = episode_loss(torch.randn(of_episodes.shape, generator=torch.Generator().manual_seed(0)), episodes, 32)
    assert 0 < colours < 0.7 * noise
    # Half as fine, they are what an image resized bilinearly to the crop is.
    half = torch.nn.functional.avg_pool2d(of_episodes, 2)
    whole = torch.nn.functional.interpolate(half, scale_factor=2, mode="bilinear")
    torch.testing.assert_close(episode_loss(half, episodes, 32), episode_loss(whole, episodes, 32))


def test_episodes_change_what_is_learnt(settings, tmp_path):
    settings = replace(settings, **EPISODES, warmup=1, learning_rate=1e-3)
    learnt = []
    for weight in (1e-9, 1.0):
        run = Run(tmp_path / str(weight), replace(settings, episodes=weight), DEVICE, False)
        run.train(40 * 8, 60)
        batch = [torch.from_numpy(x) for x in draw_batch(np.random.default_rng(7), run.crops, 24)]
        with torch.no_grad():
            run.model(batch[0][: 12 * CROPS], 0)
        learnt.append(float(episode_loss(run.activations[5], batch[2:], 16)))
    assert learnt[1] < learnt[0] - 0.1


def test_all_but_the_last_level_can_stay_as_it_is(settings, tmp_path):
    run = Run(tmp_path / "run", replace(settings, **EPISODES, last_level_only=True), DEVICE, False)
    before = {name: values.clone() for name, values in run.model.state_dict().items()}
    run.train(2 * 8, 60)
    changed = {name for name, values in run.average.state_dict().items() if not torch.equal(values, before[name])}
    assert changed
    assert all(name.startswith(("up_blocks.1.", "conv_norm_out.", "conv_out.")) for name in changed)
    resumed = Run(tmp_path / "run", run.settings, DEVICE, False)
    resumed.train(3 * 8, 60)
    assert torch.equal(resumed.model.conv_in.weight, before["conv_in.weight"])


def test_episodes_need_whole_landscapes(settings):
    for wrong in ({"photographs": settings.photographs}, {"batch": 12}):
        with pytest.raises(ValueError, match="generated landscapes in batches of a multiple of 8"):
            replace(settings, **EPISODES | wrong)
