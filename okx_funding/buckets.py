"""Token buckets that hold the exchange's limit without knowing how the exchange counts.

OKX says "6 requests per second per User ID" and not how it counts them. The strictest plausible
judge is a sliding log of *arrivals*: at most N in any window W. Traffic that satisfies it
satisfies fixed windows and leaking buckets too. But a client controls when it *sends*, and
jitter, reordering, connection set-up and a busy event loop all move arrivals. A limiter that
counts sends is therefore safe only with a guard as large as all of that, which nobody knows.

So a bucket owns N **slots**, and a request holds one over its whole round trip:

* The exchange saw a request at some moment between its send and its answer. What uses the slot
  next must be seen at least W later, so the slot is free again W after the *answer*.
* That wastes the way back of the old request and the way out of the next. A part of the
  shortest round trip of late is therefore credited (`RoundTrips`): half of it, which is the way
  back on a symmetric route, however much shorter the route becomes the next moment; and an
  eighth more, 5 ms at most, which assumes that the way out never gets shorter than 3 ms where
  it was 20 ms. Round trips on new connections don't count: they last longer than the way.
  A credit is taken back the moment a shorter round trip is seen, as long as the slot is idle.
* Without an answer the request may still arrive: its slot stays out a quarter of a second longer.
* A refusal says that the window is full, whoever filled it: the whole bucket waits a window.
  It also says that somebody else spends this user's limit, so the slot stays out for a while,
  twice as long each time that its return brings the next refusal.

Each slot's cool-down is an ``AsyncLimiter(1, W + guard)``, asked for one token when the slot is
taken and topped up for the round trip when the answer is there.
"""

from __future__ import annotations

import asyncio
import math
import threading
import time
import weakref
from collections import OrderedDict, deque
from collections.abc import Iterable
from dataclasses import dataclass
from heapq import heapify, heappop, heappush, heapreplace
from typing import Any, Literal, Protocol

from aiolimiter import AsyncLimiter

from .credentials import Credentials
from .endpoints import RateLimit
from .errors import WrongLoopError

Pacing = Literal["burst", "smooth"]

GUARD = 0.002
"""Seconds added to a window, for clocks that count whole milliseconds."""
STILL_ON_ITS_WAY = 0.25
"""Seconds within which a request that got no answer may still arrive."""
SMOOTH = 1.25
"""Smooth pacing leaves this many times W/N between two requests: even the two weighted counters
with which some gateways approximate a window then refuse nothing."""
WITHDRAW = 15.0
"""Seconds that a refused slot stays out at first; 0 turns it off."""
_LONGEST_WITHDRAWAL = 16
_LONGEST_FREEZE = 8
_RETRY_AFTER_CAP = 60.0
_MINUTE = 60.0
_TICK = 1e-6
_USERS = 100_000


class RoundTrips:
    """The shortest round trips of late, and how much of them a slot may be credited."""

    EPOCH = 128

    def __init__(self, wanted: int) -> None:
        self.wanted = wanted
        self.count = 0
        self._now: list[float] = []
        self._before: list[float] = []
        self._left = self.EPOCH
        self.shortest = 0.0
        self.credit = 0.0
        """Seconds before its answer by which a request had surely arrived, and the next
        surely takes to get there."""

    def add(self, seconds: float) -> None:
        self.count += 1
        self._left -= 1
        four = self._now
        if len(four) < 4 or seconds < four[3]:
            four.append(seconds)
            four.sort()
            del four[4:]
            self._reckon()
        if not self._left:
            self._left = self.EPOCH
            self._before, self._now = self._now, []
            self._reckon()
        elif self.count == self.wanted:
            self._reckon()

    def _reckon(self) -> None:
        four = sorted(self._now + self._before)[:4]
        if self.count < self.wanted or len(four) < 4:
            return
        # Few samples of a jittery route lie above its true minimum, by about as much as the
        # smallest of them lie apart.
        self.shortest = max(0.0, 2 * four[0] - four[3])
        self.credit = self.shortest / 2 + min(self.shortest / 8, 0.005)


class Slot:
    """The right to one request. It belongs to the request until its answer has been read."""

    __slots__ = ("_cell", "benched_until", "credit", "free_at", "seen_by", "sent_at")

    def __init__(self) -> None:
        self._cell: AsyncLimiter | None = None
        self.sent_at = -math.inf
        self.seen_by = -math.inf
        """The latest moment at which the exchange can have seen its last request."""
        self.credit = 0.0
        """Seconds before ``seen_by`` at which it surely had, as round trips of late say."""
        self.benched_until = -math.inf
        self.free_at = -math.inf

    def take(self, window: float, now: float) -> bool:
        cell = self._cell
        if cell is None:
            cell = self._cell = AsyncLimiter(1, window)
        elif not cell.has_capacity():
            return False
        _pour(cell, 1.0)
        self.sent_at = now
        return True

    def untake(self) -> None:
        self._cell = None

    def cool(self, seen_by: float, credit: float, window: float, now: float) -> None:
        """Its request was seen by ``seen_by``: free a window and the guard later."""
        self.seen_by = seen_by
        self.credit = min(credit, seen_by - self.sent_at)
        self._set_free(window)
        if self._cell is not None:
            level = max(0.0, 1 - (now - self.sent_at) / window)
            _pour(self._cell, min(1.0, (seen_by - self.credit - now) / window + 1) - level)

    def tighten(self, credit: float, window: float) -> None:
        """No more than ``credit`` can be trusted now."""
        if credit < self.credit:
            self.credit = credit
            self._set_free(window)

    def rebase(self, window: float, shift: float = 0.0) -> None:
        """The window, or the clock, is another now: what was seen stays seen."""
        self._cell = None
        self.seen_by += shift
        self.benched_until += shift
        self._set_free(window)

    def _set_free(self, window: float) -> None:
        self.free_at = max(self.seen_by - self.credit + window + GUARD, self.benched_until)


def _pour(cell: AsyncLimiter, amount: float) -> None:
    """Acquire at once what is known to fit; `AsyncLimiter.acquire` then never suspends."""
    while amount > 0 and not cell.has_capacity(amount):
        amount -= 1e-9  # a rounding error too much
    if amount > 0:
        pouring = cell.acquire(amount)
        try:
            pouring.send(None)
        except StopIteration:
            return
        pouring.close()
        raise AssertionError("a cell with capacity made its caller wait")


@dataclass(frozen=True, slots=True)
class Claim:
    """What one client wants of a bucket."""

    limit: RateLimit
    pacing: Pacing = "burst"
    withdraw: float = WITHDRAW
    silent_start: bool = False

    @classmethod
    def strictest(cls, claims: Iterable[Claim]) -> Claim:
        """What satisfies all: the lowest rate, then the smallest burst."""
        claims = list(claims)
        limit = min((claim.limit for claim in claims), key=lambda it: (it.rate, it.count))
        smooth = any(claim.pacing == "smooth" for claim in claims)
        return cls(limit, "smooth" if smooth else "burst", max(it.withdraw for it in claims))


class Freezer:
    """How long refusals for the limit keep a bucket still, and a slot out of it."""

    def __init__(self) -> None:
        self.bench = 0.0
        """Seconds for which a refused slot stays out; doubled while refusals go on."""
        self._bench_ends = -math.inf
        self._frozen_at = -math.inf
        self._strikes = 0

    def refused(
        self,
        sent_at: float,
        now: float,
        limit: RateLimit,
        withdraw: float,
        retry_after: float | None,
    ) -> float:
        """A request was refused. Gives the seconds for which nobody may send.

        Requests that were on their way already are part of the same trouble, no new one.
        """
        pause = limit.period
        if sent_at >= self._frozen_at:
            self._strikes += 1
            pause *= min(2.0 ** (self._strikes - 1), _LONGEST_FREEZE)
            again = now < self._bench_ends + self.bench
            longest = withdraw * _LONGEST_WITHDRAWAL
            self.bench = min(2 * self.bench, longest) if again else withdraw
        self._frozen_at = now
        if retry_after is not None:
            pause = max(pause, min(retry_after, _RETRY_AFTER_CAP))
        return pause + GUARD

    def withdraw(self, now: float) -> float:
        """Until when the slot that was refused now stays out."""
        self._bench_ends = now + self.bench
        return self._bench_ends

    def succeeded(self, sent_at: float) -> None:
        """A request sent at ``sent_at`` wasn't refused."""
        if sent_at >= self._frozen_at:
            self._strikes = 0

    def recent(self, now: float) -> bool:
        """Whether refusals of late say that somebody else spends this limit."""
        return now < max(self._bench_ends, self._frozen_at + _MINUTE)


class Bucket(Protocol):
    """What a queue needs of a bucket, wherever that keeps its slots."""

    claims: weakref.WeakKeyDictionary[object, Claim]
    queue: weakref.ref[Any] | None
    limit: RateLimit
    sent: int
    refusals: int

    @property
    def trouble(self) -> str | None:
        """Why there are no slots, if that is so."""

    def take(self, now: float) -> Any:
        """A slot for a request that leaves now, or None."""

    def next_free(self, now: float) -> float:
        """When to ask again; inf where the queue is woken."""

    def nth_free(self, n: int, now: float) -> float:
        """About when the n-th request from now (counted from 0) gets its slot."""

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
    """

    def __init__(self, claim: Claim) -> None:
        self.claims: weakref.WeakKeyDictionary[object, Claim] = weakref.WeakKeyDictionary()
        self._claims_seen = 0
        self.heir: TokenBucket | None = None
        self.queue: weakref.ref[object] | None = None
        self.loop: weakref.ref[asyncio.AbstractEventLoop] | None = None
        self.trouble: str | None = None
        """Why there are no slots: never so here, only where buckets are shared."""
        self.touched = (0.0, 0.0)

        self.in_flight = 0
        self.sent = 0
        self.refusals = 0
        self.frozen_until = -math.inf
        self._idle: list[tuple[float, int, Slot]] = []
        self._serial = 0
        self._freezer = Freezer()
        self._sends: deque[float] = deque()
        self.round_trips = RoundTrips(max(4, 2 * claim.limit.count))
        self._rule(claim)

    def _rule(self, claim: Claim) -> None:
        self.limit, self.pacing, self.withdraw = claim.limit, claim.pacing, claim.withdraw
        self._sends = deque(self._sends, maxlen=min(10 * claim.limit.count, 1000))
        self._pacer: AsyncLimiter | None = None
        self._paced_until = -math.inf
        if claim.pacing == "smooth":
            self._pacer = AsyncLimiter(1, SMOOTH * claim.limit.period / claim.limit.count)

    def __repr__(self) -> str:
        return (
            f"<TokenBucket {self.limit}, {self.pacing}: {len(self._idle)} slots idle, "
            f"{self.in_flight} in flight, {self.sent} sent, {self.refusals} refused>"
        )

    # -- taking ----------------------------------------------------------------------------

    def take(self, now: float) -> Slot | None:
        """A slot for a request that leaves now, or None."""
        if len(self.claims) != self._claims_seen:
            self.reconsider(now)
        if now < self.frozen_until or now < self._paced_until:
            return None
        if self._pacer is not None and not self._pacer.has_capacity():
            self._paced_until = now + _TICK
            return None
        window = self.limit.period
        if self._idle and self._idle[0][0] <= now:
            _, serial, slot = self._idle[0]
            if not slot.take(window, now):
                slot.free_at = now + _TICK
                heapreplace(self._idle, (slot.free_at, serial, slot))
                return None
            heappop(self._idle)
        elif len(self._idle) + self.in_flight < self.limit.count:
            slot = Slot()
            slot.take(window, now)
        else:
            return None
        if self._pacer is not None:
            _pour(self._pacer, 1.0)
            self._paced_until = now + self._pacer.time_period
        self.in_flight += 1
        self.sent += 1
        self._sends.append(now)
        self._touch(now)
        return slot

    def next_free(self, now: float) -> float:
        """When `take` can next succeed; inf while every slot is in flight."""
        if len(self._idle) + self.in_flight < self.limit.count:
            first = now
        elif self._idle:
            first = self._idle[0][0]
        else:
            return math.inf
        return max(first, self.frozen_until, self._paced_until)

    def nth_free(self, n: int, now: float) -> float:
        """About when the n-th request from now (counted from 0) gets its slot."""
        count = self.limit.count
        trip, window = self.round_trips.credit * 2, self.limit.period + GUARD
        times = sorted(
            [max(now, free_at) for free_at, _, _ in self._idle]
            + [now] * (count - len(self._idle) - self.in_flight)
            + [now + trip + window] * self.in_flight
        )[:count]
        gates = max(self.frozen_until, self._paced_until)
        if self._pacer is not None:
            return max(times[0], gates) + n * self._pacer.time_period
        return max(times[n % count], gates) + n // count * (window + trip / 2)

    # -- giving back -----------------------------------------------------------------------

    def answered(self, slot: Slot, now: float, *, warm: bool = True) -> None:
        """The answer was read in full. ``warm`` is False when the connection was new."""
        if self.heir is not None:
            return self.heir.answered(slot, now, warm=warm)
        if warm:
            self._learn(now - slot.sent_at)
        self._freezer.succeeded(slot.sent_at)
        self._return(slot, now, self.round_trips.credit, now)

    def lost(self, slot: Slot, now: float) -> None:
        """No answer came, or nobody read it: the request may still arrive."""
        if self.heir is not None:
            return self.heir.lost(slot, now)
        self._return(slot, now + STILL_ON_ITS_WAY, 0.0, now)

    def unsent(self, slot: Slot, now: float) -> None:
        """Nothing left: the slot is as free as it was."""
        if self.heir is not None:
            return self.heir.unsent(slot, now)
        slot.untake()
        self.sent -= 1
        self.in_flight -= 1
        self._shelve(slot)
        self._touch(now)

    def refused(self, slot: Slot, now: float, retry_after: float | None = None) -> float:
        """OKX refused the request for the limit. Gives the seconds that the bucket is frozen."""
        if self.heir is not None:
            return self.heir.refused(slot, now, retry_after)
        self.refusals += 1
        pause = self._freezer.refused(slot.sent_at, now, self.limit, self.withdraw, retry_after)
        self.frozen_until = max(self.frozen_until, now + pause)
        benched = sum(other.benched_until > now for _, _, other in self._idle)
        if self.withdraw > 0 and benched < self.limit.count - 1:
            slot.benched_until = self._freezer.withdraw(now)
        self._return(slot, now, 0.0, now)
        return self.frozen_until - now

    def _learn(self, round_trip: float) -> None:
        credit = self.round_trips.credit
        self.round_trips.add(round_trip)
        if self.round_trips.credit < credit:
            for _, _, slot in self._idle:
                slot.tighten(self.round_trips.credit, self.limit.period)
            self._idle = [(slot.free_at, serial, slot) for _, serial, slot in self._idle]
            heapify(self._idle)

    def _return(self, slot: Slot, seen_by: float, credit: float, now: float) -> None:
        slot.cool(seen_by, credit, self.limit.period, now)
        self.in_flight -= 1
        self._shelve(slot)
        self._trim()
        self._touch(now)

    def _shelve(self, slot: Slot) -> None:
        self._serial += 1
        heappush(self._idle, (slot.free_at, self._serial, slot))

    def _trim(self) -> None:
        while self._idle and len(self._idle) + self.in_flight > self.limit.count:
            heappop(self._idle)  # the oldest use matters least

    def _touch(self, now: float) -> None:
        self.touched = (now, time.monotonic())

    # -- changing --------------------------------------------------------------------------

    def claim(self, owner: object, claim: Claim, now: float) -> None:
        """From now on ``owner`` lives with the bucket; the strictest living claim rules."""
        self.claims[owner] = claim
        self.reconsider(now)

    def release(self, owner: object, now: float) -> None:
        """``owner`` wants nothing more of the bucket."""
        self.claims.pop(owner, None)
        self.reconsider(now)

    def reconsider(self, now: float) -> None:
        """Obey the strictest living claim: the lowest rate, then the smallest burst."""
        claims = list(self.claims.values())
        self._claims_seen = len(claims)
        if not claims:
            return
        claim = Claim.strictest(claims)
        if claim != Claim(self.limit, self.pacing, self.withdraw):
            self._change(claim, now)

    def _change(self, claim: Claim, now: float) -> None:
        old = self.limit
        known = len(self._idle) + self.in_flight < old.count or claim.limit.period <= old.period
        self._rule(claim)
        slots = [slot for _, _, slot in self._idle]
        self._idle.clear()
        for slot in slots:
            slot.rebase(self.limit.period)
            self._shelve(slot)
        if not known:  # what was sent before the old window is forgotten: take it as just sent
            for _ in range(self.limit.count - old.count):
                self._shelve_used(now)
        self._trim()

    def _shelve_used(self, seen_by: float) -> None:
        slot = Slot()
        slot.seen_by = seen_by
        slot.rebase(self.limit.period)
        self._shelve(slot)

    def absorb(self, other: TokenBucket, now: float) -> None:
        """Take over all that ``other`` sent: both were the same user's all along."""
        for _, _, slot in other._idle:
            slot.rebase(self.limit.period)
            self._shelve(slot)
        self.in_flight += other.in_flight
        self.sent += other.sent
        self.refusals += other.refusals
        self.frozen_until = max(self.frozen_until, other.frozen_until)
        other._idle.clear()
        other.in_flight = 0
        other.heir = self
        for owner, claim in other.claims.items():
            self.claims[owner] = claim
        other.claims.clear()
        self.reconsider(now)
        self._trim()

    def start_silent(self, now: float) -> None:
        """Take the history as unknown: one silent window first."""
        while len(self._idle) + self.in_flight < self.limit.count:
            self._shelve_used(now)

    def carried_over(self, now: float) -> TokenBucket:
        """This bucket's history in a bucket for another loop, whose clock shows ``now``."""
        heir = TokenBucket(Claim(self.limit, self.pacing, self.withdraw))
        last, then = self.touched
        shift = now - (last + (time.monotonic() - then))
        for _, _, slot in self._idle:
            slot.rebase(self.limit.period, shift)
            heir._shelve(slot)
        for _ in range(self.in_flight):
            heir._shelve_used(last + STILL_ON_ITS_WAY + shift)
        heir.frozen_until = self.frozen_until + shift
        heir.sent, heir.refusals = self.sent, self.refusals
        return heir

    # -- telling ---------------------------------------------------------------------------

    def over(self, now: float) -> bool:
        """Whether nothing of its history matters any more."""
        return not (
            self.claims
            or self.in_flight
            or now < self.frozen_until
            or any(free_at > now for free_at, _, _ in self._idle)
        )

    def slots_free(self, now: float) -> int:
        """How many requests could leave now."""
        if now < self.frozen_until or now < self._paced_until:
            return 0
        unmade = self.limit.count - len(self._idle) - self.in_flight
        return max(0, unmade) + sum(free_at <= now for free_at, _, _ in self._idle)

    def utilisation(self, now: float) -> float:
        """Share of the limit used over the last windows, up to ten of them."""
        if not self._sends:
            return 0.0
        span = min(10 * self.limit.period, max(self.limit.period, now - self._sends[0]))
        recent = sum(sent_at > now - span for sent_at in self._sends)
        return min(1.0, recent / (self.limit.rate * span))

    def shared_with_others(self, now: float) -> bool:
        """Whether refusals of late say that somebody else spends this limit."""
        return self._freezer.recent(now)


@dataclass(frozen=True, slots=True)
class BucketKey:
    """Whose limit, for what, where."""

    origin: str
    demo: bool
    user: str
    rule: str


class Registry:
    """Every bucket of the process: one for each key, in one event loop at a time.

    A bucket stays as long as a client lives with it or its history matters.
    """

    def __init__(self) -> None:
        self._buckets: dict[BucketKey, TokenBucket] = {}
        self._users: OrderedDict[str, str] = OrderedDict()
        self._sweep_at = 256
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._buckets)

    def user_of(self, credentials: Credentials) -> str | None:
        """The user id of a key, given now or once before; None when it isn't known."""
        if credentials.user_id is not None:
            self.learn(credentials, credentials.user_id)
        with self._lock:
            return self._users.get(credentials.mark)

    def learn(self, credentials: Credentials, user: str) -> None:
        """The key is ``user``'s from now on."""
        mark = credentials.mark
        with self._lock:
            self._users[mark] = user
            self._users.move_to_end(mark)
            if len(self._users) > _USERS:
                self._users.popitem(last=False)

    def buckets_of(self, user: str) -> list[BucketKey]:
        """The keys of all buckets of ``user``."""
        with self._lock:
            return [key for key in self._buckets if key.user == user]

    def bucket(self, key: BucketKey, claim: Claim, loop: asyncio.AbstractEventLoop) -> TokenBucket:
        """The bucket of ``key``; WrongLoopError where another loop lives with it."""
        with self._lock:
            bucket = self._buckets.get(key)
            if bucket is None:
                if len(self._buckets) >= self._sweep_at:
                    self._sweep()
                bucket = TokenBucket(claim)
                if claim.silent_start:
                    bucket.start_silent(loop.time())
            elif not self._belongs(bucket, key, loop):
                bucket = bucket.carried_over(loop.time())
            bucket.loop = weakref.ref(loop)
            self._buckets[key] = bucket
            return bucket

    def _belongs(
        self, bucket: TokenBucket, key: BucketKey, loop: asyncio.AbstractEventLoop
    ) -> bool:
        owner = bucket.loop() if bucket.loop is not None else None
        if owner is loop:
            return True
        if owner is not None and not owner.is_closed() and bucket.claims:
            raise WrongLoopError(
                f"another event loop of this process already spends the limit of {key.user} for "
                f"{key.rule}: two loops can't keep one limit. Use one loop for all clients of a "
                "user (asyncio.run_coroutine_threadsafe reaches it from other threads)"
            )
        return False

    def rename(
        self, old: BucketKey, new: BucketKey, loop: asyncio.AbstractEventLoop
    ) -> TokenBucket:
        """What was counted under ``old`` counts under ``new`` from now on.

        Gives the bucket that stood under ``old``; its heir stands under ``new``.
        """
        bucket = self.bucket(old, Claim(RateLimit(1)), loop)
        with self._lock:
            del self._buckets[old]
            taken = new in self._buckets
            if not taken:
                self._buckets[new] = bucket
        if taken:
            self.bucket(new, Claim(bucket.limit), loop).absorb(bucket, loop.time())
        return bucket

    def _sweep(self) -> None:
        for key, bucket in list(self._buckets.items()):
            loop = bucket.loop() if bucket.loop is not None else None
            if loop is None or loop.is_closed():
                last, then = bucket.touched
                now = last + (time.monotonic() - then)
                bucket.in_flight = (
                    0 if now > last + bucket.limit.period + STILL_ON_ITS_WAY else bucket.in_flight
                )
            else:
                now = loop.time()
            if bucket.over(now):
                del self._buckets[key]
        self._sweep_at = max(256, 2 * len(self._buckets))


REGISTRY = Registry()
