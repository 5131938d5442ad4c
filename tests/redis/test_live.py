"""The state of all buckets, as an operator sees it."""

from __future__ import annotations

import asyncio
import json

import pytest

from okx_funding import BucketsUnreachableError, InvalidArgumentError
from okx_funding.cli import main
from okx_funding.ratelimit.redis import LiveBucket, inspect_buckets, name_of
from okx_funding.ratelimit.registry import BucketKey
from tests.redis.clients import ask, sharing
from tests.redis.servers import RedisServer, free_port, running
from tests.support import ASSETS

SECOND = 1_000_000
FIELDS = {
    "slot:0": "10000000",
    "slot:1": "30000000 dead-1 7",
    "slot:2": "12500000",
    "slot:3": "9000000 dead-1 6",
    "queue:a": "9000000 12500000 12000000",
    "queue:dead": "1000000 2000000 3000000",
    "claim:a": "4 1002000 0 60000000 9",
    "claim:b": "4 1002000 1.25 9999999 9",
    "count": "4",
    "period": "1002000",
    "pace": "0",
    "frozen": "0",
    "paced": "99000000",
    "sent": "41",
    "refused": "1",
}


def live(now=10, name="okx-funding:{h:u:r}", **more):
    return LiveBucket.of(name, {**FIELDS, **more}, now * SECOND)


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
        waiting=1,
        processes=1,
        requests_sent=41,
        requests_refused=1,
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
    it = live(name=name_of(key))
    assert (it.host, it.demo, it.user, it.endpoint) == (origin.split("//")[1], demo, user, ASSETS)


def test_what_is_no_bucket_is_left_out():
    assert LiveBucket.of("okx-funding:{h:u:r}", {"refused": "1"}, 0) is None
    assert live(name="okx-funding:to:me") is None


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
        redis_server.say("HSET", f"okx-funding:{{h:{number:03d}:r}}", *fields)
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
    redis_server.say("HSET", "okx-funding:{www.okx.com/demo:123:get_asset_valuation}", *fields)
    assert main(["limits", "--buckets", redis_server.url]) == 0
    heading, _, row, *_ = capsys.readouterr().out.strip().splitlines()
    assert heading.split()[:4] == ["Host", "User", "Method", "Limit"]
    assert row.strip().startswith("www.okx.com (demo)")
    assert "4 per 1 s" in row
    assert row.split()[-2:] == ["41", "1"]


def test_the_command_prints_json(redis_server: RedisServer, capsys):
    fields = [word for pair in FIELDS.items() for word in pair]
    redis_server.say("HSET", "okx-funding:{h:u:r}", *fields)
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
