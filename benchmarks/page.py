"""Keeps the figures in ``docs/benchmarks.md``: each full run renews the part of its name."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from platform import machine, python_version, system

from .harness import Report, Table

PAGE = Path(__file__).parent.parent / "docs" / "benchmarks.md"


def renew(name: str, report: Report) -> None:
    """Put the tables of a report between the marks of its name; without marks, do nothing."""
    if not PAGE.exists():
        return
    text = PAGE.read_text("utf-8")
    marks = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
    if not marks.search(text):
        return
    parts = [_table(table) for table in report.tables]
    parts += [f"Skipped: {word}\n" for word in report.skipped]
    parts.append(_origin())
    body = "\n" + "\n".join(parts) + "\n"
    PAGE.write_text(marks.sub(lambda found: found[1] + body + found[2], text), "utf-8")


def _table(table: Table) -> str:
    def line(cells: object) -> str:
        assert isinstance(cells, tuple | list)
        return "| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |"

    ruler = "| --- |" + " ---: |" * (len(table.columns) - 1)
    rows = [line(table.columns), ruler, *map(line, table.rows)]
    title = " ".join(table.title.split())
    note = " ".join(table.note.split())
    return "\n".join([f"**{title}**", "", *rows, *(["", note] if note else [])]) + "\n"


def _origin() -> str:
    day = datetime.now(UTC).date().isoformat()
    packages = ", ".join(f"{name} {version(name)}" for name in ("aiohttp", "msgspec", "aiolimiter"))
    return f"*{day}, Python {python_version()} on {system()} {machine()}, {packages}.*\n"
