"""The commands that read: one answer, a walk through all pages, or what happens from now on."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from okx_funding.api.pages import PageIterator
from okx_funding.api.spec import Row
from okx_funding.client import FundingClient
from okx_funding.errors import InvalidArgumentError

from . import connection, rows, show
from .declared import Declared, declared
from .options import arguments, in_options, option_of
from .outcome import USAGE, Failure
from .progress import progress

_PAGE = ("after", "before", "begin", "end", "limit", "paging_type")


def read(args: argparse.Namespace) -> None:
    """Run the command of ``args.command``."""
    command: Declared = args.command
    if getattr(args, "follow", False):
        from .follow import follow

        follow(args)
        return
    walk = [name for name in ("since", "until", "cursor") if _typed(args, name)]
    work = _walk(args, command) if walk or getattr(args, "all", False) else _ask(args, command)
    connection.run(args, work)


async def _ask(args: argparse.Namespace, command: Declared) -> None:
    given = arguments(command.parameters, args)
    if command.endpoint.name == "get_asset_valuation" and "ccy" in given:
        given["ccy"] = given["ccy"].upper()
    async with connection.client_of(args) as client:
        with usage_in_options(it.name for it in command.parameters):
            answer = await command.method(client, **given, timeout=args.timeout)
    show_answer(args, command, answer, given)


def show_answer(
    args: argparse.Namespace, command: Declared, answer: Any, given: dict[str, Any]
) -> None:
    """Show what a method gave: a row, or a list of them."""
    found: Sequence[Row] = answer if isinstance(answer, list) else [answer]
    if args.json:
        show.print_json(answer)
    elif args.csv:
        rows.print_all(command.endpoint.row, found, "csv")
    elif command.endpoint.name == "get_asset_valuation":
        console = show.console()
        console.print(show.valuation_table(answer))
        console.print(f"As of {answer.time:%Y-%m-%d %H:%M:%S} UTC.")
    elif command.endpoint.name == "get_non_tradable_assets":
        _assets(found, given.get("ccy") or [])
    else:
        rows.print_rows(found)


def _assets(found: Sequence[Any], wanted: Sequence[str]) -> None:
    console = show.console()
    if not found:
        console.print("No non-tradable assets.")
        return
    console.print(show.asset_table(found))
    there = {row.ccy.upper() for row in found}
    missing = [ccy for ccy in dict.fromkeys(wanted) if ccy.upper() not in there]
    if missing:
        console.print(f"The account has no such assets in {', '.join(missing)}.")


# -- all pages -----------------------------------------------------------------------------


async def _walk(args: argparse.Namespace, command: Declared) -> None:
    assert command.iterator is not None
    given = arguments(command.walk, args)
    taken = {each.name for each in command.walk}
    for name in arguments(command.parameters, args):
        if name not in taken:
            why = "belongs to a single page" if name in _PAGE else "names single rows"
            raise Failure(
                f"{option_of(name)} {why}: it doesn't go with --since, --until, --all, --cursor",
                USAGE,
            )
    form = "csv" if args.csv else "json" if args.json else ""
    async with connection.client_of(args) as client:
        with usage_in_options(it.name for it in command.walk):
            walk = getattr(client, command.iterator)(**given, timeout=args.timeout)
        try:
            async with walk:
                await _show_walk(client, command, walk, form)
        except BaseException as error:
            if walk.cursor is not None and not isinstance(error, BrokenPipeError):
                show.console(stderr=True).print(
                    f"okx-funding: {walk.rows} rows came; go on with --cursor {walk.cursor}",
                    soft_wrap=True,
                )
            raise


async def _show_walk(
    client: FundingClient, command: Declared, walk: PageIterator[Any], form: str
) -> None:
    def text() -> str:
        reached = f", back to {walk.reached:%Y-%m-%d %H:%M}" if walk.reached else ""
        return f"{walk.pages} pages, {walk.rows} rows{reached}"

    async with progress(client, text, rows_on_screen=bool(form)):
        if not form:
            found = [row async for row in walk]
        else:
            lines = rows.Lines(command.endpoint.row, form)
            async for row in walk:
                lines.write(row)
            lines.end()
    if not form:
        rows.print_rows(found)
        if len(found) > 1:
            show.console().print(f"{len(found)} rows in {walk.pages} pages.")


def _typed(args: argparse.Namespace, name: str) -> bool:
    return getattr(args, f"param_{name}", None) is not None


@contextmanager
def usage_in_options(names: Iterable[str]) -> Iterator[None]:
    """Errors about parameters speak of options."""
    try:
        yield
    except InvalidArgumentError as error:
        raise Failure(_in_commands(in_options(str(error), names)), USAGE) from None


def _in_commands(text: str) -> str:
    """Iterators by the names of their commands."""
    for each in declared():
        if each.iterator is not None:
            text = text.replace(f"{each.iterator} ", f"okx-funding {each.name} ")
    return text
