"""What one call may expect: signing, retries, deadlines, cancelling, priorities, a full queue."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import itertools
import json
import random
import time
from datetime import UTC, datetime
from decimal import Decimal
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from okx_funding import (
    APIError,
    AuthenticationError,
    ClockSkewError,
    Credentials,
    DeadlineExceededError,
    FundingClient,
    InvalidParameterError,
    OKXError,
    Policy,
    QueueFullError,
    RateLimit,
    RateLimitError,
    ServiceUnavailableError,
)
from okx_funding.simulator import Fault, SimulatedExchange
from tests.support import (
    ASSETS,
    VALUATION,
    Scripted,
    answers,
    at_exchange,
    at_script,
    envelope,
    failure_of,
    hangs,
    now,
    row,
    someone,
    virtually,
)

pytestmark = pytest.mark.looptime


@pytest.fixture
def wall(monkeypatch):
    """The wall clock goes with the loop's, so that a timestamp tells when it was made."""
    epoch = 1_700_000_000.0
    monkeypatch.setattr(time, "time", lambda: epoch + asyncio.get_running_loop().time())
    return epoch


@pytest.fixture
def dice(monkeypatch):
    """Every throw of dice shows a half."""
    monkeypatch.setattr(random, "random", lambda: 0.5)


# -- what is signed is what is sent -----------------------------------------------------------


def signature_of(credentials, heard):
    """By OKX's page, over the bytes that arrived."""
    _, secret_key, _ = credentials.reveal()
    method, target, _ = heard.raw.split(b"\r\n")[0].split(b" ")
    prehash = heard.headers["ok-access-timestamp"].encode() + method + target
    return base64.b64encode(hmac.new(secret_key.encode(), prehash, hashlib.sha256).digest())


names = st.text(
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-", min_size=1, max_size=32
)
printable = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=60)


@settings(max_examples=30)
@given(
    ccy=st.lists(names, min_size=1, max_size=20), key=printable, secret=printable, word=printable
)
def test_what_is_signed_is_what_is_sent(ccy, key, secret, word):
    async def scene():
        credentials = Credentials(key, secret, word)
        async with (
            Scripted(answers(envelope())) as server,
            FundingClient(credentials, base_url=server.base_url) as client,
        ):
            await client.get_non_tradable_assets(ccy)
        return credentials, server.heard

    credentials, heard = virtually(scene())
    assert len(heard) == 1
    headers = heard[0].headers
    assert headers["ok-access-sign"].encode() == signature_of(credentials, heard[0])
    assert (headers["ok-access-key"], headers["ok-access-passphrase"]) == (key, word)
    once = list({name.upper(): name for name in reversed(ccy)}.values())[::-1]
    sent = parse_qs(urlsplit(heard[0].target).query)["ccy"][0].split(",")
    assert sorted(map(str.upper, sent)) == sorted(map(str.upper, once))
    assert set(sent) <= set(ccy)


async def test_a_comma_stays_a_comma_on_the_wire():
    async with at_script(answers(envelope())) as (server, client):
        await client.get_non_tradable_assets(["A.B", "c_D", "e-F"])
    assert server.heard[0].raw.startswith(
        b"GET /api/v5/asset/non-tradable-assets?ccy=A.B,c_D,e-F HTTP/1.1\r\n"
    )


async def test_the_timestamp_is_that_of_the_sending_with_milliseconds_and_z(wall):
    user = someone()
    limits = {VALUATION: RateLimit(1, 40.0)}
    answer = answers(envelope({"totalBal": "1", "ts": "1", "details": {}}))
    async with (
        Scripted(answer) as server,
        FundingClient(user, base_url=server.base_url, rate_limits=limits) as client,
    ):
        await asyncio.gather(client.get_asset_valuation("EUR"), client.get_asset_valuation("USD"))
    stamps = [heard.headers["ok-access-timestamp"] for heard in server.heard]
    made = [
        datetime.fromtimestamp(wall + heard.at, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
        for heard in server.heard
    ]
    assert stamps == made  # the second one waited for its slot longer than a timestamp lives
    assert server.heard[1].at - server.heard[0].at > 40


@pytest.mark.parametrize("demo", [True, False])
async def test_demo_trading_is_a_header(demo):
    async with at_script(answers(envelope()), demo=demo) as (server, client):
        await client.get_non_tradable_assets("CELT")
        assert ("demo" if demo else "live") in repr(client)
    assert server.heard[0].headers.get("x-simulated-trading") == ("1" if demo else None)


async def test_a_get_has_no_body_and_no_cookie():
    async with at_script(answers(envelope())) as (server, client):
        await client.get_non_tradable_assets("CELT")
    headers = server.heard[0].headers
    assert {"content-length", "transfer-encoding", "cookie", "authorization"}.isdisjoint(headers)


# -- retries ----------------------------------------------------------------------------------


async def test_a_retry_wins_a_new_slot(dice):
    async with at_exchange(rate_limits={ASSETS: RateLimit(1)}) as (exchange, client):
        exchange.fail_next(2, Fault.code("50001"))
        assert len(await client.get_non_tradable_assets("CELT")) == 1
        times = [arrival.at for arrival in exchange.log]
        assert [round(each) for each in times] == [0, 1, 2]
        assert all(later - earlier >= 1 for earlier, later in itertools.pairwise(times))


async def test_each_attempt_has_a_timestamp_and_a_signature_of_its_own(wall, dice):
    unavailable = answers(b'{"code":"50001","msg":"later","data":[]}', 503)
    async with at_script(unavailable, unavailable, answers(envelope())) as (server, client):
        credentials = client._calls.context.credentials
        await client.get_non_tradable_assets("CELT")
    assert len({heard.headers["ok-access-timestamp"] for heard in server.heard}) == 3
    for heard in server.heard:
        assert heard.headers["ok-access-sign"].encode() == signature_of(credentials, heard)


@pytest.mark.parametrize("retries", [0, 1, 2, 4])
async def test_max_retries_counts_the_further_attempts(retries):
    async with at_exchange(max_retries=retries) as (exchange, client):
        exchange.fail_next(99, Fault.code("50001"))
        with pytest.raises(ServiceUnavailableError) as caught:
            await client.get_non_tradable_assets("CELT")
        assert caught.value.sent
        assert len(exchange.log) == retries + 1


@pytest.mark.parametrize(
    "fault",
    [
        Fault.code("50001"),
        Fault.code("50004"),
        Fault.code("50013"),
        Fault.code("50026"),
        Fault.html(502),
        Fault.html(503),
        Fault.status(504),
        Fault.too_many(),
        Fault.too_many(retry_after=3),
        Fault.code("50011"),
        Fault.code("50011", status=200),
        Fault.code("50011", as_int=True),
        Fault.empty(),
        Fault.truncated(),
        Fault.garbage(),
        Fault.reset(),
        Fault.close(),
        Fault.close_after() & Fault.code("50001"),
        Fault.reset_mid_body(),
        Fault.close_mid_body(),
        Fault.close_without_length(),
        Fault.hang(11),
    ],
    ids=repr,
)
async def test_what_may_pass_is_tried_again(fault):
    async with at_exchange() as (exchange, client):
        exchange.fail_next(1, fault)
        assert [each.ccy for each in await client.get_non_tradable_assets("CELT")] == ["CELT"]
        assert len(exchange.log) == 2


@pytest.mark.parametrize(
    "fault",
    [
        Fault.code("50005"),
        Fault.code("50100"),
        Fault.code("50101"),
        Fault.code("50105"),
        Fault.code("50110"),
        Fault.code("50111"),
        Fault.code("50112"),
        Fault.code("50113"),
        Fault.code("50119"),
        Fault.code("50030"),
        Fault.code("50038"),
        Fault.code("99999"),
        Fault.html(403),
        Fault.html(404),
        Fault.redirect(),
        Fault.too_many(retry_after=3600),
    ],
    ids=repr,
)
async def test_what_cant_pass_is_told_at_once(fault):
    async with at_exchange() as (exchange, client):
        exchange.fail_next(99, fault)
        with pytest.raises(OKXError) as caught:
            await client.get_non_tradable_assets("CELT")
        assert caught.value.sent
        assert len(exchange.log) == 1
        assert now() < 1


async def test_a_decode_failure_is_tried_again_once_only():
    async with at_exchange(max_retries=5) as (exchange, client):
        exchange.fail_next(99, Fault.truncated())
        with pytest.raises(OKXError, match="decoded"):
            await client.get_non_tradable_assets("CELT")
        assert len(exchange.log) == 2


async def test_a_refusal_is_waited_out_and_the_caller_knows_nothing():
    async with at_exchange() as (exchange, client):
        exchange.spend(ASSETS, n=6)
        assert [each.ccy for each in await client.get_non_tradable_assets("CELT")] == ["CELT"]
        assert [arrival.refused for arrival in exchange.log] == [True, False]
        assert exchange.log[1].at >= 1.0


async def test_refusals_without_end_become_an_error():
    async with at_exchange() as (exchange, client):
        exchange.fail_next(99, Fault.code("50011"))
        with pytest.raises(RateLimitError, match="another program") as caught:
            await client.get_non_tradable_assets("CELT")
        assert (caught.value.code, caught.value.http_status) == ("50011", 429)
        assert len(exchange.log) == 10


async def test_a_bare_429_closes_the_gate_for_every_endpoint_of_the_host():
    async with at_exchange() as (exchange, client):
        exchange.fail_next(1, Fault.too_many(retry_after=5))
        call = asyncio.ensure_future(client.get_non_tradable_assets("CELT"))
        await asyncio.sleep(0.1)
        await client.get_asset_valuation()
        await call
        assert [arrival.at >= 5 for arrival in exchange.log] == [False, True, True]


async def test_a_wrong_clock_is_set_by_the_exchanges_own():
    async with at_exchange() as (exchange, client):
        exchange.clock_skew = 120
        assert len(await client.get_non_tradable_assets("CELT")) == 1
        assert [arrival.endpoint for arrival in exchange.log] == [ASSETS, "get_system_time", ASSETS]
        await client.get_asset_valuation()
        assert len(exchange.log) == 4


async def test_a_clock_that_stays_wrong_is_told_with_its_offset():
    async with at_exchange() as (exchange, client):
        exchange.clock_skew = 120
        exchange.fail_next(9, Fault.code("50102"), ASSETS)
        with pytest.raises(ClockSkewError, match="clock") as caught:
            await client.get_non_tradable_assets("CELT")
        assert caught.value.offset == pytest.approx(120, abs=1)


async def test_each_caller_of_a_failed_request_gets_an_error_of_its_own():
    async with at_exchange(max_retries=0) as (exchange, client):
        exchange.fail_next(1, Fault.code("50001"))
        errors = await asyncio.gather(
            *(client.get_non_tradable_assets("CELT") for _ in range(5)), return_exceptions=True
        )
    assert {type(error) for error in errors} == {ServiceUnavailableError}
    assert len({id(error) for error in errors}) == 5


async def test_the_wrong_key_is_named_by_what_to_do():
    stranger = someone()
    async with (
        SimulatedExchange(users=[someone()]) as exchange,
        FundingClient(stranger, base_url=exchange.base_url) as client,
    ):
        with pytest.raises(AuthenticationError, match="copied whole") as caught:
            await client.get_non_tradable_assets("CELT")
        assert caught.value.code == "50111"


async def test_more_rows_fewer_rows_and_foreign_rows_are_matched_by_name():
    body = envelope(row("NOISE"), row("MEME", bal="2"), row("CELT", bal="1"), row("meme", bal="3"))
    async with at_script(answers(body)) as (_, client):
        one, both, none = await asyncio.gather(
            client.get_non_tradable_assets("MEME"),
            client.get_non_tradable_assets(["CELT", "MEME"]),
            client.get_non_tradable_assets("OTHER"),
        )
    assert [each.bal for each in one] == [2, 3]
    assert [each.bal for each in both] == [1, 2, 3]
    assert none == []


# -- deadlines --------------------------------------------------------------------------------


async def test_a_deadline_is_a_timeout_error_and_comes_in_time():
    async with at_exchange(latency=3) as (_, client):
        with pytest.raises(DeadlineExceededError) as caught:
            await client.get_non_tradable_assets("CELT", timeout=1.5)
        assert isinstance(caught.value, TimeoutError)
        assert caught.value.sent
        assert 1.5 <= now() <= 1.55


async def test_a_deadline_harms_nobody_elses_call():
    async with at_exchange(latency=1) as (exchange, client):
        short, long, other = await asyncio.gather(
            client.get_non_tradable_assets("CELT", timeout=1),
            client.get_non_tradable_assets("CELT", timeout=3),
            client.get_non_tradable_assets("MEME"),
            return_exceptions=True,
        )
        assert isinstance(short, DeadlineExceededError)
        assert isinstance(long, list)
        assert isinstance(other, list)
        assert [each.ccy for each in [*long, *other]] == ["CELT", "MEME"]
        assert len(exchange.log) == 1


async def test_a_deadline_that_the_queue_alone_will_break_is_refused_at_once():
    async with at_exchange() as (exchange, client):
        await client.get_asset_valuation()
        began = now()
        with pytest.raises(DeadlineExceededError) as caught:
            await client.get_asset_valuation("EUR", timeout=0.5)
        assert now() == began
        assert not caught.value.sent
        assert caught.value.estimated_wait == pytest.approx(1.0, abs=0.05)
        assert len(exchange.log) == 1


async def test_a_deadline_that_passes_while_nothing_was_sent_says_so():
    async with at_exchange() as (exchange, client):
        await client.get_asset_valuation()
        second = asyncio.ensure_future(client.get_asset_valuation("EUR", timeout=2))
        await asyncio.sleep(0.1)
        exchange.fail_next(1, Fault.too_many(retry_after=30))
        other = asyncio.ensure_future(client.get_non_tradable_assets("CELT"))
        with pytest.raises(DeadlineExceededError, match="nothing was sent") as caught:
            await second
        assert not caught.value.sent
        assert len(exchange.log) == 2
        await other


async def test_the_time_for_retries_counts_too():
    async with at_exchange(rate_limits={ASSETS: RateLimit(1)}) as (exchange, client):
        exchange.fail_next(99, Fault.code("50001"))
        with pytest.raises((DeadlineExceededError, ServiceUnavailableError)):
            await client.get_non_tradable_assets("CELT", timeout=1.2)
        assert now() <= 1.25


@pytest.mark.parametrize("none", [0, -1, -0.0])
async def test_no_time_is_no_request(none):
    async with at_exchange() as (exchange, client):
        call = client.get_non_tradable_assets("CELT", timeout=none)
        assert (await failure_of(call, DeadlineExceededError)).estimated_wait == 0.0
        assert exchange.log == []


@pytest.mark.parametrize(
    "endless", [float("inf"), 1e300, 10**400, 1e10], ids=["inf", "1e300", "int", "1e10"]
)
async def test_an_endless_timeout_is_none(endless):
    async with at_exchange() as (_, client):
        assert len(await client.get_non_tradable_assets("CELT", timeout=endless)) == 1


# -- cancelling -------------------------------------------------------------------------------


async def test_what_a_cancelled_caller_alone_wanted_is_not_sent():
    async with at_exchange() as (exchange, client):
        await client.get_asset_valuation()
        gone = asyncio.ensure_future(client.get_asset_valuation("EUR"))
        stays = asyncio.ensure_future(client.get_asset_valuation("USD"))
        await asyncio.sleep(0.1)
        gone.cancel()
        await stays
        assert [arrival.keys for arrival in exchange.log] == [(), ("USD",)]
        assert gone.cancelled()


async def test_a_cancelled_caller_takes_nobody_along():
    async with at_exchange(latency=0.1) as (exchange, client):
        calls = [asyncio.ensure_future(client.get_non_tradable_assets("CELT")) for _ in range(5)]
        await asyncio.sleep(0.15)
        calls[0].cancel()
        calls[3].cancel()
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        assert [isinstance(each, asyncio.CancelledError) for each in outcomes] == [
            True, False, False, True, False,
        ]  # fmt: skip
        assert len(exchange.log) == 1


async def test_the_limit_counts_a_request_whose_callers_all_left():
    async with at_exchange(latency=0.1) as (exchange, client):
        call = asyncio.ensure_future(client.get_asset_valuation("EUR"))
        await asyncio.sleep(0.15)
        call.cancel()
        await client.get_asset_valuation("USD")
        first, second = (arrival.at for arrival in exchange.log)
        assert second - first >= 1.0
        assert exchange.refused == []


async def test_an_asyncio_timeout_cancels_only_its_own_call():
    async with at_exchange(latency=0.5) as (_, client):

        async def hasty():
            async with asyncio.timeout(0.2):
                await client.get_non_tradable_assets("CELT")

        patient = asyncio.ensure_future(client.get_non_tradable_assets("CELT"))
        hurried = await failure_of(hasty(), TimeoutError)
        assert type(hurried) is TimeoutError
        assert [each.ccy for each in await patient] == ["CELT"]


# -- priorities and a full queue --------------------------------------------------------------


async def test_the_higher_priority_is_served_first():
    async with at_exchange() as (exchange, client):
        await client.get_asset_valuation("BTC")
        await asyncio.gather(
            client.get_asset_valuation("EUR"),
            client.get_asset_valuation("USD", priority=-1),
            client.get_asset_valuation("JPY", priority=5),
            client.get_asset_valuation("AUD"),
        )
        assert [arrival.keys for arrival in exchange.log[1:]] == [
            ("JPY",), ("EUR",), ("AUD",), ("USD",),
        ]  # fmt: skip


async def test_equal_priorities_are_served_in_the_order_they_came():
    async with at_exchange() as (exchange, client):
        units = ["EUR", "USD", "JPY", "AUD"]
        await asyncio.gather(*map(client.get_asset_valuation, units))
        assert [arrival.keys for arrival in exchange.log] == [(unit,) for unit in units]


async def test_a_low_priority_does_not_starve():
    async with at_exchange() as (exchange, client):
        low = asyncio.ensure_future(client.get_asset_valuation("EUR", priority=-1))

        async def crowd():
            units = ["USD", "JPY", "AUD", "SGD"]
            while not low.done():
                await asyncio.gather(*map(client.get_asset_valuation, units))

        await client.get_asset_valuation("INR")
        await crowd()
        assert now() < 20
        await low
        assert exchange.refused == []


async def test_a_full_queue_refuses_newcomers_and_nobody_else():
    async with at_exchange(policy=Policy(max_queue=3)) as (exchange, client):
        waiting = [
            asyncio.ensure_future(client.get_asset_valuation(unit))
            for unit in ("EUR", "USD", "JPY")
        ]
        await asyncio.sleep(0)
        with pytest.raises(QueueFullError, match="max_queue=3") as caught:
            await client.get_asset_valuation("AUD")
        assert not caught.value.sent
        assert len(await asyncio.gather(*waiting)) == 3
        assert (await client.get_asset_valuation("AUD")).ccy == "AUD"
        assert len(exchange.log) == 4


async def test_one_endpoint_stuck_leaves_the_other_alone():
    async with at_exchange() as (exchange, client):
        exchange.fail_next(99, Fault.hang(), VALUATION)
        stuck = asyncio.ensure_future(failure_of(client.get_asset_valuation(), OKXError))
        await asyncio.sleep(0.1)
        began = now()
        await client.get_non_tradable_assets("CELT")
        assert now() == began
        await stuck


# -- statistics -------------------------------------------------------------------------------


async def test_statistics_count_calls_requests_and_refusals():
    async with at_exchange() as (exchange, client):
        exchange.fail_next(1, Fault.code("50011"))
        exchange.fail_next(1, Fault.code("50111"), VALUATION)
        await asyncio.gather(*(client.get_non_tradable_assets("CELT") for _ in range(7)))
        with pytest.raises(APIError):
            await client.get_asset_valuation()
        cancelled = asyncio.ensure_future(client.get_asset_valuation("EUR"))
        await asyncio.sleep(0)
        cancelled.cancel()
        await asyncio.sleep(0)
        told = client.statistics()
    assert (told.calls, told.answered, told.failed, told.cancelled) == (9, 7, 1, 1)
    assert (told.requests, told.refused, told.retries, told.waiting) == (3, 1, 1, 0)


async def test_statistics_show_each_bucket_as_it_is():
    async with at_exchange() as (exchange, client):
        await client.get_non_tradable_assets(exchange.currencies[:60])
        told = client.statistics()
        (bucket,) = told.buckets
        assert (bucket.endpoint, bucket.user) == (ASSETS, exchange.user_ids[0])
        assert (bucket.count, bucket.period, bucket.slots_free) == (6, 1.0, 3)
        assert (bucket.requests_sent, bucket.keys_sent, bucket.batch_fill) == (3, 60, 1.0)
        assert f"127.0.0.1:{exchange.base_url.rpartition(':')[2]}" in str(told)
        await client.aclose()
    assert client.statistics().calls == 1
    assert client.statistics().requests == 3


async def test_statistics_of_a_client_that_did_nothing_are_zeros():
    told = FundingClient(someone()).statistics()
    assert (told.calls, told.requests, told.buckets) == (0, 0, ())


async def test_a_snapshot_does_not_change():
    async with at_exchange() as (_, client):
        before = client.statistics()
        await client.get_non_tradable_assets("CELT")
        assert before.calls == 0
        with pytest.raises(AttributeError):
            before.calls = 5  # type: ignore[misc]


# -- odd and even -----------------------------------------------------------------------------


async def test_a_valuation_without_a_row_is_an_error():
    async with at_script(answers(envelope())) as (_, client):
        with pytest.raises(OKXError, match="row"):
            await client.get_asset_valuation()


async def test_a_refused_parameter_is_told_with_okxs_words():
    body = json.dumps({"code": "51000", "data": [], "msg": "Parameter ccy error"}).encode()
    async with at_script(answers(body, 400)) as (_, client):
        with pytest.raises(InvalidParameterError, match="Parameter ccy error") as caught:
            await client.get_asset_valuation()
    assert (caught.value.code, caught.value.http_status) == ("51000", 400)


async def test_amounts_are_decimals_and_floats_nowhere():
    async with at_exchange() as (_, client):
        rows = await client.get_non_tradable_assets()
    amounts = [
        getattr(each, name)
        for each in rows
        for name in ("bal", "fee", "min_wd", "burning_fee_rate")
    ]
    assert {type(each) for each in amounts} == {Decimal, type(None)}


async def test_a_server_that_never_answers_ends_with_the_calls_retries():
    async with at_script(hangs, request_timeout=2, max_retries=1) as (server, client):
        with pytest.raises(TimeoutError):
            await client.get_non_tradable_assets("CELT")
        assert len(server.heard) == 2
        assert now() < 6
