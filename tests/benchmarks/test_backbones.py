"""The probe of backbones: settings are chosen by other seeds, and the page holds what was measured last."""

from __future__ import annotations

import json

import numpy as np

from spectrafilm.benchmarks.accuracy.pool import PROTOCOLS
from spectrafilm.benchmarks.backbones.page import best_by_other_seeds, grid_of, write_page
from spectrafilm.benchmarks.backbones.probe import Entry
from spectrafilm.engine.methods import DEFAULT


def test_the_setting_of_a_seed_is_chosen_without_it():
    first, second = ((1,), 0), ((2,), 0)
    # Each setting is best on the one seed that gave it luck.
    grid = {first: np.array([90.0, 50.0, 50.0]), second: np.array([52.0, 52.0, 52.0])}
    chosen, best = best_by_other_seeds(grid)
    np.testing.assert_array_equal(chosen, [52.0, 50.0, 50.0])
    assert best == first


def entries(name, weights, accuracy):
    settings = [((0,), 0), (DEFAULT.layers, DEFAULT.timesteps[0])] if name else [((), 0)]
    return [
        Entry(name, weights, layers, timestep, protocol, 10, seed, (accuracy + seed,) * 2, (accuracy + seed + 5,) * 2)
        for layers, timestep in settings for protocol in PROTOCOLS for seed in range(3)
    ]  # fmt: skip


def test_the_page_compares_the_weights_measured_last(tmp_path):
    measured = [*entries("", "", 40), *entries("untrained", "u", 50), *entries("bundled", "old", 99),
                *entries("bundled", "new", 53)]  # fmt: skip
    assert grid_of(measured, "bundled", PROTOCOLS[0], "alone")[(0,), 0].tolist() == [53, 54, 55]
    write_page([("Scene (1 m)", measured)], ["bundled"], "untrained", tmp_path)
    page = (tmp_path / "backbones.md").read_text(encoding="utf-8")
    assert "|  |  | bundled | 54.0 | +3.0 ± 0.0 | 54.0 | +3.0 ± 0.0 | 0 at 0 |" in page
    assert "| Scene (1 m) | 46.0 | untrained | 56.0 |" in page
    records = json.loads((tmp_path / "backbones.json").read_text(encoding="utf-8"))
    assert {r["best_gain"] for r in records if r["backbone"] == "bundled"} == {3.0}
    assert (tmp_path / "images" / "backbones.png").stat().st_size > 5000
