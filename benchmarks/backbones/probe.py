"""The same classifier on the features of every decoder layer and timestep of a backbone, alone and with spectra."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from spectrafilm.benchmarks.accuracy.pool import PROTOCOLS, Pool, feature_source
from spectrafilm.benchmarks.accuracy.rows import fit_svm
from spectrafilm.benchmarks.json_lines import append_lines, read_lines
from spectrafilm.engine.accuracy import Figures
from spectrafilm.engine.feature_analysis import compute_activations
from spectrafilm.engine.methods import DEFAULT
from spectrafilm.engine.progress import Progress
from spectrafilm.engine.projection import fit_spatial
from spectrafilm.engine.quick_judge import PENALTY
from spectrafilm.engine.scene import Scene
from spectrafilm.engine.survey import survey_scene
from spectrafilm.engine.tasks.analyse_features import whole_grid

# Overall and average accuracy, per cent.
Accuracies = tuple[float, float]


@dataclass(frozen=True)
class Entry:
    """OA and AA (per cent) of one draw of labels.

    Attributes:
        backbone: name it was given, "" for spectra alone.
        weights: digest of its weights.
        layers, timestep: whose features were seen, each in all composites.
        alone: by features alone; for spectra alone the same as `with_spectra`.
    """

    backbone: str
    weights: str
    layers: tuple[int, ...]
    timestep: int
    protocol: str
    labels: int
    seed: int
    alone: Accuracies
    with_spectra: Accuracies


def read_entries(path: Path, labels: int, seeds: int) -> list[Entry]:
    """What was measured on a scene with so many labels a class and the first so many seeds."""
    entries = []
    for record in read_lines(path):
        entries.append(Entry(**record | {key: tuple(record[key]) for key in ("layers", "alone", "with_spectra")}))
    return [e for e in entries if e.labels == labels and e.seed < seeds]


def probe(pool: Pool, scene_path: str, backbones: dict[str, Path], labels: int, seeds: int, results: Path) -> None:
    """Measure backbones by name on a scene, adding to a file of JSON lines; what is there already is left out."""
    spectra = _unit(pool.fit_spectral().apply(pool.spectra))
    known = _complete(read_entries(results, labels, seeds), seeds)
    if not any(not name for name, *_ in known):
        figures = _judge(pool, spectra, spectra, labels, seeds)
        append_lines(results, (asdict(Entry("", "", (), 0, *draw, alone, both)) for draw, alone, both in figures))
    for name, path in backbones.items():
        with Scene.open(scene_path) as scene:
            source = feature_source(scene, survey_scene(scene), DEFAULT, path)
            weights = source.backbone.sha256[:12]
            layers, timesteps = whole_grid(source.backbone)
            # The default may be a single layer or several.
            judged = dict.fromkeys((*((i,) for i in layers), source.settings.layers))
            settings = [(chosen, t) for t in timesteps for chosen in judged]
            missing = [setting for setting in settings if (name, weights, *setting) not in known]
            if not missing:
                continue
            activations = compute_activations(
                source, pool.labels.rows, pool.labels.columns, set(layers), {t for _, t in missing}, Progress()
            )
        for chosen, timestep in missing:
            raw = np.concatenate([activations[layer, timestep] for layer in chosen], 1).astype(np.float32)
            features = _unit(fit_spatial(raw).apply(raw))
            figures = _judge(pool, features, np.concatenate([features, spectra], 1), labels, seeds)
            entry = Entry(name, weights, chosen, timestep, "", 0, 0, (0, 0), (0, 0))
            append_lines(results, (
                asdict(replace(entry, protocol=protocol, labels=count, seed=seed, alone=alone, with_spectra=both))
                for (protocol, count, seed), alone, both in figures
            ))  # fmt: skip
        print(f"{pool.name}: {name}", flush=True)


def _complete(entries: list[Entry], seeds: int) -> set[tuple[str, str, tuple[int, ...], int]]:
    """Backbone, weights, layers and timestep of what was measured with all protocols and seeds."""
    counts = Counter((e.backbone, e.weights, e.layers, e.timestep) for e in entries)
    return {setting for setting, count in counts.items() if count >= seeds * len(PROTOCOLS)}


def _unit(values: np.ndarray) -> np.ndarray:
    return values / values.std()


def _judge(
    pool: Pool, alone: np.ndarray, both: np.ndarray, labels: int, seeds: int
) -> Iterator[tuple[tuple[str, int, int], Accuracies, Accuracies]]:
    """For every protocol and seed: accuracies of a support vector machine on one and on other inputs.

    Its kernel is as wide as cross-validation of the training pixels says. With one width for all inputs, features of
    nothing but noise, which widen it, were worth 3 points beside the spectra of EnMAP Berlin (polygons apart).
    """
    ids = pool.labels.class_ids
    for protocol in PROTOCOLS:
        for seed in range(seeds):
            training, testing = pool.draw(protocol, labels, seed)

            def judge(inputs: np.ndarray, training: np.ndarray = training, testing: np.ndarray = testing) -> Accuracies:
                machine = fit_svm(inputs, ids, training, 0, [PENALTY])
                figures = Figures.of(ids[testing], machine.predict(inputs[testing]), len(pool.classes))
                return figures.overall_accuracy, figures.average_accuracy

            yield (protocol, labels, seed), judge(alone), judge(both)
