"""Episodes: pixels of a landscape labelled in some of its crops, to be told apart in others by activations.

What a user does with a frozen backbone: few labels here, the same classes elsewhere. A denoiser alone has no reason to
keep apart in its activations what is made of different things. After few-shot learning by episodes (Vinyals and
others 2016, Matching Networks) with the loss of neighbourhood components (Goldberger and others 2004).
"""

from __future__ import annotations

import numpy as np
import torch

from .landscapes import CROPS, MATERIALS, Landscape, LandscapeSampler

# Labelled pixels and others of each class, and the most classes, of an episode.
LABELLED, OTHERS, CLASSES = 10, 16, 10
# Of mean squared distances between activations whose deviation is 1.
SHARPNESS = 5.0
# Half of the episodes are seen at timestep 0, the others at up to this one.
LAST_TIMESTEP = 120

Pixels = tuple[np.ndarray, np.ndarray]


def draw_batch(rng: np.random.Generator, sampler: LandscapeSampler, landscapes: int) -> list[np.ndarray]:
    """Crops of landscapes as they are seen and as they are, then what `draw_episode` gives for their first half."""
    drawn = [sampler.landscape(rng) for _ in range(landscapes)]
    episodes = [[*labelled, *others] for labelled, others in (draw_episode(rng, x) for x in drawn[: landscapes // 2])]
    crops = [np.concatenate([x.seen for x in drawn]), np.concatenate([x.clean for x in drawn])]
    return [*crops, *(np.stack(values) for values in zip(*episodes, strict=True))]


def episode_timesteps(landscapes: int, generator: torch.Generator) -> torch.Tensor:
    """A timestep for each landscape, (n,) int64: a user takes activations at small ones, mostly at 0."""
    uniform = torch.rand(landscapes, generator=generator, device=generator.device)
    return (LAST_TIMESTEP * (2 * uniform - 1)).clamp(min=0).long()


def draw_episode(rng: np.random.Generator, landscape: Landscape) -> tuple[Pixels, Pixels]:
    """Labelled pixels from the first half of a landscape's crops, and others from the second half.

    Classes are materials, kinds of objects, or kinds of objects of one material, so that no one grouping is learnt.

    Returns:
        For both the places, (n, 2) int64 of crop and pixel in the crop, and the classes, (n,) int64: n is `CLASSES`
        times `LABELLED` or `OTHERS`; the class is -1 where there are fewer classes.
    """
    grouping = rng.random()
    materials, kinds = landscape.materials, landscape.kinds
    if grouping < 0.6:
        numbers = materials
    elif grouping < 0.85:
        numbers = np.where((materials < 0) | (kinds < 0), -1, kinds * MATERIALS + materials)
    else:
        numbers = kinds
    halves = numbers.reshape(2, -1)
    present = [np.unique(half, return_counts=True) for half in halves]
    many = [set(values[counts >= max(LABELLED, OTHERS)].tolist()) - {-1} for values, counts in present]
    chosen = rng.permutation(sorted(many[0] & many[1]))[:CLASSES]
    if len(chosen) < 2:
        chosen = chosen[:0]
    size = landscape.materials[0].size

    def draw(half: int, count: int) -> Pixels:
        places, classes = np.zeros((CLASSES * count, 2), np.int64), np.full(CLASSES * count, -1, np.int64)
        for index, number in enumerate(chosen):
            of_class = rng.choice(np.flatnonzero(halves[half] == number), count, replace=False)
            part = slice(index * count, (index + 1) * count)
            places[part] = np.stack([half * CROPS // 2 + of_class // size, of_class % size], 1)
            classes[part] = index
        return places, classes

    return draw(0, LABELLED), draw(1, OTHERS)


def episode_loss(activation: torch.Tensor, episodes: list[torch.Tensor], crop: int) -> torch.Tensor:
    """Mean negative logarithm of the share of its own class among a pixel's labelled neighbours in activations.

    Args:
        activation: (n * CROPS, channels, height, width) of the crops of n landscapes, resized bilinearly to crops.
        episodes: what `draw_episode` gave for the n landscapes: places (n, m, 2) and classes (n, m) of
            labelled pixels, then those of the others.
        crop: pixels along a side of a crop.
    """
    places, classes, other_places, other_classes = episodes
    count = places.shape[1]
    values = _at(activation, torch.cat([places, other_places], 1), crop)
    values = values - values.mean(1, keepdim=True)
    values = values / values.std().detach().clamp(min=1e-6)
    distances = torch.cdist(values[:, count:], values[:, :count]).square() / values.shape[-1]
    # Finite, since gradients of infinite ones are not.
    nearness = (-SHARPNESS * distances).masked_fill((classes < 0)[:, None], -1e4)
    shares = nearness.log_softmax(-1).masked_fill(classes[:, None] != other_classes[:, :, None], -1e4)
    losses = -shares.logsumexp(-1)[other_classes >= 0]
    # Without bound, one pixel among strangers would outweigh all others.
    return losses.clamp(max=20.0).sum() / max(len(losses), 1)


def _at(activation: torch.Tensor, places: torch.Tensor, crop: int) -> torch.Tensor:
    """Activations (n, m, channels) float32 at places (n, m, 2), as if resized bilinearly to crops."""
    _, channels, height, width = activation.shape
    landscapes = torch.arange(len(places), device=places.device)[:, None]
    crops = landscapes * CROPS + places[..., 0]
    pixels = activation.permute(0, 2, 3, 1).reshape(-1, height * width, channels)
    (top, bottom, down), (left, right, along) = (
        _between((position.float() + 0.5) * size / crop - 0.5, size)
        for position, size in ((places[..., 1] // crop, height), (places[..., 1] % crop, width))
    )

    def row(at: torch.Tensor) -> torch.Tensor:
        return torch.lerp(pixels[crops, at * width + left].float(), pixels[crops, at * width + right].float(), along)

    return torch.lerp(row(top), row(bottom), down)


def _between(position: torch.Tensor, size: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Indices on both sides of a position along an axis, and how near it is to the second, (..., 1) in 0..1."""
    position = position.clamp(0, size - 1)
    before = position.floor().long()
    return before, (before + 1).clamp(max=size - 1), (position - before)[..., None]
