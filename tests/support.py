"""What several tests need: users nobody else has, expected rows, servers that follow a script."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import socket
import struct
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import looptime

from okx_funding import Credentials, FundingClient
from okx_funding.api import NonTradableAsset
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
        for name in ("rate_limits", "max_retries", "request_timeout", "max_queue", "session")
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


def sample(name: str) -> Any:
    return json.loads((Path(__file__).parent / "samples" / f"{name}.json").read_text())


def asset(row: dict[str, Any]) -> NonTradableAsset:
    """The public struct of a wire row, by another way than the client's."""

    def amount(name: str) -> Decimal | None:
        return Decimal(row[name]) if row[name] else None

    return NonTradableAsset(
        ccy=row["ccy"],
        name=row["name"],
        logo_link=row["logoLink"],
        bal=Decimal(row["bal"]),
        can_wd=row["canWd"],
        chain=row["chain"],
        min_wd=amount("minWd"),
        wd_all=row["wdAll"],
        fee=amount("fee"),
        fee_ccy=row["feeCcy"],
        burning_fee_rate=amount("burningFeeRate"),
        ct_addr=row["ctAddr"],
        wd_tick_sz=int(row["wdTickSz"]) if row["wdTickSz"] else None,
        need_tag=row["needTag"],
    )


def assets(rows: Iterable[dict[str, Any]], *ccys: str) -> list[NonTradableAsset]:
    """The rows of these currencies, in this order; all of them without any."""
    rows = list(rows)
    if not ccys:
        return [asset(row) for row in rows]
    return [asset(row) for ccy in ccys for row in rows if row["ccy"] == ccy.upper()]


def row(ccy: str = "CELT", **changes: Any) -> dict[str, Any]:
    """A wire row like the documented one."""
    documented: dict[str, Any] = sample("get-asset-non-tradable-assets")["responses"][0]["body"][
        "data"
    ][0]
    return {**documented, "ccy": ccy, **changes}


def envelope(*rows: dict[str, Any], **extra: Any) -> bytes:
    return json.dumps({"code": "0", "data": rows, "msg": "", **extra}).encode()


# -- servers that follow a script -------------------------------------------------------------


@dataclass
class Heard:
    """One request as it arrived, to the byte."""

    at: float
    connection: int
    raw: bytes
    target: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    def __post_init__(self) -> None:
        queue, *fields = self.raw.decode("latin-1").split("\r\n")
        self.target = queue.split(" ")[1]
        self.headers = {
            name.lower(): value for name, value in (text.split(": ", 1) for text in fields if text)
        }


class Wire:
    """The server's end of one connection."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer

    def write(self, data: bytes) -> None:
        self._writer.write(data)

    async def drain(self) -> None:
        with contextlib.suppress(ConnectionError):
            await self._writer.drain()

    @property
    def closed(self) -> bool:
        return self._writer.is_closing()

    def close(self) -> None:
        self._writer.close()

    def reset(self) -> None:
        sock = self._writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()


Script = Callable[[Wire], Awaitable[None]]


def http(
    body: bytes, status: int = 200, headers: Iterable[str] = (), length: int | None = -1
) -> bytes:
    """An answer as bytes. ``length`` is what Content-Length claims; None leaves it out."""
    claim = len(body) if length == -1 else length
    lines = [f"HTTP/1.1 {status} Whatever", "Content-Type: application/json", *headers]
    if claim is not None:
        lines.append(f"Content-Length: {claim}")
    return "\r\n".join([*lines, "", ""]).encode() + body


def answers(body: bytes = b"", status: int = 200, **options: Any) -> Script:
    return says(http(body, status, **options))


def says(data: bytes, *, then_close: bool = False) -> Script:
    """Write these very bytes."""

    async def script(wire: Wire) -> None:
        wire.write(data)
        if then_close:
            await wire.drain()
            wire.close()

    return script


async def resets(wire: Wire) -> None:
    wire.reset()


async def closes(wire: Wire) -> None:
    wire.close()


async def hangs(_wire: Wire) -> None:
    await asyncio.Event().wait()


class Scripted:
    """``async with Scripted(first, second)``: the n-th request gets the n-th script.

    The last script goes for all that come later. ``heard`` holds what arrived.
    """

    def __init__(self, *scripts: Script) -> None:
        self._scripts = list(scripts)
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self.connections = 0
        self.heard: list[Heard] = []
        self.base_url = ""

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.base_url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        await self._server.wait_closed()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.create_task(self._serve(reader, writer, self.connections))
        self._tasks.add(task)

    async def _serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int
    ) -> None:
        wire = Wire(writer)
        try:
            while not wire.closed:
                raw = await reader.readuntil(b"\r\n\r\n")
                now = asyncio.get_running_loop().time()
                self.heard.append(Heard(now, number, raw[:-4]))
                script = self._scripts[min(len(self.heard), len(self._scripts)) - 1]
                await script(wire)
                await wire.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


@contextlib.asynccontextmanager
async def at_script(
    *scripts: Script, **options: Any
) -> AsyncIterator[tuple[Scripted, FundingClient]]:
    """A scripted server and a client that asks it."""
    async with (
        Scripted(*scripts) as server,
        FundingClient(someone(), base_url=server.base_url, **options) as client,
    ):
        yield server, client


async def failure_of(awaitable: Awaitable[object], kind: type[T]) -> T:
    """The error of this kind that it raises."""
    try:
        await awaitable
    except BaseException as error:
        if isinstance(error, kind):
            return error
        raise
    raise AssertionError(f"no {kind.__name__} was raised")
