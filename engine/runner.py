"""From a job to the task that does it."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from threadpoolctl import ThreadpoolController

from .errors import EngineError
from .jobs import (
    AnalyseFeatures,
    AssessAccuracy,
    CheckEnvironment,
    DownloadBackbone,
    ExtractFeatures,
    ImportScene,
    Job,
    PredictMap,
    PretrainScene,
    SelectBands,
    SuggestSamples,
    TrainFilm,
)
from .progress import Progress
from .system_runtime import load_system_runtime

# How long torch's threads wait actively for one another (on Linux; read when torch is loaded). By default it is 15
# times as long, for which they keep the core from the thread that all wait for where another program is busy, too:
# beside two of them on two cores training took 1.5 to 1.8 times as long as so. On an idle machine it costs 3 per cent.
os.environ.setdefault("GOMP_SPINCOUNT", "20000")
# That scikit-learn takes.
LARGEST_SEED = 2**32 - 1


def run_job(job: Job, progress: Progress, token: str = "") -> dict[str, Any]:
    """Run a job and return its results by name.

    Args:
        token: marks the temporary files of this run.

    Raises:
        EngineError: something is wrong with the input or the machine.
    """
    seed = getattr(job, "seed", 0)
    if not 0 <= seed <= LARGEST_SEED:
        raise EngineError(f"The seed {seed} does not lie between 0 and {LARGEST_SEED}; choose another one.")
    load_system_runtime()
    task = _find_task(job)
    # Idle threads of OpenBLAS, which numpy computes with, wait actively and take the cores from torch's.
    with ThreadpoolController().select(internal_api="openblas").limit(limits=1):
        try:
            return task(job, progress, token)
        except PermissionError as error:
            # In a folder of another user's, not even whether a file is there can be asked.
            raise EngineError(
                f"{error.filename or 'A file'} cannot be read or written ({error.strerror}); close what has it open, "
                "have its permissions changed, or choose another place."
            ) from error


def _find_task(job: Job) -> Callable[[Any, Progress, str], dict[str, Any]]:
    """The function that does a job. Only what it needs is imported: bands are selected without loading torch."""
    match job:
        case SelectBands():
            from .tasks.select_bands import select_bands

            return select_bands
        case ExtractFeatures():
            from .tasks.extract_features import extract_features

            return extract_features
        case PretrainScene():
            from .tasks.pretrain_scene import pretrain_scene

            return pretrain_scene
        case AnalyseFeatures():
            from .tasks.analyse_features import analyse_scene

            return analyse_scene
        case TrainFilm():
            from .tasks.train_film import train_film

            return train_film
        case PredictMap():
            from .tasks.predict_map import predict_map

            return predict_map
        case AssessAccuracy():
            from .tasks.assess_accuracy import assess_accuracy

            return assess_accuracy
        case SuggestSamples():
            from .tasks.suggest_samples import suggest_samples

            return suggest_samples
        case CheckEnvironment():
            from .tasks.check_environment import check_environment

            return check_environment
        case DownloadBackbone():
            from .tasks.download_backbone import download_backbone

            return download_backbone
        case ImportScene():
            from .tasks.import_scene import import_scene

            return import_scene
