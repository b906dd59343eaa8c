"""A web server on this machine that gives away a folder, with byte ranges, and misbehaves on demand."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit


@dataclass
class FileServer:
    """How it behaves, and what it did.

    Attributes:
        root: the folder.
        url: its address, without a slash at the end.
        ranges: whether it understands Range.
        break_after: bytes of a body after which it hangs up; None for never.
        stall: whether it keeps the line open instead of hanging up.
        silent: whether it takes requests and answers none.
        refuses_ranges: whether it answers 416 to any.
        padding: zeros that follow every body, whose length it then does not tell.
        redirect: where it sends everybody instead; empty for nowhere.
        versions: ETag by file name.
        sent: (path, status, bytes of the body) of every answer.
        asked: the first line of every request.
    """

    root: Path
    url: str = ""
    ranges: bool = True
    break_after: int | None = None
    stall: bool = False
    silent: bool = False
    refuses_ranges: bool = False
    padding: int = 0
    redirect: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    sent: list[tuple[str, int, int]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    closing: threading.Event = field(default_factory=threading.Event)


@contextmanager
def serving(root: Path) -> Iterator[FileServer]:
    """Serve a folder until the end of the block."""
    state = FileServer(root)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            state.asked.append(self.requestline)
            if state.silent:
                state.closing.wait()
                return
            if state.redirect:
                self.send_response(302)
                self.send_header("Location", state.redirect)
                self.end_headers()
                return
            # A proxy is asked for whole addresses.
            self._answer(urlsplit(self.path).path)

        def _answer(self, path):
            file = state.root / path.lstrip("/")
            if not file.is_file():
                state.sent.append((path, 404, 0))
                self.send_error(404)
                return
            content, tag = file.read_bytes(), state.versions.get(file.name, '"1"')
            if state.refuses_ranges and "Range" in self.headers:
                state.sent.append((path, 416, 0))
                self.send_error(416)
                return
            start = 0
            if state.ranges and "Range" in self.headers and self.headers["If-Range"] == tag:
                start = int(self.headers["Range"].removeprefix("bytes=").rstrip("-"))
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            self.send_header("Content-Length", "unknown" if state.padding else str(len(content) - start))
            self.send_header("ETag", tag)
            self.end_headers()
            body = content[start:][: state.break_after] + bytes(state.padding)
            state.sent.append((path, 206 if start else 200, len(body)))
            self.wfile.write(body)
            if state.stall:
                state.closing.wait()

        def log_message(self, *_arguments):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield state
    finally:
        state.closing.set()
        server.shutdown()
        server.server_close()
