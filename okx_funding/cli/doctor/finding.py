"""One line of what the doctor found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

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


def line_of(finding: Finding) -> Text:
    line = Text.assemble(
        (f"{finding.status:<9}", _STYLES[finding.status]),
        (f"{finding.name:<13}", "bold"),
        one_line(finding.text),
    )
    if finding.advice:
        line.append(f"\n{'':<22}-> {one_line(finding.advice)}")
    return line
