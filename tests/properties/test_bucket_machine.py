"""Any interleaving of what can happen to a bucket, against a plain list of possible arrivals."""

from __future__ import annotations

import gc
import math
import weakref
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from okx_funding import RateLimit
from okx_funding.ratelimit.bucket import STILL_ON_ITS_WAY, Claim, TokenBucket
from okx_funding.ratelimit.merging import merge
from okx_funding.ratelimit.slot import GUARD, Slot
from tests.properties.clock import Clock

pytestmark = pytest.mark.slow

LIMITS = [
    RateLimit(1),
    RateLimit(2),
    RateLimit(3),
    RateLimit(4),
    RateLimit(5, 2.0),
    RateLimit(1, 2.0),
    RateLimit(2, 0.5),
    RateLimit(6, 10.0),
]
ROUTES = [0.0, 0.01, 0.044, 0.2, 0.5]

moments = st.sampled_from([0.0, 0.001, 0.01, 0.05, 0.3, 0.7, 1.0, 1.002, 2.0, 5.0]) | st.floats(
    0, 3
)
limits = st.sampled_from(LIMITS)


@dataclass(eq=False)
class Request:
    """One request and when the exchange may have seen it: in [earliest, latest]."""

    slot: Slot
    sent_at: float
    route: float
    earliest: float
    latest: float = math.inf
    done_with: float = math.inf
    """From then on it lies in the past."""
    window: float = 0.0
    """The longest window in force while it was on its way."""

    def in_the_way_until(self, period: float) -> float:
        return self.done_with + max(period, self.window) + GUARD


class Owner:
    """Lives with a bucket."""


@dataclass(eq=False)
class Side:
    """One bucket and all that it ever sent."""

    bucket: TokenBucket
    owners: dict[Owner, Claim] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)
    flying: list[Request] = field(default_factory=list)
    certain_from: float = -math.inf
    """From then on a bucket that refuses a slot needs a reason."""
    mourned: bool = True
    """Whether the bucket has noticed that somebody died: it does when a slot is wanted."""


class Bucketed(RuleBasedStateMachine):
    SIDES = 0

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.route = 0.0
        self.longest = STILL_ON_ITS_WAY
        """Seconds for which a slot without an answer stays out at most, beside its window."""
        self.sides_now: list[Side] = []

    def teardown(self) -> None:
        self.clock.close()

    @initialize(limit=limits, other=limits, route=st.sampled_from(ROUTES), known=st.booleans())
    def begin(self, limit: RateLimit, other: RateLimit, route: float, known: bool) -> None:
        self.route = route
        self.longest = max(self.longest, route)
        for each in (limit, other)[: self.SIDES]:
            bucket = TokenBucket(Claim(each))
            for _ in range(bucket.round_trips.wanted if known else 1):
                bucket.round_trips.add(route)
            side = Side(bucket)
            self.sides_now.append(side)
            self.come(side, Claim(each))

    # -- what happens ----------------------------------------------------------------------

    @rule(seconds=moments, route=st.sampled_from(ROUTES) | st.none())
    def time_passes(self, seconds: float, route: float | None) -> None:
        """And the route may get longer meanwhile."""
        self.clock.now += seconds
        self.route = max(self.route, route or 0.0)

    @rule(which=st.integers(0, 1), times=st.sampled_from([1, 2, 12]))
    def take(self, which: int, times: int) -> None:
        side = self.side(which)
        for _ in range(times):
            free = self.clock(lambda: side.bucket.slots_free(self.clock.now))
            mourned, side.mourned = side.mourned, True
            request = self.take_one(side)
            assert (request is not None) == (free > 0) or not mourned
            if request is None:
                self.has_a_reason(side)
                return

    @rule(which=st.integers(0, 1))
    def wait_until_the_next_is_free(self, which: int) -> None:
        side = self.side(which)
        bucket = side.bucket
        for _ in range(4):  # a rounding error may ask for another microsecond
            due = self.clock(lambda: bucket.next_free(self.clock.now))
            if self.clock.now >= side.certain_from and not bucket.limit.spread:
                assert due <= self.latest_free(side) + 1e-5
            if due == math.inf:
                assert len(side.flying) >= bucket.limit.count
                return
            assert due >= self.clock.now or bucket.slots_free(self.clock.now)
            self.clock.now = max(self.clock.now, due)
            if self.take_one(side) is not None:
                return
        raise AssertionError(f"{bucket} promised a slot and gave none")

    @precondition(lambda self: self.flying())
    @rule(
        data=st.data(), times=st.sampled_from([1, 2, 12]), extra=st.sampled_from([0.0, 0.001, 0.3])
    )
    def answered(self, data: st.DataObject, times: int, extra: float) -> None:
        for _ in range(min(times, len(self.flying()))):
            side, request = data.draw(st.sampled_from(self.flying()))
            self.answer(side, request, extra)

    @precondition(lambda self: self.flying())
    @rule(
        data=st.data(),
        end=st.sampled_from(["lost", "lost", "cold", "unsent", "unsent", "refused"]),
        retry_after=st.sampled_from([None, 0.0, 3.0, 1e9]),
    )
    def ended_otherwise(self, data: st.DataObject, end: str, retry_after: float | None) -> None:
        side, request = data.draw(st.sampled_from(self.flying()))
        bucket, slot = side.bucket, request.slot
        if end == "lost":
            now = self.clock.now
            self.land(side, request, now + STILL_ON_ITS_WAY, now + self.longest)
            self.clock(lambda: bucket.lost(slot, self.clock.now))
        elif end == "unsent":
            self.unsend(side, request)
        elif end == "cold":
            self.answer(side, request, 0.15, warm=False)
        else:
            self.clock.now = max(self.clock.now, request.sent_at + request.route)
            self.land(side, request, self.clock.now - request.route / 2, self.clock.now)
            frozen = self.clock(lambda: bucket.refused(slot, self.clock.now, retry_after))
            assert frozen >= bucket.limit.period
            assert self.clock(lambda: bucket.take(self.clock.now)) is None
            side.certain_from = math.inf

    # -- what must hold --------------------------------------------------------------------

    @invariant()
    def no_slot_is_minted_or_lost(self) -> None:
        for side in self.sides_now:
            assert side.bucket.in_flight == len(side.flying)
            free = side.bucket.slots_free(self.clock.now)
            assert 0 <= free <= max(0, side.bucket.limit.count - len(side.flying))

    @rule(which=st.integers(0, 1))
    def after_a_quiet_time_all_slots_are_free(self, which: int) -> None:
        self.settle(self.side(which))

    # -- helpers ---------------------------------------------------------------------------

    def side(self, which: int) -> Side:
        return self.sides_now[which % len(self.sides_now)]

    def flying(self) -> list[tuple[Side, Request]]:
        return [(side, request) for side in self.sides_now for request in side.flying]

    def come(self, side: Side, claim: Claim) -> None:
        owner = Owner()
        self.doubt(side)
        side.owners[owner] = claim
        self.clock(lambda: side.bucket.claim(owner, claim, self.clock.now))
        self.doubt(side)

    def answer(self, side: Side, request: Request, extra: float, *, warm: bool = True) -> None:
        self.clock.now = max(self.clock.now, request.sent_at + request.route + extra)
        self.longest = max(self.longest, self.clock.now - request.sent_at)
        self.land(side, request, self.clock.now - request.route / 2, self.clock.now)
        self.clock(lambda: side.bucket.answered(request.slot, self.clock.now, warm=warm))

    def unsend(self, side: Side, request: Request) -> None:
        side.flying.remove(request)
        side.requests.remove(request)
        self.clock(lambda: side.bucket.unsent(request.slot, self.clock.now))

    def doubt(self, side: Side) -> None:
        """For one window a bucket may take as used what it doesn't know."""
        longest = max([0.0, *(claim.limit.period for claim in side.owners.values())])
        for request in side.flying:
            request.window = max(request.window, longest)
        unsure = self.clock.now + self.longest + longest + GUARD
        side.certain_from = max(side.certain_from, unsure)

    def land(self, side: Side, request: Request, latest: float, done_with: float) -> None:
        side.flying.remove(request)
        request.latest = latest
        request.done_with = done_with

    def take_one(self, side: Side) -> Request | None:
        now = self.clock.now
        slot = self.clock(lambda: side.bucket.take(now))
        if slot is None:
            return None
        request = Request(slot, now, self.route, now + self.route / 2)
        for claim in side.owners.values():
            count, period = claim.limit.count, claim.limit.period
            near = [each for each in side.requests if each.latest > request.earliest - period]
            assert len(near) < count, f"{len(near) + 1} may arrive within {claim.limit}"
        side.requests.append(request)
        side.flying.append(request)
        return request

    def latest_free(self, side: Side) -> float:
        """When a slot must be free again, whatever credit is given."""
        limit = side.bucket.limit
        ends = sorted(each.in_the_way_until(limit.period) for each in side.requests)
        return max(self.clock.now, *ends[-limit.count :][:1], 0.0)

    def has_a_reason(self, side: Side) -> None:
        now, bucket = self.clock.now, side.bucket
        if now >= side.certain_from and not bucket.limit.spread:
            assert self.latest_free(side) > now, f"{bucket} idles"

    def settle(self, side: Side) -> None:
        """Answer everything, wait long: then exactly N slots are free, all at once."""
        bucket = side.bucket
        for request in list(side.flying):
            self.answer(side, request, 0.0)
        self.clock.now += 400.0  # longer than the longest withdrawal, freeze and window
        taken = [self.take_one(side)]
        count = bucket.limit.count
        if not bucket.limit.spread:
            taken += [self.take_one(side) for _ in range(count)]
            assert [request is None for request in taken] == [False] * count + [True]
        for request in filter(None, taken):
            self.unsend(side, request)
        assert bucket.slots_free(self.clock.now) == count
        side.certain_from = -math.inf


class Steady(Bucketed):
    """One bucket with one limit."""

    SIDES = 1


class Changing(Bucketed):
    """Owners with other limits come and go, and two buckets become one."""

    SIDES = 2

    @rule(which=st.integers(0, 1), limit=limits, spread=st.sampled_from([False, False, True]))
    def somebody_comes(self, which: int, limit: RateLimit, spread: bool) -> None:
        self.come(self.side(which), Claim(replace(limit, spread=spread)))

    @rule(which=st.integers(0, 1), limit=limits, data=st.data())
    def somebody_wants_something_else(
        self, which: int, limit: RateLimit, data: st.DataObject
    ) -> None:
        side = self.side(which)
        owner = list(side.owners)[data.draw(st.integers(0, len(side.owners) - 1))]
        self.doubt(side)
        side.owners[owner] = Claim(limit)
        side.bucket.claim(owner, Claim(limit), self.clock.now)
        self.doubt(side)

    @rule(which=st.integers(0, 1), dies=st.booleans(), data=st.data())
    def somebody_leaves(self, which: int, dies: bool, data: st.DataObject) -> None:
        side = self.side(which)
        if len(side.owners) < 2:
            return
        index = data.draw(st.integers(0, len(side.owners) - 1))
        self.doubt(side)
        owner = weakref.ref(list(side.owners)[index])
        if not dies:
            self.clock(lambda: side.bucket.release(owner(), self.clock.now))
        del side.owners[list(side.owners)[index]]
        if dies and owner() is not None:
            gc.collect()
        side.mourned = not dies
        self.doubt(side)

    @precondition(lambda self: len(self.sides_now) == 2)
    @rule(first=st.booleans())
    def both_are_one_users(self, first: bool) -> None:
        heir, other = self.sides_now if first else reversed(self.sides_now)
        self.doubt(heir)
        self.doubt(other)
        self.clock(lambda: merge(other.bucket, heir.bucket, self.clock.now))
        heir.certain_from = max(heir.certain_from, other.certain_from)
        heir.requests = sorted([*heir.requests, *other.requests], key=lambda each: each.sent_at)
        heir.flying += other.flying
        heir.owners.update(other.owners)
        heir.bucket.round_trips.add(min(ROUTES))  # the shorter of their routes may be either's
        self.sides_now = [heir]
        self.doubt(heir)


TestSteady = Steady.TestCase
TestSteady.settings = settings(max_examples=60, stateful_step_count=60)
TestChanging = Changing.TestCase
TestChanging.settings = settings(max_examples=150, stateful_step_count=60)
