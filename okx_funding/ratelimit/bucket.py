"""Token buckets that hold the exchange's limit without knowing how the exchange counts.

OKX says "6 requests per second per User ID" and not how it counts them. The strictest plausible
judge is a sliding log of *arrivals*: at most N in any window W. Traffic that satisfies it
satisfies fixed windows and leaking buckets too. But a client controls when it *sends*, and
jitter, reordering, connection set-up and a busy event loop all move arrivals. A limiter that
counts sends is therefore safe only with a guard as large as all of that, which nobody knows.

So a bucket owns N **slots**, and a request holds one over its whole round trip:

* The exchange saw a request at some moment between its send and its answer. What uses the slot
  next must be seen at least W later, so the slot is free again W after the *answer*.
* That wastes the way back of the old request and the way out of the next. Four fifths of the
  shortest round trip of late are therefore credited, at any distance (`RoundTrips`). On a route
  that stays as it is all of it would be safe. A route may change between the two requests, in
  either direction or both; then it still is, as long as the old way back and the new way out
  together take four fifths of the old round trip: a fifth shorter in one direction, or two fifths
  in both alike.
  Round trips on new connections don't count: they last longer than the way. A credit is taken
  back the moment a shorter round trip is seen, as long as the slot is idle.
* Without an answer the request may still arrive: its slot stays out a quarter of a second longer,
  or the longest round trip of late.
* A refusal says that the window is full, whoever filled it: the whole bucket waits a window.
  When that happens again within a minute somebody else spends this user's limit, so one slot
  stays out for a while, twice as long each time that its return brings the next refusal.

A limit that is to be spread (``RateLimit(..., spread=True)``) is paced by an ``AsyncLimiter``.
"""

from __future__ import annotations

import asyncio
import math
import time
import weakref

from okx_funding.api.spec import RateLimit

from .backoff import REFUSAL_COOLDOWN, RefusalBackoff
from .forecast import nth_slot_at
from .interface import Bucket, BucketQueue, Claim, strictest
from .pacer import SMOOTH, Pacer, acquire_now
from .round_trips import RoundTrips
from .slot import GUARD, Slot
from .slot_pool import STILL_ON_ITS_WAY, SlotPool
from .usage import UsageCounters

__all__ = [
    "GUARD",
    "REFUSAL_COOLDOWN",
    "SMOOTH",
    "STILL_ON_ITS_WAY",
    "Bucket",
    "Claim",
    "RefusalBackoff",
    "RoundTrips",
    "Slot",
    "TokenBucket",
    "acquire_now",
    "strictest",
]

_LATEST = 5.0
"""Seconds that a request without an answer is waited for at most."""


class TokenBucket(UsageCounters):
    """N slots, each held over the round trip and one window more. Times are the loop's.

    It neither waits nor holds an event loop: `take` gives a slot or None, `next_free` tells
    when to ask again. Every slot taken must come back by exactly one of `answered`, `lost`,
    `refused` and `unsent`.
    """

    def __init__(self, claim: Claim) -> None:
        super().__init__()
        self.claims: weakref.WeakKeyDictionary[object, Claim] = weakref.WeakKeyDictionary()
        self._claims_seen = 0
        self.queue: weakref.ref[BucketQueue] | None = None
        self.loop: weakref.ref[asyncio.AbstractEventLoop] | None = None
        self.touched: tuple[float, float] = (0.0, 0.0)
        """When it last changed, by the loop's clock and by the machine's."""
        self.unavailable_reason: str | None = None
        """Why there are no slots: never so here, only where buckets are shared."""
        self.merged_into: TokenBucket | None = None
        """Where its slots are, when it turned out to be the same user's as another."""
        self.frozen_until: float = -math.inf
        self.round_trips: RoundTrips = RoundTrips(max(4, 2 * claim.limit.count))
        self.slots: SlotPool = SlotPool(max(claim.limit.period, claim.memory))
        self.backoff: RefusalBackoff = RefusalBackoff()
        self._set_limit(claim)

    def _set_limit(self, claim: Claim) -> None:
        self.limit: RateLimit = claim.limit
        self.refusal_cooldown: float = claim.refusal_cooldown
        self._bound_sends()
        self.pacer: Pacer = Pacer(self.limit, self.last_sent_at)

    def __repr__(self) -> str:
        return (
            f"<TokenBucket {self.limit}: {len(self.slots.idle)} slots idle, "
            f"{self.in_flight} in flight, {self.sent} sent, {self.refusals} refused>"
        )

    @property
    def in_flight(self) -> int:
        """Slots that requests hold."""
        return len(self.slots.in_flight)

    # -- taking ----------------------------------------------------------------------------

    def take(self, now: float) -> Slot | None:
        """Take a slot for a request that leaves now, if there is one."""
        if len(self.claims) != self._claims_seen:
            self.reconsider()
        pacer = self.pacer
        if now < self.frozen_until or now < pacer.free_at:
            return None
        if pacer.gap and not pacer.lets_pass(now):
            return None
        slot = self.slots.take(self.limit.count, self.limit.period, now)
        if slot is not None:
            if pacer.gap:
                pacer.spend(now)
            self._count_send(now)
            self.touch(now)
        return slot

    def holds(self, slot: Slot, now: float) -> bool:  # noqa: ARG002
        """Tell whether the slot may be used now: always, for nobody else can take it away."""
        return True

    def next_free(self, now: float) -> float:
        """Tell when `take` can next succeed; inf while every slot is in flight."""
        return max(self.slots.next_free(self.limit.count, now), self._held_until())

    def _held_until(self) -> float:
        """Tell until when nothing leaves, whatever slots are free."""
        return max(self.frozen_until, self.pacer.free_at)

    def nth_free(self, n: int, now: float, not_before: float = -math.inf) -> float:
        """Estimate when the n-th request from now (counted from 0) gets its slot."""
        count, window, trip = self.limit.count, self.limit.period + GUARD, self.round_trips.mean
        cycle = max(trip, window + max(0.0, trip - self.round_trips.credit))
        start = max(now, not_before, self._held_until())
        earliest = now + window - self.round_trips.credit
        times = [max(start, free_at) for free_at, _, _ in self.slots.idle]
        times += [max(start, earliest, slot.sent_at + cycle) for slot in self.slots.in_flight]
        times += [start] * (count - len(times))
        nth = nth_slot_at(sorted(times)[-count:], n, cycle)
        return max(nth, start + n * self.pacer.gap) if self.pacer.gap else nth

    # -- giving back -----------------------------------------------------------------------

    def answered(self, slot: Slot, now: float, *, warm: bool = True) -> None:
        """Take the slot back: the answer was read in full. Not ``warm`` on a new connection."""
        if self.merged_into is not None:
            return self.merged_into.answered(slot, now, warm=warm)
        round_trips, took = self.round_trips, now - slot.sent_at
        if not warm:
            round_trips.add_cold(took)
        elif round_trips.add(took):
            self.slots.reduce_credit(round_trips.credit)
        self.backoff.succeeded(slot.sent_at)
        self.slots.release(slot, now, round_trips.credit)
        self.touch(now)

    def lost(self, slot: Slot, now: float) -> None:
        """Take the slot back: no answer came, or nobody read it, and the request may arrive yet."""
        if self.merged_into is not None:
            return self.merged_into.lost(slot, now)
        still = min(max(STILL_ON_ITS_WAY, self.round_trips.longest), _LATEST)
        self.slots.release(slot, now + still, 0.0)
        self.touch(now)

    def unsent(self, slot: Slot, now: float) -> None:
        """Take the slot back: nothing left, and it is as free as it was."""
        if self.merged_into is not None:
            return self.merged_into.unsent(slot, now)
        self.slots.release_unsent(slot)
        self._uncount(slot)
        self.pacer = Pacer(self.limit, self.last_sent_at)
        self.touch(now)

    def refused(self, slot: Slot, now: float, retry_after: float | None = None) -> float:
        """Take the slot back: OKX refused the request for the limit.

        Gives the seconds that the bucket is frozen.
        """
        if self.merged_into is not None:
            return self.merged_into.refused(slot, now, retry_after)
        self.count_refusal()
        pause, until = self.backoff.refused(
            slot.sent_at, now, self.limit, self.refusal_cooldown, retry_after
        )
        self.frozen_until = max(self.frozen_until, now + pause)
        if until is not None and self.slots.cooling(now) < self.limit.count - 1:
            slot.cooldown_until = until
        self.slots.release(slot, now, 0.0)
        self.touch(now)
        return self.frozen_until - now

    def touch(self, now: float) -> None:
        """Note that it changed."""
        self.touched = (now, time.monotonic())

    # -- changing --------------------------------------------------------------------------

    def claim(self, owner: object, claim: Claim, now: float) -> None:
        """Let ``owner`` use the bucket from now on; the strictest living claim rules."""
        self.claims[owner] = claim
        self.reconsider()
        self.touch(now)

    def release(self, owner: object, now: float) -> None:
        """Forget the claim of ``owner``, who wants nothing more of the bucket."""
        self.claims.pop(owner, None)
        self.reconsider()
        self.touch(now)

    def reconsider(self) -> None:
        """Obey the strictest of the claims that are there now."""
        claims = list(self.claims.values())
        self._claims_seen = len(claims)
        if claims:
            remember = max(max(claim.limit.period, claim.memory) for claim in claims)
            self.obey(Claim.strictest(claims), remember)

    def obey(self, claim: Claim, remember: float) -> None:
        """Keep the limit of ``claim``, and look back ``remember`` seconds."""
        same = claim == Claim(self.limit, self.refusal_cooldown)
        if not same or remember != self.slots.remember:
            self._set_limit(claim)
            self.slots.set_window(claim.limit.count, remember)

    # -- reporting -------------------------------------------------------------------------

    def slots_free(self, now: float) -> int:
        """Count the requests that could leave now."""
        if now < self._held_until():
            return 0
        return max(0, self.limit.count - self.slots.busy(now))

    def shared_with_others(self, now: float) -> bool:
        """Tell whether refusals of late say that somebody else spends this limit."""
        return self.backoff.recent(now)
