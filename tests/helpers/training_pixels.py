"""Labelled pixels to train on without a scene."""

from __future__ import annotations

import numpy as np

from spectrafilm.engine.labels import Labels
from spectrafilm.engine.polygons import make_classes
from spectrafilm.engine.projection import fit_standard
from spectrafilm.engine.training import Samples
from spectrafilm.engine.training_data import TrainingData

CLASSES, BANDS = 3, 10


def data_of(polygons, kinds=1, noise=0.3, pixels=4, seed=0):
    """Every polygon of a class is one of several kinds, each of which looks like nothing else."""
    rng = np.random.default_rng(seed)
    looks = rng.normal(0, 1, (CLASSES, kinds, BANDS))
    kind = np.tile(np.arange(polygons) % kinds, CLASSES)
    ids = np.repeat(np.arange(1, CLASSES + 1), polygons)
    spectra = np.repeat(looks[ids - 1, kind], pixels, 0)
    spectra = (spectra + rng.normal(0, noise, spectra.shape)).astype(np.float32)
    count = len(spectra)
    labels = Labels(np.arange(count), np.zeros(count, int), np.repeat(ids, pixels),
                    np.repeat(np.arange(len(ids)), pixels))  # fmt: skip
    projection = fit_standard(spectra)
    samples = Samples(projection.apply(spectra), np.zeros((count, 0), np.float32), labels.class_ids - 1, CLASSES)
    return TrainingData(make_classes(list("abc")), labels, spectra, samples, projection, None, 0, 1.0)
