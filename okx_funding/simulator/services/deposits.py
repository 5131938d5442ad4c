"""Deposits: addresses and history, and the detailed state of both ways."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from okx_funding.simulator.answers import Refused
from okx_funding.simulator.states import deposits

from .request import Row, ServiceRequest, service


@service("get_deposit_address")
def deposit_address(request: ServiceRequest) -> list[Row]:
    """https://www.okx.com/docs-v5/en/#funding-account-rest-api-get-deposit-address"""
    if request.key.demo:
        raise Refused("50038")
    (ccy,) = request.currencies()[:1] or [""]
    chains = [it for it in request.books.catalogue.of(ccy) if it.chain]
    if not chains:
        raise Refused("58006", ccy)
    found = []
    for chain in chains:
        row: Row = {
            "chain": chain.chain,
            "ctAddr": chain.contract,
            "ccy": ccy,
            "to": "6",
            "addr": deposits.address(request.books, request.user, chain.chain),
            "verifiedName": "",
            "selected": True,
        }
        found.append(row | ({"tag": request.user.uid[-8:]} if chain.needs_tag else {}))
    return found


@service("get_deposit_history")
def deposit_history(request: ServiceRequest) -> list[Row]:
    """https://www.okx.com/docs-v5/en/#funding-account-rest-api-get-deposit-history"""
    agrees = request.matches(
        ccy="ccy", depId="dep_id", fromWdId="from_wd_id", txId="tx_id", state="state"
    )
    type_ = request.params.get("type")
    page = request.page(
        request.books.deposits[request.user.uid],
        accept=lambda it: agrees(it) and type_ in (None, "3" if it.from_ else "4"),
    )
    return [deposit.row() for deposit in page]


_DEPOSIT_TEXTS = {
    "0": "Deposit pending: Waiting for block confirmations, please wait.",
    "1": "Deposit credited: Waiting for more confirmations until it can be withdrawn.",
    "2": "Deposit complete",
}
_WITHDRAWAL_TEXTS = {
    "0": "Pending withdrawal: Waiting for review.",
    "7": "Pending withdrawal: Approved.",
    "1": "Pending withdrawal: Broadcasting to the chain.",
    "2": "Withdrawal complete",
    "-1": "Withdrawal failed",
    "-2": "Withdrawal canceled",
    "-3": "Pending withdrawal: Canceling.",
}


@service("get_deposit_withdraw_status")
def deposit_withdraw_status(request: ServiceRequest) -> list[Row]:
    """https://www.okx.com/docs-v5/en/#funding-account-rest-api-get-deposit-withdraw-status"""
    params, books, uid = request.params, request.books, request.user.uid
    if ("wdId" in params) == ("txId" in params):
        raise Refused("50015", msg="Either parameter wdId or txId is required.")
    if "wdId" in params:
        for withdrawal in books.withdrawals[uid].named(params["wdId"]):
            if withdrawal.wd_id == params["wdId"] and not withdrawal.hidden:
                text = _WITHDRAWAL_TEXTS.get(withdrawal.state, "Pending withdrawal: In review.")
                return [_status(withdrawal.ts, withdrawal.wd_id, withdrawal.tx_id, text)]
        raise Refused("50026")  # seen at OKX for an unknown wdId, one of three codes
    missing = [name for name in ("ccy", "to", "chain") if name not in params]
    if missing:
        raise Refused("50014", missing[0])
    for deposit in books.deposits[uid]:
        if (deposit.tx_id, deposit.ccy, deposit.to, deposit.chain) == tuple(
            params[name] for name in ("txId", "ccy", "to", "chain")
        ):
            text = _DEPOSIT_TEXTS.get(deposit.state, "Deposit pending: In review.")
            return [_status(deposit.ts, "", deposit.tx_id, text)]
    raise Refused("51000", "txId")


def _status(ts: int, wd_id: str, tx_id: str, state: str) -> Row:
    """The time is text in UTC+8, as nowhere else."""
    at = datetime.fromtimestamp(ts / 1000, UTC) + timedelta(hours=8, minutes=10)
    clock = f"{at.hour % 12 or 12}:{at:%M:%S} {'AM' if at.hour < 12 else 'PM'}"
    return {
        "wdId": wd_id,
        "txId": tx_id,
        "state": state,
        "estCompleteTime": f"{at:%m/%d/%Y}, {clock}",
    }
