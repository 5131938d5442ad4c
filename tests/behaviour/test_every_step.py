"""Cancelled before the k-th callback of the loop, for every k: nothing is lost, nothing is left."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from okx_funding import ClientClosedError, FundingClient, RateLimit
from okx_funding.errors import InvalidParameterError
from okx_funding.simulator import Fault, SimulatedExchange
from tests.support import ASSETS, some, someone, start, virtual_loop
from tests.support.fake_session import (
    FakeSession,
    busy,
    error,
    names,
    nothing_left,
    outcomes,
    unavailable,
)

pytestmark = pytest.mark.slow

MOST = 3000
"""Callbacks after which a scene that isn't over never will be."""


class Axe:
    """Counts the callbacks of every loop, and strikes before the k-th."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.k = self.count = 0
        self.victim: asyncio.Task[Any] | None = None
        run = asyncio.Handle._run

        def counted(handle: asyncio.Handle) -> None:
            if self.victim is not None and not self.victim.done():
                self.count += 1
                if self.count == self.k:
                    self.victim.cancel()
            run(handle)

        monkeypatch.setattr(asyncio.Handle, "_run", counted)


@pytest.fixture
def axe(monkeypatch, caplog):
    """Nobody may complain of an exception that was never retrieved, or of anything else."""
    monkeypatch.setattr("okx_funding.scheduler.dispatcher.random.random", lambda: 0.5)
    with caplog.at_level(logging.WARNING):
        yield Axe(monkeypatch)
    assert not caplog.records


Scene = Callable[[], Awaitable[tuple[asyncio.Task[Any], Callable[[], Awaitable[None]]]]]


def at_every_step(axe: Axe, scene: Scene) -> Iterator[bool]:
    """Play the scene until its victim gets through; tells each time whether it was struck."""
    for k in range(1, MOST):
        axe.k, axe.count, axe.victim = k, 0, None

        async def play() -> bool:
            axe.victim, check = await scene()
            await asyncio.wait([axe.victim])
            struck = axe.victim.cancelled()
            axe.victim = None
            await check()
            await asyncio.sleep(0)
            assert asyncio.all_tasks() == {asyncio.current_task()}
            return struck

        with asyncio.Runner(loop_factory=virtual_loop) as runner:
            yield runner.run(play())
        if axe.count < k:
            return
    raise AssertionError("the scene never ends")


async def all_is_well(session, client, *others):
    """The others have their rows, and every slot is free again."""
    for task, keys in others:
        assert names(await task) == keys
    await asyncio.sleep(60)  # a slot that was refused stays out for a while
    await nothing_left(session)
    told = client.statistics()
    assert told.waiting == 0
    assert told.calls == told.answered + told.failed + told.cancelled
    for bucket in told.buckets:
        assert bucket.slots_free == bucket.count
    await session.aclose()


def count_struck(results):
    struck = list(results)
    assert struck[-1] is False
    return sum(struck)


LIMIT = {"rate_limits": {ASSETS: RateLimit(2)}}


# -- callers ------------------------------------------------------------------------------------


def test_a_lone_caller(axe):
    async def scene():
        session = FakeSession()
        client = session.client()
        (victim,) = start(client, "K")

        async def check():
            if victim.cancelled():
                (again,) = start(client, "K")
                await again
            await all_is_well(session, client)
            assert len(session.okx.sent) <= 2

        return victim, check

    assert count_struck(at_every_step(axe, scene)) >= 5


def test_a_lone_caller_that_is_cancelled_before_it_is_sent_sends_nothing(axe):
    async def scene():
        session = FakeSession()
        client = session.client()
        (victim,) = start(client, "K")

        async def check():
            if victim.cancelled():
                assert bool(session.okx.sent) == (client.statistics().requests == 1)
                if not session.okx.sent:
                    began = asyncio.get_running_loop().time()
                    await asyncio.gather(*start(client, *some(120)))
                    assert {each.left for each in session.okx.sent} == {began}
            await all_is_well(session, client)

        return victim, check

    count_struck(at_every_step(axe, scene))


@pytest.mark.parametrize("size", [3, 45])
def test_a_caller_with_several_currencies(axe, size):
    async def scene():
        session = FakeSession()
        client = session.client(**LIMIT)
        (victim,) = start(client, some(size))
        others = start(client, "K1", ["K2", "X"], some(30, "Y"))

        async def check():
            await all_is_well(
                session, client, (others[0], ["K1"]), (others[1], ["K2", "X"]),
                (others[2], some(30, "Y")),
            )  # fmt: skip

        return victim, check

    assert count_struck(at_every_step(axe, scene)) >= 10


def test_the_first_of_those_who_share_a_request(axe):
    async def scene():
        session = FakeSession(latency=1)
        client = session.client(**LIMIT)
        (victim,) = start(client, "K")
        others = start(client, "K", ["K", "L"])

        async def join():
            await asyncio.sleep(0.5)
            return await client.get_non_tradable_assets("K", max_age=2)

        joined = asyncio.ensure_future(join())

        async def check():
            await all_is_well(
                session, client, (others[0], ["K"]), (others[1], ["K", "L"]), (joined, ["K"])
            )
            assert len(session.okx.sent) == 1

        return victim, check

    assert count_struck(at_every_step(axe, scene)) >= 5


@pytest.mark.parametrize("also", [[], ["K2", "K9"]])
def test_a_caller_whose_currencies_stand_trial(axe, also):
    async def scene():
        session = FakeSession(bad={"K2", "K9"})
        client = session.client(**LIMIT)
        (victim,) = start(client, ["K1", "K2", "K3"])
        good = [key for key in some(20) if key not in session.okx.bad]
        others = start(client, *good)
        bad = start(client, *also)

        async def check():
            for task in bad:
                (told,) = await outcomes(task)
                assert isinstance(told, InvalidParameterError)
            await all_is_well(
                session, client, *((task, [key]) for task, key in zip(others, good, strict=True))
            )
            if not victim.cancelled():
                assert victim.exception().currencies == ("K2",)  # type: ignore[union-attr]

        return victim, check

    assert count_struck(at_every_step(axe, scene)) >= 15


@pytest.mark.parametrize(
    "troubles",
    [[unavailable, unavailable], [busy, busy], [error("50102", status=401)]],
    ids=["fault", "refusal", "clock"],
)
def test_a_caller_that_is_asked_for_again(axe, troubles):
    async def scene():
        session = FakeSession()
        client = session.client(**LIMIT)
        session.okx.next = list(troubles)
        (victim,) = start(client, ["K", "L"])
        others = start(client, "K")

        async def check():
            await all_is_well(session, client, (others[0], ["K"]))

        return victim, check

    assert count_struck(at_every_step(axe, scene)) >= 10


def test_the_only_caller_that_is_asked_for_again(axe):
    async def scene():
        session = FakeSession()
        client = session.client(**LIMIT)
        session.okx.next = [unavailable, busy]
        (victim,) = start(client, ["K", "L"])

        async def check():
            sent = len(session.okx.sent)
            await all_is_well(session, client)
            assert len(session.okx.sent) == sent  # nobody waits, nothing is sent again

        return victim, check

    assert count_struck(at_every_step(axe, scene)) >= 10


def test_a_caller_with_a_deadline(axe):
    async def scene():
        session = FakeSession(latency=0.5)
        client = session.client(**LIMIT)
        (victim,) = start(client, some(3), timeout=0.3)
        others = start(client, "K1", timeout=2)

        async def check():
            await all_is_well(session, client, (others[0], ["K1"]))

        return victim, check

    count_struck(at_every_step(axe, scene))


# -- closers ------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["close", "drain", "client drains"])
def test_who_closes(axe, how):
    async def scene():
        session = FakeSession(bad={"K30"}, latency=0.1)
        client = session.client(**LIMIT)
        session.okx.next = [unavailable]
        waiting = start(client, *some(50), some(30, "L"))

        async def close():
            await asyncio.sleep(0.3)
            if how == "close":
                await session.aclose()
            else:
                await (session if how == "drain" else client).aclose(drain=True, timeout=3)

        victim = asyncio.ensure_future(close())

        async def check():
            await session.aclose()
            for each in await outcomes(*waiting):
                assert isinstance(each, list | ClientClosedError | InvalidParameterError)
            sent = len(session.okx.sent)
            await asyncio.sleep(10)
            assert len(session.okx.sent) == sent
            await nothing_left(session)

        return victim, check

    count_struck(at_every_step(axe, scene))


@pytest.mark.parametrize("drain", [True, False])
def test_a_caller_while_its_session_closes(axe, drain):
    async def scene():
        session = FakeSession(bad={"K2"}, latency=0.1)
        client = session.client(**LIMIT)
        (victim,) = start(client, some(45))
        others = start(client, *some(20))

        async def close():
            await asyncio.sleep(0.25)
            await session.aclose(drain=drain)

        closer = asyncio.ensure_future(close())

        async def check():
            await closer
            for key, each in zip(some(20), await outcomes(*others), strict=True):
                if drain and key != "K2":
                    assert names(each) == [key]
                elif drain:
                    assert isinstance(each, InvalidParameterError)
            await nothing_left(session)

        return victim, check

    assert count_struck(at_every_step(axe, scene)) >= 5


# -- over a socket ------------------------------------------------------------------------------


@pytest.mark.parametrize("trouble", [None, Fault.reset(), Fault.code("50001")], ids=repr)
def test_a_caller_over_a_socket(axe, trouble):
    async def scene():
        exchange = SimulatedExchange(users=[someone()], latency=0.01)
        await exchange.start()
        if trouble is not None:
            exchange.fail_next(1, trouble)
        client = FundingClient(exchange.credentials, base_url=exchange.base_url)
        (victim,) = start(client, "CELT")
        (other,) = start(client, ["MEME"])

        async def check():
            assert set(names(await other)) == {"MEME"}
            await asyncio.sleep(2)
            assert client._calls.session is not None
            http: Any = client._calls.session._transport._http
            assert len(http.connector._acquired) == 0
            assert exchange.busiest_window(ASSETS) <= 6
            await client.aclose()
            await asyncio.sleep(0.01)
            assert exchange._connections == set()
            await exchange.aclose()

        return victim, check

    assert count_struck(at_every_step(axe, scene)) >= 20
