"""What a method of the plugin is trained and tested on when a few labels of a pool are drawn."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from spectrafilm.engine.calibration import calibration_error
from spectrafilm.engine.cover import Cover
from spectrafilm.engine.methods import Method
from spectrafilm.engine.projection import fit_spatial, fit_standard
from spectrafilm.engine.training import Samples, predict_logits
from spectrafilm.engine.training_data import Surroundings, TrainingData
from spectrafilm.engine.validation import Trained

from .pool import Pool


@dataclass(frozen=True)
class Draw:
    """Labelled pixels as the plugin prepares them, and pixels to test on.

    Attributes:
        present: ids in the pool of the classes that were drawn, in the order of the network's outputs.
        data: what it is trained on.
        unknown: the test pixels.
        around_unknown: with those around them; None where nothing is smoothed.
        truth: (m,) their class ids in the pool, some perhaps of classes that were not drawn.
    """

    present: np.ndarray
    data: TrainingData
    unknown: Samples
    truth: np.ndarray
    around_unknown: Surroundings | None = None

    def logits(self, trained: Trained) -> np.ndarray:
        """Logits (members, m, classes) of the test pixels, smoothed as in a map."""
        near = self.around_unknown
        if near is None or not trained.smoothing.shares:
            return predict_logits(trained.network, self.unknown)
        logits = predict_logits(trained.network, near.samples)
        return trained.smoothing.apply(logits, near.samples.spectra, near.rows, near.columns)[:, near.at]

    def class_ids(self, probabilities: np.ndarray) -> np.ndarray:
        """Class ids in the pool of the test pixels' probabilities (m, classes)."""
        return self.present[probabilities.argmax(1)]

    def calibration_error(self, probabilities: np.ndarray) -> float:
        """Expected calibration error (0..1) over the test pixels of the classes that were drawn."""
        known = np.isin(self.truth, self.present)
        return calibration_error(probabilities[known], np.searchsorted(self.present, self.truth[known]))


def known_cover(pool: Pool, testing: np.ndarray) -> Cover | None:
    """How much of the pool's pixels polygons cover, as though those that are tested had not been drawn."""
    return pool.labels.cover and pool.labels.cover.without(pool.labels.polygons[testing])


def make_draw(
    pool: Pool, method: Method, features: np.ndarray | None, means: int, training: np.ndarray, testing: np.ndarray,
    sections: tuple[int, int] = (1, 1), near: np.ndarray | None = None,
) -> Draw:  # fmt: skip
    """Prepare training and test pixels as the plugin does.

    Args:
        features: (n, channels) of all pixels of the pool; None for spectral methods.
        means: how many of them, the last ones, are means of neighbourhoods.
        training, testing: indices into the pool.
        sections: numbers of timesteps and of decoder layers of the others.
        near: features of the pixels of `Pool.near`; without them nothing is smoothed.
    """
    spectral = pool.fit_spectral() if method.ensemble else fit_standard(pool.surroundings)
    everywhere = np.zeros((len(pool.labels), 0), np.float32) if features is None else features
    spatial = fit_spatial(everywhere, means) if features is not None and method.components else None
    # Classes are numbered without gaps, as the plugin does.
    present, targets = np.unique(pool.labels.class_ids[training], return_inverse=True)
    cover = known_cover(pool, testing)
    known_labels = replace(pool.labels, cover=cover and cover.of_classes(present))

    def samples(pixels: np.ndarray, known: np.ndarray) -> Samples:
        seen = spatial.apply(everywhere[pixels]) if spatial else everywhere[pixels]
        labels = known_labels.select(pixels)
        projected = spectral.apply(pool.spectra[pixels])
        return Samples(projected, seen, known, len(present), means, labels.polygons, sections, labels.cover)

    surroundings = None
    if near is not None and pool.near:
        seen = spatial.apply(near) if spatial else near
        nothing = np.zeros(len(near), np.int64)
        theirs = Samples(spectral.apply(pool.near.spectra), seen, nothing, len(present), means, None, sections)
        surroundings = Surroundings(pool.near.rows, pool.near.columns, theirs, pool.near.at)
    labels = replace(known_labels.select(training), class_ids=targets + 1)
    classes = [replace(pool.classes[i - 1], id=number) for number, i in enumerate(present.tolist(), 1)]
    data = TrainingData(
        classes, labels, pool.spectra[training], samples(training, targets), spectral, spatial, everywhere.shape[1],
        pool.autocorrelation, spectral.variance(pool.noise), surroundings.of(training) if surroundings else None,
    )
    unknown = samples(testing, np.zeros(len(testing), np.int64))
    around_unknown = surroundings.of(testing) if surroundings else None
    return Draw(present, data, unknown, pool.labels.class_ids[testing], around_unknown)
