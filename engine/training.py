"""Fitting a method's networks to labelled pixels, once for the map and once for every fold."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from .cover import POWER, Cover
from .ensemble import HIDDEN, FilmEnsemble
from .kernel import KernelMachine, fit_kernel
from .methods import Method
from .networks import GeoDiffNet, GeoDiffNetFilm
from .progress import Progress
from .time_fusion import DiffCRN
from .transformer import DiffSpectralNet

MEMBERS = 5
STEPS = 300
BATCH = 512
LEARNING_RATE = 5e-3
WARMUP = 10
WEIGHT_DECAY = 3.0
LABEL_SMOOTHING = 0.05
NOISE = 0.3
FULL_REGULARISATION = 300
LEAST_REGULARISATION = 1 / 3
MIXUP = 0.1
DROPOUT = 0.3
# A class of tiny polygons only would be lost: its best pixels count as much as half covered ones.
LEAST_TRUST = 0.5**POWER
# Pixels whose logits are computed at once, for which each needs some thousand values.
PIECE = 200_000

PUBLISHED_BATCH = 64
PUBLISHED_EPOCHS = 200
PUBLISHED_WEIGHT_DECAY = 1e-4
PUBLISHED_PATIENCE = 20

PublishedNetwork = GeoDiffNet | GeoDiffNetFilm | DiffSpectralNet | DiffCRN
PUBLISHED: dict[str, type[GeoDiffNet | GeoDiffNetFilm | DiffSpectralNet]] = {
    "geodiffnet-f": GeoDiffNetFilm, "geodiffnet": GeoDiffNet, "diffspectralnet": DiffSpectralNet,
}  # fmt: skip


@dataclass(frozen=True)
class Samples:
    """What a network sees and should say.

    Attributes:
        spectra: (n, k) float32, projected.
        features: (n, d) float32, projected; d is 0 for spectral methods.
        targets: (n,) int64 class indices, counted from 0.
        classes: number of classes.
        means: how many of the features, the last ones, are means of neighbourhoods.
        polygons: (n,) which polygon a pixel lies in; without them every pixel stands for itself.
        sections: numbers of timesteps and of decoder layers that the other features come from.
        cover: how much of each pixel which polygons cover, their classes counted from 1; None where that is not known.
    """

    spectra: np.ndarray
    features: np.ndarray
    targets: np.ndarray
    classes: int
    means: int = 0
    polygons: np.ndarray | None = None
    sections: tuple[int, int] = (1, 1)
    cover: Cover | None = None

    def shown(self, subsets: Sequence[np.ndarray]) -> list[tuple[np.ndarray, np.ndarray]]:
        """Shares (n, classes) of the classes that pixels show, and how much pixels count (n,), see `Cover.shown`.

        Args:
            subsets: masks (n,) of pixels that are trained on; polygons of other pixels only are as unknown as these.

        Returns:
            For each subset; the same arrays where its pixels lie in no unknown polygon, since they may be large.
        """
        if self.cover is None:
            return [(np.eye(self.classes, dtype=np.float32)[self.targets], np.ones(len(self.targets)))] * len(subsets)
        everything = self._counted(self.cover)
        shown = []
        for subset in subsets:
            known = self.cover
            if self.polygons is not None:
                known = known.without(np.setdiff1d(self.polygons[~subset], self.polygons[subset]))
            fewer = known.shares[subset].nnz < self.cover.shares[subset].nnz
            shown.append(self._counted(known) if fewer else everything)
        return shown

    def _counted(self, cover: Cover) -> tuple[np.ndarray, np.ndarray]:
        shares, trust = cover.shown(self.targets, self.classes)
        best = np.full(self.classes, 1e-9)
        np.maximum.at(best, self.targets, trust)
        return shares, trust * np.maximum(LEAST_TRUST / best, 1)[self.targets]

    def tensors(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """The arrays as tensors."""
        return torch.from_numpy(self.spectra), torch.from_numpy(self.features), torch.from_numpy(self.targets)


@dataclass(frozen=True)
class Fit:
    """A trained network and its training loss over time (step or epoch, loss)."""

    network: nn.Module
    curve: list[tuple[int, float]]


def build_network(
    method: Method, members: int, bands: int, features: int, means: int, sections: tuple[int, int], classes: int
) -> nn.Module:
    """An untrained network of a method; means and sections as in `Samples`."""
    if method.ensemble:
        return FilmEnsemble(members, bands, features - means, means, classes)
    return _published_network(method, bands, features, means, sections, classes)


def _published_network(
    method: Method, bands: int, features: int, means: int, sections: tuple[int, int], classes: int
) -> PublishedNetwork:
    # A features raster has means of neighbourhoods after what the U-Net says; published methods do not look at them.
    if method.key == "diffcrn":
        return DiffCRN(features - means, sections, classes)
    return PUBLISHED[method.key](bands, features - means, classes)


def fit(
    method: Method, samples: Samples, subsets: Sequence[np.ndarray], seed: int, progress: Progress,
    ensemble: type[FilmEnsemble] = FilmEnsemble,
) -> list[Fit]:  # fmt: skip
    """Train one network, or one ensemble, on each of several subsets of the samples.

    Args:
        subsets: boolean masks (n,).
        seed: of initial weights, batches and noise.
        ensemble: for benchmarks that fuse spectra and features in another way.
    """
    torch.manual_seed(seed)
    if not method.uses_features:
        samples = replace(samples, features=samples.features[:, :0], means=0)
    if method.ensemble:
        return _fit_ensembles(samples, subsets, progress, ensemble)
    fits = []
    for index, subset in enumerate(subsets):
        with progress.stage(index / len(subsets), (index + 1) / len(subsets)):
            fits.append(_fit_published(method, samples, subset, progress))
    return fits


@torch.inference_mode()
def predict_logits(network: nn.Module, samples: Samples) -> np.ndarray:
    """Logits (members, n, classes) of a trained network."""
    spectra, features, _ = samples.tensors()
    network.eval()
    pieces = zip(spectra.split(PIECE), features.split(PIECE), strict=True)
    return np.concatenate([network(*piece).numpy() for piece in pieces], 1)


@torch.inference_mode()
def predict_experts(network: FilmEnsemble, samples: Samples) -> np.ndarray:
    """Log-probabilities (experts, members, n, classes) of a trained ensemble, the spectral expert first."""
    spectra, features, _ = samples.tensors()
    return torch.stack(network.eval().experts(spectra[None], features[None])).numpy()


def _fit_ensembles(
    samples: Samples, subsets: Sequence[np.ndarray], progress: Progress, ensemble: type[FilmEnsemble]
) -> list[Fit]:
    """Five members for each subset; the kernel expert is fitted last."""
    channels = samples.features.shape[1] - samples.means
    replicas = MEMBERS * len(subsets)
    network = ensemble(replicas, samples.spectra.shape[1], channels, samples.means, samples.classes)
    shown = samples.shown(subsets)
    curves = _train_together(network, samples, subsets, shown, progress)
    fits = []
    for index, (subset, curve, shown_here) in enumerate(zip(subsets, curves, shown, strict=True)):
        members = network.select(range(index * MEMBERS, (index + 1) * MEMBERS)).eval()
        members.join_kernel(_fit_kernel(members, samples, subset, *shown_here))
        fits.append(Fit(members, curve))
    return fits


def _train_together(
    network: FilmEnsemble, samples: Samples, subsets: Sequence[np.ndarray],
    shown: Sequence[tuple[np.ndarray, np.ndarray]], progress: Progress,
) -> list[list[tuple[int, float]]]:  # fmt: skip
    """Train the members of all subsets in one batched network: the curve of each subset.

    A slow and strongly decayed AdamW with a cosine schedule, noise on the inputs, smoothed labels, and
    now and then a mixture of two pixels (mixup), which is also what a mixed pixel is. Beyond 300 pixels
    noise and decay fade, since thousands of labels need less caution. Pixels at borders of polygons are what these
    cover of them (`Samples.shown`).

    Classes are drawn in proportion to the square root of their pixels, as these count, between what was
    digitized, which a user's drawing decides, and all alike.
    """
    spectra, features, targets = samples.tensors()
    largest = max(int(s.sum()) for s in subsets)
    strength = min(max(math.sqrt(FULL_REGULARISATION / largest), LEAST_REGULARISATION), 1.0)
    optimizer = torch.optim.AdamW(network.parameters(), LEARNING_RATE, weight_decay=WEIGHT_DECAY * strength**2)
    weights = torch.stack([
        _sampling_weights(targets, torch.from_numpy(trust * s)) for (_, trust), s in zip(shown, subsets, strict=True)
    ])  # fmt: skip
    weights = weights.repeat_interleave(MEMBERS, 0)
    shares = [torch.from_numpy(x) for x, _ in shown]
    batch = min(largest, BATCH)
    curves: list[list[tuple[int, float]]] = [[] for _ in subsets]
    mixing = torch.distributions.Beta(torch.tensor(MIXUP), torch.tensor(MIXUP))

    def mixed(values: torch.Tensor, drawn: torch.Tensor, share: torch.Tensor) -> torch.Tensor:
        return torch.lerp(values[drawn[:, batch:]], values[drawn[:, :batch]], share)

    for step in progress.track(range(STEPS)):
        rate = LEARNING_RATE * min(1.0, (step + 1) / WARMUP) * 0.5 * (1 + math.cos(math.pi * step / STEPS))
        for group in optimizer.param_groups:
            group["lr"] = rate
        drawn = torch.multinomial(weights, 2 * batch, replacement=True)
        # Random numbers are dear, and ensembles of different subsets never meet: they share them.
        share = mixing.sample((MEMBERS, batch, 1)).repeat(len(subsets), 1, 1)
        seen_spectra, seen_features = (mixed(values, drawn, share) for values in (spectra, features))
        of_subsets = zip(shares, drawn.split(MEMBERS), strict=True)
        expected = torch.cat([mixed(values, of_subset, share[:MEMBERS]) for values, of_subset in of_subsets])
        expected.mul_(1 - LABEL_SMOOTHING).add_(LABEL_SMOOTHING / samples.classes)
        for inputs in (seen_spectra, seen_features):
            noise = torch.randn(MEMBERS, batch, inputs.shape[2])
            inputs.view(len(subsets), *noise.shape).add_(noise, alpha=NOISE * strength)
        drop = F.dropout(torch.ones(MEMBERS, batch, HIDDEN), DROPOUT).repeat(len(subsets), 1, 1)
        experts = network.experts(seen_spectra, seen_features, drop)
        losses = [-(expected * expert).sum(-1).mean(1) for expert in experts]
        optimizer.zero_grad(set_to_none=True)
        torch.stack(losses).sum().backward()
        optimizer.step()
        per_replica = torch.stack(losses).mean(0).detach()
        for index, curve in enumerate(curves):
            curve.append((step, float(per_replica[index * MEMBERS : (index + 1) * MEMBERS].mean())))
    return curves


def _fit_kernel(
    ensemble: FilmEnsemble, samples: Samples, subset: np.ndarray, shares: np.ndarray, trust: np.ndarray
) -> KernelMachine:
    spectra, features, _ = samples.tensors()
    parts = [part[subset].numpy() for part in ensemble.kernel_inputs(spectra, features)]
    polygons = np.arange(len(subset)) if samples.polygons is None else samples.polygons
    return fit_kernel(parts, samples.targets[subset], polygons[subset], shares[subset], trust[subset])


def _sampling_weights(targets: torch.Tensor, trust: torch.Tensor) -> torch.Tensor:
    counted = torch.bincount(targets, trust, minlength=int(targets.max()) + 1).clamp(min=1e-6)
    return trust / counted[targets].sqrt()


def _fit_published(method: Method, samples: Samples, subset: np.ndarray, progress: Progress) -> Fit:
    """Adam, cross-entropy, batches of 64, until the training loss stops falling.

    Source: GeoDiffNet, the authors' code; DiffSpectralNet and DiffCRN are trained alike, with learning rates of
    their own. Chosen here: training ends when the loss has not fallen for 20 epochs, after 200 at the latest, and the
    last weights are kept. A last batch of a single pixel is left out, since batch normalisation needs two.
    """
    spectra, features, targets = (tensor[torch.from_numpy(subset)] for tensor in samples.tensors())
    network = _published_network(
        method, spectra.shape[1], features.shape[1], samples.means, samples.sections, samples.classes
    )
    optimizer = torch.optim.Adam(network.parameters(), network.learning_rate, weight_decay=PUBLISHED_WEIGHT_DECAY)
    curve: list[tuple[int, float]] = []
    best, waited = math.inf, 0
    for epoch in range(PUBLISHED_EPOCHS):
        network.train()
        losses = []
        for batch in torch.randperm(len(targets)).split(PUBLISHED_BATCH):
            if len(batch) < 2:
                continue
            loss = F.cross_entropy(network(spectra[batch], features[batch])[0], targets[batch])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))
        curve.append((epoch, float(np.mean(losses))))
        progress.set((epoch + 1) / PUBLISHED_EPOCHS)
        if curve[-1][1] < best - 1e-4:
            best, waited = curve[-1][1], 0
        else:
            waited += 1
            if waited >= PUBLISHED_PATIENCE:
                break
    return Fit(network.eval(), curve)
