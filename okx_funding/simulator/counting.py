"""Judges of arrivals: four ways in which an exchange may count "N requests per period".

OKX doesn't say how it counts (https://www.okx.com/docs-v5/en/#overview-rate-limits), so a client
has to satisfy them all. The sliding log is the strictest that is plausible: what it admits, the
fixed windows and the token bucket admit too. Pure: a judge is told the time of each arrival, in
seconds, never falling, and keeps no more than the last ``count`` of them. An arrival costs O(1).

A window is half-open: an arrival at ``t`` weighs on ``[t, t + period)`` and no longer.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from typing import Literal, Protocol

_ROUNDING = 1e-9
"""Tokens that a bucket forgives, lest the rounding of floats refuses an arrival that is on time."""


class Judge(Protocol):
    """Decides for each arrival whether it is admitted."""

    def admit(self, now: float) -> bool:
        """Whether the arrival at ``now`` seconds is within the limit; if so, it is counted."""
        ...


class SlidingLog:
    """At most ``count`` arrivals in any window of ``period`` seconds, exactly."""

    def __init__(self, count: int, period: float, *, count_refused: bool = False) -> None:
        self._period = period
        self._count_refused = count_refused
        self._latest: deque[float] = deque(maxlen=count)
        self._count = count

    def admit(self, now: float) -> bool:
        latest = self._latest
        admitted = len(latest) < self._count or now >= latest[0] + self._period
        if admitted or self._count_refused:
            latest.append(now)
        return admitted


class FixedWindow:
    """At most ``count`` arrivals in each window of ``period`` seconds, one window after the other.

    ``aligned="clock"``: windows begin at the multiples of the period. ``"first"``: a window begins
    with the first arrival after the last one ended, as a counter that expires in Redis does.
    """

    def __init__(
        self,
        count: int,
        period: float,
        *,
        aligned: Literal["clock", "first"] = "clock",
        count_refused: bool = False,
    ) -> None:
        self._count = count
        self._period = period
        self._aligned = aligned
        self._count_refused = count_refused
        self._start = -math.inf
        self._used = 0

    def admit(self, now: float) -> bool:
        if self._aligned == "clock":
            start = math.floor(now / self._period)
            if start != self._start:
                self._start, self._used = start, 0
        elif now >= self._start + self._period:
            self._start, self._used = now, 0
        admitted = self._used < self._count
        if admitted or self._count_refused:
            self._used += 1
        return admitted


class TokenBucketJudge:
    """A bucket of ``count`` tokens, full at first, that refills at ``count / period`` a second.

    With ``count_refused`` an arrival that finds less than one token empties the bucket.
    """

    def __init__(self, count: int, period: float, *, count_refused: bool = False) -> None:
        self._count = count
        self._rate = count / period
        self._count_refused = count_refused
        self._tokens = float(count)
        self._at = -math.inf

    def admit(self, now: float) -> bool:
        self._tokens = min(self._count, self._tokens + (now - self._at) * self._rate)
        self._at = now
        admitted = self._tokens >= 1 - _ROUNDING
        if admitted:
            self._tokens -= 1
        elif self._count_refused:
            self._tokens = 0.0
        return admitted


class WeightedWindow:
    """The two counters by which gateways approximate a sliding window.

    Windows begin at the multiples of the period. An arrival is admitted while the count of this
    window, and that of the last one by the share of it that a sliding window would still see, are
    together below ``count``. It forgets when within a window the arrivals came, so it refuses
    bursts that the sliding log admits.
    """

    def __init__(self, count: int, period: float, *, count_refused: bool = False) -> None:
        self._count = count
        self._period = period
        self._count_refused = count_refused
        self._index = -math.inf
        self._used = 0
        self._before = 0

    def admit(self, now: float) -> bool:
        position = now / self._period
        index = math.floor(position)
        if index != self._index:
            self._before = self._used if index == self._index + 1 else 0
            self._index, self._used = index, 0
        estimate = self._before * (1 - (position - index)) + self._used
        admitted = estimate < self._count
        if admitted or self._count_refused:
            self._used += 1
        return admitted


_JUDGES: dict[str, Callable[[int, float], Judge]] = {
    "sliding": SlidingLog,
    "fixed": FixedWindow,
    "fixed-first": lambda count, period: FixedWindow(count, period, aligned="first"),
    "token-bucket": TokenBucketJudge,
    "weighted": WeightedWindow,
}

JUDGES = tuple(_JUDGES)
"""The names that ``make_judge`` knows."""


def make_judge(name: str, count: int, period: float) -> Judge:
    """A fresh judge of at most ``count`` arrivals per ``period`` seconds.

    Raises ValueError for a name that isn't one of ``JUDGES``.
    """
    try:
        maker = _JUDGES[name]
    except KeyError:
        raise ValueError(f"no judge is called {name!r}; there are {', '.join(_JUDGES)}") from None
    return maker(count, period)
