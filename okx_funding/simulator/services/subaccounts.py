"""Sub-accounts, as their master's key sees and manages them."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

from okx_funding.simulator.answers import Refused
from okx_funding.simulator.auth import Key
from okx_funding.simulator.catalogue import plain
from okx_funding.simulator.history import History
from okx_funding.simulator.ledger import TRADING
from okx_funding.simulator.records import SubTransfer
from okx_funding.simulator.users import User

from .account import perm
from .assets import balance_rows
from .request import Row, ServiceRequest, master_only, service, sub_account

_NAME = re.compile(r"[A-Za-z0-9]{6,20}", re.ASCII)
_MOST_KEYS = 20
_PERMISSIONS = {"read_only": "read", "trade": "trade", "withdraw": "withdraw"}


@service("get_subaccount_list")
def subaccount_list(request: ServiceRequest) -> list[Row]:
    """https://www.okx.com/docs-v5/en/#sub-account-rest-api-get-sub-account-list"""
    subs: History[User] = History()
    for sub in master_only(request).subs.values():
        subs.add(sub)
    enabled = request.params.get("enable")
    page = request.page(
        subs,
        accept=lambda it: (
            enabled in (None, str(it.enabled).lower())
            and request.text("subAcct", it.name) == it.name
        ),
    )
    return [_sub_row(sub) for sub in page]


def _sub_row(sub: User) -> Row:
    return {
        "canTransOut": sub.can_transfer_out,
        "enable": sub.enabled,
        "frozenFunc": [],
        "gAuth": False,
        "label": sub.label,
        "mobile": "",
        "subAcct": sub.name,
        "ts": str(sub.created),
        "type": sub.type,
        "uid": sub.uid,
        "subAcctLv": "1",
        "firstLvSubAcct": sub.name,
        "ifDma": False,
    }


@service("get_subaccount_funding_balances")
def funding_balances(request: ServiceRequest) -> list[Row]:
    """https://www.okx.com/docs-v5/en/#sub-account-rest-api-get-sub-account-funding-balance"""
    master_only(request)
    return balance_rows(request, sub_account(request, request.text("subAcct")))


_EMPTY_TOTALS = (
    "delta", "deltaLever", "deltaNeutralStatus", "borrowFroz", "imr", "isoEq", "mmr",
    "notionalUsd", "notionalUsdForBorrow", "notionalUsdForFutures", "notionalUsdForOption",
    "notionalUsdForSwap", "ordFroz", "upl",
)  # fmt: skip
_ZEROS = (
    "autoLendMtAmt", "borrowFroz", "crossLiab", "colRes", "colBorrAutoConversion", "fixedBal",
    "frozenBal", "frpType", "interest", "isoEq", "isoLiab", "isoUpl", "liab", "notionalLever",
    "ordFrozen", "smtSyncEq", "spotCopyTradingEq", "spotIsoBal", "stgyEq", "twap", "upl",
    "uplLiab",
)  # fmt: skip
_BLANKS = (
    "accAvgPx", "clSpotInUseAmt", "imr", "maxSpotInUse", "mgnRatio", "mmr", "openAvgPx",
    "rewardBal", "spotBal", "spotInUseAmt", "spotUpl", "spotUplRatio", "totalPnl",
    "totalPnlRatio",
)  # fmt: skip


@service("get_subaccount_trading_balances")
def trading_balances(request: ServiceRequest) -> list[Row]:
    """https://www.okx.com/docs-v5/en/#sub-account-rest-api-get-sub-account-trading-balance"""
    master_only(request)
    sub = sub_account(request, request.text("subAcct"))
    books = request.books
    stamp = str(books.clock.stamp())
    total = Decimal(0)
    details = []
    for ccy, bal in books.account(sub, TRADING).items():
        usd = bal * books.catalogue.prices.get(ccy, Decimal(0))
        total += usd
        details.append(_detail(ccy, plain(bal), plain(usd), stamp))
    return [
        dict.fromkeys(_EMPTY_TOTALS, "0")
        | {
            "adjEq": plain(total),
            "availEq": plain(total),
            "details": details,
            "mgnRatio": "",
            "totalEq": plain(total),
            "uTime": stamp,
        }
    ]


def _detail(ccy: str, bal: str, usd: str, stamp: str) -> Row:
    return (
        dict.fromkeys(_ZEROS, "0")
        | dict.fromkeys(_BLANKS, "")
        | {
            "autoLendStatus": "off",
            "availBal": bal,
            "availEq": bal,
            "cashBal": bal,
            "ccy": ccy,
            "collateralEnabled": False,
            "collateralRestrict": False,
            "disEq": usd,
            "eq": bal,
            "eqUsd": usd,
            "maxLoan": "0",
            "uTime": stamp,
        }
    )


@service("get_subaccount_max_withdrawal")
def max_withdrawal(request: ServiceRequest) -> list[Row]:
    """https://www.okx.com/docs-v5/en/#sub-account-rest-api-get-sub-account-maximum-withdrawals"""
    master_only(request)
    sub = sub_account(request, request.text("subAcct"))
    wanted = request.currencies()
    return [
        {
            "ccy": ccy,
            "maxWd": plain(bal),
            "maxWdEx": "",
            "spotOffsetMaxWd": plain(bal),
            "spotOffsetMaxWdEx": "",
        }
        for ccy, bal in request.books.account(sub, TRADING).items()
        if not wanted or ccy in wanted
    ]


def _bills(request: ServiceRequest) -> list[SubTransfer]:
    return request.page(
        request.books.sub_transfers[master_only(request).uid],
        accept=request.matches(ccy="ccy", type="type", subAcct="sub_acct", subUid="sub_uid"),
    )


@service("get_subaccount_bills")
def subaccount_bills(request: ServiceRequest) -> list[Row]:
    """https://www.okx.com/docs-v5/en/#sub-account-rest-api-get-history-of-sub-account-transfer"""
    return [bill.row() for bill in _bills(request)]


@service("get_managed_subaccount_bills")
def managed_subaccount_bills(request: ServiceRequest) -> list[Row]:
    """https://www.okx.com/docs-v5/en/#sub-account-rest-api-get-history-of-managed-sub-account-transfer"""
    return [{**bill.row(), "subUid": bill.sub_uid} for bill in _bills(request)]


@service("set_permission_transfer_out")
def set_transfer_out(request: ServiceRequest) -> list[Row]:
    """https://www.okx.com/docs-v5/en/#sub-account-rest-api-set-permission-of-transfer-out"""
    master_only(request)
    allowed = request.text("canTransOut", "true") == "true"
    names = [name for name in request.text("subAcct").split(",") if name]
    subs = [sub_account(request, name) for name in names]
    for sub in subs:
        sub.can_transfer_out = allowed
    return [{"subAcct": sub.name, "canTransOut": allowed} for sub in subs]


@service("get_entrust_subaccount_list")
def entrust_subaccount_list(request: ServiceRequest) -> list[Row]:
    """https://www.okx.com/docs-v5/en/#sub-account-rest-api-get-custody-trading-sub-account-list"""
    return [
        {"subAcct": sub.name}
        for sub in master_only(request).subs.values()
        if sub.type == "5" and request.text("subAcct", sub.name) == sub.name
    ]


@service("create_subaccount")
def create_subaccount(request: ServiceRequest) -> list[Row]:
    """https://www.okx.com/docs-v5/en/#sub-account-rest-api-create-sub-account"""
    main, name = master_only(request), request.text("subAcct")
    if not _NAME.fullmatch(name):
        raise Refused("51000", "subAcct")
    if name in main.subs:
        raise Refused("59614")
    sub = request.books.users.add_sub(main, name, request.books.clock.stamp())
    sub.label, sub.type = request.text("label"), request.text("type")
    return [{"label": sub.label, "subAcct": name, "ts": str(sub.created), "uid": sub.uid}]


# --- keys -------------------------------------------------------------------------------------


def _permissions(text: str) -> set[str]:
    names = listed_lower(text) or ["read_only"]
    if not set(names) <= set(_PERMISSIONS):
        raise Refused("51000", "perm")
    return {"read", *(_PERMISSIONS[name] for name in names)}


def listed_lower(text: str) -> list[str]:
    """The values of a comma list as they are."""
    return [it.strip() for it in text.split(",") if it.strip()]


def _key_row(sub: User, key: Key, **more: Any) -> Row:
    return {
        "subAcct": sub.name,
        "label": key.label,
        "apiKey": key.api_key,
        "perm": perm(key.permissions),
        "ip": ",".join(sorted(key.ips or ())),
        "ts": str(key.created),
        **more,
    }


@service("create_subaccount_apikey")
def create_apikey(request: ServiceRequest) -> list[Row]:
    """https://www.okx.com/docs-v5/en/#sub-account-rest-api-create-an-api-key-for-a-sub-account"""
    master_only(request)
    sub = sub_account(request, request.text("subAcct"))
    users = request.books.users
    if len(list(users.keys_of(sub.uid))) >= _MOST_KEYS:
        raise Refused("59614", msg="The number of API keys exceeds the limit.")
    made = users.made_up(request.text("passphrase"), sub.uid)
    ips = set(listed_lower(request.text("ip")))
    key = users.add_key(
        made,
        sub.uid,
        label=request.text("label"),
        permissions=_permissions(request.text("perm")),
        ips=ips or None,
        created=request.books.clock.stamp(),
    )
    assert key is not None
    _, secret_key, passphrase = made.reveal()
    return [
        _key_row(sub, key, secretKey=str.__str__(secret_key), passphrase=str.__str__(passphrase))
    ]


def _keys(request: ServiceRequest, sub: User) -> list[Key]:
    wanted = request.params.get("apiKey")
    found = [key for key in request.books.users.keys_of(sub.uid) if wanted in (None, key.api_key)]
    if wanted is not None and not found:
        raise Refused("50119")
    return found


@service("get_subaccount_apikeys")
def apikeys(request: ServiceRequest) -> list[Row]:
    """https://www.okx.com/docs-v5/en/#sub-account-rest-api-query-the-api-key-of-a-sub-account"""
    master_only(request)
    sub = sub_account(request, request.text("subAcct"))
    rows = [_key_row(sub, key) for key in _keys(request, sub)]
    return [{name: row[name] for name in row if name != "subAcct"} for row in rows]


@service("reset_subaccount_apikey")
def reset_apikey(request: ServiceRequest) -> list[Row]:
    """https://www.okx.com/docs-v5/en/#sub-account-rest-api-reset-the-api-key-of-a-sub-account"""
    master_only(request)
    sub = sub_account(request, request.text("subAcct"))
    (key,) = _keys(request, sub)
    key.label = request.text("label", key.label)
    if "perm" in request.params:
        key.permissions = _permissions(request.text("perm"))
    if "ip" in request.params:
        key.ips = set(listed_lower(request.text("ip"))) or None
    return [_key_row(sub, key)]


@service("delete_subaccount_apikey")
def delete_apikey(request: ServiceRequest) -> list[Row]:
    """https://www.okx.com/docs-v5/en/#sub-account-rest-api-delete-the-api-key-of-sub-accounts"""
    master_only(request)
    sub = sub_account(request, request.text("subAcct"))
    (key,) = _keys(request, sub)
    request.books.users.remove_key(key.api_key)
    return [{"subAcct": sub.name}]
