"""Accuracy with few labels: measure and write docs/accuracy.md. Run by `make benchmark-few-labels`.

Every figure is kept as soon as it is measured; interrupted, the run goes on where it was. Where the kept figures are
gone, `--published` takes those of docs/accuracy.json for rows and scenes that are not asked for.
"""

from __future__ import annotations

import numpy as np

from spectrafilm.benchmarks.json_lines import read_lines
from spectrafilm.engine.errors import EngineError

from .measure import measure
from .pool import ALL, Pool, make_pool
from .rows import ROWS
from .scenes import NAMES, few_label_parser, find_scenes, groups_of, label_scene, results_folder
from .summary import SUMMARY, joined, read_summary
from .table import write_page


def main() -> None:
    """Run every row on every scene, with every number of labels and every seed, and write the page."""
    parser = few_label_parser(__doc__)
    text = f"labels per class, {ALL} for all"
    parser.add_argument("--labels", nargs="*", type=int, default=[3, 5, 10, 20, 50], help=text)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--rows", nargs="*", default=list(ROWS), choices=list(ROWS))
    parser.add_argument("--no-page", action="store_true", help="measure only")
    parser.add_argument("--page-only", action="store_true", help="write the page of what was measured")
    text = "what is not measured is taken from the JSON file of the page: classical rows do not change with the method"
    parser.add_argument("--published", action="store_true", help=text)
    arguments = parser.parse_args()
    kept = []
    asked = find_scenes(arguments)
    # What is published of other scenes stays on the page and in its JSON file.
    scenes = find_scenes(arguments, NAMES) if arguments.published else asked
    for scene in scenes:
        results = results_folder(scene, arguments) / "results.jsonl"
        if scene in asked and not arguments.page_only:
            pool = make_pool(label_scene(scene, arguments), smoothed=True)
            print(f"{scene.title}: {_pixels_by_class(pool)}", flush=True)
            # All rows of a seed before the next, so that what is measured can be compared at any time.
            for seed in range(arguments.seeds):
                for per_class in arguments.labels:
                    for protocol in pool.protocols:
                        measure(pool, protocol, per_class, seed, {row: ROWS[row] for row in arguments.rows}, results)
        records = read_lines(results)
        if arguments.published:
            records = joined(records, read_summary(arguments.docs / SUMMARY, scene.title))
        if records:
            kept.append((scene.title, records))
    if not arguments.no_page:
        groups = groups_of([s for s in scenes if s.title in dict(kept)], arguments)
        write_page(kept, groups, arguments.docs, own=bool(arguments.own))
        print(f"Written: {arguments.docs / 'accuracy.md'}")


def _pixels_by_class(pool: Pool) -> str:
    """How many pixels there are of each class, and of how many areas or on which side of a division, for people."""
    texts = []
    for c in pool.classes:
        if not (ours := pool.labels.class_ids == c.id).any():
            continue
        text = f"class {c.name} {ours.sum()} pixels of {len(np.unique(pool.labels.polygons[ours]))} area(s)"
        if pool.for_training is not None:
            text += f" ({pool.for_training[ours].sum()} to train)"
        texts.append(text)
    return ", ".join(texts)


if __name__ == "__main__":
    np.seterr(divide="ignore", invalid="ignore")
    try:
        main()
    except EngineError as error:
        raise SystemExit(str(error)) from error
