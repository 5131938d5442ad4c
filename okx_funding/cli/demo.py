"""``okx-funding demo``: some hundred callers at once against a simulated exchange."""

from __future__ import annotations

import argparse
import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from okx_funding.api.assets import AssetValuation, NonTradableAsset
from okx_funding.client import FundingClient
from okx_funding.errors import OKXError
from okx_funding.simulator import SimulatedExchange

from . import chaos, show
from .outcome import Failure

_LATENCY, _JITTER = 0.02, 0.01
_SHOWN = 6


@dataclass(frozen=True, slots=True)
class Report:
    """What the demo found. ``problems`` is empty when all is well."""

    callers: int
    currencies: int
    calls_answered: int
    requests_sent: int
    asset_requests: int
    currencies_per_request: float
    requests_saved: int
    refusals: int
    busiest_window: int
    limit: str
    limit_used: float
    """The share of it, from the first request to the last, 0 to 1."""
    seconds: float
    problems: tuple[str, ...]


def demo(args: argparse.Namespace) -> None:
    """Run it and show it. Raises Failure when anything went wrong."""
    if args.chaos:
        _chaos(args)
        return
    console = show.console()
    callers = args.callers or 300
    if not args.json:
        console.print(
            f"{callers} callers at once, each asking for 1 to 3 of {args.currencies} "
            "currencies, and a simulated exchange on this machine that counts.\n"
        )
    try:
        report, rows, valuation = asyncio.run(_run(callers, args.currencies))
    except OKXError as error:
        raise Failure(f"the demo failed: {error}") from None
    if args.json:
        show.print_json(asdict(report))
    else:
        console.print(show.figures(_lines(report)))
        console.print("\nA few of the rows:")
        console.print(show.asset_table(rows))
        console.print("What all accounts are worth:")
        console.print(show.valuation_table(valuation))
        if not report.problems:
            console.print("All is well: every caller got its own rows, and nothing was refused.")
    _complain(report.problems)


def _chaos(args: argparse.Namespace) -> None:
    console = show.console()
    callers = args.callers or 10_000
    if not args.json:
        console.print(
            f"{callers} callers within three seconds, each asking for 1 to 3 of {args.currencies} "
            "currencies, and a simulated exchange on this machine that misbehaves in every way it "
            "knows.\n"
        )
    try:
        with _progress() as bar:
            task = bar.add_task("done", total=callers)
            happened = asyncio.run(
                chaos.run(
                    callers,
                    args.currencies,
                    progress=lambda done: bar.update(task, completed=done),
                )
            )
    except OKXError as error:
        raise Failure(f"the demo failed: {error}") from None
    if args.json:
        show.print_json(asdict(happened))
    else:
        console.print(show.figures(chaos.lines(happened)))
        if not happened.problems:
            console.print(
                "\nAll is well: every caller got its own rows, or an error that says why, and the "
                "limit was kept."
            )
    _complain(happened.problems)


def _complain(problems: Sequence[str]) -> None:
    if problems:
        more = len(problems) - 3
        raise Failure("; ".join(problems[:3]) + (f"; and {more} more" if more > 0 else ""))


async def _run(
    callers: int, currencies: int
) -> tuple[Report, list[NonTradableAsset], AssetValuation]:
    chance = random.Random(2026)
    async with (
        SimulatedExchange(latency=_LATENCY, jitter=_JITTER, currencies=currencies) as exchange,
        FundingClient(exchange.credentials, base_url=exchange.base_url, demo=False) as client,
    ):
        owned = exchange.currencies
        wanted = [
            chance.sample(owned, min(len(owned), chance.randint(1, 3))) for _ in range(callers)
        ]
        problems: list[str] = []
        received: dict[tuple[str, str], NonTradableAsset] = {}
        with _progress() as progress:
            task = progress.add_task("answered", total=callers)

            async def call(names: Sequence[str]) -> None:
                try:
                    rows = await client.get_non_tradable_assets(ccy=names)
                except OKXError as error:
                    problems.append(str(error))
                    return
                if list(dict.fromkeys(row.ccy for row in rows)) != list(names):
                    problems.append(f"a caller who asked for {', '.join(names)} got other rows")
                received.update({(row.ccy, row.chain): row for row in rows})
                progress.advance(task)

            began = time.perf_counter()
            asked = asyncio.create_task(client.get_asset_valuation(ccy="USDT"))
            await asyncio.gather(asked, *map(call, wanted))
            seconds = time.perf_counter() - began
        statistics = client.statistics()
        bucket = next(it for it in statistics.buckets if it.endpoint == "get_non_tradable_assets")
        refusals = len(exchange.refused)
        busiest = exchange.busiest_window(bucket.endpoint)
        if refusals:
            problems.append(f"the exchange refused {refusals} requests")
        if busiest > bucket.count:
            problems.append(f"{busiest} requests arrived within {bucket.period:g} s")
        if statistics.answered != callers + 1:
            problems.append(f"{statistics.answered} of {callers + 1} calls were answered")
        report = Report(
            callers=callers,
            currencies=len({ccy for names in wanted for ccy in names}),
            calls_answered=statistics.answered,
            requests_sent=statistics.requests,
            asset_requests=bucket.requests_sent,
            currencies_per_request=bucket.keys_sent / max(1, bucket.requests_sent),
            requests_saved=callers - bucket.requests_sent,
            refusals=refusals,
            busiest_window=busiest,
            limit=f"{bucket.count} per {bucket.period:g} s",
            limit_used=exchange.utilisation(bucket.endpoint),
            seconds=seconds,
            problems=tuple(problems),
        )
    return report, list(received.values())[:_SHOWN], asked.result()


def _lines(report: Report) -> list[tuple[str, str]]:
    full = report.currencies_per_request / 20
    return [
        ("Calls answered", f"{report.calls_answered} in {report.seconds:.1f} s"),
        (
            "Requests sent",
            f"{report.requests_sent}: {report.asset_requests} for {report.currencies} "
            f"currencies, {report.requests_sent - report.asset_requests} for the valuation",
        ),
        (
            "Batches",
            f"{report.currencies_per_request:.1f} of 20 currencies each ({full:.0%} full), "
            f"{report.requests_saved} requests saved",
        ),
        ("Refusals", "none" if not report.refusals else str(report.refusals)),
        (
            "Limit",
            f"{report.limit_used:.0%} of {report.limit} used, "
            f"never more than {report.busiest_window} in any such time",
        ),
    ]


def _progress() -> Progress:
    console = show.console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
