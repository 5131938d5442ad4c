"""What changes around a shared limit while it is in use: versions, servers, passwords, networks."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import shutil
import subprocess

import pytest

from okx_funding import BucketsUnreachableError, FundingClient, RateLimit, Session
from okx_funding.ratelimit.redis import SharedLimits, inspect_buckets
from okx_funding.simulator import SimulatedExchange
from tests.redis.clients import QUICK, ask, key_of, sharing
from tests.redis.processes import until
from tests.redis.servers import RedisServer, free_port, running
from tests.support import ASSETS, failure_of, now, someone

pytestmark = pytest.mark.slow


@contextlib.asynccontextmanager
async def session_with(store: SharedLimits):
    """A session that keeps its limits there."""
    async with Session(limits=store) as session:
        yield session


@contextlib.asynccontextmanager
async def busy(exchange, store, callers=2, limit=QUICK):
    """A session whose callers ask without end."""
    async with session_with(store) as session:
        client = FundingClient(
            exchange.credentials,
            session=session,
            base_url=exchange.base_url,
            rate_limits={ASSETS: limit},
        )

        async def call(ccy):
            while True:
                await client.get_non_tradable_assets(ccy)

        names = exchange.currencies
        calls = [asyncio.create_task(call(names[20 * n : 20 * n + 20])) for n in range(callers)]
        try:
            yield client
        finally:
            for each in calls:
                each.cancel()
            outcomes = await asyncio.gather(*calls, return_exceptions=True)
            assert all(isinstance(each, asyncio.CancelledError) for each in outcomes), outcomes


def longest_gaps(exchange, since=0.0):
    times = [it.at for it in exchange.requests(ASSETS) if it.at >= since]
    return sorted((b - a for a, b in itertools.pairwise(times)), reverse=True)


async def test_eight_processes_change_over_to_a_new_format_one_by_one(redis_server: RedisServer):
    """Nobody is refused or stops; one silent window when the last old process is gone."""
    async with contextlib.AsyncExitStack() as news:
        exchange = await news.enter_async_context(
            SimulatedExchange(users=[someone()], limits={ASSETS: QUICK})
        )
        olds = []
        for _ in range(8):
            old = busy(exchange, SharedLimits(redis_server.url))
            await old.__aenter__()
            olds.append(old)
        await until(lambda: len(exchange.requests(ASSETS)) > 12, 0.05)
        began = exchange.requests(ASSETS)[-1].at
        for old in olds:
            await old.__aexit__(None, None, None)
            store = SharedLimits(redis_server.url)
            store.formats = (1, 2)
            await news.enter_async_context(busy(exchange, store))
            await asyncio.sleep(0.1)
        key = key_of(exchange).replace(":1:", ":2:")
        await until(lambda: int(redis_server.hash(key).get("sent", 0)) > 30, 0.05)
        first, second, *_ = longest_gaps(exchange, began)
        assert not exchange.refused
        assert exchange.busiest_window(ASSETS) <= 6
        assert second < 0.75 < first < 5.5, "one silent window"
        assert redis_server.hash(key_of(exchange))["moved"] == "2"


async def test_whoever_knows_no_newer_format_is_told_so(redis_server: RedisServer):
    async with sharing(redis_server, 1, known=False) as (exchange, client):
        key = key_of(exchange)
        redis_server.say("HSET", key, "moved", "2")
        error = await failure_of(ask(client, exchange), BucketsUnreachableError)
        assert f"{key} can't be used: a newer version keeps it in format 2" in str(error)


async def test_a_process_that_is_new_to_a_user_does_not_believe_a_stale_server(tmp_path):
    """A replica that missed the last second: nobody who asks it now remembers what was sent."""
    limit = RateLimit(6, 2.0)
    with running("--dir", str(tmp_path)) as server:
        async with sharing(server, 1, limit) as (exchange, client):
            await ask(client, exchange)
            await asyncio.sleep(0.1)
            server.say("SAVE")
            await asyncio.sleep(2.1)
            await ask(client, exchange, 6)
            server.kill()
            server.start()
            async with session_with(SharedLimits(server.url)) as session:
                other = FundingClient(
                    exchange.credentials,
                    session=session,
                    base_url=exchange.base_url,
                    rate_limits={ASSETS: limit},
                )
                await ask(other, exchange, 6)
                assert not exchange.refused
                await other.aclose()


# -- the network ------------------------------------------------------------------------------


class Hole:
    """A way to a server that can forget its connections: nothing comes through, nothing is said."""

    def __init__(self, port: int) -> None:
        self.port = free_port()
        self._to = port
        self._deaf: set[asyncio.StreamWriter] = set()
        self._open: list[asyncio.StreamWriter] = []

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._pass, "127.0.0.1", self.port)
        self.url = f"redis://127.0.0.1:{self.port}/0"
        return self

    async def __aexit__(self, *_):
        self._server.close()
        for writer in self._open:
            writer.transport.abort()

    def forget(self):
        """All connections so far."""
        self._deaf |= set(self._open)

    async def _pass(self, reader, writer):
        other_reader, other = await asyncio.open_connection("127.0.0.1", self._to)
        self._open += [writer, other]
        with contextlib.suppress(OSError):
            await asyncio.gather(self._copy(reader, other), self._copy(other_reader, writer))
        for each in (writer, other):
            each.close()

    async def _copy(self, reader, writer):
        while data := await reader.read(65536):
            if writer not in self._deaf:
                writer.write(data)
        if writer not in self._deaf:
            writer.close()


async def test_a_connection_that_goes_deaf_is_noticed_while_somebody_waits(
    redis_server: RedisServer, caplog
):
    caplog.set_level(logging.WARNING, "okx_funding.ratelimit.bucket")
    async with (
        Hole(redis_server.port) as hole,
        SimulatedExchange(users=[someone()], limits={ASSETS: QUICK}) as exchange,
        busy(exchange, SharedLimits(hole.url)),
        busy(exchange, SharedLimits(redis_server.url)),
    ):
        await until(lambda: len(exchange.requests(ASSETS)) > 12, 0.05)
        hole.forget()
        await asyncio.sleep(4)
        assert not exchange.refused
        assert (
            len([1 for it in exchange.requests(ASSETS) if it.at > exchange.log[-1].at - 0.9]) >= 12
        )
    assert "can't be used: no answer in time" in caplog.text


async def test_a_connection_forgotten_while_idle_costs_one_second(redis_server: RedisServer):
    async with Hole(redis_server.port) as hole:  # noqa: SIM117 - what is inside is told apart
        async with sharing(redis_server, 1, url=hole.url) as (exchange, client):
            await ask(client, exchange)
            await asyncio.sleep(0.5)
            hole.forget()
            began = now()
            await ask(client, exchange)
            assert 0.9 < now() - began < 1.6


async def test_an_idle_session_says_nothing(redis_server: RedisServer):
    async with sharing(redis_server, 1) as (exchange, client):
        await ask(client, exchange)
        await asyncio.sleep(0.2)
        before = redis_server.commands()
        await asyncio.sleep(2.5)
        assert redis_server.commands() == before


async def test_many_sessions_come_back_soon_and_not_all_at_once(
    redis_server_to_harm: RedisServer,
):
    server = redis_server_to_harm
    async with sharing(server, 20) as (exchange, *clients):
        await asyncio.gather(*(ask(client, exchange) for client in clients))
        server.kill()
        await asyncio.sleep(1)
        server.start()
        await asyncio.sleep(2)
        stores = [client._calls._given._store for client in clients]
        assert all(store.unavailable_reason is None for store in stores)
        made = server.say("INFO", "stats").split("total_connections_received:")[1].split()[0]
        assert int(made) <= 20 + 3, "one connection each, and those of this test"


# -- passwords and certificates ----------------------------------------------------------------


async def test_credentials_that_rotate_are_asked_for_anew_each_time(redis_server):
    passwords = ["first"]

    async def credentials():
        return "bot", passwords[-1]

    with running() as server:
        server.say("ACL", "SETUSER", "bot", "on", ">first", "~*", "&*", "+@all")
        async with SimulatedExchange(users=[someone()], limits={ASSETS: QUICK}) as exchange:  # noqa: SIM117 - what is inside is told apart
            async with busy(exchange, SharedLimits(server.url, credentials=credentials)):
                for number in range(4):
                    await asyncio.sleep(0.5)
                    server.say("ACL", "SETUSER", "bot", "resetpass", f">token-{number}")
                    server.say("CLIENT", "KILL", "USER", "bot")
                    await asyncio.sleep(0.3)
                    passwords.append(f"token-{number}")  # later than the server: it is waited for
                before = len(exchange.requests(ASSETS))
                await until(lambda: len(exchange.requests(ASSETS)) > before + 6, 0.05)
                assert not exchange.refused


@pytest.fixture
def certificates(tmp_path):
    """Those of a server, signed by themselves."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl isn't installed")
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    subject = ("-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1")
    files = ("-keyout", str(key), "-out", str(certificate))
    command = ("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2")
    subprocess.run((*command, *subject, *files), check=True, capture_output=True)
    return key, certificate


async def test_a_certificate_that_is_not_trusted_is_named_and_final(certificates):
    key, certificate = map(str, certificates)
    port = free_port()
    tls = ("--tls-port", str(port), "--tls-cert-file", certificate, "--tls-key-file", key)
    with running(*tls, "--tls-ca-cert-file", certificate, "--tls-auth-clients", "no") as server:
        url = f"rediss://127.0.0.1:{port}/0"
        async with sharing(server, 1, url=url) as (exchange, client):
            began = now()
            error = await failure_of(ask(client, exchange, timeout=9), BucketsUnreachableError)
            assert now() - began < 1, "waiting is of no use"
            assert "its certificate isn't trusted (self-signed certificate)" in str(error)
        async with sharing(server, 1, url=f"{url}?ssl_ca_certs={certificate}") as (
            exchange,
            client,
        ):
            assert await ask(client, exchange)


# -- several in one server ----------------------------------------------------------------------


async def test_teams_with_prefixes_of_their_own_know_nothing_of_each_other(
    redis_server: RedisServer,
):
    async with SimulatedExchange(users=[someone()], limits={ASSETS: QUICK}) as exchange:
        for prefix in ("alpha", "beta"):
            async with session_with(SharedLimits(redis_server.url, prefix=prefix)) as session:
                client = FundingClient(
                    exchange.credentials,
                    session=session,
                    base_url=exchange.base_url,
                    rate_limits={ASSETS: QUICK},
                )
                await ask(client, exchange)
                (bucket,) = await inspect_buckets(redis_server.url, prefix=prefix)
                assert bucket.requests_sent == 1
                await client.aclose()
        assert {key.split(":")[0] for key in redis_server.say("KEYS", "*")} == {"alpha", "beta"}
