"""Outputs appear whole or not at all, and nothing that was there is lost."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from rasterio.windows import Window

from spectrafilm.engine import outputs as outputs_module
from spectrafilm.engine import partial_outputs
from spectrafilm.engine.backbone_files import files_of
from spectrafilm.engine.errors import EngineError
from spectrafilm.engine.outputs import Outputs
from spectrafilm.engine.partial_outputs import MARK, identity, partial_path, remove_partial_outputs
from spectrafilm.engine.scene import Scene
from spectrafilm.engine.tensor_files import write_tensors


def test_files_appear_at_the_end_under_their_own_name(tmp_path):
    target = tmp_path / "a.txt"
    with Outputs() as outputs:
        part = outputs.reserve(str(target))
        part.write_text("new")
        assert not target.exists()
    assert target.read_text() == "new"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


@pytest.mark.parametrize("old", ["old", None])
def test_an_output_that_is_a_link_stays_one(tmp_path, old):
    """As to another disk with more room."""
    link, target = tmp_path / "a.txt", tmp_path / "elsewhere" / "b.txt"
    target.parent.mkdir()
    link.symlink_to(target)
    if old:
        target.write_text(old)
    with Outputs() as outputs:
        outputs.reserve(str(link)).write_text("new")
        assert {p.name for p in tmp_path.iterdir()} == {"a.txt", "elsewhere"}
    assert link.is_symlink()
    assert target.read_text() == "new"
    assert [p.name for p in target.parent.iterdir()] == ["b.txt"]


def test_after_a_failure_the_old_file_is_untouched_and_nothing_else_is_there(tmp_path):
    target = tmp_path / "a.txt"
    target.write_text("old")
    with pytest.raises(ZeroDivisionError), Outputs() as outputs:
        outputs.reserve(str(target)).write_text("half")
        raise ZeroDivisionError
    assert target.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_written_files_have_the_users_permissions(tmp_path):
    mask = os.umask(0o002)
    try:
        with Outputs() as outputs:
            part = outputs.reserve(str(tmp_path / "a"))
            part.write_text("x")
            part.chmod(0o600)
    finally:
        kept = os.umask(mask)
    assert kept == 0o002
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o664


def test_a_disk_that_keeps_no_permissions_is_no_reason_to_lose_the_work(tmp_path, monkeypatch):
    """As a folder on a network that another user has mounted, whose files may be written, but not changed otherwise."""

    def chmod(path, mode):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "chmod", chmod)
    with Outputs() as outputs:
        outputs.reserve(str(tmp_path / "a")).write_text("x")
    assert (tmp_path / "a").read_text() == "x"


@pytest.mark.parametrize(
    ("destination", "sentence"),
    [("missing/a.tif", "does not exist; create it"), (".", "is a folder"), ("input.tif", "also an input")],
)
def test_destinations_that_cannot_be_are_one_sentence(tmp_path, destination, sentence):
    (tmp_path / "input.tif").write_text("x")
    with pytest.raises(EngineError, match=sentence):
        Outputs([str(tmp_path / "input.tif")]).check(str(tmp_path / destination))
    assert (tmp_path / "input.tif").read_text() == "x"


@pytest.mark.parametrize(("platform", "refused"), [("darwin", True), ("linux", False)])
def test_on_a_mac_upper_and_lower_case_are_alike(tmp_path, monkeypatch, platform, refused):
    monkeypatch.setattr(sys, "platform", platform)
    assert (identity(tmp_path / "Scene.tif") == identity(tmp_path / "scene.tif")) is refused
    with pytest.raises(EngineError, match="also an input") if refused else nullcontext():
        Outputs([str(tmp_path / "Scene.tif")]).check(str(tmp_path / "scene.tif"))


def test_nothing_is_written_into_a_folder_that_is_read(tmp_path):
    (tmp_path / "backbone" / "unet").mkdir(parents=True)
    weights = tmp_path / "backbone" / "unet" / "diffusion_pytorch_model.safetensors"
    with pytest.raises(EngineError, match="lies in a folder that is"):
        Outputs([str(tmp_path / "backbone")]).check(str(weights))
    config = weights.with_name("config.json")
    with pytest.raises(EngineError, match="also an input"):
        Outputs(files_of(str(config))).check(str(weights))


def test_names_that_are_not_given_are_no_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Outputs([""]).check(str(tmp_path / "a.tif"), "", "")


def test_two_outputs_of_one_name_are_one_sentence(tmp_path):
    with pytest.raises(EngineError, match="Two outputs of this run would be"):
        Outputs().check(str(tmp_path / "a.tif"), str(tmp_path / "b" / ".." / "a.tif"))


@pytest.mark.parametrize(("name", "theirs", "ours"), [
    ("a.json", '{"type": "FeatureCollection", "title": "x"}', '{\n "title": "Training"}'),
    ("a.qml", "<qgis><renderer-v2/></qgis>", "<qgis><pipe><rasterrenderer/></pipe></qgis>"),
])  # fmt: skip
def test_what_lies_beside_an_output_is_replaced_only_if_it_was_one(tmp_path, name, theirs, ours):
    (tmp_path / name).write_text(theirs)
    with pytest.raises(EngineError, match="not an output of an earlier run"):
        Outputs().check(str(tmp_path / name))
    (tmp_path / name).write_text(ours)
    Outputs().check(str(tmp_path / name))


def test_a_read_only_file_is_refused_before_the_work(tmp_path):
    (tmp_path / "a.tif").write_text("old")
    (tmp_path / "a.tif").chmod(0o444)
    with pytest.raises(EngineError, match=r"a\.tif is read-only"):
        Outputs().check(str(tmp_path / "a.tif"))
    (tmp_path / "a.tif").chmod(0o644)
    Outputs().check(str(tmp_path / "a.tif"))


def test_a_file_in_use_keeps_all_old_files(tmp_path, monkeypatch):
    """On Windows a file that another program has open cannot be renamed; a stand-in for that."""

    def rename(path, target):
        if path.name == "b":
            raise PermissionError(13, "in use")

    for name in ("a", "b"):
        (tmp_path / name).write_text("old")
    with pytest.raises(EngineError, match=r"b cannot be replaced \(in use\); remove its layer"), Outputs() as outputs:
        for name in ("a", "b"):
            outputs.reserve(str(tmp_path / name)).write_text("new")
        monkeypatch.setattr(Path, "rename", rename)
    assert {p.name: p.read_text() for p in tmp_path.iterdir()} == {"a": "old", "b": "old"}


def test_a_file_that_a_virus_scanner_looks_at_is_tried_again(tmp_path, monkeypatch):
    """On Windows it cannot be renamed meanwhile; a stand-in for that."""
    replace, refused = os.replace, []

    def replace_later(path, target):
        if len(refused) < 2:
            refused.append(target)
            raise PermissionError(13, "in use")
        replace(path, target)

    monkeypatch.setattr(outputs_module, "ATTEMPTS", 3)
    monkeypatch.setattr(partial_outputs, "PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(os, "replace", replace_later)
    with Outputs() as outputs:
        outputs.reserve(str(tmp_path / "a")).write_text("new")
    assert (tmp_path / "a").read_text() == "new"
    assert len(refused) == 2


def test_pyramids_of_the_raster_before_are_gone(tmp_path, scene_path):
    target = tmp_path / "map.tif"
    for suffix in (".ovr", ".aux.xml"):
        Path(f"{target}{suffix}").write_text("of the raster before")
    with Scene.open(str(scene_path)) as scene, Outputs() as outputs:
        with outputs.raster(str(target), scene, 1, "uint8", 0):
            pass
        outputs.reserve(f"{target}.aux.xml").write_text("new")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["map.tif", "map.tif.aux.xml"]
    assert Path(f"{target}.aux.xml").read_text() == "new"


@pytest.mark.parametrize(("style", "kept"), [('<qgis creator="SpectraFiLM"/>', False), ("<qgis/>", True)])
def test_the_style_of_a_map_does_not_colour_another_raster_of_its_name(tmp_path, scene_path, style, kept):
    (tmp_path / "rgb.qml").write_text(style)
    target = str(tmp_path / "rgb.tif")
    with Scene.open(str(scene_path)) as scene, Outputs() as outputs, outputs.raster(target, scene, 3, "uint8", 0):
        pass
    assert (tmp_path / "rgb.qml").exists() is kept


def test_a_style_that_cannot_be_deleted_does_not_spoil_a_run(tmp_path, scene_path, monkeypatch):
    """On Windows one that is read-only cannot; a stand-in for that."""
    unlink = Path.unlink

    def unlink_others(path, *options):
        if path.suffix == ".qml":
            raise PermissionError(13, "Permission denied")
        unlink(path, *options)

    monkeypatch.setattr(Path, "unlink", unlink_others)
    (tmp_path / "rgb.qml").write_text('<qgis creator="SpectraFiLM"/>')
    target = str(tmp_path / "rgb.tif")
    with Scene.open(str(scene_path)) as scene, Outputs() as outputs, outputs.raster(target, scene, 3, "uint8", 0):
        pass
    assert Path(target).exists()


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() != 0, reason="only root can mount a read-only folder")
def test_a_read_only_folder_is_one_sentence(tmp_path):
    with mounted(tmp_path / "ro", "ro,size=64k"), pytest.raises(EngineError, match="cannot be written to"):
        Outputs().check(str(tmp_path / "ro" / "a.tif"))


def test_a_folder_that_windows_protects_is_one_sentence(tmp_path, monkeypatch):
    """There `tempfile` takes the refusal for a name that is in use, and tries others for ever; a stand-in for that."""

    class Windows:
        name = "nt"

        def __getattr__(self, name):
            return getattr(os, name)

    def refuse(path, *_):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(tempfile, "_os", Windows())
    monkeypatch.setattr(os, "open", refuse)
    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(EngineError, match=r"cannot be written to \(Permission denied\)"):
        Outputs().check(str(tmp_path / "a.tif"))


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() != 0, reason="only root can mount a small disk")
@pytest.mark.parametrize(
    ("count", "size", "options"), [(1, "16k", {}), (100, "500k", {"nbits": 16, "interleave": "pixel"})]
)
def test_a_full_disk_is_one_sentence_and_leaves_nothing(tmp_path, scene_path, count, size, options):
    noise = np.random.default_rng(0).random((count, 80, 100), np.float32)
    with mounted(tmp_path / "small", f"size={size}"):
        target = tmp_path / "small" / "map.tif"
        with (
            pytest.raises(EngineError, match=r"written to .*small: the disk is probably full"),
            Scene.open(str(scene_path)) as scene,
            Outputs() as outputs,
            outputs.raster(str(target), scene, count, "float32", -1.0, **options) as dataset,
        ):
            for row in range(0, 80, 16):
                dataset.write(noise[:, row : row + 16], window=Window(0, row, 100, 16))
        assert not list((tmp_path / "small").iterdir())


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() != 0, reason="only root can mount a small disk")
def test_a_model_for_which_a_disk_has_no_room_is_one_sentence(tmp_path):
    with mounted(tmp_path / "small", "size=16k"):
        target = tmp_path / "small" / "m.safetensors"
        with pytest.raises(EngineError, match="disk is probably full"), Outputs() as outputs:
            write_tensors(outputs.reserve(str(target)), "m", {"a": torch.zeros(10000)}, {})
        assert not list((tmp_path / "small").iterdir())


def test_rasters_lie_on_the_grid_of_the_scene(tmp_path, scene_path):
    target = tmp_path / "map.tif"
    with Scene.open(str(scene_path)) as scene, Outputs() as outputs:
        with outputs.raster(str(target), scene, 2, "float32", -1.0) as dataset:
            dataset.write(np.ones((2, 80, 100), np.float32))
        crs, transform = scene.crs, scene.transform
    with rasterio.open(target) as dataset:
        assert (dataset.crs, dataset.transform, dataset.nodata) == (crs, transform, -1.0)
        assert dataset.profile["tiled"]


def test_names_may_be_as_long_as_files_can_have(tmp_path):
    longest = tmp_path / ("m" * 251 + ".txt")
    with Outputs() as outputs:
        outputs.check(str(longest))
        outputs.reserve(str(longest)).write_text("whole")
    assert [path.name for path in tmp_path.iterdir()] == [longest.name]
    with pytest.raises(EngineError, match="cannot be written .*; rename it"):
        Outputs().check(str(tmp_path / ("m" * 252 + ".txt")))


def test_remains_are_found_by_token_and_nothing_else_is_deleted(tmp_path):
    ours, others = partial_path(str(tmp_path / "a.tif"), "t1"), partial_path(str(tmp_path / "a.tif"), "t2")
    for path in (ours, others, tmp_path / "a.tif"):
        path.write_text("x")
    remove_partial_outputs([str(tmp_path / "a.tif"), "", str(tmp_path / "nowhere" / "b")], "t1")
    assert {p.name for p in tmp_path.iterdir()} == {others.name, "a.tif"}


def test_what_a_power_cut_left_is_deleted_a_week_later(tmp_path):
    old, recent, theirs = (tmp_path / name for name in (f"{MARK}t1-a.tif", f"{MARK}t2-a.tif", "old.tif"))
    for path, days in ((old, 8), (recent, 6), (theirs, 8)):
        path.write_text("half")
        os.utime(path, times=(time.time() - days * 24 * 3600,) * 2)
    with Outputs() as outputs:
        outputs.reserve(str(tmp_path / "a.tif")).write_text("new")
    assert {p.name for p in tmp_path.iterdir()} == {recent.name, theirs.name, "a.tif"}


class mounted:  # noqa: N801
    """A temporary file system with its own limits."""

    def __init__(self, folder: Path, options: str) -> None:
        self.folder, self.options = folder, options

    def __enter__(self) -> None:
        self.folder.mkdir()
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", self.options, "tmpfs", str(self.folder)], check=False)
        if done.returncode:
            pytest.skip("this machine does not let us mount")

    def __exit__(self, *_) -> None:
        subprocess.run(["umount", str(self.folder)], check=True)
