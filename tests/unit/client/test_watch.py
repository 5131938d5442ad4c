"""Deposits and withdrawals as they happen: the real client against the simulated exchange."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from okx_funding import FundingClient, Gap, Session
from okx_funding.auth.credentials import Credentials
from okx_funding.errors import (
    AuthenticationError,
    BacklogExceededError,
    ClientClosedError,
    InvalidArgumentError,
    PushStoppedError,
)
from okx_funding.scheduler.push import FINAL_CLOSES, FINAL_CODES
from okx_funding.simulator import SimulatedExchange
from okx_funding.telemetry.events import GapFilled, PushConnected, PushDisconnected
from tests.support import now, someone

from .watching import Consumer, connected, follow_loop, unlimited, wall, watched

pytestmark = pytest.mark.looptime


@pytest.fixture(autouse=True)
async def _virtual_wall_clock(monkeypatch):
    follow_loop(monkeypatch)


async def test_a_deposit_is_told_once_for_each_of_its_states():
    async with watched() as (exchange, client):
        consumer = Consumer(client.watch_deposits())
        await connected(exchange)
        deposit = exchange.account().deposit("USDT", "5", pending=True)
        await asyncio.sleep(1200)
        assert consumer.states == ["0", "1", "2"]
        assert {event.dep_id for event in consumer.events} == {deposit.dep_id}
        assert all(event.bookmark for event in consumer.events)
        await consumer.stop()


async def test_a_withdrawal_is_told_once_for_each_of_its_states():
    async with watched() as (exchange, client):
        consumer = Consumer(client.watch_withdrawals())
        await connected(exchange)
        intent = client.prepare_withdrawal(
            "USDT", "5", dest="4", to_addr=exchange.account().address, chain="USDT-ERC20"
        )
        await client.submit(intent)
        await asyncio.sleep(3600)
        assert consumer.states[0] == "0"
        assert consumer.states[-1] == "2"
        assert len(set(consumer.states)) == len(consumer.states)
        assert {event.client_id for event in consumer.events} == {intent.client_id}
        await consumer.stop()


async def test_rows_of_reads_have_no_bookmark():
    async with watched() as (exchange, client):
        exchange.account().deposit("USDT", "5")
        (row,) = await client.get_deposit_history()
        assert row.bookmark is None


async def test_details_tell_each_change_of_confirmations():
    async with watched() as (exchange, client):
        consumer = Consumer(client.watch_deposits(details=True))
        await connected(exchange)
        exchange.account().deposit("USDT", "5", pending=True)
        await asyncio.sleep(1200)
        assert len(consumer.events) > 3
        told = [(event.state, event.actual_dep_blk_confirm) for event in consumer.events]
        assert len(set(told)) == len(told)
        await consumer.stop()


# -- where it begins ---------------------------------------------------------------------------


async def test_without_since_it_begins_now():
    async with watched() as (exchange, client):
        exchange.account().deposit("USDT", "1")
        await asyncio.sleep(5)
        consumer = Consumer(client.watch_deposits())
        await connected(exchange)
        await asyncio.sleep(100)
        assert consumer.events == []
        await consumer.stop()


async def test_what_comes_between_the_call_and_the_connection_is_told():
    async with watched() as (exchange, client):
        watch = client.watch_deposits()
        await asyncio.sleep(3)
        exchange.account().deposit("USDT", "1")
        await asyncio.sleep(3)
        consumer = Consumer(watch)
        await connected(exchange)
        assert consumer.states == ["2"]
        await consumer.stop()


async def test_an_older_record_is_told_when_its_state_changes():
    async with watched() as (exchange, client):
        account = exchange.account()
        deposit = account.deposit("USDT", "1", pending=True)
        await asyncio.sleep(1)
        consumer = Consumer(client.watch_deposits())
        await connected(exchange)
        assert consumer.events == []
        account.set_state(deposit, "2")
        await asyncio.sleep(1)
        assert consumer.states == ["2"]
        await consumer.stop()


async def test_the_end_of_an_older_record_isnt_lost_in_a_gap():
    async with watched() as (exchange, client):
        account = exchange.account()
        deposit = account.deposit("USDT", "1", pending=True)
        account.set_state(deposit, "8")  # where it stays
        await asyncio.sleep(4000)
        consumer = Consumer(client.watch_deposits())
        await connected(exchange)
        account.deposit("USDT", "2")
        await asyncio.sleep(1)
        exchange.websockets.drop()
        account.set_state(deposit, "2")
        await asyncio.sleep(60)
        assert [(int(event.amt), event.state) for event in consumer.events] == [
            (2, "0"), (2, "2"), (1, "2"),
        ]  # fmt: skip
        await consumer.stop()


@pytest.mark.parametrize("kind", ["datetime", "milliseconds"])
async def test_since_is_a_moment_as_well(kind):
    async with watched() as (exchange, client):
        exchange.account().deposit("USDT", "1")
        await asyncio.sleep(10)
        moment = wall()
        await asyncio.sleep(10)
        exchange.account().deposit("USDT", "2")
        await asyncio.sleep(10)
        since = datetime.fromtimestamp(moment, UTC) if kind == "datetime" else int(moment * 1000)
        consumer = Consumer(client.watch_deposits(since=since))
        await connected(exchange)
        assert [int(event.amt) for event in consumer.events] == [2]
        await consumer.stop()


async def test_a_bookmark_goes_on_where_the_watch_was_left():
    async with watched() as (exchange, client):
        account = exchange.account()
        consumer = Consumer(client.watch_deposits())
        await connected(exchange)
        first = account.deposit("USDT", "1", pending=True)
        account.deposit("USDT", "2")
        await asyncio.sleep(1)
        bookmark = consumer.events[-1].bookmark
        await consumer.stop()
        account.set_state(first, "2")
        account.deposit("USDT", "3")
        await asyncio.sleep(3600)
        consumer = Consumer(client.watch_deposits(since=bookmark))
        await connected(exchange)
        await asyncio.sleep(100)
        assert [(int(event.amt), event.state) for event in consumer.events] == [(1, "2"), (3, "2")]
        await consumer.stop()


async def test_a_bookmark_doesnt_make_older_records_new():
    async with watched() as (exchange, client):
        account = exchange.account()
        account.deposit("USDT", "1")
        await asyncio.sleep(20)
        consumer = Consumer(client.watch_deposits())
        await connected(exchange)
        account.deposit("USDT", "2")
        await asyncio.sleep(1)
        bookmark = consumer.events[-1].bookmark
        await consumer.stop()
        consumer = Consumer(client.watch_deposits(since=bookmark))
        await connected(exchange)
        await asyncio.sleep(100)
        assert consumer.events == []
        await consumer.stop()


async def test_only_one_currency_is_told_of():
    async with watched() as (exchange, client):
        consumer = Consumer(client.watch_deposits("BTC"))
        await connected(exchange)
        exchange.account().deposit("USDT", "1")
        exchange.account().deposit("BTC", "1")
        await asyncio.sleep(1)
        assert {event.ccy for event in consumer.events} == {"BTC"}
        await consumer.stop()


@pytest.mark.parametrize(
    "options",
    [{"since": "x"}, {"since": 5}, {"since": datetime(2026, 1, 1)}, {"max_backlog": 0},  # noqa: DTZ001 - a naive moment is refused
     {"ccy": "BTC,ETH"}],
)  # fmt: skip
async def test_arguments_are_checked_at_the_call(options):
    async with watched() as (_, client):
        with pytest.raises(InvalidArgumentError):
            client.watch_deposits(**options)


async def test_a_clock_that_is_wrong_loses_nothing(monkeypatch):
    follow_loop(monkeypatch)
    right = wall
    loop = asyncio.get_running_loop()
    async with SimulatedExchange(
        [someone()], clock=lambda: 1_790_000_000 + loop.time()
    ) as exchange:
        assert right  # type: ignore[truthy-function]
        follow_loop(monkeypatch, ahead=3600)
        async with FundingClient(exchange.credentials, base_url=exchange.base_url) as client:
            watch = client.watch_deposits()
            exchange.account().deposit("USDT", "1")
            consumer = Consumer(watch)
            await connected(exchange)
            assert consumer.states == ["2"]
            exchange.account().deposit("USDT", "1")
            await asyncio.sleep(1)
            assert consumer.states == ["2", "0", "2"]
            await consumer.stop()


# -- gaps ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["drop", "freeze", 4004, 4005, 4006])
async def test_what_happened_while_nobody_was_connected_is_told(how):
    async with watched() as (exchange, client):
        consumer = Consumer(client.watch_deposits())
        await connected(exchange)
        if how == "freeze":
            exchange.websockets.freeze()
        else:
            exchange.websockets.drop(how if isinstance(how, int) else None)
        exchange.account().deposit("USDT", "1")
        await asyncio.sleep(60)
        assert consumer.states == ["2"]
        assert exchange.websockets.refused == 0
        await consumer.stop()


async def test_silence_is_noticed_within_thirty_seconds():
    async with watched() as (exchange, client):
        consumer = Consumer(client.watch_deposits())
        await connected(exchange)
        exchange.websockets.freeze()
        frozen_at = now()
        while len(exchange.websockets.connects) < 2:  # noqa: ASYNC110 - virtual time
            await asyncio.sleep(0.1)
        assert now() - frozen_at <= 31
        await consumer.stop()


async def test_a_gap_is_filled_when_the_reads_work_again():
    async with watched() as (exchange, client):
        consumer = Consumer(client.watch_deposits())
        await connected(exchange)
        exchange.outage = True
        exchange.websockets.drop()
        exchange.account().deposit("USDT", "1")
        await asyncio.sleep(300)
        exchange.outage = False
        await asyncio.sleep(120)
        assert consumer.states == ["2"]
        await consumer.stop()


async def test_the_history_that_lags_is_looked_at_once_more():
    async with watched() as (exchange, client):
        consumer = Consumer(client.watch_deposits())
        await connected(exchange)
        exchange.websockets.lost_share = 1.0
        exchange.websockets.drop()
        await asyncio.sleep(10)
        exchange.account().deposit("USDT", "1")
        await asyncio.sleep(70)
        assert consumer.states == ["2"]
        await consumer.stop()


async def test_gaps_of_sub_accounts_are_told_and_their_ids_arent_asked_for():
    main, bot = someone(), someone()
    async with watched(users=[main]) as (exchange, client):
        exchange.account().add_sub_account("bot1", bot)
        sub = exchange.account(bot.user_id)
        consumer = Consumer(client.watch_deposits(gaps=True))
        await connected(exchange)
        record = sub.deposit("USDT", "1", pending=True)
        sub.set_state(record, "8")  # where it stays
        await asyncio.sleep(400)
        exchange.account().deposit("USDT", "1")
        await asyncio.sleep(1)
        event = consumer.events[1]
        assert (event.state, event.sub_acct, event.uid) == ("8", "bot1", bot.user_id)
        asked_before = len(exchange.requests("get_deposit_history"))
        lost_at = wall()
        exchange.websockets.drop()
        await asyncio.sleep(300)
        gap = consumer.events[-1]
        assert isinstance(gap, Gap)
        assert gap.channel == "deposit-info"
        assert abs(gap.since / 1000 - lost_at) < 2
        assert gap.since < gap.until
        asked = exchange.requests("get_deposit_history")[asked_before:]
        assert asked
        assert not any("depId" in arrival.target for arrival in asked)
        sub.set_state(record, "2")
        await asyncio.sleep(1)
        assert consumer.events[-1].state == "2"
        await consumer.stop()


async def test_a_sub_accounts_own_key_fills_its_gaps():
    main, bot = someone(), someone()
    async with watched(users=[main]) as (exchange, _):
        exchange.account().add_sub_account("bot1", bot)
        sub = exchange.account(bot.user_id)
        async with FundingClient(bot, base_url=exchange.base_url) as client:
            consumer = Consumer(client.watch_deposits())
            await connected(exchange)
            record = sub.deposit("USDT", "1", pending=True)
            sub.set_state(record, "8")  # where it stays
            await asyncio.sleep(400)
            sub.deposit("USDT", "2")
            await asyncio.sleep(1)
            exchange.websockets.drop()
            sub.set_state(record, "2")
            await asyncio.sleep(60)
            finals = sorted(int(event.amt) for event in consumer.events if event.state == "2")
            assert finals == [1, 2]
            await consumer.stop()


# -- the connection -----------------------------------------------------------------------------


async def test_watches_of_one_key_share_a_connection_and_the_last_one_closes_it():
    async with watched() as (exchange, client):
        consumers = [Consumer(client.watch_deposits()), Consumer(client.watch_withdrawals())]
        await connected(exchange, 2)
        consumers.append(Consumer(client.watch_deposits()))
        await asyncio.sleep(1)
        assert len(exchange.websockets) == 1
        exchange.account().deposit("BTC", "1")
        await asyncio.sleep(1)
        assert consumers[0].states == consumers[2].states == ["0", "2"]
        assert consumers[1].states == []
        for consumer in consumers:
            await consumer.stop()
        await asyncio.sleep(1.5)
        assert len(exchange.websockets) == 0
        assert client.statistics().pushes == ()


async def test_a_watch_begun_right_after_another_was_left_has_its_own_connection():
    async with watched() as (exchange, client):
        consumer = Consumer(client.watch_deposits())
        await connected(exchange)
        for _ in range(3):
            await consumer.stop()
            consumer = Consumer(client.watch_deposits())
        await asyncio.sleep(5)
        await connected(exchange)
        exchange.account().deposit("BTC", "1")
        await asyncio.sleep(1)
        assert consumer.states == ["0", "2"]
        assert len(exchange.websockets) == 1
        assert exchange.websockets.refused == 0
        await consumer.stop()


async def test_a_service_upgrade_loses_nothing_and_reads_nothing():
    async with watched() as (exchange, client):
        consumer = Consumer(client.watch_deposits())
        await connected(exchange)
        await asyncio.sleep(70)
        reads = len(exchange.requests())
        exchange.websockets.notice()
        for number in range(1, 9):
            exchange.account().deposit("USDT", str(number))
            await asyncio.sleep(0.3)
        await asyncio.sleep(100)
        told = [(int(event.amt), event.state) for event in consumer.events]
        assert told == [(number, state) for number in range(1, 9) for state in ("0", "2")]
        assert len(exchange.requests()) == reads
        assert len(exchange.websockets) == 1
        assert exchange.websockets.open[0].closed is False
        await consumer.stop()


async def test_an_upgrade_whose_second_connection_is_refused_keeps_the_first_one():
    async with watched() as (exchange, client):
        consumer = Consumer(client.watch_deposits())
        await connected(exchange)
        exchange.websockets.refuse_status = 503
        exchange.websockets.notice()
        await asyncio.sleep(20)
        exchange.account().deposit("USDT", "1")
        await asyncio.sleep(1)
        assert consumer.states == ["0", "2"]
        exchange.websockets.refuse_status = None
        await asyncio.sleep(100)
        (push,) = client.statistics().pushes
        assert (push.state, push.connections, push.gaps_filled) == ("open", 2, 0)
        await consumer.stop()


@pytest.mark.parametrize("code", sorted(FINAL_CLOSES - {1009}))
async def test_a_close_code_that_is_final_ends_every_watch_with_its_own_bookmark(code):
    async with watched() as (exchange, client):
        one = Consumer(client.watch_deposits())
        two = Consumer(client.watch_withdrawals())
        await connected(exchange, 2)
        exchange.websockets.drop(code)
        await asyncio.wait([one.task, two.task])
        for consumer, channel in ((one, "deposit-info"), (two, "withdrawal-info")):
            assert isinstance(consumer.error, PushStoppedError)
            assert consumer.error.code == str(code)
            assert channel in consumer.error.bookmark  # type: ignore[operator]
        await asyncio.sleep(300)
        assert len(exchange.websockets.connects) == 1


@pytest.mark.parametrize("code", sorted(FINAL_CODES))
async def test_an_error_code_that_is_final_ends_the_watch(code):
    async with watched() as (exchange, client):
        exchange.websockets.login_errors.append(code)
        consumer = Consumer(client.watch_deposits())
        await asyncio.wait([consumer.task])
        assert isinstance(consumer.error, PushStoppedError)
        assert consumer.error.code == code
        assert consumer.error.bookmark


@pytest.mark.parametrize("code", ["60014", "63999", "64007", "60004", "60006", "61234"])
@pytest.mark.parametrize("where", ["login", "subscribe"])
async def test_an_error_code_that_may_pass_is_survived(code, where):
    async with watched() as (exchange, client):
        getattr(exchange.websockets, f"{where}_errors").append(code)
        consumer = Consumer(client.watch_deposits())
        await connected(exchange)
        exchange.account().deposit("BTC", "1")
        await asyncio.sleep(1)
        assert consumer.states == ["0", "2"]
        await consumer.stop()


async def test_login_is_stamped_by_the_learned_clock():
    async with watched() as (exchange, client):
        exchange.clock_skew = 600
        consumer = Consumer(client.watch_deposits())
        await connected(exchange)
        assert len(exchange.websockets.connects) == 1
        exchange.clock_skew = -600
        exchange.websockets.drop()
        await asyncio.sleep(30)
        exchange.account().deposit("BTC", "1")
        await asyncio.sleep(1)
        assert consumer.states == ["0", "2"]
        await consumer.stop()


async def test_a_clock_that_is_refused_for_ever_ends_the_watch():
    async with watched() as (exchange, client):
        exchange.websockets.login_errors.extend(["60006"] * 50)
        consumer = Consumer(client.watch_deposits())
        await asyncio.wait([consumer.task])
        assert isinstance(consumer.error, PushStoppedError)
        assert consumer.error.code == "60006"


async def test_a_key_that_is_deleted_ends_the_watch():
    async with watched() as (exchange, client):
        consumer = Consumer(client.watch_deposits())
        await connected(exchange)
        exchange.remove_key(str.__str__(exchange.credentials.reveal()[0]))
        await asyncio.wait([consumer.task])
        assert isinstance(consumer.error, PushStoppedError | AuthenticationError)


async def test_connections_of_many_keys_come_back_within_three_a_second():
    users = [someone() for _ in range(20)]
    async with watched(users=users) as (exchange, _), Session() as session:
        clients = [
            FundingClient(user, base_url=exchange.base_url, session=session) for user in users
        ]
        consumers = [Consumer(client.watch_deposits()) for client in clients]
        await connected(exchange, 20)
        for _ in range(3):
            exchange.websockets.drop()
            await asyncio.sleep(1)
            await connected(exchange, 20)
        assert exchange.websockets.refused == 0
        times = sorted(exchange.websockets.connects)
        assert len(times) >= 80
        assert all(b - a >= 1.0 for a, b in zip(times, times[3:], strict=False))
        for consumer in consumers:
            await consumer.stop()


async def test_a_slow_consumer_gets_a_named_error_that_holds_the_bookmark():
    async with watched(judge=unlimited) as (exchange, client):
        watch = client.watch_deposits(max_backlog=20)
        first = asyncio.ensure_future(anext(watch))
        await connected(exchange)
        account = exchange.account()
        account.deposit("BTC", "1")
        event = await first
        for _ in range(30):
            account.deposit("BTC", "1")
        await asyncio.sleep(1)
        with pytest.raises(BacklogExceededError) as caught:
            await anext(watch)
        assert caught.value.bookmark == event.bookmark
        consumer = Consumer(client.watch_deposits(since=caught.value.bookmark))
        await connected(exchange)
        finals = [event.dep_id for event in consumer.events if event.state == "2"]
        assert sorted(finals) == sorted(each.dep_id for each in account.deposits)
        await consumer.stop()


# -- leaving ------------------------------------------------------------------------------------


async def nothing_left(exchange, before):
    await asyncio.sleep(3)
    assert len(exchange.websockets) == 0
    assert asyncio.all_tasks() == before


async def test_breaking_out_of_the_loop_leaves_nothing_behind():
    async with watched() as (exchange, client):
        await client.get_user_id()
        before = asyncio.all_tasks()
        asyncio.get_running_loop().call_later(5, lambda: exchange.account().deposit("BTC", "1"))
        async for event in client.watch_deposits():
            assert event.ccy == "BTC"
            break
        await nothing_left(exchange, before)


async def test_a_watch_that_is_never_asked_leaves_nothing_behind():
    async with watched() as (exchange, client):
        client.watch_deposits()
        await asyncio.sleep(5)
        assert exchange.websockets.connects == []


async def test_closing_the_client_ends_the_watch():
    async with watched() as (exchange, client):
        before = asyncio.all_tasks()
        consumer = Consumer(client.watch_deposits())
        await connected(exchange)
        await client.aclose()
        await asyncio.wait([consumer.task])
        assert isinstance(consumer.error, ClientClosedError)
        await nothing_left(exchange, before)


async def test_closing_one_client_leaves_the_watches_of_another_with_the_same_key():
    async with watched() as (exchange, _), Session() as session:
        one, two = (
            FundingClient(exchange.credentials, base_url=exchange.base_url, session=session)
            for _ in range(2)
        )
        first, second = Consumer(one.watch_deposits()), Consumer(two.watch_deposits())
        await connected(exchange)
        await one.aclose()
        await asyncio.wait([first.task])
        exchange.account().deposit("BTC", "1")
        await asyncio.sleep(1)
        assert isinstance(first.error, ClientClosedError)
        assert second.states == ["0", "2"]
        await second.stop()
        await two.aclose()


@pytest.mark.parametrize("step", range(60))
async def test_cancelled_at_any_step_it_leaves_nothing_behind(step):
    async with watched(latency=0.002) as (exchange, client):
        exchange.account().add_rows("get_deposit_history", 150)
        await client.get_user_id()
        before = asyncio.all_tasks()
        watch = client.watch_deposits(since=int((wall() - 3600) * 1000))
        consumer = Consumer(watch)
        for _ in range(step):
            await asyncio.sleep(0.004 if step % 2 else 0)
        await consumer.stop()
        await nothing_left(exchange, before)


# -- what it tells of itself --------------------------------------------------------------------


async def test_statistics_and_observers_know_the_connection():
    seen = []  # type: ignore[var-annotated]
    async with watched(observer=seen.append) as (exchange, client):
        consumer = Consumer(client.watch_deposits())
        await connected(exchange)
        (push,) = client.statistics().pushes
        assert (push.state, push.connections, push.reconnects) == ("open", 1, 0)
        assert (push.listeners, push.backlog, push.gaps_filled) == (1, 0, 0)
        assert push.user == exchange.credentials.user_id
        await asyncio.sleep(10)
        assert client.statistics().pushes[0].last_message_ago > 9
        exchange.websockets.drop()
        exchange.account().deposit("BTC", "1")
        await asyncio.sleep(20)
        (push,) = client.statistics().pushes
        assert (push.reconnects, push.gaps_filled) == (1, 1)
        mine = [it for it in seen if isinstance(it, PushConnected | PushDisconnected | GapFilled)]
        assert [type(it) for it in mine] == [
            PushConnected, PushDisconnected, PushConnected, GapFilled,
        ]  # fmt: skip
        assert mine[-1].events == 1  # type: ignore[union-attr]
        assert "1006" in mine[1].reason  # type: ignore[union-attr]
        await consumer.stop()


async def test_a_key_of_another_region_is_told_what_to_look_at():
    async with watched() as (exchange, _):
        stranger = Credentials("nobody", "secret", "passphrase")
        async with FundingClient(stranger, base_url=exchange.base_url) as client:
            with pytest.raises((AuthenticationError, PushStoppedError)):
                await anext(client.watch_deposits())
