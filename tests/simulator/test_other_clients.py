"""python-okx and ccxt as their users call them: reads and orders get right answers.

What they send beside OKX's parameters is counted, and ignored.
"""

from __future__ import annotations

import asyncio
import json
import warnings
from contextlib import closing

import pytest

from okx_funding.simulator import SimulatedExchange, in_thread

from .conftest import unlimited


def plain(credentials):
    return [str.__str__(part) for part in credentials.reveal()]


@pytest.fixture
def exchange():
    with in_thread(SimulatedExchange(judge=unlimited)) as exchange:
        yield exchange


# --- python-okx ---------------------------------------------------------------------------------


@pytest.fixture
def python_okx(exchange):
    """Its Funding, SubAccount and Convert clients."""
    pytest.importorskip("okx.Funding", reason="python-okx isn't installed")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # python-okx's own
        from okx.Convert import ConvertAPI
        from okx.Funding import FundingAPI
        from okx.SubAccount import SubAccountAPI

        settings = {"use_server_time": False, "flag": "0", "domain": exchange.base_url}
        made = [
            api(*plain(exchange.credentials), **settings) for api in (FundingAPI, SubAccountAPI)
        ]
        made.append(ConvertAPI(*plain(exchange.credentials), **settings))
        with closing(made[0]), closing(made[1]), closing(made[2]):
            yield made


def data(answer):
    assert answer["code"] == "0", answer
    return answer["data"]


def test_python_okx_reads(exchange, python_okx):
    funding, sub_accounts, convert = python_okx
    account = exchange.account()
    deposit = account.deposit("BTC", "0.25")
    assert data(funding.get_balances("BTC")) == [
        {"availBal": "0.75", "bal": "0.75", "ccy": "BTC", "frozenBal": "0"}
    ]
    assert {row["chain"] for row in data(funding.get_currencies("USDT"))} == {
        "USDT-ERC20",
        "USDT-TRC20",
    }
    assert data(funding.get_deposit_history())[0]["depId"] == deposit.dep_id
    assert data(funding.get_bills(limit="1"))[0]["balChg"] == "0.25"
    assert data(funding.get_deposit_address("USDT"))[0]["addr"].startswith("0x")
    assert data(funding.get_withdrawal_history()) == []
    assert data(funding.get_asset_valuation("USDT"))[0]["totalBal"] == "3790.09"
    assert data(funding.get_non_tradable_assets("CELT"))[0]["bal"] == "989.84719571"
    assert data(sub_accounts.get_subaccount_list())[0]["subAcct"] == "trading1"
    assert data(sub_accounts.get_funding_balance("trading1")) == []
    assert {row["ccy"] for row in data(convert.get_currencies())} >= {"BTC", "USDT"}


def test_python_okx_moves_money_once(exchange, python_okx):
    funding, _, convert = python_okx
    account = exchange.account()
    (transfer,) = data(funding.funds_transfer("USDT", "1.5", "6", "18"))
    assert data(funding.transfer_state(transfer["transId"]))[0]["state"] == "success"
    (done,) = data(
        funding.withdrawal("USDT", "10", "4", account.address, chain="USDT-ERC20", clientId="w1")
    )
    assert data(funding.get_withdrawal_history(clientId="w1"))[0]["wdId"] == done["wdId"]
    assert data(funding.cancel_withdrawal(done["wdId"])) == [{"wdId": done["wdId"]}]
    (quote,) = data(convert.estimate_quote("BTC", "USDT", "buy", "30", "USDT"))
    (trade,) = data(
        convert.convert_trade(quote["quoteId"], "BTC", "USDT", "buy", "30", "USDT", clTReqId="c1")
    )
    assert trade["state"] == "fullyFilled"
    exchange.advance(minutes=1)
    assert [(it.kind, it.client_id, it.undone) for it in exchange.movements] == [
        ("transfer", "", False),
        ("withdrawal", "w1", True),
        ("convert", "c1", False),
    ]
    assert exchange.unexpected["funds_transfer", "instId"] == 1
    assert exchange.unexpected["withdrawal", "areaCode"] == 1
    exchange.ledger.check()


async def test_python_okxs_websocket_hears_of_deposits(monkeypatch):
    private = pytest.importorskip(
        "okx.websocket.WsPrivateAsync", reason="python-okx isn't installed"
    )
    websockets = pytest.importorskip("websockets", reason="python-okx's websockets is missing")
    heard: asyncio.Queue[dict] = asyncio.Queue()
    async with SimulatedExchange() as exchange:
        api_key, secret_key, passphrase = plain(exchange.credentials)
        client = private.WsPrivateAsync(api_key, passphrase, secret_key, exchange.ws_url)
        # Its factory insists on TLS, which a simulated exchange on loopback doesn't have.
        client.websocket = await websockets.connect(exchange.ws_url)
        client.callback = lambda text: heard.put_nowait(json.loads(text))
        reader = asyncio.ensure_future(client.consume())
        await client.login()
        assert (await heard.get())["event"] == "login"
        await client.send("subscribe", [{"channel": "deposit-info"}], id="1512")
        assert (await heard.get())["id"] == "1512"
        exchange.account().deposit("BTC", "0.25")
        states = [(await heard.get())["data"][0]["state"] for _ in range(2)]
        assert states == ["0", "2"]
        await client.websocket.close()
        await asyncio.wait([reader])


# --- ccxt -----------------------------------------------------------------------------------------


@pytest.fixture
def ccxt_okx(exchange):
    ccxt = pytest.importorskip("ccxt", reason="ccxt isn't installed")
    api_key, secret_key, passphrase = plain(exchange.credentials)
    client = ccxt.okx({"apiKey": api_key, "secret": secret_key, "password": passphrase})
    client.urls["api"]["rest"] = exchange.base_url
    with client.session:
        yield client


def test_ccxt_reads(exchange, ccxt_okx):
    account = exchange.account()
    account.deposit("USDT", "5")
    assert ccxt_okx.fetch_balance({"type": "funding"})["USDT"]["total"] == 805
    (deposit,) = ccxt_okx.fetch_deposits("USDT")
    assert (deposit["amount"], deposit["status"], deposit["network"]) == (5, "ok", "ERC20")
    (entry,) = ccxt_okx.fetch_ledger(params={"method": "privateGetAssetBills"})
    assert (entry["amount"], entry["after"], entry["currency"]) == (5, 805, "USDT")
    address = ccxt_okx.fetch_deposit_address("USDT", {"network": "ERC20"})
    assert address["address"] == deposit["address"]
    networks = ccxt_okx.fetch_currencies()["USDT"]["networks"]
    assert (networks["ERC20"]["fee"], networks["ERC20"]["withdraw"]) == (1.5, True)
    assert ccxt_okx.fetch_withdrawals() == []
    assert exchange.unexpected["get_bills", "instType"] == 1


def test_ccxt_moves_money_once(exchange, ccxt_okx):
    transfer = ccxt_okx.transfer("USDT", 1.5, "funding", "trading")
    assert ccxt_okx.fetch_transfer(transfer["id"], "USDT")["status"] == "ok"
    done = ccxt_okx.withdraw("USDT", 10, exchange.account().address, params={"network": "ERC20"})
    exchange.advance(minutes=10)
    (found,) = ccxt_okx.fetch_withdrawals()
    assert (found["id"], found["status"]) == (done["id"], "ok")
    assert found["fee"] == {"currency": "USDT", "cost": 1.5}
    quote = ccxt_okx.fetch_convert_quote("BTC", "USDT", 0.01)
    trade = ccxt_okx.create_convert_trade(quote["id"], "BTC", "USDT", 0.01)
    assert ccxt_okx.fetch_convert_trade_history()[0]["id"] == trade["id"]
    assert [(it.kind, str(it.amount)) for it in exchange.movements] == [
        ("transfer", "1.5"),
        ("withdrawal", "10"),
        ("convert", "0.01"),
    ]
    assert exchange.unexpected["withdrawal", "fee"] == 1
    exchange.ledger.check()
