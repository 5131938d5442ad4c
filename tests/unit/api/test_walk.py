"""Laws of the walk along a history, against a plain model of OKX's paging."""

from __future__ import annotations

import asyncio
from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from okx_funding.api import pages
from okx_funding.api.pages import PageIterator
from okx_funding.api.table import Reads
from okx_funding.errors import PagingStuckError

from .paging import MAKERS, START, PagingModel

WALKS = {name: "iter_" + name.removeprefix("get_") for name in MAKERS}


@pytest.fixture(autouse=True, scope="module")
def today():
    """All of it happens in one day, within the depth of every history."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pages, "time", SimpleNamespace(time=lambda: START / 1000 + 3600))
        yield


class Modelled(Reads):
    """Asks the model instead of OKX; between two pages new rows may arrive."""

    def __init__(self, model: PagingModel, arriving: list[list[int]] | None = None) -> None:
        self.model = model
        self.arriving = arriving or []

    async def _rows(self, endpoint: Any, params: Any, options: Any) -> list[Any]:
        await asyncio.sleep(0)
        rows = self.model.answer(endpoint.name, dict(params))
        if self.arriving:
            self.model.add(self.arriving.pop(0))
        return rows

    def walk(self, name: str, **options: Any) -> PageIterator[Any]:
        walk: PageIterator[Any] = getattr(self, WALKS[name])(**options)
        return walk


def ident_of(row: Any) -> str:
    for field in ("bill_id", "dep_id", "wd_id", "trade_id", "ord_id", "uid"):
        if hasattr(row, field):
            return str(getattr(row, field))
    raise AssertionError(row)


def moment_of(row: Any) -> int:
    return int(row.ts if hasattr(row, "ts") else row.c_time)


async def walked(
    caller: Modelled, name: str, cuts: list[int], **options: Any
) -> tuple[list[Any], PagingStuckError | None]:
    """All rows of a walk that is cut after so many rows, and goes on from its cursor's text."""
    given_: list[Any] = []
    cursor: str | None = None
    for cut in [*cuts, None]:
        walk = caller.walk(name, cursor=cursor, **options)
        taken = 0
        try:
            async for row in walk:
                given_.append(row)
                taken += 1
                if taken == cut:
                    break
        except PagingStuckError as stuck:
            return given_, stuck
        finally:
            await walk.aclose()
        cursor = None if walk.cursor is None else str(walk.cursor)
    return given_, None


groups = st.lists(
    st.tuples(
        st.integers(1, 3),  # milliseconds since the group before
        st.one_of(st.integers(1, 5), st.integers(1, 99), st.sampled_from([99, 100, 101, 250])),
    ),
    max_size=14,
)
arrivals = st.lists(st.lists(st.integers(0, 2), max_size=30), max_size=6)


@pytest.mark.parametrize("name", MAKERS)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    groups=groups,
    arriving=arrivals,
    cuts=st.lists(st.integers(1, 150), max_size=4),
    inclusive=st.booleans(),
    bounds=st.tuples(st.none() | st.integers(-1, 30), st.none() | st.integers(-1, 30)),
)
def test_every_row_comes_once_in_order_or_the_walk_says_that_it_cannot(
    name, groups, arriving, cuts, inclusive, bounds
):
    model = PagingModel(name, inclusive=inclusive)
    at = START
    for step, size in groups:
        at += step
        model.add([at] * size)
        if len(model.rows) > 1000:
            break
    since, until = (None if bound is None else START + bound for bound in bounds)
    if since is not None and until is not None and until < since:
        since, until = until, since
    before = model.newest_first(since, until)
    crowds = Counter(moment for moment, _ in model.rows)
    later: list[list[int]] = []
    for each in arriving:  # ids grow with the moments
        later.append([])
        for step in each:
            at += step
            later[-1].append(at)
    crowds.update(moment for each in later for moment in each)

    rows, stuck = asyncio.run(walked(Modelled(model, later), name, cuts, since=since, until=until))

    ids = [ident_of(row) for row in rows]
    assert len(set(ids)) == len(ids), "a row came twice"
    moments = [moment_of(row) for row in rows]
    if not arriving:
        assert moments == sorted(moments, reverse=True)
    there = set(before)
    old = [each for each in ids if each in there]
    assert old == before[: len(old)], "out of order, or one left out"
    assert all(
        (since is None or since <= moment) and (until is None or moment <= until)
        for moment in moments
    )
    if stuck is None:
        assert old == before, "rows left out in silence"
        event("all rows")
    else:
        # Where a bound takes in its own moment, the millisecond after is asked for too.
        together = [crowds[at] + inclusive * crowds[at + 1] for at in list(crowds)]
        assert max(together) >= 100, stuck
        assert name not in ("get_bills", "get_bills_history"), stuck
        event("stuck")


@pytest.mark.parametrize("name", ["get_bills", "get_bills_history"])
@pytest.mark.parametrize("crowd", [99, 100, 101, 199, 200, 201, 250, 1000])
async def test_bills_of_a_crowded_millisecond_come_all(name, crowd):
    model = PagingModel(name)
    model.add([START] * 30 + [START + 1] * crowd + [START + 2] * 30)
    rows, stuck = await walked(Modelled(model), name, [17, 33])
    assert stuck is None
    assert [ident_of(row) for row in rows] == model.newest_first()


@pytest.mark.parametrize("name", [name for name in MAKERS if "bills" not in name])
async def test_elsewhere_a_crowded_millisecond_is_an_error_that_says_what_to_narrow(name):
    model = PagingModel(name)
    model.add([START] * 30 + [START + 1] * 101)
    rows, stuck = await walked(Modelled(model), name, [])
    assert len(rows) == 100
    assert stuck is not None
    assert stuck.moment == START + 1
    assert stuck.endpoint.startswith("GET /api/v5/")
    assert "narrow the walk by" in str(stuck)
    assert stuck.sent


async def test_bills_that_the_history_lacks_yet_are_an_error_and_come_later():
    model = PagingModel("get_bills", lag=140)
    model.add([START] * 30 + [START + 1] * 150)
    walk = Modelled(model).walk("get_bills")
    rows, stuck = [], ""
    try:
        async for row in walk:
            rows.append(row)
    except PagingStuckError as error:
        stuck = str(error)
    assert len(rows) == 100
    assert "iter_bills_history doesn't have them yet" in stuck
    model.lag = 0
    rows += [row async for row in Modelled(model).walk("get_bills", cursor=walk.cursor)]
    assert [ident_of(row) for row in rows] == model.newest_first()


async def test_bills_by_custodian_cannot_go_on_in_the_history():
    model = PagingModel("get_bills")
    model.add([START] * 101)
    with pytest.raises(PagingStuckError, match="narrow the walk by ccy or type"):
        async for _ in Modelled(model).walk("get_bills", third_party_type="1"):
            pass


async def test_bills_history_is_walked_by_id_and_begins_at_until():
    model = PagingModel("get_bills_history")
    model.add(START + n for n in range(350))
    async for _ in Modelled(model).walk("get_bills_history", until=START + 299):
        pass
    assert [params for _, params in model.asked] == [
        {"limit": "100", "pagingType": "1", "after": str(START + 300)},
        {"limit": "100", "pagingType": "2", "after": "100200"},
        {"limit": "100", "pagingType": "2", "after": "100100"},
        {"limit": "100", "pagingType": "2", "after": "100000"},
    ]


async def test_fiat_ranges_mean_the_reverse():
    model = PagingModel("get_fiat_deposit_history")
    model.add(START + n for n in range(150))
    walk = Modelled(model).walk("get_fiat_deposit_history", since=START, until=START + 149)
    assert len([row async for row in walk]) == 150
    assert [params for _, params in model.asked] == [
        {"limit": "100", "after": str(START), "before": str(START + 149)},
        {"limit": "100", "after": str(START), "before": str(START + 50)},
        {"limit": "100", "after": str(START), "before": str(START)},
    ]


async def test_buy_sell_asks_a_millisecond_more_at_both_ends():
    model = PagingModel("get_buy_sell_history")
    model.add([START, START + 1])
    walk = Modelled(model).walk("get_buy_sell_history", since=START, until=START + 1)
    assert len([row async for row in walk]) == 2
    assert model.asked[0][1] == {"limit": "100", "begin": str(START - 1), "end": str(START + 2)}


async def test_rows_out_of_order_are_an_error_not_a_gap():
    class Shuffled(Modelled):
        async def _rows(self, endpoint, params, options):
            return (await super()._rows(endpoint, params, options))[::-1]

    model = PagingModel("get_deposit_history")
    model.add([START, START + 1])
    with pytest.raises(PagingStuckError, match="aren't the newest first"):
        async for _ in Shuffled(model).walk("get_deposit_history"):
            pass


async def test_an_exchange_that_ignores_the_bound_is_noticed():
    class Deaf(Modelled):
        async def _rows(self, endpoint, params, options):
            params = {key: value for key, value in params.items() if key != "after"}
            return await super()._rows(endpoint, params, options)

    for name in ("get_deposit_history", "get_bills_history"):
        model = PagingModel(name)
        model.add(START + n for n in range(300))
        with pytest.raises(PagingStuckError):
            async for _ in Deaf(model).walk(name):
                pass


@pytest.mark.parametrize("name", MAKERS)
async def test_a_walk_keeps_no_rows(name):
    model = PagingModel(name)
    model.add(START + n // 3 for n in range(1000))
    walk = Modelled(model).walk(name)
    async for _ in walk:
        assert len(walk._rows) <= 100
        assert walk.cursor is not None
        assert len(walk.cursor.ids) <= 3
        assert len(walk._walk._ids) <= 100
