"""``chaos``: does everybody get an answer or an error with a name, whatever goes wrong?"""

from __future__ import annotations

import asyncio
from dataclasses import asdict

from okx_funding.cli import chaos

from .harness import Benchmark, Options, Report, Table


def run(options: Options) -> Report:
    """In real time, on loopback. Raises AssertionError where a promise was broken."""
    happened = asyncio.run(chaos.run(options.pick(10_000, 2_000), 500))
    assert not happened.problems, happened.problems
    table = Table("An exchange that misbehaves in a fifth of the requests", ("", ""))
    table.rows += [line for line in chaos.lines(happened) if line[0] not in ("Faults", "Besides")]
    table.rows += [("Besides", mishap) for mishap in happened.mishaps]
    faults = Table("What happened to requests", ("", "times"))
    faults.rows += [(name, str(times)) for name, times in happened.faults.items()]
    return Report([table, faults], figures=asdict(happened))


BENCHMARK = Benchmark("chaos", "Does everybody hear something, whatever goes wrong?", run)
