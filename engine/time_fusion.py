"""The classifier of DiffCRN: features of several timesteps and stages, fused with what is learned from the labels.

Source: DiffCRN (arXiv 2502.19699), section on integration and classification: an adaptive weighted addition (AWAM)
of the same stage's features at all timesteps, and a cross-time-step spectral-spatial fusion (CTSSFM). Their layers are
not known; chosen here: the sums of the stages attend to all stages at all timesteps, with 64 channels and four heads.
"""

from __future__ import annotations

import torch
from torch import nn

WIDTH = 64
HEADS = 4
DROPOUT = 0.1


class DiffCRN(nn.Module):
    """Spatial features (n, d) of a spectral backbone to logits (1, n, classes); spectra are not looked at.

    Args:
        channels: number of features, ordered by timestep, within it by stage; further ones are not looked at.
        sections: numbers of timesteps and of stages that they come from.
    """

    learning_rate = 1e-3

    def __init__(self, channels: int, sections: tuple[int, int], classes: int) -> None:
        super().__init__()
        self.channels, self.sections = channels, sections
        timesteps, stages = sections
        self.norm = nn.BatchNorm1d(channels, affine=False)
        self.embed = nn.Linear(channels // (timesteps * stages), WIDTH)
        # Logarithms of the weights of the timesteps, for each stage.
        self.weights = nn.Parameter(torch.zeros(timesteps, stages, 1))
        self.places = nn.Parameter(torch.randn(timesteps, stages, WIDTH) * 0.02)
        self.query_norm, self.key_norm = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.attention = nn.MultiheadAttention(WIDTH, HEADS, DROPOUT, batch_first=True)
        self.mixing = nn.Sequential(nn.LayerNorm(WIDTH), nn.Linear(WIDTH, WIDTH), nn.GELU(), nn.Dropout(DROPOUT))
        self.head = nn.Sequential(
            nn.LayerNorm(stages * WIDTH), nn.Linear(stages * WIDTH, 128), nn.GELU(), nn.Dropout(DROPOUT),
            nn.Linear(128, classes),
        )  # fmt: skip

    def forward(self, spectra: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
        tokens = self.embed(self.norm(features[:, : self.channels]).unflatten(1, (*self.sections, -1)))
        added = (torch.softmax(self.weights, 0) * tokens).sum(1)
        everything = self.key_norm((tokens + self.places).flatten(1, 2))
        fused = added + self.attention(self.query_norm(added), everything, everything, need_weights=False)[0]
        return self.head((fused + self.mixing(fused)).flatten(1))[None]
