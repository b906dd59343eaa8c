"""Windowed reading of a hyperspectral scene: one open raster, its good bands, one validity rule."""

from __future__ import annotations

import hashlib
import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np
import rasterio
from affine import Affine
from rasterio.crs import CRS
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.errors import CRSError, NotGeoreferencedWarning, RasterioError
from rasterio.windows import Window

from .envi import check_length, open_compressed_envi, resolve_envi_header
from .errors import EngineError, reason
from .outliers import Range, draw_in
from .wavelengths import read_band_spectra

# Every block of a 2048-pixel-wide, 200-band scene tiled by 256 rows fits, so no tile is read twice.
# Rasterio takes the size in bytes.
GDAL_OPTIONS = {"GDAL_CACHEMAX": 512 * 1024 * 1024, "CPL_VSIL_GZIP_WRITE_PROPERTIES": "NO"}

# No reflectance or radiance is as large; what is, stands for no data, whatever the file says or rounds off.
FILL = 1e19

# Side of the parts of a band, in pixels, that tell what it holds.
LOOKED_AT = 64
# Least share of full opacity, where there is any.
OPAQUE = 0.9

# Names of datasets inside files, which are no paths themselves.
SUBDATASETS = ("/vsi", "NETCDF:", "HDF5:", "HDF4_SDS:", "GPKG:", "GTIFF_DIR:")


@dataclass(frozen=True)
class Band:
    """One band of a scene.

    `number` counts from 1, `wavelength` is in nm. Where a `usual` range is known, values far beyond it are read as its
    nearer end.
    """

    number: int
    wavelength: float | None
    good: bool
    scale: float
    offset: float
    nodata: float | None
    usual: Range | None = None

    @property
    def label(self) -> str:
        """Its name in logs and messages: "12 (550 nm)"."""
        return str(self.number) if self.wavelength is None else f"{self.number} ({self.wavelength:.0f} nm)"


class Scene:
    """A raster opened for reading in windows. Use it as a context manager.

    Attributes:
        path: what was opened.
        width, height: size in pixels.
        crs, transform: where it lies.
        bands: every `Band`, in file order.
    """

    def __init__(
        self, path: str, dataset: rasterio.DatasetReader, crs: CRS, files: Sequence[str], resources: ExitStack
    ) -> None:
        self.path = path
        self._files = files
        self.width: int = dataset.width
        self.height: int = dataset.height
        self.crs = crs
        self.transform = transform_of(dataset)
        with unplaced_allowed():  # files that a virtual raster is made of
            spectra = read_band_spectra(dataset)
        # Where bands have scales of their own, these say the same.
        factor = _reflectance_factor(dataset) if set(dataset.scales) == {1.0} else 1.0
        self._opacity = _find_opacity(dataset)
        self.bands = tuple(
            Band(number, s.wavelength, s.good and number not in self._opacity, scale / factor, offset, nodata)
            for number, s, scale, offset, nodata in zip(
                dataset.indexes, spectra, dataset.scales, dataset.offsets, dataset.nodatavals, strict=True
            )
        )
        # As in a virtual raster; rasterio reads such bands one by one only.
        self._of_several_types = len(set(dataset.dtypes)) > 1
        flags = dataset.mask_flag_enums
        self._has_mask = any(MaskFlags.per_dataset in f and MaskFlags.alpha not in f for f in flags)
        # As in a virtual raster; GDAL has no flag for a mask of one band.
        self._masked_alone = {number for number, f in zip(dataset.indexes, flags, strict=True) if not f}
        self._dataset = dataset
        self._resources = resources

    @classmethod
    def open(cls, path: str, crs: str = "") -> Scene:
        """Open a raster file.

        Args:
            path: anything GDAL reads; the header of an ENVI file stands for its body.
            crs: WKT or authority code that replaces the file's own coordinate reference system.

        Raises:
            EngineError: the file is missing, is no raster, or has no coordinate reference system.
        """
        source = resolve_envi_header(path)
        resources = ExitStack()
        try:
            resources.enter_context(rasterio.Env(**GDAL_OPTIONS))
            with unplaced_allowed():
                dataset = resources.enter_context(rasterio.open(source))
            files = _files_of(dataset)
            dataset = open_compressed_envi(dataset, resources)
            check_length(dataset, path)
            _check_usable(dataset, path)
            system = CRS.from_user_input(crs) if crs else dataset.crs
            if not system:
                raise EngineError(
                    f"The raster {path} has no coordinate reference system; assign one "
                    "(in QGIS: Raster > Projections > Assign Projection)."
                )
            return cls(path, dataset, system, files, resources)
        except CRSError as error:
            resources.close()
            raise EngineError(
                f"The coordinate reference system given for {path} is not known ({reason(error)})."
            ) from error
        except RasterioError as error:
            resources.close()
            if not Path(source).exists() and not source.startswith(SUBDATASETS):
                raise EngineError(f"The raster {path} does not exist; check the path.") from error
            raise EngineError(f"{path} is not a raster that can be read ({reason(error)}); check the file.") from error
        except EngineError:
            resources.close()
            raise

    def __enter__(self) -> Scene:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file and delete temporary copies of it."""
        self._resources.close()

    def open_beside(self, path: str) -> Scene:
        """Another raster, which is closed with this one; raises as `open`."""
        return self._resources.enter_context(Scene.open(path))

    @property
    def files(self) -> tuple[str, ...]:
        """What belongs to it: an ENVI header and body, the sources of a virtual raster, its style in QGIS."""
        return (self.path, *self._files, str(Path(self.path).with_suffix(".qml")))

    def tag(self, name: str) -> str | None:
        """A metadata tag of the file, or None."""
        return self._dataset.tags().get(name)

    def read(self, window: Window, bands: Sequence[Band]) -> tuple[np.ndarray, np.ndarray]:
        """Read some bands of a window that lies inside the scene.

        Returns:
            spectra: (bands, height, width) float32, scale and offset applied; 0 where invalid.
            valid: (height, width) bool; False where any of the bands is nodata, not finite, or beyond `FILL`.

        Raises:
            EngineError: the file is damaged there.
        """
        spectra, usable = self._read_window(window, bands)
        valid: np.ndarray = np.all(usable, axis=0)
        if not valid.all():
            spectra[:, ~valid] = 0.0
        return spectra, valid

    def reflect(self, row: int, column: int, height: int, width: int) -> tuple[Window, np.ndarray, np.ndarray]:
        """What stands for a window that may reach beyond the scene, whose edges then act as mirrors.

        Returns:
            The part of the scene to read, and the rows and columns of that part that fill the window.
        """
        rows = _mirror(np.arange(row, row + height), self.height)
        columns = _mirror(np.arange(column, column + width), self.width)
        top, left = int(rows.min()), int(columns.min())
        inner = Window(left, top, int(columns.max()) - left + 1, int(rows.max()) - top + 1)
        return inner, rows - top, columns - left

    def read_with_nan(self, window: Window, bands: Sequence[Band]) -> np.ndarray:
        """Read a window as (bands, height, width) float32 with NaN where a single band has no data.

        Raises:
            EngineError: the file is damaged there.
        """
        spectra, usable = self._read_window(window, bands)
        spectra[~usable] = np.nan
        return spectra

    def digest(self) -> str:
        """SHA-256 of 16 pixels from all over the scene, by which it is known again when it was moved or renamed.

        Raises:
            EngineError: the file is damaged there.
        """
        digest = hashlib.sha256()
        for row in np.linspace(0, self.height - 1, 4).astype(int).tolist():
            for column in np.linspace(0, self.width - 1, 4).astype(int).tolist():
                digest.update(self.read_with_nan(Window(column, row, 1, 1), self.bands).tobytes())
        return digest.hexdigest()

    def overview(self, band: Band, longest: int) -> np.ndarray:
        """One band as it is stored, thinned out so that neither side exceeds `longest` pixels.

        Raises:
            EngineError: the file is damaged.
        """
        shrink = max(self.width, self.height, longest) / longest
        shape = (max(int(self.height / shrink), 1), max(int(self.width / shrink), 1))
        with self._damage_reported("in whole"):
            return self._dataset.read(band.number, out_shape=shape)

    def _read_window(self, window: Window, bands: Sequence[Band]) -> tuple[np.ndarray, np.ndarray]:
        """Values (bands, height, width) float32, scale and offset applied, and which of them are data."""
        with self._damage_reported(f"at row {window.row_off}, column {window.col_off}"):
            if self._of_several_types:
                raw = np.stack([self._dataset.read(b.number, window=window) for b in bands])
            else:
                raw = self._dataset.read([b.number for b in bands], window=window)
            mask = np.ones(raw.shape[1:], bool)
            if self._has_mask:
                mask = self._dataset.dataset_mask(window=window) > 0
            for number, half in self._opacity.items():
                mask &= self._dataset.read(number, window=window) > half
            spectra = raw.astype(np.float32)
            usable = self._usable(raw, spectra, bands)
            for i, band in enumerate(bands):
                if band.number in self._masked_alone:
                    usable[i] &= self._dataset.read_masks(band.number, window=window) > 0
        usable &= mask
        _apply_scale(spectra, bands)
        draw_in(spectra, [b.usual for b in bands])
        return spectra, usable

    @contextmanager
    def _damage_reported(self, place: str) -> Iterator[None]:
        try:
            yield
        except RasterioError as error:
            raise EngineError(
                f"{self.path} cannot be read {place} ({told_by_gdal(error)}); the file, or one that it is made of, is "
                "probably incomplete or missing, copy it again."
            ) from error

    def _usable(self, raw: np.ndarray, spectra: np.ndarray, bands: Sequence[Band]) -> np.ndarray:
        usable = np.abs(spectra) < FILL if raw.dtype.kind == "f" else np.ones(raw.shape, bool)
        for i, band in enumerate(bands):
            if band.nodata is not None and np.isfinite(band.nodata):
                # Compared in the file's own type: a float32 nodata of -3.4e38 is not that float64.
                usable[i] &= raw[i] != np.asarray(band.nodata).astype(raw.dtype)
        return usable


@contextmanager
def unplaced_allowed() -> Iterator[None]:
    """Let rasters without a place in the world be opened and made without a warning of rasterio's."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        yield


def told_by_gdal(error: Exception) -> str:
    """Why a file could not be read or written: rasterio's own message may only say that there was one before it."""
    return reason(error.__cause__ or error)


def _check_usable(dataset: rasterio.DatasetReader, path: str) -> None:
    """Raise EngineError where a dataset has no bands of real numbers, or no grid of pixels in map coordinates."""
    if dataset.count == 0:
        raise EngineError(f"{path} holds several datasets and no bands of its own; choose one of them.")
    if any(kind.startswith("complex") for kind in dataset.dtypes):
        raise EngineError(f"{path} holds complex numbers; use a scene of reflectance or radiance.")
    if (dataset.gcps[0] or dataset.rpcs) and dataset.transform.is_identity:
        raise EngineError(
            f"{path} is georeferenced by control points or coefficients only; warp it first (in QGIS: Raster > "
            "Projections > Warp)."
        )
    if not 0 < abs(dataset.transform.determinant) < math.inf:
        raise EngineError(
            f"{path} has pixels without a width or height; give it its place anew (in QGIS: Raster > "
            "Conversion > Translate, with -a_ullr)."
        )
    with np.errstate(over="ignore"):
        scales, offsets = (np.array(numbers, np.float32) for numbers in (dataset.scales, dataset.offsets))
    if not (np.isfinite(scales).all() and scales.all() and np.isfinite(offsets).all()):
        raise EngineError(
            f"{path} has a band whose scale or offset leaves no numbers; set them anew (in QGIS: Raster > Conversion > "
            "Translate, with -a_scale 1 -a_offset 0)."
        )


def _find_opacity(dataset: rasterio.DatasetReader) -> dict[int, float]:
    """The band that tells which pixels hold data, with the value above which they do; empty for none.

    GDAL calls the fourth band of many aerial images alpha, though it is infrared. One of opacity is full nearly
    everywhere where it is not 0; resampled, it has values between along the border of the data.
    """
    height, width = (min(size, LOOKED_AT) for size in dataset.shape)
    # Asked for once: rasterio asks every band each time, of which features rasters have thousands.
    for number, meaning in zip(dataset.indexes, dataset.colorinterp, strict=True):
        if meaning != ColorInterp.alpha:
            continue
        seen = np.concatenate([
            dataset.read(number, window=Window(column, row, width, height)).ravel()
            for row in {0, (dataset.height - height) // 2, dataset.height - height}
            for column in {0, (dataset.width - width) // 2, dataset.width - width}
        ])  # fmt: skip
        seen = np.nan_to_num(seen)
        some, full = seen[seen != 0], seen.max()
        if not len(some) or (some == full).mean() >= OPAQUE:
            return {number: float(full) / 2}
    return {}


def transform_of(dataset: rasterio.DatasetReader) -> Affine:
    """From pixels to map coordinates; without a place in the world rows count downwards from 0, as in QGIS."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", NotGeoreferencedWarning)
        # Only so does rasterio tell no place from one whose numbers are those of the pixels.
        dataset.read_transform()
    unplaced = any(issubclass(warning.category, NotGeoreferencedWarning) for warning in caught)
    return Affine.scale(1, -1) if unplaced else dataset.transform


def _files_of(dataset: rasterio.DatasetReader) -> list[str]:
    """The files of a dataset, and those of virtual rasters among them."""
    files = list(dataset.files)
    for path in files:
        if path.lower().endswith(".vrt") and path != dataset.name:
            with suppress(RasterioError), rasterio.open(path) as virtual:
                files += [file for file in virtual.files if file not in files]
    return files


def _apply_scale(spectra: np.ndarray, bands: Sequence[Band]) -> None:
    scale = np.array([b.scale for b in bands], np.float32)
    offset = np.array([b.offset for b in bands], np.float32)
    if np.any(scale != 1) or np.any(offset != 0):
        with np.errstate(invalid="ignore", over="ignore"):
            spectra *= scale[:, None, None]
            spectra += offset[:, None, None]


def _reflectance_factor(dataset: rasterio.DatasetReader) -> float:
    """ENVI's `reflectance scale factor`, by which stored numbers are divided; 1 where there is none."""
    try:
        factor = float(dataset.tags(ns="ENVI").get("reflectance_scale_factor", "1"))
    except ValueError:
        return 1.0
    return factor if 0 < factor < math.inf else 1.0


def _mirror(positions: np.ndarray, size: int) -> np.ndarray:
    """Fold positions into 0..size-1 as if mirrors stood at both edges (edge pixels are repeated)."""
    folded = np.mod(positions, 2 * size)
    return np.where(folded < size, folded, 2 * size - 1 - folded)
