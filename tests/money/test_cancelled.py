"""A caller who is cancelled at any step of the loop, and a client that is closed at any step."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from okx_funding.errors import ClientClosedError, OutcomeUnknownError
from okx_funding.money import Done, Intent, NotDone
from okx_funding.simulator import Fault
from tests.support import failure_of, now
from tests.unit.money.memory import MemoryJournal

from .world import ALL, Prepare, World, at_bank, transfer, wall_goes_with_the_loop, withdrawal

pytestmark = pytest.mark.looptime

FAULTS = {
    "accepted": None,
    "lost": Fault.reset(),
    "in doubt": Fault.reset().before_commit(),
    "again": Fault.code("50011"),
    "refused": Fault.code("58350"),
}
OTHERS = {name: prepare for name, prepare in ALL.items() if name not in ("transfer", "withdrawal")}
each_fault = pytest.mark.parametrize("fault", FAULTS.values(), ids=list(FAULTS))


def check(world: World, journal: MemoryJournal, intent: Intent) -> None:
    """What moved is Done, or open with a stamp; what is NotDone didn't move."""
    moved, record = world.moved(intent), journal.records.get(intent.client_id)
    assert len(moved) <= 1
    outcome = None if record is None else record.outcome
    if moved:
        assert record is not None
        assert isinstance(outcome, Done) or record.intent.signed_at is not None
    if isinstance(outcome, Done):
        assert moved
    assert not (isinstance(outcome, NotDone) and moved)


async def leave_at_every_step(
    world: World,
    prepare: Prepare,
    fault: Fault | None,
    leave: Callable[[asyncio.Task[Any]], Awaitable[None]],
) -> int:
    """Leave a submission after each number of the loop's turns; gives how many it took."""
    for turns in range(1000):
        world.exchange.calm()
        for account in ("funding", "trading"):
            world.exchange.account().set_balances({"USDT": "800", "USD": "800"}, account)
        journal = MemoryJournal()
        intent = await prepare(world)
        if fault is not None:
            world.fail_post(intent, fault)
        task = asyncio.create_task(
            world.client.submit(intent, check=False, timeout=3, journal=journal)
        )
        for turn in range(turns):
            await asyncio.sleep(0 if turn < 80 else 0.07)  # the rest of it is waiting
        finished = task.done()
        await leave(task)
        await asyncio.sleep(7)
        check(world, journal, intent)
        if not finished and world.moved(intent) and task.cancelled():
            cancelled = await failure_of(task, asyncio.CancelledError)
            assert isinstance(cancelled.__cause__, OutcomeUnknownError)
            assert cancelled.__cause__.intent == intent
        if finished:
            return turns
    raise AssertionError("it never ends")


async def cancel(task: asyncio.Task[Any]) -> None:
    before = now()
    task.cancel()
    await asyncio.wait({task})
    assert now() == before  # the caller leaves at once


@pytest.mark.parametrize("prepare", [transfer, withdrawal], ids=["transfer", "withdrawal"])
@each_fault
async def test_cancelled_at_any_step_the_journal_tells_the_truth(
    world: World, prepare: Prepare, fault: Fault | None
):
    steps = await leave_at_every_step(world, prepare, fault, cancel)

    assert steps > 10
    world.exchange.ledger.check()


@pytest.mark.slow
@pytest.mark.parametrize("prepare", OTHERS.values(), ids=list(OTHERS))
@each_fault
async def test_cancelled_at_any_step_of_any_kind_the_journal_tells_the_truth(
    world: World, prepare: Prepare, fault: Fault | None
):
    steps = await leave_at_every_step(world, prepare, fault, cancel)

    assert steps > 10
    world.exchange.ledger.check()


@pytest.mark.parametrize("fault", [None, Fault.reset()], ids=["accepted", "lost"])
async def test_closed_at_any_step_the_journal_tells_the_truth(monkeypatch, fault):
    wall_goes_with_the_loop(monkeypatch)
    for turns in range(1000):
        journal = MemoryJournal()
        async with at_bank(journal=journal) as world:
            intent = await transfer(world)
            if fault is not None:
                world.fail_post(intent, fault)
            task = asyncio.create_task(world.client.submit(intent, timeout=3))
            for _ in range(turns):
                await asyncio.sleep(0)
            finished = task.done()
            await world.client.aclose()
            (end,) = await asyncio.gather(task, return_exceptions=True)
            check(world, journal, intent)
            if isinstance(end, Done):
                assert world.moved(intent)
            if isinstance(end, NotDone | ClientClosedError):
                assert not world.moved(intent)
        if finished:
            break
    assert turns > 10
