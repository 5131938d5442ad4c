"""What an answer means: rows, or an error with a name.

https://www.okx.com/docs-v5/en/#overview-rest-authentication
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple, cast
from urllib.parse import urlsplit

import msgspec

from okx_funding.api.spec import Endpoint
from okx_funding.errors import (
    APIError,
    DecodeError,
    HTTPStatusError,
    OKXError,
    RateLimitError,
)

from .codec import Codec, PlainCodec, codec_of
from .codes import ERROR_OF_CODE


class Response(NamedTuple):
    """An answer as it came: status, whole body, and the headers that matter."""

    status: int
    body: bytes
    retry_after: str | None = None
    location: str | None = None
    date: str | None = None
    fresh: bool = False
    """Whether a connection had to be made for it, or may have been."""


def parse_response(
    endpoint: Endpoint[Any], response: Response, redact: Callable[[str], str] = str
) -> list[Any]:
    """The rows of ``data`` as structs of ``endpoint.row``.

    Raises the ResponseError that the answer means. The code decides before the HTTP status:
    https://www.okx.com/docs-v5/en/#error-code. What an error quotes has gone through ``redact``.
    """
    codec = codec_of(cast(Any, endpoint.row))
    if response.status == 200:
        try:
            rows = codec.rows(response.body)
            if rows is not None:
                return rows
        except ValueError as error:
            reason = str(error)
        else:
            return _look(endpoint, response, codec, redact)
        raise _cant_decode(endpoint, reason)
    raise _explain(endpoint, response, redact)


def _look(
    endpoint: Endpoint[Any],
    response: Response,
    codec: Codec | PlainCodec,
    redact: Callable[[str], str],
) -> list[Any]:
    """The rows of an answer that isn't quite as expected."""
    failure: OKXError | None = _failure(endpoint, response, redact)
    if failure is None:
        try:
            return codec.look(response.body)
        except RecursionError:
            reason = "nested too deeply"
        except (msgspec.MsgspecError, ValueError) as error:
            reason = plain(str(error))
        failure = _cant_decode(endpoint, reason)
    raise failure


def _cant_decode(endpoint: Endpoint[Any], reason: str) -> DecodeError:
    return DecodeError(f"{endpoint} answered what can't be decoded: {reason}")


class _Envelope(msgspec.Struct):
    """Any envelope: errors come without data, or with an int for a code."""

    code: str | int
    msg: str | None = ""
    data: msgspec.Raw = msgspec.Raw()

    def inner(self) -> _Envelope:
        """What the first item that failed says, where this only says that some did."""
        with contextlib.suppress(msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            for item in _decode_items(self.data) if str(self.code) in ("1", "2") else ():
                if str(item.sCode) not in ("", "0"):
                    return _Envelope(item.sCode, item.sMsg or self.msg)
        return self


class _Item(msgspec.Struct):
    sCode: str | int = ""  # noqa: N815
    sMsg: str | None = ""  # noqa: N815


_decode_envelope = msgspec.json.Decoder(_Envelope).decode
_decode_items = msgspec.json.Decoder(list[_Item]).decode


def _failure(
    endpoint: Endpoint[Any], response: Response, redact: Callable[[str], str]
) -> APIError | None:
    """The error that OKX's envelope names; None where it names none, or there is none."""
    try:
        envelope = _decode_envelope(response.body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    if str(envelope.code) == "0":
        return None
    envelope = envelope.inner()
    code = plain(str(envelope.code), 16, redact)
    kind = ERROR_OF_CODE.get(code, APIError)
    if kind is APIError and response.status == 429:
        return None  # the gateway's own JSON
    error = kind(code, plain(envelope.msg or "", 200, redact), response.status, str(endpoint))
    if isinstance(error, RateLimitError):
        error.retry_after = parse_retry_after(response.retry_after, response.date)
    return error


def _explain(endpoint: Endpoint[Any], response: Response, redact: Callable[[str], str]) -> OKXError:
    if 300 <= response.status < 400:
        return _redirected(endpoint, response, redact)
    error = _failure(endpoint, response, redact)
    if error is not None:
        return error
    return HTTPStatusError(
        f"{endpoint} answered HTTP {response.status} without OKX's envelope: "
        f"{plain(response.body, 200, redact) or 'empty body'}"
        f"{_STATUS_ADVICE.get(response.status, '')}",
        http_status=response.status,
        endpoint=str(endpoint),
        retry_after=parse_retry_after(response.retry_after, response.date),
    )


def _redirected(
    endpoint: Endpoint[Any], response: Response, redact: Callable[[str], str]
) -> HTTPStatusError:
    try:
        host = urlsplit(response.location or "").hostname
    except ValueError:
        host = None
    return HTTPStatusError(
        f"{endpoint} was redirected (HTTP {response.status}) to "
        f"{plain(host or 'nowhere', 200, redact)}; signed requests follow no redirect: set "
        "base_url to the host that answers",
        http_status=response.status,
        endpoint=str(endpoint),
    )


_STATUS_ADVICE = {
    403: " (the gateway refuses this client: IP address, region or firewall)",
    429: " (the gateway's own rate limit, for all endpoints of the host)",
}

_UNPRINTABLE = re.compile(r"[^\x20-\x7e]+")


_SIGNATURE = re.compile(r"(?:[A-Za-z0-9+/]|%2[BbFf]){43}(?:=|%3[Dd])")


def plain(text: str | bytes, limit: int = 200, redact: Callable[[str], str] = str) -> str:
    """At most ``limit`` printable characters of a foreign text, on one line, without secrets."""
    window, seen = 4 * limit + 600, text[: 4 * limit + 601]
    if isinstance(seen, bytes):
        seen = seen.decode("ascii", "replace")
    cut = len(seen) > window
    seen = redact(_SIGNATURE.sub("***", _UNPRINTABLE.sub(" ", seen[:window])))
    if cut:  # a secret may have been cut in two, and its first half not recognised
        seen = seen[: max(0, len(seen) - 600)]
    return seen.strip()[:limit]


def parse_retry_after(text: str | None, date: str | None = None) -> float | None:
    """Seconds that a Retry-After header asks for, or None where it makes no sense.

    A date counts from the server's own, its Date header.
    """
    text = (text or "").strip()
    if text.isascii() and text.isdecimal():
        return float(text[:9])
    try:
        return max(0.0, (_moment(text) - _moment(date or "")).total_seconds())
    except (ValueError, OverflowError):
        return None


def _moment(text: str) -> datetime:
    moment = parsedate_to_datetime(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
