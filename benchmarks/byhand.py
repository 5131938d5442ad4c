"""The same call without this project: what somebody writes with aiohttp, and what peers do."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import aiohttp
import msgspec
from yarl import URL

from okx_funding import Credentials
from okx_funding.api import NonTradableAsset
from okx_funding.api.assets import GET_NON_TRADABLE_ASSETS
from okx_funding.wire.response import Response, parse_response

from .harness import missing, optional

PATH = GET_NON_TRADABLE_ASSETS.path

Call = Callable[[Sequence[str]], Awaitable[object]]
"""Asks for the non-tradable assets of some currencies."""


class TextAsset(msgspec.Struct, rename="camel"):
    """A row as it comes: the least that a typed client can decode."""

    ccy: str
    name: str
    logo_link: str
    bal: str
    can_wd: bool
    chain: str
    min_wd: str
    wd_all: bool
    fee: str
    fee_ccy: str
    burning_fee_rate: str
    ct_addr: str
    wd_tick_sz: str
    need_tag: bool


class TextAnswer(msgspec.Struct):
    """OKX's envelope around them."""

    code: str
    msg: str
    data: list[TextAsset]


_decode = msgspec.json.Decoder(TextAnswer).decode


def textbook_headers(parts: tuple[str, str, str], method: str, target: str) -> dict[str, str]:
    """The signed headers, as OKX's page and every tutorial build them."""
    key, secret, passphrase = parts
    timestamp = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    message = timestamp + method + target
    mac = hmac.new(secret.encode(), message.encode(), hashlib.sha256)
    return {
        "OK-ACCESS-KEY": key,
        "OK-ACCESS-SIGN": base64.b64encode(mac.digest()).decode(),
        "OK-ACCESS-TIMESTAMP": timestamp,
        "OK-ACCESS-PASSPHRASE": passphrase,
    }


def bare(http: aiohttp.ClientSession, base_url: str) -> Call:
    """Get, read, decode into text: unsigned, unlimited, nothing checked."""

    async def call(ccy: Sequence[str]) -> object:
        url = URL(f"{base_url}{PATH}?ccy={','.join(ccy)}", encoded=True)
        async with http.get(url) as answer:
            return _decode(await answer.read()).data

    return call


def by_hand(http: aiohttp.ClientSession, base_url: str, credentials: Credentials) -> Call:
    """Signed as in the textbook, and decoded into the same structs as this project's."""
    parts = credentials.reveal()

    async def call(ccy: Sequence[str]) -> list[NonTradableAsset]:
        target = f"{PATH}?ccy={','.join(ccy)}"
        headers = textbook_headers(parts, "GET", target)
        async with http.get(URL(base_url + target, encoded=True), headers=headers) as answer:
            body = await answer.read()
            return parse_response(GET_NON_TRADABLE_ASSETS, Response(answer.status, body))

    return call


def ccxt_call(base_url: str, credentials: Credentials) -> tuple[Call, Callable[[], Awaitable[Any]]]:
    """ccxt's implicit method with its limiter off, and how to close it."""
    ccxt = optional("ccxt.async_support")
    key, secret, passphrase = credentials.reveal()
    exchange = ccxt.okx(
        {"apiKey": key, "secret": secret, "password": passphrase, "enableRateLimit": False}
    )
    exchange.urls["api"]["rest"] = base_url

    async def call(ccy: Sequence[str]) -> object:
        return await exchange.privateGetAssetNonTradableAssets({"ccy": ",".join(ccy)})

    return call, exchange.close


def python_okx_call(base_url: str, credentials: Credentials) -> Call:
    """The official SDK, which blocks: in a thread where several are asked at a time."""
    api = optional("okx.Funding").FundingAPI(
        *credentials.reveal(), flag="0", domain=base_url, debug=False
    )

    async def call(ccy: Sequence[str]) -> object:
        return await asyncio.to_thread(api.get_non_tradable_assets, ",".join(ccy))

    return call


_loads: Any = None if missing("orjson") else optional("orjson").loads

AMOUNTS = ("bal", "minWd", "fee", "burningFeeRate")


def decode_by_hand(body: bytes) -> list[dict[str, Any]]:
    """orjson to dicts, and every amount a Decimal that is checked to be finite."""
    rows: list[dict[str, Any]] = _loads(body)["data"]
    for row in rows:
        for name in AMOUNTS:
            text = row[name]
            amount = Decimal(text) if text else None
            if amount is not None and not amount.is_finite():
                raise ValueError(f"{name} isn't finite")
            row[name] = amount
        row["wdTickSz"] = int(row["wdTickSz"]) if row["wdTickSz"] else None
    return rows
