"""Histories of any length, without the money: rows as they would be, had they been ordered once."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from .books import Books
from .records import BuySellOrder, Deposit, FiatOrder, Quote, SubTransfer, Trade, Withdrawal
from .users import User, address_of

_STEP_MS = 1000
_TEN = Decimal(10)


def times(n: int, same_millisecond: int, until: int) -> list[int]:
    """``n`` times up to ``until``, ``same_millisecond`` of them at a time and a second apart."""
    groups = (n - 1) // same_millisecond
    return [until - (groups - k // same_millisecond) * _STEP_MS for k in range(n)]


def add(books: Books, user: User, endpoint: str, at: list[int]) -> list[str]:
    """Add a row for each time; gives their ids in this order. KeyError if there are no pages."""
    make = _MAKERS[endpoint]
    return [make(books, user, ts) for ts in at]


def _common(books: Books, user: User, ts: int) -> dict[str, Any]:
    serial = books.serial()
    return {"serial": serial, "user_id": user.uid, "client_id": f"old{serial}", "ts": ts}


def _bill(books: Books, user: User, ts: int) -> str:
    return str(books.ledger.add_bill(user.uid, "USDT", Decimal(1), ts, "1").bill_id)


def _deposit(books: Books, user: User, ts: int) -> str:
    record = Deposit(
        **_common(books, user, ts), ccy="USDT", chain="USDT-ERC20", amt=_TEN,
        to=address_of(user.uid, "USDT-ERC20"), tx_id=books.tx_id(), state="2", credited=True,
        confirmations=96,
    )  # fmt: skip
    books.deposits[user.uid].add(record)
    return record.dep_id


def _withdrawal(books: Books, user: User, ts: int) -> str:
    record = Withdrawal(
        **_common(books, user, ts), ccy="USDT", chain="USDT-ERC20", amt=_TEN, fee=Decimal("1.5"),
        fee_ccy="USDT", dest="4", to=user.address, to_addr_type="1", area_code="", state="2",
        tx_id=books.tx_id(),
    )  # fmt: skip
    books.withdrawals[user.uid].add(record)
    return record.wd_id


def _quote(user: User, base: str, quote: str) -> Quote:
    return Quote(
        quote_id="old", user_id=user.uid, base=base, quote=quote, side="buy",
        base_sz=Decimal("0.0001"), quote_sz=_TEN, px=Decimal(100_000), size=_TEN, size_ccy=quote,
        expires=0.0, traded=True,
    )  # fmt: skip


def _trade(books: Books, user: User, ts: int) -> str:
    record = Trade(**_common(books, user, ts), quote=_quote(user, "BTC", "USDT"), tag="")
    books.trades[user.uid].add(record)
    return record.trade_id


def _buy_sell(books: Books, user: User, ts: int) -> str:
    record = BuySellOrder(**_common(books, user, ts), quote=_quote(user, "BTC", "USD"))
    books.buy_sell[user.uid].add(record)
    return record.ord_id


def _fiat(books: Books, user: User, ts: int) -> FiatOrder:
    return FiatOrder(
        **_common(books, user, ts), ccy="TRY", amt=_TEN, fee=Decimal(0),
        payment_method="TR_BANKS", payment_acct_id="1", state="completed",
    )  # fmt: skip


def _fiat_withdrawal(books: Books, user: User, ts: int) -> str:
    record = _fiat(books, user, ts)
    books.fiat_withdrawals[user.uid].add(record)
    return record.ord_id


def _fiat_deposit(books: Books, user: User, ts: int) -> str:
    record = _fiat(books, user, ts)
    record.client_id = ""
    books.fiat_deposits[user.uid].add(record)
    return record.ord_id


def _sub_transfer(books: Books, user: User, ts: int) -> str:
    sub = next(iter(user.subs.values()))
    record = SubTransfer(
        **_common(books, user, ts), ccy="USDT", amt=_TEN, type="0", sub_acct=sub.name,
        sub_uid=sub.uid,
    )  # fmt: skip
    books.sub_transfers[user.uid].add(record)
    return str(record.serial)


def _sub_account(books: Books, user: User, ts: int) -> str:
    return books.users.add_sub(user, f"sub{books.serial()}", ts).uid


_MAKERS: dict[str, Callable[[Books, User, int], str]] = {
    "get_bills": _bill,
    "get_bills_history": _bill,
    "get_deposit_history": _deposit,
    "get_withdrawal_history": _withdrawal,
    "get_convert_history": _trade,
    "get_fiat_deposit_history": _fiat_deposit,
    "get_fiat_withdrawal_history": _fiat_withdrawal,
    "get_buy_sell_history": _buy_sell,
    "get_subaccount_bills": _sub_transfer,
    "get_managed_subaccount_bills": _sub_transfer,
    "get_subaccount_list": _sub_account,
}
PAGED = tuple(_MAKERS)
"""The endpoints that answer in pages."""
