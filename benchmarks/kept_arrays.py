"""Arrays that take long to make, kept in a file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np


def kept_array(path: Path, make: Callable[[], np.ndarray]) -> np.ndarray:
    """The array in a file, which is made where there is none.

    What an interruption cut off is never taken for whole.
    """
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        part = path.with_suffix(".part.npy")
        np.save(part, make())
        part.replace(path)
    return np.load(path)
