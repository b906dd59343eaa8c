"""Measure time and memory, as ratios within this run, and write docs/speed.md: run by `make benchmark-speed`."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from spectrafilm.benchmarks.command_line import folder_parser
from spectrafilm.engine.model import Model
from spectrafilm.engine.smoothing import Smoothing

from .large_scenes import repeat_scene, sample_labels, write_field_labels, write_fields

HEAD = Path(__file__).with_name("head.md")
REPEATS = 3


@dataclass(frozen=True)
class Run:
    """One run in a process of its own: wall time, largest resident memory, and what it printed."""

    seconds: float
    peak_gigabytes: float
    printed: str


def run_module(name: str, *words: object) -> Run:
    """`python -m spectrafilm.NAME WORDS`, measured."""
    started = time.monotonic()
    process = subprocess.Popen([sys.executable, "-m", f"spectrafilm.{name}", *map(str, words)],
                               stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)  # fmt: skip
    printed = process.stdout.read() if process.stdout else ""
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{name} {words} failed with status {status}")
    return Run(time.monotonic() - started, usage.ru_maxrss * 1024 / 1e9, printed)


def train(scene: Path, polygons: Path, model: Path, *flags: str) -> Run:
    """`trainfilm` with its defaults."""
    return run_module("engine", "trainfilm", "--scene", scene, "--polygons", polygons, "--polygons-crs", "EPSG:32633",
                      "--model", model, *flags)  # fmt: skip


def training(data: Path, folder: Path) -> list[str]:
    """Training time on a scene and on one 16 times larger, with the same labels."""
    scene = data / "enmap_potsdam" / "enmap_potsdam.tif"
    labels, large = folder / "potsdam.geojson", folder / "potsdam16.tif"
    sample_labels(data / "enmap_potsdam" / "labels_train.tif", labels, 150)
    if not large.exists():
        repeat_scene(scene, large, 4)
    times: dict[Path, list[float]] = {scene: [], large: []}
    for _ in range(REPEATS):
        for path, kept in times.items():
            kept.append(train(path, labels, folder / "m.safetensors").seconds)
    small, big = (statistics.median(kept) for kept in times.values())
    return [
        f"- **`trainfilm`, scene 16 times larger, same labels** (EnMAP Potsdam, at most 150 pixels a class, median of "
        f"{REPEATS}): {big / small:.2f} times the time ({small:.0f} s and {big:.0f} s). Asked for: at most 1.2."
    ]


def prediction(folder: Path) -> list[str]:
    """Peak memory of mapping two sizes of scene, and the share of time inside the U-Net."""
    scenes = {size: folder / f"fields{size}.tif" for size in (1024, 2048)}
    labels, model = folder / "fields.geojson", folder / "fields.safetensors"
    for size, path in scenes.items():
        if not path.exists():
            write_fields(path, size)
    write_field_labels(labels, 1024)
    # Without validation all experts have an equal say, so that the U-Net is needed. Neighbours are asked, too.
    train(scenes[1024], labels, model, "--no-validate")
    asking = Model.load(str(model))
    asking.smoothing = Smoothing((0.5, 0.5))
    asking.save(model)
    small, big = (
        run_module("benchmarks.speed.timed_prediction", path, model, folder / "map.tif") for path in scenes.values()
    )
    share, device = big.printed.split()
    return [
        f"- **`predictmap`, 2048 x 2048 x 200**: peak of {big.peak_gigabytes:.2f} GB resident; asked for: under "
        f"2.5 GB. {big.peak_gigabytes / small.peak_gigabytes:.2f} times the peak of 1024 x 1024 "
        f"({small.peak_gigabytes:.2f} GB); asked for: at most 1.2.",
        f"- **Share of prediction time inside the U-Net** (the same scene, {device}): {float(share):.0%}; asked for: "
        "at least 80 %.",
    ]


def main() -> None:
    """Measure everything and write the page."""
    arguments = folder_parser(__doc__, "speed").parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    arguments.docs.mkdir(exist_ok=True)
    lines = [
        "# Speed and memory",
        "",
        f"Written by `make benchmark-speed` on {os.cpu_count()} cores ({platform.machine()}). Ratios are of runs side "
        "by side; seconds are only given to show the scale.",
        "",
        HEAD.read_text(encoding="utf-8").rstrip(),
        "",
    ]
    if (arguments.data / "enmap_potsdam").is_dir():
        lines += training(arguments.data.absolute(), arguments.folder)
    else:
        print(f"{arguments.data} has no enmap_potsdam; training time is not measured.", file=sys.stderr)
    lines += prediction(arguments.folder)
    (arguments.docs / "speed.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
