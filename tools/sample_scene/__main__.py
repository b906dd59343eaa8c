"""Write the sample scene: python -m spectrafilm.tools.sample_scene OUT_FOLDER [--seed 0] [--noise 1] [--truth]."""

from __future__ import annotations

import argparse
from pathlib import Path

from .scene import make_scene
from .styles import write_class_style, write_scene_style
from .write import write_points, write_polygons, write_scene, write_truth


def main() -> None:
    """Read the command line and write the files."""
    parser = argparse.ArgumentParser(prog="sample_scene", description="Write the synthetic sample scene.")
    parser.add_argument("folder", type=Path, help="where to write; made when missing")
    parser.add_argument("--seed", type=int, default=0, help="the bundled scene has 0")
    parser.add_argument("--noise", type=float, default=1.0, help="times the noise of the bundled scene")
    parser.add_argument("--truth", action="store_true", help="write truth.tif too, the class of every pixel")
    arguments = parser.parse_args()
    folder: Path = arguments.folder
    folder.mkdir(parents=True, exist_ok=True)
    scene = make_scene(arguments.seed, arguments.noise)
    write_scene(scene, folder / "scene.tif", arguments.seed)
    write_scene_style(folder / "scene.qml", scene.image.table)
    write_polygons(scene, folder / "polygons.gpkg")
    write_class_style(folder / "polygons.qml", "class", "fill")
    write_points(scene, folder / "reference.gpkg")
    write_class_style(folder / "reference.qml", "class", "marker")
    if arguments.truth:
        write_truth(scene, folder / "truth.tif")
    for path in sorted(folder.iterdir()):
        print(f"{path.stat().st_size:9d}  {path}")


if __name__ == "__main__":
    main()
