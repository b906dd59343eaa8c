"""The denoiser of DiffSpectralNet: a three-dimensional U-Net over bands, rows and columns.

Source: DiffSpectralNet (arXiv 2312.12441), section on unsupervised pretraining; layers, kernels and strides from the
code of SpectralDiff, its predecessor.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import nn

LEVELS = 3
EMBEDDING = 32
LONGEST_PERIOD = 10_000.0
# The kernel that resamples the spectral axis spans 4 positions and 5 x 5 pixels.
KERNEL, STRIDE, PADDING = (4, 5, 5), (2, 1, 1), (1, 2, 2)


class SpectralUNet(nn.Module):
    """Predicts the clean spectral cube behind a noised one.

    Each of three levels doubles the channels and halves the spectral axis; rows and columns keep their number. The
    deepest block of the decoder sees the bottleneck twice, as its own skip connection, as published.

    Args:
        positions: length of the spectral axis, a multiple of 8.
        width: channels before the first level; 16 in the code.
        patch: side of the patches whose features it gives, in pixels.
    """

    def __init__(self, positions: int, width: int, patch: int) -> None:
        super().__init__()
        if positions < 2**LEVELS or positions % 2**LEVELS or width < 1:
            raise ValueError(f"{positions} spectral positions of {width} channels")
        self.config = {"in_channels": positions, "sample_size": patch, "width": width}
        widths = [width * 2**level for level in range(LEVELS + 1)]
        self.stem = nn.Conv3d(1, width, 3, padding=1)
        self.time = nn.Sequential(nn.Linear(EMBEDDING, EMBEDDING), nn.ReLU())
        self.down = nn.ModuleList(_Block(outer, inner, nn.Conv3d) for outer, inner in pairwise(widths))
        self.up = nn.ModuleList(
            _Block(2 * inner, outer, nn.ConvTranspose3d) for inner, outer in pairwise(widths[::-1])
        )
        self.out = nn.Conv3d(width, 1, 1)

    @property
    def decoder(self) -> list[nn.Module]:
        """Modules whose outputs are decoder layers 0 to 3: the bottleneck, then the blocks of the decoder.

        The authors take what goes into these blocks, skip connections included.
        """
        return [self.down[-1], *self.up]

    def forward(self, cubes: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
        """Cubes (n, positions, height, width), noised to a timestep () or to one for each (n,), without their noise."""
        steps = timestep.to(cubes.device, torch.float32).expand(len(cubes))
        embedding = self.time(sinusoids(steps).to(self.out.weight.dtype))
        values = self.stem(cubes[:, None].contiguous(memory_format=torch.channels_last_3d))
        skipped = []
        for block in self.down:
            values = block(values, embedding)
            skipped.append(values)
        for block in self.up:
            values = block(torch.cat([values, skipped.pop()], 1), embedding)
        return self.out(values)[:, 0]


class _Block(nn.Module):
    """Two convolutions, with the timestep added between them, and one that resamples the spectral axis."""

    def __init__(self, inputs: int, outputs: int, resampling: type[nn.Conv3d] | type[nn.ConvTranspose3d]) -> None:
        super().__init__()
        self.time = nn.Linear(EMBEDDING, outputs)
        self.first = nn.Conv3d(inputs, outputs, 3, padding=1)
        self.first_norm = nn.BatchNorm3d(outputs)
        self.second = nn.Conv3d(outputs, outputs, 3, padding=1)
        self.second_norm = nn.BatchNorm3d(outputs)
        self.resample = resampling(outputs, outputs, KERNEL, STRIDE, PADDING)

    def forward(self, values: torch.Tensor, embedding: torch.Tensor) -> torch.Tensor:
        shift = torch.relu(self.time(embedding))[:, :, None, None, None]
        values = self.first_norm(torch.relu(self.first(values))) + shift
        return self.resample(self.second_norm(torch.relu(self.second(values))))


def sinusoids(steps: torch.Tensor) -> torch.Tensor:
    """Sines and cosines (n, 32) of timesteps (n,), with periods in a geometric series."""
    half = EMBEDDING // 2
    rates = torch.exp(torch.arange(half, device=steps.device) * -(math.log(LONGEST_PERIOD) / (half - 1)))
    angles = steps[:, None] * rates
    return torch.cat([angles.sin(), angles.cos()], 1)
