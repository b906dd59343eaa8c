"""Surface reflectance of the airborne observatory of NEON (DP1.30006, DP3.30006 and their .002), in UTM."""

from __future__ import annotations

import h5py
import numpy as np
from affine import Affine
from rasterio.crs import CRS

from .product import Part, Product, ProductBand, absorbed, number_of, scale_of, text_of


class Neon(Product):
    """A file named as in NEON_D17_SJER_DP3_257000_4111000_reflectance.h5; `group` is the site's in it."""

    title = "NEON reflectance"

    def __init__(self, group: h5py.Group) -> None:
        self._cube = group["Reflectance_Data"]
        self._ignore, self._scale = (number_of(self._cube.attrs[k]) for k in ("Data_Ignore_Value", "Scale_Factor"))
        scale_of(self._scale)
        place = group["Metadata/Coordinate_System"]
        # ENVI's map info: projection, the pixel (from 1) whose corner lies at the next two, size of a pixel, ...
        fields = [field.strip() for field in text_of(place["Map_Info"][()]).split(",")]
        if any(field.startswith("rotation=") and float(field.partition("=")[2]) for field in fields):
            raise ValueError("its rows do not run from west to east")
        column, row, east, north, across, down = map(float, fields[1:7])
        spectral = group["Metadata/Spectral_Data"]
        bands = zip(spectral["Wavelength"][:].tolist(), spectral["FWHM"][:].tolist(), strict=True)
        super().__init__(
            self._cube.shape[:2],
            CRS.from_epsg(int(number_of(place["EPSG Code"][()]))),
            Affine(across, 0, east - (column - 1) * across, 0, -down, north + (row - 1) * down),
            [ProductBand(centre, width, not absorbed(centre)) for centre, width in bands],
        )

    def read(self, part: Part) -> np.ndarray:
        stored = self._cube[part.window.row_off : part.window.row_off + part.window.height].transpose(2, 0, 1)
        reflectance = stored.astype(np.float32) / np.float32(self._scale)
        reflectance[stored == self._ignore] = np.nan
        return reflectance
