"""The networks of GeoDiffNet and GeoDiffNet-F as published.

Source: Hu, Banerjee & Prasad (2025), Label-efficient hyperspectral image classification via spectral FiLM modulation of
low-level pretrained diffusion features (arXiv 2512.03430), which other modules call GeoDiffNet: sections on the
spectral encoder and FiLM fusion; widths from the authors' code for GeoDiffNet. What the paper leaves open (the FiLM
regressors, the fused head, and how spectra are padded) is marked below. Spectra come with mean 0 and standard deviation
1 in every band, features as the U-Net gives them.

Every network maps spectra (n, k) and spatial features (n, d) to logits (1, n, classes): the first
axis counts the members of an ensemble. Features beyond the `channels` of a network are not looked at.
"""

from __future__ import annotations

import torch
from torch import nn

EMBEDDING = 256
LEARNING_RATE = 3e-3


class SpectralEncoder(nn.Module):
    """Two one-dimensional convolutions along the spectrum and a linear map to 256 numbers.

    Chosen here: convolutions keep the length, and pooling keeps the last of an odd number, so that three bands will do.
    """

    def __init__(self, bands: int) -> None:
        super().__init__()
        self.convolutions = nn.Sequential(
            nn.Conv1d(1, 16, 3, padding=1), nn.BatchNorm1d(16), nn.ReLU(), nn.MaxPool1d(2, ceil_mode=True),
            nn.Conv1d(16, 32, 3, padding=1), nn.BatchNorm1d(32), nn.ReLU(), nn.MaxPool1d(2, ceil_mode=True),
        )  # fmt: skip
        halved = -(-bands // 2)
        self.embed = nn.Linear(32 * -(-halved // 2), EMBEDDING)

    def forward(self, spectra: torch.Tensor) -> torch.Tensor:
        return self.embed(self.convolutions(spectra[:, None]).flatten(1))


def _head(inputs: int, classes: int) -> nn.Sequential:
    """The published classifier: Linear-ReLU-BatchNorm twice, then one logit a class."""
    return nn.Sequential(
        nn.Linear(inputs, 128), nn.ReLU(), nn.BatchNorm1d(128),
        nn.Linear(128, 32), nn.ReLU(), nn.BatchNorm1d(32),
        nn.Linear(32, classes),
    )  # fmt: skip


class GeoDiffNet(nn.Module):
    """Spatial features alone."""

    learning_rate = LEARNING_RATE

    def __init__(self, bands: int, channels: int, classes: int) -> None:
        super().__init__()
        self.channels = channels
        self.head = _head(channels, classes)

    def forward(self, spectra: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
        return self.head(features[:, : self.channels])[None]


class GeoDiffNetFilm(nn.Module):
    """Spatial features scaled and shifted by what the pixel's spectrum says (FiLM).

    f' = gamma(s) * f + beta(s). Chosen here, since the paper does not say: gamma = 1 + Linear and
    beta = Linear of the embedding after a ReLU, both starting at zero, so that training starts from the features
    as they are; the two-layer classifier has 128 hidden units.
    """

    learning_rate = LEARNING_RATE

    def __init__(self, bands: int, channels: int, classes: int) -> None:
        super().__init__()
        self.channels = channels
        self.encoder = SpectralEncoder(bands)
        self.scale = nn.Linear(EMBEDDING, channels)
        self.shift = nn.Linear(EMBEDDING, channels)
        for layer in (self.scale, self.shift):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
        self.head = nn.Sequential(nn.Linear(channels, 128), nn.ReLU(), nn.Linear(128, classes))

    def forward(self, spectra: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
        embedding = torch.relu(self.encoder(spectra))
        return self.head((1 + self.scale(embedding)) * features[:, : self.channels] + self.shift(embedding))[None]
