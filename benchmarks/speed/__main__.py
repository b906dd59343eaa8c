"""Measure time and memory, as ratios within this run, and write docs/speed.md: run by `make benchmark-speed`."""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from torch import Tensor

from spectrafilm.engine.backbone import Backbone
from spectrafilm.engine.device import choose_device
from spectrafilm.engine.jobs import PredictMap
from spectrafilm.engine.progress import Progress, Recorder
from spectrafilm.engine.runner import run_job

from .large_scenes import repeat_scene, sample_labels, write_field_labels, write_fields

ROOT = Path(__file__).resolve().parents[2]
REPEATS = 3


@dataclass(frozen=True)
class Run:
    """One run of the engine in a process of its own: wall time and largest resident memory."""

    seconds: float
    peak_gigabytes: float


def run_engine(job: str, *flags: str, **parameters: object) -> Run:
    """`python -m spectrafilm.engine JOB`, measured."""
    words = [word for key, value in parameters.items() for word in (f"--{key.replace('_', '-')}", str(value))]
    started = time.monotonic()
    process = subprocess.Popen([sys.executable, "-m", "spectrafilm.engine", job, *flags, *words],
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{job} {parameters} failed with status {status}")
    return Run(time.monotonic() - started, usage.ru_maxrss * 1024 / 1e9)


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
            run = run_engine("trainfilm", scene=path, polygons=labels, polygons_crs="EPSG:32633",
                             model=folder / "m.safetensors")  # fmt: skip
            kept.append(run.seconds)
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
    # Without validation the spatial features keep their half of the say, so that the U-Net is needed.
    run_engine("trainfilm", "--no-validate", scene=scenes[1024], polygons=labels, polygons_crs="EPSG:32633",
               model=model)  # fmt: skip
    small, big = (
        run_engine("predictmap", scene=path, model=model, output=folder / "map.tif") for path in scenes.values()
    )
    share, device = unet_share(scenes[1024], model, folder / "map.tif")
    return [
        f"- **`predictmap`, 2048 x 2048 x 200**: peak of {big.peak_gigabytes:.2f} GB resident; asked for: under "
        f"2.5 GB. {big.peak_gigabytes / small.peak_gigabytes:.2f} times the peak of 1024 x 1024 "
        f"({small.peak_gigabytes:.2f} GB); asked for: at most 1.2.",
        f"- **Share of prediction time inside the U-Net** (1024 x 1024 x 200, {device}): {share:.0%}; asked for: at "
        "least 80 %.",
    ]


def unet_share(scene: Path, model: Path, output: Path) -> tuple[float, str]:
    """Which part of a prediction in this process is spent in the backbone, and on which device."""
    inside = 0.0
    original = Backbone.activations

    def timed(self: Backbone, images: Tensor, timestep: int, layers: Sequence[int]) -> list[Tensor]:
        nonlocal inside
        started = time.monotonic()
        activations = original(self, images, timestep, layers)
        inside += time.monotonic() - started
        return activations

    with mock.patch.object(Backbone, "activations", timed):
        started = time.monotonic()
        run_job(PredictMap(str(scene), str(model), str(output)), Progress())
        share = inside / (time.monotonic() - started)
    return share, choose_device("auto", Recorder()).target.type


def main() -> None:
    """Measure everything and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("SPECTRAFILM_DATA", "../shared/data")))
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "benchmarks" / "speed")
    parser.add_argument("--docs", type=Path, default=ROOT / "docs")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    arguments.docs.mkdir(exist_ok=True)
    lines = [
        "# Speed and memory",
        "",
        f"Written by `make benchmark-speed` on {os.cpu_count()} cores ({platform.machine()}). Ratios are of runs side "
        "by side; seconds are only given to show the scale.",
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
