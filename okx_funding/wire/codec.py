"""From JSON to structs: rows as text, decoded in C, become the public rows with their amounts.

A public struct has amounts; the wire has text. msgspec's own Decimal takes "NaN" and "1_000" and
refuses "", so a twin struct of text is decoded and turned into the public one. Column by column,
because then nearly every step is one call into C for all rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from functools import cache
from types import GenericAlias, NoneType
from typing import Any, get_args

import msgspec

from okx_funding.models import Row

_DIGITS = "0123456789-,"
_LONGEST = 100

_Column = Sequence[Any]


def _made_of(characters: str, column: _Column) -> bool:
    return max(map(len, column)) <= _LONGEST and not ",".join(column).strip(characters)


def _amounts(column: _Column) -> _Column:
    try:  # fees, minima and most balances are those of the answer before
        return list(map(_seen.__getitem__, column))
    except KeyError:
        pass
    # Of these characters alone, Decimal takes plain finite numbers only; "," it never takes.
    if not _made_of(_DIGITS + ".", column):
        raise ValueError("not a finite plain decimal")
    try:
        amounts = list(map(Decimal, column))
    except ArithmeticError:
        raise ValueError("not a finite plain decimal") from None
    if len(_seen) > _SEEN:
        _seen.clear()
    _seen.update(zip(column, amounts, strict=True))
    return amounts


_SEEN = 8192
_seen: dict[str, Decimal] = {}


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


class Codec:
    """Decodes an answer into twins, structs of text, and turns them into the public ``row``."""

    def __init__(self, row: type[Row]) -> None:
        self.row = row
        self.names: int = 0
        """How many names a row has, those of nested rows included, if it has all of them."""
        self.converters: list[tuple[int, str, Callable[[_Column], _Column]]] = []
        twin_fields: list[tuple[str, Any] | tuple[str, Any, Any]] = []
        for position, field in enumerate(msgspec.structs.fields(row)):
            kind = field.type
            self.names += field.required
            if kind in _TWINS:
                kind, convert = _TWINS[kind]
                self.converters.append((position, field.encode_name, convert))
            elif isinstance(kind, type) and issubclass(kind, Row):
                nested = codec_of(kind)
                kind = nested.twin
                self.names += nested.names
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
def codec_of(row: type[Row]) -> Codec:
    """The one codec of a row."""
    return Codec(row)
