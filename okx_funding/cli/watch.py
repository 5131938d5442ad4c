"""``okx-funding watch assets``: assets, valuation and the limits in use, again and again."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import datetime as dt
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Protocol

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from okx_funding.api.assets import AssetValuation, NonTradableAsset
from okx_funding.client import FundingClient
from okx_funding.errors import (
    HTTPStatusError,
    InvalidParameterError,
    OKXError,
    QueueFullError,
    RateLimitError,
    ServiceUnavailableError,
    TransportError,
)
from okx_funding.telemetry.events import Statistics

from . import connection, show
from .outcome import one_line

_TICK = 0.25
"""Seconds between two pictures of the buckets."""
_AROUND = 24
"""Lines of a screen that aren't rows of assets."""
_MAY_PASS = (
    HTTPStatusError,
    QueueFullError,
    RateLimitError,
    ServiceUnavailableError,
    TimeoutError,
    TransportError,
)

Chain = tuple[str, str]


@dataclass(slots=True)
class Picture:
    """What is known by now."""

    looks: int = 0
    at: dt.datetime | None = None
    assets: dict[Chain, NonTradableAsset] = field(default_factory=dict)
    changed: set[Chain] = field(default_factory=set)
    """What is new, other or gone since the look before."""
    valuation: AssetValuation | None = None
    errors: list[OKXError] = field(default_factory=list)
    """Of the last look; each may pass."""


class View(Protocol):
    """Who shows it."""

    def looked(self, picture: Picture, statistics: Statistics) -> None:
        """There was a look."""

    def tick(self, picture: Picture, statistics: Statistics) -> None:
        """Some time has passed."""


def choose(args: argparse.Namespace) -> None:
    """``okx-funding watch deposits | withdrawals | assets``."""
    if args.what == "assets":
        watch(args)
        return
    from .follow import watch as follow

    follow(args)


def watch(args: argparse.Namespace) -> None:
    """Ask until Ctrl-C or SIGTERM, which are the ordinary end, or ``--count`` times.

    An error that may pass is shown and the next update tries again; any other ends it with a
    Failure, and so does one of the last update.
    """
    with contextlib.suppress(KeyboardInterrupt):
        connection.run(args, _watch(args))


async def _watch(args: argparse.Namespace) -> None:
    console = show.console()
    loop = asyncio.get_running_loop()
    picture = Picture()
    with ExitStack() as stack:
        view: View
        if console.is_terminal:
            live = stack.enter_context(Live(console=console, auto_refresh=False))
            view = _Screen(live, console)
        else:
            view = _Lines(console)
        async with connection.client_of(args) as client:
            view.tick(picture, client.statistics())
            while picture.looks != args.count:
                due = loop.time() + args.every
                look = asyncio.create_task(_look(client, args, picture))
                try:
                    while not look.done():
                        await asyncio.wait([look], timeout=_TICK)
                        view.tick(picture, client.statistics())
                finally:
                    look.cancel()
                look.result()
                view.looked(picture, client.statistics())
                while picture.looks != args.count and (left := due - loop.time()) > 0:
                    await asyncio.sleep(min(left, _TICK))
                    view.tick(picture, client.statistics())
    if picture.errors:
        raise picture.errors[0]


async def _look(client: FundingClient, args: argparse.Namespace, picture: Picture) -> None:
    wanted = [ccy for word in args.ccy for ccy in word.split(",")] or None
    assets, valuation = await asyncio.gather(
        client.get_non_tradable_assets(ccy=wanted, timeout=args.timeout),
        client.get_asset_valuation(ccy=args.unit and args.unit.upper(), timeout=args.timeout),
        return_exceptions=True,
    )
    picture.errors = []
    for answer in (assets, valuation):
        if isinstance(answer, OKXError) and _may_pass(answer):
            picture.errors.append(answer)
        elif isinstance(answer, BaseException):
            raise answer
    if isinstance(assets, InvalidParameterError):
        assets = list(assets.rows)
    if not isinstance(assets, BaseException):
        now = {(row.ccy, row.chain): row for row in assets}
        before = picture.assets
        picture.changed = {key for key in (*now, *before) if now.get(key) != before.get(key)}
        picture.assets = now
    if not isinstance(valuation, BaseException):
        picture.valuation = valuation
    picture.looks += 1
    picture.at = dt.datetime.now(dt.UTC)


def _may_pass(error: OKXError) -> bool:
    return isinstance(error, (*_MAY_PASS, InvalidParameterError))


# -- a pipe --------------------------------------------------------------------------------


class _Lines:
    """A line for each thing that is new, in the order time, what, which."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def tick(self, picture: Picture, statistics: Statistics) -> None:
        pass

    def looked(self, picture: Picture, statistics: Statistics) -> None:
        assert picture.at is not None
        for line in self._lines(picture, statistics):
            self._console.print(f"{picture.at:%Y-%m-%dT%H:%M:%SZ} {line}", soft_wrap=True)

    def _lines(self, picture: Picture, statistics: Statistics) -> Iterator[str]:
        for error in picture.errors:
            yield f"error {one_line(str(error))}"
        gone = [key for key in picture.changed if key not in picture.assets]
        for ccy, chain in gone:
            yield one_line(f"asset {ccy} {chain} gone")
        for key, row in picture.assets.items():
            if key in picture.changed:
                yield one_line(f"asset {row.ccy} {row.chain} {show.amount(row.bal)}")
        if picture.valuation is not None:
            valuation = picture.valuation
            yield one_line(f"valuation {show.amount(valuation.total_bal)} {valuation.ccy}")
        free = "".join(
            f"; {bucket.endpoint} {bucket.slots_free} of {bucket.count} free"
            for bucket in statistics.buckets
        )
        yield f"sent {statistics.requests}, refused {statistics.refused}{free}"


# -- a terminal ----------------------------------------------------------------------------


class _Screen:
    """One screen, drawn anew in place."""

    def __init__(self, live: Live, console: Console) -> None:
        self._live = live
        self._console = console

    def looked(self, picture: Picture, statistics: Statistics) -> None:
        self.tick(picture, statistics)

    def tick(self, picture: Picture, statistics: Statistics) -> None:
        head = (
            f"Update {picture.looks}, at {picture.at:%H:%M:%S} UTC. " if picture.at else "Asking. "
        )
        parts: list[Text | Table] = [Text(f"{head}Ctrl-C ends it.", style="dim")]
        parts += [Text(one_line(str(error)), style="red") for error in picture.errors]
        if picture.valuation is not None:
            parts.append(show.valuation_table(picture.valuation))
        parts.append(show.bucket_table(statistics.buckets))
        if picture.looks:
            parts += self._assets(picture)
        self._live.update(Group(*parts), refresh=True)

    def _assets(self, picture: Picture) -> Iterator[Text | Table]:
        room = max(3, self._console.height - _AROUND)
        rows = list(picture.assets.items())
        if not rows:
            yield Text("No non-tradable assets.")
            return
        new = picture.changed if picture.looks > 1 else ()
        yield show.asset_table(
            [row for _, row in rows[:room]],
            marked=[row for key, row in rows[:room] if key in new],
        )
        if len(rows) > room:
            yield Text(f"and {len(rows) - room} more; name the ones you want to see", style="dim")
