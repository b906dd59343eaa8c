"""What each part of SpectraFiLM is worth: measure and write docs/ablations.md. Run by `make benchmark-ablations`.

Every draw of labels is kept as soon as it is measured; interrupted, the run goes on where it was.
"""

from __future__ import annotations

from dataclasses import asdict

from spectrafilm.benchmarks.accuracy.pool import PROTOCOLS, make_pool
from spectrafilm.benchmarks.accuracy.scenes import few_label_parser, find_scenes, label_scene
from spectrafilm.benchmarks.json_lines import append_lines
from spectrafilm.engine.scene import Scene
from spectrafilm.engine.survey import survey_scene

from .measure import Bench, read_entries
from .page import write_page
from .variants import VARIANTS


def main() -> None:
    """Measure every variant on every scene and write the page."""
    parser = few_label_parser(__doc__)
    parser.add_argument("--labels", type=int, default=10, help="labels per class")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--variants", nargs="*", default=list(VARIANTS), choices=list(VARIANTS))
    parser.add_argument("--no-page", action="store_true", help="measure only")
    arguments = parser.parse_args()
    measured = []
    for scene in find_scenes(arguments):
        labelled = label_scene(scene, arguments)
        results = labelled.folder / "ablations.jsonl"
        with Scene.open(labelled.path) as opened:
            bench = Bench(make_pool(labelled), opened, survey_scene(opened), labelled.folder)
            for seed in range(arguments.seeds):
                for protocol in PROTOCOLS:
                    draw = (protocol, arguments.labels, seed)
                    known = {e.variant for e in read_entries(results) if (e.protocol, e.labels, e.seed) == draw}
                    missing = [variant for variant in arguments.variants if variant not in known]
                    append_lines(results, (asdict(entry) for entry in bench.measure(missing, *draw)))
                    print(f"{scene.name}: {protocol}, seed {seed}", flush=True)
        measured.append((scene.title, read_entries(results)))
    if not arguments.no_page:
        write_page(measured, arguments.labels, arguments.seeds, arguments.docs)


if __name__ == "__main__":
    main()
