"""Deposits: awaiting confirmations, credited, done."""

from __future__ import annotations

from decimal import Decimal

from okx_funding.simulator.books import Books
from okx_funding.simulator.ledger import FUNDING, OUTSIDE, Holder
from okx_funding.simulator.records import Deposit
from okx_funding.simulator.users import User, address_of

_DEPOSIT = "1"
_CREDITED, _DONE = "1", "2"


def address(books: Books, user: User, chain: str) -> str:
    """The user's deposit address on a chain."""
    found = address_of(user.uid, chain)
    books.users.addresses[found] = user.uid
    return found


def start(
    books: Books,
    user: User,
    ccy: str,
    amount: Decimal,
    chain: str,
    *,
    sender: str = "",
    from_wd_id: str = "",
    tx_id: str | None = None,
    ts: int | None = None,
) -> Deposit:
    """A new deposit, in state 0. ``sender`` is given for those within the exchange only."""
    deposit = Deposit(
        serial=books.serial(),
        user_id=user.uid,
        client_id="",
        ts=books.clock.stamp() if ts is None else ts,
        ccy=ccy,
        chain=chain,
        amt=amount,
        to="" if sender else address(books, user, chain),
        tx_id=books.tx_id() if tx_id is None else tx_id,
        from_=sender,
        from_wd_id=from_wd_id,
    )
    books.deposits[user.uid].add(deposit)
    books.changed(deposit)
    return deposit


def run(books: Books, deposit: Deposit) -> None:
    """Have it go its way as time passes."""
    seconds = 0.0
    for step, state in books.rules.deposit_steps:
        seconds += step
        books.agenda.after(seconds, lambda state=state: _step(books, deposit, state))  # type: ignore[misc]


def _step(books: Books, deposit: Deposit, state: str) -> None:
    if deposit.state in ("0", "1"):
        to_state(books, deposit, state)


def to_state(books: Books, deposit: Deposit, state: str) -> None:
    """Change the state; states 1 and 2 credit the money, once."""
    chain = books.catalogue.chain(deposit.ccy, deposit.chain)
    if chain is not None and not deposit.from_:
        needed = {"1": chain.confirmations, "2": chain.unlock_confirmations}
        deposit.confirmations = max(
            deposit.confirmations, needed.get(state, max(chain.confirmations // 2, 1))
        )
    locked = (deposit.user_id, deposit.ccy)
    if deposit.state == _CREDITED:
        books.not_withdrawable[locked] -= deposit.amt
    deposit.state = state
    if state == _CREDITED:
        books.not_withdrawable[locked] += deposit.amt
    if state in (_CREDITED, _DONE) and not deposit.credited:
        deposit.credited = True
        books.ledger.post(
            OUTSIDE, Holder(deposit.user_id, FUNDING), deposit.ccy, deposit.amt,
            books.clock.stamp(), bills=("", _DEPOSIT),
        )  # fmt: skip
    books.changed(deposit)
