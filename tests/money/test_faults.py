"""What may go wrong on the wire, over the real client: movements are counted at the exchange."""

from __future__ import annotations

import asyncio
import json
from decimal import Decimal

import pytest

from okx_funding.errors import (
    ClientIdReusedError,
    ConnectError,
    OutcomeUnknownError,
    QuoteExpiredError,
    TransferFailedError,
)
from okx_funding.money import Done, NotDone, Unknown
from okx_funding.simulator import Fault
from tests.support import failure_of

from .world import (
    Prepare,
    World,
    convert,
    each_kind,
    fiat,
    later,
    sub_transfer,
    transfer,
    withdrawal,
)

pytestmark = pytest.mark.looptime

LOST = {
    "reset": Fault.reset(),
    "close": Fault.close(),
    "hang": Fault.hang(60),
    "reset in the body": Fault.reset_mid_body(),
    "cut body": Fault.close_mid_body(),
    "half a body": Fault.truncated(),
    "no body": Fault.empty(),
    "garbage": Fault.garbage(),
    "504 page": Fault.html(504),
    "502 page": Fault.html(502),
    "redirect": Fault.redirect(),
    "50001": Fault.code("50001"),
    "50004": Fault.code("50004"),
    "50013": Fault.code("50013"),
    "50026": Fault.code("50026"),
    "an unlisted code": Fault.code("59999"),
    "a listed code with a 5xx": Fault.code("58350", status=500),
    "duplicate 50071": Fault.code("50071"),
    "duplicate 58404": Fault.code("58404"),
    "duplicate 52925": Fault.code("52925"),
}
FEW = {name: LOST[name] for name in ("reset", "504 page", "50004", "half a body")}
ODD = {
    "no rows": Fault.no_rows(),
    "no id": Fault.without_id(),
    "a foreign client id": Fault.foreign_client_id(),
}
each_loss = pytest.mark.parametrize("fault", LOST.values(), ids=list(LOST))
few_losses = pytest.mark.parametrize("fault", FEW.values(), ids=list(FEW))
each_oddity = pytest.mark.parametrize("fault", ODD.values(), ids=list(ODD))
money = pytest.mark.parametrize("prepare", [transfer, withdrawal], ids=["transfer", "withdrawal"])


# -- the answer is lost ------------------------------------------------------------------------


@each_kind
async def test_what_is_answered_is_done_and_moves_once(world: World, prepare: Prepare):
    intent = await prepare(world)

    outcome = await world.client.submit(intent)

    assert isinstance(outcome, Done)
    assert len(world.moved(intent)) == len(world.posts(intent)) == 1
    assert json.loads(world.posts(intent)[0].body) == intent.body


@money
@each_loss
async def test_an_answer_lost_after_the_commit_is_done(
    world: World, prepare: Prepare, fault: Fault
):
    intent = await prepare(world)
    world.fail_post(intent, fault.after_commit())

    outcome = await world.client.submit(intent, check=False)

    assert isinstance(outcome, Done)
    assert len(world.moved(intent)) == len(world.posts(intent)) == 1


@each_kind
@few_losses
async def test_every_kind_is_found_when_its_answer_was_lost_after_the_commit(
    world: World, prepare: Prepare, fault: Fault
):
    intent = await prepare(world)
    world.fail_post(intent, fault.after_commit())

    outcome = await world.client.submit(intent, check=False)

    assert isinstance(outcome, Done)
    assert len(world.moved(intent)) == len(world.posts(intent)) == 1


@each_kind
@each_oddity
async def test_an_odd_acceptance_is_believed_only_when_a_look_up_shows_it(
    world: World, prepare: Prepare, fault: Fault
):
    intent = await prepare(world)
    world.fail_post(intent, fault)

    outcome = await world.client.submit(intent, check=False)

    assert isinstance(outcome, Done)
    assert len(world.look_ups(intent)) >= 1
    assert len(world.moved(intent)) == 1


@money
async def test_an_acceptance_of_another_amount_is_looked_up(world: World, prepare: Prepare):
    intent = await prepare(world)
    world.fail_post(intent, Fault.other_amount())

    assert isinstance(await world.client.submit(intent, check=False), Done)
    assert world.look_ups(intent)


@money
@each_loss
async def test_an_answer_lost_before_the_commit_is_unknown_and_never_sent_again(
    world: World, prepare: Prepare, fault: Fault
):
    intent = await prepare(world)
    world.fail_post(intent, fault.before_commit())

    outcome = await world.client.submit(intent, check=False, timeout=12)

    assert isinstance(outcome, Unknown)
    assert isinstance(outcome.error, OutcomeUnknownError)
    assert outcome.error.repeat_is_safe is None
    assert len(world.posts(intent)) == 1
    assert not world.exchange.movements


@each_kind
@few_losses
async def test_every_kind_is_unknown_when_its_answer_was_lost_before_the_commit(
    world: World, prepare: Prepare, fault: Fault
):
    intent = await prepare(world)
    world.fail_post(intent, fault.before_commit())

    outcome = await world.client.submit(intent, check=False, timeout=3)

    assert isinstance(outcome, Unknown)
    assert len(world.posts(intent)) == 1


@money
async def test_the_row_of_a_lost_answer_equals_the_row_that_was_answered(
    world: World, prepare: Prepare
):
    intent = await prepare(world)
    world.fail_post(intent, Fault.reset())
    found = await world.client.submit(intent, check=False)
    answered = await world.client.submit(await prepare(world), check=False)

    assert isinstance(found, Done)
    assert isinstance(answered, Done)
    for name in set(found.row.__struct_fields__) - {"trans_id", "wd_id", "client_id"}:
        assert getattr(found.row, name) == getattr(answered.row, name), name


async def test_a_connection_that_cannot_be_opened_is_not_done(world: World):
    intent = await transfer(world)
    await world.exchange.stop_listening()

    outcome = await world.client.submit(intent)

    assert isinstance(outcome, NotDone)
    assert outcome.reason == "never sent"
    assert isinstance(outcome.error, ConnectError)
    assert outcome.error.repeat_is_safe is True
    assert outcome.error.sent is False


# -- refused -----------------------------------------------------------------------------------


@each_kind
async def test_a_refusal_is_not_done_and_may_be_repeated(world: World, prepare: Prepare):
    intent = await prepare(world)
    world.fail_post(intent, Fault.code("58350"))

    outcome = await world.client.submit(intent, check=False)

    assert isinstance(outcome, NotDone)
    assert outcome.reason == "refused"
    assert outcome.error.repeat_is_safe is True
    assert len(world.posts(intent)) == 1


@pytest.mark.parametrize("code", ["50011", "50040", "50061", "58102", "50102"])
@money
async def test_a_refusal_for_rate_or_timestamp_goes_once_more_with_the_same_body(
    world: World, prepare: Prepare, code: str
):
    intent = await prepare(world)
    world.fail_post(intent, Fault.code(code))

    outcome = await world.client.submit(intent, check=False)

    first, second = world.posts(intent)
    assert isinstance(outcome, Done)
    assert first.body == second.body
    assert len(world.moved(intent)) == 1
    assert bool(world.exchange.requests("get_system_time")) == (code == "50102")


@pytest.mark.parametrize("code", ["50011", "50040", "50061", "58102", "50102"])
async def test_refused_twice_for_rate_or_timestamp_is_not_done(world: World, code: str):
    intent = await transfer(world)
    world.fail_post(intent, Fault.code(code), times=3)

    outcome = await world.client.submit(intent)

    assert isinstance(outcome, NotDone)
    assert outcome.reason == "refused"
    assert len(world.posts(intent)) == 2


async def test_a_refusal_for_the_rate_and_then_a_lost_answer_is_unknown(world: World):
    intent = await transfer(world)
    world.fail_post(intent, Fault.code("50011"))
    world.fail_post(intent, Fault.reset().before_commit())

    outcome = await world.client.submit(intent, timeout=10)

    assert isinstance(outcome, Unknown)
    assert len(world.posts(intent)) == 2


@pytest.mark.parametrize("skew", [-20.0, 20.0])
async def test_a_clock_that_is_twenty_seconds_off_moves_money_once(world: World, skew: float):
    world.exchange.clock_skew = skew
    intent = await transfer(world)

    assert isinstance(await world.client.submit(intent), Done)

    assert len(world.posts(intent)) == len(world.moved(intent)) == 1


@pytest.mark.parametrize("skew", [-100.0, 100.0])
async def test_a_clock_that_is_far_off_is_set_and_the_request_goes_once_more(
    world: World, skew: float
):
    world.exchange.clock_skew = skew
    intent = await transfer(world)

    assert isinstance(await world.client.submit(intent), Done)

    assert len(world.posts(intent)) == 2
    assert len(world.moved(intent)) == 1


async def test_refused_for_the_timestamp_with_a_clock_that_cannot_be_learned_is_not_done(
    world: World,
):
    world.exchange.clock_skew = 100.0
    world.exchange.fail_next(50, Fault.html(503), "get_system_time")
    intent = await transfer(world)

    outcome = await world.client.submit(intent, timeout=5)

    assert isinstance(outcome, NotDone)
    assert len(world.posts(intent)) == 1


# -- accepted, and not finished ------------------------------------------------------------------


@pytest.mark.parametrize("fault", [Fault.in_progress(3), Fault.pending(3)], ids=["58124", "code 0"])
async def test_a_transfer_in_progress_is_followed_to_its_success(world: World, fault: Fault):
    intent = await transfer(world)
    world.fail_post(intent, fault)

    outcome = await world.client.submit(intent)

    assert isinstance(outcome, Done)
    assert len(world.look_ups(intent)) > 2
    assert len(world.moved(intent)) == 1


@pytest.mark.parametrize(
    "fault",
    [Fault.in_progress(3, fails=True), Fault.pending(3, fails=True)],
    ids=["58124", "code 0"],
)
async def test_a_transfer_that_fails_in_the_end_is_not_done(world: World, fault: Fault):
    intent = await transfer(world)
    world.fail_post(intent, fault)

    outcome = await world.client.submit(intent)

    assert isinstance(outcome, NotDone)
    assert outcome.reason == "failed"
    assert isinstance(outcome.error, TransferFailedError)
    assert not world.moved(intent)


async def test_a_transfer_that_is_pending_at_the_deadline_is_unknown(world: World):
    intent = await transfer(world)
    world.fail_post(intent, Fault.pending(60))

    outcome = await world.client.submit(intent, timeout=12)

    assert isinstance(outcome, Unknown)
    await asyncio.sleep(60)
    assert isinstance(await world.client.resolve(intent), Done)


@money
@pytest.mark.parametrize("delay", [0.5, 5.0, 20.0])
async def test_what_shows_late_is_found_within_the_timeout(
    world: World, prepare: Prepare, delay: float
):
    intent = await prepare(world)
    world.fail_post(intent, Fault.reset().visible_after(delay))

    assert isinstance(await world.client.submit(intent, check=False), Done)


@money
async def test_what_shows_after_forty_seconds_is_unknown_at_first_and_found_later(
    world: World, prepare: Prepare
):
    intent = await prepare(world)
    world.fail_post(intent, Fault.reset().visible_after(40))

    outcome = await world.client.submit(intent, check=False)
    assert isinstance(outcome, Unknown)
    assert isinstance(await world.client.resolve(outcome.intent), Unknown)
    await asyncio.sleep(15)

    assert isinstance(await world.client.resolve(outcome.intent), Done)
    assert len(world.moved(intent)) == 1


@money
async def test_what_is_committed_after_its_answer_is_done(world: World, prepare: Prepare):
    intent = await prepare(world)
    world.fail_post(intent, Fault.code("50004").commit_after(5))

    assert isinstance(await world.client.submit(intent, check=False), Done)

    assert len(world.moved(intent)) == 1


@money
async def test_a_request_on_its_way_for_29_seconds_is_found_when_it_arrived(
    world: World, prepare: Prepare
):
    intent = await prepare(world)
    world.fail_post(intent, Fault.arrives_late(29))

    outcome = await world.client.submit(intent, check=False, timeout=20)
    assert isinstance(outcome, Unknown)
    await asyncio.sleep(10)

    assert isinstance(await world.client.resolve(outcome.intent), Done)
    assert len(world.moved(intent)) == 1


async def test_a_transfer_on_its_way_for_31_seconds_is_absent_after_a_quarter_of_an_hour(
    world: World,
):
    intent = await transfer(world)
    world.fail_post(intent, Fault.arrives_late(31))

    outcome = await world.client.submit(intent, timeout=20)
    assert isinstance(outcome, Unknown)
    await asyncio.sleep(14 * 60)
    assert isinstance(await world.client.resolve(outcome.intent), Unknown)
    await asyncio.sleep(60)

    resolved = await world.client.resolve(outcome.intent)
    assert isinstance(resolved, NotDone)
    assert resolved.reason == "absent"
    assert not world.moved(intent)


@pytest.mark.parametrize("prepare", [withdrawal, fiat], ids=["withdrawal", "fiat"])
async def test_a_withdrawal_that_is_not_found_stays_unknown(world: World, prepare: Prepare):
    intent = await prepare(world)
    world.fail_post(intent, Fault.reset().before_commit())
    outcome = await world.client.submit(intent, check=False, timeout=3)
    assert isinstance(outcome, Unknown)
    later(86_400)

    assert isinstance(await world.client.resolve(outcome.intent), Unknown)


async def test_a_transfer_older_than_transfer_state_remembers_is_never_absent(world: World):
    intent = await transfer(world)
    world.fail_post(intent, Fault.reset())
    world.fail_look_up(intent, Fault.html(503), times=20)
    outcome = await world.client.submit(intent, timeout=3)
    assert isinstance(outcome, Unknown)
    world.exchange.calm()
    later(15 * 86_400)

    assert isinstance(await world.client.resolve(outcome.intent), Unknown)


# -- look-ups ------------------------------------------------------------------------------------


async def test_a_look_up_carries_the_type_of_the_transfer(world: World):
    intent = await sub_transfer(world)
    world.fail_post(intent, Fault.reset())

    assert isinstance(await world.client.submit(intent), Done)

    assert world.look_ups(intent)
    assert all("type=1" in each.target for each in world.look_ups(intent))


@pytest.mark.parametrize(
    "fault",
    [Fault.code("50011"), Fault.html(503), Fault.hang(60), Fault.reset(), Fault.truncated()],
    ids=["50011", "503", "timeout", "reset", "half a body"],
)
@money
async def test_a_look_up_that_fails_is_asked_again(world: World, prepare: Prepare, fault: Fault):
    intent = await prepare(world)
    world.fail_post(intent, Fault.reset())
    world.fail_look_up(intent, fault, times=3)

    assert isinstance(await world.client.submit(intent, check=False), Done)


@money
async def test_look_ups_that_go_on_failing_raise_outcome_unknown_and_nothing_else(
    world: World, prepare: Prepare
):
    intent = await prepare(world)
    world.fail_post(intent, Fault.reset())
    world.fail_look_up(intent, Fault.hang(60), times=50)

    outcome = await world.client.submit(intent, check=False, timeout=5)

    assert isinstance(outcome, Unknown)
    assert isinstance(outcome.error, OutcomeUnknownError)


@pytest.mark.parametrize("shape", ["empty", "51000", "58215", "58129"])
async def test_all_shapes_of_not_found_are_one_answer(world: World, shape):
    world.exchange.rules.not_found = shape
    intent = await withdrawal(world)
    world.fail_post(intent, Fault.reset().visible_after(2))

    assert isinstance(await world.client.submit(intent, check=False), Done)


@money
async def test_another_amount_under_our_client_id_is_loud(world: World, prepare: Prepare):
    intent = await prepare(world)
    world.fail_post(intent, Fault.reset())
    world.fail_look_up(intent, Fault.other_amount(), times=2)

    error = await failure_of(world.client.submit(intent, check=False), ClientIdReusedError)

    assert error.intent == intent
    assert error.repeat_is_safe is False
    again = await failure_of(world.client.resolve(intent), ClientIdReusedError)
    assert again.intent == intent


async def test_an_amount_with_zeros_at_its_end_is_the_same_movement(world: World):
    intent = await transfer(world, "1.50")
    world.fail_post(intent, Fault.reset())

    assert isinstance(await world.client.submit(intent), Done)


async def test_a_fiat_order_is_found_on_the_third_page_behind_equal_times(world: World):
    intent = await fiat(world)
    world.fail_post(intent, Fault.reset())
    world.fail_look_up(intent, Fault.html(503), times=20)
    outcome = await world.client.submit(intent, timeout=3)
    assert isinstance(outcome, Unknown)
    world.exchange.calm()
    await asyncio.sleep(30)
    world.exchange.account().add_rows("get_fiat_withdrawal_history", 250, same_millisecond=50)

    asked = len(world.look_ups(intent))
    assert isinstance(await world.client.resolve(outcome.intent), Done)
    assert len(world.look_ups(intent)) - asked >= 3


# -- quotes ---------------------------------------------------------------------------------------


async def test_a_quote_that_our_own_lost_request_traded_is_found(world: World):
    intent = await convert(world)
    world.fail_post(intent, Fault.code("52921").after_commit())

    assert isinstance(await world.client.submit(intent), Done)
    assert len(world.moved(intent)) == 1


async def test_an_expired_quote_is_refused_as_what_it_is(world: World):
    intent = await convert(world)
    await asyncio.sleep(11)

    outcome = await world.client.submit(intent)

    assert isinstance(outcome, NotDone)
    assert isinstance(outcome.error, QuoteExpiredError)
    assert outcome.error.repeat_is_safe is True


async def test_a_lost_trade_of_an_expired_quote_is_absent_a_minute_after_its_end(world: World):
    intent = await convert(world)
    world.fail_post(intent, Fault.reset().before_commit())
    outcome = await world.client.submit(intent, timeout=5)
    assert isinstance(outcome, Unknown)
    await asyncio.sleep(80)

    resolved = await world.client.resolve(outcome.intent)

    assert isinstance(resolved, NotDone)
    assert resolved.reason == "absent"


# -- sub to sub -----------------------------------------------------------------------------------


async def test_a_sub_to_sub_transfer_with_a_lost_answer_stays_unknown(world: World):
    world.exchange.account().add_sub_account("two")
    world.exchange.fail_next(1, Fault.reset().before_commit(), "subaccount_transfer")

    error = await failure_of(
        world.client.subaccount_transfer(
            "USDT", 1, from_="6", to="6", from_sub_account="trading1", to_sub_account="two",
            acknowledge_no_handle=True, timeout=3,
        ),
        OutcomeUnknownError,
    )  # fmt: skip

    assert error.intent is not None
    await asyncio.sleep(3600)
    resolved = await world.client.resolve(error.intent, absence_proves_after=1)
    assert isinstance(resolved, Unknown)


async def test_two_legs_move_from_sub_to_sub_and_both_can_be_resolved(world: World):
    world.exchange.account().add_sub_account("two")
    master = world.client
    await master.funds_transfer("USDT", 5, from_="6", to="6", type="1", sub_acct="trading1")
    for type_, sub in (("2", "trading1"), ("1", "two")):
        world.exchange.fail_next(1, Fault.reset(), "funds_transfer")
        row = await master.funds_transfer("USDT", 5, from_="6", to="6", type=type_, sub_acct=sub)  # type: ignore[arg-type]
        assert row.amt == Decimal(5)

    assert len(world.exchange.movements) == 3
    user = world.exchange.account().user_id
    assert world.exchange.account(f"{user}/two").balance("USDT") == 5
