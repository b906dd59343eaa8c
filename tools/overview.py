"""One picture of a result: the scene, the map with its legend, and the confidence; run in the compute environment."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import matplotlib
import numpy as np

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.colors import ListedColormap

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "build" / "plugins"))
from spectrafilm.engine.composites import make_composites
from spectrafilm.engine.errors import EngineError
from spectrafilm.engine.map_style import TAG, classes_from_tag
from spectrafilm.engine.scene import Scene
from spectrafilm.engine.survey import survey_scene

LONGEST = 900


def pseudo_rgb(path: str) -> np.ndarray:
    """A thinned-out image (height, width, 3) in 0..1 of a scene."""
    with Scene.open(path) as scene:
        survey = survey_scene(scene)
        try:
            composites = make_composites("true colour", survey)
        except EngineError:
            composites = make_composites("most informative bands", survey)
        bands = [survey.bands[i] for i in composites.used]
        layers = [scene.overview(b, LONGEST) * b.scale + b.offset for b in bands]
        image = composites.on(bands).apply(np.stack(layers).astype(np.float32))[0]
    return (image.transpose(1, 2, 0) + 1) / 2


def main() -> None:
    """Draw the three panels."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("scene", "map", "confidence", "picture"):
        parser.add_argument(name)
    arguments = parser.parse_args()
    with Scene.open(arguments.map) as land_cover:
        classes = classes_from_tag(land_cover.tag(TAG), arguments.map)
        ids = land_cover.overview(land_cover.bands[0], LONGEST)
    with Scene.open(arguments.confidence) as raster:
        confidence = raster.overview(raster.bands[0], LONGEST)
        confidence = np.where(confidence < 0, np.nan, confidence)
    image = pseudo_rgb(arguments.scene)
    image[ids == 0] = 1.0
    height, width = ids.shape
    figure, axes = plt.subplots(1, 3, figsize=(15, 0.8 + 5 * height / width), layout="constrained")
    colours = ["#ffffff"] + [c.colour for c in classes]
    axes[0].imshow(image)
    axes[1].imshow(ids, cmap=ListedColormap(colours), vmin=-0.5, vmax=len(classes) + 0.5, interpolation="nearest")
    shown = axes[2].imshow(confidence, cmap="viridis", vmin=0, vmax=1)
    figure.colorbar(shown, ax=axes[2], shrink=0.7)
    handles = [plt.Rectangle((0, 0), 1, 1, facecolor=c.colour, edgecolor="#888888", lw=0.5) for c in classes]
    figure.legend(handles, [c.name for c in classes], loc="outside lower center", ncol=min(len(classes), 8),
                  frameon=False)  # fmt: skip
    for axis, title in zip(axes, ("Scene (pseudo-RGB)", "Land cover", "Confidence"), strict=True):
        axis.set_title(title)
        axis.set_axis_off()
    figure.savefig(arguments.picture, dpi=110)


if __name__ == "__main__":
    main()
