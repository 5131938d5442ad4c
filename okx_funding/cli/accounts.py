"""``okx-funding accounts`` and ``sub-accounts``: many accounts, a line for each."""

from __future__ import annotations

import argparse
import asyncio
import csv
import sys
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from okx_funding.auth.settings import profile_names
from okx_funding.client import AccountGroup, SubAccounts
from okx_funding.client.accounts import ClientOptions
from okx_funding.errors import InvalidArgumentError, OKXError
from okx_funding.telemetry.events import Statistics

from . import connection, show
from .outcome import CREDENTIALS, ERROR, Failure, exit_code, one_line
from .progress import progress

_SHOWN = 4
"""Currencies that a line shows of one account."""


def accounts(args: argparse.Namespace) -> None:
    """A line for each profile. Failure, with the first error's exit code, if all of them fail."""
    try:
        lines = asyncio.run(_accounts(args))
    except InvalidArgumentError as error:
        raise Failure(str(error), CREDENTIALS) from None
    fields = ("account", "ccy", "valuation", "balances", "limits", "error")
    if not _print(args, [{name: it[name] for name in fields} for it in lines]):
        table = show.table_of("Account")
        table.add_column("Worth", justify="right", overflow="fold")
        for name in ("Funding account", "Limits in use"):
            table.add_column(name, overflow="fold")
        for it in lines:
            if it["error"]:
                table.add_row(it["account"], "-", f"failed: {it['error']}", "-", style="yellow")
            else:
                worth = f"{it['valuation']} {it['ccy']}"
                table.add_row(it["account"], worth, _few(it["balances"]), it["limits"])
        console = show.console()
        console.print(table)
        console.print(_verdict(lines))
    codes = [it["code"] for it in lines if it["error"]]
    if codes and len(codes) == len(lines):
        raise Failure(f"all {len(lines)} accounts failed", codes[0])


async def _accounts(args: argparse.Namespace) -> list[dict[str, Any]]:
    names = args.names or profile_names()
    if not names:
        raise InvalidArgumentError("there are no profiles in ~/.okx/config.toml")
    options: ClientOptions = {"allow_http": args.allow_http}
    if args.base_url is not None:
        options["base_url"] = args.base_url
    if args.demo is not None:
        options["demo"] = args.demo
    unit = args.unit and args.unit.upper()
    async with (
        connection.session_of(args, None) as session,
        AccountGroup.from_profiles(names, session=session, **options) as group,
    ):
        values, balances = await asyncio.gather(
            group.get_asset_valuation(unit, timeout=args.timeout),
            group.get_balances(timeout=args.timeout),
        )
        used = {name: _limits_in_use(it) for name, it in group.statistics().items()}
    lines = []
    for name in values:
        value, owned = values[name], balances[name]
        error = next((it for it in (value, owned) if isinstance(it, Exception)), None)
        line: dict[str, Any] = dict.fromkeys(("ccy", "valuation", "balances", "limits"))
        line |= {"account": name, "error": None, "code": 0}
        if error is not None:
            line["error"] = one_line(str(error))
            line["code"] = exit_code(error) if isinstance(error, OKXError) else ERROR
        else:
            assert not isinstance(value, Exception) and not isinstance(owned, Exception)  # noqa: PT018
            line |= {
                "ccy": value.ccy,
                "valuation": show.amount(value.total_bal),
                "balances": {it.ccy: show.amount(it.bal) for it in owned},
                "limits": used[name],
            }
        lines.append(line)
    return lines


def _limits_in_use(statistics: Statistics) -> str:
    return ", ".join(
        f"{it.endpoint.removeprefix('get_')} {it.count - it.slots_free} of {it.count}"
        for it in statistics.buckets
    )


def _verdict(lines: Sequence[dict[str, Any]]) -> str:
    ok = [it for it in lines if not it["error"]]
    totals: dict[str, Decimal] = {}
    for it in ok:
        totals[it["ccy"]] = totals.get(it["ccy"], Decimal(0)) + Decimal(it["valuation"])
    worth = ", ".join(f"{total:f} {ccy}" for ccy, total in totals.items()) or "nothing"
    failed = len(lines) - len(ok)
    return f"{len(ok)} accounts, {worth} in all" + (f"; {failed} failed" if failed else "") + "."


# -- sub-accounts --------------------------------------------------------------------------


def sub_accounts(args: argparse.Namespace) -> None:
    """A line for each sub-account of the master whose key it is."""
    lines = connection.run(args, _sub_accounts(args))
    if _print(args, lines):
        return
    console = show.console()
    if not lines:
        console.print("No sub-accounts.")
        return
    table = show.table_of("Sub-account", "Can give at most" if args.max_withdrawals else "Balances")
    for it in lines:
        failed = it["error"] is not None
        told = f"failed: {it['error']}" if failed else _few(it["balances"])
        table.add_row(one_line(it["subAcct"]), told, style="yellow" if failed else None)
    console.print(table)
    failures = sum(it["error"] is not None for it in lines)
    console.print(f"{len(lines)} sub-accounts" + (f", {failures} failed." if failures else "."))


async def _sub_accounts(args: argparse.Namespace) -> list[dict[str, Any]]:
    async with connection.client_of(args) as client:
        subs = SubAccounts(client)
        names = args.names or None
        if names is None:
            async with progress(client, lambda: "listing sub-accounts", rows_on_screen=False):
                names = [it.sub_acct for it in await subs.list_all(timeout=args.timeout)]
        answers: Any
        if args.trading:
            answers = await subs.trading_balances(names)
        elif args.max_withdrawals:
            answers = await subs.max_withdrawals(names)
        else:
            answers = await subs.funding_balances(names, ccy=args.ccy)
        if answers.estimated_seconds > 1:
            show.console(stderr=True).print(
                f"okx-funding: {answers.count} sub-accounts take about "
                f"{answers.estimated_seconds:.0f} s"
            )
        async with progress(
            client, lambda: f"{answers.done} of {answers.count} sub-accounts", rows_on_screen=False
        ):
            found = {name: answer async for name, answer in answers}
    return [_sub_line(name, found[name], args.ccy) for name in names]


def _sub_line(name: str, answer: Any, ccy: str | None) -> dict[str, Any]:
    if isinstance(answer, Exception):
        return {"subAcct": name, "balances": None, "error": one_line(str(answer))}
    amounts = dict(amount for row in answer for amount in _amounts(row))
    if ccy is not None:
        amounts = {key: value for key, value in amounts.items() if key == ccy.upper()}
    return {"subAcct": name, "balances": amounts, "error": None}


def _amounts(row: Any) -> list[tuple[str, str]]:
    """Currencies and amounts of one row: a balance, a maximum, or a whole trading account."""
    details = getattr(row, "details", None)
    if details is not None:
        return [(it.ccy, show.amount(it.eq)) for it in details]
    return [(row.ccy, show.amount(getattr(row, "bal", None) or getattr(row, "max_wd", None)))]


# -- both ----------------------------------------------------------------------------------


def _few(amounts: dict[str, str]) -> str:
    """The first currencies of an account, and how many more there are."""
    items = [f"{amount} {ccy}" for ccy, amount in amounts.items()]
    more = f" and {len(items) - _SHOWN} more" if len(items) > _SHOWN else ""
    return one_line(", ".join(items[:_SHOWN]) + more) if items else "nothing"


def _print(args: argparse.Namespace, lines: Sequence[dict[str, Any]]) -> bool:
    """Print as JSON, or as CSV with a line for each account and currency; False for people."""
    if args.json:
        show.print_json(list(lines))
        return True
    if not args.csv:
        return False
    writer = csv.writer(sys.stdout, lineterminator="\n")
    names = [name for name in (lines[0] if lines else ()) if name != "balances"]
    writer.writerow([*names, "balanceCcy", "balance"])
    for it in lines:
        head = ["" if it[name] is None else it[name] for name in names]
        for ccy, amount in (it["balances"] or {"": ""}).items():
            writer.writerow([*head, ccy, amount])
    return True
