"""EMIT L2A: surface reflectance as the instrument saw it, and a table that says where each pixel lies (NASA).

The table gives, for every pixel of a grid in degrees, the line and sample that it shows, counted from 1; 0 for none
(EMIT L2A user guide, "geometric lookup table").
"""

from __future__ import annotations

import h5py
import numpy as np
from affine import Affine
from rasterio.crs import CRS
from rasterio.windows import Window

from .product import Part, Product, ProductBand, number_of, text_of

# Read at a time. They are stored in blocks of many, of which each is unpacked for every read; all would be gigabytes.
BANDS = 32


class Emit(Product):
    """A file named as in EMIT_L2A_RFL_001_20230316T045211_2307503_006.nc."""

    title = "EMIT L2A"

    def __init__(self, file: h5py.File) -> None:
        self._cube = file["reflectance"]
        self._fill = number_of(self._cube.attrs["_FillValue"])
        sample, line = (file[f"location/glt_{axis}"][:].astype(int) for axis in "xy")
        self._seen = (sample > 0) & (line > 0)
        self._line, self._sample = line[self._seen] - 1, sample[self._seen] - 1
        if np.any(self._line >= self._cube.shape[0]) or np.any(self._sample >= self._cube.shape[1]):
            raise ValueError("its lookup table leads out of the image")
        self._first, self._loaded = -1, np.zeros((0, 0, 0), np.float32)
        of_bands = file["sensor_band_parameters"]
        bands = zip(of_bands["wavelengths"][:], of_bands["fwhm"][:], of_bands["good_wavelengths"][:], strict=True)
        super().__init__(
            sample.shape,
            CRS.from_wkt(text_of(file.attrs["spatial_ref"])),
            Affine.from_gdal(*np.asarray(file.attrs["geotransform"], float).tolist()),
            [ProductBand(float(centre), float(width), bool(good)) for centre, width, good in bands],
        )

    def parts(self) -> list[Part]:
        """Band by band: a row of the grid shows lines from all over the image."""
        return [Part(slice(i, i + 1), Window(0, 0, self.width, self.height)) for i in range(len(self.bands))]

    def read(self, part: Part) -> np.ndarray:
        first = part.bands.start // BANDS * BANDS
        if first != self._first:
            # Copied into whole images, in which pixels are found several times as fast.
            self._loaded = np.ascontiguousarray(self._cube[:, :, first : first + BANDS].transpose(2, 0, 1))
            self._first = first
        seen = self._loaded[part.bands.start - first][self._line, self._sample]
        reflectance = np.full((1, self.height, self.width), np.nan, np.float32)
        reflectance[0, self._seen] = np.where(seen == self._fill, np.nan, seen)
        return reflectance
