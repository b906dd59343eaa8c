"""One-step noising, and what the U-Net is told of it, by the kind of diffusion it was trained with."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import DDPMScheduler

from .errors import EngineError, reason
from .json_text import parse_json

# Schedulers of models that work with noise levels sigma instead of timesteps, and what the logarithm of sigma is
# multiplied by when such a model is told it.
SIGMA_SCHEDULERS = {
    "CMStochasticIterativeScheduler": 250.0, "EDMEulerScheduler": 0.25, "EDMDPMSolverMultistepScheduler": 0.25,
    # What the author of `dg845/diffusers-cm_edm_imagenet64_ema` wrote for it; "edm" as `precondition_type` is 0.25.
    "KarrasEDMScheduler": 250.0,
}  # fmt: skip
# Schedulers of models that work with timesteps; what they are sampled with does not matter here.
TIMESTEP_SCHEDULERS = (
    "DDPM", "DDPMParallel", "DDIM", "DDIMParallel", "PNDM", "DPMSolverMultistep", "DPMSolverSinglestep", "DPMSolverSDE",
    "DEISMultistep", "UniPCMultistep", "EulerDiscrete", "EulerAncestralDiscrete", "HeunDiscrete", "LMSDiscrete",
    "KDPM2Discrete", "KDPM2AncestralDiscrete", "SASolver",
)  # fmt: skip
# More than any model was trained with.
MOST_TIMESTEPS = 100_000


@dataclass(frozen=True)
class Conditioning:
    """For every timestep t, the input signal[t] x_0 + noise[t] eps, and told[t], the timestep given to the U-Net."""

    signal: torch.Tensor
    noise: torch.Tensor
    told: torch.Tensor

    def __len__(self) -> int:
        return len(self.told)

    def add_noise(self, images: torch.Tensor, noise: torch.Tensor, timestep: int) -> torch.Tensor:
        """What the U-Net sees of images in [-1, 1] at a timestep, with standard normal `noise`."""
        return self.signal[timestep] * images + self.noise[timestep] * noise

    @classmethod
    def of_schedule(cls, scheduler: DDPMScheduler, told: int = 0) -> Conditioning:
        """Denoising diffusion: x_t = sqrt(abar_t) x_0 + sqrt(1 - abar_t) eps.

        Args:
            told: how many timesteps the U-Net believes there are; 0 for as many as there are.
        """
        abar = scheduler.alphas_cumprod
        timesteps = torch.arange(len(abar), dtype=torch.float32)
        return cls(abar.sqrt(), (1 - abar).sqrt(), timesteps * (told or len(abar)) / len(abar))

    @classmethod
    def of_sigmas(cls, sigma_data: float, factor: float) -> Conditioning:
        """EDM and consistency models: c_in (x_0 + sigma eps), told factor * ln sigma.

        c_in = 1 / sqrt(sigma^2 + sigma_data^2) brings the input to a standard deviation of 1.
        Timestep t stands for the sigma that makes as much noise as timestep t of 1000 of the cosine schedule.

        Source: Karras et al. (2022), Elucidating the design space of diffusion-based generative
        models, table 1, where the factor is 1/4; Song et al. (2023), Consistency models, the code, where it is 250.
        """
        abar = DDPMScheduler(1000, beta_schedule="squaredcos_cap_v2").alphas_cumprod
        sigma = ((1 - abar) / abar).sqrt()
        scale = (sigma**2 + sigma_data**2).rsqrt()
        return cls(scale, scale * sigma, factor * sigma.log())


def read_conditioning(folder: Path) -> Conditioning:
    """The conditioning that `scheduler_config.json` in a folder describes.

    Raises:
        EngineError: it is missing or describes none.
    """
    path = folder / "scheduler_config.json"
    if not path.is_file():
        raise EngineError(f"The backbone {folder} has no scheduler_config.json, so its noise schedule is unknown.")
    try:
        config = parse_json(path.read_text(encoding="utf-8"))
        name = str(config.get("_class_name"))
        if name in SIGMA_SCHEDULERS:
            sigma_data = float(config.get("sigma_data", 0.5))
            if not (math.isfinite(sigma_data) and sigma_data > 0):
                raise ValueError(f"sigma_data {sigma_data}")
            factor = 0.25 if config.get("precondition_type") == "edm" else SIGMA_SCHEDULERS[name]
            return Conditioning.of_sigmas(sigma_data, factor)
        if name.removesuffix("Scheduler") not in TIMESTEP_SCHEDULERS:
            raise ValueError(f"'{name}' is no scheduler of DDPM, EDM or consistency models that is known here")
        if not 1 <= (steps := config.get("num_train_timesteps", 1000)) <= MOST_TIMESTEPS:
            raise ValueError(f"it has {steps} timesteps")
        return Conditioning.of_schedule(DDPMScheduler.from_config(config))
    except (ValueError, TypeError, AttributeError, OverflowError, RuntimeError) as error:
        raise EngineError(f"{path} does not describe a noise schedule ({reason(error)}).") from error
