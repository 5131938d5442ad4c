"""``okx-funding journal`` and ``resolve``: movements whose outcome isn't known yet."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path
from typing import Any

from okx_funding.errors import OKXError
from okx_funding.money import Done, Intent, NotDone, Outcome

from . import connection, rows, show
from .money import described, journal_of, not_done, show_outcome, why_unknown
from .outcome import UNKNOWN, USAGE, Failure, exit_code, one_line


def journal(args: argparse.Namespace) -> None:
    """List the open intents of a journal; with ``--resolve`` ask OKX what became of them.

    Failure with the exit code for unknown outcomes, if something stays open after ``--resolve``.
    """
    if "://" not in args.path and not Path(args.path).is_file():
        raise Failure(f"there is no journal {args.path}", USAGE)
    if not args.resolve:
        _list(args, _open(args))
        return
    outcomes = connection.run(args, _recovered(args))
    _show_outcomes(args, outcomes)
    left = [
        it for it in _open(args) if it.client_id not in {each.client_id for each, _ in outcomes}
    ]
    if left and not args.json:
        show.console().print(f"{len(left)} are open beside these, of other accounts or hosts.")
    unknown = [it for it, outcome in outcomes if not isinstance(outcome, Done | NotDone)]
    if unknown:
        raise Failure(
            f"{len(unknown)} of {len(outcomes)} stay unknown: don't send them again, and ask later",
            UNKNOWN,
        )


def resolve(args: argparse.Namespace) -> None:
    """Ask OKX what became of one intent, given as its JSON text."""
    text = sys.stdin.read() if args.intent == "-" else args.intent
    try:
        intent = Intent.from_json(text)
    except OKXError as error:
        raise Failure(str(error), USAGE) from None
    args.csv = False

    async def ask() -> Outcome:
        async with connection.client_of(args) as client:
            return await client.resolve(intent)

    show_outcome(args, connection.run(args, ask()), hint="Ask again later")


def _open(args: argparse.Namespace) -> list[Intent]:
    async def read() -> list[Intent]:
        found = journal_of(args.path)
        assert found is not None
        try:
            return await found.open_intents()
        finally:
            await found.aclose()  # type: ignore[attr-defined]

    try:
        return asyncio.run(read())
    except OKXError as error:
        raise Failure(str(error), exit_code(error)) from None
    except Exception as error:  # whatever a database says of a file that isn't one
        raise Failure(f"can't read the journal: {one_line(str(error))}") from None


async def _recovered(args: argparse.Namespace) -> list[tuple[Intent, Outcome]]:
    found = journal_of(args.path)
    async with connection.client_of(args, journal=found) as client:
        return [each async for each in client.recover()]


def _list(args: argparse.Namespace, intents: list[Intent]) -> None:
    if args.json:
        show.print_json([_fields(it) for it in intents])
        return
    console = show.console()
    if not intents:
        console.print("Nothing is open.")
        return
    table = show.table_of("Made at (UTC)", "What", "Amount", "Client id", "Account", "Sent")
    for it in intents:
        sent = "never" if it.signed_at is None else rows.when(it.signed_at)
        table.add_row(
            rows.when(it.created_at),
            it.kind.replace("_", " "),
            described(it),
            it.client_id,
            one_line(f"{it.account} at {it.host}{' (demo)' * it.demo}"),
            sent,
        )
    console.print(table)
    console.print(f"{len(intents)} open. --resolve asks OKX what became of them; nothing is sent.")


def _show_outcomes(args: argparse.Namespace, outcomes: list[tuple[Intent, Outcome]]) -> None:
    if args.json:
        show.print_json([_fields(it) | _outcome_fields(outcome) for it, outcome in outcomes])
        return
    console = show.console()
    if not outcomes:
        console.print("Nothing of this account is open.")
        return
    table = show.table_of("What", "Amount", "Client id", "Outcome")
    for it, outcome in outcomes:
        if isinstance(outcome, Done):
            told = "done, once"
        elif isinstance(outcome, NotDone):
            told = str(not_done(outcome))
        else:
            told = why_unknown(outcome)
        table.add_row(it.kind.replace("_", " "), described(it), it.client_id, one_line(told))
    console.print(table)


def _fields(intent: Intent) -> dict[str, Any]:
    return {
        "kind": intent.kind,
        "clientId": intent.client_id,
        "account": intent.account,
        "host": intent.host,
        "demo": intent.demo,
        "createdAt": intent.created_at,
        "signedAt": intent.signed_at,
        "body": intent.body,
    }


def _outcome_fields(outcome: Outcome) -> dict[str, Any]:
    if isinstance(outcome, Done):
        return {"outcome": "done", "row": outcome.row}
    if isinstance(outcome, NotDone):
        return {"outcome": "not done", "reason": outcome.reason, "error": str(outcome.error)}
    return {"outcome": "unknown", "error": str(outcome.error)}
