"""A kernel classifier in closed form: the expert of SpectraFiLM that compares a pixel with the labelled ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from scipy.linalg import eigh, solve
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax
from torch import nn

BANDWIDTHS = (0.1, 0.3, 1.0, 3.0)
RIDGES = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
MOST_CENTRES = 3000
# The more there are, the narrower a kernel serves best: a few hundred of thousands would choose too wide a one. At
# least two of each of 255 classes: a single one tells nothing when it is left out.
MOST_COMPARED = 750
# Pixels compared with centres at a time, as many pairs as stay in a processor's cache, and at most so many pixels.
PAIRS = 400_000
BLOCK = 512


class KernelMachine(nn.Module):
    """Least squares on class indicators with a mean of Gaussian kernels, one for each of several groups of inputs.

    The groups grow: first one part of the inputs, then this and a second, and so on. The kernel of a group is
    exp(-bandwidth * d^2 / typical), where d is the distance of two pixels in the group and `typical` the median of
    d^2 between labelled pixels. It is the product of kernels of its parts, so each part modulates what the parts
    before it say, as in FiLM; in the mean, what a small group says stays where a large one has seen nothing alike.

    Source: Suykens & Vandewalle (1999), Least squares support vector machine classifiers.

    Args:
        centres: number of labelled pixels kept.
        widths: number of inputs of each part; the k-th group is made of the first k parts.
        classes: number of classes.
    """

    pixels: torch.Tensor
    weights: torch.Tensor
    scales: torch.Tensor
    typical: torch.Tensor
    bandwidth: torch.Tensor
    sharpness: torch.Tensor

    def __init__(self, centres: int, widths: Sequence[int], classes: int) -> None:
        super().__init__()
        self.widths = tuple(widths)
        self.register_buffer("pixels", torch.zeros(centres, sum(widths)))
        self.register_buffer("weights", torch.zeros(centres, classes))
        for name in ("scales", "typical"):
            self.register_buffer(name, torch.ones(len(widths)))
        for name in ("bandwidth", "sharpness"):
            self.register_buffer(name, torch.ones(()))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Log-probabilities (n, classes) of inputs (n, sum of widths)."""
        rows = max(min(PAIRS // len(self.pixels), BLOCK), 1)
        said = torch.cat([kernel @ self.weights for kernel in self._kernels(inputs, rows)])
        return torch.log_softmax(self.sharpness * said, -1)

    def _kernels(self, inputs: torch.Tensor, rows: int) -> Iterator[torch.Tensor]:
        """Kernels (rows, centres) of inputs with the labelled pixels, so many rows at a time."""
        scales = self.scales.repeat_interleave(torch.tensor(self.widths, device=self.scales.device))
        ours, theirs = ((values * scales).split(self.widths, 1) for values in (inputs, self.pixels))
        # |x - y|^2 as one matrix product of (x, |x|^2, 1) and (-2 y, 1, |y|^2), several times faster than torch.cdist.
        # All else are passes over as many numbers, which take as long as the product: as few as can be.
        left = [torch.cat([x, _squares(x), torch.ones_like(x[:, :1])], 1).split(rows) for x in ours]
        right = [torch.cat([-2 * y, torch.ones_like(y[:, :1]), _squares(y)], 1).T for y in theirs]
        factors = -self.bandwidth / self.typical
        for block in zip(*left, strict=True):
            distance, kernel = inputs.new_zeros(2, len(block[0]), len(self.pixels))
            for x, y, factor in zip(block, right, factors, strict=True):
                distance.addmm_(x, y).clamp_(min=0)
                kernel += (distance * factor).exp_()
            yield kernel.div_(len(self.widths))


def _squares(values: torch.Tensor) -> torch.Tensor:
    return (values**2).sum(1, keepdim=True)


def fit_kernel(
    parts: Sequence[np.ndarray], targets: np.ndarray, polygons: np.ndarray, shares: np.ndarray, trust: np.ndarray
) -> KernelMachine:
    """Fit a kernel machine to labelled pixels.

    Bandwidth, ridge and sharpness are those that are best when every polygon is left out in turn, which has a
    closed form (An et al., 2007, Fast cross-validation algorithms for least squares support vector machine and
    kernel ridge regression). Of many pixels a part, as even among the classes as can be, is kept; classes count by the
    square root of what is kept of them, so that where much is thinned out they count more alike than in training of the
    networks.

    Args:
        parts: (n, width) each; see `KernelMachine`.
        targets: (n,) class indices, counted from 0.
        polygons: (n,) which polygon a pixel lies in.
        shares: (n, classes) that add up to 1, of the classes that a pixel shows.
        trust: (n,) above 0, how much a pixel counts.
    """
    scales = [1 / max(float(part.std()), 1e-6) for part in parts]
    kept = thin_evenly(targets, MOST_CENTRES)
    compared = thin_evenly(targets, MOST_COMPARED)
    machine = KernelMachine(len(kept), [part.shape[1] for part in parts], shares.shape[1])
    machine.scales.copy_(torch.tensor(scales))
    distances = _distances([part[compared] * scale for part, scale in zip(parts, scales, strict=True)])
    typical = [max(float(np.median(d[d > 0])), 1e-12) if (d > 0).any() else 1.0 for d in distances]
    machine.typical.copy_(torch.tensor(typical))
    weights = _pixel_weights(targets[compared], trust[compared])
    groups, counted = _left_out_together(targets[compared], polygons[compared])
    bandwidth, ridge, sharpness = _choose(distances, typical, shares[compared], groups, weights, weights * counted)
    machine.bandwidth.fill_(bandwidth)
    machine.sharpness.fill_(sharpness)
    inputs = torch.from_numpy(np.concatenate(list(parts), 1)[kept].astype(np.float32))
    machine.pixels.copy_(inputs)
    regularized = next(machine._kernels(inputs, len(inputs))).numpy().astype(np.float64)
    regularized[np.diag_indices(len(kept))] += ridge / _pixel_weights(targets[kept], trust[kept])
    solution = solve(regularized, _indicators(shares[kept]), assume_a="sym", overwrite_a=True)
    machine.weights.copy_(torch.from_numpy(solution))
    return machine


def _choose(
    distances: list[np.ndarray], typical: list[float], shares: np.ndarray, groups: list[np.ndarray],
    weights: np.ndarray, judged: np.ndarray,
) -> tuple[float, float, float]:  # fmt: skip
    """Bandwidth, ridge and sharpness that are best for groups left out.

    Args:
        judged: (n,) how much a pixel counts where it is left out, `weights` where it is not.
    """
    indicators = _indicators(shares)
    best: tuple[float, float, float, np.ndarray] | None = None
    for bandwidth in BANDWIDTHS:
        kernel = np.mean([np.exp(-bandwidth * d / t) for d, t in zip(distances, typical, strict=True)], 0)
        for ridge, residuals in _residuals_left_out(kernel, weights, indicators, groups):
            loss = float((judged[:, None] * residuals**2).sum())
            if best is None or loss < best[0]:
                best = loss, bandwidth, ridge, indicators - residuals
    assert best is not None  # noqa: S101
    _, bandwidth, ridge, left_out = best

    def unlikeliness(log_sharpness: float) -> float:
        own = (shares * log_softmax(np.exp(log_sharpness) * left_out, -1)).sum(1)
        return float(-(judged * own).sum())

    found = minimize_scalar(unlikeliness, bounds=(0.0, 4.0), method="bounded")
    return bandwidth, ridge, float(np.exp(found.x))


def _residuals_left_out(
    kernel: np.ndarray, weights: np.ndarray, indicators: np.ndarray, groups: list[np.ndarray]
) -> Iterator[tuple[float, np.ndarray]]:
    """For every ridge, what fits without its group are off by at each pixel (n, classes); none is made."""
    single = np.array([group[0] for group in groups if len(group) == 1], int)
    several = [group for group in groups if len(group) > 1]
    roots = np.sqrt(weights)[:, None]
    # The inverse of kernel + ridge / weights is made of the same vectors for every ridge.
    values, vectors = eigh(roots * kernel * roots.T, overwrite_a=True, driver="evd")
    vectors *= roots
    turned = vectors.T @ indicators
    for ridge in RIDGES:
        damped = vectors / (values.clip(min=0) + ridge)
        residuals = damped @ turned
        residuals[single] /= (damped[single] * vectors[single]).sum(1)[:, None]
        for group in several:
            residuals[group] = np.linalg.solve(damped[group] @ vectors[group].T, residuals[group])
        yield ridge, residuals


def _left_out_together(targets: np.ndarray, polygons: np.ndarray) -> tuple[list[np.ndarray], np.ndarray]:
    """Pixels of each polygon, and (n,) bool which pixels tell anything when theirs is left out.

    Without the only polygon of its class a pixel could only be taken for another class. Where every class has a
    single polygon, pixels are left out one by one.
    """
    polygons_of = np.bincount(np.unique(np.stack([targets, polygons]), axis=1)[0])
    if (polygons_of < 2).all():
        return [np.array([i]) for i in range(len(targets))], np.ones(len(targets), bool)
    _, group = np.unique(polygons, return_inverse=True)
    return [np.flatnonzero(group == g) for g in range(group.max() + 1)], polygons_of[targets] > 1


def thin_evenly(targets: np.ndarray, most: int) -> np.ndarray:
    """Indices of at most so many pixels: all of small classes, evenly spaced ones of the others."""
    if len(targets) <= most:
        return np.arange(len(targets))
    counts = np.bincount(targets)
    cap = next(c for c in range(most, -1, -1) if np.minimum(counts, c).sum() <= most)
    chosen = []
    for target in np.flatnonzero(counts):
        ours = np.flatnonzero(targets == target)
        chosen.append(ours[np.linspace(0, len(ours) - 1, min(len(ours), max(cap, 1))).astype(int)])
    return np.sort(np.concatenate(chosen))


def _distances(parts: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Squared distances (n, n) between pixels in the first part, in the first two, and so on."""
    values = [part.astype(np.float64) for part in parts]
    squares = [((v**2).sum(1)[:, None] + (v**2).sum(1) - 2 * v @ v.T).clip(min=0) for v in values]
    for square in squares:
        np.fill_diagonal(square, 0)
    return list(np.cumsum(squares, 0))


def _pixel_weights(targets: np.ndarray, trust: np.ndarray) -> np.ndarray:
    weights = trust / np.sqrt(np.bincount(targets, trust)[targets])
    return weights / weights.mean()


def _indicators(shares: np.ndarray) -> np.ndarray:
    return shares.astype(float) - 1 / shares.shape[1]
