"""Measure and write docs/real_scenes.md: run by `make benchmark-accuracy`. Interrupted, it goes on where it was."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np

from spectrafilm.tools.qgis_shell import QgisShell

from .rows import ROWS, SLOW_ROWS, Bench
from .scenes import SCENES, LabelledScene
from .table import Measured, write_page

ROOT = Path(__file__).resolve().parents[2]


def main() -> None:
    """Run every row on every scene and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("SPECTRAFILM_DATA", "../shared/data")))
    parser.add_argument("--plugins", type=Path, default=ROOT / "build" / "plugins")
    parser.add_argument("--python", required=True, help="interpreter of the compute environment")
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "benchmarks" / "real_scenes")
    parser.add_argument("--docs", type=Path, default=ROOT / "docs")
    parser.add_argument("--scenes", nargs="*", default=list(SCENES), choices=list(SCENES))
    parser.add_argument("--seeds", type=int, help="repetitions; left out, each scene's own number")
    parser.add_argument("--no-page", action="store_true", help="measure only")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore", "The least populated class")
    arguments.folder.mkdir(parents=True, exist_ok=True)
    profile = arguments.folder / f"profile-{os.getpid()}"
    shell = QgisShell(arguments.plugins.absolute(), profile.absolute(), arguments.python)
    measured = []
    images = arguments.docs / "images"
    images.mkdir(parents=True, exist_ok=True)
    for name in arguments.scenes:
        folder = (arguments.folder / name).absolute()
        folder.mkdir(exist_ok=True)
        labelled = LabelledScene(SCENES[name], arguments.data.absolute(), folder, shell)
        measured.append(measure(labelled, Bench(shell, folder), arguments.seeds or SCENES[name].seeds))
        if not arguments.no_page:
            draw_overview(labelled, arguments.plugins, folder, arguments.python, images / f"{name}.png")
    if not arguments.no_page:
        write_page(measured, arguments.docs)


def draw_overview(labelled: LabelledScene, plugins: Path, folder: Path, python: str, picture: Path) -> None:
    """Scene, map and confidence from all training polygons as the user has them: what `make demo SCENE=...` draws."""
    if picture.exists():
        return
    real = labelled.real
    layer = next(labelled.splits(0)).polygons if labelled.has_validation_raster else labelled.source
    subprocess.run([sys.executable, str(ROOT / "tools" / "demo.py"), "--plugins", str(plugins), "--profile",
                    str(folder / "profile"), "--python", python, "--out", str(folder / "demo"), "--scene",
                    labelled.path, "--polygons", str(layer), "--class-field", real.class_field],
                   check=True)  # fmt: skip
    shutil.copyfile(folder / "demo" / "overview.png", picture)


def measure(labelled: LabelledScene, bench: Bench, seeds: int) -> Measured:
    """Predictions of every row at every test pixel, kept in the bench's folder."""
    measured = Measured(labelled, {name: [] for name in ROWS}, [])
    for seed in range(seeds):
        splits = list(labelled.splits(seed))
        measured.training.extend(split.training for split in splits)
        for row, classify in ROWS.items():
            if seed >= SLOW_ROWS.get(row, seeds):
                continue
            parts = []
            for number, split in enumerate(splits):
                kept = bench.folder / "predictions" / f"{row}-{seed}-{number}.npy"
                kept.parent.mkdir(exist_ok=True)
                if not kept.exists():
                    np.save(kept, classify(bench, labelled, split, seed))
                    print(f"{labelled.real.name}: {row}, seed {seed}, fold {number}", flush=True)
                parts.append((split.testing, np.load(kept)))
            measured.results[row].append(parts)
    return measured


if __name__ == "__main__":
    main()
