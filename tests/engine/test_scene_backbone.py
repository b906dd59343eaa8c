"""Spectral backbones: pretrained on a scene, kept in a file, and used wherever a backbone can be."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import rasterio
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from synthetic import BANDS, HEIGHT, WIDTH, make_spectra, write_scene
from training_job import training

from spectrafilm.engine.backbone import Backbone
from spectrafilm.engine.composites import band_averages
from spectrafilm.engine.device import choose_device
from spectrafilm.engine.errors import EngineError
from spectrafilm.engine.jobs import AnalyseFeatures, ExtractFeatures, PredictMap, PretrainScene
from spectrafilm.engine.patches import MirroredRows
from spectrafilm.engine.progress import Progress, Recorder
from spectrafilm.engine.runner import run_job
from spectrafilm.engine.scene import Scene
from spectrafilm.engine.scene_backbone import DENOISERS, FORMAT, SceneBackbone, noise_schedule
from spectrafilm.engine.scene_pretraining import BLOCK, CUBE, SCHEMES, _away_from, _Block, _read_blocks, _Run
from spectrafilm.engine.spectral_unet import SpectralUNet, sinusoids
from spectrafilm.engine.survey import survey_scene

POSITIONS, NARROW = 16, 4


def pretraining(scene, folder, **changes):
    """A small pretraining that writes b.safetensors and b.html."""
    options = {"output": str(folder / "b.safetensors"), "report": str(folder / "b.html"), "cubes": 400,
               "method": "diffspectralnet", "positions": POSITIONS, "width": NARROW, "device": "cpu"}  # fmt: skip
    return PretrainScene(str(scene), **options | changes)


@pytest.fixture(scope="module")
def pretrained(scene_path, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pretrained")
    recorder = Recorder()
    values = run_job(pretraining(scene_path, folder), recorder)
    return folder / "b.safetensors", values, recorder


def test_the_network_keeps_pixels_and_halves_the_spectral_axis():
    network = SpectralUNet(16, 4, 8)
    cubes = torch.randn(3, 16, 8, 12)
    assert network(cubes, torch.tensor(5.0)).shape == cubes.shape
    shapes = []
    for module in network.decoder:
        module.register_forward_hook(lambda _m, _i, output: shapes.append(tuple(output.shape[1:])))
    network(cubes, torch.tensor([5.0, 50.0, 200.0]))
    assert shapes == [(32, 2, 8, 12), (16, 4, 8, 12), (8, 8, 8, 12), (4, 16, 8, 12)]
    with pytest.raises(ValueError, match="12 spectral positions"):
        SpectralUNet(12, 4, 8)


def test_noise_and_time_are_those_of_the_published_denoiser():
    """500 timesteps with variances from 1e-4 to 0.02, told by 16 sines and 16 cosines of periods up to 10 000."""
    schedule = noise_schedule()
    signal = torch.cumprod(1 - torch.linspace(1e-4, 0.02, 500), 0)
    torch.testing.assert_close(schedule.signal**2, signal, rtol=1e-4, atol=1e-6)
    assert schedule.told.tolist() == list(range(500))
    angles = torch.tensor([[3.0], [400.0]]) / 10_000 ** (torch.arange(16) / 15)
    expected = torch.cat([angles.sin(), angles.cos()], 1)
    torch.testing.assert_close(sinusoids(torch.tensor([3.0, 400.0])), expected, rtol=1e-4, atol=1e-4)


def test_a_block_of_the_unet_is_the_published_one():
    torch.manual_seed(0)
    block, seen = SpectralUNet(8, 4, 8).eval().down[0], []
    for norm in (block.first_norm, block.second_norm):
        torch.nn.init.normal_(norm.bias)
    for layer in (block.second, block.resample):
        layer.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    values, embedding = torch.randn(2, 4, 8, 8, 8), torch.randn(2, 32)
    block(values, embedding)
    shift = block.time(embedding).relu()[:, :, None, None, None]
    torch.testing.assert_close(seen[0], block.first_norm(block.first(values).relu()) + shift)
    torch.testing.assert_close(seen[1], block.second_norm(block.second(seen[0]).relu()))
    assert (block.resample.kernel_size, block.resample.stride) == ((4, 5, 5), (2, 1, 1))


def test_each_cube_is_told_its_own_timestep():
    torch.manual_seed(0)
    network = SpectralUNet(8, 4, 8).eval()
    cube = torch.randn(1, 8, 8, 8).expand(2, -1, -1, -1)
    early, late = network(cube, torch.tensor([5.0, 400.0]))
    torch.testing.assert_close(early, network(cube[:1], torch.tensor(5.0))[0], atol=1e-5, rtol=1e-4)
    assert not torch.allclose(early, late, atol=1e-4, rtol=0)


def test_pretraining_learns_to_tell_noise_from_the_scene(pretrained):
    path, values, recorder = pretrained
    report = json.loads(path.with_suffix(".json").read_text())
    assert values["held_out_loss"] < 0.75 * report["chance"]
    losses = {int(seen): loss for seen, loss in report["held_out_losses"].items()}
    assert min(losses.values()) == values["held_out_loss"] == losses[report["cubes"]]
    page = path.with_suffix(".html").read_text()
    assert page.count("data:image/png;base64,") == 2
    assert recorder.positions[-1] == 1.0
    assert not any("learned nothing" in warning for warning in recorder.warnings)

    backbone = SceneBackbone.load(path)
    assert backbone.card["held_out_loss"] == values["held_out_loss"]
    clean = backbone.composites.apply(make_spectra(seed=7))[0][:, :32, :32]
    noised, denoised = backbone.denoise(clean, 100)
    assert np.abs(denoised - clean).mean() < 0.7 * np.abs(noised - clean).mean()


def test_soon_it_says_how_long_it_takes_and_that_cancelling_keeps_nothing(pretrained, scene_path, tmp_path):
    messages = pretrained[2].messages
    told = next(i for i, message in enumerate(messages) if "Cancelling keeps nothing" in message)
    assert "minute(s) more" in messages[told]
    assert told < next(i for i, message in enumerate(messages) if "cubes: error" in message)
    recorder = Recorder()
    run_job(pretraining(scene_path, tmp_path, cubes=8), recorder)
    assert not any("Cancelling" in message for message in recorder.messages)


def test_a_backbone_that_has_learned_nothing_comes_with_a_warning(scene_path, tmp_path):
    recorder = Recorder()
    run_job(pretraining(scene_path, tmp_path, cubes=8), recorder)
    report = json.loads((tmp_path / "b.json").read_text())
    assert report["held_out_loss"] > report["chance"]
    assert any("learned nothing" in warning for warning in recorder.warnings)
    assert report["warnings"] == recorder.warnings


def test_of_checks_that_are_equally_good_the_last_is_named_whose_weights_are_kept(scene_path, tmp_path, monkeypatch):
    monkeypatch.setattr(_Run, "train", lambda *_: {200: 0.5, 400: 0.25, 600: 0.25, 800: 0.5})
    run_job(pretraining(scene_path, tmp_path), Recorder())
    assert json.loads((tmp_path / "b.json").read_text())["cubes"] == 600


@pytest.mark.parametrize("method", DENOISERS)
def test_the_same_seed_gives_the_same_backbone(scene_path, tmp_path, method):
    first, again, other = {}, {}, {}
    for weights, seed in ((first, 0), (again, 0), (other, 1)):
        run_job(pretraining(scene_path, tmp_path, seed=seed, cubes=24, method=method), Progress())
        weights.update(SceneBackbone.load(tmp_path / "b.safetensors").denoiser.state_dict())
    assert all(torch.equal(values, again[name]) for name, values in first.items())
    assert any(not torch.equal(values, other[name]) for name, values in first.items())


def test_pixels_without_data_are_not_learned(tmp_path):
    spectra = make_spectra()
    spectra[:, :, 40:] = -1.0
    run_job(pretraining(write_scene(tmp_path / "s.tif", spectra), tmp_path, cubes=8), Progress())
    spectra[:] = -1.0
    spectra[:, :4, :4] = make_spectra()[:, :4, :4]
    before = (tmp_path / "b.safetensors").read_bytes()
    with pytest.raises(EngineError, match="of which half is valid"):
        run_job(pretraining(write_scene(tmp_path / "s.tif", spectra), tmp_path, cubes=8), Progress())
    assert (tmp_path / "b.safetensors").read_bytes() == before
    assert not list(tmp_path.glob(".spectrafilm-part-*"))


@pytest.mark.parametrize("seed", range(5))
def test_what_is_held_out_is_not_trained_on(tmp_path, seed):
    """Blocks at the far edges of a scene of 150 x 170 pixels overlap others."""
    path = write_scene(tmp_path / "s.tif", np.tile(make_spectra(), (1, 2, 2))[:, :150, :170])
    with Scene.open(str(path)) as scene:
        survey = survey_scene(scene)
        blocks = _read_blocks(scene, survey, band_averages(survey, 8), np.random.default_rng(seed), Progress())
    held_out, training = blocks[:1], _away_from(blocks[:1], blocks[1:])
    assert len(blocks) == 9
    assert 5 <= len(training) <= 8
    tested = np.zeros((150, 170), bool)
    row, column = held_out[0].place
    tested[row : row + BLOCK, column : column + BLOCK] = True
    for block in training:
        for row, column in block.place + block.corners:
            assert not tested[row : row + CUBE, column : column + CUBE].any()


def block_of(valid):
    """A block at row 7 and column 9 whose pixels all differ."""
    pixels = np.arange(BLOCK**2, dtype=np.float32).reshape(1, BLOCK, BLOCK) / 8
    return _Block.of(np.array([7, 9]), MirroredRows(pixels[None], valid, pixels, 9))


def test_cubes_are_those_of_which_half_is_valid():
    left = np.broadcast_to(np.arange(BLOCK) < 41, (BLOCK, BLOCK))
    expected = {(row, column) for row in range(BLOCK - CUBE + 1) for column in range(41 - CUBE // 2 + 1)}
    assert set(map(tuple, block_of(left).corners)) == expected
    assert set(map(tuple, block_of(left.T).corners[:, ::-1])) == expected


def test_cubes_are_turned_and_mirrored():
    block = block_of(np.ones((BLOCK, BLOCK), bool))
    block = replace(block, corners=np.array([[3, 5]]))
    rng = np.random.default_rng(0)
    seen = [block.crop(rng) for _ in range(100)]
    corner = block.values[:, 3 : 3 + CUBE, 5 : 5 + CUBE]
    assert all(np.array_equal(np.sort(cube, None), np.sort(corner, None)) for cube in seen)
    assert len({cube.tobytes() for cube in seen}) == 8


def test_the_weights_that_do_best_on_held_out_cubes_are_kept(monkeypatch):
    torch.manual_seed(0)
    denoiser = SpectralUNet(8, 1, BLOCK)
    scheme = replace(SCHEMES["diffspectralnet"], steps_between_checks=2)
    run = _Run(denoiser, choose_device("cpu", Progress()), scheme, np.random.default_rng(0))
    script, checked = iter([0.5, 0.6, 0.2] + [0.4] * 100), []

    def measure(loss, clean, noise, timesteps):
        if denoiser.training:
            return sum(weights.sum() for weights in denoiser.parameters())
        checked.append({name: weights.clone() for name, weights in denoiser.state_dict().items()})
        return torch.tensor(next(script))

    monkeypatch.setattr(run, "_measure", measure)
    block = replace(block_of(np.ones((BLOCK, BLOCK), bool)), values=np.zeros((8, BLOCK, BLOCK), np.float16))
    losses = run.train([block], torch.zeros(2, 8, CUBE, CUBE), 8000, Progress())
    # Eight checks without progress are the last ones.
    assert list(losses) == [16 * check for check in range(1, 12)]
    assert losses[48] == pytest.approx(0.2)
    assert all(torch.equal(weights, checked[2][name]) for name, weights in run.best.state_dict().items())
    assert not torch.equal(checked[2]["out.weight"], checked[3]["out.weight"])


def test_a_single_thread_will_do(scene_path, tmp_path):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        # Of the usual shape, whose gradients are no numbers in half precision.
        values = run_job(pretraining(scene_path, tmp_path, cubes=8, positions=0, width=0), Progress())
    finally:
        torch.set_num_threads(threads)
    assert np.isfinite(values["held_out_loss"])


@pytest.mark.parametrize(("bands", "size", "channels"), [(3, 160, 8), (BANDS, 20, 16), (12, 160, 16), (12, 80, 16)])
def test_few_bands_and_small_scenes_will_do(tmp_path, bands, size, channels):
    spectra = np.tile(make_spectra(), (1, 2, 2))[:bands, :size, :size]
    scene = write_scene(tmp_path / "s.tif", spectra)
    recorder = Recorder()
    run_job(pretraining(scene, tmp_path, cubes=8, positions=channels), recorder)
    assert SceneBackbone.load(tmp_path / "b.safetensors").composites.channels == channels
    assert any("too small" in warning for warning in recorder.warnings) == (size < 100)


@pytest.mark.parametrize("positions", [12, -8])
def test_positions_that_no_network_has_are_one_sentence(scene_path, tmp_path, positions):
    with pytest.raises(EngineError, match="multiple of 8 positions"):
        run_job(pretraining(scene_path, tmp_path, positions=positions), Progress())


def test_it_is_a_backbone_like_others(pretrained):
    backbone = Backbone.load(str(pretrained[0]), choose_device("cpu", Progress()))
    assert (backbone.patch, backbone.channels, backbone.timesteps) == (64, POSITIONS, 500)
    # Half the positions, twice the channels: from layer to layer they hold as many numbers.
    assert [layer.channels for layer in backbone.layers] == [NARROW * POSITIONS] * 4
    assert {layer.stride for layer in backbone.layers} == {1}
    images = torch.randn(2, POSITIONS, 64, 64)
    deep, shallow = backbone.activations(images, 50, (0, 2))
    assert deep.shape == shallow.shape == (2, NARROW * POSITIONS, 64, 64)
    (other,) = backbone.activations(images, 400, (0,))
    assert not torch.equal(deep, other)


@pytest.mark.parametrize(("method", "least"), [("diffspectralnet", 0.75), ("spectrafilm", 0.95), ("geodiffnet-f", 0.9)])
def test_methods_train_and_map_with_it(pretrained, scene_path, polygons_path, tmp_path, method, least):
    recorder = Recorder()
    values = run_job(training(scene_path, polygons_path, pretrained[0], tmp_path, method=method), recorder)
    assert values["overall_accuracy"] > 100 * least
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["settings"]["composites"] == f"all bands in {POSITIONS} averages"
    job = PredictMap(str(scene_path), str(tmp_path / "m.safetensors"), str(tmp_path / "map.tif"))
    run_job(job, Recorder())
    with rasterio.open(tmp_path / "map.tif") as dataset:
        assert np.mean(dataset.read(1)[:40, :50] == 1) > least

    # Bands in another order are the same to it, since it knows them by their wavelengths.
    with rasterio.open(scene_path) as dataset:
        spectra, wavelengths = dataset.read()[::-1], [float(dataset.tags(b)["wavelength"]) for b in range(1, BANDS + 1)]
    turned = write_scene(tmp_path / "turned.tif", spectra, wavelengths=wavelengths[::-1])
    run_job(replace(job, scene=str(turned), output=str(tmp_path / "turned_map.tif")), Recorder())
    with rasterio.open(tmp_path / "map.tif") as ours, rasterio.open(tmp_path / "turned_map.tif") as theirs:
        assert np.mean(ours.read(1) == theirs.read(1)) > 0.999


def test_a_features_raster_of_it_replaces_computing(pretrained, scene_path, polygons_path, tmp_path):
    features = tmp_path / "f.tif"
    layers, timesteps = (2, 3), (5, 50)
    job = ExtractFeatures(str(scene_path), str(features), str(pretrained[0]), "", layers, timesteps)
    run_job(job, Recorder())
    with rasterio.open(features) as dataset:
        assert dataset.shape == (HEIGHT, WIDTH)
        # The last ones are means of the averaged bands over two neighbourhoods.
        assert dataset.count == 4 * NARROW * POSITIONS + 2 * POSITIONS
        assert dataset.descriptions[0] == "composite 1, t=5, layer 2, channel 0"
        assert dataset.descriptions[-1] == f"composite 1, channel {POSITIONS - 1}, mean of 5 x 5 pixels"
    job = training(scene_path, polygons_path, "", tmp_path, method="diffspectralnet", features=str(features))
    assert run_job(job, Recorder())["overall_accuracy"] > 60


def test_its_layers_and_timesteps_can_be_analysed(pretrained, scene_path, polygons_path, tmp_path):
    like = training(scene_path, polygons_path, pretrained[0], tmp_path)
    job = AnalyseFeatures(like.scene, like.polygons, str(tmp_path / "a.html"), polygons_crs=like.polygons_crs,
                          backbone=like.backbone, timesteps=(5, 200), composites="true colour")  # fmt: skip
    recorder = Recorder()
    assert run_job(job, recorder)["overall_accuracy"] > 90
    assert any("sees all bands: composites" in warning for warning in recorder.warnings)
    assert json.loads((tmp_path / "a.json").read_text())["layers"] == [0, 1, 2, 3]
    recorder = Recorder()
    run_job(replace(like, analysis=str(tmp_path / "a.html")), recorder)
    assert not [warning for warning in recorder.warnings if "composites" in warning]


def test_diffspectralnet_needs_one(scene_path, polygons_path, backbone_path, tmp_path):
    with pytest.raises(EngineError, match="run 'Pretrain on scene'"):
        run_job(training(scene_path, polygons_path, backbone_path, tmp_path, method="diffspectralnet"), Recorder())
    assert not list(tmp_path.iterdir())


def test_scenes_and_files_that_do_not_fit_are_one_sentence(pretrained, polygons_path, tmp_path):
    path = pretrained[0]
    fewer = write_scene(tmp_path / "fewer.tif", make_spectra()[:12])
    with pytest.raises(EngineError, match=r"nm\); choose a backbone of the same sensor"):
        run_job(training(fewer, polygons_path, path, tmp_path), Recorder())
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(EngineError, match="cannot be read"):
        Backbone.load(str(damaged), choose_device("cpu", Progress()))
    with safe_open(path, "pt") as file:
        content = json.loads(file.metadata()[FORMAT])
    for key, value in (("width", 2**20), ("sample_size", 2**20), ("in_channels", "x"), ("sample_size", None)):
        changed = {**content, "denoiser": {**content["denoiser"], key: value}}
        save_file(load_file(path), damaged, {FORMAT: json.dumps(changed)})
        with pytest.raises(EngineError, match="is damaged|takes images of 1048576 pixels"):
            Backbone.load(str(damaged), choose_device("cpu", Progress()))
