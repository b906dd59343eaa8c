"""Figures of rows for one draw of labels, kept as soon as they are measured."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from spectrafilm.benchmarks.json_lines import append_lines, read_lines
from spectrafilm.engine.accuracy import Estimate, Figures, known

from .pool import Pool
from .rows import Row
from .summary import VALIDATED


def measure(pool: Pool, protocol: str, per_class: int, seed: int, rows: dict[str, Row], results: Path) -> None:
    """Add the figures of rows that are not there yet to a file of JSON lines."""
    measured = {(r["protocol"], r["labels"], r["seed"], r["row"]) for r in read_lines(results)}
    training, testing = pool.draw(protocol, per_class, seed)
    seen = pool.as_labelled(protocol)
    truth = pool.labels.class_ids[testing]
    for row, classify in rows.items():
        if (protocol, per_class, seed, row) in measured:
            continue
        prediction = classify(seen, training, testing, seed)
        figures = {
            "protocol": protocol, "labels": per_class, "seed": seed, "row": row,
            **asdict(Figures.of(truth, prediction.class_ids, len(pool.classes))),
            "calibration_error": None if prediction.calibration_error is None else 100 * prediction.calibration_error,
            "training_pixels": len(training), "test_pixels": len(testing), **_validated(prediction.validated),
        }  # fmt: skip
        append_lines(results, [figures])
    print(f"{pool.name}: {protocol}, {per_class} labels a class, seed {seed}", flush=True)


def _validated(expected: Estimate | None) -> dict[str, float | None]:
    """An expected overall accuracy under the names of `summary.VALIDATED`; nothing where a row expects none."""
    values = expected and (expected.value, expected.low, expected.high)
    return dict(zip(VALIDATED, map(known, values), strict=True)) if values else {}
