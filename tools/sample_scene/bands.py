"""The band table of the sample sensor: two spectrometers, 400-985 nm and 1010-2446 nm."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

# Water vapour leaves next to no light between these wavelengths (nm).
WATER_VAPOUR = ((1340.0, 1460.0), (1790.0, 1970.0))
# In the middle of them nothing is left, and an atmospheric correction writes nodata.
OPAQUE = ((1370.0, 1420.0), (1870.0, 1900.0))


@dataclass(frozen=True)
class BandTable:
    """What is known about each band; every array has shape (bands,)."""

    wavelength: Floats
    """Band centre in nm, ascending."""
    fwhm: Floats
    """Full width at half maximum in nm."""
    good: Mask
    """False for the bands in water-vapour absorption (`bbl` = 0)."""
    opaque: Mask
    """True for the bands that are nodata everywhere; these are never good."""

    def __len__(self) -> int:
        return len(self.wavelength)

    def nearest(self, wavelength: float) -> int:
        """Index of the band whose centre is closest to a wavelength in nm."""
        return int(np.argmin(np.abs(self.wavelength - wavelength)))


def band_table() -> BandTable:
    """The sensor's 80 bands: 15 nm apart below 1000 nm, about 37 nm above."""
    visible = np.arange(400.0, 986.0, 15.0)
    infrared = np.linspace(1010.0, 2446.0, 40).round(1)
    wavelength = np.concatenate([visible, infrared])
    fwhm = np.where(wavelength < 1000.0, 16.5, 40.0)
    return BandTable(
        wavelength, fwhm, good=~_within(wavelength, WATER_VAPOUR), opaque=_within(wavelength, OPAQUE)
    )


def _within(wavelength: Floats, intervals: tuple[tuple[float, float], ...]) -> Mask:
    inside = np.zeros(wavelength.shape, dtype=bool)
    for low, high in intervals:
        inside |= (wavelength >= low) & (wavelength <= high)
    return inside
