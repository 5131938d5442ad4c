"""The end: who is told, who is answered still, and what is left of a client."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import warnings

import pytest

from okx_funding import ClientClosedError, FundingClient, RateLimit
from okx_funding.errors import OKXError
from okx_funding.simulator import SimulatedExchange, in_thread
from tests.support import ASSETS, VALUATION, failure_of, now, some, someone, start
from tests.support.fake_session import (
    FakeSession,
    error,
    hangs,
    names,
    nothing_left,
    numbers,
    outcomes,
    unavailable,
)

pytestmark = [pytest.mark.looptime, pytest.mark.usefixtures("dice")]


LIMIT = {"rate_limits": {ASSETS: RateLimit(1), VALUATION: RateLimit(1)}}


# -- at once ------------------------------------------------------------------------------------


async def test_who_waits_for_a_slot_is_told_at_once_and_nothing_was_sent():
    async with FakeSession() as session:
        client = session.client(**LIMIT)
        await client.get_non_tradable_assets("FIRST")
        waiting = start(client, *some(30), some(50, "L"))
        await asyncio.sleep(0.1)
        began = now()
        await session.aclose()
        told = await outcomes(*waiting)
        assert now() == began
        assert {(type(each), each.sent) for each in told} == {(ClientClosedError, False)}
        assert len({id(each) for each in told}) == 31
        await nothing_left(session)


async def test_who_is_in_a_back_off_is_told_at_once_and_something_was_sent():
    async with FakeSession() as session:
        client = session.client()
        session.okx.next = [error("50013", status=429)]
        (waiting,) = start(client, "K")
        await asyncio.sleep(0.1)
        began = now()
        await session.aclose()
        assert (await failure_of(waiting, ClientClosedError)).sent
        assert now() == began
        await nothing_left(session)
        assert len(session.okx.sent) == 1


async def test_who_waits_for_a_bisection_is_told_at_once():
    async with FakeSession(bad={"K3"}) as session:
        client = session.client(**LIMIT)
        waiting = start(client, *some(20))
        await asyncio.sleep(0.5)
        began = now()
        await session.aclose()
        told = await outcomes(*waiting)
        assert now() == began
        assert {(type(each), each.sent) for each in told} == {(ClientClosedError, True)}
        assert len(session.okx.sent) == 1
        await nothing_left(session)


@pytest.mark.parametrize("latency", [0.3, 1.5])
async def test_a_part_on_the_wire_may_finish_and_no_other_follows(latency):
    async with FakeSession(bad={"K19"}, latency=latency) as session:
        client = session.client()
        waiting = start(client, *some(20))
        await asyncio.sleep(latency * 1.2)
        part = session.okx.asked[1]
        await session.aclose()
        ended = await outcomes(*waiting)
        for key, each in zip(some(20), ended, strict=True):
            if key in part and latency < 1:
                assert names(each) == [key]
            else:
                assert isinstance(each, ClientClosedError)
                assert each.sent
        assert len(session.okx.sent) == 2
        await nothing_left(session)


# -- what is on the wire ------------------------------------------------------------------------


async def test_what_is_on_the_wire_is_answered_within_the_grace():
    async with FakeSession(latency=0.9) as session:
        client = session.client()
        (flying,) = start(client, "K")
        await asyncio.sleep(0.1)
        await session.aclose()
        assert names(await flying) == ["K"]
        await nothing_left(session)


async def test_what_takes_longer_than_the_grace_is_cut():
    async with FakeSession(latency=60) as session:
        client = session.client()
        flying = start(client, "K", ["K", "L"])
        await asyncio.sleep(0.1)
        began = now()
        await session.aclose()
        assert now() - began == pytest.approx(1, abs=0.01)
        told = await outcomes(*flying)
        assert {(type(each), each.sent) for each in told} == {(ClientClosedError, True)}
        assert [each.outcome for each in session.okx.sent] == ["CancelledError"]
        await nothing_left(session)


async def test_what_fails_within_the_grace_is_not_tried_again():
    async with FakeSession(latency=0.5) as session:
        client = session.client()
        session.okx.next = [unavailable, error("50011", status=429), error("51000")]
        flying = start(client, "K")
        await asyncio.sleep(0.1)
        flying += start(client, "L")
        await asyncio.sleep(0.1)
        flying += start(client, ["M", "N"])
        await asyncio.sleep(0.1)
        await session.aclose()
        told = await outcomes(*flying)
        assert {(type(each), each.sent) for each in told} == {(ClientClosedError, True)}
        assert len(session.okx.sent) == 3
        await nothing_left(session)


async def test_who_waits_while_the_clock_is_learned_is_told():
    async with FakeSession() as session:
        client = session.client()
        session.okx.next = [error("50102", status=401)]
        okx, answer = session.okx, session.okx.answer

        def silent(sent):
            if sent.endpoint == "get_system_time":
                okx.latency = 60
            return answer(sent)

        okx.answer = silent  # type: ignore[method-assign]
        (waiting,) = start(client, "K")
        await asyncio.sleep(0.5)
        began = now()
        await session.aclose()
        assert (await failure_of(waiting, OKXError)).sent
        assert now() - began <= 1.1
        await nothing_left(session)


async def test_a_wrong_clock_within_the_grace_makes_no_noise():
    async with FakeSession(latency=0.5) as session:
        client = session.client()
        session.okx.next = [error("50102", status=401)]
        (waiting,) = start(client, "K")
        await asyncio.sleep(0.1)
        await session.aclose()
        await failure_of(waiting, OKXError)
        gc.collect()
        await nothing_left(session)


# -- draining -----------------------------------------------------------------------------------


@pytest.mark.parametrize("own", ["session", "client"])
async def test_a_drain_answers_everybody_first(own):
    async with FakeSession() as session:
        client = session.client(**LIMIT)
        waiting = start(client, "FIRST", *some(30), some(50, "L"))
        await asyncio.sleep(0.1)
        closer = session if own == "session" else client
        await closer.aclose(drain=True)
        ended = await outcomes(*waiting)
        assert [len(each) for each in ended] == [1] * 31 + [50]
        await nothing_left(session)


async def test_a_drain_waits_for_the_older_of_two_requests_with_one_currency():
    async with FakeSession(latency=3) as session:
        client = session.client()
        (older,) = start(client, "K")
        await asyncio.sleep(0.5)
        session.okx.latency = 0.1
        (newer,) = start(client, "K")
        await asyncio.sleep(0)
        await session.aclose(drain=True)
        assert [numbers(each) for each in await outcomes(older, newer)] == [[1], [2]]


async def test_a_drain_waits_for_retries_and_bisections():
    async with FakeSession(bad={"BAD"}) as session:
        client = session.client(**LIMIT)
        session.okx.next = [unavailable, error("50011", status=429)]
        waiting = start(client, *some(10), "BAD")
        await asyncio.sleep(0.03)
        await session.aclose(drain=True)
        *good, bad = await outcomes(*waiting)
        assert [names(each) for each in good] == [[key] for key in some(10)]
        assert bad.currencies == ("BAD",)
        await nothing_left(session)


@pytest.mark.parametrize("own", ["session", "client"])
async def test_a_drain_takes_no_longer_than_it_may(own):
    async with FakeSession() as session:
        client = session.client(**LIMIT)
        waiting = start(client, *some(200))
        await asyncio.sleep(0.1)
        began = now()
        closer = session if own == "session" else client
        await closer.aclose(drain=True, timeout=2.5)
        assert now() - began == pytest.approx(2.5, abs=0.05)
        ended = await outcomes(*waiting)
        kinds = [type(each) for each in ended]
        assert kinds == [list] * 60 + [ClientClosedError] * 140


@pytest.mark.parametrize("own", ["session", "client"])
async def test_new_calls_are_refused_during_a_drain(own):
    async with FakeSession() as session:
        client = session.client(**LIMIT)
        waiting = start(client, *some(40))
        await asyncio.sleep(0.1)
        closer = session if own == "session" else client
        closing = asyncio.ensure_future(closer.aclose(drain=True))
        await asyncio.sleep(0)
        await failure_of(client.get_non_tradable_assets("NEW"), ClientClosedError)
        await failure_of(client.get_asset_valuation(), ClientClosedError)
        await closing
        assert [len(each) for each in await outcomes(*waiting)] == [1] * 40


@pytest.mark.parametrize("own", ["session", "client"])
async def test_a_drain_that_is_cancelled_closes_at_once(own):
    async with FakeSession() as session:
        client = session.client(**LIMIT)
        waiting = start(client, *some(60))
        await asyncio.sleep(0.1)
        closer = session if own == "session" else client
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await closer.aclose(drain=True)
        assert now() <= 2.2
        ended = await outcomes(*waiting)
        assert [type(each) for each in ended] == [list] * 20 + [list] * 20 + [
            ClientClosedError
        ] * 20
        await closer.aclose()
        await nothing_left(session)


async def test_a_close_during_a_drain_ends_it():
    async with FakeSession() as session:
        client = session.client(**LIMIT)
        waiting = start(client, *some(100))
        await asyncio.sleep(0.1)
        draining = asyncio.ensure_future(session.aclose(drain=True))
        await asyncio.sleep(0.1)
        began = now()
        await session.aclose()
        await draining
        assert now() == began
        assert {type(each) for each in (await outcomes(*waiting))[20:]} == {ClientClosedError}


async def test_a_drain_with_nobody_waiting_is_a_close():
    async with FakeSession() as session:
        client = session.client()
        await client.get_non_tradable_assets("K")
        began = now()
        await client.aclose(drain=True)
        await session.aclose(drain=True, timeout=5)
        assert now() == began


async def test_a_drain_from_within_a_callers_task_answers_the_others():
    async with FakeSession() as session:
        client = session.client(**LIMIT)

        async def one():
            rows = await client.get_non_tradable_assets("ONE")
            await client.aclose(drain=True)
            return rows

        first = asyncio.ensure_future(one())
        await asyncio.sleep(0.01)
        (other,) = start(client, "OTHER")
        assert [names(each) for each in await outcomes(first, other)] == [["ONE"], ["OTHER"]]


# -- closing while closing ------------------------------------------------------------------------


async def test_many_closes_at_once_wait_for_the_one():
    async with FakeSession(latency=60) as session:
        client = session.client()
        flying = start(client, "K")
        await asyncio.sleep(0.1)
        began = now()
        ends = []

        async def close(drain):
            await session.aclose(drain=drain, timeout=0.5)
            ends.append(round(now() - began, 3))

        await asyncio.gather(close(False), close(True), close(False), close(True))
        assert ends == [pytest.approx(1, abs=0.01)] * 4
        await outcomes(*flying)


async def test_a_cancelled_close_goes_on_closing():
    async with FakeSession(latency=60) as session:
        client = session.client()
        (flying,) = start(client, "K")
        await asyncio.sleep(0.1)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await session.aclose()
        await failure_of(flying, ClientClosedError)
        await session.aclose()
        await nothing_left(session)


async def test_a_client_and_its_session_may_close_at_once():
    async with FakeSession(latency=0.2) as session:
        client = session.client()
        (flying,) = start(client, "K")
        await asyncio.sleep(0.1)
        await asyncio.gather(client.aclose(), session.aclose(), client.aclose(drain=True))
        assert names(await flying) == ["K"]


async def test_closing_twice_changes_nothing():
    async with FakeSession() as session:
        client = session.client()
        await client.get_non_tradable_assets("K")
        before = client.statistics()
        for _ in range(3):
            await client.aclose()
        for _ in range(3):
            await session.aclose()
        after = client.statistics()
        assert (after.calls, after.requests) == (before.calls, before.requests) == (1, 1)


@pytest.mark.parametrize("own", ["session", "client"])
async def test_what_is_closed_takes_no_calls_and_sends_nothing(own):
    async with FakeSession() as session:
        client = session.client()
        await client.get_non_tradable_assets("K")
        await (session if own == "session" else client).aclose()
        for call in (
            client.get_non_tradable_assets("K"),
            client.get_non_tradable_assets("K", max_age=60),
            client.get_non_tradable_assets(some(50), timeout=1),
            client.get_asset_valuation(),
        ):
            assert not (await failure_of(call, ClientClosedError)).sent
        assert await client.get_non_tradable_assets([]) == []
        assert len(session.okx.sent) == 1
        await nothing_left(session)


async def test_a_block_that_fails_tells_whoever_waits():
    waiting = []
    with contextlib.suppress(KeyError):
        async with FakeSession() as session, session.client(**LIMIT) as client:
            waiting += start(client, *some(40))
            await asyncio.sleep(0.1)
            raise KeyError("mine")
    ended = await outcomes(*waiting)
    assert [type(each) for each in ended] == [list] * 20 + [ClientClosedError] * 20


# -- a shared session ---------------------------------------------------------------------------


@pytest.fixture
def user():
    return someone()


async def test_only_the_callers_of_the_closed_client_are_told(user):
    async with FakeSession() as session:
        mine, yours = (session.client(credentials=user, **LIMIT) for _ in range(2))
        await mine.get_non_tradable_assets("FIRST")
        my_calls = start(mine, "A", ["A", "B"], some(50))
        your_calls = start(yours, "A", ["B", "C"], some(50))
        await asyncio.sleep(0.1)
        await mine.aclose()
        told = await outcomes(*my_calls)
        assert {type(each) for each in told} == {ClientClosedError}
        ended = await outcomes(*your_calls)
        assert [len(each) for each in ended] == [1, 2, 50]
        assert {key for keys in session.okx.asked[1:] for key in keys} == {"A", "B", "C", *some(50)}
        await nothing_left(session)


async def test_a_shared_request_on_the_wire_answers_both(user):
    async with FakeSession(latency=0.5) as session:
        mine, yours = (session.client(credentials=user) for _ in range(2))
        calls = [*start(mine, "A"), *start(yours, ["A", "B"])]
        await asyncio.sleep(0.1)
        await mine.aclose()
        assert [names(each) for each in await outcomes(*calls)] == [["A"], ["A", "B"]]


async def test_a_shared_request_that_fails_is_tried_again_for_the_open_client_only(user):
    async with FakeSession(latency=0.5) as session:
        mine, yours = (session.client(credentials=user) for _ in range(2))
        session.okx.next = [unavailable]
        (my_call,) = start(mine, ["A", "B"])
        (your_call,) = start(yours, "A")
        await asyncio.sleep(0.1)
        await mine.aclose()
        assert (await failure_of(my_call, ClientClosedError)).sent
        assert names(await your_call) == ["A"]
        assert session.okx.asked == [("A", "B"), ("A",)]
        await nothing_left(session)


async def test_a_bisection_goes_on_for_the_open_client(user):
    async with FakeSession(bad={"K3"}) as session:
        mine, yours = (session.client(credentials=user, **LIMIT) for _ in range(2))
        my_calls, your_calls = start(mine, *some(20)), start(yours, *some(10))
        await asyncio.sleep(0.5)
        await mine.aclose()
        assert {type(each) for each in await outcomes(*my_calls)} == {ClientClosedError}
        ended = await outcomes(*your_calls)
        assert [isinstance(each, list) for each in ended] == [n != 3 for n in range(10)]
        asked = {key for keys in session.okx.asked[1:] for key in keys}
        assert asked <= set(some(10))
        await nothing_left(session)


async def test_a_drain_of_one_client_waits_for_its_own_callers_only(user):
    async with FakeSession() as session:
        mine, yours = (session.client(credentials=user, **LIMIT) for _ in range(2))
        my_calls, your_calls = start(mine, *some(30)), start(yours, some(100, "L"))
        await asyncio.sleep(0.1)
        await mine.aclose(drain=True)
        assert [len(task.result()) for task in my_calls] == [1] * 30
        assert not your_calls[0].done()
        assert len(await your_calls[0]) == 100


# -- without closing ----------------------------------------------------------------------------


@pytest.mark.looptime(False)
@pytest.mark.parametrize("moment", ["idle", "waiting", "on the wire", "draining"])
def test_a_loop_that_ends_without_closing_gives_one_warning_and_no_noise(moment, caplog):
    with in_thread(SimulatedExchange(users=[someone()])) as exchange:
        exchange.latency = 30.0 if moment == "on the wire" else 0.0

        async def main():
            client = FundingClient(
                exchange.credentials, base_url=exchange.base_url, rate_limits={ASSETS: RateLimit(1)}
            )
            tasks = start(client, "CELT", *some(40))
            if moment in ("idle", "draining", "waiting"):
                await tasks[0]
            if moment == "idle":
                for task in tasks[1:]:
                    task.cancel()
                await outcomes(*tasks)
            if moment == "draining":
                tasks.append(asyncio.ensure_future(client.aclose(drain=True)))
            await asyncio.sleep(0.05)

        with warnings.catch_warnings(record=True) as caught, caplog.at_level(logging.WARNING):
            warnings.simplefilter("always")
            asyncio.run(main())
            gc.collect()
        told = [str(each.message) for each in caught if each.category is ResourceWarning]
        if moment == "draining":  # asyncio.run cancels the drain, and that closes
            assert told == []
        else:
            (only,) = told
            assert only.startswith("<FundingClient ")
            assert "never closed" in only
        assert not caplog.records


async def test_a_hanging_request_delays_nothing_once_the_session_is_closed():
    async with FakeSession() as session:
        client = session.client()
        session.okx.next = [hangs]
        (flying,) = start(client, "K")
        await asyncio.sleep(0.1)
    await failure_of(flying, ClientClosedError)
    await nothing_left(session)
