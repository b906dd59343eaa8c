"""The rows of the table: classical classifiers, and the plugin's methods, on the same few labelled pixels."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.svm import SVC

from spectrafilm.engine.accuracy import Estimate
from spectrafilm.engine.calibration import mixture
from spectrafilm.engine.ensemble import FilmEnsemble
from spectrafilm.engine.methods import DEFAULT, METHODS, Method
from spectrafilm.engine.progress import Progress
from spectrafilm.engine.projection import fit_spatial, fit_standard
from spectrafilm.engine.validation import train

from .draws import known_cover, make_draw
from .fusions import ConcatenationEnsemble, SumEnsemble
from .pool import PUBLISHED, SHIPPED, Pool

INNER_FOLDS = 5
PENALTIES = (1.0, 10.0, 100.0, 1000.0)


@dataclass(frozen=True)
class Prediction:
    """What a row says of the test pixels.

    Attributes:
        class_ids: (n,).
        calibration_error: expected (0..1), where there are probabilities.
        validated: overall accuracy that the row's own cross-validation expects, where it has one.
    """

    class_ids: np.ndarray
    calibration_error: float | None = None
    validated: Estimate | None = None


# Pool, indices of training and test pixels, seed.
Row = Callable[[Pool, np.ndarray, np.ndarray, int], Prediction]


def fit_svm(
    inputs: np.ndarray, ids: np.ndarray, training: np.ndarray, seed: int, penalties: Sequence[float] = PENALTIES,
    weights: np.ndarray | None = None,
) -> GridSearchCV:  # fmt: skip
    """SVM with a radial kernel; C and gamma by stratified cross-validation of the training pixels.

    Args:
        inputs: (n, k) of all pixels.
        ids: (n,) their classes.
        training: indices of the training pixels.
        seed: of the folds.
        penalties: values of C to choose from.
        weights: of the training pixels; without them all count alike.
    """
    scale = 1 / (inputs.shape[1] * inputs.var())
    grid = {"C": list(penalties), "gamma": [g * scale for g in (0.03, 0.1, 0.3, 1.0, 3.0)]}
    folds = min(INNER_FOLDS, int(np.bincount(ids[training])[np.unique(ids[training])].min()))
    inner = StratifiedKFold(max(folds, 2), shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The least populated class")
        return GridSearchCV(SVC(), grid, cv=inner).fit(inputs[training], ids[training], sample_weight=weights)


def _standardized(values: np.ndarray) -> np.ndarray:
    return fit_standard(values).apply(values)


def svm_row(choose: Callable[[Pool], np.ndarray], weighed: bool = False) -> Row:
    """A grid-searched SVM on inputs (n, k) of the pool's pixels.

    Args:
        weighed: whether pixels are what polygons cover of them, as in the plugin: once for each of their classes.
    """

    def classify(pool: Pool, training: np.ndarray, testing: np.ndarray, seed: int) -> Prediction:
        inputs, cover = choose(pool), known_cover(pool, testing) if weighed else None
        if cover is None:
            return Prediction(fit_svm(inputs, pool.labels.class_ids, training, seed).predict(inputs[testing]))
        shares, trust = cover.select(training).shown(pool.labels.class_ids[training] - 1, len(pool.classes))
        search = fit_svm(inputs, pool.labels.class_ids, training, seed, weights=trust)
        pixels, shown = np.nonzero(shares)
        svm = SVC(**search.best_params_)
        svm.fit(inputs[training[pixels]], shown + 1, sample_weight=trust[pixels] * shares[pixels, shown])
        return Prediction(svm.predict(inputs[testing]))

    return classify


def _majority_row(size: int) -> Row:
    """An SVM's map of spectra after a majority filter, as many make it tidy; on a tie a pixel keeps its class."""

    def classify(pool: Pool, training: np.ndarray, testing: np.ndarray, seed: int) -> Prediction:
        near = pool.near
        if near is None:
            raise ValueError("a majority filter needs a pool with the pixels around")
        standard, reach = fit_standard(pool.spectra), size // 2
        svm = fit_svm(standard.apply(pool.spectra), pool.labels.class_ids, training, seed)
        rows, columns = near.rows + reach, near.columns + reach
        # 0 where nothing is known.
        mapped = np.zeros((rows.max() + size, columns.max() + size), np.int64)
        mapped[rows, columns] = svm.predict(standard.apply(near.spectra))
        at = near.at[testing]
        windows = sliding_window_view(mapped, (size, size))[near.rows[at], near.columns[at]].reshape(len(at), -1)
        own = mapped[rows[at], columns[at]]
        votes = np.stack([(windows == c).sum(1) + 0.5 * (own == c) for c in svm.classes_], 1)
        return Prediction(svm.classes_[votes.argmax(1)])

    return classify


def _forest(pool: Pool, training: np.ndarray, testing: np.ndarray, seed: int) -> Prediction:
    forest = RandomForestClassifier(500, random_state=seed).fit(pool.spectra[training], pool.labels.class_ids[training])
    return Prediction(forest.predict(pool.spectra[testing]))


def _spatial(pool: Pool, backbone: str) -> np.ndarray:
    """Principal components of the U-Net's features, as the plugin makes them."""
    features = pool.features[SHIPPED, backbone][:, : -pool.neighbourhood_means]
    return fit_spatial(features).apply(features)


def _both(pool: Pool, backbone: str) -> np.ndarray:
    """What the plugin's network sees, side by side: spectra, U-Net features and means, each with a deviation of 1."""
    features = pool.features[SHIPPED, backbone]
    seen = fit_spatial(features, pool.neighbourhood_means).apply(features)
    parts = (pool.fit_spectral().apply(pool.spectra), *np.split(seen, [-pool.neighbourhood_means], 1))
    return np.concatenate([part / part.std() for part in parts], 1)


def network_row(
    method: Method, backbone: str = "", ensemble: type[FilmEnsemble] = FilmEnsemble, sections: tuple[int, int] = (1, 1)
) -> Row:
    """A method as the plugin trains it, with its cross-validation between polygons.

    Args:
        sections: numbers of timesteps and of decoder layers of its features.
    """

    def classify(pool: Pool, training: np.ndarray, testing: np.ndarray, seed: int) -> Prediction:
        # GeoDiffNet sees what GeoDiffNet-F sees.
        key = PUBLISHED if method.key == "geodiffnet" else method.key
        features = pool.features[key, backbone] if backbone else None
        means = pool.neighbourhood_means if backbone and method.ensemble else 0
        near = pool.near.features[backbone] if pool.near and key == SHIPPED else None
        draw = make_draw(pool, method, features, means, training, testing, sections, near)
        trained = train(method, draw.data, method.ensemble, seed, Progress(), ensemble)
        probabilities = mixture(draw.logits(trained), trained.temperature)
        validated = trained.accuracy.overall if trained.accuracy else None
        return Prediction(draw.class_ids(probabilities), draw.calibration_error(probabilities), validated)

    return classify


CLASSICAL: dict[str, Row] = {
    "SVM": svm_row(lambda pool: _standardized(pool.spectra)),
    "SVM, noise-adjusted components": svm_row(lambda pool: pool.fit_spectral().apply(pool.spectra)),
    "Random forest": _forest,
    "SVM, 3 x 3 means": svm_row(lambda pool: _standardized(np.concatenate([pool.spectra, pool.means[3]], 1))),
    "SVM, 5 x 5 means": svm_row(lambda pool: _standardized(np.concatenate([pool.spectra, pool.means[5]], 1))),
    "SVM, 3 x 3 majority": _majority_row(3),
    "SVM, 5 x 5 majority": _majority_row(5),
    "SVM, morphological profiles": svm_row(lambda pool: _standardized(pool.profiles())),
}
SPECTRAFILM = "SpectraFiLM"
# With the bundled backbone; each has a row with the untrained one, too.
ON_FEATURES: dict[str, Callable[[str], Row]] = {
    "SVM, features alone": lambda backbone: svm_row(lambda pool: _spatial(pool, backbone)),
    "SVM, spectra and features": lambda backbone: svm_row(lambda pool: _both(pool, backbone)),
    "GeoDiffNet": lambda backbone: network_row(METHODS["geodiffnet"], backbone),
    "GeoDiffNet-F": lambda backbone: network_row(METHODS["geodiffnet-f"], backbone),
    "Concatenation": lambda backbone: network_row(DEFAULT, backbone, ConcatenationEnsemble),
    "Sum": lambda backbone: network_row(DEFAULT, backbone, SumEnsemble),
    SPECTRAFILM: lambda backbone: network_row(DEFAULT, backbone),
}
UNTRAINED = ", untrained"
# What other classifiers gain by what no other tool in QGIS asks: how much of a pixel a polygon covers.
WEIGHED: dict[str, Row] = {
    "SVM, weighed by cover": svm_row(lambda pool: _standardized(pool.spectra), weighed=True),
    "SVM, spectra and features, weighed by cover": svm_row(lambda pool: _both(pool, "bundled"), weighed=True),
}
ROWS: dict[str, Row] = {
    **CLASSICAL,
    **WEIGHED,
    "Spectral only": network_row(METHODS["spectral"]),
    **{
        name + suffix: make(backbone)
        for name, make in ON_FEATURES.items()
        for backbone, suffix in (("bundled", ""), ("untrained", UNTRAINED))
    },
}
