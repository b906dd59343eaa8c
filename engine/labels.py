"""Which pixels of a scene are labelled by which polygon."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from affine import Affine
from rasterio.features import rasterize

from .errors import EngineError
from .polygons import LandCoverClass, Part
from .progress import Progress

SUBPIXELS = 10
MAJORITY = 0.5
# Subpixels that are looked at together.
STRIP_VALUES = 10_000_000


@dataclass(frozen=True)
class Labels:
    """Labelled pixels.

    Attributes:
        rows, columns: (n,) int64 positions in the scene.
        class_ids: (n,) int64, counted from 1.
        polygons: (n,) int64, which polygon (single part), or group of polygons, a pixel belongs to.
    """

    rows: np.ndarray
    columns: np.ndarray
    class_ids: np.ndarray
    polygons: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)

    def select(self, keep: np.ndarray) -> Labels:
        """The pixels that a mask or an index array picks."""
        return Labels(self.rows[keep], self.columns[keep], self.class_ids[keep], self.polygons[keep])


def join_groups(labels: Labels, parts: Sequence[Part]) -> Labels:
    """The same labels, with polygons of one group as one polygon, whatever their classes.

    Args:
        labels: of `label_pixels`.
        parts: what it was given; those without a group stay what they are.
    """
    first: dict[str, int] = {}
    joined = [first.setdefault(part.group, index) if part.group else index for index, part in enumerate(parts)]
    return replace(labels, polygons=np.array(joined)[labels.polygons])


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
    parts: Sequence[Part], classes: Sequence[LandCoverClass], height: int, width: int, progress: Progress
) -> Labels:
    """Find the pixels that polygons and points label.

    A pixel is labelled when its centre lies inside a polygon. Polygons that hold no pixel centre
    label the pixels of which one class covers more than half; a class that would have no pixel at
    all is given those that its polygons cover most. Points label the pixel they lie in. Pixels
    claimed by two classes are dropped and counted.

    Args:
        parts: single-part geometries in pixel coordinates.
        classes: for messages.
        height, width: of the scene in pixels.

    Raises:
        EngineError: no geometry touches the scene.
    """
    centre, partial = _Claims([], [], []), _Claims([], [], [])
    outside = 0
    for index, part in enumerate(parts):
        left, top, right, bottom = part.bounds()
        # A polygon that only touches an edge covers nothing; a point on the left or upper one lies in a pixel.
        before = (right < 0 or bottom < 0) if part.is_point else (right <= 0 or bottom <= 0)
        if before or left >= width or top >= height:
            outside += 1
            continue
        pixels, cover, is_partial = _covered(part, height, width)
        (partial if is_partial else centre).add(pixels, index, cover)
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
    return Labels(rows, columns, class_of[owners], owners)


def _covered(part: Part, height: int, width: int) -> tuple[np.ndarray, np.ndarray, bool]:
    """Flat indices of covered pixels, covered share of each, and whether no centre is inside."""
    left, top, right, bottom = part.bounds()
    x0, y0 = max(int(np.floor(left)), 0), max(int(np.floor(top)), 0)
    x1, y1 = min(int(np.floor(right)), width - 1), min(int(np.floor(bottom)), height - 1)
    shape = (y1 - y0 + 1, x1 - x0 + 1)
    if part.is_point:
        return np.array([y0 * width + x0]), np.ones(1), False
    geometry = {"type": "Polygon", "coordinates": [ring.tolist() for ring in part.rings]}
    inside = rasterize([geometry], shape, transform=Affine.translation(x0, y0), dtype="uint8").astype(bool)
    rows, columns = np.nonzero(inside)
    if len(rows):
        return (rows + y0) * width + columns + x0, np.ones(len(rows)), False
    # In strips: what is left where polygons were cut may be long, and the rectangle around it large.
    most = max(STRIP_VALUES // (shape[1] * SUBPIXELS**2), 1)
    pixels, cover = [], []
    for top_row in range(y0, y1 + 1, most):
        strip = min(most, y1 + 1 - top_row)
        fine = rasterize(
            [geometry],
            (strip * SUBPIXELS, shape[1] * SUBPIXELS),
            transform=Affine(1 / SUBPIXELS, 0, x0, 0, 1 / SUBPIXELS, top_row),
            dtype="uint8",
        )
        counts = fine.reshape(strip, SUBPIXELS, shape[1], SUBPIXELS).sum((1, 3), dtype=np.uint8)
        rows, columns = np.nonzero(counts)
        pixels.append((rows + top_row) * width + columns + x0)
        cover.append(counts[rows, columns] / SUBPIXELS**2)
    return np.concatenate(pixels), np.concatenate(cover), True


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
