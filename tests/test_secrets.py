"""A canary scan: wherever a failure shows, key, secret key, passphrase and signature don't."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import pickle
import traceback
import warnings

import pytest

from okx_funding import Credentials, FundingClient, OKXError, Session
from okx_funding.events import Event
from okx_funding.simulator import ALL_FAULTS, Fault, SimulatedExchange
from tests.support import Scripted, answers, closes, failure_of, hangs, http, resets, says

pytestmark = pytest.mark.looptime

KEY = "canary-key-5b8f0e2c-7d1a"
SECRET = "CANARY'SECRET\"9D3C/+=\\2F&"
WORD = "Canary Word%20<7>: '\""


def bird():
    return Credentials(KEY, SECRET, WORD, user_id="canary-user")


def forms(part):
    return {part, repr(part)[1:-1], json.dumps(part)[1:-1], part.encode().hex()}


SONGS = {
    **dict.fromkeys(forms(KEY), "the key"),
    **dict.fromkeys(forms(SECRET), "the secret key"),
    **dict.fromkeys(forms(WORD), "the passphrase"),
}


def heard_in(text, *signatures):
    found = {name for song, name in SONGS.items() if song in text}
    return found | {"a signature" for signature in signatures if signature in text}


def chain_of(error):
    seen = []
    todo = [error]
    while todo:
        each = todo.pop()
        if each is not None and each not in seen:
            seen.append(each)
            todo += [each.__cause__, each.__context__]
    return seen


def everything_about(error):
    """All texts that a crash reporter might make of an error."""
    for each in chain_of(error):
        yield str(each)
        yield repr(each)
        yield repr(each.args)
        yield repr(vars(each))
        yield repr(getattr(each, "__notes__", ""))
        if isinstance(each, OKXError):
            yield pickle.dumps(each).decode("latin-1")
        told = traceback.TracebackException.from_exception(each, capture_locals=True)
        yield "".join(told.format())


class Ear(logging.Handler):
    def __init__(self):
        super().__init__(logging.DEBUG)
        self.texts = []

    def emit(self, record):
        self.texts.append(f"{record.getMessage()} {record.args!r}")
        if record.exc_info and record.exc_info[1] is not None:
            self.texts += everything_about(record.exc_info[1])


@pytest.fixture
def ear():
    """Every log record of the process, with asyncio telling of each step it takes."""
    ear, root = Ear(), logging.getLogger()
    level = root.level
    root.addHandler(ear)
    root.setLevel(logging.DEBUG)
    yield ear
    root.removeHandler(ear)
    root.setLevel(level)


def talkative():
    loop = asyncio.get_running_loop()
    loop.set_debug(True)
    loop.slow_callback_duration = 0


async def sing(base_url, ear, signatures=list, **options):
    """Fail in every way that this server brings about, and look everywhere."""
    talkative()
    async with Session() as session:
        client = FundingClient(bird(), base_url=base_url, session=session, **options)
        errors = [
            await failure_of(client.get_non_tradable_assets("CELT"), OKXError),
            await failure_of(client.get_asset_valuation(timeout=20), OKXError),
        ]
        shown = [repr(client), repr(session), repr(client.statistics()), str(session.statistics())]
        shown += [repr(lane) for lane in client._lanes.values()]
        shown += map(repr, asyncio.all_tasks())
    asyncio.get_running_loop().set_debug(False)
    for text in [*shown, *ear.texts, *(text for e in errors for text in everything_about(e))]:
        assert not heard_in(text, *signatures()), text
    return errors


OFFENDING = [
    fault
    for fault in ALL_FAULTS
    if not fault.name.startswith(("slow", "drip", "content type", "close after", "hang"))
]


@pytest.mark.parametrize(
    "fault",
    [*OFFENDING, Fault.hang(30), *(Fault.code(c) for c in ("50101", "50105", "50111", "50113"))],
    ids=repr,
)
async def test_no_fault_of_the_exchange_makes_the_canary_sing(fault, ear):
    async with SimulatedExchange(users=[bird()]) as exchange:
        exchange.fail_next(999, fault)
        await sing(exchange.base_url, ear, max_retries=1, max_refusals=2)


SCRIPTS = {
    "resets": resets,
    "closes": closes,
    "hangs": hangs,
    "no http": says(b"\x16\x03\x01 what is this?\r\n\r\n", then_close=True),
    "half a body": says(http(b'{"code":', length=100), then_close=True),
    "bad gzip": answers(b"no gzip", headers=["Content-Encoding: gzip"]),
    "no json": answers(b"certainly not"),
    "wrong types": answers(b'{"code":"0","data":[{"ccy":1,"totalBal":[]}]}'),
}


@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)
async def test_no_broken_server_makes_the_canary_sing(script, ear):
    async with Scripted(script) as server:
        await sing(
            server.base_url,
            ear,
            lambda: [heard.headers["ok-access-sign"] for heard in server.heard],
            max_retries=1,
        )
        assert heard_in(repr(server.heard[0])) == {"the key", "the passphrase"}


class Parrot:
    """A gateway whose answer repeats the request, headers and all."""

    def __init__(self, shape):
        self.shape = shape
        self.server = Scripted(self._speak)

    async def _speak(self, wire):
        raw = self.server.heard[-1].raw.decode("latin-1")
        status, _, body = self.shape(raw).partition("|")
        wire.write(http(body.encode(), int(status)))


def in_message(raw):
    told = " ".join(line for line in raw.split("\r\n") if "ACCESS-P" in line or "ACCESS-K" in line)
    return "400|" + json.dumps({"code": "51000", "msg": told, "data": []})


@pytest.mark.parametrize(
    "shape",
    [
        in_message,
        lambda raw: "403|" + " ".join(line for line in raw.split("\r\n") if "ACCESS" in line),
        lambda raw: "502|<pre>" + raw[raw.index("OK-ACCESS") :],
        lambda raw: "200|" + raw,
    ],
    ids=["msg", "headers", "page", "200"],
)
async def test_a_parrot_is_no_canary(shape, ear):
    parrot = Parrot(shape)
    async with parrot.server as server:
        errors = await sing(server.base_url, ear, max_retries=0)
    assert errors


async def test_what_fails_before_sending_keeps_silent(ear):
    talkative()
    async with Session() as session:
        client = FundingClient(bird(), session=session, base_url="http://127.0.0.1:9", max_queue=1)
        errors = [
            await failure_of(client.get_non_tradable_assets("BTC,ETH"), OKXError),
            await failure_of(client.get_asset_valuation("JP"), OKXError),
            await failure_of(client.get_asset_valuation(timeout=0), OKXError),
            await failure_of(client.get_asset_valuation(), OKXError),
        ]
        await client.aclose()
        errors.append(await failure_of(client.get_asset_valuation(), OKXError))
    asyncio.get_running_loop().set_debug(False)
    for text in [*ear.texts, *(text for e in errors for text in everything_about(e))]:
        assert not heard_in(text), text


@pytest.mark.parametrize(
    "options",
    [
        {"base_url": "http://okx.example"},
        {"base_url": "https://okx.example/path"},
        {"max_retries": -1},
        {"pacing": "fast"},
        {"rate_limits": {"x": 1}},
        {"request_timeout": None},
    ],
    ids=str,
)
def test_what_cant_be_made_keeps_silent(options):
    with pytest.raises(OKXError) as caught:
        FundingClient(bird(), **options)
    for text in everything_about(caught.value):
        assert not heard_in(text), text


def test_what_isnt_made_yet_can_be_shown():
    assert repr(FundingClient.__new__(FundingClient)) == "<FundingClient>"
    assert repr(Session.__new__(Session)) == "<Session>"


async def test_a_cancelled_call_keeps_silent(ear):
    talkative()
    async with (
        Scripted(hangs) as server,
        FundingClient(bird(), base_url=server.base_url) as client,
    ):
        call = asyncio.ensure_future(client.get_non_tradable_assets("CELT"))
        await asyncio.sleep(0.1)
        call.cancel()
        error = await failure_of(call, asyncio.CancelledError)
    asyncio.get_running_loop().set_debug(False)
    for text in [*ear.texts, *everything_about(error)]:
        assert not heard_in(text), text


async def test_a_warning_about_a_forgotten_client_keeps_silent():
    async with SimulatedExchange(users=[bird()]) as exchange:
        client = FundingClient(bird(), base_url=exchange.base_url)
        await client.get_non_tradable_assets("CELT")
        await asyncio.sleep(0.01)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            del client
            gc.collect()
        assert caught
        assert not heard_in(" ".join(str(each.message) for each in caught))
        await asyncio.sleep(0.01)


async def test_an_observer_is_told_no_secret():
    told: list[Event] = []
    async with (
        SimulatedExchange(users=[bird()]) as exchange,
        FundingClient(bird(), base_url=exchange.base_url, observer=told.append) as client,
    ):
        exchange.fail_next(2, Fault.code("50011"))
        exchange.fail_next(1, Fault.code("50001"))
        await client.get_non_tradable_assets("CELT")
    assert len(told) > 6
    assert not heard_in(repr(told))


def test_the_scanner_hears_what_sings():
    assert any(heard_in(text) for text in everything_about(OKXError(f"key={KEY}")))
    assert heard_in(json.dumps({"x": SECRET})) == {"the secret key"}
    assert heard_in(f"x{WORD}y") == {"the passphrase"}
    assert heard_in(repr(bird())) == set()
