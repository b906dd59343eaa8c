"""importscene: a GeoTIFF of a product that no GIS shows as a scene."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from rasterio.enums import ColorInterp

from ..composites import TRUE_COLOUR
from ..jobs import ImportScene
from ..outputs import Outputs
from ..products.opening import damage_reported, open_product
from ..products.product import ROWS, ProductBand
from ..progress import Progress

# By which reflectance is stored, as in EnMAP and NEON products: half the size of floats, and no less exact. It is not
# told as the scale of the bands, with which QGIS 3.44 finds no range of values to show small scenes by.
FACTOR = 10_000
NODATA = -32768


def import_scene(job: ImportScene, progress: Progress, token: str) -> dict[str, Any]:
    """Write all bands with wavelengths, widths and bad-band flags; the visible ones are what a GIS shows first."""
    with open_product(job.product) as product, Outputs([job.product], token) as outputs:
        outputs.check(job.output)
        bands = product.bands
        bad = sum(not band.good for band in bands)
        progress.info(
            f"{job.product} is {product.title}: {product.width} x {product.height} pixels, {len(bands)} bands "
            f"({min(b.wavelength for b in bands):.0f} to {max(b.wavelength for b in bands):.0f} nm), "
            f"{bad} of them flagged bad."
        )
        with outputs.raster(
            job.output, product, len(bands), "int16", NODATA, interleave="band", predictor=2, blockysize=ROWS
        ) as dataset:
            dataset.colorinterp = _colours(bands)
            for number, band in enumerate(bands, 1):
                dataset.set_band_description(number, f"{band.wavelength:.1f} nm")
                dataset.update_tags(
                    number, wavelength=band.wavelength, wavelength_units="Nanometers", fwhm=band.width,
                    bbl=int(band.good),
                )  # fmt: skip
            valid = 0
            for part in progress.track(product.parts()):
                with damage_reported(job.product):
                    numbers = _to_numbers(product.read(part))
                    if len(numbers) != part.bands.stop - part.bands.start:
                        raise ValueError(f"{len(numbers)} bands instead of {len(bands)}")
                valid += int(np.count_nonzero(numbers != NODATA))
                dataset.write(numbers, range(part.bands.start + 1, part.bands.stop + 1), window=part.window)
        share = valid / (len(bands) * product.width * product.height)
        progress.info(f"{100 * share:.0f} per cent of the grid hold data.")
    return {"bands": len(bands)}


def _to_numbers(reflectance: np.ndarray) -> np.ndarray:
    """Reflectance times `FACTOR` as int16, `NODATA` for NaN; what is out of range becomes the nearest number in it."""
    numbers = np.clip(np.rint(reflectance * FACTOR), NODATA + 1, 32767)
    return np.where(np.isnan(numbers), NODATA, numbers).astype(np.int16)


def _colours(bands: Sequence[ProductBand]) -> list[ColorInterp]:
    """Which bands are red, green and blue."""
    colours = [ColorInterp.undefined] * len(bands)
    centres = np.array([band.wavelength for band in bands])
    for colour, wavelength in zip((ColorInterp.red, ColorInterp.green, ColorInterp.blue), TRUE_COLOUR, strict=True):
        colours[int(np.abs(centres - wavelength).argmin())] = colour
    return colours
