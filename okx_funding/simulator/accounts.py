"""A test's hands on what one user owns: balances, bills, deposits, withdrawals, addresses."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from okx_funding.auth.credentials import Credentials

from . import backfill
from .assets import NonTradableAssets
from .books import Books
from .ledger import FUNDING, NON_TRADABLE, TRADING, Bill, Holder
from .records import BuySellOrder, Deposit, FiatOrder, Trade, Transfer, Withdrawal
from .states import deposits, fiat, withdrawals
from .users import User

_ACCOUNTS = {"funding": FUNDING, "trading": TRADING, FUNDING: FUNDING, TRADING: TRADING}


class Account(NonTradableAssets):
    """What one user owns, to be looked at and changed by tests.

    A fresh one can move money at once: some hundred USDT (chain USDT-ERC20), some BTC and ETH, a
    sub-account ``trading1``, and a verified ``address``.

        account = exchange.account()
        account.set_balances({"USDT": "1000"})
        account.deposit("BTC", "0.5")                   # credited at once
        account.add_bills(1000, same_millisecond=250)
        account.suspend_chain("USDT-ERC20")
    """

    def __init__(
        self, user: User, books: Books, seed: int, currencies: int, *, documented: bool
    ) -> None:
        super().__init__(user.uid, seed, currencies, documented=documented)
        self.user = user
        self._books = books

    # --- what is there ------------------------------------------------------------------------

    @property
    def address(self) -> str:
        """An address on USDT-ERC20 and the like that withdrawals may go to."""
        return self.user.address

    def balance(self, ccy: str, account: str = "funding") -> Decimal:
        """What the "funding" or "trading" account has of a currency."""
        return self._books.ledger.balance(Holder(self.user_id, _ACCOUNTS[account]), ccy)

    def balances(self, account: str = "funding") -> dict[str, Decimal]:
        """All that the "funding" or "trading" account has, by currency."""
        return self._books.account(self.user, _ACCOUNTS[account])

    @property
    def bills(self) -> list[Bill]:
        """Each change of the funding account, as it was written."""
        return list(self._books.ledger.bills(self.user_id))

    @property
    def transfers(self) -> list[Transfer]:
        """The transfers that this user asked for, the oldest first."""
        return list(self._books.transfers[self.user_id])

    @property
    def deposits(self) -> list[Deposit]:
        """The deposits, the oldest first."""
        return list(self._books.deposits[self.user_id])

    @property
    def withdrawals(self) -> list[Withdrawal]:
        """The withdrawals, the oldest first."""
        return list(self._books.withdrawals[self.user_id])

    @property
    def trades(self) -> list[Trade]:
        """The conversions, the oldest first."""
        return list(self._books.trades[self.user_id])

    @property
    def fiat_orders(self) -> list[FiatOrder]:
        """The withdrawals of fiat, the oldest first."""
        return list(self._books.fiat_withdrawals[self.user_id])

    @property
    def buy_sell_orders(self) -> list[BuySellOrder]:
        """What was bought and sold against fiat, the oldest first."""
        return list(self._books.buy_sell[self.user_id])

    # --- what a test may change -----------------------------------------------------------------

    def set_balances(self, amounts: Mapping[str, str], account: str = "funding") -> None:
        """Give the "funding" or "trading" account these balances, without a bill."""
        self._books.set_balances(self.user_id, _ACCOUNTS[account], dict(amounts))

    def deposit(
        self, ccy: str, amt: str, chain: str = "", *, pending: bool = False, ts: int | None = None
    ) -> Deposit:
        """Credit a deposit, or have it come: ``pending`` ones go through their states in time.

        Without a chain the main one is taken. ``ts`` is in milliseconds. Raises KeyError for a
        chain that the exchange doesn't have.
        """
        found = self._books.catalogue.chain(ccy, chain)
        if found is None:
            raise KeyError(f"{ccy} {chain}".strip())
        record = deposits.start(self._books, self.user, ccy, Decimal(amt), found.chain, ts=ts)
        if pending:
            deposits.run(self._books, record)
        else:
            deposits.to_state(self._books, record, "2")
        return record

    def fiat_deposit(self, ccy: str, amt: str, *, ts: int | None = None) -> FiatOrder:
        """A completed deposit of fiat."""
        method = "TR_BANKS" if ccy == "TRY" else "US_WIRE"
        return fiat.deposit(self._books, self.user, ccy, Decimal(amt), method, ts=ts)

    def set_state(self, record: Deposit | Withdrawal | FiatOrder, state: str) -> None:
        """Put a deposit, withdrawal or order of fiat into a state of OKX's, with all that follows.

        The money goes with it: back for a failed withdrawal ("-1"), out for a done one ("2").
        Raises ValueError for a withdrawal that is at its end.
        """
        if isinstance(record, Deposit):
            deposits.to_state(self._books, record, state)
        elif isinstance(record, Withdrawal):
            withdrawals.to_state(self._books, record, state)
        else:
            fiat.end(self._books, record, state)

    def add_bills(
        self,
        n: int,
        ccy: str = "USDT",
        *,
        same_millisecond: int = 1,
        type: str = "1",  # noqa: A002 (OKX's word)
        amount: str = "1",
        until: int | None = None,
    ) -> list[Bill]:
        """Write ``n`` bills, ``same_millisecond`` of them at a time and a second apart.

        The last ones are of ``until``, in milliseconds; now, if that isn't given.
        """
        last = self._books.clock.stamp() if until is None else until
        write = self._books.ledger.add_bill
        return [
            write(self.user_id, ccy, Decimal(amount), ts, type)
            for ts in backfill.times(n, same_millisecond, last)
        ]

    def add_rows(
        self, endpoint: str, n: int, *, same_millisecond: int = 1, until: int | None = None
    ) -> list[str]:
        """Give the history of any endpoint with pages ``n`` more rows; returns their ids.

        Nothing moves: they are from before the ledger began (but for bills, which credit 1 USDT
        each). Times are as those of ``add_bills``. Raises KeyError for an endpoint without pages.
        """
        last = self._books.clock.stamp() if until is None else until
        at = backfill.times(n, same_millisecond, last)
        return backfill.add(self._books, self.user, endpoint, at)

    def verify(self, address: str) -> None:
        """Let withdrawals go to this address; ``address:tag`` where a tag is needed."""
        self.user.verified.add(address)

    def suspend_chain(self, chain: str) -> None:
        """Suspend deposits and withdrawals on a chain, for everybody, until ``resume_chain``."""
        self._set_chain(chain, works=False)

    def resume_chain(self, chain: str) -> None:
        """Let a chain work again."""
        self._set_chain(chain, works=True)

    def _set_chain(self, name: str, *, works: bool) -> None:
        found = [chain for chain in self._books.catalogue.chains if chain.chain == name]
        if not found:
            raise KeyError(name)
        for chain in found:
            chain.can_deposit = chain.can_withdraw = works

    # --- sub-accounts ---------------------------------------------------------------------------

    @property
    def sub_accounts(self) -> list[str]:
        """The names of the sub-accounts."""
        return list(self.user.subs)

    def add_sub_account(
        self, name: str, credentials: Credentials | None = None, *, ts: int | None = None
    ) -> str:
        """A new sub-account, with a key of its own if one is given; gives its user id.

        Raises ValueError where the name or the user id is taken.
        """
        stamp = self._books.clock.stamp() if ts is None else ts
        uid = credentials.user_id if credentials else None
        sub = self._books.users.add_sub(self.user, name, stamp, uid=uid)
        if credentials is not None:
            self._books.users.add_key(credentials, sub.uid)
        return sub.uid

    # --- non-tradable assets, which move rarely: the ledger has them while they do --------------

    def move_to_ledger(self, ccy: str) -> None:
        """Tell the ledger what there is of a non-tradable asset."""
        (bal, *_) = [row["bal"] for row in self.assets if row["ccy"] == ccy]
        self._books.set_balances(self.user_id, NON_TRADABLE, {ccy: bal})

    def follow_ledger(self, ccy: str) -> None:
        """Take the balance of a non-tradable asset from the ledger."""
        bal = self._books.ledger.balance(Holder(self.user_id, NON_TRADABLE), ccy)
        self.set_balance(ccy, f"{bal.normalize():f}" if bal else "0")
