"""predictmap: a land-cover map of a scene, with confidence, probabilities and uncertainty."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import numpy as np

from ..backbone_files import files_of
from ..device import Device, choose_device
from ..jobs import PredictMap
from ..map_style import style_files, style_map, write_style_files
from ..model import Model
from ..outputs import NODATA, Outputs, write_masked
from ..progress import Progress
from ..scene import Band, Scene
from .model_on_scene import classified_pieces, compare_values, model_bands

# Of each class, on average.
ENOUGH_POLYGONS = 3


def predict_map(job: PredictMap, progress: Progress, token: str) -> dict[str, Any]:
    """Stream the scene through the model; the map is 0 and the other rasters nodata where it is not valid."""
    with ExitStack() as stack:
        scene = stack.enter_context(Scene.open(job.scene, job.scene_crs))
        inputs = [*scene.files, job.model, job.features, *files_of(job.backbone)]
        outputs = stack.enter_context(Outputs(inputs, token))
        outputs.check(job.output, *style_files(job.output), job.confidence, job.probabilities, job.uncertainty)
        model = Model.load(job.model)
        bands = model_bands(model, scene, progress)
        if (job.confidence or job.probabilities) and not model.scores:
            progress.warning("The model was trained without validation, so its confidences are not calibrated.")
        elif job.confidence and model.scores["polygons"] < ENOUGH_POLYGONS * len(model.classes):
            progress.warning(
                f"The confidences were calibrated on {model.scores['samples']} pixels of {model.scores['polygons']} "
                "polygons only, so that they may be far off."
            )
        device = choose_device(job.device, progress)
        with progress.stage(0.0, 0.04):
            compare_values(model, scene, bands, progress)
        with progress.stage(0.04, 1.0, f"Mapping {job.scene} with {model.method.title}."):
            counts = _write_rasters(job, model, scene, bands, device, outputs, progress)
        write_style_files(outputs, job.output, model.classes)
    if counts[0]:
        progress.info(f"No data: {counts[0]} pixels, {counts[0] / counts.sum():.1%} of the scene.")
    total = int(counts[1:].sum())
    for c in model.classes:
        progress.info(f"{c.name}: {counts[c.id]} pixels, {counts[c.id] / total:.1%}.")
    return {"pixels": {c.name: int(counts[c.id]) for c in model.classes}}


def _write_rasters(
    job: PredictMap, model: Model, scene: Scene, bands: list[Band], device: Device, outputs: Outputs,
    progress: Progress,
) -> np.ndarray:  # fmt: skip
    """Write every raster asked for; pixels of each class id (0 is no data)."""
    counts = np.zeros(len(model.classes) + 1, np.int64)
    with ExitStack() as stack:
        land_cover = stack.enter_context(outputs.raster(job.output, scene, 1, "uint8", 0))
        style_map(land_cover, model.classes)

        def optional(path: str, names: list[str]) -> Any:
            if not path:
                return None
            options = {"interleave": "pixel"} if len(names) > 1 else {}
            raster = stack.enter_context(
                outputs.raster(path, scene, len(names), "float32", NODATA, predictor=3, **options)
            )
            for number, name in enumerate(names, 1):
                raster.set_band_description(number, name)
            return raster

        confidence = optional(job.confidence, ["confidence"])
        probabilities = optional(job.probabilities, [c.name for c in model.classes])
        # A single network has no experts that could disagree; its entropy stands in.
        kind = "disagreement of the ensemble" if model.method.ensemble else "entropy"
        uncertainty = optional(job.uncertainty, [kind])
        votes = bool(uncertainty) and model.method.ensemble
        for window, _, valid, result in classified_pieces(job, model, scene, bands, device, progress, votes):
            classes = np.zeros(valid.shape, np.uint8)
            classes[valid] = result.probabilities.argmax(1) + 1
            counts += np.bincount(classes.ravel(), minlength=len(counts))
            land_cover.write(classes, 1, window=window)
            if confidence:
                write_masked(confidence, _spread(result.probabilities.max(1)[:, None], valid), valid, window)
            if probabilities:
                write_masked(probabilities, _spread(result.probabilities, valid), valid, window)
            if uncertainty:
                values = result.entropy() if result.disagreement is None else result.disagreement
                write_masked(uncertainty, _spread(values[:, None], valid), valid, window)
    return counts


def _spread(values: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Put (n, k) values of valid pixels into place: (k, height, width)."""
    image = np.zeros((values.shape[1], *valid.shape), np.float32)
    image[:, valid] = values.T
    return image
