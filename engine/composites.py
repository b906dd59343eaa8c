"""Images of the bands for a backbone: three channels where it was pretrained on pictures, more for a spectral one.

A set of composites is linear: each channel is a weighted sum of bands, stretched to [-1, 1]. One
description therefore serves true colour, hand-picked bands and principal components; it travels in
the tags of rasters and in models, and is applied to another scene by matching wavelengths.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np

from .components import noise_adjusted_components, oriented
from .errors import EngineError
from .json_text import parse_json
from .scene import Band
from .survey import Survey
from .wavelengths import match_bands

TRUE_COLOUR = (655.0, 555.0, 475.0)
COLOUR_INFRARED = (840.0, 655.0, 555.0)
TOLERANCE = 60.0
# What to do where a scene lacks wavelengths, as the second half of a sentence.
OTHER_BACKBONE = "choose a backbone of the same sensor, or pretrain one on this scene"
WITHOUT_WAVELENGTHS = "choose what does without, such as principal components"
KINDS = ("principal components", "one principal-component triplet", "true colour", "colour infrared",
         "true colour and principal components", "most informative bands", "noise-adjusted components")
TRIPLETS = 3
# Share of signal in the variance of a component or a band, below which it shows nothing.
WORTH_SHOWING = 0.2
# Percentiles that stand for minimum and maximum, which a single bad pixel would decide.
ROBUST_RANGE = (0.5, 99.5)


@dataclass(frozen=True)
class Composites:
    """K images of C channels as linear functions of B bands; a backbone pretrained on pictures sees three.

    Attributes:
        kind: what they show, for people.
        numbers: (B,) band numbers, counted from 1.
        wavelengths: (B,) nm, or empty where the scene has none.
        weights: (K, C, B) float32.
        low, high: (K, C) float32; the sums that become -1 and 1.
        gamma: exponent of the stretch, applied between 0 and 1.
    """

    kind: str
    numbers: tuple[int, ...]
    wavelengths: tuple[float, ...]
    weights: np.ndarray
    low: np.ndarray
    high: np.ndarray
    gamma: float = 1.0

    @property
    def count(self) -> int:
        """Number of images K."""
        return len(self.weights)

    @property
    def channels(self) -> int:
        """Number of channels of all images together, K C."""
        return self.weights.shape[0] * self.weights.shape[1]

    @property
    def used(self) -> list[int]:
        """Positions of the bands that have weight."""
        return np.flatnonzero(self.weights.any((0, 1))).tolist()

    def apply(self, spectra: np.ndarray) -> np.ndarray:
        """Images of spectra (B, height, width): (K, C, height, width) float32 in [-1, 1]."""
        bands, height, width = spectra.shape
        sums = self.weights.reshape(-1, bands) @ spectra.reshape(bands, -1)
        low, high = (x.reshape(-1, 1) for x in (self.low, self.high))
        unit = np.clip((sums - low) / np.maximum(high - low, 1e-12), 0.0, 1.0)
        if self.gamma != 1.0:
            unit **= self.gamma
        return (2.0 * unit - 1.0).astype(np.float32).reshape(self.count, -1, height, width)

    def on(self, bands: Sequence[Band]) -> Composites:
        """The same images as functions of other bands, matched by wavelength, or number where none is known.

        Raises:
            EngineError: a band that has weight is not among them.
        """
        used = self.used
        position = {b.number: i for i, b in enumerate(bands)}
        # Other bands may have none, such as heights that are stacked upon a scene.
        if self.wavelengths and any(b.wavelength is not None for b in bands):
            available = {b.number: b.wavelength for b in bands if b.wavelength is not None}
            wanted, numbers = [self.wavelengths[i] for i in used], [self.numbers[i] for i in used]
            # A model's bands are matched before, so that what comes with bands of its own is a backbone.
            found = match_bands(wanted, available, numbers=numbers, remedy=OTHER_BACKBONE)
            targets = [position[number] for number in found]
        else:
            missing = [self.numbers[i] for i in used if self.numbers[i] not in position]
            if missing:
                raise EngineError(
                    f"The bands {', '.join(map(str, missing[:8]))}{', …' if len(missing) > 8 else ''} are needed, "
                    "which this raster does not have or which are not usable; choose a scene with the same bands as "
                    "the one that the model or the backbone was made on."
                )
            targets = [position[self.numbers[i]] for i in used]
        weights = np.zeros((*self.low.shape, len(bands)), np.float32)
        weights[:, :, targets] = self.weights[:, :, used]
        return replace(self, numbers=tuple(b.number for b in bands), wavelengths=band_wavelengths(bands),
                       weights=weights)

    def to_json(self) -> str:
        """A text for tags and model files; bands without weight are left out."""
        used = self.used
        return json.dumps({
            "kind": self.kind,
            "numbers": [self.numbers[i] for i in used],
            "wavelengths": [self.wavelengths[i] for i in used] if self.wavelengths else [],
            "weights": [[[float(f"{w:.9g}") for w in row] for row in k] for k in self.weights[:, :, used]],
            "low": self.low.tolist(), "high": self.high.tolist(), "gamma": self.gamma,
        })  # fmt: skip

    @classmethod
    def from_json(cls, text: str) -> Composites:
        """The inverse of `to_json`.

        Raises:
            ValueError: the text does not describe composites.
        """
        try:
            data: dict[str, Any] = parse_json(text)
            arrays = {key: np.asarray(data[key], np.float32) for key in ("weights", "low", "high")}
            found = cls(str(data["kind"]), tuple(map(int, data["numbers"])), tuple(map(float, data["wavelengths"])),
                        gamma=float(data["gamma"]), **arrays)  # fmt: skip
        except (LookupError, TypeError, OverflowError) as error:
            raise ValueError(f"composites that lack {error}") from error
        bands = len(found.numbers)
        if (
            found.weights.ndim != 3 or 0 in found.weights.shape[:2] or found.weights.shape[2] != bands
            or any(ends.shape != found.weights.shape[:2] for ends in (found.low, found.high))
            or len(found.wavelengths) not in (0, bands)
        ):
            raise ValueError("composites whose shapes disagree")
        numbers = np.concatenate([*map(np.ravel, arrays.values()), found.wavelengths, [found.gamma]])
        if not np.isfinite(numbers).all() or found.gamma <= 0 or not all(0 < n < 2**31 for n in found.numbers):
            raise ValueError("composites of impossible numbers")
        return found


def band_wavelengths(bands: Sequence[Band]) -> tuple[float, ...]:
    """Wavelengths of the bands in nm, or nothing where one of them has none."""
    known = tuple(b.wavelength for b in bands if b.wavelength is not None)
    return known if len(known) == len(bands) else ()


def make_composites(
    kind: str,
    survey: Survey,
    numbers: Sequence[int] = (),
    stretch: tuple[float, float] = (2.0, 98.0),
) -> Composites:
    """Composites of a surveyed scene.

    Args:
        kind: one of `KINDS`, or "band numbers".
        survey: usable bands and sample pixels.
        numbers: three band numbers (red, green, blue), for "band numbers".
        stretch: lower and upper percentile of each channel that become -1 and 1.

    Raises:
        EngineError: the bands or wavelengths asked for are not there.
    """
    low, high = stretch
    if not 0 <= low < high <= 100:
        raise EngineError(f"The stretch from {low} to {high} per cent is empty; choose 0 <= low < high <= 100.")
    if kind == "band numbers":
        weights = _pick(_by_number(numbers, survey), survey)
    elif kind == "most informative bands":
        weights = _pick(_most_informative(survey), survey)
    elif kind == "true colour":
        weights = _pick(_by_wavelength(TRUE_COLOUR, survey), survey)
    elif kind == "colour infrared":
        weights = _pick(_by_wavelength(COLOUR_INFRARED, survey), survey)
    elif kind == "one principal-component triplet":
        weights = _principal_components(survey, 1)
    elif kind == "principal components":
        weights = _principal_components(survey, TRIPLETS)
    elif kind == "noise-adjusted components":
        weights = _noise_adjusted(survey)
    elif kind == "true colour and principal components":
        colour = _pick(_by_wavelength(TRUE_COLOUR, survey), survey)
        weights = np.concatenate([colour, _principal_components(survey, TRIPLETS)])
    else:
        raise EngineError(f"There are no composites called '{kind}'; choose one of: {', '.join(KINDS)}.")
    return _stretched(kind, weights, survey, stretch)


def image_itself() -> Composites:
    """The one image that a raster of 'Select bands' shows: bytes 1 to 255 of its three bands stand for -1 to 1."""
    dark = np.ones((1, 3), np.float32)
    return Composites("band numbers", (1, 2, 3), (), np.eye(3, dtype=np.float32)[None], dark, 255 * dark)


def band_averages(survey: Survey, positions: int) -> Composites:
    """One image of many channels: averages of neighbouring bands, all bands used, as a spectral backbone sees them.

    Where there are fewer bands than positions, as many multiples of 8 as hold them all, some bands twice.

    Args:
        positions: number of channels, a multiple of 8.

    Raises:
        ValueError: there is no such number of channels.
    """
    bands = len(survey.bands)
    if positions < 1:
        raise ValueError(f"{positions} spectral positions")
    if bands >= positions:
        groups = np.array_split(np.arange(bands), positions)
    else:
        repeated = np.linspace(0, bands - 1, -(-bands // 8) * 8).round().astype(int)
        groups = [np.array([band]) for band in repeated]
    weights = np.zeros((1, len(groups), bands))
    for position, group in enumerate(groups):
        weights[0, position, group] = 1 / len(group)
    return _stretched(f"all bands in {len(groups)} averages", weights, survey, ROBUST_RANGE)


def _stretched(kind: str, weights: np.ndarray, survey: Survey, stretch: tuple[float, float]) -> Composites:
    """Composites of weights (K, C, B), each channel of which is stretched between two percentiles of the survey."""
    low, high = np.percentile(np.einsum("kcb,nb->kcn", weights, survey.pixels), stretch, axis=2).astype(np.float32)
    numbers = tuple(b.number for b in survey.bands)
    return Composites(kind, numbers, band_wavelengths(survey.bands), weights.astype(np.float32), low, high)


def published_composite(survey: Survey) -> Composites:
    """One true-colour image as in the authors' code: a common minimum and maximum, gamma 0.4.

    Without wavelengths the three most informative bands take the place of true colour. Minimum and maximum are those of
    the surveyed pixels, and values are not rounded to bytes.

    Source: GeoDiffNet, the code published before the FiLM version.
    """
    known = any(b.wavelength is not None for b in survey.bands)
    plain = make_composites("true colour" if known else "most informative bands", survey, stretch=(0.0, 100.0))
    common = np.ones_like(plain.low)
    return replace(plain, kind=f"{plain.kind} (as published)", low=common * plain.low.min(),
                   high=common * plain.high.max(), gamma=0.4)  # fmt: skip


def _pick(positions: Sequence[int], survey: Survey) -> np.ndarray:
    weights = np.zeros((1, 3, len(survey.bands)))
    weights[0, np.arange(3), list(positions)] = 1.0
    return weights


def _by_number(numbers: Sequence[int], survey: Survey) -> list[int]:
    position = {b.number: i for i, b in enumerate(survey.bands)}
    if len(numbers) != 3:
        raise EngineError(f"Three band numbers are needed (red, green, blue), as in 40,30,15; {len(numbers)} given.")
    for number in numbers:
        if number not in position:
            raise EngineError(
                f"Band {number} does not exist or holds no usable data; the usable bands lie between "
                f"{min(position)} and {max(position)}."
            )
    return [position[n] for n in numbers]


def _by_wavelength(wanted: tuple[float, ...], survey: Survey) -> list[int]:
    available = {i: b.wavelength for i, b in enumerate(survey.bands) if b.wavelength is not None}
    if not available:
        raise EngineError(
            "The scene does not say the wavelengths of its bands, which are needed here; add them to its metadata, or "
            f"{WITHOUT_WAVELENGTHS}."
        )
    # In a stack of dates the three must be of one date, not the nearest of all.
    positions, wavelengths = np.array(list(available)), np.array(list(available.values()))
    steps = np.diff(wavelengths)
    for date in np.split(positions, np.flatnonzero(steps * np.sign(np.median(steps)) <= 0) + 1):
        with suppress(EngineError):
            return match_bands(wanted, {i: available[i] for i in date.tolist()}, TOLERANCE)
    return match_bands(wanted, available, TOLERANCE, remedy=WITHOUT_WAVELENGTHS)


def _most_informative(survey: Survey) -> list[int]:
    """The triplet whose covariance matrix has the largest determinant, longest wavelength first.

    The covariance is that of the signal: noise, which no two bands share, would count as information. Bands of little
    else are left out where there are others.

    Source: Sheffield (1985), Selecting band combinations from multispectral data; here less the noise.
    """
    covariance = np.cov(survey.pixels, rowvar=False)
    worth = np.flatnonzero(np.diag(survey.noise) < (1 - WORTH_SHOWING) * np.diag(covariance))
    usable = worth if len(worth) >= 3 else np.arange(len(covariance))
    variances, axes = np.linalg.eigh(covariance - survey.noise)
    covariance = axes * variances.clip(min=0) @ axes.T
    # At most 120 candidates keep the search under 300 000 triplets; neighbouring bands are alike.
    step = -(-len(usable) // 120)
    triplets = np.array(list(combinations(usable[::step], 3)))
    best = triplets[np.linalg.det(covariance[triplets[:, :, None], triplets[:, None, :]]).argmax()]
    order = [survey.bands[i].wavelength or survey.bands[i].number for i in best]
    return [int(i) for i in best[np.argsort(order)[::-1]]]


def _principal_components(survey: Survey, triplets: int) -> np.ndarray:
    """Weights (K, 3, B) of principal components 1-3, 4-6, ..."""
    covariance = np.cov(survey.pixels, rowvar=False)
    _, axes = np.linalg.eigh(covariance)
    return _in_triplets(oriented(axes.T[::-1]), triplets)


def _noise_adjusted(survey: Survey) -> np.ndarray:
    """Weights (K, 3, B) of noise-adjusted components; triplets that show nothing but noise are left out."""
    found = noise_adjusted_components(survey.pixels, survey.noise, 3 * TRIPLETS)
    best = np.maximum.reduceat(found.signal, range(0, len(found.signal), 3))
    return _in_triplets(found.axes, max(int((best > WORTH_SHOWING).sum()), 1))


def _in_triplets(axes: np.ndarray, triplets: int) -> np.ndarray:
    """Components 1-3, 4-6, ... (K, 3, B) of axes (k, B); the last triplet overlaps where components run out."""
    # Bands that say the same have fewer components than there are bands.
    axes = np.resize(axes, (max(len(axes), 3), axes.shape[1]))
    starts = sorted({min(3 * k, len(axes) - 3) for k in range(triplets)})
    return np.stack([axes[s : s + 3] for s in starts])
