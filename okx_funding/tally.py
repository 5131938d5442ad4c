"""What was counted: calls and requests of a client, of a lane, of a whole session."""

from __future__ import annotations

import weakref


class Tally:
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

    def __init__(self, total: Total | None = None) -> None:
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
        self.total: Total | None = total
        if total is not None:
            total.living.add(self)

    def __del__(self) -> None:
        if self.total is not None:
            self.total.ended.include(self)

    def include(self, other: Tally) -> None:
        """Count all that ``other`` counted."""
        self.calls += other.calls
        self.answered += other.answered
        self.failed += other.failed
        self.cancelled += other.cancelled
        self.requests += other.requests
        self.refused += other.refused
        self.retries += other.retries


class Total:
    """The sum of tallies that live and of those that ended."""

    def __init__(self) -> None:
        self.living: weakref.WeakSet[Tally] = weakref.WeakSet()
        self.ended: Tally = Tally()

    def shut(self) -> None:
        """No more calls are taken."""
        for tally in list(self.living):
            tally.shut = True

    def sum(self) -> Tally:
        """All that was counted."""
        everything = Tally()
        for tally in (self.ended, *self.living):
            everything.include(tally)
        return everything
