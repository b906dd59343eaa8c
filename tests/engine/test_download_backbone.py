"""The registry is complete, and its backbones arrive whole, pinned, agreed to and loadable."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from file_server import serving
from synthetic import save_backbone

from spectrafilm.engine.backbone import BUNDLED, Backbone
from spectrafilm.engine.backbone_registry import VARIABLE, RegistryFile, read_registry
from spectrafilm.engine.device import choose_device
from spectrafilm.engine.digests import sha256_of
from spectrafilm.engine.errors import EngineError
from spectrafilm.engine.jobs import DownloadBackbone
from spectrafilm.engine.progress import Progress, Recorder
from spectrafilm.engine.runner import run_job

REVISION = "0123456789abcdef0123456789abcdef01234567"
FILES = ("unet/config.json", "scheduler/scheduler_config.json", "unet/diffusion_pytorch_model.safetensors")
WEIGHTS = FILES[-1]
ENTRY = {
    "name": "tiny-net", "title": "Tiny net", "source": "https://example.org/tiny", "revision": None, "digest": None,
    "pins_at": "the page of the weights shows both", "licence": "CC0", "conditioning": "none", "image_size": 32,
    "layers": 12, "megabytes": 1, "note": "", "files": [],
}  # fmt: skip


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A hub on this machine with one revision of one backbone, laid out as a pipeline, and a registry of it."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    root = tmp_path / "www" / "tiny" / "resolve" / REVISION
    save_backbone(root / "unet")
    (root / "scheduler").mkdir()
    (root / "unet" / "scheduler_config.json").rename(root / "scheduler" / "scheduler_config.json")
    with serving(tmp_path / "www") as server:
        files = [
            {"path": path, "url": f"{server.url}/tiny/resolve/{{revision}}/{path}", "sha256": None, "bytes": None}
            for path in FILES
        ]
        registry = tmp_path / "registry.json"
        registry.write_text(json.dumps({"backbones": [{**ENTRY, "files": files}]}))
        monkeypatch.setenv(VARIABLE, str(registry))
        server.root_of_files, server.digest = root, sha256_of(root / WEIGHTS)
        yield server


@pytest.fixture
def job(hub, tmp_path):
    return DownloadBackbone("tiny-net", str(tmp_path / "here"), True, REVISION, hub.digest)


def paths(server):
    return [(path.rpartition("/")[2], status) for path, status, _ in server.sent]


def files_in(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_a_backbone_arrives_whole_and_is_loaded(hub, job, tmp_path, progress):
    values = run_job(job, progress)
    folder = tmp_path / "here" / "tiny-net"
    assert files_in(folder) == sorted((*FILES, "download.json"))
    assert paths(hub) == [("config.json", 200), ("scheduler_config.json", 200),
                          ("diffusion_pytorch_model.safetensors", 200)]  # fmt: skip
    backbone = Backbone.load(values["backbone"], choose_device("cpu", Progress()))
    assert (values["name"], values["layers"], values["sha256"]) == ("tiny-net", 12, backbone.sha256)
    assert "Tiny net, about 1 MB from https://example.org/tiny (licence: CC0)." in progress.messages
    assert progress.positions == sorted(progress.positions)


def test_other_braces_in_an_address_stand_for_themselves(hub, job, tmp_path, progress):
    registry = tmp_path / "registry.json"
    registry.write_text(registry.read_text().replace("resolve/", "resolve/{other}/"))
    with pytest.raises(EngineError, match=rf"has no tiny/resolve/{{other}}/{REVISION}/unet/config.json \(answer 404\)"):
        run_job(job, progress)


def test_one_that_is_whole_is_only_checked_and_needs_no_pins_or_consent(hub, job, progress):
    values = run_job(job, progress)
    hub.sent.clear()
    assert run_job(DownloadBackbone("tiny-net", job.folder), progress) == values
    assert hub.sent == []
    assert any("is whole; it is only checked" in text for text in progress.messages)


def test_only_what_is_damaged_comes_again(hub, job, tmp_path, progress):
    run_job(job, progress)
    hub.sent.clear()
    weights = tmp_path / "here" / "tiny-net" / WEIGHTS
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x7f")
    run_job(replace(job, revision="", sha256=""), progress)
    assert paths(hub) == [("diffusion_pytorch_model.safetensors", 200)]
    assert sha256_of(weights) == hub.digest


def test_another_revision_is_another_download(hub, job, progress):
    run_job(job, progress)
    with pytest.raises(EngineError, match=r"only downloaded with a known SHA256 of unet/"):
        run_job(replace(job, revision="f" * 40, sha256=""), progress)


def test_an_interrupted_download_goes_on(hub, job, tmp_path, progress):
    size = (hub.root_of_files / WEIGHTS).stat().st_size
    hub.break_after = size // 2
    with pytest.raises(EngineError, match=r"broke after .* run again .*you can always download unet/config\.json,"):
        run_job(job, progress)
    assert f"{WEIGHTS}.part" in files_in(tmp_path / "here" / "tiny-net")
    hub.break_after = None
    hub.sent.clear()
    run_job(job, Recorder())
    assert [(status, sent) for path, status, sent in hub.sent if path.endswith(WEIGHTS)] == [(206, size - size // 2)]
    assert files_in(tmp_path / "here" / "tiny-net") == sorted((*FILES, "download.json"))


def test_without_consent_the_sentence_says_what_from_where_how_big_and_under_which_terms(hub, job, progress):
    with pytest.raises(EngineError) as caught:
        run_job(replace(job, consent=False), progress)
    for fact in ("Tiny net", "1 MB", "https://example.org/tiny", "CC0", "set CONSENT"):
        assert fact in str(caught.value)
    assert hub.asked == []


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"revision": "", "sha256": ""}, r"a known REVISION and SHA256 of unet/\S+ \(the page of the weights shows"),
        ({"revision": ""}, "a known REVISION of"),
        ({"sha256": ""}, "a known SHA256 of"),
        ({"revision": "main"}, "'main' is no commit of 40 hexadecimal digits"),
        ({"sha256": "1234"}, "'1234' does not have 64 hexadecimal digits"),
    ],
)
def test_nothing_is_downloaded_that_is_not_pinned(hub, job, progress, given, sentence):
    with pytest.raises(EngineError, match=sentence) as caught:
        run_job(replace(job, **given), progress)
    assert str(caught.value).endswith("in a browser into the same folders and choose unet/config.json as BACKBONE.")
    assert hub.asked == []


def test_another_digest_is_refused_and_deleted(hub, job, tmp_path, progress):
    with pytest.raises(EngineError, match=rf"has the SHA-256 {hub.digest} instead of 0+, so it was deleted;"):
        run_job(replace(job, sha256="0" * 64), progress)
    assert files_in(tmp_path / "here" / "tiny-net") == sorted(FILES[:2])


def test_what_is_no_backbone_is_not_remembered_as_one(hub, job, tmp_path, progress):
    (hub.root_of_files / "unet" / "config.json").write_text("{}")
    with pytest.raises(EngineError):
        run_job(job, progress)
    assert "download.json" not in files_in(tmp_path / "here" / "tiny-net")


@pytest.mark.parametrize(("name", "sentence"), [("huge-net", "choose one of tiny-net"), ("", "choose one of")])
def test_an_unknown_name(hub, job, progress, name, sentence):
    with pytest.raises(EngineError, match=sentence):
        run_job(replace(job, backbone=name), progress)


def test_the_bundled_backbone_needs_no_download(tmp_path, progress):
    with pytest.raises(EngineError, match="'landscapes64' comes with the plugin; leave BACKBONE empty"):
        run_job(DownloadBackbone(BUNDLED.name, str(tmp_path), True), progress)


def test_the_config_of_a_pipeline_can_be_chosen_too(hub):
    chosen = Backbone.load(str(hub.root_of_files / "unet" / "config.json"), choose_device("cpu", Progress()))
    assert chosen.path == hub.root_of_files


# The data that ships.


def test_the_registry_names_every_backbone_of_the_specification():
    assert [entry.name for entry in read_registry()] == [
        "landscapes64", "guided-diffusion-imagenet64", "improved-diffusion-imagenet64", "edm-imagenet64",
        "consistency-imagenet64", "ddpm-cifar10-32",
    ]  # fmt: skip


@pytest.mark.parametrize("entry", read_registry(), ids=lambda entry: entry.name)
def test_every_entry_says_what_a_person_must_know(entry):
    for text in (entry.title, entry.source, entry.licence, entry.conditioning, entry.note):
        assert text
    assert entry.image_size in (32, 64)
    assert entry.layers in (12, 16)
    assert entry.megabytes > 10
    for file in entry.files:
        assert file.url.startswith("https://")
        assert file.url.endswith(file.path)
        assert ("/resolve/{revision}/" in file.url) == ("huggingface.co" in file.url)
    assert bool(entry.files) == bool(entry.pins_at)
    assert entry.has_revisions == entry.source.startswith("https://huggingface.co/") if entry.files else entry.digest


def test_the_user_guide_tells_of_every_backbone():
    guide = (Path(__file__).parents[2] / "docs" / "user_guide.md").read_text(encoding="utf-8")
    for entry in read_registry():
        row = next(line for line in guide.splitlines() if line.startswith(f"| `{entry.name}` |"))
        assert f"| {entry.licence} |" in row
        assert f" {entry.image_size} pixels, {entry.layers} " in row


def test_the_bundled_backbone_is_the_registered_one():
    entry, backbone = read_registry()[0], Backbone.load("", choose_device("cpu", Progress()))
    assert entry.digest == backbone.sha256
    assert (entry.name, entry.image_size, entry.layers) == (backbone.name, backbone.patch, len(backbone.layers))


@pytest.mark.parametrize(
    "change",
    [
        {"name": "../x"}, {"revision": "main"}, {"digest": "12"}, {"layers": "12"}, {"title": 3},
        {"files": [{"path": "../../x.pt", "url": "https://example.org/x.pt", "sha256": None, "bytes": None}]},
        {"files": [{"path": "/x.pt", "url": "https://example.org/x.pt", "sha256": None, "bytes": None}]},
        {"files": [{"path": "C:\\x.pt", "url": "https://example.org/x.pt", "sha256": None, "bytes": None}]},
        {"files": [{"path": "x.pt", "url": "https://example.org/x.pt", "sha256": "12", "bytes": None}]},
        {"files": [{"path": "x.exe", "url": "https://example.org/x.exe", "sha256": None, "bytes": None}]},
        {"files": [{"path": "x.pt"}]}, {"files": 3},
    ],
)  # fmt: skip
def test_a_damaged_registry_is_named(tmp_path, monkeypatch, change):
    path = tmp_path / "registry.json"
    path.write_text(json.dumps({"backbones": [{**ENTRY, **change}]}))
    monkeypatch.setenv(VARIABLE, str(path))
    with pytest.raises(ValueError, match=rf"{re.escape(str(path))} cannot be used .*; restore it"):
        read_registry()
    path.write_text("[" * 100_000)
    with pytest.raises(ValueError, match=rf"{re.escape(str(path))} cannot be used .*; restore it"):
        read_registry()


def test_the_registrys_digest_holds_for_its_own_revision_only(monkeypatch, tmp_path):
    file = {"path": "x.pt", "url": "https://example.org/{revision}/x.pt", "sha256": "a" * 64, "bytes": 7}
    path = tmp_path / "registry.json"
    path.write_text(json.dumps({"backbones": [{**ENTRY, "revision": REVISION, "files": [file]}]}))
    monkeypatch.setenv(VARIABLE, str(path))
    entry = read_registry()[0]
    assert entry.pinned("", "").weights.sha256 == "a" * 64
    assert entry.pinned(REVISION.upper(), "").weights.bytes == 7
    with pytest.raises(ValueError, match="a known SHA256"):
        entry.pinned("b" * 40, "")
    assert entry.pinned("b" * 40, "C" * 64).weights == RegistryFile("x.pt", file["url"], "c" * 64, 0)
