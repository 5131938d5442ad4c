"""Who shares a bucket: origin, demo, user id and rule; keys of one user, many users, many loops."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import gc
import threading
import weakref

import pytest

from okx_funding import (
    ConnectError,
    Credentials,
    DecodeError,
    FundingClient,
    OKXError,
    RateLimit,
    ServiceUnavailableError,
    WrongLoopError,
)
from okx_funding.api.account import GET_SYSTEM_TIME
from okx_funding.ratelimit.interface import Claim
from okx_funding.ratelimit.registry import REGISTRY, BucketKey, Registry
from okx_funding.scheduler.context import Context, Policy
from okx_funding.simulator import SimulatedExchange
from okx_funding.wire.response import Response
from tests.properties.network import Network, batches
from tests.support import ASSETS, VALUATION, failure_of, now, someone

pytestmark = pytest.mark.looptime

SIX = Claim(RateLimit(6))


def nameless(credentials=None):
    """The same API key, or a new one, that doesn't say whose it is."""
    return Credentials(*(credentials or someone()).reveal())


def bucket_of(client, endpoint=ASSETS):
    return client._calls.lanes[endpoint].queue.bucket


async def bucket_after_a_call(client):
    await client.get_non_tradable_assets("CELT")
    return bucket_of(client)


async def ask(client, n, name="C"):
    return await asyncio.gather(*map(client.get_non_tradable_assets, batches(n, name)))


# -- the key ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("other", "shared"),
    [
        ({}, True),
        ({"max_retries": 0, "request_timeout": 3.0, "policy": Policy(max_queue=5)}, True),
        ({"observer": print}, True),
        ({"demo": True}, False),
        ({"base_url": "https://eea.okx.com"}, False),
        ({"base_url": "https://WWW.OKX.COM:443/"}, True),
    ],
    ids=str,
)
async def test_clients_of_one_user_share_a_bucket_if_they_ask_at_one_place(other, shared, capsys):
    owner = someone()
    async with (
        Network() as network,
        network.client(credentials=owner) as one,
        network.client(credentials=owner, **other) as two,
    ):
        mine, yours = await bucket_after_a_call(one), await bucket_after_a_call(two)
        assert (mine is yours) == shared
        capsys.readouterr()


async def test_sessions_of_one_process_share_buckets():
    owner = someone()
    async with (
        Network() as network,
        Network() as other,
        network.client(credentials=owner) as one,
        other.client(credentials=owner) as two,
    ):
        assert await bucket_after_a_call(one) is await bucket_after_a_call(two)


async def test_several_keys_of_one_user_meet_when_their_user_id_is_given():
    async with (
        Network(RateLimit(2)) as network,
        network.client(credentials=someone("4711")) as one,
        network.client(credentials=someone("4711")) as two,
    ):
        await asyncio.gather(ask(one, 3, "A"), ask(two, 3, "B"))
        assert bucket_of(one) is bucket_of(two)
        assert network.refused == []
        assert [round(at) for at in network.arrivals] == [0, 0, 1, 1, 2, 2]


async def test_keys_without_a_user_id_are_users_of_their_own():
    async with (
        Network() as network,
        network.client(credentials=nameless()) as one,
        network.client(credentials=nameless()) as two,
    ):
        assert await bucket_after_a_call(one) is not await bucket_after_a_call(two)


async def test_each_endpoint_has_a_bucket_of_its_own():
    async with Network() as network, network.client() as client:
        await asyncio.gather(client.get_non_tradable_assets("CELT"), client.get_asset_valuation())
        assert bucket_of(client, ASSETS) is not bucket_of(client, VALUATION)


async def test_what_okx_counts_by_address_all_users_of_a_host_share():
    async with Network() as network:
        lanes = [
            network.lane(GET_SYSTEM_TIME, Context(owner, origin, demo))
            for owner in (someone(), None)
            for origin, demo in (("https://www.okx.com", False), ("https://eea.okx.com", False))
        ]
        first, elsewhere, second, _ = [lane.queue.bucket for lane in lanes]
        assert first is second
        assert first is not elsewhere


async def test_the_name_of_a_key_shows_no_secret():
    async with Network() as network:
        owner = nameless(Credentials("k" * 30, "s" * 30, "p" * 30))
        async with network.client(credentials=owner) as client:
            await client.get_non_tradable_assets("CELT")
            told = str(client.statistics()) + repr(client) + repr(bucket_of(client))
            assert "kkkkk" not in told + str(REGISTRY._buckets)
            (bucket,) = client.statistics().buckets
            assert bucket.user.startswith("kkkk...kk#")


# -- limits that are gentler than the published one --------------------------------------------


@pytest.mark.parametrize(
    "gentle",
    [RateLimit(1, 0.5), RateLimit(10, 2.0), RateLimit(3, 0.5), RateLimit(30, 5.0)],
    ids=str,
)
@pytest.mark.parametrize("stays", [False, True])
async def test_a_gentler_limit_beside_a_default_client_keeps_the_published_one(gentle, stays):
    owner = someone()
    async with Network() as network:
        one = network.client(credentials=owner)
        await ask(one, 6, "A")
        if not stays:
            await one.aclose()
        await asyncio.sleep(0.15)
        two = network.client(credentials=owner, rate_limits={ASSETS: gentle})
        await ask(two, 30, "B")
        assert network.refused == []
        if stays:
            await ask(one, 20, "C")
        assert network.refused == []


@pytest.mark.parametrize("gentle", [RateLimit(10, 2.0), RateLimit(12, 2.0), RateLimit(30, 5.0)])
async def test_a_gentler_limit_alone_keeps_the_published_one_at_its_own_rate(gentle):
    async with Network() as network, network.client(rate_limits={ASSETS: gentle}) as client:
        await ask(client, 40)
        assert network.refused == []
        assert 40 / now() > 0.9 * gentle.rate


async def test_a_higher_limit_is_taken_at_its_word():
    async with (
        Network(RateLimit(400, 0.01)) as network,
        network.client(rate_limits={ASSETS: RateLimit(400, 0.01)}) as client,
    ):
        await ask(client, 100)
        assert now() < 0.1


# -- a gate is its session's -------------------------------------------------------------------


@pytest.mark.parametrize("gate", ["unreachable", "retry after"])
async def test_a_closed_gate_of_one_session_holds_up_no_other_session_of_the_user(gate):
    owner = someone()

    def dead(_):
        if gate == "unreachable":
            raise ConnectError("the proxy is down")
        return Response(429, b"<html>", retry_after="30")

    class Dead(list):
        """Every request fails."""

        def pop(self, _):  # type: ignore[override]
            return dead

        def __bool__(self):
            return True

    async with (
        Network() as network,
        Network() as dying,
        network.client(credentials=owner) as healthy,
        dying.client(credentials=owner, max_retries=0) as proxied,
    ):
        dying.next = Dead()

        async def keep_trying():
            while True:
                with contextlib.suppress(OKXError):
                    await proxied.get_non_tradable_assets("P", timeout=20)
                await asyncio.sleep(0.1)

        trying = asyncio.ensure_future(keep_trying())
        took = []
        for number in range(116):
            began = now()
            await healthy.get_non_tradable_assets(f"H{number}")
            took.append(now() - began)
            await asyncio.sleep(0.5 - (now() - began) % 0.5)
        assert max(took) < 0.3, took
        trying.cancel()


# -- identify ---------------------------------------------------------------------------------


async def test_identify_asks_okx_once():
    owner = nameless()
    async with Network() as network:
        network.uids[owner.api_key] = "9001"
        async with network.client(credentials=owner) as client:
            assert await client.get_user_id() == "9001"
            assert await client.get_user_id() == "9001"
            assert [trip.endpoint for trip in network.trips] == ["get_account_config"]
        async with network.client(credentials=owner) as another:
            assert await another.get_user_id() == "9001"
        assert len(network.trips) == 1


async def test_whose_user_id_is_given_nobody_asks():
    async with Network() as network, network.client(credentials=someone("9002")) as client:
        assert await client.get_user_id() == "9002"
        assert network.trips == []


async def test_all_who_identify_at_once_share_a_request():
    owner = nameless()
    async with Network() as network:
        network.uids[owner.api_key] = "9003"
        async with network.client(credentials=owner) as client:
            uids = await asyncio.gather(*(client.get_user_id() for _ in range(5)))
            assert uids == ["9003"] * 5
            assert len(network.trips) == 1


@pytest.mark.parametrize("data", [b"[]", b'[{"uid":""}]'])
async def test_an_answer_without_a_uid_teaches_nothing(data):
    owner = nameless()
    async with Network() as network, network.client(credentials=owner, max_retries=0) as client:
        network.next = [lambda _: Response(200, b'{"code":"0","data":%s,"msg":""}' % data)]
        await failure_of(client.get_user_id(), DecodeError)
        network.uids[owner.api_key] = "9004"
        assert await client.get_user_id() == "9004"


async def test_identify_that_fails_changes_nothing():
    async with (
        Network() as network,
        network.client(credentials=nameless(), max_retries=0) as client,
    ):
        network.next = [lambda _: Response(503, b'{"code":"50001","msg":"later"}')]
        await failure_of(client.get_user_id(), ServiceUnavailableError)
        (bucket,) = client.statistics().buckets
        assert "#" in bucket.user


async def test_identify_is_limited_by_itself():
    async with Network() as network:
        keys = [nameless() for _ in range(4)]
        clients = [network.client(credentials=key) for key in keys]
        for key, client in zip(keys, clients, strict=True):
            network.uids[key.api_key] = "9005"
            await client.get_user_id()
        assert network.refused == []
        assert (
            len({client._calls.lanes["get_account_config"].queue.bucket for client in clients}) == 1
        )
        bucket = clients[0].statistics().buckets[0]
        assert (bucket.endpoint, bucket.count, bucket.period) == ("get_account_config", 5, 2.0)


async def test_what_two_keys_sent_counts_together_once_they_are_identified():
    keys = [nameless(), nameless()]
    async with Network() as network:
        clients = [network.client(credentials=key) for key in keys]
        for key in keys:
            network.uids[key.api_key] = "9006"
        await ask(clients[0], 3, "A")
        await asyncio.sleep(0.2)
        await ask(clients[1], 2, "B")
        for client in clients:
            await client.get_user_id()
        assert bucket_of(clients[0]) is bucket_of(clients[1])
        await asyncio.gather(ask(clients[0], 8, "D"), ask(clients[1], 8, "E"))
        assert network.refused == []
        assert {bucket.user for bucket in clients[1].statistics().buckets} == {"9006"}


@pytest.mark.parametrize("seed", range(6))
async def test_identify_breaks_no_limit_on_the_way_with_callers_waiting(seed):
    """Before it the exchange may refuse: nobody could know. From then on it doesn't."""
    keys = [nameless(), nameless(), nameless()]
    async with Network(RateLimit(3), jitter=0.05, seed=seed) as network:
        clients = [network.client(credentials=key) for key in keys]
        for key in keys:
            network.uids[key.api_key] = f"91{seed}"
        calls = [
            asyncio.ensure_future(ask(client, 12, f"{number}."))
            for number, client in enumerate(clients)
        ]
        await asyncio.sleep(0.3 * seed)
        await asyncio.gather(*(client.get_user_id() for client in clients))
        known = now()
        on_their_way = len(network.trips)
        await asyncio.gather(*calls)
        late = [trip for trip in network.refused if trip.sent > known]
        assert late == []
        assert len(network.trips) > on_their_way
        assert len({bucket_of(client) for client in clients}) == 1
        assert all(client.statistics().waiting == 0 for client in clients)


async def test_waiting_callers_move_along_in_their_order():
    owner = nameless()
    async with Network(RateLimit(1)) as network:
        network.uids[owner.api_key] = "9007"
        async with (
            network.client(credentials=owner) as client,
            network.client(credentials=someone("9007")) as other,
        ):
            await ask(other, 1, "first")
            wanted = batches(4)
            calls = [asyncio.ensure_future(client.get_non_tradable_assets(each)) for each in wanted]
            await asyncio.sleep(0.1)
            await client.get_user_id()
            await asyncio.gather(*calls)
            assert all(trip.sent < 0.1 for trip in network.refused), "when nobody knew"
            served = [list(trip.keys) for trip in network.trips if trip.keys and not trip.refused]
            assert served[1:] == wanted


async def test_a_client_that_comes_later_with_the_same_key_knows_its_user():
    owner = nameless()
    async with Network() as network:
        network.uids[owner.api_key] = "9008"
        async with network.client(credentials=owner) as client:
            await client.get_user_id()
            await ask(client, 6)
        async with network.client(credentials=nameless(owner)) as another:
            began = now()
            await ask(another, 1, "D")
            assert now() >= began + 1 - 0.044
            assert another.statistics().buckets[0].user == "9008"


async def test_one_identify_serves_every_endpoint():
    owner = nameless()
    async with Network() as network:
        network.uids[owner.api_key] = "9009"
        async with network.client(credentials=owner) as client:
            await asyncio.gather(client.get_asset_valuation(), ask(client, 1), client.get_user_id())
            assert {bucket.user for bucket in client.statistics().buckets} == {"9009"}


async def test_what_was_refused_before_is_known_after():
    owner = nameless()
    async with Network() as network:
        network.uids[owner.api_key] = "9010"
        async with (
            network.client(credentials=owner) as client,
            network.client(credentials=someone("9010")) as other,
        ):
            network.next = [lambda _: Response(429, b'{"code":"50011","msg":""}', retry_after="20")]
            call = asyncio.ensure_future(client.get_non_tradable_assets("CELT"))
            await ask(other, 1)
            await client.get_user_id()
            await ask(other, 1, "D")
            assert now() >= 20
            await call


async def test_counts_of_both_buckets_are_told_as_one():
    owner = nameless()
    async with Network() as network:
        network.uids[owner.api_key] = "9011"
        async with (
            network.client(credentials=owner) as client,
            network.client(credentials=someone("9011")) as other,
        ):
            await asyncio.gather(ask(client, 2, "A"), ask(other, 3, "B"))
            await client.get_user_id()
            bucket = other.statistics().buckets[0]
            assert (bucket.requests_sent, bucket.keys_sent, bucket.callers_served) == (5, 100, 100)
            assert bucket.batch_fill == 1.0


# -- many users -------------------------------------------------------------------------------


@pytest.fixture
def registry(monkeypatch):
    monkeypatch.setattr("okx_funding.ratelimit.registry._FEW", 16)
    registry = Registry()
    registry._sweep_at = 16
    return registry


async def test_buckets_of_users_not_seen_for_long_disappear(registry):
    loop = asyncio.get_running_loop()
    most = 0
    for number in range(500):
        key = BucketKey("https://www.okx.com", False, f"user-{number}", ASSETS)
        bucket = registry.bucket(key, Claim(RateLimit(6)), loop)
        slot = bucket.take(now())
        await asyncio.sleep(0.1)
        bucket.answered(slot, now())
        most = max(most, len(registry))
    assert most <= 2 * 16 + 12


async def test_a_bucket_whose_history_matters_stays(registry):
    loop = asyncio.get_running_loop()
    key = BucketKey("https://www.okx.com", False, "busy", ASSETS)
    bucket = registry.bucket(key, Claim(RateLimit(6, 60.0)), loop)
    bucket.answered(bucket.take(now()), now())
    for number in range(200):
        other = dataclasses.replace(key, user=f"user-{number}")
        registry.bucket(other, Claim(RateLimit(6)), loop)
        await asyncio.sleep(0.1)
    assert registry.bucket(key, Claim(RateLimit(6)), loop) is bucket


async def test_the_user_ids_that_are_remembered_are_bounded(registry, monkeypatch):
    monkeypatch.setattr("okx_funding.ratelimit.registry._USERS", 50)
    keys = [nameless() for _ in range(200)]
    for number, key in enumerate(keys):
        registry.learn(key, str(number))
    assert len(registry._users) == 50
    assert registry.user_of(keys[-1]) == "199"
    assert registry.user_of(keys[0]) is None


async def test_whoever_is_gone_leaves_no_lane_no_line_and_no_bucket(registry, monkeypatch):
    monkeypatch.setattr("okx_funding.session.REGISTRY", registry)
    gone: list[weakref.ref[object]] = []
    async with Network() as network:
        for _ in range(200):
            async with network.client() as client:
                await client.get_non_tradable_assets("CELT")
                lane = client._calls.lanes[ASSETS]
                gone += [weakref.ref(lane), weakref.ref(lane.queue), weakref.ref(lane.queue.bucket)]
            del lane
            await asyncio.sleep(1.2)
        gc.collect()
        assert len(network._lanes) == 0
        alive = [ref() for ref in gone if ref() is not None]
        assert len(alive) <= 16 + 2


# -- many loops -------------------------------------------------------------------------------


def in_another_thread(work):
    """What ``work()`` gives or raises there."""
    outcome = []

    def run():
        try:
            outcome.append(work())
        except Exception as error:
            outcome.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return outcome[0]


async def call_once(owner):
    async with Network(way=0) as network, network.client(credentials=owner) as client:
        await client.get_non_tradable_assets("CELT")


async def test_another_loop_cant_spend_the_same_users_limit_silently():
    owner = someone()
    async with Network() as network, network.client(credentials=owner) as client:
        await client.get_non_tradable_assets("CELT")
        error = in_another_thread(lambda: asyncio.run(call_once(owner)))
        assert isinstance(error, WrongLoopError)
        assert "run_coroutine_threadsafe" in str(error)
        assert "another event loop" in str(error)
        assert not error.sent


async def test_another_loop_may_have_other_users():
    async with Network() as network, network.client() as client:
        await client.get_non_tradable_assets("CELT")
        assert in_another_thread(lambda: asyncio.run(call_once(someone()))) is None


async def test_when_the_clients_of_one_loop_are_closed_another_may_go_on():
    owner = someone()
    async with Network() as network, network.client(credentials=owner) as client:
        await client.get_non_tradable_assets("CELT")
    assert in_another_thread(lambda: asyncio.run(call_once(owner))) is None


async def test_another_loop_may_go_on_though_the_session_of_the_closed_client_is_open():
    owner = someone()
    async with Network() as network:
        async with network.client(credentials=owner) as client:
            await client.get_non_tradable_assets("CELT")
        assert in_another_thread(lambda: asyncio.run(call_once(owner))) is None


@pytest.mark.looptime(False)
def test_a_second_run_counts_what_the_first_sent():
    owner = someone()
    limit = RateLimit(3, 0.2)
    times: list[float] = []

    async def run(n):
        async with Network(limit, way=0) as network, network.client(credentials=owner) as client:
            await ask(client, n, f"{len(times)}.")
            times.extend(trip.sent for trip in network.trips)

    asyncio.run(run(2))
    asyncio.run(run(3))
    assert len(times) == 5
    for last in range(3, 5):
        assert times[last] - times[last - 3] >= 0.2


@pytest.mark.looptime(False)
def test_a_client_left_open_in_a_loop_that_ended_is_in_nobodys_way():
    owner = someone()
    left = []

    async def leave_open():
        network = Network(way=0)
        left.append(client := network.client(credentials=owner))
        await client.get_non_tradable_assets("CELT")

    asyncio.run(leave_open())
    asyncio.run(call_once(owner))


async def test_identify_into_a_bucket_of_another_loop_leaves_everything_as_it_was():
    owner = nameless()
    async with Network() as network:
        network.uids[owner.api_key] = "9012"
        async with network.client(credentials=owner) as client:
            await ask(client, 1)
            ready, done = threading.Event(), threading.Event()

            async def elsewhere():
                async with (
                    Network(way=0) as other,
                    other.client(credentials=someone("9012")) as one,
                ):
                    await one.get_non_tradable_assets("CELT")
                    ready.set()
                    await asyncio.to_thread(done.wait)

            thread = threading.Thread(target=lambda: asyncio.run(elsewhere()))
            thread.start()
            ready.wait()
            try:
                before = bucket_of(client)
                await failure_of(client.get_user_id(), WrongLoopError)
                assert bucket_of(client) is before
                await ask(client, 1, "D")
                await failure_of(client.get_user_id(), WrongLoopError)
            finally:
                done.set()
                thread.join()


async def test_at_a_real_exchange_two_keys_of_one_user_identify_and_share():
    one, two = someone("9013"), someone("9013")
    async with SimulatedExchange(users=[one, two], latency=0.02) as exchange:
        url = exchange.base_url
        async with (
            FundingClient(nameless(one), base_url=url) as first,
            FundingClient(nameless(two), base_url=url) as second,
        ):
            uids = await asyncio.gather(first.get_user_id(), second.get_user_id())
            assert set(uids) == {"9013"}
            wanted = exchange.currencies[:160]
            await asyncio.gather(
                first.get_non_tradable_assets(wanted), second.get_non_tradable_assets(wanted[::-1])
            )
            assert exchange.refused == []
            assert exchange.busiest_window(ASSETS) <= 6


async def test_the_buckets_of_a_user_are_found_without_looking_at_those_of_others():
    registry, loop = Registry(), asyncio.get_running_loop()
    everybody = [BucketKey("https://a", False, f"u{n}", "r") for n in range(1000)]
    owner, looked_at = Registry(), 0
    for key in everybody:
        registry.bucket(key, SIX, loop).claim(owner, SIX, 0.0)

    class Counting(dict):
        def __iter__(self):
            nonlocal looked_at
            for each in super().__iter__():
                looked_at += 1
                yield each

    registry._buckets = Counting(registry._buckets)
    for key in everybody:
        assert registry.buckets_of(key.user) == [key]
    assert looked_at == 0


async def test_a_user_whose_buckets_are_swept_has_none():
    registry, loop = Registry(), asyncio.get_running_loop()
    for n in range(2000):
        registry.bucket(BucketKey("https://a", False, f"u{n}", "r"), SIX, loop)
    assert registry.buckets_of("u0") == []
    assert len(registry._keys) == len(registry) < 600
