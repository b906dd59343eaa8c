"""Which timesteps' features are worth taking: those at which spectra come out of the noise nearly as they were.

Source: DiffCRN (arXiv 2502.19699), section on time steps, which chooses five by pixel-level spectral angles between
clean and denoised spectra. The rule is not known; the one below is chosen here.
"""

from __future__ import annotations

from itertools import takewhile

import numpy as np
import torch
from torch.nn import functional as F

from .composites import Composites
from .conditioning import Conditioning
from .staged_denoiser import StagedDenoiser

COUNT = 5
TOLERANCE = 1.1
CANDIDATES = (0, 2, 5, 10, 15, 20, 30, 40, 50, 60, 80, 100, 120, 150, 200, 250, 300, 350, 400, 450, 499)


@torch.inference_mode()
def spectral_angles(
    denoiser: StagedDenoiser, composites: Composites, cubes: torch.Tensor, schedule: Conditioning
) -> dict[int, float]:
    """Mean angle, in degrees, between the spectra of clean and of denoised cubes by candidate timestep.

    Args:
        cubes: (n, positions, height, width) in -1..1, on the denoiser's device; angles are those of the spectra behind
            them, in the scene's own units.
    """
    low, high = (torch.from_numpy(x[0]).to(cubes.device)[:, None, None] for x in (composites.low, composites.high))
    noise = torch.randn(cubes.shape, generator=torch.Generator().manual_seed(0)).to(cubes.device)
    clean = low + (cubes + 1) / 2 * (high - low)
    angles = {}
    for timestep in CANDIDATES:
        noised = schedule.add_noise(cubes, noise, timestep)
        denoised = low + (denoiser(noised, schedule.told[timestep]).float() + 1) / 2 * (high - low)
        cosines = F.cosine_similarity(denoised, clean, dim=1).clamp(-1, 1)
        angles[timestep] = float(torch.rad2deg(cosines.acos()).mean())
    return angles


def choose_timesteps(angles: dict[int, float]) -> tuple[int, ...]:
    """Five timesteps, evenly from 0 to the last before the angle grows by more than a tenth."""
    fair = list(takewhile(lambda timestep: angles[timestep] <= TOLERANCE * angles[0], angles))
    return tuple(np.linspace(0, max(fair[-1], COUNT - 1), COUNT).round().astype(int).tolist())
