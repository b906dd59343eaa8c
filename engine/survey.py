"""A first look at a scene: which bands are usable, and a sample of pixels for statistics."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from rasterio.windows import Window

from .components import neighbour_noise
from .errors import EngineError
from .labels import Labels
from .outliers import draw_in, unlike, usual_ranges, widened_by_classes
from .progress import Progress
from .projection import Projection
from .sampling import read_pixels
from .scene import Band, Scene

BLOCK = 64
SAMPLE_VALUES = 20_000_000
ENOUGH_PIXELS = 100_000
BLOCKING_SHARE = 0.2
FILL_SHARE = 0.01
WORTH_TELLING = 0.0001
# Fewer decide little; where most of a scene is unlike what is labelled, it is the labels that say little of the scene.
UNLIKE_SHARES = (0.05, 0.5)
# Pixels of 60 m among those of 10 m are repeated six times. Places where a band changes are then as far apart, but for
# a few at the border of what is read.
MOST_REPEATED, ALL_BUT_FEW, FEWEST_CHANGES = 12, 0.98, 100


@dataclass(frozen=True)
class Fill:
    """One value in every band that stands for no data, though the file does not say so.

    Attributes:
        value: scale and offset applied.
        share: of the valid pixels (0..1).
    """

    value: float
    share: float

    def is_in(self, spectra: np.ndarray) -> np.ndarray:
        """Which of spectra (..., bands) are nothing else: (...) bool."""
        found: np.ndarray = (spectra == np.float32(self.value)).all(-1)
        return found

    def warn(self, bands: Sequence[Band], progress: Progress) -> None:
        """Say what to do about it; the bands have one scale."""
        stored = f"{(np.float32(self.value) - np.float32(bands[0].offset)) / np.float32(bands[0].scale):.6g}"
        progress.warning(
            f"About {self.share:.0%} of the pixels are {stored} in every band and count as data; if they hold none, "
            f"set {stored} as the file's nodata value (in QGIS: Raster > Conversion > Translate)."
        )


@dataclass(frozen=True)
class Survey:
    """What was found.

    Attributes:
        bands: the usable bands, with their usual ranges.
        pixels: (n, bands) float32 spectra of valid pixels from all over the scene, as these bands are read; without
            undeclared fill, and without what is unlike anything labelled.
        noise: (bands, bands) covariance of the noise, from differences between neighbouring ones.
        change: the same from differences between those two apart.
        fill: None where there is none.
        dropped: bands that are not used, by reason.
        blocking: bands that alone make many pixels invalid, with the share of pixels (0..1).
        valid_share: share of the sampled pixels that are valid (0..1).
        outlying_share: share of the valid ones that have a value far beyond the usual range of its band (0..1).
        unlike_share: share of the valid ones that are left out as unlike anything labelled, such as clouds (0..1).
    """

    bands: tuple[Band, ...]
    pixels: np.ndarray
    noise: np.ndarray
    change: np.ndarray
    fill: Fill | None
    dropped: dict[str, tuple[Band, ...]]
    blocking: dict[Band, float]
    valid_share: float
    outlying_share: float
    unlike_share: float

    def autocorrelation(self, projection: Projection) -> float:
        """How alike pixels two rows or columns apart are in projected spectra, noise left aside: 0 (unrelated) to 1."""
        noise, change = (projection.variance(covariance) for covariance in (self.noise, self.change))
        variance = float(projection.apply(self.pixels).var(0).sum())
        return float(np.clip(1 - (change - noise) / max(variance - noise, 1e-12), 0, 1))

    def log(self, progress: Progress) -> None:
        """Tell the user which bands were left out, and what of the scene is valid and usual."""
        for reason, bands in self.dropped.items():
            names = ", ".join(b.label for b in bands)
            progress.info(f"{len(bands)} {reason} band(s) left out: {names}.")
        warn_of_blocking(self.blocking, "are left out. Mark the band as bad (bbl = 0) to keep them", progress)
        if self.fill:
            self.fill.warn(self.bands, progress)
        if self.outlying_share >= WORTH_TELLING:
            progress.info(
                f"{self.outlying_share:.2%} of the pixels have values far beyond all others in some band, as saturated "
                "or dead detectors give them. Where no class is known by such values, the largest or smallest usual "
                "one is taken instead."
            )
        if self.unlike_share:
            progress.warning(
                f"About {self.unlike_share:.0%} of the pixels are unlike anything that is labelled, as clouds may be. "
                "Nothing about the scene is learned from them, but a map takes them for one of the classes, too; label "
                "some of them as a class of their own."
            )
        unknown = [b for b in self.bands if b.wavelength is None]
        if len(unknown) == len(self.bands):
            progress.info(
                "No wavelengths were found; there is no true colour, and bands of other scenes are matched by number."
            )
        elif unknown:
            first = "band" if len(unknown) == 1 else "the first is band"
            progress.info(
                f"{len(self.bands)} bands have data, {len(unknown)} of them without a wavelength ({first} "
                f"{unknown[0].label}), so bands of other scenes are matched by number, without a check."
            )
        progress.info(f"{len(self.bands)} bands used; about {self.valid_share:.0%} of the pixels are valid.")


def survey_scene(
    scene: Scene, seed: int = 0, labels: Labels | None = None, progress: Progress | None = None
) -> Survey:
    """Read a sample of the scene, of the whole scene where it is small.

    A band is dropped when it is flagged bad (`bbl` = 0), or when the sample holds no data in it or
    the same value in all valid pixels. A pixel is valid when every remaining band has data there.

    Args:
        labels: pixels that are read, too; what most of a class show is nothing unusual.
        progress: told of their reading.

    Raises:
        EngineError: the scene has fewer than three bands, or no valid pixel, or fewer than three
            usable bands.
    """
    if len(scene.bands) < 3:
        raise EngineError(
            f"{scene.path} has {len(scene.bands)} band(s); at least three are needed, choose a "
            "multispectral or hyperspectral scene."
        )
    good = [b for b in scene.bands if b.good]
    if len(good) < 3:
        raise EngineError(
            f"All but {len(good)} bands of {scene.path} are flagged bad (bbl = 0); at least three good "
            "bands are needed."
        )
    sample, near, between, apart, repeated, seen = _sample(scene, good, seed)
    if not len(sample):
        raise EngineError(f"{scene.path} holds no valid pixel; check its nodata value and its content.")
    empty, constant, fill = _judge_bands(sample)
    usable = ~empty & ~constant
    if constant.all():
        raise EngineError(
            f"{scene.path} holds the same value in every pixel; check its nodata value and its content."
        )
    if usable.sum() < 3:
        raise EngineError(
            f"Only {usable.sum()} band(s) of {scene.path} hold varying data; at least three are needed."
        )
    bands = [b for b, u in zip(good, usable, strict=True) if u]
    gaps = ~np.isfinite(sample[:, usable])
    valid = ~gaps.any(1)
    if not valid.any():
        worst = bands[int(gaps.sum(0).argmax())]
        raise EngineError(
            f"{scene.path} has no valid pixel: none has data in all of its {usable.sum()} bands; "
            f"band {worst.label} has the most gaps, mark such bands as bad (bbl = 0)."
        )
    stored, pairs = sample[valid][:, usable], [p[..., usable] for p in (near, between, apart)]
    if fill:
        stored, *pairs = stored[~fill.is_in(stored)], *(p[~fill.is_in(p).any(1)] for p in pairs)
    ranges = usual_ranges(stored)
    labelled = np.zeros((0, len(bands)), np.float32)
    if labels is not None:
        labelled, whole = read_pixels(scene, bands, labels.rows, labels.columns, progress or Progress())
        labelled = labelled[whole]
        ranges = widened_by_classes(ranges, labelled, labels.class_ids[whole])
    pixels = stored.copy()
    for values in (pixels, *pairs, labelled):
        draw_in(np.moveaxis(values, -1, 0), ranges)
    outlying_share = float((pixels != stored).any(1).mean())
    left_out = _worth_leaving_out(pixels, labelled)
    if left_out.any():
        pixels, *pairs = pixels[~left_out], *(p[~unlike(p, labelled).any(1)] for p in pairs)
    near, between, apart = (_steps(p) for p in pairs)
    dropped = {
        "bad": tuple(b for b in scene.bands if not b.good),
        "empty": tuple(b for b, e in zip(good, empty, strict=True) if e),
        "constant": tuple(b for b, c in zip(good, constant, strict=True) if c),
    }
    return Survey(
        bands=tuple(replace(b, usual=r) for b, r in zip(bands, ranges, strict=True)),
        pixels=pixels,
        noise=_noise(near, between, repeated[usable]),
        change=neighbour_noise(apart),
        fill=fill,
        dropped={reason: bands for reason, bands in dropped.items() if bands},
        blocking=find_blocking(gaps, bands),
        valid_share=float(valid.sum() / seen),
        outlying_share=outlying_share,
        unlike_share=float(left_out.mean()),
    )


def _judge_bands(sample: np.ndarray) -> tuple[np.ndarray, np.ndarray, Fill | None]:
    """Which bands (masks) of pixels (n, bands) hold no data, which one value only, and the fill of the others."""
    has_data = np.isfinite(sample)
    low = np.where(has_data, sample, np.inf).min(0)
    high = np.where(has_data, sample, -np.inf).max(0)
    empty = ~has_data.any(0)
    constant = ~empty & (low == high)
    usable = ~empty & ~constant
    complete = sample[has_data[:, usable].all(1)]
    fill = find_fill(complete[:, usable]) if usable.any() else None
    if fill:
        complete = complete[~fill.is_in(complete[:, usable])]
    if len(complete):
        # Some vary only where others have no data. Without them no pixel is lost, so all others still vary.
        constant |= usable & (complete.min(0) == complete.max(0))
    return empty, constant, fill


def _worth_leaving_out(pixels: np.ndarray, labelled: np.ndarray) -> np.ndarray:
    """Which pixels (n, bands) are unlike all that is labelled (m, bands), if their share matters: (n,) bool."""
    if not len(labelled):
        return np.zeros(len(pixels), bool)
    others = unlike(pixels, labelled)
    least, most = UNLIKE_SHARES
    return others & (least < others.mean() <= most)


def _steps(pairs: np.ndarray) -> np.ndarray:
    """Differences (m, bands) in pairs (n, 2, bands) of pixels, those with data in all bands."""
    steps = pairs[:, 1] - pairs[:, 0]
    return steps[np.isfinite(steps).all(1)]


def _noise(near: np.ndarray, between: np.ndarray, repeated: np.ndarray) -> np.ndarray:
    """Covariance (bands, bands) of noise from differences (m, bands) in pairs of neighbours and between these pairs.

    Where the pixels of a band were repeated, most neighbours are one pixel, in pairs perhaps all, which says nothing of
    noise.

    Args:
        repeated: (bands,) how often.
    """
    if (repeated == 1).all():
        return neighbour_noise(near)
    scale = np.sqrt(repeated)
    return neighbour_noise(np.concatenate([near, between])) * np.outer(scale, scale)


def _count_distances(image: np.ndarray) -> np.ndarray:
    """How often a band changes again 1, 2, ... pixels after a change along a row: (bands, 4 * MOST_REPEATED)."""
    most = 4 * MOST_REPEATED
    counts = np.zeros((len(image), most), int)
    for index, band in enumerate(image[:, ::2]):
        steps = np.diff(band)
        row, column = np.nonzero(np.isfinite(steps) & (steps != 0))
        distances = np.diff(column)[np.diff(row) == 0]
        counts[index] = np.bincount(distances[distances <= most] - 1, minlength=most)
    return counts


def _repetitions(distances: np.ndarray) -> np.ndarray:
    """How often each pixel was repeated along rows and columns, as of 20 m beside bands of 10 m: (bands,), 1 for none.

    Args:
        distances: (bands, n) see `_count_distances`.
    """
    changes = distances.sum(1)
    repeated = np.ones(len(distances), int)
    for factor in range(2, MOST_REPEATED + 1):
        fitting = distances[:, factor - 1 :: factor].sum(1)
        repeated[(changes >= FEWEST_CHANGES) & (fitting >= ALL_BUT_FEW * changes)] = factor
    return repeated


def find_blocking(gaps: np.ndarray, bands: Sequence[Band]) -> dict[Band, float]:
    """Bands that alone make many pixels invalid, of where pixels have no data (n, bands), and of how many (0..1)."""
    missing = gaps.sum(1)
    alone = gaps[missing == 1].sum(0) / max(int((missing <= 1).sum()), 1)
    return {band: float(share) for band, share in zip(bands, alone, strict=True) if share > BLOCKING_SHARE}


def warn_of_blocking(blocking: dict[Band, float], fate: str, progress: Progress) -> None:
    """Warn of such bands, and say what becomes of the pixels."""
    for band, share in blocking.items():
        progress.warning(
            f"Band {band.label} alone has no data in {share:.0%} of the pixels that are valid in every other band; "
            f"those pixels {fate}."
        )


def find_fill(pixels: np.ndarray) -> Fill | None:
    """The one value that many pixels (n, bands) have in every band, as where a scene holds no data; None for none."""
    flat = pixels.min(1) == pixels.max(1)
    values, counts = np.unique(pixels[flat, 0], return_counts=True)
    if not len(values) or counts.max() <= FILL_SHARE * len(pixels):
        return None
    return Fill(float(values[counts.argmax()]), float(counts.max() / len(pixels)))


def sample_bands(scene: Scene, bands: Sequence[Band]) -> np.ndarray:
    """Spectra (n, bands) float32, as stored, of pixels with data in any of the given bands; NaN where one has none."""
    stored = [replace(b, usual=None) for b in bands]
    return np.concatenate([pixels for _, pixels in _images(scene, stored, 0)])


def _sample(
    scene: Scene, bands: Sequence[Band], seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, int]:
    """Pixels (n, bands) with data in any of the bands, pairs (m, 2, bands) of them, how often pixels are repeated in a
    band (bands,), and how many pixels were seen.

    Pairs are of neighbours, of neighbours in two of these pairs, and of pixels two apart. All hold NaN in bands without
    data.
    """
    parts: list[np.ndarray] = []
    near: list[np.ndarray] = []
    between: list[np.ndarray] = []
    apart: list[np.ndarray] = []
    distances = np.zeros((len(bands), 4 * MOST_REPEATED), int)
    seen = 0
    for image, pixels in _images(scene, bands, seed):
        seen += image[0].size
        parts.append(pixels)
        for turned in (image, image.swapaxes(1, 2)):
            near.append(_pairs(turned, 1))
            between.append(_pairs(turned[:, :, 1:], 1))
            apart.append(_pairs(turned, 2))
            distances += _count_distances(turned)
    sample, *pairs = (np.concatenate(of_kind) for of_kind in (parts, near, between, apart))
    return sample, pairs[0], pairs[1], pairs[2], _repetitions(distances), seen


def _images(scene: Scene, bands: Sequence[Band], seed: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Parts (bands, height, width) of a scene until they tell enough, and their pixels with data in any band."""
    budget = min(ENOUGH_PIXELS, SAMPLE_VALUES // len(bands))
    seen = filled = 0
    for window in _blocks(scene, seed, shuffle=scene.width * scene.height > budget):
        image = scene.read_with_nan(window, bands)
        pixels = image[:, np.isfinite(image).any(0)].T
        yield image, pixels
        seen += image[0].size
        filled += len(pixels)
        # A scene that is mostly nodata is read on until there is something to learn from.
        if seen >= budget and filled >= budget // 50:
            break


def _pairs(image: np.ndarray, distance: int) -> np.ndarray:
    """Pairs (m, 2, bands) along every other row of an image (bands, height, width), no pixel used twice."""
    left, right = image[:, ::2, : -distance : 2 * distance], image[:, ::2, distance :: 2 * distance]
    pairs = np.stack([side.reshape(len(image), -1).T for side in (left, right)], 1)
    return pairs[np.isfinite(pairs).all(1).any(1)]


def _blocks(scene: Scene, seed: int, shuffle: bool) -> Iterator[Window]:
    rows, columns = -(-scene.height // BLOCK), -(-scene.width // BLOCK)
    order = np.arange(rows * columns)
    if shuffle:
        np.random.default_rng(seed).shuffle(order)
    for index in order.tolist():
        row, column = divmod(index, columns)
        row, column = row * BLOCK, column * BLOCK
        yield Window(column, row, min(BLOCK, scene.width - column), min(BLOCK, scene.height - row))
