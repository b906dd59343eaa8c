"""Backbones that cannot be used are one sentence."""

from __future__ import annotations

import json
import shutil

import pytest
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
