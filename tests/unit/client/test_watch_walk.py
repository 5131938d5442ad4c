"""A thousand records walk through their states while nothing stays connected for long.

Deposits and withdrawals are created and changed at random; connections are dropped, closed with
each code that may come back, frozen, or told of a service upgrade; the process is restarted with
its bookmark. Every final state has to be told exactly once.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import random
import tracemalloc
from collections import Counter

import pytest

from okx_funding import FundingClient
from tests.support import now

from .watching import follow_loop, watched

pytestmark = pytest.mark.looptime

FINAL = {"deposit-info": {"2"}, "withdrawal-info": {"2", "-1", "-2"}}
WALKS = {
    "deposit-info": (("2",), ("1", "2"), ("8", "2"), ("1",), ("8", "1", "2"), ()),
    "withdrawal-info": (("7", "1", "2"), ("1", "2"), ("-1",), ("19", "7", "1", "2"), ("7",), ()),
}


class Program:
    """A program that watches both channels, stores each event's bookmark, and dies now and then."""

    def __init__(self, exchange):
        self.exchange = exchange
        self.bookmarks = dict.fromkeys(FINAL)
        self.told = {channel: [] for channel in FINAL}  # type: ignore[var-annotated]
        self.connects = 0
        self.gaps = 0

    async def start(self):
        self.client = FundingClient(self.exchange.credentials, base_url=self.exchange.base_url)
        methods = (self.client.watch_deposits, self.client.watch_withdrawals)
        self.tasks = [
            asyncio.ensure_future(self._follow(channel, method))
            for channel, method in zip(FINAL, methods, strict=True)
        ]
        await asyncio.sleep(3)

    async def _follow(self, channel, method):
        async for event in method(since=self.bookmarks[channel]):
            record = event.dep_id if channel == "deposit-info" else event.wd_id
            self.told[channel].append((record, event.state))
            self.bookmarks[channel] = event.bookmark

    async def kill(self):
        """Die where it stands: nothing more is stored."""
        for push in self.client.statistics().pushes:
            self.gaps += push.gaps_filled
        for task in self.tasks:
            assert not task.done(), task
            task.cancel()
        await asyncio.wait(self.tasks)
        await self.client.aclose()


def disturb(exchange, dice):
    """Break the connection in one of the ways in which OKX's do."""
    sockets = exchange.websockets
    match dice.randrange(6):
        case 0:
            sockets.drop()
        case 1:
            sockets.drop(dice.choice([4004, 4005, 4006, 1001]))
        case 2:
            sockets.freeze()
        case 3:
            sockets.notice(close_after=dice.choice([1.0, 60.0]))
        case 4:
            sockets.login_errors.append(dice.choice(["63999", "60006", "60014"]))
            sockets.drop()
        case 5:
            sockets.subscribe_errors.append("64007")
            sockets.drop()


async def live(exchange, client, records, dice, pause):
    """Each record comes at its time and walks through its states, with pauses in between."""
    account = exchange.account()

    async def walk(channel):
        await asyncio.sleep(dice.random() * pause * 20)
        if channel == "deposit-info":
            record = account.deposit("USDT", "1", pending=True)
        else:
            intent = client.prepare_withdrawal(
                "USDT", "2", dest="4", to_addr=account.address, chain="USDT-ERC20"
            )
            await client.submit(intent)
            record = next(it for it in account.withdrawals if it.client_id == intent.client_id)
        for state in dice.choice(WALKS[channel]):
            await asyncio.sleep(dice.random() * pause)
            account.set_state(record, state)

    await asyncio.gather(*(walk(channel) for channel, n in records.items() for _ in range(n)))


async def run(monkeypatch, *, records, disturbances, restarts, pause, seed):
    follow_loop(monkeypatch)
    dice = random.Random(seed)
    random.seed(seed)
    async with watched(seed=seed) as (exchange, mover):
        exchange.rules.deposit_steps = exchange.rules.withdrawal_steps = ()
        exchange.account().set_balances({"USDT": "1000000"})
        exchange.websockets.doubled = True
        program = Program(exchange)
        await program.start()
        living = asyncio.ensure_future(live(exchange, mover, records, dice, pause))
        steps = ["disturb"] * disturbances + ["restart"] * restarts
        dice.shuffle(steps)
        for step in steps:
            await asyncio.sleep(dice.random() * 2 * pause * 21 / len(steps))
            exchange.websockets.push_delay = dice.choice([0, 0, 0.5])
            if step == "disturb":
                disturb(exchange, dice)
            else:
                await program.kill()
                await asyncio.sleep(dice.random() * pause / 5)
                await program.start()
        await living
        exchange.websockets.login_errors.clear()
        exchange.websockets.subscribe_errors.clear()
        await asyncio.sleep(900)
        open_in_bookmark = {
            channel: len(json.loads(mark)["open"])  # type: ignore[arg-type]
            for channel, mark in program.bookmarks.items()
        }
        await program.kill()
        check(exchange, program, open_in_bookmark)
        return exchange, program


def check(exchange, program, open_in_bookmark):
    account = exchange.account()
    rows = {
        "deposit-info": {it.dep_id: it.state for it in account.deposits},
        "withdrawal-info": {it.wd_id: it.state for it in account.withdrawals},
    }
    for channel, states in rows.items():
        told = program.told[channel]
        finals = Counter(key for key, state in told if state in FINAL[channel])
        ended = [key for key, state in states.items() if state in FINAL[channel]]
        assert finals == Counter(ended), channel
        assert {key for key, _ in told} == set(states), channel
        assert max(Counter(told).values()) == 1, channel
        last = dict(told)
        assert {key: last[key] for key in ended} == {key: states[key] for key in ended}
        assert open_in_bookmark[channel] <= len(states) - len(ended)
    assert not exchange.refused
    assert exchange.websockets.refused == 0


async def test_each_final_state_is_told_once_whatever_breaks(monkeypatch):
    exchange, program = await run(
        monkeypatch,
        records={"deposit-info": 800, "withdrawal-info": 200},
        disturbances=200,
        restarts=20,
        pause=600.0,
        seed=7,
    )
    assert len(exchange.websockets.connects) > 150
    assert program.gaps > 150


@pytest.mark.parametrize("seed", range(5))
async def test_each_final_state_is_told_once_with_other_dice(monkeypatch, seed):
    await run(
        monkeypatch,
        records={"deposit-info": 60, "withdrawal-info": 20},
        disturbances=30,
        restarts=6,
        pause=200.0,
        seed=seed,
    )


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_a_simulated_week(monkeypatch):
    """Seven days with OKX_SOAK=1, else two: hourly drops, a restart every night; flat memory."""
    follow_loop(monkeypatch)
    dice = random.Random(3)
    async with watched(log_size=1000) as (exchange, _):
        exchange.rules.deposit_steps = ()
        account = exchange.account()
        program = Program(exchange)
        await program.start()
        sizes = []
        tracemalloc.start()
        for hour in range((7 if os.environ.get("OKX_SOAK") else 2) * 24):
            for _ in range(6):
                record = account.deposit("USDT", "1", pending=True)
                asyncio.get_running_loop().call_later(
                    dice.random() * 7200, account.set_state, record, "2"
                )
                await asyncio.sleep(600)
            disturb(exchange, dice)
            if hour % 24 == 23:
                await program.kill()
                await asyncio.sleep(600)
                await program.start()
                gc.collect()
                of_ours = tracemalloc.take_snapshot().filter_traces(
                    [tracemalloc.Filter(True, "*/okx_funding/*"),
                     tracemalloc.Filter(False, "*/simulator/*")]
                )  # fmt: skip
                sizes.append(sum(each.size for each in of_ours.statistics("filename")))
        tracemalloc.stop()
        await asyncio.sleep(8000)
        await program.kill()
        finals = Counter(key for key, state in program.told["deposit-info"] if state == "2")
        assert finals == Counter(it.dep_id for it in account.deposits)
        assert now() > 2 * 24 * 3600
        assert sizes[-1] < 1.2 * max(sizes[:3]), sizes
        assert exchange.websockets.refused == 0
