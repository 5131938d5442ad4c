"""One line of what the doctor found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from rich.table import Table
from rich.text import Text

from okx_funding.cli.outcome import ERROR, one_line

Status = Literal["ok", "warning", "problem"]

_STYLES: dict[Status, str] = {"ok": "green", "warning": "yellow", "problem": "bold red"}


@dataclass(frozen=True, slots=True)
class Finding:
    """One line: what was looked at, how it is, and what to do if it isn't well."""

    name: str
    status: Status
    text: str
    advice: str = ""
    exit_code: int = ERROR
    """What the command ends with if this is a problem."""


def lines_of(finding: Finding) -> Table:
    """The finding, and below it what to do; wrapped at words where the terminal is narrow."""
    lines = Table.grid()
    lines.add_column(width=9, no_wrap=True)
    lines.add_column(width=13, no_wrap=True)
    lines.add_column(overflow="fold")
    lines.add_row(
        Text(finding.status, _STYLES[finding.status]),
        Text(finding.name, "bold"),
        Text(one_line(finding.text)),
    )
    if finding.advice:
        lines.add_row("", "", Text(f"-> {one_line(finding.advice)}"))
    return lines
