"""From the shell: every step, both ready-made models, failures, and a cancel in the middle."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from in_qgis import BUSY, POLYGONS, REFERENCE, ROOT, SCENE, engine_python

sys.path.insert(0, str(ROOT / "tools"))
from qgis_shell import QgisShell


@pytest.fixture(scope="module")
def shell(tmp_path_factory):
    return QgisShell(ROOT / "build" / "plugins", tmp_path_factory.mktemp("profile"), engine_python())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("shell")


def run(shell, name, parameters):
    answer = shell.run(f"spectrafilm:{name}", parameters)
    assert answer.status == 0, answer.output
    return answer.results()


def test_the_whole_chain_step_by_step(shell, folder):
    paths = {name: str(folder / name) for name in ("rgb.tif", "features.tif", "m.safetensors", "map.tif", "a.html")}
    run(shell, "selectbands", {"INPUT": SCENE, "OUTPUT": paths["rgb.tif"]})
    run(shell, "extractfeatures", {"INPUT": paths["rgb.tif"], "LAYERS": "8,10", "TIMESTEPS": "0,50",
                                   "OUTPUT": paths["features.tif"]})  # fmt: skip
    trained = run(shell, "trainfilm", {"INPUT": SCENE, "POLYGONS": POLYGONS, "CLASS_FIELD": "class",
                                       "FEATURES": paths["features.tif"], "MODEL": paths["m.safetensors"]})  # fmt: skip
    assert 60 < float(trained["OVERALL_ACCURACY"]) <= 100
    run(shell, "predictmap", {"INPUT": SCENE, "MODEL": paths["m.safetensors"], "FEATURES": paths["features.tif"],
                              "OUTPUT": paths["map.tif"]})  # fmt: skip
    assessed = run(shell, "assessaccuracy", {"MAP": paths["map.tif"], "REFERENCE": REFERENCE, "CLASS_FIELD": "class",
                                             "REPORT": paths["a.html"]})  # fmt: skip
    assert 70 < float(assessed["OVERALL_ACCURACY"]) <= 100
    report = json.loads(Path(paths["a.html"]).with_suffix(".json").read_text())
    assert report["accuracy"]["overall"]["value"] == pytest.approx(float(assessed["OVERALL_ACCURACY"]))


def test_the_model_map_from_polygons(shell, tmp_path):
    run(shell, "map_from_polygons", {
        "INPUT": SCENE, "POLYGONS": POLYGONS, "CLASS_FIELD": "class", "map:OUTPUT": tmp_path / "map.tif",
        "map:CONFIDENCE": tmp_path / "c.tif", "train:REPORT": tmp_path / "r.html",
        "train:MODEL": tmp_path / "m.safetensors",
    })  # fmt: skip
    assert {"map.tif", "map.qml", "c.tif", "r.html", "r.json", "m.safetensors"} <= {p.name for p in tmp_path.iterdir()}


def test_the_model_of_all_single_steps(shell, tmp_path):
    run(shell, "all_single_steps", {
        "INPUT": SCENE, "POLYGONS": POLYGONS, "CLASS_FIELD": "class", "REFERENCE": REFERENCE,
        "REFERENCE_FIELD": "class", "bands:OUTPUT": tmp_path / "rgb.tif", "train:MODEL": tmp_path / "m.safetensors",
        "train:REPORT": tmp_path / "r.html", "map:OUTPUT": tmp_path / "map.tif", "assess:REPORT": tmp_path / "a.html",
    })  # fmt: skip
    report = json.loads((tmp_path / "a.json").read_text())
    assert report["accuracy"]["overall"]["value"] > 70


def test_the_zip_for_the_plugin_manager_works(tmp_path):
    subprocess.run([sys.executable, str(ROOT / "tools" / "package.py"), str(tmp_path)], check=True)
    (archive,) = tmp_path.glob("*.zip")
    shutil.unpack_archive(archive, tmp_path / "plugins")
    installed = QgisShell(tmp_path / "plugins", tmp_path / "profile", engine_python())
    run(installed, "trainfilm", {"INPUT": SCENE, "POLYGONS": POLYGONS, "CLASS_FIELD": "class",
                                 "MODEL": tmp_path / "m.safetensors", "REPORT": tmp_path / "r.html"})  # fmt: skip
    run(installed, "predictmap", {"INPUT": SCENE, "MODEL": tmp_path / "m.safetensors", "OUTPUT": tmp_path / "m.tif"})
    assert not any((tmp_path / "plugins" / "spectrafilm" / name).exists() for name in ("tests", "build", "tools"))


def test_what_a_shell_needs_for_itself_goes_with_it(tmp_path):
    program = "from pathlib import Path; from qgis_shell import QgisShell; QgisShell(Path())"
    environment = {**os.environ, "TMPDIR": str(tmp_path), "PYTHONPATH": str(ROOT / "tools")}
    subprocess.run([sys.executable, "-c", program], env=environment, check=True)
    assert not list(tmp_path.glob("runtime-*"))


def test_failures_end_with_a_non_zero_status_and_a_sentence(shell, tmp_path):
    answer = shell.run("spectrafilm:selectbands", {"INPUT": SCENE, "METHOD": 2, "BANDS": "1,2,99",
                                                   "OUTPUT": tmp_path / "rgb.tif"})  # fmt: skip
    assert answer.status != 0
    assert "Band 99 does not exist" in answer.output
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_ending_qgis_ends_the_engine_and_leaves_nothing(shell, tmp_path, tmp_path_factory, monkeypatch, how):
    temporary = tmp_path_factory.mktemp("temporary")
    monkeypatch.setitem(shell.environment, "TMPDIR", str(temporary))
    process = shell.start("spectrafilm:extractfeatures", {"INPUT": SCENE, "STRIDE": 4, "OUTPUT": tmp_path / "f.tif"})
    deadline = time.monotonic() + 60
    while not any(p.name.startswith(".spectrafilm-part-") for p in tmp_path.iterdir()):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert list(temporary.glob("spectrafilm-*"))
    process.send_signal(how)
    process.wait(60)  # QGIS itself may take its time to end on a busy machine
    until = time.monotonic() + 2 + BUSY
    while list(tmp_path.iterdir()) and time.monotonic() < until:
        time.sleep(0.1)
    assert not list(tmp_path.iterdir())
    assert not engines_writing_to(tmp_path)
    until = time.monotonic() + 2 + BUSY
    while list(temporary.glob("spectrafilm-*")) and time.monotonic() < until:
        time.sleep(0.1)
    assert not list(temporary.glob("spectrafilm-*"))


def engines_writing_to(folder):
    """Process numbers of engines that have a file in the folder open."""
    found = subprocess.run(["sh", "-c", f"ls -l /proc/[0-9]*/fd 2>/dev/null | grep {folder}"], text=True,
                           capture_output=True, check=False)  # fmt: skip
    return found.stdout.splitlines()
