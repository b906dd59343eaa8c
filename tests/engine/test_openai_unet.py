"""Checkpoints of guided-diffusion and improved-diffusion give the activations that they gave at home."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from openai_reference import ReferenceUnet
from safetensors import safe_open
from safetensors.torch import save_file

from spectrafilm.engine.backbone import Backbone, decoder_modules
from spectrafilm.engine.device import choose_device
from spectrafilm.engine.errors import EngineError
from spectrafilm.engine.openai_unet import GUIDED, IMPROVED, Architecture, convert, read_openai_unet
from spectrafilm.engine.progress import Progress

FIXTURES = Path(os.environ.get("SPECTRAFILM_FIXTURES", Path(__file__).parents[3] / "shared" / "fixtures"))
SMALL = {"image_size": 16, "num_heads": 2, "num_head_channels": -1, "diffusion_steps": 100}


@torch.inference_mode()
def activations(unet, image, timestep, label):
    """Of every decoder layer, then the output."""
    seen = []
    for module in decoder_modules(unet):
        module.register_forward_hook(lambda _module, _inputs, output: seen.append(output))
    output = unet(image, timestep, class_labels=label).sample
    return [*seen, output]


def largest_difference(unet, image, timestep, label, expected):
    pairs = zip(activations(unet, image, timestep, label), expected, strict=True)
    return max(float((a - b).abs().max() / b.abs().max()) for a, b in pairs)


@pytest.mark.parametrize("reference", [
    ReferenceUnet(classes=10),
    ReferenceUnet(residual_resampling=False, new_order=False),
    ReferenceUnet((32, 64, 64), 3, (False, True, True), new_order=False, classes=3),
    ReferenceUnet((32, 32, 96), 1, (False, False, True), residual_resampling=False, scale_shift=False),
], ids=["guided", "improved", "guided, old order", "added timestep"])  # fmt: skip
def test_every_decoder_layer_is_that_of_the_published_network(reference):
    torch.manual_seed(0)
    image, timestep = torch.randn(2, 3, 16, 16), torch.tensor([0, 50])
    label = torch.tensor([1, 2]) if reference.classes else None
    expected = reference(image, timestep, label)
    flags = replace(GUIDED, **SMALL, use_new_attention_order=reference.new_order)
    unet = convert(reference.weights, Architecture.of(reference.weights), flags)
    assert largest_difference(unet, image, timestep, label, expected) < 1e-4


@pytest.mark.parametrize(("reference", "flags"), [
    (ReferenceUnet((64, 192), 1, heads=3), {}),
    (ReferenceUnet((64, 192), 1, heads=3, new_order=False), {"use_new_attention_order": False}),
    (ReferenceUnet((64, 192), 1, heads=4, new_order=False, residual_resampling=False), {}),
], ids=["guided", "guided, as of 128 pixels and more", "improved"])  # fmt: skip
def test_heads_are_those_of_the_published_networks_where_no_flag_says_otherwise(tmp_path, reference, flags):
    """64 channels each in guided-diffusion, four in improved-diffusion, whose order is the old one."""
    torch.manual_seed(0)
    image, timestep = torch.randn(2, 3, 16, 16), torch.tensor([0, 50])
    expected = reference(image, timestep)
    torch.save(reference.weights, tmp_path / "m.pt")
    (tmp_path / "m.json").write_text(json.dumps({"image_size": 16, **flags}))
    unet, _ = read_openai_unet(tmp_path / "m.pt")
    assert largest_difference(unet, image, timestep, None, expected) < 1e-4


@pytest.mark.parametrize("name", ["adm_small", "improved_small"])
@pytest.mark.skipif(not FIXTURES.is_dir(), reason=f"{FIXTURES} is not there")
def test_the_networks_of_the_original_code_are_reproduced(name):
    with safe_open(FIXTURES / f"{name}.safetensors", "pt") as file:
        config = json.loads(file.metadata()["config"])
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    weights = {k.removeprefix("weights."): v for k, v in tensors.items() if k.startswith("weights.")}
    flags = replace(GUIDED if config["ups"] else IMPROVED, image_size=config["img"],
                    num_heads=1, num_head_channels=config["heads_c"])  # fmt: skip
    unet = convert(weights, Architecture.of(weights), flags)
    expected = [tensors[f"out_{k}"] for k in range(len(decoder_modules(unet)))] + [tensors["final"]]
    label = tensors.get("input.y") if config["cls"] else None
    assert largest_difference(unet, tensors["input.x"], tensors["input.t"], label, expected) < 1e-4


@pytest.fixture(params=[".pt", ".safetensors"])
def checkpoint(request, tmp_path):
    torch.manual_seed(0)
    reference = ReferenceUnet(classes=10)
    reference(torch.zeros(1, 3, 16, 16), torch.tensor([0]), torch.tensor([0]))
    path = tmp_path / f"small{request.param}"
    save_file(reference.weights, path) if request.param == ".safetensors" else torch.save(reference.weights, path)
    path.with_suffix(".json").write_text(json.dumps({**SMALL, "class_cond": True}))
    return path


def test_a_checkpoint_is_a_backbone(checkpoint):
    backbone = Backbone.load(str(checkpoint), choose_device("cpu", Progress()))
    assert (backbone.name, backbone.patch, backbone.timesteps) == (checkpoint.name, 16, 100)
    assert [layer.channels for layer in backbone.layers] == [64, 64, 64, 32, 32, 32]
    assert [layer.stride for layer in backbone.layers] == [2, 2, 1, 1, 1, 1]
    digest = backbone.sha256
    checkpoint.with_suffix(".json").write_text(json.dumps({**SMALL, "diffusion_steps": 200}))
    assert Backbone.load(str(checkpoint), choose_device("cpu", Progress())).sha256 != digest


def test_the_cosine_schedule_has_the_published_noise_levels(checkpoint):
    checkpoint.with_suffix(".json").write_text(json.dumps({**SMALL, "diffusion_steps": 1000}))
    _, conditioning = read_openai_unet(checkpoint)
    assert conditioning.noise[[0, 50, 100]].tolist() == pytest.approx([0.0064, 0.0913, 0.169], rel=0.01)


def test_a_linear_schedule_of_more_steps_ends_in_the_same_noise(checkpoint):
    """As `get_named_beta_schedule` of either repository scales it."""
    noise = {}
    for steps in (1000, 4000):
        flags = {**SMALL, "diffusion_steps": steps, "noise_schedule": "linear"}
        checkpoint.with_suffix(".json").write_text(json.dumps(flags))
        _, conditioning = read_openai_unet(checkpoint)
        noise[steps] = conditioning.noise[[steps // 20, steps // 10, steps - 1]].tolist()
    assert noise[1000] == pytest.approx([0.172, 0.322, 1.0], abs=0.003)
    assert noise[4000] == pytest.approx(noise[1000], abs=0.003)


@pytest.mark.parametrize(("classes", "told"), [(None, 50), (10, 200)])
def test_improved_diffusion_is_told_timesteps_of_a_thousand_but_with_classes(tmp_path, classes, told):
    """As the defaults and flags of its repository say."""
    torch.manual_seed(0)
    reference = ReferenceUnet(classes=classes, residual_resampling=False)
    reference(torch.zeros(1, 3, 16, 16), torch.tensor([0]), torch.tensor([0]) if classes else None)
    save_file(reference.weights, tmp_path / "improved.safetensors")
    (tmp_path / "improved.json").write_text(json.dumps({"image_size": 16}))
    _, conditioning = read_openai_unet(tmp_path / "improved.safetensors")
    assert len(conditioning) == 4000
    assert float(conditioning.told[200]) == told


def test_damaged_and_foreign_files_are_refused(checkpoint, tmp_path):
    checkpoint.write_bytes(checkpoint.read_bytes()[:1000])
    with pytest.raises(EngineError, match="cannot be read"):
        read_openai_unet(checkpoint)
    foreign = tmp_path / "foreign.safetensors"
    save_file({"layer.weight": torch.zeros(2)}, foreign)
    with pytest.raises(EngineError, match="holds no U-Net of guided-diffusion"):
        read_openai_unet(foreign)


@pytest.mark.parametrize("content", [{"epoch": 1}, torch.nn.Linear(2, 2)], ids=["figures", "a whole network"])
def test_a_file_of_other_things_than_weights_is_refused_without_advice_on_running_it(tmp_path, content):
    torch.save(content, tmp_path / "other.pt")
    with pytest.raises(EngineError, match=r"other\.pt holds something else than the weights of a network") as told:
        read_openai_unet(tmp_path / "other.pt")
    assert "weights_only" not in str(told.value)


def test_a_checkpoint_that_lacks_weights_is_refused(tmp_path):
    reference = ReferenceUnet()
    reference(torch.zeros(1, 3, 16, 16), torch.tensor([0]))
    del reference.weights["middle_block.1.norm.bias"]
    save_file(reference.weights, tmp_path / "part.safetensors")
    with pytest.raises(EngineError, match="do not form a whole U-Net"):
        read_openai_unet(tmp_path / "part.safetensors")


@pytest.mark.parametrize(("name", "spoil", "sentence"), [
    ("out.2.weight", lambda t: t * float("nan"), r"not finite \(out.2.weight\)"),
    # Of which the file holds a single number.
    ("out.2.weight", lambda t: torch.ones(()).expand(10**9, 10**9), "something else than the weights"),
    ("out.2.weight", lambda t: t.to_sparse(), "something else than the weights"),
    ("middle_block.1.qkv.bias", lambda t: t[0], "do not form a whole U-Net"),
    # Which would be looked for block by block.
    ("output_blocks.999999999.0.weight", lambda t: torch.ones(1), "holds no U-Net of guided-diffusion"),
])  # fmt: skip
def test_weights_of_no_network_are_refused_before_they_take_memory_or_time(tmp_path, name, spoil, sentence):
    reference = ReferenceUnet()
    reference(torch.zeros(1, 3, 16, 16), torch.tensor([0]))
    torch.save({**reference.weights, name: spoil(reference.weights.get(name))}, tmp_path / "odd.pt")
    with pytest.raises(EngineError, match=sentence):
        read_openai_unet(tmp_path / "odd.pt")


@pytest.mark.parametrize("flags", [
    {"noise_schedule": "sideways"}, {"num_heads": "2"}, {"diffusion_steps": 0}, {"diffusion_steps": None},
    {"diffusion_steps": 10**9},
    {"image_size": 0}, {"image_size": 15}, {"num_head_channels": 128}, {"num_heads": 0}, {"num_heads": 3},
], ids=str)  # fmt: skip
def test_flags_that_make_no_sense_are_refused(checkpoint, flags):
    checkpoint.with_suffix(".json").write_text(json.dumps({**SMALL, **flags}))
    with pytest.raises(EngineError, match=r"does not hold the flags|channels cannot have \d heads|cannot be halved"):
        read_openai_unet(checkpoint)
