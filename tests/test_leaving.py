"""Callers that are cancelled or time out: they leave at once, alone, and leave nothing behind."""

from __future__ import annotations

import asyncio
import gc
import itertools
import weakref

import pytest

from okx_funding import DeadlineExceededError, InvalidParameterError, RateLimit
from okx_funding.scheduler.deadlines import GRAIN, Deadlines
from tests.support import ASSETS, failure_of, now, some
from tests.wireless import Wireless, came, hangs, names, nothing_left, outcomes, unavailable

pytestmark = [pytest.mark.looptime, pytest.mark.usefixtures("dice")]


LIMIT = {"rate_limits": {ASSETS: RateLimit(1)}}


async def leave(task):
    """It is gone within this very moment."""
    before = now()
    task.cancel()
    await failure_of(task, asyncio.CancelledError)
    assert now() == before


# -- before anything is sent --------------------------------------------------------------------


async def test_when_all_have_left_nothing_is_sent():
    async with Wireless() as session:
        client = session.client(**LIMIT)
        await client.get_non_tradable_assets("FIRST")
        crowd = [asyncio.ensure_future(client.get_non_tradable_assets(k)) for k in some(30)]
        await asyncio.sleep(0.1)
        for task in crowd:
            task.cancel()
        await outcomes(*crowd)
        await asyncio.sleep(5)
        assert session.okx.asked == [("FIRST",)]
        await nothing_left(session)


async def test_when_all_have_left_the_slot_is_free_at_once():
    async with Wireless() as session:
        client = session.client(**LIMIT)
        await leave(asyncio.ensure_future(client.get_non_tradable_assets("GONE")))
        began = now()
        await client.get_non_tradable_assets("NEXT")
        assert session.okx.asked == [("NEXT",)]
        assert session.okx.sent[0].left == began
        assert client.statistics().requests == 1


async def test_who_leaves_in_the_turn_in_which_it_came_sends_nothing():
    async with Wireless() as session:
        client = session.client()
        task = asyncio.ensure_future(client.get_non_tradable_assets("GONE"))
        await came(task, told=client)
        await leave(task)
        await asyncio.sleep(1)
        assert session.okx.asked == []


async def test_the_currencies_go_with_the_last_who_wants_them():
    async with Wireless() as session:
        client = session.client(**LIMIT)
        await client.get_non_tradable_assets("FIRST")
        one = asyncio.ensure_future(client.get_non_tradable_assets(["A", "BOTH"]))
        two = asyncio.ensure_future(client.get_non_tradable_assets(["BOTH", "B"]))
        await asyncio.sleep(0.1)
        await leave(one)
        assert names(await two) == ["BOTH", "B"]
        assert session.okx.asked[1:] == [("BOTH", "B")]


async def test_a_place_that_becomes_free_is_taken_by_the_next():
    async with Wireless() as session:
        client = session.client(**LIMIT)
        await client.get_non_tradable_assets("FIRST")
        tasks = [asyncio.ensure_future(client.get_non_tradable_assets(k)) for k in some(21)]
        await asyncio.sleep(0.1)
        await leave(tasks[4])
        await asyncio.gather(*tasks[:4], *tasks[5:])
        assert session.okx.sizes == [1, 20]


async def test_a_long_caller_that_leaves_takes_its_later_turns_along():
    async with Wireless() as session:
        client = session.client(**LIMIT)
        long = asyncio.ensure_future(client.get_non_tradable_assets(some(100)))
        short = asyncio.ensure_future(client.get_non_tradable_assets("SHORT"))
        await asyncio.sleep(1.5)
        await leave(long)
        await short
        await asyncio.sleep(5)
        assert len(session.okx.sent) == 2
        await nothing_left(session)


async def test_everyone_who_leaves_leaves_nothing_in_the_lane():
    async with Wireless() as session:
        client = session.client(**LIMIT)
        await client.get_non_tradable_assets("FIRST")
        tasks = [
            asyncio.ensure_future(client.get_non_tradable_assets(some(n % 50 + 1), timeout=9))
            for n in range(200)
        ]
        await asyncio.sleep(0.1)
        for task in tasks:
            task.cancel()
        await outcomes(*tasks)
        await nothing_left(session)


# -- on the wire --------------------------------------------------------------------------------


async def test_when_all_have_left_a_request_on_the_wire_its_slot_stays_out():
    async with Wireless(latency=0.5) as session:
        client = session.client(**LIMIT)
        tasks = [asyncio.ensure_future(client.get_non_tradable_assets("GONE")) for _ in range(2)]
        await asyncio.sleep(0.3)
        for task in tasks:
            await leave(task)
        await client.get_non_tradable_assets("NEXT")
        first, second = session.okx.sent
        assert first.outcome == "answered"
        assert second.left >= first.arrived + 1
        await nothing_left(session)


async def test_the_others_on_the_wire_notice_nothing():
    async with Wireless(latency=0.5) as session:
        client = session.client()
        keys = some(20)
        tasks = [asyncio.ensure_future(client.get_non_tradable_assets(key)) for key in keys]
        await asyncio.sleep(0.3)
        for task in tasks[::2]:
            await leave(task)
        assert [names(each) for each in await asyncio.gather(*tasks[1::2])] == [
            [key] for key in keys[1::2]
        ]
        assert len(session.okx.sent) == 1


async def test_a_failure_that_nobody_waits_for_makes_no_noise():
    async with Wireless(latency=0.5) as session:
        client = session.client(max_retries=0)
        session.okx.next = [unavailable]
        task = asyncio.ensure_future(client.get_non_tradable_assets("GONE"))
        await asyncio.sleep(0.3)
        await leave(task)
        await asyncio.sleep(1)
        gc.collect()  # what would complain complains now
        await nothing_left(session)


async def test_a_failure_in_the_moment_of_leaving_makes_no_noise():
    async with Wireless(latency=0) as session:
        client = session.client(max_retries=0)
        session.okx.next = [unavailable] * 6
        for turns in range(12):
            session.okx.next = [unavailable]
            task = asyncio.ensure_future(client.get_non_tradable_assets(f"K{turns}"))
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            await outcomes(task)
            await asyncio.sleep(2)
        gc.collect()
        await nothing_left(session)


async def test_an_answer_of_nobody_is_remembered_all_the_same():
    async with Wireless(latency=0.5) as session:
        client = session.client()
        tasks = [
            asyncio.ensure_future(client.get_non_tradable_assets("GONE", max_age=0))
            for _ in range(2)
        ]
        await asyncio.sleep(0.3)
        for task in tasks:
            await leave(task)
        await asyncio.sleep(1)
        await client.get_non_tradable_assets("GONE", max_age=10)
        assert len(session.okx.sent) == 1


# -- in a back-off ------------------------------------------------------------------------------


async def test_who_leaves_in_a_back_off_takes_nobody_along():
    async with Wireless() as session:
        client = session.client()
        session.okx.next = [unavailable]
        gone, stays = (
            asyncio.ensure_future(client.get_non_tradable_assets(k)) for k in ("GONE", "STAYS")
        )
        await asyncio.sleep(0.04)
        assert client._calls.lanes[ASSETS].dispatcher._backing_off
        await leave(gone)
        assert names(await stays) == ["STAYS"]
        assert session.okx.asked[1:] == [("STAYS",)]
        await nothing_left(session)


# -- deadlines ----------------------------------------------------------------------------------


@pytest.mark.parametrize("timeout", [0.001, 0.013, 0.5, 1, 7.77])
async def test_a_deadline_comes_in_time(timeout):
    async with Wireless(latency=60) as session:
        client = session.client()
        await failure_of(client.get_non_tradable_assets("K", timeout=timeout), TimeoutError)
        assert timeout <= now() <= timeout + GRAIN + 0.001


async def test_callers_of_one_batch_end_at_their_own_times():
    async with Wireless(latency=10) as session:
        client = session.client()

        async def ends(timeout):
            await failure_of(client.get_non_tradable_assets("K", timeout=timeout), TimeoutError)
            return now()

        ended = await asyncio.gather(*map(ends, (1, 2, 3)))
        assert ended == [pytest.approx(each, abs=0.03) for each in (1, 2, 3)]
        assert len(session.okx.sent) == 1


async def test_a_deadline_ends_only_its_own_call():
    async with Wireless(latency=2) as session:
        client = session.client()
        patient = asyncio.ensure_future(client.get_non_tradable_assets(["A", "B"]))
        late = await failure_of(
            client.get_non_tradable_assets(["B", "C"], timeout=1), DeadlineExceededError
        )
        assert late.sent
        assert names(await patient) == ["A", "B"]
        await nothing_left(session)


async def test_when_all_deadlines_have_passed_nothing_is_sent():
    async with Wireless(latency=3) as session:
        client = session.client(**LIMIT)
        first = asyncio.ensure_future(client.get_non_tradable_assets("FIRST"))
        await asyncio.sleep(0.1)
        late = await outcomes(
            *(client.get_non_tradable_assets(key, timeout=1.5) for key in some(30))
        )
        assert {type(each) for each in late} == {DeadlineExceededError}
        await first
        await asyncio.sleep(3)
        assert len(session.okx.sent) == 1
        await nothing_left(session)


async def test_many_answered_calls_leave_few_timers():
    async with Wireless(latency=0) as session:
        client = session.client(rate_limits={ASSETS: RateLimit(1000, 0.001)})
        for _ in range(1000):
            await client.get_non_tradable_assets("K", timeout=3600)
            await asyncio.sleep(GRAIN)
        assert session._deadlines is not None
        assert len(session._deadlines._timers) <= 128
        scheduled = vars(asyncio.get_running_loop())["_scheduled"]
        assert len(scheduled) <= 400  # asyncio drops cancelled timers by the hundred


async def test_timers_of_calls_that_wait_are_kept():
    async with Wireless(latency=600) as session:
        client = session.client()
        tasks = [
            asyncio.ensure_future(client.get_non_tradable_assets(f"K{n}", timeout=60 + n * 0.1))
            for n in range(300)
        ]
        ended = await outcomes(*tasks)
        assert {type(each) for each in ended} == {DeadlineExceededError}
        assert now() == pytest.approx(60 + 29.9, abs=0.1)


async def test_closed_deadlines_never_fire():
    loop = asyncio.get_running_loop()
    deadlines = Deadlines(loop)

    class Told:
        timer = None

    deadlines.add(Told(), loop.time() + 1)  # type: ignore[arg-type]
    deadlines.close()
    await asyncio.sleep(2)
    assert not deadlines._timers


# -- memory -------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["answered", "cancelled", "late", "failed", "refused"])
async def test_a_caller_that_has_gone_is_not_kept_alive(how, monkeypatch):
    async with Wireless(latency=0.2, bad={"K0"} if how == "refused" else set()) as session:
        client = session.client(max_retries=0)
        lane_of = client._ask
        tickets = []

        def ask(*args):
            ticket = lane_of(*args)
            tickets.append(weakref.ref(ticket))
            return ticket

        monkeypatch.setattr(client, "_ask", ask)
        if how == "failed":
            session.okx.next = [unavailable]
        timeout = 0.1 if how == "late" else 9
        tasks = [
            asyncio.ensure_future(client.get_non_tradable_assets(some(n), timeout=timeout))
            for n in (1, 3, 50)
        ]
        await asyncio.sleep(0.1)
        if how == "cancelled":
            for task in tasks:
                task.cancel()
        await outcomes(*tasks)
        await asyncio.sleep(5)
        del tasks
        gc.collect()
        assert [each() for each in tickets] == [None] * 3
        await nothing_left(session)


async def test_a_lane_with_nobody_in_it_dies_with_its_client():
    async with Wireless() as session:
        client = session.client()
        await client.get_non_tradable_assets("K")
        lane = weakref.ref(client._calls.lanes[ASSETS])
        await client.aclose()
        del client
        await asyncio.sleep(2)
        gc.collect()
        assert lane() is None


# -- in the middle of a turn --------------------------------------------------------------------


async def test_a_caller_may_leave_while_answers_are_handed_out():
    async with Wireless(latency=0) as session:
        client = session.client()
        tasks = [asyncio.ensure_future(client.get_non_tradable_assets("K")) for _ in range(1200)]
        turns = itertools.takewhile(lambda _: session.statistics().answered != 500, range(99))
        for _ in turns:
            await asyncio.sleep(0)
        for task in tasks[600:900]:
            task.cancel()
        ended = await outcomes(*tasks)
        assert sum(isinstance(each, list) for each in ended) == 900
        told = session.statistics()
        assert (told.answered, told.cancelled, told.waiting) == (900, 300, 0)
        await nothing_left(session)


async def test_one_who_leaves_when_its_neighbour_is_answered_harms_nobody():
    async with Wireless() as session:
        client = session.client()
        third: list[asyncio.Task] = []

        async def first():
            await client.get_non_tradable_assets("K")
            third[0].cancel()

        async def last():
            return await client.get_non_tradable_assets(["K", "L"])

        tasks = [asyncio.ensure_future(first()), asyncio.ensure_future(last())]
        third.append(asyncio.ensure_future(client.get_non_tradable_assets("L")))
        ended = await outcomes(*tasks, *third)
        assert ended[0] is None
        assert names(ended[1]) == ["K", "L"]
        await nothing_left(session)


async def test_statistics_count_each_caller_once_however_it_ends():
    async with Wireless(bad={"BAD"}, latency=0.3) as session:
        client = session.client(max_retries=0)
        cancelled = asyncio.ensure_future(client.get_non_tradable_assets(["A", "B"]))
        late = asyncio.ensure_future(client.get_non_tradable_assets("A", timeout=0.1))
        bad = asyncio.ensure_future(client.get_non_tradable_assets(["A", "BAD"]))
        good = asyncio.ensure_future(client.get_non_tradable_assets(["A", "C"]))
        await asyncio.sleep(0.2)
        cancelled.cancel()
        kinds = [type(each) for each in await outcomes(cancelled, late, bad, good)]
        assert kinds == [
            asyncio.CancelledError, DeadlineExceededError, InvalidParameterError, list,
        ]  # fmt: skip
        told = client.statistics()
        assert (told.calls, told.answered, told.failed, told.cancelled, told.waiting) == (
            4, 1, 2, 1, 0,
        )  # fmt: skip


async def test_a_request_that_hangs_blocks_no_other():
    async with Wireless() as session:
        client = session.client()
        session.okx.next = [hangs]
        stuck = asyncio.ensure_future(client.get_non_tradable_assets("STUCK"))
        await asyncio.sleep(0.01)
        assert names(await client.get_non_tradable_assets("FINE")) == ["FINE"]
        await leave(stuck)
