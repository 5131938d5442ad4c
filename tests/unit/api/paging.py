"""A plain model of OKX's paging: all rows in a list, and each page a filter of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from okx_funding.api import (
    Bill,
    BuySellTrade,
    ConvertTrade,
    Deposit,
    FiatOrder,
    ManagedSubaccountBill,
    Subaccount,
    SubaccountBill,
    Withdrawal,
)

START = 1_700_000_000_000
"""The moment that the tests' rows count from, in milliseconds."""


def bill(at: int, ident: str) -> Bill:
    return Bill(at, ident, "BTC", Decimal(1), "1")


def deposit(at: int, ident: str) -> Deposit:
    return Deposit(at, ident, "BTC", Decimal(1), "2")


def withdrawal(at: int, ident: str) -> Withdrawal:
    return Withdrawal(at, ident, "BTC", Decimal(1), "2")


def conversion(at: int, ident: str) -> ConvertTrade:
    return ConvertTrade(at, ident, "fullyFilled", "BTC", "USDT", "buy")


def order(at: int, ident: str) -> FiatOrder:
    return FiatOrder(ident, "TRY", Decimal(1), "completed", at)


def trade(at: int, ident: str) -> BuySellTrade:
    return BuySellTrade(ident, "USD", "BTC", Decimal(1), "USD", at)


def subaccount(at: int, ident: str) -> Subaccount:
    return Subaccount(at, f"bot{ident}", ident, enable=True)


def transfer(at: int, ident: str) -> SubaccountBill:
    return SubaccountBill(at, ident, "BTC", Decimal(1), "bot1")


def managed_transfer(at: int, ident: str) -> ManagedSubaccountBill:
    return ManagedSubaccountBill(at, ident, "BTC", Decimal(1), "bot1")


MAKERS = {
    "get_bills": bill,
    "get_bills_history": bill,
    "get_deposit_history": deposit,
    "get_withdrawal_history": withdrawal,
    "get_convert_history": conversion,
    "get_fiat_deposit_history": order,
    "get_fiat_withdrawal_history": order,
    "get_buy_sell_history": trade,
    "get_subaccount_bills": transfer,
    "get_managed_subaccount_bills": managed_transfer,
    "get_subaccount_list": subaccount,
}
RANGES = {"get_fiat_deposit_history", "get_fiat_withdrawal_history"}
DOCUMENTED_EXCLUSIVE = {"get_subaccount_bills", "get_managed_subaccount_bills"}


@dataclass
class PagingModel:
    """All rows of one kind as (moment, number): a later row has a higher number.

    ``inclusive`` takes OKX's bounds in the other reading, where they aren't documented. ``lag``
    hides the last rows from bills-history.
    """

    walked: str
    rows: list[tuple[int, int]] = field(default_factory=list)
    inclusive: bool = False
    lag: int = 0
    asked: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def add(self, moments: Iterable[int]) -> None:
        for moment in moments:
            self.rows.append((moment, len(self.rows)))

    def newest_first(self, since: int | None = None, until: int | None = None) -> list[str]:
        """The ids of the rows in a range, as a walk gives them."""
        return [
            ident(number)
            for moment, number in sorted(self.rows, reverse=True)
            if (since is None or since <= moment) and (until is None or moment <= until)
        ]

    def answer(self, name: str, params: dict[str, Any]) -> list[Any]:
        self.asked.append((name, params))
        bounds = {
            key: int(params[key]) for key in ("after", "before", "begin", "end") if key in params
        }
        rows = sorted(self.rows, reverse=True)
        if name == "get_bills_history":
            assert "before" not in params, "50039"
            rows = [row for row in rows if row[1] < len(self.rows) - self.lag]
        if params.get("pagingType") == "2":
            assert name == "get_bills_history"
            if "after" in bounds:
                rows = [row for row in rows if int(ident(row[1])) < bounds["after"]]
        elif name in RANGES:
            rows = [
                row
                for row in rows
                if bounds.get("after", 0) <= row[0] <= bounds.get("before", row[0])
            ]
        else:
            assert "before" not in params, "which rows come for before alone isn't known"
            slack = int(self.inclusive and name not in DOCUMENTED_EXCLUSIVE)
            oldest, newest = bounds.get("begin", 0), bounds.get("after", bounds.get("end"))
            rows = [
                row
                for row in rows
                if row[0] > oldest - slack and (newest is None or row[0] < newest + slack)
            ]
        size = int(params.get("limit", "100"))
        assert 1 <= size <= 100
        make = MAKERS[self.walked]
        return [make(moment, ident(number)) for moment, number in rows[:size]]


def ident(number: int) -> str:
    return str(100_000 + number)
