"""How answers look: tables for people, JSON for programs."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from okx_funding.api.assets import AssetValuation, NonTradableAsset
from okx_funding.api.spec import Row
from okx_funding.auth.secret import Secret
from okx_funding.telemetry.events import BucketStatistics

from .outcome import one_line

_ENDLESS = 10_000


def console(*, stderr: bool = False) -> Console:
    """A console that takes nothing for markup. A pipe gets neither colours nor cut lines."""
    made = Console(stderr=stderr, markup=False, highlight=False, emoji=False)
    if not made.is_terminal and "COLUMNS" not in os.environ:
        made.width = _ENDLESS
    return made


def print_json(value: object) -> None:
    """One JSON document on standard output: rows by OKX's field names, amounts as text."""
    json.dump(plain(value), sys.stdout, indent=2, ensure_ascii=False)
    sys.stdout.write("\n")


def amount(value: Decimal | None) -> str:
    """An amount to the last digit, never with an exponent; ``-`` for none."""
    return "-" if value is None else format(value, "f")


def asset_table(
    rows: Iterable[NonTradableAsset], *, marked: Iterable[NonTradableAsset] = ()
) -> Table:
    """One line for each currency and chain; those of ``marked`` stand out."""
    table = table_of("Currency", "Chain")
    bold = {(row.ccy, row.chain) for row in marked}
    for name in ("Balance", "Minimum withdrawal", "Fee"):
        table.add_column(name, justify="right", overflow="fold")
    for name in ("Withdrawable", "Tag"):
        table.add_column(name)
    for row in rows:
        withdrawable = "no" if not row.can_wd else "whole balance only" if row.wd_all else "yes"
        cells = (
            row.ccy,
            row.chain,
            amount(row.bal),
            amount(row.min_wd),
            f"{amount(row.fee)} {row.fee_ccy}",
            withdrawable,
            "needed" if row.need_tag else "-",
        )
        style = "bold" if (row.ccy, row.chain) in bold else None if row.can_wd else "dim"
        table.add_row(*map(one_line, cells), style=style)
    return table


def valuation_table(valuation: AssetValuation) -> Table:
    """The total, and what each account is worth."""
    details = valuation.details
    lines = [("Total", valuation.total_bal)]
    lines += [
        (name, value)
        for name, value in (
            ("Funding", details.funding),
            ("Trading", details.trading),
            ("Earn", details.earn),
            ("Classic", details.classic),
        )
        if value is not None
    ]
    table = table_of("Account")
    table.add_column(one_line(valuation.ccy), justify="right", overflow="fold")
    for number, (name, value) in enumerate(lines):
        table.add_row(name, amount(value), style=None if number else "bold")
    return table


def figures(lines: Sequence[tuple[str, str]]) -> Table:
    """Names and what there is to say of them."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="cyan")
    table.add_column(overflow="fold")
    for name, text in lines:
        table.add_row(name, text)
    return table


def bucket_table(buckets: Iterable[BucketStatistics]) -> Table:
    """One line for each bucket, as it is now."""
    table = table_of("Limit of")
    for name in ("Limit", "Free", "Next in", "Waiting", "Sent", "Refused", "In use"):
        table.add_column(name, justify="right")
    for bucket in buckets:
        table.add_row(
            bucket.endpoint,
            f"{bucket.count} per {bucket.period:g} s",
            str(bucket.slots_free),
            "-" if not 0 < bucket.next_slot_in < 1e9 else f"{bucket.next_slot_in:.1f} s",
            str(bucket.callers_waiting),
            str(bucket.requests_sent),
            str(bucket.requests_refused),
            f"{bucket.utilisation:.0%}",
            style="yellow" if bucket.shared_with_others else None,
        )
    return table


def table_of(*names: str) -> Table:
    """A table in the house's style with these columns; words are folded, never cut."""
    table = Table(box=box.SIMPLE_HEAD, header_style="bold")
    for name in names:
        table.add_column(name, overflow="fold")
    return table


def plain(value: object) -> Any:
    """``value`` for JSON: rows by OKX's field names, amounts as text, secrets as ``***``."""
    if isinstance(value, Row):
        names = zip(value.__struct_fields__, value.__struct_encode_fields__, strict=True)
        return {theirs: plain(getattr(value, ours)) for ours, theirs in names}
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, Secret):
        return "***"
    if isinstance(value, dict):
        return {name: plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    return value
