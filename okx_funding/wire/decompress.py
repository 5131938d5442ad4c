"""Compressed answers, unpacked up to a bound: 300 kB of gzip may hold 300 MB."""

from __future__ import annotations

import zlib
from typing import Any

from okx_funding.errors import ProtocolError


class Unpacker:
    """Decompresses a body part by part, never further than asked, and knows whether it is whole."""

    def __init__(self, encoding: str) -> None:
        self._stream: Any = None if encoding == "deflate" else zlib.decompressobj(31)

    def feed(self, data: bytes, most: int) -> bytes:
        """At most ``most`` bytes of what ``data`` holds. Raises zlib.error for what is broken."""
        if self._stream is None:  # "deflate" is zlib's format, but for those who took it literally
            self._stream = zlib.decompressobj(15 if data[0] & 15 == 8 else -15)
        return bytes(self._stream.decompress(data, most))

    @property
    def whole(self) -> bool:
        """Whether the compressed stream came to its end, and nothing after it."""
        return self._stream is None or (self._stream.eof and not self._stream.unused_data)


def unpacker_of(encoding: str, label: str) -> Unpacker | None:
    """For a Content-Encoding; None where nothing is compressed."""
    encoding = encoding.strip().lower()
    if encoding in ("", "identity"):
        return None
    if encoding not in ("gzip", "x-gzip", "deflate"):
        raise ProtocolError(f"{label}: the answer is compressed in a way that wasn't asked for")
    return Unpacker(encoding)
