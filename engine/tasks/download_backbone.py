"""downloadbackbone: a backbone of the registry on the disk, whole and loadable."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

from ..backbone import Backbone
from ..backbone_registry import RegisteredBackbone, read_registry
from ..device import choose_device
from ..digests import sha256_of
from ..download import DownloadError, fetch
from ..errors import EngineError
from ..jobs import DownloadBackbone
from ..progress import Progress

# Beside the files: their revision and digests, so that they can be checked without being told again.
RECORD = "download.json"


def download_backbone(job: DownloadBackbone, progress: Progress, _token: str) -> dict[str, Any]:
    """Fetch what is missing of a backbone, and load it once.

    Raises:
        EngineError: it is unknown, nobody consented, something is not pinned, the download failed, or
            what came is no backbone.
    """
    entry = _find(job.backbone)
    folder = Path(job.folder) / entry.name
    revision, digests = _recall(folder, job.revision.strip().lower())
    problem = ""
    try:
        entry = entry.pinned(revision, job.sha256 or digests.get(entry.weights.path, ""))
    except ValueError as error:
        problem, digests = str(error), {}
    digests |= {file.path: file.sha256 for file in entry.files if file.sha256}
    with progress.stage(0.0, 0.05):
        missing = [file for file in entry.files if not _is_whole(folder / file.path, digests.get(file.path, ""))]
    if not missing:
        progress.info(f"{folder} is whole; it is only checked.")
    elif not job.consent:
        raise EngineError(
            f"Nothing was downloaded, because CONSENT is not given: {entry.facts()}; if you agree to that, set CONSENT "
            "and run again."
        )
    elif problem:
        raise EngineError(f"{problem}; {entry.by_hand()}.")
    else:
        progress.info(f"{entry.facts()}.")
    for index, file in enumerate(missing):
        # The weights come last and take nearly all of the time.
        end = 0.9 if file == entry.weights else 0.06 + 0.01 * index
        with progress.stage(0.05 + 0.01 * index, end):
            url = file.url.replace("{revision}", entry.revision)
            try:
                fetch(url, folder / file.path, digests.get(file.path, ""), file.bytes, job.proxy, progress)
            except DownloadError as error:
                raise EngineError(f"{error}; {entry.by_hand()}.") from error
    return _prove(entry, folder, progress)


def _find(name: str) -> RegisteredBackbone:
    try:
        known = {entry.name: entry for entry in read_registry()}
    except ValueError as error:
        raise EngineError(str(error)) from error
    if name not in known:
        raise EngineError(f"There is no backbone '{name}'; choose one of {', '.join(known)}.")
    if not known[name].files:
        raise EngineError(f"The backbone '{name}' {known[name].source}; leave BACKBONE empty to use it.")
    return known[name]


def _recall(folder: Path, wanted: str) -> tuple[str, dict[str, str]]:
    """Revision and digests by path of an earlier download; where another revision is wanted, that and no digests."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        if wanted in ("", record["revision"]):
            return record["revision"], dict(record["sha256"])
    return wanted, {}


def _is_whole(path: Path, sha256: str) -> bool:
    return bool(sha256) and path.is_file() and sha256_of(path) == sha256


def _prove(entry: RegisteredBackbone, folder: Path, progress: Progress) -> dict[str, Any]:
    """Load what was downloaded, and remember its digests."""
    path = folder if len(entry.files) > 1 else folder / entry.weights.path
    with progress.stage(0.9, 1.0, f"Loading {path}."):
        backbone = Backbone.load(str(path), choose_device("cpu", progress))
        digests = {file.path: sha256_of(folder / file.path) for file in entry.files}
        record = {"source": entry.source, "revision": entry.revision, "sha256": digests}
        (folder / RECORD).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    progress.info(
        f"The backbone {entry.name} works: {len(backbone.layers)} decoder layers, patches of {backbone.patch} pixels, "
        f"digest {backbone.sha256}. Give {path} as BACKBONE."
    )
    return {
        "backbone": str(path), "name": entry.name, "layers": len(backbone.layers), "sha256": backbone.sha256,
    }  # fmt: skip
