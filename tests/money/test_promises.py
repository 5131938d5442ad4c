"""What a caller of money may rely on: times, client ids, journals, accounts; in virtual time."""

from __future__ import annotations

import asyncio
import pickle
from decimal import Decimal

import pytest

from okx_funding import FundingClient
from okx_funding.errors import (
    ClientClosedError,
    ClientIdReusedError,
    DeadlineExceededError,
    InsufficientFundsError,
    InvalidArgumentError,
    JournalError,
    OKXError,
    OutcomeUnknownError,
)
from okx_funding.money import Done, Intent, NotDone, Unknown, client_id_for
from okx_funding.money.accepted import ACCEPTED
from okx_funding.simulator import Fault
from tests.support import failure_of, now, someone
from tests.unit.money.memory import MemoryJournal

from .world import (
    Prepare,
    World,
    at_bank,
    each_kind,
    later,
    transfer,
    wall_goes_with_the_loop,
    withdrawal,
)

pytestmark = pytest.mark.looptime

money = pytest.mark.parametrize("prepare", [transfer, withdrawal], ids=["transfer", "withdrawal"])


def as_another_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """What this process accepted is forgotten; what journals and exchange know isn't."""
    monkeypatch.setattr(ACCEPTED, "_entries", {})


# -- time --------------------------------------------------------------------------------------


@each_kind
@pytest.mark.parametrize("timeout", [0.5, 3.0, 30.0])
async def test_a_call_ends_within_its_timeout_and_two_seconds_when_nothing_answers(
    world: World, prepare: Prepare, timeout: float
):
    intent = await prepare(world)
    world.fail_post(intent, Fault.hang(600))
    world.fail_look_up(intent, Fault.hang(600), times=100)
    begin = now()

    outcome = await world.client.submit(intent, check=False, timeout=timeout)

    assert isinstance(outcome, Unknown)
    assert now() - begin <= timeout + 2


async def test_a_withdrawal_whose_check_hangs_ends_in_time_and_sends_nothing(world: World):
    world.exchange.fail_next(100, Fault.hang(600), "get_currencies")
    intent = await withdrawal(world)
    begin = now()

    outcome = await world.client.submit(intent, timeout=3)

    assert isinstance(outcome, NotDone)
    assert outcome.reason == "never sent"
    assert outcome.error.repeat_is_safe is True
    assert not world.posts(intent)
    assert now() - begin <= 5


async def test_a_deadline_while_it_waits_for_its_slot_is_not_done(monkeypatch):
    wall_goes_with_the_loop(monkeypatch)
    async with at_bank() as world:  # two transfers of a currency leave per second
        intents = [await transfer(world, 1) for _ in range(3)]
        *_, last = await asyncio.gather(
            *(world.client.submit(intent, timeout=0.7) for intent in intents)
        )

    assert isinstance(last, NotDone)
    assert isinstance(last.error, DeadlineExceededError)
    assert last.error.repeat_is_safe is True
    assert len(world.exchange.movements) == 2


async def test_a_lost_answer_is_outcome_unknown_from_the_short_call(world: World):
    world.exchange.fail_next(1, Fault.hang(600).before_commit(), "funds_transfer")

    error = await failure_of(
        world.client.funds_transfer("USDT", 1, from_="6", to="18", timeout=2), OKXError
    )

    assert type(error) is OutcomeUnknownError
    assert error.intent is not None
    copy = pickle.loads(pickle.dumps(error))
    assert copy.intent == error.intent
    assert copy.repeat_is_safe is None


async def test_the_short_call_returns_the_row_when_a_look_up_shows_it_in_time(world: World):
    world.exchange.fail_next(1, Fault.hang(600), "withdrawal")

    row = await world.client.withdrawal(
        "USDT", 10, dest="4", to_addr=world.exchange.account().address, chain="USDT-ERC20"
    )

    assert row.wd_id == world.exchange.account().withdrawals[0].wd_id


@money
async def test_what_is_found_before_the_fence_is_done_at_once(world: World, prepare: Prepare):
    intent = await prepare(world)
    world.fail_post(intent, Fault.reset())
    begin = now()

    assert isinstance(await world.client.submit(intent, check=False), Done)
    assert now() - begin < 1


@each_kind
async def test_resolve_ends_within_eight_seconds_when_look_ups_hang(world: World, prepare: Prepare):
    intent = await prepare(world)
    world.fail_post(intent, Fault.reset().before_commit())
    outcome = await world.client.submit(intent, check=False, timeout=2)
    assert isinstance(outcome, Unknown)
    world.fail_look_up(intent, Fault.hang(600), times=100)
    later(3600)
    begin = now()

    assert isinstance(await world.client.resolve(outcome.intent), Unknown)
    assert now() - begin <= 8


@pytest.mark.parametrize("kind_of_trouble", ["not found", "hangs"])
async def test_recover_ends_within_25_seconds_for_sixty_intents_that_stay_unknown(
    monkeypatch, kind_of_trouble
):
    wall_goes_with_the_loop(monkeypatch)
    journal = MemoryJournal()
    async with at_bank(journal=journal) as world:
        for number in range(60):
            prepare = withdrawal if number % 2 else transfer
            intent = await prepare(world)
            await journal.record(intent)
            await journal.stamp(intent, round((world.client._port.now() - 30) * 1000))
        if kind_of_trouble == "hangs":
            for look_up in ("transfer_state", "get_withdrawal_history"):
                world.exchange.fail_next(1000, Fault.hang(600), look_up)
        begin = now()
        outcomes = [outcome async for _, outcome in world.client.recover()]
        assert now() - begin <= 25

    assert len(outcomes) == 60
    assert all(isinstance(outcome, Unknown) for outcome in outcomes)


@money
@pytest.mark.parametrize("age", [0, 20, 59])
async def test_what_was_on_the_wire_is_never_not_done_in_its_first_minute(
    world: World, prepare: Prepare, age: float
):
    intent = await prepare(world)
    world.fail_post(intent, Fault.reset().before_commit())
    outcome = await world.client.submit(intent, check=False, timeout=0.5)
    assert isinstance(outcome, Unknown)
    sent_at = outcome.intent.signed_at
    assert sent_at is not None
    later(sent_at / 1000 + age - world.client._port.now())

    resolved = await world.client.resolve(outcome.intent, absence_proves_after=1)

    assert isinstance(resolved, Unknown)


# -- client ids --------------------------------------------------------------------------------


@pytest.mark.parametrize("journal", [MemoryJournal(), None], ids=["journal", "no journal"])
async def test_a_second_submit_with_a_client_id_sends_nothing_and_names_the_first(
    world: World, journal
):
    client_id = client_id_for(f"payout of {journal}")
    first = await transfer(world, 1, client_id=client_id)
    done = await world.client.submit(first, journal=journal)

    error = await failure_of(
        world.client.funds_transfer(
            "USDT", 2, from_="6", to="18", client_id=client_id, journal=journal
        ),
        InvalidArgumentError,
    )

    assert error.intent == first
    assert error.outcome == done
    assert len(world.posts(first)) == 1


async def test_two_tasks_with_one_client_id_move_money_once(world: World):
    intent = await transfer(world)

    ends = await asyncio.gather(
        *(world.client.submit(intent) for _ in range(5)), return_exceptions=True
    )

    assert sum(isinstance(end, Done) for end in ends) == 1
    assert sum(isinstance(end, InvalidArgumentError) for end in ends) == 4
    assert len(world.posts(intent)) == 1


async def test_another_process_with_the_same_journal_sends_nothing(monkeypatch):
    wall_goes_with_the_loop(monkeypatch)
    async with at_bank(journal=MemoryJournal()) as world:
        client_id = client_id_for("payout-4711")
        first = await withdrawal(world, client_id=client_id)
        done = await world.client.submit(first)
        as_another_process(monkeypatch)

        again = await withdrawal(world, 11, client_id=client_id)
        error = await failure_of(world.client.submit(again), InvalidArgumentError)

        assert error.intent == first
        assert error.outcome == done
        assert len(world.posts(first)) == 1


async def test_an_id_of_an_unknown_outcome_is_not_sent_again_either(monkeypatch):
    wall_goes_with_the_loop(monkeypatch)
    async with at_bank(journal=MemoryJournal()) as world:
        intent = await withdrawal(world)
        world.fail_post(intent, Fault.reset().before_commit())
        await world.client.submit(intent, check=False, timeout=1)
        as_another_process(monkeypatch)

        error = await failure_of(world.client.submit(intent), InvalidArgumentError)

        assert isinstance(error.outcome, Unknown)
        assert error.repeat_is_safe is False
        assert len(world.posts(intent)) == 1


async def test_a_reused_client_id_is_unknown_in_recover_which_goes_on(monkeypatch):
    wall_goes_with_the_loop(monkeypatch)
    async with at_bank(journal=MemoryJournal()) as world:
        intents = [await transfer(world, 1) for _ in range(3)]
        for intent in intents:
            world.fail_post(intent, Fault.reset())
        world.exchange.fail_next(200, Fault.html(503), "transfer_state")
        await asyncio.gather(*(world.client.submit(each, timeout=3) for each in intents))
        world.exchange.calm()
        as_another_process(monkeypatch)
        world.exchange.fail_next(1, Fault.other_amount(), "transfer_state")

        outcomes = [outcome async for _, outcome in world.client.recover()]

    strange = [each for each in outcomes if not isinstance(each, Done)]
    assert len(outcomes) == 3
    assert len(strange) == 1
    assert isinstance(strange[0], Unknown)
    assert isinstance(strange[0].error, ClientIdReusedError)


# -- journals ----------------------------------------------------------------------------------


class Failing(MemoryJournal):
    """Raises at one of its steps."""

    def __init__(self, step: str) -> None:
        super().__init__()

        async def before(name: str) -> None:
            if name == step:
                raise OSError("no space left on the device")

        self.before = before


@each_kind
@pytest.mark.parametrize("step", ["record", "stamp"])
async def test_a_journal_that_fails_lets_nothing_be_sent(world: World, prepare: Prepare, step: str):
    intent = await prepare(world)

    outcome = await world.client.submit(intent, check=False, journal=Failing(step))

    assert isinstance(outcome, NotDone)
    assert isinstance(outcome.error, JournalError)
    assert outcome.error.repeat_is_safe is True
    assert not world.posts(intent)


async def test_an_outcome_that_cannot_be_written_down_is_true_and_found_again(world: World):
    intent = await transfer(world)
    journal = Failing("settle")

    assert isinstance(await world.client.submit(intent, journal=journal), Done)

    journal.before = None
    ((_, outcome),) = [each async for each in world.client.recover(journal)]
    assert isinstance(outcome, Done)
    assert isinstance(journal.outcome_of(intent), Done)


async def test_a_journal_that_hangs_holds_up_no_call_beyond_its_time(world: World):
    journal = MemoryJournal()

    async def hang(name: str) -> None:
        if name == "stamp":
            await asyncio.sleep(3600)

    journal.before = hang
    intent = await transfer(world)
    begin = now()

    outcome = await world.client.submit(intent, journal=journal, timeout=3)

    assert isinstance(outcome, NotDone)
    assert now() - begin <= 5
    await asyncio.sleep(10)
    assert not world.posts(intent)


async def test_a_slow_stamp_holds_up_no_other_currency(world: World):
    journal = MemoryJournal()

    async def slowly(name: str) -> None:
        if name == "stamp":
            await asyncio.sleep(5)

    journal.before = slowly
    slow = asyncio.create_task(world.client.submit(await transfer(world), journal=journal))
    await asyncio.sleep(1)
    begin = now()

    await world.client.funds_transfer("BTC", "0.01", from_="6", to="18")

    assert now() - begin < 1
    assert isinstance(await slow, Done)


async def test_recover_closes_what_was_never_stamped_and_its_owner_sends_nothing(
    world: World, monkeypatch
):
    journal = MemoryJournal()
    reached = asyncio.Event()
    go_on = asyncio.Event()

    async def pause(name: str) -> None:
        if name == "stamp":
            reached.set()
            await go_on.wait()

    journal.before = pause
    intent = await transfer(world)
    slow = asyncio.create_task(world.client.submit(intent, journal=journal))
    await reached.wait()
    as_another_process(monkeypatch)

    ((_, outcome),) = [each async for each in world.client.recover(journal)]
    go_on.set()

    assert isinstance(outcome, NotDone)
    assert outcome.reason == "never sent"
    assert isinstance(await slow, NotDone)
    assert not world.posts(intent)


# -- accounts ----------------------------------------------------------------------------------


async def test_an_intent_of_another_account_is_refused(world: World):
    async with at_bank() as other:
        intent = await transfer(other)
        for call in (world.client.submit(intent), world.client.resolve(intent)):
            await failure_of(call, InvalidArgumentError)

    assert not world.posts(intent)


async def test_recover_yields_its_own_client_only(monkeypatch):
    wall_goes_with_the_loop(monkeypatch)
    journal = MemoryJournal()
    users = [someone(), someone()]
    async with (
        at_bank(exchange={"users": users}, journal=journal) as world,
        FundingClient(users[1], base_url=world.exchange.base_url, journal=journal) as other,
    ):
        for client in (world.client, other):
            intent = client.prepare_transfer("USDT", 1, from_="6", to="18")
            await journal.record(intent)
        mine = [intent.account async for intent, _ in world.client.recover()]
        others = [intent.account async for intent, _ in other.recover()]

    assert mine == [users[0].user_id]
    assert others == [users[1].user_id]


async def test_an_intent_in_json_is_resolved_by_another_client(world: World):
    intent = await withdrawal(world)
    world.fail_post(intent, Fault.reset().visible_after(10))
    outcome = await world.client.submit(intent, check=False, timeout=2)
    assert isinstance(outcome, Unknown)
    text = outcome.intent.to_json()
    await asyncio.sleep(10)

    async with FundingClient(
        world.exchange.credentials, base_url=world.exchange.base_url
    ) as client:
        assert isinstance(await client.resolve(Intent.from_json(text)), Done)


async def test_a_read_only_client_sends_nothing_that_moves_money(monkeypatch):
    wall_goes_with_the_loop(monkeypatch)
    async with at_bank(read_only=True) as world:
        intent = await transfer(world)
        await failure_of(world.client.submit(intent), InvalidArgumentError)
        await failure_of(world.client.funds_transfer("USDT", 1, from_="6", to="18"), OKXError)
        await world.client.get_balances("USDT")

        assert not world.posts(intent)


# -- the end -----------------------------------------------------------------------------------


async def test_closing_waits_for_money_in_flight(world: World):
    journal = MemoryJournal()
    intent = await transfer(world)
    world.fail_post(intent, Fault.slow(3))
    task = asyncio.create_task(world.client.submit(intent, journal=journal))
    await asyncio.sleep(0.5)

    await world.client.aclose()

    assert isinstance(await task, Done)
    assert isinstance(journal.outcome_of(intent), Done)


async def test_closing_says_what_stays_open(world: World, caplog):
    intent = await transfer(world)
    world.fail_post(intent, Fault.hang(600).before_commit())
    task = asyncio.create_task(world.client.submit(intent, timeout=60))
    await asyncio.sleep(0.5)
    begin = now()

    await world.client.aclose()

    assert now() - begin <= 13
    assert isinstance(await task, Unknown)
    assert intent.client_id in caplog.text


async def test_closing_sends_nothing_that_still_waits_for_its_turn(world: World):
    intents = [await transfer(world, 1) for _ in range(8)]
    tasks = [asyncio.create_task(world.client.submit(each)) for each in intents]
    await asyncio.sleep(0.2)

    await world.client.aclose()
    ends = [await task for task in tasks]

    done = [end for end in ends if isinstance(end, Done)]
    closed = [end for end in ends if isinstance(end, NotDone)]
    assert len(done) == len(world.exchange.movements) == 2
    assert all(isinstance(end.error, ClientClosedError) for end in closed)
    assert len(done) + len(closed) == 8


async def test_a_closed_client_sends_nothing(world: World):
    intent = await transfer(world)
    await world.client.aclose()

    await failure_of(world.client.submit(intent), ClientClosedError)

    assert not world.posts(intent)


async def test_what_costs_more_than_there_is_is_refused_as_what_it_is(world: World):
    error = await failure_of(
        world.client.funds_transfer("USDT", Decimal(100_000), from_="6", to="18"),
        InsufficientFundsError,
    )

    assert error.repeat_is_safe is True
