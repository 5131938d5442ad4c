"""Signing a request: its timestamp, its signature and the headers that hold them.

https://www.okx.com/docs-v5/en/#overview-rest-authentication
"""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from typing import TYPE_CHECKING, final

if TYPE_CHECKING:
    from .credentials import Credentials

_CONFIDENTIAL = frozenset({"OK-ACCESS-KEY", "OK-ACCESS-SIGN", "OK-ACCESS-PASSPHRASE"})


@final
class SignedHeaders(dict[str, str]):
    """The headers of one signed request; ``repr`` shows their names and the timestamp only."""

    __slots__ = ()

    def __repr__(self) -> str:
        shown = {
            name: "***" if name in _CONFIDENTIAL else str(value) for name, value in self.items()
        }
        return f"SignedHeaders({shown})"

    def copy(self) -> SignedHeaders:
        return SignedHeaders(self)


def keyed(secret_key: str) -> hmac.HMAC:
    """HMAC-SHA256 with its key and no message yet, to be copied for each request."""
    return hmac.new(secret_key.encode(), digestmod=hashlib.sha256)


_MILLISECONDS = tuple(f".{number:03d}Z" for number in range(1000))
# The second rendered last. A tuple is replaced as a whole, so that threads can't see half of it.
_rendered = (0, "1970-01-01T00:00:00")


def timestamp(now: float) -> str:
    """``now``, in seconds since the epoch, as OKX wants it: ``2020-12-08T09:08:57.715Z``."""
    global _rendered
    # Whole milliseconds first: rounding within a second would turn 57.9996 into 57.1000.
    second, millisecond = divmod(int(now * 1000 + 0.5), 1000)
    rendered, text = _rendered
    if rendered != second:
        text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        _rendered = (second, text)
    return text + _MILLISECONDS[millisecond]


def login(credentials: Credentials, now: float) -> str:
    """The message that logs in on the WebSocket; ``now`` is seconds since the epoch.

    https://www.okx.com/docs-v5/en/#overview-websocket-login
    """
    stamp = str(int(now))
    api_key, _, passphrase = credentials.reveal()
    argument = {
        "apiKey": api_key,
        "passphrase": passphrase,
        "timestamp": stamp,
        "sign": credentials.sign(stamp, "GET", "/users/self/verify"),
    }
    return json.dumps({"op": "login", "args": [argument]}, separators=(",", ":"))
