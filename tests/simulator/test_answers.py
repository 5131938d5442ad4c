"""What a user is told: rows, valuations, errors of parameters."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from okx_funding.api.assets import VALUATION_UNITS
from okx_funding.auth.credentials import Credentials
from okx_funding.simulator import SimulatedExchange

ASSETS = "/api/v5/asset/non-tradable-assets"
VALUATION = "/api/v5/asset/asset-valuation"

pytestmark = pytest.mark.looptime

DOCUMENTED = json.loads(
    """[{"bal":"989.84719571","burningFeeRate":"","canWd":true,"ccy":"CELT","chain":"CELT-OKTC",
    "ctAddr":"f403fb","fee":"2","feeCcy":"USDT",
    "logoLink":"https://static.coinall.ltd/cdn/assets/imgs/221/460DA8A592400393.png",
    "minWd":"0.1","name":"","needTag":false,"wdAll":false,"wdTickSz":"8"},
    {"bal":"0.001","burningFeeRate":"","canWd":true,"ccy":"MEME","chain":"MEME-ERC20",
    "ctAddr":"09b760","fee":"5","feeCcy":"USDT",
    "logoLink":"https://static.coinall.ltd/cdn/assets/imgs/207/2E664E470103C613.png",
    "minWd":"0.001","name":"MEME Inu","needTag":false,"wdAll":false,"wdTickSz":"8"}]"""
)


async def test_celt_and_meme_are_as_documented(exchange, ask):
    reply = await ask(exchange, f"{ASSETS}?ccy=CELT,MEME")
    assert reply.json == {"code": "0", "data": DOCUMENTED, "msg": ""}


async def test_without_ccy_all_rows_come(exchange, ask):
    rows = (await ask(exchange)).json["data"]
    assert rows == exchange.account().assets
    assert len(exchange.currencies) == 500
    assert len(rows) > 500


async def test_rows_come_in_the_accounts_order_not_the_callers(exchange, ask):
    reply = await ask(exchange, f"{ASSETS}?ccy=MEME,CELT,MEME")
    assert reply.json["data"] == DOCUMENTED


async def test_a_currency_on_several_chains_has_a_row_for_each(exchange, ask):
    names = [row["ccy"] for row in exchange.account().assets]
    several = next(ccy for ccy in names if names.count(ccy) > 1)
    rows = (await ask(exchange, f"{ASSETS}?ccy={several}")).json["data"]
    assert len({row["chain"] for row in rows}) == names.count(several) > 1


async def test_lower_case_finds_the_rows(exchange, ask):
    reply = await ask(exchange, f"{ASSETS}?ccy=celt")
    assert reply.json["data"] == DOCUMENTED[:1]


async def test_an_unknown_currency_contributes_no_row(exchange, ask):
    reply = await ask(exchange, f"{ASSETS}?ccy=CELT,NOPE")
    assert reply.json["data"] == DOCUMENTED[:1]


async def test_an_unknown_currency_can_be_a_parameter_error(ask):
    async with SimulatedExchange(unknown="51000") as exchange:
        reply = await ask(exchange, f"{ASSETS}?ccy=CELT,NOPE")
        assert reply.status == 400
        assert reply.json == {"msg": "Parameter ccy error", "code": "51000", "data": []}


async def test_bad_currencies_are_refused_with_the_chosen_code_and_words(exchange, ask):
    exchange.bad_currencies.add("MEME")
    reply = await ask(exchange, f"{ASSETS}?ccy=CELT,meme")
    assert (reply.status, reply.code, reply.json["msg"]) == (400, "51000", "Parameter ccy error")
    exchange.rules.bad_code, exchange.rules.bad_named = "50016", True
    reply = await ask(exchange, f"{ASSETS}?ccy=CELT,MEME")
    assert reply.code == "50016"
    assert reply.json["msg"] == "Parameter ccy error: MEME"


async def test_more_than_20_currencies_are_too_many(exchange, ask):
    names = exchange.currencies
    assert (await ask(exchange, f"{ASSETS}?ccy={','.join(names[:20])}")).code == "0"
    reply = await ask(exchange, f"{ASSETS}?ccy={','.join(names[:21])}")
    assert (reply.status, reply.code) == (200, "50025")


async def test_two_users_own_different_amounts_of_the_same_currencies():
    exchange = SimulatedExchange(users=[Credentials(name, "s", "p") for name in ("one", "two")])
    one, two = exchange.account("one"), exchange.account("two")
    assert one.currencies == two.currencies
    pairs = list(zip(one.assets, two.assets, strict=True))
    assert sum(a["bal"] == b["bal"] for a, b in pairs) < 5
    assert all({**a, "bal": ""} == {**b, "bal": ""} for a, b in pairs)


def test_accounts_repeat_by_seed():
    assert SimulatedExchange().account().assets == SimulatedExchange().account().assets
    assert SimulatedExchange().account().assets != SimulatedExchange(seed=1).account().assets


def test_generated_rows_look_like_the_documented_ones():
    rows = SimulatedExchange().account().assets
    for row in rows:
        assert {name: type(value) for name, value in row.items()} == {
            name: type(value) for name, value in DOCUMENTED[0].items()
        }
        assert Decimal(row["bal"]) > 0
        assert "E" not in row["bal"]
        assert row["chain"].startswith(row["ccy"] + "-")
    for name in ("burningFeeRate", "fee", "minWd", "name", "wdTickSz"):
        assert {bool(row[name]) for row in rows} == {True, False}, name
    assert len({(row["ccy"], row["chain"]) for row in rows}) == len(rows)


async def test_assets_can_be_replaced(exchange, ask):
    account = exchange.account()
    account.assets = [{"ccy": "ONE", "bal": "1"}, {"ccy": "TWO", "bal": "2"}]
    account.set_balance("ONE", "1.5")
    reply = await ask(exchange)
    assert reply.json["data"] == [{"ccy": "ONE", "bal": "1.5"}, {"ccy": "TWO", "bal": "2"}]
    assert exchange.currencies == ["ONE", "TWO"]
    with pytest.raises(KeyError):
        account.set_balance("CELT", "1")


def test_what_an_account_gives_away_is_a_copy():
    account = SimulatedExchange().account()
    account.assets[0]["bal"] = "7"
    account.valuation("USDT")["details"]["earn"] = "7"
    assert account.assets[0]["bal"] == "989.84719571"
    assert account.valuation("USDT")["details"]["earn"] == "1122.73"


async def test_the_valuation_in_usdt_is_as_documented(exchange, ask):
    (row,) = (await ask(exchange, f"{VALUATION}?ccy=USDT")).json["data"]
    assert row.pop("ts").isdigit()
    assert row == {
        "details": {
            "classic": "124.6",
            "earn": "1122.73",
            "funding": "0.09",
            "trading": "2544.28",
        },
        "totalBal": "3790.09",
    }


async def test_btc_is_the_unit_without_one(exchange, ask):
    exchange.account().set_valuation("BTC", "0.5")
    (row,) = (await ask(exchange, VALUATION)).json["data"]
    assert row["totalBal"] == "0.5"


@pytest.mark.parametrize("unit", ["JP", "usdt", "DOGE", "BTC,USDT"])
async def test_an_unknown_unit_is_a_parameter_error(exchange, ask, unit):
    reply = await ask(exchange, f"{VALUATION}?ccy={unit}")
    assert (reply.status, reply.code) == (400, "51000")


def test_every_unit_has_a_valuation_of_its_own():
    account = SimulatedExchange().account()
    totals = {unit: account.valuation(unit)["totalBal"] for unit in VALUATION_UNITS}
    assert all(Decimal(total) > 0 for total in totals.values())
    assert len({*totals.values()} - {totals["USD"]}) == len(totals) - 1


def test_a_valuation_in_no_unit_of_okx_cant_be_set():
    with pytest.raises(ValueError, match="JP"):
        SimulatedExchange().account().set_valuation("JP", "1")


async def test_the_configuration_tells_the_user_id(exchange, ask):
    reply = await ask(exchange, "/api/v5/account/config")
    assert reply.json["data"][0]["uid"] == exchange.credentials.user_id


async def test_the_clock_can_be_anybodys(ask):
    async with SimulatedExchange(clock=lambda: 1597026383.085) as exchange:
        reply = await ask(exchange, "/api/v5/public/time")
        assert reply.json["data"] == [{"ts": "1597026383085"}]
