"""A user's own labelled scenes: a folder of GeoTIFF or MATLAB files with label rasters beside them.

    name.tif  name_gt.tif                     one label raster
    name.tif  name_train.tif  name_test.tif   a standard division into training and test pixels
    name.mat  name_gt.mat                     as Indian Pines, Pavia University and Salinas are published

`name_corrected.mat` belongs to `name_gt.mat`, too. Where there is a division as well as one label raster, the division
is taken: labels are drawn from all its training pixels (all of them with a large enough `--labels`), and its test
pixels, at most 50 000 of them, are tested. Pixels of 0, 255, nodata or a negative number have no label.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import rasterio
from rasterio.transform import from_origin
from scipy.io import loadmat

from spectrafilm.benchmarks.real_scenes.scenes import CLASS, DIVISION, RealScene, class_numbers
from spectrafilm.engine.digests import sha256_of

SUFFIXES = (".tif", ".tiff", ".mat")
TRUTH, TRAIN, TEST = ENDINGS = ("_gt", "_train", "_test")
CORRECTED = "_corrected"
# MATLAB files have no place on Earth; any metric system will do.
NOWHERE = {"crs": "EPSG:32631", "transform": from_origin(500_000, 5_000_000, 1, 1)}


def own_scenes(folder: Path, work: Path) -> list[RealScene]:
    """The labelled scenes of a folder; MATLAB files are converted to GeoTIFF under `work`.

    A scene's name holds a digest of its files, so that results of other files are never taken for its own.

    Raises:
        SystemExit: the folder holds none, or a file cannot be used.
    """
    files = [path for path in sorted(folder.absolute().iterdir()) if path.suffix.lower() in SUFFIXES]
    found = []
    for path in files:
        labels = [] if path.stem.lower().endswith(ENDINGS) else _labels_of(path, files)
        if not labels:
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
        raise SystemExit(f"{folder} holds no labelled scene; name files as in name.tif and name_gt.tif.")
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
        count, height, width = values.shape
        part = target.with_suffix(".part.tif")
        with rasterio.open(part, "w", driver="GTiff", height=height, width=width, count=count, dtype=values.dtype,
                           **NOWHERE) as dataset:  # fmt: skip
            dataset.write(values)
        part.replace(target)
    return targets


def _read_array(path: Path, dimensions: int) -> np.ndarray:
    try:
        content = loadmat(path)
    except NotImplementedError:
        raise SystemExit(f"{path} is a MATLAB 7.3 file; save it as version 7 or as a GeoTIFF.") from None
    except Exception as error:  # damaged files raise errors of many kinds
        raise SystemExit(f"{path} cannot be read ({error}); copy it again.") from error
    arrays = [a for key, a in content.items() if not key.startswith("__") and np.ndim(a) == dimensions]
    if len(arrays) != 1:
        raise SystemExit(f"{path} holds {len(arrays)} arrays of {dimensions} dimensions; one is needed.")
    return arrays[0].astype(np.float32) if dimensions == 3 else np.asarray(arrays[0])
