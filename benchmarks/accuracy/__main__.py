"""Accuracy with few labels: measure and write docs/accuracy.md. Run by `make benchmark-few-labels`.

Every figure is kept as soon as it is measured; interrupted, the run goes on where it was.
"""

from __future__ import annotations

import numpy as np

from spectrafilm.benchmarks.json_lines import read_lines

from .measure import measure
from .pool import PROTOCOLS, make_pool
from .rows import ROWS
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


if __name__ == "__main__":
    np.seterr(divide="ignore", invalid="ignore")
    main()
