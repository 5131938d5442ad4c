"""Every kind of movement, ready to be made."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from okx_funding.api.buy_sell import BuySellQuote
from okx_funding.api.convert import Quote
from okx_funding.money import Intent

from .exchange import EPOCH, Client


def quote(ends_in: float = 10.0) -> Quote:
    return Quote(
        quote_id="quote-1", base_ccy="BTC", quote_ccy="USDT", side="buy", cnvt_px=Decimal(30000),
        base_sz=Decimal("0.001"), quote_sz=Decimal(30), rfq_sz=Decimal(30), rfq_sz_ccy="USDT",
        quote_time=round(EPOCH * 1000), ttl_ms=round(ends_in * 1000),
    )  # fmt: skip


def buy_sell_quote() -> BuySellQuote:
    return BuySellQuote(
        quote_id="quote-2", from_ccy="USD", to_ccy="BTC", rfq_amt=Decimal(30), rfq_ccy="USD",
        quote_px=Decimal(30000), quote_ccy="USD", quote_from_amt=Decimal(30),
        quote_to_amt=Decimal("0.001"), quote_time=round(EPOCH * 1000), ttl_ms=10_000, side="buy",
    )  # fmt: skip


def transfer(client: Client, amt: Any = "1.5", **options: Any) -> Intent:
    return client.prepare_transfer("USDT", amt, from_="funding", to="trading", **options)


def sub_transfer(client: Client, **options: Any) -> Intent:
    return client.prepare_transfer(
        "USDT", "1.5", from_="funding", to="funding", type="1", sub_acct="bot1", **options
    )


def withdrawal(client: Client, amt: Any = "10", **options: Any) -> Intent:
    return client.prepare_withdrawal(
        "USDT", amt, dest="4", to_addr="0xabc", chain="USDT-ERC20", **options
    )


def convert(client: Client, **options: Any) -> Intent:
    return client.prepare_convert(quote(), **options)


def fiat(client: Client, **options: Any) -> Intent:
    return client.prepare_fiat_withdrawal(
        "TRY", "100", payment_acct_id="20", payment_method="TR_BANKS", **options
    )


def buy_sell(client: Client, **options: Any) -> Intent:
    return client.prepare_buy_sell(buy_sell_quote(), **options)


Prepare = Callable[..., Intent]
ALL: list[Prepare] = [transfer, sub_transfer, withdrawal, convert, fiat, buy_sell]
