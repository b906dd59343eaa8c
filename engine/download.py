"""Fetching one file over HTTPS: resumed where it was interrupted, verified before it gets its name."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import ssl
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, HTTPSHandler, ProxyHandler, Request, build_opener

import certifi

from .digests import sha256_of
from .progress import Progress

TIMEOUT_SECONDS = 30.0
BLOCK = 1 << 18
MEGABYTE = 1_000_000
RANGE_NOT_SATISFIABLE = 416
LOCAL = ("127.0.0.1", "localhost", "::1")


class DownloadError(Exception):
    """What went wrong: the first half of a sentence, whose second says what to do instead."""


@dataclass(frozen=True)
class _Version:
    """What is known of the file that a `.part` belongs to; kept beside it.

    Attributes:
        url: its address.
        validator: what the server calls this version of it (ETag or Last-Modified); empty for nothing.
        size: its bytes; 0 where the server does not tell.
    """

    url: str
    validator: str
    size: int


class _SafeRedirects(HTTPRedirectHandler):
    """Follows no redirect that leaves HTTPS."""

    def redirect_request(self, *request: Any) -> Request | None:
        _check_address(request[-1])
        return super().redirect_request(*request)


def fetch(url: str, target: Path, sha256: str, size: int, proxy: str, progress: Progress) -> None:
    """Download a file.

    An interrupted download leaves `target` with `.part` at its end, from which the next one goes on.

    Args:
        url: its address; HTTPS, or HTTP on this machine.
        target: where it goes; a file that is there is replaced.
        sha256: what its digest must be; empty for anything.
        size: what its size in bytes must be; 0 for anything.
        proxy: address of a proxy; empty for that of the environment variables, if any.

    Raises:
        DownloadError: it cannot be had, does not fit on the disk, or is not what it should be.
    """
    _check_address(url)
    part = _beside(target, ".part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _complete(url, part, size, proxy, progress)
        found = sha256_of(part) if sha256 else ""
        if found != sha256:
            _forget(part)
            raise DownloadError(
                f"What {urlsplit(url).hostname} sent for {target.name} has the SHA-256 {found} instead of {sha256}, "
                "so it was deleted; check the SHA-256 and the revision"
            )
        os.replace(part, target)
        _forget(part)
    except OSError as error:
        raise DownloadError(f"{target} cannot be written ({error.strerror or error}); choose another folder") from error


def _complete(url: str, part: Path, size: int, proxy: str, progress: Progress) -> None:
    """Download what is missing of a `.part`."""
    version, done = _read_version(part, url)
    if version and done == version.size:
        return
    with contextlib.closing(_open(url, version, done, proxy)) as response:
        resumed = response.status == 206 and response.headers.get("Content-Range", "").startswith(f"bytes {done}-")
        done = done if resumed else 0
        sent = response.headers.get("Content-Length") or ""
        length = int(sent) if sent.isdigit() else 0
        total = done + length if length else size
        if size and total != size:
            raise DownloadError(
                f"{urlsplit(url).hostname} has {total} bytes for {part.stem} instead of {size}, so it is another file"
            )
        _check_space(part.parent, total - done)
        _write_version(part, _version_of(url, response, total))
        done = _receive(response, url, part, done, total, progress)
    if total and done > total:
        _forget(part)
        raise DownloadError(f"{urlsplit(url).hostname} sends more than the {_mb(total)} that {part.stem} has")
    if total and done != total:
        raise DownloadError(_broken(url, done, "it ended early"))


def _receive(response: HTTPResponse, url: str, part: Path, done: int, total: int, progress: Progress) -> int:
    """Append to a `.part` of `done` bytes what the server sends; the bytes it has then."""
    verb = "Going on with" if done else "Downloading"
    large = total > 10 * MEGABYTE
    if large:
        have = f", of which {_mb(done)} are here" if done else ""
        progress.info(f"{verb} {part.stem}, {_mb(total)}{have}, from {urlsplit(url).hostname}.")
    told = 10 * done // total if total else 0
    with part.open("ab" if done else "wb") as file:
        for block in _blocks(response, url, done):
            file.write(block)
            done += len(block)
            if total and done > total:
                break
            progress.set(done / total if total else 0.0)
            if large and 10 * done // total > told:
                told = 10 * done // total
                progress.info(f"{_mb(done)} of {_mb(total)}")
    return done


def _blocks(response: HTTPResponse, url: str, done: int) -> Iterator[bytes]:
    while True:
        try:
            block = response.read(BLOCK)
        except (OSError, HTTPException) as error:
            raise DownloadError(_broken(url, done, str(error) or type(error).__name__)) from error
        if not block:
            return
        done += len(block)
        yield block


def _open(url: str, version: _Version | None, done: int, proxy: str) -> HTTPResponse:
    """The server's answer to a request for a file, or for its rest."""
    headers = {"User-Agent": "SpectraFiLM", "Accept-Encoding": "identity"}
    if version:
        # The whole file comes where it has changed in the meantime.
        headers |= {"Range": f"bytes={done}-", "If-Range": version.validator}
    proxies = ProxyHandler({"http": proxy, "https": proxy} if proxy else None)
    opener = build_opener(_SafeRedirects, proxies, HTTPSHandler(context=_trusting()))
    request = Request(url, headers=headers)  # noqa: S310  its scheme has been checked
    try:
        response: HTTPResponse = opener.open(request, timeout=TIMEOUT_SECONDS)
    except (OSError, HTTPException, ValueError) as error:
        if version and isinstance(error, HTTPError) and error.code == RANGE_NOT_SATISFIABLE:
            return _open(url, None, 0, proxy)  # the file has changed
        raise DownloadError(_unreachable(url, error, proxy)) from error
    return response


def _trusting() -> ssl.SSLContext:
    """Whom to trust: those that the system does, and the usual ones.

    A Python from python.org knows none on macOS, and a new Windows few.
    """
    context = ssl.create_default_context()
    context.load_verify_locations(cadata=certifi.contents())
    return context


def _check_address(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in LOCAL):
        raise DownloadError(f"The address {parts.scheme}://{parts.hostname} is not safe (https)")


def _check_space(folder: Path, needed: int) -> None:
    usage = shutil.disk_usage(folder)
    # Some disks on a network do not tell, and then have no size at all.
    if usage.total and needed > usage.free:
        raise DownloadError(
            f"{_mb(needed)} are needed in {folder} and {_mb(usage.free)} are free; choose another folder"
        )


def _unreachable(url: str, error: Exception, proxy: str) -> str:
    """Why a server gave no file."""
    parts = urlsplit(url)
    peer = f"the proxy {_host(proxy)}" if proxy else parts.hostname
    if isinstance(error, HTTPError):
        path = parts.path.lstrip("/")
        reasons = {
            401: f"{parts.hostname} gives {path} only to those who log in (answer 401)",
            403: f"{parts.hostname} does not give {path} away (answer 403)",
            404: f"{parts.hostname} has no {path} (answer 404); check the revision",
            407: f"{peer} asks for a user and a password (answer 407); give them in the address of the proxy",
        }
        return reasons.get(error.code, f"{parts.hostname} answers {error.code} ({error.reason}) for {path}")
    reason = error.reason if isinstance(error, URLError) else error
    if isinstance(reason, socket.gaierror):
        return f"The name of {peer} cannot be looked up, so this machine seems to be offline"
    if isinstance(reason, TimeoutError):
        return f"No answer from {peer} within {TIMEOUT_SECONDS:.0f} seconds"
    if isinstance(reason, ssl.SSLCertVerificationError):
        return f"The certificate of {parts.hostname} is not trusted here ({reason.verify_message})"
    return f"No connection to {peer} ({getattr(reason, 'strerror', None) or reason})"


def _broken(url: str, done: int, reason: str) -> str:
    host = urlsplit(url).hostname
    return f"The connection to {host} broke after {_mb(done)} ({reason}); run again to go on from there"


def _version_of(url: str, response: HTTPResponse, size: int) -> _Version:
    tag = response.headers.get("ETag", "")
    # A weak tag may stand for different bytes.
    strong = tag if tag and not tag.startswith("W/") else response.headers.get("Last-Modified", "")
    return _Version(url, strong, size)


def _read_version(part: Path, url: str) -> tuple[_Version | None, int]:
    """The version that a `.part` of this address belongs to, and its bytes; None and 0 where none can go on."""
    with contextlib.suppress(OSError, ValueError, TypeError):
        version = _Version(**json.loads(_beside(part, ".json").read_text(encoding="utf-8")))
        done = part.stat().st_size
        if version.url == url and version.validator and 0 < done <= version.size:
            return version, done
    return None, 0


def _write_version(part: Path, version: _Version) -> None:
    _beside(part, ".json").write_text(json.dumps(asdict(version)) + "\n", encoding="utf-8")


def _forget(part: Path) -> None:
    for path in (part, _beside(part, ".json")):
        path.unlink(missing_ok=True)


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _host(proxy: str) -> str:
    """Host and port of a proxy, without its password."""
    return urlsplit(proxy).netloc.rpartition("@")[2] or proxy.rpartition("@")[2]


def _mb(count: int) -> str:
    return f"{count / MEGABYTE:,.1f} MB".replace(",", " ")
