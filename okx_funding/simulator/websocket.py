"""One WebSocket connection: reads and writes frames, and can be frozen, dropped or closed."""

from __future__ import annotations

import asyncio
import struct
from typing import Any, Protocol, cast

from .frames import CLOSE, PING, PONG, TEXT, FrameError, Reader, close_payload, encode

MOST = 65_536
"""Bytes that a message may have: https://www.okx.com/docs-v5/en/#overview-websocket-subscribe"""


class Service(Protocol):
    """What answers the messages of a connection."""

    def opened(self, socket: WebSocket) -> None: ...
    def received(self, socket: WebSocket, text: str) -> None: ...
    def lost(self, socket: WebSocket) -> None: ...


class WebSocket(asyncio.Protocol):
    """The server's side of a connection.

    ``peer`` is the client's address. ``data`` is the service's own. ``close_code`` is what the
    connection ended with: ours, else the client's, else 1006.
    """

    def __init__(self, service: Service, peer: str) -> None:
        self.peer = peer
        self.data: Any = None
        self.frozen: bool = False
        self.close_code: int | None = None
        self._service = service
        self._reader = Reader(MOST)
        self._transport: asyncio.Transport | None = None
        self._closing = False
        self._lost = asyncio.Event()

    # --- what asyncio calls ---------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._service.opened(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self._transport = None
        self.close_code = self.close_code or 1006
        self._lost.set()
        self._service.lost(self)

    def data_received(self, data: bytes) -> None:
        try:
            for frame in self._reader.feed(data):
                if not (self.frozen or self._closing):
                    self._handle(frame.opcode, frame.payload)
        except FrameError as error:
            self.close(error.code, error.reason)

    # --- what the service calls -----------------------------------------------------------------

    @property
    def closed(self) -> bool:
        """Whether nothing may be sent any more."""
        return self._closing or self._transport is None or self._transport.is_closing()

    def send(self, text: str) -> None:
        """Send a text message."""
        self._write(TEXT, text.encode())

    def close(self, code: int, reason: str = "") -> None:
        """Send a close frame and end the connection after it."""
        if self.closed:
            return
        self._write(CLOSE, close_payload(code, reason))
        self._closing = True
        self.close_code = code
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """End the connection without a word: the client sees 1006."""
        self._closing = True
        if self._transport is not None:
            self._transport.abort()

    async def ended(self) -> None:
        """Wait until the connection is gone."""
        await self._lost.wait()

    def _handle(self, opcode: int, payload: bytes) -> None:
        if opcode == TEXT:
            try:
                text = payload.decode()
            except UnicodeDecodeError:
                self.close(1007, "no UTF-8")
                return
            self._service.received(self, text)
        elif opcode == PING:
            self._write(PONG, payload)
        elif opcode == CLOSE:
            code = struct.unpack("!H", payload[:2])[0] if len(payload) >= 2 else 1000
            self.close(code)
        elif opcode != PONG:
            self.close(1003, "text only")

    def _write(self, opcode: int, payload: bytes) -> None:
        if not self.closed and not self.frozen:
            assert self._transport is not None
            self._transport.write(encode(opcode, payload))
