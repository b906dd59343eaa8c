"""SpectraFiLM's own classifier: ensembles of experts, trained all at once.

Each member is tiny, so the members of the ensemble, and those of every fold of a cross-validation,
are trained side by side in one batched network whose parameters have a leading replica axis.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F

from .kernel import KernelMachine

HIDDEN = 64
# A smaller share changes no probability that anybody sees, so it counts as none: an expert without a share is not asked
# in mapping, and where none of those asked looks at spatial features, these need not be computed.
LEAST_SHARE = 1e-6


class ReplicaLinear(nn.Module):
    """R independent linear layers: (R or 1, n, inputs) -> (R, n, outputs)."""

    def __init__(self, replicas: int, inputs: int, outputs: int, gain: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(replicas, inputs, outputs) * gain / math.sqrt(inputs))
        self.bias = nn.Parameter(torch.zeros(replicas, 1, outputs))

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return torch.matmul(values, self.weight) + self.bias


class FilmEnsemble(nn.Module):
    """R members, each of experts whose log-probabilities are mixed.

    - The spectral expert sees the spectrum alone.
    - The neighbourhood expert sees the spectrum and means of the composites around the pixel.
    - The FiLM expert: an embedding of the spectrum regresses scale and shift of the spatial
      features, f' = gamma(s) * f + beta(s), and a two-layer classifier of f' adds its logits to
      those of the embedding itself. Scale and shift start at 1 and 0.
    - The kernel expert, the same for all members, compares spectrum, means and features with those of labelled
      pixels. It has a closed form and joins after training (`join_kernel`).

    Spatial features also tell where a pixel is. Trained on a few large polygons the FiLM expert may
    learn just that, and fail elsewhere; the experts' shares are therefore decided by cross-validation
    between polygons (`calibration.fit_shares`), in favour of the spectral expert where polygons are few and
    pixels unlike those two apart (`calibration.share_prior`).

    Args:
        replicas: number of members R.
        bands: length of a (projected) spectrum.
        channels: number of (projected) spatial features; with 0 there is no FiLM expert.
        means: number of means of neighbourhoods; with 0 there is no neighbourhood expert.
        classes: number of classes.
    """

    shares: torch.Tensor

    def __init__(self, replicas: int, bands: int, channels: int, means: int, classes: int) -> None:
        super().__init__()
        self.replicas, self.bands, self.channels, self.means, self.classes = replicas, bands, channels, means, classes
        self.kernel: KernelMachine | None = None
        self.register_buffer("shares", self._equal_shares())
        self.spectral_embed = ReplicaLinear(replicas, bands, HIDDEN, 1.0)
        self.spectral_out = ReplicaLinear(replicas, HIDDEN, classes, 1.0)
        if means:
            self.neighbourhood_embed = ReplicaLinear(replicas, bands + means, HIDDEN, 1.0)
            self.neighbourhood_out = ReplicaLinear(replicas, HIDDEN, classes, 1.0)
        if channels:
            self.film_embed = ReplicaLinear(replicas, bands, HIDDEN, 1.0)
            self.embed_out = ReplicaLinear(replicas, HIDDEN, classes, 0.3)
            self.scale = ReplicaLinear(replicas, HIDDEN, channels, 0.0)
            self.shift = ReplicaLinear(replicas, HIDDEN, channels, 0.0)
            self.hidden = ReplicaLinear(replicas, channels, HIDDEN, 1.0)
            self.out = ReplicaLinear(replicas, HIDDEN, classes, 0.3)

    @property
    def experts_named(self) -> tuple[str, ...]:
        """Names of the experts, in the order in which they are computed."""
        named = {"spectral": True, "neighbourhood": self.means, "FiLM": self.channels, "kernel": self.kernel}
        return tuple(name for name, exists in named.items() if exists)

    @property
    def spectrum_alone(self) -> tuple[bool, ...]:
        """For each expert, whether it sees nothing of a pixel's surroundings."""
        blind = ("spectral",) if self.means or self.channels else self.experts_named
        return tuple(name in blind for name in self.experts_named)

    @property
    def experts_asked(self) -> tuple[str, ...]:
        """Names of the experts that have a share."""
        return tuple(name for name, share in zip(self.experts_named, self.shares.tolist(), strict=True) if share)

    @property
    def asks_about_features(self) -> bool:
        """Whether an expert that has a share looks at spatial features, other than means of neighbourhoods."""
        return self.channels > 0 and not {"FiLM", "kernel"}.isdisjoint(self.experts_asked)

    def kernel_inputs(self, spectra: torch.Tensor, features: torch.Tensor) -> list[torch.Tensor]:
        """What the kernel expert compares, in its order: spectra, means of neighbourhoods, spatial features.

        Args:
            spectra: (n, bands).
            features: (n, channels + means).
        """
        parts = [spectra]
        if self.means:
            parts.append(features[:, self.channels :])
        if self.channels:
            parts.append(features[:, : self.channels])
        return parts

    def empty_kernel(self, centres: int) -> KernelMachine:
        """An untrained kernel expert of this ensemble's inputs, with so many labelled pixels."""
        return KernelMachine(centres, [n for n in (self.bands, self.means, self.channels) if n], self.classes)

    def join_kernel(self, kernel: KernelMachine) -> None:
        """Add the kernel expert to a trained ensemble; all experts then have equal shares."""
        self.kernel = kernel
        self.shares = self._equal_shares().to(self.shares.device)

    def experts(
        self, spectra: torch.Tensor, features: torch.Tensor, drop: torch.Tensor | None = None,
        asked: Sequence[str] | None = None,
    ) -> list[torch.Tensor]:  # fmt: skip
        """Log-probabilities of each expert: (R, n, classes).

        Args:
            spectra: (R or 1, n, bands).
            features: (R or 1, n, channels + means).
            drop: what hidden units are multiplied by in training, (R, n, HIDDEN), the same in all experts.
            asked: names of those to compute; by default all.
        """
        experts = []
        spatial, means = features[..., : self.channels], features[..., self.channels :]
        for name in self.experts_named if asked is None else asked:
            if name == "kernel" and self.kernel:
                compared = self.kernel(torch.cat(self.kernel_inputs(spectra[0], features[0]), 1))
                experts.append(compared.expand(self.replicas, -1, -1))
                continue
            if name == "spectral":
                logits = self.spectral_out(_activate(self.spectral_embed(spectra), drop))
            elif name == "neighbourhood":
                embedding = _activate(self.neighbourhood_embed(torch.cat([spectra, means], -1)), drop)
                logits = self.neighbourhood_out(embedding)
            else:
                embedding = _activate(self.film_embed(spectra), drop)
                hidden = _activate(self.hidden(self._fuse(embedding, spatial)), drop)
                logits = self.embed_out(embedding) + self.out(hidden)
            experts.append(F.log_softmax(logits, -1))
        return experts

    def forward(self, spectra: torch.Tensor, features: torch.Tensor, votes: bool = False) -> torch.Tensor:
        """Logits (R, n, classes) of spectra (n, bands) and features (n, channels + means).

        Args:
            votes: whether one more (n, classes) follows: each class's share (0..1) of the votes of all members'
                experts, who vote for what they find most probable and count by their shares.
        """
        experts = torch.stack(self.experts(spectra[None], features[None], asked=self.experts_asked))
        shares = self.shares[self.shares > 0]
        logits = torch.tensordot(shares, experts, 1)
        if not votes:
            return logits
        chosen = F.one_hot(experts.argmax(-1), experts.shape[-1]).float().mean(1)
        return torch.cat([logits, torch.tensordot(shares, chosen, 1)[None]])

    def _equal_shares(self) -> torch.Tensor:
        count = len(self.experts_named)
        return torch.full((count,), 1 / count)

    def _fuse(self, embedding: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
        return (1 + self.scale(embedding)) * features + self.shift(embedding)

    def set_shares(self, shares: Sequence[float]) -> None:
        """Weigh the experts, in the order of `experts_named`; weights of 0 to 1 that add up to 1."""
        self.shares.copy_(torch.tensor([share if share >= LEAST_SHARE else 0.0 for share in shares]))

    def select(self, members: Sequence[int]) -> FilmEnsemble:
        """An ensemble of some of the members, before the kernel expert joins."""
        chosen = type(self)(len(members), self.bands, self.channels, self.means, self.classes)
        chosen.load_state_dict({
            name: value if name == "shares" else value[list(members)] for name, value in self.state_dict().items()
        })  # fmt: skip
        return chosen


def _activate(units: torch.Tensor, drop: torch.Tensor | None) -> torch.Tensor:
    return F.gelu(units) if drop is None else drop * F.gelu(units)
