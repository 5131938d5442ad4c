"""Servers on loopback that follow a script, to the byte."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from okx_funding import FundingClient

from .clients import someone


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
