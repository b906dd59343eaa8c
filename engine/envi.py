"""ENVI peculiarities: choosing the header instead of the body, bodies that are incomplete, and gzip-compressed ones."""

from __future__ import annotations

import gzip
import re
import shutil
import tempfile
import zlib
from contextlib import ExitStack, suppress
from pathlib import Path

import numpy as np
import rasterio

from .errors import EngineError

BODY_SUFFIXES = ("", ".bsq", ".bil", ".bip", ".img", ".dat", ".raw", ".bin")


def resolve_envi_header(path: str) -> str:
    """The body that belongs to an ENVI header; any other path is returned as it is."""
    header = Path(path)
    if header.suffix.lower() != ".hdr":
        return path
    for suffix in BODY_SUFFIXES:
        for body in (header.with_suffix(suffix), header.with_suffix(suffix.upper())):
            if body.is_file():
                return str(body)
    raise EngineError(f"No ENVI body was found beside the header {path}; choose the data file instead.")


def header_beside(dataset: rasterio.DatasetReader) -> dict[str, str]:
    """Fields of an ENVI header beside a raster of another format, as DESIS products have one; empty without it.

    One of another size is that of another file.
    """
    path = Path(dataset.name)
    header = next((h for h in (path.with_suffix(".hdr"), path.with_suffix(".HDR")) if h.is_file()), None)
    text = header.read_text(encoding="latin-1") if header else ""
    if not text.startswith("ENVI"):
        return {}
    found = re.findall(r"(?m)^([^={}\n]*)=[ \t]*(\{[^}]*\}|.*)", text)
    fields = {key.strip().lower().replace(" ", "_"): value.strip() for key, value in found}
    size = {"samples": dataset.width, "lines": dataset.height, "bands": dataset.count}
    return fields if all(fields.get(key) == str(value) for key, value in size.items()) else {}


def check_length(dataset: rasterio.DatasetReader, path: str) -> None:
    """Raise EngineError where the body of an ENVI file is shorter than its header says: GDAL reads zeros there."""
    body = Path(dataset.name)
    if dataset.driver != "ENVI" or not body.is_file():
        return
    with suppress(ValueError):
        offset = int(dataset.tags(ns="ENVI").get("header_offset", "0"))
        length = offset + dataset.width * dataset.height * sum(np.dtype(kind).itemsize for kind in dataset.dtypes)
        if body.stat().st_size < length:
            raise EngineError(f"{path} is shorter than its header says; it is probably incomplete, copy it again.")


def open_compressed_envi(dataset: rasterio.DatasetReader, resources: ExitStack) -> rasterio.DatasetReader:
    """Reopen a gzip-compressed ENVI file from a decompressed temporary copy.

    GDAL reads such a body as one stream: every step back to an earlier band decompresses it from
    the start, which windows of a band-sequential file would do for each band. `resources` deletes
    the copy. Other datasets are returned as they are.
    """
    if dataset.driver != "ENVI" or dataset.tags(ns="ENVI").get("file_compression", "0").strip() != "1":
        return dataset
    body = Path(dataset.name)
    header = next((Path(f) for f in dataset.files if f.lower().endswith(".hdr")), None)
    if header is None or not body.is_file():
        return dataset
    folder = Path(resources.enter_context(tempfile.TemporaryDirectory(prefix="spectrafilm-")))
    try:
        with gzip.open(body) as packed, open(folder / "body.bsq", "wb") as plain:
            shutil.copyfileobj(packed, plain, 1 << 20)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise EngineError(f"The compressed ENVI file {body} is damaged ({error}); copy it again.") from error
    except OSError as error:
        raise EngineError(f"There is no room to decompress {body} into {folder.parent} ({error}).") from error
    text = header.read_text(encoding="latin-1")
    text = re.sub(r"(?im)^([ \t]*file compression[ \t]*=).*$", r"\1 0", text)
    (folder / "body.hdr").write_text(text, encoding="latin-1")
    # What GDAL or QGIS keep beside it, such as a coordinate reference system that was assigned.
    with suppress(FileNotFoundError):
        shutil.copyfile(f"{body}.aux.xml", folder / "body.bsq.aux.xml")
    return resources.enter_context(rasterio.open(folder / "body.bsq"))
