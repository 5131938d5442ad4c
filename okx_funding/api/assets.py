"""What the funding account holds: currencies, balances, valuation."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any, Literal, Unpack

import msgspec

from okx_funding.errors import InvalidArgumentError

from .params import Currencies, currencies
from .rows import moment_of, moment_or_none
from .spec import Caller, Endpoint, RateLimit, ReadOptions, Row, get

ValuationUnit = Literal[
    "BTC", "USDT", "USD", "CNY", "JPY", "KRW", "RUB", "EUR", "VND", "IDR", "INR", "PHP", "THB",
    "TRY", "AUD", "SGD", "ARS", "SAR", "AED", "IQD",
]  # fmt: skip

VALUATION_UNITS = frozenset(
    "BTC USDT USD CNY JPY KRW RUB EUR VND IDR INR PHP THB TRY AUD SGD ARS SAR AED IQD".split()
)
"""The units of asset-valuation. The English page prints JP for the yen, the Chinese one JPY."""


class Currency(Row, frozen=True):
    """A currency on one chain: whether and how it goes in and out.

    https://www.okx.com/docs-v5/en/#funding-account-rest-api-get-currencies
    """

    ccy: str
    """Currency, such as BTC."""
    chain: str
    """Chain, such as BTC-Bitcoin; empty for money such as TRY."""
    can_dep: bool
    """Whether it can be deposited from the chain."""
    can_wd: bool
    """Whether it can be withdrawn to the chain."""
    name: str = ""
    """Name of the currency; may be empty."""
    logo_link: str = ""
    ct_addr: str = ""
    """Last six characters of the contract's address."""
    can_internal: bool | None = None
    """Whether it can be moved to another user of OKX."""
    dep_est_open_time: int | None = None
    """When deposits are expected to open, in milliseconds; None while they are open."""
    wd_est_open_time: int | None = None
    """When withdrawals are expected to open, in milliseconds; None while they are open."""
    min_dep: Decimal | None = None
    """Smallest deposit from the chain, in ccy."""
    min_wd: Decimal | None = None
    """Smallest withdrawal to the chain, in ccy."""
    min_internal: Decimal | None = None
    """Smallest transfer to another user of OKX, in ccy."""
    max_wd: Decimal | None = None
    """Largest amount of one withdrawal, in ccy."""
    wd_tick_sz: int | None = None
    """Decimals of an amount to withdraw."""
    wd_quota: Decimal | None = None
    """What may be withdrawn within 24 hours, in USD."""
    used_wd_quota: Decimal | None = None
    """What of wd_quota is used up, in USD."""
    fee: Decimal | None = None
    """Fixed withdrawal fee, in ccy."""
    min_fee: Decimal | None = None
    """Deprecated by OKX."""
    max_fee: Decimal | None = None
    """Deprecated by OKX."""
    min_fee_for_ct_addr: Decimal | None = None
    """Deprecated by OKX."""
    max_fee_for_ct_addr: Decimal | None = None
    """Deprecated by OKX."""
    burning_fee_rate: Decimal | None = None
    """0.05 burns 5 % of the amount withdrawn; None burns nothing."""
    main_net: bool | None = None
    """Whether the chain is the currency's main one."""
    need_tag: bool | None = None
    """Whether a withdrawal needs a tag or memo."""
    min_dep_arrival_confirm: int | None = None
    """Confirmations until a deposit is credited."""
    min_wd_unlock_confirm: int | None = None
    """Confirmations until a deposit may be withdrawn."""
    dep_quota_fixed: Decimal | None = None
    """Fixed limit of deposits, in USD; None for none."""
    used_dep_quota_fixed: Decimal | None = None
    """What of dep_quota_fixed is used up, in USD."""
    dep_quote_daily_layer2: Decimal | None = None
    """Daily limit of deposits through a layer 2 network. OKX spells it so."""
    stablecoin_daily_quota: Decimal | None = None
    """Sent since 2026, documented nowhere."""
    stablecoin_monthly_quota: Decimal | None = None
    used_stablecoin_daily_quota: Decimal | None = None
    used_stablecoin_monthly_quota: Decimal | None = None

    @property
    def dep_est_open_at(self) -> datetime | None:
        """``dep_est_open_time`` as an aware datetime in UTC."""
        return moment_or_none(self.dep_est_open_time)

    @property
    def wd_est_open_at(self) -> datetime | None:
        """``wd_est_open_time`` as an aware datetime in UTC."""
        return moment_or_none(self.wd_est_open_time)


class Balance(Row, frozen=True):
    """What a funding account holds of one currency.

    https://www.okx.com/docs-v5/en/#funding-account-rest-api-get-balance
    """

    ccy: str
    bal: Decimal
    """All there is, in ccy."""
    frozen_bal: Decimal
    """What of it is on hold, in ccy."""
    avail_bal: Decimal
    """What of it can be used, in ccy."""


class NonTradableAsset(Row, frozen=True):
    """An asset that can be withdrawn but not traded, on one chain.

    https://www.okx.com/docs-v5/en/#funding-account-rest-api-get-non-tradable-assets
    """

    ccy: str
    """Currency, such as CELT."""
    name: str
    """Name of the currency; may be empty."""
    logo_link: str
    bal: Decimal
    """Withdrawable balance, in ccy."""
    can_wd: bool
    """Whether it can be withdrawn to the chain."""
    chain: str
    """Chain for withdrawal, such as CELT-OKTC."""
    min_wd: Decimal | None
    """Smallest withdrawal, in ccy."""
    wd_all: bool
    """Whether all of it must be withdrawn at once."""
    fee: Decimal | None
    """Fixed withdrawal fee, in fee_ccy."""
    fee_ccy: str
    burning_fee_rate: Decimal | None
    """0.05 burns 5 % of the amount withdrawn; None burns nothing."""
    ct_addr: str
    """Last six characters of the contract's address."""
    wd_tick_sz: int | None
    """Decimals of an amount to withdraw."""
    need_tag: bool
    """Whether a withdrawal needs a tag or memo."""


class ValuationDetails(Row, frozen=True):
    """The valuation of each account, in the unit asked for; None where OKX names none."""

    funding: Decimal | None
    trading: Decimal | None
    earn: Decimal | None
    classic: Decimal | None
    """Deprecated by OKX."""


class AssetValuation(Row, frozen=True):
    """What all accounts are worth together. The details need not add up to it.

    https://www.okx.com/docs-v5/en/#funding-account-rest-api-get-account-asset-valuation
    """

    total_bal: Decimal
    """In ccy."""
    ts: int
    """Milliseconds since the epoch."""
    details: ValuationDetails
    ccy: str = "BTC"
    """The unit asked for. OKX doesn't repeat it."""

    @property
    def time(self) -> datetime:
        """``ts`` as an aware datetime in UTC."""
        return moment_of(self.ts)

    def in_unit(self, ccy: str) -> AssetValuation:
        """The same valuation, told that it was asked for in ``ccy``."""
        return msgspec.structs.replace(self, ccy=ccy)


GET_CURRENCIES = get(
    "get_currencies", "/api/v5/asset/currencies", Currency, RateLimit(6),
    docs="funding-account-rest-api-get-currencies", batch_by="ccy",
)  # fmt: skip
GET_BALANCES = get(
    "get_balances", "/api/v5/asset/balances", Balance, RateLimit(6),
    docs="funding-account-rest-api-get-balance", batch_by="ccy",
)  # fmt: skip
GET_NON_TRADABLE_ASSETS = get(
    "get_non_tradable_assets", "/api/v5/asset/non-tradable-assets", NonTradableAsset, RateLimit(6),
    docs="funding-account-rest-api-get-non-tradable-assets", batch_by="ccy",
)  # fmt: skip
GET_ASSET_VALUATION = get(
    "get_asset_valuation", "/api/v5/asset/asset-valuation", AssetValuation, RateLimit(1),
    docs="funding-account-rest-api-get-account-asset-valuation",
)  # fmt: skip
ENDPOINTS: tuple[Endpoint[Any], ...] = (
    GET_CURRENCIES,
    GET_BALANCES,
    GET_NON_TRADABLE_ASSETS,
    GET_ASSET_VALUATION,
)


class Assets(Caller):
    """The methods of this section."""

    __slots__ = ()

    async def get_currencies(
        self, ccy: Currencies = None, **options: Unpack[ReadOptions]
    ) -> list[Currency]:
        """Currencies with their chains: one row for each chain of ``ccy``, or of all.

        Calls share requests of up to 20 currencies. OKX wants a key although it looks public.
        https://www.okx.com/docs-v5/en/#funding-account-rest-api-get-currencies
        """
        keys = currencies(ccy)
        return await self._rows(GET_CURRENCIES, {"ccy": keys}, options) if keys else []

    async def get_balances(
        self, ccy: Currencies = None, **options: Unpack[ReadOptions]
    ) -> list[Balance]:
        """Balances of ``ccy``, or of all; OKX leaves out what is zero.

        Calls share requests of up to 20 currencies.
        https://www.okx.com/docs-v5/en/#funding-account-rest-api-get-balance
        """
        keys = currencies(ccy)
        return await self._rows(GET_BALANCES, {"ccy": keys}, options) if keys else []

    async def get_non_tradable_assets(
        self, ccy: Currencies = None, **options: Unpack[ReadOptions]
    ) -> list[NonTradableAsset]:
        """Non-tradable assets: those of ``ccy`` in its order, or all of them.

        ``ccy`` is a currency, any iterable of them (each counts once, an empty one asks
        nothing), or None for all in one request. Concurrent calls share requests of up to 20
        currencies, 6 requests per second and User ID. A currency without such assets gives no
        row, one on several chains gives several, in OKX's order.

        ``timeout`` is seconds for the whole call, waiting included. The higher ``priority``,
        the earlier a call's turn: a step weighs as much as ten seconds of waiting. By default
        an answer was asked after the call; ``max_age`` accepts one asked at most that many
        seconds ago.

        Raises an OKXError; `InvalidParameterError` names the currencies that OKX refuses and
        holds the rows of the others.

        https://www.okx.com/docs-v5/en/#funding-account-rest-api-get-non-tradable-assets
        """
        keys = currencies(ccy)
        return await self._rows(GET_NON_TRADABLE_ASSETS, {"ccy": keys}, options) if keys else []

    async def get_asset_valuation(
        self, ccy: ValuationUnit | str | None = None, **options: Unpack[ReadOptions]
    ) -> AssetValuation:
        """What all accounts are worth, in ``ccy``: BTC (the default), USDT, USD, EUR, JPY, ...

        One request per second and User ID; concurrent calls for one unit share a request.
        https://www.okx.com/docs-v5/en/#funding-account-rest-api-get-account-asset-valuation
        """
        unit = valuation_unit(ccy)
        valuation = await self._row(GET_ASSET_VALUATION, {"ccy": unit}, options)
        return valuation if unit is None else valuation.in_unit(unit)


def valuation_unit(ccy: str | None) -> str | None:
    """The unit to send, None for BTC: OKX's default, and so the same request."""
    if ccy is None or ccy == "BTC":
        return None
    if not isinstance(ccy, str) or ccy not in VALUATION_UNITS:
        hint = "; the yen is JPY" if ccy == "JP" else ""
        raise InvalidArgumentError(
            f"ccy must be one of {', '.join(sorted(VALUATION_UNITS))}{hint}, "
            f"not {ccy[:40] if isinstance(ccy, str) else type(ccy).__name__!r}"
        )
    return ccy
