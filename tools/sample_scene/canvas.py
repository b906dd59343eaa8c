"""The subpixel grid and what is painted on it, cell by cell: cover, object, height and surface texture."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from .classes import LandCover

Floats = NDArray[np.float64]
Texture = NDArray[np.floating]
Mask = NDArray[np.bool_]
Window = tuple[slice, slice]

EVERYWHERE: Window = (slice(None), slice(None))


def window_around(mask: Mask) -> Window:
    """The smallest window that holds all of a mask, which must not be empty."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


@dataclass(frozen=True)
class Grid:
    """A square scene of `pixels` x `pixels`, each divided into `oversample` x `oversample` cells."""

    pixels: int = 160
    oversample: int = 5
    pixel_size: float = 10.0
    """Metres."""

    @property
    def cells(self) -> int:
        """Cells along one side."""
        return self.pixels * self.oversample

    @property
    def cell_size(self) -> float:
        """Metres."""
        return self.pixel_size / self.oversample

    @property
    def extent(self) -> float:
        """Length of one side in metres."""
        return self.pixels * self.pixel_size

    def cell_centres(self, window: Window = EVERYWHERE) -> tuple[Floats, Floats]:
        """x (to the right) and y (downwards) of the cell centres, metres from the upper left corner."""
        axis = (np.arange(self.cells) + 0.5) * self.cell_size
        x, y = np.meshgrid(axis[window[1]], axis[window[0]])
        return x, y

    def pixel_centres(self) -> tuple[Floats, Floats]:
        """x and y of the pixel centres, each (pixels, pixels), metres from the upper left corner."""
        axis = (np.arange(self.pixels) + 0.5) * self.pixel_size
        x, y = np.meshgrid(axis, axis)
        return x, y

    def window(self, x: float, y: float, reach: float) -> Window:
        """The cells within `reach` metres of a point along both axes, clipped to the grid."""
        low = [max(0, int((c - reach) / self.cell_size)) for c in (y, x)]
        high = [min(self.cells, int((c + reach) / self.cell_size) + 1) for c in (y, x)]
        return slice(low[0], max(low[0], high[0])), slice(low[1], max(low[1], high[1]))


@dataclass(frozen=True)
class Patch:
    """One object on the ground (a field, a roof, a stand of trees): its class and its two materials.

    Each cell mixes the main material with the second one (`mix`); both spectra are drawn once per patch.
    """

    cover: LandCover
    material: str
    second: str


@dataclass
class Canvas:
    """Arrays of shape (cells, cells); later objects are painted over earlier ones."""

    grid: Grid
    label: NDArray[np.uint8] = field(init=False)
    """Class id."""
    patch: NDArray[np.int32] = field(init=False)
    """Index into `patches`."""
    height: Floats = field(init=False)
    """Metres above the ground."""
    mix: Floats = field(init=False)
    """Share of the second material, 0..1."""
    tone: Floats = field(init=False)
    """Brightness of the surface relative to its material, around 1."""
    patches: list[Patch] = field(default_factory=list)

    def __post_init__(self) -> None:
        shape = (self.grid.cells, self.grid.cells)
        self.label = np.zeros(shape, dtype=np.uint8)
        self.patch = np.full(shape, -1, dtype=np.int32)
        self.height = np.zeros(shape)
        self.mix = np.zeros(shape)
        self.tone = np.ones(shape)

    def add(self, patch: Patch) -> int:
        """Register an object and return its index."""
        self.patches.append(patch)
        return len(self.patches) - 1

    def paint(
        self,
        mask: Mask,
        patch: int | NDArray[np.int32],
        *,
        window: Window = EVERYWHERE,
        height: float | Texture = 0.0,
        mix: float | Texture = 0.0,
        tone: float | Texture = 1.0,
    ) -> None:
        """Paint patches (one index, or one per cell) where `mask`; arrays have the shape of the window."""
        covers = np.array([p.cover.id for p in self.patches], dtype=np.uint8)
        self.label[window][mask] = np.broadcast_to(covers[patch], mask.shape)[mask]
        self.patch[window][mask] = np.broadcast_to(patch, mask.shape)[mask]
        self.height[window][mask] = np.broadcast_to(height, mask.shape)[mask]
        self.mix[window][mask] = np.clip(np.broadcast_to(mix, mask.shape)[mask], 0.0, 1.0)
        self.tone[window][mask] = np.broadcast_to(tone, mask.shape)[mask]
