"""Every endpoint answers, with the fields of OKX's page and no others."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from okx_funding.simulator.table import ROUTES

DOCUMENTED = json.loads(Path(__file__).with_name("documented.json").read_text())

pytestmark = pytest.mark.looptime


async def prepare(exchange, call):
    """Something of everything; the parameters that each endpoint needs for one row at least."""
    account = exchange.account()
    account.verify(f"{account.address[:-1]}0:4711")
    deposit = account.deposit("USDT", "5")
    fiat_deposit = account.fiat_deposit("TRY", "50")
    exchange.account(f"{account.user_id}/trading1").set_balances({"BTC": "1"})
    exchange.account(f"{account.user_id}/trading1").set_balances({"BTC": "1"}, "trading")
    _, (made,) = await call(
        exchange, "create_subaccount", subAcct="custody1", type="5", label="held"
    )
    assert made["subAcct"] == "custody1"
    keyed = {"subAcct": "trading1", "label": "v5", "passphrase": "Phrase-1"}
    _, (key,) = await call(exchange, "create_subaccount_apikey", **keyed)
    _, (transfer,) = await call(
        exchange, "funds_transfer", ccy="USDT", amt="1", from_="6", to="18", clientId="t1"
    )
    await call(
        exchange, "funds_transfer", type="1", subAcct="trading1", ccy="USDT", amt="9",
        from_="6", to="6",
    )  # fmt: skip
    withdrawal = {
        "ccy": "USDT", "amt": "10", "dest": "4", "toAddr": account.address,
        "chain": "USDT-ERC20", "clientId": "w1",
    }  # fmt: skip
    code, (done,) = await call(exchange, "withdrawal", **withdrawal)
    assert code == "0"
    quote = {"baseCcy": "BTC", "quoteCcy": "USDT", "side": "buy", "rfqSz": "30", "rfqSzCcy": "USDT"}
    _, (quoted,) = await call(exchange, "estimate_quote", **quote)
    trade = {
        "quoteId": quoted["quoteId"], "baseCcy": "BTC", "quoteCcy": "USDT", "side": "buy",
        "sz": "30", "szCcy": "USDT", "clTReqId": "c1",
    }  # fmt: skip
    _, (other,) = await call(exchange, "estimate_quote", **quote)
    assert (await call(exchange, "convert_trade", **trade))[0] == "0"
    fiat = {
        "paymentAcctId": "1", "ccy": "TRY", "amt": "100", "paymentMethod": "TR_BANKS",
        "clientId": "f1",
    }  # fmt: skip
    _, (order,) = await call(exchange, "create_fiat_withdrawal", **fiat)
    _, (second,) = await call(exchange, "create_fiat_withdrawal", **{**fiat, "clientId": "f2"})
    bought = {"side": "buy", "fromCcy": "USD", "toCcy": "BTC", "rfqAmt": "30", "rfqCcy": "USD"}
    _, (price,) = await call(exchange, "buy_sell_quote", **bought)
    paid = {"quoteId": price["quoteId"], "paymentMethod": "balance", "clOrdId": "b1", **bought}
    assert (await call(exchange, "buy_sell_trade", **paid))[0] == "0"
    _, (price,) = await call(exchange, "buy_sell_quote", **bought)
    await call(exchange, "apply_monthly_statement", month="Jan")
    sub = {"subAcct": "trading1"}
    return {
        "funds_transfer": {"ccy": "ETH", "amt": "1", "from_": "6", "to": "18"},
        "transfer_state": {"transId": transfer["transId"]},
        "get_deposit_address": {"ccy": "USDT"},
        "get_deposit_history": {"depId": deposit.dep_id},
        "withdrawal": {**withdrawal, "clientId": "w2"},
        "cancel_withdrawal": {"wdId": done["wdId"]},
        "get_withdrawal_history": {"clientId": "w1"},
        "get_deposit_withdraw_status": {"wdId": done["wdId"]},
        "apply_monthly_statement": {"month": "Feb"},
        "get_monthly_statement": {"month": "Jan"},
        "get_convert_currency_pair": {"fromCcy": "USDT", "toCcy": "BTC"},
        "estimate_quote": quote,
        "convert_trade": {**trade, "quoteId": other["quoteId"], "clTReqId": "c2"},
        "get_deposit_payment_methods": {"ccy": "TRY"},
        "get_withdrawal_payment_methods": {"ccy": "TRY"},
        "create_fiat_withdrawal": {**fiat, "clientId": "f3"},
        "cancel_fiat_withdrawal": {"ordId": second["ordId"]},
        "get_fiat_withdrawal": {"ordId": order["ordId"]},
        "get_fiat_deposit": {"ordId": fiat_deposit.ord_id},
        "get_buy_sell_currency_pair": {"fromCcy": "USD", "toCcy": "BTC"},
        "buy_sell_quote": bought,
        "buy_sell_trade": {**paid, "quoteId": price["quoteId"], "clOrdId": "b2"},
        "get_subaccount_funding_balances": sub,
        "get_subaccount_trading_balances": sub,
        "get_subaccount_max_withdrawal": sub,
        "subaccount_transfer": {
            "ccy": "BTC", "amt": "0.1", "from_": "6", "to": "6", "fromSubAccount": "trading1",
            "toSubAccount": "custody1",
        },
        "set_permission_transfer_out": {"subAcct": "trading1,custody1", "canTransOut": False},
        "create_subaccount": {"subAcct": "another1", "type": "1", "label": "x"},
        "create_subaccount_apikey": {**keyed, "label": "v6", "perm": "read_only,trade"},
        "get_subaccount_apikeys": sub,
        "reset_subaccount_apikey": {**sub, "apiKey": key["apiKey"], "perm": "trade", "ip": "::1"},
        "delete_subaccount_apikey": {**sub, "apiKey": key["apiKey"]},
    }  # fmt: skip


def names_in(value):
    """All names of a row and of the rows within it."""
    if isinstance(value, dict):
        return {*value, *(name for inner in value.values() for name in names_in(inner))}
    if isinstance(value, list):
        return {name for inner in value for name in names_in(inner)}
    return set()


@pytest.mark.parametrize("row", ROUTES, ids=lambda row: row.name)
async def test_it_answers_with_the_fields_of_okxs_page(bank, call, row):
    params = await prepare(bank, call)
    code, rows = await call(bank, row.name, **params.get(row.name, {}))
    assert code == "0"
    assert rows
    said = DOCUMENTED[row.name]
    new = {"stablecoinDailyQuota"}
    for name_set in [names_in(it) for it in rows]:
        assert name_set - set(said["maybe"]) - new == set(said["fields"])
    bank.ledger.check()
    assert not bank.unexpected


@pytest.mark.parametrize("row", ROUTES, ids=lambda row: row.name)
async def test_all_values_are_text_but_for_booleans_and_one_time(bank, call, row):
    params = await prepare(bank, call)
    _, rows = await call(bank, row.name, **params.get(row.name, {}))

    def scalars(value):
        if isinstance(value, dict | list):
            inner = value.values() if isinstance(value, dict) else value
            return [scalar for each in inner for scalar in scalars(each)]
        return [value]

    kinds = {type(scalar) for scalar in scalars(rows)}
    assert kinds <= {str, bool} | ({int} if row.name == "get_monthly_statement" else set())


@pytest.mark.parametrize(
    "row", [row for row in ROUTES if row.permission != "none"], ids=lambda row: row.name
)
async def test_a_key_without_the_permission_is_refused(bank, call, row):
    params = await prepare(bank, call)
    bank.key().permissions -= {row.permission}
    assert (await call(bank, row.name, **params.get(row.name, {})))[0] == "50030"
