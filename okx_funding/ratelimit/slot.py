"""A slot, the right to one request; what round trips and refusals teach the bucket it is of."""

from __future__ import annotations

import math

from okx_funding.api.spec import RateLimit

GUARD = 0.002
"""Seconds added to a window, for clocks that count whole milliseconds."""
CREDITED = 0.8
"""Share of the shortest round trip of late that a slot is credited, at any distance, and half the
guard besides: a route may become shorter by the fifth that is left, at once."""
REFUSAL_COOLDOWN = 15.0
"""Seconds that a refused slot stays out at first; 0 turns it off."""
LONGEST_COOLDOWN = 4
"""How many times longer it stays out at last, when its return brings refusals."""
RECENT = 60.0
"""Seconds within which the next refusals are no accident any more: somebody else spends."""
LONGEST_FREEZE = 8
"""Windows that a bucket waits at last, when nothing but refusals comes."""
RETRY_AFTER_CAP = 60.0
"""Seconds of a Retry-After that a bucket heeds."""


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
        """One that began with making a connection, and so tells little of the way."""
        if not self.count:
            self.mean = seconds

    def add(self, seconds: float) -> bool:
        """One more. Gives whether less may be credited now than before."""
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
        self._reckon()
        return self.credit < before

    def _reckon(self) -> None:
        four = sorted(self._now + self._before)[:4]
        if self.count < self.wanted or len(four) < 4:
            return
        # Few samples of a jittery route lie above its true minimum, by up to about twice what
        # the smallest of them lie apart.
        self.shortest = max(0.0, four[0] - 2 * (four[3] - four[0]))
        self.credit = min(CREDITED * self.shortest + GUARD / 2, self.shortest)


class Freezer:
    """How long refusals for the limit keep a bucket still, and a slot out of it.

    Refusals of requests that were on their way together are one trouble. The first trouble freezes
    the bucket and that is all, for it may be what an earlier process sent. When another comes
    within `RECENT` seconds somebody else spends the limit, and one slot stays out for a while.
    """

    def __init__(self) -> None:
        self.cooldown: float = 0.0
        """Seconds for which a refused slot stays out; doubled while refusals go on."""
        self._cooldown_ends = -math.inf
        self._frozen_at = -math.inf
        self._strikes = 0

    def refused(
        self,
        sent_at: float,
        now: float,
        limit: RateLimit,
        refusal_cooldown: float,
        retry_after: float | None,
    ) -> tuple[float, float | None]:
        """A request was refused.

        Gives the seconds for which nobody may send, and until when the slot that was refused
        stays out, None where it doesn't. One trouble withholds one slot at most.
        """
        pause, until = limit.period, None
        if sent_at >= self._frozen_at:
            self._strikes += 1
            pause *= min(2.0 ** (self._strikes - 1), LONGEST_FREEZE)
            if now < self._cooldown_ends + self.cooldown:
                self.cooldown = min(2 * self.cooldown, refusal_cooldown * LONGEST_COOLDOWN)
            else:
                self.cooldown = refusal_cooldown if now < self._frozen_at + RECENT else 0.0
            if self.cooldown > 0:
                self._cooldown_ends = until = now + self.cooldown
        self._frozen_at = now
        if retry_after is not None:
            pause = max(pause, min(retry_after, RETRY_AFTER_CAP))
        return pause + GUARD, until

    def succeeded(self, sent_at: float) -> None:
        """A request sent at ``sent_at`` wasn't refused."""
        if sent_at >= self._frozen_at:
            self._strikes = 0

    def recent(self, now: float) -> bool:
        """Whether refusals of late say that somebody else spends this limit."""
        return now < max(self._cooldown_ends, self._frozen_at + RECENT)

    def include(self, other: Freezer, shift: float) -> None:
        """What ``other`` was told, by a clock ``shift`` seconds behind, goes for this one too."""
        self.cooldown = max(self.cooldown, other.cooldown)
        self._cooldown_ends = max(self._cooldown_ends, other._cooldown_ends + shift)
        self._frozen_at = max(self._frozen_at, other._frozen_at + shift)
        self._strikes = max(self._strikes, other._strikes)


class Slot:
    """The right to one request. It belongs to the request until its answer has been read."""

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

    def cool(self, seen_by: float, credit: float) -> None:
        """Its request was seen by ``seen_by``: free a window and the guard later."""
        self.seen_by = seen_by
        self.credit = min(credit, seen_by - self.sent_at)
        self._set_free()

    def tighten(self, credit: float) -> None:
        """No more than ``credit`` can be trusted now."""
        if credit < self.credit:
            self.credit = credit
            self._set_free()

    def rebase(self, window: float, not_before: float = -math.inf, shift: float = 0.0) -> None:
        """The window, or the clock, is another now: what was seen stays seen.

        It stands for whatever was seen until ``not_before``, too.
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
