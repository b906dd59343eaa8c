"""Random 64-pixel crops of a folder of photographs.

A batch depends on nothing but the seed and the step number, so a run that was killed and
resumed sees exactly the batches it would have seen otherwise.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

SUFFIXES = {".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp"}


def load_photographs(folder: Path, crop: int) -> list[np.ndarray]:
    """Read every image below `folder` as (height, width, 3) uint8, in the order of their names.

    Images whose short side is below `crop` pixels are left out.

    Raises:
        FileNotFoundError: there is no usable image in the folder.
    """
    photographs = []
    for path in sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES):
        with Image.open(path) as image:
            if min(image.size) >= crop:
                photographs.append(np.asarray(image.convert("RGB")))
    if not photographs:
        raise FileNotFoundError(f"No photograph of at least {crop} x {crop} pixels in {folder}.")
    return photographs


def split_held_out(photographs: list[np.ndarray], every: int = 20) -> tuple[list, list]:
    """Keep every 20th photograph apart: (training, held out)."""
    held_out = photographs[::every]
    training = [p for i, p in enumerate(photographs) if i % every]
    return training, held_out


class CropSampler:
    """Multi-scale random crops with flips, quarter turns and random linear mixes of the channels.

    Args:
        photographs: (height, width, 3) uint8 arrays.
        crop: side of a crop in pixels.
        channel_mix: share of the crops whose three channels are replaced by random linear
            combinations of themselves, decorrelated first and stretched to the 2nd and 98th
            percentile. The composites of a hyperspectral scene, principal components above all,
            do not have the strongly correlated channels of a photograph.
    """

    def __init__(self, photographs: list[np.ndarray], crop: int, channel_mix: float) -> None:
        self.photographs = photographs
        self.crop = crop
        self.channel_mix = channel_mix

    def batch(self, rng: np.random.Generator, size: int) -> tuple[np.ndarray, np.ndarray]:
        """Draw `size` crops, (size, 3, crop, crop) float32 in [-1, 1], twice: what is seen is what is to be found."""
        crops = np.stack([self._one(rng) for _ in range(size)])
        return crops, crops

    def _one(self, rng: np.random.Generator) -> np.ndarray:
        photograph = self.photographs[rng.integers(len(self.photographs))]
        height, width = photograph.shape[:2]
        # Log-uniform, so that every octave of scale is seen equally often.
        side = int(np.exp(rng.uniform(np.log(self.crop), np.log(min(height, width)))))
        top = rng.integers(height - side + 1)
        left = rng.integers(width - side + 1)
        window = Image.fromarray(photograph[top : top + side, left : left + side])
        if side != self.crop:
            window = window.resize((self.crop, self.crop), Image.Resampling.BICUBIC)
        pixels = np.asarray(window, np.float32) / 127.5 - 1.0
        pixels = np.rot90(pixels, int(rng.integers(4)))
        if rng.random() < 0.5:
            pixels = pixels[:, ::-1]
        if rng.random() < self.channel_mix:
            pixels = _mix_channels(pixels, rng)
        return np.ascontiguousarray(pixels.transpose(2, 0, 1))


def _mix_channels(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    flat = pixels.reshape(-1, 3)
    flat = flat - flat.mean(0)
    _, singular, axes = np.linalg.svd(flat, full_matrices=False)
    scale = np.sqrt(len(flat)) / (singular + 0.05 * singular[0] + 1e-6)
    # Between the plain components (strength 0) and fully equalised ones (strength 1).
    mixed = flat @ axes.T * scale ** rng.uniform(0.0, 1.0) @ rng.normal(size=(3, 3))
    return stretch(mixed, *np.percentile(mixed, (2, 98), axis=0)).reshape(pixels.shape)


def stretch(pixels: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Pixels (..., channels) with `low` and `high` of each channel at -1 and 1, and clipped there: float32."""
    stretched = 2.0 * (pixels - low) / np.maximum(high - low, 1e-6) - 1.0
    return np.clip(stretched, -1.0, 1.0).astype(np.float32)
