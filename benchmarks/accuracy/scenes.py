"""The scenes of the few-label benchmarks: the real ones, the sample scene, or a user's own."""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import rasterio

from spectrafilm.benchmarks.command_line import make_parser
from spectrafilm.benchmarks.real_scenes.scenes import SCENES, LabelledScene, RealScene
from spectrafilm.tools.qgis_shell import QgisShell

from .own_scenes import own_scenes

SAMPLE = "sample"
NAMES = (SAMPLE, *SCENES)
# Pixels of so many metres show things on the ground; larger ones are mixtures.
FINE = 10.0
FOLDER = Path(__file__).resolve().parents[2] / "resources" / "sample"


def few_label_parser(description: str | None, scenes: Sequence[str] = NAMES) -> argparse.ArgumentParser:
    """A parser of where things are and which scenes are measured; they share a folder of results."""
    parser = make_parser(description, "accuracy", scenes, NAMES)
    text = "folder of labelled scenes (see own_scenes.py), measured instead; pages go to its folder `pages`"
    parser.add_argument("--own", type=Path, action=_Own, help=text)
    return parser


class _Own(argparse.Action):
    """Pages of other scenes do not take the place of ours."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, _option: str | None = None
    ) -> None:
        namespace.own = values
        if namespace.docs == parser.get_default("docs"):
            namespace.docs = values / "pages"


def find_scenes(arguments: argparse.Namespace, names: Sequence[str] = ()) -> list[RealScene]:
    """The scenes that were asked for, or those of these names; a user's own, all of them."""
    folder = arguments.folder.absolute()
    if arguments.own:
        return own_scenes(arguments.own, folder / "converted")
    return [SCENES[name] if name in SCENES else _sample(folder) for name in names or arguments.scenes]


def results_folder(scene: RealScene, arguments: argparse.Namespace) -> Path:
    """Where results of a scene are kept."""
    return (arguments.folder / scene.name).absolute()


def groups_of(scenes: Sequence[RealScene], arguments: argparse.Namespace) -> dict[str, list[str]]:
    """Titles of scenes whose figures are averaged, by the name of the group: fine and coarse ones of ours."""
    if arguments.own:
        return {"all scenes": [scene.title for scene in scenes]}
    groups: dict[str, list[str]] = {}
    for scene in scenes:
        with rasterio.open(arguments.data.absolute() / scene.scene) as raster:
            name = f"scenes of {FINE:g} m and finer" if raster.res[0] <= FINE else "coarser scenes"
        groups.setdefault(name, []).append(scene.title)
    return groups


def label_scene(scene: RealScene, arguments: argparse.Namespace) -> LabelledScene:
    """A scene with its labels, which are written to its folder of results."""
    folder = results_folder(scene, arguments)
    folder.mkdir(parents=True, exist_ok=True)
    shell = QgisShell(arguments.plugins.absolute(), python=arguments.python)
    return LabelledScene(scene, arguments.data.absolute(), folder, shell)


def _sample(folder: Path) -> RealScene:
    # A copy, because QGIS changes a GeoPackage by opening it.
    polygons = folder / SAMPLE / "polygons.gpkg"
    polygons.parent.mkdir(parents=True, exist_ok=True)
    if not polygons.exists():
        shutil.copyfile(FOLDER / "polygons.gpkg", polygons)
    return RealScene(SAMPLE, "Sample scene (generated)", str(FOLDER / "scene.tif"), (str(polygons),), "class", "")
