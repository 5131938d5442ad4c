"""Compressed answers, decompressed up to a bound: 300 kB of gzip may hold 300 MB."""

from __future__ import annotations

import zlib
from typing import Any

from okx_funding.errors import ProtocolError

_MOST_MEMBERS = 64


class Decompressor:
    """Decompresses a body part by part, never further than asked, and knows whether it is whole.

    gzip may have several members one after another (RFC 1952, 2.2), and zeros after the last.
    """

    def __init__(self, encoding: str) -> None:
        self._gzip = encoding != "deflate"
        self._stream: Any = None
        """What is being decompressed; None before the first byte and between two members."""
        self._ended = False
        self._garbage = False
        self._members = 0

    def feed(self, data: bytes, most: int) -> bytes:
        """At most ``most`` bytes of what ``data`` holds. Raises zlib.error for what is broken."""
        parts = []
        while most > 0:
            if self._stream is None:
                if self._ended:
                    data = data.lstrip(b"\0") if self._gzip else data
                    self._garbage = bool(data) and not self._gzip
                if not data or self._garbage:
                    break
                self._stream, self._ended = self._opened(data), False
            part = self._stream.decompress(data, most)
            parts.append(part)
            most -= len(part)
            if not self._stream.eof:
                break
            data, self._stream, self._ended = self._stream.unused_data, None, True
        return b"".join(parts)

    def _opened(self, data: bytes) -> Any:
        self._members += 1
        if self._members > _MOST_MEMBERS:
            raise zlib.error("too many members")
        if self._gzip:
            return zlib.decompressobj(31)
        # "deflate" is zlib's format, but for those who took it literally.
        return zlib.decompressobj(15 if data[0] & 15 == 8 else -15)

    @property
    def whole(self) -> bool:
        """Whether the compressed stream came to its end, and nothing after it."""
        return self._ended and not self._garbage


def decompressor_of(encoding: str, label: str) -> Decompressor | None:
    """For a Content-Encoding; None where nothing is compressed."""
    encoding = encoding.strip().lower()
    if encoding in ("", "identity"):
        return None
    if encoding not in ("gzip", "x-gzip", "deflate"):
        raise ProtocolError(f"{label}: the answer is compressed in a way that wasn't asked for")
    return Decompressor(encoding)
