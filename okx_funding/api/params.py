"""Checks of what callers give, made before anything is sent.

Each check takes the argument's name and value and gives the text that goes to OKX, or raises an
InvalidArgumentError that names the argument. `optional` lets None through.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final, TypeVar

from okx_funding.auth.secret import Secret, problem_of
from okx_funding.errors import InvalidArgumentError

from .rows import EPOCH

Key = str | None
"""One value of a parameter by which calls share requests; None stands for all."""
Currencies = str | Iterable[str] | None
"""A currency, any iterable of them, or None for all."""
Amount = Decimal | int | str
"""An exact amount; float isn't exact and refused."""
Moment = datetime | int
"""An aware datetime, or milliseconds since the epoch."""

T = TypeVar("T")

MAX_PAGE: Final = 100
"""The most rows that a page may have."""
_FIRST_MOMENT = 100_000_000_000
"""Milliseconds of 1973: a smaller number is meant as seconds."""
_LAST_MOMENT = 100_000_000_000_000
_DIGITS_AT_MOST = 60
_ACCOUNTS = {"funding": "6", "trading": "18"}
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

_CURRENCY = re.compile(r"[A-Za-z0-9._-]{1,32}", re.ASCII).fullmatch
_CLIENT_ID = re.compile(r"[A-Za-z0-9]{1,32}", re.ASCII).fullmatch
_CODE = re.compile(r"[A-Za-z0-9_-]{1,32}", re.ASCII).fullmatch
_IDENTIFIER = re.compile(r"[!-~]{1,256}", re.ASCII).fullmatch
_AMOUNT = re.compile(r"[0-9]{1,60}(\.[0-9]{1,60})?", re.ASCII).fullmatch
_CONTROL = re.compile(r"[\x00-\x1f\x7f]").search

_ALL: tuple[Key, ...] = (None,)
_MANY = 4096
_single: dict[str, tuple[Key, ...]] = {}
"""The keys of calls for one currency: made and checked once, shared by all callers."""
_known: set[str] = set()
"""Currencies in capitals that were checked."""


def currencies(ccy: Currencies) -> tuple[Key, ...]:
    """The currencies to ask for, each once, in their order; ``(None,)`` stands for all."""
    if ccy is None:
        return _ALL
    if isinstance(ccy, str):
        keys = _single.get(ccy)
        if keys is None:
            keys = (currency("ccy", ccy),)
            if len(_single) < _MANY:
                _single[ccy] = keys
        return keys
    if isinstance(ccy, (list, tuple)) and 0 < len(ccy) == len(_checked_before(ccy)):
        return tuple(ccy)
    if isinstance(ccy, bytes | Mapping) or not isinstance(ccy, Iterable):
        raise InvalidArgumentError(
            f"ccy must be a str, an iterable of str, or None, not {type(ccy).__name__}"
        )
    given = tuple(ccy)
    for index, each in enumerate(given):
        currency(f"ccy[{index}]", each)
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


def optional(check: Callable[[str, T], str], name: str, value: T | None) -> str | None:
    """``check`` of a value that may be left out as None."""
    return None if value is None else check(name, value)


def currency(name: str, value: str) -> str:
    """One currency, such as BTC."""
    if _CURRENCY(_text(name, value)):
        return value
    if "," in value:
        raise InvalidArgumentError(
            f"{name} is a comma list: pass a list of currencies, such as ccy=['BTC', 'ETH']"
            if name.startswith("ccy")
            else f"{name} is one currency, not a comma list"
        )
    raise InvalidArgumentError(
        f"{name} isn't a currency: letters, digits, '.', '_' and '-', 1 to 32 of them, "
        f"not {value[:40]!r}"
    )


def client_id(name: str, value: str) -> str:
    """An id of the caller's own: 1 to 32 letters and digits, as OKX wants them."""
    if not _CLIENT_ID(_text(name, value)):
        raise InvalidArgumentError(f"{name} must be 1 to 32 ASCII letters and digits")
    return value


def code(name: str, value: str) -> str:
    """One of OKX's own words or numbers, such as a type or state. New ones are let through."""
    if not _CODE(_text(name, value)):
        raise InvalidArgumentError(
            f"{name} must be one of OKX's codes as text, such as '4', not {value[:40]!r}"
        )
    return value


def identifier(name: str, value: str) -> str:
    """An id, a hash or an address: visible ASCII without spaces."""
    if not _IDENTIFIER(_text(name, value)):
        raise InvalidArgumentError(f"{name} must be 1 to 256 visible ASCII characters, no spaces")
    return value


def text(name: str, value: str) -> str:
    """Any text that isn't empty and holds no control character."""
    if not _text(name, value).strip() or len(value) > 256 or _CONTROL(value):
        raise InvalidArgumentError(
            f"{name} must be 1 to 256 characters and no control characters, such as line breaks"
        )
    return value


def secret(name: str, value: str) -> Secret:
    """A secret, wrapped at once. The error says what is wrong without a word of it."""
    problem = problem_of(name, value)
    if problem is not None:
        del value
        raise InvalidArgumentError(problem)
    return Secret(str.__str__(value))


def amount(name: str, value: Amount) -> str:
    """An amount above zero as plain digits, exact and without exponent.

    A float is refused, since 0.1 isn't a tenth: pass text or a Decimal.
    """
    if isinstance(value, bool) or not isinstance(value, Decimal | int | str):
        hint = ": a float isn't exact" if isinstance(value, float) else ""
        raise InvalidArgumentError(
            f"{name} must be a Decimal, an int or text, not {type(value).__name__}{hint}"
        )
    if isinstance(value, str):
        if not _AMOUNT(value):
            raise InvalidArgumentError(
                f"{name} must be plain digits such as '0.25', not {value[:40]!r}"
            )
        exact = Decimal(value)
    else:
        # The int's size is looked at first: Decimal takes its time over a million digits.
        if isinstance(value, int) and value.bit_length() > 4 * _DIGITS_AT_MOST:
            raise InvalidArgumentError(f"{name} has more than {_DIGITS_AT_MOST} digits")
        exact = Decimal(value)
        if not exact.is_finite():
            raise InvalidArgumentError(f"{name} must be a finite amount, not {exact}")
        exponent = exact.as_tuple().exponent
        assert isinstance(exponent, int)
        if exact.adjusted() >= _DIGITS_AT_MOST or exponent < -_DIGITS_AT_MOST:
            raise InvalidArgumentError(f"{name} has more than {_DIGITS_AT_MOST} digits")
    if exact <= 0:
        raise InvalidArgumentError(f"{name} must be above zero, not {exact:f}")
    return f"{exact:f}"


def milliseconds(name: str, value: Moment) -> int:
    """A moment in milliseconds since the epoch."""
    if isinstance(value, datetime):
        if value.utcoffset() is None:
            raise InvalidArgumentError(
                f"{name} must be an aware datetime, such as datetime.now(UTC): this one has no "
                f"time zone"
            )
        return (value - EPOCH) // timedelta(milliseconds=1)
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidArgumentError(
            f"{name} must be an aware datetime or milliseconds since the epoch as an int, "
            f"not {type(value).__name__}"
        )
    if not _FIRST_MOMENT <= value < _LAST_MOMENT:
        hint = " (are these seconds?)" if 0 < value < _FIRST_MOMENT else ""
        raise InvalidArgumentError(f"{name} must be milliseconds since the epoch{hint}")
    return value


def moment(name: str, value: Moment) -> str:
    """A moment in milliseconds since the epoch, as text."""
    return str(milliseconds(name, value))


def limit(name: str, value: int) -> str:
    """The rows of a page, 1 to 100."""
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MAX_PAGE:
        raise InvalidArgumentError(
            f"{name} must be a whole number from 1 to {MAX_PAGE}, not {value!r}"
        )
    return str(value)


def page(after: Moment | None, before: Moment | None, size: int | None) -> dict[str, str | None]:
    """The parameters of one page, as most histories spell them."""
    return {
        "after": None if after is None else moment("after", after),
        "before": None if before is None else moment("before", before),
        "limit": optional(limit, "limit", size),
    }


def flag(name: str, value: bool) -> str:
    """True or False as OKX writes it in a query."""
    return "true" if truth(name, value) else "false"


def truth(name: str, value: bool) -> bool:
    """True or False, nothing that is merely like it."""
    if not isinstance(value, bool):
        raise InvalidArgumentError(f"{name} must be True or False, not {value!r}")
    return value


def month(name: str, value: str) -> str:
    """A month as OKX writes it, Jan to Dec."""
    if _text(name, value) not in _MONTHS:
        raise InvalidArgumentError(f"{name} must be one of {', '.join(_MONTHS)}")
    return value


def several(name: str, value: str | Iterable[str], most: int = 20) -> str:
    """One text or an iterable of up to ``most`` as OKX's comma list."""
    given = value.split(",") if isinstance(value, str) else value
    if isinstance(given, bytes | Mapping) or not isinstance(given, Iterable):
        raise InvalidArgumentError(f"{name} must be a str or an iterable of str")
    each = [identifier(f"{name}[{index}]", one) for index, one in enumerate(given)]
    if not 0 < len(each) <= most:
        raise InvalidArgumentError(f"{name} must name 1 to {most}, not {len(each)}")
    if any("," in one for one in each):
        raise InvalidArgumentError(f"{name}: no comma within a name")
    return ",".join(each)


def account_code(name: str, value: str) -> str:
    """The code of an account that transfers move between: "funding" is 6, "trading" is 18."""
    found = _ACCOUNTS.get(_text(name, value), value)
    if found not in _ACCOUNTS.values():
        raise InvalidArgumentError(f"{name} must be 'funding' or 'trading', not {value[:40]!r}")
    return found


def account_name(code: str) -> str:
    """The name of an account by OKX's code, the reverse of `account_code`; unknown ones stay."""
    return next((name for name, known in _ACCOUNTS.items() if known == code), code)


def _text(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise InvalidArgumentError(f"{name} must be a str, not {type(value).__name__}")
    return value


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
