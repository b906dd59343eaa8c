"""A spectral backbone, pretrained on a scene: its denoiser, how it sees bands, and its file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import DDPMScheduler

from .composites import Composites
from .conditioning import Conditioning
from .device import Device, for_volumes
from .errors import EngineError, reason
from .spectral_unet import SpectralUNet
from .staged_denoiser import StagedDenoiser
from .tensor_files import has_mark, read_tensors, write_tensors

FORMAT = "spectrafilm-scene-backbone"
FORMAT_VERSION = 2

Denoiser = SpectralUNet | StagedDenoiser
# By the key of the method that it was published with.
DENOISERS: dict[str, type[Denoiser]] = {"diffspectralnet": SpectralUNet, "diffcrn": StagedDenoiser}


def noise_schedule() -> Conditioning:
    """500 timesteps, their variances growing linearly from 1e-4 to 0.02.

    Source: DiffSpectralNet, as in the code of SpectralDiff.
    """
    return Conditioning.of_schedule(DDPMScheduler(500, beta_start=1e-4, beta_end=0.02))


def device_of(denoiser: Denoiser, device: Device) -> Device:
    """Where a denoiser runs if `device` is to be used."""
    return for_volumes(device) if isinstance(denoiser, SpectralUNet) else device


@dataclass(frozen=True)
class SceneBackbone:
    """A spectral backbone.

    Attributes:
        denoiser: one of `DENOISERS`.
        composites: one image, whose channels are the denoiser's spectral positions.
        card: how it came about, for people.
        timesteps: at which its features are taken where nothing else is said; empty: those of the method.
    """

    denoiser: Denoiser
    composites: Composites
    card: dict[str, Any]
    timesteps: tuple[int, ...]

    @torch.inference_mode()
    def denoise(self, cube: np.ndarray, timestep: int) -> tuple[np.ndarray, np.ndarray]:
        """A cube (positions, height, width) noised to a timestep, and what the denoiser makes of it in one step."""
        schedule = noise_schedule()
        noise = torch.randn(cube.shape, generator=torch.Generator().manual_seed(0))
        noised = schedule.add_noise(torch.from_numpy(cube), noise, timestep)
        denoised = self.denoiser.eval()(noised[None], schedule.told[timestep])[0]
        return noised.numpy(), denoised.numpy()

    def save(self, path: Path) -> None:
        """Write it to a file."""
        content = {
            "format_version": FORMAT_VERSION,
            "method": next(key for key, kind in DENOISERS.items() if isinstance(self.denoiser, kind)),
            "denoiser": self.denoiser.config,
            "timesteps": self.timesteps,
            "composites": self.composites.to_json(),
            "card": self.card,
        }
        write_tensors(path, FORMAT, self.denoiser.state_dict(), content)

    @staticmethod
    def is_file(path: Path) -> bool:
        """Whether a file holds one."""
        return has_mark(path, FORMAT)

    @classmethod
    def load(cls, path: Path) -> SceneBackbone:
        """Read one from a file.

        Raises:
            EngineError: the file is damaged, or of another version.
        """
        content, tensors = read_tensors(path, FORMAT, FORMAT_VERSION, "backbone", "Pretrain on scene")
        try:
            shape = content["denoiser"]
            # Without memory at first: whatever sizes the file asks for must be those of its tensors.
            with torch.device("meta"):
                sizes = (int(shape[key]) for key in ("in_channels", "width", "sample_size"))
                denoiser = DENOISERS[content["method"]](*sizes)
            denoiser.load_state_dict(tensors, assign=True)
            composites = Composites.from_json(content["composites"])
            if composites.low.shape != (1, shape["in_channels"]):
                raise ValueError(f"{composites.low.shape} channels")
            return cls(denoiser.float(), composites, content["card"], tuple(map(int, content["timesteps"])))
        except (LookupError, TypeError, ValueError, OverflowError, RuntimeError) as error:
            raise EngineError(f"The backbone {path} is damaged ({reason(error)}); pretrain it again.") from error
