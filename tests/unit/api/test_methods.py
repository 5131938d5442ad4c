"""What each method would send, and what it gives back."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from okx_funding.api import AssetValuation, ValuationDetails
from okx_funding.api.table import ENDPOINTS
from okx_funding.auth.secret import Secret
from okx_funding.errors import InvalidArgumentError

from .support import FACTS, Noting, snake

AT = datetime(2024, 3, 1, tzinfo=UTC)
MS = "1709251200000"

PAGE = (
    {"after": AT, "before": 1709251200000, "limit": 7},
    {"after": MS, "before": MS, "limit": "7"},
)
"""What every page takes, and what is sent for it."""

CALLS: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("get_currencies", {"ccy": ["BTC", "ETH"]}, {"ccy": ("BTC", "ETH")}),
    ("get_balances", {}, {"ccy": (None,)}),
    ("get_non_tradable_assets", {"ccy": "CELT"}, {"ccy": ("CELT",)}),
    ("get_deposit_withdraw_status", {"wd_id": "200045249"}, {"wdId": "200045249"}),
    (
        "get_deposit_withdraw_status",
        {"tx_id": "16f3", "ccy": "USDT", "to": "TN4h", "chain": "USDT-TRC20"},
        {"txId": "16f3", "ccy": "USDT", "to": "TN4h", "chain": "USDT-TRC20"},
    ),
    ("get_exchange_list", {}, {}),
    ("apply_monthly_statement", {}, {}),
    ("apply_monthly_statement", {"month": "Jan"}, {"month": "Jan"}),
    ("get_monthly_statement", {"month": "Dec"}, {"month": "Dec"}),
    ("transfer_state", {"trans_id": "1", "type": "2"}, {"transId": "1", "type": "2"}),
    ("transfer_state", {"client_id": "mine"}, {"clientId": "mine"}),
    (
        "get_bills",
        {"ccy": "BTC", "type": "1", "client_id": "mine", "third_party_type": "2", **PAGE[0]},
        {"ccy": "BTC", "type": "1", "clientId": "mine", "thirdPartyType": "2", **PAGE[1]},
    ),
    (
        "get_bills_history",
        {"ccy": "BTC", "type": "1", "client_id": "mine", **PAGE[0]},
        {"ccy": "BTC", "type": "1", "clientId": "mine", **PAGE[1]},
    ),
    (
        "get_bills_history",
        {"paging_type": "2", "after": "12344", "before": "12300"},
        {"pagingType": "2", "after": "12344", "before": "12300"},
    ),
    ("get_deposit_address", {"ccy": "BTC"}, {"ccy": "BTC"}),
    (
        "get_deposit_history",
        {
            "ccy": "BTC", "dep_id": "1", "from_wd_id": "2", "tx_id": "0x3", "type": "4",
            "state": "17", **PAGE[0],
        },
        {
            "ccy": "BTC", "depId": "1", "fromWdId": "2", "txId": "0x3", "type": "4",
            "state": "17", **PAGE[1],
        },
    ),
    (
        "get_withdrawal_history",
        {
            "ccy": "BTC", "wd_id": "1", "client_id": "mine", "tx_id": "0x3", "type": "4",
            "state": "-3", **PAGE[0],
        },
        {
            "ccy": "BTC", "wdId": "1", "clientId": "mine", "txId": "0x3", "type": "4",
            "state": "-3", **PAGE[1],
        },
    ),
    ("cancel_withdrawal", {"wd_id": "1123456"}, {"wdId": "1123456"}),
    ("get_convert_currencies", {}, {}),
    (
        "get_convert_currency_pair",
        {"from_ccy": "USDT", "to_ccy": "BTC", "convert_mode": "1"},
        {"fromCcy": "USDT", "toCcy": "BTC", "convertMode": "1"},
    ),
    (
        "estimate_quote",
        {
            "base_ccy": "ETH", "quote_ccy": "USDT", "side": "buy", "rfq_sz": Decimal("3E+1"),
            "rfq_sz_ccy": "USDT", "cl_q_req_id": "mine", "tag": "t", "convert_mode": "0",
        },
        {
            "baseCcy": "ETH", "quoteCcy": "USDT", "side": "buy", "rfqSz": "30",
            "rfqSzCcy": "USDT", "clQReqId": "mine", "tag": "t", "convertMode": "0",
        },
    ),
    (
        "get_convert_history",
        {"cl_t_req_id": "mine", "tag": "t", **PAGE[0]},
        {"clTReqId": "mine", "tag": "t", **PAGE[1]},
    ),
    ("get_deposit_payment_methods", {"ccy": "TRY"}, {"ccy": "TRY"}),
    ("get_withdrawal_payment_methods", {"ccy": "TRY"}, {"ccy": "TRY"}),
    ("cancel_fiat_withdrawal", {"ord_id": "1"}, {"ordId": "1"}),
    ("get_fiat_withdrawal", {"ord_id": "1"}, {"ordId": "1"}),
    ("get_fiat_deposit", {"ord_id": "1"}, {"ordId": "1"}),
    *(
        (
            name,
            {"ccy": "TRY", "payment_method": "PIX", "state": "failed", **PAGE[0]},
            {"ccy": "TRY", "paymentMethod": "PIX", "state": "failed", **PAGE[1]},
        )
        for name in ("get_fiat_withdrawal_history", "get_fiat_deposit_history")
    ),
    ("get_buy_sell_currencies", {}, {}),
    (
        "get_buy_sell_currency_pair",
        {"from_ccy": "USD", "to_ccy": "BTC"},
        {"fromCcy": "USD", "toCcy": "BTC"},
    ),
    (
        "buy_sell_quote",
        {"side": "buy", "from_ccy": "USD", "to_ccy": "BTC", "rfq_amt": 30, "rfq_ccy": "USD"},
        {"side": "buy", "fromCcy": "USD", "toCcy": "BTC", "rfqAmt": "30", "rfqCcy": "USD"},
    ),
    (
        "get_buy_sell_history",
        {"ord_id": "1", "cl_ord_id": "mine", "state": "failed", "begin": AT, "end": AT, "limit": 7},
        {"ordId": "1", "clOrdId": "mine", "state": "failed", "begin": MS, "end": MS, "limit": "7"},
    ),
    (
        "get_subaccount_list",
        {"enable": True, "sub_acct": "bot1", **PAGE[0]},
        {"enable": "true", "subAcct": "bot1", **PAGE[1]},
    ),
    (
        "get_subaccount_funding_balances",
        {"sub_acct": "bot1", "ccy": ["BTC"]},
        {"subAcct": "bot1", "ccy": ("BTC",)},
    ),
    ("get_subaccount_trading_balances", {"sub_acct": "bot1"}, {"subAcct": "bot1"}),
    (
        "get_subaccount_max_withdrawal",
        {"sub_acct": "bot1"},
        {"subAcct": "bot1", "ccy": (None,)},
    ),
    (
        "get_subaccount_bills",
        {"ccy": "BTC", "type": "0", "sub_acct": "bot1", **PAGE[0]},
        {"ccy": "BTC", "type": "0", "subAcct": "bot1", **PAGE[1]},
    ),
    (
        "get_managed_subaccount_bills",
        {"ccy": "BTC", "type": "0", "sub_acct": "bot1", "sub_uid": "4", **PAGE[0]},
        {"ccy": "BTC", "type": "0", "subAcct": "bot1", "subUid": "4", **PAGE[1]},
    ),
    (
        "set_permission_transfer_out",
        {"sub_acct": ["bot1", "bot2"], "can_trans_out": False},
        {"subAcct": "bot1,bot2", "canTransOut": False},
    ),
    ("get_entrust_subaccount_list", {"sub_acct": "bot1"}, {"subAcct": "bot1"}),
    (
        "create_subaccount",
        {"sub_acct": "bot1", "type": "5", "label": "a bot", "pwd": "open sesame"},
        {"subAcct": "bot1", "type": "5", "label": "a bot", "pwd": "open sesame"},
    ),
    (
        "create_subaccount_apikey",
        {
            "sub_acct": "bot1", "label": "a bot", "passphrase": "open sesame",
            "perm": ["read_only", "trade"], "ip": "1.1.1.1",
        },
        {
            "subAcct": "bot1", "label": "a bot", "passphrase": "open sesame",
            "perm": "read_only,trade", "ip": "1.1.1.1",
        },
    ),
    (
        "get_subaccount_apikeys",
        {"sub_acct": "bot1", "api_key": "k"},
        {"subAcct": "bot1", "apiKey": "k"},
    ),
    (
        "reset_subaccount_apikey",
        {"sub_acct": "bot1", "api_key": "k", "label": "new", "perm": "trade", "ip": ["1.1.1.1"]},
        {"subAcct": "bot1", "apiKey": "k", "label": "new", "perm": "trade", "ip": "1.1.1.1"},
    ),
    (
        "delete_subaccount_apikey",
        {"sub_acct": "bot1", "api_key": "k"},
        {"subAcct": "bot1", "apiKey": "k"},
    ),
    ("get_account_config", {}, {}),
    ("get_system_time", {}, {}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "given", "sent"), CALLS, ids=[name for name, _, _ in CALLS])
async def test_a_call_sends_its_parameters_as_okx_spells_them(name, given, sent):
    caller = Noting()
    await getattr(caller, name)(**given, timeout=3, priority=1)
    assert caller.sent == [(name, sent, {"timeout": 3, "priority": 1})]


def test_every_method_is_called_above():
    called = {name for name, _, _ in CALLS} | {"get_asset_valuation"}
    assert called == {name for name in ENDPOINTS if not ENDPOINTS[name].moves_money}


@pytest.mark.parametrize("name", sorted({name for name, _, _ in CALLS}))
def test_every_documented_parameter_is_sent_by_some_call(name):
    sent = {parameter for each, _, params in CALLS if each == name for parameter in params}
    assert sent == {each["name"] for each in FACTS[name]["params"]}


@pytest.mark.parametrize(
    ("name", "given"),
    [
        (name, {**given, argument: wrong})
        for name, given, _ in CALLS
        for argument in given
        for wrong in (4.5,)
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else value,
)
async def test_an_unusable_argument_is_named_and_nothing_sent(name, given):
    caller = Noting()
    (argument,) = [each for each, value in given.items() if value == 4.5 and type(value) is float]
    with pytest.raises(InvalidArgumentError, match=rf"^{argument}\b"):
        await getattr(caller, name)(**given)
    assert not caller.sent


@pytest.mark.parametrize("name", sorted({name for name, _, _ in CALLS}))
async def test_what_okx_requires_must_be_given(name):
    for each in FACTS[name]["params"]:
        if each["required"] == "Yes" and snake(each["name"]) != "ccy":
            given = next(given for other, given, _ in CALLS if other == name)
            left = {key: value for key, value in given.items() if key != snake(each["name"])}
            if name == "create_subaccount" and each["name"] == "type":
                continue  # a standard one by default
            with pytest.raises(TypeError, match=snake(each["name"])):
                await getattr(Noting(), name)(**left)


async def test_no_currency_at_all_asks_nothing():
    caller = Noting()
    assert await caller.get_balances([]) == []
    assert await caller.get_subaccount_funding_balances("bot1", ()) == []
    assert not caller.sent


@pytest.mark.parametrize(("ccy", "unit"), [(None, None), ("BTC", None), ("USDT", "USDT")])
async def test_a_valuation_says_its_unit(ccy, unit):
    caller = Noting()
    caller.row = AssetValuation(Decimal(1), 1, ValuationDetails(None, None, None, None))
    valuation = await caller.get_asset_valuation(ccy)
    assert valuation.ccy == (unit or "BTC")
    assert caller.sent[0][1] == ({} if unit is None else {"ccy": unit})


async def test_the_yen_is_jpy():
    with pytest.raises(InvalidArgumentError, match="the yen is JPY, not 'JP'"):
        await Noting().get_asset_valuation("JP")


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({}, "either wd_id or tx_id"),
        ({"wd_id": "1", "tx_id": "2"}, "either wd_id or tx_id"),
        ({"tx_id": "2", "ccy": "BTC"}, "tx_id needs ccy, to and chain"),
    ],
)
async def test_a_status_is_asked_by_one_id(given, problem):
    with pytest.raises(InvalidArgumentError, match=problem):
        await Noting().get_deposit_withdraw_status(**given)


async def test_a_transfer_is_asked_by_an_id():
    with pytest.raises(InvalidArgumentError, match="trans_id or client_id"):
        await Noting().transfer_state()


async def test_bills_by_id_say_so():
    with pytest.raises(InvalidArgumentError, match="^after is a moment; for a bill id"):
        await Noting().get_bills_history(after="12344")
    with pytest.raises(InvalidArgumentError, match="^after is a bill id"):
        await Noting().get_bills_history(after=AT, paging_type="2")


async def test_passphrase_and_password_travel_wrapped():
    caller = Noting()
    await caller.create_subaccount_apikey("bot1", "a bot", "open sesame")
    await caller.create_subaccount("bot1", pwd="open sesame")
    assert type(caller.sent[0][1]["passphrase"]) is Secret
    assert type(caller.sent[1][1]["pwd"]) is Secret
    assert "sesame" not in repr(caller.sent)
