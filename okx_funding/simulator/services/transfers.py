"""Transfers within an account, and between a master and its sub-accounts."""

from __future__ import annotations

from okx_funding.simulator.answers import Refused
from okx_funding.simulator.ledger import InsufficientError
from okx_funding.simulator.records import Transfer
from okx_funding.simulator.states import transfers
from okx_funding.simulator.users import User

from .request import Row, ServiceRequest, master_only, service, sub_account

_BY_MASTER, _BY_SUB = frozenset({"0", "1", "2"}), frozenset({"0", "3", "4"})


@service("funds_transfer")
def funds_transfer(request: ServiceRequest) -> list[Row]:
    """https://www.okx.com/docs-v5/en/#funding-account-rest-api-funds-transfer"""
    type_ = request.text("type", "0")
    source, target = _ends(request, type_)
    if source is target and request.text("from") == request.text("to"):
        raise Refused("58123")
    _known_currency(request)
    if request.books.is_duplicate(
        request.books.transfers[request.user.uid], request.text("clientId")
    ):
        raise Refused("50071", "clientId")
    return [_start(request, source, target).receipt()]


@service("subaccount_transfer")
def subaccount_transfer(request: ServiceRequest) -> list[Row]:
    """https://www.okx.com/docs-v5/en/#sub-account-rest-api-master-accounts-manage-the-transfers-between-sub-accounts"""
    master_only(request)
    source = sub_account(request, request.text("fromSubAccount"))
    target = sub_account(request, request.text("toSubAccount"))
    if source is target:
        raise Refused("59507")
    _known_currency(request)
    return [{"transId": _start(request, source, target).trans_id}]


@service("transfer_state")
def transfer_state(request: ServiceRequest) -> list[Row]:
    """https://www.okx.com/docs-v5/en/#funding-account-rest-api-get-funds-transfer-state"""
    params, books = request.params, request.books
    name = "transId" if "transId" in params else "clientId"
    if name not in params:
        raise Refused("50015", msg="Either parameter transId or clientId is required.")
    oldest = books.clock.stamp() - books.rules.transfer_depth * 1000
    found = [
        it
        for it in books.transfers[request.user.uid].named(params[name])
        if (it.trans_id if name == "transId" else it.client_id) == params[name]
        and it.type == request.text("type", "0")
        and it.ts >= oldest
        and not it.hidden
    ]
    if not found:
        raise Refused("58129", name)
    return [found[0].row()]


def _ends(request: ServiceRequest, type_: str) -> tuple[User, User]:
    """Whose account it leaves, and whose it comes to."""
    user, main = request.user, request.user.main
    if main is None:
        if type_ not in _BY_MASTER:
            raise Refused("58127")
        if type_ == "0":
            return user, user
        sub = sub_account(request, _required_sub(request), "58115")
        return (user, sub) if type_ == "1" else (sub, user)
    if type_ not in _BY_SUB:
        raise Refused("58128")
    if type_ == "0":
        return user, user
    if not user.can_transfer_out:
        raise Refused("58119", user.name)
    if type_ == "3":
        return user, main
    other = main.subs.get(_required_sub(request))
    if other is None:
        raise Refused("58115")
    if other is user:
        raise Refused("59507")
    return user, other


def _required_sub(request: ServiceRequest) -> str:
    name = request.text("subAcct")
    if not name:
        raise Refused("50014", "subAcct")
    return name


def _known_currency(request: ServiceRequest) -> None:
    ccy = request.text("ccy")
    if not request.books.catalogue.knows(ccy):
        raise Refused("58006", ccy)


def _start(request: ServiceRequest, source: User, target: User) -> Transfer:
    params = {name: str(value) for name, value in request.params.items()}
    try:
        return transfers.start(
            request.books, request.user, source, target, params, request.amount("amt"),
            request.processing,
        )  # fmt: skip
    except InsufficientError:
        raise Refused("58350") from None
