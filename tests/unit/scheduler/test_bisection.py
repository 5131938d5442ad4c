"""One bad currency harms nobody else: who is to blame, for how many requests, and who is told."""

from __future__ import annotations

import asyncio
import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from okx_funding import (
    APIError,
    DeadlineExceededError,
    InvalidParameterError,
    RateLimit,
    RateLimitError,
)
from okx_funding.scheduler.bisection import INCONCLUSIVE_AFTER, Bisection, named_in
from okx_funding.scheduler.context import MAX_REFUSALS
from okx_funding.scheduler.pending import PendingKey
from okx_funding.scheduler.quarantine import QUARANTINE, QUARANTINED
from okx_funding.wire.codes import ERROR_OF_CODE
from tests.support import ASSETS, at_exchange, failure_of, some, someone, virtually
from tests.support.fake_session import (
    FakeSession,
    broken,
    busy,
    came,
    error,
    names,
    nothing_left,
    numbers,
    outcomes,
    unavailable,
)

pytestmark = pytest.mark.looptime

TWENTY = [f"K{number}" for number in range(20)]
PARAMETER_CODES = [code for code, kind in ERROR_OF_CODE.items() if kind is InvalidParameterError]


# -- the rules ----------------------------------------------------------------------------------


def nobody(_invalid):
    """OKX's usual words."""
    return "Parameter ccy error"


def everybody(invalid):
    return f"Parameter ccy {','.join(invalid)} error"


def the_first(invalid):
    return f"Parameter {invalid[0]} error"


def refusal(message=""):
    return InvalidParameterError("51000", message, 400, ASSETS)


def investigate(keys, invalid, says=nobody):
    """The requests a bisection costs, whom it found, and whom it gave up on."""

    def message(part):
        return says([key for key in part if key in invalid] or ["nobody"])

    bisection = Bisection([PendingKey(key, 0.0) for key in keys], refusal(message(keys)))
    requests, found = 0, set()
    while (part := bisection.next_group()) and not bisection.is_inconclusive:
        requests += 1
        assert requests <= 100
        assert set(part) <= set(keys)
        if invalid.isdisjoint(part):
            bisection.passed(part)
        else:
            found |= {bisection.refused(part, message(part))} - {None}
    return requests, found, bisection.suspects


@pytest.mark.parametrize(("invalid", "most"), [(1, 9), (2, 14)])
def test_few_invalid_cost_few_requests_wherever_they_are(invalid, most):
    for places in itertools.combinations(TWENTY, invalid):
        requests, found, left = investigate(TWENTY, set(places))
        assert (found, left) == (set(places), [])
        assert requests <= most


@pytest.mark.parametrize(("invalid", "most"), [(3, 18), (4, 22)])
@pytest.mark.slow
def test_four_invalid_cost_22_requests_at_most(invalid, most):
    chance = random.Random(4)
    for _ in range(1500):
        places = set(chance.sample(TWENTY, invalid))
        requests, found, left = investigate(TWENTY, places)
        assert (found, left) == (places, [])
        assert requests <= most


@pytest.mark.parametrize(
    ("invalid", "says", "most"),
    [
        (1, everybody, 2),
        (2, everybody, 3),
        (4, everybody, 7),
        (1, the_first, 2),
        (2, the_first, 4),
        (4, the_first, 11),
    ],
)
def test_a_message_that_names_them_saves_requests(invalid, says, most):
    for places in itertools.combinations(TWENTY[:10] + TWENTY[15:], invalid):
        requests, found, left = investigate(TWENTY, set(places), says)
        assert (found, left) == (set(places), [])
        assert requests <= most


@pytest.mark.parametrize("message", ["K3", "K3 K4 K5", ",".join(TWENTY), "K19 and K0"])
def test_a_message_that_names_the_wrong_ones_harms_nobody(message):
    for invalid in TWENTY:
        requests, found, left = investigate(TWENTY, {invalid}, lambda _: message)
        assert (found, left) == ({invalid}, [])
        assert requests <= 22


@given(st.sets(st.sampled_from(TWENTY), min_size=2), st.data())
@settings(max_examples=200)
@pytest.mark.slow
def test_whoever_is_refused_alone_is_found_and_nobody_else(keys, data):
    invalid = data.draw(st.sets(st.sampled_from(sorted(keys)), max_size=7))
    _, found, left = investigate(sorted(keys), invalid)
    assert (found, left) == (invalid, [])


@pytest.mark.slow
def test_seven_invalid_are_never_taken_for_a_hopeless_case():
    chance = random.Random(7)
    for _ in range(2000):
        places = set(chance.sample(TWENTY, 7))
        assert investigate(TWENTY, places)[1:] == (places, [])


def test_what_is_refused_whatever_is_asked_is_given_up():
    requests, found, left = investigate(TWENTY, set(TWENTY))
    assert requests == INCONCLUSIVE_AFTER == 12
    assert len(found) + len(left) == 20


def test_whoever_is_not_wanted_any_more_is_not_asked():
    bisection = Bisection([PendingKey(key, 0.0) for key in TWENTY], refusal())
    bisection.forget(TWENTY[:15])
    asked = []
    while part := bisection.next_group():
        asked += part
        bisection.passed(part)
    assert sorted(asked) == sorted(TWENTY[15:])  # type: ignore[type-var]


def test_when_the_invalid_may_have_left_the_others_are_asked_by_halves():
    bisection = Bisection([PendingKey(key, 0.0) for key in TWENTY], refusal())
    bisection.forget(TWENTY[:2])
    assert len(bisection.next_group()) == 9


@pytest.mark.parametrize(
    ("message", "named"),
    [
        ("Parameter ccy error", []),
        ("Parameter BTC error", ["BTC"]),
        ("btc", []),
        ("ccy=BTC,ETH.", ["BTC", "ETH"]),
        ("BTCX XBTC BTC-Y BTC_X", []),
        ("BTC-X", ["BTC-X"]),
        ("(BTC)", ["BTC"]),
        ("", []),
    ],
)
def test_a_name_counts_as_a_word_of_its_own(message, named):
    keys = ["ETH", "BTC", "BTC-X", "A.B"]
    assert sorted(named_in(keys, message)) == sorted(named)  # type: ignore[type-var]


# -- at the exchange ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("invalid", "named", "most"),
    [(1, False, 9), (2, False, 14), (4, False, 22), (1, True, 2), (2, True, 4), (4, True, 11)],
)
async def test_the_exchange_sees_no_more_requests_than_promised(invalid, named, most):
    async with at_exchange(bad_named=named, latency=0.02) as (exchange, client):
        keys = exchange.currencies[:20]
        exchange.bad_currencies.update(random.Random(invalid).sample(keys, invalid))
        ended = await outcomes(*map(client.get_non_tradable_assets, keys))
        for key, outcome in zip(keys, ended, strict=True):
            if key in exchange.bad_currencies:
                assert isinstance(outcome, InvalidParameterError)
                assert outcome.currencies == (key,)
            else:
                assert set(names(outcome)) == {key}
        assert len(exchange.log) <= 1 + most
        assert exchange.refused == []
        assert exchange.busiest_window(ASSETS) <= 6


@pytest.mark.parametrize("code", PARAMETER_CODES)
async def test_every_code_of_the_class_starts_a_bisection(code):
    async with FakeSession(bad={"BAD"}, bad_code=code) as session:
        client = session.client()
        good, bad = await outcomes(
            client.get_non_tradable_assets(TWENTY[:19]), client.get_non_tradable_assets("BAD")
        )
        assert names(good) == TWENTY[:19]
        assert (type(bad), bad.code, bad.currencies) == (InvalidParameterError, code, ("BAD",))
        assert len(session.okx.sent) <= 11


async def test_parts_keep_the_limit():
    async with FakeSession(bad={"K3", "K17"}, latency=0.01) as session:
        client = session.client(rate_limits={ASSETS: RateLimit(2)})
        calls = [client.get_non_tradable_assets(key) for key in some(60)]
        await outcomes(*calls)
        times = [each.left + 0.005 for each in session.okx.sent]
        for first, third in zip(times, times[2:], strict=False):
            assert third - first >= 1


async def test_parts_go_ahead_of_whoever_came_later():
    async with FakeSession(bad={"K0"}) as session:
        client = session.client(rate_limits={ASSETS: RateLimit(1)})
        first = asyncio.ensure_future(outcomes(*map(client.get_non_tradable_assets, TWENTY)))
        await asyncio.sleep(0.5)
        await client.get_non_tradable_assets("LATER")
        assert set(session.okx.asked[1]) < set(TWENTY)
        await first


async def test_parts_go_ahead_of_whoever_came_later_to_another_client():
    async with FakeSession(bad={"K0"}) as session:
        owner, limits = someone(), {ASSETS: RateLimit(1)}
        one = session.client(credentials=owner, rate_limits=limits)
        two = session.client(credentials=owner, rate_limits=limits, max_retries=0)
        first = asyncio.ensure_future(outcomes(*map(one.get_non_tradable_assets, TWENTY)))
        await asyncio.sleep(0.5)
        await two.get_non_tradable_assets("LATER")
        assert set(session.okx.asked[1]) < set(TWENTY)
        await first


# -- who is told what -----------------------------------------------------------------------------


async def refused(client, keys):
    return await failure_of(client.get_non_tradable_assets(keys), InvalidParameterError)


async def test_the_error_names_the_invalid_and_holds_the_rows_of_the_others():
    async with FakeSession(bad={"BAD", "EVIL"}) as session:
        told = await refused(session.client(), ["A", "BAD", "B", "EVIL", "CTWO", "NOTHING"])
        assert told.currencies == ("BAD", "EVIL")
        assert names(told.rows) == ["A", "B", "CTWO", "CTWO"]
        assert "[currencies: BAD, EVIL]" in str(told)


async def test_only_the_askers_of_the_invalid_are_told():
    async with FakeSession(bad={"BAD"}) as session:
        client = session.client()
        one, two, three, all_of_it = await outcomes(
            client.get_non_tradable_assets(["A", "BAD"]),
            client.get_non_tradable_assets(["A", "B"]),
            client.get_non_tradable_assets("BAD"),
            client.get_non_tradable_assets(["BAD", "C"]),
        )
        assert names(two) == ["A", "B"]
        assert [(each.currencies, names(each.rows)) for each in (one, three, all_of_it)] == [
            (("BAD",), ["A"]),
            (("BAD",), []),
            (("BAD",), ["C"]),
        ]
        assert len({id(each) for each in (one, three, all_of_it)}) == 3


async def test_a_caller_of_many_requests_is_told_of_all_invalid():
    keys = some(70)
    async with FakeSession(bad={"K5", "K33", "K69"}) as session:
        told = await refused(session.client(), keys)
        assert told.currencies == ("K5", "K33", "K69")
        assert names(told.rows) == [key for key in keys if key not in session.okx.bad]
        await nothing_left(session)


async def test_a_invalid_on_its_own_costs_no_further_request():
    async with FakeSession(bad={"BAD"}) as session:
        assert (await refused(session.client(), "BAD")).currencies == ("BAD",)
        assert session.okx.asked == [("BAD",)]


async def test_all_is_never_to_blame_for_a_currency():
    async with FakeSession(everything=("A",)) as session:
        client = session.client()
        session.okx.next = [error("51000")]
        told = await failure_of(client.get_non_tradable_assets(), InvalidParameterError)
        assert (told.currencies, told.rows) == ((), ())
        assert names(await client.get_non_tradable_assets()) == ["A"]


async def test_calls_for_all_go_on_beside_a_bisection():
    async with FakeSession(bad={"BAD"}, everything=("A", "B")) as session:
        client = session.client()
        bad = asyncio.ensure_future(refused(client, ["A", "BAD", "C"]))
        await asyncio.sleep(0.03)
        assert names(await client.get_non_tradable_assets()) == ["A", "B"]
        assert (await bad).currencies == ("BAD",)


async def test_what_okx_refuses_whatever_is_asked_is_an_error_for_all():
    async with FakeSession(bad=set(TWENTY)) as session:
        client = session.client()
        wide = asyncio.ensure_future(refused(client, TWENTY))
        ended = await outcomes(*map(client.get_non_tradable_assets, TWENTY))
        assert {type(each) for each in ended} == {InvalidParameterError}
        told = await wide
        assert told.rows == ()
        assert 0 < len(told.currencies) < 20
        assert len(session.okx.sent) == 1 + INCONCLUSIVE_AFTER
        await nothing_left(session)


# -- what may happen in the middle ----------------------------------------------------------------


@pytest.mark.parametrize(
    "trouble",
    [busy, broken, unavailable, error("50011", status=200)],
    ids=["busy", "broken", "unavailable", "50011"],
)
@pytest.mark.parametrize("after", [1, 2, 4])
async def test_parts_survive_refusals_and_faults(trouble, after):
    async with FakeSession(bad={"K7"}) as session:
        client = session.client()
        okx = session.okx
        okx.next = [*[okx.answer] * after, trouble]
        ended = await outcomes(*map(client.get_non_tradable_assets, TWENTY))
        (told,) = (each for each in ended if isinstance(each, InvalidParameterError))
        assert told.currencies == ("K7",)
        assert okx.asked[after] == okx.asked[after + 1]
        assert len(okx.sent) <= 12
        await nothing_left(session)


async def test_a_part_that_fails_for_good_fails_its_own_callers_only():
    async with FakeSession(bad={"K19"}) as session:
        client = session.client()
        okx = session.okx
        okx.next = [okx.answer, error("50111", status=401)]
        ended = await outcomes(*map(client.get_non_tradable_assets, TWENTY))
        failed = [type(each) for each in ended if isinstance(each, APIError)]
        assert len(failed) == len(okx.asked[1]) + 1
        assert isinstance(ended[19], InvalidParameterError)
        await nothing_left(session)


async def test_refusals_without_end_end_the_bisection_too():
    async with FakeSession(bad={"K7"}) as session:
        client = session.client()
        okx = session.okx
        okx.next = [okx.answer, *[busy] * MAX_REFUSALS]
        ended = await outcomes(*map(client.get_non_tradable_assets, TWENTY))
        failed = [each for each in ended if isinstance(each, RateLimitError)]
        assert len(failed) == len(okx.asked[1])
        await nothing_left(session)


@pytest.mark.parametrize("left", range(1, 12))
async def test_who_leaves_during_a_bisection_is_not_asked_for_any_more(left):
    async with FakeSession(bad={"K7"}) as session:
        client = session.client(rate_limits={ASSETS: RateLimit(1)})
        calls = [asyncio.ensure_future(client.get_non_tradable_assets(key)) for key in TWENTY]
        await asyncio.sleep(left - 0.5)
        gone = {number for number in range(0, 20, 2) if not calls[number].done()}
        for number in gone:
            calls[number].cancel()
        before = len(session.okx.sent)
        ended = await outcomes(*calls)
        for number, outcome in enumerate(ended):
            if number in gone:
                assert isinstance(outcome, asyncio.CancelledError)
            elif number == 7:
                assert isinstance(outcome, InvalidParameterError)
            else:
                assert names(outcome) == [f"K{number}"]
        for keys in session.okx.asked[before:]:
            assert gone.isdisjoint(int(key[1:]) for key in keys)
        await nothing_left(session)


async def test_when_everybody_leaves_the_bisection_ends():
    async with FakeSession(bad={"K7"}) as session:
        client = session.client(rate_limits={ASSETS: RateLimit(1)})
        calls = [asyncio.ensure_future(client.get_non_tradable_assets(key)) for key in TWENTY]
        await asyncio.sleep(1.5)
        for call in calls:
            call.cancel()
        await asyncio.sleep(10)
        assert len(session.okx.sent) == 2
        await nothing_left(session)


@pytest.mark.turns
async def test_a_part_whose_callers_leave_as_it_departs_does_not_end_the_bisection():
    async with FakeSession(latency=0, bad={"K0"}) as session:
        client = session.client()
        calls = {key: asyncio.ensure_future(client.get_non_tradable_assets(key)) for key in TWENTY}
        await asyncio.sleep(0)
        boarding = client._calls.lanes[ASSETS].dispatcher._unstarted
        while not (session.okx.sent and boarding):  # noqa: ASYNC110
            await asyncio.sleep(0)
        (part,) = boarding
        for key in part.keys:
            calls.pop(key).cancel()  # type: ignore[call-overload]
        assert [names(rows) for rows in await asyncio.gather(*calls.values())] == [
            [key] for key in calls
        ]
        await nothing_left(session)


async def test_a_deadline_during_a_bisection_is_its_own_callers():
    async with FakeSession(bad={"K7"}) as session:
        client = session.client(rate_limits={ASSETS: RateLimit(1)})
        calls = [asyncio.ensure_future(client.get_non_tradable_assets(key)) for key in TWENTY[:19]]
        await came(*calls, at=client)
        late = await failure_of(
            client.get_non_tradable_assets("K19", timeout=1.5), DeadlineExceededError
        )
        assert late.sent
        ended = await outcomes(*calls)
        assert sum(isinstance(each, Exception) for each in ended) == 1
        await nothing_left(session)


# -- newcomers ----------------------------------------------------------------------------------


async def test_newcomers_join_what_waits_for_its_part():
    async with FakeSession(bad={"K0"}) as session:
        client = session.client(rate_limits={ASSETS: RateLimit(1)})
        first = asyncio.ensure_future(outcomes(*map(client.get_non_tradable_assets, TWENTY)))
        await asyncio.sleep(0.5)
        before = len(session.okx.sent)
        later = await asyncio.gather(*map(client.get_non_tradable_assets, TWENTY[1:]))
        assert [names(each) for each in later] == [[key] for key in TWENTY[1:]]
        asked = [key for keys in session.okx.asked[before:] for key in keys]
        assert all(number > before for each in later for number in numbers(each))
        assert len(session.okx.sent) <= 11
        assert len(asked) <= 40
        await first


async def test_newcomers_wait_for_the_verdict_of_the_part_on_the_wire():
    async with FakeSession(bad={"K0"}, latency=0.5) as session:
        client = session.client()
        first = asyncio.ensure_future(outcomes(*map(client.get_non_tradable_assets, TWENTY)))
        await asyncio.sleep(0.75)
        (part,) = session.okx.asked[1:]
        later = asyncio.ensure_future(outcomes(*map(client.get_non_tradable_assets, part)))
        await asyncio.sleep(0.2)
        assert len(session.okx.sent) == 2
        ended = await later
        assert [isinstance(each, Exception) for each in ended] == [key == "K0" for key in part]
        assert all(number > 2 for each in ended[1:] for number in numbers(each))
        await first
        assert len(session.okx.sent) <= 12
        await nothing_left(session)


async def test_newcomers_of_a_part_that_passes_are_asked_with_the_others():
    async with FakeSession(bad={"K19"}, latency=0.5) as session:
        client = session.client()
        first = asyncio.ensure_future(outcomes(*map(client.get_non_tradable_assets, TWENTY)))
        await asyncio.sleep(0.75)
        (part,) = session.okx.asked[1:]
        later = await asyncio.gather(*map(client.get_non_tradable_assets, part))
        assert [names(each) for each in later] == [[key] for key in part]
        assert set(part) in [set(keys) for keys in session.okx.asked[2:]]
        await first
        await nothing_left(session)


async def test_a_newcomer_of_the_invalid_is_asked_for_alone():
    async with FakeSession(bad={"K0"}, latency=0.5) as session:
        client = session.client()
        first = asyncio.ensure_future(outcomes(*map(client.get_non_tradable_assets, TWENTY)))
        await asyncio.sleep(2)
        assert session.okx.asked[-1] == ("K0",)
        before = len(session.okx.sent)
        bad = asyncio.ensure_future(refused(client, "K0"))
        company = asyncio.gather(*map(client.get_non_tradable_assets, some(5, "X")))
        await asyncio.gather(first, bad, company)
        assert [keys for keys in session.okx.asked[before:] if "K0" in keys] == [("K0",)]


async def test_a_newcomer_placed_before_the_verdict_is_taken_out_of_its_company():
    async with FakeSession(bad={"BAD"}, latency=0.2) as session:
        client = session.client(rate_limits={ASSETS: RateLimit(1)})
        alone = asyncio.ensure_future(refused(client, "BAD"))
        await asyncio.sleep(0.1)
        again = asyncio.ensure_future(refused(client, "BAD"))
        good = await client.get_non_tradable_assets(TWENTY[:19])
        assert names(good) == TWENTY[:19]
        await asyncio.gather(alone, again)
        assert sorted(session.okx.sizes) == [1, 1, 19]


async def test_six_refused_requests_with_one_invalid_are_one_bisection():
    async with FakeSession(bad={"BAD"}, latency=0.1) as session:
        client = session.client()

        async def call(number):
            await asyncio.sleep(0.01 * number)
            return await refused(client, [*TWENTY[:10], "BAD", *TWENTY[10:19]])

        for told in await asyncio.gather(*map(call, range(6))):
            assert told.currencies == ("BAD",)
            assert names(told.rows) == TWENTY[:19]
        assert len(session.okx.sent) <= 6 + 10
        await nothing_left(session)


async def test_two_refused_requests_that_share_a_key_are_untangled():
    async with FakeSession(bad={"BAD", "EVIL"}, latency=0.1) as session:
        client = session.client()
        one = asyncio.ensure_future(refused(client, ["BAD", *some(15, "A"), "BOTH"]))
        await asyncio.sleep(0.01)
        two = asyncio.ensure_future(refused(client, ["BOTH", *some(15, "B"), "EVIL"]))
        first, second = await asyncio.gather(one, two)
        assert (first.currencies, second.currencies) == (("BAD",), ("EVIL",))
        assert names(first.rows) == [*some(15, "A"), "BOTH"]
        assert names(second.rows) == ["BOTH", *some(15, "B")]
        await nothing_left(session)


async def test_a_long_caller_whose_key_stands_trial_still_gets_its_next_turn():
    async with FakeSession(bad={"BAD"}, latency=0.1) as session:
        client = session.client(rate_limits={ASSETS: RateLimit(2)})
        bad = asyncio.ensure_future(refused(client, ["BAD", *some(5)]))
        await asyncio.sleep(0.05)
        client_calls = [asyncio.ensure_future(client.get_non_tradable_assets("OTHER"))]
        await asyncio.sleep(0.02)
        long = asyncio.ensure_future(client.get_non_tradable_assets(some(60)))
        assert names(await asyncio.wait_for(long, 60)) == some(60)
        await asyncio.gather(bad, *client_calls)
        await nothing_left(session)


async def test_a_retried_batch_whose_key_stands_trial_waits_for_the_verdict():
    async with FakeSession(bad={"BAD"}, latency=0.1) as session:
        client = session.client()
        okx = session.okx
        okx.next = [okx.answer, unavailable]
        bad = asyncio.ensure_future(refused(client, ["BAD", "BOTH", *some(10)]))
        await asyncio.sleep(0.01)
        other = asyncio.ensure_future(client.get_non_tradable_assets(["BOTH", "MINE"]))
        assert names(await other) == ["BOTH", "MINE"]
        assert names((await bad).rows) == ["BOTH", *some(10)]
        await nothing_left(session)


async def test_under_a_stream_of_callers_the_invalid_costs_a_bounded_share():
    async with FakeSession(bad={"K11"}, latency=0.03) as session:
        client = session.client()
        calls = []
        for number in range(600):
            calls.append(asyncio.ensure_future(client.get_non_tradable_assets(TWENTY[number % 20])))
            await asyncio.sleep(0.005)
        ended = await outcomes(*calls)
        for number, outcome in enumerate(ended):
            assert isinstance(outcome, InvalidParameterError) == (number % 20 == 11)
        companions = [keys for keys in session.okx.asked if "K11" in keys and len(keys) > 1]
        assert len(companions) <= 6 + 5  # those on the wire by the first refusal, and the parts


# -- suspicion ----------------------------------------------------------------------------------


async def test_a_invalid_is_asked_alone_from_then_on():
    async with FakeSession(bad={"BAD"}) as session:
        client = session.client()
        await refused(client, ["A", "BAD"])
        del session.okx.sent[:]
        await refused(client, ["A", "BAD", "B"])
        assert sorted(session.okx.asked) == [("A", "B"), ("BAD",)]


async def test_a_invalid_is_forgiven_when_it_succeeds():
    async with FakeSession(bad={"BAD"}) as session:
        client = session.client()
        await refused(client, "BAD")
        session.okx.bad.clear()
        assert names(await client.get_non_tradable_assets("BAD")) == ["BAD"]
        await client.get_non_tradable_assets(["A", "BAD"])
        assert session.okx.asked[-1] == ("A", "BAD")


async def test_suspicion_ends_with_time():
    async with FakeSession(bad={"BAD"}) as session:
        client = session.client()
        await refused(client, "BAD")
        session.okx.bad.clear()
        await asyncio.sleep(QUARANTINE + 1)
        await client.get_non_tradable_assets(["A", "BAD"])
        assert session.okx.asked[-1] == ("A", "BAD")
        assert not client._calls.lanes[ASSETS].batcher._keys.quarantine


async def test_suspects_are_bounded_in_number():
    keys = some(QUARANTINED + 50)
    async with FakeSession(bad=set(keys)) as session:
        client = session.client(rate_limits={ASSETS: RateLimit(1000)})
        await asyncio.gather(*(refused(client, key) for key in keys[:20]))
        for key in keys[20:]:
            await refused(client, key)
        suspects = client._calls.lanes[ASSETS].batcher._keys.quarantine
        assert len(suspects) == QUARANTINED
        assert keys[-1] in suspects
        assert keys[0] not in suspects


async def test_suspects_delay_nobody_more_than_their_number():
    async with FakeSession(bad=set(some(5, "BAD"))) as session:
        client = session.client(rate_limits={ASSETS: RateLimit(1)})
        for key in some(5, "BAD"):
            await refused(client, key)
        del session.okx.sent[:]
        bad = asyncio.gather(*(refused(client, key) for key in some(5, "BAD")))
        await asyncio.sleep(0)
        await client.get_non_tradable_assets("GOOD")
        assert len(session.okx.sent) == 6
        await bad


# -- whatever happens -----------------------------------------------------------------------------


@settings(max_examples=60)
@given(
    calls=st.lists(
        st.tuples(
            st.floats(0, 0.4),
            st.lists(st.sampled_from(some(30)), min_size=1, max_size=30, unique=True),
        ),
        min_size=1,
        max_size=12,
    ),
    bad=st.sets(st.sampled_from(some(30)), max_size=3),
    named=st.booleans(),
)
@pytest.mark.slow
def test_whatever_the_calls_and_the_invalid_each_gets_its_own(calls, bad, named):
    async def scene():
        async with FakeSession(bad=set(bad), named=named, latency=0.1) as session:
            client = session.client(rate_limits={ASSETS: RateLimit(12)})

            async def call(after, keys):
                await asyncio.sleep(after)
                (ended,) = await outcomes(client.get_non_tradable_assets(keys))
                invalid = tuple(key for key in keys if key in bad)
                if invalid:
                    assert isinstance(ended, InvalidParameterError)
                    assert ended.currencies == invalid
                rows = ended.rows if invalid else ended
                assert names(rows) == [key for key in keys if key not in bad]

            await asyncio.gather(*(call(*each) for each in calls))
            await nothing_left(session)

    virtually(scene())
