"""What tests of watches need: a wall clock that follows the loop's, and a consumer."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Any

from okx_funding import FundingClient
from okx_funding.simulator import SimulatedExchange, make_judge
from tests.support import someone

EPOCH = 1_790_000_000.0


def unlimited(_count: int, period: float) -> Any:
    """A judge that admits whatever these tests may send."""
    return make_judge("sliding", 1_000_000, period)


def follow_loop(monkeypatch: Any, ahead: float = 0.0) -> None:
    """Let the wall clock follow the running loop's virtual time."""
    loop = asyncio.get_running_loop()
    start = loop.time()
    monkeypatch.setattr(time, "time", lambda: EPOCH + ahead + loop.time() - start)


def wall() -> float:
    """The wall clock as it is patched at the moment."""
    return time.time()


@contextlib.asynccontextmanager
async def watched(**options: Any):
    """An exchange without deposits so far, and a client of its only user."""
    mine = {
        name: options.pop(name)
        for name in ("observer", "session", "rate_limits", "max_retries")
        if name in options
    }
    options.setdefault("users", [someone()])
    options.setdefault("clock", wall)
    async with (
        SimulatedExchange(**options) as exchange,
        FundingClient(exchange.credentials, base_url=exchange.base_url, **mine) as client,
    ):
        yield exchange, client


class Consumer:
    """Takes the events of a watch in a task of its own."""

    def __init__(self, watch: Any) -> None:
        self.events: list[Any] = []
        self.watch = watch
        self.error: BaseException | None = None
        self.task = asyncio.ensure_future(self._take())

    async def _take(self) -> None:
        try:
            async for event in self.watch:
                self.events.append(event)
        except Exception as error:
            self.error = error

    @property
    def states(self) -> list[str]:
        return [event.state for event in self.events]

    async def stop(self) -> None:
        self.task.cancel()
        await asyncio.wait([self.task])
        await self.watch.aclose()


async def connected(exchange: SimulatedExchange, channels: int = 1) -> None:
    """Wait until a client has logged in and subscribed."""
    async with asyncio.timeout(120):
        while sum(len(peer.subscribed) for peer in exchange.websockets.peers) < channels:  # noqa: ASYNC110 - virtual time
            await asyncio.sleep(0.05)
    await asyncio.sleep(0.5)
