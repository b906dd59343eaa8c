"""The plugin's version, from the one place that states it."""

from __future__ import annotations

from configparser import ConfigParser
from pathlib import Path


def plugin_version() -> str:
    """`version` of metadata.txt."""
    parser = ConfigParser(interpolation=None)
    parser.read(Path(__file__).resolve().parent.parent / "metadata.txt", encoding="utf-8")
    return parser.get("general", "version")
