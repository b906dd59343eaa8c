"""PRISMA L2D: surface reflectance on a grid in UTM (Italian Space Agency).

Cubes are stored (rows, bands, columns) with descending wavelengths; bands that were not taken have a wavelength of 0.
Corners are given by the centres of their pixels, as prismaread and the EnMAP-Box take them, too.
"""

from __future__ import annotations

import h5py
import numpy as np
from affine import Affine
from rasterio.crs import CRS

from .product import Part, Product, ProductBand, absorbed, number_of, scale_of

SWATH = "HDFEOS/SWATHS/PRS_L2D_HCO"
LARGEST = 65535


class _Detector:
    """One of the two spectrometers, `Vnir` or `Swir`."""

    def __init__(self, file: h5py.File, name: str) -> None:
        self.cube = file[f"{SWATH}/Data Fields/{name.upper()}_Cube"]
        wavelengths, widths, taken = (
            np.asarray(file.attrs[key.format(name)], float).ravel()
            for key in ("List_Cw_{}", "List_Fwhm_{}", "List_Cw_{}_Flags")
        )
        self.order = [int(i) for i in np.argsort(wavelengths) if wavelengths[i] > 0 and taken[i]]
        self.bands = [
            ProductBand(float(wavelengths[i]), float(widths[i]), not absorbed(wavelengths[i])) for i in self.order
        ]
        low, high = (number_of(file.attrs[f"L2Scale{name}{end}"]) for end in ("Min", "Max"))
        self.offset, self.scale = low, scale_of(high - low) / LARGEST


class Prisma(Product):
    """A file named as in PRS_L2D_STD_20200911101447_20200911101451_0001.he5."""

    title = "PRISMA L2D"

    def __init__(self, file: h5py.File) -> None:
        self._detectors = [_Detector(file, name) for name in ("Vnir", "Swir")]
        height, _, width = self._detectors[0].cube.shape
        west, north, east, south = (
            number_of(file.attrs[f"Product_{corner}"])
            for corner in ("ULcorner_easting", "ULcorner_northing", "LRcorner_easting", "LRcorner_northing")
        )
        across, down = (east - west) / (width - 1), (south - north) / (height - 1)
        super().__init__(
            (height, width),
            CRS.from_epsg(int(number_of(file.attrs["Epsg_Code"]))),
            Affine(across, 0, west - across / 2, 0, down, north - down / 2),
            [band for detector in self._detectors for band in detector.bands],
        )

    def read(self, part: Part) -> np.ndarray:
        rows = slice(part.window.row_off, part.window.row_off + part.window.height)
        stored = [detector.cube[rows][:, detector.order].transpose(1, 0, 2) for detector in self._detectors]
        # In a single band 0 is the least reflectance; only outside the swath it stands in all of them.
        outside = ~np.any([numbers.any(axis=0) for numbers in stored], axis=0)
        reflectance = np.concatenate([
            numbers.astype(np.float32) * np.float32(detector.scale) + np.float32(detector.offset)
            for numbers, detector in zip(stored, self._detectors, strict=True)
        ])  # fmt: skip
        reflectance[:, outside] = np.nan
        return reflectance
