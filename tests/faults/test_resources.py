"""What must not grow, row by row: ``pytest -k X1_`` finds that of row X1."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import sys
import tracemalloc
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest

from okx_funding import (
    FundingClient,
    HTTPStatusError,
    OKXError,
    ProtocolError,
    QueueFullError,
    RateLimit,
    Session,
)
from okx_funding.ratelimit.registry import REGISTRY
from okx_funding.scheduler.context import Policy
from okx_funding.simulator import Fault, SimulatedExchange
from okx_funding.wire.response import Response
from tests.faults.server import (
    FINE,
    FaultServer,
    always,
    closes,
    facing,
    fails,
    mute,
    nothing_is_held,
    once,
    sockets,
    works,
)
from tests.support import ASSETS, VALUATION, at_exchange, envelope, failure_of, http, row, someone

pytestmark = [pytest.mark.looptime, pytest.mark.slow]

QUICK = {ASSETS: RateLimit(20, 0.001), VALUATION: RateLimit(20, 0.001)}


async def grown(work: Any, held: Callable[[], int], rounds: int = 4) -> list[int]:
    """How much each round of work left behind, once two rounds have warmed everything up."""
    sizes = []
    for number in range(rounds + 2):
        await work()
        gc.collect()
        if number > 1:
            sizes.append(held())
    return [later - earlier for earlier, later in itertools.pairwise(sizes)]


async def test_X1_calls_leave_no_memory_behind(monkeypatch):
    # 20 000 callers; without sockets, whose turn is next.
    answer = Response(200, envelope(*(row(f"C{n}") for n in range(20))))
    async with Session() as session:

        async def send(*_: Any, **__: Any) -> Response:
            return answer

        monkeypatch.setattr(session._transport, "send", send)
        client = FundingClient(someone(), session=session, rate_limits=QUICK)

        async def work() -> None:
            for start in range(0, 4000, 400):
                await asyncio.gather(
                    *(client.get_non_tradable_assets(f"C{start + n}") for n in range(400))
                )

        growth = await grown(work, sys.getallocatedblocks)
        assert client.statistics().answered == 24_000
    assert sum(growth) < 2000, growth


async def test_X1_requests_leave_no_memory_behind():
    async with facing(always(FINE), rate_limits=QUICK) as (server, client):

        async def work() -> None:
            for _ in range(300):
                await works(client)
            server.heard.clear()

        tracemalloc.start()
        try:
            growth = await grown(work, lambda: tracemalloc.get_traced_memory()[0], 3)
        finally:
            tracemalloc.stop()
    assert sum(growth) < 100_000, growth


async def test_X1_users_who_came_and_went_leave_nothing_behind():
    async with FaultServer(always(FINE)) as server, Session() as session:

        async def work() -> None:
            for _ in range(300):
                client = FundingClient(
                    someone(), base_url=server.base_url, session=session, rate_limits=QUICK
                )
                await works(client)
                await client.aclose()
            server.heard.clear()
            await asyncio.sleep(60)

        await work()
        await work()
        assert len(session._lanes) <= 1
        assert len(REGISTRY._circuits) < 1400
        assert len(REGISTRY) < 700
        assert len(session._hosts) == 1


FAULTS = [
    Fault.reset(),
    Fault.close(),
    Fault.reset_mid_body(),
    Fault.close_mid_body(),
    Fault.close_without_length(),
    Fault.hang(5),
    Fault.html(503),
    Fault.code("50001"),
    Fault.truncated(),
    Fault.close_after(),
    Fault.content_type(),
]


async def test_X2_thousands_of_faults_and_cancellations_leave_no_descriptor_behind():
    user = someone()
    async with SimulatedExchange(users=[user], limits=QUICK) as exchange:
        client = FundingClient(
            user,
            base_url=exchange.base_url,
            rate_limits=QUICK,
            policy=Policy(refusal_cooldown=0),
            max_retries=0,
            request_timeout=1,
        )
        await works(client)
        await asyncio.sleep(0.01)
        before = sockets()
        exchange.chaos(0.7, FAULTS)
        ended = 0
        for number in range(60):
            calls: list[Any] = [
                asyncio.ensure_future(client.get_non_tradable_assets([f"C{n}" for n in range(m)]))
                for m in range(1, 41)
            ]
            calls += [asyncio.ensure_future(client.get_asset_valuation()) for _ in range(10)]
            if number % 2:
                await asyncio.sleep(number * 0.0005)
                for call in calls[::2]:
                    call.cancel()
            ended += len(await asyncio.gather(*calls, return_exceptions=True))
        assert ended == 3000
        exchange.calm()
        await asyncio.sleep(6)
        await nothing_is_held(client)
        await works(client)
        await client.aclose()
        await asyncio.sleep(0.01)
        assert sockets() <= before


async def test_X2_connections_that_fail_leave_no_descriptor_behind():
    before = sockets()
    async with FundingClient(
        someone(), base_url="http://127.0.0.1:9", max_retries=0, rate_limits=QUICK
    ) as client:
        for _ in range(300):
            with contextlib.suppress(OKXError):
                await client.get_non_tradable_assets("CELT")
        assert sockets() <= before + 1


@pytest.mark.parametrize(
    ("script", "kind"),
    [
        (closes, ProtocolError),
        (once(http(b"x" * 100, length=200)), ProtocolError),
        (always(http(b"<html>" + b"x" * 10_000, 502)), HTTPStatusError),
    ],
)
async def test_X3_an_error_keeps_no_answer_alive(script, kind):
    async with facing(script, max_retries=0) as (_, client):
        gc.collect()
        gc.disable()
        try:
            errors = [await fails(client, kind) for _ in range(5)]
            await asyncio.sleep(0.01)
            alive = [each for each in gc.get_objects() if isinstance(each, aiohttp.ClientResponse)]
            assert alive == []
        finally:
            gc.enable()
        assert len(errors) == 5
        assert max(len(str(vars(error))) + len(str(error)) for error in errors) < 2000


async def test_X4_a_full_queue_refuses_newcomers():
    async with facing(mute, policy=Policy(max_queue=100)) as (_, client):
        calls = [asyncio.ensure_future(client.get_non_tradable_assets(f"C{n}")) for n in range(101)]
        await asyncio.sleep(0)
        error = await failure_of(calls[100], QueueFullError)
        assert not error.sent
        assert "max_queue=100" in str(error)
        for call in calls:
            call.cancel()
        await asyncio.wait(calls)
    async with at_exchange(policy=Policy(max_queue=1)) as (_, client):
        for _ in range(3):
            await works(client)
