"""Spacing requests out, where a limit is to be spread."""

from __future__ import annotations

import math

from aiolimiter import AsyncLimiter

from okx_funding.api.spec import RateLimit

SMOOTH = 1.25
"""A limit that is spread leaves this many times W/N between two requests: even the two weighted
counters with which some gateways approximate a window then refuse nothing."""
_TICK = 1e-6


class Pacer:
    """Keeps the distance between two requests of a spread limit; lets all others pass at once."""

    def __init__(self, limit: RateLimit, last_sent_at: float = -math.inf) -> None:
        self.gap: float = 0.0
        """Seconds between two requests."""
        self.free_at: float = -math.inf
        """When the next request may leave."""
        self._limiter: AsyncLimiter | None = None
        if limit.spread:
            self.gap = SMOOTH * limit.period / limit.count
            self._limiter = AsyncLimiter(1, self.gap)
            self.free_at = last_sent_at + self.gap

    def lets_pass(self, now: float) -> bool:
        """Tell whether a request may leave now."""
        if now < self.free_at:
            return False
        if self._limiter is not None and not self._limiter.has_capacity():
            self.free_at = now + _TICK
            return False
        return True

    def spend(self, now: float) -> None:
        """Note that a request leaves, which `lets_pass` allowed."""
        if self._limiter is not None:
            acquire_now(self._limiter)
            self.free_at = now + self.gap

    def delay_until(self, when: float) -> None:
        """Let nothing pass before ``when``."""
        self.free_at = max(self.free_at, when)


def acquire_now(limiter: AsyncLimiter) -> None:
    """Acquire what is known to fit; `AsyncLimiter.acquire` then never suspends."""
    acquiring = limiter.acquire()
    try:
        acquiring.send(None)
    except StopIteration:
        return
    acquiring.close()
    raise AssertionError("a limiter with capacity made its caller wait")
