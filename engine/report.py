"""HTML and JSON reports: one page that carries its pictures, and the same figures for machines."""

from __future__ import annotations

import base64
import dataclasses
import json
import math
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from .outputs import Outputs
from .version import plugin_version

TEMPLATES = Path(__file__).resolve().parent.parent / "resources" / "report"


def write_report(
    outputs: Outputs,
    destination: str,
    template: str,
    title: str,
    figures: Mapping[str, Any],
    page: Mapping[str, Any],
    pictures: Mapping[str, bytes],
) -> None:
    """Write `destination` (HTML) and its twin with the suffix `.json`.

    Args:
        template: file name in `resources/report`.
        figures: what both show; dataclasses and arrays become JSON.
        page: what only the page needs.
        pictures: PNG bytes by name.
    """
    environment = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined,
                              trim_blocks=True, lstrip_blocks=True)  # fmt: skip
    stamp = {"title": title, "version": plugin_version(), "date": f"{datetime.now():%Y-%m-%d %H:%M}"}
    html = environment.get_template(template).render(
        **stamp, **figures, **page, pictures={k: base64.b64encode(v).decode() for k, v in pictures.items()}
    )
    outputs.reserve(destination).write_text(html, encoding="utf-8")
    text = json.dumps(_plain({**stamp, **figures}), indent=1, allow_nan=False)
    outputs.reserve(json_twin(destination)).write_text(text + "\n", encoding="utf-8")


def json_twin(report: str) -> str:
    """Where the JSON beside an HTML report goes."""
    return str(Path(report).with_suffix(".json"))


def report_files(destination: str) -> list[str]:
    """What `write_report` writes; nothing where no report is wanted."""
    return [destination, json_twin(destination)] if destination else []


def _plain(value: Any) -> Any:
    """Values that JSON knows; NaN becomes null."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _plain({f.name: getattr(value, f.name) for f in dataclasses.fields(value)})
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if isinstance(value, np.generic):
        return _plain(value.item())
    return None if isinstance(value, float) and not math.isfinite(value) else value
