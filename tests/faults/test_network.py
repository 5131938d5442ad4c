"""The network's faults, row by row: ``pytest -k N7_`` finds that of row N7."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import socket
import ssl
import subprocess

import aiohttp
import pytest

from okx_funding import (
    ConnectError,
    FundingClient,
    OutcomeUnknownError,
    ProtocolError,
    RateLimit,
    RequestTimeoutError,
    Session,
    TransportError,
)
from tests.faults.server import (
    BODY,
    FINE,
    TRANSFERRED,
    FaultServer,
    always,
    closes,
    facing,
    fails,
    fine,
    mute,
    nothing_is_held,
    once,
    resets,
    sockets,
    transfer,
    works,
)
from tests.support import ASSETS, VALUATION, failure_of, http, now, someone

pytestmark = [pytest.mark.looptime, pytest.mark.anyloop]
virtual = pytest.mark.anyloop(False)

QUICK = {ASSETS: RateLimit(1000)}


def closed_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


# -- N1 to N4: no connection ------------------------------------------------------------------


async def test_N1_a_refused_connection_is_tried_again_and_was_never_sent():
    url = f"http://127.0.0.1:{closed_port()}"
    async with FundingClient(someone(), base_url=url, max_retries=2) as client:
        error = await fails(client, ConnectError)
        assert not error.sent
        assert client.statistics().requests == 3
        assert client.statistics().buckets[0].requests_sent == 0
        await nothing_is_held(client)


async def test_N1_even_what_must_not_be_sent_twice_is_tried_again_when_it_never_left():
    server = FaultServer(always(TRANSFERRED))
    server.port = closed_port()
    async with FundingClient(someone(), base_url=server.base_url) as client:
        call = asyncio.ensure_future(transfer(client))
        while not client.statistics().requests:  # noqa: ASYNC110
            await asyncio.sleep(0)
        await server.start()
        assert [each.ts for each in await call] == [1]
        assert len(server.heard) == 1
        assert server.heard[0].raw.startswith(b"POST /api/v5/asset/transfer ")
    await server.stop()


@virtual
async def test_N2_a_name_that_nobody_knows_is_a_connect_error(monkeypatch):
    asked = []

    async def getaddrinfo(host, port, **_):
        asked.append(host)
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
    async with FundingClient(someone(), base_url="https://okx.invalid", max_retries=1) as client:
        error = await fails(client, ConnectError)
        assert not error.sent
        assert "Name or service not known" in str(error)
        assert asked == ["okx.invalid"] * 2


@virtual
async def test_N2_a_silent_name_server_is_cut_short_and_holds_up_nobody_else(monkeypatch):
    async def getaddrinfo(host, port, **_):
        await asyncio.Event().wait()

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
    async with FaultServer(fine) as server, Session() as session:
        stuck = FundingClient(
            someone(), base_url="https://okx.invalid", session=session, max_retries=0
        )
        free = FundingClient(someone(), base_url=server.base_url, session=session)
        call = asyncio.ensure_future(fails(stuck, ConnectError))
        await works(free)
        assert now() < 0.1
        error = await call
        assert not error.sent
        assert now() == pytest.approx(9.0, abs=0.05)  # request_timeout is 10
        assert stuck.statistics().buckets[0].requests_sent == 0


@pytest.fixture
def deaf_port():
    """A listening port that answers no SYN: its queue of connections is full."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        port = listening.getsockname()[1]
        waiting = []
        try:
            while True:
                sock = socket.socket()
                waiting.append(sock)
                sock.settimeout(0.02)
                sock.connect(("127.0.0.1", port))
        except TimeoutError:
            yield port
        finally:
            for sock in waiting:
                sock.close()


@virtual
@pytest.mark.parametrize("way", ["read", "money"])
async def test_N3_a_connection_that_never_comes_about_was_never_sent(deaf_port, way):
    url = f"http://127.0.0.1:{deaf_port}"
    async with FundingClient(someone(), base_url=url, max_retries=1, request_timeout=2) as client:
        if way == "read":
            error = await fails(client, ConnectError)
        else:
            error = await failure_of(transfer(client), ConnectError)
        assert not error.sent
        assert client.statistics().requests == 2
        assert 2 * 1.8 <= now() < 2 * 1.8 + 0.3


@virtual
async def test_N3_even_when_all_timers_ring_at_once_it_was_never_sent(deaf_port, monkeypatch):
    url = f"http://127.0.0.1:{deaf_port}"
    loop = asyncio.get_running_loop()
    clock = loop.time
    async with FundingClient(someone(), base_url=url, max_retries=0, request_timeout=2) as client:
        call = asyncio.ensure_future(failure_of(transfer(client), TransportError))
        await asyncio.sleep(0.1)
        # A loop that was held up for longer than the timeout finds all timers due in one turn.
        monkeypatch.setattr(loop, "time", lambda: clock() + 3)
        loop.call_later(0, monkeypatch.setattr, loop, "time", clock)
        error = await call
    assert type(error) is ConnectError
    assert not error.sent


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A certificate for localhost that nobody signed, and its key."""
    folder = tmp_path_factory.mktemp("tls")
    key, cert = folder / "key.pem", folder / "cert.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2"
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    files = ["-keyout", str(key), "-out", str(cert)]
    try:
        subprocess.run([*command.split(), *names, *files], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no openssl to make a certificate with")
    return cert, key


@pytest.fixture
def tls(certificate):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*certificate)
    return context


@pytest.mark.looptime(False)
async def test_N4_a_certificate_that_nobody_signed_is_refused_at_once(tls):
    asyncio.get_running_loop().set_exception_handler(lambda _loop, _context: None)
    async with FaultServer(fine, tls=tls) as server:
        async with FundingClient(someone(), base_url=server.base_url) as client:
            error = await fails(client, ConnectError)
            assert client.statistics().requests == 1
        assert server.heard == []
    assert not error.sent
    assert "self-signed certificate" in str(error)
    with pytest.raises(TypeError):
        Session(verify=False)  # type: ignore[call-arg]


@pytest.mark.looptime(False)
@pytest.mark.parametrize(("host", "right"), [("127.0.0.1", False), ("localhost", True)])
async def test_N4_ones_own_authority_is_a_matter_of_ones_own_http_session(
    tls, certificate, host, right
):
    asyncio.get_running_loop().set_exception_handler(lambda _loop, _context: None)
    trusting = ssl.create_default_context(cafile=str(certificate[0]))
    async with (
        FaultServer(fine, tls=tls) as server,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trusting)) as http_session,
        Session(http=http_session) as session,
    ):
        url = f"https://{host}:{server.port}"
        client = FundingClient(someone(), base_url=url, session=session, max_retries=0)
        if right:
            await works(client)
        else:
            error = await fails(client, ConnectError)
            assert "certificate" in str(error)


# -- N5 to N8: connections that end -------------------------------------------------------------


@pytest.mark.parametrize("end", [resets, closes])
async def test_N5_an_end_before_any_answer_is_tried_again(end, unlucky):
    async with facing(end, fine) as (server, client):
        began = now()
        await works(client)
        assert [heard.connection for heard in server.heard] == [1, 2]
        assert now() - began >= 0.09  # a new connection that breaks is a fault like any other


async def test_N5_after_a_reset_nobody_knows_whether_money_moved():
    async with facing(resets, always(TRANSFERRED)) as (server, client):
        error = await failure_of(transfer(client), OutcomeUnknownError)
        assert error.sent
        assert len(server.heard) == 1


async def halfway(peer):
    await peer.hear()
    peer.say(http(BODY[: len(BODY) // 2], length=len(BODY)))
    await peer.reset()


async def test_N6_a_reset_within_the_body_is_tried_again_on_another_connection():
    async with facing(halfway, fine) as (server, client):
        await works(client)
        await works(client)
        assert [heard.connection for heard in server.heard] == [1, 2, 2]
    async with facing(halfway, max_retries=0) as (server, client):
        assert (await fails(client, ProtocolError)).sent
        await failure_of(transfer(client), OutcomeUnknownError)
        assert len(server.heard) == 2
        await nothing_is_held(client)


def dies_under_the_second(way):
    async def script(peer):
        await peer.hear()
        peer.say(FINE)
        await peer.hear()
        if way == "reset":
            await peer.reset()

    return script


@pytest.mark.parametrize("way", ["close", "reset"])
async def test_N7_a_kept_alive_connection_that_dies_costs_one_request_and_no_time(
    way, unlucky, ticking
):
    async with facing(dies_under_the_second(way), fine) as (server, client):
        await works(client)
        began = now()
        await works(client)
        assert now() - began < 0.05  # the first retry waits for nothing
        assert len(server.heard) == 3
        assert client.statistics().requests == 3
        assert client.statistics().buckets[0].requests_sent == 3
        for signed in ("ok-access-sign", "ok-access-timestamp"):
            assert len({heard.headers[signed] for heard in server.heard}) == 3


@pytest.mark.parametrize("way", ["close", "reset"])
async def test_N7_nothing_is_sent_again_behind_our_back(way):
    async with facing(dies_under_the_second(way), fine, max_retries=0) as (server, client):
        await works(client)
        error = await fails(client, ProtocolError)
        assert error.sent
        assert len(server.heard) == 2
    async with facing(dies_under_the_second(way), fine) as (server, client):
        await works(client)
        await failure_of(transfer(client), OutcomeUnknownError)
        assert len(server.heard) == 2


async def test_N7_only_the_first_retry_goes_without_back_off(unlucky):
    async def dies_twice(peer):
        await peer.hear()
        peer.say(FINE)
        await peer.hear()

    async with facing(dies_twice, closes, fine) as (server, client):
        await works(client)
        began = now()
        await works(client)
        assert [heard.connection for heard in server.heard] == [1, 1, 2, 3]
        assert now() - began >= 0.19


@pytest.mark.parametrize("told", [True, False])
async def test_N8_a_server_that_closes_after_each_answer_costs_nothing(told):
    headers = ["Connection: close"] if told else []
    async with facing(once(http(BODY, headers=headers)), rate_limits=QUICK) as (server, client):
        await works(client)
        await asyncio.sleep(0.01)
        before = sockets()
        for _ in range(20):
            await works(client)
            await asyncio.sleep(0.005)
        assert sockets() <= before
        assert server.connections == len(server.heard) == 21


# -- N9 to N13: servers that don't answer -------------------------------------------------------


async def slow_headers(peer):
    await peer.hear()
    await peer.drip(FINE, 0.3)


async def slow_body(peer):
    await peer.hear()
    peer.say(http(b"", length=len(BODY)))
    await peer.drip(BODY, 0.3)


async def ends_in_time(script, seconds):
    limits = {ASSETS: RateLimit(1, 1000.0), VALUATION: RateLimit(6)}
    options = {"request_timeout": seconds, "max_retries": 0, "rate_limits": limits}
    async with facing(script, **options) as (_, client):
        began = now()
        error = await fails(client, RequestTimeoutError)
        assert abs(now() - began - seconds) <= 0.05
        assert isinstance(error, TimeoutError)
        assert error.sent
        await nothing_is_held(client)


@virtual
@pytest.mark.parametrize("seconds", [0.5, 4.0, 7.3])
async def test_N9_slow_headers_end_with_the_request_timeout(seconds):
    await ends_in_time(slow_headers, seconds)


@virtual
@pytest.mark.parametrize("seconds", [0.5, 4.0, 7.3])
async def test_N10_a_body_that_drips_ends_with_the_request_timeout(seconds):
    await ends_in_time(slow_body, seconds)


@virtual
async def test_N11_a_server_that_never_answers_ends_with_the_request_timeout():
    await ends_in_time(mute, 3.0)


@virtual
async def test_N11_an_endpoint_that_is_stuck_starves_no_other():
    valuation = http(b'{"code":"0","data":[{"totalBal":"1","ts":"1","details":{}}],"msg":""}')

    async def by_endpoint(peer):
        while True:
            heard = await peer.hear()
            if "valuation" in heard.target:
                peer.say(valuation)
            else:
                await peer.gone()

    async with facing(by_endpoint, max_retries=0, request_timeout=10) as (_, client):
        stuck = [asyncio.ensure_future(client.get_non_tradable_assets(f"C{n}")) for n in range(200)]
        for second in range(5):
            await client.get_asset_valuation()
            assert now() < second + 1.1
        outcomes = await asyncio.gather(*stuck, return_exceptions=True)
        assert {type(each) for each in outcomes} == {RequestTimeoutError}


@virtual
async def test_N12_a_connection_that_went_dead_in_silence_is_left_behind():
    async def dead_after_the_first(peer):
        await peer.hear()
        peer.say(FINE)
        await peer.hear()
        await asyncio.Event().wait()

    async with facing(dead_after_the_first, fine, request_timeout=2) as (server, client):
        await works(client)
        began = now()
        await works(client)
        assert 2 <= now() - began < 2.3
        assert [heard.connection for heard in server.heard] == [1, 1, 2]


async def test_N13_a_server_that_starts_again_is_found_again():
    server = FaultServer(fine)
    await server.start()
    async with FundingClient(someone(), base_url=server.base_url, max_retries=0) as client:
        await works(client)
        await server.stop()
        await fails(client, ConnectError)
        await server.start()
        await works(client)
    await server.stop()


# -- N14, N15: proxies, and no descriptors left ---------------------------------------------------


async def at_proxy(url, base_url, **options):
    """The error, and everything that was shown."""
    async with Session(proxy=url) as session:
        client = FundingClient(
            someone(), base_url=base_url, allow_http=True, session=session, **options
        )
        error = await fails(client, ConnectError)
        shown = " ".join(map(repr, (error, vars(error), session, client, vars(session._transport))))
        assert "proxy-word" not in f"{shown} {error}"
        assert not error.sent
        return error, client.statistics().requests


async def test_N14_a_proxy_that_is_not_there_is_tried_again():
    url = f"http://user:proxy-word@127.0.0.1:{closed_port()}"
    error, requests = await at_proxy(url, "http://okx.invalid", max_retries=1)
    assert "proxy" in str(error)
    assert requests == 2


@pytest.mark.parametrize(("status", "requests"), [(407, 1), (403, 1), (502, 3)])
async def test_N14_a_proxy_that_refuses_to_connect_has_sent_nothing(status, requests):
    async with FaultServer(once(http(b"no", status))) as proxy:
        url = f"http://user:proxy-word@127.0.0.1:{proxy.port}"
        error, made = await at_proxy(url, "https://okx.invalid")
        assert f"HTTP {status}" in str(error)
        assert made == len(proxy.heard) == requests
        assert proxy.heard[0].raw.startswith(b"CONNECT okx.invalid:443 ")
        assert not any(b"OK-ACCESS" in heard.raw for heard in proxy.heard)


@pytest.mark.skipif(not hasattr(resource, "RLIMIT_NOFILE"), reason="no such limit here")
async def test_N15_without_descriptors_it_is_a_connect_error_until_there_are_some():
    async with facing(fine, max_retries=1) as (server, client):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        taken = []
        try:
            resource.setrlimit(
                resource.RLIMIT_NOFILE, (max(map(int, os.listdir("/proc/self/fd"))) + 3, hard)
            )
            with contextlib.suppress(OSError):
                while True:
                    taken.append(os.dup(0))
            failure = await fails(client, ConnectError)
        finally:
            for descriptor in taken:
                os.close(descriptor)
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert "Too many open files" in str(failure)
        assert not failure.sent
        assert client.statistics().requests == 2  # no spinning
        await works(client)
        assert len(server.heard) == 1
