"""What backbones see and are told at a timestep, for each kind of diffusion."""

from __future__ import annotations

import json
import math

import pytest
import torch
from diffusers import DDPMScheduler, EDMEulerScheduler
from synthetic import save_backbone

from spectrafilm.engine.backbone import Backbone
from spectrafilm.engine.conditioning import Conditioning, read_conditioning
from spectrafilm.engine.device import choose_device
from spectrafilm.engine.errors import EngineError
from spectrafilm.engine.progress import Progress


def test_sigmas_stand_for_the_noise_levels_of_the_cosine_schedule():
    conditioning = Conditioning.of_sigmas(0.5, 250)
    share = conditioning.noise / (conditioning.noise**2 + conditioning.signal**2).sqrt()
    assert share[[0, 50, 100]].tolist() == pytest.approx([0.0064, 0.0913, 0.169], rel=0.01)
    sigma = 0.169 / math.sqrt(1 - 0.169**2)
    assert float(conditioning.told[100]) == pytest.approx(250 * math.log(sigma), abs=1)


@pytest.mark.parametrize("sigma_data", [0.5, 1.0])
def test_sigma_models_get_inputs_of_unit_scale(sigma_data):
    conditioning = Conditioning.of_sigmas(sigma_data, 250)
    torch.manual_seed(0)
    seen = conditioning.add_noise(sigma_data * torch.randn(100_000), torch.randn(100_000), 400)
    assert float(seen.std()) == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize(("config", "factor"), [
    ({"_class_name": "CMStochasticIterativeScheduler"}, 250),
    ({"_class_name": "KarrasEDMScheduler", "sigma_data": 1.0}, 250),
    ({"_class_name": "KarrasEDMScheduler", "precondition_type": "edm"}, 0.25),
    ({"_class_name": "EDMEulerScheduler"}, 0.25),
    ({"_class_name": "EDMDPMSolverMultistepScheduler"}, 0.25),
])  # fmt: skip
def test_a_folder_of_a_sigma_model_is_a_backbone_and_told_the_logarithm(tmp_path, config, factor):
    save_backbone(tmp_path, num_class_embeds=10)
    (tmp_path / "scheduler_config.json").write_text(json.dumps(config))
    backbone = Backbone.load(str(tmp_path), choose_device("cpu", Progress()))
    told = []
    backbone._unet.time_proj.register_forward_pre_hook(lambda _module, inputs: told.append(float(inputs[0][0])))
    backbone.activations(torch.zeros(1, 3, 32, 32), 100, [0])
    expected = Conditioning.of_sigmas(config.get("sigma_data", 0.5), factor)
    assert told == [pytest.approx(float(expected.told[100]))]
    torch.testing.assert_close(backbone.conditioning.signal, expected.signal)
    assert backbone.timesteps == 1000


def test_timesteps_of_denoising_models_are_told_as_they_are(tmp_path):
    save_backbone(tmp_path)
    conditioning = read_conditioning(tmp_path)
    assert conditioning.told[[0, 50, 999]].tolist() == [0, 50, 999]
    images, noise = torch.randn(2, 3, 8, 8), torch.randn(2, 3, 8, 8)
    scheduler = DDPMScheduler.from_pretrained(tmp_path)
    for timestep in (0, 50, 999):
        expected = scheduler.add_noise(images, noise, torch.tensor([timestep]))
        torch.testing.assert_close(conditioning.add_noise(images, noise, timestep), expected)


def test_what_an_edm_model_is_told_is_what_its_scheduler_tells_it():
    scheduler = EDMEulerScheduler()
    sigma = torch.tensor(3.0)
    conditioning = Conditioning.of_sigmas(0.5, 0.25)
    noise_of = conditioning.noise / conditioning.signal
    nearest = int((noise_of - sigma).abs().argmin())
    assert float(conditioning.told[nearest]) == pytest.approx(float(scheduler.precondition_noise(sigma)), abs=0.01)


@pytest.mark.parametrize("text", ["{", "{}", '{"_class_name": "ScoreSdeVeScheduler"}',
                                  '{"_class_name": "EDMEulerScheduler", "sigma_data": 0}', "[1]",
                                  '{"_class_name": "DDPMScheduler", "beta_schedule": "sideways"}'])  # fmt: skip
def test_a_damaged_schedule_is_named(tmp_path, text):
    (tmp_path / "scheduler_config.json").write_text(text)
    with pytest.raises(EngineError, match=r"scheduler_config.json does not describe a noise schedule"):
        read_conditioning(tmp_path)
