"""A caller who finds nobody waiting is treated like all others."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest

from okx_funding import (
    ClientClosedError,
    Credentials,
    FundingClient,
    QueueFullError,
    RateLimit,
    Session,
)
from okx_funding.errors import AuthenticationError, BucketsUnreachableError, OKXError
from okx_funding.ratelimit.circuit_breaker import PAUSE, THRESHOLD
from okx_funding.scheduler.context import Policy
from tests.support import ASSETS, Scripted, failure_of, now, someone, start
from tests.support import hangs as never_answers
from tests.wireless import (
    Wireless,
    came,
    hangs,
    names,
    nothing_left,
    unavailable,
)

pytestmark = pytest.mark.looptime


async def on_the_wire(client, key="K", **options):
    """A lone caller whose request left."""
    (task,) = start(client, key, **options)
    await asyncio.sleep(0.3)
    return task


LIMIT = {"rate_limits": {ASSETS: RateLimit(2)}}


# -- who is alone -------------------------------------------------------------------------------


@pytest.mark.anyloop
async def test_two_who_come_in_one_turn_share_a_request():
    async with Wireless() as session:
        one, two = await asyncio.gather(*start(session.client(), "A", "B"))
        assert session.okx.asked == [("A", "B")]
        assert (names(one), names(two)) == (["A"], ["B"])
        await nothing_left(session)


async def test_who_comes_first_goes_first_though_the_second_is_another_client():
    async with Wireless() as session:
        owner = someone()
        slow = {ASSETS: RateLimit(1)}
        one = session.client(credentials=owner, rate_limits=slow)
        two = session.client(credentials=owner, rate_limits=slow, max_retries=0)
        await asyncio.gather(*start(one, "FIRST"), *start(two, "SECOND"))
        assert session.okx.asked == [("FIRST",), ("SECOND",)]


async def test_who_comes_alone_goes_before_who_comes_at_the_same_moment():
    async with Wireless() as session:
        client = session.client(rate_limits={ASSETS: RateLimit(1)})
        session.okx.next = [unavailable]
        (first,) = start(client, [f"A{n}" for n in range(20)])
        await asyncio.sleep(0)
        (second,) = start(client, [f"B{n}" for n in range(20)])
        await asyncio.gather(first, second)
        assert [keys[0] for keys in session.okx.asked] == ["A0", "A0", "B0"]


async def test_a_lone_caller_waits_for_a_slot_like_all_others():
    async with Wireless(latency=0) as session:
        client = session.client(rate_limits={ASSETS: RateLimit(1)})
        await client.get_non_tradable_assets("THIS")
        assert names(await client.get_non_tradable_assets("OTHER")) == ["OTHER"]
        one, two = session.okx.sent
        assert two.left == pytest.approx(one.ended + 1.002, abs=1e-3)
        await nothing_left(session)


async def test_a_lone_caller_counts_as_waiting():
    async with Wireless(latency=1) as session:
        client = session.client(policy=Policy(max_queue=1))
        (task,) = start(client, "K")
        for _ in range(2):  # in its turn, and on the wire
            await asyncio.sleep(0.0)
            told = client.statistics()
            assert (told.calls, told.waiting, told.buckets[0].callers_waiting) == (1, 1, 1)
            await failure_of(client.get_non_tradable_assets("L", max_age=0), QueueFullError)
        await task
        assert client.statistics().buckets[0].callers_waiting == 0


@pytest.mark.anyloop
async def test_a_lone_caller_who_must_wait_is_told_when_there_will_be_no_slot():
    async with Wireless() as session:
        client = session.client()
        (task,) = start(client, "K")
        await came(task, told=client)
        client._calls.lanes[ASSETS].queue.fail_waiters("nobody knows", only_without_deadline=False)
        await failure_of(task, BucketsUnreachableError)
        assert session.okx.sent == []
        await nothing_left(session)


@pytest.mark.anyloop
async def test_a_key_whose_user_becomes_known_in_the_callers_turn_waits_there():
    async with Wireless() as session:
        client = session.client(credentials=Credentials("a key of whoever", "secret", "words"))
        (task,) = start(client, "K")
        await came(task, told=client)
        session.get_user_id(client._calls.context, f"user of {id(session)}")
        assert names(await task) == ["K"]
        assert client.statistics().buckets[0].user == f"user of {id(session)}"
        assert client.statistics().buckets[0].requests_sent == 1
        await nothing_left(session)


async def test_a_key_that_is_refused_too_often_meanwhile_is_not_asked_in_the_callers_turn():
    async with Wireless() as session:
        client = session.client()
        (task,) = start(client, "K")
        await came(task, told=client)
        circuit = client._calls.lanes[ASSETS].dispatcher.circuit
        for _ in range(THRESHOLD):
            circuit.saw(AuthenticationError("50111", "Invalid key", 401, ASSETS), now())
        error = await failure_of(task, AuthenticationError)
        assert not error.sent
        assert session.okx.sent == []
        await nothing_left(session)


async def test_a_lone_try_of_a_key_that_was_refused_too_often_goes_first():
    async with Wireless(latency=1) as session:
        client = session.client()
        await client.get_non_tradable_assets("K")
        circuit = client._calls.lanes[ASSETS].dispatcher.circuit
        for _ in range(THRESHOLD):
            circuit.saw(AuthenticationError("50111", "Invalid key", 401, ASSETS), now())
        await asyncio.sleep(PAUSE)
        task = await on_the_wire(client)
        assert not (await failure_of(client.get_non_tradable_assets("L"), OKXError)).sent
        await task
        assert names(await client.get_non_tradable_assets("L")) == ["L"]


async def test_what_a_lone_caller_asked_is_counted_like_all_else():
    async with Wireless() as session:
        client = session.client()
        await client.get_non_tradable_assets(["A", "B", "C"])
        (told,) = client.statistics().buckets
        assert (told.requests_sent, told.keys_sent, told.callers_served) == (1, 3, 3)


# -- leaving ------------------------------------------------------------------------------------


async def test_who_leaves_in_its_turn_sends_nothing_and_delays_nobody():
    async with Wireless() as session:
        client = session.client(**LIMIT)
        (gone,) = start(client, "GONE")
        await came(gone, told=client)
        gone.cancel()
        assert names(await client.get_non_tradable_assets("K")) == ["K"]
        assert session.okx.asked == [("K",)]
        assert session.okx.sent[0].left == 0
        await nothing_left(session)


async def test_who_goes_on_after_its_deadline_can_be_cancelled_as_ever():
    async with Wireless() as session:
        client = session.client()
        session.okx.next = [hangs]

        async def stubborn():
            await failure_of(client.get_non_tradable_assets("K", timeout=0.5), Exception)
            await asyncio.sleep(9)

        task = asyncio.ensure_future(stubborn())
        await asyncio.sleep(1)
        task.cancel()
        await failure_of(task, asyncio.CancelledError)


# -- closing ------------------------------------------------------------------------------------


async def test_what_is_on_the_wire_may_finish_while_the_session_closes():
    async with Wireless(latency=1) as session:
        task = await on_the_wire(session.client())
        await session.aclose()
        assert names(await task) == ["K"]


async def test_what_does_not_finish_in_time_ends_with_the_session_and_not_with_the_task():
    async with Wireless() as session:
        session.okx.next = [hangs]
        task = await on_the_wire(session.client())
        await session.aclose()
        assert not session._in_flight
        assert now() == pytest.approx(1.3)
        error = await failure_of(task, ClientClosedError)
        assert error.sent
        assert task.cancelling() == 0
        await nothing_left(session)


@pytest.mark.anyloop
async def test_who_is_cancelled_while_the_session_closes_counts_as_cancelled():
    async with Wireless() as session:
        client = session.client()
        session.okx.next = [hangs]
        task = await on_the_wire(client)
        closing = asyncio.ensure_future(session.aclose())
        await asyncio.sleep(0.1)
        task.cancel()
        await closing
        await failure_of(task, asyncio.CancelledError)
        assert (session.statistics().cancelled, session.statistics().failed) == (1, 0)


async def test_who_closes_in_a_lone_callers_turn_tells_it_that_nothing_was_sent():
    async with Wireless() as session:
        (task,) = start(session.client(), "K")
        await came(task, told=session)
        await session.aclose()
        error = await failure_of(task, ClientClosedError)
        assert not error.sent
        assert session.okx.sent == []


@pytest.mark.anyloop
@pytest.mark.parametrize("turns", [0, 1, 2, 5])
async def test_draining_answers_a_lone_caller(turns):
    async with Wireless() as session:
        client = session.client()
        (task,) = start(client, "K")
        for _ in range(turns + 1):
            await asyncio.sleep(0)
        await client.aclose(drain=True)
        assert task.done()
        assert names(await task) == ["K"]


@pytest.mark.looptime(False)
async def test_a_pool_of_ones_own_is_no_refuge_from_the_end_of_a_session(monkeypatch):
    monkeypatch.setattr("okx_funding.session.GRACE", 0.01)
    async with Scripted(never_answers) as server, aiohttp.ClientSession() as http:
        session = Session(http=http)
        client = FundingClient(someone(), session=session, base_url=server.base_url)
        (task,) = start(client, "K")
        while not server.heard:  # noqa: ASYNC110
            await asyncio.sleep(0)
        await session.aclose()
        assert (await failure_of(task, ClientClosedError)).sent
        assert not http.closed
