"""A canary scan: wherever a failure shows, key, secret key, passphrase and signature don't."""

from __future__ import annotations

import asyncio
import copy
import gc
import json
import logging
import pickle
import re
import socket
import traceback
import warnings
from urllib.parse import quote

import pytest

from okx_funding import Credentials, FundingClient, HTTPStatusError, OKXError, Policy, Session
from okx_funding.api.assets import GET_ASSET_VALUATION
from okx_funding.simulator import ALL_FAULTS, Fault, SimulatedExchange
from okx_funding.telemetry.events import Event
from okx_funding.wire.response import Response, parse_response
from tests.faults.answers import BADLY_PACKED, HEADED, NO_HTTP, STRANGE
from tests.support import Scripted, answers, closes, failure_of, hangs, http, resets, says
from tests.support.fake_session import FakeSession, raises

pytestmark = pytest.mark.looptime

KEY = "canary-key-5b8f0e2c-7d1a"
SECRET = "CANARY'SECRET\"9D3C/+=\\2F&"
WORD = "Canary Word%20<7>: '\""


def bird():
    return Credentials(KEY, SECRET, WORD, user_id="canary-user")


def forms(part):
    return {part, repr(part)[1:-1], json.dumps(part)[1:-1], part.encode().hex(), quote(part)}


BAR = 12
"""So many characters of a part are heard as if they were all of it."""


def bars(part):
    """Every piece of the part, in all its forms, that is long enough to be of use."""
    return {
        form[start : start + BAR]
        for form in forms(part)
        for start in range(max(1, len(form) - BAR + 1))
    }


def listening(songs):
    return re.compile("|".join(map(re.escape, sorted(songs, key=len, reverse=True)))).search


HEARS = {
    "the key": listening(bars(KEY)),
    "the secret key": listening(bars(SECRET)),
    "the passphrase": listening(bars(WORD)),
}


def heard_in(text, *signatures):
    found = {name for name, hears in HEARS.items() if hears(text)}
    pieces = {piece for signature in signatures for piece in bars(signature)}
    return found | {"a signature" for piece in pieces if piece in text}


@pytest.fixture(autouse=True)
def signatures(monkeypatch):
    """Every signature that is made."""
    made = []
    sign = Credentials.sign

    def signs(self, *args):
        made.append(sign(self, *args))
        return made[-1]

    monkeypatch.setattr(Credentials, "sign", signs)
    return made


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
            yield repr(vars(copy.deepcopy(each)))
            yield repr(each.__reduce__())
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


def visible(*objects):
    """What a debugger shows of them, and of what they are made of."""
    for each in objects:
        yield repr(each)
        yield str(each)
        yield repr(getattr(each, "__dict__", ""))
        yield repr([getattr(each, name, "") for name in getattr(each, "__slots__", ())])


async def sing(base_url, ear, signatures, proxy=None, **options):
    """Fail in every way that this server brings about, and look everywhere."""
    talkative()
    events: list[Event] = []
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        async with Session(proxy=proxy) as session:
            client = FundingClient(
                bird(), base_url=base_url, session=session, observer=events.append, **options
            )
            call = asyncio.ensure_future(client.get_non_tradable_assets("CELT"))
            await asyncio.sleep(0.02)
            shown = [*visible(session._in_flight, *asyncio.all_tasks())]  # while it is on the wire
            errors = [
                await failure_of(call, OKXError),
                await failure_of(client.get_asset_valuation(timeout=20), OKXError),
            ]
            lanes = list(client._calls.lanes.values())
            parts = [client._calls.context, session._transport, *session._hosts.values(), *lanes]
            parts += [
                each
                for lane in lanes
                for each in (lane.queue, lane.batcher, lane.dispatcher, lane.dispatcher.circuit)
            ]
            shown += visible(client, session, client.statistics(), session.statistics(), *parts)
            shown += visible(call, *asyncio.all_tasks(), *events)
    asyncio.get_running_loop().set_debug(False)
    shown += [str(each.message) for each in warned]
    for text in [*shown, *ear.texts, *(text for e in errors for text in everything_about(e))]:
        assert not heard_in(text, *signatures), text
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
async def test_no_fault_of_the_exchange_makes_the_canary_sing(fault, ear, signatures):
    async with SimulatedExchange(users=[bird()]) as exchange:
        exchange.fail_next(999, fault)
        await sing(exchange.base_url, ear, signatures, max_retries=1, policy=Policy(max_refusals=2))
    assert signatures


SCRIPTS = {
    "resets": resets,
    "closes": closes,
    "hangs": hangs,
    "no http": says(b"\x16\x03\x01 what is this?\r\n\r\n", then_close=True),
    "half a body": says(http(b'{"code":', length=100), then_close=True),
    "bad gzip": answers(b"no gzip", headers=["Content-Encoding: gzip"]),
    "no json": answers(b"certainly not"),
    "wrong types": answers(b'{"code":"0","data":[{"ccy":1,"totalBal":[]}]}'),
    "too much": answers(b" " * 9_000_000),
    **{name: says(data, then_close=True) for name, data in (NO_HTTP | HEADED).items()},
    **{name: answers(body) for name, body in STRANGE.items()},
    **{
        name: answers(body, headers=[f"Content-Encoding: {encoding}"])
        for name, (body, encoding) in BADLY_PACKED.items()
    },
}


@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)
async def test_no_broken_server_makes_the_canary_sing(script, ear, signatures):
    async with Scripted(script) as server:
        await sing(server.base_url, ear, signatures, max_retries=1)
        assert server.heard[0].headers["ok-access-sign"] in signatures
        heard = heard_in(repr(server.heard[0]), *signatures)
        assert heard == {"the key", "the passphrase", "a signature"}


@pytest.mark.parametrize("where", ["nobody listens", "407", "502", "closes"])
async def test_no_proxy_makes_the_canary_sing(where, ear, signatures):
    script = closes if where == "closes" else answers(b"", int(where) if where.isdigit() else 200)
    async with Scripted(script) as server:
        port = "9" if where == "nobody listens" else server.base_url.rpartition(":")[2]
        await sing(
            "https://okx.invalid",
            ear,
            signatures,
            proxy=f"http://user:{quote(WORD, safe='')}@127.0.0.1:{port}",
            max_retries=1,
        )
        assert not heard_in(" ".join(repr(heard) for heard in server.heard))


@pytest.mark.parametrize("url", ["https://127.0.0.1:9", "https://okx.invalid"])
async def test_no_missing_server_makes_the_canary_sing(url, ear, signatures, monkeypatch):
    async def getaddrinfo(*_, **__):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
    await sing(url, ear, signatures, max_retries=1)


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
        lambda raw: "429|" + quote(raw[raw.index("OK-ACCESS") :]),
        lambda raw: "500|" + json.dumps({"headers": raw[raw.index("OK-ACCESS") :].split("\r\n")}),
        lambda raw: "200|" + json.dumps({"code": said(raw, "KEY"), "msg": said(raw, "SIGN")}),
        lambda raw: "401|" + json.dumps({"code": "50113", "msg": f"{said(raw, 'SIGN')} is wrong"}),
    ],
    ids=["msg", "headers", "page", "200", "quoted", "json", "code", "sign"],
)
async def test_a_parrot_is_no_canary(shape, ear, signatures):
    parrot = Parrot(shape)
    async with parrot.server as server:
        errors = await sing(
            server.base_url, ear, signatures, max_retries=0, policy=Policy(max_refusals=1)
        )
    assert errors


def said(raw, name):
    """What the request said under this header."""
    return next(
        line.partition(": ")[2]
        for line in raw.split("\r\n")
        if line.upper().startswith(f"OK-ACCESS-{name}")
    )


@pytest.mark.parametrize("song", [KEY, SECRET, WORD, "the signature"], ids=str)
@pytest.mark.parametrize("status", [200, 403, 400])
@pytest.mark.slow
def test_what_a_parrot_says_is_redacted_before_it_is_cut_short(song, status, signatures):
    if song == "the signature":
        song = bird().sign("2020-12-08T09:08:57.715Z", "GET", "/api/v5/account/balance")
    texts = ["." * before + song + "." for before in range(1500)]
    for text in [*texts, f"{song}." * 200, song * 200]:
        body = text if status == 403 else json.dumps({"code": "51000", "msg": text})
        answer = Response(status, body.encode())
        with pytest.raises(OKXError) as caught:
            parse_response(GET_ASSET_VALUATION, answer, bird().redact)
        told = f"{caught.value} {vars(caught.value)}"
        assert not heard_in(told, *signatures), told


async def test_a_parrot_that_speaks_no_http_is_not_quoted():
    async def speak(wire):
        key = said(server.heard[-1].raw.decode("latin-1"), "KEY")
        wire.write(f"{'.' * len(server.heard)}{key}\r\n\r\n".encode())
        wire.close()

    async with (
        Scripted(speak) as server,
        FundingClient(bird(), base_url=server.base_url, max_retries=0) as client,
    ):
        for _ in range(80):
            error = await failure_of(client.get_non_tradable_assets("CELT"), OKXError)
            assert not heard_in(str(error)), error


@pytest.mark.parametrize("place", ["Location: http://{}.example/", "Content-Encoding: {}", "X {}"])
async def test_a_parrot_that_speaks_in_headers_is_no_canary(place, ear, signatures):
    async def speak(wire):
        key = said(server.heard[-1].raw.decode("latin-1"), "KEY")
        status = 302 if "Location" in place else 200
        answer = http(b"x", status, [place.format(key)])
        wire.write(answer if ":" in place else answer.replace(b"200", key.encode()))

    async with Scripted(speak) as server:
        await sing(server.base_url, ear, signatures, max_retries=0)


async def test_no_attribute_of_an_error_sings():
    async with FakeSession() as session:
        client = session.client(credentials=bird(), max_retries=0)
        quoting = HTTPStatusError("", http_status=403, endpoint=f"GET /?{KEY}&{SECRET}&{WORD}")
        session.okx.next = [raises(quoting)]
        error = await failure_of(client.get_non_tradable_assets("K"), HTTPStatusError)
        assert heard_in(error.endpoint) == set()


async def test_what_fails_before_sending_keeps_silent(ear):
    talkative()
    async with Session() as session:
        client = FundingClient(
            bird(), session=session, base_url="http://127.0.0.1:9", policy=Policy(max_queue=1)
        )
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
