"""What the round trips of late teach: how much of them a slot may be credited."""

from __future__ import annotations

from .slot import GUARD

CREDITED = 0.8
"""Share of the shortest round trip of late that a slot is credited, at any distance, and half the
guard besides: a route may become shorter by the fifth that is left, at once."""


class RoundTrips:
    """The shortest round trips of late, and how much of them a slot may be credited."""

    EPOCH = 512

    def __init__(self, wanted: int) -> None:
        self.wanted = wanted
        self.count: int = 0
        self.mean: float = 0.0
        """Seconds that a round trip takes of late."""
        self.shortest: float = 0.0
        self.credit: float = 0.0
        """Seconds before its answer by which a request had surely arrived, and the next
        surely takes to get there."""
        self._now: list[float] = []
        self._before: list[float] = []
        self._left = self.EPOCH
        self._longest = self._longest_before = 0.0

    @property
    def longest(self) -> float:
        """The longest round trip of late."""
        return max(self._longest, self._longest_before)

    def add_cold(self, seconds: float) -> None:
        """Add one that began with making a connection, and so says little of the route."""
        if not self.count:
            self.mean = seconds

    def add(self, seconds: float) -> bool:
        """Add one. Gives whether less may be credited now than before."""
        self.count += 1
        weight = 1 / self.count if self.count < 32 else 1 / 32
        self.mean += (seconds - self.mean) * weight
        if seconds > self._longest:
            self._longest = seconds
        self._left -= 1
        four = self._now
        if self._left and len(four) == 4 and seconds >= four[3] and self.count != self.wanted:
            return False
        before = self.credit
        if len(four) < 4 or seconds < four[3]:
            four.append(seconds)
            four.sort()
            del four[4:]
        if not self._left:
            self._left = self.EPOCH
            self._before, self._now = four, []
            self._longest_before, self._longest = self._longest, seconds
        self._set_credit()
        return self.credit < before

    def _set_credit(self) -> None:
        four = sorted(self._now + self._before)[:4]
        if self.count < self.wanted or len(four) < 4:
            return
        # Few samples of a jittery route lie above its true minimum, by up to about twice what
        # the smallest of them lie apart.
        self.shortest = max(0.0, four[0] - 2 * (four[3] - four[0]))
        self.credit = min(CREDITED * self.shortest + GUARD / 2, self.shortest)
