"""What the backbone is worth: measure and write docs/backbones.md. Run by `make benchmark-backbones`.

Every decoder layer at every timestep is kept as soon as it is measured; interrupted, the run goes on where it was.
"""

from __future__ import annotations

from pathlib import Path

from spectrafilm.benchmarks.accuracy.pool import make_pool
from spectrafilm.benchmarks.accuracy.scenes import few_label_parser, find_scenes, label_scene
from spectrafilm.benchmarks.real_scenes.rows import untrained_backbone
from spectrafilm.engine.backbone import BUNDLED

from .page import write_page
from .probe import probe, read_entries

BUNDLED_NAME, UNTRAINED_NAME = "bundled", "untrained"


def main() -> None:
    """Probe the bundled backbone, its untrained twin and others on every scene, and write the page."""
    parser = few_label_parser(__doc__)
    parser.add_argument("--backbone", nargs=2, action="append", default=[], metavar=("NAME", "FOLDER"),
                        help="another backbone, of the bundled one's shape, beside the two")  # fmt: skip
    parser.add_argument("--labels", type=int, default=10, help="labels per class")
    parser.add_argument("--seeds", type=int, default=10)
    arguments = parser.parse_args()
    measured = []
    for scene in find_scenes(arguments):
        labelled = label_scene(scene, arguments)
        backbones = {UNTRAINED_NAME: untrained_backbone(labelled.folder), BUNDLED_NAME: Path(BUNDLED)}
        backbones |= {other: Path(path) for other, path in arguments.backbone}
        # Figures of before, by a kernel of one width, lie in "backbones.jsonl" and do not belong among these.
        results = labelled.folder / "probed_backbones.jsonl"
        probe(make_pool(labelled), labelled.path, backbones, arguments.labels, arguments.seeds, results)
        measured.append((scene.title, read_entries(results, arguments.labels, arguments.seeds)))
    write_page(measured, [BUNDLED_NAME, *(other for other, _ in arguments.backbone)], UNTRAINED_NAME, arguments.docs,
               own=bool(arguments.own))  # fmt: skip


if __name__ == "__main__":
    main()
