"""JSON that others may have written."""

from __future__ import annotations

import json
from typing import Any


def parse_json(text: str) -> Any:
    """What a text says.

    Raises:
        ValueError: it is no JSON, or nested too deeply to be anything of ours.
    """
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
