"""Which pixels of a scene a polygon touches, its share of each, and in which the centre lies inside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from affine import Affine
from rasterio.features import rasterize

from .polygons import Part

# Parts of a pixel's side of which each is in or out: of polygons so small that it decides on a label, and of others.
SUBPIXELS, COARSE_SUBPIXELS = 10, 4
# Sides in pixels of the tiles in which they are looked at, the larger, the more corners a polygon has, since it is
# handed over anew for each.
TILE, LARGEST_TILE = 32, 256
CORNERS = 100
# So many have outlines of areas of a raster, as a rule, which cut no pixel.
MOST_CORNERS = 10_000


class Claims:
    """Which polygon claims which pixel, with which share of its area."""

    def __init__(self) -> None:
        self._pixels = [np.empty(0, np.int64)]
        self._parts = [np.empty(0, np.int64)]
        self._cover = [np.empty(0, np.float32)]

    def add(self, pixels: np.ndarray, part: int, cover: np.ndarray) -> None:
        """Claim flat indices of pixels for a polygon."""
        self._pixels.append(pixels)
        self._parts.append(np.full(len(pixels), part))
        self._cover.append(cover)

    def arrays(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Pixels, polygons and shares (n,)."""
        return np.concatenate(self._pixels), np.concatenate(self._parts), np.concatenate(self._cover)


@dataclass(frozen=True)
class Strip:
    """Rows of a scene from `first` to before `last`, all of its width, and the polygons or points that reach them."""

    first: int
    last: int
    width: int
    parts: Sequence[tuple[int, Part]]

    def holds(self, pixels: np.ndarray) -> np.ndarray:
        """Which of some flat indices of pixels lie in the strip."""
        return (pixels >= self.first * self.width) & (pixels < self.last * self.width)

    def holds_centre(self, part: Part) -> bool:
        """Whether the centre of a pixel of the strip lies inside a part."""
        return part.is_point or bool(_inside(part, *self._box(part))[1:-1, 1:-1].any())

    def covered(self, part: Part, tiny: bool, measure: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Flat indices of the pixels that a part touches, its share of each, and in which the centre is inside.

        Of a polygon with centres inside, touched pixels far from these are left out.

        Args:
            tiny: whether it holds no pixel's centre, in no strip.
            measure: whether the share is measured where centres are inside; taken as 1 in these pixels otherwise.
        """
        top, left, height, width = self._box(part)
        if part.is_point:
            return np.array([top * self.width + left]), np.ones(1, np.float32), np.ones(1, bool)
        around = _inside(part, top, left, height, width)
        subpixels = SUBPIXELS if tiny else COARSE_SUBPIXELS
        corners = sum(len(ring) for ring in part.rings)
        measured = measure and corners <= MOST_CORNERS
        side = LARGEST_TILE if tiny else int(min(TILE * max(corners / CORNERS, 1.0) ** 0.5, LARGEST_TILE))
        geometry = part.geometry()
        # In a strip there may be no centre inside, nor near.
        pixels, cover, centred = ([np.empty(0, kind)] for kind in (np.int64, np.float32, bool))
        for tile_top, tile_left in product(range(0, height, side), range(0, width, side)):
            near = around[tile_top : tile_top + side + 2, tile_left : tile_left + side + 2]
            tile = near[1:-1, 1:-1]
            if near.all() or not (tiny or measured):
                share = tile.astype(np.float32)
            elif near.any() or tiny:
                share = _shares(geometry, top + tile_top, left + tile_left, tile.shape, subpixels)
            else:
                continue
            # A sliver may cross a centre between the parts.
            share = np.maximum(share, tile / np.float32(subpixels**2))
            rows, columns = np.nonzero(share)
            pixels.append((rows + top + tile_top) * self.width + columns + left + tile_left)
            cover.append(share[rows, columns])
            centred.append(tile[rows, columns].astype(bool))
        return np.concatenate(pixels), np.concatenate(cover), np.concatenate(centred)

    def _box(self, part: Part) -> tuple[int, int, int, int]:
        """Top, left, height and width in pixels of the rectangle around a part, as far as it lies in the strip."""
        left, top, right, bottom = (int(np.floor(bound)) for bound in part.bounds())
        top, left = max(top, self.first), max(left, 0)
        return top, left, min(bottom, self.last - 1) - top + 1, min(right, self.width - 1) - left + 1


def _inside(part: Part, top: int, left: int, height: int, width: int) -> np.ndarray:
    """Whether the centre is inside, of the pixels of a rectangle and those around it (height + 2, width + 2) uint8."""
    transform = Affine.translation(left - 1, top - 1)
    return rasterize([part.geometry()], (height + 2, width + 2), transform=transform, dtype="uint8")


def _shares(geometry: dict[str, Any], top: int, left: int, shape: tuple[int, ...], subpixels: int) -> np.ndarray:
    """Share (0..1) of a polygon in each pixel of a tile, by how many parts of the pixel have their centre inside."""
    height, width = shape
    fine = rasterize(
        [geometry], (height * subpixels, width * subpixels),
        transform=Affine(1 / subpixels, 0, left, 0, 1 / subpixels, top), dtype="uint8",
    )  # fmt: skip
    # Whole rows at a time, several times faster than both axes at once.
    in_rows = fine.reshape(height, subpixels, width * subpixels).sum(1, dtype=np.uint8)
    counts = in_rows.reshape(height, width, subpixels).sum(2, dtype=np.uint8)
    return counts / np.float32(subpixels**2)
