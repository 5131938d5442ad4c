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
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from heapq import heapify, heappop, heappush, nsmallest
from typing import Any, Protocol

from aiolimiter import AsyncLimiter

from okx_funding.api.spec import RateLimit
from okx_funding.ratelimit.slot import GUARD, REFUSAL_COOLDOWN, Freezer, RoundTrips, Slot

STILL_ON_ITS_WAY = 0.25
"""Seconds within which a request that got no answer may still arrive, at least; as long as the
longest round trip of late, where that is longer, up to ``_LATEST``."""
_LATEST = 5.0
SMOOTH = 1.25
"""A limit that is spread leaves this many times W/N between two requests: even the two weighted
counters with which some gateways approximate a window then refuse nothing."""
_TICK = 1e-6


@dataclass(frozen=True, slots=True)
class Claim:
    """What one client wants of a bucket."""

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


class Bucket(Protocol):
    """What a queue needs of a bucket, wherever that keeps its slots."""

    claims: weakref.WeakKeyDictionary[object, Claim]
    queue: weakref.ref[Any] | None
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


class TokenBucket:
    """N slots, each held over the round trip and one window more. Times are the loop's.

    It neither waits nor holds an event loop: `take` gives a slot or None, `next_free` tells
    when to ask again. Every slot taken must come back by exactly one of `answered`, `lost`,
    `refused` and `unsent`.

    It may have fewer slots than the limit, those that were never needed, and for a while more,
    when the limit shrank or two buckets became one: the surplus goes as it becomes free.
    """

    def __init__(self, claim: Claim) -> None:
        self.claims: weakref.WeakKeyDictionary[object, Claim] = weakref.WeakKeyDictionary()
        self._claims_seen = 0
        self.heir: TokenBucket | None = None
        self.queue: weakref.ref[object] | None = None
        self.loop: weakref.ref[asyncio.AbstractEventLoop] | None = None
        self.touched: tuple[float, float] = (0.0, 0.0)
        """When it last changed, by the loop's clock and by the machine's."""
        self.unavailable_reason: str | None = None
        """Why there are no slots: never so here, only where buckets are shared."""

        self.sent: int = 0
        self.refusals: int = 0
        self.keys_sent: int = 0
        self.callers_served: int = 0
        self.frozen_until: float = -math.inf
        self._freezer = Freezer()
        self.round_trips: RoundTrips = RoundTrips(max(4, 2 * claim.limit.count))
        self._idle: list[tuple[float, int, Slot]] = []
        self._out: set[Slot] = set()
        self._serial = 0
        self._forgotten = -math.inf
        """The latest moment at which a request was seen for which no slot stands any more."""
        self._remember = max(claim.limit.period, claim.memory)
        """How long the limits of all who live with it look back."""
        self._sends: deque[float] = deque()
        self._rule(claim)

    def _rule(self, claim: Claim) -> None:
        self.limit: RateLimit = claim.limit
        self.refusal_cooldown: float = claim.refusal_cooldown
        self._sends = deque(self._sends, maxlen=min(10 * claim.limit.count, 1000))
        self._pace()

    def _pace(self) -> None:
        self._pacer: AsyncLimiter | None = None
        self._paced_until = -math.inf
        if self.limit.spread:
            self._pacer = AsyncLimiter(1, SMOOTH * self.limit.period / self.limit.count)
            if self._sends:
                self._paced_until = self._sends[-1] + self._pacer.time_period

    def __repr__(self) -> str:
        return (
            f"<TokenBucket {self.limit}: {len(self._idle)} slots idle, "
            f"{self.in_flight} in flight, {self.sent} sent, {self.refusals} refused>"
        )

    @property
    def in_flight(self) -> int:
        """Slots that requests hold."""
        return len(self._out)

    # -- taking ----------------------------------------------------------------------------

    def take(self, now: float) -> Slot | None:
        """A slot for a request that leaves now, or None."""
        if len(self.claims) != self._claims_seen:
            self._reconsider()
        if now < self.frozen_until or now < self._paced_until:
            return None
        if self._pacer is not None and not self._pacer.has_capacity():
            self._paced_until = now + _TICK
            return None
        slot = self._take_slot(now)
        if slot is None:
            return None
        if self._pacer is not None:
            acquire_now(self._pacer)
            self._paced_until = now + self._pacer.time_period
        self._out.add(slot)
        self.sent += 1
        self._sends.append(now)
        self.touched = (now, time.monotonic())
        return slot

    def _take_slot(self, now: float) -> Slot | None:
        window, idle = self.limit.period, self._idle
        unmade = self.limit.count - len(idle) - len(self._out)
        while idle and idle[0][0] <= now:
            _, _, slot = heappop(idle)
            self._forgotten = max(self._forgotten, slot.seen_by - slot.credit)
            if unmade >= 0:
                slot.take(window, now)
                return slot
            unmade += 1  # it was one too many
        if unmade <= 0:
            return None
        slot = Slot(window)
        slot.take(window, now)
        return slot

    def holds(self, slot: Slot, now: float) -> bool:  # noqa: ARG002
        """Whether the slot may be used now: always, for nobody else can take it away."""
        return True

    def next_free(self, now: float) -> float:
        """When `take` can next succeed; inf while every slot is in flight."""
        surplus = len(self._idle) + len(self._out) - self.limit.count
        if surplus < 0:
            first = now
        elif surplus < len(self._idle):
            first = nsmallest(surplus + 1, self._idle)[-1][0] if surplus else self._idle[0][0]
        else:
            return math.inf
        return max(first, self.frozen_until, self._paced_until)

    def nth_free(self, n: int, now: float, not_before: float = -math.inf) -> float:
        """About when the n-th request from now (counted from 0) gets its slot."""
        window, trip = self.limit.period + GUARD, self.round_trips.mean
        cycle = max(trip, window + max(0.0, trip - self.round_trips.credit))
        start = max(now, not_before, self.frozen_until, self._paced_until)
        earliest = now + window - self.round_trips.credit
        times = [max(start, free_at) for free_at, _, _ in self._idle]
        times += [max(start, earliest, slot.sent_at + cycle) for slot in self._out]
        times += [start] * (self.limit.count - len(times))
        times = sorted(times)[-self.limit.count :]
        if self._pacer is not None:
            return max(_nth(times, n, cycle), start + n * self._pacer.time_period)
        return _nth(times, n, cycle)

    # -- giving back -----------------------------------------------------------------------

    def answered(self, slot: Slot, now: float, *, warm: bool = True) -> None:
        """The answer was read in full. ``warm`` is False when the connection was new."""
        if self.heir is not None:
            return self.heir.answered(slot, now, warm=warm)
        round_trips, took = self.round_trips, now - slot.sent_at
        if not warm:
            round_trips.add_cold(took)
        elif round_trips.add(took):
            self._tighten()
        self._freezer.succeeded(slot.sent_at)
        self._return(slot, now, round_trips.credit)
        self._touch(now)

    def lost(self, slot: Slot, now: float) -> None:
        """No answer came, or nobody read it: the request may still arrive."""
        if self.heir is not None:
            return self.heir.lost(slot, now)
        still = min(max(STILL_ON_ITS_WAY, self.round_trips.longest), _LATEST)
        self._return(slot, now + still, 0.0)
        self._touch(now)

    def unsent(self, slot: Slot, now: float) -> None:
        """Nothing left: the slot is as free as it was."""
        if self.heir is not None:
            return self.heir.unsent(slot, now)
        self._out.remove(slot)
        self.sent -= 1
        self.keys_sent -= slot.keys
        self.callers_served -= slot.callers
        if slot.sent_at in self._sends:
            self._sends.remove(slot.sent_at)
        self._pace()
        self._shelve(slot)
        self._touch(now)

    def refused(self, slot: Slot, now: float, retry_after: float | None = None) -> float:
        """OKX refused the request for the limit. Gives the seconds that the bucket is frozen."""
        if self.heir is not None:
            return self.heir.refused(slot, now, retry_after)
        self.refusals += 1
        pause, until = self._freezer.refused(
            slot.sent_at, now, self.limit, self.refusal_cooldown, retry_after
        )
        self.frozen_until = max(self.frozen_until, now + pause)
        cooling = sum(other.cooldown_until > now for _, _, other in self._idle)
        if until is not None and cooling < self.limit.count - 1:
            slot.cooldown_until = until
        self._return(slot, now, 0.0)
        self._touch(now)
        return self.frozen_until - now

    def _tighten(self) -> None:
        """A shorter round trip was seen: what is idle was credited too much."""
        for _, _, slot in self._idle:
            slot.tighten(self.round_trips.credit)
        self._idle = [(slot.free_at, serial, slot) for _, serial, slot in self._idle]
        heapify(self._idle)

    def _return(self, slot: Slot, seen_by: float, credit: float) -> None:
        self._out.remove(slot)
        slot.cool(seen_by, credit)
        self._shelve(slot)

    def _shelve(self, slot: Slot) -> None:
        self._serial += 1
        heappush(self._idle, (slot.free_at, self._serial, slot))

    def _touch(self, now: float) -> None:
        self.touched = (now, time.monotonic())

    # -- changing --------------------------------------------------------------------------

    def claim(self, owner: object, claim: Claim, now: float) -> None:
        """From now on ``owner`` lives with the bucket; the strictest living claim rules."""
        self.claims[owner] = claim
        self._reconsider()
        self._touch(now)

    def release(self, owner: object, now: float) -> None:
        """``owner`` wants nothing more of the bucket."""
        self.claims.pop(owner, None)
        self._reconsider()
        self._touch(now)

    def _reconsider(self) -> None:
        claims = list(self.claims.values())
        self._claims_seen = len(claims)
        if claims:
            remember = max(max(claim.limit.period, claim.memory) for claim in claims)
            self._obey(Claim.strictest(claims), remember)

    def _obey(self, claim: Claim, remember: float) -> None:
        if claim == Claim(self.limit, self.refusal_cooldown) and remember == self._remember:
            return
        self._rule(claim)
        self._remember = remember
        slots = [slot for _, _, slot in self._idle]
        self._idle.clear()
        for slot in slots:
            slot.rebase(remember, self._forgotten)
            self._shelve(slot)
        for slot in self._out:
            slot.rebase(remember)
        self._make_all()

    def _make_all(self) -> None:
        """A slot that is made later would be free at once, whatever is forgotten."""
        if self._forgotten > -math.inf:
            while len(self._idle) + len(self._out) < self.limit.count:
                self._shelve(Slot(self._remember, self._forgotten))

    def absorb(self, other: TokenBucket, now: float) -> None:
        """Take over all that ``other`` sent: both were the same user's all along."""
        for owner, claim in list(other.claims.items()):
            self.claims[owner] = claim
        other.claims.clear()
        self._reconsider()
        other._obey(Claim(self.limit, self.refusal_cooldown), self._remember)
        for _, _, slot in other._idle:
            self._shelve(slot)
        self._out |= other._out
        self._forgotten = max(self._forgotten, other._forgotten)
        self._paced_until = max(self._paced_until, other._paced_until)
        self._sends.extend(other._sends)
        self._sends = deque(sorted(self._sends), self._sends.maxlen)
        self._count(other)
        other._idle.clear()
        other._out.clear()
        other.heir = self
        self._touch(now)

    def start_silent(self, now: float) -> None:
        """Take the history as unknown: one silent window first."""
        self._forgotten = max(self._forgotten, now)
        self._make_all()
        self._touch(now)

    def carried_over(self, now: float) -> TokenBucket:
        """This bucket's history in a bucket for another loop, whose clock shows ``now``."""
        heir = TokenBucket(Claim(self.limit, self.refusal_cooldown))
        last, then = self.touched
        shift = now - (last + (time.monotonic() - then))
        for _, _, slot in self._idle:
            slot.rebase(slot.window, shift=shift)
            heir._shelve(slot)
        for slot in self._out:
            heir._shelve(Slot(slot.window, last + STILL_ON_ITS_WAY + shift))
        heir._remember = self._remember
        heir._forgotten = self._forgotten + shift
        heir._paced_until = self._paced_until + shift
        heir._sends.extend(at + shift for at in self._sends)
        heir._count(self, shift)
        heir._touch(now)
        return heir

    def _count(self, other: TokenBucket, shift: float = 0.0) -> None:
        self.sent += other.sent
        self.keys_sent += other.keys_sent
        self.callers_served += other.callers_served
        self.refusals += other.refusals
        self.frozen_until = max(self.frozen_until, other.frozen_until + shift)
        self._freezer.include(other._freezer, shift)

    # -- telling ---------------------------------------------------------------------------

    def load(self, slot: Slot, keys: int, callers: int) -> None:
        """What the request of ``slot`` carries."""
        slot.keys, slot.callers = keys, callers
        self.keys_sent += keys
        self.callers_served += callers

    def over(self, now: float) -> bool:
        """Whether nothing of its history matters any more."""
        return not (
            self.claims
            or self._out
            or now < self.frozen_until
            or any(free_at > now for free_at, _, _ in self._idle)
        )

    def abandoned(self) -> bool:
        """Whether that is so of a bucket whose loop is closed."""
        last, then = self.touched
        now = last + (time.monotonic() - then)
        if now > last + STILL_ON_ITS_WAY + self.limit.period + GUARD:
            self._out.clear()
        return self.over(now)

    def slots_free(self, now: float) -> int:
        """How many requests could leave now."""
        if now < self.frozen_until or now < self._paced_until:
            return 0
        used = len(self._out) + sum(free_at > now for free_at, _, _ in self._idle)
        return max(0, self.limit.count - used)

    def utilisation(self, now: float) -> float:
        """Share of the limit used over the last windows, up to ten of them."""
        if not self._sends:
            return 0.0
        span = min(10 * self.limit.period, max(self.limit.period, now - self._sends[0]))
        recent = sum(sent_at >= now - span for sent_at in self._sends)
        return min(1.0, recent / (self.limit.rate * span))

    def shared_with_others(self, now: float) -> bool:
        """Whether refusals of late say that somebody else spends this limit."""
        return self._freezer.recent(now)


def _nth(times: list[float], n: int, cycle: float) -> float:
    """The n-th turn, counted from 0, of slots that are first free at ``times``, rising.

    Each is free again ``cycle`` seconds after its last turn.
    """
    turning: list[float] = []
    if times[-1] - times[0] <= cycle:
        turning = times
    else:
        for late in times:
            turns = [math.ceil((late - at) / cycle) for at in turning]
            if n < sum(turns):
                break
            n -= sum(turns)
            turning = [at + cycle * k for at, k in zip(turning, turns, strict=True)]
            turning = sorted([*turning, late])
    return turning[n % len(turning)] + n // len(turning) * cycle


def acquire_now(pacer: AsyncLimiter) -> None:
    """Acquire what is known to fit; `AsyncLimiter.acquire` then never suspends."""
    acquiring = pacer.acquire()
    try:
        acquiring.send(None)
    except StopIteration:
        return
    acquiring.close()
    raise AssertionError("a pacer with capacity made its caller wait")
