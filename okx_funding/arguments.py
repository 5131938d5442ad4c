"""What callers may give, checked before anything is sent."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Iterable, Mapping
from itertools import islice
from urllib.parse import urlsplit

from okx_funding.endpoints import ENDPOINTS, VALUATION_UNITS, RateLimit
from okx_funding.errors import InvalidArgumentError

Key = str | None
"""A currency, or None for all."""

MAX_KEYS = 10_000
"""The most currencies that one call may name."""

_CURRENCY = re.compile(r"[A-Za-z0-9._-]{1,32}", re.ASCII).fullmatch
_ALL: tuple[Key, ...] = (None,)
_MANY = 4096
_single: dict[str, tuple[Key, ...]] = {}
"""The keys of calls for one currency: made and checked once, shared by all callers."""
_known: set[str] = set()
"""Currencies in capitals that were checked."""


def currencies(ccy: str | Iterable[str] | None) -> tuple[Key, ...]:
    """The currencies to ask for, each once, in their order; ``(None,)`` stands for all."""
    if ccy is None:
        return _ALL
    if isinstance(ccy, str):
        keys = _single.get(ccy)
        if keys is None:
            keys = (_currency(ccy, ""),)
            if len(_single) < _MANY:
                _single[ccy] = keys
        return keys
    if (
        isinstance(ccy, (list, tuple))
        and 0 < len(ccy) <= MAX_KEYS
        and len(ccy) == len(_checked_before(ccy))
    ):
        return tuple(ccy)
    if isinstance(ccy, bytes | Mapping) or not isinstance(ccy, Iterable):
        raise InvalidArgumentError(
            f"ccy must be a str, an iterable of str, or None, not {type(ccy).__name__}"
        )
    given = tuple(islice(ccy, MAX_KEYS + 1))
    if len(given) > MAX_KEYS:
        raise InvalidArgumentError(
            f"ccy names more than {MAX_KEYS} currencies: ask for fewer in one call, or for all "
            "with ccy=None"
        )
    for index, each in enumerate(given):
        _currency(each, f"[{index}]")
    if len(given) > 1 and len(set(map(str.upper, given))) < len(given):
        first: dict[str, str] = {}
        for each in given:
            first.setdefault(each.upper(), each)
        return tuple(first.values())
    if len(_known) < _MANY:
        _known.update(each for each in given if each == each.upper())
    return given


def _checked_before(given: Iterable[str]) -> set[str]:
    """Those that were checked before, each once; none of them where one can't be looked up."""
    try:
        return _known.intersection(given)
    except TypeError:
        return set()


def _currency(ccy: object, index: str) -> str:
    if isinstance(ccy, str):
        if _CURRENCY(ccy):
            return ccy
        if "," in ccy:
            raise InvalidArgumentError(
                f"ccy{index} is a comma list: pass a list of currencies, such as ccy=['BTC', 'ETH']"
            )
        raise InvalidArgumentError(
            f"ccy{index} isn't a currency: letters, digits, '.', '_' and '-', 1 to 32 of them, "
            f"not {ccy[:40]!r}"
        )
    raise InvalidArgumentError(f"ccy{index} must be a str, not {type(ccy).__name__}")


def valuation_unit(ccy: str | None) -> str | None:
    """The unit to send, None for BTC: OKX's default, and so the same question."""
    if ccy is None or ccy == "BTC":
        return None
    if not isinstance(ccy, str) or ccy not in VALUATION_UNITS:
        hint = "; the yen is JPY" if ccy == "JP" else ""
        raise InvalidArgumentError(
            f"ccy must be one of {', '.join(sorted(VALUATION_UNITS))}{hint}, "
            f"not {ccy[:40] if isinstance(ccy, str) else type(ccy).__name__!r}"
        )
    return ccy


def origin_of(url: str, allow_http: bool) -> str:
    """Scheme, host and port of ``url``; plain http only where nobody can listen."""
    if not isinstance(url, str):
        raise InvalidArgumentError("base_url must be a str, such as https://www.okx.com")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise InvalidArgumentError(
            "base_url isn't a URL; give one like https://www.okx.com"
        ) from None
    if parts.scheme not in ("https", "http") or not host or not url.isascii():
        raise InvalidArgumentError("base_url must be like https://www.okx.com")
    if parts.username or parts.password or parts.query or parts.fragment or parts.path.strip("/"):
        raise InvalidArgumentError(
            "base_url is scheme and host only, such as https://www.okx.com: no path, query or user"
        )
    if parts.scheme == "http" and not allow_http and not _loopback(host):
        raise InvalidArgumentError(
            f"http://{host} would send the passphrase in clear: use https, or allow_http=True"
        )
    shown = f"[{host}]" if ":" in host else host
    default = {"https": 443, "http": 80}[parts.scheme]
    return f"{parts.scheme}://{shown}" + (f":{port}" if port not in (None, default) else "")


def _loopback(host: str) -> bool:
    return (
        host == "localhost" or host == "::1" or re.fullmatch(r"127(\.\d{1,3}){3}", host) is not None
    )


def limits(given: Mapping[str, RateLimit]) -> dict[str, RateLimit]:
    """Rate limits by method name."""
    if not isinstance(given, Mapping):
        raise InvalidArgumentError("rate_limits must map method names to RateLimit")
    for name, limit in given.items():
        if name not in ENDPOINTS:
            raise InvalidArgumentError(
                f"rate_limits knows no {name!r}; its keys are {', '.join(sorted(ENDPOINTS))}"
            )
        if not isinstance(limit, RateLimit):
            raise InvalidArgumentError(
                f"rate_limits[{name!r}] must be a RateLimit, such as RateLimit(6, 1.0)"
            )
    return dict(given)


def number(name: str, value: object) -> float:
    """Any number but NaN."""
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value:
        raise InvalidArgumentError(f"{name} must be seconds, not {value!r}")
    return math.inf if value > sys.float_info.max else float(value)


def seconds(name: str, value: object) -> float:
    """A finite number above zero."""
    seconds = number(name, value)
    if not 0 < seconds < math.inf:
        raise InvalidArgumentError(f"{name} must be seconds above zero, not {value!r}")
    return seconds


def count(name: str, value: object, least: int) -> int:
    """A whole number from ``least`` on."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise InvalidArgumentError(f"{name} must be a whole number from {least} on, not {value!r}")
    return value
