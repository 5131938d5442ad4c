"""Who is let in: headers, time, key, passphrase, signature, environment, address, permission."""

from __future__ import annotations

import json

import pytest

from okx_funding.auth.credentials import Credentials
from okx_funding.simulator import SimulatedExchange
from okx_funding.simulator.auth import parse_timestamp, signature

ASSETS = "/api/v5/asset/non-tradable-assets"


def test_signature_agrees_with_the_public_vectors(request):
    path = request.config.rootpath / "tests" / "samples" / "signature-vectors.json"
    for vector in json.loads(path.read_text()):
        made = signature(
            vector["secret"].encode(),
            vector["timestamp"],
            vector["method"],
            vector["requestPath"],
            vector["body"].encode(),
        )
        assert made == vector["sign"]


@pytest.mark.parametrize(
    ("header", "code"),
    [
        ("OK-ACCESS-KEY", "50103"),
        ("OK-ACCESS-PASSPHRASE", "50104"),
        ("OK-ACCESS-SIGN", "50106"),
        ("OK-ACCESS-TIMESTAMP", "50107"),
    ],
)
@pytest.mark.parametrize("value", [None, ""], ids=["missing", "empty"])
async def test_each_missing_header_has_its_code(exchange, ask, header, code, value):
    reply = await ask(exchange, headers={header: value})
    assert (reply.status, reply.code) == (401, code)


@pytest.mark.parametrize(
    ("header", "value", "code"),
    [
        ("OK-ACCESS-KEY", "nobody", "50111"),
        ("OK-ACCESS-PASSPHRASE", "wrong", "50105"),
        ("OK-ACCESS-SIGN", "AAAA", "50113"),
        ("OK-ACCESS-TIMESTAMP", "1597026383.085", "50112"),
        ("OK-ACCESS-TIMESTAMP", "2020-02-30T00:00:00.000Z", "50112"),
        ("OK-ACCESS-TIMESTAMP", "2020-12-08T09:08:57.715Z", "50102"),
        ("x-simulated-trading", "1", "50101"),
    ],
)
async def test_each_wrong_header_has_its_code(exchange, ask, header, value, code):
    reply = await ask(exchange, headers={header: value})
    assert (reply.status, reply.code) == (401, code)


async def test_errors_of_the_gateway_have_no_data(exchange, ask):
    reply = await ask(exchange, headers={"OK-ACCESS-KEY": None})
    assert reply.json == {
        "msg": "Request header “OK_ACCESS_KEY“ can't be empty.",
        "code": "50103",
    }


@pytest.mark.parametrize(("skew", "code"), [(-29, "0"), (29, "0"), (-31, "50102"), (31, "50102")])
async def test_a_timestamp_may_be_off_by_30_seconds(exchange, ask, skew, code):
    assert (await ask(exchange, skew=skew)).code == code


async def test_a_skewed_exchange_wants_its_own_time_and_tells_it(exchange, ask):
    exchange.clock_skew = 3600.0
    assert (await ask(exchange)).code == "50102"
    assert (await ask(exchange, skew=3600)).code == "0"
    told = int((await ask(exchange, "/api/v5/public/time")).json["data"][0]["ts"])
    exchange.clock_skew = 0.0
    true = int((await ask(exchange, "/api/v5/public/time")).json["data"][0]["ts"])
    assert told - true > 3_500_000


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2020-12-08T09:08:57.715Z", 1607418537.715),
        ("2020-12-08T09:08:57Z", 1607418537.0),
        ("2020-12-08T09:08:57.715+00:00", None),
        ("2020-12-08 09:08:57.715Z", None),
        ("1607418537", None),
        ("２020-12-08T09:08:57.715Z", None),  # noqa: RUF001 (a digit, but no ASCII)
    ],
)
def test_timestamps_are_iso_8601_with_a_z(text, seconds):
    assert parse_timestamp(text) == seconds


@pytest.mark.parametrize("query", ["?ccy=CELT,MEME", "?ccy=CELT%2CMEME", "?ccy=CELT%2cMEME&x=%20+"])
async def test_the_signature_is_over_the_target_as_received(exchange, ask, query):
    reply = await ask(exchange, ASSETS + query)
    assert [row["ccy"] for row in reply.json["data"]] == ["CELT", "MEME"]


async def test_a_target_encoded_after_signing_is_refused(exchange, ask, signed):
    headers = signed(exchange.credentials, ASSETS + "?ccy=CELT,MEME")
    reply = await ask(exchange, ASSETS + "?ccy=CELT%2CMEME", headers=headers)
    assert reply.code == "50113"


async def test_the_signature_includes_the_body(exchange, ask, signed):
    assert (await ask(exchange, body='{"a":1}')).code == "0"
    headers = signed(exchange.credentials, ASSETS)
    assert (await ask(exchange, body='{"a":1}', headers=headers)).code == "50113"


async def test_demo_keys_need_the_demo_header(ask):
    async with SimulatedExchange(demo=True) as exchange:
        assert (await ask(exchange)).code == "50101"
        assert (await ask(exchange, headers={"x-simulated-trading": "0"})).code == "50101"
        assert (await ask(exchange, headers={"x-simulated-trading": "1"})).code == "0"


async def test_zero_in_the_demo_header_means_live(exchange, ask):
    assert (await ask(exchange, headers={"x-simulated-trading": "0"})).code == "0"


async def test_a_key_bound_to_other_addresses_is_refused(exchange, ask):
    exchange.key().ips = {"192.0.2.1"}
    assert (await ask(exchange)).code == "50110"
    exchange.key().ips = {"127.0.0.1"}
    assert (await ask(exchange)).code == "0"


async def test_a_key_without_the_permission_is_refused_by_the_service(exchange, ask):
    exchange.key().permissions = {"trade"}
    reply = await ask(exchange)
    assert (reply.status, reply.code, reply.json["data"]) == (200, "50030", [])


async def test_a_removed_key_is_unknown(exchange, ask):
    other = Credentials("other", "secret", "pass")
    exchange.add_user(other)
    assert (await ask(exchange, credentials=other)).code == "0"
    exchange.remove_key("other")
    assert (await ask(exchange, credentials=other)).code == "50111"


async def test_public_time_needs_no_key(exchange, ask):
    unsigned = dict.fromkeys(
        ["OK-ACCESS-KEY", "OK-ACCESS-SIGN", "OK-ACCESS-TIMESTAMP", "OK-ACCESS-PASSPHRASE"]
    )
    reply = await ask(exchange, "/api/v5/public/time", headers=unsigned)
    assert reply.code == "0"
    assert set(reply.json["data"][0]) == {"ts"}


async def test_an_unknown_path_is_not_found_in_the_gateways_own_shape(exchange, ask):
    reply = await ask(exchange, "/api/v5/asset/nonsense")
    assert (reply.status, reply.code, reply.json["data"]) == (404, 404, {})


async def test_a_wrong_method_is_refused(exchange, ask):
    reply = await ask(exchange, method="POST")
    assert (reply.status, reply.code) == (405, "50115")


def test_one_key_with_two_secrets_is_refused_without_showing_them():
    users = [Credentials("k", "canary-one", "p"), Credentials("k", "canary-two", "p")]
    with pytest.raises(ValueError, match="same API key") as caught:
        SimulatedExchange(users=users)
    assert "canary" not in str(caught.value)


def test_the_same_key_twice_is_one_key():
    user = Credentials("k", "s", "p")
    assert len(SimulatedExchange(users=[user, Credentials("k", "s", "p")]).users) == 1
