"""Calls, cancels, refusals, timeouts, faults and closes in any order, judged where they arrive."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from functools import partial
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from okx_funding import (
    ConnectError,
    OKXError,
    ProtocolError,
    RateLimit,
    RequestTimeoutError,
)
from okx_funding.scheduler.context import Policy
from okx_funding.wire.response import Response
from tests.machines.road import Road, Trip
from tests.support import someone, virtual_loop

pytestmark = pytest.mark.slow

LIMITS = [RateLimit(1), RateLimit(2), RateLimit(6), RateLimit(3, 0.5), RateLimit(1, 2.0)]
OUTCOMES: dict[str, Response | OKXError] = {
    "unreachable": ConnectError("no connection"),
    "broken": ProtocolError("the connection broke"),
    "slow": RequestTimeoutError("took too long"),
    "unavailable": Response(503, b'{"code":"50001","msg":"later"}'),
    "gateway": Response(429, b"<html>", retry_after="2"),
    "garbage": Response(200, b"{"),
    "wrong": Response(401, b'{"code":"50113","msg":"Invalid Sign"}'),
}


def outcome(name: str, _: Trip) -> Response | OKXError:
    return OUTCOMES[name]


CURRENCIES = [f"C{number}" for number in range(70)]


class LineMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner(loop_factory=virtual_loop)
        self.calls: list[asyncio.Task[Any]] = []
        self.wanted: dict[asyncio.Task[Any], list[str]] = {}
        self.spent = False

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return self.runner.run(coroutine)

    @initialize(
        limit=st.sampled_from(LIMITS),
        way=st.sampled_from([0.0, 0.022, 0.3]),
        jitter=st.sampled_from([0.0, 0.1]),
        cooldown=st.sampled_from([0.0, 15.0]),
    )
    def begin(self, limit: RateLimit, way: float, jitter: float, cooldown: float) -> None:
        async def open_road() -> None:
            owner = someone()
            self.road = Road(limit, way=way, jitter=jitter)
            self.clients = [
                self.road.client(
                    credentials=owner, policy=Policy(refusal_cooldown=cooldown), max_retries=retries
                )
                for retries in (2, 2, 0)
            ]

        self.run(open_road())

    # -- what happens ----------------------------------------------------------------------

    @rule(
        which=st.integers(0, 2),
        keys=st.lists(st.sampled_from(CURRENCIES), max_size=45, unique=True) | st.none(),
        timeout=st.sampled_from([None, None, 0.05, 1.0, 30.0]),
        priority=st.sampled_from([0, 0, 3, -3]),
        times=st.integers(1, 4),
    )
    def call(
        self,
        which: int,
        keys: list[str] | None,
        timeout: float | None,
        priority: int,
        times: int,
    ) -> None:
        client = self.clients[which % len(self.clients)]

        async def come() -> None:
            for _ in range(times):
                call = client.get_non_tradable_assets(keys, timeout=timeout, priority=priority)
                task = asyncio.ensure_future(call)
                self.calls.append(task)
                self.wanted[task] = [] if keys is None else keys
            await asyncio.sleep(0)

        self.run(come())

    @precondition(lambda self: self.waiting())
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        waiting = self.waiting()
        call = waiting[data.draw(st.integers(0, len(waiting) - 1))]

        async def leave() -> None:
            call.cancel()

        self.run(leave())

    @rule(seconds=st.sampled_from([0.0, 0.01, 0.03, 0.3, 1.0, 1.1, 7.0]))
    def time_passes(self, seconds: float) -> None:
        self.run(asyncio.sleep(seconds))

    @rule(names=st.lists(st.sampled_from(sorted(OUTCOMES)), min_size=1, max_size=4))
    def what_comes_next_goes_wrong(self, names: list[str]) -> None:
        for name in names:
            self.road.next.append(partial(outcome, name))

    @rule(times=st.integers(1, 3))
    def somebody_else_spends(self, times: int) -> None:
        async def spend() -> None:
            for _ in range(times):
                self.road.spend()

        self.spent = True
        self.run(spend())

    @precondition(lambda self: len(self.clients) > 1)
    @rule(which=st.integers(0, 2), drain=st.booleans())
    def one_client_closes(self, which: int, drain: bool) -> None:
        client = self.clients.pop(which % len(self.clients))
        self.run(client.aclose(drain=drain, timeout=5))

    # -- what must hold --------------------------------------------------------------------

    def waiting(self) -> list[asyncio.Task[Any]]:
        return [call for call in self.calls if not call.done()]

    @invariant()
    def nobody_is_refused_unless_somebody_else_spends(self) -> None:
        assert self.spent or not self.road.refused

    @invariant()
    def whoever_was_answered_got_its_own(self) -> None:
        for call in [call for call in self.calls if call.done()]:
            self.calls.remove(call)
            if call.cancelled() or isinstance(call.exception(), OKXError):
                continue
            assert {each.ccy for each in call.result()} == set(self.wanted[call])

    def teardown(self) -> None:
        if not hasattr(self, "road"):
            self.runner.close()
            return
        try:
            self.road.next.clear()
            self.run(self.settle())
        finally:
            self.run(self.road.aclose())
            self.run(asyncio.sleep(0))
            self.runner.close()

    async def settle(self) -> None:
        if self.waiting():
            _, late = await asyncio.wait(self.waiting(), timeout=1000)
            assert not late, f"{len(late)} calls wait for ever"
        self.whoever_was_answered_got_its_own()
        if self.road._in_flight.tasks:
            await asyncio.wait(self.road._in_flight.tasks, timeout=1000)
        await asyncio.sleep(400)
        assert not self.road._in_flight
        for client in self.clients:
            for lane in client._calls.lanes.values():
                bucket: Any = lane.queue.bucket
                now = asyncio.get_running_loop().time()
                assert bucket.in_flight == 0
                assert bucket.slots_free(now) == bucket.limit.count


TestLine = LineMachine.TestCase
TestLine.settings = settings(max_examples=25, stateful_step_count=30)
