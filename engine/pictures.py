"""Pictures for reports, each returned as PNG bytes."""

from __future__ import annotations

import io
import warnings
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

import matplotlib
import numpy as np

matplotlib.use("Agg")
from matplotlib import font_manager
from matplotlib import pyplot as plt
from matplotlib.colors import ListedColormap, to_rgb
from matplotlib.figure import Figure

from .polygons import LandCoverClass

if TYPE_CHECKING:
    # Torch is loaded for it.
    from .learning_curve import CurvePoint

INK = "#333333"
LONGEST_NAME = 40
MOST_OVERLAPS = 3
# For names of classes that matplotlib's own font cannot write; taken where they are installed. Chinese comes first:
# fonts of Korea have some Chinese signs, too, with which one word would be written in two fonts.
CHINESE_JAPANESE_KOREAN = (
    "Noto Sans CJK SC", "Microsoft YaHei", "PingFang SC", "WenQuanYi Micro Hei", "WenQuanYi Zen Hei", "Yu Gothic",
    "Hiragino Sans", "Malgun Gothic", "Apple SD Gothic Neo", "Droid Sans Fallback",
)  # fmt: skip
# Of India, Thailand and its neighbours, and emoji.
INDIAN = ("Devanagari", "Bengali", "Gujarati", "Tamil", "Telugu", "Kannada", "Malayalam")
OTHER_SCRIPTS = (
    *(f"{family} {script}" for family in ("Noto Sans", "Lohit") for script in INDIAN), "Noto Sans Thai", "Loma",
    "Arial Unicode MS", "Nirmala UI", "Leelawadee UI", "Segoe UI Emoji",
)  # fmt: skip


def font_families(installed: Collection[str]) -> list[str]:
    """The fonts of pictures, each for what those before it lack."""
    return ["DejaVu Sans", *(name for name in (*CHINESE_JAPANESE_KOREAN, *OTHER_SCRIPTS) if name in installed)]


# A user's own matplotlibrc may ask for LaTeX, or turn pictures upside down.
matplotlib.rcdefaults()
plt.rcParams.update({
    "font.family": font_families(font_manager.get_font_names()),
    "font.size": 9, "axes.edgecolor": "#888888", "axes.labelcolor": INK, "text.color": INK,
    "xtick.color": INK, "ytick.color": INK, "axes.spines.top": False, "axes.spines.right": False,
    "figure.dpi": 110, "savefig.bbox": "tight",
    # Names of classes may hold dollar signs.
    "text.parse_math": False,
})  # fmt: skip


def confusion_picture(matrix: np.ndarray, names: Sequence[str]) -> bytes:
    """A confusion matrix with counts, coloured by the share of each reference class."""
    count, names = len(names), [_short(name) for name in names]
    size = min(3.2 + 0.45 * count, 14)
    figure, axes = plt.subplots(figsize=(size, size))
    totals = matrix.sum(1, keepdims=True)
    share = np.divide(matrix, totals, out=np.zeros(matrix.shape), where=totals > 0)
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for (row, column), value in np.ndenumerate(matrix):
        if (value or row == column) and count <= 25:
            axes.text(column, row, f"{value}", ha="center", va="center", fontsize=8 if count <= 12 else 6,
                      color="white" if share[row, column] > 0.55 else INK)  # fmt: skip
    axes.set_xticks(range(count), names, rotation=60, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(count), names)
    axes.set_xlabel("predicted class")
    axes.set_ylabel("reference class")
    axes.spines[:].set_visible(False)
    return _png(figure)


def spectra_picture(
    spectra: np.ndarray, class_ids: np.ndarray, classes: Sequence[LandCoverClass], wavelengths: Sequence[float],
    band_numbers: Sequence[int],
) -> bytes:
    """Mean spectrum of every class with one standard deviation around it.

    Args:
        spectra: (n, bands).
        class_ids: (n,) counted from 1.
        wavelengths: nm of the bands; where it is empty band numbers are shown.
    """
    figure, axes = plt.subplots(figsize=(7.5, 4))
    position = np.array(wavelengths or band_numbers, float)
    order = _detector_by_detector(position)
    position = position[order]
    steps = np.diff(position)
    # A line across a gap (water vapour, dropped bands) would show data that are not there.
    gaps = steps > 4 * np.median(steps) if wavelengths and len(steps) > 8 else np.zeros(len(steps), bool)
    breaks = np.flatnonzero(gaps | (steps < 0)) + 1
    for land_cover in classes:
        own = spectra[class_ids == land_cover.id][:, order]
        if not len(own):
            continue
        mean, spread = own.mean(0), own.std(0)
        # Labels that begin with an underscore would be left out, so all begin with a space of no width.
        label: str | None = f"\u200b{_short(land_cover.name)} ({len(own)})"
        for piece in np.split(np.arange(len(position)), breaks):
            axes.plot(position[piece], mean[piece], color=land_cover.colour, lw=1.6, label=label)
            axes.fill_between(position[piece], (mean - spread)[piece], (mean + spread)[piece],
                              color=land_cover.colour, alpha=0.12, lw=0)  # fmt: skip
            label = None
    axes.set_xlabel("wavelength (nm)" if wavelengths else "band")
    axes.set_ylabel("value of the scene")
    axes.legend(frameon=False, fontsize=8, bbox_to_anchor=(1.01, 1), loc="upper left")
    return _png(figure)


def _detector_by_detector(position: np.ndarray) -> np.ndarray:
    """The order in which bands are joined: as they are where few detectors overlap, else by wavelength."""
    order = np.arange(len(position))
    if np.median(np.diff(position)) < 0:
        order = order[::-1]
    return order if (np.diff(position[order]) < 0).sum() <= MOST_OVERLAPS else np.argsort(position, kind="stable")


def curve_picture(final: Sequence[tuple[int, float]], folds: Sequence[Sequence[tuple[int, float]]]) -> bytes:
    """Training loss of the final network and, thinner, of those of the cross-validation."""
    figure, axes = plt.subplots(figsize=(5.5, 3))
    for number, curve in enumerate(folds):
        axes.plot(*zip(*curve, strict=True), color="#9ecae1", lw=0.8, label="folds" if number == 0 else None)
    axes.plot(*zip(*final, strict=True), color="#08519c", lw=1.6, label="final model")
    axes.set_xlabel("training step")
    axes.set_ylabel("training loss")
    axes.legend(frameon=False)
    return _png(figure)


def pretraining_picture(losses: Mapping[int, float], chance: float) -> bytes:
    """Held-out loss of a pretraining by cubes seen, and what the mean spectrum alone would have."""
    figure, axes = plt.subplots(figsize=(5.5, 3))
    axes.plot(list(losses), list(losses.values()), color="#08519c", marker="o", ms=3, lw=1.6)
    axes.axhline(chance, color="#888888", lw=0.8, ls="--")
    axes.text(max(losses), chance, "mean spectrum", ha="right", va="bottom", fontsize=8, color="#888888")
    # The first checks may lie far above.
    axes.set_ylim(0, 1.25 * chance)
    axes.set_xlabel("cubes seen")
    axes.set_ylabel("error, held out")
    return _png(figure)


def angles_picture(angles: Mapping[int, float], chosen: Sequence[int]) -> bytes:
    """Mean spectral angle in degrees of denoised spectra by timestep, with the timesteps that were chosen."""
    figure, axes = plt.subplots(figsize=(5.5, 3))
    axes.plot(list(angles), list(angles.values()), color="#08519c", marker="o", ms=3, lw=1.6)
    for timestep in chosen:
        axes.axvline(timestep, color="#d95f0e", lw=0.8)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("timestep")
    axes.set_ylabel("spectral angle (degrees)")
    return _png(figure)


def denoising_picture(clean: np.ndarray, pairs: Mapping[int, tuple[np.ndarray, np.ndarray]]) -> bytes:
    """A cube (positions, height, width) in -1..1 beside itself noised (above) and denoised (below), by timestep."""
    figure, grid = plt.subplots(2, 1 + len(pairs), figsize=(1.7 * (1 + len(pairs)), 3.6), squeeze=False)
    shown = [("clean", clean, clean), *((f"timestep {t}", noised, denoised) for t, (noised, denoised) in pairs.items())]
    # Long, middle and short wavelengths as red, green and blue.
    channels = [len(clean) * part // 6 for part in (5, 3, 1)]
    for (above, below), (title, noised, denoised) in zip(grid.T, shown, strict=True):
        for axes, cube in ((above, noised), (below, denoised)):
            axes.imshow(np.clip((cube[channels].transpose(1, 2, 0) + 1) / 2, 0, 1), interpolation="nearest")
            axes.set_axis_off()
        above.set_title(title, fontsize=9)
    grid[1, 0].set_visible(False)
    return _png(figure)


def learning_picture(points: Sequence[CurvePoint]) -> bytes:
    """Overall and average accuracy by the number of polygons, with the spread over choices of polygons."""
    figure, axes = plt.subplots(figsize=(5.5, 3))
    polygons = [p.polygons for p in points]
    for name, marker, colour in (("overall", "o", "#08519c"), ("average", "s", "#d95f02")):
        value = np.array([getattr(p, f"{name}_accuracy") for p in points])
        spread = np.array([getattr(p, f"{name}_spread") for p in points])
        axes.plot(polygons, value, color=colour, marker=marker, ms=4, lw=1.6, label=f"{name} accuracy")
        axes.fill_between(polygons, value - spread, np.minimum(value + spread, 100), color=colour, alpha=0.12, lw=0)
    # Small changes shall look small.
    axes.set_ylim(min(90, axes.get_ylim()[0]), 101)
    axes.set_xticks(polygons, [f"{p:.1f}" for p in polygons])
    axes.set_xlabel("polygons per class used (mean)")
    axes.set_ylabel("accuracy (%)")
    axes.legend(frameon=False, bbox_to_anchor=(1.01, 1), loc="upper left")
    return _png(figure)


def labels_picture(
    image: np.ndarray, rows: np.ndarray, columns: np.ndarray, class_ids: np.ndarray, classes: Sequence[LandCoverClass],
    marks: Sequence[tuple[int, int]] = (),
) -> bytes:  # fmt: skip
    """A pseudo-RGB image (height, width, 3) in 0..1 with the labelled pixels in their class colours.

    Args:
        marks: row and column of places that are numbered from 1; those beyond the image are not shown.
    """
    painted = 0.25 + 0.6 * image
    for land_cover in classes:
        ours = class_ids == land_cover.id
        painted[rows[ours], columns[ours]] = to_rgb(land_cover.colour)
    figure, axes = _map_axes(image.shape[0], image.shape[1])
    axes.imshow(painted, interpolation="nearest")
    for number, (row, column) in enumerate(marks, 1):
        if 0 <= row < image.shape[0] and 0 <= column < image.shape[1]:
            axes.annotate(
                f"{number}", (column, row), (9, 9), textcoords="offset points", ha="center", va="center", fontsize=7,
                bbox={"boxstyle": "circle,pad=0.2", "fc": "white", "ec": INK, "lw": 0.6},
                arrowprops={"arrowstyle": "-", "color": "white", "lw": 0.8},
            )  # fmt: skip
    _legend(axes, classes)
    return _png(figure)


def map_picture(classified: np.ndarray, classes: Sequence[LandCoverClass]) -> bytes:
    """A land-cover map (height, width) of class ids, 0 is no data, in its class colours."""
    figure, axes = _map_axes(*classified.shape)
    top = max(c.id for c in classes)
    colours = ["#ffffff"] * (top + 1)
    for land_cover in classes:
        colours[land_cover.id] = land_cover.colour
    # What is no class, such as 255 for no data, would be painted as the class nearest to it.
    shown = np.where(np.isin(classified, [c.id for c in classes]), classified, 0)
    axes.imshow(shown, cmap=ListedColormap(colours), vmin=-0.5, vmax=top + 0.5, interpolation="nearest")
    _legend(axes, classes)
    return _png(figure)


def heat_picture(
    values: Sequence[Sequence[float]], row_names: Sequence[str], column_names: Sequence[str], across: str, down: str
) -> bytes:
    """A grid of figures in per cent, each written in its cell, the highest framed."""
    grid = np.asarray(values, float)
    figure, axes = plt.subplots(figsize=(1.9 + 0.85 * grid.shape[1], 0.9 + 0.38 * grid.shape[0]))
    axes.imshow(grid, cmap="Blues", aspect="auto")
    middle = (grid.min() + grid.max()) / 2
    for (row, column), value in np.ndenumerate(grid):
        axes.text(column, row, f"{value:.1f}", ha="center", va="center", color="white" if value > middle else INK)
    row, column = np.unravel_index(grid.argmax(), grid.shape)
    axes.add_patch(plt.Rectangle((column - 0.5, row - 0.5), 1, 1, fill=False, edgecolor="#d95f02", lw=2))
    axes.set_xticks(range(grid.shape[1]), column_names)
    axes.set_yticks(range(grid.shape[0]), row_names)
    axes.set_xlabel(across)
    axes.set_ylabel(down)
    axes.spines[:].set_visible(False)
    return _png(figure)


def _map_axes(height: int, width: int) -> tuple[Figure, plt.Axes]:
    longest = max(height, width)
    figure, axes = plt.subplots(figsize=(max(6 * width / longest, 2), max(6 * height / longest, 2)))
    axes.set_axis_off()
    return figure, axes


def _legend(axes: plt.Axes, classes: Sequence[LandCoverClass]) -> None:
    handles = [plt.Rectangle((0, 0), 1, 1, facecolor=c.colour, edgecolor="#888888", lw=0.5) for c in classes]
    axes.legend(handles, [_short(c.name) for c in classes], frameon=False, fontsize=8, bbox_to_anchor=(1.01, 1),
                loc="upper left", borderaxespad=0)  # fmt: skip


def _short(name: str) -> str:
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…"


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # No user can do anything about a sign that no font has; the tables of the report show it.
        warnings.filterwarnings("ignore", "Glyph .* missing from")
        figure.savefig(buffer, format="png")
    plt.close(figure)
    return buffer.getvalue()
