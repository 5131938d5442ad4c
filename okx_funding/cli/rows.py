"""Rows of any struct: as a table for people, as JSON or CSV for programs."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any, get_args, get_origin

import msgspec
from rich.console import Console

from okx_funding.api.rows import moment_of
from okx_funding.api.spec import Row

from . import show
from .outcome import one_line

_NARROWEST = 11
"""Letters of a terminal's width that a column gets at least."""


def print_rows(rows: Sequence[Row], *, what: str = "rows") -> None:
    """A table, or name and value below each other where there is one row only."""
    console = show.console()
    if not rows:
        console.print(f"No {what}.")
        return
    lines = [flat(row) for row in rows]
    if len(lines) == 1:
        console.print(show.figures([(name, _cell(name, it)) for name, it in lines[0].items()]))
        return
    _table(console, lines)


def _table(console: Console, lines: list[dict[str, Any]]) -> None:
    filled = [name for name in lines[0] if any(line.get(name) not in (None, "") for line in lines)]
    shown = filled[: max(4, console.width // _NARROWEST)]
    table = show.table_of(*shown)
    for line in lines:
        table.add_row(*(_cell(name, line.get(name)) for name in shown))
    console.print(table)
    if len(shown) < len(filled):
        console.print(
            f"{len(filled) - len(shown)} more fields: --json or --csv shows them, and so does a "
            "wider terminal."
        )


def flat(row: Row) -> dict[str, Any]:
    """Fields by OKX's names, nested ones as ``details.funding``, lists as they are."""
    found: dict[str, Any] = {}
    for name, value in show.plain(row).items():
        if isinstance(value, dict):
            found |= {f"{name}.{inner}": each for inner, each in value.items()}
        else:
            found[name] = value
    return found


def names_of(kind: type[msgspec.Struct]) -> list[str]:
    """The columns of a struct's rows, whether or not there are rows."""
    names: list[str] = []
    for each in msgspec.structs.fields(kind):
        parts = (each.type, *get_args(each.type)) if get_origin(each.type) is not list else ()
        inner = [it for it in parts if isinstance(it, type) and issubclass(it, msgspec.Struct)]
        if inner:
            names += [f"{each.encode_name}.{name}" for name in names_of(inner[0])]
        else:
            names.append(each.encode_name)
    return names


def _cell(name: str, value: Any) -> str:
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int) and value > 10**11 and name.lower().endswith(("ts", "time")):
        return when(value)
    if isinstance(value, list | dict):
        return one_line(json.dumps(value, ensure_ascii=False)) if value else "-"
    return one_line(str(value))


def when(milliseconds: int) -> str:
    """A moment for people, in UTC."""
    return f"{moment_of(milliseconds):%Y-%m-%d %H:%M:%S}"


class Lines:
    """Rows written one by one: CSV with a head, a JSON array, or one JSON object in each line."""

    def __init__(self, kind: type[msgspec.Struct], form: str) -> None:
        self._form = form
        self._count = 0
        self._names = names_of(kind)
        self._csv = csv.writer(sys.stdout, lineterminator="\n")
        if form == "csv":
            self._csv.writerow(self._names)

    def write(self, row: Row, **more: Any) -> None:
        """Write one row; ``more`` are fields beside its own, in JSON only."""
        if self._form == "csv":
            values = flat(row)
            self._csv.writerow([_text(values.get(name)) for name in self._names])
        else:
            text = json.dumps(show.plain(row) | more, ensure_ascii=False)
            if self._form == "json":
                text = ("[\n  " if not self._count else ",\n  ") + text
            sys.stdout.write(text if self._form == "json" else text + "\n")
        self._count += 1

    def end(self) -> None:
        """Write what closes it."""
        if self._form == "json":
            sys.stdout.write("\n]\n" if self._count else "[]\n")


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else str(value)


def print_all(kind: type[msgspec.Struct], rows: Iterable[Row], form: str) -> None:
    """All rows in one form."""
    lines = Lines(kind, form)
    for row in rows:
        lines.write(row)
    lines.end()
