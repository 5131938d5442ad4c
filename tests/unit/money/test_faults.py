"""What may go wrong between the first byte and the answer, each against counted movements."""

from __future__ import annotations

import asyncio
import itertools
from decimal import Decimal

import pytest

from okx_funding.errors import (
    ClientIdReusedError,
    ConnectError,
    HTTPStatusError,
    OKXError,
    OutcomeUnknownError,
    RequestTimeoutError,
    TransferFailedError,
)
from okx_funding.money import Done, NotDone, Unknown
from tests.support import failure_of

from . import moves
from .exchange import (
    Client,
    Exchange,
    Movement,
    Port,
    Script,
    commits_after,
    commits_and,
    commits_then,
    cut,
    fails,
    for_another_client_id,
    gateway_page,
    hangs,
    no_rows,
    okx_error,
    refuses,
    refuses_connection,
    resets,
    without_id,
)
from .moves import Prepare

pytestmark = pytest.mark.looptime

LOST: dict[str, Script] = {
    "reset": resets,
    "hang": hangs,
    "504 page": gateway_page,
    "cut 200": cut,
    "50001": refuses("50001", 503),
    "50004": refuses("50004", 400),
    "50013": refuses("50013", 429),
    "50026": refuses("50026", 500),
    "58124": refuses("58124"),
    "50042, a duplicate": refuses("50042"),
    "50071, a duplicate": refuses("50071"),
    "an unlisted code": refuses("59999"),
    "a refusal with a 5xx": refuses("50005", 500),
}


@pytest.fixture
def exchange() -> Exchange:
    return Exchange()


@pytest.fixture
def client(exchange: Exchange) -> Client:
    return Client(Port(exchange))


@pytest.mark.parametrize("prepare", moves.ALL)
async def test_a_movement_that_is_answered_is_done(
    exchange: Exchange, client: Client, prepare: Prepare
):
    intent = prepare(client)

    outcome = await client.submit(intent, check=False)

    assert isinstance(outcome, Done)
    assert [each.handle for each in exchange.movements] == [intent.client_id]
    assert exchange.requests[0].body == intent.body


@pytest.mark.parametrize("prepare", moves.ALL)
@pytest.mark.parametrize("lost", [no_rows, without_id, for_another_client_id, *LOST.values()])
async def test_an_answer_lost_after_the_commit_is_found_by_a_look_up(
    exchange: Exchange, client: Client, prepare: Prepare, lost: Script
):
    exchange.scripts.append(commits_then(lost))
    intent = prepare(client)

    outcome = await client.submit(intent, check=False)

    assert isinstance(outcome, Done)
    assert len(exchange.requests) == len(exchange.movements) == 1
    assert type(outcome.row) is type(exchange.post_row(exchange.movements[0]))


@pytest.mark.parametrize("prepare", moves.ALL)
async def test_the_row_of_a_look_up_equals_the_answer_that_was_lost(
    exchange: Exchange, client: Client, prepare: Prepare
):
    exchange.scripts.append(commits_then(resets))

    outcome = await client.submit(prepare(client), check=False)

    assert isinstance(outcome, Done)
    assert outcome.row == exchange.post_row(exchange.movements[0])


@pytest.mark.parametrize("prepare", moves.ALL)
@pytest.mark.parametrize("lost", LOST.values(), ids=LOST)
async def test_an_answer_lost_before_the_commit_is_unknown_and_never_sent_again(
    exchange: Exchange, client: Client, prepare: Prepare, lost: Script
):
    exchange.scripts.append(lost)
    intent = prepare(client)

    outcome = await client.submit(intent, check=False)

    assert isinstance(outcome, Unknown)
    assert outcome.intent == intent
    assert outcome.intent.signed_at is not None
    assert outcome.error.repeat_is_safe is None
    assert len(exchange.requests) == 1


async def test_the_short_call_raises_outcome_unknown_with_the_intent(
    exchange: Exchange, client: Client
):
    exchange.scripts.append(resets)

    error = await failure_of(
        client.funds_transfer("USDT", 1, from_="6", to="18", client_id="mine1"),
        OutcomeUnknownError,
    )

    assert error.intent is not None
    assert error.intent.client_id == "mine1"


@pytest.mark.parametrize("prepare", moves.ALL)
async def test_a_refusal_is_not_done_and_may_be_repeated(
    exchange: Exchange, client: Client, prepare: Prepare
):
    exchange.scripts.append(refuses("50030", 401))

    outcome = await client.submit(prepare(client), check=False)

    assert isinstance(outcome, NotDone)
    assert outcome.reason == "refused"
    assert outcome.error.repeat_is_safe is True
    assert not exchange.movements


@pytest.mark.parametrize("code", ["50011", "50040", "50061", "58102", "50102"])
async def test_a_refusal_for_rate_or_timestamp_goes_once_more_with_the_same_body(
    exchange: Exchange, client: Client, code: str
):
    exchange.scripts.append(refuses(code))

    outcome = await client.submit(moves.transfer(client))

    first, second = exchange.requests
    assert isinstance(outcome, Done)
    assert first.body == second.body
    assert first.signed_at < second.signed_at
    assert client.port.learned == (code == "50102")


@pytest.mark.parametrize("code", ["50011", "50102"])
async def test_refused_twice_for_rate_or_timestamp_is_not_done(
    exchange: Exchange, client: Client, code: str
):
    exchange.scripts.extend([refuses(code), refuses(code), resets])

    outcome = await client.submit(moves.transfer(client))

    assert isinstance(outcome, NotDone)
    assert outcome.reason == "refused"
    assert len(exchange.requests) == 2


async def test_a_rate_refusal_and_then_a_lost_answer_is_unknown(exchange: Exchange, client: Client):
    exchange.scripts.extend([refuses("50011"), resets])

    outcome = await client.submit(moves.transfer(client))

    assert isinstance(outcome, Unknown)
    assert outcome.intent.signed_at == exchange.requests[1].signed_at


async def test_a_connection_that_could_not_be_opened_is_not_done(
    exchange: Exchange, client: Client
):
    exchange.scripts.append(refuses_connection)

    outcome = await client.submit(moves.transfer(client))

    assert isinstance(outcome, NotDone)
    assert outcome.reason == "never sent"
    assert isinstance(outcome.error, ConnectError)
    assert outcome.error.repeat_is_safe is True


async def test_a_transfer_in_progress_is_followed_to_its_success(
    exchange: Exchange, client: Client
):
    exchange.states["funds_transfer"] = ["pending"] * 5 + ["success"]
    exchange.scripts.append(commits_then(refuses("58124")))

    outcome = await client.submit(moves.transfer(client))

    assert isinstance(outcome, Done)
    moments = [moment for moment, _, _ in exchange.reads]
    pauses = [later - earlier for earlier, later in itertools.pairwise(moments)]
    assert pauses == pytest.approx([0.2, 0.4, 0.8, 1.6, 3.2], abs=0.01)


async def test_an_accepted_transfer_that_fails_is_not_done(exchange: Exchange, client: Client):
    exchange.states["funds_transfer"] = ["pending", "failed"]

    outcome = await client.submit(moves.transfer(client))

    assert isinstance(outcome, NotDone)
    assert outcome.reason == "failed"
    assert isinstance(outcome.error, TransferFailedError)
    assert outcome.error.code == "failed"


async def test_a_transfer_that_stays_pending_is_unknown_at_the_deadline(
    exchange: Exchange, client: Client
):
    exchange.states["funds_transfer"] = ["pending"]
    loop = asyncio.get_running_loop()
    begin = loop.time()

    outcome = await client.submit(moves.transfer(client), timeout=12)

    assert isinstance(outcome, Unknown)
    assert loop.time() - begin <= 12


@pytest.mark.parametrize("delay", [0.5, 5.0, 20.0])
async def test_a_movement_that_shows_late_is_found_within_the_timeout(
    exchange: Exchange, client: Client, delay: float
):
    exchange.visible_after = delay
    exchange.scripts.append(commits_then(resets))

    assert isinstance(await client.submit(moves.transfer(client)), Done)


async def test_a_movement_that_shows_after_forty_seconds_is_unknown_and_then_found(
    exchange: Exchange, client: Client
):
    exchange.visible_after = 40
    exchange.scripts.append(commits_then(resets))

    outcome = await client.submit(moves.withdrawal(client), check=False)
    assert isinstance(outcome, Unknown)
    await asyncio.sleep(15)

    assert isinstance(await client.resolve(outcome.intent), Done)


async def test_a_look_up_carries_the_type_of_the_transfer(exchange: Exchange, client: Client):
    exchange.scripts.append(commits_then(resets))

    assert isinstance(await client.submit(moves.sub_transfer(client)), Done)

    assert all(params["type"] == "1" for _, _, params in exchange.reads)


async def test_a_tagged_trade_is_looked_up_with_its_tag(exchange: Exchange, client: Client):
    exchange.scripts.append(commits_then(resets))
    intent = client.prepare_convert(moves.quote(), tag="desk7")

    assert isinstance(await client.submit(intent), Done)


@pytest.mark.parametrize(
    "fault",
    [
        okx_error("50011"),
        HTTPStatusError("a page", http_status=503, endpoint="GET"),
        RequestTimeoutError("no answer"),
    ],
    ids=["50011", "503", "timeout"],
)
async def test_a_look_up_that_fails_is_asked_again(
    exchange: Exchange, client: Client, fault: OKXError
):
    exchange.scripts.append(commits_then(resets))
    exchange.read_faults.extend([fault] * 3)

    assert isinstance(await client.submit(moves.transfer(client)), Done)


@pytest.mark.parametrize("code", ["58215", "58129", "51000"])
@pytest.mark.parametrize("prepare", [moves.transfer, moves.withdrawal])
async def test_all_shapes_of_not_found_are_one_answer(
    exchange: Exchange, client: Client, prepare: Prepare, code: str
):
    exchange.scripts.append(commits_then(resets))
    exchange.read_faults.append(okx_error(code))

    assert isinstance(await client.submit(prepare(client), check=False), Done)


@pytest.mark.parametrize("change", [{"amt": "2"}, {"ccy": "BTC"}])
async def test_another_movement_under_our_client_id_is_loud(
    exchange: Exchange, client: Client, change: dict[str, str]
):
    exchange.scripts.append(commits_and(lambda movement: movement.body.update(change)))
    intent = moves.transfer(client)

    error = await failure_of(client.submit(intent), ClientIdReusedError)

    assert error.intent == intent
    assert error.repeat_is_safe is False
    with pytest.raises(ClientIdReusedError):
        await client.resolve(intent)


async def test_an_amount_written_in_another_way_is_the_same_movement(
    exchange: Exchange, client: Client
):
    exchange.scripts.append(commits_and(lambda movement: movement.body.update(amt="1.5")))

    assert isinstance(await client.submit(moves.transfer(client, "1.50")), Done)


async def test_a_request_that_arrives_after_29_seconds_is_found(exchange: Exchange, client: Client):
    exchange.scripts.append(commits_after(29))

    outcome = await client.submit(moves.transfer(client), timeout=20)
    assert isinstance(outcome, Unknown)
    await asyncio.sleep(10)

    assert isinstance(await client.resolve(outcome.intent), Done)


async def test_a_request_that_arrives_after_31_seconds_moves_nothing_and_stays_unknown_at_first(
    exchange: Exchange, client: Client
):
    exchange.scripts.append(commits_after(31))

    outcome = await client.submit(moves.transfer(client), timeout=20)
    assert isinstance(outcome, Unknown)
    await asyncio.sleep(14 * 60)
    assert isinstance(await client.resolve(outcome.intent), Unknown)
    await asyncio.sleep(60)

    resolved = await client.resolve(outcome.intent)
    assert isinstance(resolved, NotDone)
    assert resolved.reason == "absent"
    assert not exchange.movements


@pytest.mark.parametrize("skew", [-20.0, 20.0])
async def test_a_clock_that_is_twenty_seconds_off_moves_money_once(exchange: Exchange, skew: float):
    client = Client(Port(exchange, skew=skew))

    assert isinstance(await client.submit(moves.transfer(client)), Done)

    assert len(exchange.movements) == 1


async def test_a_clock_that_is_far_off_is_set_and_the_request_goes_once_more(exchange: Exchange):
    client = Client(Port(exchange, skew=-100))

    assert isinstance(await client.submit(moves.transfer(client)), Done)

    assert len(exchange.requests) == 2
    assert len(exchange.movements) == 1


async def test_a_quote_traded_by_our_own_lost_request_is_found(exchange: Exchange, client: Client):
    exchange.scripts.append(commits_then(refuses("52921")))

    assert isinstance(await client.submit(moves.convert(client)), Done)


async def test_an_expired_quote_is_refused(exchange: Exchange, client: Client):
    exchange.scripts.append(refuses("52922"))

    outcome = await client.submit(moves.convert(client))

    assert isinstance(outcome, NotDone)
    assert outcome.reason == "refused"


async def test_a_lost_trade_of_an_expired_quote_is_absent_a_minute_after_its_end(
    exchange: Exchange, client: Client
):
    exchange.scripts.append(resets)

    outcome = await client.submit(moves.convert(client))
    assert isinstance(outcome, Unknown)
    await asyncio.sleep(45)

    resolved = await client.resolve(outcome.intent)
    assert isinstance(resolved, NotDone)
    assert resolved.reason == "absent"


async def test_a_fiat_order_is_found_on_the_third_page_behind_equal_times(
    exchange: Exchange, client: Client
):
    def others(mine: Movement) -> None:
        for number in range(250):  # newer ones, fifty of each moment
            other = exchange.move(exchange.requests[0])
            other.body = {**mine.body, "clientId": f"other{number}"}
            other.at = mine.at + 1 + number // 50

    exchange.scripts.append(commits_and(others))

    assert isinstance(await client.submit(moves.fiat(client)), Done)
    assert len(exchange.reads) > 2


async def test_more_fiat_orders_of_one_moment_than_a_page_holds_prove_nothing(
    exchange: Exchange, client: Client
):
    def others(mine: Movement) -> None:
        for number in range(150):
            other = exchange.move(exchange.requests[0])
            other.body = {**mine.body, "clientId": f"other{number}"}
            other.at = mine.at + 1

    exchange.scripts.append(commits_and(others))

    outcome = await client.submit(moves.fiat(client))
    assert isinstance(outcome, Unknown)
    resolved = await client.resolve(outcome.intent, absence_proves_after=1)
    assert isinstance(resolved, Unknown)


async def test_a_sub_to_sub_transfer_with_a_lost_answer_stays_unknown(
    exchange: Exchange, client: Client
):
    exchange.scripts.append(commits_then(resets))

    error = await failure_of(
        client.subaccount_transfer(
            "USDT", 1, from_="6", to="6", from_sub_account="a", to_sub_account="b",
            acknowledge_no_handle=True,
        ),
        OutcomeUnknownError,
    )  # fmt: skip

    assert error.intent is not None
    await asyncio.sleep(3600)
    assert isinstance(await client.resolve(error.intent, absence_proves_after=1), Unknown)


async def test_a_sub_to_sub_transfer_is_followed_by_okx_id(exchange: Exchange, client: Client):
    row = await client.subaccount_transfer(
        "USDT", 1, from_="6", to="6", from_sub_account="a", to_sub_account="b",
        acknowledge_no_handle=True,
    )  # fmt: skip

    assert row.trans_id == exchange.movements[0].ident


async def test_what_only_failed_to_be_looked_up_raises_no_transport_error(
    exchange: Exchange, client: Client
):
    exchange.scripts.append(fails(RequestTimeoutError("no answer")))
    exchange.read_faults.extend([RequestTimeoutError("no answer")] * 50)

    error = await failure_of(
        client.funds_transfer("USDT", Decimal(1), from_="funding", to="trading"),
        OutcomeUnknownError,
    )

    assert error.sent is True
