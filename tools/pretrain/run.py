"""One pretraining run: training steps, checkpoints, held-out losses and sample pictures."""

from __future__ import annotations

import json
import logging
import math
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import DDIMScheduler, DDPMScheduler, UNet2DModel
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from spectrafilm.engine.backbone import decoder_modules
from spectrafilm.engine.device import Device

from .episodes import draw_batch, episode_loss, episode_timesteps
from .landscapes import CROPS, LandscapeSampler
from .photographs import CropSampler, load_photographs, split_held_out

LOG = logging.getLogger("pretrain")
HELD_OUT_TIMESTEPS = (0, 50, 100, 200, 400, 600, 800, 950)


@dataclass(frozen=True)
class Settings:
    """What a run is; stored beside its checkpoints and checked when it is resumed.

    `photographs` is a folder of images; without one landscapes are generated. `start` is a folder of weights to
    begin with, in diffusers format and of the same shape; without one the weights are random. The optimizer starts
    anew. `decay_crops` is the number of crops after which the learning rate has come down to zero; 0: it stays.
    `episodes` is the weight of the loss of episodes (see episodes.py) in activations of `episode_layers`; 0: none.
    With `last_level_only` all but the decoder's last level stays as it is at the start.
    """

    photographs: str = ""
    start: str = ""
    crop: int = 64
    channels: tuple[int, ...] = (64, 128, 128, 128)
    attention_from: int = 2
    batch: int = 16
    learning_rate: float = 3e-4
    warmup: int = 200
    ema: float = 0.999
    prediction: str = "sample"
    timestep_power: float = 2.0
    channel_mix: float = 0.5
    seed: int = 0
    decay_crops: int = 0
    episodes: float = 0.0
    episode_layers: tuple[int, ...] = (10,)
    last_level_only: bool = False

    def __post_init__(self) -> None:
        if self.episodes and (self.photographs or self.batch % (2 * CROPS)):
            raise ValueError(f"Episodes take generated landscapes in batches of a multiple of {2 * CROPS} crops.")


def build_unet(settings: Settings) -> UNet2DModel:
    """A U-Net with two residual blocks a level (three in the decoder), attention in the deep levels.

    Four levels give 12 decoder layers. Channel counts are multiples of 32, and the first level has
    64, below which bf16 on a CPU loses to float32.
    """
    levels = len(settings.channels)
    attends = [level >= settings.attention_from for level in range(levels)]
    return UNet2DModel(
        sample_size=settings.crop,
        in_channels=3,
        out_channels=3,
        layers_per_block=2,
        block_out_channels=settings.channels,
        down_block_types=tuple("AttnDownBlock2D" if a else "DownBlock2D" for a in attends),
        up_block_types=tuple("AttnUpBlock2D" if a else "UpBlock2D" for a in reversed(attends)),
        attention_head_dim=32,
        norm_num_groups=32,
    )


class Batches(Dataset):
    """The crops of every step as they are seen and as they are, from nothing but the seed and the step's number.

    After them, where asked for, episodes of the first half of the landscapes.
    """

    def __init__(self, crops: CropSampler | LandscapeSampler, settings: Settings) -> None:
        self.crops = crops
        self.settings = settings

    def __getitem__(self, step: int) -> list[torch.Tensor]:
        rng = np.random.default_rng((self.settings.seed, step))
        if self.settings.episodes and isinstance(self.crops, LandscapeSampler):
            return [torch.from_numpy(x) for x in draw_batch(rng, self.crops, self.settings.batch // CROPS)]
        return [torch.from_numpy(x) for x in self.crops.batch(rng, self.settings.batch)]


class Run:
    """A resumable run in `folder`.

    `folder/state` holds weights, moving average and optimizer of the last checkpoint,
    `folder/backbones/<crops>` the moving average in diffusers format, `folder/log.jsonl` the losses, and
    `folder/crops.png` some of what the run is trained on.
    """

    def __init__(self, folder: Path, settings: Settings, device: Device, compile_model: bool) -> None:
        self.folder = folder
        self.settings = settings
        self.device = device.target
        # Half precision where it is faster.
        self._precision = partial(
            torch.autocast, device.target.type, torch.bfloat16, enabled=device.dtype is not torch.float32
        )
        folder.mkdir(parents=True, exist_ok=True)
        self._check_settings()
        torch.manual_seed(settings.seed)
        self.model = build_unet(settings).to(self.device, memory_format=torch.channels_last)
        self.average = build_unet(settings).to(self.device, memory_format=torch.channels_last)
        if settings.last_level_only:
            _freeze_but_last_level(self.model)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), settings.learning_rate)
        self.scheduler = DDPMScheduler(1000, prediction_type=settings.prediction)
        self.step = 0
        if self._state.exists():
            self._resume()
        else:
            self._begin()
        self.activations: dict[int, torch.Tensor] = {}
        if settings.episodes:
            decoder = decoder_modules(self.model)
            for layer in settings.episode_layers:
                decoder[layer].register_forward_hook(partial(self._keep, layer))
        self.forward = torch.compile(self.model) if compile_model else self.model
        self.crops, self.held_out = self._samplers()
        shown, _ = self.crops.batch(np.random.default_rng(0), 32)
        _save_grid(shown, 4, folder / "crops.png")
        LOG.info("%.1f M parameters, on %s, from step %d", sum(p.numel() for p in self.model.parameters()) / 1e6,
                 device.name, self.step)

    def train(self, until_crops: int, checkpoint_minutes: float, workers: int = 0) -> None:
        """Train until `until_crops` crops were seen, with a checkpoint every few minutes.

        Args:
            workers: processes that draw crops meanwhile; 0: this one draws them.
        """
        saved = time.monotonic()
        losses, started = [], time.monotonic()
        steps = range(self.step, -(-until_crops // self.settings.batch))
        batches = DataLoader(
            Batches(self.crops, self.settings), None, sampler=steps, num_workers=workers,
            pin_memory=self.device.type == "cuda",
        )
        for batch in batches:
            losses.append(self._train_step(batch))
            if self.step % 50 == 0:
                mean = float(torch.stack(losses).mean())
                rate = len(losses) * self.settings.batch / (time.monotonic() - started)
                self._log(loss=mean, crops_per_second=round(rate, 2))
                losses, started = [], time.monotonic()
            if time.monotonic() - saved > 60 * checkpoint_minutes:
                self.checkpoint()
                saved = time.monotonic()
        self.checkpoint()

    def _train_step(self, batch: list[torch.Tensor]) -> torch.Tensor:
        settings = self.settings
        generator = torch.Generator(self.device).manual_seed(self.step + 2**32 * settings.seed)
        seen, clean, *episodes = (x.to(self.device, non_blocking=True) for x in batch)
        noise = torch.randn(clean.shape, generator=generator, device=self.device)
        uniform = torch.rand(len(clean), generator=generator, device=self.device)
        timestep = (1000 * uniform**settings.timestep_power).long().clamp(max=999)
        if episodes:
            landscapes = len(episodes[0])
            timestep[: landscapes * CROPS] = episode_timesteps(landscapes, generator).repeat_interleave(CROPS)
        loss = self._loss(self.forward, seen, clean, noise, timestep).mean()
        if episodes:
            losses = [episode_loss(kept, episodes, settings.crop) for kept in self.activations.values()]
            loss = loss + settings.episodes * torch.stack(losses).mean()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for group in self.optimizer.param_groups:
            group["lr"] = self._learning_rate()
        self.optimizer.step()
        self.step += 1
        # A young average follows closely, so that the first checkpoints are not the random start.
        decay = min(settings.ema, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            torch._foreach_lerp_(list(self.average.parameters()), list(self.model.parameters()), 1 - decay)
        return loss.detach()

    def _keep(self, layer: int, _module: nn.Module, _inputs: tuple, activation: torch.Tensor) -> None:
        self.activations[layer] = activation

    def _learning_rate(self) -> float:
        """Of this step: a linear warm-up, then half a cosine to zero where a decay is set."""
        settings = self.settings
        rate = settings.learning_rate * min(1.0, (self.step + 1) / settings.warmup)
        if settings.decay_crops:
            rate *= 0.5 + 0.5 * math.cos(math.pi * min(1.0, self.step * settings.batch / settings.decay_crops))
        return rate

    def _loss(
        self,
        model: Callable[..., Any],
        seen: torch.Tensor,
        clean: torch.Tensor,
        noise: torch.Tensor,
        timestep: torch.Tensor,
    ) -> torch.Tensor:
        """Mean squared error per crop, (batch,), of what is predicted of `clean` crops from noised `seen` ones."""
        noised = self.scheduler.add_noise(seen, noise, timestep)
        target = {
            "epsilon": lambda: noise,
            "sample": lambda: clean,
            "v_prediction": lambda: self.scheduler.get_velocity(clean, noise, timestep),
        }[self.settings.prediction]()
        noised = noised.contiguous(memory_format=torch.channels_last)
        with self._precision():
            predicted = model(noised, timestep).sample
        return F.mse_loss(predicted.float(), target, reduction="none").mean((1, 2, 3))

    @torch.no_grad()
    def held_out_losses(self, crops: int = 64) -> dict[int, float]:
        """Loss of the moving average per timestep, on the same held-out crops every time."""
        # No step of any seed draws these.
        drawn = self.held_out.batch(np.random.default_rng((0, 0, 1)), crops)
        seen, clean = (torch.from_numpy(x).to(self.device) for x in drawn)
        noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(1)).to(self.device)
        losses = {}
        for timestep in HELD_OUT_TIMESTEPS:
            steps = torch.full((crops,), timestep, device=self.device)
            losses[timestep] = float(self._loss(self.average, seen, clean, noise, steps).mean())
        return losses

    @torch.no_grad()
    def sample_picture(self, path: Path, rows: int = 4, steps: int = 50) -> None:
        """Draw rows x rows images with DDIM from the moving average and save them as one PNG."""
        sampler = DDIMScheduler.from_config(self.scheduler.config)
        sampler.set_timesteps(steps)
        generator = torch.Generator().manual_seed(2)
        size = self.settings.crop
        image = torch.randn((rows * rows, 3, size, size), generator=generator).to(self.device)
        for timestep in sampler.timesteps:
            with self._precision():
                predicted = self.average(image, timestep).sample
            image = sampler.step(predicted.float(), timestep, image).prev_sample
        _save_grid(image.cpu().numpy(), rows, path)

    def checkpoint(self) -> None:
        """Write state, backbone, held-out losses and samples; a kill in between costs nothing."""
        state = {f"model.{k}": v for k, v in self.model.state_dict().items()}
        state |= {f"average.{k}": v for k, v in self.average.state_dict().items()}
        for index, values in self.optimizer.state_dict()["state"].items():
            state |= {f"optimizer.{index}.{k}": v for k, v in values.items()}
        temporary = self.folder / "state.part"
        save_file({k: v.contiguous() for k, v in state.items()}, temporary, {"step": str(self.step)})
        temporary.replace(self._state)
        crops = self.step * self.settings.batch
        self.export(self.folder / "backbones" / f"{crops:08d}")
        self._log(held_out={str(k): round(v, 5) for k, v in self.held_out_losses().items()})
        self.sample_picture(self.folder / f"samples_{crops:08d}.png")

    def export(self, folder: Path) -> None:
        """Write the moving average as a diffusers folder: config, fp16 safetensors, scheduler."""
        temporary = folder.with_suffix(".part")
        shutil.rmtree(temporary, ignore_errors=True)
        half = build_unet(self.settings)
        half.load_state_dict(self.average.state_dict())
        half.half().save_pretrained(temporary)
        self.scheduler.save_pretrained(temporary)
        if folder.exists():
            shutil.rmtree(folder)
        temporary.rename(folder)

    def _samplers(self) -> tuple[CropSampler | LandscapeSampler, CropSampler | LandscapeSampler]:
        """For training and for held-out losses."""
        settings = self.settings
        if not settings.photographs:
            # No landscape is drawn twice.
            return LandscapeSampler(settings.crop), LandscapeSampler(settings.crop)
        training, held_out = split_held_out(load_photographs(Path(settings.photographs), settings.crop))
        LOG.info("%d photographs, %d held out", len(training), len(held_out))
        return CropSampler(training, settings.crop, settings.channel_mix), CropSampler(held_out, settings.crop, 0.0)

    @property
    def _state(self) -> Path:
        return self.folder / "state.safetensors"

    def _begin(self) -> None:
        if self.settings.start:
            start = UNet2DModel.from_pretrained(self.settings.start, low_cpu_mem_usage=False)
            self.model.load_state_dict(start.state_dict())
        self.average.load_state_dict(self.model.state_dict())

    def _resume(self) -> None:
        with safe_open(self._state, "pt") as file:
            self.step = int(file.metadata()["step"])
        state = load_file(self._state, device=str(self.device))
        self.model.load_state_dict(_with_prefix(state, "model."))
        self.average.load_state_dict(_with_prefix(state, "average."))
        optimizer = self.optimizer.state_dict()
        for key, value in _with_prefix(state, "optimizer.").items():
            index, name = key.split(".")
            optimizer["state"].setdefault(int(index), {})[name] = value
        self.optimizer.load_state_dict(optimizer)

    def _check_settings(self) -> None:
        path = self.folder / "settings.json"
        if path.exists() and json.loads(path.read_text()) != json.loads(json.dumps(asdict(self.settings))):
            raise ValueError(f"{self.folder} holds a run with other settings; name another folder.")
        path.write_text(json.dumps(asdict(self.settings), indent=1) + "\n")

    def _log(self, **values: Any) -> None:
        record = {"step": self.step, "crops": self.step * self.settings.batch, **values}
        LOG.info("%s", record)
        with open(self.folder / "log.jsonl", "a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")


def _freeze_but_last_level(model: UNet2DModel) -> None:
    model.requires_grad_(False)
    last = model.up_blocks[-1]
    for module in (last, model.conv_norm_out, model.conv_out):
        module.requires_grad_(True)

    def require_gradients(_module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        # torch 2.13 crashes in the gradients of a group normalization whose own input needs none (CPU, channels last).
        if torch.is_grad_enabled():
            inputs[0].requires_grad_()

    last.register_forward_pre_hook(require_gradients)


def _save_grid(images: np.ndarray, rows: int, path: Path) -> None:
    """Save images (n, 3, size, size) in [-1, 1] side by side as one PNG."""
    count, channels, size, _ = images.shape
    pixels = ((images.clip(-1, 1) + 1) * 127.5).astype(np.uint8)
    grid = pixels.reshape(rows, count // rows, channels, size, size).transpose(0, 3, 1, 4, 2)
    Image.fromarray(np.ascontiguousarray(grid).reshape(rows * size, -1, channels)).save(path)


def _with_prefix(state: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
