"""Several limits of one request: their slots are won together or not at all."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from .bucket import Bucket


class Slots(NamedTuple):
    """One slot of each bucket, for the same request."""

    each: tuple[Any, ...]

    @property
    def sent_at(self) -> float:
        """When its request left."""
        sent_at: float = self.each[0].sent_at
        return sent_at


class Combined:
    """What a sender takes slots from when its requests count for several limits.

    It is made anew for each use, for a bucket may become another one once its user is known.
    """

    __slots__ = ("_buckets",)

    def __init__(self, buckets: Sequence[Bucket]) -> None:
        self._buckets = buckets

    def take(self, now: float) -> Slots | None:
        """A slot of every bucket for a request that leaves now, or none of any."""
        won: list[Any] = []
        for bucket in self._buckets:
            slot = bucket.take(now)
            if slot is None:
                for other, taken in zip(self._buckets, won, strict=False):
                    other.unsent(taken, now)
                return None
            won.append(slot)
        return Slots(tuple(won))

    def next_free(self, now: float) -> float:
        """When `take` can succeed at the earliest; inf where a queue is woken."""
        return max((bucket.next_free(now) for bucket in self._buckets), default=-math.inf)

    def holds(self, slots: Slots, now: float) -> bool:
        """Whether every slot is still the request's, right before it leaves."""
        return all(
            bucket.holds(slot, now) for bucket, slot in zip(self._buckets, slots.each, strict=True)
        )

    def load(self, slots: Slots, keys: int, callers: int) -> None:
        """What the request carries."""
        for bucket, slot in zip(self._buckets, slots.each, strict=True):
            bucket.load(slot, keys, callers)

    def answered(self, slots: Slots, now: float, *, warm: bool = True) -> None:
        """The answer was read in full."""
        for bucket, slot in zip(self._buckets, slots.each, strict=True):
            bucket.answered(slot, now, warm=warm)

    def lost(self, slots: Slots, now: float) -> None:
        """No answer came."""
        for bucket, slot in zip(self._buckets, slots.each, strict=True):
            bucket.lost(slot, now)

    def unsent(self, slots: Slots, now: float) -> None:
        """Nothing left."""
        for bucket, slot in zip(self._buckets, slots.each, strict=True):
            bucket.unsent(slot, now)

    def refused(self, slots: Slots, now: float, retry_after: float | None = None) -> float:
        """OKX refused it, and doesn't say for which limit: all of them wait."""
        pauses = [
            bucket.refused(slot, now, retry_after)
            for bucket, slot in zip(self._buckets, slots.each, strict=True)
        ]
        return max(pauses)
