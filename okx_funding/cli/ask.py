"""The commands that ask OKX."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from okx_funding.auth.credentials import resolve
from okx_funding.client import FundingClient
from okx_funding.errors import InvalidArgumentError, OKXError

from . import show
from .outcome import CREDENTIALS, Failure, exit_code

T = TypeVar("T")


def non_tradable_assets(args: argparse.Namespace) -> None:
    """``okx-funding non-tradable-assets [CCY ...]``; ``A,B`` is taken for ``A B``."""
    wanted = [ccy for word in args.ccy for ccy in word.split(",")] or None
    rows = _ask(args, lambda it: it.get_non_tradable_assets(ccy=wanted, timeout=args.timeout))
    if args.json:
        show.print_json(rows)
        return
    console = show.console()
    if rows:
        console.print(show.asset_table(rows))
    else:
        console.print("No non-tradable assets.")
    found = {row.ccy.upper() for row in rows}
    missing = [ccy for ccy in dict.fromkeys(wanted or ()) if ccy.upper() not in found]
    if rows and missing:
        console.print(f"The account has no such assets in {', '.join(missing)}.")


def asset_valuation(args: argparse.Namespace) -> None:
    """``okx-funding asset-valuation [--ccy UNIT]``."""
    unit = None if args.ccy is None else args.ccy.upper()
    valuation = _ask(args, lambda it: it.get_asset_valuation(ccy=unit, timeout=args.timeout))
    if args.json:
        show.print_json(valuation)
        return
    console = show.console()
    console.print(show.valuation_table(valuation))
    console.print(f"As of {valuation.time:%Y-%m-%d %H:%M:%S} UTC.")


def _ask(args: argparse.Namespace, question: Callable[[FundingClient], Awaitable[T]]) -> T:
    try:
        credentials, _ = resolve(None, args.profile)
    except InvalidArgumentError as error:
        raise Failure(str(error), CREDENTIALS) from None

    async def answer() -> T:
        async with FundingClient(
            credentials,
            profile=args.profile,
            base_url=args.base_url,
            demo=args.demo,
            allow_http=args.allow_http,
        ) as client:
            return await question(client)

    try:
        return asyncio.run(answer())
    except OKXError as error:
        raise Failure(credentials.redact(str(error)), exit_code(error)) from None
