"""OKX's protocol as pure functions: what a request looks like, and what an answer means.

https://www.okx.com/docs-v5/en/#overview-rest-authentication
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from email.utils import parsedate_to_datetime
from functools import cache
from types import GenericAlias, NoneType
from typing import Any, get_args
from urllib.parse import urlsplit

import msgspec

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
from .models import Row


def build_target(endpoint: Endpoint, keys: Sequence[str]) -> str:
    """Path and query, the very text that is signed and sent; without keys, the bare path.

    Keys are of the allow-list ``[A-Za-z0-9._-]``, so nothing needs an escape. OKX verifies the
    query as it was received, hence the comma stays a comma.
    """
    return f"{endpoint.path}?{endpoint.key}={','.join(keys)}" if keys else endpoint.path


@dataclass(frozen=True, slots=True)
class Response:
    """An answer as it came: status, whole body, and the headers that matter."""

    status: int
    body: bytes
    retry_after: str | None = None
    location: str | None = None
    date: str | None = None
    fresh: bool = False
    """Whether a connection had to be made for it, or may have been."""


def parse_response(endpoint: Endpoint, response: Response) -> list[Any]:
    """The rows of ``data`` as structs of ``endpoint.row``.

    Raises the ResponseError that the answer means. The code decides before the HTTP status:
    https://www.okx.com/docs-v5/en/#error-code
    """
    codec = _codec(endpoint.row)
    if response.status == 200:
        try:
            answer = codec.decode(response.body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            pass  # an error's envelope, or no envelope: looked at below
        else:
            if answer.code == "0":
                return _rows(endpoint, codec, answer.data)
    raise _explain(endpoint, response, codec)


def _rows(endpoint: Endpoint, codec: _Codec, twins: list[Any]) -> list[Any]:
    try:
        return codec.build(twins)
    except ValueError as error:
        reason = str(error)
    raise _cant_decode(endpoint, reason)


def _cant_decode(endpoint: Endpoint, reason: str) -> DecodeError:
    return DecodeError(f"{endpoint} answered what can't be decoded: {reason}")


class _Envelope(msgspec.Struct):
    """Any envelope: errors come without data, or with an int for a code."""

    code: str | int
    msg: str | None = ""


_decode_envelope = msgspec.json.Decoder(_Envelope).decode


def _explain(endpoint: Endpoint, response: Response, codec: _Codec) -> OKXError:
    if 300 <= response.status < 400:
        return _redirected(endpoint, response)
    try:
        envelope = _decode_envelope(response.body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        envelope = None
    if envelope is not None and str(envelope.code) != "0":
        code = plain(str(envelope.code), 16)
        kind = ERROR_OF_CODE.get(code, APIError)
        error = kind(code, plain(envelope.msg or ""), response.status, str(endpoint))
        if isinstance(error, RateLimitError):
            error.retry_after = parse_retry_after(response.retry_after, response.date)
        return error
    if response.status == 200:
        return _undecodable(endpoint, response, codec)
    return HTTPStatusError(
        f"{endpoint} answered HTTP {response.status} without OKX's envelope: "
        f"{plain(response.body) or 'empty body'}{_STATUS_ADVICE.get(response.status, '')}",
        http_status=response.status,
        endpoint=str(endpoint),
        retry_after=parse_retry_after(response.retry_after, response.date),
    )


def _redirected(endpoint: Endpoint, response: Response) -> HTTPStatusError:
    try:
        host = urlsplit(response.location or "").hostname
    except ValueError:
        host = None
    return HTTPStatusError(
        f"{endpoint} was redirected (HTTP {response.status}) to {plain(host or 'nowhere')}; "
        "signed requests follow no redirect: set base_url to the host that answers",
        http_status=response.status,
        endpoint=str(endpoint),
    )


def _undecodable(endpoint: Endpoint, response: Response, codec: _Codec) -> DecodeError:
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


def plain(text: str | bytes, limit: int = 200) -> str:
    """At most ``limit`` printable characters of a foreign text, on one line."""
    if isinstance(text, bytes):
        text = text[: limit * 4].decode("ascii", "replace")
    return _UNPRINTABLE.sub(" ", text[: limit * 4]).strip()[:limit]


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


# A public struct has amounts; the wire has text. msgspec's own Decimal takes "NaN" and "1_000"
# and refuses "", so a twin struct of text is decoded (in C) and turned into the public one.
# Column by column, because then nearly every step is one call into C for all rows.

_DIGITS = "0123456789-,"
_USUAL, _LONGEST = 25, 100

_Column = Sequence[Any]


def _made_of(characters: str, column: _Column) -> bool:
    joined = ",".join(column)
    if len(joined) > _USUAL * len(column) and max(map(len, column)) > _LONGEST:
        return False
    return not joined.strip(characters)


def _amounts(column: _Column) -> _Column:
    # Of these characters alone, Decimal takes plain finite numbers only; "," it never takes.
    if not _made_of(_DIGITS + ".", column):
        raise ValueError("not a finite plain decimal")
    try:
        return list(map(Decimal, column))
    except ArithmeticError:
        raise ValueError("not a finite plain decimal") from None


def _optional_amounts(column: _Column) -> _Column:
    there = [text for text in column if text]
    if not there:
        return [None] * len(column)
    amounts = _amounts(there)
    if len(there) == len(column):
        return amounts
    each = iter(amounts)
    return [next(each) if text else None for text in column]


def _wholes(column: _Column) -> _Column:
    texts = list(map(str, column))
    if not _made_of(_DIGITS, texts):
        raise ValueError("not a whole number")
    return list(map(int, texts))


_SMALL: dict[Any, int] = {str(number): number for number in range(40)}


def _optional_wholes(column: _Column) -> _Column:
    small = list(map(_SMALL.get, column))
    if None not in small:
        return small
    there = [text for text in column if text is not None and text != ""]
    each = iter(_wholes(there) if there else ())
    return [None if text is None or text == "" else next(each) for text in column]


_TWINS: dict[Any, tuple[Any, Callable[[_Column], _Column]]] = {
    Decimal: (str, _amounts),
    Decimal | None: (str | None, _optional_amounts),
    int: (str | int, _wholes),
    int | None: (str | int | None, _optional_wholes),
}


class _Codec:
    """Decodes an answer into twins, structs of text, and turns them into the public ``row``."""

    def __init__(self, row: type[Row]) -> None:
        self.row = row
        self.converters: list[tuple[int, str, Callable[[_Column], _Column]]] = []
        twin_fields: list[tuple[str, Any] | tuple[str, Any, Any]] = []
        for position, field in enumerate(msgspec.structs.fields(row)):
            kind = field.type
            if kind in _TWINS:
                kind, convert = _TWINS[kind]
                self.converters.append((position, field.encode_name, convert))
            elif isinstance(kind, type) and issubclass(kind, Row):
                nested = _codec(kind)
                kind = nested.twin
                self.converters.append((position, field.encode_name, nested.build))
            if NoneType in get_args(kind):
                twin_fields.append((field.name, kind, None))
            elif field.required:
                twin_fields.append((field.name, kind))
            else:
                twin_fields.append((field.name, kind, field.default))
        self.twin: type[Any] = msgspec.defstruct(
            f"Wire{row.__name__}", twin_fields, rename="camel", kw_only=True, gc=False
        )
        answer = msgspec.defstruct(
            f"Wire{row.__name__}Answer",
            [("code", str), ("data", GenericAlias(list, (self.twin,)))],
            gc=False,
        )
        self.decode: Callable[[bytes], Any] = msgspec.json.Decoder(answer).decode

    def build(self, twins: _Column) -> list[Any]:
        """The rows that the twins stand for; ValueError, naming the field, where one doesn't."""
        if not twins:
            return []
        columns: list[_Column] = list(zip(*map(msgspec.structs.astuple, twins), strict=True))
        for position, name, convert in self.converters:
            try:
                columns[position] = convert(columns[position])
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from None
        return list(map(self.row, *columns))


@cache
def _codec(row: type[Row]) -> _Codec:
    return _Codec(row)
