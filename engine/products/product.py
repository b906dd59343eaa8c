"""What all products have in common: a grid on the ground, bands with wavelengths, and reflectances read in parts."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from affine import Affine
from rasterio.crs import CRS
from rasterio.windows import Window

# Where the water vapour of the air lets next to no light through, in nm: what stands there is noise. NEON's limits.
ABSORPTION = ((1340.0, 1445.0), (1790.0, 1955.0))
# Of a part, so that a few hundred bands of a wide scene fit into memory.
ROWS = 64


@dataclass(frozen=True)
class ProductBand:
    """One band: its centre and its width at half maximum, both in nm, and whether it is good."""

    wavelength: float
    width: float
    good: bool


@dataclass(frozen=True)
class Part:
    """Some bands of a window."""

    bands: slice
    window: Window


class Product(ABC):
    """A product that is open for reading.

    Attributes:
        title: what it is called.
        width, height, crs, transform: its grid; the first row lies in the north.
        bands: by detector, wavelengths ascending.

    Raises:
        ValueError: its pixels or bands cannot be.
    """

    title: ClassVar[str]

    def __init__(
        self, shape: tuple[int, int], crs: CRS, transform: Affine, bands: Sequence[ProductBand]
    ) -> None:
        self.height, self.width = shape
        self.crs = crs
        self.transform = transform
        self.bands = tuple(bands)
        if not self.bands or not all(0 < band.wavelength < math.inf for band in self.bands):
            raise ValueError("it does not say the wavelengths of its bands")
        if not 0 < abs(transform.determinant) < math.inf:
            raise ValueError("its pixels have no width or height")

    def parts(self) -> list[Part]:
        """What to read, one after the other, to have read everything once."""
        return [
            Part(slice(0, len(self.bands)), Window(0, row, self.width, min(ROWS, self.height - row)))
            for row in range(0, self.height, ROWS)
        ]

    @abstractmethod
    def read(self, part: Part) -> np.ndarray:
        """Surface reflectance (0..1) of one of the `parts`: (bands, height, width) float32, NaN for no data."""


def absorbed(wavelength: float) -> bool:
    """Whether next to no light of a wavelength, in nm, reaches the ground and comes back."""
    return any(low <= wavelength <= high for low, high in ABSORPTION)


def text_of(value: Any) -> str:
    """The text of an attribute or scalar dataset, which HDF5 gives as bytes or str, alone or as an array of one."""
    single = np.asarray(value).ravel()[0]
    return single.decode("utf-8", "replace") if isinstance(single, bytes) else str(single)


def scale_of(value: float) -> float:
    """A factor of reflectances; raises ValueError where it cannot be one."""
    if not 0 < value < math.inf:
        raise ValueError(f"its reflectances are scaled by {value}")
    return value


def number_of(value: Any) -> float:
    """The number of an attribute or scalar dataset, as a number or text, alone or as an array of one."""
    return float(text_of(value))
