"""How things are measured and told.

Times are the CPU time of this process (``time.process_time``); what answers runs in another one.
On a shared machine only ratios within one run mean anything. So all variants take turns, in an
order that changes from round to round, each ratio is that of two variants of one round, and what
is told is the median over the rounds. The first variant runs twice under two names: the second
one's ratio, the control, shows what is noise.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import importlib
import importlib.util
import json
import random
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

CONTROL = "control"


@dataclass(frozen=True)
class Options:
    """What the command line says."""

    quick: bool = False
    """A look, not a measurement: a tenth of the work or less."""
    out: Path | None = None
    """Where JSON and pictures go; None writes nothing."""
    calls: int | None = None
    """How many ``soak`` makes; None: its own."""
    chaos: bool = False
    """Whether ``money`` shows what holds under faults, instead of comparing."""

    def pick(self, full: int, quick: int) -> int:
        """The one number or the other."""
        return quick if self.quick else full


@dataclass
class Table:
    """Rows of text under a title; ``note`` says below it how to read them."""

    title: str
    columns: Sequence[str]
    rows: list[Sequence[str]] = field(default_factory=list)
    note: str = ""

    def __str__(self) -> str:
        widths = [max(map(len, column)) for column in zip(self.columns, *self.rows, strict=True)]

        def line(cells: Sequence[str]) -> str:
            first, *others = zip(cells, widths, strict=True)
            aligned = [cell.rjust(width) for cell, width in others]
            return "  ".join([first[0].ljust(first[1]), *aligned]).rstrip()

        ruler = "  ".join("-" * width for width in widths)
        text = [self.title, "", line(self.columns), ruler, *map(line, self.rows)]
        return "\n".join([*text, "", self.note] if self.note else text) + "\n"


@dataclass
class Report:
    """What one benchmark found."""

    tables: list[Table] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)
    """The same as numbers, for the JSON file."""
    skipped: list[str] = field(default_factory=list)
    """What could not be measured, and why."""


@dataclass(frozen=True)
class Benchmark:
    """One of the names that ``python -m benchmarks`` knows."""

    name: str
    question: str
    run: Callable[[Options], Report]


# -- comparing -------------------------------------------------------------------------------

Work = Callable[[int], Awaitable[object] | None]
"""Does so many operations; a coroutine function runs on the comparison's event loop."""


@dataclass(frozen=True)
class Cost:
    """One variant's CPU time."""

    microseconds: float
    """Of one operation, the median over the rounds."""
    ratio: float
    """To the first variant, the median of the rounds' ratios."""
    low: float
    high: float
    """Quartiles of the ratios."""
    ratios: tuple[float, ...] = ()

    def figures(self) -> dict[str, Any]:
        """For the JSON file."""
        return {
            "us": round(self.microseconds, 3),
            "ratio": round(self.ratio, 4),
            "quartiles": [round(self.low, 4), round(self.high, 4)],
        }


def compare(
    variants: Mapping[str, Work],
    operations: int,
    rounds: int,
    *,
    loop: asyncio.AbstractEventLoop | None = None,
    collector: bool = True,
) -> dict[str, Cost]:
    """The CPU time of each variant against that of the first, which runs a second time as control.

    Each round runs every variant for so many operations, in an order of its own. ``collector``
    False turns the garbage collector off meanwhile.
    """
    first = next(iter(variants))
    works = {**variants, CONTROL: variants[first]}
    order = list(works)
    chance = random.Random(1)
    spent: dict[str, list[float]] = {name: [] for name in works}
    with _collector(collector):
        for number in range(rounds + 1):
            chance.shuffle(order)
            for name in order:
                gc.collect()
                seconds = _spend(works[name], operations, loop)
                if number:  # the first round warms up
                    spent[name].append(seconds)
    return {name: _cost(times, spent[first], operations) for name, times in spent.items()}


def _spend(work: Work, operations: int, loop: asyncio.AbstractEventLoop | None) -> float:
    began = time.process_time()
    coroutine = work(operations)
    if coroutine is not None:
        assert loop is not None, "a coroutine needs a loop"
        loop.run_until_complete(_wait(coroutine))
    return time.process_time() - began


async def _wait(work: Awaitable[object]) -> None:
    await work


def _cost(times: list[float], base: list[float], operations: int) -> Cost:
    ratios = [one / other for one, other in zip(times, base, strict=True)]
    low, middle, high = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else ratios * 3
    return Cost(1e6 * statistics.median(times) / operations, middle, low, high, tuple(ratios))


def ratio_of(costs: Mapping[str, Cost], one: str, other: str) -> float:
    """The median of the rounds' ratios of two variants."""
    pairs = zip(costs[one].ratios, costs[other].ratios, strict=True)
    return statistics.median(mine / theirs for mine, theirs in pairs)


@contextlib.contextmanager
def _collector(on: bool) -> Iterator[None]:
    gc.collect()
    gc.freeze()
    was = gc.isenabled()
    (gc.enable if on else gc.disable)()
    try:
        yield
    finally:
        (gc.enable if was else gc.disable)()
        gc.unfreeze()


def cost_table(title: str, costs: Mapping[str, Cost], note: str = "") -> Table:
    """Microseconds and ratios, the control last."""
    table = Table(title, ("", "µs", "ratio", "quartiles"), note=note)
    for name, cost in costs.items():
        row = (name, f"{cost.microseconds:.2f}", f"{cost.ratio:.3f}")
        table.rows.append((*row, f"{cost.low:.3f} to {cost.high:.3f}"))
    return table


# -- telling ---------------------------------------------------------------------------------


def missing(module: str) -> bool:
    """Whether a package that only a comparison needs isn't installed."""
    try:
        return importlib.util.find_spec(module) is None
    except ModuleNotFoundError:  # nor is the package that it would be in
        return True


def optional(module: str) -> Any:
    """A module of such a package; its types are nobody's business here."""
    return importlib.import_module(module)


def tell(benchmark: Benchmark, report: Report, out: Path | None) -> None:
    """Print it, and write its figures where they are wanted."""
    for table in report.tables:
        print(table, flush=True)
    for word in report.skipped:
        print(f"Skipped: {word}\n", flush=True)
    if out is not None:
        figures = {"python": sys.version.split()[0], **report.figures, "skipped": report.skipped}
        path = out / f"{benchmark.name}.json"
        path.write_text(json.dumps(figures, indent=1, ensure_ascii=False) + "\n", "utf-8")
