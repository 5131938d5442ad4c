"""The table of endpoints. A new endpoint is one row here, a struct and a three-line method."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from okx_funding.errors import InvalidArgumentError

from . import models

_DOCS = "https://www.okx.com/docs-v5/en/#"

Scope = Literal["user", "user+ccy", "ip"]
"""Whom OKX counts a limit by: the User ID, the User ID and currency, or the IP address."""

MAX_CURRENCIES = 20
"""The most currencies that one request may name, as OKX documents it."""


@dataclass(frozen=True, slots=True)
class RateLimit:
    """At most ``count`` requests in any ``period`` seconds.

    ``spread`` spaces them evenly, at four fifths of the limit, instead of using what is free at
    once: for gateways that approximate a window by two weighted counters.

    Raises InvalidArgumentError, a ValueError, for a count below one or a period that isn't
    positive and finite.
    """

    count: int
    period: float = 1.0
    spread: bool = False

    def __post_init__(self) -> None:
        if isinstance(self.count, bool) or not isinstance(self.count, int) or self.count < 1:
            raise InvalidArgumentError(
                f"RateLimit.count must be a whole number from 1 on, not {self.count!r}"
            )
        if (
            isinstance(self.period, bool)
            or not isinstance(self.period, int | float)
            or not math.isfinite(self.period)
            or self.period <= 0
        ):
            raise InvalidArgumentError(
                f"RateLimit.period must be seconds above zero, not {self.period!r}"
            )

    @property
    def rate(self) -> float:
        """Requests per second in the long run."""
        return self.count / self.period

    def __str__(self) -> str:
        return f"{self.count} per {self.period:g} s"


@dataclass(frozen=True, slots=True, eq=False)
class Endpoint:
    """One row of the table.

    ``name`` is the method of FundingClient and the key of ``rate_limits=``. ``batch_by`` names
    the parameter whose values may share a request, ``batch_size`` how many fit into one. ``shared``
    tells whether equal calls may share a request and its answer be remembered, ``repeatable``
    whether it may be sent again after a byte of it may have left.
    ``row`` is the struct of one row of ``data``; ``docs`` links OKX's page.
    """

    name: str
    method: Literal["GET", "POST"]
    path: str
    limit: RateLimit
    row: type[models.Row]
    docs: str
    scope: Scope = "user"
    permission: Literal["none", "read", "trade", "withdraw"] = "read"
    shared: bool = True
    repeatable: bool = True
    batch_by: str | None = None
    batch_size: int = 1

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


GET_NON_TRADABLE_ASSETS = Endpoint(
    name="get_non_tradable_assets",
    method="GET",
    path="/api/v5/asset/non-tradable-assets",
    limit=RateLimit(6, 1.0),
    row=models.NonTradableAsset,
    docs=_DOCS + "funding-account-rest-api-get-non-tradable-assets",
    batch_by="ccy",
    batch_size=MAX_CURRENCIES,
)

GET_ASSET_VALUATION = Endpoint(
    name="get_asset_valuation",
    method="GET",
    path="/api/v5/asset/asset-valuation",
    limit=RateLimit(1, 1.0),
    row=models.AssetValuation,
    docs=_DOCS + "funding-account-rest-api-get-account-asset-valuation",
)

GET_ACCOUNT_CONFIG = Endpoint(
    name="identify",
    method="GET",
    path="/api/v5/account/config",
    limit=RateLimit(5, 2.0),
    row=models.AccountConfig,
    docs=_DOCS + "trading-account-rest-api-get-account-configuration",
)

GET_TIME = Endpoint(
    name="get_time",
    method="GET",
    path="/api/v5/public/time",
    limit=RateLimit(10, 2.0),
    row=models.ServerTime,
    docs=_DOCS + "public-data-rest-api-get-system-time",
    scope="ip",
    permission="none",
)

ENDPOINTS: dict[str, Endpoint] = {
    endpoint.name: endpoint
    for endpoint in (GET_NON_TRADABLE_ASSETS, GET_ASSET_VALUATION, GET_ACCOUNT_CONFIG, GET_TIME)
}

VALUATION_UNITS = frozenset(
    "BTC USDT USD CNY JPY KRW RUB EUR VND IDR INR PHP THB TRY AUD SGD ARS SAR AED IQD".split()
)
"""The units of asset-valuation. The English page prints JP for the yen, the Chinese one JPY."""
