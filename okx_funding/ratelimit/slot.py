"""A slot: the right to one request."""

from __future__ import annotations

import math

GUARD = 0.002
"""Seconds added to a window, for clocks that count whole milliseconds."""


class Slot:
    """The right to one request, which holds it until its answer has been read."""

    __slots__ = (
        "callers",
        "cooldown_until",
        "credit",
        "free_at",
        "keys",
        "seen_by",
        "sent_at",
        "window",
    )

    def __init__(self, window: float, seen_by: float = -math.inf) -> None:
        self.window: float = window
        """Seconds for which its last request counts."""
        self.sent_at: float = -math.inf
        self.seen_by: float = seen_by
        """The latest moment at which the exchange can have seen its last request."""
        self.credit: float = 0.0
        """Seconds before ``seen_by`` at which it surely had, as round trips of late say."""
        self.cooldown_until: float = -math.inf
        self.free_at: float = -math.inf
        self.keys: int = 0
        self.callers: int = 0
        """What its request carries."""
        self._set_free()

    def take(self, window: float, now: float) -> None:
        """Take it for a request that leaves now."""
        self.window = window
        self.sent_at = now
        self.keys = self.callers = 0

    def release(self, seen_by: float, credit: float) -> None:
        """Note when its request was seen at the latest: free a window and the guard later."""
        self.seen_by = seen_by
        self.credit = min(credit, seen_by - self.sent_at)
        self._set_free()

    def reduce_credit(self, credit: float) -> None:
        """Trust no more than ``credit``."""
        if credit < self.credit:
            self.credit = credit
            self._set_free()

    def rebase(self, window: float, not_before: float = -math.inf, shift: float = 0.0) -> None:
        """Go by another window or clock: what was seen stays seen.

        The slot stands for whatever was seen until ``not_before``, too.
        """
        self.window = window
        self.seen_by += shift
        self.cooldown_until += shift
        if self.seen_by - self.credit < not_before:
            self.seen_by, self.credit = not_before, 0.0
        self._set_free()

    def _set_free(self) -> None:
        seen = self.seen_by - self.credit
        self.free_at = max(seen + self.window + GUARD, self.cooldown_until)
