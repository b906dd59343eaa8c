"""What the tests of the benchmarks share."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.io import savemat
from synthetic import make_spectra


@pytest.fixture
def matlab(tmp_path):
    """A scene and its labels as the standard scenes are published: 2 classes, each in 4 separate areas."""
    truth = np.zeros((80, 100), np.uint8)
    for class_id, top in ((1, 5), (2, 45)):
        for column in (5, 20, 55, 75):
            truth[top : top + 6, column : column + 6] = class_id
    savemat(tmp_path / "Farm_corrected.mat", {"farm": make_spectra().transpose(1, 2, 0)})
    savemat(tmp_path / "Farm_gt.mat", {"farm_gt": truth})
    return tmp_path
