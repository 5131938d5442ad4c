"""The state of all buckets, as an operator sees it."""

from __future__ import annotations

import asyncio
import json

import pytest

from okx_funding import BucketsUnreachableError, InvalidArgumentError, RateLimit
from okx_funding.cli import main
from okx_funding.ratelimit.redis import LiveBucket, inspect_buckets, tag_of
from okx_funding.ratelimit.registry import BucketKey
from tests.redis.clients import ask, sharing, waiters
from tests.redis.processes import until
from tests.redis.servers import RedisServer, free_port, running
from tests.support import ASSETS

SECOND = 1_000_000
FIELDS = {
    "slot:0": "10000000",
    "slot:1": "30000000 dead-1 7 1000000",
    "slot:2": "12500000",
    "slot:3": "9000000 dead-1 6 1000000",
    "called:a": "11000000",
    "count": "4",
    "period": "1002000",
    "pace": "0",
    "frozen": "0",
    "paced": "99000000",
    "sent": "41",
    "refused": "1",
    "server": "d89a3f",
}
CLAIMS = ["4 1 0 1 60000000 9", "4 1 1.25 1 9999999 9"]


def live(now=10, name="1:{h:u:r}", **more):
    return LiveBucket.of(name, {**FIELDS, **more}, ["a", "b"], CLAIMS, now * SECOND)


def test_what_a_hash_says():
    assert live() == LiveBucket(
        host="h",
        demo=False,
        user="u",
        endpoint="r",
        count=4,
        period=1.0,
        slots_free=2,
        next_slot_in=0.0,
        in_flight=1,
        waiting=2,
        processes=1,
        requests_sent=41,
        requests_refused=1,
        holders=("dead-1",),
        waiters=("a", "b"),
    )


def test_frozen_and_paced_buckets_have_no_slot():
    assert (live(frozen="11000000").slots_free, live(frozen="11000000").next_slot_in) == (0, 1.0)
    paced = live(pace="1.25", paced="10500000")
    assert (paced.slots_free, paced.next_slot_in) == (0, 0.5)


def test_a_clock_that_was_set_back_is_reckoned_with():
    assert live(now=5, offset="5000000") == live()


@pytest.mark.parametrize(
    "origin", ["https://www.okx.com", "http://127.0.0.1:8080", "http://[::1]:80"]
)
@pytest.mark.parametrize("demo", [True, False])
@pytest.mark.parametrize(
    "user", ["446556675426", "abcd...yz#0123456789ab", "a:b", "}{", "this/that"]
)
def test_a_name_says_whose_bucket_it_is(origin, demo, user):
    key = BucketKey(origin, demo, user, ASSETS)
    it = live(name="1:" + tag_of(key))
    assert (it.host, it.demo, it.user, it.endpoint) == (origin.split("//")[1], demo, user, ASSETS)


def test_what_is_no_bucket_is_left_out():
    assert LiveBucket.of("1:{h:u:r}", {"refused": "1"}, [], [], 0) is None
    assert live(name="to:me") is None


@pytest.mark.parametrize("missing", ["frozen", "period", "sent", "pace", "slot:0"])
def test_a_bucket_that_lacks_something_is_named(missing):
    fields = {name: text for name, text in FIELDS.items() if name != missing}
    if missing == "slot:0":
        fields = {name: text for name, text in fields.items() if "slot" not in name}
    bucket = LiveBucket.of("1:{h:u:r}", fields, [], [], 0)
    assert (bucket.user, bucket.problem) == ("u", "something else is kept under its name")  # type: ignore[union-attr]


async def test_odd_keys_hide_no_others(redis_server: RedisServer):
    fields = [word for pair in FIELDS.items() for word in pair]
    redis_server.say("HSET", "okx-funding:1:{h:good:r}", *fields)
    redis_server.say("SET", "okx-funding:1:{h:string:r}", "mine")
    redis_server.say("HSET", "okx-funding:2:{h:newer:r}", *fields)
    redis_server.say("HSET", "okx-funding:1:{h:garbled:r}", *fields, "slot:2", "soon")
    redis_server.say("HSET", "okx-funding:unlike:any", *fields)
    found = {it.user: it.problem for it in await inspect_buckets(redis_server.url)}
    assert found == {
        "good": None,
        "string": "something else is kept under the bucket's name",
        "newer": "format 2 isn't known to this version",
        "garbled": "something else is kept under its name",
    }


async def test_who_holds_and_who_waits_is_named(redis_server: RedisServer):
    async with sharing(redis_server, 2, RateLimit(1, 0.5), latency=0.2) as (exchange, one, two):
        calls = [asyncio.create_task(ask(client, exchange)) for client in (one, two)]
        await until(lambda: bool(waiters(redis_server, exchange)), 0.01)
        (bucket,) = await inspect_buckets(redis_server.url)
        processes = [client._calls._given._store.process for client in (one, two)]
        assert [*bucket.holders, *bucket.waiters] in (processes, processes[::-1])
        await asyncio.gather(*calls)


async def test_all_users_are_shown(redis_server: RedisServer):
    redis_server.say("SET", "something:else", "1")
    async with sharing(redis_server, 1) as (exchange, one), sharing(redis_server, 2) as (_, *two):
        await asyncio.gather(ask(one, exchange), *(ask(client, _) for client in two))
        found = await inspect_buckets(redis_server.url)
        assert [(it.requests_sent, it.processes) for it in found] == [(1, 1), (2, 2)] or [
            (it.requests_sent, it.processes) for it in found
        ] == [(2, 2), (1, 1)]


async def test_many_buckets_are_all_found(redis_server: RedisServer):
    for number in range(600):
        fields = [word for pair in FIELDS.items() for word in pair]
        redis_server.say("HSET", f"okx-funding:1:{{h:{number:03d}:r}}", *fields)
    assert len(await inspect_buckets(redis_server.url)) == 600


async def test_a_server_that_cannot_be_asked_is_named():
    port = free_port()
    with pytest.raises(BucketsUnreachableError, match=f"127.0.0.1:{port}.*no connection"):
        await inspect_buckets(f"redis://:hunter2@127.0.0.1:{port}")
    with pytest.raises(InvalidArgumentError):
        await inspect_buckets("nonsense")


# -- the command ------------------------------------------------------------------------------


def test_the_command_shows_a_table(redis_server: RedisServer, capsys):
    fields = [word for pair in FIELDS.items() for word in pair]
    redis_server.say("HSET", "okx-funding:1:{www.okx.com/demo:123:get_asset_valuation}", *fields)
    assert main(["limits", "--buckets", redis_server.url]) == 0
    heading, _, row, *_ = capsys.readouterr().out.strip().splitlines()
    assert heading.split()[:4] == ["Host", "User", "Method", "Limit"]
    assert row.strip().startswith("www.okx.com (demo)")
    assert "4 per 1 s" in row
    assert row.split()[-2:] == ["41", "1"]


def test_the_command_takes_the_url_from_the_environment(
    redis_server: RedisServer, capsys, monkeypatch
):
    """So that no password stands among the arguments, which every user of a machine can read."""
    fields = [word for pair in FIELDS.items() for word in pair]
    redis_server.say("HSET", "okx-funding:1:{h:u:r}", *fields)
    redis_server.say("SET", "okx-funding:1:{h:odd:r}", "mine")
    redis_server.say("ZADD", "okx-funding:1:{h:u:r}:queue", "1", "next-7")
    monkeypatch.setenv("OKX_BUCKETS", redis_server.url)
    assert main(["limits", "--buckets"]) == 0
    told = capsys.readouterr().out
    assert "odd r: something else is kept under the bucket's name" in told
    assert "u r: next: next-7" in told
    monkeypatch.delenv("OKX_BUCKETS")
    assert main(["limits", "--buckets"]) == 2


def test_the_command_prints_json(redis_server: RedisServer, capsys):
    fields = [word for pair in FIELDS.items() for word in pair]
    redis_server.say("HSET", "okx-funding:1:{h:u:r}", *fields)
    assert main(["limits", "--json", "--buckets", redis_server.url]) == 0
    (told,) = json.loads(capsys.readouterr().out)
    assert told["requestsSent"] == 41
    assert set(told) >= {"slotsFree", "nextSlotIn", "waiting", "requestsRefused", "user"}


def test_the_command_says_when_there_is_nothing(redis_server: RedisServer, capsys):
    assert main(["limits", "--buckets", redis_server.url]) == 0
    assert "No process has asked" in capsys.readouterr().out
    assert main(["limits", "--json", "--buckets", redis_server.url]) == 0
    assert json.loads(capsys.readouterr().out) == []


def test_the_command_fails_without_showing_a_password(redis_server: RedisServer, capsys):
    with running("--requirepass", "other") as server:
        url = f"redis://:hunter2@127.0.0.1:{server.port}"
        assert main(["limits", "--buckets", url]) == 4
        assert main(["limits", "--buckets", "redis://:hunter2@host:port"]) == 2
    told = capsys.readouterr().err
    assert "user or password is missing or wrong" in told
    assert "hunter2" not in told
