"""Twins, structs of text, and the code that makes the public rows of them.

For each struct one function is generated that reads every field once, as somebody would write it
by hand: ``[Balance(t.ccy, amount[t.bal]) for t in twins]``. ``amount`` is a dict that checks what
it hasn't seen yet. Where a field may differ from row to row it costs a little more.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cache
from types import NoneType
from typing import Any, NamedTuple, TypeAlias, Union, get_args, get_origin

import msgspec
from msgspec import UNSET, UnsetType

from .values import CONVERTERS, raw_quotes

_NAMES = {Decimal: "amount", int: "whole", bool: "flag"}


# -- fields ------------------------------------------------------------------------------------


class Field:
    """One field of a struct: its name here, its name at OKX, and what it may hold."""

    __slots__ = ("base", "default", "item", "key", "name", "optional", "struct")

    def __init__(self, name: str, key: str, kind: Any, default: str | None = None) -> None:
        self.name: str = name
        self.key: str = key
        members = get_args(kind) if isinstance(kind, types.UnionType) else ()
        if get_origin(kind) is Union:
            members = get_args(kind)
        bases = [each for each in members if each is not NoneType] if members else [kind]
        if len(bases) != 1:
            raise TypeError(f"{name}: {kind} isn't one type or None")
        self.base: Any = get_origin(bases[0]) or bases[0]
        self.optional: bool = len(bases) < len(members)
        self.item: Field | None = (
            Field(name, key, get_args(bases[0])[0]) if self.base is list else None
        )
        self.struct: type[msgspec.Struct] | None = None
        self.default = default
        """The expression for a field that is missing; None where it may not be."""
        if self.optional and default is None:
            self.default = "None"
        if self.item is not None:
            self.struct = self.item.struct
            if self.item.optional or self.item.base in (bool, dict, list):
                raise TypeError(f"{name}: a list holds text, amounts or rows, not {kind}")
        elif isinstance(self.base, type) and issubclass(self.base, msgspec.Struct):
            self.struct = self.base
        elif self.base is dict:
            if get_args(bases[0]) != (str, str):
                raise TypeError(f"{name}: a dict holds text by text only")
        elif self.base not in (str, bool, int, Decimal):
            raise TypeError(f"{name}: OKX sends text, so {kind} can't be decoded")

    def fits(self, parsed: Any) -> bool:
        """Whether it is what is expected of the field: there, and text where it can be text."""
        if self.item is not None:
            return isinstance(parsed, list) and all(map(self.item.fits, parsed))
        if self.struct is not None or self.base is dict:
            return isinstance(parsed, dict)
        return isinstance(parsed, bool if self.base is bool else str)

    def twin_type(self, twins: Mapping[Any, Generated], opened: bool) -> Any:
        """What its twin holds."""
        kind: Any
        if self.item is not None:
            kind = list[self.item.twin_type(twins, opened)]  # type: ignore[misc]
        elif self.struct is not None:
            kind = twins[self.struct].twin
        elif self.base is dict:
            kind = dict[str, str]
        elif not opened:
            return bool if self.base is bool else str
        else:
            kind = {bool: bool | str, int: str | int}.get(self.base, str)
        return kind | None if opened and self.optional else kind

    def value(self, twin: str, opened: bool) -> str:
        """The expression that makes the public value of what ``twin`` holds."""
        if self.item is not None:
            inner = self.item.value("each", opened)
            if self.struct is not None:
                inner = f"{_tag(self.struct)}_many({twin})"
            else:
                inner = twin if inner == "each" else f"[{inner} for each in {twin}]"
        elif self.struct is not None:
            inner = f"{_tag(self.struct)}_many(({twin},))[0]"
        elif self.base in _NAMES and (opened or self.base is not bool):
            return f"{'maybe_' * self.optional}{_NAMES[self.base]}[{twin}]"
        else:
            return twin
        if opened and self.optional and inner != twin:
            return f"(None if {twin} is None else {inner})"
        return inner

    def quotes(self, twin: str, opened: bool) -> tuple[int, str]:
        """Quotation marks of what ``twin`` holds: so many always, and an expression for more."""
        if self.struct is not None:
            many = twin if self.item is not None else f"({twin},)"
            more = f"{_tag(self.struct)}_quotes({many})"
            return 0, f"({more} if {twin} else 0)" if opened else more
        if opened and (self.item is not None or self.base is dict):
            return 0, f"quotes_of({twin})"
        if opened:
            return 0, f"(2 if {twin}.__class__ is str else 0)"
        if self.item is not None:
            return 0, f"2 * len({twin})"
        if self.base is dict:
            return 0, f"4 * len({twin})"
        return (0 if self.base is bool else 2), ""


def _tag(struct: type[Any]) -> str:
    return f"{struct.__name__}_{id(struct)}"  # two structs may have one name


def _quotes_of(parsed: Any) -> int:
    """Quotation marks of any value without a struct in it."""
    if isinstance(parsed, str):
        return 2
    if isinstance(parsed, list):
        return sum(map(_quotes_of, parsed))
    return 4 * len(parsed) if isinstance(parsed, dict) else 0


_infos = cache(msgspec.structs.fields)


@cache
def fields_of(kind: type[msgspec.Struct]) -> tuple[Field, ...]:
    """The fields of a struct."""
    fields = []
    for each in _infos(kind):
        default = None
        if each.default_factory is not msgspec.NODEFAULT:
            default = f"default_{each.name}()"
        elif each.default is not msgspec.NODEFAULT:
            default = f"default_{each.name}"
        fields.append(Field(each.name, each.encode_name, each.type, default))
    return tuple(fields)


def _defaults_of(kind: type[msgspec.Struct]) -> Iterator[tuple[str, Any]]:
    for each in _infos(kind):
        missing = each.default_factory is msgspec.NODEFAULT
        yield f"default_{each.name}", each.default if missing else each.default_factory


def structs_of(kind: type[msgspec.Struct]) -> Iterator[type[msgspec.Struct]]:
    """The structs within a struct, those first that others need, itself last."""
    seen: dict[type[msgspec.Struct], None] = {}

    def visit(kind: type[msgspec.Struct]) -> None:
        for each in fields_of(kind):
            if each.struct is not None:
                visit(each.struct)
        seen[kind] = None

    visit(kind)
    return iter(seen)


# -- what is generated -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Notes:
    """How the objects of one struct differ from what is documented."""

    opened: frozenset[str] = frozenset()
    """Names of fields that were missing, null or no text at least once."""
    learned: dict[str, bool] = field(default_factory=dict)
    """Names that no struct knows; True for text that was in each object so far."""


class Generated(NamedTuple):
    """What was made for one struct."""

    twin: type[Any]
    many: Callable[[Sequence[Any]], list[Any]]
    """Twins to public rows. Raises ValueError for an amount that is none."""
    quotes: Callable[[Sequence[Any]], int]
    """Quotation marks that the JSON of these twins takes, if no name stands twice."""
    always: int | None
    """Quotation marks of one, where each takes as many."""
    explain: Callable[[Sequence[Any]], None]
    """Raise the ValueError with the name of the field."""


_Kinds: TypeAlias = Mapping[type[msgspec.Struct] | None, Notes]
_ABSENT = msgspec.Raw()


def generate(
    row: type[msgspec.Struct] | None,
    notes: _Kinds,
    fields: Sequence[Field] = (),
    inner: Mapping[Any, Generated] = types.MappingProxyType({}),
) -> Generated:
    """Make it for a struct and those within; without a struct, for an envelope of ``fields``.

    The quotation marks of an envelope are those around its rows.
    """
    made: dict[Any, Generated] = dict(inner)
    if row is not None:
        for each in structs_of(row):
            made[each] = _one(each, fields_of(each), notes[each], made)
        return made[row]
    return _one(None, fields, notes[None], made)


def _one(
    row: type[msgspec.Struct] | None,
    fields: Sequence[Field],
    notes: Notes,
    made: Mapping[Any, Generated],
) -> Generated:
    scope: dict[str, Any] = {**CONVERTERS, "UNSET": UNSET, "ABSENT": _ABSENT}
    scope.update(quotes_of=_quotes_of, raw_quotes=raw_quotes, row=row)
    for struct, each in made.items():
        scope[f"{_tag(struct)}_many"] = each.many
        scope[f"{_tag(struct)}_quotes"] = each.quotes
    if row is not None:
        scope.update(_defaults_of(row))
    twin = _twin("Answer" if row is None else row.__name__, fields, notes, made)
    always, more = _count(fields, notes, rows_too=row is not None)
    many: Any = None
    values = {each: _value(each, each.key in notes.opened) for each in fields}
    if row is not None:
        positional = row.__match_args__
        given = [
            values[each] if each.name in positional else f"{each.name}={values[each]}"
            for each in fields
        ]
        many = _function(f"[row({', '.join(given)}) for t in ts]", scope)
    total = f"{always} * len(ts)"
    if more:
        total += f" + sum([{' + '.join(more)} for t in ts])"

    def explain(twins: Sequence[Any]) -> None:
        for each, value in values.items():
            try:
                _function(f"[{value} for t in ts]", scope)(twins)
            except ValueError as error:
                reason = str(error)
                for inner in _filled(twins, each):
                    try:
                        made[each.struct].explain(inner if isinstance(inner, list) else (inner,))
                    except ValueError as within:
                        reason = str(within)
                        break
                raise ValueError(f"{each.key}: {reason}") from None

    return Generated(twin, many, _function(total, scope), None if more else always, explain)


def _filled(twins: Sequence[Any], each: Field) -> list[Any]:
    """What the field holds of structs, a list or one of them."""
    if each.struct is None:
        return []
    return [inner for twin in twins if (inner := getattr(twin, each.name))]


def _value(each: Field, opened: bool) -> str:
    value = each.value(f"t.{each.name}", opened)
    if opened and each.default is not None:
        return f"({each.default} if t.{each.name} is UNSET else {value})"
    return value


def _count(fields: Sequence[Field], notes: Notes, *, rows_too: bool) -> tuple[int, list[str]]:
    """Quotation marks that every object takes, and the expressions for those that some do."""
    always, more = 0, []
    for each in fields:
        opened = each.key in notes.opened
        fixed, extra = each.quotes(f"t.{each.name}", opened)
        if opened and each.default is not None:
            more.append(f"(0 if t.{each.name} is UNSET else {2 + fixed} + {extra or 0})")
            continue
        always += 2 + fixed
        if extra and (rows_too or each.struct is None):
            more.append(extra)
    for number, as_text in enumerate(notes.learned.values()):
        if as_text:
            always += 4
        else:
            learned = f"t.learned_{number}"
            more.append(f"(0 if {learned} is ABSENT else 2 + raw_quotes({learned}))")
    return always, more


def _twin(
    name: str, fields: Sequence[Field], notes: Notes, made: Mapping[Any, Generated]
) -> type[Any]:
    spelling = {each.name: each.key for each in fields}
    columns: list[Any] = []
    for each in fields:
        opened = each.key in notes.opened
        kind = each.twin_type(made, opened)
        if opened and each.default is not None:
            columns.append((each.name, kind | UnsetType, UNSET))
        else:
            columns.append((each.name, kind))
    for number, (key, as_text) in enumerate(notes.learned.items()):
        column = f"learned_{number}"
        spelling[column] = key
        columns.append((column, str) if as_text else (column, msgspec.Raw, _ABSENT))
    return msgspec.defstruct(f"Wire{name}", columns, rename=spelling, kw_only=True, gc=False)


def _function(expression: str, scope: dict[str, Any]) -> Any:
    # Names of our own structs and fields only: nothing of an answer gets into the code.
    return eval(f"lambda ts: {expression}", scope)  # noqa: S307
