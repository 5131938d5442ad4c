"""What the exchange deals in: currencies with their chains, prices, fiat, pairs of convert.

Rows have OKX's names: https://www.okx.com/docs-v5/en/#funding-account-rest-api-get-currencies
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

Row = dict[str, Any]
_LOGO = "https://static.coinall.ltd/cdn/oksupport/asset/currency/icon/"


def plain(amount: Decimal) -> str:
    """An amount as OKX writes it: no exponent, no trailing zeros."""
    return f"{amount.normalize():f}" if amount else "0"


@dataclass(slots=True, eq=False)
class Chain:
    """A currency on one chain. Settings may be changed at any time, to suspend a chain, say."""

    ccy: str
    chain: str
    name: str
    fee: Decimal
    min_wd: Decimal
    max_wd: Decimal
    decimals: int = 8
    min_dep: Decimal = Decimal("0.00000001")
    min_internal: Decimal = Decimal("0.0001")
    confirmations: int = 12
    unlock_confirmations: int = 24
    main: bool = False
    needs_tag: bool = False
    contract: str = ""
    can_deposit: bool = True
    can_withdraw: bool = True
    can_internal: bool = True
    burning_fee_rate: str = ""
    extra: Row = field(default_factory=dict)
    """Fields laid over the row, such as new ones that no document names."""

    def row(self) -> Row:
        """The row of ``currencies``."""
        fee = plain(self.fee)
        return {
            "burningFeeRate": self.burning_fee_rate,
            "canDep": self.can_deposit,
            "canInternal": self.can_internal,
            "canWd": self.can_withdraw,
            "ccy": self.ccy,
            "chain": self.chain,
            "ctAddr": self.contract,
            "depEstOpenTime": "",
            "depQuotaFixed": "",
            "depQuoteDailyLayer2": "",
            "fee": fee,
            "logoLink": f"{_LOGO}{self.ccy.lower()}20230419112752.png",
            "mainNet": self.main,
            "maxFee": fee,
            "maxFeeForCtAddr": "",
            "maxWd": plain(self.max_wd),
            "minDep": plain(self.min_dep),
            "minDepArrivalConfirm": str(self.confirmations),
            "minFee": fee,
            "minFeeForCtAddr": "",
            "minInternal": plain(self.min_internal),
            "minWd": plain(self.min_wd),
            "minWdUnlockConfirm": str(self.unlock_confirmations),
            "name": self.name,
            "needTag": self.needs_tag,
            "usedDepQuotaFixed": "",
            "usedWdQuota": "0",
            "wdEstOpenTime": "",
            "wdQuota": "10000000",
            "wdTickSz": str(self.decimals),
        } | self.extra


def _chains() -> list[Chain]:
    d = Decimal
    return [
        Chain("BTC", "BTC-Bitcoin", "Bitcoin", d("0.00005"), d("0.0005"), d(500),
              min_dep=d("0.0005"), confirmations=1, unlock_confirmations=2, main=True),
        Chain("BTC", "BTC-Lightning", "Bitcoin", d("0.000001"), d("0.000001"), d("0.05"),
              confirmations=0, unlock_confirmations=0),
        Chain("ETH", "ETH-ERC20", "Ethereum", d("0.0007"), d("0.001"), d(4730),
              min_dep=d("0.001"), confirmations=64, unlock_confirmations=96, main=True),
        Chain("ETH", "ETH-Arbitrum One", "Ethereum", d("0.0001"), d("0.001"), d(4730)),
        Chain("USDT", "USDT-ERC20", "Tether", d("1.5"), d(2), d(32_699_700), decimals=6,
              confirmations=64, unlock_confirmations=96, contract="d9cd11", main=True),
        Chain("USDT", "USDT-TRC20", "Tether", d(1), d(2), d(32_699_700), decimals=6,
              confirmations=19, unlock_confirmations=38, contract="jLj6t"),
        Chain("USDC", "USDC-ERC20", "USD Coin", d("1.2"), d(2), d(5_000_000), decimals=6,
              contract="06eb48", main=True),
        Chain("XRP", "XRP-Ripple", "Ripple", d("0.25"), d("0.5"), d(1_000_000), decimals=6,
              confirmations=1, unlock_confirmations=1, needs_tag=True, main=True),
        Chain("TRY", "", "Turkish lira", d(0), d(10), d(1_000_000), decimals=2,
              can_internal=False, main=True),
        Chain("USD", "", "US dollar", d(0), d(10), d(1_000_000), decimals=2,
              can_internal=False, main=True),
    ]  # fmt: skip


_USD = {
    "BTC": "95000", "ETH": "3400", "USDT": "1", "USDC": "1", "XRP": "2.1", "TRY": "0.0238",
    "USD": "1",
}  # fmt: skip
FIAT = ("TRY", "USD")
CONVERTIBLE = ("BTC", "ETH", "USDC", "USDT", "XRP")
QUOTE_CURRENCIES = ("USDT", "USDC")
VALUATION_UNITS = frozenset(
    "BTC USDT USD CNY JPY KRW RUB EUR VND IDR INR PHP THB TRY AUD SGD ARS SAR AED IQD".split()
)
"""https://www.okx.com/docs-v5/en/#funding-account-rest-api-get-account-asset-valuation"""

EXCHANGES = (
    ("did:ethr:0xfeb4f99829a9acdf52979abee87e83addf22a7e1", "1xbet"),
    ("did:ethr:0x401c0e6e7e9bdbb0d64f6de6a0d15ea6e5ca3b8e", "Coinbase"),
)


class Catalogue:
    """Chains and prices, which tests may change. ``prices`` are in USD."""

    def __init__(self) -> None:
        self.chains: list[Chain] = _chains()
        self.prices: dict[str, Decimal] = {ccy: Decimal(price) for ccy, price in _USD.items()}

    def of(self, ccy: str) -> Iterator[Chain]:
        """The chains of a currency, the main one first."""
        mine = [chain for chain in self.chains if chain.ccy == ccy]
        yield from sorted(mine, key=lambda chain: not chain.main)

    def chain(self, ccy: str, chain: str = "") -> Chain | None:
        """The chain of this name; without a name the main one."""
        for it in self.of(ccy):
            if chain in ("", it.chain):
                return it
        return None

    def knows(self, ccy: str) -> bool:
        """Whether the exchange deals in the currency."""
        return any(chain.ccy == ccy for chain in self.chains)

    def pair(self, one: str, other: str) -> tuple[str, str] | None:
        """Base and quote currency of convert; None where these two can't be converted."""
        if one == other or one not in CONVERTIBLE or other not in CONVERTIBLE:
            return None
        for quote in QUOTE_CURRENCIES:
            if other == quote:
                return one, other
            if one == quote:
                return other, one
        return None

    def price(self, base: str, quote: str) -> Decimal:
        """What one ``base`` costs in ``quote``."""
        return (self.prices[base] / self.prices[quote]).quantize(Decimal("0.00000001"))


def payment_method_row(ccy: str, accounts: list[Row], *, deposit: bool) -> Row:
    """A row of ``deposit-payment-methods`` or ``withdrawal-payment-methods``."""
    unlimited = "2147483647" if deposit else ""
    return {
        "ccy": ccy,
        "paymentMethod": "TR_BANKS" if ccy == "TRY" else "US_WIRE",
        "feeRate": "0" if deposit else "0.02",
        "minFee": "0" if deposit else "1",
        "limits": {
            "dailyLimit": unlimited,
            "dailyLimitRemaining": unlimited,
            "weeklyLimit": unlimited,
            "weeklyLimitRemaining": unlimited,
            "monthlyLimit": "",
            "monthlyLimitRemaining": "",
            "maxAmt": "1000000",
            "minAmt": "10" if not deposit else "1",
            "lifetimeLimit": unlimited,
        },
        "accounts": copy.deepcopy(accounts),
    }
