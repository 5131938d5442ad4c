"""``soak``: do memory and descriptors stay where they are over a million calls?"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import random
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from itertools import count

from okx_funding import FundingClient, OKXError, RateLimit, Session
from okx_funding.scheduler.context import Policy
from okx_funding.simulator import ALL_FAULTS, SimulatedExchange

from .call import NEVER_WAITS, fresh_user
from .harness import Benchmark, Options, Report, Table
from .server import CURRENCIES, serving

CALLS = 1_000_000
FAULTS = 10_000
_AT_ONCE = 400
_LOOKS = 20
_LIMITS = {"get_non_tradable_assets": NEVER_WAITS, "get_asset_valuation": NEVER_WAITS}


def run(options: Options) -> Report:
    """``--calls`` callers, 400 at a time, most with a currency of their own; then faults."""
    calls = options.calls or options.pick(CALLS, CALLS // 20)
    table = Table(
        f"Memory over {calls} calls", ("calls", "RSS in MB", "blocks", "descriptors", "seconds")
    )
    figures: dict[str, object] = {"calls": calls}
    looks = _Looks(table)
    with serving() as base_url:
        asyncio.run(_calls(base_url, calls, looks))
    figures["MB grown after warm-up"] = looks.grown()
    figures["descriptors grown"] = looks.descriptors_grown()
    faults = options.pick(FAULTS, FAULTS // 10)
    wrong = Table(
        f"Memory over {faults} calls of which most fail or are cancelled",
        ("calls", "RSS in MB", "blocks", "descriptors", "seconds"),
    )
    looks = _Looks(wrong)
    asyncio.run(_faults(faults, looks))
    figures["MB grown by faults"] = looks.grown()
    figures["descriptors grown by faults"] = looks.descriptors_grown()
    return Report([table, wrong], figures=figures)


class _Looks:
    """What the process holds, from time to time."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._began = time.monotonic()
        self._seen: list[tuple[float, int]] = []

    def look(self, calls: int) -> None:
        gc.collect()
        memory, descriptors = _resident(), len(os.listdir("/proc/self/fd"))
        self._seen.append((memory, descriptors))
        blocks = sys.getallocatedblocks()
        seconds = time.monotonic() - self._began
        row = (f"{calls}", f"{memory:.1f}", f"{blocks}", f"{descriptors}", f"{seconds:.0f}")
        self._table.rows.append(row)

    def grown(self) -> float:
        """Megabytes from after a tenth of the calls to the end."""
        return round(self._seen[-1][0] - self._seen[max(1, len(self._seen) // 10)][0], 2)

    def descriptors_grown(self) -> int:
        """From before the first call to the end."""
        return self._seen[-1][1] - self._seen[1][1]


def _resident() -> float:
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


async def _calls(base_url: str, calls: int, looks: _Looks) -> None:
    async with Session() as session:
        clients = [
            FundingClient(
                fresh_user(), session=session, base_url=base_url, demo=False, rate_limits=_LIMITS
            )
            for _ in range(4)
        ]
        chance = random.Random(1)

        async def some() -> int:
            wanted = chance.choices(CURRENCIES, k=_AT_ONCE)
            client = chance.choice(clients)
            await asyncio.gather(*(client.get_non_tradable_assets(ccy) for ccy in wanted))
            return _AT_ONCE

        await _repeat(some, calls, looks)


async def _faults(calls: int, looks: _Looks) -> None:
    users = [fresh_user() for _ in range(4)]
    limits = {name: RateLimit(1000) for name in _LIMITS}
    slow = (
        "bare",
        "429",
        "huge",
        "gzip",
        "hang",
    )  # these close gates, or cost much and are bounded
    quick = [fault for fault in ALL_FAULTS if not any(word in fault.name for word in slow)]
    async with SimulatedExchange(users, limits=limits) as exchange, Session() as session:
        clients = [
            FundingClient(
                user,
                session=session,
                base_url=exchange.base_url,
                demo=False,
                rate_limits=limits,
                request_timeout=0.3,
                policy=Policy(refusal_cooldown=0),
                max_retries=1,
            )
            for user in users
        ]
        exchange.chaos(0.7, quick)
        numbers = count()
        chance = random.Random(1)

        async def one() -> None:
            await asyncio.sleep(chance.random() * 0.2)
            client = chance.choice(clients)
            with contextlib.suppress(OKXError, TimeoutError):
                async with asyncio.timeout(chance.random() * 0.5):
                    await client.get_non_tradable_assets(f"C{next(numbers) % 500}")

        async def some() -> int:
            await asyncio.gather(*(one() for _ in range(200)))
            exchange.reset()
            exchange.chaos(0.7, quick, seed=next(numbers))
            return 200

        await _repeat(some, calls, looks)


async def _repeat(some: Callable[[], Awaitable[int]], calls: int, looks: _Looks) -> None:
    done = 0
    looks.look(0)
    for due in _marks(calls):
        while done < due:
            done += await some()
        await asyncio.sleep(0.5)  # what was closed has gone
        looks.look(done)


def _marks(calls: int) -> Iterator[int]:
    return (calls * part // _LOOKS for part in range(1, _LOOKS + 1))


BENCHMARK = Benchmark("soak", "Do memory and descriptors stay where they are?", run)
