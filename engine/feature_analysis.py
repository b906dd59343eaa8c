"""Which decoder layer and which timestep serve a scene best: the two hierarchies of a diffusion U-Net, measured.

Source: GeoDiffNet, section on the decoder layer and timestep hierarchies. The U-Net sees every patch once per
timestep, whatever the number of layers. Each setting is then judged by a cross-validation grouped by polygon.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from .accuracy import Figures
from .feature_source import ComputedFeatures
from .folds import Folds
from .progress import Progress
from .projection import fit_spatial
from .quick_judge import Judge, merit
from .training_data import TrainingData

MOST_LAYERS = 3


@dataclass(frozen=True)
class Setting:
    """Decoder layers at timesteps, and how well pixels are told apart with their features.

    Attributes:
        features_alone: by the spatial features.
        with_spectra: by spatial features and spectrum, side by side.
    """

    layers: tuple[int, ...]
    timesteps: tuple[int, ...]
    features_alone: Figures
    with_spectra: Figures


@dataclass(frozen=True)
class FeatureAnalysis:
    """What was found.

    Attributes:
        cells: one setting for each decoder layer at each timestep, layer by layer.
        combinations: settings of several layers, the method's default first.
        spectra_alone: the same classifier without spatial features.
        recommended: the default, unless a setting is better by more than twice the standard error of
            their difference; several dozen were tried, so the best of them is partly luck.
    """

    cells: tuple[Setting, ...]
    combinations: tuple[Setting, ...]
    spectra_alone: Figures
    recommended: Setting

    @property
    def best(self) -> Setting:
        """The cell with the highest mean of overall and average accuracy, spectra included."""
        return max(self.cells, key=_merit)


def analyse_features(
    source: ComputedFeatures, data: TrainingData, context: tuple[np.ndarray, np.ndarray], folds: Folds,
    layers: Sequence[int], timesteps: Sequence[int], progress: Progress,
) -> FeatureAnalysis:  # fmt: skip
    """Judge every decoder layer at every timestep, and combinations of the best.

    Combinations grow from the best cell by the layer that helps most, at the same timestep, up to three layers.

    Args:
        source: makes features with the default settings, which others must beat.
        data: labelled pixels with projected spectra.
        context: rows and columns of further pixels to which principal components are fitted, too.
        folds: at least one.
        layers, timesteps: the rows and columns of the grid.
    """
    labels, spectra, default = data.labels, data.samples.spectra, source.settings
    # The default is judged, too, whatever the grid.
    rows, columns = (np.concatenate([a, b]) for a, b in zip((labels.rows, labels.columns), context, strict=True))
    activations = compute_activations(
        source, rows, columns, {*layers, *default.layers}, {*timesteps, *default.timesteps}, progress
    )
    judge = Judge(labels, folds, len(data.classes))
    predictions: dict[Setting, np.ndarray] = {}

    def judged(chosen: tuple[tuple[int, ...], tuple[int, ...]]) -> Setting:
        raw = np.concatenate([activations[layer, t] for t in chosen[1] for layer in chosen[0]], 1).astype(np.float32)
        features = fit_spatial(raw).apply(raw[: len(labels)])
        both = judge.predict_best(np.concatenate([features, spectra], 1))
        setting = Setting(*chosen, judge.figures(judge.predict_best(features)), judge.figures(both))
        predictions[setting] = both
        return setting

    with ThreadPoolExecutor(os.cpu_count()) as workers:

        def judge_all(chosen: list[tuple[tuple[int, ...], tuple[int, ...]]]) -> list[Setting]:
            # Support vector machines leave Python's lock, so threads use all cores.
            return list(workers.map(judged, chosen))

        with progress.stage(0.7, 0.95, f"Cross-validating {len(layers)} layers at {len(timesteps)} timesteps."):
            cells = []
            for layer in progress.track(layers):
                cells += judge_all([((layer,), (t,)) for t in timesteps])
        with progress.stage(0.95, 1.0, "Cross-validating combinations of layers."):
            standard = judged((default.layers, default.timesteps))
            combinations = [standard]
            best = max(cells, key=_merit)
            for _ in range(min(MOST_LAYERS, len(layers)) - 1):
                others = [layer for layer in layers if layer not in best.layers]
                grown = judge_all([(tuple(sorted((*best.layers, layer))), best.timesteps) for layer in others])
                best = max(grown, key=_merit)
                combinations.append(best)
    recommended = max((*cells, *combinations), key=_merit)
    gain, error = judge.gain(predictions[recommended], predictions[standard])
    if gain <= 2 * error:
        recommended = standard
    alone = judge.figures(judge.predict_best(spectra))
    return FeatureAnalysis(tuple(cells), tuple(combinations), alone, recommended)


def compute_activations(
    source: ComputedFeatures, rows: np.ndarray, columns: np.ndarray, layers: set[int], timesteps: set[int],
    progress: Progress,
) -> dict[tuple[int, int], np.ndarray]:  # fmt: skip
    """Activations (n, channels) of pixels, by decoder layer and timestep; one pass of the U-Net a timestep."""
    ordered = tuple(sorted(layers))
    stops = np.cumsum([source.backbone.layers[layer].channels for layer in ordered])[:-1]
    found: dict[tuple[int, int], np.ndarray] = {}
    for index, timestep in enumerate(sorted(timesteps)):
        share = (0.7 * index / len(timesteps), 0.7 * (index + 1) / len(timesteps))
        with progress.stage(*share, f"Activations of {len(ordered)} decoder layers at timestep {timestep}."):
            activations = source.changed(layers=ordered, timesteps=(timestep,), neighbourhoods=())
            values = activations.at(rows, columns, progress)
        of_composites = np.split(values, source.images.composites.count, axis=1)
        per_composite = [np.split(part, stops, axis=1) for part in of_composites]
        for layer, parts in zip(ordered, zip(*per_composite, strict=True), strict=True):
            # Half precision, since all layers at all timesteps are kept.
            found[layer, timestep] = np.concatenate(parts, 1).astype(np.float16)
    return found


def _merit(setting: Setting) -> tuple[float, int]:
    """What settings are ranked by; of equals the one with fewer layers comes first."""
    return merit(setting.with_spectra), -len(setting.layers)
