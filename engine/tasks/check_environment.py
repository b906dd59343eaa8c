"""checkenvironment: everything is installed, and it computes."""

from __future__ import annotations

import importlib.metadata
import platform
import tempfile
from pathlib import Path
from typing import Any

import h5py
import matplotlib
import numpy as np
import rasterio
import sklearn
import torch
from rasterio.transform import from_origin

from ..backbone import BUNDLED, Backbone
from ..device import choose_device
from ..errors import EngineError
from ..jobs import CheckEnvironment
from ..progress import Progress
from ..tensor_files import PACKAGES


def check_environment(job: CheckEnvironment, progress: Progress, _token: str) -> dict[str, Any]:
    """Run the bundled U-Net once and write and read a small raster.

    Raises:
        EngineError: the result is wrong.
    """
    device = choose_device(job.device, progress)
    progress.set(0.3)
    backbone = Backbone.load("", device)
    image = torch.zeros(1, 3, backbone.patch, backbone.patch, device=device.target)
    activation = backbone.activations(image, 0, [len(backbone.layers) - 1])[0]
    if not torch.isfinite(activation).all():
        raise EngineError(f"The U-Net of {BUNDLED.name} gives numbers that are not finite on {device.name}.")
    progress.set(0.8)
    values = np.arange(12, dtype=np.float32).reshape(1, 3, 4)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "check.tif"
        with rasterio.open(path, "w", driver="GTiff", width=4, height=3, count=1, dtype="float32",
                           transform=from_origin(0, 3, 1, 1)) as dataset:  # fmt: skip
            dataset.write(values)
        with rasterio.open(path) as dataset:
            if not np.array_equal(dataset.read(), values):
                raise EngineError("A raster that was just written reads back differently.")
    versions = {"python": platform.python_version(), "gdal": rasterio.__gdal_version__}
    versions |= {name: importlib.metadata.version(name) for name in PACKAGES}
    versions |= {"matplotlib": matplotlib.__version__, "scikit-learn": sklearn.__version__, "h5py": h5py.__version__}
    progress.info(", ".join(f"{name} {version}" for name, version in versions.items()))
    return {"device": device.name, "versions": versions}
