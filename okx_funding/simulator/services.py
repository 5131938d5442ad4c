"""What each endpoint answers to a user who may ask. Pure but for the account's own caches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

from okx_funding.endpoints import MAX_CURRENCIES, VALUATION_UNITS

from . import answers
from .accounts import Account
from .answers import Answer, compact, error, success


@dataclass(slots=True)
class Rules:
    """Where nobody has seen what OKX does, a setting.

    ``unknown``: the code that refuses a currency without rows, None to answer without rows for it.
    ``bad_currencies``: upper-case names that are refused with ``bad_code``. ``bad_named``: whether
    the message names the currency.
    """

    unknown: str | None = None
    bad_currencies: set[str] = field(default_factory=set)
    bad_code: str = "51000"
    bad_named: bool = False


@dataclass(frozen=True, slots=True)
class Question:
    """What a service is asked.

    ``who`` asks: a user id, or an address where anybody may ask. ``keys`` are the values of the
    parameter ``ccy``. ``wall`` is the exchange's clock, in seconds since the epoch.
    """

    account: Account | None
    who: str
    keys: tuple[str, ...]
    wall: float
    rules: Rules

    @property
    def milliseconds(self) -> int:
        return int(self.wall * 1000)


def keys_of(query: str) -> tuple[str, ...]:
    """The currencies that a query string names, as they are written, empty ones left out."""
    for name, value in parse_qsl(query):
        if name == "ccy":
            return tuple(ccy for ccy in value.split(",") if ccy)
    return ()


def _get_non_tradable_assets(question: Question) -> Answer:
    # https://www.okx.com/docs-v5/en/#funding-account-rest-api-get-non-tradable-assets
    account, rules = question.account, question.rules
    assert account is not None
    if len(question.keys) > MAX_CURRENCIES:
        return answers.TOO_MANY_CURRENCIES
    wanted = [ccy.upper() for ccy in question.keys]
    if rules.bad_currencies or rules.unknown:
        for given, ccy in zip(question.keys, wanted, strict=True):
            if ccy in rules.bad_currencies:
                return _bad_parameter(rules.bad_code, given, rules)
            if rules.unknown and not account.owns(ccy):
                return _bad_parameter(rules.unknown, given, rules)
    return success(account.encoded_assets(wanted))


def _bad_parameter(code: str, ccy: str, rules: Rules) -> Answer:
    return error(code, msg=f"Parameter ccy error: {ccy}" if rules.bad_named else None)


def _get_asset_valuation(question: Question) -> Answer:
    # https://www.okx.com/docs-v5/en/#funding-account-rest-api-get-account-asset-valuation
    assert question.account is not None
    unit = ",".join(question.keys) or "BTC"
    if unit not in VALUATION_UNITS:
        return answers.UNKNOWN_UNIT
    return success(question.account.encoded_valuation(unit, question.milliseconds))


def _identify(question: Question) -> Answer:
    # https://www.okx.com/docs-v5/en/#trading-account-rest-api-get-account-configuration
    row = {
        "acctLv": "2",
        "autoLoan": False,
        "ip": "",
        "kycLv": "3",
        "label": "simulated",
        "level": "Lv1",
        "mainUid": question.who,
        "perm": "read_only",
        "posMode": "net_mode",
        "roleType": "0",
        "type": "0",
        "uid": question.who,
    }
    return success(compact(row))


def _get_time(question: Question) -> Answer:
    # https://www.okx.com/docs-v5/en/#public-data-rest-api-get-system-time
    return success(b'{"ts":"%d"}' % question.milliseconds)


SERVICES: dict[str, Callable[[Question], Answer]] = {
    "get_non_tradable_assets": _get_non_tradable_assets,
    "get_asset_valuation": _get_asset_valuation,
    "identify": _identify,
    "get_time": _get_time,
}
"""By name of the endpoint; what isn't here is answered with 404."""
