"""Which pixels of a scene are labelled by which polygon."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.sparse import csr_array

from .cover import Cover
from .errors import EngineError
from .polygons import LandCoverClass, Part
from .progress import Progress
from .strips import Claims, Strip

MAJORITY = 0.5
# So many pixels of a scene are labelled at a time, which takes some hundred bytes each, in whole rows.
STRIP_PIXELS, STRIP_ROWS = 2_000_000, 64


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

    @classmethod
    def join(cls, parts: Sequence[Labels]) -> Labels:
        """All of several, which all have a cover, or none."""
        rows, columns, class_ids, polygons = (
            np.concatenate([getattr(part, name) for part in parts])
            for name in ("rows", "columns", "class_ids", "polygons")
        )
        covers = [part.cover for part in parts if part.cover is not None]
        return cls(rows, columns, class_ids, polygons, Cover.join(covers) if covers else None)


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
    return Labels.join(list(label_strips(parts, classes, height, width, progress, measure_cover)))


def label_strips(
    parts: Sequence[Part], classes: Sequence[LandCoverClass], height: int, width: int, progress: Progress,
    measure_cover: bool = False,
) -> Iterator[Labels]:  # fmt: skip
    """The same strip by strip, from above, since polygons may cover all of a large scene.

    The last warnings come after the last strip.
    """
    strips, on_scene = _strips(parts, height, width, progress)
    class_of = np.array([p.class_id for p in parts])
    tiny = np.ones(len(parts), bool)
    for strip in strips:
        for index, part in strip.parts:
            tiny[index] = tiny[index] and not strip.holds_centre(part)
    partial = Claims()
    for strip in strips:
        _claim(strip, tiny, partial)
    pixels, owners = _choose(partial, strips, tiny, on_scene, class_of, classes, progress)
    used = np.zeros(len(parts), bool)
    conflicts = 0
    for strip in strips:
        centre, touched = Claims(), Claims()
        _claim(strip, ~tiny, touched, centre, measure_cover)
        here = strip.holds(pixels)
        labelled, owner, conflicting = _merge(centre, pixels[here], owners[here], class_of)
        conflicts += conflicting
        used[owner] = True
        rows, columns = np.divmod(labelled, width)
        measured = None
        if measure_cover:
            _claim(strip, tiny, touched)
            measured = _cover(labelled, touched, class_of)
        yield Labels(rows, columns, class_of[owner], owner, measured)
    if conflicts:
        progress.warning(f"{conflicts} pixel(s) lie in polygons of different classes and are left out.")
    if idle := on_scene.sum() - used.sum():
        progress.warning(
            f"{idle} of the {on_scene.sum()} polygons on the scene label no pixel: they are too small for its "
            "pixels, or lie in others."
        )


def _strips(parts: Sequence[Part], height: int, width: int, progress: Progress) -> tuple[list[Strip], np.ndarray]:
    """The strips of a scene that parts reach, and which parts (n,) lie on the scene."""
    left, top, right, bottom = np.array([part.bounds() for part in parts]).reshape(-1, 4).T
    points = np.array([part.is_point for part in parts], bool)
    # A polygon that only touches an edge covers nothing; a point on the left or upper one lies in a pixel.
    before = np.where(points, (right < 0) | (bottom < 0), (right <= 0) | (bottom <= 0))
    on_scene = ~(before | (left >= width) | (top >= height))
    if not on_scene.any():
        none = f"None of the {len(parts)} polygons lies on the scene"
        if len(parts) and bottom.max() <= 0 and top.min() >= -height and left.min() >= 0 and right.max() <= width:
            # There GDAL's y grows from row to row, while QGIS's falls.
            raise EngineError(
                f"{none}; they are right above it, as Polygonize puts them where a raster has no place in the world. "
                "Give the scene and the label raster one first (in QGIS: Raster > Conversion > Translate, additional "
                f"command-line parameters -a_ullr 0 {height} {width} 0), and polygonize again."
            )
        raise EngineError(
            f"{none}; check that both show the same area and that their coordinate reference systems are set "
            "correctly."
        )
    if not on_scene.all():
        progress.warning(f"{(~on_scene).sum()} of {len(parts)} polygons lie outside the scene and are left out.")
    rows = max(STRIP_PIXELS // width // STRIP_ROWS, 1) * STRIP_ROWS
    strips = []
    for first in range(0, height, rows):
        last = min(first + rows, height)
        reaching = np.flatnonzero(on_scene & (top < last) & (bottom >= first))
        if len(reaching):
            strips.append(Strip(first, last, width, [(index, parts[index]) for index in reaching.tolist()]))
    return strips, on_scene


def _claim(
    strip: Strip, which: np.ndarray, touched: Claims, centre: Claims | None = None, measure: bool = True
) -> None:
    """Add what some parts (a mask) of a strip touch and, apart, the pixels whose centre they hold."""
    for index, part in strip.parts:
        if which[index]:
            pixels, cover, centred = strip.covered(part, centre is None, measure)
            if measure:
                touched.add(pixels, index, cover)
            if centre is not None:
                centre.add(pixels[centred], index, cover[centred])


def _cover(pixels: np.ndarray, touched: Claims, class_of: np.ndarray) -> Cover:
    """How much of labelled pixels, sorted flat indices, every part covers."""
    claimed, parts, share = touched.arrays()
    here = np.isin(claimed, pixels)
    places = np.searchsorted(pixels, claimed[here])
    shares = csr_array((share[here], (places, parts[here])), shape=(len(pixels), len(class_of)), dtype=np.float32)
    return Cover(shares, class_of, np.arange(len(class_of)))


def _choose(
    partial: Claims,
    strips: Sequence[Strip],
    tiny: np.ndarray,
    on_scene: np.ndarray,
    class_of: np.ndarray,
    classes: Sequence[LandCoverClass],
    progress: Progress,
) -> tuple[np.ndarray, np.ndarray]:
    """The pixels that parts without a pixel's centre label, sorted, and the part that each belongs to."""
    pixels, owners, cover = _majority(*partial.arrays(), class_of)
    won = cover > MAJORITY
    labelled = set(class_of[on_scene & ~tiny].tolist()) | set(class_of[owners[won]].tolist())
    for land_cover in classes:
        ours = class_of[owners] == land_cover.id
        if land_cover.id in labelled or not ours.any():
            continue
        ours[ours] = ~_within(pixels[ours], strips, ~tiny)
        if ours.any():
            won |= ours & (cover >= cover[ours].max() - 1e-6)
            progress.warning(
                f"The polygons of class '{land_cover.name}' cover no pixel by more than half; the pixels they "
                "cover most are used."
            )
    return pixels[won], owners[won]


def _within(pixels: np.ndarray, strips: Sequence[Strip], which: np.ndarray) -> np.ndarray:
    """Whether some parts (a mask) hold the centres of pixels (n,)."""
    found = np.zeros(len(pixels), bool)
    for strip in strips:
        here = strip.holds(pixels)
        if here.any():
            centre = Claims()
            _claim(strip, which, Claims(), centre, measure=False)
            found[here] = np.isin(pixels[here], centre.arrays()[0])
    return found


def _merge(
    centre: Claims, pixels: np.ndarray, owners: np.ndarray, class_of: np.ndarray
) -> tuple[np.ndarray, np.ndarray, int]:
    """One owner per pixel: sorted flat pixel indices, the part that owns each, and how many were left out.

    Args:
        centre: by parts that hold a pixel's centre.
        pixels, owners: of the others.
    """
    inside, holders, _ = centre.arrays()
    claimed, claimants = np.concatenate([inside, pixels]), np.concatenate([holders, owners])
    order = np.lexsort((claimants, claimed))
    claimed, claimants = claimed[order], claimants[order]
    unique, first, inverse = np.unique(claimed, return_index=True, return_inverse=True)
    conflicting = np.zeros(len(unique), bool)
    conflicting[inverse[class_of[claimants] != class_of[claimants[first]][inverse]]] = True
    return unique[~conflicting], claimants[first][~conflicting], int(conflicting.sum())


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
