"""Random 64-pixel pictures of generated landscapes, in place of photographs.

No photograph and no scene is part of them, so that weights pretrained on them carry no terms of third parties.
They have what composites of a scene have and photographs lack: objects of one to a few tens of pixels, a few
materials that come back in many places, mixed pixels along borders, and channels of any correlation. After the
"dead leaves" model of natural images (Lee, Mumford and Huang 2001; for pretraining: Baradad and others 2021),
with fields, streets, buildings, waters and woods beside its leaves.

Several crops show one landscape: the same materials in other places, as the polygons of a class lie in a scene.
A batch depends on nothing but the generator it is drawn from.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from PIL import Image, ImageDraw
from scipy import fft, ndimage

from .photographs import stretch

# Landscapes are drawn this many times finer than the crop and averaged, which gives mixed pixels along borders.
FINENESS = 2
MATERIALS = 16
# Objects of one material are not all of one colour. A canvas holds material * SHADES + shade.
SHADES = 3
BLANK = 255
# A landscape is seen in so many crops along each side.
ACROSS = 2
CROPS = ACROSS**2


@dataclass(frozen=True)
class Landscape:
    """Crops of one landscape.

    Attributes:
        seen, clean: as a sensor sees it and as it is, (CROPS, 3, crop, crop) float32 in [-1, 1].
        materials: what is in each pixel, 0 to MATERIALS - 1, or -1 where it is mixed: (CROPS, crop, crop) int.
        kinds: as what it is there (ground, field, street ...): numbers from 0, or -1 where it is mixed.
    """

    seen: np.ndarray
    clean: np.ndarray
    materials: np.ndarray
    kinds: np.ndarray


class LandscapeSampler:
    """Crops of generated landscapes with `crop` pixels a side."""

    def __init__(self, crop: int) -> None:
        self.crop = crop

    def batch(self, rng: np.random.Generator, size: int) -> tuple[np.ndarray, np.ndarray]:
        """Draw `size` crops as a sensor sees them and as they are: (size, 3, crop, crop) float32 in [-1, 1] each."""
        drawn = [self.landscape(rng) for _ in range(-(-size // CROPS))]
        return np.concatenate([x.seen for x in drawn])[:size], np.concatenate([x.clean for x in drawn])[:size]

    def landscape(self, rng: np.random.Generator) -> Landscape:
        """Draw one landscape."""
        present = rng.choice(MATERIALS, size=rng.integers(6, 13), replace=False)
        drawn = [draw_objects(rng, self.crop * FINENESS, present) for _ in range(CROPS)]
        objects, kinds = (_tiled([d[i] for d in drawn]) for i in range(2))
        pixels = _coloured(objects, rng) * _light(rng, len(objects))[..., None]
        blur = rng.uniform(0.0, 0.8) * FINENESS
        pixels = self._fine(ndimage.gaussian_filter(pixels, (blur, blur, 0))).mean((1, 3))
        # Late components of a scene are mostly noise, true colours hardly have any.
        amount = pixels.std((0, 1)) * rng.exponential(0.15, 3)
        noisy = pixels + amount * rng.normal(size=pixels.shape)
        low, high = np.percentile(noisy, (2, 98), axis=(0, 1))
        seen, clean = (self._cut(stretch(image, low, high)).transpose(0, 3, 1, 2) for image in (noisy, pixels))
        return Landscape(seen, clean, self._pure(objects // SHADES), self._pure(kinds))

    def _fine(self, image: np.ndarray) -> np.ndarray:
        """A fine image (fine, fine, ...) with the fine pixels of each pixel along the axes 1 and 3."""
        side = self.crop * ACROSS
        return image.reshape(side, FINENESS, side, FINENESS, *image.shape[2:])

    def _pure(self, fine: np.ndarray) -> np.ndarray:
        """Numbers that all fine pixels of a pixel share, -1 where they differ: (CROPS, crop, crop)."""
        values = self._fine(fine.astype(np.int64))
        first = values[:, 0, :, 0]
        return self._cut(np.where((values == first[:, None, :, None]).all((1, 3)), first, -1))

    def _cut(self, image: np.ndarray) -> np.ndarray:
        """The crops (CROPS, crop, crop, ...) of an image of the whole landscape."""
        parts = image.reshape(ACROSS, self.crop, ACROSS, self.crop, *image.shape[2:]).swapaxes(1, 2)
        return parts.reshape(CROPS, self.crop, self.crop, *image.shape[2:])


def _tiled(parts: list[np.ndarray]) -> np.ndarray:
    """CROPS squares side by side."""
    return np.block([parts[row : row + ACROSS] for row in range(0, CROPS, ACROSS)])


def draw_objects(rng: np.random.Generator, side: int, present: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Maps of what objects are made of, material * SHADES + shade, and of their kinds: (side, side) uint8 each.

    Later layers cover earlier ones.

    Args:
        present: the materials there are.
    """
    objects = np.full((side, side), int(rng.choice(present)) * SHADES, np.uint8)
    kinds = np.zeros_like(objects)
    layers: list[Layer] = [GROUNDS[i] for i in rng.choice(len(GROUNDS), size=rng.integers(1, 3), replace=False)]
    layers += [draw for draw, probability in DETAILS if rng.random() < probability]
    for draw in layers:
        drawn = np.asarray(draw(Image.new("L", (side, side), BLANK), rng, present))
        covers = drawn != BLANK
        objects[covers] = drawn[covers]
        kinds[covers] = KINDS.index(draw) + 1
    return objects, kinds


def _palette(rng: np.random.Generator, most: int, present: np.ndarray) -> np.ndarray:
    """One to `most` materials, from which `_pick` takes the first ones most often."""
    return rng.choice(present, size=min(int(rng.integers(1, most + 1)), len(present)), replace=False)


def _pick(palette: np.ndarray, rng: np.random.Generator) -> int:
    """An object of one of the materials, of any shade."""
    return int(palette[min(rng.geometric(0.35) - 1, len(palette) - 1)] * SHADES + rng.integers(SHADES))


def _turn(points: np.ndarray, angle: float) -> np.ndarray:
    cosine, sine = np.cos(angle), np.sin(angle)
    return points @ np.array([[cosine, sine], [-sine, cosine]])


def _polygon(canvas: ImageDraw.ImageDraw, points: np.ndarray, drawn: int) -> None:
    canvas.polygon([tuple(p) for p in points], fill=drawn)


def _parcels(canvas: Image.Image, rng: np.random.Generator, present: np.ndarray) -> Image.Image:
    """Fields: a turned grid of rows that are each cut into pieces of their own lengths."""
    draw, side = ImageDraw.Draw(canvas), canvas.width
    palette, angle = _palette(rng, 8, present), rng.uniform(0, np.pi)
    width = np.exp(rng.uniform(np.log(4), np.log(60))) * FINENESS
    length = width * np.exp(rng.uniform(0, 1.5))
    row = -side
    while row < side:
        height = width * rng.uniform(0.5, 1.5)
        column = -side - rng.uniform(0, length)
        while column < side:
            run = length * rng.uniform(0.3, 1.7)
            corners = np.array([[column, row], [column + run, row],
                                [column + run, row + height], [column, row + height]])
            _polygon(draw, _turn(corners, angle) + side / 2, _pick(palette, rng))
            column += run
        row += height
    return canvas


def _woods_and_waters(canvas: Image.Image, rng: np.random.Generator, present: np.ndarray) -> Image.Image:
    """Areas with winding borders: smooth noise cut at a few levels."""
    field = _noise(rng, canvas.width, rng.uniform(2.0, 4.0))
    palette = _palette(rng, 5, present)
    pixels = np.array(canvas)
    for material in palette:
        low = rng.normal()
        pixels[(field > low) & (field < low + rng.exponential(0.8))] = material * SHADES
    return Image.fromarray(pixels)


def _leaves(canvas: Image.Image, rng: np.random.Generator, present: np.ndarray) -> Image.Image:
    """Dead leaves: ellipses, rectangles and other polygons with sizes after a power law."""
    draw, side = ImageDraw.Draw(canvas), canvas.width
    palette = _palette(rng, 10, present)
    smallest, largest = 1.0 * FINENESS, rng.uniform(6, 30) * FINENESS
    for _ in range(int(np.exp(rng.uniform(np.log(10), np.log(250))))):
        # Density of sizes falls with the third power, the scale-invariant case of Lee et al.
        u = rng.random()
        radius = (smallest**-2 + u * (largest**-2 - smallest**-2)) ** -0.5
        corners = rng.choice([4, 4, 5, 7, 24])
        around = np.sort(rng.uniform(0, 2 * np.pi, corners)) if corners in (5, 7) else (
            np.arange(corners) * 2 * np.pi / corners)
        shape = np.stack([np.cos(around), np.sin(around) * rng.uniform(0.3, 1.0)], 1) * radius
        _polygon(draw, _turn(shape, rng.uniform(0, np.pi)) + rng.uniform(0, side, 2), _pick(palette, rng))
    return canvas


def _streets(canvas: Image.Image, rng: np.random.Generator, present: np.ndarray) -> Image.Image:
    """Lines of one to four pixels: a grid with gaps, or single bent lines."""
    draw, side = ImageDraw.Draw(canvas), canvas.width
    palette, angle = _palette(rng, 2, present), rng.uniform(0, np.pi)
    width = max(1, round(rng.uniform(0.5, 3.0) * FINENESS))
    if rng.random() < 0.5:
        spacing = rng.uniform(8, 40) * FINENESS
        for turned in (angle, angle + np.pi / 2):
            for at in np.arange(-side, side, spacing) + rng.uniform(0, spacing):
                if rng.random() < 0.8:
                    ends = _turn(np.array([[-side, at], [side, at]]), turned) + side / 2
                    draw.line([tuple(p) for p in ends], fill=_pick(palette, rng), width=width)
        return canvas
    for _ in range(rng.integers(1, 4)):
        points = np.cumsum(_turn(rng.normal((12 * FINENESS, 0), 5 * FINENESS, (24, 2)), rng.uniform(0, 2 * np.pi)), 0)
        points += rng.uniform(0, side, 2) - points[12]
        draw.line([tuple(p) for p in points], fill=_pick(palette, rng), width=width, joint="curve")
    return canvas


def _buildings(canvas: Image.Image, rng: np.random.Generator, present: np.ndarray) -> Image.Image:
    """Rectangles of one to twenty pixels along one direction, each with a shadow on the same side."""
    draw, side = ImageDraw.Draw(canvas), canvas.width
    palette, angle = _palette(rng, 4, present), rng.uniform(0, np.pi)
    shadow, depth = int(rng.choice(present)) * SHADES, rng.uniform(0, 2.0) * FINENESS
    away = _turn(np.array([[depth, 0.0]]), rng.uniform(0, 2 * np.pi))
    size = np.exp(rng.uniform(np.log(1.0), np.log(8.0))) * FINENESS
    spacing = size * rng.uniform(2.0, 6.0)
    # Only part of a crop is built up.
    built = _noise(rng, side, 3.0) > rng.normal(-0.5, 0.7)
    for row in np.arange(-side, side, spacing):
        for column in np.arange(-side, side, spacing):
            middle = _turn(np.array([[column, row]]) + rng.normal(0, 0.15 * spacing, (1, 2)), angle)[0] + side / 2
            if not (0 <= middle[0] < side and 0 <= middle[1] < side) or not built[int(middle[1]), int(middle[0])]:
                continue
            half = size * rng.uniform(0.4, 1.3, 2)
            box = _turn(np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * half, angle) + middle
            _polygon(draw, box + away, shadow)
            _polygon(draw, box, _pick(palette, rng))
    return canvas


def _trees(canvas: Image.Image, rng: np.random.Generator, present: np.ndarray) -> Image.Image:
    """Discs of one to four pixels in groves."""
    draw, side = ImageDraw.Draw(canvas), canvas.width
    palette = _palette(rng, 2, present)
    groves = _noise(rng, side, 3.0)
    for x, y in rng.uniform(0, side, (rng.integers(20, 400), 2)):
        if groves[int(y), int(x)] > 0.7:
            radius = rng.uniform(0.5, 2.0) * FINENESS
            draw.ellipse([x - radius, y - radius, x + radius, y + radius], fill=_pick(palette, rng))
    return canvas


Layer = Callable[[Image.Image, np.random.Generator, np.ndarray], Image.Image]
# One or two of the first, each of the others with a probability.
GROUNDS: tuple[Layer, ...] = (_parcels, _woods_and_waters, _leaves)
DETAILS: tuple[tuple[Layer, float], ...] = ((_streets, 0.5), (_buildings, 0.5), (_leaves, 0.3), (_trees, 0.4))
KINDS: tuple[Layer, ...] = tuple(dict.fromkeys((*GROUNDS, *(draw for draw, _ in DETAILS))))


def _noise(rng: np.random.Generator, side: int, slope: float) -> np.ndarray:
    """Noise whose power falls with the `slope`-th power of frequency, mean 0 and deviation 1: (side, side)."""
    spectrum = fft.rfft2(rng.standard_normal((side, side), np.float32))
    spectrum *= np.exp(-slope / 2 * _logarithm_of_frequency(side))
    spectrum[0, 0] = 0.0
    field = fft.irfft2(spectrum, (side, side))
    return field / field.std()


@cache
def _logarithm_of_frequency(side: int) -> np.ndarray:
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None])
    frequency[0, 0] = 1.0
    return np.log(frequency).astype(np.float32)


def _light(rng: np.random.Generator, side: int) -> np.ndarray:
    """Slow changes of illumination around 1: (side, side)."""
    return 1.0 + rng.exponential(0.05) * _noise(rng, side, 3.5)


def _coloured(objects: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Three channels for a map of objects, each material with colours and a texture of its own: (side, side, 3)."""
    side, materials = len(objects), objects // SHADES
    # The less the second and third axis carry, the more alike are the channels: from true colours to components.
    axes = np.linalg.qr(rng.normal(size=(3, 3)))[0] * (1.0, *rng.uniform(0.05, 1.0, 2))
    shades = rng.exponential(0.2) * rng.normal(size=(MATERIALS, SHADES, 3))
    colours = ((rng.normal(size=(MATERIALS, 1, 3)) + shades) @ axes.T).reshape(-1, 3).astype(np.float32)
    offset = 2.5  # keeps brightness positive, so that light multiplies
    pixels = colours[objects] + offset
    strength = rng.exponential(0.15)
    for _ in range(2):
        texture = _texture(rng, side)
        amount = rng.exponential(strength, (MATERIALS, 1)) * (rng.normal(size=(MATERIALS, 3)) @ axes.T)
        pixels = pixels + texture[..., None] * amount[materials].astype(np.float32)
    return pixels


def _texture(rng: np.random.Generator, side: int) -> np.ndarray:
    """Coloured noise, or stripes of sown rows with noise: (side, side)."""
    noise = _noise(rng, side, rng.uniform(0.0, 3.0))
    if rng.random() < 0.7:
        return noise
    angle, period = rng.uniform(0, np.pi), rng.uniform(2.0, 8.0) * FINENESS
    across = np.cos(angle) * np.arange(side)[:, None] + np.sin(angle) * np.arange(side)[None]
    return np.sqrt(2.0) * np.sin(2 * np.pi * across / period) + 0.5 * noise
