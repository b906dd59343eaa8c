"""The denoiser of DiffCRN: stages of spatial and of spectral self-attention, no U-Net.

Source: DiffCRN (arXiv 2502.19699), section on the staged architecture. What it does not say is chosen here: widths,
heads, windows of 8 x 8 pixels, layer normalisation, queries and keys of unit length with a learned sharpness, and where
convolutions stand.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from .spectral_unet import EMBEDDING, sinusoids

WINDOW = 8
HEADS = GROUPS = 4
SPATIAL_STAGES = SPECTRAL_STAGES = 2


class StagedDenoiser(nn.Module):
    """Predicts the clean spectral cube behind a noised one.

    Two stages in which pixels of a window attend to each other (SSAD) are followed by two in which spectral
    channels do (SGSAD). All of them keep rows, columns and channels.

    Args:
        positions: length of the spectral axis.
        width: channels of every stage, a multiple of 4.
        patch: side of the patches whose features it gives, in pixels.
    """

    def __init__(self, positions: int, width: int, patch: int) -> None:
        super().__init__()
        if width % HEADS or width < HEADS:
            raise ValueError(f"{positions} spectral positions of {width} channels")
        self.config = {"in_channels": positions, "sample_size": patch, "width": width}
        self.time = nn.Sequential(nn.Linear(EMBEDDING, width), nn.GELU(), nn.Linear(width, width), nn.GELU())
        self.stem = nn.Conv2d(positions, width, 1)
        attentions = [_WindowAttention] * SPATIAL_STAGES + [_BandAttention] * SPECTRAL_STAGES
        self.decoder = nn.ModuleList(_Stage(width, attention(width)) for attention in attentions)
        self.out = nn.Conv2d(width, positions, 1)

    def stages(self, cubes: torch.Tensor, timestep: torch.Tensor) -> list[torch.Tensor]:
        """Outputs (n, channels, rows, columns) of all stages."""
        steps = timestep.to(cubes.device, torch.float32).expand(len(cubes))
        embedding = self.time(sinusoids(steps).to(self.out.weight.dtype))
        values, found = self.stem(cubes), []
        for stage in self.decoder:
            values = stage(values, embedding)
            found.append(values)
        return found

    def forward(self, cubes: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
        """Cubes (n, positions, height, width), noised to a timestep () or to one for each (n,), without their noise."""
        return self.out(self.stages(cubes, timestep)[-1])


class _Stage(nn.Module):
    """The timestep is added; attention and convolutions add to what comes in."""

    def __init__(self, width: int, attention: nn.Module) -> None:
        super().__init__()
        self.time = nn.Linear(width, width)
        self.attention_norm, self.mixing_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = attention
        self.mixing = nn.Sequential(
            nn.Conv2d(width, 2 * width, 1), nn.Conv2d(2 * width, 2 * width, 3, padding=1, groups=2 * width), nn.GELU(),
            nn.Conv2d(2 * width, width, 1),
        )  # fmt: skip

    def forward(self, values: torch.Tensor, embedding: torch.Tensor) -> torch.Tensor:
        values = values + self.time(embedding)[:, :, None, None]
        values = values + self.attention(_per_pixel(self.attention_norm, values))
        return values + self.mixing(_per_pixel(self.mixing_norm, values))


class _WindowAttention(nn.Module):
    """Spatial self-attention: the pixels of each window of 8 x 8 attend to each other."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.inputs = _separable(width, 3 * width)
        self.out = nn.Conv2d(width, width, 1)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        rows, columns = (side // WINDOW for side in values.shape[-2:])
        split = self.inputs(values).unflatten(1, (3, HEADS, -1)).unflatten(-1, (columns, WINDOW))
        # 3, n, window rows, window columns, heads, pixels, channels of a head
        windows = split.unflatten(4, (rows, WINDOW)).permute(1, 0, 4, 6, 2, 5, 7, 3).flatten(5, 6)
        seen = F.scaled_dot_product_attention(*windows).unflatten(-2, (WINDOW, WINDOW))
        return self.out(seen.permute(0, 3, 6, 1, 4, 2, 5).flatten(1, 2).flatten(-2).flatten(-3, -2))


class _BandAttention(nn.Module):
    """Spectral group self-attention: a token is a whole channel of the patch, and attends to those of its group."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.inputs = _separable(width, 3 * width)
        self.sharpness = nn.Parameter(torch.ones(GROUPS, 1, 1))
        self.out = nn.Conv2d(width, width, 1)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        query, key, value = self.inputs(values).flatten(2).unflatten(1, (3, GROUPS, -1)).unbind(1)
        # Unit vectors, so that patches of any size attend alike.
        query, key = F.normalize(query, dim=-1) * self.sharpness, F.normalize(key, dim=-1)
        seen = torch.softmax(query @ key.transpose(-2, -1), -1) @ value
        return self.out(seen.flatten(1, 2).unflatten(-1, values.shape[-2:]))


def _separable(inputs: int, outputs: int) -> nn.Sequential:
    """A pointwise and a depthwise convolution."""
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1), nn.Conv2d(outputs, outputs, 3, padding=1, groups=outputs))


def _per_pixel(norm: nn.LayerNorm, values: torch.Tensor) -> torch.Tensor:
    """Normalise the channels of every pixel.

    In the number type of the norm's weights: where training computes in bfloat16, a CPU would also add up their
    gradients over all pixels in it (torch 2.13), and lose most of them.
    """
    return norm(values.movedim(1, -1).to(norm.weight.dtype)).movedim(-1, 1)
