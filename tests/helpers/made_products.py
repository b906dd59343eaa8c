"""Files laid out as those of missions, which cannot be had here: invented content in the published structure.

As a program: `made_products.py FILE` writes a PRISMA L2D product, for tests of QGIS, whose Python has no h5py.
"""

from __future__ import annotations

import sys
from pathlib import Path

import h5py
import numpy as np

PRISMA_SWATH = "HDFEOS/SWATHS/PRS_L2D_HCO"
WGS84 = (
    'GEOGCS["WGS 84",DATUM["WGS_1984",SPHEROID["WGS 84",6378137,298.257223563]],PRIMEM["Greenwich",0],'
    'UNIT["degree",0.0174532925199433],AUTHORITY["EPSG","4326"]]'
)


def make_cube(bands: int, height: int, width: int) -> np.ndarray:
    """Reflectances (bands, height, width) of which no two are alike, in steps of a ten-thousandth."""
    count = bands * height * width
    return (np.arange(1, count + 1) * (9000 // count) / 10000).reshape(bands, height, width)


def write_prisma(path: Path, cube: np.ndarray, vnir: list[float], swir: list[float]) -> Path:
    """Bands of the cube in the order of the wavelengths given, which are those of the file: descending, 0 for none."""
    low, high = {"Vnir": 0.0, "Swir": 0.02}, {"Vnir": 1.2, "Swir": 1.5}
    _, height, width = cube.shape
    with h5py.File(path, "w") as file:
        file.attrs["Processing_Level"] = np.bytes_("2D")
        file.attrs["Epsg_Code"] = np.uint32(32633)
        for name, value in {
            "ULcorner_easting": 400015.0, "ULcorner_northing": 5799985.0,
            "LRcorner_easting": 400015.0 + 30 * (width - 1), "LRcorner_northing": 5799985.0 - 30 * (height - 1),
        }.items():  # fmt: skip
            file.attrs[f"Product_{name}"] = np.float64(value)
        first = 0
        for name, wavelengths in (("Vnir", vnir), ("Swir", swir)):
            part = cube[first : first + len(wavelengths)]
            first += len(wavelengths)
            file.attrs[f"L2Scale{name}Min"], file.attrs[f"L2Scale{name}Max"] = low[name], high[name]
            file.attrs[f"List_Cw_{name}"] = np.array(wavelengths, np.float32)
            file.attrs[f"List_Cw_{name}_Flags"] = np.array([w > 0 for w in wavelengths], np.int32)
            file.attrs[f"List_Fwhm_{name}"] = np.array([11.0 if w > 0 else 0.0 for w in wavelengths], np.float32)
            numbers = np.rint((part - low[name]) / (high[name] - low[name]) * 65535)
            numbers = np.where(np.isnan(part), 0, np.clip(numbers, 0, 65535)).astype(np.uint16)
            file[f"{PRISMA_SWATH}/Data Fields/{name.upper()}_Cube"] = numbers.transpose(1, 0, 2)
    return path


def write_emit(path: Path, cube: np.ndarray, wavelengths: list[float], line: np.ndarray, sample: np.ndarray) -> Path:
    """The cube as the instrument saw it, and the table of what each pixel of the grid shows."""
    with h5py.File(path, "w") as file:
        file.attrs["geotransform"] = np.array([13.0, 0.0005, 0.0, 52.5, 0.0, -0.0005])
        file.attrs["spatial_ref"] = WGS84
        stored = np.where(np.isnan(cube), -9999, cube).astype(np.float32).transpose(1, 2, 0)
        file.create_dataset("reflectance", data=stored, chunks=(2, 3, len(wavelengths)), compression="gzip")
        file["reflectance"].attrs["_FillValue"] = np.array([-9999], np.float32)
        file["location/glt_x"], file["location/glt_y"] = sample.astype(np.int32), line.astype(np.int32)
        file["sensor_band_parameters/wavelengths"] = np.array(wavelengths, np.float32)
        file["sensor_band_parameters/fwhm"] = np.full(len(wavelengths), 8.5, np.float32)
        file["sensor_band_parameters/good_wavelengths"] = np.array([not 1325 < w < 1435 for w in wavelengths], np.uint8)
    return path


def write_neon(path: Path, cube: np.ndarray, wavelengths: list[float], rotation: str = "") -> Path:
    """A tile of 1 m pixels."""
    with h5py.File(path, "w") as file:
        group = file.create_group("SJER/Reflectance")
        numbers = np.where(np.isnan(cube), -9999, np.rint(cube * 10000)).astype(np.int16)
        group["Reflectance_Data"] = numbers.transpose(1, 2, 0)
        group["Reflectance_Data"].attrs["Data_Ignore_Value"] = np.float64(-9999)
        group["Reflectance_Data"].attrs["Scale_Factor"] = np.float64(10000)
        place = group.create_group("Metadata/Coordinate_System")
        place["Map_Info"] = (
            "UTM,  1.000,  1.000,       257000.00,       4112000.0,       1.0000000,       1.0000000,  11,  North,  "
            f"WGS-84,  units=Meters{rotation}"
        )
        place["EPSG Code"] = "32611"
        group["Metadata/Spectral_Data/Wavelength"] = np.array(wavelengths)
        group["Metadata/Spectral_Data/FWHM"] = np.full(len(wavelengths), 5.7)
    return path


def write_tanager(path: Path, cube: np.ndarray, wavelengths: list[float]) -> Path:
    """A grid of 30 m pixels."""
    count, height, width = cube.shape
    with h5py.File(path, "w") as file:
        data = file.create_dataset("HDFEOS/GRIDS/HYP/Data Fields/surface_reflectance",
                                   data=np.where(np.isnan(cube), -9999, cube).astype(np.float32))  # fmt: skip
        data.attrs["_FillValue"] = np.float32(-9999)
        data.attrs["wavelengths"] = np.array(wavelengths, np.float32)
        data.attrs["fwhm"] = np.full(count, 5.5, np.float32)
        data.attrs["good_wavelengths"] = np.array([not 1340 < w < 1445 for w in wavelengths], np.uint8)
        file["HDFEOS/GRIDS/HYP"].attrs["epsg_code"] = np.int64(32611)
        file["HDFEOS INFORMATION/StructMetadata.0"] = np.bytes_(
            f'GROUP=GRID_1\n\tGridName="HYP"\n\tXDim={width}\n\tYDim={height}\n'
            f"\tUpperLeftPointMtrs=(329340.00,3775800.00)\n"
            f"\tLowerRightMtrs=({329340 + 30 * width:.2f},{3775800 - 30 * height:.2f})\n"
        )
    return path


if __name__ == "__main__":
    visible = [0.0, 860.0, 655.0, 555.0, 475.0]
    write_prisma(Path(sys.argv[1]), make_cube(len(visible) + 2, 20, 30), visible, [2200.0, 1600.0])
