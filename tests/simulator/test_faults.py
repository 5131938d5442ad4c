"""Everything that the exchange can do wrong, as it looks on the wire."""

from __future__ import annotations

import asyncio
import gzip
import json
from dataclasses import replace

import pytest

from okx_funding.simulator import ALL_FAULTS, Answer, Fault, SimulatedExchange

ASSETS = "/api/v5/asset/non-tradable-assets"
VALUATION = "/api/v5/asset/asset-valuation"

pytestmark = pytest.mark.looptime


async def test_the_next_n_requests_fail_then_all_is_well(exchange, ask):
    exchange.fail_next(2, Fault.code("50001"))
    assert [(await ask(exchange)).code for _ in range(3)] == ["50001", "50001", "0"]
    assert [arrival.fault for arrival in exchange.log] == ["code 50001 as 503"] * 2 + [None]


async def test_faults_of_one_endpoint_leave_the_others_alone(exchange, ask):
    exchange.fail_next(1, Fault.code("50026"), "get_asset_valuation")
    assert (await ask(exchange)).code == "0"
    assert (await ask(exchange, VALUATION)).code == "50026"


async def test_ordered_faults_come_in_order(exchange, ask):
    exchange.fail_next(1, Fault.code("50004"))
    exchange.fail_next(1, Fault.code("50013"))
    assert [(await ask(exchange)).code for _ in range(2)] == ["50004", "50013"]


def test_a_fault_for_an_unknown_endpoint_is_refused(exchange):
    with pytest.raises(ValueError, match="no endpoint"):
        exchange.fail_next(1, Fault.reset(), "nonsense")
    with pytest.raises(ValueError, match="no endpoint"):
        exchange.chaos(endpoint="nonsense")


@pytest.mark.parametrize("share", [-0.1, 1.1])
def test_a_share_is_a_share(exchange, share):
    with pytest.raises(ValueError, match="from 0 to 1"):
        exchange.chaos(share)


@pytest.mark.parametrize(
    ("fault", "status", "body"),
    [
        (Fault.code("50001"), 503, {"code": "50001", "data": []}),
        (Fault.code("50004"), 400, {"code": "50004", "data": []}),
        (Fault.code("50013"), 429, {"code": "50013", "data": []}),
        (Fault.code("50026"), 500, {"code": "50026", "data": []}),
        (Fault.code("50011"), 429, {"code": "50011"}),
        (Fault.code("50011", status=200), 200, {"code": "50011"}),
        (Fault.code("50011", as_int=True), 429, {"code": 50011}),
        (Fault.code("58102", status=429, msg="m"), 429, {"code": "58102", "data": []}),
    ],
)
async def test_codes_come_with_their_status_and_shape(exchange, ask, fault, status, body):
    exchange.fail_next(1, fault)
    reply = await ask(exchange)
    assert reply.status == status
    assert {name: value for name, value in reply.json.items() if name != "msg"} == body


@pytest.mark.parametrize("status", [403, 429, 502, 503])
async def test_the_cdn_speaks_html(exchange, ask, status):
    exchange.fail_next(1, Fault.html(status))
    reply = await ask(exchange)
    assert reply.status == status
    assert reply.headers["content-type"].startswith("text/html")
    assert reply.body.startswith(b"<html>")


async def test_a_bare_429_has_retry_after_if_you_like(exchange, ask):
    exchange.fail_next(1, Fault.too_many())
    assert "retry-after" not in (await ask(exchange)).headers
    exchange.fail_next(1, Fault.too_many(retry_after=3))
    assert (await ask(exchange)).headers["retry-after"] == "3"


async def test_a_bare_status_is_not_from_okx(exchange, ask):
    exchange.fail_next(1, Fault.status(520, b"?"))
    reply = await ask(exchange)
    assert (reply.status, reply.body) == (520, b"?")


async def test_a_redirect_leads_away(exchange, ask):
    exchange.fail_next(1, Fault.redirect("https://elsewhere.invalid/"))
    reply = await ask(exchange)
    assert (reply.status, reply.headers["location"]) == (302, "https://elsewhere.invalid/")


async def test_what_the_network_swallows_counts_against_no_limit(exchange, ask):
    exchange.fail_next(6, Fault.html(503))
    for _ in range(6):
        await ask(exchange)
    assert [arrival.counted for arrival in exchange.log] == [False] * 6
    assert [(await ask(exchange)).code for _ in range(7)] == ["0"] * 6 + ["50011"]


async def test_what_was_read_counts_even_if_the_answer_is_lost(exchange, ask, converse):
    exchange.fail_next(6, Fault.close())
    for _ in range(6):
        with pytest.raises(IndexError):
            await ask(exchange)
    assert (await ask(exchange)).code == "50011"


async def test_a_reset_before_okx_counts_nothing(exchange, ask):
    exchange.fail_next(6, replace(Fault.close(), before_okx=True))
    for _ in range(6):
        with pytest.raises(IndexError):
            await ask(exchange)
    assert (await ask(exchange)).code == "0"


async def test_a_damaged_refusal_is_still_a_refusal(exchange, ask):
    for _ in range(6):
        await ask(exchange)
    exchange.fail_next(1, Fault.truncated())
    await ask(exchange)
    assert exchange.log[-1].refused


async def test_truncated_json_is_whole_for_http(exchange, ask):
    exchange.fail_next(1, Fault.truncated())
    reply = await ask(exchange)
    assert int(reply.headers["content-length"]) == len(reply.body)
    with pytest.raises(json.JSONDecodeError):
        _ = reply.json


async def test_an_empty_body_is_empty(exchange, ask):
    exchange.fail_next(1, Fault.empty())
    reply = await ask(exchange)
    assert (reply.status, reply.body) == (200, b"")


async def test_garbage_is_no_json(exchange, ask):
    exchange.fail_next(1, Fault.garbage())
    with pytest.raises((json.JSONDecodeError, UnicodeDecodeError)):
        _ = (await ask(exchange)).json


async def test_a_wrong_content_type_has_the_right_body(exchange, ask):
    exchange.fail_next(1, Fault.content_type("text/plain"))
    reply = await ask(exchange)
    assert (reply.headers["content-type"], reply.code) == ("text/plain", "0")


async def test_a_reset_is_a_reset(exchange, ask):
    exchange.fail_next(1, Fault.reset())
    with pytest.raises(ConnectionResetError):
        await ask(exchange)


async def test_a_reset_mid_body_comes_after_half_of_it(exchange, ask):
    host, port = exchange.base_url.removeprefix("http://").split(":")
    exchange.fail_next(1, Fault.reset_mid_body())
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"GET /api/v5/public/time HTTP/1.1\r\nHost: x\r\n\r\n")
    assert (await reader.readline()).startswith(b"HTTP/1.1 200")
    with pytest.raises(ConnectionResetError):
        await reader.read()
    writer.close()


async def test_closed_mid_body_there_is_less_than_promised(exchange, ask):
    exchange.fail_next(1, Fault.close_mid_body())
    reply = await ask(exchange)
    assert 0 < len(reply.body) < int(reply.headers["content-length"])


async def test_closed_without_a_length_nobody_can_tell(exchange, ask):
    exchange.fail_next(1, Fault.close_without_length())
    reply = await ask(exchange)
    assert "content-length" not in reply.headers
    assert reply.body.startswith(b'{"code":"0"')
    with pytest.raises(json.JSONDecodeError):
        _ = reply.json


async def test_slow_means_late(exchange, ask):
    exchange.fail_next(1, Fault.slow(3.0))
    start = asyncio.get_running_loop().time()
    assert (await ask(exchange)).code == "0"
    assert asyncio.get_running_loop().time() - start == pytest.approx(3.0)


async def test_a_drip_ends_after_its_seconds(exchange, ask):
    exchange.fail_next(1, Fault.drip(1.0, pause=0.1))
    start = asyncio.get_running_loop().time()
    assert (await ask(exchange)).code == "0"
    assert asyncio.get_running_loop().time() - start == pytest.approx(1.0)


async def test_a_hang_ends_with_a_reset(exchange, ask):
    exchange.fail_next(1, Fault.hang(60.0))
    start = asyncio.get_running_loop().time()
    with pytest.raises(ConnectionResetError):
        await ask(exchange)
    assert asyncio.get_running_loop().time() - start == pytest.approx(60.0)


async def test_a_huge_body_is_as_huge_as_told(exchange, ask):
    exchange.fail_next(1, Fault.huge(3_000_000))
    reply = await ask(exchange)
    assert len(reply.body) == 3_000_000
    assert reply.code == "0"


async def test_a_gzip_bomb_is_small_until_opened(exchange, ask):
    exchange.fail_next(1, Fault.gzip_bomb(2_000_000))
    reply = await ask(exchange)
    assert reply.headers["content-encoding"] == "gzip"
    assert len(reply.body) < 20_000
    assert len(gzip.decompress(reply.body)) == 2_000_000


async def test_faults_combine(exchange, ask):
    both = Fault.slow(2.0) & Fault.code("50001") & Fault.truncated()
    assert repr(both) == "<Fault slow 2 s & code 50001 as 503 & truncated>"
    exchange.fail_next(1, both)
    start = asyncio.get_running_loop().time()
    reply = await ask(exchange)
    assert asyncio.get_running_loop().time() - start == pytest.approx(2.0)
    assert reply.status == 503
    assert reply.body == b'{"msg":"Service temporarily unavailable. Plea'


async def test_a_fault_can_be_ones_own(exchange, ask):
    exchange.fail_next(1, Fault.answer("teapot", Answer(418, b"{}")))
    assert (await ask(exchange)).status == 418


async def test_a_delivery_that_raises_resets_and_is_logged(exchange, ask, caplog):
    async def broken(answer, wire):
        raise RuntimeError("mine")

    exchange.fail_next(1, Fault("mine", delivery=broken))
    with pytest.raises(ConnectionResetError):
        await ask(exchange)
    assert "<Fault mine> could not be delivered" in caplog.text


async def test_an_outage_is_503_for_everything_until_it_ends(exchange, ask):
    exchange.outage = True
    assert (await ask(exchange)).status == 503
    assert (await ask(exchange, "/api/v5/public/time")).status == 503
    exchange.outage = False
    assert (await ask(exchange)).code == "0"


async def test_chaos_hits_its_share_and_repeats_by_seed(ask):
    async def faults(seed):
        async with SimulatedExchange() as exchange:
            exchange.chaos(0.2, [Fault.empty(), Fault.truncated()], seed=seed)
            for _ in range(100):
                await ask(exchange, "/api/v5/public/time")
            return [arrival.fault for arrival in exchange.log]

    first = await faults(7)
    assert 10 <= 100 - first.count(None) <= 30
    assert first == await faults(7)
    assert first != await faults(8)


async def test_calm_ends_everything(exchange, ask):
    exchange.chaos(1.0, [Fault.empty()])
    exchange.fail_next(3, Fault.empty())
    exchange.outage, exchange.clock_skew = True, 99.0
    exchange.calm()
    assert (await ask(exchange)).code == "0"


def test_every_fault_has_a_name_of_its_own():
    assert len({fault.name for fault in ALL_FAULTS}) == len(ALL_FAULTS)


async def test_a_whole_chaos_leaves_the_exchange_sound(ask):
    async with SimulatedExchange() as exchange:
        for fault in ALL_FAULTS:
            exchange.fail_next(1, fault, "get_system_time")
        seen = []
        for _ in ALL_FAULTS:
            try:
                seen.append((await ask(exchange, "/api/v5/public/time")).status)
            except (ConnectionResetError, IndexError):
                seen.append(0)
        assert [arrival.fault for arrival in exchange.log] == [f.name for f in ALL_FAULTS]
        assert {200, 0, 302, 403, 429, 500, 503} <= set(seen)
        exchange.reset()
        assert (await ask(exchange)).code == "0"
