"""How the engine speaks while it works: progress, messages, and the point where a job may stop."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import TypeVar

Item = TypeVar("Item")


class Progress:
    """Receives progress and messages. This one keeps silent; subclasses show them.

    Progress is given in nested stages: within `with progress.stage(0.2, 0.9)` a `set(0.5)` means
    55 % of the whole. It never moves backwards.
    """

    def __init__(self) -> None:
        self._low, self._high = 0.0, 1.0
        self._shown = 0.0
        self.warnings: list[str] = []

    def set(self, fraction: float, until: float = 1.0) -> None:
        """Report how much of the current stage is done, and how much will be after the next step (0..1)."""
        position, end = (self._low + (self._high - self._low) * min(max(f, 0.0), 1.0) for f in (fraction, until))
        self._shown = max(self._shown, position)
        self.show(self._shown, max(self._shown, end))

    @contextmanager
    def stage(self, low: float, high: float, text: str = "") -> Iterator[None]:
        """Make what follows fill the part from `low` to `high` (0..1) of the current stage."""
        outer = self._low, self._high
        span = outer[1] - outer[0]
        self._low, self._high = outer[0] + span * low, outer[0] + span * high
        if text:
            self.info(text)
        self.set(0.0)
        yield
        self.set(1.0)
        self._low, self._high = outer

    def track(self, items: Collection[Item]) -> Iterator[Item]:
        """Yield the items, reporting progress after each."""
        for done, item in enumerate(items, 1):
            yield item
            self.set(done / len(items), (done + 1) / len(items))

    def show(self, fraction: float, until: float) -> None:
        """Overridden to display: `fraction` of the whole is done, the current step ends at `until`."""

    def info(self, text: str) -> None:
        """Overridden to tell the user what is being done."""

    def warning(self, text: str) -> None:
        """Tell the user what may spoil the result; kept in `warnings` for the report."""
        self.warnings.append(text)


class Quiet(Progress):
    """Passes progress on to the current stage of another one, and keeps messages to itself."""

    def __init__(self, outer: Progress) -> None:
        super().__init__()
        self._outer = outer

    def show(self, fraction: float, until: float) -> None:
        self._outer.set(fraction)


class Recorder(Progress):
    """Keeps messages and positions, for notebooks and tests."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[str] = []
        self.positions: list[float] = []

    def show(self, fraction: float, until: float) -> None:
        self.positions.append(fraction)

    def info(self, text: str) -> None:
        self.messages.append(text)
