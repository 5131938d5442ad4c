"""``okx-funding limits --machine``: the limits that the processes of this machine share, now."""

from __future__ import annotations

import argparse
from dataclasses import asdict

from rich.table import Table

from okx_funding.api.spec import RateLimit
from okx_funding.errors import InvalidArgumentError
from okx_funding.ratelimit.machine import MachineLimit, MachineReport, inspect_machine

from . import show
from .outcome import USAGE, Failure, one_line
from .shared import camel


def report(folder: str | None = None) -> MachineReport:
    """What is in the folder; Failure where this system has no such limits."""
    try:
        return inspect_machine(folder)
    except InvalidArgumentError as error:
        raise Failure(str(error), USAGE) from None


def machine_limits(args: argparse.Namespace) -> None:
    """Show path, processes, tickets and silent windows. Nothing is changed or sent."""
    found = report(args.folder)
    if args.json:
        show.print_json(
            {
                "path": found.path,
                "problem": found.problem,
                "silences": found.silences,
                "limits": [
                    {camel(name): value for name, value in asdict(it).items()}
                    for it in found.limits
                ],
            }
        )
        return
    console = show.console()
    console.print(f"Folder: {one_line(found.path)}", soft_wrap=True)
    if found.problem is not None:
        raise Failure(f"the folder can't be used: {found.problem}")
    if not found.limits:
        console.print("No process has asked for a limit there yet.")
        return
    table = show.table_of("Limit of", "Limit")
    for name in ("Free", "Next in", "On the way", "Tickets", "Processes"):
        table.add_column(name, justify="right")
    table.add_column("State", overflow="fold")
    for it in found.limits:
        _add(table, it)
    console.print(table)
    console.print("Tickets: processes that wait for a slot. Processes: those that live with it.")
    console.print(summary(found))


def _add(table: Table, it: MachineLimit) -> None:
    if it.problem is not None:
        table.add_row(it.name, "-", "-", "-", "-", "-", "-", one_line(it.problem), style="yellow")
        return
    table.add_row(
        one_line(it.label),
        str(RateLimit(it.count, it.period)) if it.count else "nobody lives with it",
        str(it.slots_free),
        f"{it.next_slot_in:.1f} s",
        str(it.in_flight),
        str(it.waiting),
        str(it.processes),
        state_of(it),
    )


def state_of(it: MachineLimit) -> str:
    """Why nothing is sent, if that is so."""
    if it.silent_for > 0:
        return f"silent for {it.silent_for:.1f} s: {it.silent_reason}"
    if it.frozen_for > 0:
        return f"frozen for {it.frozen_for:.1f} s: OKX refused a request"
    return "-"


def summary(found: MachineReport) -> str:
    """How many limits, processes and silent windows there are, in one sentence."""
    if not found.limits:
        return f"{found.path}: no process has asked for a limit yet"
    processes = max((it.processes for it in found.limits), default=0)
    waiting = sum(it.waiting for it in found.limits)
    bad = sum(it.problem is not None for it in found.limits)
    text = (
        f"{len(found.limits)} limits, up to {processes} processes with one of them, "
        f"{waiting} tickets"
    )
    if found.silences:
        reasons = ", ".join(f"{reason} {times}" for reason, times in found.silences.items())
        text += f"; began without a history and so with a silent window: {reasons}"
    if bad:
        text += f"; {bad} files can't be read"
    return one_line(text)
