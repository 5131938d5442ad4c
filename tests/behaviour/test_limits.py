"""Clients that want different limits of one bucket, and what becomes of its history."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from okx_funding import Credentials, FundingClient, RateLimit, Session
from okx_funding.simulator import SimulatedExchange
from tests.support import ASSETS, at_exchange, someone

pytestmark = pytest.mark.looptime


def client_of(exchange, limit=None, **options):
    limits = {} if limit is None else {ASSETS: limit}
    return FundingClient(
        exchange.credentials, base_url=exchange.base_url, rate_limits=limits, **options
    )


async def send(exchange, client, n):
    """``n`` requests, one after the other in time; when they arrived."""
    before = len(exchange.log)
    await client.get_non_tradable_assets(exchange.currencies[: 20 * n])
    return [arrival.at for arrival in exchange.log[before:]]


async def test_the_strictest_living_limit_rules():
    async with (
        SimulatedExchange(users=[someone()]) as exchange,
        client_of(exchange) as wide,
        client_of(exchange, RateLimit(2)) as narrow,
    ):
        await narrow.get_non_tradable_assets("CELT")
        await asyncio.sleep(2)
        times = await send(exchange, wide, 6)
        assert [round(time - times[0], 1) for time in times] == [0, 0, 1, 1, 2, 2]
        assert wide.statistics().buckets[0].count == 2


@pytest.mark.parametrize("order", [1, -1])
async def test_who_came_first_does_not_matter(order):
    async with SimulatedExchange(users=[someone()]) as exchange:
        clients = [client_of(exchange, limit) for limit in (RateLimit(6), RateLimit(3))][::order]
        for client in clients:
            await client.get_non_tradable_assets("CELT")
        await asyncio.sleep(2)
        times = await send(exchange, clients[0], 6)
        assert [round(time - times[0], 1) for time in times] == [0, 0, 0, 1, 1, 1]
        for client in clients:
            await client.aclose()


@pytest.mark.parametrize("shared", [True, False])
async def test_when_the_strict_client_closes_the_wider_limit_rules_again(shared):
    async with SimulatedExchange(users=[someone()]) as exchange, Session() as session:
        options = {"session": session} if shared else {}
        async with client_of(exchange, **options) as wide:
            async with client_of(exchange, RateLimit(1), **options) as narrow:
                await narrow.get_non_tradable_assets("CELT")
                await wide.get_non_tradable_assets("CELT")
                assert [round(arrival.at) for arrival in exchange.log] == [0, 1]
            await asyncio.sleep(2)
            assert len(set(await send(exchange, wide, 6))) == 1
        assert exchange.refused == []


async def test_a_stricter_limit_counts_what_was_sent_before_it_came():
    async with (
        SimulatedExchange(users=[someone()]) as exchange,
        client_of(exchange) as wide,
        client_of(exchange, RateLimit(3)) as narrow,
    ):
        assert len(set(await send(exchange, wide, 6))) == 1
        times = await send(exchange, narrow, 4)
        assert [round(time, 1) for time in times] == [1, 1, 1, 2]


async def test_a_wider_limit_counts_what_was_sent_before_it_came():
    async with SimulatedExchange(users=[someone()]) as exchange:
        async with client_of(exchange, RateLimit(4)) as narrow:
            await send(exchange, narrow, 4)
        async with client_of(exchange) as wide:
            times = await send(exchange, wide, 6)
        assert [round(time, 1) for time in times] == [0, 0, 1, 1, 1, 1]
        assert exchange.busiest_window(ASSETS) == 6


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (RateLimit(6, 1.0), RateLimit(6, 10.0)),
        (RateLimit(6, 1.0), RateLimit(12, 10.0)),
        (RateLimit(2, 1.0), RateLimit(3, 4.0)),
        (RateLimit(6, 10.0), RateLimit(1, 2.0)),
    ],
    ids=str,
)
async def test_a_changed_window_never_lets_more_through_than_it_holds(first, second):
    limit = RateLimit(1000, 1.0)
    async with (
        SimulatedExchange(users=[someone()], limits={ASSETS: limit}) as exchange,
        client_of(exchange, first) as one,
        client_of(exchange, second) as two,
    ):
        await send(exchange, one, first.count)
        await asyncio.sleep(0.3)
        await send(exchange, two, 2 * second.count)
        times = [arrival.at for arrival in exchange.log]
        came = first.count
        for index in range(came, len(times)):
            window = [t for t in times[: index + 1] if t > times[index] - second.period]
            assert len(window) <= max(second.count, 1), (index, times)


async def test_buckets_belong_to_the_user_and_not_to_the_session():
    async with at_exchange() as (exchange, client):
        await send(exchange, client, 6)
        async with client_of(exchange) as other:
            times = await send(exchange, other, 1)
        assert times == [pytest.approx(1.0, abs=0.05)]


async def test_a_client_that_comes_back_finds_the_history_of_its_user():
    async with SimulatedExchange(users=[someone()]) as exchange:
        for _ in range(3):
            async with client_of(exchange) as client:
                await send(exchange, client, 4)
        assert exchange.busiest_window(ASSETS) <= 6
        assert exchange.refused == []


async def test_a_key_that_was_seen_with_a_user_id_is_that_users_from_then_on():
    named = someone()
    api_key, secret_key, passphrase = named.reveal()
    bare = Credentials(api_key, secret_key, passphrase)
    async with SimulatedExchange(users=[named]) as exchange:
        url = exchange.base_url
        async with FundingClient(bare, base_url=url) as one:
            await send(exchange, one, 4)
            async with FundingClient(named, base_url=url) as two:
                await send(exchange, two, 4)
                await send(exchange, one, 4)
        async with FundingClient(bare, base_url=url) as three:
            await send(exchange, three, 4)
        assert exchange.busiest_window(ASSETS) <= 6
        assert exchange.refused == []


async def test_smooth_pacing_spaces_requests_evenly():
    async with (
        SimulatedExchange(users=[someone()]) as exchange,
        client_of(exchange, RateLimit(6, spread=True)) as client,
    ):
        times = await send(exchange, client, 7)
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert min(gaps) >= 1 / 6
    assert max(gaps) - min(gaps) < 0.01


@pytest.mark.parametrize("judge", ["sliding", "fixed", "fixed-first", "token-bucket"])
async def test_whatever_way_the_exchange_counts_it_refuses_nothing(judge):
    async with at_exchange(judge=judge, latency=0.03, jitter=0.02) as (exchange, client):
        await send(exchange, client, 22)
        await asyncio.sleep(0.4)
        await send(exchange, client, 22)
        assert exchange.refused == []
