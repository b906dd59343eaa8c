"""Download backbone, through QGIS: agreed to, resumed after a cancelled run, and given on as a path."""

from __future__ import annotations

import hashlib
import json
import threading
import time

import processing
import pytest
from file_server import serving
from in_qgis import ROOT
from qgis.core import QgsNetworkAccessManager, QgsProcessingException
from qgis.PyQt.QtNetwork import QNetworkProxy

from spectrafilm.engine.backbone_registry import VARIABLE, read_registry
from spectrafilm.plugin import settings

BUNDLED = ROOT / "resources" / "backbones" / "landscapes64"
WEIGHTS = "diffusion_pytorch_model.safetensors"
NAMES = ["config.json", "scheduler_config.json", WEIGHTS]


@pytest.fixture
def server(tmp_path, monkeypatch):
    """The bundled backbone as one to download, from this machine."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with serving(BUNDLED) as state:
        files = [
            {"path": name, "url": f"{state.url}/{name}", "bytes": (BUNDLED / name).stat().st_size,
             "sha256": hashlib.sha256((BUNDLED / name).read_bytes()).hexdigest()}
            for name in NAMES
        ]  # fmt: skip
        entry = {
            "name": "copy", "title": "A copy", "source": state.url, "revision": None, "digest": None, "pins_at": "",
            "licence": "research use", "conditioning": "none", "image_size": 64, "layers": 12, "megabytes": 19,
            "note": "For tests.", "files": files,
        }  # fmt: skip
        registry = tmp_path / "registry.json"
        registry.write_text(json.dumps({"backbones": [entry]}))
        monkeypatch.setenv(VARIABLE, str(registry))
        yield state


@pytest.fixture
def run(server, provider, feedback, tmp_path):
    """Run the algorithm; keywords are its parameters."""

    def run(feedback=feedback, **parameters):
        parameters = {"NAME": "copy", "FOLDER": str(tmp_path / "backbones"), **parameters}
        return processing.run("spectrafilm:downloadbackbone", parameters, feedback=feedback)

    return run


def test_without_consent_nothing_is_asked_of_the_server(server, run, tmp_path):
    with pytest.raises(QgsProcessingException) as caught:
        run()
    for fact in ("A copy", "19 MB", server.url, "research use", "CONSENT"):
        assert fact in str(caught.value)
    assert server.asked == []
    assert not (tmp_path / "backbones").exists()


def test_a_cancelled_download_goes_on_in_the_next_run(server, run, feedback, tmp_path):
    folder = tmp_path / "backbones" / "copy"
    part = folder / f"{WEIGHTS}.part"
    server.break_after, server.stall = 1_100_000, True

    def cancel():
        while not (part.is_file() and part.stat().st_size > 500_000):
            time.sleep(0.05)
        feedback.cancel()

    threading.Thread(target=cancel, daemon=True).start()
    with pytest.raises(QgsProcessingException, match="cancelled"):
        run(CONSENT=True)
    kept = part.stat().st_size
    assert not (folder / WEIGHTS).exists()

    server.break_after, server.stall = None, False
    server.sent.clear()
    listener = type(feedback)()
    path = run(listener, CONSENT=True)["BACKBONE"]
    size = (BUNDLED / WEIGHTS).stat().st_size
    assert server.sent == [(f"/{WEIGHTS}", 206, size - kept)]
    assert path == str(folder)
    assert (folder / WEIGHTS).read_bytes() == (BUNDLED / WEIGHTS).read_bytes()
    assert not part.exists()
    assert any("12 decoder layers" in text for text in listener.infos)
    assert listener.positions == sorted(listener.positions)


def test_the_choice_is_that_of_the_registry_without_the_bundled_one(provider, monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    algorithm = provider.algorithm("downloadbackbone").create()
    definition = algorithm.parameterDefinition("NAME")
    entries = read_registry()[1:]
    assert definition.options() == [entry.name for entry in entries]
    assert all(entry.facts() in definition.help() for entry in entries)


def test_a_damaged_registry_says_so_in_the_toolbox(provider, monkeypatch, tmp_path):
    monkeypatch.setenv(VARIABLE, str(tmp_path / "none.json"))
    ok, reason = provider.algorithm("downloadbackbone").create().canExecute()
    assert not ok
    assert "none.json cannot be used" in reason


def test_the_proxy_of_qgis_keeps_its_password_in_one_piece(qgis_app):
    manager = QgsNetworkAccessManager.instance()
    before = manager.fallbackProxy()
    try:
        proxy = QNetworkProxy(QNetworkProxy.ProxyType.HttpProxy, "proxy.example.org", 8080, "me", "a@b/c")
        manager.setFallbackProxyAndExcludes(proxy, [], [])
        assert settings.qgis_proxy() == "http://me:a%40b%2Fc@proxy.example.org:8080"
    finally:
        manager.setFallbackProxyAndExcludes(before, [], [])
