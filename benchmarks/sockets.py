"""``buckets --real``: the same question over loopback sockets and in real time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import aiohttp
from aiolimiter import AsyncLimiter
from yarl import URL

from okx_funding import FundingClient
from okx_funding.api.assets import GET_NON_TRADABLE_ASSETS
from okx_funding.simulator import SimulatedExchange

from .byhand import PATH, textbook_headers
from .harness import Benchmark, Options, Report, Table
from .road import ONE_WAY

ENDPOINT = GET_NON_TRADABLE_ASSETS.name
JITTERS = (0.0, 0.010, 0.030, 0.100)
_CALLERS = 24

Spend = Callable[[SimulatedExchange], Awaitable[object]]


@dataclass(frozen=True)
class _Kind:
    name: str
    spend: Spend


async def _ours(exchange: SimulatedExchange) -> None:
    async with FundingClient(exchange.credentials, base_url=exchange.base_url, demo=False) as us:

        async def caller(first: int) -> None:
            while True:
                await us.get_non_tradable_assets(exchange.currencies[first : first + 20])

        await asyncio.gather(*(caller(20 * number) for number in range(_CALLERS)))


def _limited(make: Callable[[], AsyncLimiter]) -> Spend:
    async def spend(exchange: SimulatedExchange) -> None:
        limiter, parts = make(), exchange.credentials.reveal()
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:

            async def caller(ccy: str) -> None:
                target = f"{PATH}?ccy={ccy}"
                url = URL(exchange.base_url + target, encoded=True)
                while True:
                    async with limiter:
                        headers = textbook_headers(parts, "GET", target)
                        async with http.get(url, headers=headers) as answer:
                            await answer.read()

            await asyncio.gather(*(caller(ccy) for ccy in exchange.currencies[:_CALLERS]))

    return spend


KINDS = (
    _Kind("okx_funding", _ours),
    _Kind("AsyncLimiter(6, 1)", _limited(lambda: AsyncLimiter(6, 1))),
    _Kind("AsyncLimiter(1, 1.03/6)", _limited(lambda: AsyncLimiter(1, 1.03 / 6))),
)


async def _judge(kind: _Kind, jitter: float, seconds: float) -> dict[str, Any]:
    async with SimulatedExchange(latency=ONE_WAY, jitter=jitter) as exchange:
        spending = asyncio.ensure_future(kind.spend(exchange))
        await asyncio.wait([spending], timeout=seconds)
        arrived = [arrival for arrival in exchange.requests(ENDPOINT) if arrival.counted]
        figures = {
            "strategy": kind.name,
            "jitter_ms": jitter * 1000,
            "requests": len(arrived),
            "refused": sum(arrival.refused for arrival in arrived),
            "busiest_window": exchange.busiest_window(ENDPOINT),
            "utilisation": round(_utilisation(exchange), 4),
        }
        spending.cancel()
        await asyncio.wait([spending])
        if not spending.cancelled() and (error := spending.exception()) is not None:
            raise error
        return figures


def _utilisation(exchange: SimulatedExchange) -> float:
    # To the end of the last window that was filled: forty windows are few enough for it to show.
    limit = exchange.limit(ENDPOINT)
    times = [arrival.at for arrival in exchange.requests(ENDPOINT) if not arrival.refused]
    full = len(times) - (len(times) - 1) % limit.count - 1
    return full / limit.count * limit.period / (times[full] - times[0])


async def _all(seconds: float) -> list[dict[str, Any]]:
    return await asyncio.gather(
        *(_judge(kind, jitter, seconds) for kind in KINDS for jitter in JITTERS)
    )


def run(options: Options) -> Report:
    """Forty seconds, all at once: each strategy and jitter has an exchange of its own."""
    seconds = 5.0 if options.quick else 40.0
    figures = asyncio.run(_all(seconds))
    table = Table(
        f"Over loopback sockets, {seconds:g} s: 6 per second, sliding log, round trip 44 ms",
        ("", "jitter each way ms", "requests", "refused", "most in 1 s", "used %"),
        note="Each has an exchange of its own; all run at once, in one process.",
    )
    for row in figures:
        table.rows.append(
            (
                row["strategy"],
                f"{row['jitter_ms']:.0f}",
                str(row["requests"]),
                str(row["refused"]),
                str(row["busiest_window"]),
                f"{100 * row['utilisation']:.1f}",
            )
        )
    return Report([table], {"runs": figures})


BENCHMARK = Benchmark("sockets", "Does what `buckets` says hold over sockets, in real time?", run)
