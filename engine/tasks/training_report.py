"""The report of a training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from rasterio.transform import xy
from rasterio.windows import Window

from ..composites import make_composites
from ..errors import EngineError
from ..jobs import TrainFilm
from ..labels import Labels, count_by_class
from ..learning_curve import REPETITIONS, LearningCurve
from ..model import Model
from ..outputs import Outputs
from ..pictures import confusion_picture, curve_picture, labels_picture, learning_picture, spectra_picture
from ..polygons import Part
from ..progress import Progress
from ..report import write_report
from ..scene import Scene
from ..survey import Survey
from ..training_data import TrainingData
from ..validation import Trained, describe_experts, describe_neighbours

LARGEST_PICTURE = 512
MOST_DOUBTFUL = 10


@dataclass(frozen=True)
class TrainingResult:
    """What came out of a training; `labels` are all labelled pixels of `parts`, `data.labels` those used."""

    job: TrainFilm
    model: Model
    labels: Labels
    parts: list[Part]
    data: TrainingData
    trained: Trained
    learning: LearningCurve


def write_training_report(
    result: TrainingResult, scene: Scene, survey: Survey, outputs: Outputs, progress: Progress
) -> None:
    """Write the HTML report and its JSON twin."""
    model, data = result.model, result.data
    used = count_by_class(data.labels, data.classes)
    rows = [
        {"name": c.name, "colour": c.colour, "polygons": used[c.id][1], "used": used[c.id][0]}
        for c in data.classes
    ]
    pictures = {
        "spectra": spectra_picture(
            data.spectra, data.labels.class_ids, data.classes, model.wavelengths, model.band_numbers
        ),
        "curve": curve_picture(result.trained.fits[0].curve, [f.curve for f in result.trained.fits[1:]]),
        "labels": _labels_picture(result, scene, survey),
        "learning": learning_picture(result.learning.points) if result.learning.points else b"",
        "confusion": b"",
    }
    progress.set(0.5)
    if result.trained.accuracy is not None:
        pictures["confusion"] = confusion_picture(result.trained.accuracy.matrix, [c.name for c in data.classes])
    figures = {
        "accuracy": result.trained.accuracy,
        "folds": len(result.trained.folds),
        "learning_curve": result.learning,
        "label_rows": rows,
        "doubtful": _doubtful_rows(result, scene),
        "settings": _settings(result),
        "warnings": progress.warnings,
    }
    shown = {
        "colours": [c.colour for c in data.classes], "repetitions": REPETITIONS, "validate": result.job.validate,
        "grouped": bool(result.job.group_field), "doubtful_count": len(result.trained.doubtful),
    }  # fmt: skip
    title = f"Training of {model.method.title}"
    write_report(outputs, result.job.report, "training.html", title, figures, shown, pictures)


def _settings(result: TrainingResult) -> dict[str, Any]:
    job, model = result.job, result.model
    settings: dict[str, Any] = {
        "scene": job.scene,
        "labels": job.labels_title or f"{job.polygons}, field {job.class_field}",
        "method": model.method.title,
        "bands used": len(model.band_numbers),
        "labelled pixels": len(result.labels),
        "seed": job.seed,
        "temperature": round(model.temperature, 3),
    }
    if model.scores:
        settings["expected calibration error"] = f"{model.scores['calibration_error']:.1f} %"
    if "experts" in model.scores:
        settings["experts, weighed by cross-validation"] = describe_experts(model.scores["experts"])
    if "neighbours" in model.scores:
        settings["neighbours that look alike"] = describe_neighbours(model.scores["neighbours"])
    if model.features:
        settings |= {
            "backbone": f"{model.features.backbone} ({model.features.backbone_sha256[:12]})",
            "decoder layers": ", ".join(map(str, model.features.layers)),
            "timesteps": ", ".join(map(str, model.features.timesteps)),
            "composites": model.features.load_composites().kind if model.features.composites else "unknown",
            "features": job.features or "computed",
        }
    return settings


def _doubtful_rows(result: TrainingResult, scene: Scene) -> list[dict[str, Any]]:
    """The polygons that the others contradict most, as a user finds them in the layer and on the scene."""
    classes = {c.id: {"name": c.name, "colour": c.colour} for c in result.data.classes}
    digits = 6 if scene.crs.is_geographic else 1
    rows = []
    for doubtful in result.trained.doubtful[:MOST_DOUBTFUL]:
        part = result.parts[doubtful.polygon]
        x, y = xy(scene.transform, doubtful.row, doubtful.column)
        rows.append({
            "polygon": f"group {part.group}" if part.group else f"feature {part.feature}" if part.feature else "",
            "class": classes[doubtful.class_id], "taken_for": classes[doubtful.taken_for], "pixels": doubtful.pixels,
            "probability": doubtful.own, "probability_of_other": doubtful.other,
            "x": round(x, digits), "y": round(y, digits),
        })  # fmt: skip
    return rows


def _labels_picture(result: TrainingResult, scene: Scene, survey: Survey) -> bytes:
    """The part of the scene around the labels, at most 512 pixels a side: reading more would take
    the longer the larger the scene is."""
    labels = result.data.labels
    top, height = _span(labels.rows, scene.height)
    left, width = _span(labels.columns, scene.width)
    spectra, valid = scene.read(Window(left, top, width, height), survey.bands)
    try:
        composites = make_composites("true colour", survey)
    except EngineError:
        composites = make_composites("one principal-component triplet", survey)
    shown = np.where(valid, (composites.apply(spectra)[0] + 1) / 2, 1.0).transpose(1, 2, 0)
    rows, columns = labels.rows - top, labels.columns - left
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    marks = [(d.row - top, d.column - left) for d in result.trained.doubtful[:MOST_DOUBTFUL]]
    return labels_picture(shown, rows[inside], columns[inside], labels.class_ids[inside], result.data.classes, marks)


def _span(positions: np.ndarray, size: int) -> tuple[int, int]:
    """First position and length of a stretch that holds the median label and as many others as fit."""
    low, high = max(int(positions.min()) - 16, 0), min(int(positions.max()) + 17, size)
    if high - low > LARGEST_PICTURE:
        low = int(np.clip(np.median(positions) - LARGEST_PICTURE // 2, low, high - LARGEST_PICTURE))
        high = low + LARGEST_PICTURE
    return low, high - low
