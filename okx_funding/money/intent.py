"""What is to be moved, fixed before anything is sent: the handle by which it can be found again."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from decimal import Decimal
from typing import Any, Literal, Self, get_args

from okx_funding.errors import InvalidArgumentError

IntentKind = Literal[
    "transfer", "withdrawal", "convert", "fiat_withdrawal", "buy_sell", "subaccount_transfer"
]
KINDS: tuple[IntentKind, ...] = get_args(IntentKind)

_CLIENT_ID = re.compile(r"[A-Za-z0-9]{1,32}").fullmatch


@dataclass(frozen=True, slots=True)
class Account:
    """Whose money a client moves, and where."""

    name: str
    """The User ID, else the fingerprint of the API key."""
    host: str
    """Scheme, host and port, such as ``https://www.okx.com``."""
    demo: bool = False


@dataclass(frozen=True, slots=True)
class Intent:
    """One movement of money, fixed to the last digit; holds no secret, can be pickled.

    Made by ``client.prepare_...``, sent at most once by ``client.submit``, found again by
    ``client.resolve``, here or in another process. Equal intents have equal client ids, bodies
    and accounts; whether one was sent yet makes no difference.
    """

    kind: IntentKind
    client_id: str
    """The handle at OKX: 1 to 32 letters and digits, used once for ever."""
    payload: str
    """The JSON object that is sent, as text."""
    created_at: int
    """Unix time in milliseconds."""
    account: str
    """The User ID that it is prepared for, else the fingerprint of the API key."""
    host: str
    demo: bool = False
    quote_ends_at: int | None = None
    """Until when the quote can be traded, in Unix milliseconds, for kinds that need a quote."""
    max_fee: str | None = None
    """The largest fee accepted, checked just before sending; it isn't sent."""
    signed_at: int | None = field(default=None, compare=False)
    """The timestamp of the request that may have left, in Unix milliseconds; None if none did as
    far as this intent knows."""

    @property
    def body(self) -> dict[str, Any]:
        """The fields that are sent, spelt as OKX spells them; a new dict each time."""
        body: dict[str, Any] = json.loads(self.payload)
        return body

    def stamped(self, signed_at: int | None) -> Self:
        """The same intent, sent with this timestamp."""
        return replace(self, signed_at=signed_at)

    def to_json(self) -> str:
        """As one line of JSON, for `from_json` in any process."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        values["body"] = json.loads(values.pop("payload"))
        return json.dumps(values, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Raises InvalidArgumentError, a ValueError, where ``text`` isn't what `to_json` gave."""
        try:
            values = json.loads(text)
            body = values.pop("body")
            if not isinstance(body, dict):
                raise TypeError("body is no object")
            intent = cls(payload=dump(body), **values)
            intent._check()
        except (ValueError, TypeError, AttributeError, KeyError) as error:
            raise InvalidArgumentError(
                f"not an intent as Intent.to_json gives it: {type(error).__name__}"
            ) from None
        return intent

    def _check(self) -> None:
        if self.kind not in KINDS or not _CLIENT_ID(self.client_id):
            raise ValueError("kind or client_id")
        if type(self.created_at) is not int or type(self.demo) is not bool:
            raise TypeError("created_at or demo")
        for moment in (self.quote_ends_at, self.signed_at):
            if moment is not None and type(moment) is not int:
                raise TypeError("a time is no int")
        if not isinstance(self.account, str) or not isinstance(self.host, str):
            raise TypeError("account or host")
        if self.max_fee is not None and not Decimal(self.max_fee).is_finite():
            raise ValueError("max_fee")


def dump(body: Mapping[str, Any]) -> str:
    """The JSON text of a body, in the order of its fields."""
    return json.dumps(body, separators=(",", ":"))


def client_id_for(key: str) -> str:
    """A client id derived from a key of yours, such as ``"payout-4711"``: 32 letters and digits.

    The same key gives the same id in every process, so that a payment that is asked for again
    after a crash is recognised. Two payments need two keys.
    """
    if not isinstance(key, str) or not key:
        raise InvalidArgumentError("client_id_for needs a text that names one movement")
    digest = hashlib.sha256(key.encode()).digest()
    return base64.b32encode(digest)[:32].decode()


def client_id(given: str | None) -> str:
    """The client id given, checked, or a new one of 32 letters and digits."""
    if given is None:
        return uuid.uuid4().hex
    if not isinstance(given, str) or not _CLIENT_ID(given):
        shown = repr(given[:40]) if isinstance(given, str) else type(given).__name__
        raise InvalidArgumentError(
            "client_id must be 1 to 32 letters (A-Z, a-z) and digits, such as "
            f"client_id_for('payout-4711') makes, not {shown}"
        )
    return given
