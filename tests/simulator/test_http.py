"""The HTTP of the exchange, its beginning and its end."""

from __future__ import annotations

import asyncio
import socket

import aiohttp
import pytest
import yarl

from okx_funding.auth.credentials import Credentials
from okx_funding.simulator import Fault, SimulatedExchange, in_thread

ASSETS = "/api/v5/asset/non-tradable-assets"
TIME = b"GET /api/v5/public/time HTTP/1.1\r\nHost: x\r\n"
LAST = b"GET /api/v5/nonsense HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


async def test_pipelined_requests_are_answered_in_order(exchange, converse):
    exchange.fail_next(1, Fault.slow(0.01))
    raw = await converse(exchange, TIME + b"\r\n" + TIME + b"\r\n" + LAST)
    assert [part[:3] for part in raw.split(b"HTTP/1.1 ")[1:]] == [b"200", b"200", b"404"]


async def test_a_request_may_come_in_pieces(exchange):
    host, port = exchange.base_url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    for piece in (TIME[:7], TIME[7:], b"Connection: close\r\n\r", b"\n"):
        writer.write(piece)
        await writer.drain()
        await asyncio.sleep(0)
    assert (await reader.read()).startswith(b"HTTP/1.1 200 OK\r\n")
    writer.close()


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"nonsense\r\n\r\n", b"400"),
        (b"GET / HTTP/2\r\n\r\n", b"400"),
        (b"POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n", b"411"),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", b"411"),
        (b"POST / HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n", b"413"),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * 70_000, b"431"),
    ],
)
async def test_what_is_no_request_is_refused_and_the_connection_closed(
    exchange, converse, raw, status
):
    assert (await converse(exchange, raw))[9:12] == status
    assert exchange.log == []


async def test_a_body_that_is_announced_is_waited_for(exchange, converse):
    head = b"POST /x HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n"
    raw = await converse(exchange, head + b"Connection: close\r\n\r\n{}")
    assert raw.startswith(b"HTTP/1.1 404")
    host, port = exchange.base_url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(head + b"\r\n")
    assert await reader.readline() == b"HTTP/1.1 100 Continue\r\n"
    await reader.readline()
    writer.write(b"{}")
    assert (await reader.readline()).startswith(b"HTTP/1.1 404")
    writer.close()


async def test_http_1_0_gets_one_answer(exchange, converse):
    raw = await converse(exchange, TIME.replace(b"1.1", b"1.0") + b"\r\n")
    assert b"Connection: close" in raw


async def test_aiohttp_keeps_its_connection(exchange, signed):
    url = yarl.URL(exchange.base_url + ASSETS + "?ccy=CELT%2CMEME", encoded=True)
    async with aiohttp.ClientSession() as http:
        for _ in range(3):
            headers = signed(exchange.credentials, url.raw_path_qs)
            async with http.get(url, headers=headers) as response:
                assert len((await response.json())["data"]) == 2
        assert isinstance(http.connector, aiohttp.TCPConnector)
        assert len(http.connector._conns) == 1
    assert exchange.log[-1].target == ASSETS + "?ccy=CELT%2CMEME"


async def test_dropped_connections_end_and_new_ones_are_welcome(exchange, ask):
    host, port = exchange.base_url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(TIME + b"\r\n")
    assert (await reader.readline()).startswith(b"HTTP/1.1 200")
    exchange.drop_connections()
    assert (await reader.read()).endswith(b"}")
    writer.close()
    assert (await ask(exchange)).code == "0"


async def test_closing_after_the_answer_is_not_announced(exchange, converse):
    exchange.fail_next(1, Fault.close_after())
    raw = await converse(exchange, TIME + b"\r\n")
    assert raw.startswith(b"HTTP/1.1 200")
    assert b"Connection: close" not in raw


async def test_stopped_it_refuses_connections_and_resumes_on_the_same_port(exchange, ask):
    url = exchange.base_url
    await exchange.stop_listening()
    with pytest.raises(ConnectionRefusedError):
        await ask(exchange)
    await exchange.resume()
    assert exchange.base_url == url
    assert (await ask(exchange)).code == "0"


@pytest.mark.looptime
@pytest.mark.parametrize("fault", [Fault.hang(), Fault.slow(99), Fault.drip(99), None])
async def test_closing_is_quick_whatever_hangs(ask, fault):
    start = asyncio.get_running_loop().time()
    async with SimulatedExchange(latency=0 if fault else 99) as exchange:
        if fault:
            exchange.fail_next(1, fault)
        hanging = asyncio.create_task(ask(exchange))
        await asyncio.sleep(0.1)
    assert asyncio.get_running_loop().time() - start < 1
    await asyncio.gather(hanging, return_exceptions=True)
    others = asyncio.all_tasks() - {asyncio.current_task()}
    assert not others


async def test_closing_twice_is_closing_once(exchange):
    await exchange.aclose()
    await exchange.aclose()
    assert "not listening" in repr(exchange)


async def test_starting_twice_is_refused(exchange):
    with pytest.raises(RuntimeError, match="already"):
        await exchange.start()


async def test_a_taken_port_is_an_os_error():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        exchange = SimulatedExchange(port=taken.getsockname()[1])
        with pytest.raises(OSError, match="in use"):
            await exchange.start()


def test_before_the_start_there_is_no_url():
    with pytest.raises(RuntimeError, match="started"):
        _ = SimulatedExchange().base_url


async def test_repr_tells_the_state(exchange, ask):
    await ask(exchange)
    assert repr(exchange) == (
        f"<SimulatedExchange {exchange.base_url}, judge sliding, 1 user, "
        "1 requests, 0 refused, 0 faults>"
    )


def test_it_runs_under_uvloop(ask):
    uvloop = pytest.importorskip("uvloop")

    async def main():
        async with SimulatedExchange() as exchange:
            exchange.fail_next(1, Fault.reset())
            with pytest.raises(ConnectionResetError):
                await ask(exchange)
            exchange.fail_next(1, Fault.close_mid_body())
            assert (await ask(exchange)).body.startswith(b'{"code"')
            return (await ask(exchange)).code

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(main()) == "0"


def test_a_failed_start_in_a_thread_is_raised_here():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        exchange = SimulatedExchange(port=taken.getsockname()[1])
        with pytest.raises(OSError, match="in use"), in_thread(exchange):
            pass


@pytest.mark.filterwarnings("ignore:use_server_time:DeprecationWarning")
def test_the_official_client_works():
    funding = pytest.importorskip("okx.Funding")
    user = Credentials("key", "secret", "passphrase", user_id="42")
    with in_thread(SimulatedExchange(users=[user])) as exchange:
        key, secret, passphrase = map(str.__str__, user.reveal())
        api = funding.FundingAPI(key, secret, passphrase, False, "0", domain=exchange.base_url)
        with api:
            rows = api.get_non_tradable_assets("CELT,MEME")["data"]
            valuation = api.get_asset_valuation("USDT")["data"]
        assert [row["bal"] for row in rows] == ["989.84719571", "0.001"]
        assert valuation[0]["totalBal"] == "3790.09"
        assert [arrival.keys for arrival in exchange.log] == [("CELT", "MEME"), ("USDT",)]
        assert not exchange.refused
