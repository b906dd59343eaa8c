"""Tree crowns: every tree is a paraboloid or a cone on a jittered lattice, so that a stand has texture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .canvas import Canvas

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Species:
    """Size and shape of the trees of one kind."""

    spacing: float
    """Distance between stems in a closed stand, metres."""
    radius: tuple[float, float]
    """Smallest and largest crown radius, metres."""
    height: tuple[float, float]
    """Smallest and largest tree, metres."""
    pointed: float
    """Exponent of the crown profile: 1 is a cone, 2 a dome."""


BROADLEAVED_TREES = Species(spacing=8.5, radius=(3.5, 6.5), height=(12.0, 22.0), pointed=2.2)
CONIFEROUS_TREES = Species(spacing=5.5, radius=(2.2, 3.6), height=(15.0, 21.0), pointed=1.2)


@dataclass(frozen=True)
class Crowns:
    """Rendered crowns; arrays of shape (cells, cells)."""

    mask: Mask
    height: Floats
    """Metres above the ground, 0 where there is no crown."""
    lot: Floats
    """One random number 0..1 per tree: what tells its leaves from its neighbour's."""
    depth: Floats
    """0 at the top of the crown, 1 at its rim."""


def grow(canvas: Canvas, species: Species, density: Floats, rng: np.random.Generator) -> Crowns:
    """Let trees stand where a random number is below `density` (cells, cells; 0..1) at their stem.

    Stems stand on a jittered lattice, so a cell can only be under the crowns of the nine nearest lattice
    points; the highest of them is what is seen from above.
    """
    grid = canvas.grid
    count = int(np.ceil(grid.extent / species.spacing)) + 2
    index = np.arange(count)
    stem_x = (index[None, :] - 0.5 + rng.uniform(-0.45, 0.45, (count, count))) * species.spacing
    stem_y = (index[:, None] - 0.5 + rng.uniform(-0.45, 0.45, (count, count))) * species.spacing
    size = rng.uniform(size=(count, count))
    radius = species.radius[0] + size * (species.radius[1] - species.radius[0])
    top = species.height[0] + (0.7 * size + 0.3 * rng.uniform(size=size.shape)) * (
        species.height[1] - species.height[0]
    )
    lot = rng.uniform(size=size.shape)
    row = np.clip((stem_y / grid.cell_size).astype(int), 0, grid.cells - 1)
    column = np.clip((stem_x / grid.cell_size).astype(int), 0, grid.cells - 1)
    stands = rng.uniform(size=size.shape) < density[row, column]

    x, y = grid.cell_centres()
    home_row = (y[:, 0] / species.spacing + 1.0).astype(int)
    home_column = (x[0] / species.spacing + 1.0).astype(int)
    shape = (grid.cells, grid.cells)
    result = Crowns(np.zeros(shape, bool), np.zeros(shape), np.zeros(shape), np.ones(shape))
    for step_row in (-1, 0, 1):
        for step_column in (-1, 0, 1):
            tree = np.ix_(
                np.clip(home_row + step_row, 0, count - 1), np.clip(home_column + step_column, 0, count - 1)
            )
            distance = np.hypot(x - stem_x[tree], y - stem_y[tree]) / radius[tree]
            crown = top[tree] - 0.55 * top[tree] * distance**species.pointed
            seen = stands[tree] & (distance < 1.0) & (crown > result.height)
            result.mask[seen] = True
            result.height[seen] = crown[seen]
            result.lot[seen] = lot[tree][seen]
            result.depth[seen] = distance[seen]
    return result
