"""Laws of the ledger: whatever is ordered, the books balance, and movements agree with them."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from okx_funding.simulator import InsufficientError, Ledger, SimulatedExchange
from okx_funding.simulator.books import Processing
from okx_funding.simulator.ledger import FUNDING, OUTSIDE, TRADING, Holder
from okx_funding.simulator.records import Withdrawal
from okx_funding.simulator.states import transfers, withdrawals

ME = Holder("1", FUNDING)


def test_a_posting_is_all_or_nothing():
    ledger = Ledger()
    ledger.post(OUTSIDE, ME, "BTC", Decimal(1), 0)
    with pytest.raises(InsufficientError):
        ledger.post(ME, OUTSIDE, "BTC", Decimal("1.00000001"), 0)
    assert ledger.balance(ME, "BTC") == 1
    assert ledger.total("BTC") == 1


def test_the_sum_within_changes_with_the_outside_only():
    ledger = Ledger()
    ledger.post(OUTSIDE, ME, "BTC", Decimal(3), 0)
    ledger.post(ME, Holder("2", TRADING), "BTC", Decimal(2), 0)
    assert ledger.total("BTC") == 3
    ledger.post(Holder("2", TRADING), OUTSIDE, "BTC", Decimal(2), 0)
    assert ledger.total("BTC") == 1
    ledger.check()


def test_amounts_are_exact_to_any_digit():
    ledger = Ledger()
    tiny = Decimal("0.000000000000000000001")
    ledger.post(OUTSIDE, ME, "SHIB", Decimal(10**6) + tiny, 0)
    ledger.post(ME, Holder("2", FUNDING), "SHIB", tiny, 0, bills=("20", ""))
    assert ledger.balance(ME, "SHIB") == 10**6
    (bill,) = ledger.bills("1")
    assert bill.row()["balChg"] == "-0.000000000000000000001"


def test_the_books_say_where_they_are_off():
    ledger = Ledger()
    ledger.post(OUTSIDE, ME, "BTC", Decimal(1), 0)
    ledger._balances[ME]["BTC"] += 1
    with pytest.raises(AssertionError, match="BTC is off by 1"):
        ledger.check()


amounts = st.decimals("0.00000001", 900, places=8)
steps = st.one_of(
    st.tuples(st.just("transfer"), amounts, st.booleans(), st.floats(0, 3)),
    st.tuples(st.just("withdraw"), amounts, st.booleans(), st.floats(0, 3)),
    st.tuples(st.just("cancel"), st.just(Decimal(0)), st.booleans(), st.just(0.0)),
    st.tuples(st.just("advance"), st.just(Decimal(0)), st.booleans(), st.floats(0, 200)),
)


@settings(deadline=None, max_examples=100)
@given(st.lists(steps, max_size=25))
def test_the_books_balance_after_whatever_is_ordered(orders):
    exchange = SimulatedExchange(currencies=2)
    books, account = exchange._books, exchange.account()
    user, sub = account.user, exchange.account(f"{account.user_id}/trading1").user
    for kind, amount, fails, seconds in orders:
        processing = Processing(pending=seconds, fails=fails)
        params = {"ccy": "USDT", "from": "6", "to": "6", "type": "1"}
        try:
            if kind == "transfer":
                transfers.start(books, user, user, sub, params, amount, processing)
            elif kind == "withdraw":
                withdrawals.start(books, _withdrawal(books, user, amount), processing)
            elif kind == "cancel":
                for record in account.withdrawals:
                    if record.state in withdrawals.CANCELLABLE:
                        withdrawals.cancel(books, record)
                        break
            else:
                exchange.advance(seconds)
        except InsufficientError:
            pass
        exchange.ledger.check()
    exchange.advance(hours=1)
    exchange.ledger.check()
    moved = [it for it in exchange.movements if not it.undone]
    gone = sum((it.amount + 1 for it in moved if it.kind == "withdrawal"), Decimal(0))
    kept = sum((it.amount for it in moved if it.kind == "transfer"), Decimal(0))
    assert account.balance("USDT") == 800 - gone - kept
    assert exchange.account(sub.uid).balance("USDT") == kept


def _withdrawal(books, user, amount):
    return Withdrawal(
        serial=books.serial(), user_id=user.uid, client_id="", ts=0, ccy="USDT",
        chain="USDT-ERC20", amt=amount, fee=Decimal(1), fee_ccy="USDT", dest="4", to="0x1",
        to_addr_type="1", area_code="",
    )  # fmt: skip
