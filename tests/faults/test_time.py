"""Faults of time and rate, row by row: ``pytest -k R8_`` finds that of row R8."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections import Counter
from datetime import datetime
from typing import Any

import pytest

from okx_funding import (
    ConnectError,
    DeadlineExceededError,
    FundingClient,
    HTTPStatusError,
    OKXError,
    RateLimit,
    Session,
)
from okx_funding.scheduler.host import Host
from okx_funding.scheduler.retry import RetryBudget
from okx_funding.simulator import ALL_FAULTS, Fault, SimulatedExchange
from okx_funding.simulator.arrivals import busiest_window
from tests.faults.server import always, facing, nothing_is_held, works
from tests.support import ASSETS, VALUATION, at_exchange, envelope, failure_of, http, now, someone

pytestmark = pytest.mark.looptime

EPOCH = 1_700_000_000.0


class Wall:
    """A wall clock that goes with the loop's, until somebody turns its hands."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def right(self) -> float:
        return EPOCH + now()

    def __call__(self) -> float:
        return self.right() + self.ahead


@pytest.fixture
def wall(monkeypatch):
    wall = Wall()
    monkeypatch.setattr(time, "time", wall)
    return wall


# -- R1 to R3: clocks -------------------------------------------------------------------------


@pytest.mark.parametrize("jump", [3600, -3600])
async def test_R1_a_wall_clock_that_jumps_moves_no_limit_and_no_deadline(wall, jump):
    async with at_exchange(clock=wall.right) as (exchange, client):
        waiting = [
            asyncio.ensure_future(client.get_non_tradable_assets(ccy, timeout=5))
            for ccy in exchange.currencies[:400]
        ]
        await asyncio.sleep(0.5)
        wall.ahead = jump
        await asyncio.gather(*waiting)
        assert exchange.busiest_window(ASSETS) <= 6
        assert 3 < now() < 4.5
        began = now()
        exchange.fail_next(9, Fault.hang(9))
        await failure_of(client.get_asset_valuation(timeout=3), DeadlineExceededError)
        assert now() - began == pytest.approx(3, abs=0.05)


async def test_R1_a_wall_clock_that_jumps_again_and_again_costs_a_question_each_time(wall):
    async with at_exchange(clock=wall.right) as (exchange, client):
        await works(client)
        for ahead in (3600, 0, -3600, 0, 86_400):
            wall.ahead = ahead
            await works(client)
            await asyncio.sleep(1)
        assert len(exchange.requests("get_system_time")) == 5
        assert len(exchange.requests(ASSETS)) == 1 + 2 * 5
        assert client.statistics().failed == 0


async def test_R1_a_clock_that_goes_wrong_slowly_is_set_again_after_a_minute(wall):
    async with at_exchange(clock=wall.right) as (exchange, client):
        exchange.clock_skew = 60
        await works(client)
        exchange.clock_skew = -60
        await asyncio.sleep(61)
        await works(client)
        assert len(exchange.requests("get_system_time")) == 2


async def test_R2_what_waits_for_longer_than_a_signature_lives_is_signed_when_it_leaves(wall):
    valuation = http(envelope({"totalBal": "1", "ts": "1", "details": {}}))
    limits = {VALUATION: RateLimit(1, 40.0)}
    async with facing(always(valuation), rate_limits=limits) as (server, client):
        await asyncio.gather(*(client.get_asset_valuation(unit) for unit in ("EUR", "USD", "JPY")))
    assert server.heard[2].at > 80
    for heard in server.heard:
        stamp = datetime.fromisoformat(heard.headers["ok-access-timestamp"])
        assert stamp.timestamp() == pytest.approx(EPOCH + heard.at, abs=0.002)


@pytest.mark.parametrize("asleep", [0.4, 5.0, 3600.0])
async def test_R3_after_a_sleep_nobody_makes_up_for_what_was_missed(asleep, monkeypatch):
    async with at_exchange(latency=0.02) as (exchange, client):
        waiting = [
            asyncio.ensure_future(client.get_non_tradable_assets(ccy))
            for ccy in exchange.currencies[:480]
        ]
        await asyncio.sleep(1.5)
        loop = asyncio.get_running_loop()
        clock = loop.time
        monkeypatch.setattr(loop, "time", lambda: clock() + asleep)
        await asyncio.gather(*waiting)
        assert exchange.busiest_window(ASSETS) <= 6
        assert exchange.refused == []
        assert len(exchange.log) == 24
        monkeypatch.undo()


# -- R4 to R6: never above the limit ----------------------------------------------------------


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.slow
async def test_R4_calls_cancels_refusals_and_faults_in_any_order_stay_within_the_limit(
    seed, monkeypatch
):
    chance = random.Random(seed)
    monkeypatch.setattr(random, "random", chance.random)
    user = someone()
    async with (
        SimulatedExchange(users=[user], latency=0.03, jitter=0.1, seed=seed) as exchange,
        Session() as session,
    ):
        clients = [
            FundingClient(
                user, session=session, base_url=exchange.base_url, request_timeout=3, max_retries=4
            )
            for _ in range(2)
        ]
        exchange.chaos(0.3, [fault for fault in ALL_FAULTS if "b" not in fault.name], seed=seed)

        async def call():
            await asyncio.sleep(chance.random() * 10)
            wanted = chance.sample(exchange.currencies, chance.randint(1, 25))
            leaves = asyncio.timeout(chance.random() * 4) if chance.random() < 0.3 else None
            with contextlib.suppress(OKXError, TimeoutError):
                async with leaves or contextlib.nullcontext():
                    await chance.choice(clients).get_non_tradable_assets(wanted)

        await asyncio.gather(*(call() for _ in range(150)))
        assert exchange.busiest_window(ASSETS) <= 6
        assert not any(arrival.refused for arrival in exchange.log)
        for client in clients:
            await nothing_is_held(client)
        # Whatever happened, every slot is there again, those that refusals withdrew too.
        await asyncio.sleep(600)
        assert clients[0].statistics().buckets[0].slots_free == 6


async def test_R5_a_cancelled_waiter_gives_its_turn_to_the_next():
    async with at_exchange() as (exchange, client):
        order: list[str] = []

        async def call(unit):
            await client.get_asset_valuation(unit)
            order.append(unit)

        units = ["BTC", "USDT", "USD", "CNY", "JPY", "EUR"]
        calls = [asyncio.ensure_future(call(unit)) for unit in units]
        await asyncio.sleep(0.5)
        for position in (1, 3):
            calls[position].cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        assert order == ["BTC", "USD", "JPY", "EUR"]
        assert now() == pytest.approx(3, abs=0.1)
        assert len(exchange.log) == 4


@pytest.mark.parametrize("shared", [True, False])
async def test_R6_two_clients_of_one_user_keep_one_limit(shared):
    user = someone()
    async with SimulatedExchange(users=[user]) as exchange, contextlib.AsyncExitStack() as stack:
        session = await stack.enter_async_context(Session()) if shared else None
        clients = [
            await stack.enter_async_context(
                FundingClient(user, session=session, base_url=exchange.base_url)
            )
            for _ in range(2)
        ]
        await asyncio.gather(
            *(client.get_non_tradable_assets(exchange.currencies[:200]) for client in clients)
        )
        assert exchange.busiest_window(ASSETS) == 6
        assert exchange.refused == []


# -- R7, R8: no hope, and a storm -------------------------------------------------------------


async def test_R7_a_deadline_that_the_queue_alone_breaks_is_told_at_once():
    async with at_exchange() as (exchange, client):
        queue = [
            asyncio.ensure_future(client.get_non_tradable_assets(ccy))
            for ccy in exchange.currencies[:480]
        ]
        await asyncio.sleep(0.01)
        began = now()
        error = await failure_of(
            client.get_non_tradable_assets(exchange.currencies[490], timeout=2),
            DeadlineExceededError,
        )
        assert now() == began
        assert not error.sent
        assert error.estimated_wait is not None
        assert error.estimated_wait > 2
        await client.get_non_tradable_assets(exchange.currencies[490], timeout=10)
        await asyncio.gather(*queue)


CALLERS = 10_000


@pytest.mark.parametrize(
    ("down", "kind"),
    [
        (Fault.html(503), HTTPStatusError),
        (Fault.code("50001"), OKXError),
        (Fault.reset(), OKXError),
        (Fault.too_many(), HTTPStatusError),
    ],
    ids=repr,
)
@pytest.mark.slow
async def test_R8_with_the_exchange_down_ten_thousand_callers_make_no_storm(down, kind):
    async with at_exchange(max_retries=3) as (exchange, client):
        exchange.chaos(1.0, [down])
        outcomes: list[Any] = await asyncio.gather(
            *(client.get_non_tradable_assets(f"C{number}") for number in range(CALLERS)),
            return_exceptions=True,
        )
        firsts = CALLERS // 20
        assert firsts < len(exchange.log) <= 1.1 * firsts
        assert all(isinstance(each, kind) for each in outcomes)
        assert exchange.busiest_window(ASSETS) <= 6
        assert client.statistics().failed == CALLERS
        await nothing_is_held(client)


async def test_R8_connections_that_nobody_takes_are_tried_at_the_limits_pace(monkeypatch):
    tried = []
    unreachable = Host.unreachable

    def note(self, now, dice):
        tried.append(now)
        unreachable(self, now, dice)

    monkeypatch.setattr(Host, "unreachable", note)
    async with at_exchange(max_retries=3) as (exchange, client):
        await exchange.stop_listening()
        outcomes: list[Any] = await asyncio.gather(
            *(client.get_non_tradable_assets(f"C{number}") for number in range(CALLERS // 10)),
            return_exceptions=True,
        )
        assert Counter(map(type, outcomes)) == {ConnectError: CALLERS // 10}
        assert len(tried) == client.statistics().requests == 4 * CALLERS // 200
        late = [moment for moment in tried if moment > 3]  # the first tries come closer together
        assert len(late) > 100
        assert busiest_window(late, 0.99) <= 6


async def test_R8_a_host_that_came_back_is_missed_anew_from_the_shortest_pause_on(unlucky):
    async with at_exchange(max_retries=6) as (exchange, client):
        patience = []
        for _ in range(2):
            await works(client)
            await exchange.stop_listening()
            began = now()
            await failure_of(client.get_non_tradable_assets("CELT"), ConnectError)
            patience.append(now() - began)
            await exchange.resume()
            await asyncio.sleep(5)
        assert patience[0] == pytest.approx(patience[1], abs=0.1)


async def test_R8_a_restart_of_half_a_second_costs_nobody_an_error():
    async with at_exchange(max_retries=3) as (exchange, client):
        await works(client)
        calls = [
            asyncio.ensure_future(client.get_non_tradable_assets(ccy))
            for ccy in exchange.currencies[:400]
        ]
        await asyncio.sleep(0.5)
        await exchange.stop_listening()
        await asyncio.sleep(0.5)
        await exchange.resume()
        assert [len(rows) > 0 for rows in await asyncio.gather(*calls)] == [True] * 400


async def test_R8_the_budget_is_the_hosts_and_not_the_users():
    users = [someone() for _ in range(40)]
    async with SimulatedExchange(users=users) as exchange, Session() as session:
        exchange.outage = True
        clients = [
            FundingClient(user, session=session, base_url=exchange.base_url) for user in users
        ]
        await asyncio.gather(
            *(client.get_non_tradable_assets(exchange.currencies[:100]) for client in clients),
            return_exceptions=True,
        )
        assert len(exchange.log) <= 1.1 * 40 * 5


async def test_R8_when_the_exchange_is_back_all_is_as_before():
    async with at_exchange(max_retries=3) as (exchange, client):
        exchange.outage = True
        await asyncio.gather(
            *(client.get_non_tradable_assets(f"C{number}") for number in range(2000)),
            return_exceptions=True,
        )
        exchange.outage = False
        for _ in range(15):
            await works(client)
        exchange.fail_next(3, Fault.html(503))
        await works(client)


def test_R8_a_budget_is_a_tenth_of_first_attempts_and_never_less_than_five():
    for firsts in (0, 1, 49, 50, 51, 200, 1000, 12_345):
        budget = RetryBudget()
        for _ in range(firsts):
            budget.first()
        retries = 0
        while budget.spend():
            retries += 1
        assert retries <= max(5, 0.1 * firsts)
        assert retries >= min(50, max(5, int(0.1 * firsts) - 1))
        assert not budget.spend()
        budget.succeeded(again=True)
        assert budget.spend()
        successes = 0
        while not budget.spend():
            budget.succeeded(again=False)
            successes += 1
        assert 1 <= successes <= 4


def test_R8_success_earns_no_more_than_the_reserve():
    budget = RetryBudget()
    for again in (True, False) * 50:
        budget.succeeded(again=again)
    assert [budget.spend() for _ in range(7)] == [True] * 5 + [False] * 2


@pytest.mark.parametrize(("dice", "longer"), [(0.0, 1.0), (1.0, 1.5)])
def test_R8_a_host_that_nobody_reaches_is_left_alone_for_twice_as_long_each_time(dice, longer):
    host, moment, pauses = Host("https://okx.invalid"), 100.0, []
    for _ in range(7):
        for _ in range(3):  # those who tried at the same time
            host.unreachable(moment, dice)
        pauses.append(host.closed_until - moment)
        moment = host.closed_until
    assert pauses == pytest.approx([p * longer for p in (0.1, 0.2, 0.4, 0.8, 1, 1, 1)])
    host.reached()
    host.unreachable(moment, dice)
    assert host.closed_until - moment == pytest.approx(0.1 * longer)


def test_R8_however_long_an_outage_lasts_the_share_of_retries_stays_below_a_tenth():
    budget = RetryBudget()
    retries = 0
    for _ in range(50_000):
        budget.first()
        while budget.spend():
            retries += 1
    assert retries <= 0.1 * 50_000 + budget.RESERVE
