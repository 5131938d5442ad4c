"""Deposits and withdrawals as they happen: a live view, lines in a pipe, JSON for scripts."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from collections import deque
from collections.abc import AsyncIterator
from typing import Any

from rich.console import Group
from rich.live import Live
from rich.text import Text

from okx_funding.api.deposits import Deposit
from okx_funding.api.withdrawals import Withdrawal
from okx_funding.client import FundingClient
from okx_funding.client.watch import Gap

from . import connection, rows, show
from .declared import FOLLOWED, Declared
from .options import arguments, moment, option_of
from .outcome import USAGE, Failure, one_line
from .reads import usage_in_options

_FINAL = {"deposits": frozenset({"2"}), "withdrawals": frozenset({"2", "-1", "-2"})}
_STYLES = {"2": "green", "-1": "yellow", "-2": "yellow"}
_AROUND = 6
"""Lines of a screen that aren't events."""

Event = Deposit | Withdrawal | Gap


def watch(args: argparse.Namespace) -> None:
    """``okx-funding watch deposits`` and ``withdrawals``, until Ctrl-C."""
    if args.json:
        work = _as_json(args, f"watch_{args.what}", args.ccy, _since(args), args.details, args.gaps)
    else:
        work = _shown(args)
    _until_interrupted(args, work)


def follow(args: argparse.Namespace) -> None:
    """``okx-funding deposit-history --follow --json``: a JSON object in each line."""
    command: Declared = args.command
    if not args.json:
        raise Failure("--follow needs --json; okx-funding watch shows the same to people", USAGE)
    given = arguments(command.parameters, args)
    since = args.param_since
    for name in given:
        if name != "ccy":
            raise Failure(
                f"{option_of(name)} doesn't go with --follow; --ccy and --since do", USAGE
            )
    work = _as_json(args, FOLLOWED[command.endpoint.name], given.get("ccy"), since, False, False)
    _until_interrupted(args, work)


def _until_interrupted(args: argparse.Namespace, work: Any) -> None:
    with contextlib.suppress(KeyboardInterrupt):  # its ordinary end
        connection.run(args, work)


def _since(args: argparse.Namespace) -> Any:
    """A moment, or a bookmark of an earlier watch."""
    if args.since is None:
        return None
    try:
        return moment(args.since)
    except argparse.ArgumentTypeError:
        return args.since


def _events(
    client: FundingClient, method: str, ccy: str | None, since: Any, details: bool, gaps: bool
) -> AsyncIterator[Event]:
    with usage_in_options(("ccy", "since")):
        found: AsyncIterator[Event] = getattr(client, method)(
            ccy=ccy, since=since, details=details, gaps=gaps
        )
    return found


async def _as_json(
    args: argparse.Namespace, method: str, ccy: str | None, since: Any, details: bool, gaps: bool
) -> None:
    async with connection.client_of(args) as client:
        async for event in _events(client, method, ccy, since, details, gaps):
            if isinstance(event, Gap):
                line: dict[str, Any] = {
                    "gap": event.channel,
                    "since": event.since,
                    "until": event.until,
                    "reason": event.reason,
                }
            else:
                line = {**show.plain(event), "bookmark": event.bookmark}
            sys.stdout.write(json.dumps(line, ensure_ascii=False) + "\n")
            sys.stdout.flush()


async def _shown(args: argparse.Namespace) -> None:
    console = show.console()
    recent: deque[Event] = deque(maxlen=max(3, console.height - _AROUND))
    count = 0
    async with connection.client_of(args) as client:
        events = _events(
            client, f"watch_{args.what}", args.ccy, _since(args), args.details, args.gaps
        )
        if not console.is_terminal:
            async for event in events:
                console.print(_line(event, args.what), soft_wrap=True)
            return
        with Live(console=console, auto_refresh=False) as live:

            def draw() -> None:
                head = f"{count} events of {args.what}, the newest below. Ctrl-C ends it."
                live.update(
                    Group(Text(head, style="dim"), *(_styled(it, args.what) for it in recent)),
                    refresh=True,
                )

            draw()
            async for event in events:
                count += 1
                recent.append(event)
                draw()


def _styled(event: Event, what: str) -> Text:
    style = "" if isinstance(event, Gap) else _STYLES.get(event.state, "")
    return Text(_line(event, what), style=style)


def _line(event: Event, what: str) -> str:
    """Time, id, amount, state: one line."""
    if isinstance(event, Gap):
        since, until = rows.when(event.since), rows.when(event.until)
        return f"gap from {since} to {until}: {event.reason} can't be known"
    ident = event.dep_id if isinstance(event, Deposit) else event.wd_id
    final = " (final)" if event.state in _FINAL[what] else ""
    where = f" {event.chain}" if event.chain else ""
    at, amount = rows.when(event.p_time or event.ts), show.amount(event.amt)
    return one_line(f"{at} {ident} {amount} {event.ccy}{where} state {event.state}{final}")
