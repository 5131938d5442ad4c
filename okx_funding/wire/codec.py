"""From JSON to structs: rows as text, decoded in C, become the public rows with their amounts.

A public struct has amounts; the wire has text. msgspec's own Decimal takes "NaN" and "1_000" and
refuses "", so a twin struct of text is decoded, and a constructor generated for the row makes the
public one of it. Where OKX sends a name twice, msgspec would take the last one. So the quotation
marks are counted: a twin's type says how many it takes, and any pair more takes at least two.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable, Iterator
from functools import cache
from typing import Any, NamedTuple, cast

import msgspec

from .constructors import Field, Notes, fields_of, generate, structs_of
from .values import each_once

_MAX_LEARNED = 64
_MAX_NAME = 64
_DECODING = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


class _Compiled(NamedTuple):
    """Everything made for one state of knowledge; replaced as a whole, so that threads agree."""

    notes: dict[type[msgspec.Struct] | None, Notes]
    decode: Callable[[bytes], Any]
    many: Callable[[Any], list[Any]]
    rows: Callable[[bytes], list[Any] | None]


class Codec:
    """Decodes answers whose ``data`` are rows of one struct.

    It expects every documented field in every row, as text. An answer that differs is looked at
    by Python once: what may be missing, null or a number, and the names that OKX added, are
    learned, and answers of that kind are cheap from then on.
    """

    def __init__(self, row: type[msgspec.Struct]) -> None:
        self.row = row
        self._now = _compile(row, {kind: Notes() for kind in (None, *structs_of(row))})

    @property
    def learned(self) -> dict[str, tuple[str, ...]]:
        """The names that OKX sent and no struct knows, by the struct's name ("" for the top)."""
        return {
            "" if kind is None else kind.__name__: tuple(notes.learned)
            for kind, notes in self._now.notes.items()
            if notes.learned
        }

    def rows(self, body: bytes) -> list[Any] | None:
        """The rows of an answer whose code is "0"; None where somebody has to look.

        Raises ValueError, which names the field, for an amount that is none.
        """
        return self._now.rows(body)

    def look(self, body: bytes) -> list[Any]:
        """The rows of any answer whose code is "0". Learns how it differs from those before.

        Raises ValueError, RecursionError or an error of msgspec's for what is no such answer.
        """
        parsed = json.loads(body, object_pairs_hook=each_once, parse_int=_number, parse_float=str)
        notes = _learn(self.row, self._now.notes, parsed)
        now = self._now if notes is None else _compile(self.row, notes)
        answer = now.decode(body)
        if answer.code != "0":
            raise ValueError("the code isn't the text '0'")
        rows = now.many(answer.data)
        self._now = now  # from an answer that is none, nothing is learned
        return rows


def _number(_: str) -> int:
    return 0  # that it is a number is all that is learned from it


_ENVELOPE = (Field("code", "code", str), Field("msg", "msg", str | None))


def _compile(
    row: type[msgspec.Struct], notes: dict[type[msgspec.Struct] | None, Notes]
) -> _Compiled:
    made = generate(row, notes)
    data = Field("data", "data", list[row])  # type: ignore[valid-type]
    envelope = generate(None, notes, (*_ENVELOPE, data), {row: made})
    decode = msgspec.json.Decoder(envelope.twin).decode
    construct, around, each = made.many, envelope.always, made.always

    def many(twins: Any) -> list[Any]:
        try:
            return construct(twins)
        except ValueError:
            made.explain(twins)  # raises the same with the field's name
            raise

    def rows(body: bytes) -> list[Any] | None:
        try:
            answer = decode(body)
        except _DECODING:
            return None
        if answer.code != "0":
            return None
        twins = answer.data
        quotes = envelope.quotes((answer,)) if around is None else around
        quotes += made.quotes(twins) if each is None else each * len(twins)
        if quotes != body.count(34) and quotes != _unescaped(body):
            return None
        return many(twins)

    return _Compiled(notes, decode, many, rows)


def _unescaped(body: bytes) -> int:
    """Quotation marks that aren't part of a text; -1 where that can't be seen at a glance."""
    return -1 if b"\\\\" in body else body.count(34) - body.count(b'\\"')


def _learn(
    row: type[msgspec.Struct], known: dict[type[msgspec.Struct] | None, Notes], parsed: Any
) -> dict[type[msgspec.Struct] | None, Notes] | None:
    """What is known after an answer; None where that is what was known before."""
    met: dict[type[msgspec.Struct] | None, list[dict[str, Any]]] = {kind: [] for kind in known}
    if isinstance(parsed, dict):
        met[None].append(parsed)
        for each in _objects(parsed.get("data")):
            _meet(row, each, met)
    left = _MAX_LEARNED - sum(len(notes.learned) for notes in known.values())
    after: dict[type[msgspec.Struct] | None, Notes] = {}
    for kind, notes in known.items():
        fields = _ENVELOPE if kind is None else fields_of(kind)
        documented = {field.key for field in fields} | ({"data"} if kind is None else set())
        opened = {
            field.key
            for field in fields
            if any(not field.fits(each.get(field.key)) for each in met[kind])
        }
        names = dict.fromkeys(
            name
            for each in met[kind]
            for name in each
            if name not in documented and len(name) <= _MAX_NAME and name.isprintable()
        )
        new = [name for name in names if name not in notes.learned][: max(left, 0)]
        left -= len(new)
        learned = {
            name: notes.learned.get(name, True)
            and all(isinstance(each.get(name), str) for each in met[kind])
            for name in (*notes.learned, *new)
        }
        after[kind] = Notes(notes.opened | opened, learned)
    return None if after == known else after


def _objects(parsed: Any) -> Iterator[dict[str, Any]]:
    if isinstance(parsed, list):
        yield from (each for each in parsed if isinstance(each, dict))


def _meet(
    kind: type[msgspec.Struct],
    parsed: dict[str, Any],
    met: dict[type[msgspec.Struct] | None, list[dict[str, Any]]],
) -> None:
    """Note an object, and those within it, under the struct that it is decoded into."""
    met[kind].append(parsed)
    for field in fields_of(kind):
        if field.struct is not None:
            inner = parsed.get(field.key)
            for each in _objects(inner if isinstance(inner, list) else [inner]):
                _meet(field.struct, each, met)


@cache
def codec_of(row: Hashable) -> Codec | PlainCodec:
    """The one codec of a row, made at its first use; ``dict`` stands for rows without a struct."""
    return PlainCodec() if row is dict else Codec(cast(type[msgspec.Struct], row))


class PlainCodec:
    """Decodes rows that have no struct: dicts, with text as OKX sends it."""

    def rows(self, body: bytes) -> list[Any] | None:  # noqa: ARG002
        """None: each answer is looked at."""
        return None

    def look(self, body: bytes) -> list[Any]:
        """The rows of an answer whose code is "0"; numbers stay text."""
        answer = json.loads(body, object_pairs_hook=each_once, parse_int=str, parse_float=str)
        if not isinstance(answer, dict) or answer.get("code") != "0":
            raise ValueError("the code isn't the text '0'")
        rows = answer.get("data")
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise ValueError("data isn't a list of objects")
        return rows
