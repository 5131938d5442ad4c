"""All that the exchange remembers: the ledger, the users, and every record of what was ordered."""

from __future__ import annotations

import itertools
import random
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal, TypeVar

from .catalogue import Catalogue
from .clock import Agenda, Clock
from .history import History
from .ledger import FUNDING, OUTSIDE, TRADING, Holder, Kind, Ledger, Movement
from .records import (
    BuySellOrder,
    Deposit,
    FiatOrder,
    Quote,
    Record,
    SubTransfer,
    Trade,
    Transfer,
    Withdrawal,
)
from .users import User, Users

R = TypeVar("R", bound=Record)

FUNDS = {"USDT": "800", "BTC": "0.5", "ETH": "5", "XRP": "200", "TRY": "10000", "USD": "1000"}
TRADING_FUNDS = {"USDT": "400", "BTC": "0.25", "ETH": "2"}
"""What a fresh user has, so that money can be moved at once."""

SUB_ACCOUNT = "trading1"
"""The sub-account that a fresh user has."""


@dataclass(slots=True)
class Rules:
    """Where nobody has seen what OKX does, or where a test wants it otherwise, a setting.

    * ``unknown``: the code that refuses a currency without rows, None to answer without rows.
    * ``bad_currencies``: upper-case names that are refused with ``bad_code``; ``bad_named``:
      whether the message names the currency.
    * ``strict``: refuse parameters that OKX's page doesn't name, and those that are empty; else
      they are ignored and counted in ``exchange.unexpected``.
    * ``duplicate_ids``: "accept" a client id that was used before as a second order, as OKX isn't
      known to refuse it, or "refuse" it (50071, 52925, 58404).
    * ``not_found``: how withdrawal-history says that a client id or a wdId is unknown: "empty",
      "51000", "58215" or "58129".
    * ``any_address``: withdraw to addresses that aren't verified, too.
    * ``transfer_seconds``: how long a transfer is pending.
    * ``deposit_steps``, ``withdrawal_steps``, ``fiat_steps``: seconds from one state to the next.
    * ``cancel_seconds``: from cancelling to cancelled.
    * ``quote_seconds``: how long a quote holds.
    * ``bills_history_lag``: seconds until a bill shows in bills-history, about 30 at OKX.
    * ``bills_depth``, ``transfer_depth``: seconds after which bills and transfer-state forget.
    """

    unknown: str | None = None
    bad_currencies: set[str] = field(default_factory=set)
    bad_code: str = "51000"
    bad_named: bool = False
    strict: bool = False
    duplicate_ids: Literal["accept", "refuse"] = "accept"
    not_found: Literal["empty", "51000", "58215", "58129"] = "empty"
    any_address: bool = False
    transfer_seconds: float = 0.0
    deposit_steps: tuple[tuple[float, str], ...] = ((60.0, "0"), (60.0, "1"), (120.0, "2"))
    withdrawal_steps: tuple[tuple[float, str], ...] = ((30.0, "7"), (30.0, "1"), (120.0, "2"))
    fiat_steps: tuple[tuple[float, str], ...] = ((60.0, "processing"), (240.0, "completed"))
    cancel_seconds: float = 2.0
    quote_seconds: float = 10.0
    bills_history_lag: float = 0.0
    bills_depth: float = 30 * 86_400.0
    transfer_depth: float = 14 * 86_400.0


@dataclass(frozen=True, slots=True)
class Processing:
    """How one order is carried out, where a fault wants it otherwise.

    ``pending``: seconds until it ends, None for what the rules say. ``fails``: it ends badly.
    ``hidden``: seconds during which look-ups don't find it.
    """

    pending: float | None = None
    fails: bool = False
    hidden: float = 0.0


class Books:
    """Users, ledger and records. The state machines in ``states`` write here, services read."""

    def __init__(self, clock: Clock, users: Users, rules: Rules, seed: int) -> None:
        self.clock = clock
        self.agenda: Agenda = Agenda(clock)
        self.users = users
        self.rules = rules
        self.catalogue: Catalogue = Catalogue()
        self.ledger: Ledger = Ledger()
        self.transfers: defaultdict[str, History[Transfer]] = defaultdict(History)
        self.withdrawals: defaultdict[str, History[Withdrawal]] = defaultdict(History)
        self.deposits: defaultdict[str, History[Deposit]] = defaultdict(History)
        self.trades: defaultdict[str, History[Trade]] = defaultdict(History)
        self.fiat_withdrawals: defaultdict[str, History[FiatOrder]] = defaultdict(History)
        self.fiat_deposits: defaultdict[str, History[FiatOrder]] = defaultdict(History)
        self.buy_sell: defaultdict[str, History[BuySellOrder]] = defaultdict(History)
        self.sub_transfers: defaultdict[str, History[SubTransfer]] = defaultdict(History)
        self.quotes: dict[str, Quote] = {}
        self.unexpected: Counter[tuple[str, str]] = Counter()
        self.on_change: list[Callable[[Deposit | Withdrawal], None]] = []
        self.not_withdrawable: defaultdict[tuple[str, str], Decimal] = defaultdict(Decimal)
        """What was credited to a user, by currency, but can't be withdrawn yet."""
        self._serials = itertools.count(1_000_001)
        self._chance = random.Random(f"{seed}/tx")

    def serial(self) -> int:
        """A number that was never used before."""
        return next(self._serials)

    def tx_id(self) -> str:
        """The hash of a transaction on a chain."""
        return f"0x{self._chance.getrandbits(256):064x}"

    def open_account(self, uid: str, *, funded: bool = True) -> User:
        """A new user who can move money at once."""
        user = self.users.add(uid, self.clock.stamp())
        self.users.add_sub(user, SUB_ACCOUNT, self.clock.stamp(), uid=f"{uid}01")
        if funded:
            self.set_balances(uid, FUNDING, FUNDS)
            self.set_balances(uid, TRADING, TRADING_FUNDS)
        return user

    def set_balances(self, uid: str, account: str, amounts: dict[str, str]) -> None:
        """Give an account these balances, from outside and without a bill."""
        holder = Holder(uid, account)
        for ccy, amount in amounts.items():
            change = Decimal(amount) - self.ledger.balance(holder, ccy)
            legs = (OUTSIDE, holder) if change >= 0 else (holder, OUTSIDE)
            self.ledger.post(*legs, ccy, abs(change), self.clock.stamp())

    def account(self, user: User, account: str) -> dict[str, Decimal]:
        """What a user has in an account ("6" funding, "18" trading), by currency; no zeros."""
        return self.ledger.balances(Holder(user.uid, account))

    def is_duplicate(self, history: History[R], client_id: str) -> bool:
        """Whether this client id was used before, and the rules refuse that."""
        if not client_id or self.rules.duplicate_ids == "accept":
            return False
        return any(it.client_id == client_id for it in history.named(client_id))

    def hide(self, record: Record, processing: Processing) -> None:
        """Keep a new record, and the bills with its client id, from look-ups for a while."""
        if processing.hidden <= 0:
            return
        self._show(record, hidden=True)
        self.agenda.after(processing.hidden, lambda: self._show(record, hidden=False))

    def _show(self, record: Record, *, hidden: bool) -> None:
        record.hidden = hidden
        for uid in self.users.by_uid if record.client_id else ():
            for bill in self.ledger.bills(uid).named(record.client_id):
                bill.hidden = hidden

    def changed(self, record: Deposit | Withdrawal) -> None:
        """Tell of a deposit or withdrawal that is new or changed its state."""
        for tell in list(self.on_change):
            tell(record)

    def count(self, record: Record, kind: Kind, id_: str, ccy: str, amount: Decimal) -> Movement:
        """Count a movement for a record."""
        record.movement = self.ledger.moved(
            Movement(kind, record.user_id, id_, record.client_id, ccy, amount, self.clock.stamp())
        )
        return record.movement
