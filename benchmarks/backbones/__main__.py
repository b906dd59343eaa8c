"""What the backbone is worth: measure and write docs/backbones.md. Run by `make benchmark-backbones`.

Every decoder layer at every timestep is kept as soon as it is measured; interrupted, the run goes on where it was.
"""

from __future__ import annotations

import os
from pathlib import Path

from spectrafilm.benchmarks.accuracy.pool import make_pool
from spectrafilm.benchmarks.accuracy.scenes import NAMES, find_scene
from spectrafilm.benchmarks.command_line import make_parser
from spectrafilm.benchmarks.real_scenes.rows import untrained_backbone
from spectrafilm.benchmarks.real_scenes.scenes import LabelledScene
from spectrafilm.engine.backbone import BUNDLED
from spectrafilm.tools.qgis_shell import QgisShell

from .page import write_page
from .probe import probe, read_entries

BUNDLED_NAME, UNTRAINED_NAME = "bundled", "untrained"


def main() -> None:
    """Probe the bundled backbone, its untrained twin and others on every scene, and write the page."""
    parser = make_parser(__doc__, "accuracy", NAMES, NAMES)
    parser.add_argument("--backbone", nargs=2, action="append", default=[], metavar=("NAME", "FOLDER"),
                        help="another backbone, of the bundled one's shape, beside the two")  # fmt: skip
    parser.add_argument("--labels", type=int, default=10, help="labels per class")
    parser.add_argument("--seeds", type=int, default=10)
    arguments = parser.parse_args()
    measured = []
    for name in arguments.scenes:
        scene = find_scene(name, arguments.folder.absolute())
        folder = (arguments.folder / scene.name).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        shell = QgisShell(arguments.plugins.absolute(), folder / f"profile-{os.getpid()}", arguments.python)
        labelled = LabelledScene(scene, arguments.data.absolute(), folder, shell)
        backbones = {UNTRAINED_NAME: untrained_backbone(folder), BUNDLED_NAME: Path(BUNDLED)}
        backbones |= {other: Path(path) for other, path in arguments.backbone}
        results = folder / "backbones.jsonl"
        probe(make_pool(labelled, folder), labelled.path, backbones, arguments.labels, arguments.seeds, results)
        measured.append((scene.title, read_entries(results, arguments.labels, arguments.seeds)))
    write_page(measured, [BUNDLED_NAME, *(other for other, _ in arguments.backbone)], UNTRAINED_NAME, arguments.docs)


if __name__ == "__main__":
    main()
