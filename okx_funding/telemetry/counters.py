"""What was counted: calls and requests of a client, of a lane, of a whole session."""

from __future__ import annotations

import weakref


class Counters:
    """What was counted for one client, or for one lane.

    ``total`` is the sum for a whole session: it asks its living parts, and inherits from a part
    that ends, so that counting costs one addition.
    """

    __slots__ = (
        "__weakref__",
        "answered",
        "calls",
        "cancelled",
        "failed",
        "over",
        "refused",
        "requests",
        "retries",
        "shut",
        "total",
    )

    def __init__(self, total: TotalCounters | None = None) -> None:
        self.calls: int = 0
        self.answered: int = 0
        self.failed: int = 0
        self.cancelled: int = 0
        self.requests: int = 0
        self.refused: int = 0
        self.retries: int = 0
        self.shut: bool = False
        """Whether its client takes no more calls."""
        self.over: bool = False
        """Whether its client is closed: nothing is asked once more for it."""
        self.total: TotalCounters | None = total
        if total is not None:
            total.living.add(self)

    def __del__(self) -> None:
        if self.total is not None:
            self.total.ended.include(self)

    def include(self, other: Counters) -> None:
        """Count all that ``other`` counted."""
        self.calls += other.calls
        self.answered += other.answered
        self.failed += other.failed
        self.cancelled += other.cancelled
        self.requests += other.requests
        self.refused += other.refused
        self.retries += other.retries


class TotalCounters:
    """The sum of tallies that live and of those that ended."""

    def __init__(self) -> None:
        self.living: weakref.WeakSet[Counters] = weakref.WeakSet()
        self.ended: Counters = Counters()

    def shut(self) -> None:
        """No more calls are taken."""
        for counters in list(self.living):
            counters.shut = True

    def sum(self) -> Counters:
        """All that was counted."""
        everything = Counters()
        for counters in (self.ended, *self.living):
            everything.include(counters)
        return everything
