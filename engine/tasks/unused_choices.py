"""What is said of choices that another one overrules, by every task alike."""

from __future__ import annotations

from collections.abc import Mapping

from ..progress import Progress


def warn_of_unused(choices: Mapping[str, object], reason: str, progress: Progress) -> None:
    """Warn of those choices that are given, by the names that users know."""
    names = [name for name, value in choices.items() if value]
    if names:
        progress.warning(f"Not used, since {reason}: {', '.join(names)}.")
