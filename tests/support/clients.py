"""Users nobody else has, clients of theirs, and loops whose time jumps."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Coroutine
from typing import Any, TypeVar

import looptime

from okx_funding import Credentials, FundingClient
from okx_funding.simulator import SimulatedExchange

T = TypeVar("T")

ASSETS = "get_non_tradable_assets"
VALUATION = "get_asset_valuation"

LOOP = os.environ.get("OKX_TEST_LOOP", "")
"""What the tests run on. ``eager``: tasks begin at once (3.12+). ``uvloop``: only tests that are
marked ``anyloop``, or that need no virtual time, run at all: there, in real time."""

_serial = itertools.count(1)


def now() -> float:
    """What the running loop's clock shows."""
    return asyncio.get_running_loop().time()


def some(n: int, name: str = "K") -> list[str]:
    """So many names."""
    return [f"{name}{number}" for number in range(n)]


def start(client: FundingClient, *keys: Any, **options: Any) -> list[asyncio.Task[Any]]:
    """A task for each call."""
    return [asyncio.ensure_future(client.get_non_tradable_assets(k, **options)) for k in keys]


def someone(user_id: str | None = None) -> Credentials:
    """Credentials of a user of one's own: buckets of other tests are other buckets."""
    number = next(_serial)
    return Credentials(
        f"key-of-nobody-{number:04d}",
        f"secret-{number}",
        f"passphrase-{number}",
        user_id=f"user-{number}" if user_id is None else user_id,
    )


@contextlib.asynccontextmanager
async def at_exchange(**options: Any) -> AsyncIterator[tuple[SimulatedExchange, FundingClient]]:
    """An exchange with a user of its own, and a client of this user."""
    mine = {
        name: options.pop(name)
        for name in ("rate_limits", "max_retries", "request_timeout", "policy", "session")
        if name in options
    }
    options.setdefault("users", [someone()])
    async with (
        SimulatedExchange(**options) as exchange,
        FundingClient(exchange.credentials, base_url=exchange.base_url, **mine) as client,
    ):
        yield exchange, client


def virtual_loop() -> asyncio.AbstractEventLoop:
    """A loop whose time jumps; with OKX_TEST_LOOP=eager its tasks begin at once."""
    loop: asyncio.AbstractEventLoop = looptime.new_event_loop()
    if LOOP == "eager" and sys.version_info >= (3, 12):
        loop.set_task_factory(asyncio.eager_task_factory)
    return loop


def virtually(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run in a loop whose time jumps; for tests that can't be async themselves."""
    with asyncio.Runner(loop_factory=virtual_loop) as runner:
        return runner.run(coroutine)


async def failure_of(awaitable: Awaitable[object], kind: type[T]) -> T:
    """The error of this kind that it raises."""
    try:
        await awaitable
    except BaseException as error:
        if isinstance(error, kind):
            return error
        raise
    raise AssertionError(f"no {kind.__name__} was raised")
