"""DiffCRN: its denoiser, what it learns from, its timesteps, and its classifier."""

from __future__ import annotations

import json

import numpy as np
import pytest
import rasterio
import torch
from synthetic import BANDS, make_spectra
from torch.nn import functional as F
from training_job import training

from spectrafilm.engine.backbone import Backbone
from spectrafilm.engine.composites import Composites
from spectrafilm.engine.device import choose_device
from spectrafilm.engine.errors import EngineError
from spectrafilm.engine.jobs import ExtractFeatures, PredictMap, PretrainScene
from spectrafilm.engine.methods import METHODS
from spectrafilm.engine.pretraining_losses import ContrastiveError, contrast
from spectrafilm.engine.progress import Progress, Recorder
from spectrafilm.engine.runner import run_job
from spectrafilm.engine.scene_backbone import SceneBackbone, noise_schedule
from spectrafilm.engine.staged_denoiser import GROUPS, StagedDenoiser
from spectrafilm.engine.time_fusion import DiffCRN
from spectrafilm.engine.timestep_choice import CANDIDATES, choose_timesteps, spectral_angles
from spectrafilm.engine.training import Samples, fit, predict_logits

POSITIONS, NARROW = 16, 16


@pytest.fixture(scope="module")
def pretrained(scene_path, tmp_path_factory):
    folder = tmp_path_factory.mktemp("diffcrn")
    job = PretrainScene(str(scene_path), str(folder / "b.safetensors"), str(folder / "b.html"), "diffcrn", 800,
                        POSITIONS, NARROW, "cpu")  # fmt: skip
    recorder = Recorder()
    return folder / "b.safetensors", run_job(job, recorder), recorder


def reach(module, values, at):
    """Where the input changes one output pixel."""
    values = values.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(module(values)[(0, slice(None), *at)].sum(), values)
    return gradient[0].abs()


def test_spatial_attention_stays_within_windows_and_spectral_attention_within_groups():
    torch.manual_seed(0)
    stages = StagedDenoiser(8, 16, 64).decoder
    values = torch.randn(1, 16, 16, 24)
    # The depthwise convolution reaches one pixel further.
    seen = reach(stages[0].attention, values, (3, 12)).sum(0) > 0
    assert seen[:9, 7:17].all()
    assert not seen[9:].any()
    assert not seen[:, :7].any()
    assert not seen[:, 17:].any()
    attention = stages[2].attention
    assert (reach(attention, values, (3, 12)).sum(0) > 0).all()
    # Without the convolutions that mix channels, no group sees another.
    attention.inputs[0].weight.data = torch.eye(16).repeat(3, 1)[:, :, None, None]
    attention.out.weight.data = torch.eye(16)[:, :, None, None]
    inputs = values.clone().requires_grad_()
    size = 16 // GROUPS
    (gradient,) = torch.autograd.grad(attention(inputs)[:, :size].sum(), inputs)
    per_channel = gradient.abs().sum((0, 2, 3))
    assert (per_channel[:size] > 0).all()
    assert (per_channel[size:] == 0).all()


def test_windows_are_put_back_where_they_were(monkeypatch):
    attention = StagedDenoiser(8, 16, 64).decoder[0].attention
    values = torch.randn(2, 16, 16, 24)
    monkeypatch.setattr(F, "scaled_dot_product_attention", lambda query, key, value: value)
    torch.testing.assert_close(attention(values), attention.out(attention.inputs(values)[:, 32:]))


def test_it_keeps_shapes_and_tells_timesteps_apart():
    torch.manual_seed(0)
    denoiser = StagedDenoiser(12, 16, 64).eval()
    cubes = torch.randn(1, 12, 16, 24).expand(2, -1, -1, -1)
    early, late = denoiser(cubes, torch.tensor([5.0, 400.0]))
    assert early.shape == cubes.shape[1:]
    torch.testing.assert_close(early, denoiser(cubes[:1], torch.tensor(5.0))[0], atol=1e-5, rtol=1e-4)
    assert not torch.allclose(early, late, atol=1e-4, rtol=0)
    assert [stage.shape for stage in denoiser.stages(cubes, torch.tensor(5.0))] == [(2, 16, 16, 24)] * 4
    with pytest.raises(ValueError, match="6 channels"):
        StagedDenoiser(12, 6, 64)


def test_gradients_in_half_precision_are_those_in_single():
    torch.manual_seed(0)
    denoiser = StagedDenoiser(8, 16, 64)
    cubes, told = torch.randn(8, 8, 32, 32), torch.full((8,), 50.0)
    gradients = {}
    for half in (False, True):
        denoiser.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            denoiser(cubes, told).float().square().mean().backward()
        gradients[half] = {name: weights.grad.clone() for name, weights in denoiser.named_parameters()}
    for name, expected in gradients[False].items():
        assert (gradients[True][name] - expected).norm() < 0.1 * expected.norm(), name


def test_the_contrast_wants_partners_alike_and_other_cubes_apart():
    torch.manual_seed(0)
    first = F.normalize(torch.randn(6, 16), dim=1)
    cube_of = torch.tensor([0, 0, 1, 1, 2, 2]).repeat(2)
    matched = contrast(torch.cat([first, first]), cube_of)
    assert matched < contrast(torch.cat([first, first.roll(2, 0)]), cube_of)
    # Pixels of one cube may be as alike as they wish.
    twins = first.clone()
    twins[1::2] = twins[::2]
    assert contrast(torch.cat([twins, twins]), cube_of) < contrast(torch.cat([twins, twins.roll(2, 0)]), cube_of)
    by_hand = []
    both = torch.cat([first, F.normalize(first + 0.3 * torch.randn(6, 16), dim=1)])
    alike = both @ both.T / 0.2
    for i in range(12):
        others = [j for j in range(12) if cube_of[j] != cube_of[i]]
        partner = (i + 6) % 12
        by_hand.append(-alike[i, partner] + torch.logsumexp(alike[i, [partner, *others]], 0))
    torch.testing.assert_close(contrast(both, cube_of), torch.stack(by_hand).mean())


def test_views_of_a_cube_are_noised_apart_and_both_are_denoised():
    torch.manual_seed(0)
    denoiser, loss = StagedDenoiser(8, 16, 64), ContrastiveError(16)
    clean = torch.randn(2, 8, 16, 16).repeat(2, 1, 1, 1)
    noised, told = clean + torch.randn_like(clean), torch.tensor([5.0, 50.0, 100.0, 5.0])
    value = loss(denoiser, noised, told, clean)
    error = torch.log1p((denoiser(noised, told) - clean).abs()).mean()
    assert 0.001 < value - error < 0.02, "the contrast has a small weight"
    value.backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in [*denoiser.parameters(), *loss.parameters()])


class _FadesAfter(torch.nn.Module):
    """A stand-in for a denoiser that knows the clean cubes and gets their spectra wrong beyond a timestep."""

    def __init__(self, clean, last):
        super().__init__()
        self.clean, self.last = clean, last

    def forward(self, noised, told):
        assert told > 0 or (noised - self.clean).abs().max() < 0.1, "hardly any noise at first"
        return self.clean + (0.01 if told <= self.last else 0.2) * torch.linspace(-1, 1, 8)[:, None, None]


@pytest.mark.parametrize(("last", "expected"), [(100, (0, 25, 50, 75, 100)), (0, (0, 1, 2, 3, 4))])
def test_timesteps_reach_as_far_as_spectra_are_recovered(last, expected):
    clean = torch.rand(4, 8, 16, 16) * 0.5
    low, high = np.linspace([1], [2], 8, axis=1, dtype=np.float32), np.linspace([5], [9], 8, axis=1, dtype=np.float32)
    composites = Composites("all", tuple(range(1, 9)), (), np.eye(8, dtype=np.float32)[None], low, high)
    angles = spectral_angles(_FadesAfter(clean, last), composites, clean, noise_schedule())
    assert tuple(angles) == CANDIDATES
    values, shifted = (
        low[0, :, None, None] + (cubes + 1) / 2 * (high - low)[0, :, None, None]
        for cubes in (clean.numpy(), clean.numpy() + 0.01 * np.linspace(-1, 1, 8)[:, None, None])
    )
    cosine = (values * shifted).sum(1) / np.sqrt((values**2).sum(1) * (shifted**2).sum(1))
    assert angles[0] == pytest.approx(np.degrees(np.arccos(np.minimum(cosine, 1))).mean(), rel=0.02)
    assert choose_timesteps(angles) == expected


def test_timesteps_end_before_the_first_at_which_the_angle_grew_by_more_than_a_tenth():
    assert choose_timesteps({0: 4.0, 50: 4.3, 100: 4.39, 200: 4.41, 300: 4.0}) == (0, 25, 50, 75, 100)


def test_pretraining_leaves_a_backbone_with_timesteps_of_its_own(pretrained):
    path, values, recorder = pretrained
    report = json.loads(path.with_suffix(".json").read_text())
    assert report["method"] == "DiffCRN"
    assert values["held_out_loss"] < 0.75 * report["chance"]
    assert path.with_suffix(".html").read_text().count("data:image/png;base64,") == 3
    assert any("Timesteps for features" in text for text in recorder.messages)
    found = SceneBackbone.load(path)
    assert list(found.timesteps) == report["timesteps"]
    clean = found.composites.apply(make_spectra(seed=7))[0][:, :32, :32]
    noised, denoised = found.denoise(clean, 100)
    assert np.abs(denoised - clean).mean() < 0.7 * np.abs(noised - clean).mean()
    backbone = Backbone.load(str(path), choose_device("cpu", Progress()))
    assert [layer.channels for layer in backbone.layers] == [NARROW] * 4
    assert backbone.best_timesteps == found.timesteps


def test_a_backbone_that_has_learned_nothing_chooses_no_timesteps(scene_path, tmp_path):
    """Its spectra are as far off at all of them, up to those that are noise alone."""
    recorder, path, page = Recorder(), tmp_path / "b.safetensors", tmp_path / "b.html"
    run_job(PretrainScene(str(scene_path), str(path), str(page), "diffcrn", 8, POSITIONS, NARROW, "cpu"), recorder)
    assert any("it has learned nothing of use" in warning for warning in recorder.warnings)
    assert SceneBackbone.load(path).timesteps == ()
    assert page.read_text().count("data:image/png;base64,") == 2


@pytest.mark.parametrize("method", ["diffcrn", "spectrafilm", "diffspectralnet"])
def test_methods_train_and_map_with_it(pretrained, scene_path, polygons_path, tmp_path, method):
    path = pretrained[0]
    values = run_job(training(scene_path, polygons_path, path, tmp_path, method=method), Recorder())
    assert values["overall_accuracy"] > 75
    settings = json.loads((tmp_path / "r.json").read_text())["settings"]
    own = ", ".join(map(str, SceneBackbone.load(path).timesteps))
    assert (settings["timesteps"] == own) == (method == "diffcrn")
    job = PredictMap(str(scene_path), str(tmp_path / "m.safetensors"), str(tmp_path / "map.tif"))
    run_job(job, Recorder())
    with rasterio.open(tmp_path / "map.tif") as dataset:
        assert np.mean(dataset.read(1)[:40, :50] == 1) > 0.75


def test_features_of_it_replace_computing_and_others_are_refused(
    pretrained, scene_path, polygons_path, backbone_path, tmp_path
):
    features = tmp_path / "f.tif"
    job = training(scene_path, polygons_path, "", tmp_path, method="diffcrn", features=str(features))
    run_job(ExtractFeatures(str(scene_path), str(features), str(pretrained[0]), "", (0, 3), (0, 20, 50)), Recorder())
    recorder = Recorder()
    assert run_job(job, recorder)["overall_accuracy"] > 60
    assert any("layers [0, 3], timesteps [0, 20, 50], backbone b.safetensors" in said for said in recorder.messages)
    assert not any("one timestep" in warning for warning in recorder.warnings)
    # Left to its defaults, the raster has what SpectraFiLM takes.
    run_job(ExtractFeatures(str(scene_path), str(features), str(pretrained[0])), Recorder())
    recorder = Recorder()
    run_job(job, recorder)
    assert any("decoder layers [2] at one timestep only" in warning for warning in recorder.warnings)
    run_job(ExtractFeatures(str(scene_path), str(features), str(backbone_path), "", (0,), (0,)), Recorder())
    with pytest.raises(EngineError, match="pretrained on the scene"):
        run_job(job, Recorder())


def test_unknown_methods_and_widths_are_one_sentence(scene_path, tmp_path):
    for changes, sentence in (({"method": "geodiffnet"}, "diffspectralnet, diffcrn"), ({"width": 6}, "multiple of 4")):
        job = PretrainScene(**{"scene": str(scene_path), "output": str(tmp_path / "b.safetensors"),
                               "method": "diffcrn", "cubes": 8, **changes})  # fmt: skip
        with pytest.raises(EngineError, match=sentence):
            run_job(job, Recorder())
    assert not list(tmp_path.iterdir())


def test_the_classifier_learns_which_timesteps_tell_classes_apart(progress):
    rng = np.random.default_rng(0)
    features = rng.normal(0, 1, (240, 3, 2, 4)).astype(np.float32)
    targets = rng.integers(0, 2, 240)
    # Only the second timestep knows.
    features[:, 1, :, 0] += 4 * targets[:, None] - 2
    samples = Samples(np.zeros((240, BANDS), np.float32), features.reshape(240, -1), targets, 2, sections=(3, 2))
    half = np.arange(240) < 160
    network = fit(METHODS["diffcrn"], samples, [half], 0, progress)[0].network
    assert isinstance(network, DiffCRN)
    assert (predict_logits(network, samples)[0].argmax(1) == targets)[~half].mean() > 0.95
    assert (network.weights.argmax(0) == 1).all()
