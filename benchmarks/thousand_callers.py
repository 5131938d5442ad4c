"""``thousand_callers``: a thousand callers at once want some of 400 currencies, 6 requests per s.

Beside them, the same callers who ask for everything at once and share the answer by ``max_age``.
"""

from __future__ import annotations

import asyncio
import random
import statistics
import time
from typing import Any

from okx_funding import FundingClient
from okx_funding.api import NonTradableAsset
from okx_funding.simulator import SimulatedExchange

from .harness import Benchmark, Options, Report, Table

CALLERS, CURRENCIES, LARGEST = 1000, 400, 20
ENDPOINT = "get_non_tradable_assets"
_CCXT_RATE = 1 / (0.110 * 5 / 3)
"""ccxt's requests per second for this endpoint: 110 ms times the cost in its table."""


def wanted_by(owned: list[str], callers: int = CALLERS) -> list[list[str]]:
    """1 to 3 currencies for each caller, every currency wanted by somebody."""
    chance = random.Random(2026)
    wanted = [chance.sample(owned, chance.randint(1, 3)) for _ in range(callers)]
    for number, ccy in enumerate(owned):
        if not any(ccy in names for names in wanted):
            wanted[number % callers] = [ccy]
    return wanted


def floor(requests: int, count: int, period: float) -> float:
    """Seconds after the first request at which the last may arrive at the earliest."""
    return (requests - 1) // count * period


async def _once(seed: int, *, all_at_once: bool = False) -> dict[str, Any]:
    async with SimulatedExchange(seed=seed, currencies=CURRENCIES) as exchange:
        wanted = wanted_by(exchange.currencies)
        async with FundingClient(
            exchange.credentials, base_url=exchange.base_url, demo=False
        ) as client:

            async def ask(names: list[str]) -> list[NonTradableAsset]:
                if not all_at_once:
                    return await client.get_non_tradable_assets(ccy=names)
                rows = await client.get_non_tradable_assets(max_age=1.0)
                mine = set(names)
                return [row for row in rows if row.ccy in mine]

            began = time.perf_counter()
            answers = await asyncio.gather(*map(ask, wanted))
            seconds = time.perf_counter() - began
            for names, rows in zip(wanted, answers, strict=True):
                got = list(dict.fromkeys(row.ccy for row in rows))
                if got != names and not (all_at_once and set(got) == set(names)):
                    raise AssertionError(f"asked for {names}, got others")
        arrivals, limit = exchange.requests(ENDPOINT), exchange.limit(ENDPOINT)
        least = floor(-(-len(exchange.currencies) // LARGEST), limit.count, limit.period)
        return {
            "seconds": seconds,
            "floor": least,
            "against the floor": seconds / least,
            "requests": len(arrivals),
            "refused": len(exchange.refused),
            "busiest window": exchange.busiest_window(ENDPOINT),
        }


def run(options: Options) -> Report:
    """A few runs over sockets, in real time, against the simulated exchange's sliding log."""
    runs = [asyncio.run(_once(seed)) for seed in range(options.pick(5, 1))]
    middle = {key: statistics.median(run[key] for run in runs) for key in runs[0]}
    table = Table(
        f"{CALLERS} concurrent callers, 1 to 3 of {CURRENCIES} currencies each, 6 per second",
        ("", "median", "worst"),
        note=(
            "The floor is three windows: 20 requests at 6 per second, on an exchange without "
            "latency. Every caller's rows were\nchecked. The exchange runs in the same process."
        ),
    )
    for key, value in middle.items():
        digits = 3 if isinstance(runs[0][key], float) else 0
        worst = max(run[key] for run in runs)
        table.rows.append((key, f"{value:.{digits}f}", f"{worst:.{digits}f}"))
    report = Report([table], {"runs": runs})
    together = [asyncio.run(_once(seed, all_at_once=True)) for seed in range(options.pick(5, 1))]
    report.figures["without ccy"] = together
    _beside_others(
        report,
        middle["seconds"],
        statistics.median(run["seconds"] for run in together),
        together[0]["requests"],
    )
    return report


def _beside_others(report: Report, measured: float, all_at_once: float, requests: int) -> None:
    """Computed: nobody waits for five minutes to see it."""
    table = Table(
        f"The same {CALLERS} callers: seconds until all are answered",
        ("", "requests", "seconds", "against the floor"),
        note=(
            "The first two rows were measured; the others are computed from each one's own rate. "
            "Without ccy OKX sends\nall assets in one answer: whoever wants everything asks like "
            "that. Batches are for callers who want one currency\neach, and for endpoints that "
            "must be asked by name."
        ),
    )
    shared = CURRENCIES // LARGEST
    least, wanted = floor(shared, 6, 1.0), 2 * CALLERS
    rows = (
        (f"okx_funding, {LARGEST} currencies a request", shared, measured),
        ("okx_funding, all without ccy, max_age=1.0", requests, all_at_once),
        ("one request per caller, 6 per second", CALLERS, floor(CALLERS, 6, 1.0)),
        ("ccxt, one request per caller", CALLERS, (CALLERS - 1) / _CCXT_RATE),
        ("one currency per request, 6 per second", wanted, floor(wanted, 6, 1.0)),
    )
    report.figures["seconds"] = {}
    for name, requests, seconds in rows:
        table.rows.append((name, str(requests), f"{seconds:.2f}", f"{seconds / least:.2f}"))
        report.figures["seconds"][name] = {
            "requests": requests,
            "seconds": round(seconds, 3),
            "floor": least,
        }
    report.tables.append(table)


BENCHMARK = Benchmark(
    "thousand_callers",
    "Are a thousand callers answered as fast as the limit allows, with no refusal?",
    run,
)
