"""What orders do to the ledger, and what the exchange refuses. Every test counts movements."""

from __future__ import annotations

from decimal import Decimal

import pytest

from okx_funding.auth.credentials import Credentials
from okx_funding.simulator import SimulatedExchange

from .conftest import unlimited

pytestmark = pytest.mark.looptime

D = Decimal


def moved(exchange):
    return [(it.kind, it.client_id, it.ccy, it.amount, it.undone) for it in exchange.movements]


# --- transfers --------------------------------------------------------------------------------


async def test_a_transfer_moves_money_writes_a_bill_and_counts_once(bank, call):
    account = bank.account()
    code, (row,) = await call(
        bank, "funds_transfer", ccy="USDT", amt="1.5", from_="6", to="18", clientId="abc"
    )
    assert code == "0"
    assert row == {
        "transId": row["transId"], "ccy": "USDT", "clientId": "abc", "from": "6",
        "amt": "1.5", "to": "18",
    }  # fmt: skip
    assert (account.balance("USDT"), account.balance("USDT", "trading")) == (D("798.5"), D("401.5"))
    assert moved(bank) == [("transfer", "abc", "USDT", D("1.5"), False)]
    (bill,) = account.bills
    assert (bill.type, bill.bal_chg, bill.bal, bill.client_id) == (
        "131",
        D("-1.5"),
        D("798.5"),
        "abc",
    )
    bank.ledger.check()


async def test_what_comes_from_trading_is_billed_as_that(bank, call):
    await call(bank, "funds_transfer", ccy="USDT", amt="2", from_="18", to="6")
    (bill,) = bank.account().bills
    assert (bill.type, bill.bal_chg) == ("130", D(2))


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"amt": "800.000001"}, "58350"),
        ({"amt": "0"}, "58114"),
        ({"amt": "-1"}, "51000"),
        ({"amt": "1e3"}, "51000"),
        ({"amt": 1}, "51000"),
        ({"ccy": "NOPE"}, "58006"),
        ({"ccy": ""}, "50014"),
        ({"to": "6"}, "58123"),
        ({"to": "7"}, "51000"),
        ({"type": "1", "subAcct": "nobody"}, "58115"),
        ({"type": "1"}, "50014"),
        ({"type": "3"}, "58127"),
        ({"clientId": "a-b"}, "51000"),
        ({"clientId": "a" * 33}, "51000"),
        ({"fee": "1"}, "51000"),
        ({"subAcct": ""}, "51000"),
    ],
)
async def test_a_refused_transfer_moves_nothing(bank, call, changes, code):
    body = {"ccy": "USDT", "amt": "1", "from_": "6", "to": "18"} | changes
    assert (await call(bank, "funds_transfer", **body))[0] == code
    assert moved(bank) == []
    assert bank.account().balance("USDT") == 800
    assert bank.account().bills == []


async def test_transfers_between_master_and_sub_account_go_both_ways(bank, call):
    sub = bank.account(f"{bank.user_ids[0]}/trading1")
    body = {"ccy": "USDT", "from_": "6", "to": "6", "subAcct": "trading1"}
    assert (await call(bank, "funds_transfer", type="1", amt="9", **body))[0] == "0"
    assert (sub.balance("USDT"), bank.account().balance("USDT")) == (9, 791)
    assert (await call(bank, "funds_transfer", type="2", amt="4", **body))[0] == "0"
    assert (sub.balance("USDT"), bank.account().balance("USDT")) == (5, 795)
    assert [bill.type for bill in bank.account().bills] == ["20", "21"]
    assert [(bill.type, bill.bal_chg) for bill in sub.bills] == [("23", D(9)), ("22", D(-4))]
    _, rows = await call(bank, "get_subaccount_bills")
    assert [(row["type"], row["amt"]) for row in rows] == [("1", "4"), ("0", "9")]


async def test_a_sub_accounts_own_key_may_only_use_its_types(call):
    main = Credentials("m", "s", "p", user_id="1")
    bot, other = (Credentials(name, "s", "p", user_id=name) for name in ("2", "3"))
    async with SimulatedExchange([main], judge=unlimited, strict=True) as exchange:
        exchange.account().add_sub_account("bot1", bot)
        exchange.account().add_sub_account("bot2", other)
        exchange.account("2").set_balances({"USDT": "10"})
        body = {"ccy": "USDT", "amt": "1", "from_": "6", "to": "6", "credentials": bot}
        assert (await call(exchange, "funds_transfer", type="1", subAcct="bot2", **body))[
            0
        ] == "58128"
        assert (await call(exchange, "funds_transfer", type="3", **body))[0] == "0"
        assert (await call(exchange, "funds_transfer", type="4", subAcct="bot2", **body))[0] == "0"
        assert (await call(exchange, "funds_transfer", type="4", subAcct="bot1", **body))[
            0
        ] == "59507"
        assert [exchange.account(uid).balance("USDT") for uid in "123"] == [801, 8, 1]
        exchange.account("2").user.can_transfer_out = False
        assert (await call(exchange, "funds_transfer", type="3", **body))[0] == "58119"
        assert (await call(exchange, "get_subaccount_list", credentials=bot))[0] == "59604"
        withdrawal = {"ccy": "USDT", "amt": "2", "dest": "4", "toAddr": "x", "credentials": bot}
        assert (await call(exchange, "withdrawal", **withdrawal))[0] == "59504"
        assert len(exchange.movements) == 2


async def test_between_sub_accounts_the_master_moves_without_a_client_id(bank, call):
    bank.account().add_sub_account("second1")
    bank.account(f"{bank.user_ids[0]}/trading1").set_balances({"BTC": "1"})
    body = {"ccy": "BTC", "amt": "0.25", "from_": "6", "to": "18", "fromSubAccount": "trading1"}
    code, (row,) = await call(bank, "subaccount_transfer", toSubAccount="second1", **body)
    assert (code, set(row)) == ("0", {"transId"})
    assert bank.account(f"{bank.user_ids[0]}/second1").balance("BTC", "trading") == D("0.25")
    assert moved(bank) == [("transfer", "", "BTC", D("0.25"), False)]
    assert (await call(bank, "subaccount_transfer", toSubAccount="trading1", **body))[0] == "59507"
    assert (await call(bank, "subaccount_transfer", toSubAccount="nobody", **body))[0] == "59510"


async def test_transfer_state_finds_by_either_id_and_only_with_the_right_type(bank, call):
    await call(
        bank, "funds_transfer", type="1", subAcct="trading1", ccy="USDT", amt="1", from_="6",
        to="6", clientId="abc",
    )  # fmt: skip
    code, (row,) = await call(bank, "transfer_state", clientId="abc", type="1")
    assert (code, row["state"], row["type"], row["subAcct"]) == ("0", "success", "1", "trading1")
    assert (await call(bank, "transfer_state", transId=row["transId"], type="1"))[0] == "0"
    assert (await call(bank, "transfer_state", clientId="abc"))[0] == "58129"
    assert (await call(bank, "transfer_state", clientId="ABC", type="1"))[0] == "58129"
    assert (await call(bank, "transfer_state", type="1"))[0] == "50015"
    bank.advance(hours=14 * 24 + 1)
    assert (await call(bank, "transfer_state", clientId="abc", type="1"))[0] == "58129"


async def test_a_duplicate_client_id_is_a_second_movement_unless_it_is_refused(bank, call):
    body = {"ccy": "USDT", "amt": "1", "from_": "6", "to": "18", "clientId": "abc"}
    assert [(await call(bank, "funds_transfer", **body))[0] for _ in range(2)] == ["0", "0"]
    assert len(bank.movements) == 2
    bank.rules.duplicate_ids = "refuse"
    assert (await call(bank, "funds_transfer", **body))[0] == "50071"
    assert len(bank.movements) == 2


async def test_a_pending_transfer_moves_when_its_time_has_come(bank, call):
    bank.rules.transfer_seconds = 5
    account = bank.account()
    await call(bank, "funds_transfer", ccy="USDT", amt="1", from_="6", to="18", clientId="p")
    _, (row,) = await call(bank, "transfer_state", clientId="p")
    assert (row["state"], account.balance("USDT"), moved(bank)) == ("pending", 799, [])
    bank.ledger.check()
    bank.advance(5)
    _, (row,) = await call(bank, "transfer_state", clientId="p")
    assert (row["state"], account.balance("USDT", "trading")) == ("success", 401)
    assert len(bank.movements) == 1


# --- withdrawals ------------------------------------------------------------------------------


def withdrawal(exchange, **changes):
    return {
        "ccy": "USDT", "amt": "10", "dest": "4", "toAddr": exchange.account().address,
        "chain": "USDT-ERC20", "clientId": "w1",
    } | changes  # fmt: skip


async def state(exchange, call, wd_id):
    _, (row,) = await call(exchange, "get_withdrawal_history", wdId=wd_id)
    return row["state"]


async def test_a_withdrawal_takes_amount_and_fee_and_goes_its_way(bank, call):
    account, total = bank.account(), bank.ledger.total("USDT")
    code, (row,) = await call(bank, "withdrawal", **withdrawal(bank))
    assert (code, row["clientId"], row["chain"]) == ("0", "w1", "USDT-ERC20")
    assert account.balance("USDT") == D("788.5")
    assert bank.ledger.total("USDT") == total
    assert moved(bank) == [("withdrawal", "w1", "USDT", D(10), False)]
    states = [await state(bank, call, row["wdId"])]
    for seconds in (30, 30, 120):
        bank.advance(seconds)
        states.append(await state(bank, call, row["wdId"]))
    assert states == ["0", "7", "1", "2"]
    assert bank.ledger.total("USDT") == total - 10
    assert account.withdrawals[0].tx_id
    assert [(bill.type, bill.bal_chg) for bill in account.bills] == [("2", D("-11.5"))]
    bank.ledger.check()


async def test_a_cancelled_withdrawal_gives_the_money_back(bank, call):
    _, (row,) = await call(bank, "withdrawal", **withdrawal(bank))
    assert (await call(bank, "cancel_withdrawal", wdId=row["wdId"]))[0] == "0"
    assert await state(bank, call, row["wdId"]) == "-3"
    bank.advance(minutes=10)
    assert await state(bank, call, row["wdId"]) == "-2"
    assert bank.account().balance("USDT") == 800
    assert moved(bank) == [("withdrawal", "w1", "USDT", D(10), True)]
    assert (await call(bank, "cancel_withdrawal", wdId=row["wdId"]))[0] == "58220"
    assert (await call(bank, "cancel_withdrawal", wdId="1"))[0] == "58215"
    bank.ledger.check()


async def test_a_failed_withdrawal_gives_the_money_back(bank, call):
    await call(bank, "withdrawal", **withdrawal(bank))
    (record,) = bank.account().withdrawals
    bank.account().set_state(record, "-1")
    assert bank.account().balance("USDT") == 800
    assert [it.undone for it in bank.movements] == [True]
    bank.advance(hours=1)
    assert record.state == "-1"
    with pytest.raises(ValueError, match="at its end"):
        bank.account().set_state(record, "2")


async def test_one_on_its_way_can_no_longer_be_cancelled(bank, call):
    _, (row,) = await call(bank, "withdrawal", **withdrawal(bank))
    bank.advance(minutes=1)
    assert (await call(bank, "cancel_withdrawal", wdId=row["wdId"]))[0] == "58216"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"toAddr": "0xdead"}, "58207"),
        ({"chain": "USDT-Nowhere"}, "58200"),
        ({"amt": "1"}, "58206"),
        ({"amt": "10.1234567"}, "51000"),
        ({"amt": "798.6"}, "58350"),
        ({"amt": "99999999"}, "58205"),
        ({"dest": "5"}, "51000"),
        ({"toAddrType": "2"}, "51000"),
        ({"ccy": "NOPE", "chain": "NOPE-ERC20"}, "58006"),
        ({"ccy": "XRP", "chain": "XRP-Ripple"}, "58221"),
        ({"dest": "3"}, "58213"),
        ({"dest": "3", "toAddr": "13800000000"}, "50014"),
        ({"rcvrInfo": {"walletType": "bank"}}, "51000"),
        ({"rcvrInfo": {"walletType": "exchange"}}, "50014"),
        ({"rcvrInfo": "x"}, "51000"),
        ({"ccy": "TRY", "chain": ""}, "51000"),
        ({"fee": "1.5"}, "51000"),
    ],
)
async def test_a_refused_withdrawal_moves_nothing(bank, call, changes, code):
    body = withdrawal(bank, **changes)
    assert (await call(bank, "withdrawal", **body))[0] == code
    assert moved(bank) == []
    assert bank.account().balance("USDT") == 800


async def test_a_suspended_chain_is_refused_and_shown(bank, call):
    bank.account().suspend_chain("USDT-ERC20")
    assert (await call(bank, "withdrawal", **withdrawal(bank)))[0] == "58214"
    _, rows = await call(bank, "get_currencies", ccy="USDT")
    assert {row["chain"]: row["canWd"] for row in rows} == {"USDT-ERC20": False, "USDT-TRC20": True}
    bank.account().resume_chain("USDT-ERC20")
    assert (await call(bank, "withdrawal", **withdrawal(bank)))[0] == "0"
    with pytest.raises(KeyError):
        bank.account().suspend_chain("USDT-Nowhere")


async def test_what_is_credited_but_not_final_cant_be_withdrawn(bank, call):
    bank.account().set_balances({"USDT": "0"})
    deposit = bank.account().deposit("USDT", "20", pending=True)
    bank.account().set_state(deposit, "1")
    _, (row,) = await call(bank, "get_balances", ccy="USDT")
    assert (row["bal"], row["availBal"], row["frozenBal"]) == ("20", "0", "20")
    assert (await call(bank, "withdrawal", **withdrawal(bank)))[0] == "58350"
    bank.account().set_state(deposit, "2")
    assert (await call(bank, "withdrawal", **withdrawal(bank)))[0] == "0"


async def test_an_internal_withdrawal_is_free_and_arrives(call):
    users = [Credentials(name, "s", "p", user_id=name) for name in ("100001x", "200002x")]
    async with SimulatedExchange(users, judge=unlimited) as exchange:
        body = {"ccy": "BTC", "amt": "0.1", "dest": "3", "toAddr": "200002x", "toAddrType": "2"}
        assert (await call(exchange, "withdrawal", **body))[0] == "0"
        exchange.advance(minutes=10)
        assert [exchange.account(it.user_id).balance("BTC") for it in users] == [D("0.4"), D("0.6")]
        (deposit,) = exchange.account("200002x").deposits
        assert (deposit.state, deposit.from_, deposit.from_wd_id != "") == ("2", "100001x", True)
        exchange.ledger.check()


async def test_a_non_tradable_asset_pays_its_fee_in_another_currency(bank, call):
    body = {
        "ccy": "CELT", "amt": "100", "dest": "4", "toAddr": bank.account().address,
        "chain": "CELT-OKTC", "clientId": "n1",
    }  # fmt: skip
    assert (await call(bank, "withdrawal", **body))[0] == "58228"
    bank.key().ips = {"127.0.0.1"}
    code, (row,) = await call(bank, "withdrawal", **body)
    assert code == "0"
    assert bank.account().assets[0]["bal"] == "889.84719571"
    assert bank.account().balance("USDT") == 798
    _, (shown,) = await call(bank, "get_withdrawal_history", wdId=row["wdId"])
    assert (shown["nonTradableAsset"], shown["feeCcy"], shown["fee"]) == (True, "USDT", "2")
    await call(bank, "cancel_withdrawal", wdId=row["wdId"])
    bank.advance(minutes=1)
    assert bank.account().assets[0]["bal"] == "989.84719571"
    assert bank.account().balance("USDT") == 800
    bank.account().set_balances({"USDT": "1"})
    assert (await call(bank, "withdrawal", **body))[0] == "58229"
    bank.ledger.check()


@pytest.mark.parametrize("shape", ["empty", "51000", "58215", "58129"])
async def test_an_unknown_withdrawal_is_not_found_in_the_chosen_shape(bank, call, shape):
    bank.rules.not_found = shape
    code, rows = await call(bank, "get_withdrawal_history", clientId="nobody")
    assert (code, rows) == ("0" if shape == "empty" else shape, [])
    assert (await call(bank, "get_withdrawal_history"))[0] == "0"


# --- deposits ---------------------------------------------------------------------------------


async def test_a_deposit_goes_through_its_states_and_is_credited_once(bank, call):
    account = bank.account()
    deposit = account.deposit("BTC", "0.25", pending=True)
    seen = [(deposit.state, account.balance("BTC"))]
    for seconds in (60, 60, 120):
        bank.advance(seconds)
        _, (row,) = await call(bank, "get_deposit_history", depId=deposit.dep_id)
        seen.append((row["state"], account.balance("BTC")))
    assert seen == [("0", D("0.5")), ("0", D("0.5")), ("1", D("0.75")), ("2", D("0.75"))]
    assert [(bill.type, bill.bal_chg) for bill in account.bills] == [("1", D("0.25"))]
    assert bank.movements == []
    bank.ledger.check()


async def test_time_passes_for_the_exchange_by_the_loops_clock_as_well(bank, call):
    import asyncio

    deposit = bank.account().deposit("BTC", "0.25", pending=True)
    await asyncio.sleep(241)
    assert deposit.state == "2"


# --- convert ----------------------------------------------------------------------------------

QUOTE = {"baseCcy": "BTC", "quoteCcy": "USDT", "side": "buy", "rfqSz": "30", "rfqSzCcy": "USDT"}


def trade(quote, **changes):
    return {
        "quoteId": quote["quoteId"], "baseCcy": "BTC", "quoteCcy": "USDT", "side": quote["side"],
        "sz": quote["rfqSz"], "szCcy": quote["rfqSzCcy"], "clTReqId": "c1",
    } | changes  # fmt: skip


async def test_a_quote_trades_once_in_the_trading_account(bank, call):
    _, (quote,) = await call(bank, "estimate_quote", **QUOTE)
    code, (row,) = await call(bank, "convert_trade", **trade(quote))
    assert (code, row["state"], row["fillQuoteSz"]) == ("0", "fullyFilled", "30")
    account = bank.account()
    assert account.balance("USDT", "trading") == 370
    assert account.balance("BTC", "trading") == D("0.25") + D(row["fillBaseSz"])
    assert account.balance("USDT") == 800
    assert (await call(bank, "convert_trade", **trade(quote)))[0] == "52921"
    assert moved(bank) == [("convert", "c1", "USDT", D(30), False)]
    _, (found,) = await call(bank, "get_convert_history", clTReqId="c1")
    assert found["tradeId"] == row["tradeId"]
    bank.ledger.check()


async def test_a_quote_expires(bank, call):
    _, (quote,) = await call(bank, "estimate_quote", **QUOTE)
    bank.advance(9.9)
    assert (await call(bank, "convert_trade", **trade(quote, sz="31")))[0] == "51000"
    bank.advance(0.2)
    assert (await call(bank, "convert_trade", **trade(quote)))[0] == "52922"
    assert bank.movements == []


async def test_selling_gives_the_quote_currency(bank, call):
    sell = {**QUOTE, "side": "sell", "rfqSz": "0.01", "rfqSzCcy": "BTC"}
    _, (quote,) = await call(bank, "estimate_quote", **sell)
    assert (await call(bank, "convert_trade", **trade(quote)))[0] == "0"
    assert bank.account().balance("BTC", "trading") == D("0.24")
    assert bank.account().balance("USDT", "trading") == 400 + D(quote["quoteSz"])


async def test_a_trade_with_a_tag_is_only_found_with_it(bank, call):
    _, (quote,) = await call(bank, "estimate_quote", **QUOTE)
    await call(bank, "convert_trade", **trade(quote, tag="t"))
    assert (await call(bank, "get_convert_history"))[1] == []
    assert len((await call(bank, "get_convert_history", tag="t"))[1]) == 1


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"quoteCcy": "TRY"}, "51000"),
        ({"baseCcy": "USDT", "quoteCcy": "BTC"}, "51000"),
        ({"rfqSzCcy": "ETH"}, "51000"),
        ({"rfqSz": "0.5"}, "52915"),
        ({"side": "hold"}, "51000"),
    ],
)
async def test_an_impossible_quote_is_refused(bank, call, changes, code):
    assert (await call(bank, "estimate_quote", **(QUOTE | changes)))[0] == code


# --- fiat -------------------------------------------------------------------------------------

FIAT = {"paymentAcctId": "1", "ccy": "TRY", "amt": "100", "paymentMethod": "TR_BANKS"}


async def test_a_fiat_withdrawal_completes_or_is_cancelled(bank, call):
    total = bank.ledger.total("TRY")
    _, (one,) = await call(bank, "create_fiat_withdrawal", clientId="f1", **FIAT)
    _, (two,) = await call(bank, "create_fiat_withdrawal", clientId="f2", **FIAT)
    assert (await call(bank, "cancel_fiat_withdrawal", ordId=two["ordId"]))[1] == [
        {"ordId": two["ordId"], "state": "canceled"}
    ]
    bank.advance(minutes=10)
    _, rows = await call(bank, "get_fiat_withdrawal_history")
    assert {row["clientId"]: row["state"] for row in rows} == {"f1": "completed", "f2": "canceled"}
    assert bank.ledger.total("TRY") == total - 100
    assert [it.undone for it in bank.movements] == [False, True]
    assert (await call(bank, "cancel_fiat_withdrawal", ordId=one["ordId"]))[0] == "58403"
    bank.ledger.check()


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"paymentAcctId": "9"}, "58402"),
        ({"paymentMethod": "PIX"}, "58401"),
        ({"amt": "100.001"}, "51000"),
        ({"amt": "20000"}, "58350"),
        ({"ccy": "BTC"}, "51000"),
        ({"clientId": ""}, "50014"),
    ],
)
async def test_a_refused_fiat_withdrawal_moves_nothing(bank, call, changes, code):
    body = {**FIAT, "clientId": "f1"} | changes
    assert (await call(bank, "create_fiat_withdrawal", **body))[0] == code
    assert bank.movements == []


async def test_buying_against_fiat_moves_both_currencies(bank, call):
    ask = {"side": "buy", "fromCcy": "USD", "toCcy": "BTC", "rfqAmt": "30", "rfqCcy": "USD"}
    _, (quote,) = await call(bank, "buy_sell_quote", **ask)
    body = {**ask, "quoteId": quote["quoteId"], "paymentMethod": "balance", "clOrdId": "b1"}
    code, (row,) = await call(bank, "buy_sell_trade", **body)
    assert (code, row["state"], row["fillFromAmt"]) == ("0", "completed", "30")
    assert bank.account().balance("USD") == 970
    assert bank.account().balance("BTC") == D("0.5") + D(row["fillToAmt"])
    assert (await call(bank, "buy_sell_trade", **body))[0] == "52921"
    assert moved(bank) == [("buy-sell", "b1", "USD", D(30), False)]
    assert len((await call(bank, "get_buy_sell_history", clOrdId="b1"))[1]) == 1
    bank.ledger.check()


# --- sub-accounts and keys ----------------------------------------------------------------------


async def test_a_key_made_for_a_sub_account_works_until_it_is_deleted(bank, call):
    made = {"subAcct": "trading1", "label": "v5", "passphrase": "Phrase-1", "perm": "read_only"}
    code, (row,) = await call(bank, "create_subaccount_apikey", **made)
    assert (code, row["perm"]) == ("0", "read_only")
    assert bank.log[-1].body == b""
    key = Credentials(row["apiKey"], row["secretKey"], row["passphrase"])
    assert (await call(bank, "get_balances", credentials=key))[0] == "0"
    body = {"ccy": "USDT", "amt": "1", "from_": "6", "to": "18", "credentials": key}
    assert (await call(bank, "funds_transfer", **body))[0] == "50030"
    changed = {"subAcct": "trading1", "apiKey": row["apiKey"], "perm": "read_only,trade"}
    assert (await call(bank, "reset_subaccount_apikey", **changed))[1][0][
        "perm"
    ] == "read_only,trade"
    assert (await call(bank, "funds_transfer", **body))[0] == "58350"
    gone = {"subAcct": "trading1", "apiKey": row["apiKey"]}
    assert (await call(bank, "delete_subaccount_apikey", **gone))[0] == "0"
    assert (await call(bank, "get_balances", credentials=key))[0] == "50111"


async def test_the_configuration_tells_master_permissions_and_addresses(call):
    main, bot = (Credentials(name, "s", "p", user_id=name) for name in ("1", "2"))
    async with SimulatedExchange([main], judge=unlimited) as exchange:
        exchange.account().add_sub_account("bot1", bot)
        _, (row,) = await call(exchange, "get_account_config")
        assert (row["uid"], row["mainUid"], row["perm"], row["ip"]) == (
            "1", "1", "read_only,withdraw,trade", "",
        )  # fmt: skip
        exchange.key("2").ips = {"127.0.0.1"}
        exchange.key("2").permissions = {"read"}
        _, (row,) = await call(exchange, "get_account_config", credentials=bot)
        assert (row["uid"], row["mainUid"], row["perm"], row["ip"]) == (
            "2", "1", "read_only", "127.0.0.1",
        )  # fmt: skip
