"""Which callers share a request: late binding, turns, and what becomes of a failed batch."""

from __future__ import annotations

import asyncio
import copy
import gc
import pickle
import traceback
from typing import Any

import pytest

from okx_funding import (
    DeadlineExceededError,
    RateLimit,
    RateLimitError,
    ServiceUnavailableError,
)
from okx_funding.scheduler.context import MAX_REFUSALS
from okx_funding.scheduler.deadlines import SLICE
from okx_funding.telemetry.events import RetryScheduled
from okx_funding.wire.response import Response
from tests.support import ASSETS, VALUATION, failure_of, some
from tests.support.fake_session import (
    FakeSession,
    broken,
    busy,
    came,
    error,
    names,
    nothing_left,
    numbers,
    unavailable,
    unreachable,
)

pytestmark = pytest.mark.looptime


def one_at_a_time(seconds=1.0):
    return {"rate_limits": {ASSETS: RateLimit(1, seconds)}}


async def later(seconds, call):
    await asyncio.sleep(seconds)
    return await call


# -- late binding -----------------------------------------------------------------------------


async def test_forty_callers_a_millisecond_apart_are_two_batches_on_a_busy_lane():
    async with FakeSession() as session:
        client = session.client(**one_at_a_time())
        calls = [client.get_non_tradable_assets(key) for key in some(41)]
        await asyncio.gather(*(later(0.001 * n, call) for n, call in enumerate(calls)))
        assert session.okx.sizes == [1, 20, 20]


async def test_on_an_idle_lane_the_first_leaves_at_once_and_the_rest_gathers():
    async with FakeSession() as session:
        client = session.client(rate_limits={ASSETS: RateLimit(2)})
        calls = [client.get_non_tradable_assets(key) for key in some(40)]
        await asyncio.gather(*(later(0.001 * n, call) for n, call in enumerate(calls)))
        assert session.okx.sizes == [1, 1, 20, 18]
        assert [each.left for each in session.okx.sent[:2]] == pytest.approx([0, 0.001], abs=1e-4)


async def test_a_gather_shares_its_batches_with_whoever_came_before():
    async with FakeSession() as session:
        client = session.client(**one_at_a_time())
        first = asyncio.ensure_future(client.get_non_tradable_assets("FIRST"))
        await asyncio.sleep(0.1)
        early = asyncio.ensure_future(client.get_non_tradable_assets(some(5, "EARLY")))
        await asyncio.sleep(0.1)
        await asyncio.gather(*map(client.get_non_tradable_assets, some(15, "GATHERED")))
        await asyncio.gather(first, early)
        assert session.okx.sizes == [1, 20]


async def test_a_batch_is_chosen_when_its_slot_is_won():
    async with FakeSession() as session:
        client = session.client(**one_at_a_time())
        first = asyncio.ensure_future(client.get_non_tradable_assets("FIRST"))
        await asyncio.sleep(0.1)
        gone = asyncio.ensure_future(client.get_non_tradable_assets("GONE"))
        await asyncio.sleep(0.8)
        gone.cancel()
        await client.get_non_tradable_assets("COME")
        await first
        assert session.okx.asked == [("FIRST",), ("COME",)]


async def test_a_key_that_waits_already_takes_no_second_place():
    async with FakeSession() as session:
        client = session.client(**one_at_a_time())
        await client.get_non_tradable_assets("FIRST")
        await asyncio.gather(
            client.get_non_tradable_assets(some(20)),
            *(client.get_non_tradable_assets(key) for key in some(20)),
            client.get_non_tradable_assets(some(25)),
        )
        assert session.okx.sizes == [1, 20, 5]


# -- turns ------------------------------------------------------------------------------------


async def test_a_caller_with_a_thousand_currencies_delays_one_by_a_single_batch():
    async with FakeSession() as session:
        client = session.client(**one_at_a_time())
        long = asyncio.ensure_future(client.get_non_tradable_assets(some(1000)))
        await came(long, told=client)
        await client.get_non_tradable_assets("SINGLE")
        assert [("SINGLE" in keys) for keys in session.okx.asked] == [False, True]
        long.cancel()


async def test_a_turn_is_no_longer_than_one_request():
    async with FakeSession() as session:
        client = session.client(**one_at_a_time())
        await client.get_non_tradable_assets("FIRST")
        long = asyncio.ensure_future(client.get_non_tradable_assets(some(50)))
        await asyncio.sleep(0)
        others = [asyncio.ensure_future(client.get_non_tradable_assets(k)) for k in some(30, "O")]
        await asyncio.gather(long, *others)
        assert session.okx.asked[1] == tuple(some(20))
        assert session.okx.asked[2] == tuple(some(20, "O"))
        assert session.okx.asked[3] == (*some(30, "O")[20:], *some(30)[20:])


async def test_two_long_callers_take_turns():
    async with FakeSession() as session:
        client = session.client(**one_at_a_time())
        await asyncio.gather(
            client.get_non_tradable_assets(some(100, "A")),
            client.get_non_tradable_assets(some(100, "B")),
        )
        assert [keys[0][0] for keys in session.okx.asked] == list("ABABABABAB")
        assert session.okx.sizes == [20] * 10


async def test_a_stream_of_long_callers_starves_nobody():
    async with FakeSession() as session:
        client = session.client(**one_at_a_time())
        streams = []

        async def stream():
            for number in range(100):
                keys = some(60, f"S{number}X")
                streams.append(asyncio.ensure_future(client.get_non_tradable_assets(keys)))
                await asyncio.sleep(0.5)

        crowd = asyncio.ensure_future(stream())
        await asyncio.sleep(5.25)
        before, ahead = len(session.okx.sent), len(streams)
        await client.get_non_tradable_assets("SINGLE")
        # everybody who came before has one turn of one request, and no second one
        assert len(session.okx.sent) - before <= ahead
        for task in (crowd, *streams):
            task.cancel()


async def test_what_a_long_caller_will_want_later_is_asked_at_once_for_somebody_else():
    async with FakeSession() as session:
        client = session.client(**one_at_a_time())
        await client.get_non_tradable_assets("FIRST")
        long = asyncio.ensure_future(client.get_non_tradable_assets(some(60)))
        await asyncio.sleep(0)
        assert names(await client.get_non_tradable_assets("K59")) == ["K59"]
        assert len(session.okx.sent) == 3
        assert names(await long) == some(60)
        assert session.okx.sizes == [1, 20, 20, 20]


async def test_a_long_caller_goes_on_when_others_leave_with_its_keys():
    async with FakeSession() as session:
        client = session.client(**one_at_a_time())
        await client.get_non_tradable_assets("FIRST")
        other = asyncio.ensure_future(client.get_non_tradable_assets(some(60)))
        long = asyncio.ensure_future(client.get_non_tradable_assets(some(60)[::-1]))
        await asyncio.sleep(0)
        other.cancel()
        assert names(await long) == some(60)[::-1]
        assert sum(session.okx.sizes) == 61
        await nothing_left(session)


async def test_a_higher_priority_lifts_what_waits_already():
    async with FakeSession() as session:
        client = session.client(rate_limits={VALUATION: RateLimit(1)})
        await client.get_asset_valuation()
        waiting = [asyncio.ensure_future(client.get_asset_valuation(u)) for u in ("EUR", "USD")]
        await asyncio.sleep(0)
        await client.get_asset_valuation("USD", priority=1)
        assert session.okx.asked == [(), ("USD",)]
        await asyncio.gather(*waiting)
        assert session.okx.asked == [(), ("USD",), ("EUR",)]


async def test_a_higher_priority_never_sets_back_what_has_waited_for_long():
    async with FakeSession() as session:
        client = session.client(rate_limits={VALUATION: RateLimit(1, 60)})
        await client.get_asset_valuation()
        old = asyncio.ensure_future(client.get_asset_valuation("EUR"))
        other = asyncio.ensure_future(later(5, client.get_asset_valuation("USD")))
        await later(25, client.get_asset_valuation("EUR", priority=1))
        await asyncio.gather(old, other)
        assert session.okx.asked == [(), ("EUR",), ("USD",)]


# -- what a failed batch does -----------------------------------------------------------------


async def failed_together(n):
    """The errors of ``n`` callers of one failed request."""
    async with FakeSession() as session:
        client = session.client(max_retries=0)
        session.okx.next = [unavailable]
        return await asyncio.gather(
            *(client.get_non_tradable_assets("K") for _ in range(n)), return_exceptions=True
        )


async def test_each_caller_gets_an_error_object_of_its_own():
    errors = await failed_together(5)
    assert {type(each) for each in errors} == {ServiceUnavailableError}
    assert len({id(each) for each in errors}) == 5


async def test_what_one_caller_writes_on_its_error_nobody_else_reads():
    one, other = await failed_together(2)
    one.add_note("mine")
    one.mark = "mine"
    assert not hasattr(other, "__notes__")
    assert not hasattr(other, "mark")


async def test_each_error_has_the_traceback_of_its_own_caller():
    _, one, other = await failed_together(3)
    assert one.__traceback__ is not other.__traceback__
    lengths = {len(traceback.extract_tb(each.__traceback__)) for each in (one, other)}
    assert len(lengths) == 1
    assert (one.__cause__, one.__context__) == (None, None)


@pytest.mark.parametrize("way", [copy.copy, lambda it: pickle.loads(pickle.dumps(it))])
async def test_an_error_can_be_copied_and_pickled(way):
    (one,) = await failed_together(1)
    other = way(one)
    assert type(other) is type(one)
    assert (other.args, other.code, other.msg, other.sent) == (
        one.args, one.code, one.msg, True,
    )  # fmt: skip


async def test_an_error_keeps_no_answer_alive():
    gc.collect()
    gc.disable()
    try:
        async with FakeSession() as session:
            client = session.client(max_retries=0)
            session.okx.next = [error("50001", "x" * 5000, 503)]
            with pytest.raises(ServiceUnavailableError):
                await client.get_non_tradable_assets("K")
            await asyncio.sleep(0)
        assert not [each for each in gc.get_objects() if isinstance(each, Response)]
    finally:
        gc.enable()


async def test_a_batch_that_may_pass_goes_back_to_the_head(dice):
    async with FakeSession() as session:
        client = session.client(**one_at_a_time(0.5))
        session.okx.next = [unavailable]
        one = asyncio.ensure_future(client.get_non_tradable_assets(some(20, "A")))
        await asyncio.sleep(0)
        two = asyncio.ensure_future(client.get_non_tradable_assets(some(20, "B")))
        await asyncio.gather(one, two)
        assert [keys[0][0] for keys in session.okx.asked] == list("AAB")


async def test_a_batch_that_goes_back_takes_newcomers_into_its_free_places(dice):
    async with FakeSession() as session:
        client = session.client(**one_at_a_time())
        session.okx.next = [unavailable]
        first = asyncio.ensure_future(client.get_non_tradable_assets(some(5, "OLD")))
        await asyncio.sleep(0.01)
        new = asyncio.ensure_future(client.get_non_tradable_assets(some(18, "NEW")))
        await asyncio.gather(first, new)
        assert session.okx.asked[1] == (*some(5, "OLD"), *some(15, "NEW"))


async def test_a_batch_with_newcomers_waits_as_long_as_its_oldest_failure_says(dice):
    told: list[Any] = []
    async with FakeSession() as session:
        client = session.client(observer=told.append, **one_at_a_time())
        session.okx.next = [unavailable, unavailable]
        old = asyncio.ensure_future(client.get_non_tradable_assets("OLD"))
        await asyncio.sleep(0.1)
        await asyncio.gather(old, client.get_non_tradable_assets("NEW"))
        assert session.okx.asked[1] == ("OLD", "NEW")
        assert [each.delay for each in told if isinstance(each, RetryScheduled)] == [0.05, 0.1]


@pytest.mark.parametrize("trouble", [unavailable, busy], ids=["failed", "refused"])
async def test_a_request_that_repeats_any_currency_is_a_retry(dice, trouble):
    async with FakeSession() as session:
        client = session.client(**one_at_a_time())
        session.okx.next = [trouble]
        old = asyncio.gather(*map(client.get_non_tradable_assets, ("OLD", "AGED")))
        await asyncio.sleep(0.01)
        await asyncio.gather(old, client.get_non_tradable_assets("NEW"))
        assert session.okx.asked == [("OLD", "AGED"), ("OLD", "AGED", "NEW")]
        assert session.statistics().retries == 1


async def test_whoever_is_in_a_hurry_lifts_a_batch_that_goes_back(dice):
    async with FakeSession() as session:
        client = session.client(**one_at_a_time())
        session.okx.next = [unavailable]
        calm = asyncio.ensure_future(client.get_non_tradable_assets("K", priority=-5))
        await asyncio.sleep(0.01)
        others = asyncio.ensure_future(client.get_non_tradable_assets(some(20, "A")))
        await asyncio.sleep(0)
        hasty = client.get_non_tradable_assets("K", priority=1)
        await asyncio.gather(calm, others, hasty)
        assert session.okx.asked[1] == ("K", *some(19, "A"))


async def test_a_lone_caller_keeps_its_priority_when_it_goes_back(dice):
    async with FakeSession() as session:
        client = session.client(**one_at_a_time())
        session.okx.next = [unavailable]
        calm = asyncio.ensure_future(client.get_non_tradable_assets("K", priority=-5))
        await asyncio.sleep(0.01)
        await client.get_non_tradable_assets(some(20, "A"))
        await calm
        assert session.okx.asked == [("K",), tuple(some(20, "A")), ("K",)]


async def test_a_batch_that_goes_back_leaves_out_whoever_left(dice):
    async with FakeSession() as session:
        client = session.client(**one_at_a_time())
        session.okx.next = [unavailable]
        gone = asyncio.ensure_future(client.get_non_tradable_assets("GONE"))
        stays = asyncio.ensure_future(client.get_non_tradable_assets("STAYS"))
        await asyncio.sleep(0.01)
        gone.cancel()
        await stays
        assert session.okx.asked == [("GONE", "STAYS"), ("STAYS",)]


async def test_a_batch_that_nobody_waits_for_any_more_is_not_sent_again(dice):
    async with FakeSession() as session:
        client = session.client()
        session.okx.next = [unavailable]
        gone = asyncio.ensure_future(client.get_non_tradable_assets("GONE"))
        await asyncio.sleep(0.03)  # in its back-off
        gone.cancel()
        await asyncio.sleep(5)
        assert len(session.okx.sent) == 1
        await nothing_left(session)


async def test_whoever_asks_for_the_same_meanwhile_shares_the_next_attempt(dice):
    async with FakeSession() as session:
        client = session.client(**one_at_a_time())
        session.okx.next = [unavailable]
        first = asyncio.ensure_future(client.get_non_tradable_assets(["A", "B"]))
        await asyncio.sleep(0.1)
        second = await client.get_non_tradable_assets(["B", "C"])
        assert (names(await first), names(second)) == (["A", "B"], ["B", "C"])
        assert session.okx.asked == [("A", "B"), ("A", "B", "C")]


async def test_attempts_are_counted_for_each_caller(dice):
    async with FakeSession() as session:
        client = session.client(max_retries=1, **one_at_a_time())
        session.okx.next = [unavailable, unavailable]
        old = asyncio.ensure_future(client.get_non_tradable_assets("K"))
        await asyncio.sleep(0.2)
        new = asyncio.ensure_future(client.get_non_tradable_assets("K"))
        await failure_of(old, ServiceUnavailableError)
        assert numbers(await new) == [3]


async def test_refusals_are_counted_for_each_caller():
    async with FakeSession() as session:
        client = session.client()
        session.okx.next = [busy] * MAX_REFUSALS
        old = asyncio.ensure_future(client.get_non_tradable_assets("K"))
        await asyncio.sleep(0.5)
        new = asyncio.ensure_future(client.get_non_tradable_assets("K"))
        await failure_of(old, RateLimitError)
        assert numbers(await new) == [MAX_REFUSALS + 1]


async def test_a_caller_of_two_batches_fails_with_the_one_that_fails(dice):
    async with FakeSession() as session:
        client = session.client(max_retries=0)
        session.okx.next = [unavailable]
        wide = asyncio.ensure_future(client.get_non_tradable_assets(some(30)))
        narrow = asyncio.ensure_future(client.get_non_tradable_assets(some(30)[25:]))
        await failure_of(wide, ServiceUnavailableError)
        assert names(await narrow) == some(30)[25:]
        await nothing_left(session)


async def turns_of(session):
    """The callers answered so far, at each turn of the loop in which that changed."""
    counts = [0]
    while (told := session.statistics()).waiting:
        if told.answered + told.failed != counts[-1]:
            counts.append(told.answered + told.failed)
        await asyncio.sleep(0)
    return [*counts, told.answered + told.failed]


@pytest.mark.parametrize(
    ("answer", "bad"),
    [(unavailable, set()), (None, set()), (None, {"K"})],
    ids=["failure", "rows", "refused parameter"],
)
async def test_a_crowd_is_answered_in_slices(answer, bad):
    async with FakeSession(latency=0, bad=bad) as session:
        client = session.client(max_retries=0)
        session.okx.next = [answer] if answer else []
        crowd = [asyncio.ensure_future(client.get_non_tradable_assets("K")) for _ in range(1800)]
        await asyncio.sleep(0)
        assert await turns_of(session) == [0, 500, 1000, 1500, 1800]
        await asyncio.gather(*crowd, return_exceptions=True)
        await nothing_left(session)


@pytest.mark.turns
async def test_deadlines_of_a_crowd_fire_in_slices():
    async with FakeSession(latency=9) as session:
        client = session.client()
        crowd = [
            asyncio.ensure_future(client.get_non_tradable_assets("K", timeout=1))
            for _ in range(1800)
        ]
        await asyncio.sleep(1)
        assert await turns_of(session) == [0, *range(SLICE, 1800, SLICE), 1800]
        await asyncio.gather(*crowd, return_exceptions=True)


# -- whether anything was sent ------------------------------------------------------------------


async def expired(session, client, keys, timeout, *answers, **options):
    session.okx.next = list(answers)
    return await failure_of(
        client.get_non_tradable_assets(keys, timeout=timeout, **options), DeadlineExceededError
    )


async def test_a_deadline_in_the_queue_says_that_nothing_was_sent():
    async with FakeSession(latency=3) as session:
        client = session.client(**one_at_a_time())
        first = asyncio.ensure_future(client.get_non_tradable_assets("FIRST"))
        await asyncio.sleep(0.1)
        assert not (await expired(session, client, "K", 1.5)).sent
        await first


async def test_a_deadline_on_the_wire_says_that_a_request_was_sent():
    async with FakeSession(latency=2) as session:
        assert (await expired(session, session.client(), "K", 1)).sent


async def test_a_deadline_on_the_wire_beside_another_request_says_that_one_was_sent():
    async with FakeSession(latency=2) as session:
        client = session.client()
        other = asyncio.ensure_future(client.get_non_tradable_assets("OTHER"))
        await asyncio.sleep(0.1)
        assert (await expired(session, client, "K", 1)).sent
        await other


async def test_a_deadline_after_a_refusal_says_that_a_request_was_sent():
    async with FakeSession() as session:
        assert (await expired(session, session.client(), "K", 0.5, busy)).sent


async def test_a_deadline_in_the_back_off_says_that_a_request_was_sent(dice):
    async with FakeSession() as session:
        client = session.client()
        late = await expired(session, client, "K", 0.3, error("50013", status=429))
        assert late.sent


async def test_a_deadline_while_no_connection_comes_about_says_that_nothing_was_sent(dice):
    async with FakeSession(latency=0) as session:
        client = session.client(max_retries=9)
        late = await expired(session, client, "K", 0.24, *[unreachable] * 9)
        assert len(session.okx.sent) > 1
        assert not late.sent


async def test_a_deadline_of_one_who_came_after_the_failure_says_that_nothing_was_sent(dice):
    async with FakeSession() as session:
        client = session.client(**one_at_a_time())
        session.okx.next = [broken]
        first = asyncio.ensure_future(client.get_non_tradable_assets("K"))
        await asyncio.sleep(0.5)
        session.okx.latency = 3
        urgent = asyncio.ensure_future(client.get_non_tradable_assets("URGENT", priority=1))
        everybody = asyncio.ensure_future(client.get_non_tradable_assets(some(19), priority=1))
        await asyncio.sleep(1)
        assert not (await expired(session, client, "K", 1.5)).sent
        assert session.okx.sizes == [1, 20]
        await asyncio.gather(first, urgent, everybody)


async def test_a_deadline_with_some_rows_at_hand_says_that_a_request_was_sent():
    async with FakeSession() as session:
        client = session.client(**one_at_a_time())
        call = asyncio.ensure_future(client.get_non_tradable_assets(some(25), timeout=1.1))
        await asyncio.sleep(0.1)
        session.okx.next = [busy]
        assert (await failure_of(call, DeadlineExceededError)).sent


async def test_a_deadline_with_only_remembered_rows_says_that_nothing_was_sent():
    async with FakeSession() as session:
        client = session.client(**one_at_a_time())
        await client.get_non_tradable_assets("OLD")
        session.okx.latency = 3
        other = asyncio.ensure_future(client.get_non_tradable_assets("OTHER"))
        await asyncio.sleep(1.5)
        assert not (await expired(session, client, ["OLD", "NEW"], 1.5, max_age=60)).sent
        await other


# -- everything at once -------------------------------------------------------------------------


async def test_calls_without_currencies_share_one_request():
    async with FakeSession(everything=("A", "B")) as session:
        client = session.client()
        answers = await asyncio.gather(*(client.get_non_tradable_assets() for _ in range(50)))
        assert session.okx.asked == [()]
        assert all(names(each) == ["A", "B"] for each in answers)
        assert len({id(each) for each in answers}) == 50


async def test_all_and_some_are_different_questions():
    async with FakeSession(everything=("A", "B")) as session:
        client = session.client()
        both, one = await asyncio.gather(
            client.get_non_tradable_assets(), client.get_non_tradable_assets("A")
        )
        assert (names(both), names(one)) == (["A", "B"], ["A"])
        assert sorted(session.okx.asked) == [(), ("A",)]
