"""One file over HTTP: whole, resumed, verified, or one sentence and nothing under its name."""

from __future__ import annotations

import hashlib
import shutil
import socket
from urllib.error import URLError
from urllib.request import HTTPSHandler

import pytest
from file_server import serving

from spectrafilm.engine import download
from spectrafilm.engine.download import DownloadError, fetch

CONTENT = bytes(range(256)) * 8192  # 2 MB: several blocks
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture(autouse=True)
def no_proxy_of_this_machine(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def server(tmp_path):
    (tmp_path / "www").mkdir()
    (tmp_path / "www" / "weights.bin").write_bytes(CONTENT)
    with serving(tmp_path / "www") as state:
        yield state


@pytest.fixture
def target(tmp_path):
    return tmp_path / "here" / "weights.bin"


@pytest.fixture
def get(server, target, progress):
    """Fetch the file; keywords change what is asked for."""

    def run(name="weights.bin", url="", sha256=DIGEST, size=0, proxy=""):
        fetch(url or f"{server.url}/{name}", target, sha256, size, proxy, progress)

    return run


@pytest.fixture
def interrupted(server, get, target):
    """A download of which 1 000 000 bytes are here."""
    server.break_after = 1_000_000
    with pytest.raises(DownloadError, match=r"broke after 1\.0 MB .*; run again to go on from there"):
        get()
    assert not target.exists()
    assert target.with_name("weights.bin.part").stat().st_size == 1_000_000
    server.break_after = None
    server.sent.clear()


def names(target):
    return sorted(path.name for path in target.parent.iterdir())


def test_a_whole_download_leaves_the_file_alone(server, get, target, progress):
    get()
    assert target.read_bytes() == CONTENT
    assert names(target) == ["weights.bin"]
    assert server.sent == [("/weights.bin", 200, len(CONTENT))]
    assert progress.positions == sorted(progress.positions)
    assert len(set(progress.positions)) > 4
    assert progress.positions[-1] == 1


def test_only_the_rest_of_an_interrupted_download_is_sent(server, get, target, interrupted):
    get()
    assert server.sent == [("/weights.bin", 206, len(CONTENT) - 1_000_000)]
    assert target.read_bytes() == CONTENT
    assert names(target) == ["weights.bin"]


def test_a_server_that_knows_no_ranges_sends_all_again(server, get, target, interrupted):
    server.ranges = False
    get()
    assert server.sent == [("/weights.bin", 200, len(CONTENT))]
    assert target.read_bytes() == CONTENT


def test_a_server_that_refuses_the_rest_is_asked_for_all(server, get, target, interrupted):
    server.refuses_ranges = True
    get()
    assert [status for _, status, _ in server.sent] == [416, 200]
    assert target.read_bytes() == CONTENT


def test_a_server_that_sends_without_end_is_stopped(server, get, target):
    server.padding = 50_000_000
    with pytest.raises(DownloadError, match="sends more than the"):
        get(size=len(CONTENT))
    assert names(target) == []


def test_what_changed_in_the_meantime_is_sent_anew(server, get, target, interrupted):
    changed = CONTENT[::-1]
    (server.root / "weights.bin").write_bytes(changed)
    server.versions["weights.bin"] = '"2"'
    get(sha256=hashlib.sha256(changed).hexdigest())
    assert server.sent == [("/weights.bin", 200, len(CONTENT))]
    assert target.read_bytes() == changed


def test_the_beginning_of_another_file_is_not_gone_on_with(server, get, target, interrupted):
    other = CONTENT[::-1]
    (server.root / "other.bin").write_bytes(other)
    get("other.bin", sha256=hashlib.sha256(other).hexdigest())
    assert server.sent == [("/other.bin", 200, len(CONTENT))]
    assert target.read_bytes() == other


def test_what_is_complete_but_for_its_name_is_not_sent_again(server, get, target, interrupted):
    target.with_name("weights.bin.part").write_bytes(CONTENT)
    get()
    assert server.sent == []
    assert target.read_bytes() == CONTENT


def test_another_digest_deletes_what_came_and_keeps_what_was_there(get, target):
    target.parent.mkdir()
    target.write_text("before")
    with pytest.raises(DownloadError, match=f"has the SHA-256 {DIGEST} instead of {'0' * 64}, so it was deleted"):
        get(sha256="0" * 64)
    assert names(target) == ["weights.bin"]
    assert target.read_text() == "before"


def test_another_size_is_noticed_before_the_transfer(server, get, target):
    server.break_after = 0
    with pytest.raises(DownloadError, match=f"has {len(CONTENT)} bytes for weights.bin instead of 17"):
        get(size=17)
    assert not names(target)


def test_a_full_disk_is_noticed_before_the_transfer(monkeypatch, get, target):
    usage = shutil.disk_usage("/")._replace(free=1_500_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _folder: usage)
    with pytest.raises(DownloadError, match=r"2\.1 MB are needed in .* and 1\.5 MB are free"):
        get()
    assert not names(target)


def test_a_disk_that_does_not_tell_its_size_is_taken_not_to_be_full(monkeypatch, get, target):
    """As some on a network."""
    usage = shutil.disk_usage("/")._replace(total=0, free=0)
    monkeypatch.setattr(shutil, "disk_usage", lambda _folder: usage)
    get()
    assert target.is_file()


def test_a_file_that_the_server_lacks(get):
    with pytest.raises(DownloadError, match=r"127\.0\.0\.1 has no none\.bin \(answer 404\); check the revision"):
        get("none.bin")


def test_a_server_that_is_gone(get):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/weights.bin"
    with pytest.raises(DownloadError, match=r"No connection to 127\.0\.0\.1 \("):
        get(url=url)


def test_a_server_that_keeps_silent(monkeypatch, server, get):
    monkeypatch.setattr(download, "TIMEOUT_SECONDS", 0.2)
    server.silent = True
    with pytest.raises(DownloadError, match=r"No answer from 127\.0\.0\.1 within"):
        get()


def test_the_usual_authorities_are_trusted_where_the_system_has_none(monkeypatch):
    """As a Python from python.org on macOS."""
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.setenv(name, "/nowhere")
    trusted = []

    def answer(handler, request):
        trusted.append(handler._context.cert_store_stats()["x509_ca"])
        raise URLError("nobody is asked here")

    monkeypatch.setattr(HTTPSHandler, "https_open", answer)
    with pytest.raises(DownloadError):
        download._open("https://example.org/weights.bin", None, 0, "")
    assert trusted[0] > 50


def test_a_name_that_cannot_be_looked_up(get):
    with pytest.raises(DownloadError, match=r"name of nowhere\.invalid cannot be looked up, .* offline"):
        get(url="https://nowhere.invalid/weights.bin")


def test_a_proxy_is_asked_for_the_whole_address(server, get, target):
    get(url="http://localhost:9/weights.bin", proxy=server.url.replace("//", "//user:secret@"))
    assert server.asked == ["GET http://localhost:9/weights.bin HTTP/1.1"]
    assert target.read_bytes() == CONTENT


def test_a_proxy_that_is_gone_is_named_without_its_password(get):
    with pytest.raises(DownloadError, match=r"No connection to the proxy 127\.0\.0\.1:9 ") as caught:
        get(proxy="http://user:secret@127.0.0.1:9")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("address", ["http://example.org/weights.bin", "ftp://example.org/w", "file:///etc/hostname"])
def test_only_https_is_safe_even_after_a_redirect(server, get, address):
    with pytest.raises(DownloadError, match=r"is not safe \(https\)"):
        get(url=address)
    server.redirect = address
    with pytest.raises(DownloadError, match=r"is not safe \(https\)|answers 302"):
        get()


def test_a_folder_that_cannot_be_made(target, get):
    target.parent.write_text("a file")
    with pytest.raises(DownloadError, match=r"weights\.bin cannot be written .*; choose another folder"):
        get()
