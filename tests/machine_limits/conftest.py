"""Processes that share a folder, and an exchange that counts a strict sliding window."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from okx_funding.simulator import SimulatedExchange
from tests.support import ASSETS

ROOT = Path(__file__).parent.parent.parent
HERE = Path(__file__).parent


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "slow: takes some seconds of real time")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if os.name != "posix":
        for item in items:
            if HERE in item.path.parents:
                item.add_marker(pytest.mark.skip(reason="Linux and macOS only"))


class Process:
    """One bot in a process of its own."""

    def __init__(self, orders: dict[str, Any]) -> None:
        self.orders = orders
        self._it: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        pipe = asyncio.subprocess.PIPE
        command = (sys.executable, "-W", "error", "-m", "tests.machine_limits.bot")
        self._it = await asyncio.create_subprocess_exec(
            *command, cwd=ROOT, stdin=pipe, stdout=pipe, stderr=pipe
        )
        assert self._it.stdin is not None
        self._it.stdin.write(json.dumps(self.orders).encode() + b"\n")

    def signal(self, number: signal.Signals) -> None:
        assert self._it is not None
        self._it.send_signal(number)

    async def stop(self) -> dict[str, Any]:
        """What came of it."""
        assert self._it is not None
        out, error = await asyncio.wait_for(self._it.communicate(b"stop\n"), 20)
        assert self._it.returncode == 0, error.decode()
        report: dict[str, Any] = json.loads(out)
        return report

    async def ended(self) -> None:
        """Wait until it ended by itself."""
        assert self._it is not None
        await asyncio.wait_for(self._it.communicate(), 20)

    async def end(self) -> None:
        if self._it is not None and self._it.returncode is None:
            self._it.kill()
            await self._it.communicate()


class Machine:
    """An exchange, a folder, and processes that ask as its first user."""

    def __init__(self, exchange: SimulatedExchange, path: str) -> None:
        self.exchange = exchange
        self.path = path
        self.all: list[Process] = []

    async def start(self, count: int = 1, **orders: Any) -> list[Process]:
        """So many more."""
        exchange = self.exchange
        work = {
            "path": self.path,
            "key": exchange.credentials.reveal(),
            "user": exchange.user_ids[0],
            "base_url": exchange.base_url,
            "currencies": exchange.currencies[:400],
            **orders,
        }
        more = [Process(work) for _ in range(count)]
        self.all += more
        for process in more:
            await process.start()
        return more

    @property
    def arrivals(self) -> list[float]:
        """When each request came, refused ones too."""
        return [it.at for it in self.exchange.requests(ASSETS)]

    async def came(self, count: int) -> None:
        """Wait until so many requests came; the test's own time limit bounds it."""
        while len(self.arrivals) < count:  # noqa: ASYNC110 -- the log rings no bell
            await asyncio.sleep(0.01)

    @property
    def file(self) -> str:
        (name,) = (name for name in os.listdir(self.path) if name.endswith(".limit"))
        return os.path.join(self.path, name)

    def silence(self, since: float) -> float:
        """The longest time without a request after a moment."""
        times = [since, *(at for at in self.arrivals if at >= since)]
        return max(late - early for early, late in itertools.pairwise(times))


@pytest.fixture
def folder() -> Iterator[str]:
    """A folder in shared memory, where there is some."""
    place = tempfile.mkdtemp(dir="/dev/shm" if os.path.isdir("/dev/shm") else None)
    yield os.path.join(place, "limits")
    shutil.rmtree(place)


@pytest.fixture
async def machine(folder: str) -> AsyncIterator[Machine]:
    async with SimulatedExchange(latency=0.01) as exchange:
        it = Machine(exchange, folder)
        yield it
        for process in it.all:
            await process.end()
