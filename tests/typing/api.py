"""The public API as a type checker sees it from outside. Checked by mypy, never run."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from typing import assert_type

import aiohttp

from okx_funding import (
    APIError,
    AssetValuation,
    BucketStatistics,
    Credentials,
    DeadlineExceededError,
    FundingClient,
    HTTPStatusError,
    InvalidParameterError,
    NonTradableAsset,
    OKXError,
    RateLimit,
    Session,
    Statistics,
)


async def methods(client: FundingClient, names: Iterator[str]) -> None:
    assert_type(await client.get_non_tradable_assets(), list[NonTradableAsset])
    assert_type(await client.get_non_tradable_assets("CELT"), list[NonTradableAsset])
    assert_type(await client.get_non_tradable_assets(ccy=["CELT"]), list[NonTradableAsset])
    assert_type(await client.get_non_tradable_assets(ccy={"CELT"}), list[NonTradableAsset])
    assert_type(await client.get_non_tradable_assets(names, timeout=1.5), list[NonTradableAsset])
    assert_type(await client.get_asset_valuation(), AssetValuation)
    assert_type(await client.get_asset_valuation("USDT", timeout=2, priority=1), AssetValuation)
    assert_type(client.statistics(), Statistics)
    assert_type(client.statistics().buckets, tuple[BucketStatistics, ...])
    await client.get_non_tradable_assets(ccy=5)  # type: ignore[arg-type]
    await client.get_non_tradable_assets(ccy=[5])  # type: ignore[list-item]
    await client.get_asset_valuation(["USDT"])  # type: ignore[arg-type]
    await client.get_asset_valuation("USDT", 5.0)  # type: ignore[call-arg]


def structs(asset: NonTradableAsset, valuation: AssetValuation) -> None:
    assert_type(asset.ccy, str)
    assert_type(asset.bal, Decimal)
    assert_type(asset.fee, Decimal | None)
    assert_type(asset.min_wd, Decimal | None)
    assert_type(asset.burning_fee_rate, Decimal | None)
    assert_type(asset.wd_tick_sz, int | None)
    assert_type(asset.can_wd, bool)
    assert_type(valuation.total_bal, Decimal)
    assert_type(valuation.ts, int)
    assert_type(valuation.time, datetime)
    assert_type(valuation.details.funding, Decimal | None)
    asset.bal = Decimal(1)  # type: ignore[misc]


async def life(http: aiohttp.ClientSession) -> None:
    credentials = Credentials("key", "secret", "passphrase", user_id="1")
    assert_type(Credentials.from_env(), Credentials)
    assert_type(Credentials.from_profile("main"), Credentials)
    assert_type(credentials.user_id, str | None)
    async with Session(http=http, proxy=None, max_body=2**20) as session:
        assert_type(session, Session)
        client = FundingClient(
            credentials,
            session=session,
            base_url="https://eea.okx.com",
            demo=True,
            request_timeout=5,
            max_retries=1,
            rate_limits={"get_non_tradable_assets": RateLimit(6, 1.0)},
        )
        assert_type(await client.aclose(), None)
    async with FundingClient(profile="main", allow_http=True) as client:
        assert_type(client, FundingClient)
    FundingClient(credentials, "main")  # type: ignore[call-arg]


def errors(error: OKXError) -> None:
    assert_type(error.sent, bool)
    match error:
        case InvalidParameterError():
            assert_type(error.currencies, tuple[str, ...])
        case APIError():
            assert_type(error.code, str)
            assert_type(error.http_status, int)
        case HTTPStatusError():
            assert_type(error.retry_after, float | None)
        case DeadlineExceededError():
            assert_type(error.estimated_wait, float | None)
