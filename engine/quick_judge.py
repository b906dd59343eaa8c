"""How well inputs tell classes apart, by a support vector machine that takes next to no time to train."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.stats import t as student
from sklearn.svm import SVC

from .accuracy import Z95, Figures
from .folds import Folds
from .labels import Labels

PENALTY = 10.0
# Of the kernel, as multiples of the gamma that scikit-learn calls "scale".
GAMMAS = (1.0, 0.3, 0.1)


def merit(figures: Figures) -> float:
    """What inputs are ranked by: overall and average accuracy count alike."""
    return figures.overall_accuracy + figures.average_accuracy


@dataclass(frozen=True)
class Judge:
    """Cross-validation of any inputs of the same labelled pixels."""

    labels: Labels
    folds: Folds
    classes: int

    def predict(self, inputs: np.ndarray, gamma: float = 1.0) -> np.ndarray:
        """Class ids (n,) of inputs (n, k), each by a support vector machine that was not trained on its polygon.

        Args:
            gamma: of its kernel, as a multiple of "scale".
        """
        predicted = np.zeros(len(self.labels), np.int64)
        for training, testing in zip(self.folds.training, self.folds.testing, strict=True):
            scale = 1 / (inputs.shape[1] * (float(inputs[training].var()) or 1.0))
            machine = SVC(C=PENALTY, gamma=gamma * scale).fit(inputs[training], self.labels.class_ids[training])
            predicted[testing] = machine.predict(inputs[testing])
        return predicted

    def predict_best(self, inputs: np.ndarray) -> np.ndarray:
        """The same with the kernel that serves these inputs best.

        With one width for all, whatever stands beside the spectra would look helpful, be it noise, since it widens the
        kernel.
        """
        by_gamma = [self.predict(inputs, gamma) for gamma in GAMMAS]
        return max(by_gamma, key=lambda predicted: merit(self.figures(predicted)))

    def figures(self, predicted: np.ndarray) -> Figures:
        """Accuracy of predictions of all pixels, over those that a fold held out."""
        tested = self.folds.validated
        return Figures.of(self.labels.class_ids[tested], predicted[tested], self.classes)

    def gain(self, predicted: np.ndarray, rival: np.ndarray) -> tuple[float, float]:
        """Difference (0..1) of the means of OA and AA, and its standard error, in which a polygon counts as one draw.

        The error is wider where polygons are few (Student's distribution), and infinite for one. Either may be
        predictions (r, n) of several runs, which are averaged.
        """
        ids, tested = self.labels.class_ids, self.folds.validated
        counts = np.bincount(ids[tested], minlength=self.classes + 1)
        occurring = np.count_nonzero(counts)
        weights = (0.5 / tested.sum() + 0.5 / (occurring * np.maximum(counts[ids], 1))) * tested
        hits, rival_hits = (np.atleast_2d(p == ids).mean(0) for p in (predicted, rival))
        difference = weights * (hits - rival_hits)
        _, polygon = np.unique(self.labels.polygons[tested], return_inverse=True)
        parts = np.bincount(polygon, difference[tested])
        if len(parts) < 2:
            return float(difference.sum()), math.inf
        widened = student.ppf(0.975, len(parts) - 1) / Z95
        return float(difference.sum()), float(widened * math.sqrt(len(parts) * parts.var(ddof=1)))
