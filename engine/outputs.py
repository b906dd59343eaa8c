"""Writing results so that nothing partial is ever seen and nothing already there is lost."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol
from xml.etree import ElementTree

import numpy as np
import rasterio
from affine import Affine
from rasterio.crs import CRS
from rasterio.errors import RasterioError
from rasterio.windows import Window

from .errors import EngineError
from .partial_outputs import (
    ATTEMPTS,
    MARK,
    PUBLISHED,
    PUBLISHING,
    identity,
    partial_path,
    real_place,
    remove_partial_outputs,
    tries,
)
from .scene import told_by_gdal, unplaced_allowed

NODATA = -9999.0
# For floats of 16 bits, which have no -9999.
HALF_NODATA = -9984.0
# What GDAL keeps beside a raster about its content.
SIDECARS = (".ovr", ".msk", ".aux.xml")
# What is found in files of these kinds that were written by an earlier run, or for a raster.
OURS = {".json": re.compile(rb'\A{\s*"title": '), ".qml": re.compile(rb"<rasterrenderer")}
# Styles that carry it, an attribute which QGIS leaves out when it saves one, show nothing but a map of ours.
STYLE_MARK = {"creator": "SpectraFiLM"}
# Rows of a block divide the rows that feature streaming finishes at a time, so blocks are written whole.
BLOCK_ROWS, BLOCK_COLUMNS = 16, 256


class Grid(Protocol):
    """Where the pixels of a raster lie; a `Scene` is one."""

    width: int
    height: int
    crs: CRS
    transform: Affine


class Outputs:
    """The outputs of one job; a context manager that renames them all at its end, or deletes them.

    Args:
        inputs: files and folders that the job reads, in which no output may come to lie.
        token: marks the temporary files.
    """

    def __init__(self, inputs: Sequence[str] = (), token: str = "") -> None:
        self._inputs = {identity(path) for path in inputs if path}
        self._token = token or uuid.uuid4().hex
        self._destinations: list[str] = []
        self._rasters: list[str] = []

    def __enter__(self) -> Outputs:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                with PUBLISHING:
                    self._publish()
                    PUBLISHED.set()
        finally:
            remove_partial_outputs(self._destinations, self._token)
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            raise self._disk_full() from error

    def check(self, *destinations: str) -> None:
        """See whether outputs could be written, before the long work begins; empty names are passed over.

        Raises:
            EngineError: a folder is missing or read-only, a file is in use or read-only, or an output is one of the
                inputs, another output, or a file that this plugin did not write.
        """
        names = [identity(d) for d in destinations if d]
        for path in (Path(real_place(d)) for d in destinations if d):
            if self._inputs & {identity(path), *map(identity, path.absolute().parents)}:
                raise EngineError(
                    f"The output {path} is also an input of this run, or lies in a folder that is; choose another "
                    "name for it."
                )
            if names.count(identity(path)) > 1:
                raise EngineError(
                    f"Two outputs of this run would be {path} (a report has a .json beside it, a map "
                    "a .qml); choose different names."
                )
            try:
                with contextlib.suppress(FileNotFoundError, NotADirectoryError, PermissionError):
                    os.lstat(path)
            except OSError as error:  # a name that is too long, say
                raise EngineError(f"The output {path} cannot be written ({error.strerror}); rename it.") from error
            if path.is_dir():
                raise EngineError(f"The output {path} is a folder; choose a file name in it.")
            if not path.parent.is_dir():
                raise EngineError(f"The output folder {path.parent} does not exist; create it or choose another.")
            # About as long as the names it will have, since Windows limits the length of paths.
            longest = max(len(path.name), len(partial_path(str(path), self._token).name))
            # Not by `tempfile`, which tries for ever in a folder that Windows protects (Python issue 66305).
            trial = path.with_name(f"{MARK}{self._token}-".ljust(longest, "x"))
            try:
                trial.open("xb").close()
                trial.unlink()
            except OSError as error:
                raise EngineError(
                    f"The output folder {path.parent} cannot be written to ({error.strerror}); choose another."
                ) from error
            _check_replaceable(path)

    def reserve(self, destination: str) -> Path:
        """Where to write what shall become `destination` when the job ends well."""
        self.check(destination)
        self._destinations.append(destination)
        return partial_path(destination, self._token)

    @contextlib.contextmanager
    def raster(
        self, destination: str, grid: Grid, count: int, dtype: str, nodata: float, **options: Any
    ) -> Iterator[rasterio.io.DatasetWriter]:
        """A tiled, compressed GeoTIFF, open for writing; other options of GDAL take the place of ours."""
        path = self.reserve(destination)
        options = {"blockxsize": BLOCK_COLUMNS, "blockysize": BLOCK_ROWS, **options}
        self._rasters.append(destination)
        try:
            with unplaced_allowed():
                with rasterio.open(
                    path, "w", driver="GTiff", width=grid.width, height=grid.height, count=count, dtype=dtype,
                    nodata=nodata, crs=grid.crs, transform=grid.transform, tiled=True, bigtiff="IF_SAFER",
                    compress="deflate", **options,
                ) as dataset:  # fmt: skip
                    yield dataset
                _verify(path)
        except RasterioError as error:
            raise self._disk_full(told_by_gdal(error)) from error

    def _publish(self) -> None:
        # All or none: a file that is in use now is found before the first one is replaced.
        for destination in self._destinations:
            _check_replaceable(Path(destination))
        for destination in self._destinations:
            part = partial_path(destination, self._token)
            # Some writers create files that nobody else may read; some disks, as on a network, keep no permissions.
            with contextlib.suppress(OSError):
                os.chmod(part, 0o666 & ~_umask())
            for left in tries(ATTEMPTS):
                try:
                    os.replace(part, real_place(destination))
                    break
                except OSError as error:
                    if not left:
                        raise _not_replaceable(Path(destination), error) from error
        for raster in self._rasters:
            # Pyramids and statistics of what was there before would be shown instead of the new values.
            for sidecar in (raster + suffix for suffix in SIDECARS):
                if sidecar not in self._destinations:
                    with contextlib.suppress(OSError):
                        os.remove(sidecar)
            style = Path(raster).with_suffix(".qml")
            if str(style) not in self._destinations and _has_mark(style):
                with contextlib.suppress(OSError):
                    style.unlink()

    def _disk_full(self, detail: str = "") -> EngineError:
        folder = Path(self._destinations[-1]).parent if self._destinations else Path()
        return EngineError(
            f"The output could not be written to {folder}: the disk is probably full"
            f"{f' ({detail})' if detail else ''}; free some space or choose another folder."
        )


def _check_replaceable(path: Path) -> None:
    """See whether an output may take the place of what is there, if anything is.

    Raises:
        EngineError: the file is in use, read-only, or something else than an earlier output of its kind.
    """
    if not path.exists():
        return
    try:
        # Windows would refuse to replace it only when the work is done.
        if not path.stat().st_mode & stat.S_IWRITE:
            raise EngineError(f"{path} is read-only; choose another name, or allow writing to it.")
        path.rename(path)  # Refused where another program has it open (Windows).
        if path.suffix.lower() in OURS:
            with open(path, "rb") as file:
                if not OURS[path.suffix.lower()].search(file.read()):
                    raise EngineError(
                        f"{path} would be overwritten, and it is not an output of an earlier run; choose another name."
                    )
    except OSError as error:
        raise _not_replaceable(path, error) from error


def _not_replaceable(path: Path, error: OSError) -> EngineError:
    return EngineError(
        f"{path} cannot be replaced ({error.strerror}); remove its layer from QGIS, close other programs that have it "
        "open, or choose another name."
    )


def _has_mark(style: Path) -> bool:
    with contextlib.suppress(OSError, ElementTree.ParseError, ValueError, LookupError):
        root = ElementTree.parse(style).getroot()  # noqa: S314  (a file of the user's own)
        return STYLE_MARK.items() <= root.attrib.items()
    return False


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def _verify(path: Path) -> None:
    """Read a finished raster back block by block: GDAL does not report every failed write on closing.

    Raises:
        RasterioError: a block cannot be read or was never written, which reads as nodata.
    """
    with rasterio.open(path) as dataset:
        for (row, column), window in dataset.block_windows(1):
            if dataset.get_tag_item(f"BLOCK_OFFSET_{column}_{row}", "TIFF", bidx=1) is None:
                raise RasterioError("a part of it is missing")
            dataset.read(1, window=window)


def write_masked(dataset: rasterio.io.DatasetWriter, values: np.ndarray, valid: np.ndarray, window: Window) -> None:
    """Write (bands, height, width) with nodata where a pixel is not valid."""
    dataset.write(np.where(valid, values, dataset.nodata).astype(dataset.dtypes[0]), window=window)
