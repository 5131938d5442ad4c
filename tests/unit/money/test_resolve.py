"""Asking later what became of a movement: absence, recovery after a crash, and in what time."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from okx_funding.errors import ClientIdReusedError, InvalidArgumentError, RequestTimeoutError
from okx_funding.money import Done, Intent, NotDone, Unknown
from tests.support import failure_of

from . import moves
from .exchange import (
    EPOCH,
    Client,
    Exchange,
    Port,
    Request,
    commits_after,
    commits_and,
    commits_then,
    resets,
)
from .memory import MemoryJournal
from .moves import Prepare

pytestmark = pytest.mark.looptime

DAY = 86_400


@pytest.fixture
def exchange() -> Exchange:
    return Exchange()


@pytest.fixture
def journal() -> MemoryJournal:
    return MemoryJournal()


@pytest.fixture
def client(exchange: Exchange, journal: MemoryJournal) -> Client:
    return Client(Port(exchange), journal=journal)


async def lost(client: Client, exchange: Exchange, prepare: Prepare = moves.transfer) -> Intent:
    """An intent whose request moved nothing and whose answer got lost."""
    exchange.scripts.append(resets)
    outcome = await client.submit(prepare(client), check=False, timeout=5)
    assert isinstance(outcome, Unknown)
    exchange.reads.clear()
    return outcome.intent


@pytest.mark.parametrize("prepare", moves.ALL)
async def test_what_is_not_found_in_its_first_minute_is_unknown_whatever_is_set(
    exchange: Exchange, client: Client, prepare: Prepare
):
    intent = await lost(client, exchange, prepare)
    await asyncio.sleep(48)

    outcome = await client.resolve(intent, absence_proves_after=0.001)

    assert isinstance(outcome, Unknown)


@pytest.mark.parametrize("prepare", [moves.withdrawal, moves.fiat, moves.buy_sell])
async def test_a_withdrawal_or_fiat_order_that_is_not_found_stays_unknown(
    exchange: Exchange, client: Client, prepare: Prepare
):
    intent = await lost(client, exchange, prepare)
    await asyncio.sleep(40 * DAY)

    assert isinstance(await client.resolve(intent), Unknown)


async def test_absence_is_looked_up_three_times_a_second_apart_and_in_the_bills(
    exchange: Exchange, client: Client
):
    intent = await lost(client, exchange)
    await asyncio.sleep(15 * 60)

    outcome = await client.resolve(intent)

    assert isinstance(outcome, NotDone)
    assert outcome.reason == "absent"
    assert outcome.error.repeat_is_safe is True
    assert [name for _, name, _ in exchange.reads] == ["transfer_state"] * 3 + ["get_bills"]
    moments = [moment for moment, _, _ in exchange.reads[:3]]
    assert moments[1] - moments[0] >= 1
    assert moments[2] - moments[1] >= 1


async def test_bills_with_the_client_id_forbid_absence(exchange: Exchange, client: Client):
    exchange.visible_after = 10**9
    exchange.scripts.append(commits_then(resets))
    outcome = await client.submit(moves.transfer(client))
    assert isinstance(outcome, Unknown)
    await asyncio.sleep(15 * 60)

    assert isinstance(await client.resolve(outcome.intent), Unknown)


async def test_a_transfer_older_than_the_depth_of_its_look_up_is_never_absent(
    exchange: Exchange, client: Client
):
    intent = await lost(client, exchange)
    await asyncio.sleep(15 * DAY)

    assert isinstance(await client.resolve(intent), Unknown)


async def test_absence_is_settable_for_the_client_and_for_a_call(exchange: Exchange):
    client = Client(Port(exchange), absence_proves_after={"withdrawal": 120})
    intent = await lost(client, exchange, moves.withdrawal)
    await asyncio.sleep(130)
    assert isinstance(await client.resolve(intent), NotDone)

    other = await lost(client, exchange, moves.fiat)
    await asyncio.sleep(130)
    assert isinstance(await client.resolve(other), Unknown)
    assert isinstance(
        await client.resolve(other, absence_proves_after={"fiat_withdrawal": 60}), NotDone
    )


@pytest.mark.parametrize("rules", [0, -1, True, "10", {"dividend": 3}])
async def test_rules_of_absence_are_checked(exchange: Exchange, rules: Any):
    with pytest.raises(InvalidArgumentError):
        Client(Port(exchange), absence_proves_after=rules)


async def test_a_clock_that_runs_ahead_proves_no_absence(exchange: Exchange, client: Client):
    intent = await lost(client, exchange)
    other = Client(Port(exchange, skew=3600))

    assert isinstance(await other.resolve(intent), Unknown)
    assert other.port.learned == 1


async def test_an_intent_that_was_never_stamped_anywhere_is_never_absent(
    exchange: Exchange, client: Client
):
    intent = moves.transfer(client)
    await asyncio.sleep(DAY)

    assert isinstance(await client.resolve(intent), Unknown)


async def test_an_intent_in_json_is_resolved_in_another_process(
    exchange: Exchange, client: Client, monkeypatch: pytest.MonkeyPatch
):
    exchange.visible_after = 40
    exchange.scripts.append(commits_then(resets))
    outcome = await client.submit(moves.transfer(client))
    assert isinstance(outcome, Unknown)
    monkeypatch.setattr("okx_funding.money.accepted.ACCEPTED._entries", {})
    await asyncio.sleep(20)

    other = Client(Port(exchange))
    intent = Intent.from_json(outcome.intent.to_json())

    assert isinstance(await other.resolve(intent), Done)


async def test_a_cancelled_withdrawal_is_failed_when_it_is_looked_up(
    exchange: Exchange, client: Client
):
    exchange.states["withdrawal"] = ["-2"]
    exchange.scripts.append(commits_then(resets))

    outcome = await client.submit(moves.withdrawal(client), check=False)

    assert isinstance(outcome, NotDone)
    assert outcome.reason == "failed"


async def test_resolve_ends_within_eight_seconds_when_look_ups_hang(
    exchange: Exchange, client: Client
):
    intent = await lost(client, exchange)
    client.port.latency = 100
    loop = asyncio.get_running_loop()
    begin = loop.time()

    assert isinstance(await client.resolve(intent), Unknown)
    assert loop.time() - begin <= 8


async def test_resolve_never_sends(exchange: Exchange, client: Client):
    intent = await lost(client, exchange)
    for _ in range(5):
        await client.resolve(intent)

    assert len(exchange.requests) == 1


# -- recover ---------------------------------------------------------------------------------


def crash(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget what this process accepted."""
    monkeypatch.setattr("okx_funding.money.accepted.ACCEPTED._entries", {})


async def test_recover_closes_what_has_no_stamp(
    exchange: Exchange, client: Client, journal: MemoryJournal
):
    intent = moves.withdrawal(client)
    await journal.record(intent)

    ((recovered, outcome),) = [each async for each in client.recover()]

    assert recovered == intent
    assert isinstance(outcome, NotDone)
    assert outcome.reason == "never sent"
    assert outcome.error.repeat_is_safe is True
    assert [each async for each in client.recover(journal)] == []
    assert not exchange.reads


async def test_recover_finds_what_moved(
    exchange: Exchange,
    client: Client,
    journal: MemoryJournal,
    monkeypatch: pytest.MonkeyPatch,
):
    intents = []
    for prepare in moves.ALL:
        intent = prepare(client)
        await journal.record(intent)
        await journal.stamp(intent, round(EPOCH * 1000))
        Request(exchange, _endpoint(intent), intent.body, 0).commit()
        intents.append(intent)
    crash(monkeypatch)

    recovered = [each async for each in client.recover(journal=journal)]

    assert {each.client_id for each, _ in recovered} == {each.client_id for each in intents}
    assert all(isinstance(outcome, Done) for _, outcome in recovered)
    assert await journal.open_intents() == []


def _endpoint(intent: Intent) -> str:
    from okx_funding.money.kinds import KINDS

    return KINDS[intent.kind].endpoint


async def test_recover_yields_only_its_own_account(
    exchange: Exchange, client: Client, journal: MemoryJournal
):
    for name, host in (("somebody", "https://exchange.test"), ("user-1", "https://other.test")):
        other = Client(Port(exchange, name, host=host))
        await journal.record(moves.transfer(other))
    mine = moves.transfer(client)
    await journal.record(mine)

    assert [each async for each, _ in client.recover()] == [mine]
    assert len(await journal.open_intents()) == 2


async def test_recover_knows_its_intents_by_the_user_id_that_it_learns(
    exchange: Exchange, journal: MemoryJournal
):
    await journal.record(moves.transfer(Client(Port(exchange, "uid-7"))))
    client = Client(Port(exchange, "fingerprint", learns=frozenset({"uid-7"})), journal=journal)

    assert len([each async for each in client.recover()]) == 1


async def test_recover_leaves_alone_what_this_process_is_at(
    exchange: Exchange, client: Client, journal: MemoryJournal
):
    client.port.slot = asyncio.Event()
    task = asyncio.create_task(client.submit(moves.transfer(client)))
    await asyncio.sleep(1)

    assert [each async for each in client.recover()] == []
    client.port.slot.set()
    assert isinstance(await task, Done)


async def test_recover_goes_on_past_a_reused_client_id(
    exchange: Exchange, client: Client, journal: MemoryJournal, monkeypatch: pytest.MonkeyPatch
):
    exchange.scripts.append(commits_and(lambda movement: movement.body.update(amt="999")))
    await failure_of(client.submit(moves.transfer(client)), ClientIdReusedError)
    await journal.record(moves.transfer(client))
    crash(monkeypatch)

    outcomes = [outcome async for _, outcome in client.recover()]

    assert sorted(type(each).__name__ for each in outcomes) == ["NotDone", "Unknown"]
    assert any(
        isinstance(each, Unknown) and isinstance(each.error, ClientIdReusedError)
        for each in outcomes
    )


@pytest.mark.parametrize("hangs", [False, True])
async def test_recover_ends_within_25_seconds_for_sixty_intents(
    exchange: Exchange, client: Client, journal: MemoryJournal, hangs: bool
):
    for number in range(60):
        intent = moves.ALL[number % len(moves.ALL)](client)
        await journal.record(intent)
        await journal.stamp(intent, round(EPOCH * 1000))
    if hangs:
        client.port.latency = 1000
    else:
        exchange.read_faults.extend([RequestTimeoutError("no answer")] * 10_000)
    loop = asyncio.get_running_loop()
    begin = loop.time()

    outcomes = [outcome async for _, outcome in client.recover()]

    assert loop.time() - begin <= 25
    assert len(outcomes) == 60
    assert all(isinstance(each, Unknown) for each in outcomes)


async def test_recover_needs_a_journal(exchange: Exchange):
    client = Client(Port(exchange))

    with pytest.raises(InvalidArgumentError):
        _ = [each async for each in client.recover()]


async def test_leaving_recover_early_leaves_no_task_behind(
    exchange: Exchange, client: Client, journal: MemoryJournal
):
    for _ in range(3):
        await journal.record(moves.transfer(client))
    recovering = client.recover()

    await anext(recovering)
    await recovering.aclose()  # type: ignore[attr-defined]


async def test_a_used_client_id_names_the_outcome_that_recover_found(
    exchange: Exchange, client: Client
):
    exchange.visible_after = 10
    exchange.scripts.append(commits_then(resets))
    intent = moves.transfer(client)
    assert isinstance(await client.submit(intent, timeout=5), Unknown)
    await asyncio.sleep(10)
    ((_, outcome),) = [each async for each in client.recover()]

    error = await failure_of(client.submit(intent), InvalidArgumentError)

    assert isinstance(outcome, Done)
    assert error.outcome == outcome


async def test_resolve_closes_a_record_without_a_stamp_as_recover_does(
    exchange: Exchange, client: Client, journal: MemoryJournal
):
    intent = moves.transfer(client)
    await journal.record(intent)

    outcome = await client.resolve(intent)

    assert isinstance(outcome, NotDone)
    assert outcome.reason == "never sent"


async def test_a_request_still_on_its_way_is_found_by_recover_when_it_arrived(
    exchange: Exchange, client: Client, journal: MemoryJournal, monkeypatch: pytest.MonkeyPatch
):
    exchange.scripts.append(commits_after(25))
    outcome = await client.submit(moves.withdrawal(client), check=False, timeout=5)
    assert isinstance(outcome, Unknown)
    crash(monkeypatch)

    assert [type(one) async for _, one in client.recover()] == [Unknown]
    await asyncio.sleep(25)
    assert [type(one) async for _, one in client.recover()] == [Done]
