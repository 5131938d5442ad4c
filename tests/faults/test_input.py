"""What callers and environments may bring along, row by row: ``pytest -k I2_`` finds row I2's."""

from __future__ import annotations

import argparse
import base64
import copy
import hashlib
import hmac
import json
import pickle
import re
from dataclasses import asdict
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from okx_funding import Credentials, FundingClient, InvalidArgumentError, OKXError, Session
from okx_funding.auth.settings import CredentialsWarning
from okx_funding.cli.parser import make_parser
from tests.faults.server import FaultServer, always, facing, fine, works
from tests.support import at_exchange, envelope, failure_of, http, someone, virtually

pytestmark = pytest.mark.looptime


# -- I1, I2: currencies -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ccy", "requests"),
    [
        ([], 0),
        ((), 0),
        ("CELT", 1),
        (["CELT", "CELT", "celt"], 1),
        (["celt"], 1),
        ([f"C{n}" for n in range(20)], 1),
        ([f"C{n}" for n in range(21)], 2),
        ([f"C{n}" for n in range(100)], 5),
        ((f"C{n}" for n in range(3)), 1),
        ({"A": 1}.keys(), 1),
        (None, 1),
    ],
)
async def test_I1_any_reasonable_way_to_name_currencies(ccy, requests):
    async with at_exchange() as (exchange, client):
        await client.get_non_tradable_assets(ccy)
        assert len(exchange.log) == requests
        assert all(len(arrival.keys) <= 20 for arrival in exchange.log)
        named = [key for arrival in exchange.log for key in arrival.keys]
        assert len(set(map(str.upper, named))) == len(named)


BAD = {
    "empty": "",
    "a blank": " ",
    "blanks around": " btc ",
    "a line break": "BTC\r\nX-Evil: 1",
    "a null": "BTC\0",
    "an ampersand": "BTC&ccy=ETH",
    "a comma": "BTC,ETH",
    "a percent sign": "BTC%2C",
    "a plus": "BTC+ETH",
    "a slash": "../../trade",
    "a picture": "🍌",
    "digits of another script": "١٢٣",
    "a Turkish i": "b\u0131t",
    "33 letters": "A" * 33,
    "10 kB": "A" * 10_000,
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
@pytest.mark.parametrize("place", [None, 0, 2])
async def test_I2_what_is_no_currency_is_refused_by_its_index_before_anything_is_sent(bad, place):
    wanted = bad if place is None else [*["CELT"] * place, bad, "MEME"]
    async with facing(fine) as (server, client):
        error = await failure_of(client.get_non_tradable_assets(wanted), InvalidArgumentError)
        assert isinstance(error, ValueError)
        assert not error.sent
        assert place is None or f"ccy[{place}]" in str(error)
        assert len(str(error)) < 300
        assert str(error).isprintable()
        assert server.connections == 0


@pytest.mark.parametrize("bad", [1, 1.5, b"BTC", [1], [None], {"BTC": 1}, object], ids=repr)
async def test_I2_what_is_no_text_is_refused_too(bad):
    async with FundingClient(someone()) as client:
        await failure_of(client.get_non_tradable_assets(bad), InvalidArgumentError)


# -- I3: keys ---------------------------------------------------------------------------------


@pytest.mark.parametrize("part", range(3))
@pytest.mark.parametrize(
    "bad",
    ["", " x", "x ", "x\n", "x\r\nX-Evil: 1", "x\0", "x\x7f", "ключ", "é", "x\u200b", 1, None],
)
def test_I3_what_cant_be_a_header_is_refused_without_a_word_of_it(part, bad):
    parts = ["the-key", "the-secret", "the-word"]
    parts[part] = bad
    with pytest.raises(InvalidArgumentError) as caught:
        Credentials(*parts)
    assert ("api_key", "secret_key", "passphrase")[part] in str(caught.value)
    assert "Evil" not in str(caught.value)
    assert "the-" not in str(caught.value)


def test_I3_the_line_break_behind_a_variable_is_stripped_with_a_warning(monkeypatch):
    for name in ("OKX_API_KEY", "OKX_SECRET_KEY", "OKX_PASSPHRASE"):
        monkeypatch.setenv(name, "canary\n")
    with pytest.warns(CredentialsWarning) as told:
        assert Credentials.from_env().reveal() == ("canary",) * 3
    assert not any("canary" in str(each.message) for each in told)


# -- I4: what is signed is what is sent -------------------------------------------------------


names = st.text(
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-", min_size=1, max_size=32
)


@settings(max_examples=15)
@given(st.lists(names, min_size=1, max_size=20, unique_by=str.upper))
def test_I4_the_bytes_that_were_signed_are_the_bytes_that_arrived(ccys):
    async def ask():
        async with facing(always(http(envelope()))) as (server, client):
            await client.get_non_tradable_assets(ccys)
            assert client._calls.context.credentials is not None
            return server.heard[0], client._calls.context.credentials.reveal()[1]

    heard, secret = virtually(ask())
    method, target, _ = heard.raw.split(b"\r\n")[0].split(b" ")
    assert target.endswith(b"?ccy=" + ",".join(ccys).encode())
    said = heard.headers["ok-access-timestamp"].encode() + method + target
    signature = base64.b64encode(hmac.new(secret.encode(), said, hashlib.sha256).digest())
    assert heard.headers["ok-access-sign"].encode() == signature


# -- I5 to I7: secrets; tests/test_secrets.py looks everywhere --------------------------------


def test_I5_credentials_can_be_looked_at_in_every_way():
    credentials = Credentials("canary-key-0123456789", "canary-secret", "canary-word")
    holder = SimpleNamespace(credentials=credentials)
    ways = [
        repr(credentials),
        str(credentials),
        f"{credentials} {credentials!r} {credentials!s:>90}",
        repr([credentials, {"it": credentials}]),
        repr(vars(holder)),
        repr(copy.copy(credentials)),
        repr(copy.deepcopy([credentials])),
        repr(credentials.headers("t", "GET", "/")),
        repr(dict(credentials.headers("t", "GET", "/"))),
        repr(list(credentials.headers("t", "GET", "/").values())),
        str(FundingClient(credentials)),
    ]
    for way in ways:
        assert "canary-secret" not in way
        assert "canary-word" not in way
        assert "canary-key-0123456789" not in way
        assert credentials.sign("t", "GET", "/") not in way
    for keep in (pickle.dumps, json.dumps, asdict, vars):
        with pytest.raises(TypeError):
            keep(credentials)  # type: ignore[call-overload]


async def test_I6_an_error_can_be_kept_and_sent_elsewhere():
    async with facing(always(http(b"no", 403))) as (_, client):
        error = await failure_of(client.get_asset_valuation(), OKXError)
        for twin in (copy.copy(error), copy.deepcopy(error), pickle.loads(pickle.dumps(error))):
            assert (type(twin), twin.args, vars(twin)) == (type(error), error.args, vars(error))


def options(parser):
    for action in parser._actions:
        yield from action.option_strings
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                yield from options(command)


def test_I7_no_command_takes_a_secret_as_an_argument():
    known = set(options(make_parser()))
    assert "--base-url" in known
    assert not [name for name in known if re.search("secret|pass|word|token", name)]
    assert [name for name in known if "key" in name] in ([], ["--api-key"])  # it names a key


# -- I8 to I10: where it may go ---------------------------------------------------------------


async def test_I8_proxies_and_netrc_of_the_environment_are_ignored(monkeypatch, tmp_path):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password mine\ndefault login you password yours\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    async with FaultServer(fine) as trap:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, trap.base_url)
            monkeypatch.setenv(name.lower(), trap.base_url)
        async with facing(fine) as (server, client):
            await works(client)
            assert "authorization" not in server.heard[0].headers
        assert trap.connections == 0


async def test_I8_a_proxy_that_is_asked_for_is_used():
    async with FaultServer(fine) as proxy, Session(proxy=proxy.base_url) as session:
        client = FundingClient(
            someone(), base_url="http://okx.invalid", allow_http=True, session=session
        )
        await works(client)
        assert proxy.heard[0].target.startswith("http://okx.invalid/api/v5/")


@pytest.mark.parametrize(
    "url",
    [
        "http://www.okx.com",
        "http://127.0.0.1.evil.example",
        "http://user:word@127.0.0.1",
        "ftp://www.okx.com",
        "https://www.okx.com/api",
        "https://www.okx.com?x=1",
        "www.okx.com",
        "https://",
        "https://www.ökx.com",
        "http://[::2]",
        "",
    ],
)
def test_I9_keys_go_nowhere_in_clear_and_nowhere_strange(url):
    with pytest.raises(InvalidArgumentError, match=r"base_url|allow_http"):
        FundingClient(someone(), base_url=url)


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "http://localhost", "http://[::1]:80"])
def test_I9_loopback_may_be_plain(url):
    assert url.removesuffix(":80") in repr(FundingClient(someone(), base_url=url))


@pytest.mark.parametrize("demo", [True, False])
async def test_I10_demo_and_live_cant_be_mixed_up(demo):
    async with facing(fine, demo=demo) as (server, client):
        assert ("demo at" if demo else "live at") in repr(client)
        for _ in range(3):
            await works(client)
        told = {heard.headers.get("x-simulated-trading") for heard in server.heard}
        assert told == {"1" if demo else None}
        assert client.statistics().buckets[0].demo is demo


async def test_I10_a_key_of_the_other_world_is_told_so():
    async with at_exchange(demo=True) as (_, client):
        error = await failure_of(client.get_non_tradable_assets("CELT"), OKXError)
        assert "demo=True" in str(error)
