"""The transport for users' own tests, behind whatever asks a `Transport`."""

from __future__ import annotations

import asyncio
import json

import pytest

from okx_funding import ClientClosedError, ConnectError, ProtocolError, RequestTimeoutError
from okx_funding.testing import FakeTransport
from okx_funding.wire.response import Response
from okx_funding.wire.transport import AiohttpTransport, Transport
from tests.support import failure_of, now

pytestmark = pytest.mark.looptime

PATH = "/api/v5/asset/balances"
ROWS = [{"ccy": "BTC", "bal": "1"}]


async def ask(transport: Transport, target: str = PATH, body: str = "", **options) -> Response:
    options = {"label": "GET /x", "timeout": 10.0, **options}
    method = "POST" if body else "GET"
    return await transport.send(method, f"https://okx.test{target}", {"A": "b"}, body, **options)


def told(response: Response):
    return json.loads(response.body)


def test_both_are_transports():
    found: list[Transport] = [FakeTransport(), AiohttpTransport()]
    assert len(found) == 2


async def test_rows_are_put_into_an_envelope():
    fake = FakeTransport({PATH: ROWS})
    assert told(await ask(fake)) == {"code": "0", "msg": "", "data": ROWS}


@pytest.mark.parametrize(
    "answer",
    [
        {"code": "1", "data": []},
        Response(200, b'{"code":"1","data":[]}'),
        lambda request: {"code": "1", "data": []},
        lambda request: asyncio.sleep(1, {"code": "1", "data": []}),
    ],
)
async def test_an_answer_may_be_an_object_a_response_or_a_function(answer):
    assert told(await ask(FakeTransport({PATH: answer}))) == {"code": "1", "data": []}


async def test_next_comes_first_and_is_used_up():
    fake = FakeTransport({PATH: ROWS})
    fake.next.extend([fake.refused("50011", http_status=429), []])
    answers = [await ask(fake) for _ in range(3)]
    assert [each.status for each in answers] == [429, 200, 200]
    assert [told(each)["data"] for each in answers] == [[], [], ROWS]


async def test_requests_are_recorded_as_they_came():
    fake = FakeTransport({PATH: ROWS}, latency=2)
    await ask(fake, f"{PATH}?ccy=BTC,ETH&to=a%3Ab")
    await ask(fake, body='{"amt":"1.5","rcvrInfo":{"exchId":"0"}}', fresh=True)
    first, second = fake.requests
    assert (first.method, first.path, first.at) == ("GET", PATH, 0)
    assert first.params == {"ccy": "BTC,ETH", "to": "a:b"}
    assert first.target == f"{PATH}?ccy=BTC,ETH&to=a%3Ab"
    assert (second.method, second.at, second.fresh) == ("POST", 2, True)
    assert second.params == {"amt": "1.5", "rcvrInfo": {"exchId": "0"}}


async def test_an_error_is_raised_for_every_request():
    fake = FakeTransport({PATH: ProtocolError("it broke")})
    assert [str(await failure_of(ask(fake), ProtocolError)) for _ in range(2)] == ["it broke"] * 2


async def test_an_answer_that_never_comes_is_a_timeout():
    fake = FakeTransport({PATH: FakeTransport.hang})
    error = await failure_of(ask(fake, timeout=3), RequestTimeoutError)
    assert (error.sent, now(), fake.in_flight) == (True, 3, 0)


async def test_latency_counts_against_the_timeout():
    await failure_of(ask(FakeTransport({PATH: ROWS}, latency=5), timeout=3), RequestTimeoutError)
    assert now() == 3


async def test_where_nobody_is_reached_nothing_was_sent():
    error = await failure_of(ask(FakeTransport({PATH: FakeTransport.unreachable})), ConnectError)
    assert not error.sent


async def test_a_path_without_an_answer_is_not_found_and_the_clock_always_is():
    fake = FakeTransport()
    assert (await ask(fake)).status == 404
    assert told(await ask(fake, "/api/v5/public/time"))["data"][0]["ts"].isdecimal()


async def test_a_closed_transport_sends_nothing():
    fake = FakeTransport()
    await fake.aclose()
    await failure_of(ask(fake), ClientClosedError)
    assert fake.requests == []


async def test_nothing_shows_a_key():
    fake = FakeTransport({PATH: ROWS})
    headers = {"OK-ACCESS-KEY": "secret-key", "OK-ACCESS-TIMESTAMP": "2020"}
    await fake.send("GET", f"https://okx.test{PATH}", headers, "", label="x", timeout=1)
    (request,) = fake.requests
    assert "secret-key" not in f"{request!r}{request.headers!r}"
    assert request.headers["OK-ACCESS-KEY"] == "secret-key"
