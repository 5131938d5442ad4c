"""Redis is lost, refuses, or is another one than before; what callers, operators and logs see."""

from __future__ import annotations

import asyncio
import logging
import time
import traceback

import pytest

from okx_funding import BucketsUnreachableError, DeadlineExceededError
from okx_funding.ratelimit.redis import connection
from okx_funding.ratelimit.redis.diagnosis import diagnosis
from tests.redis.clients import UNKNOWN, ask, held, key_of, quick, sharing
from tests.redis.processes import until
from tests.redis.servers import RedisServer, free_port, running
from tests.support import ASSETS, failure_of, now, someone

pytestmark = pytest.mark.slow

SHARE = {"on_loss": {ASSETS: "share"}, "processes": 2}


@pytest.fixture
def told(caplog):
    """What the log says of the buckets."""
    caplog.set_level(logging.DEBUG, "okx_funding.ratelimit.bucket")
    return lambda: [
        it.getMessage() for it in caplog.records if it.name == "okx_funding.ratelimit.bucket"
    ]


# -- lost and found ---------------------------------------------------------------------------


async def test_callers_wait_within_their_deadline_and_are_told_why(
    redis_server_to_harm: RedisServer, told
):
    async with sharing(redis_server_to_harm, 1) as (exchange, client):
        await ask(client, exchange)
        redis_server_to_harm.kill()
        error = await failure_of(ask(client, exchange, timeout=0.4), BucketsUnreachableError)
        where = f"redis://127.0.0.1:{redis_server_to_harm.port}/0".removesuffix("/0")
        assert str(error) == (
            f"{ASSETS}: the shared buckets at {where} can't be used: no connection; "
            "nothing was sent"
        )
        assert isinstance(error, DeadlineExceededError)
        assert not error.sent
        waiting = asyncio.create_task(ask(client, exchange))
        await asyncio.sleep(0.3)
        redis_server_to_harm.start()
        back = now()
        await waiting
        assert exchange.log[-1].at > back + UNKNOWN - 0.05, "one silent window"
        assert len(exchange.log) == 2
    assert told() == [
        f"the shared buckets at {where} can't be used: no connection",
        f"the shared buckets at {where} are back",
    ]


async def test_a_server_that_is_not_there_yet_is_waited_for(redis_server: RedisServer):
    server = RedisServer()
    try:
        async with sharing(server, 1, known=False) as (exchange, client):
            waiting = asyncio.create_task(ask(client, exchange))
            await asyncio.sleep(0.3)
            server.start()
            await waiting
    finally:
        server.kill()


async def test_who_has_no_deadline_is_told_after_a_minute(redis_server: RedisServer, monkeypatch):
    assert connection.PATIENCE == 60.0
    monkeypatch.setattr(connection, "PATIENCE", 0.5)
    async with sharing(None, 1, url=f"redis://127.0.0.1:{free_port()}", known=False) as (
        exchange,
        client,
    ):
        began = now()
        patient = asyncio.create_task(failure_of(ask(client, exchange, timeout=2), Exception))
        await failure_of(ask(client, exchange), BucketsUnreachableError)
        assert 0.5 < now() - began < 1.8
        assert not patient.done(), "who has a deadline may wait for it"
        await failure_of(ask(client, exchange), BucketsUnreachableError)
        assert now() - began < 3.5, "so is who came later"
        assert isinstance(await patient, BucketsUnreachableError)


async def test_what_is_on_the_wire_when_redis_is_lost_is_answered(
    redis_server_to_harm: RedisServer,
):
    async with sharing(redis_server_to_harm, 1, latency=0.15) as (exchange, client):
        call = asyncio.create_task(ask(client, exchange, timeout=5))
        await until(lambda: bool(exchange.log), 0.01)
        redis_server_to_harm.kill()
        assert await call


async def test_who_was_asked_for_before_the_loss_is_not_told_that_nothing_was_sent(
    redis_server_to_harm: RedisServer,
):
    async with sharing(redis_server_to_harm, 1, latency=0.5) as (exchange, client):
        call = asyncio.create_task(ask(client, exchange, timeout=0.4))
        await asyncio.sleep(0.2)
        redis_server_to_harm.kill()
        error = await failure_of(call, DeadlineExceededError)
        assert type(error) is DeadlineExceededError
        assert error.sent


async def test_a_frozen_server_is_noticed_and_orphans_come_back(redis_server_to_harm: RedisServer):
    """It executes what stands in its buffers when it thaws, and nobody is there any more."""
    url = redis_server_to_harm.url + "?socket_timeout=0.2"
    async with sharing(redis_server_to_harm, 1, url=url) as (exchange, client):
        await ask(client, exchange)
        await asyncio.sleep(0.4)
        redis_server_to_harm.freeze()
        began = now()
        await failure_of(ask(client, exchange, timeout=0.5), BucketsUnreachableError)
        assert now() - began < 0.6
        waiting = [asyncio.create_task(ask(client, exchange, 6))]
        await asyncio.sleep(0.3)
        redis_server_to_harm.thaw()
        thawed = now()
        await asyncio.gather(*waiting)
        assert now() - thawed < 2.5, "nothing is held for a lease"
        assert not exchange.refused


async def test_a_busy_loop_is_not_taken_for_a_lost_server(redis_server: RedisServer, monkeypatch):
    url = redis_server.url + "?socket_timeout=0.2"
    async with sharing(redis_server, 1, url=url) as (exchange, client):
        await ask(client, exchange)
        store, lost = client._calls._given._store, []
        monkeypatch.setattr(store, "on_lost", lambda: lost.append(now()))
        for _ in range(3):
            call = asyncio.create_task(ask(client, exchange))
            await until(lambda: bool(store._connection._pending))
            time.sleep(0.5)  # noqa: ASYNC251
            await call
        assert not lost


async def test_returns_that_could_not_be_delivered_are_delivered_later(
    redis_server_to_harm: RedisServer,
):
    url = redis_server_to_harm.url + "?socket_timeout=0.2"
    async with sharing(redis_server_to_harm, 1, url=url, latency=0.1) as (exchange, client):
        call = asyncio.create_task(ask(client, exchange))
        await until(lambda: bool(exchange.log), 0.01)
        redis_server_to_harm.freeze()
        await call
        await asyncio.sleep(0.3)
        redis_server_to_harm.thaw()
        await asyncio.sleep(0.5)
        assert not held(redis_server_to_harm, exchange)


@pytest.mark.parametrize("harm", ["SCRIPT FLUSH", "CLIENT KILL TYPE pubsub"])
async def test_small_mishaps_cost_no_silence(redis_server_to_harm: RedisServer, harm, told):
    async with sharing(redis_server_to_harm, 1) as (exchange, client):
        await ask(client, exchange)
        await asyncio.sleep(0.4)
        redis_server_to_harm.say(*harm.split())
        await asyncio.sleep(0.05)
        began = now()
        await ask(client, exchange, 6)
        assert now() - began < 0.25
    assert told() == []


async def test_a_restart_too_quick_to_be_noticed_is_silent_all_the_same(
    redis_server_to_harm: RedisServer,
):
    async with sharing(redis_server_to_harm, 1) as (exchange, client):
        await ask(client, exchange)
        await asyncio.sleep(0.4)
        redis_server_to_harm.kill()
        redis_server_to_harm.start()
        began = now()
        await ask(client, exchange)
        assert now() - began > UNKNOWN - 0.1


async def test_a_server_that_comes_back_with_what_it_knew_long_ago_is_not_believed(
    redis_server: RedisServer, tmp_path
):
    """As after a restart from a snapshot, or when a replica that lags takes over."""
    with running("--dir", str(tmp_path)) as server:
        async with sharing(server, 1) as (exchange, client):
            await ask(client, exchange)
            await asyncio.sleep(0.4)
            server.say("SAVE")
            await ask(client, exchange, 6)
            server.kill()
            server.start()
            assert int(server.hash(key_of(exchange))["sent"]) == 1
            await ask(client, exchange, 6)
            assert not exchange.refused
            assert exchange.log[7].at - exchange.log[6].at > UNKNOWN - 0.1


async def test_a_server_that_forgot_everything_begins_anew(redis_server_to_harm: RedisServer):
    async with sharing(redis_server_to_harm, 1) as (exchange, client):
        await ask(client, exchange, 6)
        redis_server_to_harm.say("FLUSHALL")
        await ask(client, exchange, 6)
        assert not exchange.refused
        assert exchange.busiest_window(ASSETS) <= 6


# -- going on by one's share ------------------------------------------------------------------


async def test_each_process_goes_on_by_its_share(redis_server_to_harm: RedisServer, monkeypatch):
    monkeypatch.setattr(connection, "PING_AFTER", 0.1)
    monkeypatch.setattr(connection, "_BACKOFF", (0.0, 0.1))
    url = redis_server_to_harm.url + "?socket_timeout=0.1"
    async with sharing(redis_server_to_harm, 2, url=url, session=SHARE) as (exchange, one, two):
        await asyncio.gather(ask(one, exchange), ask(two, exchange))
        notice = one._calls._given._store.settle
        stop = now() + 3.5
        sent = []

        async def bot(client, start):
            while now() < stop:
                await client.get_non_tradable_assets(exchange.currencies[start : start + 20])
                sent.append(client)

        bots = [asyncio.create_task(bot(c, 20 * n)) for n in range(4) for c in (one, two)]
        await asyncio.sleep(0.5)
        redis_server_to_harm.kill()
        lost = now()
        await asyncio.sleep(2)
        redis_server_to_harm.start()
        back = now()
        await asyncio.gather(*bots)
        times = [it.at for it in exchange.log]
        assert not exchange.refused
        assert not [at for at in times if lost + 0.2 < at < lost + notice + 0.3]
        alone = [at for at in times if lost + notice + 0.3 < at < back]
        assert len(alone) >= 6, "they go on"
        most = max(sum(at <= other < at + 0.3 for other in alone) for at in alone)
        assert most <= 6
        again = [at for at in times if at > back + 0.35]
        assert again[0] > back + UNKNOWN, "silent until all have noticed"
        assert one.statistics().buckets[0].count == 6


async def test_a_share_is_told_by_no_error_of_redis(redis_server: RedisServer):
    """A caller whose time is over while shares are used is told of time, not of Redis."""
    nowhere = f"redis://127.0.0.1:{free_port()}"
    async with sharing(None, 1, url=nowhere, known=False, session=SHARE) as (exchange, client):
        waiting = asyncio.create_task(ask(client, exchange, timeout=0.3))
        error = await failure_of(waiting, DeadlineExceededError)
        assert type(error) is DeadlineExceededError


async def test_who_shares_notices_an_outage_while_idle(redis_server_to_harm, monkeypatch):
    monkeypatch.setattr(connection, "PING_AFTER", 0.1)
    monkeypatch.setattr(connection, "_BACKOFF", (0.0, 0.1))
    url = redis_server_to_harm.url + "?socket_timeout=0.1"
    async with sharing(redis_server_to_harm, 1, url=url, session=SHARE) as (exchange, client):
        await ask(client, exchange)
        redis_server_to_harm.freeze()
        await asyncio.sleep(0.4)
        assert client._calls._given._store.unavailable_reason is not None
        redis_server_to_harm.thaw()
        await asyncio.sleep(0.3)
        assert client._calls._given._store.unavailable_reason is None


# -- refusals of Redis ------------------------------------------------------------------------

LEAST = (
    "+hello +auth +ping +select +info +script|load +evalsha +hset +hget +hdel +hgetall +expire "
    "+zadd +zrem +zrank +zcard +zrange +time +publish +subscribe"
)


async def test_a_wrong_password_is_an_error_at_once_and_never_shown(redis_server, told, caplog):
    with running("--requirepass", "open sesame") as server:
        for secret, login in (("hunter2", ":hunter2@"), ("", "")):
            url = f"redis://{login}127.0.0.1:{server.port}/0"
            asyncio.get_running_loop().set_debug(True)
            async with sharing(server, 1, url=url) as (exchange, client):
                began = now()
                error = await failure_of(ask(client, exchange), BucketsUnreachableError)
                assert now() - began < 0.5
                assert "user or password is missing or wrong" in str(error)
                await failure_of(ask(client, exchange, timeout=9), BucketsUnreachableError)
                assert now() - began < 1.0, "the next one too, whatever its deadline"
                shown = [
                    repr(client),
                    repr(client._calls._given),
                    repr(client._calls._given._store),
                ]
                shown += map(repr, asyncio.all_tasks())
                shown += ["".join(everything(error)), *told(), caplog.text]
                connector = client._calls._given._store._connection._connector
                shown.append(repr(vars(connector)))
            asyncio.get_running_loop().set_debug(False)
            assert not secret or secret not in "".join(shown)
            assert len(told()) <= 1
            caplog.clear()


def everything(error):
    while error is not None:
        lines = traceback.TracebackException.from_exception(error, capture_locals=True).format()
        yield from lines
        error = error.__cause__ or error.__context__


async def test_a_right_password_is_used_and_never_shown(redis_server):
    with running("--requirepass", "hunter2") as server:
        async with sharing(server, 1, url=f"redis://:hunter2@127.0.0.1:{server.port}/0") as (
            exchange,
            client,
        ):
            assert await ask(client, exchange)
            store = client._calls._given._store
            shown = [repr(store), store.where, repr(vars(store._connection._connector))]
            assert "hunter2" not in "".join(shown)


async def test_an_operator_may_mend_it(redis_server):
    with running("--requirepass", "other") as server:
        async with sharing(server, 1, url=f"redis://:mine@127.0.0.1:{server.port}/0") as (
            exchange,
            client,
        ):
            await failure_of(ask(client, exchange), BucketsUnreachableError)
            server.say("CONFIG", "SET", "requirepass", "mine")
            await until(lambda: client._calls._given._store.unavailable_reason is None, 0.02)
            assert await ask(client, exchange)


async def test_the_documented_rights_are_enough(redis_server):
    with running() as server:
        rights = f"on >word resetchannels ~okx-funding:* &okx-funding:to:* -@all {LEAST}"
        server.say("ACL", "SETUSER", "bot", *rights.split())
        async with sharing(server, 2, url=f"redis://bot:word@127.0.0.1:{server.port}/0") as (
            exchange,
            *both,
        ):
            await asyncio.gather(*(ask(client, exchange, 9) for client in both))
            assert not exchange.refused


@pytest.mark.parametrize(
    "missing", ["-evalsha", "-hset", "-zrank", "-subscribe", "-script|load", "-publish"]
)
async def test_missing_rights_are_an_error_at_once(redis_server, missing):
    with running() as server:
        rights = f"on >word resetchannels ~okx-funding:* &okx-funding:to:* -@all {LEAST} {missing}"
        server.say("ACL", "SETUSER", "bot", *rights.split())
        async with sharing(server, 2, url=f"redis://bot:word@127.0.0.1:{server.port}/0") as (
            exchange,
            *both,
        ):
            calls = [asyncio.create_task(ask(client, exchange, 9)) for client in both * 9]
            outcomes = await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), 5)
            told = {str(each) for each in outcomes if isinstance(each, BucketsUnreachableError)}
            assert told
            assert all("may not do that" in each for each in told)


async def test_a_bucket_that_cannot_be_read_is_an_error_that_names_its_key(
    redis_server: RedisServer, told
):
    """And nobody else's: other users go on, over the same connection."""
    users = [someone(), someone()]
    async with sharing(redis_server, 1, users=users) as (exchange, one):
        two = quick(users[1], one._calls._given, exchange)
        key = key_of(exchange)
        connections = redis_server.say("INFO", "stats").split("total_connections_received:")[1]
        redis_server.say("SET", key, "mine")
        error = await failure_of(ask(one, exchange), BucketsUnreachableError)
        assert f"the shared limit {key} can't be used: something else is kept" in str(error)
        await ask(two, exchange, 6)
        await failure_of(ask(one, exchange), BucketsUnreachableError)
        await ask(two, exchange, 6)
        assert len(exchange.log) == 12
        now_made = redis_server.say("INFO", "stats").split("total_connections_received:")[1]
        assert int(now_made.split()[0]) - int(connections.split()[0]) == 3, "one of the client's"
        assert told() == []


@pytest.mark.parametrize(
    ("harm", "mend", "word"),
    [
        ("REPLICAOF 127.0.0.1 1", "REPLICAOF NO ONE", "replica"),
        ("CONFIG SET maxmemory 1", "CONFIG SET maxmemory 0", "memory"),
    ],
)
async def test_a_server_that_cannot_write_is_waited_for(
    redis_server_to_harm: RedisServer, harm, mend, word, told
):
    async with sharing(redis_server_to_harm, 1) as (exchange, client):
        await ask(client, exchange)
        redis_server_to_harm.say(*harm.split())
        error = await failure_of(ask(client, exchange, timeout=0.6), BucketsUnreachableError)
        assert word in str(error)
        waiting = asyncio.create_task(ask(client, exchange))
        await asyncio.sleep(0.1)
        redis_server_to_harm.say(*mend.split())
        await waiting
        assert not exchange.refused
        assert len(told()) <= 2


def test_errors_of_old_servers_are_understood():
    from redis import exceptions

    wrapped = exceptions.ResponseError(
        "Error running script (call to f_1): @user_script:12: -OOM command not allowed when used "
        "memory > 'maxmemory'."
    )
    assert diagnosis(wrapped) == ("its memory is full", False)
    assert diagnosis(exceptions.ResponseError("what")) == ("it refused a script", True)
    assert diagnosis(exceptions.ResponseError("MOVED 1234 10.0.0.1:6379"))[1]
    assert diagnosis(ZeroDivisionError()) == ("ZeroDivisionError", False)
