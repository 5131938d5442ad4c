"""The money rules, as far as they can be proved before anything here moves money.

``TRANSFER`` stands in for what will: a row of the table that says a retry isn't safe.
"""

from __future__ import annotations

import asyncio
import copy
import pickle

import pytest

from okx_funding import (
    APIError,
    ConnectError,
    DecodeError,
    FundingClient,
    HTTPStatusError,
    InvalidParameterError,
    OKXError,
    OutcomeUnknownError,
    RateLimitError,
    ServiceUnavailableError,
    TransportError,
)
from okx_funding.api.table import ENDPOINTS
from okx_funding.errors import ProtocolError, RequestTimeoutError
from okx_funding.scheduler.retry import may_have_worked, may_pass
from tests.faults.server import (
    TRANSFER,
    TRANSFERRED,
    always,
    closes,
    facing,
    mute,
    nothing_is_held,
    once,
    resets,
    transfer,
)
from tests.support import failure_of, http, now, someone

pytestmark = pytest.mark.looptime


def says(code, status=200):
    return always(http(b'{"code":"%s","msg":"words","data":[]}' % code.encode(), status))


async def halfway(peer):
    await peer.hear()
    peer.say(TRANSFERRED[:-10])


UNKNOWN = {
    "closed": closes,
    "reset": resets,
    "no answer": mute,
    "half an answer": halfway,
    "half an answer without a length": once(http(b'{"code":"0","da', length=None)),
    "no JSON": always(http(b"OK")),
    "no HTTP": once(b"OK\r\n\r\n"),
    "too large": always(http(b" " * 9_000_000)),
    "204": always(http(b"", 204)),
    "408": always(http(b"", 408)),
    "a bare 429": always(http(b"", 429)),
    "a bare 429, for long": always(http(b"", 429, ["Retry-After: 9999"])),
    "502": always(http(b"<html>", 502)),
    "504": always(http(b"<html>", 504)),
    "50001": says("50001", 503),
    "50004": says("50004", 400),
    "50013": says("50013", 429),
    "50026": says("50026", 500),
    "58124": says("58124"),
    "an unknown code with 500": says("99999", 500),
}


@pytest.mark.parametrize("script", UNKNOWN.values(), ids=UNKNOWN)
async def test_M1_after_the_first_byte_nothing_is_repeated_and_the_outcome_is_unknown(script):
    async with facing(script, request_timeout=2, max_retries=9) as (server, client):
        error = await failure_of(transfer(client), OKXError)
        assert type(error) is OutcomeUnknownError
        assert isinstance(error, TransportError)
        assert error.sent
        assert "look it up before asking again" in str(error)
        await asyncio.sleep(30)
        assert len(server.heard) == 1
        await nothing_is_held(client)
        assert repr(pickle.loads(pickle.dumps(error))) == repr(copy.copy(error)) == repr(error)


@pytest.mark.parametrize("end", ["deadline", "close"])
async def test_M1_whoever_stops_waiting_is_told_that_the_outcome_is_unknown(end):
    async with facing(mute) as (server, client):
        call = client._calls.ask(TRANSFER, {}, timeout=1.0 if end == "deadline" else None)
        await asyncio.sleep(0.1)
        if end == "close":
            await client.aclose()
        await failure_of(call, OutcomeUnknownError)
        assert now() == pytest.approx(1.0 if end == "deadline" else 1.1, abs=0.05)
        assert len(server.heard) == 1


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        ("51000", 400, InvalidParameterError),
        ("50113", 401, OKXError),
        ("50005", 410, ServiceUnavailableError),
        ("58350", 200, APIError),
    ],
)
async def test_M1_what_okx_refused_has_a_known_outcome(code, status, kind):
    async with facing(says(code, status)) as (server, client):
        error = await failure_of(transfer(client), APIError)
        assert isinstance(error, kind)
        assert error.code == code
        assert len(server.heard) == 1


@pytest.mark.parametrize("status", [301, 403, 404])
async def test_M1_what_never_got_as_far_as_okx_has_a_known_outcome(status):
    async with facing(always(http(b"<html>", status))) as (server, client):
        await failure_of(transfer(client), HTTPStatusError)
        assert len(server.heard) == 1


async def test_M2_what_was_refused_before_it_was_looked_at_is_sent_again(ticking):
    refused = http(b'{"code":"50011","msg":"Too Many Requests"}', 429)

    async def script(peer):
        for answer in (refused, refused, TRANSFERRED):
            await peer.hear()
            peer.say(answer)

    async with facing(script) as (server, client):
        assert [each.ts for each in await transfer(client)] == [1]
        assert len(server.heard) == 3
        assert len({heard.headers["ok-access-timestamp"] for heard in server.heard}) == 3
        assert len({heard.raw.split(b"\r\n")[0] for heard in server.heard}) == 1


async def test_M2_what_never_left_is_sent_again_until_the_retries_are_over():
    async with FundingClient(someone(), base_url="http://127.0.0.1:9", max_retries=2) as client:
        error = await failure_of(transfer(client), OKXError)
        assert type(error) is ConnectError
        assert client.statistics().requests == 3


def test_M3_M4_an_unknown_outcome_is_never_taken_for_a_failure_by_the_rules():
    sent = [
        ProtocolError("x"),
        RequestTimeoutError("x"),
        DecodeError("x"),
        ServiceUnavailableError("50004", "", 400, "x"),
        APIError("58124", "", 200, "x"),
        HTTPStatusError("x", http_status=500, endpoint="x"),
    ]
    assert all(may_have_worked(error) for error in sent)
    unsent = [ConnectError("x"), RateLimitError("50011", "", 429, "x")]
    assert not any(may_have_worked(error) for error in unsent)
    assert may_pass(unsent[0], 0) == "fault"


@pytest.mark.skip(reason="client ids and looking an outcome up come with the transfers")
def test_M3_M4_a_client_id_is_made_sent_and_looked_up():
    raise NotImplementedError


async def test_M5_what_moves_money_is_never_shared_with_another_caller():
    async with facing(once(TRANSFERRED)) as (server, client):
        await asyncio.gather(*(transfer(client) for _ in range(3)))
        assert [heard.body for heard in server.heard] == [b'{"ccy":"BTC","amt":"1"}'] * 3


async def test_M6_a_caller_who_leaves_after_the_request_left_does_not_make_it_unsent():
    async with facing(once(TRANSFERRED)) as (server, client):
        call = asyncio.ensure_future(transfer(client))
        while not server.heard:  # noqa: ASYNC110
            await asyncio.sleep(0)
        call.cancel()
        await asyncio.wait([call])
        await asyncio.sleep(1)
        assert len(server.heard) == 1
        assert client.statistics().buckets[0].requests_sent == 1
        await nothing_is_held(client)


def test_M7_whatever_moves_money_is_marked_shared_with_nobody_and_never_repeated():
    moving = [endpoint for endpoint in ENDPOINTS.values() if endpoint.moves_money]
    assert len(moving) == 6
    for endpoint in moving:
        assert endpoint.method == "POST"
        assert not endpoint.shared
        assert not endpoint.repeatable
        assert endpoint.permission in ("trade", "withdraw")


def test_M7_no_post_is_shared():
    assert not any(it.shared for it in ENDPOINTS.values() if it.method == "POST")
