"""A frozen diffusion U-Net whose decoder layers give spatial features.

A backbone is a folder in diffusers format: `config.json` of a `UNet2DModel`, its weights as
safetensors, and `scheduler_config.json`; the sub-folders `unet` and `scheduler` of a pipeline will do.
Or it is one file: of OpenAI's guided-diffusion or improved-diffusion, or of a denoiser that `pretrainscene` pretrained
on a scene, which sees all bands at once instead of three-channel composites.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import UNet2DModel
from diffusers.utils import logging as diffusers_logging
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from . import openai_unet
from .backbone_files import WEIGHTS
from .composites import Composites
from .conditioning import Conditioning, read_conditioning
from .device import Device
from .digests import sha256_of
from .errors import EngineError, reason
from .json_text import parse_json
from .scene_backbone import Denoiser, SceneBackbone, device_of, noise_schedule

# Its warnings speak to people who write pipelines, not to those who map scenes.
diffusers_logging.set_verbosity_error()

# Parts of attention as diffusers named them before May 2023, `google/ddpm-cifar10-32` among others.
FORMER_NAMES = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}
_FORMER = re.compile(rf"(?<=\.)({'|'.join(FORMER_NAMES)})(?=\.(weight|bias)$)")
# More would not fit into memory, and no backbone has them.
LARGEST_PATCH = 1024
BUNDLED = Path(__file__).resolve().parent.parent / "resources" / "backbones" / "landscapes64"


@dataclass(frozen=True)
class DecoderLayer:
    """One decoder layer: channels of its activation and patch pixels per activation pixel."""

    channels: int
    stride: int


class _Reached(Exception):
    """The deepest layer asked for has run; the rest of the U-Net is not needed."""


class Backbone:
    """A loaded U-Net.

    Attributes:
        name: name of its folder or file.
        path: the folder or file.
        sha256: digest of configuration and weights, which models remember.
        patch: side of the images it was trained on, in pixels.
        channels: number of channels of these images.
        composites: what it was pretrained to see, or None where it takes any three-channel composites.
        timesteps: number of timesteps of its noise schedule.
        best_timesteps: those at which its features are best taken, where its pretraining chose some.
        conditioning: how images are noised for it.
        layers: its decoder layers; layer 0 is the deepest, as in the paper.
    """

    def __init__(
        self, path: Path, unet: UNet2DModel | Denoiser, conditioning: Conditioning, sha256: str, device: Device,
        composites: Composites | None = None, best_timesteps: tuple[int, ...] = (),
    ) -> None:  # fmt: skip
        # Models remember it, and are used in other folders than they were made in.
        self.path = path.absolute()
        self.name = self.path.name
        self.sha256 = sha256
        self.device = device
        self.patch = int(unet.config["sample_size"])
        if not 1 <= self.patch <= LARGEST_PATCH:
            raise EngineError(
                f"The backbone {path} takes images of {self.patch} pixels; choose one that takes at most "
                f"{LARGEST_PATCH}."
            )
        self.channels = int(unet.config["in_channels"])
        self.composites = composites
        self.timesteps = len(conditioning)
        self.best_timesteps = best_timesteps
        self.conditioning = conditioning
        self._unet = unet.eval().requires_grad_(False)
        if isinstance(unet, UNet2DModel):
            unet.to(device.target, device.dtype, memory_format=torch.channels_last)
            # A class-conditional U-Net is run without a class: no embedding is added. The authors of GeoDiffNet draw
            # a class at random each time, which could not be repeated in mapping.
            unet.class_embedding = None
            self._modules = decoder_modules(unet)
        else:
            unet.to(device.target, device.dtype)
            self._modules = list(unet.decoder)
        try:
            self.layers = self._probe()
        except torch.OutOfMemoryError:
            raise
        except (TypeError, ValueError, ArithmeticError, RuntimeError) as error:
            raise EngineError(f"The backbone {path} cannot be run ({reason(error)}); choose another.") from error

    @classmethod
    def load(cls, path: str, device: Device) -> Backbone:
        """Load a backbone from its folder or file; an empty path stands for the bundled one.

        Raises:
            EngineError: something is missing, damaged, or does not fit together.
        """
        folder = Path(path) if path else BUNDLED
        if folder.is_file():
            if SceneBackbone.is_file(folder):
                found = SceneBackbone.load(folder)
                digest = sha256_of(folder)
                device = device_of(found.denoiser, device)
                return cls(
                    folder, found.denoiser, noise_schedule(), digest, device, found.composites, found.timesteps
                )
            if folder.suffix in openai_unet.SUFFIXES and not (folder.parent / "config.json").is_file():
                unet, conditioning = openai_unet.read_openai_unet(folder)
                return cls(folder, unet, conditioning, sha256_of(*openai_unet.deciding_files(folder)), device)
            folder = folder.parent
            if folder.name == "unet" and (folder.parent / "scheduler").is_dir():
                folder = folder.parent
        nested = (folder / "unet").is_dir()
        weights_folder = folder / "unet" if nested else folder
        config_path = weights_folder / "config.json"
        if not config_path.is_file():
            raise EngineError(f"{path or folder} is no backbone (no config.json); choose a folder in diffusers "
                "format, or a checkpoint of guided-diffusion or improved-diffusion.")
        weights_path = _weights_file(weights_folder)
        try:
            config = parse_json(config_path.read_text(encoding="utf-8"))
            if not isinstance(config, dict):  # a text would be looked for on the hub
                raise TypeError("it is no JSON object")
            # Without memory for weights at first: whatever sizes it asks for must be those of the file.
            weights = {_FORMER.sub(lambda m: FORMER_NAMES[m[1]], k): v for k, v in load_file(weights_path).items()}
            if config.get("layers_per_block", 0) > len(weights):
                raise ValueError("it has more layers than there are weights")
            with torch.device("meta"):
                outline = UNet2DModel.from_config(config)
        except SafetensorError as error:
            raise EngineError(f"The weights {weights_path} are damaged ({reason(error)}); copy them again.") from error
        except Exception as error:  # diffusers passes on whatever its modules raise
            raise EngineError(f"{config_path} does not describe a UNet2DModel ({reason(error)}).") from error
        _check_weights(outline, weights, weights_path)
        unet = UNet2DModel.from_config(config)
        unet.load_state_dict(weights)
        if unet.config["in_channels"] != 3 or not isinstance(unet.config["sample_size"], int):
            raise EngineError(f"The backbone {folder} does not take square three-channel images; choose another.")
        size, halved = unet.config["sample_size"], len(unet.config["block_out_channels"]) - 1
        if size < 1 or size % 2**halved:
            raise EngineError(f"{config_path} says images of {size} pixels, which cannot be halved {halved} times.")
        conditioning = read_conditioning(folder / "scheduler" if nested else folder)
        return cls(folder, unet, conditioning, sha256_of(config_path, weights_path), device)

    def check_layers(self, layers: Sequence[int]) -> None:
        """Raise EngineError unless every layer exists."""
        for layer in layers:
            if not 0 <= layer < len(self.layers):
                raise EngineError(
                    f"The backbone {self.name} has no decoder layer {layer}; it has the layers 0 (deepest) to "
                    f"{len(self.layers) - 1}."
                )

    def check_timesteps(self, timesteps: Sequence[int]) -> None:
        """Raise EngineError unless every timestep lies within the noise schedule."""
        for timestep in timesteps:
            if not 0 <= timestep < self.timesteps:
                raise EngineError(
                    f"The backbone {self.name} has no timestep {timestep}; choose from 0 to {self.timesteps - 1}."
                )

    @torch.inference_mode()
    def activations(self, images: torch.Tensor, timestep: int, layers: Sequence[int]) -> list[torch.Tensor]:
        """Activations of some decoder layers in one pass that ends with the last of them.

        Args:
            images: (n, channels, patch, patch) on the backbone's device, noised to `timestep`.
            timestep: of the backbone's schedule.
            layers: decoder layers, 0 is the deepest.

        Returns:
            For each layer (n, its channels, patch / stride, patch / stride), in the backbone's number type; those of
            a spectral U-Net are its channels at every spectral position.
        """
        seen: dict[int, torch.Tensor] = {}
        last = max(layers)

        def keep(layer: int) -> Any:
            def hook(_module: nn.Module, _inputs: Any, output: torch.Tensor) -> None:
                # A spectral U-Net has an axis of spectral positions after that of channels.
                seen[layer] = output.flatten(1, -3)
                if layer == last:
                    raise _Reached

            return hook

        handles = [self._modules[layer].register_forward_hook(keep(layer)) for layer in set(layers)]
        try:
            images = images.to(self.device.dtype).contiguous(memory_format=torch.channels_last)
            self._unet(images, self.conditioning.told[timestep])
        except _Reached:
            pass
        finally:
            for handle in handles:
                handle.remove()
        return [seen[layer] for layer in layers]

    def _probe(self) -> tuple[DecoderLayer, ...]:
        image = torch.zeros(1, self.channels, self.patch, self.patch, device=self.device.target)
        outputs = self.activations(image, 0, range(len(self._modules)))
        return tuple(DecoderLayer(o.shape[1], self.patch // o.shape[2]) for o in outputs)


def decoder_modules(unet: UNet2DModel) -> list[nn.Module]:
    """The modules whose outputs are decoder layers 0, 1, ...: residual block, its attention, or the upsampler."""
    modules = []
    for block in unet.up_blocks:
        attentions = getattr(block, "attentions", None) or [None] * len(block.resnets)
        for index, (resnet, attention) in enumerate(zip(block.resnets, attentions, strict=True)):
            upsamplers = getattr(block, "upsamplers", None)
            is_last = index == len(block.resnets) - 1
            modules.append(
                upsamplers[-1] if is_last and upsamplers else attention if attention is not None else resnet
            )
    return modules


def _weights_file(folder: Path) -> Path:
    for name in WEIGHTS:
        if (folder / name).is_file():
            return folder / name
    raise EngineError(f"The backbone {folder} has no weights (diffusion_pytorch_model.safetensors).")


def _check_weights(unet: UNet2DModel, weights: dict[str, torch.Tensor], path: Path) -> None:
    expected = {name: tensor.shape for name, tensor in unet.state_dict().items()}
    found = {name: tensor.shape for name, tensor in weights.items()}
    wrong = sorted(n for n in expected.keys() | found.keys() if expected.get(n) != found.get(n))
    if wrong:
        raise EngineError(
            f"The weights {path} do not fit their config.json ({len(wrong)} tensors differ, the first is "
            f"{wrong[0]}); the files belong to different backbones."
        )
    broken = [name for name, tensor in weights.items() if not torch.isfinite(tensor).all()]
    if broken:
        raise EngineError(f"The weights {path} hold numbers that are not finite ({broken[0]}); copy them again.")
