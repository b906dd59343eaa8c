"""Neighbouring pixels that look alike vote together: fewer single wrong pixels in the map, and borders stay sharp."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from rasterio.windows import Window

from .outputs import BLOCK_ROWS

RADIUS = 2
# From one voter to the next, in pixels, round by round; each round hears what the one before came to.
STEPS = (1, 2)
REACH = RADIUS * sum(STEPS)
# A grid with up to so many places for each pixel is faster than looking for pairs of pixels.
PLACES_PER_PIXEL = 2
# Of each pair of pixels only one sees the other.
OFFSETS = [
    (down, right) for down in range(RADIUS + 1) for right in range(-RADIUS, RADIUS + 1) if (down, right) > (0, 0)
]
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Smoothing:
    """How much the pixels around one have to say about it.

    Attributes:
        shares: of each round of `STEPS` that is held: 0 (each pixel for itself) to 1 (it counts as much as one that
            looks the same).
        noise: variance of the noise of projected spectra, summed over their components.
    """

    shares: tuple[float, ...] = ()
    noise: float = 1.0

    @property
    def reach(self) -> int:
        """How many pixels away a pixel can matter."""
        return reach_of(len(self.shares))

    def apply(
        self, logits: np.ndarray, spectra: np.ndarray, rows: np.ndarray, columns: np.ndarray,
        device: torch.device = CPU,
    ) -> np.ndarray:  # fmt: skip
        """Smoothed logits (members, n, C); arguments as in `average_alike`."""
        for step, share in zip(STEPS, self.shares):
            logits = mix(logits, average_alike(logits, spectra, rows, columns, self.noise, step, device), share)
        return logits


def reach_of(rounds: int) -> int:
    """How many pixels away a pixel can matter in so many rounds."""
    return RADIUS * sum(STEPS[:rounds])


def mix(own: np.ndarray, averaged: np.ndarray, share: float) -> np.ndarray:
    """Logits in which those averaged over neighbours have a share (0..1)."""
    return (1 - share) * own + share * averaged


def average_alike(
    logits: np.ndarray, spectra: np.ndarray, rows: np.ndarray, columns: np.ndarray, noise: float, step: int,
    device: torch.device = CPU,
) -> np.ndarray:  # fmt: skip
    """Averages over 5 x 5 pixels in which one counts the less, the more its spectrum differs.

    The weight of a pixel at the squared distance d^2 is exp(-d^2 / noise), where noise alone makes d^2 = 2 * noise on
    average.

    Source: Tomasi & Manduchi (1998), Bilateral filtering for gray and color images; here without a weight by distance
    in space, and of logits (a logarithmic opinion pool). Rounds with growing steps: Dammertz et al. (2010),
    Edge-avoiding a-trous wavelet transform for fast global illumination filtering.

    Args:
        logits: (members, n, C) of valid pixels.
        spectra: (n, k) projected.
        rows, columns: (n,) positions in raster order, none twice. Pixels that are not among them do not count.
        noise: see `Smoothing`.
        step: from one of the 5 x 5 pixels to the next.
        device: where it is computed.
    """
    if not len(rows):
        return logits
    # Wide enough that no step to the side ends in another row.
    width = int(columns.max() - columns.min()) + 1 + step * RADIUS
    keys = ((rows - rows[0]) * width + columns - columns.min()).astype(np.int64)
    size = int(keys[-1]) + 1
    said, seen = (torch.from_numpy(np.ascontiguousarray(values)).to(device) for values in (logits, spectra))
    if size > PLACES_PER_PIXEL * len(keys):
        return _average(said, seen, said.new_ones(len(keys)), noise, step, width, keys).cpu().numpy()
    places = torch.from_numpy(keys).to(device)
    filled = said.new_zeros(size).index_fill(0, places, 1.0)
    said_there = said.new_zeros(len(said), size, said.shape[2]).index_copy(1, places, said)
    seen_there = seen.new_zeros(size, seen.shape[1]).index_copy(0, places, seen)
    return _average(said_there, seen_there, filled, noise, step, width, None)[:, places].cpu().numpy()


def _average(
    logits: torch.Tensor, spectra: torch.Tensor, filled: torch.Tensor, noise: float, step: int, width: int,
    keys: np.ndarray | None,
) -> torch.Tensor:  # fmt: skip
    """The averages of `average_alike` over places in rows of a width.

    Args:
        filled: (n,) 1 where there is a pixel, 0 where there is none.
        keys: (n,) places, ascending; None for all from the first to the last, which spares looking for them.
    """
    total, weights = logits.clone(), torch.ones_like(filled)
    for down, right in OFFSETS:
        ours, theirs = _pairs(step * (down * width + right), len(filled), keys, filled.device)
        distance = (spectra[ours] - spectra[theirs]).square_().sum(1)
        weight = torch.exp(distance / -max(noise, 1e-12)) * filled[ours] * filled[theirs]
        for here, there in ((ours, theirs), (theirs, ours)):
            total[:, here] += weight[:, None] * logits[:, there]
            weights[here] += weight
    return total / weights[:, None]


def _pairs(
    offset: int, count: int, keys: np.ndarray | None, device: torch.device
) -> tuple[slice, slice] | tuple[torch.Tensor, torch.Tensor]:
    """Indices of places and of those so much further on."""
    if keys is None:
        return slice(0, max(count - offset, 0)), slice(offset, None)
    found = np.searchsorted(keys, keys + offset).clip(max=count - 1)
    ours = np.flatnonzero(keys[found] == keys + offset)
    return torch.from_numpy(ours).to(device), torch.from_numpy(found[ours]).to(device)


def around(rows: np.ndarray, columns: np.ndarray, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns, in raster order, of some pixels of a scene and of all that can matter for them."""
    steps = np.arange(-REACH, REACH + 1)
    all_rows, all_columns = np.broadcast_arrays(rows[:, None, None] + steps[:, None], columns[:, None, None] + steps)
    inside = (all_rows >= 0) & (all_rows < height) & (all_columns >= 0) & (all_columns < width)
    found_rows, found_columns = np.divmod(np.unique(all_rows[inside] * width + all_columns[inside]), width)
    return found_rows, found_columns


@dataclass(frozen=True)
class ScoredRows:
    """Consecutive rows of a strip of a scene.

    Attributes:
        window: the columns of the strip, and the rows from the first to the last of the arrays.
        spectra: (k, height, span) projected, where the span may reach beyond the window's columns on both sides.
        valid: (height, span).
        logits: (members, C, height, span), anything where not valid; the votes of experts may follow.
    """

    window: Window
    spectra: np.ndarray
    valid: np.ndarray
    logits: np.ndarray

    @property
    def bottom(self) -> int:
        """The row after the last one."""
        return int(self.window.row_off + self.window.height)

    def below(self, row: int) -> ScoredRows:
        """The rows from one on."""
        skipped = row - int(self.window.row_off)
        window = Window(self.window.col_off, row, self.window.width, self.bottom - row)
        return ScoredRows(window, self.spectra[:, skipped:], self.valid[skipped:], self.logits[:, :, skipped:])

    def followed_by(self, other: ScoredRows) -> ScoredRows:
        """These rows and those right below."""
        window = self.window
        return replace(
            self,
            window=Window(window.col_off, window.row_off, window.width, window.height + other.window.height),
            spectra=np.concatenate([self.spectra, other.spectra], 1),
            valid=np.concatenate([self.valid, other.valid]),
            logits=np.concatenate([self.logits, other.logits], 2),
        )


def in_context(pieces: Iterator[ScoredRows], reach: int, height: int) -> Iterator[tuple[Window, ScoredRows]]:
    """Pieces of a scene, each with at least so many rows of its strip above and below.

    Args:
        pieces: strip by strip, from the top row to the bottom row of the scene.
        reach: number of rows.
        height: of the scene.

    Yields:
        Windows that cover the scene once, in whole blocks of our rasters, and the rows around each.
    """
    held: ScoredRows | None = None
    done = 0
    for piece in pieces:
        if not reach:
            yield piece.window, piece
            continue
        if held is None or piece.window.row_off == 0:
            held, done = piece, 0
        else:
            held = held.followed_by(piece)
        complete = held.bottom
        if complete < height:
            complete = max((complete - reach) // BLOCK_ROWS * BLOCK_ROWS, done)
        if complete > done:
            yield Window(held.window.col_off, done, held.window.width, complete - done), held
            done = complete
            held = held.below(max(done - reach, int(held.window.row_off)))
