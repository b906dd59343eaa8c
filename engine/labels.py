"""Which pixels of a scene are labelled by which polygon."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
from affine import Affine
from rasterio.features import rasterize
from scipy.sparse import csr_array

from .cover import Cover
from .errors import EngineError
from .polygons import LandCoverClass, Part
from .progress import Progress

MAJORITY = 0.5
# Parts of a pixel's side of which each is in or out: of polygons so small that it decides on a label, and of others.
SUBPIXELS, COARSE_SUBPIXELS = 10, 4
# Sides in pixels of the tiles in which they are looked at, the larger, the more corners a polygon has, since it is
# handed over anew for each.
TILE, LARGEST_TILE = 32, 256
CORNERS = 100
# So many have outlines of areas of a raster, as a rule, which cut no pixel.
MOST_CORNERS = 10_000


@dataclass(frozen=True)
class Labels:
    """Labelled pixels.

    Attributes:
        rows, columns: (n,) int64 positions in the scene.
        class_ids: (n,) int64, counted from 1.
        polygons: (n,) int64, which polygon (single part), or group of polygons, a pixel belongs to.
        cover: how much of each pixel which polygons cover; None where that is not known.
    """

    rows: np.ndarray
    columns: np.ndarray
    class_ids: np.ndarray
    polygons: np.ndarray
    cover: Cover | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def select(self, keep: np.ndarray) -> Labels:
        """The pixels that a mask or an index array picks."""
        cover = None if self.cover is None else self.cover.select(keep)
        return Labels(self.rows[keep], self.columns[keep], self.class_ids[keep], self.polygons[keep], cover)


def join_groups(labels: Labels, parts: Sequence[Part]) -> Labels:
    """The same labels, with polygons of one group as one polygon, whatever their classes.

    Args:
        labels: of `label_pixels`.
        parts: what it was given; those without a group stay what they are.
    """
    first: dict[str, int] = {}
    joined = np.array([first.setdefault(p.group, index) if p.group else index for index, p in enumerate(parts)])
    cover = labels.cover and replace(labels.cover, polygons=joined)
    return replace(labels, polygons=joined[labels.polygons], cover=cover)


@dataclass
class _Claims:
    """Who claims which pixel, with which share of its area."""

    pixels: list[np.ndarray]
    parts: list[np.ndarray]
    cover: list[np.ndarray]

    def add(self, pixels: np.ndarray, part: int, cover: np.ndarray) -> None:
        self.pixels.append(pixels)
        self.parts.append(np.full(len(pixels), part))
        self.cover.append(cover)

    def arrays(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        if not self.pixels:
            return np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0)
        return np.concatenate(self.pixels), np.concatenate(self.parts), np.concatenate(self.cover)


def label_pixels(
    parts: Sequence[Part], classes: Sequence[LandCoverClass], height: int, width: int, progress: Progress,
    measure_cover: bool = False,
) -> Labels:  # fmt: skip
    """Find the pixels that polygons and points label.

    A pixel is labelled when its centre lies inside a polygon. Polygons that hold no pixel centre
    label the pixels of which one class covers more than half; a class that would have no pixel at
    all is given those that its polygons cover most. Points label the pixel they lie in. Pixels
    claimed by two classes are dropped and counted.

    Args:
        parts: single-part geometries in pixel coordinates.
        classes: for messages.
        height, width: of the scene in pixels.
        measure_cover: whether `Labels.cover` is wanted, which takes about twice the time.

    Raises:
        EngineError: no geometry touches the scene.
    """
    touched, centre, partial = _Claims([], [], []), _Claims([], [], []), _Claims([], [], [])
    outside = 0
    for index, part in enumerate(parts):
        left, top, right, bottom = part.bounds()
        # A polygon that only touches an edge covers nothing; a point on the left or upper one lies in a pixel.
        before = (right < 0 or bottom < 0) if part.is_point else (right <= 0 or bottom <= 0)
        if before or left >= width or top >= height:
            outside += 1
            continue
        pixels, cover, centred = _covered(part, height, width, measure_cover)
        if measure_cover:
            touched.add(pixels, index, cover)
        if centred.any():
            centre.add(pixels[centred], index, cover[centred])
        else:
            partial.add(pixels, index, cover)
    if outside == len(parts):
        raise EngineError(
            f"None of the {len(parts)} polygons lies on the scene; check that both show the same area and "
            "that their coordinate reference systems are set correctly."
        )
    if outside:
        progress.warning(f"{outside} of {len(parts)} polygons lie outside the scene and are left out.")
    class_of = np.array([p.class_id for p in parts])
    pixels, owners = _merge(centre.arrays(), partial.arrays(), class_of, classes, progress)
    idle = len(parts) - outside - len(np.unique(owners))
    if idle:
        progress.warning(
            f"{idle} of the {len(parts) - outside} polygons on the scene label no pixel: they are too small for its "
            "pixels, or lie in others."
        )
    rows, columns = np.divmod(pixels, width)
    measured = _cover(pixels, touched, class_of) if measure_cover else None
    return Labels(rows, columns, class_of[owners], owners, measured)


def _covered(part: Part, height: int, width: int, measure: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Flat indices of the pixels that a part touches, its share of each, and in which the centre is inside.

    Of a polygon with centres inside, touched pixels far from these are left out.

    Args:
        measure: whether the share is measured where centres are inside; taken as 1 in these pixels otherwise.
    """
    left, top, right, bottom = part.bounds()
    x0, y0 = max(int(np.floor(left)), 0), max(int(np.floor(top)), 0)
    x1, y1 = min(int(np.floor(right)), width - 1), min(int(np.floor(bottom)), height - 1)
    shape = (y1 - y0 + 1, x1 - x0 + 1)
    if part.is_point:
        return np.array([y0 * width + x0]), np.ones(1), np.ones(1, bool)
    geometry = {"type": "Polygon", "coordinates": [ring.tolist() for ring in part.rings]}
    inside = rasterize([geometry], shape, transform=Affine.translation(x0, y0), dtype="uint8")
    tiny = not inside.any()
    subpixels = SUBPIXELS if tiny else COARSE_SUBPIXELS
    # What lies beyond the rectangle around the polygon is outside it.
    around = np.pad(inside, 1)
    corners = sum(len(ring) for ring in part.rings)
    measured = measure and corners <= MOST_CORNERS
    side = LARGEST_TILE if tiny else int(min(TILE * max(corners / CORNERS, 1.0) ** 0.5, LARGEST_TILE))
    pixels, cover, centred = [], [], []
    for tile_top, tile_left in product(range(0, shape[0], side), range(0, shape[1], side)):
        tile = inside[tile_top : tile_top + side, tile_left : tile_left + side]
        near = around[tile_top : tile_top + side + 2, tile_left : tile_left + side + 2]
        if near.all() or not (tiny or measured):
            share = tile.astype(np.float32)
        elif near.any() or tiny:
            share = _shares(geometry, y0 + tile_top, x0 + tile_left, tile.shape, subpixels)
        else:
            continue
        # A sliver may cross a centre between the parts.
        share = np.maximum(share, tile / np.float32(subpixels**2))
        rows, columns = np.nonzero(share)
        pixels.append((rows + y0 + tile_top) * width + columns + x0 + tile_left)
        cover.append(share[rows, columns])
        centred.append(tile[rows, columns].astype(bool))
    return np.concatenate(pixels), np.concatenate(cover), np.concatenate(centred)


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


def _cover(pixels: np.ndarray, touched: _Claims, class_of: np.ndarray) -> Cover:
    """How much of labelled pixels, sorted flat indices, every part covers."""
    claimed, parts, share = touched.arrays()
    place = np.searchsorted(pixels, claimed).clip(max=max(len(pixels) - 1, 0))
    here = pixels[place] == claimed if len(pixels) else np.zeros(len(claimed), bool)
    shares = csr_array(
        (share[here].astype(np.float32), (place[here], parts[here])), shape=(len(pixels), len(class_of))
    )  # fmt: skip
    return Cover(shares, class_of, np.arange(len(class_of)))


def _merge(
    centre: tuple[np.ndarray, np.ndarray, np.ndarray],
    partial: tuple[np.ndarray, np.ndarray, np.ndarray],
    class_of: np.ndarray,
    classes: Sequence[LandCoverClass],
    progress: Progress,
) -> tuple[np.ndarray, np.ndarray]:
    """One owner per pixel: sorted flat pixel indices and the part that owns each."""
    pixels, owners, cover = _majority(*partial, class_of)
    won = cover > MAJORITY
    labelled = set(class_of[np.concatenate([centre[1], owners[won]])].tolist())
    for land_cover in classes:
        ours = (class_of[owners] == land_cover.id) & ~np.isin(pixels, centre[0])
        if land_cover.id not in labelled and ours.any():
            won |= ours & (cover >= cover[ours].max() - 1e-6)
            progress.warning(
                f"The polygons of class '{land_cover.name}' cover no pixel by more than half; the pixels they "
                "cover most are used."
            )
    claimed = np.concatenate([centre[0], pixels[won]])
    claimants = np.concatenate([centre[1], owners[won]])
    order = np.lexsort((claimants, claimed))
    claimed, claimants = claimed[order], claimants[order]
    unique, first, inverse = np.unique(claimed, return_index=True, return_inverse=True)
    conflicting = np.zeros(len(unique), bool)
    conflicting[inverse[class_of[claimants] != class_of[claimants[first]][inverse]]] = True
    if conflicting.any():
        progress.warning(f"{conflicting.sum()} pixel(s) lie in polygons of different classes and are left out.")
    return unique[~conflicting], claimants[first][~conflicting]


def _majority(
    pixels: np.ndarray, parts: np.ndarray, cover: np.ndarray, class_of: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Per pixel the class that covers most of it: pixel, the class's largest part there, the class's cover."""
    if not len(pixels):
        return pixels, parts, cover
    ids = class_of[parts]
    order = np.lexsort((-cover, ids, pixels))
    pixels, parts, cover, ids = pixels[order], parts[order], cover[order], ids[order]
    starts = np.flatnonzero(np.r_[True, (np.diff(pixels) != 0) | (np.diff(ids) != 0)])
    summed = np.minimum(np.add.reduceat(cover, starts), 1.0)
    pixels, parts = pixels[starts], parts[starts]
    order = np.lexsort((-summed, pixels))
    pixels, parts, summed = pixels[order], parts[order], summed[order]
    best = np.flatnonzero(np.r_[True, np.diff(pixels) != 0])
    return pixels[best], parts[best], summed[best]


def count_by_class(labels: Labels, classes: Sequence[LandCoverClass]) -> dict[int, tuple[int, int]]:
    """Pixels and polygons of every class id."""
    return {
        c.id: (
            int((labels.class_ids == c.id).sum()),
            len(np.unique(labels.polygons[labels.class_ids == c.id])),
        )
        for c in classes
    }
