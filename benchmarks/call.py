"""``call``: what one call costs, against the same call written by hand, and against peers."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import aiohttp

from okx_funding import Credentials, FundingClient, Observer, RateLimit, Session

from . import byhand
from .byhand import Call
from .harness import (
    Benchmark,
    Options,
    Report,
    Work,
    compare,
    cost_table,
    missing,
    optional,
    ratio_of,
)
from .server import CURRENCIES, serving

USERS = 16
NEVER_WAITS = RateLimit(400, 0.01)
_TIMEOUT = aiohttp.ClientTimeout(total=10)


@dataclass(frozen=True)
class Setting:
    """How many ask at a time, and for how many currencies each."""

    users: int
    currencies: int

    def __str__(self) -> str:
        who = f"{self.users} users at a time" if self.users > 1 else "1 at a time"
        what = f"{self.currencies} currencies" if self.currencies > 1 else "1 currency"
        return f"{who}, {what} each"


SETTINGS = (Setting(1, 1), Setting(1, 20), Setting(USERS, 1), Setting(USERS, 20))


_numbers = itertools.count()


def fresh_user() -> Credentials:
    """Somebody whom no bucket knows yet."""
    number = next(_numbers)
    return Credentials(f"key-{number}", f"secret-{number}", "passphrase", user_id=f"user-{number}")


class Bench:
    """One event loop with a client of every kind, all kept alive."""

    def __init__(
        self, base_url: str, loop: asyncio.AbstractEventLoop, observer: Observer | None = None
    ) -> None:
        self.loop = loop
        self._base_url = base_url
        self._observer = observer
        self._closing = contextlib.AsyncExitStack()
        # A limit belongs to a user and is kept in one loop: each loop has users of its own.
        self._users = [fresh_user() for _ in range(USERS)]
        loop.run_until_complete(self._open())

    async def _open(self) -> None:
        """Make what must be made inside the loop."""
        enter = self._closing.enter_async_context
        self.bare_http = await enter(self._http())
        self.hand_http = await enter(self._http())
        self.session = await enter(Session())
        limits = {"get_non_tradable_assets": NEVER_WAITS}
        self.clients = [
            FundingClient(
                user,
                session=self.session,
                base_url=self._base_url,
                demo=False,
                rate_limits=limits,
                observer=self._observer,
            )
            for user in self._users
        ]

    def _http(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0), timeout=_TIMEOUT, trust_env=False
        )

    def close(self) -> None:
        """Close every client, and the loop."""
        self.loop.run_until_complete(self._closing.aclose())
        self.loop.close()

    # -- who calls ---------------------------------------------------------------------------

    def by_hand(self) -> list[Call]:
        """The yardstick."""
        return [byhand.by_hand(self.hand_http, self._base_url, user) for user in self._users]

    def bare(self) -> list[Call]:
        """The floor of aiohttp."""
        return [byhand.bare(self.bare_http, self._base_url)] * USERS

    def ours(self, timeout: float | None = None) -> list[Call]:
        """A client for each user on one session."""

        def call_of(client: FundingClient) -> Call:
            async def call(ccy: Sequence[str]) -> object:
                return await client.get_non_tradable_assets(ccy, timeout=timeout)

            return call

        return [call_of(client) for client in self.clients]

    def ccxt(self) -> list[Call]:
        """One exchange object for each user, as ccxt wants it."""

        async def make() -> list[Call]:
            calls = []
            for user in self._users:
                call, close = byhand.ccxt_call(self._base_url, user)
                self._closing.push_async_callback(close)
                calls.append(call)
            return calls

        return self.loop.run_until_complete(make())

    def python_okx(self) -> list[Call]:
        """One API object for each user; threads where several call at a time."""
        return [byhand.python_okx_call(self._base_url, user) for user in self._users]

    # -- work --------------------------------------------------------------------------------

    def work(self, calls: Sequence[Call], setting: Setting) -> Work:
        """So many calls, shared out among the setting's users."""

        async def caller(number: int, times: int) -> None:
            call = calls[number]
            wanted = CURRENCIES[20 * number : 20 * number + setting.currencies]
            for _ in range(times):
                await call(wanted)

        async def everybody(operations: int) -> None:
            each = operations // setting.users
            if setting.users == 1:
                await caller(0, each)
            else:
                await asyncio.gather(*(caller(number, each) for number in range(setting.users)))

        return lambda operations: self.loop.run_until_complete(everybody(operations))


@contextlib.contextmanager
def bench(
    base_url: str, loop: asyncio.AbstractEventLoop, observer: Observer | None = None
) -> Iterator[Bench]:
    """A bench that is closed in the end."""
    opened = Bench(base_url, loop, observer)
    try:
        yield opened
    finally:
        opened.close()


def run(options: Options) -> Report:
    """A table for each setting."""
    report = Report()
    for module in ("ccxt", "okx", "uvloop"):
        if missing(module):
            report.skipped.append(
                f"{module} isn't installed (the group benchmarks or the extra test has it)"
            )
    with serving() as base_url, contextlib.ExitStack() as stack:
        plain = stack.enter_context(bench(base_url, asyncio.new_event_loop()))
        groups = {
            "by hand with aiohttp": (plain, plain.by_hand()),
            "okx_funding": (plain, plain.ours()),
            "okx_funding, timeout=5": (plain, plain.ours(timeout=5.0)),
            "bare aiohttp, text, unsigned": (plain, plain.bare()),
        }
        if not missing("uvloop"):
            fast = stack.enter_context(bench(base_url, optional("uvloop").new_event_loop()))
            groups["by hand, uvloop"] = (fast, fast.by_hand())
            groups["okx_funding, uvloop"] = (fast, fast.ours())
        if not missing("ccxt"):
            groups["ccxt, its limiter off"] = (plain, plain.ccxt())
        if not missing("okx"):
            groups["python-okx (blocks)"] = (plain, plain.python_okx())
        for setting in SETTINGS:
            works = {name: on.work(calls, setting) for name, (on, calls) in groups.items()}
            costs = compare(works, options.pick(320, 64), options.pick(21, 5))
            report.tables.append(cost_table(f"One call, {setting}: CPU of the client", costs))
            report.figures[str(setting)] = {name: cost.figures() for name, cost in costs.items()}
            if "ccxt, its limiter off" in costs:
                ratio = ratio_of(costs, "ccxt, its limiter off", "okx_funding")
                report.figures[str(setting)]["ccxt against okx_funding"] = round(ratio, 4)
                report.tables[-1].note = f"ccxt costs {ratio:.2f} times okx_funding."
    return report


BENCHMARK = Benchmark(
    "call", "Is a call dearer than the same call written by hand with aiohttp, and why?", run
)
