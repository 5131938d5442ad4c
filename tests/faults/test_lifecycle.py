"""Cancelling, sharing, opening and closing, row by row: ``pytest -k C1_`` finds that of row C1."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import subprocess
import sys
import textwrap
import threading
import traceback
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from okx_funding import (
    ClientClosedError,
    DeadlineExceededError,
    FundingClient,
    OKXError,
    RateLimit,
    ServiceUnavailableError,
    Session,
    WrongLoopError,
)
from okx_funding.scheduler.dispatcher import Dispatcher
from okx_funding.simulator import Fault, SimulatedExchange, in_thread
from tests.faults.server import FINE, facing, fine, mute, nothing_is_held, resets, works
from tests.support import ASSETS, at_exchange, failure_of, now, someone

pytestmark = pytest.mark.looptime


# -- C1 to C4: leaving ------------------------------------------------------------------------


async def in_chunks(peer):
    """Takes its time, with a turn of the loop at every step."""
    while True:
        await peer.hear()
        for start in range(0, len(FINE), 100):
            peer.say(FINE[start : start + 100])
            await asyncio.sleep(0)


async def cancelled_after(steps, client, pause=0.0):
    """Whether the call was over before so many steps of the loop."""
    call = asyncio.ensure_future(client.get_non_tradable_assets("CELT"))
    for _ in range(steps):
        await asyncio.sleep(pause)
    if call.done():
        await call
        return True
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    return False


async def test_C1_a_call_can_be_cancelled_at_every_step():
    steps, over = 0, False
    while not over:
        async with facing(in_chunks) as (server, client):
            over = await cancelled_after(steps, client)
            for _ in range(60):
                await asyncio.sleep(0)
            await nothing_is_held(client)
            await works(client)
            assert len(server.heard) <= 2
            sent = client.statistics().buckets[0].requests_sent
            assert len(server.heard) <= sent <= 2, "what is cut off may have been heard"
        steps += 1
    assert steps > 10


async def test_C1_the_first_call_of_a_new_connection_can_be_cancelled_at_every_step_too():
    steps, over = 0, False
    while not over:
        async with facing(resets, in_chunks, max_retries=3) as (server, client):
            over = await cancelled_after(steps, client, 0.001)
            await asyncio.sleep(1)
            await nothing_is_held(client)
            await works(client)
            assert client.statistics().buckets[0].requests_sent == len(server.heard)
        steps += 1
    assert steps > 3


async def test_C1_closing_can_be_cancelled_at_every_step():
    for steps in range(12):
        async with facing(mute) as (_, client):
            call = asyncio.ensure_future(failure_of(client.get_asset_valuation(), OKXError))
            await asyncio.sleep(0.01)
            closing = asyncio.ensure_future(client.aclose())
            for _ in range(steps):
                await asyncio.sleep(0)
            closing.cancel()
            await asyncio.wait([closing])
            await client.aclose()
            assert isinstance(await call, ClientClosedError)


@pytest.mark.parametrize("moment", ["waiting", "on the wire"])
async def test_C2_one_of_many_who_share_a_request_leaves_and_no_other_notices(moment):
    async with at_exchange(latency=0.1) as (exchange, client):
        calls = [asyncio.ensure_future(client.get_non_tradable_assets("CELT")) for _ in range(5)]
        await asyncio.sleep(0 if moment == "waiting" else 0.05)
        began = now()
        calls[2].cancel()
        with pytest.raises(asyncio.CancelledError):
            await calls[2]
        assert now() == began
        outcomes = await asyncio.gather(*calls[:2], *calls[3:])
        assert [each.ccy for rows in outcomes for each in rows] == ["CELT"] * 4
        assert len(exchange.log) == 1


async def test_C3_what_everybody_left_before_it_was_sent_is_not_sent_and_costs_no_slot():
    async with at_exchange(rate_limits={ASSETS: RateLimit(1, 5.0)}) as (exchange, client):
        await works(client)
        calls = [asyncio.ensure_future(client.get_non_tradable_assets("MEME")) for _ in range(3)]
        await asyncio.sleep(1)
        for call in calls:
            call.cancel()
        await asyncio.wait(calls)
        await asyncio.sleep(5)
        assert len(exchange.log) == 1
        assert client.statistics().buckets[0].slots_free == 1


async def test_C3_what_everybody_left_after_it_was_sent_has_spent_its_slot():
    async with at_exchange(latency=0.2) as (exchange, client):
        call = asyncio.ensure_future(client.get_non_tradable_assets("CELT"))
        await asyncio.sleep(0.1)
        call.cancel()
        await asyncio.wait([call])
        await asyncio.sleep(0.5)
        assert len(exchange.log) == 1
        assert client.statistics().buckets[0].slots_free == 5
        await nothing_is_held(client)


@pytest.mark.parametrize("moment", [0, 0.05, 0.3])
async def test_C4_when_the_first_caller_leaves_the_others_inherit_nothing(moment):
    async with at_exchange(latency=0.1) as (exchange, client):
        exchange.fail_next(1, Fault.code("50001"))
        first = asyncio.ensure_future(client.get_non_tradable_assets("CELT"))
        others = [asyncio.ensure_future(client.get_non_tradable_assets("CELT")) for _ in range(3)]
        await asyncio.sleep(moment)
        first.cancel()
        outcomes = await asyncio.gather(*others)
        assert [len(rows) for rows in outcomes] == [1, 1, 1]


# -- C5 to C8: one flight, many callers -------------------------------------------------------


async def test_C5_callers_of_one_request_end_each_at_its_own_time():
    async with at_exchange(latency=1.5) as (exchange, client):
        ends: dict[Any, float] = {}

        async def call(timeout):
            with contextlib.suppress(DeadlineExceededError):
                await client.get_non_tradable_assets("CELT", timeout=timeout)
            ends[timeout] = now()

        await asyncio.gather(*map(call, (0.5, 1.0, 2.0, None)))
        assert ends[0.5] == pytest.approx(0.5, abs=0.05)
        assert ends[1.0] == pytest.approx(1.0, abs=0.05)
        assert ends[2.0] == pytest.approx(2.0, abs=0.05)
        assert ends[None] == pytest.approx(3.0, abs=0.05)
        assert len(exchange.log) == 1


async def test_C6_each_caller_gets_an_error_of_its_own_with_a_traceback_of_its_own():
    async with at_exchange(max_retries=0) as (exchange, client):
        exchange.fail_next(1, Fault.code("50001"))

        async def call(note):
            try:
                await client.get_non_tradable_assets("CELT")
            except ServiceUnavailableError as error:
                error.add_note(note)
                return error

        errors = await asyncio.gather(*(call(str(number)) for number in range(20)))
        assert len(set(map(id, errors))) == 20
        assert [error.__notes__ for error in errors] == [[str(number)] for number in range(20)]
        assert max(len(traceback.extract_tb(error.__traceback__)) for error in errors) < 8


async def test_C7_a_failure_that_nobody_waits_for_any_more_is_silent(caplog):
    caplog.set_level(logging.WARNING)
    async with at_exchange(latency=0.1, max_retries=0) as (exchange, client):
        exchange.fail_next(9, Fault.code("50001"))
        for moment in (0.0, 0.05, 0.2):
            calls = [
                asyncio.ensure_future(client.get_non_tradable_assets("CELT")) for _ in range(3)
            ]
            await asyncio.sleep(moment)
            for call in calls:
                call.cancel()
            del calls, call
            await asyncio.sleep(1)
            gc.collect()
    assert caplog.records == []


async def test_C7_even_a_mistake_of_ours_leaves_nobody_waiting(monkeypatch, caplog):
    def mistake(self, batch, rows):
        raise ZeroDivisionError

    async with at_exchange() as (_, client):
        with monkeypatch.context() as patched:
            patched.setattr(Dispatcher, "_rows_by_key", mistake)
            error = await failure_of(client.get_non_tradable_assets("CELT"), OKXError)
        assert "unexpected ZeroDivisionError" in str(error)
        assert "in mistake" in caplog.text
        await works(client)


async def test_C8_whoever_comes_after_the_request_left_gets_an_answer_of_its_own():
    async with at_exchange(latency=0.1) as (exchange, client):
        first = asyncio.ensure_future(client.get_non_tradable_assets("CELT"))
        await asyncio.sleep(0.05)
        second = asyncio.ensure_future(client.get_non_tradable_assets("CELT"))
        joins = asyncio.ensure_future(client.get_non_tradable_assets("CELT", max_age=1))
        await asyncio.gather(first, second, joins)
        assert len(exchange.log) == 2


# -- C9, C10: the end -------------------------------------------------------------------------


async def test_C9_closing_tells_whoever_waits_and_lets_the_wire_finish():
    async with at_exchange(latency=0.2) as (exchange, client):
        calls = [
            asyncio.ensure_future(client.get_non_tradable_assets(ccy))
            for ccy in exchange.currencies[:400]
        ]
        await asyncio.sleep(0.1)
        began = now()
        await asyncio.gather(client.aclose(), client.aclose(), client.aclose())
        assert now() - began < 0.5
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        assert Counter(map(type, outcomes)) == {list: 120, ClientClosedError: 280}
        assert not any(call.cancelled() for call in calls)
        with pytest.raises(ClientClosedError):
            await client.get_asset_valuation()
        assert len(exchange.log) == 6


async def test_C9_a_client_that_closes_while_it_asks_for_the_time_leaves_nobody_waiting():
    async with at_exchange(request_timeout=60) as (exchange, client):
        exchange.clock_skew = 60
        exchange.fail_next(1, Fault.hang(100), "get_system_time")
        call = asyncio.ensure_future(failure_of(client.get_asset_valuation(), OKXError))
        await asyncio.sleep(0.1)
        await client.aclose()
        assert isinstance(await asyncio.wait_for(call, 1), ClientClosedError)


async def test_C9_an_error_in_the_block_closes_as_well_and_is_what_is_seen():
    clients = []

    async def fail():
        async with at_exchange() as (_, client):
            clients.append(client)
            await works(client)
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        await fail()
    assert "closed" in repr(clients[0])


def run(script, *options):
    """What a Python of its own says on standard error when it runs this in an event loop."""
    program = textwrap.dedent(
        """
        import asyncio, gc, os, signal, sys
        from okx_funding import FundingClient
        from okx_funding.simulator import SimulatedExchange, in_thread

        kept = None

        async def main(exchange):
            global kept
            client = FundingClient(exchange.credentials, base_url=exchange.base_url)
            await client.get_non_tradable_assets("CELT")
        {script}

        with in_thread(SimulatedExchange()) as exchange:
            try:
                asyncio.run(main(exchange))
            except (KeyError, KeyboardInterrupt) as error:
                print(type(error).__name__)
        """
    ).replace("{script}", textwrap.indent(textwrap.dedent(script), "    "))
    done = subprocess.run(
        [sys.executable, *options, "-c", program],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONASYNCIODEBUG": "0"},
    )
    return done.returncode, done.stdout.split(), done.stderr


FORGOTTEN = {
    "dropped": "",
    "kept until the interpreter ends": "kept = client",
    "with a call on the wire": """
        kept = client
        exchange.latency = 1
        asyncio.ensure_future(client.get_non_tradable_assets("MEME"))
        await asyncio.sleep(0.1)
    """,
    "by Ctrl-C": """
        kept = client
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.sleep(10)
    """,
}


@pytest.mark.parametrize("script", FORGOTTEN.values(), ids=FORGOTTEN)
@pytest.mark.slow
def test_C10_a_client_that_was_never_closed_is_named_in_one_warning_and_that_is_all(script):
    code, said, told = run(script, "-X", "dev")
    assert code == 0
    assert said == (["KeyboardInterrupt"] if "SIGINT" in script else [])
    assert told.count("ResourceWarning: ") - told.count("ResourceWarning: Enable") == 1, told
    assert told.count("ResourceWarning: <FundingClient Credentials(") == 1
    assert "was never closed: use async with, or await aclose()" in told
    for noise in ("Traceback", "Unclosed", "unclosed", "never retrieved", "destroyed"):
        assert noise not in told


def test_C10_the_warning_may_be_an_error_and_still_nothing_else_is_heard():
    code, _, told = run("kept = client", "-W", "error::ResourceWarning")
    assert code == 0
    assert told.count("Exception ignored in") == 1
    assert told.count("ResourceWarning") == 1
    assert "nclosed" not in told


def test_C10_a_client_that_was_closed_leaves_without_a_word():
    code, _, told = run("async with client: kept = client", "-X", "dev")
    assert (code, told) == (0, "")


# -- C11 to C14: where it belongs -------------------------------------------------------------


def test_C11_a_client_is_made_without_a_loop_and_opens_nothing():
    before = set(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else set()
    client, session = FundingClient(someone()), Session()
    assert "live at https://www.okx.com" in repr(client)
    if before:
        assert set(os.listdir("/proc/self/fd")) == before
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        del client, session
        gc.collect()


@pytest.fixture
def exchange():
    with in_thread(SimulatedExchange(users=[someone()])) as exchange:
        yield exchange


def test_C12_another_loop_is_told_with_advice(exchange):
    client = FundingClient(exchange.credentials, base_url=exchange.base_url)
    with asyncio.Runner() as here, asyncio.Runner() as there:
        here.run(client.get_non_tradable_assets("CELT"))
        for method in (client.get_non_tradable_assets, client.get_asset_valuation, client.aclose):
            with pytest.raises(WrongLoopError, match="make one client for each"):
                there.run(method())
        here.run(works(client))
        assert client._calls.session is not None
        with pytest.raises(WrongLoopError):
            there.run(client._calls.session.aclose())
        here.run(client.get_asset_valuation())
        here.run(client.aclose())


def test_C13_another_thread_is_told_with_advice_and_the_advice_works(exchange):
    seen: list[Any] = []

    async def main():
        loop = asyncio.get_running_loop()
        async with FundingClient(exchange.credentials, base_url=exchange.base_url) as client:
            await works(client)

            def elsewhere():
                for way in (lambda: client.get_asset_valuation().send(None), in_a_loop_of_its_own):
                    try:
                        way()
                    except BaseException as error:
                        seen.append(error)
                future = asyncio.run_coroutine_threadsafe(client.get_non_tradable_assets(), loop)
                seen.append(future.result(20))

            def in_a_loop_of_its_own():
                asyncio.run(client.get_non_tradable_assets("CELT"))

            await asyncio.to_thread(elsewhere)

    asyncio.run(main())
    assert [type(each) for each in seen] == [WrongLoopError, WrongLoopError, list]
    assert "run_coroutine_threadsafe" in str(seen[0])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.slow
def test_C14_a_forked_child_is_refused_and_leaves_its_parents_sockets_alone(exchange):
    async def main():
        client = FundingClient(exchange.credentials, base_url=exchange.base_url, max_retries=0)
        await works(client)
        exchange.latency = 0.2
        call = asyncio.ensure_future(works(client))
        await asyncio.sleep(0.1)
        child = os.fork()
        if child == 0:  # pragma: no cover
            code = 1
            try:
                with contextlib.suppress(WrongLoopError):
                    client.get_non_tradable_assets("CELT").send(None)
                    code = 2
                with warnings.catch_warnings():
                    warnings.simplefilter("error")
                    assert client._calls.session is not None
                    client._calls.session.__del__()  # as a child that forgets it does
                code = 0 if code == 1 else code
            finally:
                os._exit(code)
        _, status = os.waitpid(child, 0)  # noqa: ASYNC222
        await call  # a child that closed what it inherited would have stopped our ears
        await works(client)
        await client.aclose()
        return os.waitstatus_to_exitcode(status)

    assert asyncio.run(main()) == 0


# -- C15, C16: guests and loops ---------------------------------------------------------------


async def test_C15_an_observer_that_raises_harms_no_call(caplog):
    def rude(event):
        raise ZeroDivisionError(type(event).__name__)

    async with (
        SimulatedExchange(users=[someone()]) as exchange,
        FundingClient(exchange.credentials, base_url=exchange.base_url, observer=rude) as client,
    ):
        exchange.fail_next(1, Fault.code("50001"))
        exchange.fail_next(1, Fault.code("50011"))
        await works(client)
        assert len(exchange.requests(ASSETS)) == 3
    assert "an observer failed at RetryScheduled" in caplog.text


@pytest.mark.looptime(False)
async def test_C16_it_runs_on_whatever_loop_the_tests_run_on():
    # OKX_TEST_LOOP=uvloop or eager runs the suite there; see conftest.
    async with facing(fine) as (server, client):
        await asyncio.gather(*(works(client) for _ in range(20)))
        assert len(server.heard) == 1


@pytest.mark.skipif(sys.version_info < (3, 12), reason="no eager tasks before 3.12")
async def test_C16_tasks_that_begin_at_once_change_nothing():
    loop = asyncio.get_running_loop()
    loop.set_task_factory(asyncio.eager_task_factory)  # type: ignore[attr-defined,unused-ignore]
    try:
        async with at_exchange() as (exchange, client):
            await asyncio.gather(
                *(client.get_non_tradable_assets(ccy) for ccy in exchange.currencies[:100])
            )
            assert len(exchange.log) == 5
    finally:
        loop.set_task_factory(None)


def test_C16_it_runs_on_uvloop():
    uvloop = pytest.importorskip("uvloop")

    async def main():
        async with at_exchange() as (exchange, client):
            exchange.fail_next(1, Fault.reset())
            exchange.fail_next(1, Fault.close_mid_body())
            await asyncio.gather(
                *(client.get_non_tradable_assets(ccy) for ccy in exchange.currencies[:60])
            )
            assert len(exchange.log) == 5

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
    assert threading.active_count() < 50
