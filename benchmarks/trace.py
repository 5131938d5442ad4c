"""``trace``: how many functions and modules a lone call goes through."""

from __future__ import annotations

import asyncio
import itertools
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import okx_funding
from okx_funding import FundingClient
from okx_funding.simulator import SimulatedExchange

from .harness import Benchmark, Options, Report, Table

_ROOT = str(Path(okx_funding.__file__).parent) + "/"
_SIMULATED = _ROOT + "simulator"


@dataclass(frozen=True)
class Way:
    """The functions that were entered, as (module, function), in their order."""

    entered: tuple[tuple[str, str], ...]

    @property
    def functions(self) -> int:
        """How often any function was entered; comprehensions are part of theirs."""
        return len(self.entered)

    @property
    def modules(self) -> int:
        """How many modules took part."""
        return len({module for module, _ in self.entered})

    @property
    def moves(self) -> int:
        """How often the next function was of another module than the one before."""
        modules = [module for module, _ in self.entered]
        return sum(one != other for one, other in itertools.pairwise(modules))


async def lone_call() -> Way:
    """Trace a call of two currencies by a client that is warm and has nothing else to do."""
    entered: list[tuple[str, str]] = []
    frames: set[FrameType] = set()  # a coroutine that goes on was entered before

    def note(frame: FrameType, event: str, argument: object) -> None:
        if event != "call" or frame in frames:
            return
        code = frame.f_code
        path, name = code.co_filename, code.co_name
        if path.startswith(_ROOT) and not path.startswith(_SIMULATED) and name[0] != "<":
            frames.add(frame)
            entered.append((path.removeprefix(_ROOT), name))

    async with (
        SimulatedExchange() as exchange,
        FundingClient(exchange.credentials, base_url=exchange.base_url, demo=False) as client,
    ):
        wanted = exchange.currencies[:2]
        for _ in range(3):
            await client.get_non_tradable_assets(wanted)
            await asyncio.sleep(0)
        sys.setprofile(note)
        try:
            await client.get_non_tradable_assets(wanted)
            await asyncio.sleep(0)
        finally:
            sys.setprofile(None)
    return Way(tuple(entered))


def run(options: Options) -> Report:
    """Print the way, module by module."""
    way = asyncio.run(lone_call())
    table = Table(
        "A lone call of two currencies",
        ("", "functions"),
        note=f"{way.moves} moves between modules.",
    )
    by_module = Counter(module for module, _ in way.entered)
    table.rows += [(module, str(count)) for module, count in by_module.most_common()]
    table.rows.append((f"{way.modules} modules", str(way.functions)))
    figures = {"functions": way.functions, "modules": way.modules, "moves": way.moves}
    order = Table("In this order", ("module", "function"), list(way.entered))
    return Report([table, order], figures)


BENCHMARK = Benchmark("trace", "How much does one have to read to follow a call?", run)
