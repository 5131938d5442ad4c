"""The life of an iterator along a history: what it asks and when, how it ends and goes on."""

from __future__ import annotations

import asyncio
import gc
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from okx_funding.api import Cursor
from okx_funding.api.table import Reads
from okx_funding.errors import InvalidArgumentError, RequestTimeoutError

from .paging import START, PagingModel

pytestmark = pytest.mark.looptime

WALKED = "get_deposit_history"


class Slow(Reads):
    """Answers each page after a second."""

    def __init__(self, rows: int = 250, fail: set[int] | None = None) -> None:
        self.model = PagingModel(WALKED)
        self.model.add(START + n for n in range(rows))
        self.fail = fail or set()
        self.asked = 0
        self.options: list[Any] = []
        self.on_the_way = 0

    async def _rows(self, endpoint: Any, params: Any, options: Any) -> list[Any]:
        self.asked += 1
        self.options.append(options)
        self.on_the_way += 1
        try:
            asked = self.asked
            await asyncio.sleep(1)
            if asked in self.fail:
                raise RequestTimeoutError("no answer")
            return self.model.answer(endpoint.name, dict(params))
        finally:
            self.on_the_way -= 1


def now() -> float:
    return asyncio.get_running_loop().time()


async def left_behind() -> list[str]:
    await asyncio.sleep(0)
    return [task.get_name() for task in asyncio.all_tasks() if task is not asyncio.current_task()]


async def test_nothing_is_asked_before_the_first_row_is():
    caller = Slow()
    caller.iter_deposit_history()
    await asyncio.sleep(5)
    assert caller.asked == 0


async def test_one_page_is_asked_ahead_and_no_more():
    caller = Slow()
    async with caller.iter_deposit_history() as walk:
        await anext(walk)
        await asyncio.sleep(5)
        assert caller.asked == 2
        before = now()
        for _ in range(150):
            await anext(walk)
        assert now() == before  # it was there already
        await asyncio.sleep(5)
        assert caller.asked == 3


async def test_a_walk_is_as_fast_as_its_pages():
    caller = Slow()
    assert len([row async for row in caller.iter_deposit_history()]) == 250
    assert now() == pytest.approx(4)  # three pages with rows, and one that says that it is all


async def test_every_page_gets_the_options_of_the_walk():
    caller = Slow()
    async for _ in caller.iter_deposit_history(timeout=7, priority=-5):
        pass
    assert caller.options == [{"timeout": 7, "priority": -5}] * 4


async def test_a_walk_tells_how_far_it_came():
    caller = Slow()
    walk = caller.iter_deposit_history()
    assert (walk.pages, walk.rows, walk.reached, walk.cursor) == (0, 0, None, None)
    assert repr(walk) == "<PageIterator get_deposit_history: 0 rows of 0 pages>"
    for _ in range(101):
        await anext(walk)
    assert (walk.pages, walk.rows) == (2, 101)
    reached = datetime(2023, 11, 14, 22, 13, 20, 149_000, tzinfo=UTC)
    assert walk.reached == reached
    assert walk.cursor == Cursor(WALKED, START + 149, ("100149",))
    assert repr(walk) == (
        "<PageIterator get_deposit_history: 101 rows of 2 pages, "
        "at 2023-11-14T22:13:20.149000+00:00>"
    )
    await walk.aclose()


async def test_to_close_drops_the_page_asked_ahead():
    caller = Slow()
    walk = caller.iter_deposit_history()
    await anext(walk)
    await asyncio.sleep(0.5)
    assert caller.on_the_way == 1
    await walk.aclose()
    assert caller.on_the_way == 0
    assert await left_behind() == []
    with pytest.raises(StopAsyncIteration):
        await anext(walk)
    await walk.aclose()


async def test_an_early_end_of_a_with_block_closes():
    caller = Slow()
    async with caller.iter_deposit_history() as walk:
        async for _ in walk:
            break
    assert caller.on_the_way == 0
    assert await left_behind() == []


@pytest.mark.parametrize("rows_before", [0, 100, 199])
async def test_a_cancelled_step_leaves_nothing_and_can_be_asked_again(rows_before):
    caller = Slow()
    walk = caller.iter_deposit_history()
    ids = [(await anext(walk)).dep_id for _ in range(rows_before)]
    step = asyncio.ensure_future(anext(walk))
    await asyncio.sleep(0.25)
    step.cancel()
    with pytest.raises(asyncio.CancelledError):
        await step
    assert caller.on_the_way == 0
    assert await left_behind() == []
    ids += [row.dep_id async for row in walk]
    assert ids == caller.model.newest_first()


# A page begins with the last row of the one before, so that the second one brings 99 new rows.
@pytest.mark.parametrize(("failing", "before"), [(1, 0), (2, 100), (3, 199), (4, 250)])
async def test_a_failed_page_raises_where_it_is_needed_and_is_asked_again(failing, before):
    caller = Slow(fail={failing})
    walk = caller.iter_deposit_history()
    ids = [(await anext(walk)).dep_id for _ in range(before)]
    with pytest.raises(RequestTimeoutError):
        await anext(walk)
    ids += [row.dep_id async for row in walk]
    assert ids == caller.model.newest_first()


async def test_a_page_ahead_that_failed_and_isnt_wanted_is_no_noise():
    noise: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: noise.append(context))
    caller = Slow(fail={2})
    walk = caller.iter_deposit_history()
    await anext(walk)
    await asyncio.sleep(2)
    del walk
    gc.collect()
    await asyncio.sleep(0)
    assert noise == []


async def test_a_walk_that_is_forgotten_asks_nothing_more():
    caller = Slow()
    async for _ in caller.iter_deposit_history():
        break
    await asyncio.sleep(10)
    assert caller.asked == 2
    assert await left_behind() == []


async def test_two_tasks_at_once_are_told_apart():
    walk = Slow().iter_deposit_history()
    first = asyncio.ensure_future(anext(walk))
    await asyncio.sleep(0)
    with pytest.raises(RuntimeError, match="two tasks ask one PageIterator"):
        await anext(walk)
    await first
    await walk.aclose()


async def test_closed_by_another_task_it_ends():
    walk = Slow().iter_deposit_history()
    step = asyncio.ensure_future(anext(walk))
    await asyncio.sleep(0.5)
    await walk.aclose()
    with pytest.raises(StopAsyncIteration):
        await step


def ago(**time: float) -> datetime:
    return datetime.now(UTC) - timedelta(**time)


async def test_bills_before_the_last_month_are_in_the_history():
    caller = Slow()
    caller.iter_bills(since=ago(days=30))
    with pytest.raises(InvalidArgumentError, match="iter_bills_history reaches further"):
        caller.iter_bills(since=ago(days=31))
    caller.iter_bills_history(since=ago(days=300))
    caller.iter_bills_history(since=datetime(2021, 2, 1, tzinfo=UTC))
    with pytest.raises(InvalidArgumentError, match=r"before 2021-02-01 .* no method reaches"):
        caller.iter_bills_history(since=datetime(2021, 1, 31, tzinfo=UTC))
    with pytest.raises(InvalidArgumentError, match="before 2022-09-28"):
        caller.iter_subaccount_bills(since=datetime(2022, 9, 27, tzinfo=UTC))
    assert caller.asked == 0


async def test_a_range_that_holds_nothing_is_refused():
    with pytest.raises(InvalidArgumentError, match="until must not be before since"):
        Slow().iter_deposit_history(since=START + 1, until=START)


async def test_a_cursor_is_text_both_ways():
    for cursor in (
        Cursor(WALKED, START, ("1", "2")),
        Cursor(WALKED, START),
        Cursor(WALKED, START, ("a,b:c@d%", "é")),
    ):
        assert Cursor.parse(str(cursor)) == cursor
        assert str(cursor).isascii()
    walk = Slow().iter_deposit_history(cursor=f"{WALKED}@{START}:1")
    assert walk.cursor == Cursor(WALKED, START, ("1",))


@pytest.mark.parametrize(
    "cursor", ["", "x", "a@b:c", "get_deposit_history@:1", "get_deposit_history@-1:1", 7, b"x"]
)
async def test_what_is_no_cursor_is_refused(cursor):
    with pytest.raises(InvalidArgumentError, match="^cursor "):
        Slow().iter_deposit_history(cursor=cursor)


async def test_a_cursor_of_another_walk_is_refused():
    with pytest.raises(InvalidArgumentError, match="belongs to get_bills"):
        Slow().iter_deposit_history(cursor=Cursor("get_bills", START, ("1",)))


async def test_wrong_arguments_are_errors_at_once():
    with pytest.raises(InvalidArgumentError, match="^since must be an aware datetime"):
        Slow().iter_deposit_history(since=datetime(2024, 1, 1))  # noqa: DTZ001
    with pytest.raises(InvalidArgumentError, match="^ccy is a comma list"):
        Slow().iter_deposit_history("BTC,ETH")
