"""From a file to the product that it is."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import h5py
from rasterio.errors import CRSError

from ..errors import EngineError, reason
from . import emit, neon, prisma, tanager
from .product import Product

KNOWN = f"{prisma.Prisma.title}, {emit.Emit.title}, {neon.Neon.title} and {tanager.Tanager.title}"


@contextmanager
def open_product(path: str) -> Iterator[Product]:
    """Open the file of a product, whatever it is called.

    Raises:
        EngineError: it is missing, damaged, or none of the products that are known.
    """
    if not Path(path).exists():
        raise EngineError(f"The product {path} does not exist; check the path.")
    with ExitStack() as resources:
        with damage_reported(path):
            product = _product_of(resources.enter_context(h5py.File(path, "r")))
        yield product


@contextmanager
def damage_reported(path: str) -> Iterator[None]:
    """Say in a sentence why a product cannot be read."""
    try:
        yield
    # Where HDF5 finds another structure than it should, h5py says so by all kinds of errors.
    except (
        OSError, LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RuntimeError, CRSError,
    ) as error:  # fmt: skip
        if zipfile.is_zipfile(path):
            raise EngineError(f"{path} is a ZIP archive; unpack it, and choose the file in it.") from error
        if not h5py.is_hdf5(path):
            raise EngineError(f"{path} is no product that can be imported; those are {KNOWN}.") from error
        raise EngineError(
            f"The product {path} cannot be read ({_reason(error)}); it is probably incomplete, download it again."
        ) from error


def _product_of(file: h5py.File) -> Product:
    if prisma.SWATH in file:
        return prisma.Prisma(file)
    if "reflectance" in file and "location/glt_x" in file:
        return emit.Emit(file)
    if f"{tanager.GRID}/Data Fields/surface_reflectance" in file:
        return tanager.Tanager(file)
    for name in file:
        if f"{name}/Reflectance/Reflectance_Data" in file:
            return neon.Neon(file[f"{name}/Reflectance"])
    if "HDFEOS/SWATHS" in file:
        raise EngineError(
            f"{file.filename} is in the geometry of the instrument; download the product that lies on a grid "
            f"({prisma.Prisma.title}, {tanager.Tanager.title})."
        )
    raise EngineError(f"{file.filename} is no product that can be imported; those are {KNOWN}.")


def _reason(error: Exception) -> str:
    """What went wrong; a KeyError puts its text in quotation marks."""
    return str(error.args[0]) if isinstance(error, KeyError) else reason(error)
