"""Polygons that the others contradict: held out, they are taken for another class."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .labels import Labels


@dataclass(frozen=True)
class DoubtfulPolygon:
    """The pixels of one class in a polygon, or group of polygons, most of which is taken for another class.

    Attributes:
        polygon: as in `Labels.polygons`.
        class_id, taken_for: its class, and the one it is taken for.
        own, other: mean probabilities (0..1) of both in its pixels, held out.
        pixels: how many these are.
        row, column: of the one nearest to their middle.
    """

    polygon: int
    class_id: int
    taken_for: int
    own: float
    other: float
    pixels: int
    row: int
    column: int


def find_doubtful(probabilities: np.ndarray, labels: Labels) -> list[DoubtfulPolygon]:
    """Polygons for which another class is more probable than their own, the least probable first.

    As in confident learning, labels are judged by models that have not seen them, but by the polygon, since one is
    wrong or right as a whole. Source: Northcutt, Jiang & Chuang (2021), Confident learning.

    Args:
        probabilities: (n, C) of the labelled pixels, of classes 1 to C, by models trained without their polygon.
    """
    doubtful = []
    drawn, owner = np.unique(np.stack([labels.polygons, labels.class_ids], 1), axis=0, return_inverse=True)
    for index, (polygon, class_id) in enumerate(drawn.tolist()):
        ours = np.flatnonzero(owner.ravel() == index)
        mean = probabilities[ours].mean(0)
        taken_for = int(mean.argmax()) + 1
        if taken_for == class_id:
            continue
        places = np.stack([labels.rows[ours], labels.columns[ours]], 1)
        row, column = places[((places - places.mean(0)) ** 2).sum(1).argmin()].tolist()
        own, other = float(mean[class_id - 1]), float(mean[taken_for - 1])
        doubtful.append(DoubtfulPolygon(polygon, class_id, taken_for, own, other, len(ours), row, column))
    return sorted(doubtful, key=lambda d: d.own)
