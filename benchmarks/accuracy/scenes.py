"""The scenes of the few-label benchmarks: the real ones and the sample scene."""

from __future__ import annotations

import shutil
from pathlib import Path

from spectrafilm.benchmarks.real_scenes.scenes import SCENES, RealScene

SAMPLE = "sample"
NAMES = (SAMPLE, *SCENES)
FOLDER = Path(__file__).resolve().parents[2] / "resources" / "sample"


def find_scene(name: str, folder: Path) -> RealScene:
    """A scene by name; what has to be copied goes to a folder of its name in `folder`."""
    if name != SAMPLE:
        return SCENES[name]
    # A copy, because QGIS changes a GeoPackage by opening it.
    polygons = folder / SAMPLE / "polygons.gpkg"
    polygons.parent.mkdir(parents=True, exist_ok=True)
    if not polygons.exists():
        shutil.copyfile(FOLDER / "polygons.gpkg", polygons)
    return RealScene(SAMPLE, "Sample scene (generated)", str(FOLDER / "scene.tif"), (str(polygons),), "class", "")
