"""The page of scene-pretrained backbones compares seed by seed with the untrained twin."""

from __future__ import annotations

import json

from spectrafilm.benchmarks.accuracy.pool import PROTOCOLS
from spectrafilm.benchmarks.spectral_diffusion.page import ON_SCENE, OTHERS, PRETRAINED, UNTRAINED, write_page


def records(accuracy):
    """Two seeds of every row; `accuracy` gives OA by row and seed."""
    rows = [*OTHERS, *(f"{name}, {twin}" for name in ON_SCENE for twin in (PRETRAINED, UNTRAINED))]
    return [
        {"protocol": protocol, "row": row, "seed": seed, "overall_accuracy": accuracy(row, seed),
         "average_accuracy": 1.0}
        for protocol in PROTOCOLS for row in rows for seed in (1, 0)
    ]  # fmt: skip


def test_gains_are_paired_and_written(tmp_path):
    # The second seed is harder for both; the twin is 3 and 5 points worse.
    measured = records(lambda row, seed: 60.0 - 20 * seed - (3 + 2 * seed if row.endswith(UNTRAINED) else 0))
    write_page([("Scene (1 m)", measured)], tmp_path)
    page = (tmp_path / "spectral_diffusion.md").read_text(encoding="utf-8")
    assert page.count("| DiffSpectralNet | +4.0 ± 1.0 |") == len(PROTOCOLS)
    assert "| SVM | 50.0 / 1.0 |" in page
    assert "2 seeds" in page
    assert json.loads((tmp_path / "spectral_diffusion.json").read_text())["Scene (1 m)"] == measured
