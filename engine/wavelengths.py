"""Wavelengths and bad-band flags, from wherever a product keeps them.

Looked at in this order: per-band tags (`wavelength`, `wavelength_units`, `bbl`), the lists of an ENVI header (also one
beside a GeoTIFF, as in DESIS products), the dimension `wavelength` of a NetCDF file, GDAL's IMAGERY domain, an EnMAP
metadata file beside the scene, and band names such as "band 12 (0.617600 Micrometers)". Where a virtual raster says
nothing itself, the files count that it is made of.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import rasterio
from rasterio.errors import RasterioError
from scipy.optimize import linear_sum_assignment

from .envi import header_beside
from .errors import EngineError

# Limits in nm of how far a band may be off.
TOLERANCE = (1.0, 20.0)
# In square nm, what it costs to take a band beyond them.
TOO_FAR = 1e6
# Characters of a name of a band.
LONGEST_NAME = 500
# Virtual rasters within each other; one may be made of itself.
NESTED = 8
# In nm, by the names that ENVI, CF and people have for them.
UNITS: dict[str, float] = {
    **dict.fromkeys(("micrometers", "micrometres", "micrometer", "micrometre", "um", "µm", "μm", "microns"), 1e3),
    **dict.fromkeys(("nanometers", "nanometres", "nanometer", "nanometre", "nm"), 1.0),
    **dict.fromkeys(("angstroms", "angstrom"), 0.1),
    **dict.fromkeys(("millimeters", "millimetres", "mm"), 1e6),
    **dict.fromkeys(("centimeters", "centimetres", "cm"), 1e7),
    **dict.fromkeys(("meters", "metres", "meter", "metre", "m"), 1e9),
}
# ENVI's units of what is no wavelength.
NO_WAVELENGTH = {"index", "wavenumber", "ghz", "mhz"}
_UNIT = r"(nanomet(?:er|re)s?|nm|micromet(?:er|re)s?|microns|um|µm|μm)\b"
_NAMED = re.compile(rf"(\d+(?:\.\d+)?)\s*{_UNIT}", re.I)
# "Red (630-690 nm)", but not "B04-665 nm" or "Band 500 - 900 nm".
_RANGE = re.compile(rf"(?<!band )(?<![\w.])(\d+(?:\.\d+)?)\s*(?:[-–]|to)\s*(\d+(?:\.\d+)?)\s*{_UNIT}", re.I)


@dataclass(frozen=True)
class BandSpectrum:
    """What a file says of one band: its centre in nm, and whether it is good (`bbl` is not 0)."""

    wavelength: float | None = None
    good: bool = True


def read_band_spectra(dataset: rasterio.DatasetReader, deepest: int = NESTED) -> list[BandSpectrum]:
    """Centre and bad-band flag of every band of an open dataset, whose virtual rasters may be nested so deeply."""
    spectra = _own_spectra(dataset)
    if dataset.driver == "VRT" and deepest and all(spectrum.wavelength is None for spectrum in spectra):
        with suppress(RasterioError, ElementTree.ParseError, LookupError, ValueError):
            return _spectra_of_sources(dataset, deepest - 1)
    return spectra


def _spectra_of_sources(dataset: rasterio.DatasetReader, deepest: int) -> list[BandSpectrum]:
    """What the files say that the bands of a virtual raster are made of: GDAL puts tiles together without their tags.

    Raises:
        RasterioError, ParseError, LookupError, ValueError: a file is gone, or a band is no part of a file as it is.
    """
    folder = Path(dataset.name).parent
    of_file: dict[str, list[BandSpectrum]] = {}
    spectra = []
    for band in ElementTree.fromstring(dataset.tags(ns="xml:VRT")["xml:VRT"]).findall("VRTRasterBand"):  # noqa: S314  (GDAL's own)
        name = band.find("*/SourceFilename")
        if name is None or band.get("subClass"):
            raise ValueError("computed")
        path = str(folder / str(name.text)) if name.get("relativeToVRT") == "1" else str(name.text)
        if path not in of_file:
            with rasterio.open(path) as file:
                of_file[path] = read_band_spectra(file, deepest)
        spectra.append(of_file[path][int(band.findtext("*/SourceBand") or 1) - 1])
    return spectra


def _own_spectra(dataset: rasterio.DatasetReader) -> list[BandSpectrum]:
    envi = dataset.tags(ns="ENVI") or header_beside(dataset)
    header = {key: _split_list(envi.get(key, "")) for key in ("wavelength", "bbl")}
    of_file = dataset.tags()
    unit = envi.get("wavelength_units") or of_file.get("wavelength_units") or of_file.get("wavelength#units") or ""
    product = _enmap_metadata(Path(dataset.name))
    spectra = []
    for index in dataset.indexes:
        tags = {key.lower(): value for key, value in dataset.tags(index).items()}
        for key, values in header.items():
            if len(values) == dataset.count:
                tags.setdefault(key, values[index - 1])
        good = _number(tags.get("bbl", "1")) != 0
        band_unit = tags.get("wavelength_units", unit)
        wavelength = _number(tags.get("wavelength") or tags.get("netcdf_dim_wavelength"))
        imagery = dataset.tags(index, ns="IMAGERY")
        if wavelength is None and "CENTRAL_WAVELENGTH_UM" in imagery:
            wavelength, band_unit = _number(imagery["CENTRAL_WAVELENGTH_UM"]), "um"
        if wavelength is None and len(product) == dataset.count:
            wavelength, band_unit = product[index - 1], "nm"
        if wavelength is None:
            # The tag itself may say "450 nm".
            wavelength, band_unit = _find_named(f"{tags.get('wavelength', '')} {dataset.descriptions[index - 1] or ''}")
        spectra.append(BandSpectrum(_to_nanometres(wavelength, band_unit), good))
    return spectra


def match_bands(
    wanted: Sequence[float], available: Mapping[int, float], tolerance: float | None = None,
    numbers: Sequence[int] = (), remedy: str = "use a scene of the same sensor, or train a model on this one",
) -> list[int]:  # fmt: skip
    """Find a band for each wanted wavelength, so that all together are as near as possible (least squares).

    Nearest bands one by one would not do: where detectors overlap, bands lie closer together than calibration is
    stable, and in a stack of dates every wavelength occurs twice.

    Args:
        wanted: wavelengths in nm.
        available: wavelength in nm by band number.
        tolerance: largest accepted distance in nm; by default half the distance to the nearest of the
            other wanted bands, or of what that is for most, but 1 to 20 nm. More would let bands move on by one
            where one is missing.
        numbers: of the wanted bands where they come from; of bands within the tolerance, those are taken.
        remedy: what to do where bands are missing, for the error.

    Returns:
        One band number for each wanted wavelength, no band twice.

    Raises:
        EngineError: a wanted wavelength is left without a band within the tolerance. The sentence names it, and
            what the scene has, which shows a wrong unit.
    """
    found = np.array(list(available), int)
    centres = np.array([available[n] for n in found], float)
    targets = np.asarray(wanted, float)
    if tolerance is None:
        apart = np.abs(targets[:, None] - targets)
        np.fill_diagonal(apart, np.inf)
        nearest = apart.min(1)
        limits = np.clip(np.maximum(nearest, np.median(nearest)) / 2, *TOLERANCE)
    else:
        limits = np.full(len(targets), tolerance)
    if len(numbers) and (np.abs([available.get(n, np.inf) for n in numbers] - targets) <= limits).all():
        return list(numbers)
    distance = np.abs(centres[None, :] - targets[:, None])
    cost = np.where(distance <= limits[:, None], distance**2, TOO_FAR)
    rows, columns = linear_sum_assignment(cost)
    matched = {int(r): int(found[c]) for r, c in zip(rows, columns, strict=True) if cost[r, c] < TOO_FAR}
    missing = [w for i, w in enumerate(targets) if i not in matched]
    if missing:
        names = ", ".join(f"{w:.0f}" for w in missing[:8])
        more = f" and {len(missing) - 8} more" if len(missing) > 8 else ""
        raise EngineError(
            f"The scene ({centres.min():.0f} to {centres.max():.0f} nm) has no band for {len(missing)} of the "
            f"{len(targets)} wavelengths needed ({names}{more} nm); {remedy}."
        )
    return [matched[i] for i in range(len(targets))]


def _find_named(text: str) -> tuple[float | None, str]:
    """The wavelength that a text names, or the middle of the range, and its unit; None where it names none."""
    # Nobody's names of bands are longer, and to search one of ten thousand digits takes minutes.
    text = text[:LONGEST_NAME]
    # A number of another size is that of the band, as in "12 - 665 nm".
    if (ends := _RANGE.search(text)) and float(ends[1]) < float(ends[2]) <= 2 * float(ends[1]):
        return (float(ends[1]) + float(ends[2])) / 2, ends[3]
    named = _NAMED.search(text)
    return (float(named[1]), named[2]) if named else (None, "")


def _to_nanometres(wavelength: float | None, unit: str) -> float | None:
    name = unit.strip().lower()
    # Where a band has none, some programs write 0 or -1.
    if wavelength is None or wavelength <= 0:
        return None
    if name in UNITS:
        return wavelength * UNITS[name]
    if name in NO_WAVELENGTH:
        return None
    # No unit is given: optical wavelengths are below 100 um and above 100 nm.
    return wavelength * 1000 if wavelength < 100 else wavelength


def _split_list(text: str) -> list[str]:
    return [part.strip() for part in text.strip().strip("{}").split(",") if part.strip()]


def _number(text: str | None) -> float | None:
    try:
        value = float(text) if text is not None else None
    except ValueError:
        return None
    return value if value is None or np.isfinite(value) else None


def _enmap_metadata(scene: Path) -> list[float | None]:
    """Centre in nm of every band, from the METADATA.XML of an EnMAP product."""
    if "SPECTRAL_IMAGE" not in scene.name:
        return []
    path = scene.with_name(scene.name.split("SPECTRAL_IMAGE")[0] + "METADATA.XML")
    if not path.exists():
        return []
    try:
        bands = ElementTree.parse(path).findall(".//bandCharacterisation/bandID")  # noqa: S314  (a file of the product itself)
    except (ElementTree.ParseError, LookupError, ValueError) as error:  # the latter two of its encoding
        raise EngineError(f"The metadata file {path} cannot be read ({error}); download it again.") from error
    return [_number(b.findtext("wavelengthCenterOfBand")) for b in bands]
