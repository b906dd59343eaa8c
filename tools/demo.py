"""The main job from the shell: polygons to map to report, through qgis_process; run by `make demo`."""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))
from qgis_shell import QgisShell

SAMPLE = ROOT / "resources" / "sample"


def main() -> int:
    """Train, map, assess and draw; the exit status of the first step that fails."""
    arguments = parse()
    out = arguments.out.absolute()
    out.mkdir(parents=True, exist_ok=True)
    if not arguments.scene:
        use_sample(arguments, out / "labels")
    shell = QgisShell(arguments.plugins.absolute(), arguments.profile.absolute(), str(arguments.python.absolute()))
    steps = {
        "trainfilm": {
            "INPUT": arguments.scene, "POLYGONS": arguments.polygons, "CLASS_FIELD": arguments.class_field,
            "MODEL": out / "model.safetensors", "REPORT": out / "training.html",
        },
        "predictmap": {
            "INPUT": arguments.scene, "MODEL": out / "model.safetensors", "OUTPUT": out / "map.tif",
            "CONFIDENCE": out / "confidence.tif",
        },
    }  # fmt: skip
    if arguments.reference:
        steps["assessaccuracy"] = {
            "MAP": out / "map.tif", "REFERENCE": arguments.reference, "CLASS_FIELD": arguments.class_field,
            "REPORT": out / "accuracy.html",
        }  # fmt: skip
    for algorithm, parameters in steps.items():
        print(f"\n=== spectrafilm:{algorithm} ===", flush=True)
        answer = shell.run(f"spectrafilm:{algorithm}", parameters, show=True)
        if answer.status:
            return answer.status
    drawn = subprocess.run([str(arguments.python.absolute()), str(ROOT / "tools" / "overview.py"), arguments.scene,
                            str(out / "map.tif"), str(out / "confidence.tif"), str(out / "overview.png")],
                           check=False)  # fmt: skip
    summarise(out, bool(arguments.reference))
    return drawn.returncode


def parse() -> argparse.Namespace:
    """The command line; without a scene it is the sample scene."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("--plugins", "--profile", "--python", "--out"):
        parser.add_argument(name, type=Path, required=True)
    for name in ("--scene", "--polygons", "--class-field", "--reference"):
        parser.add_argument(name, default="")
    arguments = parser.parse_args()
    own = [arguments.scene, arguments.polygons, arguments.class_field]
    if any(own) and not all(own):
        parser.error("SCENE, POLYGONS and CLASS_FIELD belong together; give all three.")
    return arguments


def use_sample(arguments: argparse.Namespace, folder: Path) -> None:
    """Fill in the sample scene, with copies of its labels: QGIS changes a GeoPackage by opening it."""
    folder.mkdir(exist_ok=True)
    for path in SAMPLE.glob("*.gpkg"):
        for source in (path, path.with_suffix(".qml")):
            shutil.copyfile(source, folder / source.name)
    arguments.scene, arguments.class_field = str(SAMPLE / "scene.tif"), "class"
    arguments.polygons, arguments.reference = str(folder / "polygons.gpkg"), str(folder / "reference.gpkg")


def summarise(out: Path, assessed: bool) -> None:
    """Print the figures and where everything is."""
    report = out / ("accuracy.json" if assessed else "training.json")
    how = "on the independent reference" if assessed else "cross-validated by polygon"
    accuracy = json.loads(report.read_text(encoding="utf-8"))["accuracy"]
    print(f"\n=== Accuracy {how} ===")
    if accuracy is None:
        print("Not validated: draw at least two polygons a class.")
    else:
        for key, name in (("overall", "OA"), ("average", "AA"), ("kappa", "kappa")):
            print(f"{name:6}{described(accuracy[key])}")
    print(f"\nResults in {out}:")
    for path in sorted(out.iterdir()):
        print(f"  {path.name}")


def described(figure: dict[str, float | None]) -> str:
    """A figure of a report in per cent; few polygons may leave it without an interval, or undefined."""
    value, low, high = (figure[key] for key in ("value", "low", "high"))
    if value is None:
        return "not defined"
    return f"{value:6.1f} %" + (f"   (95 % interval {low:.1f} to {high:.1f})" if low is not None else "")


if __name__ == "__main__":
    sys.exit(main())
