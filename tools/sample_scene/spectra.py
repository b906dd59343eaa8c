"""Reflectance spectra of materials, 400-2450 nm, built from what absorbs in them.

Leaves, litter, soil and tiles scatter light many times, so they follow Kubelka and Munk: with K the sum of
the absorptions and S the scattering, an optically thick layer reflects 1 + K/S - sqrt((K/S)^2 + 2 K/S).
Absorptions add up in K, so features saturate as they do in nature (twice the water does not make a band twice
as deep). Asphalt, bitumen, concrete and metal reflect a smooth continuum times one minus their features.

Every material is a function `(rng, count, wavelength) -> (count, bands)`: one spectrum per object, with
parameters (leaf water, chlorophyll, moisture, age) drawn for each object, because two fields of wheat differ
more than two pixels of one field. Reflectance is a fraction, 0..1.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Material = Callable[[np.random.Generator, int, Floats], Floats]
Range = tuple[float, float]


def kubelka_munk(ratio: Floats) -> Floats:
    """Reflectance (0..1) of an optically thick layer from K/S (>= 0)."""
    return 1.0 + ratio - np.sqrt(ratio * (ratio + 2.0))


def peak(wavelength: Floats, centre: float, sigma: float) -> Floats:
    """Gaussian absorption feature of height one; all in nm."""
    return np.exp(-0.5 * ((wavelength - centre) / sigma) ** 2)


def chlorophyll(w: Floats) -> Floats:
    """K/S of one unit (a healthy canopy) of chlorophyll and carotenoids."""
    soret = 9.0 * peak(w, 435, 45) + 4.5 * peak(w, 485, 28)
    return soret + 8.0 * peak(w, 673, 21) + 4.6 * peak(w, 630, 32) + 3.2 * peak(w, 570, 45)


def liquid_water(w: Floats) -> Floats:
    """K/S of one unit of water (a turgid canopy)."""
    overtones = 0.12 * peak(w, 970, 26) + 0.28 * peak(w, 1190, 45)
    bands = 3.6 * peak(w, 1450, 58) + 7.5 * peak(w, 1940, 75) + 7.0 * peak(w, 2600, 190)
    return overtones + bands + 1.9 * np.clip((w - 1250.0) / 950.0, 0.0, None) ** 1.4


def dry_matter(w: Floats) -> Floats:
    """K/S of one unit of cellulose and lignin, with the brown pigments of dead leaves."""
    brown = 2.6 * np.exp(-(w - 400.0) / 170.0)
    cellulose = 0.45 * peak(w, 2100, 65) + 0.28 * peak(w, 2300, 45) + 0.14 * peak(w, 1730, 28)
    return brown + cellulose + 0.06 * peak(w, 1200, 40) + 0.3 * np.clip((w - 1300.0) / 1100.0, 0.0, None)


def iron_oxide(w: Floats) -> Floats:
    """K/S of one unit of haematite: opaque below 540 nm, weak bands at 660 and 870 nm."""
    charge_transfer = 3.2 / (1.0 + np.exp((w - 515.0) / 34.0))
    return charge_transfer + 0.22 * peak(w, 660, 35) + 0.30 * peak(w, 870, 65)


def clay(w: Floats) -> Floats:
    """K/S of one unit of clay minerals (OH and Al-OH bands)."""
    return 0.22 * peak(w, 1415, 28) + 0.20 * peak(w, 2205, 26) + 0.08 * peak(w, 2345, 35)


def hydrocarbon(w: Floats) -> Floats:
    """Depth (0..1) of the C-H features of bitumen."""
    return peak(w, 1725, 28) + 0.9 * peak(w, 2310, 38) + 0.4 * peak(w, 2350, 30)


def _draw(rng: np.random.Generator, count: int, interval: Range) -> Floats:
    """One value per object, shape (count, 1); the middle of the interval is likelier than its ends."""
    low, high = interval
    return low + (high - low) * rng.beta(2.5, 2.5, size=(count, 1))


def _canopy(albedo: Range, green: Range, water: Range, dry: Range) -> Material:
    """Leaves: `albedo` is the near-infrared plateau, the rest are units of absorber."""

    def spectra(rng: np.random.Generator, count: int, w: Floats) -> Floats:
        plateau = _draw(rng, count, albedo)
        absorption = (
            (1.0 - plateau) ** 2 / (2.0 * plateau)
            + _draw(rng, count, green) * chlorophyll(w)
            + _draw(rng, count, water) * liquid_water(w)
            + _draw(rng, count, dry) * dry_matter(w)
        )
        return kubelka_munk(absorption)

    return spectra


def _earth(albedo: Range, iron: Range, clays: Range, moisture: Range, humus: Range) -> Material:
    """Soil or fired clay: `albedo` is the reflectance around 1600 nm when dry."""

    def spectra(rng: np.random.Generator, count: int, w: Floats) -> Floats:
        plateau = _draw(rng, count, albedo)
        wet = _draw(rng, count, moisture)
        absorption = (
            (1.0 - plateau) ** 2 / (2.0 * plateau) * (1.0 + wet)
            + _draw(rng, count, humus) * 1.35 * np.exp(-(w - 400.0) / 230.0)
            + _draw(rng, count, iron) * iron_oxide(w)
            + _draw(rng, count, clays) * clay(w)
            + 0.35 * wet * liquid_water(w)
        )
        return kubelka_munk(absorption)

    return spectra


def _sealed(level: Range, slope: Range, tar: Range, lime: Range) -> Material:
    """Artificial surface: reflectance `level` at 400 nm rising by `slope`, with tar and lime features."""

    def spectra(rng: np.random.Generator, count: int, w: Floats) -> Floats:
        rise = 1.0 - np.exp(-(w - 400.0) / 350.0)
        continuum = _draw(rng, count, level) + _draw(rng, count, slope) * rise
        carbonate = peak(w, 2335, 40) + 0.4 * peak(w, 1420, 35) + 0.5 * peak(w, 1930, 50)
        features = _draw(rng, count, tar) * hydrocarbon(w) + _draw(rng, count, lime) * carbonate
        return continuum * (1.0 - features)

    return spectra


def _lake(turbidity: Range, algae: Range, glint: Range) -> Material:
    """Water: backscatter by particles, absorbed from 600 nm on, plus a grey reflection of the sky."""

    def spectra(rng: np.random.Generator, count: int, w: Floats) -> Floats:
        pure_water = np.exp(-np.clip((w - 560.0) / 75.0, 0.0, None)) * (1.0 - 0.5 * peak(w, 400, 60))
        scatter = _draw(rng, count, turbidity) * pure_water
        bloom = peak(w, 560, 40) + 0.6 * peak(w, 705, 15) - 0.4 * peak(w, 673, 15)
        living = _draw(rng, count, algae) * bloom
        return np.clip(scatter + living, 0.0, None) + _draw(rng, count, glint)

    return spectra


MATERIALS: dict[str, Material] = {
    "lake water": _lake(turbidity=(0.015, 0.04), algae=(0.004, 0.02), glint=(0.004, 0.012)),
    "river water": _lake(turbidity=(0.03, 0.07), algae=(0.006, 0.02), glint=(0.006, 0.018)),
    "new asphalt": _sealed(level=(0.05, 0.08), slope=(0.04, 0.08), tar=(0.04, 0.09), lime=(0.0, 0.02)),
    "old asphalt": _sealed(level=(0.06, 0.10), slope=(0.09, 0.15), tar=(0.01, 0.06), lime=(0.0, 0.05)),
    "concrete": _sealed(level=(0.15, 0.22), slope=(0.10, 0.18), tar=(0.0, 0.01), lime=(0.05, 0.13)),
    "bitumen felt": _sealed(level=(0.04, 0.08), slope=(0.0, 0.035), tar=(0.12, 0.20), lime=(0.0, 0.02)),
    "roof gravel": _sealed(level=(0.09, 0.15), slope=(0.05, 0.12), tar=(0.04, 0.10), lime=(0.03, 0.09)),
    "sheet metal": _sealed(level=(0.16, 0.30), slope=(-0.03, 0.06), tar=(0.0, 0.02), lime=(0.0, 0.01)),
    "new tiles": _earth((0.34, 0.46), iron=(0.7, 1.2), clays=(0, 0.2), moisture=(0, 0.1), humus=(0.2, 0.6)),
    "old tiles": _earth((0.20, 0.32), iron=(0.4, 0.9), clays=(0, 0.4), moisture=(0, 0.3), humus=(0.6, 1.6)),
    "loam": _earth((0.26, 0.42), iron=(0.2, 0.6), clays=(0.4, 1.2), moisture=(0.05, 0.5), humus=(1.0, 2.4)),
    "sand": _earth((0.40, 0.52), iron=(0.15, 0.45), clays=(0.1, 0.5), moisture=(0.0, 0.2), humus=(0.5, 1.2)),
    "wet soil": _earth((0.22, 0.34), iron=(0.2, 0.6), clays=(0.4, 1.2), moisture=(0.8, 1.8), humus=(2, 3.5)),
    "straw": _canopy((0.48, 0.60), green=(0.0, 0.05), water=(0.04, 0.14), dry=(0.7, 1.2)),
    "wheat": _canopy((0.48, 0.60), green=(0.7, 1.1), water=(0.8, 1.2), dry=(0.1, 0.3)),
    "ripe wheat": _canopy((0.46, 0.56), green=(0.15, 0.4), water=(0.3, 0.6), dry=(0.5, 0.8)),
    "maize": _canopy((0.50, 0.62), green=(0.8, 1.2), water=(0.9, 1.4), dry=(0.05, 0.2)),
    "beet": _canopy((0.55, 0.66), green=(0.8, 1.3), water=(1.0, 1.6), dry=(0.0, 0.1)),
    "grass": _canopy((0.48, 0.60), green=(0.6, 1.0), water=(0.7, 1.2), dry=(0.15, 0.4)),
    "dry grass": _canopy((0.42, 0.54), green=(0.1, 0.35), water=(0.2, 0.5), dry=(0.6, 1.0)),
    "oak": _canopy((0.50, 0.60), green=(0.9, 1.3), water=(0.9, 1.3), dry=(0.1, 0.3)),
    "beech": _canopy((0.54, 0.64), green=(0.8, 1.2), water=(0.8, 1.2), dry=(0.05, 0.2)),
    "willow": _canopy((0.48, 0.58), green=(0.6, 1.0), water=(0.8, 1.2), dry=(0.15, 0.35)),
    "pine": _canopy((0.40, 0.50), green=(0.9, 1.4), water=(0.8, 1.3), dry=(0.25, 0.5)),
    "spruce": _canopy((0.38, 0.48), green=(1.1, 1.6), water=(1.0, 1.4), dry=(0.15, 0.35)),
    "litter": _canopy((0.34, 0.46), green=(0.1, 0.5), water=(0.3, 0.7), dry=(0.8, 1.3)),
}
