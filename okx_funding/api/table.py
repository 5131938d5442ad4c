"""The table of all endpoints, in the order of OKX's documentation's chapters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from okx_funding.errors import InvalidArgumentError

from . import (
    account,
    assets,
    bills,
    buy_sell,
    convert,
    deposits,
    fiat,
    statements,
    subaccount_balances,
    subaccount_bills,
    subaccount_keys,
    subaccounts,
    transfers,
    withdrawals,
)
from .spec import Endpoint, RateLimit

_SECTIONS = (
    assets,
    transfers,
    bills,
    deposits,
    withdrawals,
    statements,
    convert,
    fiat,
    buy_sell,
    subaccounts,
    subaccount_balances,
    subaccount_bills,
    subaccount_keys,
    account,
)

ENDPOINTS: dict[str, Endpoint[Any]] = {
    endpoint.name: endpoint for section in _SECTIONS for endpoint in section.ENDPOINTS
}
"""All endpoints by the name of their method."""


class Reads(
    assets.Assets,
    transfers.Transfers,
    bills.Bills,
    deposits.Deposits,
    withdrawals.Withdrawals,
    statements.Statements,
    convert.Convert,
    fiat.Fiat,
    buy_sell.BuySell,
    subaccounts.Subaccounts,
    subaccount_balances.SubaccountBalances,
    subaccount_bills.SubaccountBills,
    subaccount_keys.SubaccountKeys,
    account.Account,
):
    """All methods that move no money."""

    __slots__ = ()


def rate_limits(given: Mapping[str, RateLimit]) -> dict[str, RateLimit]:
    """Rate limits by method name, checked."""
    if not isinstance(given, Mapping):
        raise InvalidArgumentError("rate_limits must map method names to RateLimit")
    for name, limit in given.items():
        if name not in ENDPOINTS:
            raise InvalidArgumentError(
                f"rate_limits knows no {name!r}; its keys are {', '.join(sorted(ENDPOINTS))}"
            )
        if not isinstance(limit, RateLimit):
            raise InvalidArgumentError(
                f"rate_limits[{name!r}] must be a RateLimit, such as RateLimit(6, 1.0)"
            )
    return dict(given)
