"""Helpers for tests that run inside QGIS."""

from __future__ import annotations

import os
import shutil
import stat
import sys
import tempfile
from pathlib import Path

import numpy as np
from osgeo import gdal, osr
from qgis.core import QgsProcessingFeedback

ROOT = Path(__file__).resolve().parents[2]
SAMPLE = ROOT / "resources" / "sample"
SCENE = str(SAMPLE / "scene.tif")
# Copies, because QGIS changes a GeoPackage by opening it.
_COPIES = tempfile.TemporaryDirectory(prefix="spectrafilm-sample-")
shutil.copytree(SAMPLE, _COPIES.name, dirs_exist_ok=True)
POLYGONS = str(Path(_COPIES.name) / "polygons.gpkg")
REFERENCE = str(Path(_COPIES.name) / "reference.gpkg")
# What training on the sample scene needs at least.
TRAIN = {"INPUT": SCENE, "POLYGONS": POLYGONS, "CLASS_FIELD": "class"}
CLASSES = ["Water", "Asphalt", "Flat roof", "Tile roof", "Bare soil", "Stubble", "Crop", "Grassland",
           "Broadleaved trees", "Conifers"]  # fmt: skip

# Seconds that tests of promises in seconds allow a busy machine on top; far less than the work they interrupt.
BUSY = 4.0

gdal.UseExceptions()


class Listener(QgsProcessingFeedback):
    """Remembers everything it is told."""

    def __init__(self) -> None:
        super().__init__(False)
        self.infos: list[str] = []
        self.warnings: list[str] = []
        self.errors: list[str] = []
        self.positions: list[float] = []
        self.progressChanged.connect(self.positions.append)

    def pushInfo(self, info: str) -> None:  # noqa: N802
        self.infos.append(info)

    def pushWarning(self, warning: str) -> None:  # noqa: N802
        self.warnings.append(warning)

    def reportError(self, error: str, fatalError: bool = False) -> None:  # noqa: N802, N803
        self.errors.append(error)

    def pushConsoleInfo(self, info: str) -> None:  # noqa: N802
        pass


def write_raster(path: Path, values: np.ndarray, epsg: int | None = 32633, nodata: float | None = None,
                 wavelengths: list[float] | None = None) -> str:  # fmt: skip
    """Write (bands, height, width) as a GeoTIFF of 10 m pixels at the sample scene's corner."""
    codes = {"uint8": gdal.GDT_Byte, "int16": gdal.GDT_Int16, "float32": gdal.GDT_Float32}
    bands, height, width = values.shape
    dataset = gdal.GetDriverByName("GTiff").Create(str(path), width, height, bands, codes[values.dtype.name])
    reference = gdal.Open(SCENE)
    dataset.SetGeoTransform(reference.GetGeoTransform())
    if epsg:
        system = osr.SpatialReference()
        system.ImportFromEPSG(epsg)
        dataset.SetProjection(system.ExportToWkt())
    for number in range(bands):
        band = dataset.GetRasterBand(number + 1)
        band.WriteArray(values[number])
        if nodata is not None:
            band.SetNoDataValue(nodata)
        if wavelengths:
            band.SetMetadataItem("wavelength", str(wavelengths[number]))
            band.SetMetadataItem("wavelength_units", "Nanometers")
    dataset.FlushCache()
    return str(path)


def fake_engine(folder: Path, body: str) -> str:
    """A fake compute environment: an 'interpreter' that ignores the engine and runs `body`, Python code.

    It stands in for failures that a real environment cannot be made to have on demand.
    """
    path = folder / "fake_python"
    prologue = "import json, os, signal, sys, time\ndef say(**m): print(json.dumps(m), flush=True)\n"
    path.write_text(f"#!{sys.executable}\n{prologue}{body}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def engine_python() -> str:
    """The interpreter of the real compute environment, which the Makefile names."""
    return os.environ["SPECTRAFILM_PYTHON"]


def unchecked() -> None:
    """No proof is asked of environments that hold nothing."""
