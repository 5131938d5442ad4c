"""Currencies, balances, non-tradable assets, valuation, and what belongs to no other section."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from okx_funding.simulator.answers import Answer, Refused, success
from okx_funding.simulator.catalogue import EXCHANGES, VALUATION_UNITS, plain
from okx_funding.simulator.ledger import FUNDING
from okx_funding.simulator.users import User

from .request import Row, ServiceRequest, bad_currency, service


@service("get_currencies")
def currencies(request: ServiceRequest) -> list[Row]:
    """https://www.okx.com/docs-v5/en/#funding-account-rest-api-get-currencies"""
    if request.key.demo:
        raise Refused("50038")
    wanted = request.currencies()
    return [
        chain.row() for chain in request.books.catalogue.chains if not wanted or chain.ccy in wanted
    ]


@service("get_balances")
def balances(request: ServiceRequest) -> list[Row]:
    """https://www.okx.com/docs-v5/en/#funding-account-rest-api-get-balance"""
    return balance_rows(request, request.user)


def balance_rows(request: ServiceRequest, user: User) -> list[Row]:
    """The rows of a user's funding account: only what is above zero."""
    wanted = request.currencies()
    rules = request.books.rules
    mine = request.books.account(user, FUNDING)
    for ccy in wanted if rules.unknown else ():
        if not request.books.catalogue.knows(ccy) and ccy not in mine:
            raise bad_currency(rules.unknown or "", ccy, named=rules.bad_named)
    return [
        _balance_row(ccy, bal, request.books.not_withdrawable[user.uid, ccy])
        for ccy, bal in mine.items()
        if not wanted or ccy in wanted
    ]


def _balance_row(ccy: str, bal: Decimal, frozen: Decimal) -> Row:
    frozen = min(frozen, bal)
    return {
        "availBal": plain(bal - frozen),
        "bal": plain(bal),
        "ccy": ccy,
        "frozenBal": plain(frozen),
    }


@service("get_non_tradable_assets")
def non_tradable_assets(request: ServiceRequest) -> Answer:
    """https://www.okx.com/docs-v5/en/#funding-account-rest-api-get-non-tradable-assets"""
    account, rules = request.account, request.books.rules
    given = [ccy for ccy in str(request.params.get("ccy", "")).split(",") if ccy]
    wanted = [ccy.upper() for ccy in given]
    if rules.bad_currencies or rules.unknown:
        for text, ccy in zip(given, wanted, strict=True):
            if ccy in rules.bad_currencies:
                raise bad_currency(rules.bad_code, text, named=rules.bad_named)
            if rules.unknown and not account.owns(ccy):
                raise bad_currency(rules.unknown, text, named=rules.bad_named)
    return success(account.encoded_assets(wanted))


@service("get_asset_valuation")
def asset_valuation(request: ServiceRequest) -> Answer:
    """https://www.okx.com/docs-v5/en/#funding-account-rest-api-get-account-asset-valuation"""
    unit = request.text("ccy", "BTC")
    if unit not in VALUATION_UNITS:
        raise Refused("51000")
    return success(request.account.encoded_valuation(unit, request.milliseconds))


@service("get_exchange_list")
def exchange_list(_request: ServiceRequest) -> list[Row]:
    """https://www.okx.com/docs-v5/en/#funding-account-rest-api-get-exchange-list-public"""
    return [{"exchId": id_, "exchName": name} for id_, name in EXCHANGES]


@service("apply_monthly_statement")
def apply_monthly_statement(request: ServiceRequest) -> list[Row]:
    """https://www.okx.com/docs-v5/en/#funding-account-rest-api-apply-for-monthly-statement-last-year"""
    stamp = request.books.clock.stamp()
    request.user.statements[request.text("month", "last")] = stamp
    return [{"ts": str(stamp)}]


_STATEMENT_MS = 60_000


@service("get_monthly_statement")
def monthly_statement(request: ServiceRequest) -> list[Row]:
    """https://www.okx.com/docs-v5/en/#funding-account-rest-api-get-monthly-statement-last-year"""
    applied: Mapping[str, int] = request.user.statements
    at = applied.get(request.text("month"))
    if at is None:
        raise Refused("51604")
    ready = request.books.clock.stamp() - at >= _STATEMENT_MS
    href = f"https://example.invalid/statements/{request.user.uid}.zip" if ready else ""
    return [{"fileHref": href, "state": "finished" if ready else "ongoing", "ts": at}]
