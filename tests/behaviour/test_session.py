"""Who opens and closes what, and where a client may be used."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import threading
import warnings

import aiohttp
import pytest
from aiolimiter import AsyncLimiter

from okx_funding import (
    AuthenticationError,
    ClientClosedError,
    FundingClient,
    InvalidArgumentError,
    RateLimit,
    Session,
    WrongLoopError,
)
from okx_funding.simulator import Fault, SimulatedExchange, in_thread
from okx_funding.wire.response import Response
from tests.support import ASSETS, at_exchange, at_script, failure_of, hangs, now, someone, virtually
from tests.support.fake_session import FakeSession

pytestmark = pytest.mark.looptime


# -- opening ----------------------------------------------------------------------------------


def test_a_client_needs_no_loop_to_be_made_and_leaves_nothing_when_dropped():
    client = FundingClient(someone())
    session = Session()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        del client, session
        gc.collect()


async def test_an_empty_question_opens_nothing():
    async with FundingClient(someone(), base_url="http://127.0.0.1:9") as client:
        assert await client.get_non_tradable_assets([]) == []
    # a pool that was opened would have been bound to a loop
    assert "closed" in repr(client)


async def test_the_first_call_opens_the_pool_and_later_ones_reuse_the_connection():
    async with at_exchange() as (exchange, client):
        await client.get_non_tradable_assets("CELT")
        await client.get_non_tradable_assets("CELT")
        assert len(exchange._connections) == 1


async def test_requests_of_one_burst_need_not_share_a_connection():
    async with at_exchange(latency=0.05) as (exchange, client):
        await client.get_non_tradable_assets(exchange.currencies[:120])
        assert len({arrival.at for arrival in exchange.log}) == 1


async def test_users_share_a_session():
    users = [someone(), someone()]
    async with SimulatedExchange(users=users) as exchange, Session() as session:
        alice, bob = (
            FundingClient(user, session=session, base_url=exchange.base_url) for user in users
        )
        await alice.get_non_tradable_assets("CELT")
        await bob.get_non_tradable_assets("CELT")
        assert [arrival.user for arrival in exchange.log] == exchange.user_ids
        assert len(exchange._connections) == 1


async def test_clients_of_one_user_in_one_session_share_requests():
    user = someone()
    async with SimulatedExchange(users=[user]) as exchange, Session() as session:
        one, two = (
            FundingClient(user, session=session, base_url=exchange.base_url) for _ in range(2)
        )
        await asyncio.gather(
            one.get_non_tradable_assets("CELT"), two.get_non_tradable_assets("MEME")
        )
        assert [arrival.keys for arrival in exchange.log] == [("CELT", "MEME")]


# -- closing ----------------------------------------------------------------------------------


async def test_a_session_that_was_given_stays_open():
    user = someone()
    async with SimulatedExchange(users=[user]) as exchange, Session() as session:
        first = FundingClient(user, session=session, base_url=exchange.base_url)
        await first.get_non_tradable_assets("CELT")
        await first.aclose()
        assert not session.closed
        second = FundingClient(user, session=session, base_url=exchange.base_url)
        assert len(await second.get_non_tradable_assets("CELT")) == 1
    assert session.closed


async def test_a_session_of_its_own_is_closed_with_the_client():
    async with at_exchange() as (exchange, client):
        await client.get_non_tradable_assets("CELT")
        await client.aclose()
        await asyncio.sleep(0.01)
        assert exchange._connections == set()


async def test_a_users_own_http_session_is_used_and_never_closed():
    user = someone()
    async with (
        aiohttp.ClientSession(headers={"X-Mine": "yes"}) as http,
        SimulatedExchange(users=[user]) as exchange,
    ):
        async with (
            Session(http=http) as session,
            FundingClient(user, session=session, base_url=exchange.base_url) as client,
        ):
            assert len(await client.get_non_tradable_assets("CELT")) == 1
        assert session.closed
        assert not http.closed


async def test_a_users_http_session_that_raises_for_status_loses_no_code():
    user = someone()
    async with (
        aiohttp.ClientSession(raise_for_status=True) as http,
        SimulatedExchange(users=[user]) as exchange,
        Session(http=http) as session,
        FundingClient(user, session=session, base_url=exchange.base_url) as client,
    ):
        exchange.fail_next(1, Fault.code("50113"))
        with pytest.raises(AuthenticationError, match="50113"):
            await client.get_non_tradable_assets("CELT")


async def test_a_users_http_session_that_is_closed_gives_an_error_with_a_name():
    user = someone()
    async with (
        SimulatedExchange(users=[user]) as exchange,
        aiohttp.ClientSession() as http,
        Session(http=http) as session,
        FundingClient(user, session=session, base_url=exchange.base_url) as client,
    ):
        await client.get_non_tradable_assets("CELT")
        await http.close()
        with pytest.raises(ClientClosedError, match="HTTP session was closed"):
            await client.get_non_tradable_assets("CELT")


async def test_closing_twice_is_closing_once():
    async with at_exchange() as (_, client):
        await client.get_non_tradable_assets("CELT")
        await client.aclose()
        await client.aclose()
        await asyncio.gather(client.aclose(), client.aclose())


async def test_closing_what_was_never_used_is_fine():
    client, session = FundingClient(someone()), Session()
    await client.aclose()
    await session.aclose()
    assert "closed" in repr(client)
    assert "closed" in repr(session)


@pytest.mark.parametrize("used", [True, False])
async def test_a_closed_client_takes_no_calls(used):
    async with at_exchange() as (exchange, client):
        if used:
            await client.get_non_tradable_assets("CELT")
        await client.aclose()
        seen = len(exchange.log)
        with pytest.raises(ClientClosedError, match="closed"):
            await client.get_non_tradable_assets("CELT")
        with pytest.raises(ClientClosedError, match="closed"):
            await client.get_asset_valuation()
        assert len(exchange.log) == seen


@pytest.mark.parametrize("used", [True, False])
async def test_a_closed_session_takes_no_calls(used):
    user = someone()
    async with SimulatedExchange(users=[user]) as exchange:
        session = Session()
        client = FundingClient(user, session=session, base_url=exchange.base_url)
        if used:
            await client.get_non_tradable_assets("CELT")
        await session.aclose()
        with pytest.raises(ClientClosedError, match="closed"):
            await asyncio.wait_for(client.get_non_tradable_assets("MEME"), 1)


async def test_a_block_that_fails_closes_too():
    with contextlib.suppress(KeyError):
        async with at_exchange() as (_, client):
            await client.get_non_tradable_assets("CELT")
            raise KeyError("mine")
    with pytest.raises(ClientClosedError):
        await client.get_asset_valuation()


async def test_whoever_waits_for_a_slot_is_told_at_once_that_the_client_closes():
    async with at_exchange() as (exchange, client):
        await client.get_asset_valuation()
        waiting = [asyncio.ensure_future(client.get_asset_valuation(u)) for u in ("EUR", "USD")]
        await asyncio.sleep(0.1)
        began = asyncio.get_running_loop().time()
        await client.aclose()
        outcomes = await asyncio.gather(*waiting, return_exceptions=True)
        assert asyncio.get_running_loop().time() == began
        assert [type(each) for each in outcomes] == [ClientClosedError] * 2
        assert len({id(each) for each in outcomes}) == 2
        assert len(exchange.log) == 1


async def test_what_is_on_the_wire_may_still_finish_when_the_client_closes():
    async with at_exchange(latency=0.2) as (_, client):
        call = asyncio.ensure_future(client.get_non_tradable_assets("CELT"))
        await asyncio.sleep(0.1)
        await client.aclose()
        assert [each.ccy for each in await call] == ["CELT"]


async def test_closing_waits_a_second_for_the_wire_and_no_longer():
    async with at_script(hangs) as (_, client):
        call = asyncio.ensure_future(failure_of(client.get_asset_valuation(), ClientClosedError))
        await asyncio.sleep(0.1)
        loop = asyncio.get_running_loop()
        began = loop.time()
        await client.aclose()
        assert loop.time() - began == pytest.approx(1.0, abs=0.05)
        await call


async def test_a_client_that_leaves_a_shared_session_takes_only_its_own_callers_along():
    user = someone()
    async with SimulatedExchange(users=[user]) as exchange, Session() as session:
        one, two = (
            FundingClient(user, session=session, base_url=exchange.base_url) for _ in range(2)
        )
        await one.get_asset_valuation()
        mine = asyncio.ensure_future(failure_of(one.get_asset_valuation("EUR"), ClientClosedError))
        yours = asyncio.ensure_future(two.get_asset_valuation("EUR"))
        await asyncio.sleep(0)
        await one.aclose()
        await mine
        assert (await yours).ccy == "EUR"


async def test_a_client_that_was_never_closed_is_named_in_one_warning():
    async with SimulatedExchange(users=[someone()]) as exchange:
        client = FundingClient(exchange.credentials, base_url=exchange.base_url)
        await client.get_non_tradable_assets("CELT")
        await asyncio.sleep(0.01)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            del client
            gc.collect()
        (warning,) = caught
        assert warning.category is ResourceWarning
        assert str(warning.message).startswith("<FundingClient ")
        assert "never closed" in str(warning.message)
        await asyncio.sleep(0.01)
        assert exchange._connections == set()


@pytest.mark.parametrize("bad", [0, -1])
def test_a_session_wants_a_body_of_some_size(bad):
    with pytest.raises(InvalidArgumentError, match="max_body"):
        Session(max_body=bad)


# -- loops, threads, processes ------------------------------------------------------------------


def test_a_client_belongs_to_the_loop_of_its_first_call():
    with in_thread(SimulatedExchange(users=[someone()])) as exchange:
        client = FundingClient(exchange.credentials, base_url=exchange.base_url)

        async def first():
            await client.get_non_tradable_assets("CELT")
            # kept open on purpose: the second loop is the mistake

        with asyncio.Runner() as here, asyncio.Runner() as there:
            here.run(first())
            with pytest.raises(WrongLoopError, match="loop") as caught:
                there.run(client.get_non_tradable_assets("CELT"))
            assert isinstance(caught.value, RuntimeError)
            with pytest.raises(WrongLoopError):
                there.run(client.get_asset_valuation())
            here.run(client.aclose())
        assert len(exchange.log) == 1


def test_a_client_that_was_closed_in_a_wrong_loop_can_still_be_closed_in_its_own():
    with in_thread(SimulatedExchange(users=[someone()])) as exchange:
        client = FundingClient(exchange.credentials, base_url=exchange.base_url)
        with asyncio.Runner() as here, asyncio.Runner() as there:
            here.run(client.get_non_tradable_assets("CELT"))
            with pytest.raises(WrongLoopError):
                there.run(client.aclose())
            here.run(client.aclose())


async def test_a_session_may_close_before_its_clients():
    user = someone()
    async with SimulatedExchange(users=[user]) as exchange:
        session = Session()
        client = FundingClient(user, session=session, base_url=exchange.base_url)
        await client.get_non_tradable_assets("CELT")
        await session.aclose()
        await client.aclose()


def test_a_session_is_closed_in_its_own_loop():
    async def bind(session):
        await session.__aenter__()

    session = Session()
    with asyncio.Runner() as here, asyncio.Runner() as there:
        here.run(bind(session))
        with pytest.raises(WrongLoopError):
            there.run(session.aclose())
        here.run(session.aclose())


def test_without_a_loop_there_is_an_error_with_a_name():
    client = FundingClient(someone())
    with pytest.raises(WrongLoopError):
        client.get_non_tradable_assets("CELT").send(None)


def test_two_loops_at_once_cant_spend_the_limit_of_one_user():
    user = someone()
    ready, over = threading.Event(), threading.Event()

    with in_thread(SimulatedExchange(users=[user])) as exchange:

        async def live_on():
            async with FundingClient(user, base_url=exchange.base_url) as client:
                await client.get_non_tradable_assets("CELT")
                ready.set()
                await asyncio.to_thread(over.wait)

        async def come_too():
            async with FundingClient(user, base_url=exchange.base_url) as client:
                await client.get_non_tradable_assets("CELT")

        thread = threading.Thread(target=asyncio.run, args=[live_on()])
        thread.start()
        try:
            assert ready.wait(10)
            with pytest.raises(WrongLoopError, match="another event loop"):
                asyncio.run(come_too())
        finally:
            over.set()
            thread.join()
        assert len(exchange.log) == 1
        asyncio.run(come_too())


def test_two_users_may_live_in_two_loops():
    users = [someone(), someone()]
    with in_thread(SimulatedExchange(users=users)) as exchange:
        seen = []

        async def ask(user):
            async with FundingClient(user, base_url=exchange.base_url) as client:
                seen.append(len(await client.get_non_tradable_assets("CELT")))

        threads = [threading.Thread(target=asyncio.run, args=[ask(user)]) for user in users]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert seen == [1, 1]


def test_one_asyncio_run_after_another_keeps_the_users_limit():
    user = someone()
    exchange = SimulatedExchange(users=[user])

    async def burst(n):
        await exchange.start()
        exchange.reset()  # each loop's clock begins anew: the judge must not compare them
        async with FundingClient(user, base_url=exchange.base_url) as client:
            await client.get_non_tradable_assets(exchange.currencies[: 20 * n])
        times = [arrival.at for arrival in exchange.log]
        await exchange.aclose()
        return times, asyncio.get_running_loop().time()

    # Virtual time: the second loop begins at 0 in the very moment in which the first one ends.
    times, ended = virtually(burst(4))
    assert (times, ended) == ([0, 0, 0, 0], pytest.approx(0, abs=1e-3))
    times, _ = virtually(burst(6))
    assert times[:2] == pytest.approx([0, 0], abs=1e-3)
    assert all(0.9 < time < 1.1 for time in times[2:])


def test_a_loop_that_is_gone_holds_nobodys_limit():
    user = someone()

    async def first(exchange):
        client = FundingClient(user, base_url=exchange.base_url, rate_limits={ASSETS: RateLimit(1)})
        await client.get_non_tradable_assets("CELT")
        await client.aclose()

    async def second(exchange):
        async with FundingClient(user, base_url=exchange.base_url) as client:
            await client.get_non_tradable_assets(exchange.currencies[:80])
            return client.statistics().buckets[0].count

    with in_thread(SimulatedExchange(users=[user])) as exchange:
        asyncio.run(first(exchange))
        assert asyncio.run(second(exchange)) == 6


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_cant_use_its_parents_client():
    with in_thread(SimulatedExchange(users=[someone()])) as exchange:
        client = FundingClient(exchange.credentials, base_url=exchange.base_url)
        with asyncio.Runner() as runner:
            runner.run(client.get_non_tradable_assets("CELT"))
            child = os.fork()
            if child == 0:  # pragma: no cover
                code = 1
                try:
                    asyncio.run(client.get_non_tradable_assets("CELT"))
                except WrongLoopError:
                    code = 0
                finally:
                    os._exit(code)
            _, status = os.waitpid(child, 0)
            runner.run(client.aclose())
        assert os.waitstatus_to_exitcode(status) == 0
        assert len(exchange.log) == 1


# -- a limiter of the user's own --------------------------------------------------------------


async def test_all_requests_of_a_session_pass_the_limiter_of_the_user():
    async with Session(limiter=AsyncLimiter(5, 1)) as session:
        sent = []

        async def send(profile, host, endpoint, target):
            del profile, host, endpoint, target
            sent.append(now())
            return Response(200, b'{"code":"0","msg":"","data":[]}')

        session._send = send  # type: ignore[method-assign]
        clients = [FundingClient(someone(), session=session) for _ in range(30)]
        await asyncio.gather(
            *(each.get_non_tradable_assets(ccy) for each in clients for ccy in ("A", "B"))
        )
        assert len(sent) == 30
        assert sent[4] == pytest.approx(0, abs=0.01)
        assert sent[-1] == pytest.approx(5, abs=0.3)


@pytest.mark.parametrize("limiter", [5, "5", AsyncLimiter])
def test_a_limiter_must_be_one(limiter):
    with pytest.raises(InvalidArgumentError, match="limiter must be"):
        Session(limiter=limiter)


# -- closing a client whose session was given -------------------------------------------------


async def test_a_client_of_a_given_session_closes_within_a_second_of_what_is_on_the_wire():
    async with FakeSession(latency=8.0) as session:
        client, other = session.client(), session.client()
        calls = [asyncio.ensure_future(client.get_non_tradable_assets(ccy)) for ccy in "AB"]
        goes_on = [asyncio.ensure_future(other.get_non_tradable_assets(ccy)) for ccy in "AB"]
        await asyncio.sleep(0.1)
        await client.aclose()
        assert now() == pytest.approx(1.1, abs=0.05)
        for call in calls:
            assert (await failure_of(call, ClientClosedError)).sent
        await asyncio.gather(*goes_on)
