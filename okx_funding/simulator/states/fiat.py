"""Fiat orders: pending, processing, completed; or cancelled, or failed."""

from __future__ import annotations

from decimal import Decimal

from okx_funding.simulator.books import Books, Processing
from okx_funding.simulator.ledger import FUNDING, IN_TRANSIT, OUTSIDE, Holder
from okx_funding.simulator.records import FiatOrder
from okx_funding.simulator.users import User

CANCELLABLE = frozenset({"pending", "inqueue"})
FINAL = frozenset({"completed", "failed", "canceled"})
_PLACED, _CANCELLED, _DEPOSITED = "116", "118", "117"


def withdraw(
    books: Books, user: User, params: dict[str, str], amount: Decimal, processing: Processing
) -> FiatOrder:
    """Take the amount; raises InsufficientError where it isn't there."""
    order = FiatOrder(
        serial=books.serial(),
        user_id=user.uid,
        client_id=params["clientId"],
        ts=books.clock.stamp(),
        ccy=params["ccy"],
        amt=amount,
        fee=Decimal(0),
        payment_method=params["paymentMethod"],
        payment_acct_id=params["paymentAcctId"],
    )
    books.ledger.post(
        Holder(user.uid, FUNDING), IN_TRANSIT, order.ccy, amount, order.ts,
        bills=(_PLACED, ""), client_id=order.client_id,
    )  # fmt: skip
    books.fiat_withdrawals[user.uid].add(order)
    books.count(order, "fiat withdrawal", order.ord_id, order.ccy, order.amt)
    books.hide(order, processing)
    seconds = processing.pending or 0.0
    if processing.fails:
        books.agenda.after(seconds, lambda: end(books, order, "failed"))
        return order
    for step, state in books.rules.fiat_steps:
        seconds += step
        books.agenda.after(seconds, lambda state=state: _step(books, order, state))  # type: ignore[misc]
    return order


def _step(books: Books, order: FiatOrder, state: str) -> None:
    if order.state not in FINAL:
        end(books, order, state)


def end(books: Books, order: FiatOrder, state: str) -> None:
    """Change the state of a withdrawal; "completed" lets the money go, others give it back."""
    if order.state in FINAL:
        return
    order.state, order.u_time = state, books.clock.stamp()
    if state == "completed":
        books.ledger.post(IN_TRANSIT, OUTSIDE, order.ccy, order.amt, order.u_time)
    elif state in ("failed", "canceled"):
        books.ledger.post(
            IN_TRANSIT, Holder(order.user_id, FUNDING), order.ccy, order.amt, order.u_time,
            bills=("", _CANCELLED), client_id=order.client_id,
        )  # fmt: skip
        if order.movement is not None:
            order.movement.undone = True


def deposit(
    books: Books, user: User, ccy: str, amount: Decimal, method: str, *, ts: int | None = None
) -> FiatOrder:
    """A deposit of fiat that is completed at once."""
    stamp = books.clock.stamp() if ts is None else ts
    order = FiatOrder(
        serial=books.serial(),
        user_id=user.uid,
        client_id="",
        ts=stamp,
        ccy=ccy,
        amt=amount,
        fee=Decimal(0),
        payment_method=method,
        payment_acct_id="1",
        state="completed",
    )
    books.ledger.post(
        OUTSIDE, Holder(user.uid, FUNDING), ccy, amount, stamp, bills=("", _DEPOSITED)
    )
    books.fiat_deposits[user.uid].add(order)
    return order
