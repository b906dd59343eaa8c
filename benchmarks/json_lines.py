"""Figures kept as they are measured, one JSON object a line, so that an interrupted benchmark goes on where it was."""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any


def read_lines(path: Path) -> list[dict[str, Any]]:
    """All records of a file, none where there is no file; a line that was cut off is left out."""
    records = []
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            with suppress(json.JSONDecodeError):
                records.append(json.loads(line))
    return records


def append_lines(path: Path, records: Iterable[dict[str, Any]]) -> None:
    """Add records to a file, each as soon as it is there."""
    cut_off = path.exists() and not path.read_bytes().endswith(b"\n")
    with path.open("a", encoding="utf-8") as file:
        if cut_off:
            file.write("\n")
        for record in records:
            file.write(json.dumps(record) + "\n")
            file.flush()
