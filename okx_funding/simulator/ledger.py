"""The ledger: balances in double entry, a bill for each change, a count of what moved.

Every posting sums to zero over the accounts that it touches. What isn't a user's own account is
the exchange's (money on its way, fees, the other side of a conversion) or ``OUTSIDE``; so the sum
over all but ``OUTSIDE`` changes by deposits and withdrawals only. Pure: the time is handed in.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal, NamedTuple

from .catalogue import plain
from .history import History

FUNDING, TRADING, NON_TRADABLE = "6", "18", "non-tradable"

Kind = Literal["transfer", "withdrawal", "convert", "fiat withdrawal", "buy-sell"]


class Holder(NamedTuple):
    """An account: whose, and which of theirs ("6" funding, "18" trading)."""

    owner: str
    account: str


OUTSIDE = Holder("", "outside")
IN_TRANSIT = Holder("", "in transit")
FEES = Holder("", "fees")
CONVERT = Holder("", "convert")


@dataclass(slots=True)
class Bill:
    """One change of a balance in a funding account."""

    bill_id: int
    ts: int
    ccy: str
    bal_chg: Decimal
    bal: Decimal
    type: str
    client_id: str = ""
    notes: str = ""
    hidden: bool = False

    @property
    def serial(self) -> int:
        """What orders the bills of one millisecond, and what bills-history pages by."""
        return self.bill_id

    def names(self) -> tuple[str, ...]:
        """The client id of the order that it is of."""
        return (self.client_id,) if self.client_id else ()

    def row(self) -> dict[str, Any]:
        """https://www.okx.com/docs-v5/en/#funding-account-rest-api-asset-bills-details"""
        return {
            "billId": str(self.bill_id),
            "ccy": self.ccy,
            "clientId": self.client_id,
            "balChg": plain(self.bal_chg),
            "bal": plain(self.bal),
            "type": self.type,
            "ts": str(self.ts),
            "notes": self.notes,
        }


@dataclass(slots=True)
class Movement:
    """Money that a client's order moved: what tests count.

    A transfer counts when it succeeded; a withdrawal, a conversion and a fiat order when it was
    accepted. ``undone`` tells that the money came back: cancelled, failed or rejected.
    """

    kind: Kind
    user_id: str
    id: str
    client_id: str
    ccy: str
    amount: Decimal
    ts: int
    undone: bool = False


class InsufficientError(Exception):
    """A posting would take more than there is. Nothing was posted."""


class Ledger:
    """Who has how much, and how it came to that."""

    def __init__(self) -> None:
        self._balances: defaultdict[Holder, defaultdict[str, Decimal]] = defaultdict(
            lambda: defaultdict(Decimal)
        )
        self._bills: defaultdict[str, History[Bill]] = defaultdict(History)
        self._bill_ids = itertools.count(100_000_001)
        self.movements: list[Movement] = []

    def __repr__(self) -> str:
        return f"<Ledger {len(self._balances)} balances, {len(self.movements)} movements>"

    def balance(self, holder: Holder, ccy: str) -> Decimal:
        """What an account has of a currency."""
        return self._balances[holder][ccy]

    def balances(self, holder: Holder) -> dict[str, Decimal]:
        """All that an account has, by currency, in alphabetical order; no zeros."""
        return {ccy: bal for ccy, bal in sorted(self._balances[holder].items()) if bal}

    def total(self, ccy: str) -> Decimal:
        """The sum over all accounts within the exchange."""
        return sum(
            (mine[ccy] for who, mine in self._balances.items() if who != OUTSIDE),
            Decimal(0),
        )

    def currencies(self) -> set[str]:
        """Every currency that was ever posted."""
        return {ccy for mine in self._balances.values() for ccy in mine}

    def check(self) -> None:
        """Raise AssertionError unless the books balance: zero in all, and no user below zero."""
        for ccy in self.currencies():
            everything = self.total(ccy) + self.balance(OUTSIDE, ccy)
            assert everything == 0, f"{ccy} is off by {everything}"
        for who, mine in self._balances.items():
            for ccy, bal in mine.items():
                assert bal >= 0 or not who.owner, f"{who.owner} has {bal} {ccy}"

    def post(
        self,
        source: Holder,
        target: Holder,
        ccy: str,
        amount: Decimal,
        ts: int,
        *,
        bills: tuple[str, str] = ("", ""),
        client_id: str = "",
        notes: str = "",
        hidden: bool = False,
    ) -> list[Bill]:
        """Move an amount, all or nothing. ``bills`` are their types at source and target.

        Bills are of funding accounts only, as OKX's are; "" writes none. Raises
        InsufficientError where a user's account has less.
        """
        assert amount >= 0
        if source.owner and self.balance(source, ccy) < amount:
            raise InsufficientError
        written = []
        for holder, change, type_ in ((source, -amount, bills[0]), (target, amount, bills[1])):
            mine = self._balances[holder]
            mine[ccy] += change
            if type_ and holder.account == FUNDING and holder.owner:
                bill = Bill(
                    next(self._bill_ids), ts, ccy, change, mine[ccy], type_,
                    client_id, notes, hidden,
                )  # fmt: skip
                self._bills[holder.owner].add(bill)
                written.append(bill)
        return written

    def bills(self, owner: str) -> History[Bill]:
        """The bills of an owner."""
        return self._bills[owner]

    def add_bill(self, owner: str, ccy: str, change: Decimal, ts: int, type_: str) -> Bill:
        """Credit or debit from outside, with a bill of this time and type."""
        funding = Holder(owner, FUNDING)
        legs = (OUTSIDE, funding) if change >= 0 else (funding, OUTSIDE)
        types = ("", type_) if change >= 0 else (type_, "")
        (bill,) = self.post(*legs, ccy, abs(change), ts, bills=types)
        return bill

    def moved(self, movement: Movement) -> Movement:
        """Count what a client's order moved."""
        self.movements.append(movement)
        return movement
