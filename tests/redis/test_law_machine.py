"""Any order of asks and returns of any processes: the scripts say what a plain model says.

And whatever they say, the judge is satisfied: at no moment is a slot given while as many requests
as the limit allows may have been seen within the last window.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.redis.law import GUARD, LEASE, SECOND, Model, Scripts, ask, shown, shown_claims
from tests.redis.servers import RedisServer

LIMITS = [(1, 1.0), (2, 1.0), (3, 1.0), (6, 1.0), (5, 2.0), (1, 2.0), (10, 2.0)]
START = 1_700_000_000 * SECOND
SETTLE = 250_000
AHEAD = 500_000

spans = st.sampled_from([0, 1, 1000, 50_000, 300_000, SECOND, SECOND + GUARD]) | st.integers(
    0, 3 * SECOND
)
processes = st.sampled_from("abcd")


@dataclass
class Request:
    """One request that left or will, and when the exchange sees it: first and last moment."""

    me: str
    serial: int
    slot: str
    by: float
    start: float
    held: bool = True


class Law(RuleBasedStateMachine):
    scripts: Scripts

    def __init__(self) -> None:
        super().__init__()
        self.scripts.forget()
        self.model = Model()
        self.real = self.now = START
        self.serials = dict.fromkeys("abcd", 0)
        self.lost = dict.fromkeys("abcd", 1)
        self.limits = dict.fromkeys("abcd", LIMITS[3])
        self.pace: dict[str, float] = dict.fromkeys("abcd", 0)
        self.requests: list[Request] = []

    @initialize(limits=st.lists(st.sampled_from(LIMITS), min_size=4, max_size=4))
    def limit(self, limits: list[tuple[int, float]]) -> None:
        self.limits = dict(zip("abcd", limits, strict=True))

    @rule(span=spans)
    def wait(self, span: int) -> None:
        self.now += span
        self.real += span

    @rule(span=st.sampled_from([15 * SECOND, 62 * SECOND]))
    def wait_long(self, span: int) -> None:
        self.wait(span)

    @rule(span=st.sampled_from([1, 1000, SECOND, 3600 * SECOND]))
    def set_the_clock_back(self, span: int) -> None:
        self.real -= span

    @rule(me=processes, limit=st.sampled_from(LIMITS), pace=st.sampled_from([0, 0, 0, 1.25]))
    def change(self, me: str, limit: tuple[int, float], pace: float) -> None:
        self.limits[me], self.pace[me] = limit, pace

    def _ask(self, me: str, wanted: int, **more: Any) -> dict[str, Any]:
        self.serials[me] += 1
        count, period = self.limits[me]
        return ask(
            me,
            self.serials[me],
            lost=self.lost[me],
            count=count,
            period=period,
            pace=self.pace[me],
            wanted=wanted,
            settle=SETTLE + AHEAD,
            ahead=AHEAD,
            heartbeat=2 * SECOND,
            **more,
        )

    @rule(me=processes, wanted=st.integers(0, 7), silent=st.sampled_from([False] * 9 + [True]))
    def take(self, me: str, wanted: int, silent: bool) -> None:
        asked = self._ask(me, wanted, silent=silent)
        told = self.model.take(asked, self.real)
        assert self.scripts.take(asked, self.real) == told
        self.lost[me] = asked["serial"] + 1
        for request in self.requests:  # what it never heard of it never sent
            if request.me == me and request.serial >= asked["lost"]:
                request.by, request.held = self.now - 99 * SECOND, False
        self._judge(told, asked)

    def _judge(self, told: list[Any], asked: dict[str, Any]) -> None:
        _, _, _, count, period, *won = told
        for slot, wait in zip(won[::2], won[1::2], strict=True):
            start = self.now + wait
            seen = sum(request.by + period - GUARD > start for request in self.requests)
            assert seen < count, "more than the limit may be seen within a window"
            lease = self.now + asked["lease"]
            self.requests.append(Request(asked["me"], asked["serial"], slot, lease, start))

    @rule(me=processes, wanted=st.integers(1, 7))
    def take_unheard(self, me: str, wanted: int) -> None:
        """The answer is lost: nothing is sent."""
        asked = self._ask(me, wanted)
        assert self.scripts.take(asked, self.real) == self.model.take(asked, self.real)

    @rule(me=processes)
    def take_late(self, me: str) -> None:
        """An ask that its process gave up arrives after a newer one."""
        if me not in self.model.claims:
            return
        asked = {**self._ask(me, 6), "serial": self.serials[me] - 1}
        self.serials[me] -= 1
        assert self.scripts.take(asked, self.real) == self.model.take(asked, self.real)

    @rule(me=processes)
    def leave(self, me: str) -> None:
        asked = self._ask(me, 0, leaves=True)
        assert self.scripts.take(asked, self.real) == self.model.take(asked, self.real)
        self.lost[me] = asked["serial"] + 1
        self.requests = [
            request
            for request in self.requests
            if request.me != me or request.serial < asked["lost"]
        ]

    def _give(self, number: int, **more: Any) -> Request | None:
        held = [request for request in self.requests if request.held]
        if not held:
            return None
        request = held[number % len(held)]
        asked = {
            "me": request.me,
            "serial": request.serial,
            "id": request.slot,
            "ahead": AHEAD,
            **more,
        }
        told = self.model.give(asked, self.real)
        assert self.scripts.give(asked, self.real) == told
        if told:
            request.held = False
        return request if told else None

    @rule(number=st.integers(0, 9), seen=st.sampled_from([-20_000, 0, 250_000]))
    def give(self, number: int, seen: int) -> None:
        request = self._give(number, seen=seen)
        if request is not None:
            request.by = self.now + seen

    @rule(number=st.integers(0, 9))
    def give_unsent(self, number: int) -> None:
        request = self._give(number, unsent=True)
        if request is not None:
            self.requests.remove(request)

    @rule(number=st.integers(0, 9), cooldown=st.sampled_from([None, 15 * SECOND]))
    def give_refused(self, number: int, cooldown: int | None) -> None:
        more = {} if cooldown is None else {"cooldown": cooldown}
        request = self._give(number, seen=0, freeze=SECOND + GUARD, **more)
        if request is not None:
            request.by = self.now

    @rule(number=st.integers(0, 9))
    def renew(self, number: int) -> None:
        held = [request for request in self.requests if request.held]
        if not held:
            return
        request = held[number % len(held)]
        slots = [[request.slot, request.serial]]
        asked = {"me": request.me, "slots": slots, "lease": LEASE}
        told = self.model.renew(asked, self.real)
        assert self.scripts.renew(asked, self.real) == told
        if told == [1] and request.by > self.now:  # a lease that ended isn't used any more
            request.by = max(request.by, self.now + LEASE)

    @rule()
    def flush(self) -> None:
        """What is on its way arrives within the time that unknown history is given."""
        self.scripts.forget()
        self.model = Model()
        for request in self.requests:
            request.by, request.held = min(request.by, self.now + SETTLE + AHEAD), False

    @invariant()
    def the_hash_says_what_the_model_says(self) -> None:
        said, meant = self.scripts.hash(), shown(self.model)
        assert set(said.items()) ^ set(meant.items()) == set()
        assert self.scripts.queue() == self.model.order()
        assert self.scripts.claims() == shown_claims(self.model)


@pytest.mark.slow
def test_the_scripts_obey_the_model_and_the_judge(redis_server: RedisServer) -> None:
    scripts = Scripts(redis_server.url)
    inbox = scripts.listen(*"abcd")
    Law.scripts = scripts
    case = Law.TestCase
    case.settings = settings(
        max_examples=60,
        stateful_step_count=40,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    try:
        case("runTest").runTest()
    finally:
        inbox.close()
        scripts.close()
