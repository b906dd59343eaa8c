"""The errors a user is shown."""

from __future__ import annotations

import textwrap

# Characters of what a library says.
LONGEST = 200


class EngineError(Exception):
    """What is wrong, where, and what to do about it, in one sentence a user can act on."""


def reason(error: BaseException) -> str:
    """Why something failed, within a sentence: what libraries say may have many lines."""
    return textwrap.shorten(str(error), LONGEST, placeholder="…")
