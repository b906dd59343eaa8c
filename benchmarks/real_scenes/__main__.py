"""Measure and write docs/real_scenes.md: run by `make benchmark-real-scenes`. Interrupted, it goes on where it was."""

from __future__ import annotations

import subprocess
import sys
import warnings
from functools import partial
from pathlib import Path

from PIL import Image

from spectrafilm.benchmarks.command_line import ROOT, make_parser
from spectrafilm.benchmarks.kept_arrays import kept_array
from spectrafilm.tools.qgis_shell import QgisShell

from .rows import ROWS, SLOW_ROWS, Bench
from .scenes import SCENES, LabelledScene
from .table import Measured, write_page

# Of overviews in pixels: a package of the plugin, with its guide, must not grow too large.
WIDTH = 1100


def main() -> None:
    """Run every row on every scene and write the page."""
    parser = make_parser(__doc__, "real_scenes", list(SCENES), list(SCENES))
    parser.add_argument("--seeds", type=int, help="repetitions; left out, each scene's own number")
    parser.add_argument("--no-page", action="store_true", help="measure only")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore", "The least populated class")
    arguments.folder.mkdir(parents=True, exist_ok=True)
    shell = QgisShell(arguments.plugins.absolute(), python=arguments.python)
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
    drawn = folder / "demo" / "overview.png"
    if not drawn.exists():
        real = labelled.real
        layer = next(labelled.splits(0)).polygons if labelled.has_validation_raster else labelled.source
        subprocess.run([sys.executable, str(ROOT / "tools" / "demo.py"), "--plugins", str(plugins), "--profile",
                        str(folder / "profile"), "--python", python, "--out", str(drawn.parent), "--scene",
                        labelled.path, "--polygons", str(layer), "--class-field", real.class_field],
                       check=True)  # fmt: skip
    with Image.open(drawn) as overview:
        overview.thumbnail((WIDTH, WIDTH))
        overview.convert("RGB").save(picture, optimize=True)


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
                parts.append((split.testing, kept_array(kept, partial(classify, bench, labelled, split, seed))))
                print(f"{labelled.real.name}: {row}, seed {seed}, fold {number}", flush=True)
            measured.results[row].append(parts)
    return measured


if __name__ == "__main__":
    main()
