"""Measured figures as docs/accuracy.json: mean and spread of every row, and each draw's, to make the page anew from.

The folder of results is no part of the project. What a change does not touch, as the classical rows, need not be
measured again after it: their figures are in the summary.
"""

from __future__ import annotations

import json
from collections import defaultdict
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np

SUMMARY = "accuracy.json"
KEPT = ("overall_accuracy", "average_accuracy", "kappa", "calibration_error")
# Overall accuracy that cross-validation expects, and its interval; of rows that have it.
VALIDATED = ("validated", "validated_low", "validated_high")
# Numbers of pixels, which older records lack.
COUNTS = ("training_pixels", "test_pixels")
# One record a draw of labels and row, as measure.py makes them.
Results = list[dict[str, Any]]


def write_summary(scenes: list[tuple[str, Results]], path: Path) -> None:
    """Write the figures of scenes, by their title; one line a row, so that changes can be read."""
    parts = []
    for title, results in scenes:
        entries = ",\n".join(json.dumps(entry) for entry in summarize(results))
        parts.append(f"{json.dumps(title)}: [\n{entries}\n]")
    path.write_text("{\n" + ",\n".join(parts) + "\n}\n", encoding="utf-8")


def summarize(results: Results) -> list[dict[str, Any]]:
    """Mean, standard deviation and the figures of all seeds of every row, protocol and number of labels."""
    groups: dict[tuple, Results] = defaultdict(list)
    for r in results:
        groups[r["protocol"], r["labels"], r["row"]].append(r)
    entries = []
    for (protocol, labels, row), unordered in groups.items():
        members = sorted(unordered, key=lambda r: r["seed"])
        entry: dict[str, Any] = {"protocol": protocol, "labels": labels, "row": row}
        entry["seeds"] = [r["seed"] for r in members]
        for count in COUNTS:
            if all(count in r for r in members):
                entry[count] = [r[count] for r in members]
        for figure in (*KEPT, *VALIDATED):
            values = [r[figure] for r in members if r.get(figure) is not None]
            if len(values) == len(members):
                entry[figure] = {
                    "mean": round(float(np.mean(values)), 2),
                    "standard_deviation": round(float(np.std(values, ddof=1)), 2) if len(values) > 1 else None,
                    "by_seed": [round(value, 5) for value in values],
                }
        entries.append(entry)
    return entries


def read_summary(path: Path, title: str) -> Results:
    """The figures of a scene that a summary holds, as `measure` had made them; none where there is no summary."""
    if not path.exists():
        return []
    results = []
    for entry in json.loads(path.read_text(encoding="utf-8")).get(title, []):
        for k, seed in enumerate(entry["seeds"]):
            figures = {figure: entry[figure]["by_seed"][k] if figure in entry else None for figure in KEPT}
            figures |= {figure: entry[figure]["by_seed"][k] for figure in VALIDATED if figure in entry}
            figures |= {count: entry[count][k] for count in COUNTS if count in entry}
            results.append({name: entry[name] for name in ("protocol", "labels", "row")} | {"seed": seed} | figures)
    return results


def joined(measured: Results, published: Results) -> Results:
    """What was measured, and of the published figures those that were not."""
    key = itemgetter("protocol", "labels", "row", "seed")
    known = {key(r) for r in measured}
    return measured + [r for r in published if key(r) not in known]
