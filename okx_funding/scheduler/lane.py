"""All calls of one endpoint that may share requests: how callers come, wait and leave."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from typing import Any

from okx_funding.api.spec import Endpoint
from okx_funding.errors import (
    ClientClosedError,
    DeadlineExceededError,
    InvalidArgumentError,
    OutcomeUnknownError,
    QueueFullError,
    WrongLoopError,
)
from okx_funding.scheduler.deadlines import Deadlines
from okx_funding.scheduler.queue import SlotQueue
from okx_funding.telemetry.counters import Counters

from .batcher import Batcher
from .calls import Key, Waiter
from .dispatcher import Dispatcher
from .outcome import outcome_unknown

WRONG_LOOP = (
    "this client belongs to another event loop (or process): make one client for each, inside "
    "it; from other threads use asyncio.run_coroutine_threadsafe(coroutine, loop)"
)


class Lane:
    """The callers of one endpoint with the same credentials and the same settings."""

    def __init__(self, dispatcher: Dispatcher, deadlines: Deadlines) -> None:
        self.dispatcher = dispatcher
        self.endpoint: Endpoint[Any] = dispatcher.endpoint
        self.batcher: Batcher = dispatcher.batcher
        self.counters: Counters = dispatcher.counters
        """Of its requests."""
        self.loop: asyncio.AbstractEventLoop = dispatcher.loop
        self._deadlines = deadlines

    def __repr__(self) -> str:
        return f"<Lane {self.endpoint.name}: {self.batcher.callers} callers, {self.queue.bucket!r}>"

    @property
    def queue(self) -> SlotQueue:
        """The queue it waits in."""
        return self.dispatcher.queue

    @property
    def last_trip(self) -> float:
        """Seconds that its last request took."""
        return self.dispatcher.last_trip

    # -- coming ----------------------------------------------------------------------------

    def ask(
        self,
        keys: Sequence[Key],
        counters: Counters,
        timeout: float | None = None,
        priority: int = 0,
        max_age: float | None = None,
    ) -> Waiter:
        """Admit a call for the rows of ``keys``. It ends with them or with an error of its own."""
        if not self.endpoint.shared:
            max_age = None  # nothing is remembered, and nothing is joined
        now = self._admit(keys, counters, timeout, priority, max_age)
        emitter = self.dispatcher.emitter
        if emitter is None:
            waiter = Waiter(loop=self.loop)
        else:
            waiter = emitter.waiter(self.queue.key.user, now)
        waiter.lane = self
        waiter.counters = counters
        waiter.keys = keys
        waiter.timer = None
        waiter.sent = False
        if len(keys) == 1:
            waiter.answers = None
        else:
            waiter.answers, waiter.left = dict.fromkeys(keys), len(keys)
            waiter.error, waiter.invalid, waiter.chunks = None, [], None
        if emitter is not None:
            emitter.call_started(waiter)
        batcher = self.batcher
        if batcher.add(waiter, priority, now, max_age):  # else it waits already, or is here
            self.dispatcher.schedule()
        if timeout is not None and not waiter.done():
            self._deadlines.add(waiter, now + timeout)
        return waiter

    def _admit(
        self,
        keys: Sequence[Key],
        counters: Counters,
        timeout: float | None,
        priority: int,
        max_age: float | None,
    ) -> float:
        """When the call came, if it is accepted."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            raise WrongLoopError(WRONG_LOOP) from None
        if loop is not self.loop:
            raise WrongLoopError(WRONG_LOOP)
        dispatcher, batcher = self.dispatcher, self.batcher
        if counters.shut or dispatcher.closed:
            raise ClientClosedError(f"{self.endpoint.name}: the client is closed")
        if batcher.callers >= dispatcher.policy.max_queue:
            raise QueueFullError(
                f"{batcher.callers} callers wait for {self.endpoint.name} already "
                f"(max_queue={dispatcher.policy.max_queue})"
            )
        now = loop.time()
        refusal = dispatcher.circuit.refusal(now)
        if refusal is not None:
            raise refusal
        if timeout is not None:
            self._refuse_hopeless(keys, timeout, priority, now, max_age)
        counters.calls += 1
        return now

    def _refuse_hopeless(
        self,
        keys: Sequence[Key],
        timeout: float,
        priority: int,
        now: float,
        max_age: float | None,
    ) -> None:
        if not timeout > 0:
            if math.isnan(timeout):
                raise InvalidArgumentError("timeout must be seconds, not NaN")
            raise DeadlineExceededError(f"{self.endpoint.name}: no time left", estimated_wait=0.0)
        queue, asking = self.queue, self.dispatcher
        if len(keys) <= self.batcher.batch_size:
            ahead, by = queue.ahead(), now + timeout
            if not ahead and queue.bucket.next_free(now) <= by and asking.host.closed_until <= by:
                return
            if queue.surely(ahead, now, asking) <= timeout:
                return
            if queue.estimate(ahead, now, asking) <= timeout:
                return
        if max_age is not None and self.batcher.knows(keys, now - max_age):
            return
        wait = queue.estimate(queue.ahead_of(asking, keys, priority, now), now, asking)
        if wait > timeout:
            raise DeadlineExceededError(
                f"{self.endpoint.name}: the queue alone takes about {wait:.1f} s, more than "
                f"timeout={timeout:g}",
                estimated_wait=wait,
            )

    # -- leaving ---------------------------------------------------------------------------

    def on_cancel(self, waiter: Waiter) -> None:
        """Forget a waiter that was cancelled."""
        self.batcher.leave(waiter)
        waiter.counters.cancelled += 1

    def on_timeout(self, waiter: Waiter) -> None:
        """End a waiter whose time is over."""
        trouble = self.queue.bucket.unavailable_reason
        sent = self.batcher.was_sent(waiter)
        if trouble is not None and not sent:
            self.dispatcher.fail_unreachable(waiter, trouble)
            return
        error: OutcomeUnknownError | DeadlineExceededError
        if sent and not self.endpoint.repeatable:
            error = outcome_unknown(self.endpoint, "no answer within the call's timeout")
        else:
            rows = waiter.rows()
            some = f"; {len(rows)} rows are in `rows`" if rows else ""
            error = DeadlineExceededError(
                f"{self.endpoint.name}: no answer within the call's timeout "
                f"({'a request was on its way' if sent else 'nothing was sent for it'}{some})",
                sent=sent,
                rows=rows,
            )
        self.batcher.fail(waiter, error)

    def open_waiters(self, counters: Counters | None = None) -> set[Waiter]:
        """Give everybody, or everybody of ``counters``, who isn't answered yet."""
        return {
            waiter
            for waiter in self.batcher.open_waiters()
            if not waiter.done() and (counters is None or waiter.counters is counters)
        }
