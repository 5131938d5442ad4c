"""What a client wants of a bucket, and what a queue needs of one, wherever it keeps its slots."""

from __future__ import annotations

import asyncio
import math
import weakref
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from okx_funding.api.spec import RateLimit

from .backoff import REFUSAL_COOLDOWN


@dataclass(frozen=True, slots=True)
class Claim:
    """The limit that one client wants a bucket to keep, and how."""

    limit: RateLimit
    refusal_cooldown: float = REFUSAL_COOLDOWN
    silent_start: bool = False
    memory: float = 0.0
    """Seconds for which requests must be remembered, where that is longer than the period."""

    def within(self, published: RateLimit) -> Claim:
        """This claim, so that it keeps the published limit too.

        Whoever asks for a higher rate has been promised one by OKX, and is taken at their word.
        """
        limit, same = self.limit, (published.count, published.period)
        if (limit.count, limit.period) == same or limit.rate > published.rate:
            return self
        limit = strictest([self.limit, published])
        return replace(self, limit=limit, memory=max(self.limit.period, published.period))

    @classmethod
    def strictest(cls, claims: Iterable[Claim]) -> Claim:
        """What satisfies all."""
        claims = list(claims)
        if len(claims) == 1:
            (only,) = claims
            return cls(only.limit, only.refusal_cooldown)
        limit = strictest([claim.limit for claim in claims])
        return cls(limit, max(claim.refusal_cooldown for claim in claims))


def strictest(limits: Sequence[RateLimit]) -> RateLimit:
    """The highest rate that keeps all ``limits``, with the largest burst that reaches it.

    It is spread if one of them is.

    n in a window of P keep a limit of c in a window of W where P is at least W / (c // n): W is
    covered by c // n windows P with n requests each.
    """
    first, spread = limits[0], any(limit.spread for limit in limits)
    if all((limit.count, limit.period) == (first.count, first.period) for limit in limits):
        return first if first.spread == spread else replace(first, spread=spread)
    best = RateLimit(1, max(limit.period / limit.count for limit in limits))
    for count in range(2, min(limit.count for limit in limits) + 1):
        period = max(limit.period / (limit.count // count) for limit in limits)
        if count / period >= best.rate:
            best = RateLimit(count, period)
    return replace(best, spread=spread)


class BucketQueue(Protocol):
    """What a bucket needs of those who wait before it, in this process."""

    loop: asyncio.AbstractEventLoop

    def schedule(self) -> None:
        """A slot may be had: take it, in the next turn of the loop."""

    def ahead(self) -> int:
        """Requests that those who wait now will need."""

    def fail_waiters(self, reason: str, *, only_without_deadline: bool) -> None:
        """There will be no slot: fail whoever waits, or only who would wait for ever."""


class Bucket(Protocol):
    """What a queue needs of a bucket, wherever that keeps its slots."""

    claims: weakref.WeakKeyDictionary[object, Claim]
    queue: weakref.ref[BucketQueue] | None
    limit: RateLimit
    sent: int
    refusals: int
    keys_sent: int
    callers_served: int

    @property
    def unavailable_reason(self) -> str | None:
        """Why there are no slots, if that is so."""

    def take(self, now: float) -> Any:
        """A slot for a request that leaves now, or None."""

    def holds(self, slot: Any, now: float) -> bool:
        """Whether the slot may be used now: one that others share may have been lost."""

    def next_free(self, now: float) -> float:
        """When to ask again; inf where the queue is woken."""

    def nth_free(self, n: int, now: float, not_before: float = -math.inf) -> float:
        """About when the n-th request from now (counted from 0) gets its slot."""

    def load(self, slot: Any, keys: int, callers: int) -> None:
        """What the request that holds ``slot`` carries."""

    def answered(self, slot: Any, now: float, *, warm: bool = True) -> None:
        """The answer was read in full. ``warm`` is False when the connection was new."""

    def lost(self, slot: Any, now: float) -> None:
        """No answer came, or nobody read it: the request may still arrive."""

    def unsent(self, slot: Any, now: float) -> None:
        """Nothing left: the slot is as free as it was."""

    def refused(self, slot: Any, now: float, retry_after: float | None = None) -> float:
        """OKX refused the request for the limit. Gives the seconds that the bucket is frozen."""

    def claim(self, owner: object, claim: Claim, now: float) -> None:
        """From now on ``owner`` lives with the bucket; the strictest living claim rules."""

    def release(self, owner: object, now: float) -> None:
        """``owner`` wants nothing more of the bucket."""

    def slots_free(self, now: float) -> int:
        """How many requests could leave now."""

    def utilisation(self, now: float) -> float:
        """Share of the limit used over the last windows."""

    def shared_with_others(self, now: float) -> bool:
        """Whether refusals of late say that somebody else spends this limit."""
