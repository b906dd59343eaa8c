"""suggestsamples: where the next polygons would help a model most."""

from __future__ import annotations

import math
from contextlib import ExitStack
from typing import Any

import numpy as np
from affine import Affine
from rasterio.features import rasterize
from rasterio.transform import xy
from rasterio.windows import Window

from ..device import choose_device
from ..errors import EngineError
from ..jobs import SuggestSamples
from ..model import Model
from ..polygons import Feature, LandCoverClass, Part, read_geometries, to_parts
from ..progress import Progress
from ..sample_choice import Candidates, choose_samples, hesitation, mean_around
from ..scene import Scene
from .model_on_scene import classified_pieces, compare_values, model_bands

LEAST_BLOCK = 8
MOST_BLOCKS = 4_000


def suggest_samples(job: SuggestSamples, progress: Progress, token: str) -> dict[str, Any]:
    """The places, best first, in the scene's coordinates.

    Returns:
        `crs` (WKT) and `places`: rank, predicted class, confidence (0..1), rival, centre and corners (x, y).
    """
    if job.count < 1:
        raise EngineError(f"{job.count} places cannot be suggested; ask for at least one.")
    with ExitStack() as stack:
        model = Model.load(job.model)
        scene = stack.enter_context(Scene.open(job.scene, job.scene_crs))
        bands = model_bands(model, scene, progress)
        labelled = _labelled_parts(job, scene, progress)
        device = choose_device(job.device, progress)
        with progress.stage(0.0, 0.04):
            compare_values(model, scene, bands, progress)
        block = _block_side(scene.height, scene.width)
        free_parts: list[Candidates] = []
        labelled_parts: list[Candidates] = []
        with progress.stage(0.04, 0.95, f"Looking for places in {job.scene} where {model.method.title} hesitates."):
            for window, spectra, valid, result in classified_pieces(job, model, scene, bands, device, progress):
                rows, columns = np.nonzero(valid)
                hesitating = hesitation(result.probabilities)
                here = Candidates(rows + window.row_off, columns + window.col_off, spectra, result.probabilities,
                                  hesitating * mean_around(hesitating, valid))  # fmt: skip
                free = ~_covered(labelled, window)[rows, columns]
                for kept, parts in ((free, free_parts), (~free, labelled_parts)):
                    parts.append(here.select(kept).one_per_block(block, job.seed))
        # A block can lie in several pieces.
        candidates, covered = (Candidates.join(x).one_per_block(block, job.seed) for x in (free_parts, labelled_parts))
        if not len(candidates):
            raise EngineError(f"Every valid pixel of {job.scene} is labelled already; there is nothing to suggest.")
        with progress.stage(0.95, 1.0, f"Choosing {job.count} of {len(candidates)} candidates."):
            chosen = candidates.select(choose_samples(candidates, covered, job.count, progress))
        if len(chosen) < job.count:
            progress.warning(f"The scene has only {len(chosen)} place(s) to suggest.")
        places = [_place(chosen, i, model, scene.transform) for i in range(len(chosen))]
        return {"crs": scene.crs.to_wkt(), "places": places}


def _block_side(height: int, width: int) -> int:
    """A side of blocks of which a scene of any size and shape holds so few that all can be compared with each other."""
    side = LEAST_BLOCK
    while (blocks := math.ceil(height / side) * math.ceil(width / side)) > MOST_BLOCKS:
        side = max(side + 1, math.floor(side * math.sqrt(blocks / MOST_BLOCKS)))
    return side


def _labelled_parts(job: SuggestSamples, scene: Scene, progress: Progress) -> list[Part]:
    if not job.labelled:
        return []
    anything = LandCoverClass(1, "labelled", "")
    features = [Feature(anything.name, geometry) for geometry in read_geometries(job.labelled, progress)]
    parts = to_parts(features, [anything], scene.transform, job.labelled_crs, scene.crs)
    progress.info(f"Nothing is suggested in the {len(parts)} polygon(s) or point(s) drawn so far.")
    return parts


def _covered(parts: list[Part], window: Window) -> np.ndarray:
    """Pixels (height, width) of a window that a labelled polygon or point touches."""
    shapes = []
    for part in parts:
        left, top, right, bottom = part.bounds()
        if right < window.col_off or left > window.col_off + window.width:
            continue
        if bottom < window.row_off or top > window.row_off + window.height:
            continue
        shapes.append(part.geometry())
    shape = (int(window.height), int(window.width))
    if not shapes:
        return np.zeros(shape, bool)
    transform = Affine.translation(window.col_off, window.row_off)
    return rasterize(shapes, shape, transform=transform, all_touched=True, dtype="uint8") > 0


def _place(chosen: Candidates, index: int, model: Model, transform: Affine) -> dict[str, Any]:
    row, column = int(chosen.rows[index]), int(chosen.columns[index])
    order = np.argsort(-chosen.probabilities[index], kind="stable")
    return {
        "rank": index + 1,
        "predicted": model.classes[order[0]].name,
        "confidence": round(float(chosen.probabilities[index, order[0]]), 3),
        "rival": model.classes[order[1]].name,
        "centre": xy(transform, row, column),
        "corners": [xy(transform, row, column, offset=corner) for corner in ("ul", "ur", "lr", "ll")],
    }
