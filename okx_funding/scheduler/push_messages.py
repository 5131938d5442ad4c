"""What is said on a push connection, and what its errors mean. Pure.

https://www.okx.com/docs-v5/en/#overview-websocket-connect
https://www.okx.com/docs-v5/en/#error-code-websocket
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NamedTuple

from okx_funding.errors import OKXError, ProtocolError, PushStoppedError

FINAL_CLOSES = frozenset({1009, 4001, 4002, 4003, 4007, 4008, 4009})
"""Close codes after which coming back can't help. OKX lists them with its WebSocket errors."""
FINAL_CODES = frozenset(
    "60005 60007 60008 60009 60011 60012 60013 60018 60024 60028 60031 60032 64001 64002".split()
)
"""Error codes after which the same request can't succeed."""
CLOCK_CODES = frozenset({"60004", "60006"})
"""The login's timestamp was refused: OKX's clock has to be learned."""
TOO_FREQUENT = "60014"
SERVICE_UPGRADE = "64008"
PONG: dict[str, Any] = {"event": "pong"}
"""What the text frame ``pong`` is read as."""


class Pushed(NamedTuple):
    """Rows of one push, as OKX sent them: the JSON text of a list."""

    rows: bytes
    uid: str = ""
    """The User ID of the key that listens, as OKX writes it beside the channel."""


class Up(NamedTuple):
    """The connection is new: what happened before it must be read from the history."""

    number: int
    lost_at: float
    """When the one before was heard last, by the loop's clock; at first, when it was asked for."""


class RefusedError(ProtocolError):
    """OKX refused a login or a subscription for a reason that may pass."""

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code


def subscription(channel: str) -> str:
    """The message that subscribes to a channel, for all currencies."""
    return json.dumps({"op": "subscribe", "args": [{"channel": channel}]}, separators=(",", ":"))


def parse(frame: str) -> dict[str, Any]:
    """Read a text frame; ProtocolError where it is no JSON object."""
    if frame in ("pong", ""):
        return PONG
    try:
        message = json.loads(frame)
    except (ValueError, RecursionError):
        raise ProtocolError("the WebSocket sent what isn't JSON") from None
    if not isinstance(message, dict):
        raise ProtocolError("the WebSocket sent what isn't an object")
    return message


def channel_of(message: dict[str, Any]) -> str:
    """The channel that a message is of; empty where it is of none."""
    arg = message.get("arg")
    return str(arg.get("channel", "")) if isinstance(arg, dict) else ""


def pushed(message: dict[str, Any]) -> Pushed | None:
    """The rows of a push; None for any other message."""
    rows, arg = message.get("data"), message.get("arg")
    if not isinstance(rows, list) or not isinstance(arg, dict):
        return None
    text = json.dumps(rows, separators=(",", ":"), ensure_ascii=False)
    return Pushed(text.encode(), str(arg.get("uid", "")))


def refused(message: dict[str, Any], redact: Callable[[str], str]) -> OKXError:
    """The error for an ``error`` event: PushStoppedError where coming back can't help."""
    code, text = str(message.get("code", "")), redact(str(message.get("msg", ""))[:200])
    said = f"the WebSocket refused with {code}: {text}"
    if code in FINAL_CODES:
        return PushStoppedError(f"{said}; look at key, passphrase and region", code=code)
    return RefusedError(said, code)


def ended(code: int, reason: str, redact: Callable[[str], str]) -> OKXError:
    """The error for a close code: PushStoppedError where coming back can't help."""
    said = f"the WebSocket was closed with {code} {redact(reason[:120])}".rstrip()
    return PushStoppedError(said, code=str(code)) if code in FINAL_CLOSES else ProtocolError(said)
