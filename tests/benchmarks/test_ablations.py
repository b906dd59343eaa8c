"""The ablations: variants of one draw on real training, and a page that compares common draws alone."""

from __future__ import annotations

import json
import sys
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from spectrafilm.benchmarks.ablations import __main__ as ablations
from spectrafilm.benchmarks.ablations.measure import Entry, read_entries
from spectrafilm.benchmarks.ablations.page import gain_of, write_page
from spectrafilm.benchmarks.ablations.variants import DEFAULT, GROUPS, METHOD, VARIANTS
from spectrafilm.benchmarks.accuracy.pool import PROTOCOLS

ENTRY = Entry(DEFAULT, PROTOCOLS[0], 10, 0, 50.0, 40.0, 5.0)


def test_every_variant_differs_from_the_default_in_one_thing():
    for name, variant in VARIANTS.items():
        default = METHOD if isinstance(variant, type(METHOD)) else type(variant)()
        changed = [key for key, value in vars(variant).items() if value != getattr(default, key)]
        assert len(changed) == (name != DEFAULT), name


def test_variants_are_measured_from_the_command_line(matlab, tmp_path, monkeypatch, capsys):
    chosen = ["one true-colour image", "principal components alone", "layer 5", "no U-Net", DEFAULT,
              "no kernel expert", "10 members"]  # fmt: skip
    monkeypatch.setattr(sys, "argv", [
        "ablations", "--python", sys.executable, "--own", str(matlab), "--folder", str(tmp_path / "work"),
        "--docs", str(tmp_path / "docs"), "--labels", "3", "--seeds", "1", "--variants", *chosen,
    ])  # fmt: skip
    ablations.main()
    (file,) = (tmp_path / "work").glob("Farm_corrected-*/ablations.jsonl")
    entries = read_entries(file)
    # Without wavelengths there is no true colour.
    assert "wavelength" in capsys.readouterr().out
    assert Counter(e.variant for e in entries) == dict.fromkeys(chosen[1:], len(PROTOCOLS))
    assert np.mean([e.overall_accuracy for e in entries if e.variant == DEFAULT]) > 80
    assert len({e.calibration_error for e in entries}) == len(entries), "each was another method"
    ablations.main()
    assert read_entries(file) == entries, "measured once"


def test_only_draws_of_both_are_compared():
    entries = [replace(ENTRY, seed=s, overall_accuracy=50.0 + s) for s in range(4)]
    entries += [replace(ENTRY, variant="1 member", seed=s, overall_accuracy=47.0 + 2 * s) for s in (1, 3)]
    gain = gain_of(entries, "1 member", PROTOCOLS[0])
    assert gain is not None
    assert gain.overall == pytest.approx(-1.0)  # -2 and 0
    assert gain.error == pytest.approx(1.0)
    assert gain_of(entries, "2 members", PROTOCOLS[0]) is None
    assert gain_of(entries, "1 member", PROTOCOLS[1]) is None


def test_the_page_holds_every_variant(tmp_path):
    entries = [
        replace(ENTRY, variant=variant, protocol=protocol, seed=seed, overall_accuracy=60 + seed - (variant != DEFAULT))
        for variant in VARIANTS for protocol in PROTOCOLS for seed in range(3) if variant != "timestep 200"
    ]  # fmt: skip
    write_page([("Scene (1 m)", entries)], 10, 2, tmp_path)
    page = (tmp_path / "ablations.md").read_text(encoding="utf-8")
    assert page.count("| **default**, OA / AA | 60.5 / 40.0 |") == len(PROTOCOLS)
    assert page.count("| layer 5 | -1.0 ± 0.0 / +0.0 | -1.0 / +0.0 |") == len(PROTOCOLS)
    assert page.count("| timestep 200 | – | – |") == len(PROTOCOLS)
    assert page.count("| no temperature | ECE +0.0 | +0.0 |") == len(PROTOCOLS)
    assert "10 labels a class, 2 seeds." in page
    records = json.loads((tmp_path / "ablations.json").read_text(encoding="utf-8"))
    gains = [r["minus_default"] for r in records if r["variant"] != DEFAULT]
    assert len(gains) == len(PROTOCOLS) * (sum(map(len, GROUPS.values())) - 1)
    assert {(g["overall"], g["seeds"]) for g in gains} == {(-1.0, 2)}
    assert [r["overall_accuracy"] for r in records if r["variant"] == DEFAULT] == [60.5] * len(PROTOCOLS)
    assert (tmp_path / "images" / "ablations.png").stat().st_size > 5000
