"""Accuracy with few labels: measure and write docs/accuracy.md. Run by `make benchmark-few-labels`.

Every figure is kept as soon as it is measured; interrupted, the run goes on where it was.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from spectrafilm.benchmarks.json_lines import append_lines, read_lines
from spectrafilm.engine.accuracy import average_accuracy, cohen_kappa, confusion_matrix, overall_accuracy

from .pool import PROTOCOLS, Pool, make_pool
from .rows import ROWS, Row
from .scenes import few_label_parser, find_scenes, label_scene, results_folder
from .table import write_page


def main() -> None:
    """Run every row on every scene, with every number of labels and every seed, and write the page."""
    parser = few_label_parser(__doc__)
    parser.add_argument("--labels", nargs="*", type=int, default=[3, 5, 10, 20, 50], help="labels per class")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--rows", nargs="*", default=list(ROWS), choices=list(ROWS))
    parser.add_argument("--no-page", action="store_true", help="measure only")
    parser.add_argument("--page-only", action="store_true", help="write the page of what was measured")
    arguments = parser.parse_args()
    kept = []
    for scene in find_scenes(arguments):
        results = results_folder(scene, arguments) / "results.jsonl"
        if not arguments.page_only:
            pool = make_pool(label_scene(scene, arguments), smoothed=True)
            # All rows of a seed before the next, so that what is measured can be compared at any time.
            for seed in range(arguments.seeds):
                for per_class in arguments.labels:
                    for protocol in PROTOCOLS:
                        measure(pool, protocol, per_class, seed, {row: ROWS[row] for row in arguments.rows}, results)
        if results.exists():
            kept.append((scene.title, read_lines(results)))
    if not arguments.no_page:
        write_page(kept, arguments.docs)


def measure(pool: Pool, protocol: str, per_class: int, seed: int, rows: dict[str, Row], results: Path) -> None:
    """Add the figures of rows that are not there yet to a file of JSON lines."""
    known = {(r["protocol"], r["labels"], r["seed"], r["row"]) for r in read_lines(results)}
    training, testing = pool.draw(protocol, per_class, seed)
    seen = pool.as_labelled(protocol)
    truth = pool.labels.class_ids[testing]
    for row, classify in rows.items():
        if (protocol, per_class, seed, row) in known:
            continue
        prediction = classify(seen, training, testing, seed)
        matrix = confusion_matrix(truth, prediction.class_ids, len(pool.classes))
        figures = {
            "protocol": protocol, "labels": per_class, "seed": seed, "row": row,
            "overall_accuracy": 100 * float(overall_accuracy(matrix)),
            "average_accuracy": 100 * float(average_accuracy(matrix)),
            "kappa": 100 * float(cohen_kappa(matrix)),
            "calibration_error": None if prediction.calibration_error is None else 100 * prediction.calibration_error,
            "training_pixels": len(training), "test_pixels": len(testing),
        }  # fmt: skip
        append_lines(results, [figures])
    print(f"{pool.name}: {protocol}, {per_class} labels a class, seed {seed}", flush=True)


if __name__ == "__main__":
    np.seterr(divide="ignore", invalid="ignore")
    main()
