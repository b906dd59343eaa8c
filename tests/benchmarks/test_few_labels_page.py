"""The pages of few labels and of suggestions say what was measured."""

from __future__ import annotations

import numpy as np
import pytest

from spectrafilm.benchmarks.accuracy.rounds import labels_needed, mean_of_rounds, write_page
from spectrafilm.benchmarks.accuracy.summary import SUMMARY, VALIDATED, joined, read_summary, write_summary
from spectrafilm.benchmarks.accuracy.table import draw_curves, paired
from spectrafilm.benchmarks.accuracy.table import write_page as write_accuracy


def test_paired_differences_use_common_seeds_only():
    assert paired({0: 80.0, 1: 82.0, 2: 99.0}, {0: 79.0, 1: 79.0}) == pytest.approx((2.0, 1.0))
    difference, error = paired({0: 80.0}, {0: 79.0})
    assert difference == 1.0
    assert np.isnan(error)
    assert paired({0: 80.0}, {1: 79.0}) is None


def test_labels_needed_is_interpolated():
    curve = [{"labels": n, "overall_accuracy": a} for n, a in ((10, 50.0), (20, 60.0), (30, 58.0), (40, 70.0))]
    assert labels_needed(curve, "overall_accuracy", 55.0) == 15
    assert labels_needed(curve, "overall_accuracy", 65.0) == 30, "from the best point before, not from the dip"
    assert labels_needed(curve, "overall_accuracy", 71.0) is None


def test_the_page_of_suggestions_compares_whole_curves(tmp_path):
    def curve(*accuracies):
        return [{"labels": 10 * i, "overall_accuracy": a, "average_accuracy": a} for i, a in enumerate(accuracies, 1)]

    random, suggested = [curve(50, 60, 70), curve(50, 62, 70)], [curve(50, 70, 72), curve(50, 66, 72)]
    assert mean_of_rounds(random, "overall_accuracy") == {0: 65.0, 1: 66.0}
    write_page({"Town": {"random": random, "suggested": suggested}}, tmp_path)
    (row,) = (line for line in (tmp_path / "suggestions.md").read_text().splitlines() if line.startswith("| Town"))
    assert row.split(" | ")[1:4] == ["70.0 / 70.0", "72.0 / 72.0", "+4.5 ± 1.5 / +4.5 ± 1.5"]


def _draws(row, *accuracies, labels=5):
    return [
        {"protocol": "random pixels", "labels": labels, "seed": seed, "row": row, "overall_accuracy": accuracy,
         "average_accuracy": accuracy - 1, "kappa": accuracy - 2, "calibration_error": None}
        for seed, accuracy in enumerate(accuracies)
    ]  # fmt: skip


def test_the_page_averages_scenes_with_their_error(tmp_path):
    town = _draws("SVM", 50.0, 52.0) + _draws("SpectraFiLM", 54.0, 58.0)  # +4 and +6
    field = _draws("SVM", 70.0, 70.0) + _draws("SpectraFiLM", 72.0, 72.0)
    lake = _draws("SpectraFiLM", 90.0, 90.0)
    scenes = [("Town", town), ("Field", field), ("Lake", lake)]
    write_accuracy(scenes, {"dry land": ["Town", "Field"], "everything": ["Town", "Field", "Lake"]}, tmp_path)
    lines = (tmp_path / "accuracy.md").read_text().splitlines()
    (mean,) = (line for line in lines if line.startswith("| **mean of dry land**"))
    assert mean.split(" | ")[1].rstrip(" |") == "+3.5 ± 0.5 / +3.5 ± 0.5"
    assert not any("everything" in line for line in lines), "one of them has no rival"
    one_draw = [(title, [r for r in results if r["seed"] == 0]) for title, results in scenes]
    write_accuracy(one_draw, {"dry land": ["Town", "Field"]}, tmp_path)
    assert "± nan" not in (tmp_path / "accuracy.md").read_text()


def test_the_page_compares_cross_validation_with_the_test(tmp_path):
    """And so does the page that is made anew from the published figures."""
    expected = [(50.0, 40.0, 60.0), (56.0, 50.0, 57.0)]
    draws = zip(_draws("SpectraFiLM", 54, 58), expected, strict=True)
    figures = [r | dict(zip(VALIDATED, values, strict=True)) for r, values in draws]
    for _ in range(2):
        write_accuracy([("Town", figures)], {}, tmp_path)
        (line,) = (s for s in (tmp_path / "accuracy.md").read_text().splitlines() if "cross-validated − tested" in s)
        assert line == "| *cross-validated − tested OA* | -3.0 (1 of 2) |"
        figures = read_summary(tmp_path / SUMMARY, "Town")


def test_curves_of_scenes_with_a_division_have_all_that_others_have(tmp_path, monkeypatch):
    def drawn(*scenes):
        figures = []
        monkeypatch.setattr("matplotlib.pyplot.close", figures.append)
        draw_curves(list(scenes), tmp_path / "curves.png")
        return [axes for axes in figures[0].axes if axes.get_visible()], figures[0]

    apart = [r | {"protocol": "polygons apart"} for r in _draws("SVM", 50.0, labels=10)]
    (panel,), figure = drawn(("City", apart))
    assert panel.get_ylabel()
    assert panel.get_xlabel()
    assert panel.get_position().width > 0.8, "nothing is left free for random pixels"
    assert panel.get_position().height * figure.get_figheight() > 1.5, "nor is the legend taken from its height"
    random = [*_draws("SVM", 60.0), *_draws("SVM", 60.0, labels=10)]
    panels, _ = drawn(("Town", random), ("City", apart))
    assert all(p.get_xlabel() and p.get_ylabel() for p in panels)
    assert [t.get_text() for t in panels[0].get_xticklabels()] == ["5", "10"]


def test_figures_of_the_page_stand_for_what_is_not_measured_again(tmp_path):
    old = _draws("SVM", 50.123, 52.0) + _draws("SpectraFiLM", 54.0, 58.0)
    old[:2] = [r | {"training_pixels": 10 + k, "test_pixels": 90} for k, r in enumerate(old[:2])]
    write_summary([("Town", old)], tmp_path / SUMMARY)
    published = read_summary(tmp_path / SUMMARY, "Town")
    assert published == old
    new = _draws("SpectraFiLM", 60.0, 61.0, 62.0)
    assert joined(new, published) == new + old[:2]
    assert read_summary(tmp_path / SUMMARY, "Field") == []
    assert read_summary(tmp_path / "none.json", "Town") == []
