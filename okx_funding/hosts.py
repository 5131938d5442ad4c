"""What one session knows of one host: its gate, its clock, and how many retries it is worth."""

from __future__ import annotations

import math

from .retry import RETRY_AFTER_CAP, RetryBudget

_GATE = 1.0
_FRESH = 60.0


class Host:
    """Shared by every lane of one origin."""

    def __init__(self, origin: str) -> None:
        self.origin = origin
        self.budget = RetryBudget()
        self.closed_until = -math.inf
        """Until then no endpoint of the host is asked: its gateway said so."""
        self.clock_offset = 0.0
        """OKX's clock less this machine's, in seconds, once it was learned."""
        self.clock_version = 0
        """How many times it was learned."""
        self._learned_at = -math.inf

    def close_gate(self, now: float, retry_after: float | None) -> None:
        """The gateway in front of OKX refuses this address for a while."""
        wait = min(retry_after or _GATE, RETRY_AFTER_CAP)
        self.closed_until = max(self.closed_until, now + wait)

    def set_clock(self, offset: float, now: float) -> None:
        """Sign by this offset from now on."""
        self.clock_offset = offset
        self.clock_version += 1
        self._learned_at = now

    def clock_is_fresh(self, now: float) -> bool:
        """Whether learning it again would tell nothing new."""
        return now < self._learned_at + _FRESH
