"""What the methods give back: frozen structs with snake_case names for OKX's fields.

Amounts are Decimal, exact to the last digit. ``""`` is None where an amount may be absent.
``Decimal``, ``int`` and ``float`` never come from JSON numbers: OKX sends text.
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import msgspec


class Row(msgspec.Struct, frozen=True, rename="camel"):
    """One row of ``data``. A field that may be None may be missing in the answer, no other."""


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
        return datetime.fromtimestamp(self.ts / 1000, UTC)

    def in_unit(self, ccy: str) -> AssetValuation:
        """The same valuation, told that it was asked for in ``ccy``."""
        return msgspec.structs.replace(self, ccy=ccy)


class AccountConfig(Row, frozen=True):
    """Whose key this is.

    https://www.okx.com/docs-v5/en/#trading-account-rest-api-get-account-configuration
    """

    uid: str
    """The User ID by which OKX counts rate limits."""
    perm: str | None = None
    """What the key may do, a comma list of read_only, trade and withdraw."""
    ip: str | None = None
    """The addresses that the key is bound to, a comma list; empty for none."""


class ServerTime(Row, frozen=True):
    """OKX's clock.

    https://www.okx.com/docs-v5/en/#public-data-rest-api-get-system-time
    """

    ts: int
    """Milliseconds since the epoch."""
