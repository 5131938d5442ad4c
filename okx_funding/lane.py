"""All calls of one endpoint that may share requests: how callers come, wait and leave."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence

from .batching import Batcher
from .callers import Key, Ticket
from .deadlines import Deadlines
from .dispatcher import Dispatcher
from .endpoints import Endpoint
from .errors import (
    ClientClosedError,
    DeadlineExceededError,
    InvalidArgumentError,
    OutcomeUnknownError,
    QueueFullError,
    WrongLoopError,
)
from .line import Line
from .tally import Tally

WRONG_LOOP = (
    "this client belongs to another event loop (or process): make one client for each, inside "
    "it; from other threads use asyncio.run_coroutine_threadsafe(coroutine, loop)"
)


class Lane:
    """The callers of one endpoint with the same credentials and the same settings."""

    def __init__(self, dispatcher: Dispatcher, deadlines: Deadlines) -> None:
        self.dispatcher = dispatcher
        self.endpoint: Endpoint = dispatcher.endpoint
        self.batcher: Batcher = dispatcher.batcher
        self.tally: Tally = dispatcher.tally
        """Of its requests."""
        self.loop: asyncio.AbstractEventLoop = dispatcher.loop
        self._deadlines = deadlines

    def __repr__(self) -> str:
        return f"<Lane {self.endpoint.name}: {self.batcher.callers} callers, {self.line.bucket!r}>"

    @property
    def line(self) -> Line:
        """The queue it waits in."""
        return self.dispatcher.line

    @property
    def last_trip(self) -> float:
        """Seconds that its last request took."""
        return self.dispatcher.last_trip

    # -- coming ----------------------------------------------------------------------------

    def ask(
        self,
        keys: Sequence[Key],
        tally: Tally,
        timeout: float | None = None,
        priority: int = 0,
        max_age: float | None = None,
    ) -> Ticket:
        """A ticket for the rows of ``keys``; it ends with them or with an error of its own."""
        now = self._admit(keys, tally, timeout, priority, max_age)
        ticket = self._ticket(keys, tally, now)
        if self.dispatcher.teller is not None:
            self.dispatcher.teller.started(ticket)
        batcher = self.batcher
        placed = batcher.placed
        batcher.add(ticket, priority, now, max_age)
        if batcher.placed > placed:  # else all of it waits already, or is here
            self.dispatcher.wake()
        if timeout is not None and not ticket.done():
            self._deadlines.add(ticket, now + timeout)
        return ticket

    def _ticket(self, keys: Sequence[Key], tally: Tally, now: float) -> Ticket:
        """One for a caller who came at ``now``."""
        teller = self.dispatcher.teller
        if teller is None:
            ticket = Ticket(loop=self.loop)
        else:
            ticket = teller.ticket(self.line.key.user, now)
        ticket.lane = self
        ticket.tally = tally
        ticket.keys = keys
        ticket.timer = None
        if len(keys) == 1:
            ticket.answers = None
        else:
            ticket.answers, ticket.left = dict.fromkeys(keys), len(keys)
            ticket.error = ticket.turns = None
        return ticket

    def _admit(
        self,
        keys: Sequence[Key],
        tally: Tally,
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
        if tally.shut or dispatcher.closed:
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
        tally.calls += 1
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
        line, asking = self.line, self.dispatcher
        ahead, by = line.ahead(), now + timeout
        if not ahead and line.bucket.next_free(now) <= by and asking.host.closed_until <= by:
            return
        if line.surely(ahead, now, asking) <= timeout:
            return
        if line.estimate(ahead, now, asking) <= timeout:
            return
        if max_age is not None and self.batcher.knows(keys, now - max_age):
            return
        wait = line.estimate(line.ahead_of(asking, keys, priority, now), now, asking)
        if wait > timeout:
            raise DeadlineExceededError(
                f"{self.endpoint.name}: the queue alone takes about {wait:.1f} s, more than "
                f"timeout={timeout:g}",
                estimated_wait=wait,
            )

    # -- leaving ---------------------------------------------------------------------------

    def leave(self, ticket: Ticket) -> None:
        """The caller was cancelled."""
        self.batcher.leave(ticket)
        ticket.tally.cancelled += 1
        if ticket.timer is not None:
            ticket.timer.pop(ticket, None)

    def expire(self, ticket: Ticket) -> None:
        """The caller's time is over."""
        trouble = self.line.bucket.trouble
        sent = self.batcher.asked(ticket)
        if trouble is not None and not sent:
            self.dispatcher.fail_unreachable(ticket, trouble)
            return
        error: OutcomeUnknownError | DeadlineExceededError
        if sent and not self.endpoint.retry_is_safe:
            error = self.dispatcher.unknown("no answer within the call's timeout")
        else:
            error = DeadlineExceededError(
                f"{self.endpoint.name}: no answer within the call's timeout "
                f"({'a request was on its way' if sent else 'nothing was sent for it'})",
                sent=sent,
            )
        self.batcher.fail(ticket, error)

    def everybody(self, tally: Tally | None = None) -> set[Ticket]:
        """Everybody, or everybody of ``tally``, who isn't answered yet."""
        return {
            ticket
            for ticket in self.batcher.everybody()
            if not ticket.done() and (tally is None or ticket.tally is tally)
        }
