"""Bots in processes of their own."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Self

from okx_funding.simulator import SimulatedExchange
from tests.support import ASSETS

ROOT = Path(__file__).parent.parent.parent


def bot(exchange: SimulatedExchange, redis_url: str, **more: Any) -> dict[str, Any]:
    """What a bot is told to do: ask this exchange as its first user."""
    return {
        "key": exchange.credentials.reveal(),
        "user": exchange.user_ids[0],
        "base_url": exchange.base_url,
        "redis": redis_url,
        "currencies": exchange.currencies[:200],
        **more,
    }


class Process:
    """One process with some bots."""

    def __init__(self, bots: Iterable[dict[str, Any]], **orders: Any) -> None:
        self._orders = {"bots": list(bots), **orders}
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-W",
            "error",
            "-m",
            "tests.redis.bot",
            cwd=ROOT,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=2**20,
        )
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(self._orders).encode() + b"\n")
        return self

    def signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        os.kill(self._process.pid, number)

    async def stop(self) -> tuple[list[dict[str, Any]], str]:
        """What came of it, and what it wrote to standard error."""
        process = self._process
        assert process is not None
        out, error = await asyncio.wait_for(process.communicate(b"stop\n"), 20)
        assert process.returncode == 0, error.decode()
        return json.loads(out), error.decode()

    async def gone(self) -> None:
        """End it, however it fares."""
        process = self._process
        if process is not None and process.returncode is None:
            process.kill()
            await process.communicate()


class Processes:
    """Several, all ended when the block ends."""

    def __init__(self, *processes: Process) -> None:
        self.all = processes

    async def __aenter__(self) -> Self:
        for process in self.all:
            await process.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        for process in self.all:
            await process.gone()

    async def stop(self) -> list[list[dict[str, Any]]]:
        """The reports of each, none of which had anything to complain of."""
        told = await asyncio.gather(*(process.stop() for process in self.all))
        return [reports for reports, _ in told]


def utilisation(exchange: SimulatedExchange, since: float) -> float:
    """The share of the limit that was used from a moment of the exchange's clock on.

    Bursts of N don't blur it: the last N arrivals are compared with the first N.
    """
    limit = exchange.limit(ASSETS)
    times = [it.at for it in exchange.requests(ASSETS) if not it.refused and it.at >= since]
    more = len(times) - limit.count
    spans = [last - first for first, last in zip(times[: limit.count], times[more:], strict=True)]
    return more / (sum(spans) / limit.count) / (limit.count / limit.period)


async def until(true: Callable[[], bool], every: float = 0.0) -> None:
    """Look again and again; what is looked at tells nobody."""
    while not true():  # noqa: ASYNC110
        await asyncio.sleep(every)


async def first_arrival(exchange: SimulatedExchange) -> float:
    """When somebody began."""
    await until(lambda: bool(exchange.requests(ASSETS)), 0.02)
    return exchange.requests(ASSETS)[0].at
