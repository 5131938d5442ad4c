"""The queue before a bucket: who is next, one timer for all, and no slot is ever lost."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from typing import Any

import pytest

from okx_funding import (
    ClientClosedError,
    ConnectError,
    FundingClient,
    ProtocolError,
    RateLimit,
    RequestTimeoutError,
)
from tests.machines.road import Road, batches
from tests.support import ASSETS, failure_of, now, some, someone

pytestmark = pytest.mark.looptime

LIMITS = [RateLimit(1), RateLimit(2), RateLimit(6), RateLimit(10, 2.0), RateLimit(20, 2.0)]
LIMITS.append(RateLimit(1, 2.0))


def scheduled():
    """The timers that are set."""
    loop: Any = asyncio.get_running_loop()
    return [timer for timer in loop._scheduled if not timer.cancelled()]


def bucket_of(client, endpoint=ASSETS):
    return client._calls.lanes[endpoint].queue.bucket


async def ask(client, n, name="C"):
    """``n`` calls that fill a request each."""
    return await asyncio.gather(*map(client.get_non_tradable_assets, batches(n, name)))


@pytest.fixture
def timers(monkeypatch):
    """How many timers were set; ``looptime`` has none of its own."""
    count: list[int] = []

    def watch():
        loop = asyncio.get_running_loop()
        call_at = loop.call_at

        def counting(*args, **options):
            count.append(1)
            return call_at(*args, **options)

        monkeypatch.setattr(loop, "call_at", counting)
        return count

    return watch


# -- one timer, no polling --------------------------------------------------------------------


@pytest.mark.parametrize("callers", [10, 1000])
async def test_all_waiters_share_one_timer(callers, timers):
    async with Road() as road, road.client() as client:
        await ask(client, 6, "first")
        calls = [
            asyncio.ensure_future(client.get_non_tradable_assets(keys)) for keys in batches(callers)
        ]
        await asyncio.sleep(0)
        count = timers()
        await asyncio.sleep(0.5)
        assert len(count) <= 3, "one for the slot, one for this sleep"
        assert len(scheduled()) <= 1
        for call in calls:
            call.cancel()
        await asyncio.wait(calls)


@pytest.mark.parametrize("callers", [30, 300])
async def test_a_window_costs_a_few_timers_however_many_wait(callers, timers):
    async with Road() as road, road.client() as client:
        calls = [
            asyncio.ensure_future(client.get_non_tradable_assets(keys)) for keys in batches(callers)
        ]
        await asyncio.sleep(1.5)
        count = timers()
        await asyncio.sleep(2)
        assert len(count) <= 12 * 2 + 2 * 2 + 1, "two ways for each request, two for the line"
        for call in calls:
            call.cancel()
        await asyncio.wait(calls)


async def test_an_idle_client_has_no_timer():
    async with Road() as road, road.client() as client:
        await ask(client, 3)
        await asyncio.sleep(5)
        assert not scheduled()


# -- first come, first served -----------------------------------------------------------------


async def test_slots_are_won_in_the_order_of_asking():
    async with Road(RateLimit(2)) as road, road.client() as client:
        wanted = batches(15)
        calls = []
        for keys in wanted:
            calls.append(asyncio.ensure_future(client.get_non_tradable_assets(keys)))
            await asyncio.sleep(0.01)
        await asyncio.gather(*calls)
        assert [list(trip.keys) for trip in road.trips] == wanted


async def test_two_clients_of_a_user_are_served_in_the_order_of_asking():
    owner = someone()
    async with (
        Road(RateLimit(1)) as road,
        road.client(credentials=owner, max_retries=0) as one,
        road.client(credentials=owner, max_retries=1) as two,
    ):
        wanted = batches(8)
        calls = []
        for keys, client in zip(wanted, itertools.cycle([one, two])):
            calls.append(asyncio.ensure_future(client.get_non_tradable_assets(keys)))
            await asyncio.sleep(0.01)
        await asyncio.gather(*calls)
        assert [list(trip.keys) for trip in road.trips] == wanted
        assert road.refused == []


async def again_and_again(client, keys, **options):
    while True:
        await client.get_non_tradable_assets(keys, **options)


@contextlib.asynccontextmanager
async def crowd(client, callers, name="crowd", **options):
    """So many callers of ``client`` who never stop asking."""
    tasks = [
        asyncio.ensure_future(again_and_again(client, keys, **options))
        for keys in batches(callers, name)
    ]
    await asyncio.sleep(5.05)
    yield
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


async def sent_before(road, client, **options):
    """How many requests of others leave between a call's coming and its own request."""
    before = len(road.trips)
    await client.get_non_tradable_assets("LONE", **options)
    return next(n for n, trip in enumerate(road.trips[before:]) if "LONE" in trip.keys)


@pytest.mark.parametrize("sessions", [1, 2])
async def test_a_lone_caller_waits_two_turns_at_most_beside_a_hundred_of_another_client(sessions):
    owner = someone()
    async with (
        Road() as road,
        Road() as elsewhere,
        road.client(credentials=owner) as many,
        (elsewhere if sessions == 2 else road).client(credentials=owner, max_retries=1) as lone,
    ):
        elsewhere.trips = road.trips
        async with crowd(many, 100):
            for _ in range(20):
                assert await sent_before(road, lone) <= 2


async def test_clients_of_a_user_share_its_limit_evenly():
    owner = someone()
    async with (
        Road() as road,
        road.client(credentials=owner) as many,
        road.client(credentials=owner, max_retries=1) as few,
        crowd(many, 100),
        crowd(few, 10, "few"),
    ):
        before = len(road.trips)
        await asyncio.sleep(20)
        names = [trip.keys[0] for trip in road.trips[before:]]
        assert sum(name.startswith("few") for name in names) == pytest.approx(len(names) / 2, abs=2)


@pytest.mark.parametrize("n", [1, 3])
async def test_beside_n_clients_with_400_currencies_n_requests_more_go_before_a_small_call(n):
    owner = someone()
    async with Road() as road, road.client(credentials=owner) as small:
        big = [road.client(credentials=owner, max_retries=3 + number) for number in range(n)]
        calls = [
            asyncio.ensure_future(client.get_non_tradable_assets(some(400, f"B{number}.")))
            for number, client in enumerate(big)
        ]
        await asyncio.sleep(1.5)
        assert await sent_before(road, small) <= n + 1
        await asyncio.gather(*calls)


async def test_a_higher_priority_goes_before_turns():
    owner = someone()
    async with (
        Road() as road,
        road.client(credentials=owner) as many,
        road.client(credentials=owner, max_retries=1) as lone,
        crowd(many, 100, priority=50),
    ):
        background = asyncio.ensure_future(lone.get_non_tradable_assets("LATER"))
        await asyncio.sleep(10)
        assert not background.done()
        assert await sent_before(road, lone, priority=100) == 0
        background.cancel()


async def test_a_lone_caller_with_a_deadline_is_not_refused_for_the_others_queue():
    owner = someone()
    async with (
        Road() as road,
        road.client(credentials=owner) as many,
        road.client(credentials=owner, max_retries=1) as lone,
        crowd(many, 100),
    ):
        assert await lone.get_non_tradable_assets("LONE", timeout=2.0)


# -- a slot is held over the round trip -------------------------------------------------------


async def test_a_slot_comes_back_with_the_answer_and_not_with_the_send():
    async with Road(RateLimit(1), way=0.4) as road, road.client() as client:
        await ask(client, 2)
        first, second = road.trips
        assert second.sent == pytest.approx(first.sent + 0.8 + 1.002, abs=1e-4)


async def test_a_cancelled_waiter_takes_no_slot():
    async with Road(RateLimit(1)) as road, road.client() as client:
        await ask(client, 1)
        calls = [
            asyncio.ensure_future(client.get_non_tradable_assets(keys)) for keys in batches(5, "D")
        ]
        await asyncio.sleep(0.5)
        for call in calls[:4]:
            call.cancel()
        await calls[4]
        assert [trip.keys[0] for trip in road.trips] == ["C0.0", "D4.0"]
        assert now() < 1.2


async def test_a_request_whose_connection_failed_frees_its_slot_at_once():
    async with Road(RateLimit(1)) as road, road.client(max_retries=0) as client:
        road.next = [lambda _: ConnectError("no connection")]
        await failure_of(ask(client, 1), ConnectError)
        assert bucket_of(client).slots_free(now()) == 1
        await ask(client, 1, "D")
        assert road.arrivals[0] < 0.2


@pytest.mark.parametrize("error", [ProtocolError("broke"), RequestTimeoutError("took long")])
async def test_a_request_without_an_answer_keeps_its_slot_a_quarter_longer(error):
    async with Road(RateLimit(1)) as road, road.client(max_retries=0) as client:
        road.next = [lambda _: error]
        await failure_of(ask(client, 1), type(error))
        failed = now()
        await ask(client, 1, "D")
        assert road.trips[1].sent == pytest.approx(failed + 0.25 + 1.002, abs=1e-4)


async def test_an_unexpected_exception_of_ours_counts_as_a_lost_request(caplog):
    async with Road(RateLimit(1)) as road, road.client(max_retries=0) as client:

        def mistake(_):
            raise ZeroDivisionError("secret")

        road.next = [mistake]
        error = await failure_of(ask(client, 1), ProtocolError)
        assert "ZeroDivisionError" in str(error)
        assert "secret" not in str(error)
        assert bucket_of(client).in_flight == 0
        await ask(client, 1, "D")
        assert road.trips[1].sent == pytest.approx(1.252, abs=1e-4)


async def test_an_answer_on_which_our_own_code_trips_costs_no_slot(monkeypatch, caplog):
    async with Road(RateLimit(1)) as road, road.client(max_retries=0) as client:

        def trips(*_):
            raise ZeroDivisionError("secret")

        with monkeypatch.context() as patched:
            patched.setattr("okx_funding.scheduler.dispatcher.parse_response", trips)
            error = await failure_of(ask(client, 1), ProtocolError)
        assert "secret" not in str(error)
        assert bucket_of(client).in_flight == 0
        await ask(client, 1, "D")
        assert road.trips[1].sent == pytest.approx(0.044 + 0.25 + 1.002, abs=1e-4)


async def test_a_flight_that_is_cancelled_before_it_began_gives_its_slot_back():
    async with Road(RateLimit(1)) as road, road.client() as client:
        call = asyncio.gather(ask(client, 1), ask(client, 1))
        for _ in range(3):
            await asyncio.sleep(0)
        assert road._in_flight.tasks
        for task in road._in_flight.tasks:  # as one does who cancels all tasks there are
            task.cancel()
        await failure_of(call, ClientClosedError)
        assert bucket_of(client).in_flight == 0
        await asyncio.wait_for(ask(client, 1, "D"), 5)


async def test_a_flight_that_is_cancelled_on_its_way_gives_its_slot_back_later():
    async with Road(RateLimit(1)) as road, road.client() as client:
        call = asyncio.gather(ask(client, 1), ask(client, 1))
        await asyncio.sleep(0.03)
        for task in road._in_flight.tasks:
            task.cancel()
        await failure_of(call, ClientClosedError)
        await ask(client, 1, "D")
        assert road.trips[1].sent == pytest.approx(0.03 + 1.252, abs=1e-4)


# -- never idle -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "limit",
    [
        RateLimit(1),
        RateLimit(2),
        RateLimit(6),
        RateLimit(10, 2.0),
        RateLimit(20, 2.0),
        RateLimit(1, 2.0),
    ],
    ids=str,
)
@pytest.mark.parametrize("jitter", [0.0, 0.01, 0.1])
@pytest.mark.slow
async def test_every_limit_is_used_and_none_is_passed(limit, jitter):
    async with Road(limit, jitter=jitter) as road, road.client() as client:
        windows = 8
        await ask(client, windows * limit.count)
        assert road.refused == []
        seconds = road.arrivals[-1] - road.arrivals[0]
        held = bucket_of(client).limit  # the published one counts too
        windows *= limit.count // held.count
        trip = 0.044 + 2 * jitter
        assert seconds <= (windows - 1) * (held.period + 0.002 + trip) + trip


async def test_a_longer_limit_that_ends_wakes_whoever_waits():
    owner = someone()
    async with Road() as road, road.client(credentials=owner) as wide:
        slow = {ASSETS: RateLimit(1, 30.0)}
        async with FundingClient(
            owner, session=road, rate_limits=slow, base_url="https://www.okx.com"
        ) as narrow:
            await ask(narrow, 1)
            calls = asyncio.ensure_future(ask(wide, 3, "D"))
            await asyncio.sleep(3)
            assert len(road.trips) == 1
        await calls
        assert now() < 3.2


async def test_a_session_that_closes_wakes_whoever_waits_elsewhere():
    owner = someone()
    async with Road() as road, road.client(credentials=owner) as wide:
        async with Road(RateLimit(1, 30.0)) as other:
            narrow = other.client(credentials=owner)
            await ask(narrow, 1)
            calls = asyncio.ensure_future(ask(wide, 3, "D"))
            await asyncio.sleep(3)
            assert len(road.trips) == 0
        await calls
        assert now() < 3.2
