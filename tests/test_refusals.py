"""What a bucket learns from refusals: freeze, back to the head, withhold a slot, slow down."""

from __future__ import annotations

import asyncio
import itertools
import random
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from okx_funding import HTTPStatusError, RateLimit, RateLimitError
from okx_funding.ratelimit.bucket import Claim, TokenBucket
from okx_funding.ratelimit.slot import GUARD, LONGEST_COOLDOWN, LONGEST_FREEZE, REFUSAL_COOLDOWN
from okx_funding.scheduler.context import Policy
from okx_funding.simulator import Fault
from okx_funding.wire.response import Response
from tests.machines.clock import Clock, Hands
from tests.machines.road import REFUSED, Road, batches
from tests.support import ASSETS, VALUATION, at_exchange, failure_of, now, someone

pytestmark = pytest.mark.looptime


@pytest.fixture
def hands():
    clock = Clock()
    yield lambda limit: Hands(clock, TokenBucket(Claim(limit)))
    clock.close()


def busy(_):
    return Response(429, REFUSED)


def bucket_of(client, endpoint=ASSETS):
    return client._calls.lanes[endpoint].line.bucket


def calls_of(client, keys):
    return [asyncio.ensure_future(client.get_non_tradable_assets(each)) for each in keys]


# -- the whole bucket waits -------------------------------------------------------------------


@pytest.mark.parametrize("status", [200, 429])
async def test_a_refusal_freezes_the_bucket_for_a_window(status):
    async with at_exchange(latency=0.02) as (exchange, client):
        exchange.fail_next(1, Fault.code("50011", status=status))
        first = asyncio.ensure_future(client.get_non_tradable_assets("CELT"))
        await asyncio.sleep(0.05)
        assert client.statistics().buckets[0].slots_free == 0
        await asyncio.gather(first, client.get_non_tradable_assets("MEME"))
        refused, *others = [arrival.at for arrival in exchange.requests(ASSETS)]
        assert min(others) >= refused + 1.0


async def test_a_freeze_is_no_longer_than_it_must_be():
    async with Road() as road, road.client() as client:
        road.next = [busy]
        await client.get_non_tradable_assets("CELT")
        assert road.trips[1].sent == pytest.approx(0.044 + 1 + GUARD, abs=1e-4)


async def test_a_refusal_freezes_no_other_endpoint():
    async with at_exchange() as (exchange, client):
        exchange.fail_next(1, Fault.code("50011"), ASSETS)
        frozen = asyncio.ensure_future(client.get_non_tradable_assets("CELT"))
        await asyncio.sleep(0.1)
        began = now()
        await client.get_asset_valuation()
        assert now() == began
        await frozen


async def test_what_was_on_its_way_is_answered_in_spite_of_the_freeze():
    async with Road(way=0.1) as road, road.client() as client:
        road.next = [busy]
        calls = calls_of(client, batches(3))
        await asyncio.sleep(0.25)
        assert [call.done() for call in calls] == [False, True, True]
        await calls[0]


# -- back to the head -------------------------------------------------------------------------


async def test_a_refused_batch_is_the_next_to_leave_with_all_its_callers():
    async with Road(RateLimit(1)) as road, road.client() as client:
        road.next = [busy]
        wanted = batches(4)
        calls = calls_of(client, wanted) + calls_of(client, wanted[:1])
        await asyncio.gather(*calls)
        assert [list(trip.keys) for trip in road.trips] == [wanted[0], *wanted]
        assert calls[0].result() == calls[4].result()


async def test_refused_batches_keep_their_order():
    async with Road(jitter=0.05, seed=2) as road, road.client() as client:
        road.next = [busy] * 6
        wanted = batches(9)
        await asyncio.gather(*calls_of(client, wanted))
        again = sorted(road.trips, key=lambda trip: trip.sent)[6:]
        assert [list(trip.keys) for trip in again] == wanted


async def test_whoever_left_meanwhile_is_not_sent_again():
    async with Road() as road, road.client() as client:
        road.next = [busy]
        gone, stays = calls_of(client, [["CELT", "BTC"], ["MEME"]])
        await asyncio.sleep(0.5)
        gone.cancel()
        await stays
        assert [trip.keys for trip in road.trips] == [("CELT", "BTC", "MEME"), ("MEME",)]


# -- somebody else spends it: a slot is withheld ----------------------------------------------


async def refuse_one(road, client):
    """One refusal; when it was known."""
    road.next = [busy]
    await client.get_non_tradable_assets("CELT")
    return road.trips[-2].sent + 0.044


async def refuse_twice(road, client):
    """Two troubles within a minute; when the second was known."""
    await refuse_one(road, client)
    await asyncio.sleep(2)
    return await refuse_one(road, client)


async def test_a_first_refusal_withholds_no_slot():
    async with Road() as road, road.client() as client:
        refused = await refuse_one(road, client)
        assert await most_at(road, client, refused + 5) == 6


async def test_refusals_more_than_a_minute_apart_withhold_no_slot():
    async with Road() as road, road.client() as client:
        await refuse_one(road, client)
        await asyncio.sleep(61)
        refused = await refuse_one(road, client)
        assert await most_at(road, client, refused + 5) == 6


async def test_one_trouble_of_six_refusals_withholds_one_slot():
    async with Road() as road, road.client() as client:
        await refuse_one(road, client)
        await asyncio.sleep(2)
        road.next = [busy] * 6
        await asyncio.gather(*calls_of(client, batches(6)))
        assert await most_at(road, client, now() + 3) == 5


@pytest.mark.parametrize("before", [0.0, 0.3, 0.9])
async def test_a_process_that_starts_within_the_window_of_another_goes_at_full_pace(before):
    async with Road() as road, road.client() as client:
        for _ in range(6):
            road.spend()
        await asyncio.sleep(before)
        began = now()
        await asyncio.gather(*calls_of(client, batches(24)))
        assert now() - began <= 5
        assert len(road.refused) <= 6


async def most_at(road, client, at):
    """How many requests can leave at this moment."""
    await asyncio.sleep(at - now())
    before = len(road.trips)
    calls = calls_of(client, batches(10, f"at{at:.3f}."))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    sent = len(road.trips) - before
    for call in calls:
        call.cancel()
    await asyncio.wait(calls)
    return sent


async def test_a_refused_slot_stays_out_for_a_while():
    async with Road() as road, road.client() as client:
        refused = await refuse_twice(road, client)
        assert await most_at(road, client, refused + 5) == 5
        assert await most_at(road, client, refused + REFUSAL_COOLDOWN - 0.1) == 5
        assert await most_at(road, client, refused + REFUSAL_COOLDOWN + 2) == 6


async def test_the_cooldown_can_be_turned_off():
    async with Road() as road, road.client(policy=Policy(refusal_cooldown=0)) as client:
        refused = await refuse_twice(road, client)
        assert await most_at(road, client, refused + 5) == 6


async def test_the_time_is_a_setting():
    async with Road() as road, road.client(policy=Policy(refusal_cooldown=4)) as client:
        refused = await refuse_twice(road, client)
        assert await most_at(road, client, refused + 3.9) == 5
        assert await most_at(road, client, refused + 6) == 6


def test_a_return_that_is_refused_is_twice_as_long_up_to_a_bound(hands):
    bucket = hands(RateLimit(2))

    def refuse(at):
        (slot,) = bucket.take(at)
        bucket.give("refused", at, slot)
        return round(max(0.0, slot.cooldown_until - at), 6)

    assert refuse(0.0) == 0
    at, lengths = 2.0, []
    for _ in range(8):
        lengths.append(refuse(at))
        at += lengths[-1] + 0.1
        bucket.give("answered", at, *bucket.take(at))
    longest = REFUSAL_COOLDOWN * LONGEST_COOLDOWN
    assert lengths == [min(REFUSAL_COOLDOWN * 2**turn, longest) for turn in range(8)]
    assert refuse(at + 2 * longest) == 0, "after a good while it begins anew"


def test_one_slot_is_never_withheld(hands):
    bucket, now = hands(RateLimit(3)), 0.0
    for _ in range(8):
        now = max(bucket.frees(), now)
        bucket.give("refused", now, *bucket.take(now)[:1])
    assert bucket.free(now + 14.0) == 1


async def test_a_bucket_of_one_slot_goes_on_after_a_window():
    async with Road(RateLimit(1)) as road, road.client() as client:
        road.next = [busy]
        await client.get_non_tradable_assets("CELT")
        assert now() < 1.2
        assert await most_at(road, client, 3.0) == 1


# -- refusals that go on ----------------------------------------------------------------------


async def test_it_slows_down_while_refusals_go_on_and_recovers_by_itself():
    async with Road(RateLimit(1)) as road, road.client() as client:
        road.next = [busy] * 6
        await client.get_non_tradable_assets("CELT")
        times = [trip.sent for trip in road.trips]
        gaps = [round(later - earlier) for earlier, later in itertools.pairwise(times)]
        assert gaps == [1, 2, 4, LONGEST_FREEZE, LONGEST_FREEZE, LONGEST_FREEZE]
        await asyncio.sleep(5)
        road.next = [busy]
        began = now()
        await client.get_non_tradable_assets("CELT")
        assert now() < began + 1.2


def test_requests_that_were_on_their_way_already_are_the_same_trouble(hands):
    bucket = hands(RateLimit(6))
    bucket.give("refused", 0.1, *bucket.take(0.0, n=6))
    assert bucket.bucket.frozen_until == pytest.approx(1.1 + GUARD)


async def test_refused_ten_times_in_a_row_the_callers_of_that_batch_are_told():
    async with Road(RateLimit(1)) as road, road.client() as client:
        road.next = [busy] * 10
        full, others = batches(2)
        one, two, other = calls_of(client, [full, full, others])
        error = await failure_of(one, RateLimitError)
        assert (error.sent, error.code) == (True, "50011")
        assert await failure_of(two, RateLimitError) is not error
        assert not other.done()
        await other
        assert len(road.trips) == 11
        assert client.statistics().refused == 10


@pytest.mark.parametrize("most", [1, 3])
async def test_how_many_is_a_setting(most):
    async with Road(RateLimit(1)) as road, road.client(max_refusals=most) as client:
        road.next = [busy] * most
        await failure_of(client.get_non_tradable_assets("CELT"), RateLimitError)
        assert len(road.trips) == most


async def test_whoever_joins_later_has_refusals_of_its_own():
    async with Road(RateLimit(1)) as road, road.client(max_refusals=3) as client:
        road.next = [busy] * 4
        first = asyncio.ensure_future(client.get_non_tradable_assets("CELT"))
        await asyncio.sleep(2)  # two refusals so far
        second = asyncio.ensure_future(client.get_non_tradable_assets("CELT"))
        await failure_of(first, RateLimitError)
        assert [each.ccy for each in await second] == ["CELT"]


async def test_refusals_do_not_count_as_retries_of_the_call():
    async with Road(RateLimit(1)) as road, road.client(max_retries=0) as client:
        road.next = [busy] * 5
        assert len(await client.get_non_tradable_assets("CELT")) == 1


# -- another program --------------------------------------------------------------------------


async def another_program(road, rate):
    chance = random.Random(rate)
    while True:
        await asyncio.sleep(chance.expovariate(rate))
        road.spend()


@pytest.mark.parametrize("rate", [1, 3])
@pytest.mark.slow
async def test_another_program_at_the_same_limit_costs_no_caller_an_error(rate):
    async with Road(jitter=0.02) as road, road.client() as client:
        other = asyncio.ensure_future(another_program(road, rate))
        await asyncio.gather(*calls_of(client, batches(1000)))
        other.cancel()
        await asyncio.wait([other])
        answered = len(road.trips) - len(road.refused)
        assert answered == 1000
        assert road.refused
        if rate == 1:
            assert len(road.refused) / len(road.trips) < 0.015
        assert client.statistics().buckets[0].shared_with_others


async def test_it_is_told_for_a_while_that_somebody_else_spends():
    async with Road() as road, road.client() as client:
        assert not (await told(client)).shared_with_others
        refused = await refuse_one(road, client)
        assert (await told(client)).shared_with_others
        await asyncio.sleep(refused + 59 - now())
        assert (await told(client)).shared_with_others
        await asyncio.sleep(2)
        assert not (await told(client)).shared_with_others


async def told(client):
    await client.get_non_tradable_assets("MEME")
    (bucket,) = client.statistics().buckets
    return bucket


# -- the gateway's own refusals ---------------------------------------------------------------


async def test_a_bare_429_closes_the_gate_for_all_endpoints_and_users_of_the_host():
    async with Road() as road, road.client() as client, road.client() as other:
        road.next = [lambda _: Response(429, b"<html>", retry_after="3")]
        first = asyncio.ensure_future(client.get_non_tradable_assets("CELT"))
        await asyncio.sleep(0.1)
        await asyncio.gather(first, client.get_asset_valuation(), other.get_asset_valuation())
        assert all(trip.sent >= 3.044 for trip in road.trips[1:])
        assert len(road.trips) == 4


async def test_a_bare_429_closes_no_other_hosts_gate():
    elsewhere = {"base_url": "https://eea.okx.com"}
    async with Road() as road, road.client() as client, road.client(**elsewhere) as other:
        road.next = [lambda _: Response(429, b"<html>", retry_after="3")]
        first = asyncio.ensure_future(client.get_non_tradable_assets("CELT"))
        await asyncio.sleep(0.1)
        await other.get_non_tradable_assets("CELT")
        assert now() < 0.2
        await first


async def test_a_bare_429_says_nothing_of_the_limit():
    async with Road() as road, road.client() as client:
        road.next = [lambda _: Response(429, b"<html>")]
        await client.get_non_tradable_assets("CELT")
        (bucket,) = client.statistics().buckets
        assert (bucket.requests_refused, bucket.shared_with_others) == (0, False)
        assert now() < 2.5


async def test_a_gate_that_closes_while_others_wait_holds_them_back_too():
    async with Road() as road, road.client() as client:
        await client.get_asset_valuation()
        waiting = asyncio.ensure_future(client.get_asset_valuation("EUR"))
        await asyncio.sleep(0.5)
        road.next = [lambda _: Response(429, b"<html>", retry_after="7")]
        first = asyncio.ensure_future(client.get_non_tradable_assets("CELT"))
        await asyncio.gather(first, waiting)
        assert all(trip.sent >= 7.5 for trip in road.trips[2:])


MIDNIGHT = datetime(2026, 11, 21, tzinfo=UTC)


def http_date(seconds):
    return format_datetime(MIDNIGHT + timedelta(seconds=seconds), usegmt=True)


AFTER = {
    "5": 5,
    "0": 1,
    "0.5": 1,
    "-10": 1,
    "": 1,
    "soon": 1,
    "1e3": 1,
    "nan": 1,
    "inf": 1,
    "٣": 1,
    http_date(9): 9,
    http_date(-9): 1,
    "Fri, 99 Nov 2026 00:00:09 GMT": 1,
    "60": 60,
}
"""Seconds that are waited for each Retry-After."""


@pytest.mark.parametrize(("after", "seconds"), AFTER.items())
async def test_a_retry_after_of_okx_freezes_the_bucket(after, seconds):
    async with Road() as road, road.client() as client:
        answer = Response(429, REFUSED, retry_after=after, date=http_date(0))
        road.next = [lambda _: answer]
        await client.get_non_tradable_assets("CELT")
        assert road.trips[1].sent == pytest.approx(0.044 + seconds, abs=0.01)


@pytest.mark.parametrize(("after", "seconds"), AFTER.items())
async def test_a_retry_after_of_the_gateway_closes_the_gate(after, seconds):
    async with Road() as road, road.client() as client:
        answer = Response(429, b"<html>", retry_after=after, date=http_date(0))
        road.next = [lambda _: answer]
        first = asyncio.ensure_future(client.get_non_tradable_assets("CELT"))
        await asyncio.sleep(0.1)
        await client.get_asset_valuation()
        sent = [trip.sent for trip in road.trips if trip.endpoint == VALUATION]
        assert sent == [pytest.approx(0.044 + seconds, abs=0.01)]
        await first


@pytest.mark.parametrize("after", ["61", "86400", "9" * 300, http_date(1e9)], ids=len)
async def test_nobody_sleeps_longer_than_a_minute_for_a_gateway(after):
    async with Road() as road, road.client() as client:
        answer = Response(429, b"<html>", retry_after=after, date=http_date(0))
        road.next = [lambda _: answer]
        error = await failure_of(client.get_non_tradable_assets("CELT"), HTTPStatusError)
        assert now() < 0.1
        assert error.retry_after is not None
        assert error.retry_after > 60
        await client.get_asset_valuation()
        assert now() == pytest.approx(60, abs=0.2)


@pytest.mark.parametrize("after", ["61", "86400", "9" * 300, http_date(1e9)], ids=len)
async def test_nobody_sleeps_longer_than_a_minute_for_okx(after):
    async with Road() as road, road.client() as client:
        answer = Response(429, REFUSED, retry_after=after, date=http_date(0))
        road.next = [lambda _: answer]
        await client.get_non_tradable_assets("CELT")
        assert now() == pytest.approx(60, abs=0.2)


# -- what becomes of refusals when clients change ---------------------------------------------


async def test_a_client_that_comes_while_the_bucket_is_frozen_waits_too():
    owner = someone()
    async with Road() as road, road.client(credentials=owner) as client:
        road.next = [lambda _: Response(429, REFUSED, retry_after="10")]
        first = asyncio.ensure_future(client.get_non_tradable_assets("CELT"))
        await asyncio.sleep(0.1)
        async with road.client(credentials=owner, max_retries=0) as other:
            await other.get_non_tradable_assets("MEME")
        assert now() > 10
        await first
