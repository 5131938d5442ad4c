"""HTTP/1.1 read and written by hand, one request of a connection at a time.

By hand, because the exchange has to misbehave in ways that a web framework forbids, has to see the
request target to the byte, and shares two cores with the client that is measured against it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
from collections.abc import Callable, Coroutine
from typing import Any, cast

from .answers import Answer, error
from .auth import Request

_MAX_HEAD = 65_536
_MAX_BODY = 1_048_576
_RST_ON_CLOSE = struct.pack("ii", 1, 0)
_HEADS: dict[tuple[int, str, int], bytes] = {}


class Connection(asyncio.Protocol):
    """One connection: hands each request to ``serve``, which has it answered sooner or later.

    ``serve(request, connection)`` must not block. It ends in exactly one of ``respond``, ``run``,
    ``close`` and ``reset``.
    """

    def __init__(
        self, serve: Callable[[Request, Connection], None], connections: set[Connection]
    ) -> None:
        self._serve = serve
        self._connections = connections
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._busy = False
        self._looping = False
        self._keep_alive = True
        self._task: asyncio.Task[None] | None = None
        self._drained = asyncio.Event()
        self._drained.set()
        self._lost = asyncio.Event()
        self._peer = ""

    # --- what asyncio calls -----------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        peer = transport.get_extra_info("peername")
        self._peer = str(peer[0]) if peer else ""
        self._connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self._transport = None
        self._drained.set()
        self._lost.set()
        self._connections.discard(self)
        if self._task is not None:
            self._task.cancel()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._busy:
            self._next()
        elif len(self._buffer) > _MAX_HEAD + _MAX_BODY:
            self.close()

    def pause_writing(self) -> None:
        self._drained.clear()

    def resume_writing(self) -> None:
        self._drained.set()

    # --- what answers are delivered with ------------------------------------------------------

    @property
    def closed(self) -> bool:
        """Whether nobody listens any more."""
        return self._transport is None or self._transport.is_closing()

    def respond(self, answer: Answer) -> None:
        """Send the whole answer, then read on."""
        if self._keep_alive and not answer.headers:
            shape = (answer.status, answer.content_type, len(answer.body))
            head = _HEADS.get(shape)
            if head is None:
                if len(_HEADS) > 4096:
                    _HEADS.clear()
                head = _HEADS[shape] = answer.head()
        else:
            head = answer.head(close=not self._keep_alive)
        self.write(head + answer.body)
        self.finish()

    def write(self, data: bytes) -> None:
        """Send bytes as they are."""
        if not self.closed:
            assert self._transport is not None
            self._transport.write(data)

    async def drain(self) -> None:
        """Wait until the other side has taken what was written, or is gone."""
        await self._drained.wait()

    def finish(self) -> None:
        """The answer is complete: read on, or close where the client asked for that."""
        self._busy = False
        if not self._keep_alive:
            self.close()
        elif not self._looping:
            self._next()

    def close(self) -> None:
        """Close after what was written has left."""
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Close now, without a word."""
        if self._transport is not None:
            self._transport.abort()

    def reset(self) -> None:
        """Close with RST instead of FIN, so that the client sees a connection reset."""
        if self.closed:
            return
        assert self._transport is not None
        _reset_on_close(self._transport.get_extra_info("socket"))
        self._transport.abort()

    def upgrade(self, protocol: asyncio.Protocol, head: bytes) -> None:
        """Answer with this head, and hand the connection over to another protocol."""
        transport, self._transport = self._transport, None
        self._connections.discard(self)
        self._lost.set()
        if transport is None:
            return
        transport.write(head)
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        if self._buffer:
            protocol.data_received(bytes(self._buffer))

    def run(self, delivery: Coroutine[Any, Any, None]) -> None:
        """Deliver an answer in a task that ends with the connection at the latest."""
        self._task = asyncio.get_running_loop().create_task(delivery)
        if self._transport is None:
            self._task.cancel()

    async def ended(self) -> None:
        """Wait until the connection is gone, and the task that answered on it."""
        await self._lost.wait()
        if self._task is not None:
            await asyncio.wait([self._task])

    # --- reading ------------------------------------------------------------------------------

    def _next(self) -> None:
        self._looping = True
        try:
            while not (self._busy or self.closed):
                request = self._read()
                if request is None:
                    return
                self._busy = True
                self._serve(request, self)
        finally:
            self._looping = False

    def _read(self) -> Request | None:
        """The next whole request of the buffer; None while it isn't all there."""
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(self._buffer) > _MAX_HEAD:
                self._refuse(431)
            return None
        line, *fields = self._buffer[:end].decode("latin-1").split("\r\n")
        words = line.split(" ")
        if len(words) != 3 or not words[2].startswith("HTTP/1."):
            self._refuse(400)
            return None
        headers: dict[str, str] = {}
        for text in fields:
            name, _, value = text.partition(":")
            headers[name.lower()] = value.strip(" \t")
        length = headers.get("content-length", "0")
        if "transfer-encoding" in headers or not (length.isascii() and length.isdigit()):
            self._refuse(411)
            return None
        size = int(length)
        if size > _MAX_BODY:
            self._refuse(413)
            return None
        start = end + 4
        if len(self._buffer) < start + size:
            if headers.pop("expect", "").lower() == "100-continue" and len(self._buffer) == start:
                self.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            return None
        body = bytes(self._buffer[start : start + size])
        del self._buffer[: start + size]
        wanted = headers.get("connection", "").lower()
        self._keep_alive = wanted != "close" and (words[2] != "HTTP/1.0" or wanted == "keep-alive")
        return Request(words[0], words[1], headers, body, self._peer)

    def _refuse(self, status: int) -> None:
        self._keep_alive = False
        self.respond(error("50002", status=status, msg="This isn't a request."))


def _reset_on_close(sock: Any) -> None:
    if sock is None:
        return
    # uvloop's socket can't set options; the option belongs to what both descriptors describe.
    with contextlib.suppress(OSError), socket.socket(fileno=os.dup(sock.fileno())) as copy:
        copy.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RST_ON_CLOSE)
