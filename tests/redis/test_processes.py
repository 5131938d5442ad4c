"""Four processes, one limit, and a judge who counts arrivals."""

from __future__ import annotations

import asyncio
import contextlib
import signal

import pytest

from okx_funding.ratelimit.redis import inspect_buckets
from okx_funding.simulator import SimulatedExchange
from tests.redis.processes import Process, Processes, bot, first_arrival, utilisation
from tests.redis.servers import RedisServer, running
from tests.support import ASSETS, someone

pytestmark = pytest.mark.slow

JITTERS = (0.0, 0.005, 0.030)


@contextlib.asynccontextmanager
async def exchanges(n, **settings):
    async with contextlib.AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(SimulatedExchange(users=[someone()], **settings))
            for _ in range(n)
        ]


async def test_four_processes_keep_one_limit_and_use_it(redis_server: RedisServer):
    """With every jitter at once: each process has a bot for each exchange."""
    for attempt in (1, 2):
        async with exchanges(3, latency=0.002) as three:
            for exchange, jitter in zip(three, JITTERS, strict=True):
                exchange.jitter = jitter
            works = [bot(exchange, redis_server.url) for exchange in three]
            async with Processes(*(Process(works) for _ in range(4))) as processes:
                began = max([await first_arrival(exchange) for exchange in three])
                await asyncio.sleep(11)
                reports = await processes.stop()
            shares = [utilisation(exchange, began + 2) for exchange in three]
            for exchange in three:
                assert not exchange.refused, f"jitter {exchange.jitter}"
                assert exchange.busiest_window(ASSETS) <= 6
            for bots in zip(*reports, strict=True):
                assert not any(each["errors"] for each in bots)
                sent = [each["requests"] for each in bots]
                assert max(sent) - min(sent) <= 6, f"unfair: {sent}"
            if min(shares) >= 0.95 or attempt == 2:
                break
    assert min(shares) >= 0.95, shares


async def test_killed_frozen_or_flushed_it_is_never_open_and_goes_on_by_itself(
    redis_server: RedisServer,
):
    """Three servers come to harm at once; each process has a bot for each. One is an hour early."""
    with running() as killed, running() as frozen, running() as flushed:
        servers = (killed, frozen, flushed)
        async with exchanges(3, latency=0.002, jitter=0.01) as three:
            works = [bot(*pair) for pair in zip(three, (it.url for it in servers), strict=True)]
            early = Process(works, clock=3600)
            async with Processes(early, *(Process(works) for _ in range(3))) as processes:
                began = max([await first_arrival(exchange) for exchange in three])
                loop = asyncio.get_running_loop()
                await asyncio.sleep(began + 2.5 - loop.time())
                killed.kill()
                frozen.freeze()
                flushed.say("FLUSHALL")
                await asyncio.sleep(2.5)
                killed.start()
                frozen.thaw()
                back = loop.time()
                await asyncio.sleep(5)
                reports = await processes.stop()
    for exchange, bots in zip(three, zip(*reports, strict=True), strict=True):
        assert not exchange.refused
        assert exchange.busiest_window(ASSETS) <= 6
        assert not any(each["errors"] for each in bots), "without a deadline callers wait"
        at_last = [it.at for it in exchange.requests(ASSETS) if it.at > back + 3]
        assert len(at_last) >= 6, "it goes on by itself"
    for exchange in three[:2]:
        meanwhile = [it.at for it in exchange.requests(ASSETS) if began + 2.6 < it.at < back]
        assert not meanwhile, "nobody sends without Redis"
    again = min(it.at for it in three[0].requests(ASSETS) if it.at > back)
    assert again > back + 1, "one silent window first"


async def arrivals_of(exchange: SimulatedExchange, count: int) -> None:
    """Wait until so many requests came; the test's own time limit bounds it."""
    while len(exchange.requests(ASSETS)) < count:  # noqa: ASYNC110 -- the log rings no bell
        await asyncio.sleep(0.02)


async def test_what_a_dead_process_held_comes_back_after_its_lease(redis_server: RedisServer):
    async with exchanges(1, latency=0.7) as (exchange,):
        work = bot(exchange, redis_server.url, callers=8, client={"request_timeout": 2.0})
        async with Processes(Process([work])) as mortal:
            await arrivals_of(exchange, 6)
            mortal.all[0].signal(signal.SIGKILL)
            died = asyncio.get_running_loop().time()
        exchange.latency = 0.002
        (now,) = await inspect_buckets(redis_server.url)
        assert now.in_flight > 0
        assert now.slots_free == 0
        before = len(exchange.requests(ASSETS))
        async with Processes(Process([work])) as heirs:
            await arrivals_of(exchange, before + 12)
            await heirs.stop()
        arrivals = [it.at for it in exchange.requests(ASSETS)][before:]
        assert arrivals[0] > died + 1, "not before the lease is over"
        assert not exchange.refused
