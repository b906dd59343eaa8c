"""A user's own labelled scenes: a folder of GeoTIFF or MATLAB files with label rasters beside them.

    name.tif  name_gt.tif                     one label raster
    name.tif  name_train.tif  name_test.tif   a standard division into training and test pixels
    name.mat  name_gt.mat                     as Indian Pines, Pavia University and Salinas are published

MATLAB files, those of version 7.3 included, may hold numbers, lists and text beside the one cube (rows x columns x
bands) or the one label raster (rows x columns). `name_corrected.mat` belongs to `name_gt.mat`, too. Where there is a
division as well as one label raster, the division is taken: labels are drawn from all its training pixels (all of them
with `--labels 9999`), and its test pixels, at most 50 000 of them, are tested. Pixels of 0, 255, nodata or a negative
number have no label.

The other pages keep a division under "polygons apart" only: "random pixels", and the rounds of suggested samples, are
drawn from training and test pixels together.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.transform import from_origin
from scipy.io import loadmat

from spectrafilm.benchmarks.real_scenes.scenes import CLASS, DIVISION, RealScene, class_numbers
from spectrafilm.engine.digests import sha256_of
from spectrafilm.engine.scene import unplaced_allowed

SUFFIXES = (".tif", ".tiff", ".mat")
TRUTH, TRAIN, TEST = ENDINGS = ("_gt", "_train", "_test")
CORRECTED = "_corrected"
# With which HDF5 files begin, after 512 bytes of MATLAB's own where it wrote them.
HDF5 = b"\x89HDF\r\n\x1a\n"
# MATLAB files have no place on Earth; any metric system will do.
NOWHERE = {"crs": "EPSG:32631", "transform": from_origin(500_000, 5_000_000, 1, 1)}


def own_scenes(folder: Path, work: Path) -> list[RealScene]:
    """The labelled scenes of a folder; MATLAB files are converted to GeoTIFF under `work`.

    A scene's name holds a digest of its files, so that results of other files are never taken for its own.

    Raises:
        SystemExit: the folder holds none, or a file cannot be used.
    """
    if not folder.is_dir():
        raise SystemExit(f"{folder} is no folder; give the one that holds scenes and labels.")
    files = [path for path in sorted(folder.absolute().iterdir()) if path.suffix.lower() in SUFFIXES]
    found = []
    for path in files:
        if path.stem.lower().endswith(ENDINGS):
            continue
        labels = _labels_of(path, files)
        if not labels:
            print(f"{path.name} is left out: there is no label raster of its name and kind beside it.")
            continue
        digest = sha256_of(path, *labels)[:8]
        title = path.stem.replace("_", " ") + (" (standard division)" if len(labels) > 1 else "")
        if path.suffix.lower() == ".mat":
            path, *labels = _to_geotiffs([path, *labels], work / digest)  # noqa: PLW2901
        protocol = DIVISION if len(labels) > 1 else "random pixels and areas"
        found.append(
            RealScene(f"{path.stem}-{digest}", title, str(path), tuple(map(str, labels)), CLASS, protocol)
        )
    if not found:
        raise SystemExit(
            f"{folder} holds no labelled scene; name files as in name.tif and name_gt.tif, or name.mat, name_train.mat "
            "and name_test.mat."
        )
    return found


def _labels_of(scene: Path, files: list[Path]) -> list[Path]:
    """Its label raster, or those for training and for testing; nothing where there are none."""
    matlab = scene.suffix.lower() == ".mat"
    kin = {path.stem.lower(): path for path in files if (path.suffix.lower() == ".mat") == matlab}
    stem = scene.stem.lower().removesuffix(CORRECTED)
    truth, train, test = (kin.get(stem + ending) for ending in ENDINGS)
    if train and test:
        return [train, test]
    if truth:
        return [truth]
    if train or test:
        raise SystemExit(f"{scene} has {TRAIN if train else TEST} labels only; a division needs {TRAIN} and {TEST}.")
    return []


def _to_geotiffs(paths: list[Path], work: Path) -> list[Path]:
    """A scene and its label rasters as GeoTIFF, converted once."""
    targets = [work / f"{path.stem}.tif" for path in paths]
    if all(target.exists() for target in targets):
        return targets
    scene, *labels = (_read_array(path, 2 if i else 3) for i, path in enumerate(paths))
    work.mkdir(parents=True, exist_ok=True)
    for path, values in zip(paths[1:], labels, strict=True):
        if values.shape != scene.shape[:2]:
            raise SystemExit(
                f"{path} has {values.shape[0]} x {values.shape[1]} pixels, {paths[0]} {scene.shape[0]} x "
                f"{scene.shape[1]}; they have to be the same, and not turned."
            )
    numbered = [class_numbers(values, str(path))[None] for values, path in zip(labels, paths[1:], strict=True)]
    # The scene comes last, so that nothing is taken for whole that is not.
    for target, values in zip([*targets[1:], targets[0]], [*numbered, scene.transpose(2, 0, 1)], strict=True):
        write_geotiff(target, values, NOWHERE)
    return targets


def write_geotiff(path: Path, values: np.ndarray, place: dict[str, Any], wavelengths: Sequence[float] = ()) -> None:
    """Write bands (count, rows, columns) whole or not at all, with the wavelengths (nm) that they have."""
    count, height, width = values.shape
    part = path.with_suffix(".part.tif")
    with rasterio.open(part, "w", driver="GTiff", height=height, width=width, count=count, dtype=values.dtype,
                       **place) as dataset:  # fmt: skip
        dataset.write(values)
        for number, wavelength in enumerate(wavelengths, 1):
            dataset.update_tags(number, wavelength=wavelength, wavelength_units="nm")
    part.replace(path)


def _read_array(path: Path, dimensions: int) -> np.ndarray:
    try:
        content = _hdf5_arrays(path) if _is_hdf5(path) else loadmat(path)
    except Exception as error:  # damaged files raise errors of many kinds
        raise SystemExit(f"{path} cannot be read ({error}); copy it again.") from error
    # Single numbers and lists have two dimensions in MATLAB.
    arrays = {
        name: a
        for name, a in content.items()
        if isinstance(a, np.ndarray) and a.dtype.kind in "biuf" and a.ndim == dimensions and min(a.shape) > 1
    }
    if len(arrays) != 1:
        names = f" ({', '.join(arrays)})" if arrays else ""
        raise SystemExit(f"{path} holds {len(arrays)} arrays of {dimensions} dimensions{names}; one is needed.")
    (array,) = arrays.values()
    return array.astype(np.float32) if dimensions == 3 else array


def _is_hdf5(path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(512 + len(HDF5))
    return head.startswith(HDF5) or head[512:] == HDF5


def _hdf5_arrays(path: Path) -> dict[str, np.ndarray]:
    """Arrays of two and three dimensions by name; MATLAB 7.3 writes dimensions in reverse."""
    arrays = {}
    with unplaced_allowed(), rasterio.open(path, driver="HDF5") as file:
        for source in file.subdatasets or [str(path)]:
            with rasterio.open(source) as dataset:
                values = dataset.read()
                arrays[source.rsplit("/", 1)[-1]] = (values[0] if dataset.count == 1 else values).T
    return arrays
