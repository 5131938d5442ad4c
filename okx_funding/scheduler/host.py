"""What one session knows of one host: its gate, its clock, and how many retries it is worth."""

from __future__ import annotations

import math

from aiolimiter import AsyncLimiter

from okx_funding.ratelimit.pacer import acquire_now
from okx_funding.scheduler.retry import RETRY_AFTER_CAP, RetryBudget

_GATE = 1.0
_FIRST_GATE = 0.1
_FRESH = 60.0
_JUMP = 5.0


class Host:
    """Shared by every lane of one origin."""

    def __init__(self, origin: str, limiter: AsyncLimiter | None = None) -> None:
        self.origin = origin
        self.limiter = limiter
        """What the user lets pass all requests of the session."""
        self.budget: RetryBudget = RetryBudget()
        self.closed_until: float = -math.inf
        """Until then no endpoint of the host is asked: its gateway said so."""
        self.clock_offset: float = 0.0
        """OKX's clock less this machine's, in seconds, once it was learned."""
        self.clock_version: int = 0
        """How many times it was learned."""
        self._learned_at = -math.inf
        self._wall = 0.0
        self._missed = 0

    def free_at(self, now: float) -> float:
        """From when on it may be asked, as far as gate and limiter know."""
        limiter = self.limiter
        if limiter is None or now < self.closed_until or limiter.has_capacity():
            return self.closed_until
        return now + limiter.time_period / limiter.max_rate

    def spend(self) -> None:
        """A request leaves, and `free_at` said that it may."""
        if self.limiter is not None:
            acquire_now(self.limiter)

    def close_gate(self, now: float, retry_after: float | None) -> None:
        """The gateway in front of OKX refuses this address for a while."""
        wait = min(retry_after or _GATE, RETRY_AFTER_CAP)
        self.closed_until = max(self.closed_until, now + wait)

    def unreachable(self, now: float, dice: float) -> None:
        """No connection came about: nobody tries for a moment, each time for a longer one."""
        if now >= self.closed_until:  # of those who tried at the same time, one speaks for all
            wait = min(_GATE, _FIRST_GATE * 2.0 ** min(self._missed, 9))
            self._missed += 1
            self.closed_until = now + wait * (1 + dice / 2)

    def reached(self) -> None:
        """A connection came about."""
        self._missed = 0

    def set_clock(self, offset: float, now: float, wall: float) -> None:
        """Sign by this offset from now on; ``wall`` is the clock that it corrects."""
        self.clock_offset = offset
        self.clock_version += 1
        self._learned_at = now
        self._wall = wall - now

    def clock_is_fresh(self, now: float, wall: float) -> bool:
        """Whether learning it again would tell nothing new: a short while ago, and no jump."""
        return now < self._learned_at + _FRESH and abs(wall - now - self._wall) < _JUMP
