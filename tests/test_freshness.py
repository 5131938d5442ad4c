"""How old an answer may be: by default never older than its question."""

from __future__ import annotations

import asyncio
import math

import pytest

from okx_funding import (
    DeadlineExceededError,
    InvalidArgumentError,
    InvalidParameterError,
    RateLimit,
    ServiceUnavailableError,
)
from okx_funding.scheduler.answers import CACHE_SIZE as MEMORY
from tests.support import ASSETS, VALUATION, failure_of, now, some, someone
from tests.wireless import Wireless, error, names, nothing_left, numbers, outcomes, unavailable

pytestmark = [pytest.mark.looptime, pytest.mark.usefixtures("dice")]


# -- by default ---------------------------------------------------------------------------------


async def test_by_default_an_answer_was_asked_after_the_call():
    async with Wireless(latency=0.1) as session:
        client = session.client(rate_limits={ASSETS: RateLimit(20)})

        async def call(number):
            await asyncio.sleep(0.007 * number)
            came = now()
            rows = await client.get_non_tradable_assets(["A", f"B{number % 3}"])
            for each in numbers(rows):
                assert session.okx.sent[each - 1].left >= came

        await asyncio.gather(*map(call, range(60)))


async def test_nobody_is_given_what_was_asked_before_it_came():
    async with Wireless(latency=0.1) as session:
        client = session.client()
        first = asyncio.ensure_future(client.get_non_tradable_assets("K"))
        await asyncio.sleep(0.05)
        assert numbers(await client.get_non_tradable_assets("K")) == [2]
        assert numbers(await first) == [1]


# -- from memory --------------------------------------------------------------------------------


async def test_nothing_is_remembered_where_nobody_accepts_an_old_answer():
    async with Wireless() as session:
        client = session.client()
        await client.get_non_tradable_assets(some(20))
        assert not client._calls.lanes[ASSETS].batcher._answers
        assert numbers(await client.get_non_tradable_assets("K0", max_age=60)) == [2]
        assert numbers(await client.get_non_tradable_assets("K0", max_age=60)) == [2]


async def test_max_age_takes_an_answer_from_memory():
    async with Wireless() as session:
        client = session.client()
        await client.get_non_tradable_assets(["A", "B"], max_age=0)
        await asyncio.sleep(5)
        began = now()
        assert numbers(await client.get_non_tradable_assets("B", max_age=6)) == [1]
        assert now() == began
        assert len(session.okx.sent) == 1


async def test_the_age_counts_from_the_sending_and_not_from_the_answer():
    async with Wireless(latency=2) as session:
        client = session.client()
        await client.get_non_tradable_assets("K", max_age=0)
        assert numbers(await client.get_non_tradable_assets("K", max_age=1.9)) == [2]
        assert numbers(await client.get_non_tradable_assets("K", max_age=2.1)) == [2]


async def test_what_is_too_old_is_asked_anew():
    async with Wireless() as session:
        client = session.client()
        await client.get_non_tradable_assets("K", max_age=0)
        await asyncio.sleep(5)
        assert numbers(await client.get_non_tradable_assets("K", max_age=4)) == [2]


@pytest.mark.parametrize("old", [math.inf, 1e300, 10**400, 1e10], ids=["inf", "1e300", "int", "n"])
async def test_any_age_will_do_but_there_must_have_been_an_answer(old):
    async with Wireless() as session:
        client = session.client()
        assert numbers(await client.get_non_tradable_assets("K", max_age=old)) == [1]
        await asyncio.sleep(1e6)
        assert numbers(await client.get_non_tradable_assets("K", max_age=old)) == [1]


@pytest.mark.parametrize("none", [0, 0.0, -1, -math.inf])
async def test_no_age_takes_nothing_old(none):
    async with Wireless() as session:
        client = session.client()
        await client.get_non_tradable_assets("K", max_age=0)
        assert numbers(await client.get_non_tradable_assets("K", max_age=none)) == [2]


@pytest.mark.parametrize("bad", [math.nan, "5", True, [1]], ids=repr)
async def test_an_age_is_a_number(bad):
    async with Wireless() as session:
        with pytest.raises(InvalidArgumentError, match="max_age"):
            await session.client().get_non_tradable_assets("K", max_age=bad)
        assert session.okx.sent == []


async def test_what_is_there_is_taken_and_the_rest_is_asked():
    async with Wireless() as session:
        client = session.client()
        await client.get_non_tradable_assets(["A", "B"], max_age=0)
        await asyncio.sleep(1)
        rows = await client.get_non_tradable_assets(["C", "B", "D", "A"], max_age=10)
        assert (names(rows), numbers(rows)) == (["C", "B", "D", "A"], [2, 1, 2, 1])
        assert session.okx.asked[1] == ("C", "D")


async def test_a_currency_without_rows_is_remembered_as_such():
    async with Wireless() as session:
        client = session.client()
        await client.get_non_tradable_assets("NOTHING", max_age=0)
        assert await client.get_non_tradable_assets("NOTHING", max_age=9) == []
        assert len(session.okx.sent) == 1


async def test_all_is_remembered_and_is_no_answer_for_one():
    async with Wireless(everything=("A", "B")) as session:
        client = session.client()
        await client.get_non_tradable_assets(max_age=0)
        assert numbers(await client.get_non_tradable_assets(max_age=9)) == [1, 1]
        assert numbers(await client.get_non_tradable_assets("A", max_age=9)) == [2]


async def test_valuations_are_remembered_by_unit():
    async with Wireless() as session:
        client = session.client(rate_limits={VALUATION: RateLimit(10)})
        euros = await client.get_asset_valuation("EUR", max_age=0)
        dollars = await client.get_asset_valuation("USD", max_age=60)
        assert (await client.get_asset_valuation("EUR", max_age=60)) == euros
        assert [each.total_bal for each in (euros, dollars)] == [1, 2]
        assert (euros.ccy, dollars.ccy) == ("EUR", "USD")
        assert len(session.okx.sent) == 2


async def test_what_is_given_from_memory_is_ones_own_list():
    async with Wireless(everything=("A", "B", "C")) as session:
        client, okx = session.client(), session.okx
        for keys in ("A", ["A", "B"], None):
            (await client.get_non_tradable_assets(keys, max_age=0)).clear()
            mine = await client.get_non_tradable_assets(keys, max_age=9)
            size = len(mine)
            assert size == len(keys or okx.everything)
            mine.clear()
            assert len(await client.get_non_tradable_assets(keys, max_age=9)) == size
        assert len(session.okx.sent) == 3


async def test_an_older_answer_never_replaces_a_newer_one():
    async with Wireless(latency=2) as session:
        client = session.client()
        slow = asyncio.ensure_future(client.get_non_tradable_assets("K", max_age=0))
        await asyncio.sleep(0.5)
        session.okx.latency = 0.1
        assert numbers(await client.get_non_tradable_assets("K")) == [2]
        await slow
        assert numbers(await client.get_non_tradable_assets("K", max_age=60)) == [2]


async def test_memory_is_enough_for_whom_the_queue_is_too_long():
    async with Wireless() as session:
        client = session.client(rate_limits={ASSETS: RateLimit(1)})
        await client.get_non_tradable_assets("K", max_age=0)
        crowd = asyncio.ensure_future(client.get_non_tradable_assets(some(200)))
        await asyncio.sleep(0)
        await client.get_non_tradable_assets("K", max_age=60, timeout=0.5)
        with pytest.raises(DeadlineExceededError):
            await client.get_non_tradable_assets("K", timeout=0.5)
        both = client.get_non_tradable_assets(["K", "L"], max_age=60, timeout=0.5)
        assert (await failure_of(both, DeadlineExceededError)).estimated_wait is not None
        crowd.cancel()


# -- from the wire ------------------------------------------------------------------------------


async def test_max_age_joins_a_request_on_the_wire():
    async with Wireless(latency=1) as session:
        client = session.client()
        first = asyncio.ensure_future(client.get_non_tradable_assets(["A", "B"]))
        await asyncio.sleep(0.6)
        assert numbers(await client.get_non_tradable_assets("B", max_age=1)) == [1]
        assert now() == pytest.approx(1, abs=0.01)
        await first
        assert len(session.okx.sent) == 1


async def test_a_request_that_left_too_early_is_not_joined():
    async with Wireless(latency=1) as session:
        client = session.client()
        first = asyncio.ensure_future(client.get_non_tradable_assets("K"))
        await asyncio.sleep(0.6)
        assert numbers(await client.get_non_tradable_assets("K", max_age=0.5)) == [2]
        await first


async def test_each_key_is_taken_from_where_it_is():
    async with Wireless(latency=1) as session:
        client = session.client()
        await client.get_non_tradable_assets(["OLD", "OLDER"], max_age=0)
        flying = asyncio.ensure_future(client.get_non_tradable_assets(["FLYING", "HIGH"]))
        await asyncio.sleep(0.5)
        wish = ["NEW", "FLYING", "OLD"]
        rows = await client.get_non_tradable_assets(wish, max_age=9)
        assert (names(rows), numbers(rows)) == (wish, [3, 2, 1])
        assert session.okx.asked[2] == ("NEW",)
        await flying
        await nothing_left(session)


async def test_a_currency_that_has_no_rows_in_memory_is_not_taken_for_a_refused_one():
    async with Wireless(bad={"BAD"}) as session:
        client = session.client()
        await client.get_non_tradable_assets("NONE", max_age=0)
        call = client.get_non_tradable_assets(["GOOD", "NONE", "BAD"], max_age=9)
        error = await failure_of(call, InvalidParameterError)
        assert error.currencies == ("BAD",)
        assert names(error.rows) == ["GOOD"]


async def test_who_joined_is_answered_though_the_first_has_left():
    async with Wireless(latency=1) as session:
        client = session.client()
        first = asyncio.ensure_future(client.get_non_tradable_assets("K"))
        await asyncio.sleep(0.3)
        second = asyncio.ensure_future(client.get_non_tradable_assets("K", max_age=1))
        await asyncio.sleep(0.3)
        first.cancel()
        assert numbers(await second) == [1]
        assert names(await second) == ["K"]


async def test_who_joined_does_not_ask_anew_where_another_came_with_the_first():
    async with Wireless(latency=1) as session:
        client = session.client()
        first = [asyncio.ensure_future(client.get_non_tradable_assets("K")) for _ in range(2)]
        await asyncio.sleep(0.3)
        second = asyncio.ensure_future(client.get_non_tradable_assets("K", max_age=1))
        await asyncio.sleep(0.3)
        for each in first:
            each.cancel()
        assert numbers(await second) == [1]


async def test_who_joined_and_left_is_missed_by_nobody():
    async with Wireless(latency=1) as session:
        client = session.client()
        first = asyncio.ensure_future(client.get_non_tradable_assets("K"))
        await asyncio.sleep(0.3)
        second = asyncio.ensure_future(client.get_non_tradable_assets(["K", "L"], max_age=1))
        await asyncio.sleep(0.1)
        second.cancel()
        assert numbers(await first) == [1]
        await asyncio.sleep(2)
        await nothing_left(session)


async def test_a_joined_request_that_fails_is_tried_again_for_the_joiner():
    async with Wireless(latency=1) as session:
        client = session.client(max_retries=1)
        session.okx.next = [unavailable, unavailable]
        first = asyncio.ensure_future(client.get_non_tradable_assets("K"))
        await asyncio.sleep(0.5)
        joiner = asyncio.ensure_future(client.get_non_tradable_assets("K", max_age=1))
        await asyncio.sleep(1)  # the second attempt is on the wire
        later = asyncio.ensure_future(client.get_non_tradable_assets("K", max_age=1))
        ended = await outcomes(first, joiner, later)
        assert [type(each) for each in ended] == [
            ServiceUnavailableError, ServiceUnavailableError, list,
        ]  # fmt: skip
        assert numbers(ended[2]) == [3]


async def test_a_joined_part_of_an_inquest_answers_the_joiner_too():
    async with Wireless(latency=1, bad={"K19"}) as session:
        client = session.client()
        first = asyncio.ensure_future(outcomes(*map(client.get_non_tradable_assets, some(20))))
        await asyncio.sleep(1.5)
        part = session.okx.asked[1]
        assert numbers(await client.get_non_tradable_assets(part[0], max_age=5)) == [2]
        bad = asyncio.ensure_future(client.get_non_tradable_assets("K19", max_age=5))
        await failure_of(bad, InvalidParameterError)
        await first
        await nothing_left(session)


# -- what is never remembered -------------------------------------------------------------------


@pytest.mark.parametrize(
    "failure", [error("50001", status=503), error("50111", status=401), error("51000")]
)
async def test_a_failure_is_never_remembered(failure):
    async with Wireless() as session:
        client = session.client(max_retries=0)
        session.okx.next = [failure]
        await outcomes(client.get_non_tradable_assets("K", max_age=0))
        assert numbers(await client.get_non_tradable_assets("K", max_age=60)) == [2]


async def test_a_failure_leaves_the_last_answer_in_memory():
    async with Wireless() as session:
        client = session.client(max_retries=0)
        await client.get_non_tradable_assets("K", max_age=0)
        session.okx.next = [unavailable]
        await outcomes(client.get_non_tradable_assets("K"))
        assert numbers(await client.get_non_tradable_assets("K", max_age=60)) == [1]


async def test_a_request_in_its_back_off_is_not_joined():
    async with Wireless() as session:
        client = session.client()
        session.okx.next = [unavailable]
        first = asyncio.ensure_future(client.get_non_tradable_assets("K"))
        await asyncio.sleep(0.03)
        assert client._calls.lanes[ASSETS].dispatcher._backing_off
        assert numbers(await client.get_non_tradable_assets("K", max_age=60)) == [2]
        await first


async def test_memory_is_bounded():
    async with Wireless(latency=0) as session:
        client = session.client(rate_limits={ASSETS: RateLimit(1000)})
        await client.get_non_tradable_assets("FIRST", max_age=0)
        await client.get_non_tradable_assets(some(MEMORY))
        memory = client._calls.lanes[ASSETS].batcher._answers
        assert len(memory) == MEMORY
        assert memory.get("FIRST", 0.0) is None


# -- whose memory it is -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "other",
    [
        {},
        {"base_url": "https://eea.okx.com"},
        {"demo": True},
    ],
    ids=["user", "host", "demo"],
)
async def test_nobody_is_given_what_another_was_told(other):
    user = someone()
    async with Wireless(latency=1) as session:
        mine = session.client(credentials=user)
        yours = session.client(credentials=user if other else someone(), **other)
        await mine.get_non_tradable_assets("K", max_age=0)
        flying = asyncio.ensure_future(mine.get_non_tradable_assets("L"))
        await asyncio.sleep(0.5)
        assert numbers(await yours.get_non_tradable_assets(["K", "L"], max_age=60)) == [3, 3]
        await flying


async def test_clients_of_one_user_in_one_session_share_their_memory():
    user = someone()
    async with Wireless() as session:
        one, two = session.client(credentials=user), session.client(credentials=user)
        await one.get_non_tradable_assets("K", max_age=0)
        assert numbers(await two.get_non_tradable_assets("K", max_age=60)) == [1]
