"""A server that does exactly what its script says, connection by connection, byte by byte."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from types import TracebackType
from typing import Any, Self, TypeVar

from okx_funding import FundingClient, OKXError, RateLimit
from okx_funding.api.account import ServerTime
from okx_funding.api.spec import Endpoint
from tests.support import Heard, envelope, failure_of, http, row, someone

E = TypeVar("E", bound=OKXError)

BODY = envelope(row("CELT"))
FINE = http(BODY)
"""What OKX would say."""

TRANSFER = Endpoint(
    name="transfer",
    method="POST",
    path="/api/v5/asset/transfer",
    limits=(RateLimit(6),),
    row=ServerTime,
    docs="",
    permission="trade",
    shared=False,
    repeatable=False,
)
"""An endpoint that must not be asked twice blindly; it stands in for those that move money."""

TRANSFERRED = http(envelope({"ts": "1"}))


class Peer:
    """The server's end of one connection."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, server: FaultServer
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._server = server
        self._number = server.connections

    async def hear(self) -> Heard:
        """The next request."""
        raw = await self._reader.readuntil(b"\r\n\r\n")
        heard = Heard(asyncio.get_running_loop().time(), self._number, raw[:-4])
        heard.body = await self._reader.readexactly(int(heard.headers.get("content-length", 0)))
        self._server.heard.append(heard)
        return heard

    def say(self, data: bytes) -> None:
        """These very bytes."""
        self._writer.write(data)

    async def pour(self, data: bytes) -> None:
        """These very bytes, as fast as they are taken."""
        for start in range(0, len(data), 2**16):
            self._writer.write(data[start : start + 2**16])
            await self._writer.drain()

    async def drip(self, data: bytes, pause: float = 0.1) -> None:
        """A byte at a time."""
        for position in range(len(data)):
            self._writer.write(data[position : position + 1])
            await asyncio.sleep(pause)

    def close(self) -> None:
        """FIN, after what was written."""
        self._writer.close()

    async def reset(self) -> None:
        """RST, after what was written has been taken."""
        await asyncio.sleep(0.001)
        sock = self._writer.get_extra_info("socket")
        # uvloop's socket can't set options; the option belongs to what both descriptors describe.
        with contextlib.suppress(OSError), socket.socket(fileno=os.dup(sock.fileno())) as copy:
            copy.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()

    async def gone(self) -> None:
        """Wait until the other side closes."""
        with contextlib.suppress(ConnectionError):
            while await self._reader.read(2**16):
                pass


Script = Callable[[Peer], Awaitable[None]]


class FaultServer:
    """``async with FaultServer(first, second)``: the n-th connection gets the n-th script.

    The last script goes for all that come later. ``heard`` holds every request, to the byte.
    """

    def __init__(self, *scripts: Script, tls: ssl.SSLContext | None = None) -> None:
        self._scripts = scripts
        self._tls = tls
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self.port = 0
        self.connections = 0
        self.heard: list[Heard] = []

    @property
    def base_url(self) -> str:
        return f"http{'s' * bool(self._tls)}://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen; a second time, on the same port."""
        self._server = await asyncio.start_server(
            self._accept, "127.0.0.1", self.port, ssl=self._tls
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Be gone, with all connections."""
        assert self._server is not None
        self._server.close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        await self._server.wait_closed()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        script = self._scripts[min(self.connections, len(self._scripts)) - 1]
        task = asyncio.get_running_loop().create_task(
            self._perform(script, Peer(reader, writer, self), writer)
        )
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    @staticmethod
    async def _perform(script: Script, peer: Peer, writer: asyncio.StreamWriter) -> None:
        try:
            await script(peer)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


# -- scripts ----------------------------------------------------------------------------------


async def fine(peer: Peer) -> None:
    """Answers every request."""
    while True:
        await peer.hear()
        peer.say(FINE)


def always(data: bytes) -> Script:
    """Answers every request with these bytes."""

    async def script(peer: Peer) -> None:
        while True:
            await peer.hear()
            peer.say(data)

    return script


def once(data: bytes) -> Script:
    """Answers one request with these bytes, and closes."""

    async def script(peer: Peer) -> None:
        await peer.hear()
        peer.say(data)

    return script


async def mute(peer: Peer) -> None:
    """Hears a request and never says anything."""
    await peer.hear()
    await peer.gone()


async def closes(peer: Peer) -> None:
    """Closes instead of answering."""
    await peer.hear()


async def resets(peer: Peer) -> None:
    """Resets instead of answering."""
    await peer.hear()
    await peer.reset()


# -- who asks ---------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def facing(
    *scripts: Script, **options: Any
) -> AsyncIterator[tuple[FaultServer, FundingClient]]:
    """A server of faults, and a client of a user that nobody else is."""
    async with (
        FaultServer(*scripts) as server,
        FundingClient(someone(), base_url=server.base_url, **options) as client,
    ):
        yield server, client


async def works(client: FundingClient) -> None:
    """One call is answered rightly."""
    assert [each.ccy for each in await client.get_non_tradable_assets("CELT")] == ["CELT"]


async def fails(client: FundingClient, kind: type[E]) -> E:
    """The error of one call, of just this kind, with nothing of aiohttp's behind it."""
    error = await failure_of(client.get_non_tradable_assets("CELT"), OKXError)
    assert type(error) is kind, repr(error)
    assert error.__cause__ is None
    assert error.__context__ is None
    assert str(error).isprintable()
    return error


def transfer(client: FundingClient) -> Awaitable[list[Any]]:
    """Ask what must not be asked twice."""
    return client._calls.ask(TRANSFER, {"ccy": "BTC", "amt": "1"})


def sockets() -> int:
    """How many file descriptors of this process are sockets."""
    count = 0
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            count += os.readlink(f"/proc/self/fd/{name}").startswith("socket:")
    return count


async def nothing_is_held(client: FundingClient) -> None:
    """No slot, no caller, no connection of the pool is out any more."""
    for _ in range(3):
        await asyncio.sleep(0)
    for lane in client._calls.lanes.values():
        assert lane.batcher.callers == 0, lane
        assert "0 in flight" in repr(lane.queue.bucket)
        assert not lane.dispatcher.in_flight, lane
    session = client._calls.session
    pool = session._transport._http if session is not None else None
    if pool is not None and pool.connector is not None:
        assert not pool.connector._acquired
        assert not pool.connector._waiters
