"""Submitting: each client id once, the journal first, the deadline, and callers who leave."""

from __future__ import annotations

import asyncio
import pickle
from typing import Any

import pytest

from okx_funding.errors import (
    ClientClosedError,
    DeadlineExceededError,
    InvalidArgumentError,
    JournalError,
    OutcomeUnknownError,
)
from okx_funding.money import Done, NotDone, Outcome, Unknown, client_id_for
from tests.support import failure_of

from . import moves
from .exchange import (
    Client,
    Exchange,
    Port,
    commits_then,
    hangs,
    refuses,
    refuses_connection,
    resets,
)
from .memory import MemoryJournal
from .moves import Prepare

pytestmark = pytest.mark.looptime


@pytest.fixture
def exchange() -> Exchange:
    return Exchange()


@pytest.fixture
def journal() -> MemoryJournal:
    return MemoryJournal()


@pytest.fixture
def client(exchange: Exchange, journal: MemoryJournal) -> Client:
    return Client(Port(exchange), journal=journal)


# -- once ----------------------------------------------------------------------------------


async def test_a_second_submit_sends_nothing_and_names_the_first(exchange: Exchange):
    client = Client(Port(exchange))
    handle = client_id_for("payout-once")
    first = moves.transfer(client, client_id=handle)
    done = await client.submit(first)

    error = await failure_of(
        client.submit(moves.transfer(client, "2", client_id=handle)), InvalidArgumentError
    )

    assert error.intent == first
    assert error.outcome == done
    assert error.repeat_is_safe is False
    assert len(exchange.requests) == 1


async def test_two_tasks_with_one_client_id_move_money_once(exchange: Exchange, client: Client):
    intent = moves.transfer(client)

    outcomes = await asyncio.gather(
        client.submit(intent), client.submit(intent), return_exceptions=True
    )

    assert sorted(type(each).__name__ for each in outcomes) == ["Done", "InvalidArgumentError"]
    assert len(exchange.movements) == 1


async def test_two_tasks_with_one_client_id_and_no_journal_move_money_once(exchange: Exchange):
    client = Client(Port(exchange, "fingerprint", learns=frozenset({"uid-7"})))
    intent = moves.transfer(Client(Port(exchange, "uid-7")))

    outcomes = await asyncio.gather(
        client.submit(intent), client.submit(intent), return_exceptions=True
    )  # both learn first that the intent is theirs

    assert sorted(type(each).__name__ for each in outcomes) == ["Done", "InvalidArgumentError"]
    assert len(exchange.movements) == 1


async def test_another_process_with_the_same_journal_sends_nothing(
    exchange: Exchange, client: Client, journal: MemoryJournal, monkeypatch: pytest.MonkeyPatch
):
    handle = client_id_for("payout-4711")
    first = moves.withdrawal(client, client_id=handle)
    done = await client.submit(first, check=False)
    monkeypatch.setattr("okx_funding.money.accepted.ACCEPTED._entries", {})  # as after a restart
    other = Client(Port(exchange), journal=journal)

    error = await failure_of(
        other.submit(moves.withdrawal(other, client_id=handle), check=False), InvalidArgumentError
    )

    assert error.intent == first
    assert error.outcome == done
    assert len(exchange.movements) == 1


async def test_a_used_client_id_is_told_before_the_withdrawal_is_checked(
    exchange: Exchange, tmp_path: Any
):
    client = Client(Port(exchange))
    intent = moves.withdrawal(client)
    await client.submit(intent, check=False)

    await failure_of(client.submit(intent), InvalidArgumentError)

    assert not exchange.reads


# -- the journal -----------------------------------------------------------------------------


async def test_the_journal_hears_of_everything_in_order(client: Client, journal: MemoryJournal):
    intent = moves.transfer(client)

    outcome = await client.submit(intent)

    assert journal.steps == ["record", "stamp", "settle"]
    assert journal.outcome_of(intent) == outcome


@pytest.mark.parametrize("step", ["record", "stamp"])
async def test_a_journal_that_fails_lets_nothing_be_sent(
    exchange: Exchange, client: Client, journal: MemoryJournal, step: str
):
    async def fail(name: str) -> None:
        if name == step:
            raise OSError("disk full")

    journal.before = fail

    outcome = await client.submit(moves.transfer(client))

    assert isinstance(outcome, NotDone)
    assert outcome.reason == "never sent"
    assert isinstance(outcome.error, JournalError)
    assert outcome.error.repeat_is_safe is True
    assert not exchange.requests


async def test_a_client_id_whose_record_failed_may_be_used_again(
    exchange: Exchange, client: Client, journal: MemoryJournal
):
    async def fail(name: str) -> None:
        raise OSError("disk full")

    journal.before = fail
    intent = moves.transfer(client)
    await client.submit(intent)
    journal.before = None

    assert isinstance(await client.submit(intent), Done)


async def test_an_outcome_that_cannot_be_written_down_is_true_anyway(
    client: Client, journal: MemoryJournal
):
    async def fail(name: str) -> None:
        if name == "settle":
            raise OSError("disk full")

    journal.before = fail
    intent = moves.transfer(client)

    assert isinstance(await client.submit(intent), Done)
    assert [each.client_id for each in await journal.open_intents()] == [intent.client_id]


async def test_a_record_closed_by_recover_lets_nothing_be_sent(
    exchange: Exchange, client: Client, journal: MemoryJournal, monkeypatch: pytest.MonkeyPatch
):
    client.port.slot = asyncio.Event()
    intent = moves.transfer(client)
    task = asyncio.create_task(client.submit(intent))
    await asyncio.sleep(1)
    monkeypatch.setattr("okx_funding.money.accepted.ACCEPTED._entries", {})  # another process
    other = Client(Port(exchange), journal=journal)
    recovered = [each async for each in other.recover()]
    client.port.slot.set()

    outcome = await task

    assert isinstance(outcome, NotDone)
    assert outcome.reason == "never sent"
    assert [one.reason for _, one in recovered if isinstance(one, NotDone)] == ["never sent"]
    assert not exchange.requests


async def test_a_journal_of_one_call_is_used_for_this_call(exchange: Exchange):
    client, journal = Client(Port(exchange)), MemoryJournal()

    await client.submit(moves.transfer(client), journal=journal)

    assert journal.steps == ["record", "stamp", "settle"]


async def test_the_last_client_of_a_journal_closes_it(exchange: Exchange):
    journal = MemoryJournal()
    clients = [Client(Port(exchange), journal=journal) for _ in range(2)]
    for client in clients:
        await client.submit(moves.transfer(client))

    await clients[0].protocol.aclose()
    assert journal.closed == 0
    await clients[1].protocol.aclose()
    assert journal.closed == 1


# -- the deadline ----------------------------------------------------------------------------


@pytest.mark.parametrize("prepare", moves.ALL)
async def test_a_deadline_before_the_first_byte_is_not_done(
    exchange: Exchange, client: Client, journal: MemoryJournal, prepare: Prepare
):
    client.port.slot = asyncio.Event()
    intent = prepare(client)

    outcome = await client.submit(intent, timeout=3, check=False)

    assert isinstance(outcome, NotDone)
    assert outcome.reason == "never sent"
    assert isinstance(outcome.error, DeadlineExceededError)
    assert outcome.error.repeat_is_safe is True
    assert journal.outcome_of(intent) == outcome
    assert not exchange.requests


@pytest.mark.parametrize("step", ["record", "stamp", "settle"])
@pytest.mark.parametrize("timeout", [0.5, 5.0])
async def test_a_journal_that_hangs_ends_the_call_in_time(
    exchange: Exchange, client: Client, journal: MemoryJournal, step: str, timeout: float
):
    async def hang(name: str) -> None:
        if name == step:
            await asyncio.Event().wait()

    journal.before = hang
    loop = asyncio.get_running_loop()
    begin = loop.time()

    outcome = await client.submit(moves.transfer(client), timeout=timeout)

    assert loop.time() - begin <= timeout + 2
    assert isinstance(outcome, Done if step == "settle" else NotDone | Unknown)
    assert len(exchange.requests) == (step == "settle")
    await client.protocol.aclose(timeout=1)


@pytest.mark.parametrize("timeout", [0.1, 1.0, 30.0])
async def test_a_lost_answer_ends_in_time_and_is_looked_up_once_at_least(
    exchange: Exchange, client: Client, timeout: float
):
    exchange.scripts.append(commits_then(hangs))
    loop = asyncio.get_running_loop()
    begin = loop.time()

    outcome = await client.submit(moves.transfer(client), timeout=timeout)

    assert isinstance(outcome, Done)
    assert loop.time() - begin <= timeout + 2


async def test_a_withdrawal_in_doubt_holds_up_no_other_of_its_currency(
    exchange: Exchange, client: Client
):
    exchange.scripts.append(resets)
    first = asyncio.create_task(client.submit(moves.withdrawal(client), check=False))
    await asyncio.sleep(1)

    assert isinstance(await client.submit(moves.withdrawal(client), check=False), Done)
    assert not first.done()
    await first


# -- callers who leave -----------------------------------------------------------------------


async def test_a_caller_cancelled_after_the_first_byte_learns_which_intent_it_left(
    exchange: Exchange, client: Client, journal: MemoryJournal
):
    client.port.latency = 1.0
    intent = moves.transfer(client)
    task = asyncio.create_task(client.submit(intent))
    await asyncio.sleep(0.5)
    loop = asyncio.get_running_loop()
    begin = loop.time()
    task.cancel()

    error = await failure_of(task, asyncio.CancelledError)

    assert loop.time() == begin
    assert isinstance(error.__cause__, OutcomeUnknownError)
    assert error.__cause__.intent == intent
    await asyncio.sleep(10)
    assert isinstance(journal.outcome_of(intent), Done)
    assert len(exchange.movements) == 1


async def test_a_caller_cancelled_before_the_first_byte_sends_nothing(
    exchange: Exchange, client: Client, journal: MemoryJournal
):
    client.port.slot = asyncio.Event()
    intent = moves.transfer(client)
    task = asyncio.create_task(client.submit(intent))
    await asyncio.sleep(0.5)
    task.cancel()

    error = await failure_of(task, asyncio.CancelledError)
    client.port.slot.set()
    await asyncio.sleep(10)

    assert error.__cause__ is None
    assert journal.outcome_of(intent).reason == "never sent"
    assert not exchange.requests


SCRIPTS = {
    "accepted": [],
    "refused": [refuses("58350")],
    "again": [refuses("50011")],
    "lost": [commits_then(resets)],
    "in doubt": [resets],
    "unconnected": [refuses_connection],
}


@pytest.mark.parametrize("prepare", moves.ALL)
@pytest.mark.parametrize("scripts", SCRIPTS.values(), ids=SCRIPTS)
async def test_cancelling_at_any_step_of_the_loop_leaves_the_truth_in_the_journal(
    prepare: Prepare, scripts: list[Any]
):
    """Movements equal Done records, and what wasn't moved isn't Done, whenever the caller left."""
    for steps in range(40):
        exchange, journal = Exchange(), MemoryJournal()
        exchange.scripts.extend(scripts)
        client = Client(Port(exchange), journal=journal)
        client.port.latency = 0
        intent = prepare(client)
        task = asyncio.create_task(client.submit(intent, check=False, timeout=3))
        for _ in range(steps):
            await asyncio.sleep(0)
        finished = task.done()
        task.cancel()
        await asyncio.wait({task})
        await asyncio.sleep(6)
        check(exchange, journal, intent.client_id)
        if not finished and exchange.movements:
            caught = await failure_of(task, asyncio.CancelledError)
            assert isinstance(caught.__cause__, OutcomeUnknownError)
        if finished:
            break


def check(exchange: Exchange, journal: MemoryJournal, client_id: str) -> None:
    moved = exchange.of(client_id)
    record = journal.records.get(client_id)
    outcome: Outcome | None = None if record is None else record.outcome
    assert len(moved) <= 1
    if isinstance(outcome, Done):
        assert moved
    if isinstance(outcome, NotDone):
        assert not moved
    if moved and outcome is None:
        assert record is not None
        assert record.intent.signed_at is not None


# -- the end of a client ---------------------------------------------------------------------


async def test_closing_waits_for_money_in_flight(
    exchange: Exchange, client: Client, journal: MemoryJournal
):
    client.port.latency = 1.0
    task = asyncio.create_task(client.submit(moves.transfer(client)))
    await asyncio.sleep(0.5)

    still_open = await client.protocol.aclose()

    assert still_open == []
    assert isinstance(await task, Done)


async def test_closing_says_what_stays_open(
    exchange: Exchange, client: Client, caplog: pytest.LogCaptureFixture
):
    exchange.scripts.append(resets)
    intent = moves.transfer(client)
    task = asyncio.create_task(client.submit(intent))
    await asyncio.sleep(0.5)

    still_open = await client.protocol.aclose(timeout=2)

    assert still_open == [intent]
    assert intent.client_id in caplog.text
    assert isinstance(await task, Unknown)


async def test_closing_sends_nothing_that_still_waits(exchange: Exchange, client: Client):
    client.port.slot = asyncio.Event()
    task = asyncio.create_task(client.submit(moves.transfer(client)))
    await asyncio.sleep(0.5)

    await client.protocol.aclose()

    outcome = await task
    assert isinstance(outcome, NotDone)
    assert isinstance(outcome.error, ClientClosedError)
    await failure_of(client.submit(moves.transfer(client)), ClientClosedError)
    assert not exchange.requests


async def test_a_read_only_client_moves_nothing(exchange: Exchange):
    client = Client(Port(exchange, read_only=True))

    await failure_of(client.submit(moves.transfer(client)), InvalidArgumentError)

    assert not exchange.requests


async def test_an_intent_of_another_account_is_refused(exchange: Exchange, client: Client):
    intent = moves.transfer(Client(Port(exchange, "somebody else")))

    await failure_of(client.submit(intent), InvalidArgumentError)
    await failure_of(client.resolve(intent), InvalidArgumentError)


async def test_an_outcome_unknown_error_can_be_pickled_with_its_intent(
    exchange: Exchange, client: Client
):
    exchange.scripts.append(resets)
    outcome = await client.submit(moves.transfer(client))
    assert isinstance(outcome, Unknown)

    copy = pickle.loads(pickle.dumps(outcome.error))

    assert copy.intent == outcome.intent
    assert copy.intent.signed_at == outcome.intent.signed_at
    assert str(copy) == str(outcome.error)


async def test_a_journal_of_the_wrong_shape_is_refused_at_once(exchange: Exchange):
    with pytest.raises(InvalidArgumentError):
        Client(Port(exchange), journal=object())
