"""How hard is the sample scene? Accuracy of an RBF-SVM, the yardstick of the field, on its reference points.

    python -m spectrafilm.tools.sample_scene.check_difficulty [--seeds 0 1 2] [--scene SCENE.TIF]

Needs scikit-learn, and rasterio with --scene, which takes the pixels from a file and says how far they are
from the ones made here. The SVM sees all pixels whose centre is in a training polygon, standardised; C and
gamma come from a grid search with folds grouped by polygon.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import confusion_matrix
from sklearn.model_selection import GridSearchCV, StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from .classes import CLASSES
from .digitize import training_labels
from .scene import Scene, make_scene

Floats = NDArray[np.float64]
SEARCH = {"svc__C": [1, 10, 100, 1000, 10000], "svc__gamma": [1e-4, 1e-3, 1e-2, 1e-1]}


def local_mean(cube: Floats, seen: NDArray[np.bool_], size: int = 5) -> Floats:
    """Mean over the valid pixels of a size x size window; cube is (bands, rows, columns)."""
    reach = size // 2
    values = np.pad(cube * seen, ((0, 0), (reach, reach), (reach, reach)))
    weight = np.pad(seen.astype(float), reach)
    rows, columns = seen.shape
    windows = [(i, j) for i in range(size) for j in range(size)]
    total = sum(values[:, i : i + rows, j : j + columns] for i, j in windows)
    count = sum(weight[i : i + rows, j : j + columns] for i, j in windows)
    return np.asarray(total / np.maximum(count, 1.0))


def svm_confusion(scene: Scene, features: Floats) -> tuple[NDArray[np.int64], float]:
    """Confusion matrix (rows reference, columns prediction) on the points, and the grouped CV accuracy."""
    label, group = training_labels(scene.polygons, scene.image.canvas.grid)
    train = (label > 0) & scene.image.seen
    model = make_pipeline(StandardScaler(), SVC())
    folds = StratifiedGroupKFold(n_splits=4, shuffle=True, random_state=0)
    search = GridSearchCV(model, SEARCH, cv=folds)
    search.fit(features[:, train].T, label[train], groups=group[train])
    predicted = search.predict(features[:, scene.points.row, scene.points.column].T)
    ids = [c.id for c in CLASSES]
    return confusion_matrix(scene.points.label, predicted, labels=ids), float(search.best_score_)


def report(scene: Scene) -> None:
    """Print the accuracy on spectra, and on spectra with the mean of their 5 x 5 neighbourhood."""
    image = scene.image
    cube = image.counts[image.table.good].astype(float)
    label, group = training_labels(scene.polygons, image.canvas.grid)
    print(f"{(label > 0).sum()} training pixels in {group.max()} features, {len(scene.points.row)} points")
    stacks = {"spectra": cube, "spectra + 5x5": np.concatenate([cube, local_mean(cube, image.seen)])}
    for name, features in stacks.items():
        confusion, cv = svm_confusion(scene, features)
        recall = np.diag(confusion) / confusion.sum(axis=1)
        accuracy = np.trace(confusion) / confusion.sum()
        print(f"SVM on {name}: overall {100 * accuracy:.1f} %, average {100 * recall.mean():.1f} %,"
              f" grouped CV {100 * cv:.1f} %")
        for cover, value, row in zip(CLASSES, recall, confusion):
            print(f"  {cover.name:18s} {100 * value:5.1f} %  {' '.join(f'{n:3d}' for n in row)}")


def read_counts(path: Path, made: Scene) -> Scene:
    """The scene with its pixels taken from a file."""
    import rasterio

    with rasterio.open(path) as source:
        counts = source.read()
    difference = np.abs(counts.astype(int) - made.image.counts)
    differing = 100 * (difference > 0).mean()
    print(f"{path}: {differing:.4f} % of the values differ, by {difference.max()} at most")
    return replace(made, image=replace(made.image, counts=counts))


def main() -> None:
    """Print the accuracy of an SVM for each seed."""
    parser = argparse.ArgumentParser(prog="check_difficulty", description="Accuracy of an SVM on the scene.")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--scene", type=Path, help="take the pixels of the first seed from this file")
    arguments = parser.parse_args()
    for number, seed in enumerate(arguments.seeds):
        scene = make_scene(seed)
        if arguments.scene and number == 0:
            scene = read_counts(arguments.scene, scene)
        print(f"seed {seed}")
        report(scene)


if __name__ == "__main__":
    main()
