"""Waiting, honestly: estimates that come true, turns by age and priority, and what is told."""

from __future__ import annotations

import asyncio
import gc
import itertools
from typing import Any

import pytest

from okx_funding import ConnectError, DeadlineExceededError, QueueFullError, RateLimit
from okx_funding.scheduler.context import Policy
from okx_funding.telemetry.events import (
    BatchDispatched,
    Refused,
    ResponseReceived,
    RetryScheduled,
)
from okx_funding.wire.response import Response
from tests.machines.road import REFUSED, Road, batches
from tests.support import ASSETS, VALUATION, failure_of, now, someone

pytestmark = pytest.mark.looptime


def busy(_):
    return Response(429, REFUSED)


def calls_of(client, keys, **options):
    return [asyncio.ensure_future(client.get_non_tradable_assets(each, **options)) for each in keys]


async def warmed_up(client, limit):
    """Let the bucket learn the round trip."""
    await asyncio.gather(*calls_of(client, batches(max(40, 2 * limit.count), "W")))


async def promised(client, keys, **options):
    """The estimate of a bucket for a call in a great hurry; 0.0 where none is needed."""
    began = now()
    call = client.get_non_tradable_assets(keys, timeout=1e-6, **options)
    error = await failure_of(call, DeadlineExceededError)
    assert not error.sent or error.estimated_wait is None
    assert now() - began < 0.05
    return error.estimated_wait or 0.0


async def seen(road, client, keys, **options):
    """How long the call really waits for its slot."""
    began = now()
    await client.get_non_tradable_assets(keys, **options)
    return next(trip.sent for trip in reversed(road.trips) if keys[0] in trip.keys) - began


async def leave(calls):
    for call in calls:
        call.cancel()
    await asyncio.wait(calls)


# -- the estimate -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "limit", [RateLimit(1), RateLimit(6), RateLimit(10, 2.0), RateLimit(1, 2.0)], ids=str
)
@pytest.mark.parametrize("depth", [0, 5, 6, 31, 100])
@pytest.mark.parametrize("jitter", [0.0, 0.05], ids=["steady", "jittery"])
@pytest.mark.slow
async def test_the_estimate_is_right_within_one_window(limit, depth, jitter):
    async with Road(limit, jitter=jitter) as road, road.client() as client:
        await warmed_up(client, limit)
        calls = calls_of(client, batches(depth))
        await asyncio.sleep(0.001)
        (mine,) = batches(1, "mine")
        estimate = await promised(client, mine)
        told = client.statistics().buckets[0].estimated_wait
        assert told == pytest.approx(estimate, abs=limit.period)
        assert await seen(road, client, mine) == pytest.approx(estimate, abs=limit.period)
        await asyncio.gather(*calls)


async def test_the_estimate_knows_of_a_freeze():
    async with Road() as road, road.client() as client:
        road.next = [lambda _: Response(429, REFUSED, retry_after="30")]
        calls = calls_of(client, batches(20))
        await asyncio.sleep(0.5)
        (mine,) = batches(1, "mine")
        estimate = await promised(client, mine)
        assert 29 < estimate < 34
        assert await seen(road, client, mine) == pytest.approx(estimate, abs=1)
        await asyncio.gather(*calls)


async def test_the_estimate_knows_of_the_gate_of_the_host():
    async with Road() as road, road.client() as client:
        road.next = [lambda _: Response(429, b"<html>", retry_after="30")]
        calls = calls_of(client, batches(20))
        await asyncio.sleep(0.5)
        (mine,) = batches(1, "mine")
        estimate = await promised(client, mine)
        assert 29 < estimate < 35
        assert await seen(road, client, mine) == pytest.approx(estimate, abs=1)
        await asyncio.gather(*calls)


async def test_the_gate_is_everybodys():
    async with Road() as road, road.client() as client, road.client() as other:
        road.next = [lambda _: Response(429, b"<html>", retry_after="9")]
        gate = asyncio.ensure_future(client.get_non_tradable_assets("CELT"))
        await asyncio.sleep(0.1)
        error = await failure_of(other.get_asset_valuation(timeout=5), DeadlineExceededError)
        assert error.estimated_wait == pytest.approx(9, abs=0.2)
        assert (await other.get_asset_valuation(timeout=10)).ccy == "BTC"
        await gate


async def test_the_estimate_knows_of_withheld_slots():
    async with Road() as road, road.client() as client:
        for _ in range(2):
            road.next = [busy]
            await client.get_non_tradable_assets("CELT")
        calls = calls_of(client, batches(50))
        await asyncio.sleep(0.001)
        (mine,) = batches(1, "mine")
        estimate = await promised(client, mine)
        assert 9 < estimate < 12, "five a second, and not until the sixth comes back"
        assert await seen(road, client, mine) == pytest.approx(estimate, abs=1)
        await asyncio.gather(*calls)


async def test_the_estimate_knows_of_requests_that_take_long():
    async with Road(RateLimit(1), way=2.0) as road, road.client() as client:
        await warmed_up(client, RateLimit(1))
        calls = calls_of(client, batches(10))
        await asyncio.sleep(0.001)
        (mine,) = batches(1, "mine")
        estimate = await promised(client, mine)
        assert estimate == pytest.approx(40, abs=1)
        assert await seen(road, client, mine) == pytest.approx(estimate, abs=1)
        await asyncio.gather(*calls)


async def test_the_estimate_knows_of_smooth_pacing():
    async with (
        Road() as road,
        road.client(rate_limits={ASSETS: RateLimit(6, spread=True)}) as client,
    ):
        calls = calls_of(client, batches(20))
        await asyncio.sleep(0.001)
        (mine,) = batches(1, "mine")
        estimate = await promised(client, mine)
        assert estimate == pytest.approx(20 * 1.25 / 6, abs=0.3)
        assert await seen(road, client, mine) == pytest.approx(estimate, abs=1)
        await asyncio.gather(*calls)


async def test_the_estimate_counts_the_callers_of_other_clients():
    owner = someone()
    async with (
        Road(RateLimit(1)) as road,
        road.client(credentials=owner) as client,
        road.client(credentials=owner, max_retries=0) as other,
    ):
        await client.get_non_tradable_assets("CELT")
        calls = calls_of(client, batches(8, "A")) + calls_of(other, batches(8, "B"))
        await asyncio.sleep(0.001)
        (mine,) = batches(1, "mine")
        estimate = await promised(other, mine)
        assert estimate == pytest.approx(17, abs=1)
        assert await seen(road, other, mine) == pytest.approx(estimate, abs=1)
        await asyncio.gather(*calls)


async def test_who_may_go_first_is_told_a_short_wait():
    async with Road(RateLimit(1)) as road, road.client() as client:
        await client.get_non_tradable_assets("CELT")
        calls = calls_of(client, batches(12))
        await asyncio.sleep(0.001)
        first, last = batches(2, "mine")
        assert await promised(client, first, priority=50) < 1.1
        assert await promised(client, last) > 11
        assert await seen(road, client, first, priority=50, timeout=1.5) < 1.1
        await leave(calls)


async def test_whoever_waits_with_a_lower_priority_is_not_ahead():
    async with Road(RateLimit(1)) as road, road.client() as client:
        await client.get_non_tradable_assets("CELT")
        calls = calls_of(client, batches(12), priority=-5)
        await asyncio.sleep(0.001)
        (mine,) = batches(1, "mine")
        assert await promised(client, mine) < 1.1
        assert await seen(road, client, mine, timeout=1.5) < 1.1
        await leave(calls)


async def test_who_wants_what_waits_already_is_told_the_wait_of_that():
    async with Road(RateLimit(1)) as road, road.client() as client:
        await client.get_non_tradable_assets("CELT")
        wanted = batches(12)
        calls = calls_of(client, wanted)
        await asyncio.sleep(0.001)
        assert await promised(client, wanted[0]) < 1.1
        assert len(await client.get_non_tradable_assets(wanted[0], timeout=1.5)) == 20
        await leave(calls)


async def test_who_has_enough_time_is_answered():
    async with Road() as road, road.client() as client:
        await warmed_up(client, RateLimit(6))
        calls = calls_of(client, batches(60))
        await asyncio.sleep(0.001)
        (mine,) = batches(1, "mine")
        estimate = await promised(client, mine)
        rows = await client.get_non_tradable_assets(mine, timeout=estimate + 1)
        assert len(rows) == 20
        await leave(calls)


async def test_whoever_is_told_at_once_takes_no_place():
    async with Road(RateLimit(1)) as road, road.client() as client:
        await client.get_non_tradable_assets("CELT")
        for keys in batches(20):
            await promised(client, keys)
        told = client.statistics()
        assert told.waiting == 0
        assert told.buckets[0].estimated_wait == pytest.approx(1, abs=0.1)
        assert len(road.trips) == 1


async def test_an_idle_bucket_promises_nothing_and_needs_not():
    async with Road() as road, road.client() as client:
        rows = await client.get_non_tradable_assets("CELT", timeout=0.05)
        assert [each.ccy for each in rows] == ["CELT"]


# -- turns ------------------------------------------------------------------------------------


async def test_nobody_starves_behind_higher_priorities():
    async with Road(RateLimit(1)) as road, road.client() as client:
        await client.get_non_tradable_assets("CELT")
        low = asyncio.ensure_future(client.get_non_tradable_assets("OLD", priority=-2))
        calls = []
        for keys in batches(60):
            calls += calls_of(client, [keys], priority=0)
            await asyncio.sleep(0.9)
        await low
        waited = next(trip.sent for trip in road.trips if "OLD" in trip.keys)
        assert 15 < waited < 25, "two steps of ten seconds"
        await leave(calls)


async def test_max_queue_counts_whoever_is_not_answered_and_forgets_whoever_left():
    async with Road(RateLimit(1)) as road, road.client(policy=Policy(max_queue=3)) as client:
        calls = calls_of(client, batches(3))
        await asyncio.sleep(0)
        began = now()
        error = await failure_of(client.get_non_tradable_assets("CELT"), QueueFullError)
        assert (now(), error.sent) == (began, False)
        await leave(calls[2:])
        late = asyncio.ensure_future(client.get_non_tradable_assets("CELT"))
        await asyncio.gather(late, *calls[:2])


async def test_a_full_queue_of_one_endpoint_refuses_nobody_at_another():
    async with Road(RateLimit(1)) as road, road.client(policy=Policy(max_queue=1)) as client:
        calls = calls_of(client, batches(1))
        await asyncio.sleep(0)
        assert (await client.get_asset_valuation()).ccy == "BTC"
        await asyncio.gather(*calls)


# -- statistics -------------------------------------------------------------------------------


async def test_statistics_tell_every_field_of_a_bucket():
    owner = someone("4712")
    async with Road() as road, road.client(credentials=owner, demo=True) as client:
        road.next = [busy]
        same = calls_of(client, [["CELT"]] * 7)  # one request for seven callers
        await asyncio.gather(*same)
        await asyncio.sleep(3)
        await asyncio.gather(*calls_of(client, batches(4)))
        waiting = calls_of(client, batches(9, "D"))
        await asyncio.sleep(0.01)
        (bucket,) = client.statistics().buckets
        assert (bucket.endpoint, bucket.user, bucket.host) == (ASSETS, "4712", "www.okx.com")
        assert bucket.demo
        assert (bucket.count, bucket.period, bucket.max_keys) == (6, 1.0, 20)
        assert (bucket.slots_free, bucket.callers_waiting) == (0, 9)
        assert bucket.next_slot_in == pytest.approx(1.0, abs=0.05)
        assert bucket.estimated_wait == pytest.approx(2.0, abs=0.1)
        assert (bucket.requests_sent, bucket.requests_refused) == (8, 1)
        assert bucket.keys_sent == 1 + 1 + 4 * 20 + 2 * 20
        assert bucket.callers_served == 7 + 7 + 4 * 20 + 2 * 20
        assert bucket.batch_fill == pytest.approx(122 / 160)
        assert bucket.requests_saved == 134 - 8
        assert bucket.utilisation == pytest.approx(8 / (6 * now()), abs=0.01)
        assert bucket.shared_with_others
        assert repr(bucket) == (
            "get_non_tradable_assets of 4712 (demo) at www.okx.com: 0 of 6 slots free, "
            f"next in {bucket.next_slot_in:.3f} s, 9 callers waiting, 8 sent, 1 refused, "
            f"{bucket.utilisation:.0%} of 6 per 1 s used"
        )
        await asyncio.gather(*waiting)


async def test_a_session_tells_the_buckets_of_all_its_clients():
    async with Road() as road, road.client() as one, road.client() as two:
        await asyncio.gather(*(each.get_non_tradable_assets("CELT") for each in (one, two)))
        await two.get_asset_valuation()
        told = road.statistics()
        assert [bucket.endpoint for bucket in told.buckets] == [ASSETS, ASSETS, VALUATION]
        assert (told.calls, told.answered, told.requests) == (3, 3, 3)
        assert len(str(told).splitlines()) == 4


async def test_reading_statistics_changes_nothing():
    async with Road(RateLimit(2)) as road, road.client() as client:
        calls = calls_of(client, batches(9))
        await asyncio.sleep(0.3)
        lane = client._calls.lanes[ASSETS]
        bucket: Any = lane.line.bucket

        def state():
            return repr(bucket), bucket.touched, list(bucket._idle), lane.line._timer, repr(lane)

        before = state()
        told = client.statistics()
        for _ in range(50):
            assert client.statistics() == told
            assert road.statistics().buckets == told.buckets
            repr(client)
        assert state() == before
        await asyncio.gather(*calls)
        assert [list(trip.keys) for trip in road.trips] == batches(9)


async def test_what_failed_to_leave_is_not_told_as_sent():
    async with Road() as road, road.client(max_retries=0) as client:
        road.next = [lambda _: ConnectError("no connection")] * 3
        for keys in batches(3):
            await failure_of(client.get_non_tradable_assets(keys), ConnectError)
        (bucket,) = client.statistics().buckets
        assert (bucket.requests_sent, bucket.keys_sent, bucket.callers_served) == (0, 0, 0)
        await client.get_non_tradable_assets("CELT")
        (bucket,) = client.statistics().buckets
        assert (bucket.batch_fill, bucket.utilisation > 0) == (1 / 20, True)


async def test_counts_outlive_the_client_that_made_them():
    owner = someone()
    async with Road() as road:
        for turn in range(1, 4):
            async with road.client(credentials=owner) as client:
                await asyncio.gather(*calls_of(client, batches(2, f"{turn}.")))
                (bucket,) = client.statistics().buckets
                assert (bucket.requests_sent, bucket.batch_fill) == (2 * turn, 1.0)


async def test_a_session_goes_on_counting_the_calls_of_clients_that_are_gone():
    async with Road() as road:
        for _ in range(2):
            async with road.client() as client:
                await client.get_non_tradable_assets("CELT")
            del client
            gc.collect()
        told = road.statistics()
        assert (told.calls, told.answered, told.requests) == (2, 2, 2)


# -- observers --------------------------------------------------------------------------------

OF_A_BUCKET = (BatchDispatched, ResponseReceived, Refused, RetryScheduled)


async def test_an_observer_is_told_of_every_turn_of_a_request():
    told: list[Any] = []
    owner = someone("4713")
    async with Road() as road, road.client(credentials=owner, observer=told.append) as client:
        road.next = [busy]
        await client.get_non_tradable_assets(["CELT", "MEME"])
    events: list[Any] = [event for event in told if isinstance(event, OF_A_BUCKET)]
    assert [type(event) for event in events] == [
        BatchDispatched,
        ResponseReceived,
        Refused,
        RetryScheduled,
        BatchDispatched,
        ResponseReceived,
    ]
    assert {(event.endpoint, event.user) for event in events} == {(ASSETS, "4713")}
    left, answer, refused, retry, left_again, answer_again = events
    assert (left.waited, left.keys, left.callers) == (0.0, 2, 2)
    assert (answer.outcome, answer.seconds) == ("RateLimitError", pytest.approx(0.044))
    assert refused.frozen_for == pytest.approx(1.002)
    assert (retry.reason, retry.delay) == ("RateLimitError", 0.0)
    assert left.batch == answer.batch == refused.batch == retry.batch
    assert left_again.batch == answer_again.batch != left.batch
    assert left_again.waited == pytest.approx(1.046, abs=0.01)
    assert answer_again.outcome == "ok"


async def test_the_wait_for_a_slot_is_told_with_it():
    told: list[Any] = []
    async with Road(RateLimit(1)) as road, road.client(observer=told.append) as client:
        await asyncio.gather(*calls_of(client, batches(4)))
    waits = [event.waited for event in told if isinstance(event, BatchDispatched)]
    for number, (wait, trip) in enumerate(zip(waits, road.trips, strict=True)):
        assert wait == pytest.approx(trip.sent)
        assert round(wait) == number


async def test_an_observer_that_raises_at_every_event_changes_nothing(caplog):
    def angry(event):
        raise RuntimeError(f"not {event}")

    times = []
    for observer in (None, angry):
        async with Road(RateLimit(2)) as road, road.client(observer=observer) as client:
            began = now()
            road.next = [busy]
            calls = calls_of(client, batches(7))
            assert [len(rows) for rows in await asyncio.gather(*calls)] == [20] * 7
            times.append([round(trip.sent - began, 3) for trip in road.trips])
    assert times[0] == times[1]
    assert "an observer failed" in caplog.text


async def test_without_an_observer_no_event_is_made(monkeypatch):
    for event in OF_A_BUCKET:
        monkeypatch.setattr(f"okx_funding.scheduler.emitter.{event.__name__}", None)
    async with Road() as road, road.client() as client:
        road.next = [busy]
        assert len(await client.get_non_tradable_assets("CELT")) == 1


async def test_turns_of_requests_tell_no_secret():
    told: list[Any] = []
    owner = someone()
    async with Road() as road, road.client(credentials=owner, observer=told.append) as client:
        echo = b'{"code":"50011","msg":"%s"}' % "|".join(owner.reveal()).encode()
        road.next = [lambda _: Response(429, echo)]
        await client.get_non_tradable_assets("CELT")
    text = "".join(itertools.chain(map(repr, told), map(str, told)))
    assert not [part for part in owner.reveal() if part in text]
