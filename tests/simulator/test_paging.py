"""Pages: exclusive times, ids for bills-history, a reversed inclusive range for fiat, many ties."""

from __future__ import annotations

import time

import pytest

from okx_funding.simulator import SimulatedExchange

from .conftest import unlimited

pytestmark = pytest.mark.looptime


@pytest.fixture
def now():
    """Milliseconds at which the exchange's clock stands still; signatures have to agree with it."""
    return int(time.time()) * 1000


@pytest.fixture
async def bank(now):
    async with SimulatedExchange(
        judge=unlimited, strict=True, clock=lambda: now / 1000
    ) as exchange:
        yield exchange


async def walk(bank, call, endpoint, name, **params):
    """All rows, going back by ``after`` one above the oldest time and dropping what was seen."""
    seen: dict[str, dict[str, str]] = {}
    pages = 0
    while True:
        _, rows = await call(bank, endpoint, **params)
        pages += 1
        new = {row[name]: row for row in rows if row[name] not in seen}
        seen |= new
        if not new:
            return seen, pages
        params["after"] = str(int(rows[-1]["ts"]) + 1)


async def test_a_page_has_100_rows_the_newest_first(bank, call):
    bills = bank.account().add_bills(250)
    _, rows = await call(bank, "get_bills")
    assert [row["billId"] for row in rows] == [str(it.bill_id) for it in bills[:149:-1]]


async def test_after_and_before_are_exclusive(bank, call):
    bills = bank.account().add_bills(5)
    times = [str(it.ts) for it in bills]
    _, rows = await call(bank, "get_bills", after=times[3], before=times[0])
    assert [row["ts"] for row in rows] == [times[2], times[1]]


async def test_limit_is_1_to_100(bank, call):
    bank.account().add_bills(150)
    assert len((await call(bank, "get_bills", limit="7"))[1]) == 7
    assert [(await call(bank, "get_bills", limit=it))[0] for it in ("0", "101", "x")] == [
        "51000"
    ] * 3
    bank.rules.strict = False
    assert len((await call(bank, "get_bills", limit="500"))[1]) == 100


async def test_rows_of_one_millisecond_are_lost_by_an_exclusive_cursor_alone(bank, call):
    bank.account().add_bills(150, same_millisecond=150)
    _, rows = await call(bank, "get_bills")
    assert len(rows) == 100
    assert (await call(bank, "get_bills", after=rows[-1]["ts"]))[1] == []


async def test_a_walk_that_overlaps_by_a_millisecond_finds_all(bank, call):
    bank.account().add_bills(1000, same_millisecond=80)
    seen, _ = await walk(bank, call, "get_bills", "billId")
    assert len(seen) == 1000


async def test_bills_history_pages_by_id_through_any_number_of_ties(bank, call):
    bank.account().add_bills(350, same_millisecond=350)
    seen: list[str] = []
    after: dict[str, str] = {}
    while True:
        _, rows = await call(bank, "get_bills_history", pagingType="2", **after)
        if not rows:
            break
        seen += [row["billId"] for row in rows]
        after = {"after": rows[-1]["billId"]}
    assert len(seen) == len(set(seen)) == 350
    assert seen == sorted(seen, reverse=True)


async def test_bills_history_refuses_before_with_times(bank, call, now):
    assert (await call(bank, "get_bills_history", before=str(now)))[0] == "50039"
    assert (await call(bank, "get_bills_history", pagingType="2", before="1"))[0] == "0"


async def test_bills_reach_back_a_month_and_bills_history_to_the_beginning(bank, call, now):
    bank.account().add_bills(1, until=now - 29 * 86_400_000)
    bank.account().add_bills(1, until=now - 31 * 86_400_000)
    assert len((await call(bank, "get_bills"))[1]) == 1
    assert len((await call(bank, "get_bills_history"))[1]) == 2


async def test_bills_history_may_lag(bank, call):
    bank.rules.bills_history_lag = 30
    await call(bank, "funds_transfer", ccy="USDT", amt="1", from_="6", to="18")
    assert len((await call(bank, "get_bills"))[1]) == 1
    assert (await call(bank, "get_bills_history"))[1] == []
    bank.advance(30)
    assert len((await call(bank, "get_bills_history"))[1]) == 1


async def test_bills_are_filtered_by_currency_type_and_client_id(bank, call):
    bank.account().add_bills(3, "BTC", type="1")
    await call(bank, "funds_transfer", ccy="BTC", amt="1", from_="6", to="18", clientId="x")
    for params, n in [
        ({"ccy": "BTC"}, 4), ({"ccy": "ETH"}, 0), ({"type": "131"}, 1), ({"clientId": "x"}, 1),
        ({"clientId": "y"}, 0),
    ]:  # fmt: skip
        assert len((await call(bank, "get_bills", **params))[1]) == n


@pytest.mark.parametrize("endpoint", ["get_deposit_history", "get_withdrawal_history"])
async def test_histories_of_deposits_and_withdrawals_page_by_their_creation(
    bank, call, endpoint, now
):
    account = bank.account()
    name = "depId" if endpoint == "get_deposit_history" else "wdId"
    for n in range(120):
        if name == "depId":
            account.deposit("USDT", "1", ts=now - 1000 * (n // 40))
        else:
            account.set_balances({"USDT": "100"})
            body = {"ccy": "USDT", "amt": "2", "dest": "4", "toAddr": account.address}
            assert (await call(bank, "withdrawal", **body))[0] == "0"
            if n % 40 == 39:
                bank.advance(1)
    seen, _ = await walk(bank, call, endpoint, name)
    assert len(seen) == 120
    before = {row["ts"] for row in seen.values()}
    bank.advance(hours=1)
    after, _ = await walk(bank, call, endpoint, name)
    assert {row["ts"] for row in after.values()} == before


async def test_deposits_are_found_by_id_state_and_type(bank, call):
    one, two = (bank.account().deposit("USDT", "1") for _ in range(2))
    pending = bank.account().deposit("USDT", "1", pending=True)
    for params, found in [
        ({"depId": one.dep_id}, [one]),
        ({"txId": two.tx_id}, [two]),
        ({"state": "0"}, [pending]),
        ({"type": "3"}, []),
        ({"type": "4"}, [pending, two, one]),
        ({"ccy": "BTC"}, []),
    ]:
        _, rows = await call(bank, "get_deposit_history", **params)
        assert [row["depId"] for row in rows] == [it.dep_id for it in found]
    assert (await call(bank, "get_deposit_history", state="99"))[0] == "51000"


async def test_fiat_histories_take_after_as_begin_and_before_as_end_both_inclusive(bank, call, now):
    for n in range(5):
        bank.account().fiat_deposit("TRY", "10", ts=now - 1000 * n)
    times = [str(now - 1000 * n) for n in range(5)]
    _, rows = await call(bank, "get_fiat_deposit_history", after=times[3], before=times[1])
    assert [row["cTime"] for row in rows] == times[1:4]


async def test_sub_accounts_page_by_their_creation(bank, call, now):
    for n in range(130):
        bank.account().add_sub_account(f"bot{n:03}", ts=now - 1000 * (n // 30))
    seen, pages = await walk(bank, call, "get_subaccount_list", "uid")
    assert (len(seen), pages) == (131, 3)
    _, rows = await call(bank, "get_subaccount_list", subAcct="bot007")
    assert [row["subAcct"] for row in rows] == ["bot007"]


async def test_new_rows_dont_disturb_a_walk_backward(bank, call, now):
    bank.account().add_bills(150)
    _, first = await call(bank, "get_bills")
    bank.account().add_bills(10, until=now + 1)
    _, second = await call(bank, "get_bills", after=first[-1]["ts"])
    assert len({row["billId"] for row in [*first, *second]}) == 150


IDS = {
    "get_bills": "billId",
    "get_bills_history": "billId",
    "get_deposit_history": "depId",
    "get_withdrawal_history": "wdId",
    "get_convert_history": "tradeId",
    "get_fiat_deposit_history": "ordId",
    "get_fiat_withdrawal_history": "ordId",
    "get_buy_sell_history": "ordId",
    "get_subaccount_bills": "billId",
    "get_managed_subaccount_bills": "billId",
    "get_subaccount_list": "uid",
}


@pytest.mark.parametrize("endpoint", IDS)
async def test_any_history_can_be_filled_and_gives_100_rows_the_newest_first(bank, call, endpoint):
    added = bank.account().add_rows(endpoint, 150, same_millisecond=7)
    code, rows = await call(bank, endpoint)
    found = [row[IDS[endpoint]] for row in rows]
    assert code == "0"
    if endpoint == "get_subaccount_list":
        found = [uid for uid in found if uid in added]
        assert found == added[::-1][: len(found)]
        assert len(found) > 90
    else:
        assert found == added[::-1][:100]
    bank.ledger.check()


def test_only_histories_can_be_filled():
    with pytest.raises(KeyError):
        SimulatedExchange().account().add_rows("get_balances", 1)
