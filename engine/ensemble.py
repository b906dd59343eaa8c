"""SpectraFiLM's own classifier: ensembles of FiLM experts and spectral experts, trained all at once.

Each member is tiny, so the members of the ensemble, and those of every fold of a cross-validation,
are trained side by side in one batched network whose parameters have a leading replica axis.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F

HIDDEN = 64
DROPOUT = 0.3


class ReplicaLinear(nn.Module):
    """R independent linear layers: (R or 1, n, inputs) -> (R, n, outputs)."""

    def __init__(self, replicas: int, inputs: int, outputs: int, gain: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(replicas, inputs, outputs) * gain / math.sqrt(inputs))
        self.bias = nn.Parameter(torch.zeros(replicas, 1, outputs))

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return torch.matmul(values, self.weight) + self.bias


class FilmEnsemble(nn.Module):
    """R members, each a pair of experts whose log-probabilities are mixed.

    - The spectral expert sees the spectrum alone.
    - The FiLM expert: an embedding of the spectrum regresses scale and shift of the spatial
      features, f' = gamma(s) * f + beta(s), and a two-layer classifier of f' adds its logits to
      those of the embedding itself. Scale and shift start at 1 and 0.

    Spatial features also tell where a pixel is. Trained on a few large polygons the FiLM expert may
    learn just that, and fail elsewhere; its share is therefore decided by cross-validation between
    polygons (`calibration.fit_share`). With `channels` = 0 only the spectral expert is built.

    Args:
        replicas: number of members R.
        bands: length of a (projected) spectrum.
        channels: number of (projected) spatial features.
        classes: number of classes.
    """

    film_share: torch.Tensor

    def __init__(self, replicas: int, bands: int, channels: int, classes: int) -> None:
        super().__init__()
        self.replicas = replicas
        self.spectral_embed = ReplicaLinear(replicas, bands, HIDDEN, 1.0)
        self.spectral_out = ReplicaLinear(replicas, HIDDEN, classes, 1.0)
        self.channels = channels
        self.register_buffer("film_share", torch.tensor(0.5 if channels else 0.0))
        if channels:
            self.film_embed = ReplicaLinear(replicas, bands, HIDDEN, 1.0)
            self.embed_out = ReplicaLinear(replicas, HIDDEN, classes, 0.3)
            self.scale = ReplicaLinear(replicas, HIDDEN, channels, 0.0)
            self.shift = ReplicaLinear(replicas, HIDDEN, channels, 0.0)
            self.hidden = ReplicaLinear(replicas, channels, HIDDEN, 1.0)
            self.out = ReplicaLinear(replicas, HIDDEN, classes, 0.3)

    def experts(self, spectra: torch.Tensor, features: torch.Tensor) -> list[torch.Tensor]:
        """Log-probabilities of each expert: (R, n, classes).

        Args:
            spectra: (R or 1, n, bands).
            features: (R or 1, n, channels).
        """
        experts = [self._spectral_logits(spectra)]
        if self.channels:
            embedding = self._drop(F.gelu(self.film_embed(spectra)))
            hidden = self._drop(F.gelu(self.hidden(self._fuse(embedding, features))))
            experts.append(self.embed_out(embedding) + self.out(hidden))
        return [F.log_softmax(logits, -1) for logits in experts]

    def forward(self, spectra: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
        """Logits (R, n, classes) of spectra (n, bands) and features (n, channels)."""
        if not self.sees_features:
            return F.log_softmax(self._spectral_logits(spectra[None]), -1)
        experts = self.experts(spectra[None], features[None])
        return torch.lerp(experts[0], experts[-1], self.film_share)

    @property
    def sees_features(self) -> bool:
        """Whether spatial features have any say."""
        return bool(self.channels and self.film_share > 0)

    def _fuse(self, embedding: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
        return (1 + self.scale(embedding)) * features + self.shift(embedding)

    def _spectral_logits(self, spectra: torch.Tensor) -> torch.Tensor:
        return self.spectral_out(self._drop(F.gelu(self.spectral_embed(spectra))))

    def _drop(self, values: torch.Tensor) -> torch.Tensor:
        return F.dropout(values, DROPOUT, self.training)

    def set_film_share(self, share: float) -> None:
        """Weigh the FiLM expert: 0 is the spectral expert alone, 1 the FiLM expert alone."""
        self.film_share.fill_(share)

    def select(self, members: Sequence[int]) -> FilmEnsemble:
        """An ensemble of some of the members."""
        bands, classes = self.spectral_embed.weight.shape[1], self.spectral_out.weight.shape[2]
        chosen = type(self)(len(members), bands, self.channels, classes)
        chosen.load_state_dict(
            {name: value if value.ndim == 0 else value[list(members)] for name, value in self.state_dict().items()}
        )
        return chosen
