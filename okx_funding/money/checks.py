"""What callers may give for a movement of money, checked before anything is sent."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal

from okx_funding.errors import InvalidArgumentError

Amount = Decimal | int | str
"""An amount, exact: never a float."""

_AMOUNT = re.compile(r"(0|[1-9][0-9]{0,29})(\.[0-9]{1,30})?").fullmatch
_CURRENCY = re.compile(r"[A-Za-z0-9._-]{1,32}", re.ASCII).fullmatch
_ACCOUNTS = {"funding": "6", "6": "6", "trading": "18", "18": "18"}
_LONGEST = 512
_RECEIVER = (
    "walletType",
    "exchId",
    "rcvrFirstName",
    "rcvrLastName",
    "rcvrCountry",
    "rcvrCountrySubDivision",
    "rcvrTownName",
    "rcvrStreetName",
)
"""The names in OKX's rcvrInfo: https://www.okx.com/docs-v5/en/#funding-account-rest-api-withdrawal"""


def amount(name: str, value: object) -> str:
    """An amount above zero as OKX takes it: digits without an exponent."""
    if isinstance(value, float):
        raise InvalidArgumentError(
            f"{name} must not be a float, which isn't exact: give a Decimal, an int or a text"
        )
    if isinstance(value, bool) or not isinstance(value, Decimal | int | str):
        raise InvalidArgumentError(
            f"{name} must be a Decimal, an int or a text, not {type(value).__name__}"
        )
    if isinstance(value, Decimal):
        plain = value.is_finite() and -40 < value.adjusted() < 40
        written = format(value, "f") if plain else str(value)
    else:
        written = str(value) if isinstance(value, str) or abs(value) < 10**40 else "a huge number"
    if not _AMOUNT(written):
        raise InvalidArgumentError(
            f"{name} must be plain digits such as '12.5', without sign or exponent, "
            f"not {written[:40]!r}"
        )
    if not Decimal(written):
        raise InvalidArgumentError(f"{name} must be above zero")
    return written


def currency(name: str, value: object) -> str:
    """One currency, such as USDT."""
    if not isinstance(value, str) or not _CURRENCY(value):
        shown = repr(value[:40]) if isinstance(value, str) else type(value).__name__
        raise InvalidArgumentError(f"{name} must be one currency such as 'USDT', not {shown}")
    return value


def text(name: str, value: object) -> str:
    """A text that isn't empty, without surrounding blanks or control characters."""
    if not isinstance(value, str):
        raise InvalidArgumentError(f"{name} must be a str, not {type(value).__name__}")
    if not value or value != value.strip() or len(value) > _LONGEST or not value.isprintable():
        raise InvalidArgumentError(
            f"{name} must be a text of 1 to {_LONGEST} printable characters without surrounding "
            f"blanks, not {value[:40]!r}"
        )
    return value


def one_of(name: str, value: object, allowed: tuple[str, ...]) -> str:
    """One of the texts that OKX documents."""
    if not isinstance(value, str) or value not in allowed:
        shown = repr(value[:40]) if isinstance(value, str) else repr(type(value).__name__)
        raise InvalidArgumentError(
            f"{name} must be one of {', '.join(map(repr, allowed))}, not {shown}"
        )
    return value


def account(name: str, value: object) -> str:
    """OKX's number of the funding or trading account."""
    if not isinstance(value, str) or value not in _ACCOUNTS:
        raise InvalidArgumentError(
            f"{name} must be 'funding' or 'trading' (OKX's '6' and '18'), not {value!r}"
        )
    return _ACCOUNTS[value]


def flag(name: str, value: object) -> bool:
    """True or False."""
    if not isinstance(value, bool):
        raise InvalidArgumentError(f"{name} must be True or False, not {type(value).__name__}")
    return value


def receiver_info(value: Mapping[str, str]) -> dict[str, str]:
    """OKX's nested ``rcvrInfo``: its documented names, each with a text."""
    if not isinstance(value, Mapping):
        raise InvalidArgumentError(
            f"rcvr_info must be a mapping such as {{'walletType': 'private'}}, "
            f"not {type(value).__name__}"
        )
    for key in value:
        if key not in _RECEIVER:
            raise InvalidArgumentError(
                f"rcvr_info knows no {str(key)[:40]!r}; its names are {', '.join(_RECEIVER)}"
            )
    info = {key: text(f"rcvr_info[{key!r}]", each) for key, each in value.items()}
    wallet = info.get("walletType")
    if wallet not in ("exchange", "private"):
        raise InvalidArgumentError("rcvr_info['walletType'] must be 'exchange' or 'private'")
    if wallet == "exchange" and "exchId" not in info:
        raise InvalidArgumentError(
            "rcvr_info['exchId'] is needed with walletType 'exchange': the exchange's id, "
            "'0' for one that OKX doesn't list"
        )
    return info


def seconds(name: str, value: object) -> float:
    """Seconds above zero, at most a day."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 86_400:
        raise InvalidArgumentError(f"{name} must be seconds above zero, not {value!r}")
    return float(value)
