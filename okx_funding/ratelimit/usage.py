"""What was sent against a limit: the counters of a bucket, wherever it keeps its slots."""

from __future__ import annotations

import math
from collections import deque
from typing import Protocol

from okx_funding.api.spec import RateLimit

_WINDOWS = 10
"""Windows over which the utilisation of a limit is reckoned, at most."""
_MOST_SENDS = 1000


class CountedSlot(Protocol):
    """What the counters need of a slot."""

    sent_at: float
    keys: int
    callers: int


class UsageCounters:
    """Counts requests, keys and callers, and remembers when the last requests left."""

    limit: RateLimit

    def __init__(self) -> None:
        self.sent: int = 0
        self.refusals: int = 0
        self.keys_sent: int = 0
        self.callers_served: int = 0
        self._sends: deque[float] = deque()

    def count_refusal(self) -> None:
        """Count a request that OKX refused."""
        self.refusals += 1

    def load(self, slot: CountedSlot, keys: int, callers: int) -> None:
        """Count what the request of ``slot`` carries."""
        slot.keys, slot.callers = keys, callers
        self.keys_sent += keys
        self.callers_served += callers

    def utilisation(self, now: float) -> float:
        """Share of the limit used over the last windows, up to ten of them."""
        if not self._sends:
            return 0.0
        window = self.limit.period
        span = min(_WINDOWS * window, max(window, now - self._sends[0]))
        recent = sum(sent_at >= now - span for sent_at in self._sends)
        return min(1.0, recent / (self.limit.rate * span))

    @property
    def last_sent_at(self) -> float:
        """When the last request left; -inf before the first."""
        return self._sends[-1] if self._sends else -math.inf

    def _bound_sends(self) -> None:
        """Remember as many requests as the windows hold under the limit as it is now."""
        most = min(_WINDOWS * self.limit.count, _MOST_SENDS)
        self._sends = deque(self._sends, maxlen=most)

    def _count_send(self, now: float) -> None:
        self.sent += 1
        self._sends.append(now)

    def _uncount(self, slot: CountedSlot) -> None:
        """Nothing left for ``slot``."""
        self.sent -= 1
        self.keys_sent -= slot.keys
        self.callers_served -= slot.callers
        if slot.sent_at in self._sends:
            self._sends.remove(slot.sent_at)

    def add_usage(self, other: UsageCounters, shift: float = 0.0) -> None:
        """Add what ``other`` counted by a clock ``shift`` seconds behind."""
        self.sent += other.sent
        self.refusals += other.refusals
        self.keys_sent += other.keys_sent
        self.callers_served += other.callers_served
        sends = [*self._sends, *(at + shift for at in other._sends)]
        self._sends = deque(sorted(sends), self._sends.maxlen)
