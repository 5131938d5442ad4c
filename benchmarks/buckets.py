"""``buckets``: who keeps the limit, and how much of it is used, by every way of counting."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from okx_funding import RateLimit

from . import virtual
from .harness import Benchmark, Options, Report, Table, missing
from .road import FOUR, Exchange, Jitter, Road, alternating, another_program, steady
from .strategies import OTHERS, Ours, Run, Strategy, ccxt_on_virtual_time, ccxt_strategies

LIMIT = RateLimit(6, 1.0)
UNIFORM = tuple(Jitter(scale / 1000) for scale in (0, 2, 10, 30, 100))
HEAVY = tuple(Jitter(scale / 1000, "heavy") for scale in (10, 30, 100))
PARETO = tuple(Jitter(scale / 1000, "pareto") for scale in (10, 30, 100))


def strategies() -> list[Strategy]:
    """All of them, this project's first."""
    smooth = Ours("okx_funding, spread", spread=True)
    return [Ours("okx_funding"), smooth, *OTHERS, *ccxt_strategies()]


def drive(
    strategy: Strategy,
    road: Road,
    total: int,
    *,
    limit: RateLimit = LIMIT,
    live: str = "sliding",
    foreign: float = 0.0,
) -> Run:
    """Let a strategy send so many requests, in virtual time; ``foreign`` a second aren't its own.

    ``live`` is the judge that decides the answers; all others count along.
    """

    async def main() -> Run:
        exchange = Exchange(limit, live)
        others = None
        if foreign:
            chance = random.Random("foreign")
            others = asyncio.create_task(another_program(exchange, foreign, chance))
        run = await strategy.drive(road, exchange, total)
        if others is not None:
            others.cancel()
        return run

    with ccxt_on_virtual_time():
        return virtual.run(main())


# -- the table of strategies -----------------------------------------------------------------


def _grid(total: int) -> tuple[Table, Table, list[dict[str, Any]]]:
    jitters = (*UNIFORM, *HEAVY, *PARETO[1:])
    grid = Table(
        f"Refusals per 1000 requests by the worst of four judges / use of the limit in %\n"
        f"({total} requests each, {LIMIT}, round trip 44 ms, jitter each way)",
        ("", *map(_heading, jitters), "first six"),
        note=(
            "u: uniform, h: heavy-tailed (lognormal), p: power law, each with the same median. "
            "Use is what a sliding log\nadmitted. First six: seconds until the last of six calls "
            "made at once has left."
        ),
    )
    judged = Table(
        "Refusals per 1000 requests by each judge, jitter 30 ms uniform",
        ("", *FOUR, "weighted"),
        note=(
            "Weighted: two counters, as gateways approximate a window; it refuses bursts that "
            "all others admit."
        ),
    )
    figures: list[dict[str, Any]] = []
    for strategy in strategies():
        count = max(600, int(total * strategy.effort))
        row, burst = [strategy.name], 0.0
        for jitter in jitters:
            run = drive(strategy, Road(jitter), count)
            exchange, (judge, worst) = run.exchange, run.exchange.worst()
            row.append(f"{worst:.0f} / {_percent(exchange.utilisation())}")
            if not jitter.scale:
                burst = run.first_burst()
            if jitter == Jitter(0.030):
                each = (f"{exchange.per_mille(name):.1f}" for name in (*FOUR, "weighted"))
                judged.rows.append((strategy.name, *each))
            figures.append(
                {
                    "strategy": strategy.name,
                    "jitter_ms": jitter.scale * 1000,
                    "shape": jitter.shape,
                    "requests": len(exchange.arrivals),
                    "utilisation": round(exchange.utilisation(), 6),
                    "refused": dict(exchange.refused),
                    "worst": judge,
                    "first_burst": round(run.first_burst(), 6),
                }
            )
        grid.rows.append((*row, f"{burst:.2f} s"))
    return grid, judged, figures


def _heading(jitter: Jitter) -> str:
    return f"{jitter.scale * 1000:g} {jitter.shape[0]}" if jitter.scale else "0 ms"


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"


# -- scenarios -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Scenario:
    """Trouble on the way, for this project's bucket alone."""

    name: str
    jitter: Jitter
    run: Run
    runs: int = 1

    def row(self) -> Sequence[str]:
        """For people."""
        exchange = self.run.exchange
        refused = exchange.refused[exchange.live]
        errors = ", ".join(f"{count} {name}" for name, count in self.run.errors.items())
        return (
            self.name,
            str(self.jitter),
            str(len(exchange.arrivals)),
            str(refused),
            f"{exchange.per_mille(exchange.live):.2f}",
            _percent(exchange.utilisation(exchange.live)) if self.runs == 1 else "",
            errors or "none",
        )

    def figures(self) -> dict[str, Any]:
        """For the JSON file."""
        exchange = self.run.exchange
        return {
            "scenario": self.name,
            "jitter": str(self.jitter),
            "judge": exchange.live,
            "requests": len(exchange.arrivals),
            "refused": exchange.refused[exchange.live],
            "utilisation": round(exchange.utilisation(exchange.live), 6),
            "errors": dict(self.run.errors),
            "foreign": exchange.foreign,
            "foreign_refused": exchange.foreign_refused,
        }


def _scenarios(total: int) -> Iterator[Scenario]:
    yield from _connections(total)
    yield from _routes(total)
    few = total // 4
    for jitter in (UNIFORM[2], UNIFORM[4], HEAVY[1]):
        road = Road(jitter, lost=0.35)
        yield Scenario("35 % of requests lost", jitter, drive(Ours(), road, few))
        ours = Ours(cancelled=0.35)
        yield Scenario("35 % of calls cancelled", jitter, drive(ours, Road(jitter), few))
    jitter = UNIFORM[2]
    for rate in (1.0, 3.0):
        for judge in FOUR:
            run = drive(Ours(), Road(jitter), total // 2, live=judge, foreign=rate)
            yield Scenario(f"others spend {rate:g}/s, {judge}", jitter, run)
    for limit in (RateLimit(1), RateLimit(2), RateLimit(10, 2), RateLimit(20, 2), RateLimit(1, 2)):
        for jitter in (UNIFORM[0], UNIFORM[2], UNIFORM[4], HEAVY[1]):
            run = drive(Ours(), Road(jitter), few, limit=limit)
            yield Scenario(f"limit {limit}", jitter, run)


def _connections(total: int) -> Iterator[Scenario]:
    """Connections that take 60 to 180 ms to make."""
    for jitter in (UNIFORM[0], UNIFORM[2], UNIFORM[4], HEAVY[1]):
        starts = [drive(Ours(), Road(jitter, keep_alive=15.0, seed=seed), 60) for seed in range(20)]
        yield Scenario("20 cold starts of 60", jitter, _sum(starts), len(starts))
    for jitter in (UNIFORM[2], HEAVY[1]):
        road = Road(jitter, keep_alive=15.0)
        run = drive(Ours(pause=30.0), road, total // 20)
        yield Scenario("6 at once, every 30 s, all cold", jitter, run)


def _sum(runs: Sequence[Run]) -> Run:
    whole = Exchange(LIMIT)
    for run in runs:
        whole.arrivals += run.exchange.arrivals
        for name in whole.refused:
            whole.refused[name] += run.exchange.refused[name]
    return Run(whole)


def _routes(total: int) -> Iterator[Scenario]:
    """Routes that change, and change back, again and again."""
    both = alternating((0.077, 0.022), 80.0)
    out = alternating((0.132, 0.022), 80.0)
    for jitter in (*UNIFORM, *HEAVY):
        run = drive(Ours(), Road(jitter, out=both, back=both), total // 2)
        yield Scenario("route 110 ms shorter, longer", jitter, run)
    for jitter in (UNIFORM[0], UNIFORM[2], UNIFORM[4]):
        run = drive(Ours(), Road(jitter, out=out), total // 2)
        yield Scenario("only the way out, by 110 ms", jitter, run)
        run = drive(Ours(), Road(jitter, back=out), total // 2)
        yield Scenario("only the way back, by 110 ms", jitter, run)
        far, near = steady(0.080), steady(0.010)
        run = drive(Ours(), Road(jitter, out=far, back=near), total // 2)
        yield Scenario("80 ms out, 10 ms back, steady", jitter, run)


def _trouble(total: int) -> tuple[Table, list[dict[str, Any]]]:
    table = Table(
        f"Trouble on the way (okx_funding, {LIMIT}, sliding log unless another judge is named)",
        ("", "jitter each way", "requests", "refused", "per 1000", "used %", "callers' errors"),
        note=(
            "Routes change every 80 s. A call whose connection breaks isn't retried here. Where "
            "others spend the same\nlimit, refusals can't be avoided: the target is below 15 per "
            "1000 at 1/s, and no error for a caller."
        ),
    )
    figures = []
    for scenario in _scenarios(total):
        table.rows.append(scenario.row())
        figures.append(scenario.figures())
    return table, figures


def run(options: Options) -> Report:
    """The table of strategies, and the scenarios."""
    total = options.pick(24_000, 1_200)
    report = Report()
    grid, judged, figures = _grid(total)
    table, trouble = _trouble(total)
    report.tables += [grid, judged, table]
    report.figures = {"strategies": figures, "scenarios": trouble}
    if missing("ccxt"):
        report.skipped.append(
            "ccxt's throttler: ccxt isn't installed (the group benchmarks has it)"
        )
    return report


BENCHMARK = Benchmark(
    "buckets",
    "Does a way of keeping the limit ever get refused, and how much of the limit does it use?",
    run,
)
