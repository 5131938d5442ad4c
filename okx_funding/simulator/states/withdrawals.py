"""Withdrawals: waiting, approved, broadcast, then done; or cancelled, or failed."""

from __future__ import annotations

from okx_funding.simulator.books import Books, Processing
from okx_funding.simulator.ledger import FEES, FUNDING, IN_TRANSIT, NON_TRADABLE, OUTSIDE, Holder
from okx_funding.simulator.records import Withdrawal

from . import deposits

CANCELLABLE = frozenset({"0", "17", "19"})
_WITHDRAWAL, _CANCELLED = "2", "13"
_NON_TRADABLE, _NON_TRADABLE_REVOKED = "195", "196"


def start(books: Books, withdrawal: Withdrawal, processing: Processing) -> None:
    """Take amount and fee; raises InsufficientError where they aren't there."""
    _post(books, withdrawal, back=False)
    books.withdrawals[withdrawal.user_id].add(withdrawal)
    books.count(withdrawal, "withdrawal", withdrawal.wd_id, withdrawal.ccy, withdrawal.amt)
    books.hide(withdrawal, processing)
    books.changed(withdrawal)
    if processing.fails:
        books.agenda.after(processing.pending or 0.0, lambda: fail(books, withdrawal))
        return
    seconds = processing.pending or 0.0
    for step, state in books.rules.withdrawal_steps:
        seconds += step
        books.agenda.after(seconds, lambda state=state: _step(books, withdrawal, state))  # type: ignore[misc]


def _step(books: Books, withdrawal: Withdrawal, state: str) -> None:
    if not withdrawal.final and withdrawal.state != "-3":
        to_state(books, withdrawal, state)


def cancel(books: Books, withdrawal: Withdrawal) -> None:
    """Begin to cancel; a while later it is cancelled and the money is back."""
    to_state(books, withdrawal, "-3")
    books.agenda.after(
        books.rules.cancel_seconds,
        lambda: None if withdrawal.final else to_state(books, withdrawal, "-2"),
    )


def fail(books: Books, withdrawal: Withdrawal) -> None:
    """It fails, and the money comes back."""
    if not withdrawal.final:
        to_state(books, withdrawal, "-1")


def to_state(books: Books, withdrawal: Withdrawal, state: str) -> None:
    """Change the state. Raises ValueError for one that is at its end."""
    if withdrawal.final:
        raise ValueError(f"withdrawal {withdrawal.wd_id} is at its end: state {withdrawal.state}")
    withdrawal.state = state
    internal = withdrawal.dest == "3"
    if state in ("1", "2") and not internal and not withdrawal.tx_id:
        withdrawal.tx_id = books.tx_id()
    if state in ("-1", "-2"):
        _post(books, withdrawal, back=True)
        if withdrawal.movement is not None:
            withdrawal.movement.undone = True
    elif state == "2":
        _leave(books, withdrawal)
    books.changed(withdrawal)


def _post(books: Books, withdrawal: Withdrawal, *, back: bool) -> None:
    """Take the money, or give it back: all or nothing, the fee may be in another currency."""
    ledger, stamp = books.ledger, books.clock.stamp()
    account = NON_TRADABLE if withdrawal.non_tradable else FUNDING
    source, fees = Holder(withdrawal.user_id, account), Holder(withdrawal.user_id, FUNDING)
    out, revoked = (
        (_NON_TRADABLE, _NON_TRADABLE_REVOKED)
        if withdrawal.non_tradable
        else (_WITHDRAWAL, _CANCELLED)
    )
    types = ("", revoked) if back else (out, "")
    same = source == fees and withdrawal.fee_ccy == withdrawal.ccy
    legs = [(source, withdrawal.ccy, withdrawal.amt + (withdrawal.fee if same else 0))]
    if not same and withdrawal.fee:
        legs.insert(0, (fees, withdrawal.fee_ccy, withdrawal.fee))
    for holder, ccy, amount in legs:
        ends = (IN_TRANSIT, holder) if back else (holder, IN_TRANSIT)
        ledger.post(
            *ends, ccy, amount, stamp, bills=types, client_id=withdrawal.client_id,
            hidden=withdrawal.hidden,
        )  # fmt: skip


def _leave(books: Books, withdrawal: Withdrawal) -> None:
    ledger, stamp = books.ledger, books.clock.stamp()
    ledger.post(IN_TRANSIT, OUTSIDE, withdrawal.ccy, withdrawal.amt, stamp)
    if withdrawal.fee:
        ledger.post(IN_TRANSIT, FEES, withdrawal.fee_ccy, withdrawal.fee, stamp)
    receiver = books.users.by_uid.get(
        withdrawal.to if withdrawal.dest == "3" else books.users.addresses.get(withdrawal.to, "")
    )
    if receiver is None:
        return
    internal = withdrawal.dest == "3"
    deposit = deposits.start(
        books,
        receiver,
        withdrawal.ccy,
        withdrawal.amt,
        withdrawal.chain,
        sender=withdrawal.user_id if internal else "",
        from_wd_id=withdrawal.wd_id if internal else "",
        tx_id=withdrawal.tx_id,
    )
    if internal:
        deposits.to_state(books, deposit, "2")
    else:
        deposits.run(books, deposit)
