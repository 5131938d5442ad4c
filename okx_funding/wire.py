"""OKX's protocol as pure functions: what a request looks like, and what an answer means.

https://www.okx.com/docs-v5/en/#overview-rest-authentication
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit

import msgspec

from .codec import Codec, codec_of
from .endpoints import Endpoint
from .errors import (
    APIError,
    AuthenticationError,
    ClockSkewError,
    DecodeError,
    HTTPStatusError,
    InvalidParameterError,
    OKXError,
    PermissionDeniedError,
    RateLimitError,
    ServiceUnavailableError,
)


class Request(NamedTuple):
    """What is signed and sent, to the byte."""

    method: str
    target: str
    """Path and query."""
    body: str = ""


def build(endpoint: Endpoint, args: Mapping[str, Any]) -> Request:
    """Build the request of ``args``: a query for GET, compact JSON for POST.

    OKX verifies the query as it was received: a comma stays a comma, all else is escaped.
    """
    if endpoint.method == "POST":
        body = json.dumps(args, separators=(",", ":"), ensure_ascii=False) if args else ""
        return Request("POST", endpoint.path, body)
    query = "&".join([f"{name}={quote(str(value), safe=',')}" for name, value in args.items()])
    return Request("GET", f"{endpoint.path}?{query}" if query else endpoint.path)


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
    endpoint: Endpoint, response: Response, redact: Callable[[str], str] = str
) -> list[Any]:
    """The rows of ``data`` as structs of ``endpoint.row``.

    Raises the ResponseError that the answer means. The code decides before the HTTP status:
    https://www.okx.com/docs-v5/en/#error-code. What an error quotes has gone through ``redact``.
    """
    codec = codec_of(endpoint.row)
    if response.status == 200:
        try:
            answer = codec.decode(response.body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            pass  # an error's envelope, or no envelope: looked at below
        else:
            if answer.code == "0":
                return _rows(endpoint, codec, answer.data, response.body)
    raise _explain(endpoint, response, codec, redact)


def _rows(endpoint: Endpoint, codec: Codec, twins: list[Any], body: bytes) -> list[Any]:
    try:
        # As many names as documented: none stands twice. Else somebody has to look.
        if body.count(b'":') != 3 + codec.names * len(twins):
            json.loads(body, object_pairs_hook=_each_once, parse_int=str, parse_float=str)
        return codec.build(twins)
    except (ValueError, RecursionError) as error:
        reason = str(error)
    raise _cant_decode(endpoint, reason)


def _each_once(pairs: list[tuple[str, Any]]) -> None:
    """Of two amounts under one name, JSON's readers take whichever they like: take neither."""
    names = [name for name, _ in pairs]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{plain(twice, 40)} stands twice in one object")


def _cant_decode(endpoint: Endpoint, reason: str) -> DecodeError:
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


def _explain(
    endpoint: Endpoint, response: Response, codec: Codec, redact: Callable[[str], str]
) -> OKXError:
    if 300 <= response.status < 400:
        return _redirected(endpoint, response, redact)
    try:
        envelope = _decode_envelope(response.body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        envelope = None
    if envelope is not None and str(envelope.code) != "0":
        envelope = envelope.inner()
        code = plain(str(envelope.code), 16, redact)
        kind = ERROR_OF_CODE.get(code, APIError)
        if kind is not APIError or response.status != 429:  # else it is the gateway's own JSON
            error = kind(
                code, plain(envelope.msg or "", 200, redact), response.status, str(endpoint)
            )
            if isinstance(error, RateLimitError):
                error.retry_after = parse_retry_after(response.retry_after, response.date)
            return error
    if response.status == 200:
        return _undecodable(endpoint, response, codec)
    return HTTPStatusError(
        f"{endpoint} answered HTTP {response.status} without OKX's envelope: "
        f"{plain(response.body, 200, redact) or 'empty body'}"
        f"{_STATUS_ADVICE.get(response.status, '')}",
        http_status=response.status,
        endpoint=str(endpoint),
        retry_after=parse_retry_after(response.retry_after, response.date),
    )


def _redirected(
    endpoint: Endpoint, response: Response, redact: Callable[[str], str]
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


def _undecodable(endpoint: Endpoint, response: Response, codec: Codec) -> DecodeError:
    try:
        codec.decode(response.body)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        reason = plain(str(error))
    except RecursionError:
        reason = "nested too deeply"
    else:
        reason = "the code isn't the text '0'"
    return _cant_decode(endpoint, reason)


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


def _table(*kinds: tuple[type[APIError], str]) -> dict[str, type[APIError]]:
    return {code: kind for kind, codes in kinds for code in codes.split()}


# https://www.okx.com/docs-v5/en/#error-code-rest-api-api-class-public
ERROR_OF_CODE: dict[str, type[APIError]] = _table(
    (RateLimitError, "50011 50040 50061 58102"),
    (ClockSkewError, "50102"),
    (
        AuthenticationError,
        "50100 50101 50103 50104 50105 50106 50107 50108 50109 50111 50112 50113 50114 50119",
    ),
    (PermissionDeniedError, "50030 50035 50110 50120 50121"),
    (
        ServiceUnavailableError,
        "50001 50004 50005 50013 50026 50046 50062 50064 "
        "58007 58103 58110 58111 58120 58214 58303 58310",
    ),
    (
        InvalidParameterError,
        "50000 50002 50006 50014 50015 50016 50024 50025 50036 50037 50039 50076 50077 50115 "
        "51000 "
        "58005 58006 58009 58010 58113 58114 58115 58123 58127 58128 58129 58202 58206 58213 "
        "58215 58218 58221 58222 58301 58302 58353 58358 58373 58381 58401 58402 58404 58406",
    ),
)
