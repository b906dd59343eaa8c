"""What the benchmarks have in common on the command line."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def head_of(benchmark: Path, own: bool) -> str:
    """How the page of a benchmark begins: what is measured and, unless the scenes are a user's own, what we found.

    Args:
        benchmark: the folder that holds `head.md` and `findings.md`.
    """
    parts = ("head.md",) if own else ("head.md", "findings.md")
    return "\n".join((benchmark / part).read_text(encoding="utf-8") for part in parts)


def folder_parser(description: str | None, folder: str) -> argparse.ArgumentParser:
    """A parser of where the real scenes lie and where results and pages go, `build/benchmarks/FOLDER` and `docs`."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("SPECTRAFILM_DATA", "../shared/data")))
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "benchmarks" / folder)
    parser.add_argument("--docs", type=Path, default=ROOT / "docs")
    return parser


def make_parser(
    description: str | None, folder: str, scenes: Sequence[str], known: Sequence[str]
) -> argparse.ArgumentParser:
    """A parser of where things are and which scenes are measured.

    Args:
        folder: name of the folder below `build/benchmarks` where results are kept.
        scenes: measured by default.
        known: all that can be chosen.
    """
    parser = folder_parser(description, folder)
    parser.add_argument("--plugins", type=Path, default=ROOT / "build" / "plugins")
    parser.add_argument("--python", required=True, help="interpreter of the compute environment")
    parser.add_argument("--scenes", nargs="*", default=list(scenes), choices=known)
    return parser
