"""Any interleaving of what can happen to a lane, against a plain list of callers and requests.

Nothing is predicted. Each caller that has ended must have a reason among the requests that were
seen: rows that a request it may have shared was answered with, or the very error of one.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from okx_funding import (
    ClientClosedError,
    ConnectError,
    DeadlineExceededError,
    FundingClient,
    InvalidParameterError,
    ProtocolError,
    RateLimit,
    RateLimitError,
    ServiceUnavailableError,
)
from okx_funding.api.spec import Endpoint
from okx_funding.scheduler.context import Context
from okx_funding.scheduler.deadlines import GRAIN
from okx_funding.scheduler.host import Host
from okx_funding.wire.request import Request as WireRequest
from okx_funding.wire.response import Response
from tests.support import ASSETS, someone, virtual_loop
from tests.support.fake_session import (
    Answer,
    FakeSession,
    Sent,
    broken,
    busy,
    error,
    names,
    nothing_left,
    numbers,
    unavailable,
    unreachable,
)

pytestmark = pytest.mark.slow

T = TypeVar("T")

HOT = ["A", "B", "C", "D", "E", "NONE", "F2", "G"]
ALPHABET = [*HOT, *(f"K{number}" for number in range(55)), "NOTHING"]
MAX_RETRIES = 2
WAY = 0.004
"""Seconds from a request's leaving to its arrival, and from an answer to its reading."""

FAULTS: dict[str, tuple[Answer, type[Exception]]] = {
    "unavailable": (unavailable, ServiceUnavailableError),
    "broken": (broken, ProtocolError),
    "unreachable": (unreachable, ConnectError),
    "busy": (busy, RateLimitError),
    "gone": (error("50005", "offline", 410), ServiceUnavailableError),
}
"""By name: the answer, and the error that it means. All but the last may pass."""


@dataclass(eq=False)
class Caller:
    """One call, and what the machine knows of it."""

    task: asyncio.Task[Any]
    client: FundingClient
    keys: tuple[str | None, ...]
    came: float
    timeout: float | None
    since: float
    """The moment from which on an answer may have been asked."""
    cancelled: bool = False
    ended: float | None = None

    def wants(self, key: str | None) -> bool:
        return not self.task.done() and not self.cancelled and key in self.keys


@dataclass(eq=False)
class Request(Sent):
    """One request that waits to be told how it ends."""

    fate: asyncio.Future[Answer] | None = None
    answered: bool = False
    refused: bool = False
    """OKX refused a parameter."""

    def names(self, key: str | None) -> bool:
        return key in self.keys if key is not None else not self.keys


class ScriptedSession(FakeSession):
    """A session whose requests end when the machine says so, and how it says."""

    def __init__(self, callers: list[Caller]) -> None:
        super().__init__()
        self.callers = callers
        self.requests: list[Request] = []
        self.violations: list[str] = []
        self.by_itself = False

    async def _send(
        self, context: Context, host: Host, endpoint: Endpoint, request: WireRequest
    ) -> Response:
        loop = asyncio.get_running_loop()
        _, _, query = request.target.partition("?ccy=")
        keys = tuple(query.split(",")) if query else ()
        sent = Request(len(self.requests) + 1, endpoint.name, keys, loop.time())
        self.requests.append(sent)
        self.judge_departure(sent)
        sent.fate = loop.create_future()
        try:
            await asyncio.sleep(WAY)
            sent.arrived = loop.time()
            if self.by_itself and not sent.fate.done():
                sent.fate.set_result(self.okx.answer)
            answer = await sent.fate
            await asyncio.sleep(WAY)
            if answer is unreachable:
                sent.arrived = float("nan")
            sent.refused = answer == self.okx.answer and not self.okx.bad.isdisjoint(keys)
            sent.outcome = next((n for n, (a, _) in FAULTS.items() if a is answer), "answered")
            sent.answered = sent.outcome == "answered" and not sent.refused
            return answer(sent)
        finally:
            sent.ended = loop.time()

    def judge_departure(self, sent: Request) -> None:
        """A request that leaves is wanted, all of it, and no larger than OKX allows."""
        if len(sent.keys) > 20 or len(set(sent.keys)) < len(sent.keys):
            self.violations.append(f"a request for {sent.keys}")
        wanted = {key for caller in self.callers for key in caller.keys if caller.wants(key)}
        if not wanted.issuperset(sent.keys or (None,)):
            self.violations.append(f"not all of {sent.keys} is wanted")


keys = st.one_of(
    st.none(),
    st.sampled_from(HOT).map(lambda key: [key]),
    st.lists(st.sampled_from(HOT), min_size=1, max_size=4, unique=True),
    st.lists(st.sampled_from(ALPHABET), min_size=1, max_size=30, unique=True),
    st.integers(15, 60).map(lambda n: ALPHABET[:n]),
    st.integers(15, 60).map(lambda n: ALPHABET[-n:]),
)


class LaneMachine(RuleBasedStateMachine):
    """Two clients of one user in one session, hence one lane."""

    calls = Bundle("calls")

    @initialize(count=st.integers(1, 4), named=st.booleans())
    def begin(self, count: int, named: bool) -> None:
        self.runner = asyncio.Runner(loop_factory=virtual_loop)
        self.callers: list[Caller] = []
        self.limit = RateLimit(count)
        self.named = named
        self.run(self._begin())

    async def _begin(self) -> None:
        self.session = ScriptedSession(self.callers)
        okx = self.session.okx
        okx.named = self.named
        okx.everything = tuple(ALPHABET)
        user = someone()
        self.clients = [
            self.session.client(
                credentials=user,
                rate_limits={ASSETS: self.limit},
                max_retries=MAX_RETRIES,
            )
            for _ in range(2)
        ]
        self.closed: dict[FundingClient, float] = {}

    def run(self, what: Awaitable[T]) -> T:
        async def run() -> T:
            return await what

        return self.runner.run(run())

    def now(self) -> float:
        return self.runner.get_loop().time()

    # -- what callers do -------------------------------------------------------------------------

    @rule(
        target=calls,
        keys=keys,
        client=st.integers(0, 1),
        timeout=st.none() | st.none() | st.sampled_from([0.01, 0.3, 1.0, 3.0]),
        priority=st.sampled_from([0, 0, 0, 1, -1]),
        max_age=st.none() | st.none() | st.sampled_from([0, 0.05, 1.0, float("inf")]),
    )
    def call(
        self,
        keys: list[str] | None,
        client: int,
        timeout: float | None,
        priority: int,
        max_age: float | None,
    ) -> Caller:
        return self.run(self._call(keys, self.clients[client], timeout, priority, max_age))

    async def _call(
        self,
        keys: list[str] | None,
        client: FundingClient,
        timeout: float | None,
        priority: int,
        max_age: float | None,
    ) -> Caller:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(0.001)
        call = client.get_non_tradable_assets(
            keys, timeout=timeout, priority=priority, max_age=max_age
        )
        caller = Caller(
            asyncio.ensure_future(call),
            client,
            (None,) if keys is None else tuple(keys),
            loop.time(),
            timeout,
            loop.time() - (max_age or 0.0),
        )
        self.callers.append(caller)
        caller.task.add_done_callback(lambda _: setattr(caller, "ended", loop.time()))
        await asyncio.sleep(0)
        return caller

    @rule(caller=calls)
    def cancel(self, caller: Caller) -> None:
        caller.cancelled |= caller.task.cancel()
        self.run(asyncio.sleep(0))

    # -- what OKX does ---------------------------------------------------------------------------

    def pending(self) -> list[Request]:
        return [each for each in self.session.requests if each.fate and not each.fate.done()]

    @precondition(lambda self: self.pending())
    @rule(data=st.data(), fate=st.sampled_from([*["answer"] * 6, *FAULTS]))
    def answer(self, data: st.DataObject, fate: str) -> None:
        pending = self.pending()
        sent = pending[data.draw(st.integers(0, len(pending) - 1))]
        assert sent.fate is not None
        sent.fate.set_result(self.session.okx.answer if fate == "answer" else FAULTS[fate][0])
        self.run(asyncio.sleep(2.5 * WAY))

    @precondition(lambda self: self.pending())
    @rule()
    def answer_all(self) -> None:
        for sent in self.pending():
            assert sent.fate is not None
            sent.fate.set_result(self.session.okx.answer)
        self.run(asyncio.sleep(2.5 * WAY))

    @rule(key=st.sampled_from([*HOT[:4], "K3", "K54"]))
    def turn_bad(self, key: str) -> None:
        if len(self.session.okx.bad) < 4:
            self.session.okx.bad.add(key)

    @precondition(lambda self: self.session.okx.bad)
    @rule()
    def turn_good(self) -> None:
        self.session.okx.bad.clear()

    @rule(seconds=st.sampled_from([0.0, 0.01, 0.1, 0.5, 1.0, 2.0]))
    def time_passes(self, seconds: float) -> None:
        self.run(asyncio.sleep(seconds))

    # -- the end ---------------------------------------------------------------------------------

    @precondition(lambda self: len(self.callers) > 8 and not self.closed)
    @rule(drain=st.booleans())
    def one_client_closes(self, drain: bool) -> None:
        client = self.clients[0]
        self.closed[client] = self.now()
        self.run(client.aclose(drain=drain, timeout=0.5))

    @rule()
    def look(self) -> None:
        for text in (repr(self.clients[0]), str(self.clients[1].statistics())):
            assert "key" not in text.replace("key-...", "").replace("keys", "") or text

    def teardown(self) -> None:
        try:
            if hasattr(self, "session"):
                self.run(self._finish())
        finally:
            if hasattr(self, "runner"):
                self.runner.close()

    async def _finish(self) -> None:
        self.session.by_itself = True
        for sent in self.pending():
            assert sent.fate is not None
            sent.fate.set_result(self.session.okx.answer)
        if len(self.callers) % 3 == 0:
            for client in self.clients:
                self.closed.setdefault(client, asyncio.get_running_loop().time())
            await self.session.aclose()
        elif self.callers:
            await asyncio.wait([caller.task for caller in self.callers], timeout=600)
        await asyncio.sleep(30)  # the last back-off of whoever has left
        await nothing_left(self.session)
        await self.session.aclose()
        for caller in self.callers:
            assert caller.task.done()
            self.judge(caller)
        self.judge_limit()
        told = self.session.statistics()
        assert told.waiting == 0
        assert told.calls == told.answered + told.failed + told.cancelled
        assert asyncio.all_tasks() == {asyncio.current_task()}

    # -- judging ---------------------------------------------------------------------------------

    @invariant()
    def whoever_ended_had_a_reason(self) -> None:
        for caller in self.callers:
            if caller.ended is not None:
                self.judge(caller)

    @invariant()
    def the_limit_is_kept(self) -> None:
        if hasattr(self, "session"):
            self.judge_limit()
            assert not self.session.violations

    def judge_limit(self) -> None:
        times = sorted(
            each.arrived for each in self.session.requests if each.arrived == each.arrived
        )
        for first, beyond in zip(times, times[self.limit.count :], strict=False):
            assert beyond - first >= self.limit.period

    def judge(self, caller: Caller) -> None:
        if caller.task.cancelled():
            assert caller.cancelled
            return
        failure = caller.task.exception()
        if failure is None:
            self.judge_rows(caller, caller.task.result(), ())
        elif isinstance(failure, InvalidParameterError):
            self.judge_refusal(caller, failure)
        elif isinstance(failure, DeadlineExceededError):
            self.judge_deadline(caller, failure)
        elif isinstance(failure, ClientClosedError):
            assert caller.client in self.closed
        else:
            self.judge_failure(caller, failure)

    def judge_rows(self, caller: Caller, rows: list[Any], invalid: tuple[str, ...]) -> None:
        """Exactly its rows, in its order, each currency's from one request it may have shared."""
        got = {key: list(of) for key, of in itertools.groupby(rows, key=lambda each: each.ccy)}
        if caller.keys == (None,):
            wanted = [key for key in ALPHABET if not key.startswith("NO")]
            assert names(rows) == wanted
            self.judge_age(caller, None, set(numbers(rows)))
            return
        assert list(got) == [key for key in caller.keys if key in got]
        for key in caller.keys:
            assert key is not None
            if key in got:
                assert key not in invalid
                self.judge_age(caller, key, set(numbers(got[key])))
            else:
                assert key in invalid or key.startswith("NO")

    def judge_age(self, caller: Caller, key: str | None, came_with: set[int]) -> None:
        (number,) = came_with
        sent = self.session.requests[number - 1]
        assert sent.answered
        assert sent.names(key)
        assert sent.left >= caller.since
        assert caller.ended is None or sent.ended <= caller.ended

    def judge_refusal(self, caller: Caller, failure: InvalidParameterError) -> None:
        """Each invalid stood alone, and was refused while the caller waited."""
        assert failure.currencies
        for invalid in failure.currencies:
            assert invalid in caller.keys
            assert invalid in str(failure)
            assert any(
                sent.keys == (invalid,) and sent.refused and sent.ended > caller.came
                for sent in self.session.requests
            )
        self.judge_rows(caller, list(failure.rows), failure.currencies)

    def judge_deadline(self, caller: Caller, failure: DeadlineExceededError) -> None:
        assert caller.timeout is not None
        assert caller.ended is not None
        if failure.estimated_wait is not None:
            assert caller.ended == caller.came
            return
        assert -0.001 <= caller.ended - caller.came - caller.timeout <= GRAIN + 0.001
        if failure.sent:
            assert any(self.may_have_been_sent_for(caller, key) for key in caller.keys)
        else:
            assert not any(self.was_surely_sent_for(caller, key) for key in caller.keys)

    def may_have_been_sent_for(self, caller: Caller, key: str | None) -> bool:
        """Whether a request for the key was on its way while the caller waited."""
        assert caller.ended is not None
        return any(
            sent.names(key)
            and caller.since <= sent.left <= caller.ended
            and not sent.ended <= caller.came
            and not (sent.outcome == "unreachable" and sent.ended <= caller.ended)
            for sent in self.session.requests
        )

    def was_surely_sent_for(self, caller: Caller, key: str | None) -> bool:
        """Whether the first request for the key after the caller came left before it ended."""
        assert caller.ended is not None
        if caller.since < caller.came:
            return False  # it may have been answered from memory
        for sent in self.session.requests:
            if sent.names(key) and sent.left >= caller.came:
                unsent = sent.outcome == "unreachable" and sent.ended <= caller.ended
                return caller.came < sent.left < caller.ended and not unsent
        return False

    def judge_failure(self, caller: Caller, failure: BaseException) -> None:
        """It is the error of a request that ended in that very moment."""
        kinds = [
            FAULTS[sent.outcome][1]
            for sent in self.session.requests
            if sent.ended == caller.ended
            and sent.outcome in FAULTS
            and any(sent.names(key) for key in caller.keys)
        ]
        assert type(failure) in kinds, (failure, kinds)


TestLaneMachine = LaneMachine.TestCase
TestLaneMachine.settings = settings(
    max_examples=200,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
