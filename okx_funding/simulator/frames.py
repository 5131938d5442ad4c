"""WebSocket frames as a server reads and writes them. Pure. https://www.rfc-editor.org/rfc/rfc6455"""

from __future__ import annotations

import base64
import hashlib
import struct
from collections.abc import Iterator
from typing import NamedTuple

TEXT, BINARY, CLOSE, PING, PONG = 0x1, 0x2, 0x8, 0x9, 0xA
_CONTINUATION = 0x0
_FINAL, _MASKED, _RESERVED = 0x80, 0x80, 0x70
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_SMALL = 126


class FrameError(Exception):
    """What came breaks the protocol; ``code`` is what the connection is closed with."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class Frame(NamedTuple):
    """A whole message, or a control frame."""

    opcode: int
    payload: bytes


def accept_key(key: str) -> str:
    """The value of Sec-WebSocket-Accept."""
    digest = hashlib.sha1(key.encode("latin-1") + _GUID, usedforsecurity=False).digest()
    return base64.b64encode(digest).decode()


def encode(opcode: int, payload: bytes) -> bytes:
    """One final frame, unmasked, as a server sends it."""
    first = _FINAL | opcode
    if len(payload) < _SMALL:
        head = struct.pack("!BB", first, len(payload))
    elif len(payload) < 65_536:
        head = struct.pack("!BBH", first, _SMALL, len(payload))
    else:
        head = struct.pack("!BBQ", first, _SMALL + 1, len(payload))
    return head + payload


def close_payload(code: int, reason: str) -> bytes:
    """What a close frame carries."""
    return struct.pack("!H", code) + reason.encode()[:123]


class Reader:
    """Makes messages of bytes. ``most`` is the size that a message may have."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._buffer = bytearray()
        self._opcode: int | None = None
        self._parts = bytearray()

    def feed(self, data: bytes) -> Iterator[Frame]:
        """The messages that are complete with these bytes. Raises FrameError."""
        self._buffer += data
        while (raw := self._next()) is not None:
            final, opcode, payload = raw
            if opcode >= CLOSE:
                if not final or len(payload) >= _SMALL:
                    raise FrameError(1002, "a control frame is short and whole")
                yield Frame(opcode, payload)
                continue
            if (opcode == _CONTINUATION) == (self._opcode is None):
                raise FrameError(1002, "a message begins once and is continued then")
            if self._opcode is None:
                self._opcode = opcode
            self._parts += payload
            if len(self._parts) > self._most:
                raise FrameError(1009, "Request message exceeds the maximum frame length")
            if final:
                message = Frame(self._opcode, bytes(self._parts))
                self._opcode = None
                self._parts.clear()
                yield message

    def _next(self) -> tuple[bool, int, bytes] | None:
        buffer = self._buffer
        if len(buffer) < 2:
            return None
        first, second = buffer[0], buffer[1]
        if first & _RESERVED or not second & _MASKED:
            raise FrameError(1002, "a client masks its frames and uses no extension")
        size, start = second & 0x7F, 2
        if size >= _SMALL:
            width = 2 if size == _SMALL else 8
            if len(buffer) < 2 + width:
                return None
            size = int.from_bytes(buffer[2 : 2 + width])
            start += width
        if size > self._most:
            raise FrameError(1009, "Request message exceeds the maximum frame length")
        end = start + 4 + size
        if len(buffer) < end:
            return None
        mask = bytes(buffer[start : start + 4])
        masked = int.from_bytes(buffer[start + 4 : end])
        pad = int.from_bytes((mask * (size // 4 + 1))[:size])
        payload = (masked ^ pad).to_bytes(size)
        del buffer[:end]
        return bool(first & _FINAL), first & 0x0F, payload
