"""What each part of SpectraFiLM is worth: measure and write docs/ablations.md. Run by `make benchmark-ablations`.

Every draw of labels is kept as soon as it is measured; interrupted, the run goes on where it was.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from spectrafilm.benchmarks.accuracy.pool import PROTOCOLS, make_pool
from spectrafilm.benchmarks.accuracy.scenes import few_label_parser, find_scenes, label_scene, results_folder
from spectrafilm.benchmarks.json_lines import append_lines
from spectrafilm.benchmarks.real_scenes.scenes import LabelledScene
from spectrafilm.engine.scene import Scene
from spectrafilm.engine.survey import survey_scene

from .measure import Bench, read_entries
from .page import write_page
from .variants import VARIANTS


def main() -> None:
    """Measure every variant on every scene and write the page."""
    parser = few_label_parser(__doc__)
    parser.add_argument("--labels", type=int, default=10, help="labels per class")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--variants", nargs="*", default=list(VARIANTS), choices=list(VARIANTS))
    parser.add_argument("--no-page", action="store_true", help="measure only")
    arguments = parser.parse_args()
    measured = []
    draws = [(protocol, arguments.labels, seed) for seed in range(arguments.seeds) for protocol in PROTOCOLS]
    for scene in find_scenes(arguments):
        results = results_folder(scene, arguments) / "ablations.jsonl"
        known = {(e.variant, (e.protocol, e.labels, e.seed)) for e in read_entries(results)}
        missing = {draw: [v for v in arguments.variants if (v, draw) not in known] for draw in draws}
        if any(missing.values()):
            measure(label_scene(scene, arguments), missing, results)
        measured.append((scene.title, read_entries(results)))
    if not arguments.no_page:
        write_page(measured, arguments.labels, arguments.seeds, arguments.docs, own=bool(arguments.own))


def measure(labelled: LabelledScene, missing: dict[tuple[str, int, int], list[str]], results: Path) -> None:
    """Add the figures of variants by draw (protocol, labels per class, seed) to a file of JSON lines."""
    with Scene.open(labelled.path) as opened:
        bench = Bench(make_pool(labelled), opened, survey_scene(opened), labelled.folder)
        for draw, variants in missing.items():
            append_lines(results, (asdict(entry) for entry in bench.measure(variants, *draw)))
            print(f"{labelled.real.name}: {draw[0]}, seed {draw[2]}", flush=True)


if __name__ == "__main__":
    main()
