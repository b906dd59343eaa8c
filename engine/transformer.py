"""The classifier of DiffSpectralNet: a transformer over tokens of diffusion features.

Source: DiffSpectralNet (arXiv 2312.12441), section on classification; cross-layer adaptive fusion as in SpectralFormer
(Hong et al. 2022); widths from the code. Chosen here: features are not whitened, which with few labels drowned them in
noise; a token holds 16 consecutive ones of the 48 principal components (600 to 1200 in the code) of a pixel's features,
whose receptive field takes the place of the code's windows of 13 x 13 pixels; four heads; dropout. Fusion takes a share
for each token, where SpectralFormer convolves all of them, and begins with the second of the two layers, where
SpectralFormer's begins with the third.
"""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional as F

TOKEN = 16
WIDTH = 64
DEPTH = 2
HEADS = 4
DROPOUT = 0.1


class DiffSpectralNet(nn.Module):
    """Spatial features (n, d) of a spectral backbone to logits (1, n, classes).

    Neither spectra nor features beyond `channels` are looked at.
    """

    learning_rate = 1e-3

    def __init__(self, bands: int, channels: int, classes: int) -> None:
        super().__init__()
        self.channels = channels
        tokens = math.ceil(channels / TOKEN)
        self.padding = tokens * TOKEN - channels
        self.embed = nn.Linear(TOKEN, WIDTH)
        self.class_token = nn.Parameter(torch.randn(1, 1, WIDTH) * 0.02)
        self.positions = nn.Parameter(torch.randn(1, tokens + 1, WIDTH) * 0.02)
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(WIDTH, HEADS, WIDTH, DROPOUT, "gelu", batch_first=True, norm_first=True)
            for _ in range(DEPTH)
        )
        # For each token, the share that what the layer before saw has in what the next layer sees.
        self.fusion = nn.ParameterList(nn.Parameter(torch.zeros(1, tokens + 1, 1)) for _ in range(DEPTH - 1))
        self.head = nn.Sequential(nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 128), nn.GELU(), nn.Linear(128, classes))

    def forward(self, spectra: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
        tokens = self.embed(F.pad(features[:, : self.channels], (0, self.padding)).unflatten(1, (-1, TOKEN)))
        values = torch.cat([self.class_token.expand(len(tokens), -1, -1), tokens], 1) + self.positions
        earlier = values
        for index, layer in enumerate(self.layers):
            if index:
                share = self.fusion[index - 1]
                values, earlier = (1 - share) * values + share * earlier, values
            values = layer(values)
        return self.head(values[:, 0])[None]
