"""What type checkers see of the public API: checked by mypy and pyright, never run.

A comment that ignores an error is a promise that there is one: both checkers complain of it
otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from typing import assert_type

import aiohttp

import okx_funding
from okx_funding import (
    APIError,
    BucketStatistics,
    Credentials,
    DeadlineExceededError,
    FundingClient,
    HTTPStatusError,
    InvalidArgumentError,
    InvalidParameterError,
    Observer,
    OKXError,
    RateLimit,
    RateLimitError,
    Session,
    Statistics,
    __version__,
)
from okx_funding.api import AssetValuation, NonTradableAsset, ValuationDetails
from okx_funding.simulator import Arrival, Fault, SimulatedExchange, in_thread
from okx_funding.telemetry.events import Event, Refused

version: str = __version__


def names() -> None:
    okx_funding.Nonsense  # type: ignore[attr-defined]  # pyright: ignore  # noqa: B018, PGH003


def credentials() -> None:
    given = Credentials("key", "secret", "passphrase", user_id="446672")
    assert_type(given.user_id, str | None)
    assert_type(given.masked, str)
    assert_type(Credentials.from_env(), Credentials)
    assert_type(Credentials.from_profile("bot"), Credentials)
    Credentials("key", "secret")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    given.user_id = "1"  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]


async def calls(client: FundingClient, wanted: Iterator[str]) -> None:
    assets = await client.get_non_tradable_assets(["CELT", "MEME"], timeout=5.0, priority=1)
    assert_type(assets, list[NonTradableAsset])
    await client.get_non_tradable_assets()
    await client.get_non_tradable_assets("CELT", max_age=1)
    await client.get_non_tradable_assets(ccy={"CELT"})
    await client.get_non_tradable_assets(wanted)
    valuation = await client.get_asset_valuation(ccy="USDT")
    assert_type(valuation, AssetValuation)
    assert_type(await client.get_user_id(), str)
    assert_type(client.statistics(), Statistics)
    assert_type(await client.aclose(drain=True, timeout=10), None)
    await client.get_non_tradable_assets(5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await client.get_asset_valuation(["USDT"])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await client.get_asset_valuation("USDT", 5.0)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


def results(asset: NonTradableAsset, valuation: AssetValuation) -> None:
    assert_type(asset.bal, Decimal)
    assert_type(asset.min_wd, Decimal | None)
    assert_type(asset.fee, Decimal | None)
    assert_type(asset.burning_fee_rate, Decimal | None)
    assert_type(asset.wd_tick_sz, int | None)
    assert_type(asset.can_wd, bool)
    assert_type(asset.chain, str)
    assert_type(valuation.total_bal, Decimal)
    assert_type(valuation.ts, int)
    assert_type(valuation.time, datetime)
    assert_type(valuation.details, ValuationDetails)
    assert_type(valuation.details.earn, Decimal | None)
    asset.bal = Decimal(1)  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]


async def settings(http: aiohttp.ClientSession, observer: Observer) -> None:
    async with FundingClient() as client:
        assert_type(client, FundingClient)
    async with Session(http=http, proxy=None, max_body=2**20) as session:
        assert_type(session, Session)
        assert_type(session.statistics(), Statistics)
    FundingClient(
        Credentials("key", "secret", "passphrase"),
        session=session,
        base_url="https://eea.okx.com",
        demo=True,
        request_timeout=5,
        max_retries=0,
        rate_limits={"get_non_tradable_assets": RateLimit(6, 1.0)},
        observer=observer,
    )
    FundingClient(None, "bot")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


def statistics(everything: Statistics) -> None:
    assert_type(everything.calls, int)
    assert_type(everything.buckets, tuple[BucketStatistics, ...])
    for bucket in everything.buckets:
        assert_type(bucket.next_slot_in, float)
        assert_type(bucket.utilisation, float)
        assert_type(bucket.shared_with_others, bool)


def errors(error: OKXError) -> None:
    assert_type(error.sent, bool)
    if isinstance(error, APIError):
        assert_type(error.code, str)
        assert_type(error.http_status, int)
    if isinstance(error, RateLimitError | HTTPStatusError):
        assert_type(error.retry_after, float | None)
    if isinstance(error, InvalidParameterError):
        assert_type(error.currencies, tuple[str, ...])
    as_value: ValueError = InvalidArgumentError()
    as_timeout: TimeoutError = DeadlineExceededError("late")
    print(as_value, as_timeout)  # noqa: T201


def observe(event: Event) -> None:
    if isinstance(event, Refused):
        assert_type(event.frozen_for, float)


class Counting:
    def __call__(self, event: Event, /) -> int:
        return 1


def observers() -> tuple[Observer, Observer]:
    wrong: Observer = len  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    print(wrong)  # noqa: T201
    return observe, Counting()


async def simulated() -> None:
    async with SimulatedExchange(judge="fixed", latency=0.01) as exchange:
        assert_type(exchange.base_url, str)
        assert_type(exchange.credentials, Credentials)
        assert_type(exchange.refused, list[Arrival])
        exchange.fail_next(2, Fault.code("50011") & Fault.slow(0.1))
    with in_thread(SimulatedExchange()) as threaded:
        assert_type(threaded, SimulatedExchange)
