"""Authentication: is a request from whom it says, and from now? Pure; from OKX's page alone.

https://www.okx.com/docs-v5/en/#overview-rest-authentication
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from . import answers
from .answers import Answer

MAX_SKEW = 30.0
"""Seconds by which a timestamp may differ from the exchange's clock, either way."""

_TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z", re.ASCII)


@dataclass(slots=True, eq=False)
class Key:
    """An API key as the exchange knows it. Settings may be changed at any time.

    ``permissions`` are of "read", "trade", "withdraw". ``ips`` are the addresses it is bound to,
    None for any. ``demo`` is the environment it belongs to. ``created`` is in milliseconds.
    """

    api_key: str
    user_id: str
    secret_key: bytes = field(repr=False)
    passphrase: str = field(repr=False)
    permissions: set[str] = field(default_factory=lambda: {"read", "trade", "withdraw"})
    ips: set[str] | None = None
    demo: bool = False
    label: str = "simulated"
    created: int = 0

    def has_parts(self, secret_key: str, passphrase: str, user_id: str) -> bool:
        """Whether the key is made of these parts."""
        mine = (self.secret_key, self.passphrase, self.user_id)
        return mine == (secret_key.encode(), passphrase, user_id)


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it was read: ``target`` to the byte, the names of headers in lower case."""

    method: str
    target: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    peer: str

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    @property
    def query(self) -> str:
        return self.target.partition("?")[2]


def signature(secret_key: bytes, timestamp: str, method: str, target: str, body: bytes) -> str:
    """What the request should be signed with: target and body as they came over the wire."""
    text = f"{timestamp}{method}{target}".encode("latin-1") + body
    return base64.b64encode(hmac.digest(secret_key, text, hashlib.sha256)).decode()


def parse_timestamp(text: str) -> float | None:
    """Seconds since the epoch; None where the text isn't ISO 8601 in UTC with a Z."""
    if not _TIMESTAMP.fullmatch(text):
        return None
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return None


def refusal(request: Request, keys: Mapping[str, Key], wall: float) -> Answer | None:
    """The answer that refuses the request; None lets it in.

    ``wall`` is the exchange's clock, in seconds since the epoch.
    """
    headers = request.headers
    api_key = headers.get("ok-access-key", "")
    if not api_key:
        return answers.MISSING_KEY
    passphrase = headers.get("ok-access-passphrase", "")
    if not passphrase:
        return answers.MISSING_PASSPHRASE
    sign = headers.get("ok-access-sign", "")
    if not sign:
        return answers.MISSING_SIGN
    timestamp = headers.get("ok-access-timestamp", "")
    if not timestamp:
        return answers.MISSING_TIMESTAMP
    sent_at = parse_timestamp(timestamp)
    if sent_at is None:
        return answers.BAD_TIMESTAMP
    if abs(wall - sent_at) > MAX_SKEW:
        return answers.EXPIRED
    key = keys.get(api_key)
    if key is None:
        return answers.UNKNOWN_KEY
    # https://www.okx.com/docs-v5/en/#overview-demo-trading-services: absent or "0" means live.
    if key.demo != (headers.get("x-simulated-trading") == "1"):
        return answers.WRONG_ENVIRONMENT
    if not hmac.compare_digest(passphrase.encode(), key.passphrase.encode()):
        return answers.WRONG_PASSPHRASE
    expected = signature(key.secret_key, timestamp, request.method, request.target, request.body)
    if not hmac.compare_digest(sign.encode(), expected.encode()):
        return answers.BAD_SIGN
    if key.ips is not None and request.peer not in key.ips:
        return answers.WRONG_IP
    return None
