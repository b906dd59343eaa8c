"""What votes of neighbours do to fields: write docs/images/votes.png, of Indian Pines. Run by `make votes`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import matplotlib
import numpy as np
import rasterio

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.colors import ListedColormap

from spectrafilm.benchmarks.command_line import ROOT
from spectrafilm.benchmarks.speed.large_scenes import sample_labels
from spectrafilm.engine.jobs import PredictMap, TrainFilm
from spectrafilm.engine.model import Model
from spectrafilm.engine.progress import Progress
from spectrafilm.engine.runner import run_job

from .indian_pines import PLACE, write_indian_pines

FOLDER = ROOT / "build" / "benchmarks" / "votes"
PICTURE = ROOT / "docs" / "images" / "votes.png"
LABELS = 10
CLASSES = 16


def map_by_rounds(scene: Path, labels: Path) -> list[np.ndarray]:
    """Maps (height, width) of class ids by one model without votes, with one round, and so on to all it asks for."""
    polygons, model, output = (FOLDER / name for name in ("labels.geojson", "model.safetensors", "map.tif"))
    sample_labels(labels, polygons, LABELS)
    names = tuple(f"class {number}" for number in range(1, CLASSES + 1))
    run_job(TrainFilm(str(scene), str(polygons), str(model), polygons_crs=PLACE["crs"], class_names=names), Progress())
    trained = Model.load(str(model))
    shares = trained.smoothing.shares
    maps = []
    for rounds in range(len(shares) + 1):
        trained.smoothing = replace(trained.smoothing, shares=shares[:rounds])
        trained.save(model)
        run_job(PredictMap(str(scene), str(model), str(output)), Progress())
        with rasterio.open(output) as dataset:
            maps.append(dataset.read(1))
    return maps


def main() -> None:
    """Fetch the scene, train, map and draw."""
    scene, labels = write_indian_pines(FOLDER)
    with rasterio.open(labels) as dataset:
        truth = dataset.read(1)
    maps = map_by_rounds(scene, labels)
    titles = ["What grows", "No votes", *("One round", "Two rounds")[: len(maps) - 1]]
    colours = ListedColormap(["white", *plt.get_cmap("tab20").colors[:CLASSES]])
    figure, grid = plt.subplots(1, len(titles), figsize=(3.6 * len(titles), 4.0))
    for axes, title, drawn in zip(grid, titles, [truth, *maps], strict=True):
        right = "" if drawn is truth else f": {(drawn == truth)[truth > 0].mean():.1%} right"
        axes.imshow(np.where(truth > 0, drawn, 0), cmap=colours, vmin=0, vmax=CLASSES, interpolation="nearest")
        axes.set_title(title + right, fontsize=11, color="black")
        axes.axis("off")
    figure.tight_layout(pad=0.6)
    figure.savefig(PICTURE, dpi=100)


if __name__ == "__main__":
    main()
