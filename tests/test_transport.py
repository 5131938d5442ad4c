"""The wire on real sockets: servers that hang up, cut short, drip, lie and lead astray."""

from __future__ import annotations

import asyncio
import gzip
import socket
import ssl
import subprocess
import zlib

import aiohttp
import pytest

from okx_funding import (
    ClientClosedError,
    ConnectError,
    DecodeError,
    FundingClient,
    HTTPStatusError,
    OKXError,
    ProtocolError,
    RateLimit,
    RequestTimeoutError,
    ResponseTooLargeError,
    Session,
    TransportError,
)
from okx_funding.wire.transport import AiohttpTransport
from tests.support import (
    ASSETS,
    VALUATION,
    Scripted,
    answers,
    at_script,
    closes,
    envelope,
    failure_of,
    hangs,
    http,
    now,
    resets,
    row,
    says,
    someone,
)

pytestmark = pytest.mark.looptime

BODY = envelope(row("CELT"))
fine = answers(BODY)


def chain_of(error):
    """The error and everything that hangs on it."""
    seen = []
    while error is not None and error not in seen:
        seen.append(error)
        error = error.__cause__ or error.__context__
    return seen


async def refused(client, kind):
    """The call's error, which nothing of aiohttp hangs on."""
    error = await failure_of(client.get_non_tradable_assets("CELT"), kind)
    assert all(type(each).__module__.startswith("okx_funding") for each in chain_of(error))
    assert str(error).isprintable()
    return error


async def works(client):
    assert [each.ccy for each in await client.get_non_tradable_assets("CELT")] == ["CELT"]


# -- one call, one request --------------------------------------------------------------------


async def test_calls_one_after_another_use_one_connection():
    async with at_script(fine) as (server, client):
        for _ in range(4):
            await works(client)
    assert [heard.connection for heard in server.heard] == [1, 1, 1, 1]


@pytest.mark.parametrize("end", [closes, resets])
async def test_a_kept_alive_connection_that_dies_costs_one_request_not_two(end):
    async with at_script(fine, end, fine, max_retries=0) as (server, client):
        await works(client)
        error = await refused(client, ProtocolError)
        assert error.sent
    assert len(server.heard) == 2


@pytest.mark.parametrize("end", [closes, resets])
async def test_our_own_retry_after_a_dead_connection_wins_a_slot_and_is_signed_anew(
    end, monkeypatch
):
    loop = asyncio.get_running_loop()
    monkeypatch.setattr("time.time", lambda: 1_700_000_000 + loop.time())
    limits = {ASSETS: RateLimit(1)}
    async with at_script(fine, end, fine, rate_limits=limits) as (server, client):
        await works(client)
        await works(client)
        assert client.statistics().buckets[0].requests_sent == 3
    times = [heard.at for heard in server.heard]
    assert [round(time) for time in times] == [0, 1, 2]
    stamps = {heard.headers["ok-access-timestamp"] for heard in server.heard}
    signatures = {heard.headers["ok-access-sign"] for heard in server.heard}
    assert len(stamps) == len(signatures) == 3


async def test_a_server_that_closes_after_each_answer_is_no_trouble():
    async with at_script(says(http(BODY, headers=["Connection: close"]), then_close=True)) as (
        server,
        client,
    ):
        await works(client)
        await works(client)
    assert [heard.connection for heard in server.heard] == [1, 2]


async def test_the_slot_of_a_lost_request_is_spent():
    limits = {ASSETS: RateLimit(1)}
    async with at_script(resets, fine, rate_limits=limits, max_retries=0) as (server, client):
        await refused(client, ProtocolError)
        await works(client)
    assert server.heard[1].at - server.heard[0].at >= 1.0


# -- answers that break off -------------------------------------------------------------------

HALF = http(BODY[: len(BODY) // 2], length=len(BODY))
HALF_CHUNKED = http(
    b"%x\r\n%b\r\n" % (len(BODY), BODY), headers=["Transfer-Encoding: chunked"], length=None
)


async def then_resets(wire):
    wire.write(HALF)
    await wire.drain()
    await asyncio.sleep(0.01)
    wire.reset()


BROKEN = {
    "closed before any answer": closes,
    "reset before any answer": resets,
    "reset mid-body": then_resets,
    "closed mid-body": says(HALF, then_close=True),
    "closed mid-chunks": says(HALF_CHUNKED, then_close=True),
    "closed mid-head": says(b"HTTP/1.1 200 OK\r\nContent-Le", then_close=True),
    "garbage": says(b"what?\r\n\r\n", then_close=True),
    "a bad status line": says(b"HTTP/1.1 abc OK\r\n\r\n", then_close=True),
    "two lengths": says(
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n12345", then_close=True
    ),
    "a length and chunks": says(
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        then_close=True,
    ),
    "a bad chunk": says(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", then_close=True
    ),
    "bad gzip": says(http(b"no gzip", headers=["Content-Encoding: gzip"])),
    "half of a gzip stream": says(
        http(gzip.compress(BODY)[:-20], headers=["Content-Encoding: gzip"])
    ),
    "bad deflate": says(http(b"\x00\x01", headers=["Content-Encoding: deflate"])),
    "a long header": says(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000 + b"\r\n\r\n", then_close=True),
    "a null in a header": says(b"HTTP/1.1 200 OK\r\nX: a\0b\r\n\r\n", then_close=True),
}


@pytest.mark.parametrize("script", BROKEN.values(), ids=BROKEN)
async def test_what_breaks_off_is_a_protocol_error_and_was_sent(script):
    async with at_script(script, max_retries=0) as (server, client):
        error = await refused(client, TransportError)
    assert type(error) is ProtocolError
    assert error.sent
    assert len(server.heard) == 1


@pytest.mark.parametrize("script", BROKEN.values(), ids=BROKEN)
async def test_after_what_broke_off_the_next_attempt_works(script):
    async with at_script(script, fine) as (server, client):
        await works(client)
        assert len(server.heard) == 2
        await works(client)


@pytest.mark.parametrize("script", [*BROKEN.values(), hangs], ids=[*BROKEN, "hangs"])
async def test_nothing_of_aiohttp_hangs_on_an_error_that_leaves_the_room(script):
    transport = AiohttpTransport()
    async with Scripted(script) as server:
        error = await failure_of(
            transport.send("GET", f"{server.base_url}/x", {}, "", label="GET /x", timeout=1),
            TransportError,
        )
        await transport.aclose()
    assert chain_of(error) == [error]


HALF_WITHOUT_LENGTH = says(http(BODY[: len(BODY) // 2], length=None), then_close=True)


async def test_half_a_body_that_http_takes_for_whole_is_found_by_the_decoder():
    half = HALF_WITHOUT_LENGTH
    async with at_script(half, fine) as (server, client):
        await works(client)
        assert len(server.heard) == 2
    async with at_script(half) as (server, client):
        await refused(client, DecodeError)
        assert len(server.heard) == 2


async def test_bytes_after_the_body_are_never_the_next_answer():
    forged = http(envelope(row("CELT", bal="666")))
    async with at_script(says(http(BODY) + forged), fine) as (_, client):
        first = await client.get_non_tradable_assets("CELT")
        second = await client.get_non_tradable_assets("CELT")
    assert [each.bal for each in first + second if each.bal == 666] == []


async def test_gzip_may_have_several_members():
    half = len(BODY) // 2
    members = gzip.compress(BODY[:half]) + gzip.compress(BODY[half:])
    async with at_script(answers(members, headers=["Content-Encoding: gzip"])) as (_, client):
        await works(client)


async def test_interim_answers_are_skipped():
    script = says(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" * 3 + http(BODY))
    async with at_script(script) as (_, client):
        await works(client)


# -- time -------------------------------------------------------------------------------------


async def drips(wire):
    wire.write(http(b"", length=1000))
    for _ in range(1000):
        wire.write(b" ")
        await wire.drain()
        await asyncio.sleep(0.2)


async def drips_headers(wire):
    wire.write(b"HTTP/1.1 200 OK\r\n")
    for number in range(1000):
        wire.write(b"X-%d: 1\r\n" % number)
        await wire.drain()
        await asyncio.sleep(0.2)


async def floods_with_hints(wire):
    while not wire.closed:
        wire.write(b"HTTP/1.1 103 Early Hints\r\n\r\n")
        await wire.drain()
        await asyncio.sleep(0.2)


@pytest.mark.parametrize("script", [drips, drips_headers, hangs, floods_with_hints])
@pytest.mark.parametrize("seconds", [0.5, 3.0, 7.3])
async def test_one_attempt_ends_with_request_timeout_to_the_millisecond(script, seconds):
    async with at_script(script, max_retries=0, request_timeout=seconds) as (_, client):
        error = await refused(client, TransportError)
        assert isinstance(error, RequestTimeoutError | ProtocolError)
        if script is not drips_headers:  # so many headers are a protocol error of their own
            assert isinstance(error, RequestTimeoutError)
            assert isinstance(error, TimeoutError)
            assert now() == pytest.approx(seconds, abs=0.25)
        assert error.sent


async def half_without_a_length_then_hangs(wire):
    wire.write(http(BODY[: len(BODY) // 2], length=None))
    await hangs(wire)


async def test_half_an_answer_whose_time_is_over_is_no_answer():
    script = half_without_a_length_then_hangs
    async with at_script(script, max_retries=0, request_timeout=1) as (_, client):
        assert type(await refused(client, TransportError)) is RequestTimeoutError


async def test_a_request_that_is_over_ends_no_other_on_its_connection():
    async with at_script(fine, fine, hangs, request_timeout=2, max_retries=0) as (server, client):
        await works(client)
        await asyncio.sleep(1.9)
        await works(client)
        await asyncio.sleep(1)
        await refused(client, RequestTimeoutError)
    assert [heard.connection for heard in server.heard] == [1, 1, 1]
    assert now() == pytest.approx(4.9, abs=0.1)


async def test_each_attempt_has_the_whole_request_timeout():
    async with at_script(hangs, fine, request_timeout=2) as (server, client):
        await works(client)
    assert 2 <= server.heard[1].at < 3


async def test_a_call_that_was_timed_out_leaves_no_connection_behind():
    async with at_script(hangs, fine, request_timeout=1) as (server, client):
        await works(client)
        await works(client)
    assert [heard.connection for heard in server.heard] == [1, 2, 2]


# -- size -------------------------------------------------------------------------------------


def padded(size):
    return BODY + b" " * (size - len(BODY))


async def at_limit(script, max_body):
    async with (
        Scripted(script) as server,
        Session(max_body=max_body) as session,
        FundingClient(
            someone(), base_url=server.base_url, session=session, max_retries=0
        ) as client,
    ):
        return await client.get_non_tradable_assets("CELT"), server


ENCODINGS = {
    "plain": (lambda body: body, []),
    "gzip": (gzip.compress, ["Content-Encoding: gzip"]),
    "deflate": (zlib.compress, ["Content-Encoding: deflate"]),
}


@pytest.mark.parametrize("encoding", ENCODINGS)
async def test_a_body_of_just_max_body_is_read(encoding):
    compress, headers = ENCODINGS[encoding]
    rows, _ = await at_limit(answers(compress(padded(5000)), headers=headers), 5000)
    assert len(rows) == 1


@pytest.mark.parametrize("encoding", ENCODINGS)
async def test_one_byte_more_is_too_large(encoding):
    compress, headers = ENCODINGS[encoding]
    with pytest.raises(ResponseTooLargeError, match="max_body=5000") as caught:
        await at_limit(answers(compress(padded(5001)), headers=headers), 5000)
    assert caught.value.sent
    assert len(chain_of(caught.value)) == 1


async def test_a_bomb_is_not_blown_up():
    bomb = gzip.compress(bytes(64 * 2**20))
    with pytest.raises(ResponseTooLargeError):
        await at_limit(answers(bomb, headers=["Content-Encoding: gzip"]), 2**20)


async def test_a_body_without_end_is_not_read_to_the_end():
    written = 0

    async def pours(wire):
        nonlocal written
        wire.write(http(b"", length=2**40))
        while not wire.closed:
            wire.write(b" " * 2**16)
            written += 2**16
            await wire.drain()

    with pytest.raises(ResponseTooLargeError):
        await at_limit(pours, 2**20)
    assert written < 2**25


# -- where the keys may go --------------------------------------------------------------------


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_leads_nowhere(status):
    async with Scripted(fine) as elsewhere:
        script = answers(b"", status, headers=[f"Location: {elsewhere.base_url}/api/v5/x"])
        async with at_script(script) as (server, client):
            error = await refused(client, HTTPStatusError)
        assert (error.http_status, len(server.heard)) == (status, 1)
        assert "127.0.0.1" in str(error)
        assert elsewhere.heard == []
        assert elsewhere.connections == 0


async def test_cookies_are_not_kept():
    script = answers(BODY, headers=["Set-Cookie: __cf_bm=abc; Path=/"])
    async with at_script(script) as (server, client):
        await works(client)
        await works(client)
    assert "cookie" not in server.heard[1].headers


async def test_the_environments_proxies_and_netrc_are_ignored(monkeypatch, tmp_path):
    async with Scripted(fine) as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.base_url)
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        netrc = tmp_path / "netrc"
        netrc.write_text("machine 127.0.0.1 login me password mine\n")
        netrc.chmod(0o600)
        monkeypatch.setenv("NETRC", str(netrc))
        async with at_script(fine) as (server, client):
            await works(client)
        assert proxy.connections == 0
        assert "authorization" not in server.heard[0].headers


@pytest.mark.parametrize("way", ["argument", "environment"])
async def test_a_proxy_that_is_asked_for_is_used(way, monkeypatch):
    async with Scripted(fine) as proxy:
        if way == "environment":
            monkeypatch.setenv("OKX_PROXY", proxy.base_url)
            client = FundingClient(someone(), base_url="http://exchange.invalid", allow_http=True)
            await works(client)
            await client.aclose()
        else:
            async with Session(proxy=proxy.base_url) as session:
                client = FundingClient(
                    someone(),
                    base_url="http://exchange.invalid",
                    allow_http=True,
                    session=session,
                )
                await works(client)
        (heard,) = proxy.heard
        assert heard.target.startswith("http://exchange.invalid/api/v5/")


async def test_a_proxy_that_is_not_there_is_a_connect_error_without_its_password():
    proxy = f"http://user:pass-of-the-proxy@127.0.0.1:{free_port()}"
    async with Session(proxy=proxy) as session:
        client = FundingClient(
            someone(),
            base_url="http://exchange.invalid",
            allow_http=True,
            session=session,
            max_retries=0,
        )
        error = await refused(client, ConnectError)
    assert not error.sent
    assert "pass-of-the-proxy" not in str(error)


# -- connections that never come about --------------------------------------------------------


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


@pytest.mark.parametrize("retries", [0, 2])
async def test_a_refused_connection_is_a_connect_error_after_the_retries(retries, caplog):
    caplog.set_level("DEBUG", "okx_funding")
    async with FundingClient(
        someone(), base_url=f"http://127.0.0.1:{free_port()}", max_retries=retries
    ) as client:
        error = await refused(client, ConnectError)
        assert not error.sent
        assert client.statistics().requests == retries + 1


async def test_a_connection_that_never_came_about_costs_no_slot():
    limits = {VALUATION: RateLimit(1, 1000.0)}
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    async with FundingClient(someone(), base_url=url, rate_limits=limits, max_retries=0) as client:
        for _ in range(3):
            await failure_of(client.get_asset_valuation(), ConnectError)
        assert now() < 1
        assert client.statistics().buckets[0].requests_sent == 0


async def test_a_server_that_comes_back_is_found_again():
    server = Scripted(fine)
    async with server:
        client = FundingClient(someone(), base_url=server.base_url, max_retries=0)
        await works(client)
    await refused(client, OKXError)
    port = int(server.base_url.rpartition(":")[2])
    back = await asyncio.start_server(server._accept, "127.0.0.1", port)
    await works(client)
    await client.aclose()
    back.close()
    await asyncio.sleep(0.01)
    await back.wait_closed()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    key, cert = folder / "key.pem", folder / "cert.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2"
    try:
        subprocess.run(
            [*command.split(), "-subj", "/CN=x", "-keyout", str(key), "-out", str(cert)],
            check=True,
            capture_output=True,
        )
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no openssl to make a certificate with")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(cert, key)
    return context


@pytest.mark.looptime(False)
async def test_a_certificate_that_nobody_signed_is_refused_at_once(certificate):
    def accept(reader, writer):
        writer.close()

    asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
    server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=certificate)
    port = server.sockets[0].getsockname()[1]
    async with FundingClient(someone(), base_url=f"https://127.0.0.1:{port}") as client:
        error = await refused(client, ConnectError)
        assert client.statistics().requests == 1
    server.close()
    await server.wait_closed()
    assert not error.sent
    assert "certificate" in str(error)


async def test_a_pool_that_closes_mid_flight_is_no_cancellation():
    async with (
        Scripted(hangs) as server,
        aiohttp.ClientSession() as pool,
        Session(http=pool) as session,
        FundingClient(
            someone(), session=session, base_url=server.base_url, max_retries=0
        ) as client,
    ):
        call = asyncio.ensure_future(client.get_non_tradable_assets("CELT"))
        await asyncio.sleep(0.1)
        await pool.close()
        error = await failure_of(call, OKXError)
        assert isinstance(error, ClientClosedError | TransportError)
        assert not call.cancelled()


# -- requests that must not meet a dead connection --------------------------------------------


async def sent(transport, server, *, fresh):
    response = await transport.send(
        "POST", f"{server.base_url}/x", {}, '{"a":"b"}', label="POST /x", timeout=5, fresh=fresh
    )
    assert response.body == BODY


@pytest.mark.parametrize(
    ("idle", "connections"), [([], 1), ([1, 4.9], 1), ([5.1], 2), ([1, 5.1, 4], 2)]
)
async def test_a_fresh_request_goes_out_on_a_new_or_recently_used_connection(idle, connections):
    transport = AiohttpTransport()
    async with Scripted(fine) as server:
        await sent(transport, server, fresh=True)
        for seconds in idle:
            await asyncio.sleep(seconds)
            await sent(transport, server, fresh=True)
        assert server.connections == connections
        await transport.aclose()


async def test_other_requests_keep_a_connection_fresh_and_go_out_on_older_ones():
    transport = AiohttpTransport()
    async with Scripted(fine) as server:
        await sent(transport, server, fresh=True)
        for _ in range(3):
            await asyncio.sleep(4)
            await sent(transport, server, fresh=False)
        await asyncio.sleep(4)
        await sent(transport, server, fresh=True)
        await asyncio.sleep(9)
        await sent(transport, server, fresh=False)
        assert server.connections == 1
        await transport.aclose()


async def test_a_fresh_request_opens_one_connection_though_many_are_old():
    transport = AiohttpTransport()
    async with Scripted(fine) as server:
        await asyncio.gather(*(sent(transport, server, fresh=False) for _ in range(5)))
        await asyncio.sleep(6)
        await sent(transport, server, fresh=True)
        assert server.connections == 6
        await transport.aclose()


@pytest.mark.parametrize("fresh", [True, False])
async def test_what_could_not_be_connected_was_not_sent(fresh):
    transport = AiohttpTransport()
    url = f"http://127.0.0.1:{free_port()}/x"
    error = await failure_of(
        transport.send("POST", url, {}, "{}", label="POST /x", timeout=5, fresh=fresh),
        TransportError,
    )
    assert (type(error), error.sent) == (ConnectError, False)
    await transport.aclose()


async def test_a_body_goes_out_as_it_is():
    transport = AiohttpTransport()
    heard = bytearray()

    async def listen(reader, writer):
        heard.extend(await reader.readuntil(b"}"))
        writer.write(http(BODY))
        writer.close()

    server = await asyncio.start_server(listen, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/x"
    headers = {"Content-Type": "application/json"}
    body = '{"amt":"1.50","note":"\\u00eb"}'
    response = await transport.send("POST", url, headers, body, label="POST /x", timeout=5)
    head, _, arrived = bytes(heard).partition(b"\r\n\r\n")
    assert (arrived, response.body) == (body.encode(), BODY)
    assert head.count(b"Content-Type: application/json") == 1
    assert b"Content-Length: %d" % len(body) in head
    assert b"chunked" not in head
    await transport.aclose()
    server.close()
    await server.wait_closed()
