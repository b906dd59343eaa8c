"""Dividing labelled pixels for validation, so that pixels of one polygon never stand on both sides."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold

from .labels import Labels, count_by_class
from .polygons import LandCoverClass
from .progress import Progress

FOLDS = 5


@dataclass(frozen=True)
class Folds:
    """A cross-validation.

    Attributes:
        training: for each fold (n,) bool, the pixels it trains on.
        testing: for each fold (n,) bool, the pixels it is tested on.
        validated: (n,) bool; False for pixels of classes that have a single polygon.
    """

    training: tuple[np.ndarray, ...]
    testing: tuple[np.ndarray, ...]
    validated: np.ndarray

    def __len__(self) -> int:
        return len(self.training)

    def select(self, kept: np.ndarray) -> Folds:
        """The same folds of the pixels that an index array picks."""
        training, testing = (tuple(side[kept] for side in sides) for sides in (self.training, self.testing))
        return Folds(training, testing, self.validated[kept])


def split_by_polygon(
    labels: Labels, classes: Sequence[LandCoverClass], seed: int, progress: Progress
) -> Folds:
    """Up to five folds, stratified by class and grouped by polygon.

    A class with a single polygon stays on the training side of every fold and is not validated. There
    is no fold where no class has two polygons. Classes with one or two polygons are named in warnings.
    """
    counts = {i: polygons for i, (_, polygons) in count_by_class(labels, classes).items()}
    single, pair = ([c.name for c in classes if counts[c.id] == few] for few in (1, 2))
    if single:
        progress.warning(
            f"Only one polygon or group labels pixels of {', '.join(single)}; the accuracy of such classes cannot be "
            "validated, draw at least two polygons a class in different places."
        )
    if pair:
        progress.warning(
            f"Only two polygons or groups label pixels of {', '.join(pair)}; what validation says of such classes "
            "hangs on two places and means little, draw at least three polygons a class in different places."
        )
    validated = np.isin(labels.class_ids, [i for i, n in counts.items() if n > 1])
    if not validated.any():
        return Folds((), (), validated)
    count = min(FOLDS, max(counts.values()))
    candidates = np.flatnonzero(validated)
    splitter = StratifiedGroupKFold(count, shuffle=True, random_state=seed)
    training, testing = [], []
    with warnings.catch_warnings():
        # Classes with fewer pixels than there are folds, which the loop below takes care of.
        warnings.filterwarnings("ignore", "The least populated class")
        sides = list(splitter.split(candidates, labels.class_ids[candidates], labels.polygons[candidates]))
    for _, test in sides:
        # A group holds pixels of a class with no other group, too, which are no candidates.
        held_out = np.isin(labels.polygons, labels.polygons[candidates[test]])
        # A fold that takes away every pixel of a class could only get that class wrong: its polygons, with all
        # of their groups, are trained on there, and tested in the folds that keep another polygon of the class.
        for c in classes:
            ours = labels.class_ids == c.id
            if held_out[ours].all():
                held_out[np.isin(labels.polygons, labels.polygons[ours])] = False
        if held_out.any():
            training.append(~held_out)
            testing.append(held_out)
    tested = np.any(testing, axis=0) if testing else np.zeros(len(labels), bool)
    return Folds(tuple(training), tuple(testing), tested)
