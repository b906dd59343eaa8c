"""A user's own labelled scenes: a folder of GeoTIFF or MATLAB files with label rasters beside them.

    name.tif  name_gt.tif                     one label raster (0 = not labelled)
    name.tif  name_train.tif  name_test.tif   a standard division into training and test pixels
    name.mat  name_gt.mat                     as Indian Pines, Pavia University and Salinas are published

`name_corrected.mat` belongs to `name_gt.mat`, too.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import rasterio
from rasterio.transform import from_origin
from scipy.io import loadmat

from spectrafilm.benchmarks.real_scenes.scenes import CLASS, RealScene

ENDINGS = ("_gt", "_train", "_test")
CORRECTED = "_corrected"
# MATLAB files have no place on Earth; any metric system will do.
NOWHERE = {"crs": "EPSG:32631", "transform": from_origin(500_000, 5_000_000, 1, 1)}


def own_scenes(folder: Path, work: Path) -> list[RealScene]:
    """The labelled scenes of a folder; MATLAB files are converted to GeoTIFF under `work`.

    Raises:
        SystemExit: the folder holds none, or a file cannot be used.
    """
    folder = folder.absolute()
    found = []
    for path in sorted(p for p in folder.glob("*") if p.suffix in (".tif", ".mat") and not p.stem.endswith(ENDINGS)):
        stem = path.stem.removesuffix(CORRECTED)
        truth, *division = (folder / f"{stem}{ending}{path.suffix}" for ending in ENDINGS)
        labels = [truth] if truth.exists() else [p for p in division if p.exists()]
        if truth not in labels and len(labels) != len(division):
            continue
        if path.suffix == ".mat":
            path, labels = _to_geotiff(path, 3, work), [_to_geotiff(label, 2, work) for label in labels]  # noqa: PLW2901
        protocol = "random pixels and areas" if len(labels) == 1 else "standard division"
        found.append(RealScene(stem, stem.replace("_", " "), str(path), tuple(map(str, labels)), CLASS, protocol))
    if not found:
        raise SystemExit(f"{folder} holds no labelled scene; name files as in name.tif and name_gt.tif.")
    return found


def _to_geotiff(path: Path, dimensions: int, work: Path) -> Path:
    target = work / f"{path.stem}.tif"
    if target.exists():
        return target
    try:
        arrays = [a for key, a in loadmat(path).items() if not key.startswith("__") and np.ndim(a) == dimensions]
    except NotImplementedError:
        raise SystemExit(f"{path} is a MATLAB 7.3 file; save it as version 7 or as a GeoTIFF.") from None
    if len(arrays) != 1:
        raise SystemExit(f"{path} holds {len(arrays)} arrays of {dimensions} dimensions; one is needed.")
    values = arrays[0].astype(np.float32) if dimensions == 3 else arrays[0][:, :, None].astype(np.uint8)
    work.mkdir(parents=True, exist_ok=True)
    height, width, count = values.shape
    with rasterio.open(target, "w", driver="GTiff", height=height, width=width, count=count, dtype=values.dtype,
                       **NOWHERE) as dataset:  # fmt: skip
        dataset.write(values.transpose(2, 0, 1))
    return target
