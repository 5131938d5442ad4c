"""What OKX itself may answer, row by row: ``pytest -k O5_`` finds that of row O5."""

from __future__ import annotations

import asyncio
import json
import logging
import math
import time
from typing import Any

import pytest

from okx_funding import (
    APIError,
    AuthenticationError,
    ClockSkewError,
    Credentials,
    FundingClient,
    InvalidParameterError,
    OKXError,
    PermissionDeniedError,
    RateLimitError,
    ServiceUnavailableError,
    Session,
)
from okx_funding.ratelimit.circuit_breaker import LONGEST, PAUSE, THRESHOLD
from okx_funding.scheduler.retry import delay
from okx_funding.simulator import Fault, SimulatedExchange
from tests.faults.server import TRANSFERRED, always, facing, transfer, works
from tests.support import ASSETS, at_exchange, envelope, failure_of, http, now, row, someone

pytestmark = pytest.mark.looptime


# -- O1, O2: the limit ------------------------------------------------------------------------


@pytest.mark.parametrize("code", ["50011", "50040", "50061", "58102"])
async def test_O1_a_refusal_is_waited_out_in_order_and_nobody_hears_of_it(code):
    async with at_exchange() as (exchange, client):
        exchange.fail_next(2, Fault.code(code), ASSETS)
        order = []

        async def call(ccy):
            await client.get_non_tradable_assets(ccy)
            order.append(ccy)

        currencies = exchange.currencies[:60]
        await asyncio.gather(*map(call, currencies))
        times = [arrival.at for arrival in exchange.requests(ASSETS)]
        assert times[3] - times[2] >= 1.0  # the whole bucket rests for a window
        statistics = client.statistics()
        assert statistics.refused == 2
        assert statistics.failed == 0
        assert statistics.buckets[0].shared_with_others
        assert order[-40:] == currencies[:40]  # those who were refused keep their order


async def test_O1_a_refusal_freezes_one_endpoint_of_one_user_and_no_other():
    users = [someone(), someone()]
    async with SimulatedExchange(users=users) as exchange, Session() as session:
        alice, bob = (
            FundingClient(user, session=session, base_url=exchange.base_url) for user in users
        )
        exchange.fail_next(1, Fault.code("50011"), ASSETS)
        call = asyncio.ensure_future(alice.get_non_tradable_assets("CELT"))
        await asyncio.sleep(0.01)
        await alice.get_asset_valuation()
        await bob.get_non_tradable_assets("CELT")
        assert now() < 0.1
        await call
        assert now() >= 1.0


async def test_O1_refusals_without_end_are_told_in_the_end():
    async with at_exchange() as (exchange, client):
        exchange.fail_next(99, Fault.code("50011"))
        error = await failure_of(client.get_non_tradable_assets("CELT"), RateLimitError)
        assert error.code == "50011"
        assert len(exchange.log) == 10


async def test_O2_a_sub_accounts_limit_is_its_own_users():
    # 50061 can't occur on funding reads; a sub-account has a User ID, hence a bucket, of its own.
    users = [someone("main"), someone("sub")]
    async with SimulatedExchange(users=users) as exchange, Session() as session:
        main, sub = (
            FundingClient(user, session=session, base_url=exchange.base_url) for user in users
        )
        exchange.fail_next(1, Fault.code("50061"), ASSETS)
        call = asyncio.ensure_future(sub.get_non_tradable_assets("CELT"))
        await asyncio.sleep(0.01)
        await main.get_non_tradable_assets("CELT")
        assert now() < 0.1
        await call
        assert now() >= 1.0


# -- O3, O4: trouble at OKX's -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "status"), [("50001", 503), ("50013", 429), ("50026", 500), ("50004", 400)]
)
async def test_O3_trouble_that_may_pass_is_tried_again(code, status):
    async with at_exchange(max_retries=2) as (exchange, client):
        exchange.fail_next(2, Fault.code(code))
        await works(client)
        exchange.fail_next(99, Fault.code(code))
        error = await failure_of(client.get_non_tradable_assets("CELT"), ServiceUnavailableError)
        assert (error.code, error.http_status, error.sent) == (code, status, True)
        assert len(exchange.log) == 6


async def test_O3_an_endpoint_that_was_taken_away_is_not_asked_again():
    async with at_exchange() as (exchange, client):
        exchange.fail_next(99, Fault.code("50005"))
        error = await failure_of(client.get_non_tradable_assets("CELT"), ServiceUnavailableError)
        assert error.http_status == 410
        assert len(exchange.log) == 1


async def test_O3_busy_systems_are_given_more_time_than_a_fault(unlucky):
    waits = {}
    for code in ("50001", "50013"):
        async with at_exchange() as (exchange, client):
            exchange.fail_next(2, Fault.code(code))
            began = now()
            await works(client)
            waits[code] = now() - began
    assert waits["50001"] == pytest.approx(0.1 + 0.2, abs=0.02)
    assert waits["50013"] == pytest.approx(1 + 2, abs=0.02)


def test_O3_back_off_is_any_time_up_to_twice_the_last():
    error = ServiceUnavailableError("50001", "", 503, "GET /")
    assert [delay(error, "fault", n, 1.0) for n in range(8)] == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5, 5]
    assert [delay(error, "throttle", n, 1.0) for n in range(6)] == [1, 2, 4, 8, 16, 20]
    assert delay(error, "fault", 3, 0.0) == 0.0


async def test_O4_after_okxs_own_timeout_nobody_knows_whether_money_moved():
    timed_out = http(b'{"code":"50004","msg":"API endpoint request timeout","data":[]}', 400)
    async with facing(always(timed_out)) as (server, client):
        error = await failure_of(transfer(client), OKXError)
        assert type(error).__name__ == "OutcomeUnknownError"
        assert "look it up" in str(error)
        assert len(server.heard) == 1


# -- O5: the clock ----------------------------------------------------------------------------


@pytest.mark.parametrize("skew", [-3600, -31, 31, 86_400])
async def test_O5_a_wrong_clock_is_set_by_okxs_and_stays_set(skew):
    async with at_exchange() as (exchange, client):
        exchange.clock_skew = skew
        await works(client)
        assert [arrival.endpoint for arrival in exchange.log] == [ASSETS, "get_system_time", ASSETS]
        await works(client)
        await client.get_asset_valuation()
        assert len(exchange.log) == 5


async def test_O5_many_who_find_the_clock_wrong_ask_for_the_time_once():
    users = [someone() for _ in range(20)]
    async with SimulatedExchange(users=users, latency=0.1) as exchange, Session() as session:
        exchange.clock_skew = 60
        clients = [
            FundingClient(user, session=session, base_url=exchange.base_url) for user in users
        ]
        await asyncio.gather(
            *map(works, clients), *(client.get_asset_valuation() for client in clients)
        )
        assert len(exchange.requests("get_system_time")) == 1
        assert len(exchange.log) == 1 + 2 * 2 * 20


async def test_O5_what_was_signed_before_the_clock_was_set_is_signed_anew():
    async with at_exchange(latency=0.5) as (exchange, client):
        exchange.clock_skew = 60
        slow = asyncio.ensure_future(works(client))
        await asyncio.sleep(0.1)
        exchange.latency = 0.02
        await client.get_asset_valuation()
        await slow
        assert len(exchange.requests("get_system_time")) == 1


async def test_O5_half_of_the_round_trip_is_added(monkeypatch):
    monkeypatch.setattr(time, "time", lambda: 1_700_000_000 + asyncio.get_running_loop().time())
    async with at_exchange(latency=2.0, clock=time.time) as (exchange, client):
        exchange.clock_skew = 100.0
        exchange.fail_next(9, Fault.code("50102"), ASSETS)
        error = await failure_of(client.get_non_tradable_assets("CELT"), ClockSkewError)
        assert error.offset == pytest.approx(100, abs=0.01)


async def test_O5_a_second_50102_is_told_with_the_offset_that_was_measured():
    async with at_exchange() as (exchange, client):
        exchange.clock_skew = -45
        exchange.fail_next(9, Fault.code("50102"), ASSETS)
        error = await failure_of(client.get_non_tradable_assets("CELT"), ClockSkewError)
        assert error.offset == pytest.approx(-45, abs=1)
        assert [arrival.endpoint for arrival in exchange.log] == [ASSETS, "get_system_time", ASSETS]


async def test_O5_when_okxs_time_cant_be_had_the_first_50102_is_told():
    async with at_exchange(max_retries=0) as (exchange, client):
        exchange.clock_skew = 45
        exchange.fail_next(9, Fault.code("50001"), "get_system_time")
        error = await failure_of(client.get_non_tradable_assets("CELT"), ClockSkewError)
        assert error.offset is None


async def test_O5_the_time_is_asked_for_a_few_times_since_many_depend_on_it():
    async with at_exchange() as (exchange, client):
        exchange.clock_skew = 45
        exchange.fail_next(4, Fault.html(403), "get_system_time")
        await works(client)
        assert len(exchange.requests("get_system_time")) == 5


@pytest.mark.parametrize("told", [b"[]", b'[{"ts":""}]', b'[{"ts":"x"}]', b"[{}]"])
async def test_O5_a_time_that_makes_no_sense_is_none(told):
    expired = http(b'{"code":"50102","msg":"Timestamp request expired"}', 401)

    async def script(peer):
        while True:
            heard = await peer.hear()
            time_ = http(b'{"code":"0","msg":"","data":%b}' % told)
            peer.say(time_ if heard.target.endswith("time") else expired)

    async with facing(script) as (_, client):
        error = await failure_of(client.get_asset_valuation(), ClockSkewError)
        assert error.offset is None
        assert "check this machine's clock" in str(error)


async def test_O5_what_must_not_be_sent_twice_was_refused_at_the_door_and_is():
    expired = http(b'{"code":"50102","msg":"Timestamp request expired"}', 401)
    told = http(b'{"code":"0","msg":"","data":[{"ts":"1600000000000"}]}')

    async def script(peer):
        for answer in (expired, told, TRANSFERRED):
            await peer.hear()
            peer.say(answer)

    async with facing(script) as (server, client):
        assert [each.ts for each in await transfer(client)] == [1]
        assert [heard.target.rpartition("/")[2] for heard in server.heard] == [
            "transfer",
            "time",
            "transfer",
        ]


# -- O6: the key ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "kind", "advice"),
    [
        ("50112", AuthenticationError, "timestamp"),
        ("50113", AuthenticationError, "secret key"),
        ("50105", AuthenticationError, "passphrase"),
        ("50111", AuthenticationError, "copied whole"),
        ("50101", AuthenticationError, "demo=True"),
        ("50119", AuthenticationError, "base_url"),
        ("50110", PermissionDeniedError, "IP address"),
        ("50030", PermissionDeniedError, "permission"),
    ],
)
async def test_O6_a_refused_key_is_told_at_once_with_what_to_do(code, kind, advice):
    async with at_exchange() as (exchange, client):
        exchange.fail_next(99, Fault.code(code))
        error = await failure_of(client.get_non_tradable_assets("CELT"), OKXError)
        assert type(error) is kind
        assert advice in str(error)
        assert "\n" not in str(error)
        assert len(exchange.log) == 1


async def fail_in_a_row(client, times):
    return [
        await failure_of(client.get_non_tradable_assets("CELT"), APIError) for _ in range(times)
    ]


@pytest.mark.parametrize("code", ["50111", "50113", "50110"])
async def test_O6_five_refusals_in_a_row_stop_everything_that_the_key_would_send(code, caplog):
    caplog.set_level(logging.WARNING, "okx_funding")
    async with at_exchange() as (exchange, client):
        exchange.fail_next(99, Fault.code(code))
        errors = await fail_in_a_row(client, 20)
        errors.append(await failure_of(client.get_asset_valuation(), APIError))
        assert len(exchange.log) == THRESHOLD
        assert [error.sent for error in errors] == [True] * 5 + [False] * 16
        for error in errors[5:]:
            assert error.code == code
            assert "nothing was sent: 5 failures in a row" in str(error)
            assert "asked again in 30 s" in str(error)
        assert len({id(error) for error in errors}) == 21
    (record,) = caplog.records
    assert "rests for 30 s" in record.getMessage()


@pytest.mark.parametrize("code", ["50030", "50035", "50120", "50121"])
async def test_O6_a_missing_permission_stops_the_endpoint_that_wants_it_only(code, caplog):
    caplog.set_level(logging.WARNING, "okx_funding")
    async with at_exchange() as (exchange, client):
        exchange.fail_next(99, Fault.code(code), ASSETS)
        errors = await fail_in_a_row(client, 20)
        assert [error.sent for error in errors] == [True] * 5 + [False] * 15
        assert "get_non_tradable_assets" in str(errors[-1])
        for _ in range(10):
            await client.get_asset_valuation()
    assert len(caplog.records) == 1


async def test_O6_whoever_waits_already_is_told_as_well_at_every_endpoint():
    async with at_exchange() as (exchange, client):
        await client.get_asset_valuation("EUR")
        valuations = [asyncio.ensure_future(client.get_asset_valuation(u)) for u in ("USD", "JPY")]
        exchange.fail_next(99, Fault.code("50111"))
        calls = [
            asyncio.ensure_future(client.get_non_tradable_assets(ccy))
            for ccy in exchange.currencies[:400]
        ]
        outcomes: list[Any] = await asyncio.gather(*calls, *valuations, return_exceptions=True)
        assert now() < 0.5
        assert {type(each) for each in outcomes} == {AuthenticationError}
        assert len(exchange.log) == 1 + 6  # a window's worth was on the wire at once
        assert client.statistics().waiting == 0


async def test_O6_after_the_pause_one_request_tries_and_the_others_are_told():
    async with at_exchange() as (exchange, client):
        exchange.fail_next(6, Fault.code("50111"))
        await fail_in_a_row(client, 5)
        await asyncio.sleep(PAUSE - 0.1)
        await fail_in_a_row(client, 1)
        assert len(exchange.log) == 5
        await asyncio.sleep(0.2)
        calls = [client.get_non_tradable_assets(ccy) for ccy in exchange.currencies[:200]]
        outcomes: list[Any] = await asyncio.gather(*calls, return_exceptions=True)
        assert [type(each) for each in outcomes] == [AuthenticationError] * 200
        assert sum(each.sent for each in outcomes) == 20
        assert len(exchange.log) == 6
        await asyncio.sleep(2 * PAUSE - 1)
        assert "again in 1 s" in str((await fail_in_a_row(client, 1))[0])
        await asyncio.sleep(1.1)
        await asyncio.gather(*(client.get_non_tradable_assets(c) for c in exchange.currencies[:20]))
        await works(client)


async def test_O6_the_pause_doubles_up_to_a_bound_and_starts_anew_after_a_success():
    async with at_exchange() as (exchange, client):
        exchange.fail_next(5 + 6, Fault.code("50111"))
        await fail_in_a_row(client, 5)
        pauses = []
        for _ in range(7):
            began = now()
            while not (await outcome_of(client))[0]:  # noqa: ASYNC110
                await asyncio.sleep(1)
            pauses.append(now() - began)
        assert pauses == pytest.approx([30, 60, 120, 240, 480, LONGEST, LONGEST], abs=1.5)
        exchange.fail_next(99, Fault.code("50111"))
        assert all(error.sent for error in await fail_in_a_row(client, 5))
        assert "in 30 s" in str((await fail_in_a_row(client, 1))[0])


async def outcome_of(client):
    """Whether one call was sent, and its error."""
    try:
        await client.get_non_tradable_assets("CELT")
    except APIError as error:
        return error.sent, error
    return True, None


@pytest.mark.parametrize("between", ["success", "bad parameter"])
async def test_O6_only_failures_in_a_row_count(between):
    async with at_exchange() as (exchange, client):
        for _ in range(4):
            exchange.fail_next(4, Fault.code("50113"))
            await fail_in_a_row(client, 4)
            if between == "success":
                await works(client)
            else:
                exchange.bad_currencies.add("NOPE")
                await failure_of(client.get_non_tradable_assets("NOPE"), InvalidParameterError)
        assert len(exchange.log) == 4 * 5


async def test_O6_what_says_nothing_of_the_key_neither_opens_nor_closes():
    async with at_exchange(max_retries=0) as (exchange, client):
        exchange.fail_next(4, Fault.code("50113"))
        await fail_in_a_row(client, 4)
        exchange.fail_next(3, Fault.code("50001"))
        await fail_in_a_row(client, 3)
        exchange.fail_next(1, Fault.code("50113"))
        await fail_in_a_row(client, 2)
        assert len(exchange.log) == 8
        await asyncio.sleep(PAUSE)
        exchange.fail_next(1, Fault.reset())
        await failure_of(client.get_non_tradable_assets("CELT"), OKXError)
        await works(client)  # the try told nothing, so the next one tries
        assert len(exchange.log) == 10


async def test_O6_new_credentials_are_asked_at_once_and_another_users_always():
    user, other = someone(), someone()
    key, secret, word = user.reveal()
    wrong = Credentials(key, secret + "x", word, user_id=user.user_id)
    async with SimulatedExchange(users=[user, other]) as exchange, Session() as session:
        here: dict[str, Any] = {"session": session, "base_url": exchange.base_url}
        await fail_in_a_row(client := FundingClient(wrong, **here), 9)
        assert len(exchange.log) == 5
        await works(FundingClient(user, **here))
        await works(FundingClient(other, **here))
        assert not (await outcome_of(client))[0]


# -- O7 to O11: rows and refusals -------------------------------------------------------------


@pytest.mark.parametrize("code", ["1", "2", 1])
@pytest.mark.parametrize(
    ("inner", "kind"),
    [
        ("50026", ServiceUnavailableError),
        ("51000", InvalidParameterError),
        ("50030", PermissionDeniedError),
    ],
)
async def test_O7_of_a_bulk_answer_the_inner_code_decides(code, inner, kind):
    items = [{"sCode": "0", "sMsg": ""}, {"sCode": inner, "sMsg": "inner words"}]
    body = json.dumps({"code": code, "msg": "", "data": items}).encode()
    async with facing(always(http(body)), max_retries=0) as (_, client):
        error = await failure_of(client.get_asset_valuation(), APIError)
        assert type(error) is kind
        assert (error.code, error.msg) == (inner, "inner words")


@pytest.mark.parametrize("data", [[], [{}], [{"sCode": "0"}], None, "x", [1]])
async def test_O7_a_bulk_answer_without_inner_codes_keeps_its_own(data):
    body = json.dumps({"code": "1", "msg": "All operations failed", "data": data}).encode()
    async with facing(always(http(body)), max_retries=0) as (_, client):
        error = await failure_of(client.get_asset_valuation(), APIError)
        assert (type(error), error.code) == (APIError, "1")


@pytest.mark.parametrize("status", [200, 400, 401, 403, 429, 500, 503])
async def test_O8_the_body_decides_before_the_status(status):
    body = b'{"code":"51000","msg":"Parameter ccy error","data":[]}'
    async with facing(always(http(body, status))) as (server, client):
        error = await failure_of(client.get_asset_valuation(), InvalidParameterError)
        assert (error.code, error.http_status) == ("51000", status)
        assert len(server.heard) == 1


async def test_O9_rows_are_matched_by_currency_never_by_place():
    body = envelope(row("MEME", bal="2"), row("OTHER"), row("celt", bal="1"))
    async with facing(always(http(body))) as (_, client):
        celt, none, meme = await asyncio.gather(
            *(client.get_non_tradable_assets(ccy) for ccy in ("CELT", "GONE", "MEME"))
        )
        assert [str(each.bal) for each in celt] == ["1"]
        assert [str(each.bal) for each in meme] == ["2"]
        assert none == []


@pytest.mark.parametrize("place", [0, 7, 19])
async def test_O10_one_bad_currency_of_twenty_fails_its_own_caller_only(place):
    async with at_exchange() as (exchange, client):
        wanted = exchange.currencies[:20]
        exchange.bad_currencies.add(wanted[place])
        outcomes: list[Any] = await asyncio.gather(
            *(client.get_non_tradable_assets(ccy) for ccy in wanted), return_exceptions=True
        )
        for ccy, outcome in zip(wanted, outcomes, strict=True):
            if ccy == wanted[place]:
                assert isinstance(outcome, InvalidParameterError)
                assert outcome.currencies == (ccy,)
            else:
                assert {each.ccy for each in outcome} == {ccy}
        assert len(exchange.log) <= 1 + math.ceil(2 * math.log2(20))
        assert exchange.busiest_window(ASSETS) <= 6
        before = len(exchange.log)
        again = await asyncio.gather(
            *(client.get_non_tradable_assets(ccy) for ccy in wanted), return_exceptions=True
        )
        assert [type(each) for each in again] == [type(each) for each in outcomes]
        assert len(exchange.log) == before + 2  # it is remembered, and asked alone


async def test_O11_a_currency_that_is_left_out_has_no_rows():
    async with facing(always(http(envelope(row("MEME"))))) as (_, client):
        assert await client.get_non_tradable_assets("CELT") == []
        assert len(await client.get_non_tradable_assets(["CELT", "MEME"])) == 1


async def test_O11_an_empty_answer_to_everything_is_empty():
    async with facing(always(http(envelope()))) as (_, client):
        assert await client.get_non_tradable_assets() == []
