"""Faults of orders: what the client hears, what became of the money, what look-ups say when."""

from __future__ import annotations

import asyncio
import contextlib
import json
from decimal import Decimal

import pytest

from okx_funding.simulator import MONEY_FAULTS, Fault, SimulatedExchange

from .conftest import unlimited

pytestmark = pytest.mark.looptime

TRANSFER = {"ccy": "USDT", "amt": "1", "from_": "6", "to": "18", "clientId": "abc"}

LOST = {
    "reset": Fault.reset(),
    "close": Fault.close(),
    "cut body": Fault.close_mid_body(),
    "reset in the body": Fault.reset_mid_body(),
    "half a body": Fault.truncated(),
    "504": Fault.html(504),
    "50001": Fault.code("50001"),
    "50004": Fault.code("50004"),
    "50013": Fault.code("50013"),
    "50026": Fault.code("50026"),
    "unlisted": Fault.code("59999"),
}
each_loss = pytest.mark.parametrize("fault", LOST.values(), ids=list(LOST))


async def send(exchange, call, **changes):
    """The code, or what the client hears instead."""
    try:
        code, rows = await call(exchange, "funds_transfer", **(TRANSFER | changes))
    except (OSError, ValueError, IndexError) as error:
        return type(error).__name__, []
    return code, rows


async def look_up(exchange, call):
    code, rows = await call(exchange, "transfer_state", clientId="abc")
    return rows[0]["state"] if code == "0" else code


@each_loss
async def test_an_answer_lost_after_the_commit(bank, call, fault):
    bank.fail_next(1, fault.after_commit())
    assert (await send(bank, call))[0] != "0"
    assert [it.client_id for it in bank.movements] == ["abc"]
    assert await look_up(bank, call) == "success"
    assert bank.account().balance("USDT") == 799


@each_loss
async def test_an_order_lost_before_the_commit(bank, call, fault):
    bank.fail_next(1, fault.before_commit())
    assert (await send(bank, call))[0] != "0"
    assert bank.movements == []
    assert await look_up(bank, call) == "58129"
    assert bank.account().balance("USDT") == 800
    assert bank.requests("funds_transfer")[0].counted == (fault.name != "html 504")


@each_loss
async def test_an_order_carried_out_later_than_its_answer(bank, call, fault):
    bank.fail_next(1, fault.commit_after(5))
    assert (await send(bank, call))[0] != "0"
    assert (bank.movements, await look_up(bank, call)) == ([], "58129")
    await asyncio.sleep(5)
    assert [it.client_id for it in bank.movements] == ["abc"]
    assert await look_up(bank, call) == "success"


async def test_a_hanging_connection_after_the_commit(bank, call):
    bank.fail_next(1, Fault.hang(60))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(send(bank, call), 10)
    assert len(bank.movements) == 1


@pytest.mark.parametrize("code", ["50011", "50102", "50113", "51000", "58350", "50111"])
async def test_a_refusal_leaves_the_money_where_it_is(bank, call, code):
    bank.fail_next(1, Fault.code(code))
    assert (await send(bank, call))[0] == code
    assert bank.movements == []


async def test_a_duplicate_code_can_come_before_or_after(bank, call):
    bank.fail_next(1, Fault.code("58404").after_commit())
    assert (await send(bank, call))[0] == "58404"
    assert len(bank.movements) == 1


async def test_code_0_without_rows_without_id_and_with_a_foreign_client_id(bank, call):
    for fault, row in [
        (Fault.no_rows(), None),
        (Fault.without_id(), {"transId": "", "clientId": "abc"}),
        (Fault.foreign_client_id(), {"clientId": "somebodyelses"}),
        (Fault.other_amount("7"), {"amt": "7"}),
    ]:
        bank.fail_next(1, fault)
        code, rows = await send(bank, call)
        assert code == "0"
        assert rows == [] if row is None else row.items() <= rows[0].items()
    assert [it.amount for it in bank.movements] == [Decimal(1)] * 4


@pytest.mark.parametrize("seconds", [0.5, 5, 40])
async def test_an_order_may_be_invisible_for_a_while(bank, call, seconds):
    bank.fail_next(1, Fault.reset().visible_after(seconds))
    await send(bank, call)
    assert len(bank.movements) == 1
    assert await look_up(bank, call) == "58129"
    assert (await call(bank, "get_bills", clientId="abc"))[1] == []
    await asyncio.sleep(seconds)
    assert await look_up(bank, call) == "success"
    assert len((await call(bank, "get_bills", clientId="abc"))[1]) == 1


async def test_an_invisible_withdrawal_and_convert(bank, call):
    body = {"ccy": "USDT", "amt": "10", "dest": "4", "toAddr": bank.account().address}
    bank.fail_next(1, Fault.reset().visible_after(9), "withdrawal")
    with pytest.raises((OSError, ValueError, IndexError)):
        await call(bank, "withdrawal", clientId="w1", **body)
    assert (await call(bank, "get_withdrawal_history", clientId="w1"))[1] == []
    await asyncio.sleep(9)
    assert len((await call(bank, "get_withdrawal_history", clientId="w1"))[1]) == 1


@pytest.mark.parametrize("fails", [False, True])
async def test_58124_then_pending_then_the_end(bank, call, fails):
    bank.fail_next(1, Fault.in_progress(3, fails=fails))
    assert (await send(bank, call))[0] == "58124"
    assert (await look_up(bank, call), bank.movements) == ("pending", [])
    await asyncio.sleep(3)
    assert await look_up(bank, call) == ("failed" if fails else "success")
    assert len(bank.movements) == (not fails)
    assert bank.account().balance("USDT") == (800 if fails else 799)
    bank.ledger.check()


async def test_58124_tells_the_id_in_its_text_only(bank, ask):
    bank.fail_next(1, Fault.in_progress(3))
    body = json.dumps({"ccy": "USDT", "amt": "1", "from": "6", "to": "18"})
    reply = await ask(bank, "/api/v5/asset/transfer", method="POST", body=body)
    (transfer,) = bank.account().transfers
    assert f"transfer id:{transfer.trans_id}." in reply.json["msg"]
    assert reply.json["data"] == []


async def test_a_withdrawal_that_is_accepted_and_fails(bank, call):
    body = {"ccy": "USDT", "amt": "10", "dest": "4", "toAddr": bank.account().address}
    bank.fail_next(1, Fault.pending(4, fails=True))
    _, (row,) = await call(bank, "withdrawal", clientId="w1", **body)
    await asyncio.sleep(4)
    _, (found,) = await call(bank, "get_withdrawal_history", wdId=row["wdId"])
    assert found["state"] == "-1"
    assert bank.account().balance("USDT") == 800
    assert [it.undone for it in bank.movements] == [True]


@pytest.mark.parametrize(("seconds", "code", "moved"), [(29, "0", 1), (31, "50102", 0)])
async def test_a_request_that_is_long_on_its_way_is_judged_when_it_arrives(
    bank, call, seconds, code, moved
):
    bank.fail_next(1, Fault.arrives_late(seconds))
    assert (await send(bank, call))[0] == code
    assert len(bank.movements) == moved


async def test_a_late_request_arrives_although_its_client_is_gone(bank, call):
    bank.fail_next(1, Fault.arrives_late(20))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(send(bank, call), 5)
    assert bank.movements == []
    await asyncio.sleep(16)
    assert len(bank.movements) == 1


async def test_look_ups_fail_themselves_and_only_they(bank, call):
    bank.fail_next(2, Fault.code("50011"), "transfer_state")
    assert (await send(bank, call))[0] == "0"
    assert [await look_up(bank, call) for _ in range(3)] == ["50011", "50011", "success"]


async def test_chaos_is_set_per_endpoint_and_repeats_by_seed(ask):
    async def names(seed):
        async with SimulatedExchange(judge=unlimited, seed=seed) as exchange:
            quick = [fault for fault in MONEY_FAULTS if not fault.delay]
            exchange.chaos(0.5, quick, endpoint="funds_transfer")
            exchange.chaos(1, [Fault.code("50026")], endpoint="transfer_state")
            body = json.dumps({"ccy": "USDT", "amt": "1", "from": "6", "to": "18"})
            for _ in range(30):
                with contextlib.suppress(OSError, ValueError, IndexError):
                    await ask(exchange, "/api/v5/asset/transfer", method="POST", body=body)
            reply = await ask(exchange, "/api/v5/asset/transfer-state?transId=1")
            assert reply.code == "50026"
            assert (await ask(exchange, "/api/v5/asset/balances")).code == "0"
            return [arrival.fault for arrival in exchange.requests("funds_transfer")]

    first = await names(1)
    assert first == await names(1)
    assert first != await names(2)
    assert 5 < sum(it is not None for it in first) < 25


async def test_every_fault_of_money_keeps_the_books_balanced(bank, call):
    for fault in MONEY_FAULTS:
        bank.fail_next(1, fault, "funds_transfer")
        await send(bank, call)
    await asyncio.sleep(5)
    bank.ledger.check()
    moved = len(bank.movements)
    assert bank.account().balance("USDT") == 800 - moved
    assert 0 < moved < len(MONEY_FAULTS)


def test_faults_can_be_combined_with_what_becomes_of_the_order():
    fault = Fault.arrives_late(29) & Fault.reset().visible_after(40) & Fault.pending(3)
    assert (fault.arrival_delay, fault.processing.hidden, fault.processing.pending) == (29, 40, 3)
    assert "visible after 40 s" in repr(fault)
    assert (fault & Fault.code("50011")).commits is False
