"""Digests by which files are known again."""

from __future__ import annotations

import hashlib
from pathlib import Path

BLOCK = 1 << 24


def sha256_of(*paths: Path) -> str:
    """SHA-256 over the contents of files, one after the other."""
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while block := file.read(BLOCK):
                digest.update(block)
    return digest.hexdigest()
