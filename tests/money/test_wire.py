"""How money reaches the wire: lanes, slots, gates, circuits, connections, events, secrets."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import traceback

import pytest

from okx_funding import Credentials, FundingClient, Session
from okx_funding.api.spec import RateLimit
from okx_funding.errors import AuthenticationError, ConnectError, OKXError
from okx_funding.money import Done, NotDone, Unknown
from okx_funding.simulator import Fault, SimulatedExchange
from okx_funding.telemetry.events import (
    BatchDispatched,
    CallEnded,
    CallStarted,
    Refused,
    ResponseReceived,
)
from okx_funding.testing import FakeTransport
from tests.support import failure_of, now, someone

from .world import World, at_bank, each_kind, transfer, wall_goes_with_the_loop, withdrawal

pytestmark = pytest.mark.looptime


# -- lanes and slots -----------------------------------------------------------------------------


async def test_movements_of_one_currency_go_one_at_a_time(world: World):
    intents = [await withdrawal(world), await transfer(world)]
    world.fail_post(intents[0], Fault.slow(2))
    await asyncio.gather(*(world.client.submit(each, check=False) for each in intents))

    (first,), (second,) = (world.posts(each) for each in intents)
    assert second.at - first.at >= 2


async def test_movements_of_two_currencies_go_at_the_same_time(world: World):
    world.exchange.fail_next(2, Fault.slow(2), "funds_transfer")
    begin = now()

    await asyncio.gather(
        world.client.funds_transfer("USDT", 1, from_="6", to="18"),
        world.client.funds_transfer("BTC", "0.01", from_="6", to="18"),
    )

    assert now() - begin < 3


async def test_two_clients_of_one_user_share_the_lane_of_a_currency(world: World):
    world.exchange.fail_next(2, Fault.slow(2), "funds_transfer")
    async with FundingClient(world.exchange.credentials, base_url=world.exchange.base_url) as two:
        begin = now()
        await asyncio.gather(
            *(c.funds_transfer("USDT", 1, from_="6", to="18") for c in (world.client, two))
        )

    assert now() - begin >= 4


async def test_looking_up_holds_no_lane(world: World):
    intent = await withdrawal(world)
    world.fail_post(intent, Fault.reset().before_commit())
    lost = asyncio.create_task(world.client.submit(intent, check=False, timeout=20))
    await asyncio.sleep(1)
    begin = now()

    assert isinstance(await world.client.submit(await withdrawal(world), check=False), Done)

    assert now() - begin < 1
    assert isinstance(await lost, Unknown)


async def test_a_hanging_post_holds_the_lane_for_request_timeout_and_no_longer(monkeypatch):
    wall_goes_with_the_loop(monkeypatch)
    async with at_bank(request_timeout=4) as world:
        first, second = [await withdrawal(world) for _ in range(2)]
        world.fail_post(first, Fault.hang(600))
        begin = now()
        hanging = asyncio.create_task(world.client.submit(first, check=False))
        await asyncio.sleep(0.1)

        assert isinstance(await world.client.submit(second, check=False), Done)
        assert 4 <= now() - begin < 5
        assert isinstance(await hanging, Done)


@each_kind
async def test_every_kind_keeps_its_published_limit(monkeypatch, prepare):
    wall_goes_with_the_loop(monkeypatch)
    async with at_bank(exchange={"judge": "sliding"}) as world:
        for _ in range(3):
            intent = await prepare(world)
            assert isinstance(await world.client.submit(intent, timeout=60), Done)

        assert not any(each.refused for each in world.exchange.requests())


async def test_a_refusal_for_the_rate_freezes_the_limit(world: World):
    world.exchange.fail_next(1, Fault.code("50011"), "funds_transfer")

    await world.client.funds_transfer("USDT", 1, from_="6", to="18")

    first, second = world.exchange.requests("funds_transfer")
    assert second.at - first.at >= 1


async def test_a_slot_comes_back_when_the_journal_stops_the_request(world: World):
    class Refusing:
        async def record(self, intent): ...

        async def stamp(self, intent, signed_at):
            raise OSError

        async def settle(self, intent, outcome): ...

        async def open_intents(self):
            return []

    for _ in range(4):  # two slots per second
        outcome = await world.client.submit(await transfer(world), journal=Refusing())
        assert isinstance(outcome, NotDone)
    begin = now()

    assert isinstance(await world.client.submit(await transfer(world)), Done)
    assert now() - begin < 0.5


async def test_a_slot_comes_back_when_its_caller_leaves_in_the_turn_it_is_won(world: World):
    for turns in range(12):
        task = asyncio.create_task(world.client.submit(await transfer(world, 1)))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait({task})
        await asyncio.sleep(3)
        begin = now()
        for _ in range(2):
            assert isinstance(await world.client.submit(await transfer(world, 1)), Done)
        assert now() - begin < 0.9
        await asyncio.sleep(3)


async def test_the_strictest_limit_of_the_clients_of_a_user_rules_as_long_as_they_live(
    world: World,
):
    slow = FundingClient(
        world.exchange.credentials,
        base_url=world.exchange.base_url,
        rate_limits={"funds_transfer": RateLimit(1, 5.0)},
    )
    await slow.funds_transfer("USDT", 1, from_="6", to="18")
    begin = now()
    await world.client.funds_transfer("USDT", 1, from_="6", to="18")
    assert now() - begin >= 5

    await slow.aclose()
    await asyncio.sleep(6)
    begin = now()
    for _ in range(2):
        await world.client.funds_transfer("USDT", 1, from_="6", to="18")
    assert now() - begin < 1


async def test_movements_leave_no_request_behind_in_memory(world: World):
    from okx_funding.scheduler.single import SingleRequest

    for prepare in (transfer, withdrawal):
        for fault in (None, Fault.reset(), Fault.code("58350"), Fault.code("50011")):
            intent = await prepare(world)
            if fault is not None:
                world.fail_post(intent, fault)
            await world.client.submit(intent, check=False)
    gc.collect()

    assert not [each for each in gc.get_objects() if isinstance(each, SingleRequest)]


@pytest.mark.slow
@pytest.mark.looptime(False)  # the files go by the machine's clock
async def test_a_limit_kept_for_the_machine_is_kept_by_money_too(tmp_path):
    from okx_funding.ratelimit.machine import MachineLimits

    async with (
        Session(limits=MachineLimits(tmp_path)) as session,
        at_bank(exchange={"judge": "sliding"}, session=session) as world,
    ):
        ends = await asyncio.gather(
            *(world.client.funds_transfer("USDT", 1, from_="6", to="18") for _ in range(6))
        )

        assert len(ends) == len(world.exchange.movements) == 6
        assert not any(each.refused for each in world.exchange.requests())


# -- gates, circuits, connections ----------------------------------------------------------------


async def test_a_bare_429_closes_the_gate_of_the_host(world: World):
    intent = await withdrawal(world)
    world.fail_post(intent, Fault.too_many(retry_after=3).before_commit())
    world.fail_look_up(intent, Fault.html(503), times=50)
    await world.client.submit(intent, check=False, timeout=1)
    world.exchange.calm()
    begin = now()

    await world.client.get_balances("USDT")

    assert now() - begin >= 1


async def test_a_key_that_is_refused_again_and_again_is_not_asked_any_more(world: World):
    world.exchange.remove_key(world.exchange.credentials.reveal()[0])
    reasons = []
    for _ in range(8):
        outcome = await world.client.submit(await transfer(world))
        assert isinstance(outcome, NotDone)
        assert isinstance(outcome.error, AuthenticationError)
        reasons.append(outcome.reason)

    assert reasons == ["refused"] * 5 + ["never sent"] * 3
    assert len(world.exchange.requests("funds_transfer")) == 5


async def test_a_key_at_rest_is_asked_again_after_its_pause(world: World):
    world.exchange.fail_next(5, Fault.code("50111"), "funds_transfer")
    for _ in range(5):
        await world.client.submit(await transfer(world))
    assert isinstance(await world.client.submit(await transfer(world)), NotDone)
    await asyncio.sleep(31)

    assert isinstance(await world.client.submit(await transfer(world)), Done)
    assert isinstance(await world.client.submit(await transfer(world)), Done)


async def test_after_the_pause_one_request_tries_and_the_others_are_told(world: World):
    world.exchange.chaos(1.0, [Fault.code("50111")], endpoint="funds_transfer")
    for _ in range(5):
        await world.client.submit(await transfer(world))
    await asyncio.sleep(31)
    world.exchange.chaos(1.0, [Fault.code("50111") & Fault.slow(1)], endpoint="funds_transfer")
    intents = [await transfer(world)]
    intents.append(world.client.prepare_transfer("BTC", "0.01", from_="6", to="18"))

    outcomes = await asyncio.gather(*(world.client.submit(each) for each in intents))

    reasons = [each.reason for each in outcomes if isinstance(each, NotDone)]
    assert sorted(reasons) == ["never sent", "refused"]
    assert len(world.exchange.requests("funds_transfer")) == 6


async def test_it_goes_out_on_a_connection_that_answered_within_five_seconds(world: World):
    await world.client.get_balances("USDT")
    await asyncio.sleep(8)
    world.exchange.drop_connections()

    assert isinstance(await world.client.submit(await transfer(world)), Done)


async def test_it_asks_the_transport_for_a_connection_that_surely_lives(monkeypatch):
    wall_goes_with_the_loop(monkeypatch)
    fake = FakeTransport()
    fake.next.append(FakeTransport.refused("58350"))
    async with (
        Session(transport=fake) as session,
        FundingClient(someone(), session=session) as client,
    ):
        await failure_of(client.funds_transfer("USDT", 1, from_="6", to="18"), OKXError)

    assert [each.fresh for each in fake.requests] == [True]


async def test_a_connection_that_is_not_made_in_time_is_never_sent(monkeypatch):
    wall_goes_with_the_loop(monkeypatch)
    fake = FakeTransport()
    seen = []

    async def hangs(request):
        seen.append(request.timeout)
        await asyncio.sleep(request.timeout * 0.9)
        raise ConnectError("no connection")

    fake.next.append(hangs)
    async with (
        Session(transport=fake) as session,
        FundingClient(someone(), session=session) as client,
    ):
        intent = client.prepare_transfer("USDT", 1, from_="6", to="18")
        outcome = await client.submit(intent, timeout=3)

    assert isinstance(outcome, NotDone)
    assert outcome.reason == "never sent"
    assert seen == [pytest.approx(3, abs=0.1)]


# -- what is told of it --------------------------------------------------------------------------


async def test_a_request_that_moves_money_is_told_to_the_observer(monkeypatch):
    wall_goes_with_the_loop(monkeypatch)
    events = []  # type: ignore[var-annotated]
    async with at_bank(observer=events.append) as world:
        world.exchange.fail_next(1, Fault.code("50011"), "funds_transfer")
        await world.client.funds_transfer("USDT", 1, from_="6", to="18")

    told = [event for event in events if event.endpoint == "funds_transfer"]
    kinds = [type(event) for event in told]
    assert kinds == [
        CallStarted, BatchDispatched, ResponseReceived, Refused, CallEnded,
        CallStarted, BatchDispatched, ResponseReceived, CallEnded,
    ]  # fmt: skip
    assert [event.outcome for event in told if isinstance(event, CallEnded)] == [
        "RateLimitError",
        "ok",
    ]
    assert told[1].calls == (told[0].call,)
    assert told[1].method == "POST"


async def test_a_request_that_moves_money_is_one_line_in_the_log(world: World, caplog):
    caplog.set_level(logging.DEBUG, "okx_funding.requests")
    await world.client.funds_transfer("USDT", 1, from_="6", to="18")

    lines = [each for each in caplog.messages if each.startswith("funds_transfer")]
    assert len(lines) == 1
    assert "ok after" in lines[0]


async def test_requests_that_move_money_are_counted(world: World):
    world.exchange.fail_next(1, Fault.code("50011"), "funds_transfer")
    await world.client.funds_transfer("USDT", 1, from_="6", to="18")
    reads = len(world.exchange.requests()) - 2

    statistics = world.client.statistics()

    assert statistics.requests == 2 + reads
    assert statistics.refused == 1
    assert statistics.waiting == 0
    assert statistics.calls == statistics.answered + statistics.failed


async def test_no_error_of_money_leads_to_a_secret(monkeypatch):
    wall_goes_with_the_loop(monkeypatch)
    credentials = Credentials("a-key-of-mine-1234", "hush-secret", "hush-phrase", user_id="u9")
    faults = [
        Fault.code("58350"), Fault.reset(), Fault.html(504), Fault.truncated(), Fault.code("50011"),
        Fault.hang(60),
    ]  # fmt: skip
    for fault in faults:
        async with at_bank(exchange={"users": [credentials]}, request_timeout=3) as world:
            world.exchange.fail_next(2, fault.before_commit(), "funds_transfer")
            error = await failure_of(
                world.client.funds_transfer("USDT", 1, from_="6", to="18", timeout=4), OKXError
            )
            text = "".join(
                traceback.TracebackException.from_exception(error, capture_locals=True).format()
            )
            assert "hush" not in text
            assert "OK-ACCESS" not in text


async def test_an_error_does_not_lead_to_the_frames_that_sign_and_send(world: World):
    await world.exchange.stop_listening()

    error = await failure_of(
        world.client.funds_transfer("USDT", 1, from_="6", to="18"), ConnectError
    )

    frames = [frame.filename for frame in traceback.extract_tb(error.__traceback__)]
    assert not [name for name in frames if "wire" in name or "signing" in name]


async def test_the_body_on_the_wire_is_the_intents_payload_to_the_byte(world: World):
    intent = await withdrawal(world, "10.50")

    await world.client.submit(intent)

    (post,) = world.posts(intent)
    assert json.loads(post.body) == intent.body
    assert post.body.decode() == intent.payload


async def test_two_users_at_one_exchange_move_their_own_money(monkeypatch):
    wall_goes_with_the_loop(monkeypatch)
    users = [someone(), someone()]
    async with SimulatedExchange(users=users) as exchange, Session() as session:
        clients = [
            FundingClient(user, base_url=exchange.base_url, session=session) for user in users
        ]
        await asyncio.gather(
            *(each.funds_transfer("USDT", 1, from_="6", to="18") for each in clients)
        )
        for user in users:
            assert exchange.account(user.user_id).balance("USDT") == 799
        for client in clients:
            await client.aclose()
