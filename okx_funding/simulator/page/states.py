"""The states of deposits and withdrawals in words, and the step that comes next.

https://www.okx.com/docs-v5/en/#funding-account-rest-api-get-deposit-history
https://www.okx.com/docs-v5/en/#funding-account-rest-api-get-withdrawal-history
"""

from __future__ import annotations

from typing import NamedTuple

from okx_funding.simulator.records import Deposit, Withdrawal

_DEPOSITS = {
    "0": "waiting for confirmations",
    "1": "credited, not yet withdrawable",
    "2": "done",
    "8": "suspended: the chain doesn't work",
    "11": "address on the blacklist",
    "12": "frozen",
    "13": "intercepted on a sub-account",
    "14": "above the KYC limit",
    "17": "waiting for the Travel Rule vendor",
}
_WITHDRAWALS = {
    "-3": "being cancelled",
    "-2": "cancelled",
    "-1": "failed",
    "0": "waiting",
    "1": "broadcast",
    "2": "done",
    "7": "approved",
    "17": "waiting for the Travel Rule vendor",
    "19": "waiting for transfer",
}


class Step(NamedTuple):
    """A state to go to. ``button`` is what the page's button says, ``then`` what has become."""

    state: str
    button: str
    then: str


_CREDIT = Step("1", "Confirm", "credited")
_UNLOCK = Step("2", "Unlock", "done: it may be withdrawn")
_RELEASE = Step("2", "Release", "released and credited")
_CANCEL = Step("-2", "Cancel now", "cancelled: the money is back")
_APPROVE = Step("7", "Approve", "approved")
_BROADCAST = Step("1", "Broadcast", "broadcast")
_FINISH = Step("2", "Confirm", "done")


def words(record: Deposit | Withdrawal) -> str:
    """What the record's state means."""
    table = _DEPOSITS if isinstance(record, Deposit) else _WITHDRAWALS
    return table.get(record.state, f"state {record.state}")


def is_open(record: Deposit | Withdrawal) -> bool:
    """Whether it has a step to go."""
    return next_state(record) is not None


def next_state(record: Deposit | Withdrawal) -> Step | None:
    """The step that comes next; None where the record is at its end."""
    if isinstance(record, Deposit):
        return {"0": _CREDIT, "1": _UNLOCK, "2": None}.get(record.state, _RELEASE)
    if record.final:
        return None
    return {"-3": _CANCEL, "7": _BROADCAST, "1": _FINISH}.get(record.state, _APPROVE)
