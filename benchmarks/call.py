"""``call``: what one call costs, against the same call written by hand, and against peers."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
    ratio_of,
)
from .server import CURRENCIES, certificate, serving

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

    def pybotters(self) -> list[Call]:
        """One client for each user."""

        async def make() -> list[Call]:
            calls = []
            for user in self._users:
                call, close = await byhand.pybotters_call(self._base_url, user)
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


def _peers(on: Bench, report: Report) -> dict[str, list[Call]]:
    """Who else can be asked, of what is installed."""
    made = {
        "ccxt": ("ccxt, its limiter off", on.ccxt),
        "pybotters": ("pybotters", on.pybotters),
        "okx": ("python-okx (blocks)", on.python_okx),
    }
    peers = {}
    for module, (name, make) in made.items():
        if missing(module):
            report.skipped.append(f"{module} isn't installed (the group benchmarks has it)")
        else:
            peers[name] = make()
    return peers


def _tables(options: Options, on: Bench, kind: str, report: Report, *, peers: bool) -> None:
    groups = {
        "by hand with aiohttp": on.by_hand(),
        "okx_funding": on.ours(),
        "okx_funding, timeout=5": on.ours(timeout=5.0),
        "bare aiohttp, text, unsigned": on.bare(),
        **(_peers(on, report) if peers else {}),
    }
    for setting in SETTINGS:
        title = f"{setting}{kind}"
        works = {name: on.work(calls, setting) for name, calls in groups.items()}
        costs = compare(works, options.pick(96, 64), options.pick(61, 9))
        report.tables.append(cost_table(f"One call, {title}: CPU of the client", costs))
        figures: dict[str, Any] = {name: cost.figures() for name, cost in costs.items()}
        added = ratio_of(costs, "okx_funding, timeout=5", "okx_funding")
        figures["timeout=5 against none"] = round(added, 4)
        report.tables[-1].note = f"timeout= costs {added - 1:+.1%}."
        for name in [name for name in groups if name.startswith("ccxt")]:
            ratio = ratio_of(costs, name, "okx_funding")
            figures["ccxt against okx_funding"] = round(ratio, 4)
            report.tables[-1].note += f" ccxt costs {ratio:.2f} times okx_funding."
        report.figures[title] = figures


def run(options: Options) -> Report:
    """A table for each setting: plain, with a field that OKX added, and over TLS."""
    report = Report()
    loops = [asyncio.new_event_loop() for _ in range(3)]
    with serving() as base_url, bench(base_url, loops[0]) as on:
        _tables(options, on, "", report, peers=True)
    with serving(added=True) as base_url, bench(base_url, loops[1]) as on:
        _tables(options, on, ", one unknown field", report, peers=False)
    with (
        tempfile.TemporaryDirectory() as folder,
        serving(certificate=(made := certificate(Path(folder)))) as base_url,
        bench(base_url, loops[2]) as on,
    ):
        # Made when aiohttp is imported; there is no public way to trust one more for all pools.
        aiohttp.connector._SSL_CONTEXT_VERIFIED.load_verify_locations(made)
        _tables(options, on, ", over TLS", report, peers=False)
    return report


BENCHMARK = Benchmark(
    "call", "Is a call dearer than the same call written by hand with aiohttp, and why?", run
)
