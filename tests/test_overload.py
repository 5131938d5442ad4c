"""More is wanted than the limit allows: who is served, who is refused, and what that costs."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from okx_funding import DeadlineExceededError, InvalidArgumentError, RateLimit
from okx_funding.api.assets import GET_NON_TRADABLE_ASSETS
from okx_funding.scheduler.batcher import Batcher
from okx_funding.scheduler.calls import Waiter
from okx_funding.scheduler.pending import PendingKey, PendingQueue
from okx_funding.telemetry.counters import Counters
from okx_funding.telemetry.events import BatchDispatched
from tests.support import ASSETS, failure_of, now, some, someone, start
from tests.wireless import (
    Wireless,
    hangs,
    names,
    nothing_left,
    outcomes,
    unavailable,
)

pytestmark = pytest.mark.looptime


# -- long calls ---------------------------------------------------------------------------------


async def test_a_long_call_that_cannot_be_answered_in_time_is_refused_at_once():
    async with Wireless() as session:
        client = session.client()
        call = client.get_non_tradable_assets(some(2000), timeout=1)
        error = await failure_of(call, DeadlineExceededError)
        assert error.estimated_wait == pytest.approx(16, abs=1)
        assert not error.sent
        assert session.okx.sent == []


async def test_a_long_call_that_can_be_answered_in_time_is_not_refused():
    async with Wireless() as session:
        client = session.client()
        rows = await client.get_non_tradable_assets(some(400), timeout=4)
        assert len(rows) == 400


async def test_a_long_call_is_not_refused_for_keys_of_a_lower_priority():
    async with Wireless() as session:
        client = session.client()
        crowd = start(client, some(2000), priority=-50)
        await asyncio.sleep(0.5)
        rows = await client.get_non_tradable_assets(some(60, "U"), timeout=2, priority=50)
        assert len(rows) == 60
        crowd[0].cancel()


@pytest.mark.parametrize(("size", "enough"), [(200, 50), (60, 200)])
async def test_at_twice_the_limit_most_of_what_is_possible_is_answered(size, enough):
    async with Wireless() as session:
        client = session.client()
        tasks = []
        for number in range(2 * 120 * 120 // size):
            tasks += start(client, some(size, f"C{number}-"), timeout=10)
            await asyncio.sleep(size / 240)
        await asyncio.wait(tasks)
        answered = sum(task.exception() is None for task in tasks)
        assert answered >= enough
        await nothing_left(session)


async def test_a_call_whose_time_is_over_has_the_rows_that_are_there():
    async with Wireless() as session:
        client = session.client(rate_limits={ASSETS: RateLimit(1)})
        task = asyncio.ensure_future(client.get_non_tradable_assets(some(40), timeout=2))
        await asyncio.sleep(0.5)
        session.okx.next = [hangs]
        error = await failure_of(task, DeadlineExceededError)
        assert names(error.rows) == some(20)
        assert "20 rows" in str(error)


async def test_the_keys_of_one_call_are_bounded():
    async with Wireless() as session:
        client = session.client()
        call = client.get_non_tradable_assets(f"K{number}" for number in range(10**9))
        error = await failure_of(call, InvalidArgumentError)
        assert "10000" in str(error)
        assert session.okx.sent == []


# -- fairness -----------------------------------------------------------------------------------


@pytest.mark.parametrize("long", [1, 2, 5])
@pytest.mark.parametrize("size", [1, 7, 20])
async def test_beside_long_callers_a_small_one_waits_for_a_batch_of_each(long, size):
    async with Wireless() as session:
        client = session.client(rate_limits={ASSETS: RateLimit(1)})
        crowd = start(client, *(some(400, f"L{number}-") for number in range(long)))
        for number in range(6):
            await asyncio.sleep(1.37)
            before = len(session.okx.sent)
            await client.get_non_tradable_assets(some(size, f"S{number}-"))
            own = [k for k, keys in enumerate(session.okx.asked) if f"S{number}-0" in keys]
            assert own[-1] - before <= long + 1
        for each in crowd:
            each.cancel()


# -- bisections ---------------------------------------------------------------------------------


async def test_looking_for_bad_currencies_never_overtakes_a_higher_priority():
    bad = {f"B{call}-{number}" for call in range(6) for number in range(10)}
    async with Wireless(bad=bad) as session:
        client = session.client()
        crowd = start(client, *(some(20, f"B{call}-") for call in range(6)), priority=-50)
        await asyncio.sleep(0.5)
        for number in range(20):
            before, came = len(session.okx.sent), now()
            await client.get_non_tradable_assets(f"URGENT{number}", priority=100)
            assert f"URGENT{number}" in session.okx.asked[before]
            assert number or now() - came <= 0.6
            await asyncio.sleep(0.7)
        await outcomes(*crowd)
        assert len(session.okx.sent) <= 187 + 20
        await nothing_left(session)


async def test_an_ordinary_batch_goes_between_two_steps_of_a_bisection():
    async with Wireless(bad={"B3", "B11"}) as session:
        client = session.client(rate_limits={ASSETS: RateLimit(1)})
        bad = start(client, some(20, "B"))
        await asyncio.sleep(0.5)
        others = start(client, *(some(20, f"G{call}-") for call in range(5)))
        await outcomes(*bad, *others)
        ordinary = [keys[0].startswith("G") for keys in session.okx.asked]
        assert ordinary[1:11] == [False, True] * 5 or ordinary[1:11] == [True, False] * 5


async def test_who_joins_a_suspect_with_a_higher_priority_takes_its_bisection_along():
    async with Wireless(bad={"B3"}) as session:
        client = session.client(rate_limits={ASSETS: RateLimit(1)})
        first = start(client, some(20, "B"))
        await asyncio.sleep(0.5)
        others = start(client, *(some(20, f"G{call}-") for call in range(30)), priority=50)
        await asyncio.sleep(1)
        came = len(session.okx.sent)
        await client.get_non_tradable_assets("B19", priority=100)
        assert len(session.okx.sent) - came <= 20
        for each in (*first, *others):
            each.cancel()


# -- cancelled from outside ---------------------------------------------------------------------


async def test_a_request_that_is_cancelled_from_outside_wakes_who_waits():
    async with Wireless() as session:
        owner = someone()
        slow = {ASSETS: RateLimit(1)}
        one = session.client(credentials=owner, rate_limits=slow)
        two = session.client(credentials=owner, rate_limits=slow, max_retries=0)
        session.okx.next = [hangs]
        first = start(one, "ONE")
        await asyncio.sleep(0.3)
        second = start(two, "OTHER")
        await asyncio.sleep(0.3)
        for task in session._in_flight.tasks:
            task.cancel()
        assert names(await asyncio.wait_for(second[0], 10)) == ["OTHER"]
        await outcomes(*first)


# -- what it costs ------------------------------------------------------------------------------


def waiter_for(*keys, counters=None):
    waiter = Waiter(loop=asyncio.get_running_loop())
    waiter.keys, waiter.counters = keys, counters or Counters()
    waiter.answers = waiter.timer = None
    waiter.sent = False
    return waiter


def steps(monkeypatch):
    """How long each callback of the loop took, in seconds of the process."""
    took = []
    run = asyncio.Handle._run

    def timed(handle):
        began = time.process_time()
        run(handle)
        took.append(time.process_time() - began)

    monkeypatch.setattr(asyncio.Handle, "_run", timed)
    return took


async def test_the_queue_keeps_the_order_whatever_is_added_and_removed():
    queue, ranks = PendingQueue(), [(hash((n, 7)) % 9973, n) for n in range(7000)]
    pending = []
    for rank in ranks:
        each = PendingKey(str(rank), 0.0)
        each.rank = rank
        queue.add(each)
        pending.append(each)
    for each in pending[::3]:
        queue.remove(each)
    left = sorted(rank for n, rank in enumerate(ranks) if n % 3)
    assert queue.count_before((5000, 0)) == sum(rank < (5000, 0) for rank in left)
    assert [each.rank for each in queue] == left
    assert [queue.pop().rank for _ in range(len(queue))] == left


@pytest.mark.parametrize(
    "keys", [["K5000"], ["NEW"], ["K9999", "K1"], some(20, "N"), some(400, "L")]
)
async def test_refusing_costs_little_however_many_wait(keys):
    async with Wireless() as session:
        client = session.client()
        crowd = start(client, *some(10_000))
        await asyncio.sleep(0)
        lane = client._calls.lanes[ASSETS]
        calls = 200
        began = time.process_time()
        for _ in range(calls):
            with pytest.raises(DeadlineExceededError):
                lane.ask(keys, Counters(), timeout=1.5)
        each = (time.process_time() - began) / calls
        assert each <= 500e-6  # ten times what it takes, for busy machines
        for task in crowd:
            task.cancel()


async def test_putting_back_among_many_costs_little():
    batcher = Batcher(20)
    for number in range(20_000):
        batcher.add(waiter_for(str(number)), 0, float(number))
    batches = [batch for _ in range(500) if (batch := batcher.take(1e6)) is not None]
    began = time.process_time()
    for batch in batches:
        batcher.put_back(batch, 1e6)
    assert time.process_time() - began < 1
    first = batcher.take(1e6)
    assert first is not None
    assert first.keys == [str(number) for number in range(20)]


async def test_twenty_thousand_rows_of_one_currency_stop_nobody(monkeypatch):
    async with Wireless() as session:
        client = session.client()
        await client.get_non_tradable_assets("K")
        dispatcher = client._calls.lanes[ASSETS].dispatcher
        (row,) = await client.get_non_tradable_assets("K")
        rows = [type(row)(**{**_fields(row), "chain": f"C{n}"}) for n in range(20_000)]
        batcher = dispatcher.batcher
        batcher.add(waiter_for("K"), 0, 0.0)
        batch = batcher.take(0.0)
        assert batch is not None
        began = time.process_time()
        assert dispatcher._rows_by_key(batch, rows)("K") == rows
        assert time.process_time() - began <= 0.15  # ten times what it takes
        batcher.over(batch)
        batcher.callers = 0


def _fields(row):
    return {name: getattr(row, name) for name in row.__struct_fields__}


@pytest.mark.parametrize("end", ["503", "closing", "expiry", "circuit"])
async def test_the_end_of_many_calls_stops_nobody(monkeypatch, end):
    count = 20_000
    async with Wireless() as session:
        client = session.client(max_retries=0)
        lane = client._calls.lane(GET_NON_TRADABLE_ASSETS, {})
        counters = Counters()
        session.okx.next = [unavailable] if end == "503" else [hangs]
        waiters = [lane.ask(("K",), counters, timeout=9 if end == "expiry" else None)
                   for _ in range(count)]  # fmt: skip
        if end == "503":
            await asyncio.sleep(0.015)
        elif end == "expiry":
            await asyncio.sleep(8.9)
        took = steps(monkeypatch)
        if end == "closing":
            await session.aclose()
        elif end == "circuit":
            lane.dispatcher._refusing = True
            session._in_flight.tell(
                lane.dispatcher._refuse_all(
                    lane.batcher.queued_waiters(), DeadlineExceededError("")
                )
            )
        await asyncio.wait(waiters)
        monkeypatch.undo()
        assert max(took) <= 0.1  # four times what is allowed, for busy machines
        assert len(took) > count / 500
        assert all(waiter.exception() is not None for waiter in waiters)


# -- quarantine ---------------------------------------------------------------------------------


async def test_a_refused_currency_changes_nothing_for_good():
    async with Wireless(bad={"BAD", "WORSE"}) as session:
        client = session.client()
        await outcomes(client.get_non_tradable_assets("BAD"))
        await asyncio.sleep(301)
        await outcomes(client.get_non_tradable_assets("WORSE"))
        assert list(client._calls.lanes[ASSETS].batcher._quarantine) == ["WORSE"]


# -- numbers ------------------------------------------------------------------------------------


async def test_no_two_requests_of_the_process_have_the_same_number():
    told: list[Any] = []
    async with Wireless() as session:
        owner = someone()
        clients = [
            session.client(credentials=owner, observer=told.append, max_retries=retries)
            for retries in (0, 1)
        ]
        await asyncio.gather(*(client.get_non_tradable_assets("K") for client in clients))
        batches = [event.batch for event in told if isinstance(event, BatchDispatched)]
        assert len(set(batches)) == 2
