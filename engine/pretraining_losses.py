"""What the denoisers of scene-pretrained backbones learn from.

Both predict the clean cube instead of the noise, as their authors have it: the last layers of one that predicts noise
hold noise, and told classes apart far worse than untrained ones do.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from .spectral_unet import SpectralUNet
from .staged_denoiser import StagedDenoiser

EMBEDDING = 32
TEMPERATURE = 0.2
CONTRAST = 0.001
PIXELS = 32


class AbsoluteError(nn.Module):
    """Mean absolute error of the clean cubes.

    Source: SpectralDiff, the code, where the error is that of the noise.
    """

    views = 1

    def forward(
        self, denoiser: SpectralUNet, noised: torch.Tensor, told: torch.Tensor, clean: torch.Tensor
    ) -> torch.Tensor:
        """The loss of cubes (n, positions, height, width) noised to timesteps (n,)."""
        return (denoiser(noised, told).float() - clean).abs().mean()


class ContrastiveError(nn.Module):
    """Logarithmic absolute error (LAE) and a contrast of pixels in two noised views of every cube.

    The same pixel in the other view should be more alike than pixels of other cubes (NT-Xent). Pixels of its own cube,
    which often show its own class, are not compared.

    Source: DiffCRN (arXiv 2502.19699), section on losses, which names both. Their formulas are not known: log(1 + |e|)
    and the contrast, its weight and temperature are chosen here. The paper's error penalises larger discrepancies
    dynamically, ours counts them less; -log(1 - |e| / (1 + max |e|)), which counts them more, was slightly worse.
    """

    views = 2

    def __init__(self, width: int) -> None:
        super().__init__()
        self.head = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, EMBEDDING))

    def forward(
        self, denoiser: StagedDenoiser, noised: torch.Tensor, told: torch.Tensor, clean: torch.Tensor
    ) -> torch.Tensor:
        """The loss of cubes (2 n, positions, height, width), the second half of which are views of the first."""
        last = denoiser.stages(noised, told)[-1]
        error = torch.log1p((denoiser.out(last).float() - clean).abs()).mean()
        pixels = last.float().flatten(2)
        cubes = len(pixels) // 2
        chosen = torch.stack([torch.randperm(pixels.shape[2])[:PIXELS] for _ in range(cubes)]).to(pixels.device)
        chosen = chosen.repeat(2, 1)[:, None].expand(-1, pixels.shape[1], -1)
        embeddings = F.normalize(self.head(pixels.gather(2, chosen).transpose(1, 2).flatten(0, 1)), dim=1)
        cube_of = torch.arange(cubes, device=pixels.device).repeat_interleave(PIXELS).repeat(2)
        return error + CONTRAST * contrast(embeddings, cube_of)


def contrast(embeddings: torch.Tensor, cube_of: torch.Tensor) -> torch.Tensor:
    """NT-Xent of unit vectors (2 n, k), of which the i-th and the (n + i)-th belong together.

    Args:
        cube_of: (2 n,) the cube of each, which is not compared with others of its cube.
    """
    count = len(embeddings)
    partner = torch.arange(count, device=embeddings.device).roll(count // 2)
    compared = cube_of[:, None] != cube_of
    compared[torch.arange(count), partner] = True
    alike = (embeddings @ embeddings.T / TEMPERATURE).masked_fill(~compared, -torch.inf)
    return F.cross_entropy(alike, partner)
