"""The law of a bucket: N slots, each held over the round trip and one window longer."""

from __future__ import annotations

import asyncio
import gc
import heapq
import itertools
import math
import random
import time
from dataclasses import replace
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from okx_funding import RateLimit
from okx_funding.ratelimit.backoff import REFUSAL_COOLDOWN, RefusalBackoff
from okx_funding.ratelimit.bucket import TokenBucket
from okx_funding.ratelimit.forecast import nth_slot_at
from okx_funding.ratelimit.interface import Claim
from okx_funding.ratelimit.merging import assume_spent, is_abandoned, is_over, merge, rebind
from okx_funding.ratelimit.pacer import SMOOTH
from okx_funding.ratelimit.round_trips import RoundTrips
from okx_funding.ratelimit.slot import GUARD, Slot
from okx_funding.ratelimit.slot_pool import STILL_ON_ITS_WAY
from okx_funding.simulator import make_judge
from tests.properties.clock import Clock, Hands

HELD = 1.0 + GUARD
LIMITS = [
    RateLimit(1, 1.0),
    RateLimit(2, 1.0),
    RateLimit(6, 1.0),
    RateLimit(10, 2.0),
    RateLimit(20, 2.0),
    RateLimit(1, 2.0),
]


class Owner:
    """Lives with a bucket."""


@pytest.fixture
def clock():
    clock = Clock()
    yield clock
    clock.close()


@pytest.fixture
def hands(clock):
    def make(limit, **claim):
        return Hands(clock, TokenBucket(Claim(limit, **claim)))

    return make


# -- slots ------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", LIMITS, ids=str)
def test_a_fresh_bucket_gives_as_many_slots_as_the_limit_and_no_more(hands, limit):
    bucket = hands(limit)
    assert len(bucket.take(0.0, n=50)) == limit.count
    assert bucket.free(0.0) == 0


def test_a_slot_is_held_as_long_as_its_request_is_on_its_way(hands):
    bucket = hands(RateLimit(1))
    bucket.take(0.0)
    assert bucket.take(1000.0) == []
    assert bucket.bucket.next_free(1000.0) == math.inf


def test_an_answered_slot_is_free_a_window_and_the_guard_after_its_answer(hands):
    bucket = hands(RateLimit(1))
    bucket.give("answered", 0.3, *bucket.take(0.0))
    assert bucket.take(0.3 + HELD - 1e-6) == []
    assert bucket.take(0.3 + HELD)


def test_each_slot_comes_back_by_itself(hands):
    bucket = hands(RateLimit(3))
    slots = bucket.take(0.0, n=3)
    for slot, at in ((slots[0], 0.1), (slots[2], 0.3), (slots[1], 0.5)):
        bucket.give("answered", at, slot)
    assert [len(bucket.take(at + HELD, n=3)) for at in (0.1, 0.3, 0.5)] == [1, 1, 1]


def test_what_was_free_longest_is_taken_first(hands):
    bucket = hands(RateLimit(2))
    first, second = bucket.take(0.0, n=2)
    bucket.give("answered", 0.1, second)
    bucket.give("answered", 0.2, first)
    assert bucket.take(5.0, n=2) == [second, first]


def test_a_slot_without_an_answer_stays_out_a_quarter_of_a_second_longer(hands):
    bucket = hands(RateLimit(1))
    bucket.give("lost", 0.1, *bucket.take(0.0))
    assert bucket.frees() == pytest.approx(0.1 + STILL_ON_ITS_WAY + HELD, abs=2e-6)


def test_a_slot_without_an_answer_waits_for_the_longest_way_of_late(hands):
    bucket = hands(RateLimit(1))
    bucket.give("answered", 0.9, *bucket.take(0.0))
    bucket.give("lost", 10.1, *bucket.take(10.0))
    assert bucket.frees() == pytest.approx(10.1 + 0.9 + HELD, abs=2e-6)


def test_a_slot_without_an_answer_waits_no_more_than_five_seconds_for_one(hands):
    bucket = hands(RateLimit(1))
    bucket.give("answered", 20.0, *bucket.take(0.0))
    bucket.give("lost", 30.1, *bucket.take(30.0))
    assert bucket.frees() == pytest.approx(30.1 + 5 + HELD, abs=2e-6)


def test_a_slot_of_an_unsent_request_is_free_at_once(hands):
    bucket = hands(RateLimit(1))
    bucket.give("unsent", 5.0, *bucket.take(0.0))
    assert bucket.take(5.0)
    assert (bucket.bucket.sent, bucket.bucket.in_flight) == (1, 1)


def test_what_was_sent_before_an_unsent_request_still_counts(hands):
    bucket = hands(RateLimit(2))
    bucket.give("answered", 0.0, *bucket.take(0.0, n=2))
    bucket.give("unsent", 1.1, *bucket.take(1.1, n=2))
    assert bucket.free(1.1) == 2
    bucket.give("answered", 1.2, *bucket.take(1.2, n=2))
    assert bucket.take(1.3, n=2) == []


def test_an_unsent_request_is_as_if_it_had_never_been(hands):
    bucket = hands(RateLimit(6, spread=True))
    before = repr(bucket.bucket), bucket.bucket.utilisation(1.0)
    bucket.give("unsent", 0.5, *bucket.take(0.0))
    told = repr(bucket.bucket).replace("1 slots idle", "0 slots idle")
    assert (told, bucket.bucket.utilisation(1.0)) == before
    assert bucket.take(0.5)


@pytest.mark.parametrize("how", ["answered", "lost", "refused", "unsent"])
def test_a_slot_comes_back_only_once(hands, how):
    bucket = hands(RateLimit(2))
    (slot,) = bucket.take(0.0)
    bucket.give(how, 0.1, slot)
    with pytest.raises(KeyError):
        bucket.give("answered", 0.2, slot)
    assert bucket.bucket.in_flight == 0


@given(st.lists(st.floats(0, 5), min_size=1, max_size=40), st.sampled_from(LIMITS))
def test_next_free_is_the_moment_at_which_a_slot_can_be_taken(gaps, limit):
    clock = Clock()
    bucket = Hands(clock, TokenBucket(Claim(limit)))
    for gap in gaps:
        for slot in bucket.take(clock.now + gap, n=2):
            bucket.give("answered", clock.now, slot)
        due = bucket.bucket.next_free(clock.now)
        assert due <= clock.now or bucket.free(due - 1e-9) == 0
        assert bucket.free(due) > 0
    clock.close()


# -- the credit for the round trip ------------------------------------------------------------


def trips(*seconds, wanted=4):
    learned = RoundTrips(wanted)
    for each in seconds:
        learned.add(each)
    return learned


def test_nothing_is_credited_before_enough_round_trips_are_known():
    assert trips(*[0.04] * 11, wanted=12).credit == 0
    assert trips(*[0.04] * 12, wanted=12).credit > 0


@pytest.mark.parametrize(
    ("seconds", "credit"), [(0.02, 0.017), (0.04, 0.033), (0.5, 0.401), (0.004, 0.004)]
)
def test_four_fifths_and_half_the_guard_are_credited_at_any_distance(seconds, credit):
    assert trips(*[seconds] * 4).credit == pytest.approx(credit)


def test_what_few_samples_lie_apart_is_taken_off_twice():
    assert trips(0.040, 0.042, 0.041, 0.043).shortest == pytest.approx(0.034)


@given(st.lists(st.floats(0, 2), min_size=1, max_size=60))
def test_the_credit_is_less_than_every_round_trip_of_late(seconds):
    assert 0 <= trips(*seconds).credit <= min(seconds)


@pytest.mark.parametrize(("count", "wanted"), [(1, 4), (2, 4), (6, 12)])
def test_every_slot_goes_twice_before_anything_is_credited(hands, count, wanted):
    bucket, credited = hands(RateLimit(count)), []
    for now in range(0, 5 * wanted, 5):
        bucket.give("answered", now + 0.04, *bucket.take(now))
        credited.append(bucket.bucket.round_trips.credit > 0)
    assert credited == [False] * (wanted - 1) + [True]


def test_a_shorter_round_trip_lowers_the_credit_at_once():
    learned = trips(*[0.04] * 20)
    learned.add(0.01)
    assert learned.credit <= 0.01


def test_what_was_short_in_the_epoch_before_still_counts():
    learned = trips(*[0.01] * RoundTrips.EPOCH, *[0.04] * 8)
    assert learned.credit == trips(*[0.01] * 20).credit


def test_a_route_that_got_longer_is_credited_again_after_two_epochs():
    learned = trips(*[0.01] * 20)
    for _ in range(2 * RoundTrips.EPOCH):
        learned.add(0.04)
    assert learned.credit == trips(*[0.04] * 20).credit


def test_the_mean_is_that_of_the_first_32_round_trips_and_then_follows_slowly():
    learned = trips(0.1, 0.3)
    assert learned.mean == pytest.approx(0.2)
    learned = trips(*[0.1] * 100, 0.42)
    assert learned.mean == pytest.approx(0.11)


def test_until_a_connection_is_kept_a_new_ones_round_trip_is_the_mean():
    learned = RoundTrips(4)
    learned.add_cold(0.5)
    assert learned.mean == 0.5
    learned.add(0.1)
    learned.add_cold(0.5)
    assert learned.mean == pytest.approx(0.1)


def test_a_slot_is_free_earlier_by_the_credit(hands):
    bucket = hands(RateLimit(1))
    for _ in range(6):
        now = bucket.clock.now + 5
        bucket.give("answered", now + 0.04, *bucket.take(now))
    credit = bucket.bucket.round_trips.credit
    assert credit > 0
    assert bucket.frees() == pytest.approx(now + 0.04 + HELD - credit, abs=2e-6)


def test_a_connection_that_was_new_teaches_nothing_of_the_way(hands):
    bucket = hands(RateLimit(1))
    for _ in range(20):
        now = bucket.clock.now + 5
        bucket.give("answered", now + 0.2, *bucket.take(now), warm=False)
    assert bucket.bucket.round_trips.credit == 0


def test_a_window_shorter_than_the_credit_is_over_when_the_answer_is_there(hands):
    bucket = hands(RateLimit(1, 0.01))
    for number in range(8):
        (slot,) = bucket.take(float(number))
        bucket.give("answered", number + 0.2, slot)
    assert bucket.bucket.round_trips.credit > 0.01
    assert len(bucket.take(7.201)) == 1


def test_a_shorter_round_trip_takes_back_what_idle_slots_were_credited(hands):
    bucket = hands(RateLimit(2))
    for _ in range(10):
        now = bucket.clock.now + 5
        bucket.give("answered", now + 0.04, *bucket.take(now))
    free_at = bucket.frees(2)
    bucket.give("answered", now + 0.042, *bucket.take(now + 0.041))  # as short as never before
    assert bucket.bucket.round_trips.credit <= 0.001
    assert free_at + 0.02 < bucket.frees() <= now + 0.04 + HELD


def test_whoever_is_free_first_after_that_is_taken_first(hands):
    bucket = hands(RateLimit(3))
    for now in range(0, 60, 5):
        bucket.give("answered", now + 0.04, *bucket.take(now))
    lost, late, quick = bucket.take(60, n=3)
    bucket.give("lost", 60.0, lost)
    bucket.give("answered", 60.27, late)  # by its credit it is free before the lost one
    bucket.give("unsent", 60.27, quick)
    bucket.give("answered", 60.28, *bucket.take(60.27))
    assert bucket.take(60.255 + HELD) == [lost]


def test_a_shorter_round_trip_credits_nothing_to_what_was_lost(hands):
    bucket = hands(RateLimit(2))
    for now in range(0, 50, 5):
        bucket.give("answered", now + 0.04, *bucket.take(now))
    lost, answered = bucket.take(50, n=2)
    bucket.give("lost", 50.03, lost)
    free_at = lost.free_at
    bucket.give("answered", 50.038, answered)
    assert 0 < bucket.bucket.round_trips.credit < 0.03
    assert lost.free_at == free_at


# -- the limit at the exchange ----------------------------------------------------------------


def drive(clock, bucket, judge, total, way, fail_waiters=0.0, chance=None):
    """Send ``total`` requests as fast as the bucket allows; how many the judge refused, and the
    times of arrival. A share of them is given up on the way and arrives all the same."""
    chance = chance or random.Random(1)
    serial = itertools.count()
    events: list = []
    arrivals: list[float] = []
    sent = refused = 0
    while sent < total or events:
        now = clock.now
        while sent < total and (slot := clock(lambda: bucket.take(clock.now))) is not None:
            sent += 1
            arrived = now + way()
            heapq.heappush(events, (arrived, next(serial), "arrive", slot))
            if chance.random() < fail_waiters:
                heapq.heappush(events, (now + way() / 2, next(serial), "lost", slot))
            else:
                heapq.heappush(events, (arrived + way(), next(serial), "answered", slot))
        due = bucket.next_free(now) if sent < total else math.inf
        if not events or due < events[0][0]:
            clock.now = max(now, due)
            continue
        clock.now, _, what, slot = heapq.heappop(events)
        if what == "arrive":
            arrivals.append(clock.now)
            refused += not judge.admit(clock.now)
        else:
            clock(partial(getattr(bucket, what), slot, clock.now))
    return refused, arrivals


@pytest.mark.parametrize("limit", LIMITS, ids=str)
@pytest.mark.parametrize("jitter", [0.0, 0.01, 0.03, 0.1])
def test_the_limit_holds_under_the_sliding_log(clock, limit, jitter):
    chance = random.Random(f"{limit}{jitter}")
    bucket = TokenBucket(Claim(limit))
    judge = make_judge("sliding", limit.count, limit.period)
    total = 40 * limit.count
    refused, arrivals = drive(
        clock, bucket, judge, total, lambda: 0.022 + jitter * chance.random(), chance=chance
    )
    assert refused == 0
    longest = limit.period + GUARD + 0.044 + 2 * jitter
    assert max(arrivals) <= 40 * longest, "and it is used"


@pytest.mark.parametrize("judge", ["sliding", "fixed", "fixed-first", "token-bucket"])
def test_the_limit_holds_though_a_third_is_given_up_on_the_way(clock, judge):
    chance = random.Random(judge)
    bucket = TokenBucket(Claim(RateLimit(6)))
    refused, _ = drive(
        clock,
        bucket,
        make_judge(judge, 6, 1.0),
        600,
        lambda: 0.022 + 0.03 * chance.random(),
        fail_waiters=0.35,
        chance=chance,
    )
    assert refused == 0


def test_the_limit_holds_when_the_event_loop_stalls(clock):
    chance = random.Random(3)
    bucket = TokenBucket(Claim(RateLimit(6)))

    def way():
        return 0.02 + (0.8 if chance.random() < 0.05 else 0.0)

    refused, _ = drive(clock, bucket, make_judge("sliding", 6, 1.0), 600, way)
    assert refused == 0


def test_after_a_suspended_hour_no_more_than_the_limit_leaves(hands):
    bucket = hands(RateLimit(6))
    bucket.give("answered", 0.05, *bucket.take(0.0, n=6))
    assert len(bucket.take(3600.0, n=50)) == 6


# -- refusals ---------------------------------------------------------------------------------


def test_an_answer_to_what_was_sent_before_a_freeze_ends_no_trouble():
    backoff, limit = RefusalBackoff(), RateLimit(6)
    pauses = [backoff.refused(at, at, limit, REFUSAL_COOLDOWN, None)[0] for at in (0.0, 2.0)]
    backoff.succeeded(1.9)
    pauses.append(backoff.refused(5.0, 5.0, limit, REFUSAL_COOLDOWN, None)[0])
    assert pauses == pytest.approx([1 + GUARD, 2 + GUARD, 4 + GUARD])


def test_a_slot_may_be_withheld_for_less_than_a_second(hands):
    bucket = hands(RateLimit(2), refusal_cooldown=0.5)
    bucket.give("refused", 0.1, *bucket.take(0.0))
    (slot,) = bucket.take(2.0)
    bucket.give("refused", 2.1, slot)
    assert slot.cooldown_until == pytest.approx(2.6)


# -- smooth pacing ----------------------------------------------------------------------------


@pytest.mark.parametrize("limit", LIMITS, ids=str)
def test_smooth_requests_leave_evenly(clock, limit):
    bucket = TokenBucket(Claim(replace(limit, spread=True)))
    judge = make_judge("sliding", limit.count, limit.period)
    refused, arrivals = drive(clock, bucket, judge, 60, lambda: 0.022)
    gaps = [later - earlier for earlier, later in itertools.pairwise(arrivals)]
    assert refused == 0
    assert min(gaps) == pytest.approx(SMOOTH * limit.period / limit.count, abs=1e-5)
    assert max(gaps) == pytest.approx(SMOOTH * limit.period / limit.count, abs=0.05)


@pytest.mark.parametrize("limit", LIMITS, ids=str)
@pytest.mark.parametrize("judge", ["weighted", "sliding", "fixed", "fixed-first", "token-bucket"])
def test_smooth_requests_satisfy_every_judge(clock, limit, judge):
    chance = random.Random(str(limit))
    clock.now = 0.37
    bucket = TokenBucket(Claim(replace(limit, spread=True)))
    refused, _ = drive(
        clock,
        bucket,
        make_judge(judge, limit.count, limit.period),
        30 * limit.count,
        lambda: 0.02 + 0.01 * chance.random(),
    )
    assert refused == 0


def test_bursts_do_not_satisfy_the_weighted_judge(clock):
    clock.now = 0.37
    bucket = TokenBucket(Claim(RateLimit(6)))
    refused, _ = drive(clock, bucket, make_judge("weighted", 6, 1.0), 60, lambda: 0.02)
    assert refused > 0


def test_a_smooth_bucket_keeps_its_pace_when_the_limit_changes(hands):
    bucket, owner = hands(RateLimit(6, spread=True)), Owner()
    bucket.take(0.0)
    bucket.bucket.claim(owner, Claim(RateLimit(2, spread=True)), 0.1)
    assert bucket.take(0.6) == []
    assert bucket.take(SMOOTH / 2)


# -- a limit that changes ---------------------------------------------------------------------


def test_a_smaller_limit_counts_what_was_sent_under_the_larger(hands):
    bucket, owner = hands(RateLimit(6)), Owner()
    bucket.give("answered", 0.0, *bucket.take(0.0, n=6))
    bucket.bucket.claim(owner, Claim(RateLimit(2)), 0.5)
    assert bucket.take(HELD - 0.001, n=9) == []
    assert len(bucket.take(HELD, n=9)) == 2


def test_a_smaller_limit_counts_what_is_on_its_way(hands):
    bucket, owner = hands(RateLimit(3)), Owner()
    slots = bucket.take(0.0, n=3)
    bucket.bucket.claim(owner, Claim(RateLimit(1)), 0.1)
    bucket.give("answered", 0.2, *slots[:2])
    assert bucket.take(5.0) == []
    bucket.give("answered", 6.0, slots[2])
    assert bucket.take(6.9) == []
    assert len(bucket.take(6.0 + HELD, n=3)) == 1


def test_the_last_to_be_free_counts_when_slots_are_one_too_many(hands):
    bucket, owner = hands(RateLimit(2)), Owner()
    one, two = bucket.take(0.0, n=2)
    bucket.bucket.claim(owner, Claim(RateLimit(1)), 0.0)
    bucket.give("lost", 0.1, one)  # may arrive until 0.35
    bucket.give("answered", 0.11, two)
    assert bucket.frees() == pytest.approx(0.1 + STILL_ON_ITS_WAY + HELD, abs=2e-6)


def test_nobody_is_woken_for_a_slot_that_is_one_too_many(hands):
    bucket, owner = hands(RateLimit(3)), Owner()
    for at, slot in zip((0.1, 0.2, 0.3), bucket.take(0.0, n=3), strict=True):
        bucket.give("answered", at, slot)
    bucket.bucket.claim(owner, Claim(RateLimit(2)), 0.4)
    assert bucket.bucket.next_free(0.4) == pytest.approx(0.2 + HELD)


def test_a_larger_limit_has_its_new_slots_at_once(hands):
    bucket, owner = hands(RateLimit(2)), Owner()
    bucket.give("answered", 0.0, *bucket.take(0.0, n=2))
    bucket.bucket.claim(owner, Claim(RateLimit(6)), 0.1)
    assert len(bucket.take(0.1, n=9)) == 4


def test_a_limit_that_shrinks_and_grows_again_remembers(hands):
    bucket, owner, strict = hands(RateLimit(6)), Owner(), Owner()
    bucket.bucket.claim(owner, Claim(RateLimit(6)), 0.0)
    bucket.give("answered", 0.0, *bucket.take(0.0, n=6))
    bucket.bucket.claim(strict, Claim(RateLimit(1)), 0.1)
    bucket.take(0.2)
    bucket.bucket.release(strict, 0.3)
    assert bucket.take(0.9, n=9) == []
    assert len(bucket.take(HELD, n=9)) == 6


def test_a_longer_window_takes_what_it_cannot_know_as_used(hands):
    bucket, owner = hands(RateLimit(2)), Owner()
    for at in (0.0, 2.0):
        bucket.give("answered", at, *bucket.take(at, n=2))
    bucket.bucket.claim(owner, Claim(RateLimit(6, 10.0)), 2.1)
    assert len(bucket.take(9.9, n=9)) == 0
    assert len(bucket.take(10.01, n=9)) == 4, "what was forgotten was seen at 0"
    assert len(bucket.take(12.01, n=9)) == 2


def test_a_slot_that_stands_for_what_was_forgotten_is_credited_nothing():
    slot = Slot(1.0, seen_by=10.0)
    slot.credit = 0.03
    slot.rebase(10.0, not_before=9.98)
    assert slot.free_at == pytest.approx(9.98 + 10 + GUARD, abs=1e-9)


def test_a_longer_window_that_knows_all_gives_the_rest_at_once(hands):
    bucket, owner = hands(RateLimit(2)), Owner()
    bucket.give("answered", 0.0, *bucket.take(0.0))
    bucket.bucket.claim(owner, Claim(RateLimit(6, 10.0)), 2.1)
    assert len(bucket.take(2.1, n=9)) == 5


def test_a_longer_window_waits_for_what_a_withheld_slot_hides(hands):
    bucket, owner = hands(RateLimit(2)), Owner()
    first, second = bucket.take(0.0, n=2)
    bucket.give("answered", 0.0, second)
    bucket.give("refused", 0.0, first)  # the first refusal freezes only
    for at in (2.0, 4.0, 6.0, 8.0, 10.0, 12.0, 14.0):
        bucket.give("answered", at, *bucket.take(at))
    bucket.bucket.claim(owner, Claim(RateLimit(2, 10.0)), 14.1)
    assert bucket.take(15.5) == [], "seen at 12 and 14"
    assert len(bucket.take(22.01, n=2)) == 1


def test_a_shorter_window_frees_earlier(hands):
    bucket, owner = hands(RateLimit(1, 60.0)), Owner()
    bucket.give("answered", 0.0, *bucket.take(0.0))
    bucket.bucket.claim(owner, Claim(RateLimit(1, 1.0)), 0.1)
    assert bucket.take(HELD)


def test_a_window_that_changes_under_way_keeps_nobody_polling(hands):
    bucket, owner = hands(RateLimit(1, 60.0)), Owner()
    slots = bucket.take(0.0)
    bucket.bucket.claim(owner, Claim(RateLimit(1, 1.0)), 0.1)
    bucket.give("answered", 0.2, *slots)
    assert bucket.bucket.next_free(0.3) == pytest.approx(0.2 + HELD, abs=1e-5)
    assert bucket.take(0.2 + HELD + 1e-5)


def test_what_is_under_way_counts_in_the_longest_window_of_the_living(hands):
    bucket, owner, other = hands(RateLimit(6, 10.0)), Owner(), Owner()
    bucket.bucket.claim(owner, Claim(RateLimit(6, 10.0)), 0.0)
    slots = bucket.take(0.0, n=6)
    bucket.bucket.claim(other, Claim(RateLimit(1, 1.0)), 0.1)
    bucket.give("answered", 0.2, *slots)
    assert bucket.take(9.9) == []
    assert len(bucket.take(10.21, n=6)) == 1


@pytest.mark.parametrize(
    ("limits", "together"),
    [
        ([RateLimit(6), RateLimit(2)], RateLimit(2)),
        ([RateLimit(6), RateLimit(6, 2.0)], RateLimit(6, 2.0)),
        ([RateLimit(6), RateLimit(12, 10.0)], RateLimit(6, 5.0)),
        ([RateLimit(6, 10.0), RateLimit(1)], RateLimit(1, 10 / 6)),
        ([RateLimit(1), RateLimit(5, 2.0), RateLimit(20, 2.0)], RateLimit(1)),
    ],
    ids=str,
)
def test_a_bucket_obeys_all_who_live_with_it(hands, limits, together):
    bucket, owners = hands(limits[0]), [Owner() for _ in limits]
    for owner, limit in zip(owners, limits, strict=True):
        bucket.bucket.claim(owner, Claim(limit), 0.0)
    assert bucket.bucket.limit == together


@given(st.lists(st.tuples(st.integers(1, 20), st.integers(1, 20)), min_size=1, max_size=4))
def test_what_all_want_together_suits_each_of_them(wanted):
    claims = [Claim(RateLimit(count, float(period))) for count, period in wanted]
    together = Claim.strictest(claims).limit
    bursts = [turn * together.period * (1 + 1e-9) for turn in range(30)]
    for claim in claims:
        windows = sum(each < claim.limit.period for each in bursts)
        assert windows * together.count <= claim.limit.count


def test_the_claim_of_the_dead_ends_when_a_slot_is_wanted(hands):
    bucket, owner, strict = hands(RateLimit(6)), Owner(), Owner()
    bucket.bucket.claim(owner, Claim(RateLimit(6)), 0.0)
    bucket.bucket.claim(strict, Claim(RateLimit(1, spread=True)), 0.0)
    assert len(bucket.take(0.0, n=9)) == 1
    del strict
    gc.collect()
    assert len(bucket.take(0.1, n=9)) == 5


def test_the_longest_cooldown_and_even_pacing_win(hands):
    bucket, one, two = hands(RateLimit(6)), Owner(), Owner()
    bucket.bucket.claim(one, Claim(RateLimit(6), refusal_cooldown=0.0), 0.0)
    bucket.bucket.claim(two, Claim(RateLimit(6, spread=True), refusal_cooldown=5.0), 0.0)
    assert (bucket.bucket.limit.spread, bucket.bucket.refusal_cooldown) == (True, 5.0)
    bucket.bucket.release(two, 0.0)
    assert (bucket.bucket.limit.spread, bucket.bucket.refusal_cooldown) == (False, 0.0)


# -- two buckets become one -------------------------------------------------------------------


SIX = RateLimit(6)


def two(hands, one=SIX, other=SIX):
    return hands(one), hands(other)


def test_what_both_sent_counts_together(hands):
    heir, other = two(hands)
    heir.give("answered", 0.0, *heir.take(0.0, n=2))
    other.give("answered", 0.5, *other.take(0.5, n=3))
    merge(other.bucket, heir.bucket, 0.6)
    assert len(heir.take(0.6, n=9)) == 1
    assert len(heir.take(HELD, n=9)) == 2
    assert len(heir.take(0.5 + HELD, n=9)) == 3


def test_more_than_the_limit_is_worked_off_first(hands):
    heir, other = two(hands)
    heir.give("answered", 0.0, *heir.take(0.0, n=6))
    other.give("answered", 0.5, *other.take(0.5, n=6))
    merge(other.bucket, heir.bucket, 0.6)
    assert heir.take(0.5 + HELD - 0.001, n=9) == []
    assert len(heir.take(0.5 + HELD, n=9)) == 6


@pytest.mark.parametrize("order", [1, -1])
def test_what_is_on_its_way_comes_back_to_the_heir(hands, order):
    heir, other = two(hands, RateLimit(2), RateLimit(2))
    in_flight = [(heir, *heir.take(0.0)), *((other, slot) for slot in other.take(0.0, n=2))]
    merge(other.bucket, heir.bucket, 0.1)
    assert (heir.bucket.in_flight, other.bucket.in_flight) == (3, 0)
    for owner, slot in in_flight[::order]:
        owner.give("answered", 0.2, slot)
    assert heir.take(1.1, n=9) == []
    assert len(heir.take(0.2 + HELD, n=9)) == 2
    assert heir.bucket.sent == 5


@pytest.mark.parametrize("how", ["lost", "refused", "unsent"])
def test_however_it_comes_back_it_comes_to_the_heir(hands, how):
    heir, other = two(hands, RateLimit(2), RateLimit(2))
    slots = other.take(0.0, n=2)
    merge(other.bucket, heir.bucket, 0.1)
    other.give(how, 0.2, *slots)
    assert (heir.bucket.in_flight, heir.bucket.refusals) == (0, 2 * (how == "refused"))
    assert len(heir.take(100.0, n=9)) == 2


def test_a_freeze_of_either_freezes_both(hands):
    heir, other = two(hands)
    other.give("refused", 0.0, *other.take(0.0))
    merge(other.bucket, heir.bucket, 0.1)
    assert heir.take(0.9) == []
    assert heir.bucket.shared_with_others(0.9)


def test_two_paces_become_one(hands):
    heir, other = hands(RateLimit(6, spread=True)), hands(RateLimit(6, spread=True))
    other.take(0.0)
    merge(other.bucket, heir.bucket, 0.1)
    assert heir.take(SMOOTH / 6 - 0.001) == []
    assert heir.take(SMOOTH / 6)


def test_what_both_counted_is_counted_together(hands):
    heir, other = two(hands, RateLimit(2), RateLimit(2))
    for each, at in ((heir, 5.0), (other, 0.0)):
        (slot,) = each.take(at)
        each.bucket.load(slot, 3, 4)
        each.give("refused", at, slot)
    merge(other.bucket, heir.bucket, 5.5)
    told = heir.bucket
    assert (told.sent, told.refusals, told.keys_sent, told.callers_served) == (2, 2, 6, 8)
    assert told.utilisation(6.0) == pytest.approx(1 / 6), "since the earlier of both"


def test_what_either_was_refused_goes_on_for_both(hands):
    heir, other = two(hands)
    other.give("refused", 0.1, *other.take(0.0))
    other.give("refused", 2.1, *other.take(2.0))
    merge(other.bucket, heir.bucket, 2.2)
    (slot,) = heir.take(5.0)
    heir.give("refused", 5.1, slot)
    assert heir.bucket.frozen_until == pytest.approx(5.1 + 4 + GUARD), "the third in a row"
    assert slot.cooldown_until == pytest.approx(5.1 + 2 * REFUSAL_COOLDOWN)


def test_what_one_sent_before_the_other_was_refused_is_the_same_trouble(hands):
    heir, other = two(hands)
    slots = heir.take(0.0)
    other.give("refused", 0.1, *other.take(0.0))
    merge(other.bucket, heir.bucket, 0.2)
    heir.give("refused", 0.3, *slots)
    assert heir.bucket.frozen_until == pytest.approx(0.3 + 1 + GUARD)


def test_claims_of_either_rule_both(hands):
    heir, other = two(hands, RateLimit(6), RateLimit(2))
    one, two_ = Owner(), Owner()
    heir.bucket.claim(one, Claim(RateLimit(6)), 0.0)
    other.bucket.claim(two_, Claim(RateLimit(2)), 0.0)
    merge(other.bucket, heir.bucket, 0.0)
    assert heir.bucket.limit == RateLimit(2)
    assert not other.bucket.claims


def test_a_history_that_one_of_them_forgot_is_not_taken_as_empty(hands):
    heir, other = two(hands, RateLimit(6, 10.0), RateLimit(2))
    one, two_ = Owner(), Owner()
    heir.bucket.claim(one, Claim(RateLimit(6, 10.0)), 0.0)
    for at in (0.0, 2.0, 4.0):
        other.give("answered", at, *other.take(at, n=2))
    other.bucket.claim(two_, Claim(RateLimit(6, 1.0)), 4.0)
    merge(other.bucket, heir.bucket, 4.1)
    assert heir.take(9.9, n=9) == [], "six within the last ten seconds"
    heir.bucket.release(two_, 9.9)
    assert len(heir.take(12.01, n=9)) == 4


def test_what_the_other_forgot_the_heir_does_not_take_for_nothing(hands):
    heir, other = two(hands, RateLimit(2), RateLimit(2))
    owner = Owner()
    for at in (0.0, 2.0):
        other.give("answered", at, *other.take(at, n=2))
    merge(other.bucket, heir.bucket, 2.1)
    heir.bucket.claim(owner, Claim(RateLimit(6, 10.0)), 2.2)
    assert heir.take(9.9, n=9) == []
    assert len(heir.take(10.01, n=9)) == 4


def test_a_bucket_that_was_merged_itself_passes_slots_on(hands):
    first, second = two(hands)
    third = hands(RateLimit(6))
    slots = first.take(0.0)
    merge(first.bucket, second.bucket, 0.1)
    merge(second.bucket, third.bucket, 0.2)
    first.give("answered", 0.3, *slots)
    assert third.bucket.in_flight == 0
    assert len(third.take(0.3, n=9)) == 5


# -- another loop, another process ------------------------------------------------------------


@pytest.fixture
def monotonic(monkeypatch):
    """The machine's clock, set by hand."""
    moment = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: moment[0])
    return moment


def test_history_is_rebound_to_another_loops_clock(hands, monotonic):
    bucket = hands(RateLimit(6))
    bucket.clock.now = 500.0
    bucket.give("answered", 500.0, *bucket.take(500.0, n=4))
    monotonic[0] += 0.4
    heir = Hands(bucket.clock, rebind(bucket.bucket, 7.0))  # 0.4 s later by another clock
    assert len(heir.take(7.0, n=9)) == 2
    assert heir.take(7.59, n=9) == []
    assert len(heir.take(7.61, n=9)) == 4


def test_utilisation_is_rebound_to_another_loops_clock(hands, monotonic):
    bucket = hands(RateLimit(2))
    bucket.take(500.0)
    assert rebind(bucket.bucket, 7.0).utilisation(9.0) == bucket.bucket.utilisation(502.0)


def test_what_was_forgotten_is_not_taken_for_nothing_in_another_loop(hands, monotonic):
    bucket, owner = hands(RateLimit(2)), Owner()
    for at in (0.0, 2.0):
        bucket.give("answered", at, *bucket.take(at, n=2))
    heir = Hands(bucket.clock, rebind(bucket.bucket, 102.0))
    heir.bucket.claim(owner, Claim(RateLimit(6, 10.0)), 102.1)
    assert heir.take(109.9, n=9) == []
    assert len(heir.take(110.01, n=9)) == 4


@pytest.mark.parametrize(("later", "abandoned"), [(-0.001, False), (0.001, True)])
def test_what_a_closed_loop_left_on_the_wire_is_waited_for(hands, monotonic, later, abandoned):
    bucket = hands(RateLimit(2))
    bucket.take(0.0)
    monotonic[0] += STILL_ON_ITS_WAY + HELD + later
    assert is_abandoned(bucket.bucket) is abandoned


def test_what_was_on_its_way_in_a_loop_that_is_no_more_counts(hands, monotonic):
    bucket = hands(RateLimit(2))
    bucket.take(0.0, n=2)
    monotonic[0] += 0.1
    heir = Hands(bucket.clock, rebind(bucket.bucket, 0.0))
    assert heir.take(0.9 + STILL_ON_ITS_WAY, n=9) == []
    assert len(heir.take(0.91 + STILL_ON_ITS_WAY, n=9)) == 2


def test_history_is_rebound_twice(hands, monotonic):
    bucket = hands(RateLimit(1, 60.0))
    bucket.give("refused", 0.0, *bucket.take(0.0), retry_after=20.0)
    monotonic[0] += 10
    middle = rebind(bucket.bucket, 100_000.0)
    monotonic[0] += 10
    last = Hands(bucket.clock, rebind(middle, 5.0))
    assert last.take(44.9) == []
    assert last.take(45.1)
    assert last.bucket.sent == 2
    assert last.bucket.refusals == 1


def test_refusals_are_rebound_to_another_loops_clock(hands, monotonic):
    bucket = hands(RateLimit(6))
    bucket.give("refused", 500.0, *bucket.take(500.0))
    heir = rebind(bucket.bucket, 7.0)
    assert heir.frozen_until == pytest.approx(7 + HELD)
    assert [heir.shared_with_others(at) for at in (66.9, 67.1)] == [True, False]


def test_a_silent_start_waits_one_window(hands):
    bucket = hands(RateLimit(6))
    assume_spent(bucket.bucket, 3.0)
    assert bucket.take(3.9, n=9) == []
    assert len(bucket.take(3.0 + HELD, n=9)) == 6


# -- estimates --------------------------------------------------------------------------------


@given(st.lists(st.floats(0, 20), min_size=1, max_size=8), st.integers(0, 60), st.floats(0.5, 3))
def test_turns_are_reckoned_as_they_would_happen(times, n, cycle):
    queue = sorted(times)
    for _ in range(n):
        heapq.heapreplace(queue, queue[0] + cycle)
    assert nth_slot_at(sorted(times), n, cycle) == pytest.approx(queue[0])


@pytest.mark.parametrize("limit", LIMITS, ids=str)
def test_the_estimate_for_the_next_is_when_it_is_free(hands, limit):
    bucket = hands(limit)
    for _ in range(5):
        bucket.give("answered", bucket.clock.now, *bucket.take(bucket.clock.now, n=3))
        now = bucket.clock.now
        assert bucket.bucket.nth_free(0, now) == max(now, bucket.bucket.next_free(now))
        bucket.clock.now += 0.3


def test_the_estimate_takes_an_answer_to_last_as_long_as_usual(hands):
    bucket = hands(RateLimit(1))
    bucket.give("answered", 0.5, *bucket.take(0.0))
    bucket.take(10.0)
    estimates = [bucket.bucket.nth_free(0, now) for now in (10.1, 11.0)]
    assert estimates == pytest.approx([10.5 + HELD, 11.0 + HELD])


# -- telling ----------------------------------------------------------------------------------


def test_a_bucket_tells_its_state_in_one_line(hands):
    bucket = hands(RateLimit(6))
    one, two_, _ = bucket.take(0.0, n=3)
    bucket.give("answered", 0.1, one)
    bucket.give("refused", 0.1, two_)
    assert repr(bucket.bucket) == (
        "<TokenBucket 6 per 1 s: 2 slots idle, 1 in flight, 3 sent, 1 refused>"
    )


def test_utilisation_is_the_share_of_the_last_ten_windows(hands):
    bucket = hands(RateLimit(2))
    assert bucket.bucket.utilisation(0.0) == 0
    for at in range(0, 40, 2):
        bucket.give("answered", float(at), *bucket.take(float(at), n=2))
    assert bucket.bucket.utilisation(39.0) == pytest.approx(0.5)
    assert bucket.bucket.utilisation(100.0) == 0


def test_utilisation_looks_back_ten_windows_of_any_length(hands):
    bucket = hands(RateLimit(2, 2.0))
    for at in range(0, 40, 4):
        bucket.give("answered", float(at), *bucket.take(float(at), n=2))
    assert bucket.bucket.utilisation(40.0) == pytest.approx(0.5)


def test_no_more_is_remembered_than_ten_windows_hold(hands):
    bucket = hands(RateLimit(2))
    for at in range(0, 60, 2):
        bucket.give("answered", float(at), *bucket.take(float(at)))
    assert len(bucket.bucket._sends) == 20


def test_utilisation_of_a_young_bucket_counts_from_its_first_request(hands):
    bucket = hands(RateLimit(2))
    bucket.take(10.0)
    assert bucket.bucket.utilisation(10.0) == 0.5
    assert bucket.bucket.utilisation(12.0) == 0.25


def test_a_bucket_is_over_when_nothing_of_it_matters(hands):
    bucket, owner = hands(RateLimit(1)), Owner()
    assert is_over(bucket.bucket, 0.0)
    bucket.bucket.claim(owner, Claim(RateLimit(1)), 0.0)
    assert not is_over(bucket.bucket, 0.0)
    slots = bucket.take(0.0)
    bucket.bucket.release(owner, 0.0)
    assert not is_over(bucket.bucket, 9.0)
    bucket.give("answered", 9.0, *slots)
    assert not is_over(bucket.bucket, 9.9)
    assert is_over(bucket.bucket, 9.0 + HELD)


def test_a_bucket_that_is_frozen_is_not_over(hands):
    bucket = hands(RateLimit(1))
    bucket.give("refused", 0.0, *bucket.take(0.0), retry_after=20.0)
    assert [is_over(bucket.bucket, at) for at in (20.0, 20.1)] == [False, True]


async def test_taking_and_giving_never_suspends():
    bucket = TokenBucket(Claim(RateLimit(6)))
    now = asyncio.get_running_loop().time()
    before = asyncio.all_tasks()
    for _ in range(6):
        slot = bucket.take(now)
        assert slot is not None
        bucket.answered(slot, now + 0.01)
    assert asyncio.all_tasks() == before
