"""The WebSocket of deposits and withdrawals: login, subscriptions, pushes, silence, ends."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import time
from contextlib import asynccontextmanager

import aiohttp
import pytest

from okx_funding.auth.credentials import Credentials
from okx_funding.simulator import SimulatedExchange
from okx_funding.simulator.frames import Frame, FrameError, Reader, accept_key, encode

from .conftest import unlimited

pytestmark = pytest.mark.looptime

DEPOSITS, WITHDRAWALS = "deposit-info", "withdrawal-info"


@pytest.fixture
async def http():
    async with aiohttp.ClientSession() as session:
        yield session


@asynccontextmanager
async def connected(http, exchange, url=None):
    async with http.ws_connect(url or exchange.ws_url) as socket:
        yield Client(socket)


class Client:
    """A client of a few lines."""

    def __init__(self, socket):
        self.socket = socket

    async def hear(self):
        """The next message: JSON, text, or the code that the connection was closed with."""
        message = await self.socket.receive(100)
        if message.type == aiohttp.WSMsgType.TEXT:
            return json.loads(message.data) if message.data[0] == "{" else message.data
        return self.socket.close_code

    async def ask(self, op, *args, **more):
        await self.socket.send_json({"op": op, "args": list(args), **more})
        return await self.hear()

    async def login(self, credentials, **changes):
        api_key, secret_key, passphrase = (str.__str__(it) for it in credentials.reveal())
        timestamp = changes.pop("timestamp", None) or str(int(time.time()))
        text = f"{timestamp}GET/users/self/verify".encode()
        sign = base64.b64encode(hmac.digest(secret_key.encode(), text, hashlib.sha256)).decode()
        arg = {"apiKey": api_key, "passphrase": passphrase, "timestamp": timestamp, "sign": sign}
        return await self.ask("login", arg | changes)

    async def follow(self, exchange, *channels, credentials=None):
        assert (await self.login(credentials or exchange.credentials))["event"] == "login"
        for channel in channels:
            assert (await self.ask("subscribe", {"channel": channel}))["event"] == "subscribe"


# --- login ------------------------------------------------------------------------------------


async def test_login_answers_with_code_0(exchange, http):
    async with connected(http, exchange) as client:
        answer = await client.login(exchange.credentials)
        assert answer == {"event": "login", "code": "0", "msg": "", "connId": answer["connId"]}
        assert exchange.websockets.peers[0].uid == exchange.user_ids[0]
        assert exchange.credentials.api_key not in repr(exchange.websockets.peers)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"apiKey": "nobody"}, "60005"),
        ({"passphrase": "wrong"}, "60024"),
        ({"sign": "AAAA"}, "60007"),
        ({"timestamp": "2026-11-25T00:00:00Z"}, "60004"),
        ({"timestamp": "1597026383"}, "60006"),
    ],
)
async def test_a_wrong_login_has_its_code_and_ends_the_connection(exchange, http, changes, code):
    async with connected(http, exchange) as client:
        answer = await client.login(exchange.credentials, **changes)
        assert (answer["event"], answer["code"]) == ("error", code)
        assert await client.hear() == 4001


async def test_a_second_login_is_refused(exchange, http):
    async with connected(http, exchange) as client:
        await client.login(exchange.credentials)
        assert (await client.login(exchange.credentials))["code"] == "60031"
        assert (await client.ask("subscribe", {"channel": DEPOSITS}))["event"] == "subscribe"


async def test_login_is_held_against_the_skewed_clock(exchange, http):
    exchange.clock_skew = 3600
    async with connected(http, exchange) as client:
        assert (await client.login(exchange.credentials))["code"] == "60006"


async def test_a_login_can_be_made_to_fail(exchange, http):
    exchange.websockets.login_errors.append("63999")
    async with connected(http, exchange) as client:
        assert (await client.login(exchange.credentials))["code"] == "63999"
        assert (await client.login(exchange.credentials))["code"] == "0"


# --- subscriptions ------------------------------------------------------------------------------


async def test_a_subscription_is_acknowledged_with_its_id(exchange, http):
    async with connected(http, exchange) as client:
        await client.login(exchange.credentials)
        answer = await client.ask("subscribe", {"channel": DEPOSITS, "ccy": "BTC"}, id="1512")
        assert answer == {
            "id": "1512", "event": "subscribe", "arg": {"channel": DEPOSITS, "ccy": "BTC"},
            "connId": answer["connId"],
        }  # fmt: skip
        answer = await client.ask("unsubscribe", {"channel": DEPOSITS, "ccy": "BTC"})
        assert answer["event"] == "unsubscribe"
        assert exchange.websockets.peers[0].subscribed == set()


async def test_each_argument_is_acknowledged(exchange, http):
    async with connected(http, exchange) as client:
        await client.login(exchange.credentials)
        one = await client.ask("subscribe", {"channel": DEPOSITS}, {"channel": WITHDRAWALS})
        two = await client.hear()
        assert [it["arg"]["channel"] for it in (one, two)] == [DEPOSITS, WITHDRAWALS]


async def test_what_cant_be_subscribed(exchange, http):
    async with connected(http, exchange) as client:
        assert (await client.ask("subscribe", {"channel": DEPOSITS}))["code"] == "60011"
        assert (await client.ask("subscribe", {"channel": "tickers"}))["code"] == "60018"
        assert (await client.ask("dance", {}))["code"] == "60012"
        await client.socket.send_str('{"op": "subscribe", "argss": [{"channel": "x"}]}')
        answer = await client.hear()
        assert answer["code"] == "60012"
        assert answer["msg"].startswith('Invalid request: {"op": "subscribe", "argss"')


async def test_other_paths_dont_know_these_channels(exchange, http):
    url = exchange.ws_url.replace("business", "private")
    async with connected(http, exchange, url) as client:
        await client.login(exchange.credentials)
        assert (await client.ask("subscribe", {"channel": DEPOSITS}))["code"] == "60018"


async def test_480_requests_an_hour(exchange, http):
    async with connected(http, exchange) as client:
        await client.login(exchange.credentials)
        for _ in range(479):
            assert (await client.ask("subscribe", {"channel": DEPOSITS}))["event"] == "subscribe"
        assert (await client.ask("subscribe", {"channel": DEPOSITS}))["code"] == "60014"


# --- pushes -------------------------------------------------------------------------------------


async def test_every_change_of_a_deposit_is_pushed_and_agrees_with_the_history(bank, http, call):
    async with connected(http, bank) as client:
        await client.follow(bank, DEPOSITS)
        deposit = bank.account().deposit("USDT", "5", pending=True)
        bank.advance(minutes=10)
        pushes = [await client.hear() for _ in range(4)]
        assert [it["data"][0]["state"] for it in pushes] == ["0", "0", "1", "2"]
        assert pushes[0]["arg"] == {"channel": DEPOSITS, "uid": bank.user_ids[0]}
        (row,) = pushes[-1]["data"]
        _, (shown,) = await call(bank, "get_deposit_history", depId=deposit.dep_id)
        assert {name: row[name] for name in shown} == shown
        assert set(row) - set(shown) == {"pTime", "uid", "subAcct"}
        assert int(row["pTime"]) > int(row["ts"])


async def test_every_change_of_a_withdrawal_is_pushed(bank, http, call):
    async with connected(http, bank) as client:
        await client.follow(bank, WITHDRAWALS)
        body = {"ccy": "USDT", "amt": "5", "dest": "4", "toAddr": bank.account().address}
        _, (done,) = await call(bank, "withdrawal", clientId="w1", **body)
        assert (await call(bank, "cancel_withdrawal", wdId=done["wdId"]))[0] == "0"
        bank.advance(5)
        pushes = [await client.hear() for _ in range(3)]
        rows = [it["data"][0] for it in pushes]
        assert [row["state"] for row in rows] == ["0", "-3", "-2"]
        assert {row["clientId"] for row in rows} == {"w1"}
        assert (rows[0]["tag"], rows[0]["memo"], rows[0]["pmtId"], rows[0]["addrEx"]) == (
            "", "", "", None,
        )  # fmt: skip


async def test_pushes_are_driven_by_the_loops_clock(bank, http):
    async with connected(http, bank) as client:
        await client.follow(bank, DEPOSITS)
        bank.account().deposit("USDT", "5", pending=True)
        start = asyncio.get_running_loop().time()
        await client.hear()
        bank.websockets.peers[0].active += 3600  # no silence here
        await client.hear()
        assert asyncio.get_running_loop().time() - start == pytest.approx(60, abs=1)


async def test_a_subscription_to_one_currency_hears_no_other(bank, http):
    async with connected(http, bank) as client:
        await client.login(bank.credentials)
        await client.ask("subscribe", {"channel": DEPOSITS, "ccy": "BTC"})
        bank.account().deposit("USDT", "5")
        bank.account().deposit("BTC", "1")
        push = await client.hear()
        assert push["arg"] == {"channel": DEPOSITS, "ccy": "BTC", "uid": bank.user_ids[0]}
        assert push["data"][0]["ccy"] == "BTC"


async def test_a_master_hears_of_its_sub_accounts_and_they_of_themselves_only(http):
    main, bot = (Credentials(name, "s", "p", user_id=name) for name in ("1", "2"))
    async with SimulatedExchange([main], judge=unlimited) as exchange:
        exchange.account().add_sub_account("bot1", bot)
        async with connected(http, exchange) as one, connected(http, exchange) as two:
            await one.follow(exchange, DEPOSITS)
            await two.follow(exchange, DEPOSITS, credentials=bot)
            exchange.account("1").deposit("BTC", "1")
            exchange.account("2").deposit("ETH", "1")
            heard = [(await one.hear())["data"][0] for _ in range(4)]
            assert [(it["ccy"], it["uid"], it["subAcct"]) for it in heard[1:3]] == [
                ("BTC", "1", ""), ("ETH", "2", "bot1"),
            ]  # fmt: skip
            assert (await two.hear())["data"][0]["ccy"] == "ETH"


async def test_there_is_no_snapshot_on_subscribing(bank, http):
    bank.account().deposit("BTC", "1")
    async with connected(http, bank) as client:
        await client.follow(bank, DEPOSITS)
        with pytest.raises(asyncio.TimeoutError):
            await client.socket.receive(10)


async def test_pushes_can_be_doubled_late_or_lost(bank, http):
    async with connected(http, bank) as client:
        await client.follow(bank, DEPOSITS)
        bank.websockets.doubled, bank.websockets.push_delay = True, 7
        start = asyncio.get_running_loop().time()
        deposit = bank.account().deposit("BTC", "1", pending=True)
        one, two = await client.hear(), await client.hear()
        assert one == two
        assert asyncio.get_running_loop().time() - start >= 7
        bank.websockets.lost_share, bank.websockets.push_delay = 1, 0
        bank.account().set_state(deposit, "1")
        await asyncio.sleep(0.1)
        bank.websockets.lost_share = 0
        bank.account().set_state(deposit, "2")
        assert (await client.hear())["data"][0]["state"] == "2"


# --- silence and ends ---------------------------------------------------------------------------


async def test_ping_is_answered_with_pong_and_keeps_the_connection(exchange, http):
    async with connected(http, exchange) as client:
        for _ in range(4):
            await asyncio.sleep(25)
            await client.socket.send_str("ping")
            assert await client.hear() == "pong"


async def test_30_seconds_of_silence_end_the_connection(exchange, http):
    async with connected(http, exchange) as client:
        start = asyncio.get_running_loop().time()
        assert await client.hear() == 4004
        assert asyncio.get_running_loop().time() - start == pytest.approx(30, abs=0.1)


async def test_the_notice_comes_a_minute_before_the_end(exchange, http):
    async with connected(http, exchange) as client:
        exchange.websockets.notice()
        notice = await client.hear()
        assert (notice["event"], notice["code"]) == ("notice", "64008")
        async with connected(http, exchange) as second:
            for _ in range(3):
                await asyncio.sleep(19)
                for it in (client, second):
                    await it.socket.send_str("ping")
                    assert await it.hear() == "pong"
            assert await client.hear() == 1006
            await second.socket.send_str("ping")
            assert await second.hear() == "pong"


@pytest.mark.parametrize("code", [4001, 4003, 4005, 4006, 4008, 4009])
async def test_connections_can_be_closed_with_each_code(exchange, http, code):
    async with connected(http, exchange) as client:
        exchange.websockets.drop(code)
        assert await client.hear() == code


async def test_connections_can_be_dropped_without_a_word(exchange, http):
    async with connected(http, exchange) as client:
        exchange.websockets.drop()
        assert await client.hear() == 1006
    assert exchange.websockets.open == []


async def test_a_frozen_connection_stays_open_and_hears_nothing(bank, http):
    async with connected(http, bank) as client:
        await client.follow(bank, DEPOSITS)
        bank.websockets.freeze()
        bank.account().deposit("BTC", "1")
        await client.socket.send_str("ping")
        with pytest.raises(asyncio.TimeoutError):
            await client.socket.receive(100)
        assert not client.socket.closed


async def test_the_connections_of_a_removed_key_are_closed(exchange, http):
    other = Credentials("other", "s", "p")
    exchange.add_user(other)
    async with connected(http, exchange) as one, connected(http, exchange) as two:
        await one.login(exchange.credentials)
        await two.login(other)
        exchange.remove_key("other")
        assert await two.hear() == 4007
        await one.socket.send_str("ping")
        assert await one.hear() == "pong"


async def test_three_connections_a_second(exchange, http):
    for _ in range(3):
        async with connected(http, exchange):
            pass
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await http.ws_connect(exchange.ws_url)
    assert (refused.value.status, exchange.websockets.refused) == (429, 1)
    await asyncio.sleep(1)
    async with connected(http, exchange):
        assert len(exchange.websockets) == 1


async def test_connecting_can_be_refused(exchange, http):
    exchange.websockets.refuse_status = 503
    with pytest.raises(aiohttp.WSServerHandshakeError):
        await http.ws_connect(exchange.ws_url)
    exchange.websockets.refuse_status = None
    exchange.outage = True
    with pytest.raises(aiohttp.WSServerHandshakeError):
        await http.ws_connect(exchange.ws_url)


async def test_a_path_for_websockets_wants_an_upgrade(exchange, ask):
    assert (await ask(exchange, "/ws/v5/business")).status == 426


async def test_a_message_above_64_kb_ends_the_connection(exchange, http):
    async with connected(http, exchange) as client:
        await client.socket.send_str("x" * 65_537)
        assert await client.hear() == 1009


async def test_closing_the_exchange_closes_its_websockets(http):
    exchange = SimulatedExchange()
    async with exchange:
        socket = await http.ws_connect(exchange.ws_url)
    assert (await socket.receive(5)).type in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.CLOSE)
    await socket.close()


# --- frames -------------------------------------------------------------------------------------


def masked(opcode, payload, *, final=True):
    """A frame as a client sends it."""
    mask = b"\x01\x02\x03\x04"
    plain = bytearray(encode(opcode, payload))
    start = len(plain) - len(payload)
    plain[0] &= 0xFF if final else 0x7F
    plain[1] |= 0x80
    body = bytes(byte ^ mask[n % 4] for n, byte in enumerate(payload))
    return bytes(plain[:start]) + mask + body


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65_535, 65_536])
def test_frames_of_all_sizes_come_out_as_they_went_in(size):
    payload = bytes(n % 251 for n in range(size))
    assert list(Reader(70_000).feed(masked(1, payload))) == [Frame(1, payload)]


def test_frames_may_come_byte_by_byte_and_in_pieces_with_a_ping_between():
    raw = masked(1, b"ab", final=False) + masked(9, b"?") + masked(0, b"cd")
    reader = Reader(100)
    heard = [frame for byte in raw for frame in reader.feed(bytes([byte]))]
    assert heard == [Frame(9, b"?"), Frame(1, b"abcd")]


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (encode(1, b"unmasked"), 1002),
        (masked(0, b"continues nothing"), 1002),
        (masked(9, b"x" * 126), 1002),
        (b"\xc1\x80\x00\x00\x00\x00", 1002),
        (masked(1, b"x" * 201), 1009),
        (masked(1, b"x" * 150, final=False) + masked(0, b"x" * 60), 1009),
    ],
)
def test_what_breaks_the_protocol_is_refused(raw, code):
    with pytest.raises(FrameError) as caught:
        list(Reader(200).feed(raw))
    assert caught.value.code == code


def test_the_accept_key_is_that_of_the_standards_example():
    assert accept_key("dGhlIHNhbXBsZSBub25jZQ==") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
