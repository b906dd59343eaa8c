"""Figures of every variant of the default method for one draw of labels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np

from spectrafilm.benchmarks.accuracy.draws import Draw, make_draw
from spectrafilm.benchmarks.accuracy.pool import Pool, feature_source, kept_features
from spectrafilm.benchmarks.json_lines import read_lines
from spectrafilm.engine.accuracy import Figures
from spectrafilm.engine.backbone import BUNDLED
from spectrafilm.engine.calibration import fit_shares, fit_temperature, mixture, share_prior
from spectrafilm.engine.ensemble import FilmEnsemble
from spectrafilm.engine.errors import EngineError
from spectrafilm.engine.folds import split_by_polygon
from spectrafilm.engine.methods import Method
from spectrafilm.engine.progress import Progress
from spectrafilm.engine.scene import Scene
from spectrafilm.engine.survey import Survey
from spectrafilm.engine.training import fit, predict_experts, predict_logits
from spectrafilm.engine.validation import held_out, train

from .variants import METHOD, VARIANTS, Mixture

# The second half of an ensemble of twice the default size begins with other weights.
OTHER_MEMBERS = 1000


@dataclass(frozen=True)
class Entry:
    """Figures (per cent) of a variant for one draw of labels."""

    variant: str
    protocol: str
    labels: int
    seed: int
    overall_accuracy: float
    average_accuracy: float
    calibration_error: float


def read_entries(path: Path) -> list[Entry]:
    """What was measured on a scene."""
    return [Entry(**record) for record in read_lines(path)]


class Bench:
    """A scene's labelled pixels, with features for every variant.

    Args:
        folder: where features are kept.
    """

    def __init__(self, pool: Pool, scene: Scene, survey: Survey, folder: Path) -> None:
        self._pool, self._scene, self._survey, self._folder = pool, scene, survey, folder
        self._features: dict[Method, tuple[np.ndarray, int] | None] = {}

    def measure(self, names: list[str], protocol: str, labels: int, seed: int) -> Iterator[Entry]:
        """Figures of variants by name; those whose composites the scene cannot have are left out."""
        training, testing = self._pool.draw(protocol, labels, seed)
        labelled = self._pool.as_labelled(protocol)
        mixtures = {}

        def entry(name: str, draw: Draw, probabilities: np.ndarray) -> Entry:
            figures = Figures.of(draw.truth, draw.class_ids(probabilities), len(self._pool.classes))
            error = 100 * draw.calibration_error(probabilities)
            return Entry(name, protocol, labels, seed, figures.overall_accuracy, figures.average_accuracy, error)

        for name in names:
            variant = VARIANTS[name]
            if isinstance(variant, Mixture):
                mixtures[name] = variant
                continue
            pool, method = labelled, METHOD
            if isinstance(variant, Method):
                method = variant
            else:
                pool = replace(pool, noise=pool.noise * variant.noise_known)
            if features := self._features_for(method):
                draw = make_draw(pool, method, *features, training, testing)
                trained = train(method, draw.data, True, seed, Progress())
                logits = predict_logits(trained.network, draw.unknown)
                yield entry(name, draw, mixture(logits, trained.temperature))
        if mixtures and (features := self._features_for(METHOD)):
            draw = make_draw(labelled, METHOD, *features, training, testing)
            for name, probabilities in _mixed(draw, mixtures, seed):
                yield entry(name, draw, probabilities)

    def _features_for(self, method: Method) -> tuple[np.ndarray, int] | None:
        """Features (n, channels) of all labelled pixels, and how many of them, the last ones, are means."""
        if method not in self._features:
            self._features[method] = self._make_features(method)
        return self._features[method]

    def _make_features(self, method: Method) -> tuple[np.ndarray, int] | None:
        pool = self._pool
        if not method.layers:
            means = pool.neighbourhood_means
            return pool.features[METHOD.key, "bundled"][:, -means:], means
        try:
            source = feature_source(self._scene, self._survey, method, BUNDLED)
        except EngineError as error:
            print(f"{pool.name}: {error}", flush=True)
            return None
        return kept_features(source, pool.labels, self._folder), source.settings.means


def _mixed(draw: Draw, mixtures: dict[str, Mixture], seed: int) -> Iterator[tuple[str, np.ndarray]]:
    """Probabilities (m, classes) of the test pixels by several mixtures of the experts and members of one training."""
    data = draw.data
    folds = split_by_polygon(data.labels, data.classes, seed, Progress())
    subsets = [np.ones(len(data.labels), bool), *folds.training]
    trainings = [fit(METHOD, data.samples, subsets, s, Progress()) for s in (seed, seed + OTHER_MEMBERS)]
    # (experts, members, n, classes) of held-out training pixels and of test pixels.
    tested = folds.validated
    left_out = [held_out(predict_experts, [f.network for f in fits[1:]], data, folds) for fits in trainings]
    known = np.concatenate(left_out, 1)[..., tested, :]
    ensembles = [cast(FilmEnsemble, fits[0].network) for fits in trainings]
    unknown = np.concatenate([predict_experts(ensemble, draw.unknown) for ensemble in ensembles], 1)
    targets, polygons = data.samples.targets[tested], data.labels.polygons[tested]
    for name, chosen in mixtures.items():
        kept = [i for i, expert in enumerate(ensembles[0].experts_named) if expert != chosen.without]
        ours, theirs = (experts[kept, : chosen.members] for experts in (known, unknown))
        shares = np.full(len(kept), 1 / len(kept))
        if chosen.shares != "equal":
            prior = share_prior([ensembles[0].spectrum_alone[i] for i in kept], data.autocorrelation)
            shares = fit_shares(ours, targets, polygons, prior * (chosen.shares == "fitted"))
        temperature = 1.0
        if chosen.calibrated:
            temperature = fit_temperature(np.tensordot(shares, ours, 1), targets, polygons)
        yield name, mixture(np.tensordot(shares, theirs, 1), temperature)
