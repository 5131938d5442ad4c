"""Where waiting callers, the limit and the wire meet.

The way of a call, and who decides what:

    caller                          lane (credentials, endpoint)      line (one bucket's queue)
      ask(keys) ──▶ ticket placed ──────────────────────────────────▶ wake, once a turn
      sleeps on its ticket                                            pump: a slot is won …
                                    … now the batch is chosen  ◀──────  for the oldest question
                                    a task of its own: sign, send, read, give the slot back
      ◀── rows, in slices ───────── settle
                                    or put back at the head, or fail each caller by itself

All decisions are synchronous functions between two awaits: nothing can be cancelled halfway
through one. A slot is taken only when a batch is sure to leave, and it is given back in exactly
one place, at the end of the flight that holds it. A retry is no special road: its questions go
back to the head of the queue and must win a slot like all others.
"""

from __future__ import annotations

import asyncio
import copy
import logging
import math
import random
import time
import weakref
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from .batching import Batcher
from .buckets import Bucket
from .callers import Batch, Key, Question, Several, Tally, Ticket, Total
from .circuit import AuthCircuit
from .deadlines import Deadlines
from .endpoints import Endpoint
from .errors import (
    BucketsUnreachableError,
    ClientClosedError,
    ClockSkewError,
    DeadlineExceededError,
    HTTPStatusError,
    InvalidArgumentError,
    InvalidParameterError,
    OKXError,
    OutcomeUnknownError,
    ProtocolError,
    QueueFullError,
    RateLimitError,
    ResponseError,
    WrongLoopError,
)
from .events import (
    BatchDispatched,
    BucketStatistics,
    Event,
    Observer,
    Refused,
    ResponseReceived,
    RetryScheduled,
    SlotWon,
)
from .hosts import Host
from .inquest import Inquest
from .registry import BucketKey
from .retry import delay, may_have_worked, may_pass
from .wire import Response, build_target, parse_response

logger = logging.getLogger("okx_funding.scheduler")

WRONG_LOOP = (
    "this client belongs to another event loop (or process): make one client for each, inside "
    "it; from other threads use asyncio.run_coroutine_threadsafe(coroutine, loop)"
)

_UNHEARD_OF: Sequence[Key] = ("",)
"""A key that nobody waits for."""


class Line:
    """The queue before one bucket: the lanes that have something to send. One timer for all."""

    def __init__(self, key: BucketKey, bucket: Bucket, loop: asyncio.AbstractEventLoop):
        self.key = key
        self.bucket = bucket
        self.loop = loop
        self.lanes: dict[Lane, None] = {}
        self.members: weakref.WeakSet[Lane] = weakref.WeakSet()
        self._soon = False
        self._timer: asyncio.TimerHandle | None = None

    def __str__(self) -> str:
        return (
            f"{self.key.rule}: {self.bucket.slots_free(self.loop.time())} of "
            f"{self.bucket.limit.count} slots free, {self.waiting()} callers waiting"
        )

    def wake(self) -> None:
        """Something changed: look once, when everybody of this turn of the loop has asked."""
        if not self._soon:
            self._soon = True
            self.loop.call_soon(self.pump)

    def pump(self) -> None:
        """Match waiting lanes with free slots; then sleep until the next slot is due."""
        self._soon = False
        now = self.loop.time()
        while (lane := self._next()) is not None:
            if now < lane.host.closed_until:
                self._sleep(lane.host.closed_until)
                return
            slot = self.bucket.take(now)
            if slot is None:
                self._sleep(max(self.bucket.next_free(now), lane.host.closed_until))
                return
            lane.dispatch(slot, now)
        self._sleep(math.inf)

    def _next(self) -> Lane | None:
        """The lane with the oldest question."""
        for lane in [lane for lane in self.lanes if not lane.ready()]:
            del self.lanes[lane]
        if len(self.lanes) < 2:
            return next(iter(self.lanes), None)
        return min(self.lanes, key=lambda lane: lane.batcher.rank())

    def _sleep(self, until: float) -> None:
        if self._timer is not None:
            if self._timer.when() == until and not self._timer.cancelled():
                return
            self._timer.cancel()
            self._timer = None
        if until < math.inf:
            self._timer = self.loop.call_at(until, self._ring)

    def _ring(self) -> None:
        self._timer = None
        self.pump()

    def move_to(self, heir: Line) -> None:
        """All its lanes queue before another bucket from now on."""
        if heir is self:
            return
        self._sleep(math.inf)
        for lane in list(self.members):
            lane.line = heir
            heir.members.add(lane)
        heir.lanes.update(self.lanes)
        self.lanes.clear()
        heir.wake()

    def give_up(self, reason: str) -> None:
        """There won't be a slot: whoever waits for one is told."""
        for lane in list(self.lanes):
            lane.give_up(reason)

    def waiting(self) -> int:
        """Callers whose questions aren't all answered."""
        return sum(lane.batcher.callers for lane in self.members)

    def ahead(self) -> int:
        """Requests that those who wait now will need."""
        return sum(math.ceil(lane.batcher.placed / lane.batcher.max_keys) for lane in self.lanes)

    def ahead_of(self, lane: Lane, keys: Sequence[Key], priority: int, now: float) -> int:
        """Requests that leave before the one with the last of the first turn of ``keys``."""
        requests = lane.batcher.ahead_of(keys, priority, now) // lane.batcher.max_keys
        for other in self.lanes:
            if other is not lane:
                placed = other.batcher.ahead_of(_UNHEARD_OF, priority, now)
                requests += math.ceil(placed / other.batcher.max_keys)
        return requests

    def estimate(self, requests: int, now: float, *asking: Lane) -> float:
        """About the seconds until a slot is won, after so many other requests."""
        lanes = [*self.lanes, *asking]
        gate = max((lane.host.closed_until for lane in lanes), default=-math.inf)
        return max(0.0, self.bucket.nth_free(requests, now, gate) - now)

    def statistics(self, max_keys: int) -> BucketStatistics:
        """What it looks like now."""
        now, bucket, key = self.loop.time(), self.bucket, self.key
        return BucketStatistics(
            endpoint=key.rule,
            user=key.user,
            host=key.origin.partition("://")[2],
            demo=key.demo,
            count=bucket.limit.count,
            period=bucket.limit.period,
            slots_free=bucket.slots_free(now),
            next_slot_in=max(0.0, bucket.next_free(now) - now),
            callers_waiting=self.waiting(),
            estimated_wait=self.estimate(self.ahead(), now, *self.members),
            requests_sent=bucket.sent,
            requests_refused=bucket.refusals,
            keys_sent=bucket.keys_sent,
            max_keys=max_keys,
            callers_served=bucket.callers_served,
            utilisation=bucket.utilisation(now),
            shared_with_others=bucket.shared_with_others(now),
        )


@dataclass(frozen=True, slots=True)
class Policy:
    """What one client allows its calls."""

    max_retries: int = 2
    max_refusals: int = 10
    max_queue: int = 200_000
    promote_above: int | None = None


Sender = Callable[[Endpoint, str], Awaitable[Response]]


class Lane:
    """All calls of one endpoint that may share requests: same credentials, same settings."""

    def __init__(
        self,
        endpoint: Endpoint,
        line: Line,
        host: Host,
        send: Sender,
        *,
        policy: Policy,
        deadlines: Deadlines,
        flights: set[asyncio.Task[None]],
        total: Total,
        observer: Observer | None = None,
        circuit: AuthCircuit | None = None,
        redact: Callable[[str], str] = str,
        learn_clock: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self.endpoint = endpoint
        self.line = line
        line.members.add(self)
        self.host = host
        self.batcher = Batcher(endpoint.max_keys, policy.promote_above)
        self.tally = Tally(total)
        self.last_trip = 0.0
        self.loop = line.loop
        self._send = send
        self._policy = policy
        self._deadlines = deadlines
        self._flights = flights
        self._observer = observer
        self._circuit = circuit or AuthCircuit()
        self._circuit.members.add(self)
        self._redact = redact
        self._learn_clock = learn_clock
        self._aside: dict[Batch, asyncio.TimerHandle] = {}
        self._inquests: dict[Inquest, tuple[OKXError, dict[Key, Question]]] = {}

    def __repr__(self) -> str:
        return f"<Lane {self.endpoint.name}: {self.batcher.callers} callers, {self.line.bucket!r}>"

    # -- callers ---------------------------------------------------------------------------

    def ask(
        self,
        keys: Sequence[Key],
        tally: Tally,
        *,
        timeout: float | None = None,
        priority: int = 0,
        max_age: float | None = None,
    ) -> Ticket:
        """A ticket for the rows of ``keys``; it ends with them or with an error of its own."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            raise WrongLoopError(WRONG_LOOP) from None
        if loop is not self.loop:
            raise WrongLoopError(WRONG_LOOP)
        batcher = self.batcher
        if batcher.callers >= self._policy.max_queue:
            raise QueueFullError(
                f"{batcher.callers} callers wait for {self.endpoint.name} already "
                f"(max_queue={self._policy.max_queue})"
            )
        now = loop.time()
        refusal = self._circuit.refusal(now)
        if refusal is not None:
            raise refusal
        if timeout is not None:
            self._refuse_hopeless(keys, timeout, priority, now, max_age)
        ticket = Ticket(loop=loop)
        ticket.lane = self
        ticket.tally = tally
        ticket.keys = keys
        ticket.timer = None
        ticket.several = Several(len(keys)) if len(keys) > 1 else None
        tally.calls += 1
        batcher.add(ticket, priority, now, max_age)
        if timeout is not None and not ticket.done():
            self._deadlines.add(ticket, now + timeout)
        line = self.line
        line.lanes[self] = None
        line.wake()
        return ticket

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
        line = self.line
        if line.estimate(line.ahead(), now, self) <= timeout:
            return
        if max_age is not None and self.batcher.knows(keys, now - max_age):
            return
        wait = line.estimate(line.ahead_of(self, keys, priority, now), now, self)
        if wait > timeout:
            raise DeadlineExceededError(
                f"{self.endpoint.name}: the queue alone takes about {wait:.1f} s, more than "
                f"timeout={timeout:g}",
                estimated_wait=wait,
            )

    def leave(self, ticket: Ticket) -> None:
        """The caller was cancelled."""
        self.batcher.leave(ticket)
        ticket.tally.cancelled += 1
        if ticket.timer is not None:
            ticket.timer.pop(ticket, None)

    def expire(self, ticket: Ticket) -> None:
        """The caller's time is over."""
        trouble = self.line.bucket.trouble
        if trouble is not None:
            self.batcher.fail(ticket, self._unreachable(trouble))
            return
        sent = self.batcher.asked(ticket)
        if sent and not self.endpoint.retry_is_safe:
            self.batcher.fail(ticket, self._unknown("no answer within the call's timeout"))
            return
        self.batcher.fail(
            ticket,
            DeadlineExceededError(
                f"{self.endpoint.name}: no answer within the call's timeout "
                f"({'a request was on its way' if sent else 'nothing was sent for it'})",
                sent=sent,
            ),
        )

    def give_up(self, reason: str) -> None:
        """There won't be a slot: whoever waits for one is told."""
        for ticket in self.batcher.waiters():
            if not ticket.done():
                self.batcher.fail(ticket, self._unreachable(reason))

    def _unreachable(self, reason: str) -> BucketsUnreachableError:
        return BucketsUnreachableError(f"{self.endpoint.name}: {reason}; nothing was sent")

    def close(self, tally: Tally | None = None) -> None:
        """Everybody who waits, or everybody of ``tally``, gets a ClientClosedError now."""
        waiting = self.batcher.waiters()
        for batch, timer in list(self._aside.items()):
            waiting.update(*(question.askers for question in batch.questions))
            if tally is None:
                timer.cancel()
                del self._aside[batch]
        for ticket in waiting:
            if not ticket.done() and (tally is None or ticket.tally is tally):
                self.batcher.fail(
                    ticket,
                    ClientClosedError(f"{self.endpoint.name}: closed while the call waited"),
                )

    def everybody(self, tally: Tally | None = None) -> set[Ticket]:
        """Everybody, or everybody of ``tally``, who isn't answered yet."""
        tickets = self.batcher.waiters() | self.batcher.flyers()
        for batch in self._aside:
            tickets.update(*(question.askers for question in batch.questions))
        return {
            ticket
            for ticket in tickets
            if not ticket.done() and (tally is None or ticket.tally is tally)
        }

    # -- requests --------------------------------------------------------------------------

    def ready(self) -> bool:
        """Whether there is something to send that somebody wants."""
        refusal = self._circuit.refusal(self.loop.time())
        if refusal is not None:
            for ticket in self.batcher.waiters():
                self._fail_one(ticket, refusal)
        while (part := self.batcher.drop_unwanted_part()) is not None:
            self._part_over(part)
        return self.batcher.ready

    def dispatch(self, slot: Any, now: float) -> None:
        """A slot is won: choose the batch and let it fly."""
        batch = self.batcher.take(now)
        assert batch is not None, "the line gave a slot to a lane where nobody waits"
        if not any(question.attempts for question in batch.questions):
            self.host.budget.first()
        if any(question.attempts or question.refusals for question in batch.questions):
            self.tally.retries += 1
        self.tally.requests += 1
        self._circuit.sends()
        self.line.bucket.load(slot, len(batch.questions), batch.callers)
        if self._observer is not None:
            waited = now - min(question.since for question in batch.questions)
            self._tell(SlotWon(self.endpoint.name, self.line.key.user, waited))
            self._tell(
                BatchDispatched(
                    self.endpoint.name,
                    self.line.key.user,
                    batch.number,
                    len(batch.questions),
                    batch.callers,
                )
            )
        task = self.loop.create_task(self._fly(batch, slot))
        self._flights.add(task)
        task.add_done_callback(self._flights.discard)

    async def _fly(self, batch: Batch, slot: Any) -> None:
        bucket, loop = self.line.bucket, self.loop
        version = self.host.clock_version
        outcome: OKXError | None = None
        rows: list[Any] = []
        frozen = 0.0
        try:
            response = await self._send(self.endpoint, build_target(self.endpoint, batch.keys))
            rows = parse_response(self.endpoint, response, self._redact)
        except ResponseError as error:
            outcome = error
            if isinstance(error, RateLimitError):
                frozen = bucket.refused(slot, loop.time(), error.retry_after)
            else:
                bucket.answered(slot, loop.time(), warm=False)
        except OKXError as error:
            outcome = error
            (bucket.lost if error.sent else bucket.unsent)(slot, loop.time())
        except asyncio.CancelledError:
            bucket.lost(slot, loop.time())
            self._closed_in_flight(batch)
            raise
        except Exception as error:
            bucket.lost(slot, loop.time())
            outcome = ProtocolError(f"{self.endpoint}: unexpected {type(error).__name__}")
            logger.error("%s: unexpected %s", self.endpoint, type(error).__name__)
        else:
            bucket.answered(slot, loop.time(), warm=not response.fresh)
        if outcome is not None:
            self._hush(outcome)
        self.last_trip = loop.time() - slot.sent_at
        self.line.wake()
        if self._observer is not None:
            name = "ok" if outcome is None else type(outcome).__name__
            user = self.line.key.user
            self._tell(
                ResponseReceived(self.endpoint.name, user, batch.number, self.last_trip, name)
            )
            if frozen:
                self._tell(Refused(self.endpoint.name, user, batch.number, frozen))
        self._judge_key(outcome)
        if outcome is None:
            if any(question.attempts for question in batch.questions):
                self.host.budget.refund()
            self._hand_out(self.batcher.settle(batch, self._rows_by_key(rows)))
            if batch.inquest is not None:
                batch.inquest.passed(batch.keys)
                self._next_part(batch.inquest)
        elif isinstance(outcome, ClockSkewError):
            await self._set_clock(batch, outcome, version)
        else:
            self._failed(batch, outcome)

    def _rows_by_key(self, rows: list[Any]) -> Callable[[Key], list[Any]]:
        """Rows belong to the key they name, never to a place; without keys, all to the one."""
        if self.endpoint.max_keys == 1:
            return lambda _: rows
        by_ccy: dict[str, list[Any]] = {}
        for row in rows:
            of_this = by_ccy.setdefault(row.ccy.upper(), [])
            if row not in of_this:  # callers may have spelled one currency in two ways
                of_this.append(row)
        return lambda key: rows if key is None else by_ccy.get(key.upper(), [])

    def _hand_out(self, answering: Iterator[None]) -> None:
        for _ in answering:
            self.loop.call_soon(self._hand_out, answering)
            return

    # -- failures --------------------------------------------------------------------------

    def _judge_key(self, outcome: OKXError | None) -> None:
        pause = self._circuit.saw(outcome, self.loop.time())
        if not pause:
            return
        user = self.line.key.user
        logger.warning("OKX goes on refusing the key of %s: it rests for %g s", user, pause)
        for lane in list(self._circuit.members):
            if isinstance(lane, Lane):
                lane.line.wake()  # whoever waits there is told

    def _closed_in_flight(self, batch: Batch) -> None:
        closed: OKXError = ClientClosedError(f"{self.endpoint.name}: closed in flight")
        if not self.endpoint.retry_is_safe:
            closed = self._unknown("closed in flight")
        self._circuit.saw(closed, self.loop.time())
        self._fail(batch, closed)

    def _unknown(self, reason: object) -> OutcomeUnknownError:
        return OutcomeUnknownError(
            f"{self.endpoint}: whether it took effect is unknown; look it up before asking again "
            f"({reason})"
        )

    def _failed(self, batch: Batch, error: OKXError) -> None:
        self.batcher.landed(batch)
        if isinstance(error, RateLimitError):
            self._refused(batch, error)
            return
        if isinstance(error, InvalidParameterError):
            self._investigate(batch, error)
            return
        if isinstance(error, HTTPStatusError) and error.http_status == 429:
            self.host.close_gate(self.loop.time(), error.retry_after)
        failures = max(question.attempts for question in batch.questions)
        kind = may_pass(error, failures)
        if not self.endpoint.retry_is_safe and error.sent:
            error = self._unknown(error) if may_have_worked(error) else error
            kind = None
        if kind is None:
            self._fail(batch, error)
            return
        for question in batch.questions:
            question.attempts += 1
            for ticket, before in list(question.askers.items()):
                if question.attempts - before > self._policy.max_retries:
                    self._fail_one(ticket, error)
        if not batch.wanted():
            self._part_over(batch)
            return
        if not self.host.budget.spend():
            self._fail(batch, error)
            return
        wait = delay(error, kind, failures, random.random())
        self._tell_retry(batch, wait, error)
        if wait > 0:
            self._aside[batch] = self.loop.call_later(wait, self._back, batch)
        else:
            self._back(batch)

    def _refused(self, batch: Batch, error: RateLimitError) -> None:
        self.tally.refused += 1
        for question in batch.questions:
            question.refusals += 1
            if question.refusals >= self._policy.max_refusals:
                for ticket in list(question.askers):
                    self._fail_one(ticket, error)
        self._tell_retry(batch, 0.0, error)
        self._back(batch)

    async def _set_clock(self, batch: Batch, error: ClockSkewError, version: int) -> None:
        """Learn OKX's time once; who was signed by the old clock is signed anew."""
        if self.host.clock_version == version:
            fresh = self.host.clock_is_fresh(self.loop.time(), time.time())
            if self._learn_clock is None or fresh:
                error.offset = self.host.clock_offset if version else None
                self._fail(batch, error)
                return
            try:
                await self._learn_clock()
            except asyncio.CancelledError:
                self._closed_in_flight(batch)
                raise
            if self.host.clock_version == version:
                self._fail(batch, error)
                return
        self._tell_retry(batch, 0.0, error)
        self._back(batch)

    def _back(self, batch: Batch) -> None:
        """To the head of the queue again, with whoever still waits."""
        self._aside.pop(batch, None)
        if self.batcher.put_back(batch, self.loop.time()):
            self._wake()

    def _wake(self) -> None:
        self.line.lanes[self] = None
        self.line.wake()

    def _fail(self, batch: Batch, error: OKXError) -> None:
        self.batcher.landed(batch)
        for question in batch.questions:
            for ticket in list(question.askers):
                self._fail_one(ticket, error)
        self._part_over(batch)

    def _fail_one(self, ticket: Ticket, error: OKXError) -> None:
        if not ticket.done():
            self.batcher.fail(ticket, copy.copy(error))

    def _hush(self, error: OKXError) -> None:
        """Gateways repeat what they were sent: no secret goes on from here."""
        error.args = tuple(self._redact(str(arg)) for arg in error.args)
        for name, value in vars(error).items():
            if isinstance(value, str):
                setattr(error, name, self._redact(value))

    # -- one bad currency must not harm the others -----------------------------------------

    def _investigate(self, batch: Batch, error: InvalidParameterError) -> None:
        """OKX refused the batch for a parameter: find out whose it is."""
        inquest = batch.inquest
        if batch.everything:  # no currency was named: OKX doesn't want to be asked like that
            self.batcher.promote_above = None
            self._back(batch)
        elif inquest is None and len(batch.questions) == 1:
            self.batcher.blame(batch.questions[0], error, self.loop.time())
        elif inquest is None:
            inquest = Inquest(batch.keys, error.msg)
            self._inquests[inquest] = (error, {q.key: q for q in batch.questions})
            self.batcher.hold(batch.questions)
            self._next_part(inquest)
        else:
            if inquest.refused(batch.keys) is not None:
                self.batcher.blame(batch.questions[0], error, self.loop.time())
            else:
                self.batcher.hold(batch.questions)
            self._next_part(inquest)

    def _next_part(self, inquest: Inquest) -> None:
        """What the inquest wants asked next goes to the head of the queue, or it is over."""
        error, questions = self._inquests[inquest]
        rest = [questions[key] for key in inquest.left]
        unwanted = [question for question in rest if not question.wanted()]
        if inquest.hopeless:
            self._fail(Batch(rest), error)
            unwanted = rest
        if unwanted:
            inquest.forget(Batch(unwanted).keys)
            self.batcher.release(unwanted)
        part = inquest.part()
        if part:
            self.batcher.put_part(Batch([questions[key] for key in part], inquest))
            self._wake()
        else:
            del self._inquests[inquest]

    def _part_over(self, batch: Batch) -> None:
        """Nobody is left in a part of an inquest."""
        if batch.inquest is not None:
            batch.inquest.forget(batch.keys)
            self.batcher.release(batch.questions)
            self._next_part(batch.inquest)

    # -- telling ---------------------------------------------------------------------------

    def _tell_retry(self, batch: Batch, wait: float, error: OKXError) -> None:
        logger.debug(
            "%s: batch %d goes back in %.3f s: %s",
            self.endpoint.name,
            batch.number,
            wait,
            type(error).__name__,
        )
        if self._observer is not None:
            self._tell(
                RetryScheduled(
                    self.endpoint.name,
                    self.line.key.user,
                    batch.number,
                    wait,
                    type(error).__name__,
                )
            )

    def _tell(self, event: Event) -> None:
        observer = self._observer
        if observer is None:
            return
        try:
            observer(event)
        except Exception:
            logger.exception("an observer failed at %s", type(event).__name__)
