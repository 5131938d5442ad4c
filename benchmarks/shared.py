"""``shared``: one limit over four processes, counted in a Redis, and what a request pays for it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import aiohttp
from yarl import URL

from okx_funding import Credentials, FundingClient, RateLimit, Session
from okx_funding.api.assets import GET_NON_TRADABLE_ASSETS
from okx_funding.simulator import SimulatedExchange

from .byhand import PATH, textbook_headers
from .harness import Benchmark, Options, Report, Table, missing
from .limiters import LIMITERS, PACKAGES
from .server import CURRENCIES, serving

ENDPOINT = GET_NON_TRADABLE_ASSETS.name
OURS = "okx_funding, buckets=redis://"
LIMIT = RateLimit(6)
PROCESSES, CALLERS = 4, 3
JITTERS = (0.0, 0.005, 0.030)
QUICK_LIMIT = RateLimit(20, 0.02)
"""Never waits for one caller after another, and has about as many slots as an endpoint of OKX."""


@contextlib.contextmanager
def a_redis() -> Iterator[str]:
    """The URL of a server of one's own, which keeps nothing."""
    with socket.socket() as it:
        it.bind(("127.0.0.1", 0))
        port = it.getsockname()[1]
    places = ["--bind", "127.0.0.1", "--port", str(port), "--dir", tempfile.gettempdir()]
    command = ["redis-server", *places, "--save", "", "--appendonly", "no"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as server:
        try:
            for _ in range(200):
                time.sleep(0.02)
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                    break
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            server.kill()


# -- four processes --------------------------------------------------------------------------


async def _work(orders: dict[str, Any]) -> None:
    """One process: some callers that ask one after the other, without end."""
    user = Credentials(*orders["key"], user_id=orders["user"])
    names, base_url = orders["currencies"], orders["base_url"]
    async with contextlib.AsyncExitStack() as stack:
        if orders["limiter"] == OURS:
            session = await stack.enter_async_context(Session(buckets=orders["redis"]))
            client = FundingClient(user, session=session, base_url=base_url, demo=False)

            async def call(number: int) -> None:
                await client.get_non_tradable_assets(names[20 * number : 20 * number + 20])

        else:
            acquire = await LIMITERS[orders["limiter"]](orders["redis"], LIMIT)
            http = await stack.enter_async_context(aiohttp.ClientSession())

            async def call(number: int) -> None:
                target = f"{PATH}?ccy={names[number]}"
                await acquire()
                headers = textbook_headers(orders["key"], "GET", target)
                url = URL(base_url + target, encoded=True)
                async with http.get(url, headers=headers) as answer:
                    await answer.read()

        async def caller(number: int) -> None:
            while True:
                await call(number)

        await asyncio.gather(*(caller(number) for number in range(CALLERS)))


async def _judge(name: str, jitter: float, seconds: float) -> dict[str, Any]:
    with a_redis() as url:
        async with SimulatedExchange(latency=0.005, jitter=jitter) as exchange:
            orders = {
                "limiter": name,
                "redis": url,
                "base_url": exchange.base_url,
                "key": exchange.credentials.reveal(),
                "user": exchange.user_ids[0],
                "currencies": exchange.currencies[:100],
            }
            command = (sys.executable, "-m", "benchmarks.shared", json.dumps(orders))
            quiet = asyncio.subprocess.DEVNULL
            processes = [
                await asyncio.create_subprocess_exec(*command, stderr=quiet)
                for _ in range(PROCESSES)
            ]
            try:
                while not exchange.log:  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
                began = exchange.log[0].at + 1
                await asyncio.sleep(seconds + 1)
            finally:
                for process in processes:
                    process.kill()
                    await process.wait()
            arrived = [it for it in exchange.requests(ENDPOINT) if it.counted]
            return {
                "limiter": name,
                "jitter_ms": jitter * 1000,
                "requests": len(arrived),
                "refused": sum(it.refused for it in arrived),
                "used": _used([it.at for it in arrived if not it.refused and it.at > began]),
            }


def _used(times: list[float]) -> float:
    """The share of the limit; bursts don't blur it, as the last N are held against the first N."""
    more = len(times) - LIMIT.count
    if more < 1:
        return 0.0
    spans = [last - first for first, last in zip(times, times[more:], strict=False)]
    return more / statistics.mean(spans) / LIMIT.rate


def _together(options: Options) -> tuple[Table, list[dict[str, Any]]]:
    jitters, seconds = (JITTERS[1:2], 3) if options.quick else (JITTERS, 12)
    table = Table(
        f"Four processes, one limit of {LIMIT}: refusals per 1000 / use of the limit in %\n"
        f"({seconds} s each, over loopback, sliding log)",
        ("", *(f"{jitter * 1000:g} ms" for jitter in jitters)),
        note=(
            "Jitter is each way, upon 5 ms. Each process has three callers. The libraries keep "
            "their promise, of moments at which they were asked; what OKX counts is arrivals."
        ),
    )
    figures = []
    for name in (OURS, *LIMITERS):
        row = [name]
        for jitter in jitters:
            told = asyncio.run(_judge(name, jitter, seconds))
            refused = 1000 * told["refused"] / max(1, told["requests"])
            row.append(f"{refused:.0f} / {100 * told['used']:.1f}")
            figures.append(told)
        table.rows.append(row)
    return table, figures


# -- what it costs ---------------------------------------------------------------------------

Once = Callable[[], Awaitable[object]]


@contextlib.asynccontextmanager
async def _a_call(base_url: str, redis: str | None) -> AsyncIterator[Once]:
    user = Credentials("key-of-nobody", "secret", "word", user_id=f"user of {redis}")
    async with Session(buckets=redis) as session:
        client = FundingClient(
            user,
            session=session,
            base_url=base_url,
            demo=False,
            rate_limits={ENDPOINT: QUICK_LIMIT},
        )
        yield lambda: client.get_non_tradable_assets(CURRENCIES[0])


async def _costs(options: Options, base_url: str, redis: str) -> dict[str, dict[str, float]]:
    """Latency and CPU of one operation after the other; the variants take turns."""
    async with contextlib.AsyncExitStack() as stack:
        works: dict[str, Once] = {
            "a call, local bucket": await stack.enter_async_context(_a_call(base_url, None)),
            f"a call, {OURS}": await stack.enter_async_context(_a_call(base_url, redis)),
        }
        for name, make in LIMITERS.items():
            works[f"acquire alone, {name}"] = await make(redis, RateLimit(100_000))
        walls: dict[str, list[float]] = {name: [] for name in works}
        cpus: dict[str, list[float]] = {name: [] for name in works}
        each = 50
        for number in range(options.pick(21, 5)):
            for name, work in works.items():
                cpu = time.process_time()
                for _ in range(each):
                    began = time.perf_counter()
                    await work()
                    if number:
                        walls[name].append(time.perf_counter() - began)
                if number:
                    cpus[name].append((time.process_time() - cpu) / each)
    return {
        name: {
            "latency_us": round(1e6 * statistics.median(walls[name]), 1),
            "cpu_us": round(1e6 * statistics.median(cpus[name]), 1),
        }
        for name in works
    }


def _price(options: Options) -> tuple[Table, dict[str, Any]]:
    with a_redis() as redis, serving() as base_url:
        costs = asyncio.run(_costs(options, base_url, redis))
    table = Table(
        "One request after the other, a limit that never waits",
        ("", "latency, µs", "CPU of the client, µs"),
        note="Redis and what answers are other processes on the same machine.",
    )
    for name, cost in costs.items():
        table.rows.append((name, f"{cost['latency_us']:.0f}", f"{cost['cpu_us']:.0f}"))
    local, shared, *_ = costs.values()
    more = {key: shared[key] - local[key] for key in local}
    table.rows.insert(
        2, ("   the difference", f"{more['latency_us']:.0f}", f"{more['cpu_us']:.0f}")
    )
    return table, costs


def run(options: Options) -> Report:
    """What four processes do together, and what one request pays."""
    report = Report()
    if missing("redis") or shutil.which("redis-server") is None:
        report.skipped.append("redis-py and redis-server are wanted: neither is optional here")
        return report
    for module, package in PACKAGES.items():
        if missing(module):
            report.skipped.append(f"{package} isn't installed (the group benchmarks has it)")
    price, costs = _price(options)
    together, judged = _together(options)
    report.tables += [together, price]
    report.figures = {"together": judged, "costs": costs}
    return report


BENCHMARK = Benchmark(
    "shared",
    "Do four processes keep one limit and use it, and what does a request pay for that?",
    run,
)

if __name__ == "__main__":
    asyncio.run(_work(json.loads(sys.argv[1])))
