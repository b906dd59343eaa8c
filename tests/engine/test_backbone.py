"""Backbones that cannot be used are one sentence."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from synthetic import save_backbone
from training_job import training

from spectrafilm.engine.backbone import Backbone
from spectrafilm.engine.device import choose_device
from spectrafilm.engine.errors import EngineError
from spectrafilm.engine.progress import Recorder
from spectrafilm.engine.runner import run_job


def test_where_a_backbone_is_does_not_depend_on_the_working_folder(backbone_path, progress, monkeypatch):
    for folder, given in ((backbone_path.parent, backbone_path.name), (backbone_path, ".")):
        monkeypatch.chdir(folder)
        backbone = Backbone.load(given, choose_device("cpu", progress))
        assert (backbone.path, backbone.name) == (backbone_path, backbone_path.name)


def test_attention_may_have_the_names_that_diffusers_gave_it_at_first(tmp_path, progress):
    """As in `google/ddpm-cifar10-32`."""
    folder = save_backbone(tmp_path)
    path = folder / "diffusion_pytorch_model.safetensors"
    weights = load_file(path)
    image = torch.rand(1, 3, 32, 32)
    expected = Backbone.load(str(folder), choose_device("cpu", progress)).activations(image, 0, [4, 11])
    for now, then in (("to_q", "query"), ("to_k", "key"), ("to_v", "value"), ("to_out.0", "proj_attn")):
        weights = {name.replace(f".{now}.", f".{then}."): tensor for name, tensor in weights.items()}
    assert any("attentions.1.proj_attn.bias" in name for name in weights)
    save_file(weights, path)
    found = Backbone.load(str(folder), choose_device("cpu", progress)).activations(image, 0, [4, 11])
    torch.testing.assert_close(found, expected)


def change(path, **values):
    """Change a JSON file."""
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda f: (f / "config.json").unlink(), "no config.json"),
        (lambda f: (f / "config.json").write_text("{"), "does not describe a UNet2DModel"),
        (lambda f: (f / "config.json").write_text('"someone/some-model"'), "it is no JSON object"),
        (lambda f: change(f / "config.json", norm_num_groups=0), "does not describe a UNet2DModel"),
        (lambda f: change(f / "config.json", block_out_channels=[]), "does not describe a UNet2DModel"),
        # Of 10^14 bytes.
        (lambda f: change(f / "config.json", block_out_channels=[2**20] * 4), "do not fit their config.json"),
        (lambda f: change(f / "config.json", act_fn=None), "does not describe a UNet2DModel"),
        (lambda f: change(f / "config.json", sample_size=7), "images of 7 pixels, which cannot be halved"),
        (lambda f: change(f / "config.json", sample_size=2**20), "takes images of 1048576 pixels; choose one that"),
        # Whose outline alone would take for ever.
        (lambda f: change(f / "config.json", layers_per_block=10**9), "has more layers than there are weights"),
        (lambda f: change(f / "config.json", norm_eps="small"), r"cannot be run \(.*norm.*\); choose another"),
        (lambda f: change(f / "scheduler_config.json", num_train_timesteps=10**9), "it has 1000000000 timesteps"),
        (lambda f: change(f / "scheduler_config.json", num_train_timesteps=0), "does not describe a noise schedule"),
        (lambda f: (f / "diffusion_pytorch_model.safetensors").unlink(), "has no weights"),
        (lambda f: (f / "diffusion_pytorch_model.safetensors").write_bytes(b"x" * 50), "are damaged"),
        (lambda f: (f / "scheduler_config.json").unlink(), "no scheduler_config.json"),
        (lambda f: shutil.copy(save_backbone(f.parent / "wide", block_out_channels=(16, 16, 16, 16))
                               / "diffusion_pytorch_model.safetensors", f), "do not fit their config.json"),
    ],
)  # fmt: skip
def test_unusable_backbones_are_one_sentence(scene_path, polygons_path, tmp_path, spoil, sentence):
    folder = save_backbone(tmp_path / "backbone")
    spoil(folder)
    with pytest.raises(EngineError, match=sentence):
        run_job(training(scene_path, polygons_path, folder, tmp_path), Recorder())
    assert not list(tmp_path.glob("*.safetensors"))
    assert not list(tmp_path.glob("*.html"))
