"""From a job to the task that does it."""

from __future__ import annotations

from typing import Any

from .jobs import (
    AssessAccuracy,
    CheckEnvironment,
    ExtractFeatures,
    Job,
    PredictMap,
    SelectBands,
    TrainFilm,
)
from .progress import Progress


def run_job(job: Job, progress: Progress, token: str = "") -> dict[str, Any]:
    """Run a job and return its results by name.

    Only the modules a job needs are imported: bands are selected without loading torch.

    Args:
        token: marks the temporary files of this run.

    Raises:
        EngineError: something is wrong with the input or the machine.
    """
    match job:
        case SelectBands():
            from .tasks.select_bands import select_bands

            return select_bands(job, progress, token)
        case ExtractFeatures():
            from .tasks.extract_features import extract_features

            return extract_features(job, progress, token)
        case TrainFilm():
            from .tasks.train_film import train_film

            return train_film(job, progress, token)
        case PredictMap():
            from .tasks.predict_map import predict_map

            return predict_map(job, progress, token)
        case AssessAccuracy():
            from .tasks.assess_accuracy import assess_accuracy

            return assess_accuracy(job, progress, token)
        case CheckEnvironment():
            from .tasks.check_environment import check_environment

            return check_environment(job, progress)
