"""Spatial features: composites in overlapping patches, noised in one step, seen by a frozen U-Net.

Source: GeoDiffNet, sections on patches, one-step noising and decoder features. Overlaps are blended
with a smooth window instead of the published majority vote of patch-wise predictions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
import torch
from rasterio.windows import Window
from torch.nn import functional as F

from .patches import PatchGrid, SceneImages, blend_window, fill_invalid
from .pieces import Piece
from .progress import Progress
from .projection import Projection

if TYPE_CHECKING:
    # Diffusers is loaded for it.
    from .backbone import Backbone

BATCH = 24
BATCH_VALUES = 150_000_000
STRIP_VALUES = 60_000_000


class FeatureExtractor:
    """Features of patches from chosen decoder layers and timesteps of one backbone.

    Channels are ordered composite by composite, within it timestep by timestep, within it layer by
    layer. Activations are resized bilinearly to the patch. One noise image is shared by all patches.
    After them come the means of the composites' channels over each neighbourhood.

    Args:
        backbone: the frozen U-Net.
        layers: decoder layers, 0 is the deepest.
        timesteps: noise levels, 0 is the cleanest.
        composites: number of images, each with the channels that the backbone takes.
        seed: of the shared noise.
        projection: applied before the activations are enlarged, with which it commutes.
        neighbourhoods: odd widths in pixels of the windows over which the composites are averaged.
    """

    def __init__(
        self,
        backbone: Backbone,
        layers: Sequence[int],
        timesteps: Sequence[int],
        composites: int,
        seed: int = 0,
        projection: Projection | None = None,
        neighbourhoods: Sequence[int] = (),
    ) -> None:
        backbone.check_layers(layers)
        backbone.check_timesteps(timesteps)
        self.backbone = backbone
        self.layers = tuple(layers)
        self.timesteps = tuple(timesteps)
        self.composites = composites
        self.neighbourhoods = tuple(neighbourhoods)
        generator = torch.Generator().manual_seed(seed)
        patch = backbone.patch
        self._noise = torch.randn((1, backbone.channels, patch, patch), generator=generator).to(backbone.device.target)
        per_pass = [backbone.layers[layer].channels for layer in self.layers]
        means = backbone.channels * composites * len(self.neighbourhoods)
        self.channels = composites * len(self.timesteps) * sum(per_pass) + means
        # By composite, timestep and layer, counted from 0; empty where nothing that the U-Net says is left.
        self._slices: dict[tuple[int, int, int], torch.Tensor] | None = None
        if projection is not None:
            parts = np.split(projection.components, [self.channels - means], 1)
            self.channels = len(projection.components)
            of_features, self._of_means = (
                torch.from_numpy(part.copy()).float().to(backbone.device.target) for part in parts
            )
            places = product(range(composites), range(len(self.timesteps)), range(len(self.layers)))
            slices = of_features.split(composites * len(self.timesteps) * per_pass, 1)
            self._slices = dict(zip(places, slices, strict=True)) if of_features.any() else {}
            shift = torch.from_numpy(projection.components @ projection.mean)
            self._shift = shift.float().to(backbone.device.target)

    def __call__(self, patches: np.ndarray) -> np.ndarray:
        """Features of patches.

        Args:
            patches: (n, composites, backbone's channels, patch, patch) float32 in [-1, 1].

        Returns:
            (n, channels, patch, patch) float32.
        """
        images = torch.from_numpy(patches).to(self.backbone.device.target)
        return self._features(images).float().cpu().numpy()

    @torch.inference_mode()
    def _features(self, images: torch.Tensor) -> torch.Tensor:
        if self._slices is None:
            by_timestep = self._activations(images)
            parts = [
                self._enlarge(activation[:, k])
                for k in range(self.composites)
                for activations in by_timestep
                for activation in activations
            ]
            return torch.cat([*parts, *self._means(images)], 1)
        patch = self.backbone.patch
        total = torch.zeros(len(images), self.channels, patch, patch, device=images.device)
        if self._slices:
            by_timestep = self._activations(images)
            for layer in range(len(self.layers)):
                # All composites and timesteps of a layer are summed before they are enlarged.
                mapped = [
                    torch.einsum("kc,nchw->nkhw", self._slices[k, t, layer], by_timestep[t][layer][:, k].float())
                    for k in range(self.composites)
                    for t in range(len(self.timesteps))
                ]
                total += self._enlarge(torch.stack(mapped).sum(0))
        if self.neighbourhoods:
            total += torch.einsum("kc,nchw->nkhw", self._of_means, torch.cat(self._means(images), 1))
        return total - self._shift[:, None, None]

    def _activations(self, images: torch.Tensor) -> list[list[torch.Tensor]]:
        """Activations (n, composites, channels, h, w) by timestep and layer."""
        flat, by_timestep = images.flatten(0, 1), []
        for timestep in self.timesteps:
            noised = self.backbone.conditioning.add_noise(flat, self._noise, timestep)
            activations = self.backbone.activations(noised, timestep, self.layers)
            by_timestep.append([a.unflatten(0, (len(images), -1)) for a in activations])
        return by_timestep

    def _means(self, images: torch.Tensor) -> list[torch.Tensor]:
        """Means of all composites (n, all their channels, patch, patch) over each neighbourhood."""
        flat = images.flatten(1, 2)
        return [F.avg_pool2d(flat, n, 1, n // 2, count_include_pad=False) for n in self.neighbourhoods]

    def _enlarge(self, activation: torch.Tensor) -> torch.Tensor:
        if activation.shape[-1] == self.backbone.patch:
            return activation.float()
        size = (self.backbone.patch, self.backbone.patch)
        return F.interpolate(activation.float(), size=size, mode="bilinear", align_corners=False)


def iterate_features(
    images: SceneImages,
    extractor: FeatureExtractor,
    stride: int,
    progress: Progress,
    reach: int = 0,
    derived: int = 0,
) -> Iterator[Piece]:
    """Stream spectra and blended features of the whole scene in windows.

    Memory grows with the width of the scene, not with its height, and wide scenes are cut into
    vertical strips that repeat a margin of patches.

    Args:
        reach: how many more columns of the scene the arrays have on both sides of the window, where there are any.
        derived: how many values the caller makes of each pixel, for which memory is left.

    Yields:
        window, spectra (bands, height, span) float32, valid (height, span) bool and features
        (channels, height, span) float32, which are 0 where no patch holds a valid pixel.
    """
    scene = images.scene
    grid = PatchGrid(scene.height, scene.width, extractor.backbone.patch, stride)
    # Rows within reach above and below are held twice while they are joined.
    held = grid.patch + 4 * reach
    per_column = held * (3 * extractor.channels + 2 * len(images.bands) + images.composites.channels)
    per_column += (stride + 2 * reach) * derived
    strip = max(STRIP_VALUES // per_column // stride, 1) * stride
    for left in range(0, scene.width, strip):
        width = min(strip, scene.width - left)
        with progress.stage(left / scene.width, (left + width) / scene.width):
            strip_pieces = _iterate_strip(images, extractor, grid, *widened(left, width, reach, scene.width), progress)
            for window, spectra, valid, features in strip_pieces:
                yield Window(left, window.row_off, width, window.height), spectra, valid, features


def widened(left: int, width: int, reach: int, available: int) -> tuple[int, int]:
    """First column and number of columns of a span with up to `reach` more on both sides, where there are any."""
    first = max(left - reach, 0)
    return first, min(left + width + reach, available) - first


def _iterate_strip(
    images: SceneImages,
    extractor: FeatureExtractor,
    grid: PatchGrid,
    left: int,
    width: int,
    progress: Progress,
) -> Iterator[Piece]:
    size, stride, margin = grid.patch, grid.stride, grid.margin
    first, last = grid.around(left, grid.columns)[0], grid.around(left + width - 1, grid.columns)[-1]
    origin = first * stride - margin
    span = (last - first) * stride + size
    inner = slice(left - origin, left - origin + width)
    weight = blend_window(size)
    total = np.zeros((extractor.channels, size, span), np.float32)
    weights = np.zeros((size, span), np.float32)
    here = images.read(-margin, origin, size, span)
    for i in range(grid.rows):
        top = i * stride - margin
        if i:
            # Each row of the scene is read once.
            below = images.read(top + size - stride, origin, stride, span)
            here = here.advance(below)
        valid = here.valid
        offsets = [j * stride for j in range(last - first + 1) if valid[:, j * stride : j * stride + size].any()]
        batches = list(_batches(offsets, extractor))
        for done, batch in enumerate(batches):
            progress.set((i + done / len(batches)) / grid.rows)
            patches = [fill_invalid(here.images[..., o : o + size], valid[:, o : o + size]) for o in batch]
            for offset, features in zip(batch, extractor(np.stack(patches)), strict=True):
                total[:, :, offset : offset + size] += weight * features
                weights[:, offset : offset + size] += weight
        # Rows above the next row of patches are complete.
        stop = min(stride, grid.height - top) if i < grid.rows - 1 else grid.height - top
        start = max(0, -top)
        if stop > start:
            features = total[:, start:stop, inner] / np.maximum(weights[start:stop, inner], 1e-12)
            window = Window(left, top + start, width, stop - start)
            columns = slice(left - here.left, left - here.left + width)
            yield window, here.spectra[:, start:stop, columns], valid[start:stop, inner], features
        total = np.concatenate([total[:, stride:], np.zeros_like(total[:, :stride])], 1)
        weights = np.concatenate([weights[stride:], np.zeros_like(weights[:stride])])


def gather_features(
    images: SceneImages,
    extractor: FeatureExtractor,
    stride: int,
    rows: np.ndarray,
    columns: np.ndarray,
    progress: Progress,
) -> np.ndarray:
    """Blended features of single valid pixels: (n, channels) float32.

    Computes only the patches that contain one of them, so that the time does not depend on the size
    of the scene.

    Args:
        rows, columns: (n,) pixel positions.
    """
    grid = PatchGrid(images.scene.height, images.scene.width, extractor.backbone.patch, stride)
    size = grid.patch
    total = np.zeros((len(rows), extractor.channels), np.float32)
    weights = np.zeros((len(rows), 1), np.float32)
    window = blend_window(size)
    batches = list(_batches(grid.containing(rows, columns), extractor))
    for batch in progress.track(batches):
        corners = [(i * grid.stride - grid.margin, j * grid.stride - grid.margin) for i, j in batch]
        seen = (images.read(top, left, size, size) for top, left in corners)
        patches = np.stack([fill_invalid(s.images, s.valid) for s in seen])
        for (top, left), features in zip(corners, extractor(patches), strict=True):
            y, x = rows - top, columns - left
            inside = (y >= 0) & (y < size) & (x >= 0) & (x < size)
            y, x = y[inside], x[inside]
            total[inside] += window[y, x, None] * features[:, y, x].T
            weights[inside] += window[y, x, None]
    # In place, since there may be thousands of values for each of a million pixels.
    total /= weights
    return total


def _batches(items: list, extractor: FeatureExtractor) -> Iterator[list]:
    """Patches that go through the U-Net at once: few where their features would fill the memory."""
    fitting = BATCH_VALUES // (extractor.channels * extractor.backbone.patch**2)
    size = max(min(BATCH // extractor.composites, fitting), 1)
    for start in range(0, len(items), size):
        yield items[start : start + size]
