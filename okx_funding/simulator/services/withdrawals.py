"""Withdrawals: what OKX checks before it accepts one, cancelling, and the history."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

from okx_funding.simulator.answers import Refused
from okx_funding.simulator.catalogue import Chain
from okx_funding.simulator.ledger import FUNDING, Holder
from okx_funding.simulator.records import Withdrawal
from okx_funding.simulator.states import withdrawals

from .request import Row, ServiceRequest, service

_INTERNAL, _ON_CHAIN = "3", "4"
_INTERNAL_DECIMALS = 8


@service("withdrawal")
def withdrawal(request: ServiceRequest) -> list[Row]:
    """https://www.okx.com/docs-v5/en/#funding-account-rest-api-withdrawal"""
    if request.key.demo:
        raise Refused("50038")
    if request.user.main is not None:
        raise Refused("59504")
    if request.text("toAddrType", "1") == "2" and request.text("dest") != _INTERNAL:
        raise Refused("51000", "toAddrType")
    _check_receiver(request.params.get("rcvrInfo"))
    record = _tradable(request) or _non_tradable(request)
    if request.books.is_duplicate(request.books.withdrawals[request.user.uid], record.client_id):
        raise Refused("50071", "clientId")
    if record.non_tradable:
        request.account.move_to_ledger(record.ccy)
    withdrawals.start(request.books, record, request.processing)
    return [record.receipt()]


def _tradable(request: ServiceRequest) -> Withdrawal | None:
    """A withdrawal of a currency that is traded; None for another one. Raises Refused."""
    ccy, amt, internal = request.text("ccy"), request.amount("amt"), request.text("dest") == "3"
    catalogue = request.books.catalogue
    if not catalogue.knows(ccy):
        return None
    chain = catalogue.chain(ccy, request.text("chain"))
    if chain is None or (not chain.chain and not internal):
        raise Refused("58200", request.text("chain") or ccy)
    if internal:
        _check_internal(request, chain)
        fee = Decimal(0)
    else:
        _check_on_chain(request, chain)
        fee = chain.fee
    holder = Holder(request.user.uid, FUNDING)
    free = request.books.ledger.balance(holder, ccy)
    free -= request.books.not_withdrawable[request.user.uid, ccy]
    if amt + fee > free:
        raise Refused("58350")
    return _record(request, chain.chain, fee, ccy)


def _check_internal(request: ServiceRequest, chain: Chain) -> None:
    to = request.text("toAddr")
    if not chain.can_internal:
        raise Refused("58200", chain.ccy)
    if _decimals(request.amount("amt")) > _INTERNAL_DECIMALS:
        raise Refused("51000", "amt")
    if request.amount("amt") < chain.min_internal:
        raise Refused("58206")
    if to.startswith("0x") or to == request.user.uid:
        raise Refused("58213")
    if request.text("toAddrType") == "2" and to not in request.books.users.by_uid:
        raise Refused("58213")
    if re.fullmatch(r"\d{6,13}", to) and request.text("toAddrType", "1") == "1":
        _require(request, "areaCode")  # a phone number


def _check_on_chain(request: ServiceRequest, chain: Chain) -> None:
    amt, to = request.amount("amt"), request.text("toAddr")
    if not chain.can_withdraw:
        raise Refused("58214", chain.chain)
    if _decimals(amt) > chain.decimals:
        raise Refused("51000", "amt")
    if amt < chain.min_wd:
        raise Refused("58206")
    if amt > chain.max_wd:
        raise Refused("58205")
    _check_address(request, to, needs_tag=chain.needs_tag)


def _check_address(request: ServiceRequest, to: str, *, needs_tag: bool) -> None:
    if needs_tag and ":" not in to:
        raise Refused("58221")
    if not request.books.rules.any_address and to not in request.user.verified:
        raise Refused("58207")


def _non_tradable(request: ServiceRequest) -> Withdrawal:
    """A withdrawal of a non-tradable asset: on its one chain, the fee in another currency."""
    ccy, amt = request.text("ccy"), request.amount("amt")
    rows = [row for row in request.account.assets if row["ccy"] == ccy]
    chain = request.text("chain")
    mine = [row for row in rows if chain in ("", row["chain"])]
    if not rows:
        raise Refused("58006", ccy)
    if not mine or request.text("dest") == _INTERNAL:
        raise Refused("58200", chain or ccy)
    row = mine[0]
    if not request.key.ips:
        raise Refused("58228")
    if not row["canWd"]:
        raise Refused("58214", row["chain"])
    if _decimals(amt) > int(row["wdTickSz"] or 8):
        raise Refused("51000", "amt")
    if amt < Decimal(row["minWd"] or 0):
        raise Refused("58206")
    if amt > Decimal(row["bal"]):
        raise Refused("58350")
    if row["wdAll"] and amt != Decimal(row["bal"]):
        raise Refused("58227")
    _check_address(request, request.text("toAddr"), needs_tag=row["needTag"])
    fee = Decimal(row["fee"] or 0)
    holder = Holder(request.user.uid, FUNDING)
    if request.books.ledger.balance(holder, row["feeCcy"]) < fee:
        raise Refused("58229", row["fee"])
    return _record(request, row["chain"], fee, row["feeCcy"], non_tradable=True)


def _record(
    request: ServiceRequest, chain: str, fee: Decimal, fee_ccy: str, *, non_tradable: bool = False
) -> Withdrawal:
    to, _, tag = request.text("toAddr").partition(":")
    tagged = bool(tag) and request.text("dest") == _ON_CHAIN
    return Withdrawal(
        serial=request.books.serial(),
        user_id=request.user.uid,
        client_id=request.text("clientId"),
        ts=request.books.clock.stamp(),
        ccy=request.text("ccy"),
        chain=chain,
        amt=request.amount("amt"),
        fee=fee,
        fee_ccy=fee_ccy,
        dest=request.text("dest"),
        to=to if tagged else request.text("toAddr"),
        to_addr_type=request.text("toAddrType", "1"),
        area_code=request.text("areaCode"),
        tag=tag if tagged else "",
        non_tradable=non_tradable,
    )


def _check_receiver(info: Any) -> None:
    """https://www.okx.com/docs-v5/en/#funding-account-rest-api-withdrawal: rcvrInfo."""
    if info is None:
        return
    if info.get("walletType") not in ("exchange", "private"):
        raise Refused("51000", "walletType")
    if info["walletType"] == "exchange" and not info.get("exchId"):
        raise Refused("50014", "exchId")


def _require(request: ServiceRequest, name: str) -> None:
    if name not in request.params:
        raise Refused("50014", name)


def _decimals(amount: Decimal) -> int:
    exponent = amount.normalize().as_tuple().exponent
    return max(-exponent, 0) if isinstance(exponent, int) else 0


@service("cancel_withdrawal")
def cancel_withdrawal(request: ServiceRequest) -> list[Row]:
    """https://www.okx.com/docs-v5/en/#funding-account-rest-api-cancel-withdrawal"""
    for record in request.books.withdrawals[request.user.uid].named(request.text("wdId")):
        if record.wd_id == request.text("wdId"):
            if record.state in ("-2", "-3"):
                raise Refused("58220")
            if record.state not in withdrawals.CANCELLABLE:
                raise Refused("58216")
            withdrawals.cancel(request.books, record)
            return [{"wdId": record.wd_id}]
    raise Refused("58215")


@service("get_withdrawal_history")
def withdrawal_history(request: ServiceRequest) -> list[Row]:
    """https://www.okx.com/docs-v5/en/#funding-account-rest-api-get-withdrawal-history"""
    agrees = request.matches(
        ccy="ccy", wdId="wd_id", clientId="client_id", txId="tx_id", type="dest", state="state"
    )
    page = request.page(
        request.books.withdrawals[request.user.uid],
        accept=agrees,
        named="wdId" if "wdId" in request.params else "clientId",
    )
    code = request.books.rules.not_found
    if not page and code != "empty" and {"wdId", "clientId"} & set(request.params):
        name = "wdId" if "wdId" in request.params else "clientId"
        raise Refused(code, name)
    return [record.row() for record in page]
