"""What FiLM is compared with: the same ensemble with spectra and spatial features fused in other ways."""

from __future__ import annotations

import torch

from spectrafilm.engine.ensemble import HIDDEN, FilmEnsemble, ReplicaLinear


class SumEnsemble(FilmEnsemble):
    """The embedding of the spectrum is added to the features: FiLM that only shifts."""

    def _fuse(self, embedding: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
        return features + self.shift(embedding)


class ConcatenationEnsemble(FilmEnsemble):
    """The embedding of the spectrum stands beside the features."""

    def __init__(self, replicas: int, bands: int, channels: int, means: int, classes: int) -> None:
        super().__init__(replicas, bands, channels, means, classes)
        if channels:
            self.hidden = ReplicaLinear(replicas, channels + HIDDEN, HIDDEN, 1.0)

    def _fuse(self, embedding: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
        return torch.cat([features.expand(len(embedding), -1, -1), embedding], -1)
