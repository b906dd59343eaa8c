"""Tanager ortho surface reflectance on a grid in UTM (Planet), a grid of HDF-EOS5."""

from __future__ import annotations

import re

import h5py
import numpy as np
from affine import Affine
from rasterio.crs import CRS

from .product import Part, Product, ProductBand, number_of, text_of

GRID = "HDFEOS/GRIDS/HYP"


class Tanager(Product):
    """A file named as in 20250123_185507_64_4001_ortho_sr_hdf5.h5."""

    title = "Tanager ortho surface reflectance"

    def __init__(self, file: h5py.File) -> None:
        self._cube = file[f"{GRID}/Data Fields/surface_reflectance"]
        self._fill = number_of(self._cube.attrs["_FillValue"])
        _, height, width = self._cube.shape
        structure = text_of(file["HDFEOS INFORMATION/StructMetadata.0"][()])
        # Corners of the grid, not centres of pixels (HDF-EOS5, HE5_GDcreate).
        (west, north), (east, south) = (_pair(structure, key) for key in ("UpperLeftPointMtrs", "LowerRightMtrs"))
        of_bands = self._cube.attrs
        bands = zip(of_bands["wavelengths"], of_bands["fwhm"], of_bands["good_wavelengths"], strict=True)
        super().__init__(
            (height, width),
            CRS.from_epsg(int(number_of(file[GRID].attrs["epsg_code"]))),
            Affine((east - west) / width, 0, west, 0, (south - north) / height, north),
            [ProductBand(float(centre), float(spread), bool(good)) for centre, spread, good in bands],
        )

    def read(self, part: Part) -> np.ndarray:
        rows = slice(part.window.row_off, part.window.row_off + part.window.height)
        stored = self._cube[part.bands, rows].astype(np.float32)
        return np.where(stored == self._fill, np.nan, stored)


def _pair(structure: str, key: str) -> tuple[float, float]:
    """Two numbers of the text that describes a grid.

    Raises:
        ValueError: it does not hold them.
    """
    found = re.search(rf"{key}=\(([-+.\d]+),([-+.\d]+)\)", structure)
    if found is None:
        raise ValueError(f"it does not say its {key}")
    return float(found[1]), float(found[2])
