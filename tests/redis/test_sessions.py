"""Sessions that share a Redis, each as if it were a process of its own."""

from __future__ import annotations

import asyncio
import gc
import itertools
import traceback
import warnings
from typing import Any

import pytest

from okx_funding import (
    ClientClosedError,
    Credentials,
    DeadlineExceededError,
    FundingClient,
    InvalidArgumentError,
    RateLimit,
    Session,
)
from okx_funding.ratelimit.redis import bucket, inspect_buckets, scripts, store
from okx_funding.simulator import Fault, SimulatedExchange
from tests.redis.clients import (
    QUICK,
    UNKNOWN,
    ask,
    bucket_of,
    buckets_in,
    hash_of,
    held,
    leave,
    quick,
    sharing,
    waiters,
)
from tests.redis.processes import until
from tests.redis.servers import RedisServer
from tests.support import ASSETS, failure_of, someone

pytestmark = pytest.mark.slow

# -- the limit --------------------------------------------------------------------------------


async def test_two_sessions_share_one_limit(redis_server: RedisServer):
    async with sharing(redis_server, known=False) as (exchange, one, two):
        began = asyncio.get_running_loop().time()
        await asyncio.gather(ask(one, exchange, 6), ask(two, exchange, 6))
        assert not exchange.refused
        first, second = exchange.log[0].at - began, exchange.log[6].at - began
        assert UNKNOWN < first < UNKNOWN + 0.2, "one silent window first"
        assert first + 0.3 < second < first + 0.5
        assert hash_of(redis_server, exchange)["sent"] == "12"


async def test_two_users_do_not_slow_each_other(redis_server: RedisServer):
    users = [someone(), someone()]
    async with sharing(redis_server, 1, users=users) as (exchange, one):
        two = quick(users[1], one._calls._given, exchange)
        began = asyncio.get_running_loop().time()
        await asyncio.gather(ask(one, exchange, 6), ask(two, exchange, 6))
        assert asyncio.get_running_loop().time() - began < UNKNOWN + 0.25
        assert len(buckets_in(redis_server)) == 2


async def test_limits_by_address_stay_at_home(redis_server: RedisServer):
    """Machines that share a user have addresses of their own."""
    async with sharing(redis_server, 1) as (exchange, client):
        exchange.clock_skew = 3600
        await ask(client, exchange)
        assert [it.endpoint for it in exchange.log].count("get_system_time") == 1
        assert len(buckets_in(redis_server)) == 1


async def test_keys_are_for_people_and_hold_no_secret(redis_server: RedisServer):
    user = someone()
    async with sharing(redis_server, 1, users=[user]) as (exchange, client):
        await ask(client, exchange)
        (key,) = buckets_in(redis_server)
        host = exchange.base_url.removeprefix("http://")
        assert key == f"okx-funding:1:{{{host}:{user.user_id}:{ASSETS}}}"
        everything = str(redis_server.hash(key))
        assert 86000 < redis_server.say("TTL", key) < 86500
        for secret in user.reveal():
            assert secret not in everything


async def test_a_key_without_user_id_shows_masked(redis_server: RedisServer):
    user = Credentials("a-long-api-key-of-somebody", "secret", "word")
    async with sharing(redis_server, 1, users=[user]) as (exchange, client):
        await ask(client, exchange)
        (key,) = buckets_in(redis_server)
        assert "a-lo...dy#" in key
        assert user.api_key not in key
        (live,) = await inspect_buckets(redis_server.url)
        assert live.user == user.mark


async def test_a_key_that_is_identified_moves_to_its_users_bucket(redis_server: RedisServer):
    named, second = someone("somebody"), someone("somebody")
    async with sharing(redis_server, 1, users=[named, second]) as (exchange, one):
        unnamed = Credentials(*second.reveal())
        async with Session(buckets=redis_server.url) as session:
            other = FundingClient(
                unnamed,
                session=session,
                base_url=exchange.base_url,
                rate_limits={ASSETS: QUICK, "get_account_config": RateLimit(5, 0.1)},
            )
            await asyncio.gather(ask(one, exchange), ask(other, exchange))
            mine = bucket_of(other)
            assert mine.tag != bucket_of(one).tag
            assert await other.get_user_id() == "somebody"
            await asyncio.gather(ask(one, exchange, 9), ask(other, exchange, 9))
            assert bucket_of(other).tag == bucket_of(one).tag
            assert bucket_of(other).sent == 10
            assert not redis_server.hash(f"okx-funding:1:{mine.tag}:claims")
            assert not exchange.refused


async def test_the_strictest_claim_of_all_sessions_rules(redis_server: RedisServer):
    async with sharing(redis_server, 1) as (exchange, wide):
        async with Session(buckets=redis_server.url) as session:
            strict = FundingClient(
                exchange.credentials,
                session=session,
                base_url=exchange.base_url,
                rate_limits={ASSETS: RateLimit(2, 0.3)},
            )
            await asyncio.gather(ask(strict, exchange), ask(wide, exchange))
            await ask(wide, exchange, 4)
            assert exchange.busiest_window(ASSETS) == 2
            assert (await inspect_buckets(redis_server.url))[0].count == 2
        await ask(wide, exchange)  # its claim left with it; what comes back is unknown at first
        await asyncio.sleep(UNKNOWN)
        await ask(wide, exchange, 6)
        assert exchange.busiest_window(ASSETS) == 6


async def test_spread_requests_keep_their_distance_over_all_sessions(redis_server: RedisServer):
    spread = {"rate_limits": {ASSETS: RateLimit(6, 0.3, spread=True)}}
    async with sharing(redis_server, 2, client=spread) as (exchange, one, two):
        await asyncio.gather(ask(one, exchange, 3), ask(two, exchange, 3))
        times = [it.at for it in exchange.log]
        gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
        assert len(gaps) == 5
        assert min(gaps) > 1.25 * 0.3 / 6 - 0.02, gaps


async def test_a_refusal_freezes_everybody(redis_server: RedisServer):
    async with sharing(redis_server) as (exchange, one, two):
        await asyncio.gather(ask(one, exchange), ask(two, exchange))
        await asyncio.sleep(0.4)
        exchange.fail_next(1, Fault.code("50011"))
        again = asyncio.create_task(ask(one, exchange))
        await asyncio.sleep(0.1)
        assert await ask(two, exchange)
        assert await again
        refused, *after = [it.at for it in exchange.log][2:]
        assert min(after) > refused + 0.3
        assert hash_of(redis_server, exchange)["refused"] == "1"
        assert one.statistics().buckets[0].shared_with_others


# -- waiting ----------------------------------------------------------------------------------


async def test_callers_of_one_session_are_served_in_order(redis_server: RedisServer):
    async with sharing(redis_server, 1, limit=RateLimit(1, 0.05)) as (exchange, client):
        order = []

        async def call(number):
            await client.get_non_tradable_assets(exchange.currencies[20 * number :][:20])
            order.append(number)

        await asyncio.gather(*(call(number) for number in range(8)))
        assert order == list(range(8))


async def test_a_higher_priority_goes_first(redis_server: RedisServer):
    async with sharing(redis_server, 1, limit=RateLimit(1, 0.1)) as (exchange, client):
        order = []

        async def call(name, ccy, priority):
            await client.get_non_tradable_assets(ccy, priority=priority)
            order.append(name)

        names = exchange.currencies
        await asyncio.gather(
            *(call(n, names[20 * n : 20 * n + 20], 0) for n in range(3)),
            call("urgent", names[100:120], 5),
        )
        assert order == ["urgent", 0, 1, 2]


async def test_idle_sessions_say_nothing_to_redis(redis_server: RedisServer, monkeypatch):
    monkeypatch.setattr(bucket, "HEARTBEAT", 0.3)
    async with sharing(redis_server) as (exchange, one, two):
        await asyncio.gather(ask(one, exchange), ask(two, exchange))
        await asyncio.sleep(0.2)
        before = redis_server.commands()
        await asyncio.sleep(1)
        assert redis_server.commands() == before


async def test_one_request_costs_one_ask_and_one_return(redis_server: RedisServer):
    async with sharing(redis_server, 1) as (exchange, client):
        await ask(client, exchange)
        await asyncio.sleep(0.1)
        before = redis_server.commands()["evalsha"]
        for _ in range(3):
            await ask(client, exchange)
        await asyncio.sleep(0.1)
        assert redis_server.commands()["evalsha"] - before == 6


def count_takes(mine):
    looks, take = [], mine.take

    def looked(now):
        looks.append(now)
        return take(now)

    mine.take = looked
    return looks


async def test_whoever_waits_does_not_poll(redis_server: RedisServer, monkeypatch):
    """However many callers wait, the session asks each two seconds (here 0.5), if it is next."""
    assert scripts.HEARTBEAT == 2.0
    monkeypatch.setattr(bucket, "HEARTBEAT", 0.5)
    async with sharing(redis_server, limit=RateLimit(1, 0.3)) as (exchange, one, two):
        await ask(one, exchange)
        exchange.latency = 9.0
        calls = [asyncio.create_task(ask(one, exchange))]
        await asyncio.sleep(0.4)
        calls += [asyncio.create_task(ask(two, exchange, 9)) for _ in range(20)]
        await asyncio.sleep(0.2)
        before = redis_server.commands()["evalsha"]
        looks = count_takes(bucket_of(two))
        await asyncio.sleep(1)
        assert redis_server.commands()["evalsha"] - before in (2, 3), "a renewal may be among them"
        assert len(looks) <= 10, "nor does the loop spin"
        await leave(*calls)


async def test_callers_who_leave_leave_the_queue_too(redis_server: RedisServer):
    async with sharing(redis_server, limit=RateLimit(1, 0.8)) as (exchange, one, two):
        await ask(one, exchange)
        call = asyncio.create_task(ask(two, exchange))
        await asyncio.sleep(0.1)
        assert waiters(redis_server, exchange)
        await leave(call)
        await ask(one, exchange)
        first, second = [it.at for it in exchange.log]
        assert second - first < 0.95, "nobody held the turn"
        await asyncio.sleep(0.05)
        assert not waiters(redis_server, exchange)


async def test_slots_that_nobody_wants_any_more_go_back(redis_server: RedisServer):
    """All callers leave while the ask is under way."""
    async with sharing(redis_server, 1) as (exchange, client):
        await ask(client, exchange)
        await asyncio.sleep(0.4)
        for _ in range(3):
            call = asyncio.create_task(ask(client, exchange, 6))
            await until(lambda: bucket_of(client)._asking)
            await leave(call)
            await asyncio.sleep(0.05)
        assert hash_of(redis_server, exchange)["sent"] == "1"
        assert not held(redis_server, exchange)
        assert len(exchange.log) == client.statistics().requests == 1


async def test_a_slot_that_was_won_before_a_long_sleep_is_not_used(redis_server: RedisServer):
    """A laptop that was closed, a process that was stopped: others have its lease by now."""
    async with sharing(redis_server, 1) as (exchange, client):
        await ask(client, exchange)
        await asyncio.sleep(0.4)
        mine = bucket_of(client)
        heard = mine.on_reply
        aged: list[object] = []

        def slept(reply, now):
            heard(reply, now)
            if mine._acquired and not aged:
                for slot in mine._acquired:
                    slot.lease_until -= 60
                    aged.append(slot)

        mine.on_reply = slept
        await ask(client, exchange)
        await asyncio.sleep(0.05)
        assert len(aged) == 1
        assert hash_of(redis_server, exchange)["sent"] == "2"
        assert not held(redis_server, exchange)


async def test_estimates_are_heeded(redis_server: RedisServer):
    async with sharing(redis_server, 1, limit=RateLimit(1, 0.5)) as (exchange, client):
        await ask(client, exchange)
        names = exchange.currencies
        calls = [
            asyncio.create_task(client.get_non_tradable_assets(names[at : at + 20]))
            for at in range(0, 100, 20)
        ]
        await asyncio.sleep(0.1)
        (told,) = client.statistics().buckets
        assert told.next_slot_in == pytest.approx(0.4, abs=0.05)
        assert told.slots_free == 0
        late = client.get_non_tradable_assets(names[200:220], timeout=1)
        error = await failure_of(late, DeadlineExceededError)
        assert error.estimated_wait == pytest.approx(0.4 + 5 * 0.5, abs=0.1)
        await leave(*calls)


# -- closing ----------------------------------------------------------------------------------


async def test_a_session_that_closes_gives_back_what_it_held(redis_server: RedisServer):
    async with sharing(redis_server, 1, latency=0.1) as (exchange, client):
        call = asyncio.create_task(failure_of(ask(client, exchange, 9), ClientClosedError))
        await asyncio.sleep(0.15)
        assert len(held(redis_server, exchange)) == 6
        await client._calls._given.aclose()
        await call
        fields = hash_of(redis_server, exchange)
        assert not held(redis_server, exchange)
        assert not [name for name in fields if name.startswith(("claim:", "queue:"))]
        assert fields["sent"] == "6"


async def test_a_session_may_close_while_redis_is_lost(redis_server_to_harm: RedisServer):
    async with sharing(redis_server_to_harm, 1) as (exchange, client):
        await ask(client, exchange)
        redis_server_to_harm.kill()
        call = asyncio.create_task(failure_of(ask(client, exchange, 3), ClientClosedError))
        await asyncio.sleep(0.3)
        began = asyncio.get_running_loop().time()
        await client._calls._given.aclose()
        await call
        assert asyncio.get_running_loop().time() - began < 0.5


@pytest.mark.parametrize("closed", [True, False])
def test_a_loop_that_ends_takes_the_link_along(redis_server: RedisServer, closed):
    async def main():
        async with SimulatedExchange(users=[someone()]) as exchange:
            session = Session(buckets=redis_server.url)
            client = quick(exchange.credentials, session, exchange)
            await ask(client, exchange)
            if closed:
                await session.aclose()

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        asyncio.run(main())
        gc.collect()
    assert len(caught) == (0 if closed else 1), [str(each.message) for each in caught]


async def test_a_session_that_was_never_closed_leaves_no_task_behind(redis_server: RedisServer):
    async with SimulatedExchange(users=[someone()]) as exchange:
        session = Session(buckets=redis_server.url)
        client = quick(exchange.credentials, session, exchange)
        await ask(client, exchange)
        await asyncio.sleep(0.01)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            del client, session
            gc.collect()
        assert ["never closed" in str(each.message) for each in caught] == [True]
        await asyncio.sleep(0.05)


async def test_buckets_of_users_who_are_gone_are_forgotten(redis_server: RedisServer, monkeypatch):
    monkeypatch.setattr(store, "SWEEP_FROM", 9)
    users = [someone() for _ in range(9)]
    async with (
        SimulatedExchange(users=users) as exchange,
        Session(buckets=redis_server.url) as session,
    ):
        for user in users:
            client = quick(user, session, exchange)
            call = asyncio.create_task(ask(client, exchange))
            await asyncio.sleep(0.02)
            await leave(call)
            await client.aclose()
            del client, call
        gc.collect()
        await asyncio.sleep(0.6)  # until those who waited have left their queues
        one = quick(someone(), session, exchange)
        call = asyncio.create_task(ask(one, exchange))
        await asyncio.sleep(0.02)
        await leave(call)
        assert session._store is not None
        assert len(session._store._buckets) == 1  # type: ignore[attr-defined]


# -- arguments --------------------------------------------------------------------------------

SHARE: dict[str, Any] = {ASSETS: "share"}


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"buckets": "memcached://localhost"}, "URL of a Redis"),
        ({"buckets": "redis://:hunter2@localhost:port"}, "URL of a Redis"),
        ({"buckets": "redis://:hunter2@localhost:99999999"}, "URL of a Redis"),
        ({"buckets": ""}, "URL of a Redis"),
        ({"on_loss": "open"}, "when_lost"),
        ({"on_loss": {"get_everything": "share"}, "processes": 2}, "when_lost"),
        ({"on_loss": SHARE}, "processes"),
        ({"processes": 4}, "processes"),
        ({"on_loss": SHARE, "processes": 0}, "processes"),
        ({"on_loss": SHARE, "processes": True}, "processes"),
        ({"on_loss": SHARE, "processes": 7}, "7 processes can't share"),
        ({"on_loss": "share", "processes": 2}, "get_asset_valuation"),
    ],
)
def test_what_cannot_be_used_is_refused_at_construction(options, word):
    with pytest.raises(InvalidArgumentError, match=word) as caught:
        Session(**{"buckets": "redis://:hunter2@localhost", **options})
    told = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    inner = "".join(told.stack.format()[1:]) + repr(caught.value.__context__)
    assert "hunter2" not in inner


async def test_a_limit_that_cannot_be_divided_is_refused_with_its_client(redis_server: RedisServer):
    async with Session(buckets=redis_server.url, on_loss=SHARE, processes=4) as session:
        with pytest.raises(InvalidArgumentError, match="4 processes can't share"):
            FundingClient(someone(), session=session, rate_limits={ASSETS: RateLimit(3)})
