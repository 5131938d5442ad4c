"""The push connection, against sockets made by hand and in virtual time."""

import asyncio
import json

import pytest

from okx_funding.errors import (
    BacklogExceededError,
    ClientClosedError,
    ConnectError,
    PushStoppedError,
)
from okx_funding.scheduler.push import FINAL_CLOSES, FINAL_CODES, PushConnection, Pushed, Up
from okx_funding.wire.websocket import Closed

pytestmark = pytest.mark.looptime

DEPOSITS, WITHDRAWALS = "deposit-info", "withdrawal-info"


class Peer:
    """OKX's end of one connection."""

    def __init__(self, *, login="0", answers=True, pongs=True):
        self.sent = []
        self.closed = False
        self.at = asyncio.get_running_loop().time()
        self._login, self._answers, self._pongs = login, answers, pongs
        self._frames = asyncio.Queue()  # type: ignore[var-annotated]

    async def send(self, text):
        self.sent.append(text)
        if text == "ping":
            if self._pongs:
                self.push("pong")
            return
        asked = json.loads(text)
        if not self._answers:
            return
        if asked["op"] == "login":
            good = {"event": "login", "code": "0"}
            bad = {"event": "error", "code": self._login, "msg": "Login failed."}
            self.push(good if self._login == "0" else bad)
        else:
            self.push({"event": "subscribe", "arg": asked["args"][0]})

    def push(self, frame):
        self._frames.put_nowait(frame if isinstance(frame, str) else json.dumps(frame))

    def event(self, channel=DEPOSITS, **row):
        self.push({"arg": {"channel": channel}, "data": [row]})

    def end(self, code, reason=""):
        self._frames.put_nowait(Closed(code, reason))

    async def receive(self):
        return await self._frames.get()

    async def close(self):
        self.closed = True


class Exchange:
    """All connections that were made, in order."""

    def __init__(self, *scripts, refuses=0):
        self.scripts, self.refuses = list(scripts), refuses
        self.peers = []
        self.attempts = []
        self.clocks = 0

    async def connect(self):
        self.attempts.append(asyncio.get_running_loop().time())
        if self.refuses:
            self.refuses -= 1
            raise ConnectError("no connection")
        peer = Peer(**(self.scripts.pop(0) if self.scripts else {}))
        self.peers.append(peer)
        return peer

    async def learn_clock(self):
        self.clocks += 1

    def connection(self, url="wss://one"):
        return PushConnection(
            url,
            connect=self.connect,
            login=lambda: '{"op":"login","args":[]}',
            learn_clock=self.learn_clock,
        )


async def opened(exchange, max_backlog=100):
    connection = exchange.connection()
    listener = connection.listen(DEPOSITS, max_backlog)
    assert isinstance(await listener.get(), Up)
    return connection, listener


async def test_the_first_thing_heard_is_that_the_connection_is_new():
    exchange = Exchange()
    connection, listener = await opened(exchange)
    exchange.peers[0].event(state="0")
    assert await listener.get() == Pushed(b'[{"state":"0"}]')
    await connection.aclose()


async def test_the_last_listener_closes_the_connection():
    exchange = Exchange()
    connection, listener = await opened(exchange)
    listener.close()
    await connection.aclose()
    assert exchange.peers[0].closed
    assert connection.statistics().state == "closed"


async def test_one_connection_serves_both_channels():
    exchange = Exchange()
    connection, first = await opened(exchange)
    second = connection.listen(WITHDRAWALS, 100)
    assert isinstance(await second.get(), Up)
    exchange.peers[0].event(WITHDRAWALS, state="7")
    assert await second.get() == Pushed(b'[{"state":"7"}]')
    assert len(exchange.peers) == 1
    assert not len(first)
    await connection.aclose()


async def test_silence_is_answered_by_a_ping():
    exchange = Exchange()
    connection, _ = await opened(exchange)
    await asyncio.sleep(80)
    assert exchange.peers[0].sent.count("ping") == 3
    assert len(exchange.peers) == 1
    await connection.aclose()


async def test_a_dead_path_is_noticed_within_thirty_seconds():
    exchange = Exchange({"pongs": False})
    connection, listener = await opened(exchange)
    before = asyncio.get_running_loop().time()
    assert isinstance(await listener.get(), Up)
    assert asyncio.get_running_loop().time() - before < 31.5
    assert len(exchange.peers) == 2
    await connection.aclose()


@pytest.mark.parametrize("code", [4004, 4005, 4006, 1006, 1001])
async def test_a_connection_that_may_come_back_does(code):
    exchange = Exchange()
    connection, listener = await opened(exchange)
    exchange.peers[0].end(code)
    assert isinstance(await listener.get(), Up)
    assert connection.statistics().connections == 2
    await connection.aclose()


@pytest.mark.parametrize("code", sorted(FINAL_CLOSES))
async def test_a_final_close_ends_every_listener_with_its_code(code):
    exchange = Exchange()
    _, listener = await opened(exchange)
    exchange.peers[0].end(code, "Login Failed")
    with pytest.raises(PushStoppedError, match=str(code)) as caught:
        await listener.get()
    assert caught.value.code == str(code)


@pytest.mark.parametrize("code", sorted(FINAL_CODES))
async def test_a_final_error_of_the_login_ends_every_listener(code):
    exchange = Exchange({"login": code})
    listener = exchange.connection().listen(DEPOSITS, 10)
    with pytest.raises(PushStoppedError, match=code):
        await listener.get()
    assert len(exchange.peers) == 1


@pytest.mark.parametrize("code", ["60004", "60006"])
async def test_a_wrong_clock_is_set_before_the_next_login(code):
    exchange = Exchange({"login": code})
    connection = exchange.connection()
    listener = connection.listen(DEPOSITS, 10)
    assert isinstance(await listener.get(), Up)
    assert exchange.clocks == 1
    await connection.aclose()


async def test_a_service_upgrade_opens_the_second_connection_first():
    exchange = Exchange()
    connection, listener = await opened(exchange)
    first = exchange.peers[0]
    first.push({"event": "notice", "code": "64008", "msg": "soon"})
    first.event(state="1")
    while len(exchange.peers) < 2:
        assert not first.closed
        await asyncio.sleep(0.1)
    await asyncio.sleep(1)
    exchange.peers[1].event(state="2")
    assert [await listener.get(), await listener.get()] == [
        Pushed(b'[{"state":"1"}]'),
        Pushed(b'[{"state":"2"}]'),
    ]
    await asyncio.sleep(6)
    assert first.closed
    await connection.aclose()


async def test_a_push_before_the_acknowledgement_comes_after_up():
    exchange = Exchange()
    connection = exchange.connection()
    listener = connection.listen(DEPOSITS, 10)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    exchange.peers[0].event(state="0")
    assert isinstance(await listener.get(), Up)
    await connection.aclose()


async def test_connections_to_one_address_are_paced_together():
    exchange = Exchange()
    connections = [exchange.connection() for _ in range(6)]
    for connection in connections:
        connection.listen(DEPOSITS, 10)
    await asyncio.sleep(10)
    at = sorted(exchange.attempts)
    assert all(later - earlier > 1 for earlier, later in zip(at, at[3:], strict=False))
    for connection in connections:
        await connection.aclose()


async def test_pauses_grow_while_nothing_answers():
    exchange = Exchange(refuses=8)
    connection = exchange.connection()
    listener = connection.listen(DEPOSITS, 10)
    assert isinstance(await listener.get(), Up)
    assert len(exchange.attempts) == 9
    await connection.aclose()


async def test_a_consumer_that_is_too_slow_ends_and_the_socket_goes_on():
    exchange = Exchange()
    connection, slow = await opened(exchange, max_backlog=5)
    quick = connection.listen(DEPOSITS, 100)
    assert isinstance(await quick.get(), Up)
    for number in range(7):
        exchange.peers[0].event(state=str(number))
    await asyncio.sleep(1)
    with pytest.raises(BacklogExceededError, match="max_backlog=5"):
        await slow.get()
    assert len(quick) == 7
    await connection.aclose()


async def test_closing_ends_every_listener():
    exchange = Exchange()
    connection, listener = await opened(exchange)
    waiting = asyncio.ensure_future(listener.get())
    await asyncio.sleep(0)
    await connection.aclose()
    with pytest.raises(ClientClosedError):
        await waiting
    assert exchange.peers[0].closed


async def test_cancelling_who_waits_loses_nothing():
    exchange = Exchange()
    connection, listener = await opened(exchange)
    for number in range(50):
        waiting = asyncio.ensure_future(listener.get())
        await asyncio.sleep(0)
        exchange.peers[0].event(state=str(number))
        await asyncio.sleep(0.01)
        waiting.cancel()
        if not waiting.cancelled() and waiting.done():
            assert waiting.result() == Pushed(b'[{"state":"%d"}]' % number)
        else:
            assert await listener.get() == Pushed(b'[{"state":"%d"}]' % number)
    await connection.aclose()
