"""The rows of the table: the plugin's methods, and classical classifiers on the same labelled pixels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
import torch
from diffusers import DDPMScheduler
from sklearn.base import BaseEstimator
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import GridSearchCV, StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from spectrafilm.engine.backbone import BUNDLED
from spectrafilm.engine.jobs import ExtractFeatures, PredictMap, TrainFilm
from spectrafilm.engine.labels import Labels
from spectrafilm.engine.map_style import TAG, classes_from_tag
from spectrafilm.engine.progress import Progress
from spectrafilm.engine.runner import run_job
from spectrafilm.engine.sampling import thin_labels
from spectrafilm.engine.training_data import PIXELS_PER_CLASS
from spectrafilm.tools.pretrain.run import Settings, build_unet
from spectrafilm.tools.qgis_shell import QgisShell

from .scenes import LabelledScene, Split

SEARCHED = 3000


@dataclass
class Bench:
    """What rows work with: QGIS, and a folder for what they share and leave behind."""

    shell: QgisShell
    folder: Path

    def features(self, labelled: LabelledScene, backbone: Path) -> str:
        """A features raster of the whole scene with the default settings, made once."""
        path = self.folder / "features" / f"{labelled.real.name}-{backbone.name}.tif"
        path.parent.mkdir(exist_ok=True)
        if not path.exists():
            job = ExtractFeatures(labelled.path, str(path), str(backbone))
            run_job(job, Progress())
        return str(path)


def untrained_backbone(folder: Path) -> Path:
    """A backbone of the bundled one's shape with its random initial weights."""
    path = folder / "untrained64"
    if not path.exists():
        torch.manual_seed(0)
        build_unet(Settings()).half().save_pretrained(path)
        DDPMScheduler.from_pretrained(BUNDLED).save_pretrained(path)
    return path


# Test pixels' class ids, as the row sees them.
Row = Callable[[Bench, LabelledScene, Split, int], np.ndarray]


def spectrafilm(bench: Bench, labelled: LabelledScene, split: Split, seed: int) -> np.ndarray:
    """The plugin's default, whole, through qgis_process."""
    model, land_cover = bench.folder / "model.safetensors", bench.folder / "map.tif"
    steps = {
        "trainfilm": {"INPUT": labelled.path, "POLYGONS": split.polygons, "CLASS_FIELD": labelled.real.class_field,
                      "SEED": seed, "MODEL": model},
        "predictmap": {"INPUT": labelled.path, "MODEL": model, "OUTPUT": land_cover},
    }  # fmt: skip
    for name, parameters in steps.items():
        answer = bench.shell.run(f"spectrafilm:{name}", parameters)
        if answer.status:
            raise SystemExit(answer.output)
    return read_map(land_cover, labelled, split.testing)


def untrained(bench: Bench, labelled: LabelledScene, split: Split, seed: int) -> np.ndarray:
    """The plugin's default with an untrained backbone of the same shape."""
    features = bench.features(labelled, untrained_backbone(bench.folder))
    return engine_map(bench, labelled, split, seed, "spectrafilm", features)


def spectral_only(bench: Bench, labelled: LabelledScene, split: Split, seed: int) -> np.ndarray:
    """The plugin's own spectral network."""
    return engine_map(bench, labelled, split, seed, "spectral")


def geodiffnet_f(bench: Bench, labelled: LabelledScene, split: Split, seed: int) -> np.ndarray:
    """FiLM as published, with the bundled backbone."""
    return engine_map(bench, labelled, split, seed, "geodiffnet-f", validate=False)


def engine_map(
    bench: Bench, labelled: LabelledScene, split: Split, seed: int, method: str, features: str = "",
    validate: bool = True,
) -> np.ndarray:  # fmt: skip
    """Train and map in this process, by the same jobs that QGIS sends to the engine."""
    model, land_cover = str(bench.folder / "model.safetensors"), bench.folder / "map.tif"
    run_job(TrainFilm(labelled.path, str(split.polygons), model, class_field=labelled.real.class_field, method=method,
                      polygons_crs=split.crs, features=features, seed=seed, validate=validate), Progress())  # fmt: skip
    run_job(PredictMap(labelled.path, model, str(land_cover), features=features), Progress())
    return read_map(land_cover, labelled, split.testing)


def read_map(path: Path, labelled: LabelledScene, pixels: Labels) -> np.ndarray:
    """Class ids of the scene that a map shows at labelled pixels."""
    with rasterio.open(path) as dataset:
        shown = dataset.read(1)[pixels.rows, pixels.columns]
        on_map = classes_from_tag(dataset.tags().get(TAG), str(path))
    ids = {c.name: c.id for c in labelled.classes}
    translation = np.zeros(256, np.int64)
    for c in on_map:
        translation[c.id] = ids[c.name]
    return translation[shown]


def svm(bench: Bench, labelled: LabelledScene, split: Split, seed: int) -> np.ndarray:
    """SVM with a radial kernel on standardized spectra; C and gamma by polygon-grouped cross-validation."""
    bands = len(labelled.bands)
    grid = {"svc__C": [1.0, 10.0, 100.0, 1000.0], "svc__gamma": [g / bands for g in (0.03, 0.1, 0.3, 1.0, 3.0)]}
    return classical(make_pipeline(StandardScaler(), SVC()), grid, labelled, split, seed)


def random_forest(bench: Bench, labelled: LabelledScene, split: Split, seed: int) -> np.ndarray:
    """Random forest of 500 trees on spectra; the number of bands per split by cross-validation."""
    grid = {"max_features": ["sqrt", 0.3]}
    return classical(RandomForestClassifier(500, random_state=seed), grid, labelled, split, seed)


def classical(
    estimator: BaseEstimator, grid: dict[str, list], labelled: LabelledScene, split: Split, seed: int
) -> np.ndarray:
    """A scikit-learn classifier on the pixels that the plugin trains on."""
    labels = split.training.select(thin_labels(split.training, PIXELS_PER_CLASS, seed))
    spectra, targets = labelled.spectra(labels), labels.class_ids
    searched = np.random.default_rng(seed).permutation(len(labels))[:SEARCHED]
    # A class may have a single polygon in a fold; it then counts against every setting alike.
    inner = StratifiedGroupKFold(3, shuffle=True, random_state=seed)
    search = GridSearchCV(estimator, grid, cv=inner, refit=False, error_score=0.0)
    search.fit(spectra[searched], targets[searched], groups=labels.polygons[searched])
    return estimator.set_params(**search.best_params_).fit(spectra, targets).predict(labelled.spectra(split.testing))


ROWS: dict[str, Row] = {
    "SVM": svm,
    "Random forest": random_forest,
    "Spectral only": spectral_only,
    "SpectraFiLM": spectrafilm,
    "SpectraFiLM, untrained backbone": untrained,
    "GeoDiffNet-F": geodiffnet_f,
}
# Its many small steps make it by far the slowest to train.
SLOW_ROWS = {"GeoDiffNet-F": 1}
