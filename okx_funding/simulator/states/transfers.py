"""Transfers: accepted, then pending, then success or failed."""

from __future__ import annotations

from decimal import Decimal

from okx_funding.simulator.books import Books, Processing
from okx_funding.simulator.ledger import IN_TRANSIT, Holder
from okx_funding.simulator.records import SubTransfer, Transfer
from okx_funding.simulator.users import User

_OUT_TO_TRADING, _IN_FROM_TRADING = "131", "130"
_SYSTEM_REVERSAL = "47"


def bill_types(source: User, target: User) -> tuple[str, str]:
    """The types of the bills at both ends, if these are funding accounts."""
    if source is target:
        return _OUT_TO_TRADING, _IN_FROM_TRADING
    out = "22" if source.main else "20"
    into = "23" if target.main else "21"
    return out, into


def start(
    books: Books,
    owner: User,
    source: User,
    target: User,
    params: dict[str, str],
    amount: Decimal,
    processing: Processing,
) -> Transfer:
    """Take the money from its source; raises InsufficientError where it isn't there."""
    transfer = Transfer(
        serial=books.serial(),
        user_id=owner.uid,
        client_id=params.get("clientId", ""),
        ts=books.clock.stamp(),
        ccy=params["ccy"],
        amt=amount,
        from_=params["from"],
        to=params["to"],
        type=params.get("type", "0"),
        sub_acct=params.get("subAcct", ""),
        source=Holder(source.uid, params["from"]),
        target=Holder(target.uid, params["to"]),
    )
    out, into = bill_types(source, target)
    books.ledger.post(
        transfer.source, IN_TRANSIT, transfer.ccy, amount, transfer.ts,
        bills=(out, ""), client_id=transfer.client_id,
    )  # fmt: skip
    books.transfers[owner.uid].add(transfer)
    _note_sub_transfer(books, source, target, transfer)
    pending = books.rules.transfer_seconds if processing.pending is None else processing.pending

    def finish() -> None:
        if transfer.state == "pending":
            end(books, transfer, into, fails=processing.fails)

    books.agenda.after(pending, finish)
    books.hide(transfer, processing)
    return transfer


def end(books: Books, transfer: Transfer, into: str, *, fails: bool) -> None:
    """Bring the money to its target, or back."""
    transfer.state = "failed" if fails else "success"
    holder = transfer.source if fails else transfer.target
    books.ledger.post(
        IN_TRANSIT, holder, transfer.ccy, transfer.amt, books.clock.stamp(),
        bills=("", _SYSTEM_REVERSAL if fails else into), client_id=transfer.client_id,
        hidden=transfer.hidden and bool(transfer.client_id),
    )  # fmt: skip
    if not fails:
        books.count(transfer, "transfer", transfer.trans_id, transfer.ccy, transfer.amt)


def _note_sub_transfer(books: Books, source: User, target: User, transfer: Transfer) -> None:
    if bool(source.main) == bool(target.main):
        return  # within an account, or from sub to sub: whether OKX lists these isn't known
    sub = source if source.main else target
    assert sub.main is not None
    books.sub_transfers[sub.main.uid].add(
        SubTransfer(
            serial=books.serial(),
            user_id=sub.main.uid,
            client_id="",
            ts=transfer.ts,
            ccy=transfer.ccy,
            amt=transfer.amt,
            type="1" if sub is source else "0",
            sub_acct=sub.name,
            sub_uid=sub.uid,
        )
    )
