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
import itertools
import logging
import math
import random
import time
import traceback
import weakref
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from .batching import SLICE, Batcher
from .buckets import Bucket
from .callers import Batch, Key, Tally, Ticket, Total
from .circuit import AuthCircuit
from .deadlines import Deadlines
from .endpoints import Endpoint
from .errors import (
    BucketsUnreachableError,
    ClientClosedError,
    ClockSkewError,
    ConnectError,
    DeadlineExceededError,
    DecodeError,
    HTTPStatusError,
    InvalidArgumentError,
    InvalidParameterError,
    OKXError,
    OutcomeUnknownError,
    ProtocolError,
    QueueFullError,
    RateLimitError,
    ResponseError,
    ResponseTooLargeError,
    WrongLoopError,
)
from .events import (
    BatchDispatched,
    BucketStatistics,
    CallEnded,
    CallStarted,
    Event,
    Observer,
    Refused,
    ResponseReceived,
    RetryScheduled,
    SlotWon,
)
from .hosts import Host
from .registry import BucketKey
from .retry import delay, may_have_worked, may_pass
from .wire import Response, build_target, parse_response

logger = logging.getLogger("okx_funding.scheduler")
_numbers = itertools.count(1)

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
        self._promise = (0, math.inf)

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
        self._promise = (0, math.inf)
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
        if len(self.lanes) == 1:
            (lane,) = self.lanes
            if lane.ready():
                return lane
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

    def give_up(self, reason: str, *, patient: bool) -> None:
        """There won't be a slot: whoever waits is told, or only who has no deadline."""
        for lane in list(self.members):
            lane.give_up(reason, patient=patient)

    def waiting(self) -> int:
        """Callers whose questions aren't all answered."""
        return sum(lane.batcher.callers for lane in self.members)

    def ahead(self) -> int:
        """Requests that those who wait now will need."""
        now = self.loop.time()
        return sum([lane.batcher.requests(now) for lane in self.lanes])

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

    def surely(self, requests: int, now: float, asking: Lane) -> float:
        """Seconds within which a slot is won after so many other requests, and many more.

        One reckoning serves everybody who comes until the next pump.
        """
        promised, by = self._promise
        if requests > promised:
            promised = 2 * requests + 8
            by = now + self.estimate(promised, now, asking)
            self._promise = (promised, by)
        return by - now

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
        self.closed = False
        self.loop = line.loop
        self._send = send
        self._policy = policy
        self._deadlines = deadlines
        self._flights = flights
        self._observer = observer
        self._numbers: dict[Ticket, int] = {}
        """Of the calls that the observer was told of and that aren't over."""
        self._circuit = circuit or AuthCircuit()
        self._circuit.members.add(self)
        self._redact = redact
        self._learn_clock = learn_clock
        self._aside: dict[Batch, asyncio.TimerHandle] = {}
        self._boarding: set[Batch] = set()
        """Batches whose flights didn't begin yet."""

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
        if tally.shut or self.closed:
            raise ClientClosedError(f"{self.endpoint.name}: the client is closed")
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
        if len(keys) == 1:
            ticket.answers = None
        else:
            ticket.answers, ticket.left = dict.fromkeys(keys), len(keys)
            ticket.error = ticket.turns = None
        tally.calls += 1
        if self._observer is not None:
            self._watch(ticket, now)
        placed = batcher.placed
        batcher.add(ticket, priority, now, max_age)
        if batcher.placed > placed:  # else all of it waits already, or is here
            self._wake()
        if timeout is not None and not ticket.done():
            self._deadlines.add(ticket, now + timeout)
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
        ahead = line.ahead()
        if line.surely(ahead, now, self) <= timeout or line.estimate(ahead, now, self) <= timeout:
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
        sent = self.batcher.asked(ticket)
        if trouble is not None and not sent:
            self._fail_unreachable(ticket, trouble)
            return
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

    def give_up(self, reason: str, *, patient: bool) -> None:
        """There won't be a slot: whoever waits is told, or only who has no deadline."""
        for ticket in self.batcher.waiters():
            if not ticket.done() and (ticket.timer is None or not patient):
                self._fail_unreachable(ticket, reason)

    def _fail_unreachable(self, ticket: Ticket, reason: str) -> None:
        sent = self.batcher.asked(ticket)
        told = "a request had been sent before" if sent else "nothing was sent"
        error = BucketsUnreachableError(f"{self.endpoint.name}: {reason}; {told}", sent=sent)
        self.batcher.fail(ticket, error)

    def close(self, tally: Tally | None = None) -> None:
        """Everybody who waits, or everybody of ``tally``, gets a ClientClosedError now.

        What is on the wire goes on; if it fails, it isn't tried again for them.
        """
        if tally is None:
            self.closed = True
        else:
            tally.shut = tally.over = True
        for ticket in self.batcher.waiters():
            self._dismiss(ticket)
        for batch, timer in list(self._aside.items()):
            for ticket, _ in batch.tickets():
                self._dismiss(ticket)
            if not batch.wanted():
                timer.cancel()
                self._back(batch)
        self._wake()

    def _dismiss(self, ticket: Ticket) -> None:
        """Nothing more is asked for a caller whose client is closed."""
        if (self.closed or ticket.tally.over) and not ticket.done():
            error = ClientClosedError(f"{self.endpoint.name}: closed while the call waited")
            error.sent = self.batcher.asked(ticket)
            self.batcher.fail(ticket, error)

    def everybody(self, tally: Tally | None = None) -> set[Ticket]:
        """Everybody, or everybody of ``tally``, who isn't answered yet."""
        return {
            ticket
            for ticket in self.batcher.everybody()
            if not ticket.done() and (tally is None or ticket.tally is tally)
        }

    # -- requests --------------------------------------------------------------------------

    def ready(self) -> bool:
        """Whether there is something to send that somebody wants."""
        now = self.loop.time()
        refusal = self._circuit.refusal(now)
        if refusal is not None:
            for ticket in self.batcher.waiters():
                self._fail_one(ticket, refusal)
        return self.batcher.ready(now) and not self.closed

    def dispatch(self, slot: Any, now: float) -> None:
        """A slot is won: choose the batch and let it fly."""
        batch = self.batcher.take(now)
        assert batch is not None, "the line gave a slot to a lane where nobody waits"
        self._circuit.sends()
        self.line.bucket.load(slot, len(batch.questions), batch.callers)
        self._boarding.add(batch)
        task = self.loop.create_task(self._fly(batch, slot))
        self._flights.add(task)
        task.add_done_callback(partial(self._flight_over, batch, slot))

    def _departs(self, batch: Batch) -> bool:
        """Count the request that leaves; False when all have left since the batch was chosen."""
        if not self.batcher.trim(batch, self.loop.time()):
            return False
        if not batch.failures:
            self.host.budget.first()
        if batch.repeated:
            self.tally.retries += 1
        self.tally.requests += 1
        if self._observer is not None:
            waited = batch.sent_at - min(question.since for question in batch.questions.values())
            self._tell(SlotWon(self.endpoint.name, self.line.key.user, waited))
            self._tell(
                BatchDispatched(
                    self.endpoint.name,
                    self.line.key.user,
                    batch.number,
                    len(batch.questions),
                    batch.callers,
                    self._calls_of(batch),
                )
            )
        return True

    def _flight_over(self, batch: Batch, slot: Any, task: asyncio.Task[None]) -> None:
        self._flights.discard(task)
        if batch in self._boarding:  # cancelled before its first step, it could do nothing
            self._boarding.discard(batch)
            self.line.bucket.unsent(slot, self.loop.time())
            self.line.wake()
            self._fail(batch, ClientClosedError(f"{self.endpoint.name}: cancelled unsent"))
        mistake = None if task.cancelled() else task.exception()
        if mistake is not None:  # ours, in whatever comes after the answer
            name = type(mistake).__name__
            where = "".join(traceback.format_tb(mistake.__traceback__))
            logger.error("%s: unexpected %s\n%s", self.endpoint, name, where)
            self._fail(batch, ProtocolError(f"{self.endpoint}: unexpected {name}"))

    async def _fly(self, batch: Batch, slot: Any) -> None:
        self._boarding.discard(batch)
        bucket, loop = self.line.bucket, self.loop
        if not self._departs(batch):
            bucket.unsent(slot, loop.time())
            self._circuit.saw(ClientClosedError("nobody waits any more"), loop.time())
            self._wake()
            return
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
            self._tell_answer(batch, slot, ClientClosedError())
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
        if self.line.lanes:
            self.line.wake()
        if self._observer is not None:
            self._tell_answer(batch, slot, outcome, frozen)
        self._judge_key(outcome)
        if not isinstance(outcome, ConnectError):
            self.host.reached()
        if outcome is None:
            self.host.budget.succeeded(again=batch.failures > 0)
            self._hand_out(self.batcher.settle(batch, self._rows_by_key(rows)))
            if batch.trial is not None:
                self.batcher.part_passed(batch, loop.time())
                self._wake()
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
        closed.sent = True
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
        if isinstance(error, ConnectError) and error.may_pass:
            self.host.unreachable(self.loop.time(), random.random())
        failures = batch.failures
        kind = may_pass(error, failures)
        if not self.endpoint.retry_is_safe and error.sent:
            error = self._unknown(error) if may_have_worked(error) else error
            kind = None
        if batch.everything and isinstance(error, DecodeError | ResponseTooLargeError):
            self._demote(batch, error)
            return
        if kind is None:
            self._fail(batch, error)
            return
        batch.count(failures=1, requests=error.sent)
        most = self._policy.max_retries
        spent = [ticket for ticket, past in batch.tickets() if past.failures > most]
        if batch.wanted(without=spent) and (not error.sent or self.host.budget.spend()):
            self._hand_out(self._failing(spent, error))
            self._again(batch, error, delay(error, kind, failures, random.random()))
        else:
            self._fail(batch, error)

    def _refused(self, batch: Batch, error: RateLimitError) -> None:
        self.tally.refused += 1
        batch.count(refusals=1, requests=1)
        most = self._policy.max_refusals
        spent = [ticket for ticket, past in batch.tickets() if past.refusals >= most]
        if batch.wanted(without=spent):
            self._hand_out(self._failing(spent, error))
            self._again(batch, error)
        else:
            self._fail(batch, error)

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
        batch.count(requests=1)
        self._again(batch, error)

    def _again(self, batch: Batch, error: OKXError, wait: float = 0.0) -> None:
        """To the head of the queue once more, in ``wait`` seconds, with whoever still waits."""
        for ticket, _ in batch.tickets():
            self._dismiss(ticket)
        if batch.wanted():
            self._tell_retry(batch, wait, error)
        else:
            wait = 0.0
        if wait > 0:
            batch.resting = True
            self._aside[batch] = self.loop.call_later(wait, self._back, batch)
        else:
            self._back(batch)

    def _back(self, batch: Batch) -> None:
        self._aside.pop(batch, None)
        self.batcher.put_back(batch, self.loop.time())
        self._wake()

    def _wake(self) -> None:
        self.line.lanes[self] = None
        self.line.wake()

    def _demote(self, batch: Batch, error: OKXError) -> None:
        """OKX doesn't want to be asked for everything at once, or can't answer it."""
        self.batcher.demote(self.loop.time())
        batch.count(requests=1)
        self._again(batch, error)

    def _fail(self, batch: Batch, error: OKXError) -> None:
        self.batcher.landed(batch)
        tickets = [ticket for ticket, _ in batch.tickets()]
        self._hand_out(self._failing(tickets, error, batch))
        if batch.trial is not None:
            self.batcher.part_failed(batch, self.loop.time())
            self._wake()

    def _failing(
        self, tickets: Iterable[Ticket], error: OKXError, batch: Batch | None = None
    ) -> Iterator[None]:
        for number, ticket in enumerate(tickets, 1):
            self._fail_one(ticket, error)
            if number % SLICE == 0:
                yield
        if batch is not None:
            self.batcher.over(batch)

    def _fail_one(self, ticket: Ticket, error: OKXError) -> None:
        if not ticket.done():
            self.batcher.fail(ticket, copy.copy(error))

    def _hush(self, error: OKXError) -> None:
        """Gateways repeat what they were sent: no secret goes on from here."""
        error.__traceback__ = None  # its frames hold the answer, and in a circle the error
        error.args = tuple(self._redact(str(arg)) for arg in error.args)
        for name, value in vars(error).items():
            if isinstance(value, str):
                setattr(error, name, self._redact(value))

    # -- one bad currency must not harm the others -----------------------------------------

    def _investigate(self, batch: Batch, error: InvalidParameterError) -> None:
        """OKX refused the batch for a parameter: find out whose it is."""
        batcher, now = self.batcher, self.loop.time()
        if batch.everything:
            self._demote(batch, error)
            return
        batch.count(requests=1)
        if batch.trial is not None:
            self._hand_out(batcher.part_refused(batch, error, now))
        elif len(batch.questions) == 1:
            self._hand_out(batcher.blame(batch, error, now))
        elif not batcher.accuse(batch, error, now):
            self._again(batch, error)
        self._wake()

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

    def _watch(self, ticket: Ticket, now: float) -> None:
        """Tell of a call when it starts and when it is over."""
        number = self._numbers[ticket] = next(_numbers)
        endpoint, user = self.endpoint.name, self.line.key.user
        self._tell(CallStarted(endpoint, user, number, len(ticket.keys)))

        def over(_: object) -> None:
            del self._numbers[ticket]
            error = ticket._exception  # asking for it aloud would hide that nobody else did
            outcome = "ok" if error is None else type(error).__name__
            if ticket.cancelled():
                outcome = "cancelled"
            self._tell(CallEnded(endpoint, user, number, self.loop.time() - now, outcome))

        ticket.add_done_callback(over)

    def _calls_of(self, batch: Batch) -> tuple[int, ...]:
        """The numbers of the calls that wait for a batch."""
        tickets = dict.fromkeys(ticket for ticket, _ in batch.tickets())
        return tuple(self._numbers[ticket] for ticket in tickets if ticket in self._numbers)

    def _tell_answer(
        self, batch: Batch, slot: Any, outcome: OKXError | None, frozen: float = 0.0
    ) -> None:
        took = self.loop.time() - slot.sent_at
        name, user = self.endpoint.name, self.line.key.user
        word = "ok" if outcome is None else type(outcome).__name__
        self._tell(ResponseReceived(name, user, batch.number, took, word))
        if frozen:
            self._tell(Refused(name, user, batch.number, frozen))

    def _tell(self, event: Event) -> None:
        observer = self._observer
        if observer is None:
            return
        try:
            observer(event)
        except Exception:
            logger.exception("an observer failed at %s", type(event).__name__)
