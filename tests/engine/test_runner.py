"""What goes wrong in any job alike is one sentence."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

import pytest
from training_job import training

from spectrafilm.engine.errors import EngineError
from spectrafilm.engine.jobs import SelectBands, SuggestSamples
from spectrafilm.engine.progress import Progress
from spectrafilm.engine.runner import run_job


@pytest.fixture
def locked():
    """A file in a folder that may not be looked into, as of another user's."""
    # Those of pytest are closed for others altogether.
    outer = Path(tempfile.mkdtemp())
    outer.chmod(0o755)
    folder = outer / "locked"
    folder.mkdir()
    (folder / "file").touch()
    folder.chmod(0)
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    yield folder / "file"
    if root:
        os.seteuid(0)
    folder.chmod(0o700)
    shutil.rmtree(outer)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has other permissions")
@pytest.mark.parametrize("job", [
    lambda path: SelectBands(path, "rgb.tif"), lambda path: SelectBands(f"{path}.hdr", "rgb.tif"),
    lambda path: SuggestSamples("scene.tif", path),
], ids=["scene", "header", "model"])  # fmt: skip
def test_a_file_in_a_folder_of_another_users_is_one_sentence(locked, job):
    with pytest.raises(EngineError, match=r"locked/file.* cannot be read or written \(Permission denied\)"):
        run_job(job(str(locked)), Progress())


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_a_seed_that_no_library_takes_is_one_sentence(scene_path, polygons_path, backbone_path, tmp_path, seed):
    with pytest.raises(EngineError, match="does not lie between 0 and 4294967295"):
        run_job(training(scene_path, polygons_path, backbone_path, tmp_path, seed=seed), Progress())
    assert not list(tmp_path.iterdir())
