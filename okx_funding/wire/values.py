"""What text stands for: dicts that check and convert what they haven't seen yet.

A lookup costs a fraction of a check, and OKX sends the same fees, minima and balances again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import msgspec

_LONGEST = 100
_REMEMBERED = 8192
_DECIMAL = re.compile(r"-?[0-9]+(?:\.[0-9]+)?").fullmatch
_WHOLE = re.compile(r"-?[0-9]+").fullmatch


class _Amounts(dict[Any, Decimal | None]):
    """Text to exact Decimal: fees, minima and most balances are those of the answer before."""

    def __init__(self, *, optional: bool) -> None:
        self.optional = optional

    def __missing__(self, text: str | None) -> Decimal | None:
        if not text and self.optional:
            amount = None
        elif not text or len(text) > _LONGEST or _DECIMAL(text) is None:
            raise ValueError("not a finite plain decimal")
        else:
            amount = Decimal(text)
        if len(self) >= _REMEMBERED:
            self.clear()
        self[text] = amount
        return amount


class _Wholes(dict[Any, int | None]):
    """Text, or a JSON number, to int. Only short ones are remembered: moments never come again."""

    def __init__(self, *, optional: bool) -> None:
        self.optional = optional

    def __missing__(self, text: str | int | None) -> int | None:
        if self.optional and (text is None or text == ""):
            return None
        digits = str(text)
        if len(digits) > _LONGEST or _WHOLE(digits) is None:
            raise ValueError("not a whole number")
        number = int(digits)
        if len(digits) < 3:
            self[text] = number
        return number


class _Flags(dict[Any, bool | None]):
    """A boolean that came as text."""

    def __missing__(self, text: object) -> bool:
        raise ValueError("neither true nor false")


CONVERTERS: dict[str, Mapping[Any, Any]] = {
    "amount": _Amounts(optional=False),
    "maybe_amount": _Amounts(optional=True),
    "whole": _Wholes(optional=False),
    "maybe_whole": _Wholes(optional=True),
    "flag": _Flags({True: True, False: False, "true": True, "false": False}),
    "maybe_flag": _Flags(
        {True: True, False: False, "true": True, "false": False, "": None, None: None}
    ),
}
"""By the names that generated code has for them."""


# -- names -------------------------------------------------------------------------------------


def each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Of two amounts under one name, JSON's readers take whichever they like: take neither."""
    parsed = dict(pairs)
    if len(parsed) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{ascii(twice)[1:-1][:40]} stands twice in one object")
    return parsed


def raw_quotes(raw: msgspec.Raw) -> int:
    """Quotation marks of a value that no struct knows, those within its texts left out.

    Raises ValueError where a name stands twice in it.
    """
    body = bytes(raw)
    if b"{" in body:
        json.loads(body, object_pairs_hook=each_once, parse_int=str, parse_float=str)
    return body.count(34) - body.count(b'\\"')
