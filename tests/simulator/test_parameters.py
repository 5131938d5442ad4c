"""What clients send beside OKX's parameters: counted and ignored, or refused by ``strict``."""

from __future__ import annotations

import json

import pytest

from okx_funding.simulator import SimulatedExchange

pytestmark = pytest.mark.looptime

TRANSFER = "/api/v5/asset/transfer"
BODY = {"ccy": "USDT", "amt": "1", "from": "6", "to": "18"}


async def test_empty_and_unknown_parameters_are_counted_and_ignored(exchange, ask):
    # What python-okx sends for a transfer within the account.
    body = {**BODY, "type": "0", "subAcct": "", "instId": "", "toInstId": "", "loanTrans": ""}
    assert (await ask(exchange, TRANSFER, method="POST", body=json.dumps(body))).code == "0"
    assert exchange.unexpected == {
        ("funds_transfer", "subAcct"): 1,
        ("funds_transfer", "instId"): 1,
        ("funds_transfer", "toInstId"): 1,
        ("funds_transfer", "loanTrans"): 1,
    }
    assert len(exchange.movements) == 1


async def test_extras_in_a_query_are_counted_too(exchange, ask):
    assert (await ask(exchange, "/api/v5/asset/bills?instType=ANY&ccy=")).code == "0"
    assert exchange.unexpected == {("get_bills", "instType"): 1, ("get_bills", "ccy"): 1}


@pytest.mark.parametrize("extra", [{"fee": "1"}, {"subAcct": ""}, {"amt": 1}, {"clientId": None}])
async def test_strict_refuses_them(ask, extra):
    async with SimulatedExchange(strict=True) as exchange:
        body = json.dumps(BODY | extra)
        assert (await ask(exchange, TRANSFER, method="POST", body=body)).code == "51000"
        assert exchange.movements == []
        body = json.dumps(BODY)
        assert (await ask(exchange, TRANSFER, method="POST", body=body)).code == "0"


@pytest.mark.parametrize(
    ("body", "code"),
    [("", "50000"), ("{", "50002"), ("[]", "50002"), ('"x"', "50002"), ("[1]", "50002")],
)
async def test_a_body_has_to_be_a_json_object(exchange, ask, body, code):
    reply = await ask(exchange, TRANSFER, method="POST", body=body)
    assert (reply.status, reply.code) == (400, code)


async def test_the_body_is_signed_as_it_was_sent(exchange, ask, signed):
    text = json.dumps(BODY)
    headers = signed(exchange.credentials, TRANSFER, method="POST", body=text)
    other = json.dumps({**BODY, "amt": "2"})
    reply = await ask(exchange, TRANSFER, method="POST", body=other, headers=headers)
    assert reply.code == "50113"
    assert exchange.movements == []


async def test_a_missing_parameter_is_named(exchange, ask):
    reply = await ask(exchange, "/api/v5/asset/deposit-address")
    assert (reply.status, reply.code) == (400, "50014")
    assert reply.json["msg"] == "Parameter ccy can not be empty."


async def test_a_number_is_taken_as_its_text(exchange, ask):
    body = json.dumps({**BODY, "amt": 1.5})
    assert (await ask(exchange, TRANSFER, method="POST", body=body)).code == "0"
    assert str(exchange.movements[0].amount) == "1.5"


async def test_a_demo_key_gets_no_currencies(ask):
    async with SimulatedExchange(demo=True) as exchange:
        demo = {"x-simulated-trading": "1"}
        assert (await ask(exchange, "/api/v5/asset/currencies", headers=demo)).code == "50038"
        assert (await ask(exchange, "/api/v5/asset/balances", headers=demo)).code == "0"
