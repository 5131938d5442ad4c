"""Where a batch, a slot and the wire meet: one road for all requests, retries included.

The way of a call, and who decides what:

    caller                lane             dispatcher (credentials, endpoint)   line (one bucket)
      asks for keys ──▶ ticket, placed ──▶ has something to send ─────────────▶ wake, once a turn
      sleeps on its ticket                                                      pump: a slot is won
                                           now the batch is chosen ◀──────────  for the oldest
                                           fly: sign, send, read, give the slot back
      ◀── rows, in slices ──────────────── settle
                                           or put back at the head, or fail each caller by itself

All decisions are synchronous functions between two awaits: nothing can be cancelled halfway
through one. A slot is taken only when a batch is sure to leave, and it is given back in exactly
one place, at the end of the flight that holds it. A retry is no special road: its questions go
back to the head of the queue and must win a slot like all others.

A caller that finds nobody waiting sends in its own task (`Solo`), which saves a third of the time
that a call takes here. It stays alone as long as nobody else comes in the same turn of the loop.
Cancelling it ends its request; whoever joined that meanwhile is asked for anew.
"""

from __future__ import annotations

import asyncio
import copy
import logging
import random
import time
import traceback
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from .batching import SLICE, Batcher
from .callers import Batch, Key, Solo, Ticket
from .circuit import EndpointCircuit
from .endpoints import Endpoint
from .errors import (
    BucketsUnreachableError,
    ClientClosedError,
    ClockSkewError,
    ConnectError,
    DecodeError,
    HTTPStatusError,
    InvalidParameterError,
    OKXError,
    OutcomeUnknownError,
    ProtocolError,
    RateLimitError,
    ResponseError,
    ResponseTooLargeError,
)
from .flights import Flights
from .hosts import Host
from .line import Line
from .retry import delay, may_have_worked, may_pass
from .tally import Tally, Total
from .telling import Teller
from .wire import Response, build_target, parse_response

logger: logging.Logger = logging.getLogger("okx_funding.dispatcher")


@dataclass(frozen=True, slots=True)
class Policy:
    """What one client allows its calls."""

    max_retries: int = 2
    max_refusals: int = 10
    max_queue: int = 200_000
    promote_above: int | None = None


Send = Callable[[Endpoint, str], Awaitable[Response]]


class Dispatcher:
    """Sends the batches of one `Batcher`, and decides what becomes of them."""

    def __init__(
        self,
        endpoint: Endpoint,
        line: Line,
        host: Host,
        send: Send,
        *,
        policy: Policy,
        flights: Flights,
        total: Total,
        teller: Teller | None = None,
        circuit: EndpointCircuit | None = None,
        redact: Callable[[str], str] = str,
        learn_clock: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self.endpoint = endpoint
        self.line = line
        line.members.add(self)
        self.loop: asyncio.AbstractEventLoop = line.loop
        self.host = host
        self.policy = policy
        self.batcher: Batcher = Batcher(endpoint.max_keys, policy.promote_above)
        self.circuit: EndpointCircuit = circuit or EndpointCircuit()
        self.circuit.members.add(self)
        self.flights = flights
        self.tally: Tally = Tally(total)
        self.teller = teller
        self.last_trip: float = 0.0
        """Seconds that its last request took."""
        self.closed: bool = False
        self._send = send
        self._redact = redact
        self._learn_clock = learn_clock
        self._aside: dict[Batch, asyncio.TimerHandle] = {}
        self._boarding: set[Batch] = set()
        """Batches whose flights didn't begin yet."""

    def __repr__(self) -> str:
        return f"<Dispatcher {self.endpoint.name}: {self.batcher!r}, {self.line.bucket!r}>"

    # -- in the line -----------------------------------------------------------------------

    def wake(self) -> None:
        """There is something to send."""
        self.line.senders[self] = None
        self.line.wake()

    def ready(self, now: float) -> bool:
        """Whether there is something to send that somebody wants."""
        refusal = self.circuit.refusal(now)
        if refusal is not None:
            for ticket in self.batcher.waiters():
                self._fail_one(ticket, refusal)
        return self.batcher.ready(now) and not self.closed

    def give_up(self, reason: str, *, patient: bool) -> None:
        """There won't be a slot: whoever waits is told, or only who has no deadline."""
        for ticket in self.batcher.waiters():
            if not ticket.done() and (ticket.timer is None or not patient):
                self.fail_unreachable(ticket, reason)

    def fail_unreachable(self, ticket: Ticket, reason: str) -> None:
        """Nobody can tell whether there is a slot."""
        sent = self.batcher.asked(ticket)
        told = "a request had been sent before" if sent else "nothing was sent"
        error = BucketsUnreachableError(f"{self.endpoint.name}: {reason}; {told}", sent=sent)
        self.batcher.fail(ticket, error)

    def close(self, tally: Tally | None = None) -> None:
        """Everybody who waits, or everybody of ``tally``, gets a ClientClosedError now.

        What is on the wire goes on; if it fails, it isn't tried again for them.
        """
        self.line.unboard()
        if tally is None:
            self.closed = True
        else:
            tally.shut = tally.over = True
        waiters = self.batcher.waiters()
        for ticket in waiters:
            self._dismiss(ticket)
        for batch, timer in list(self._aside.items()):
            for ticket, _ in batch.tickets():
                self._dismiss(ticket)
            if not batch.wanted():
                timer.cancel()
                self._back(batch)
        if waiters:  # else it had better not be held for one more turn
            self.line.senders[self] = None
        self.line.wake()

    def _dismiss(self, ticket: Ticket) -> None:
        """Nothing more is asked for a caller whose client is closed."""
        if (self.closed or ticket.tally.over) and not ticket.done():
            error = ClientClosedError(f"{self.endpoint.name}: closed while the call waited")
            error.sent = self.batcher.asked(ticket)
            self.batcher.fail(ticket, error)

    # -- flying ----------------------------------------------------------------------------

    def dispatch(self, slot: Any, now: float) -> None:
        """A slot is won: choose the batch, and let it fly."""
        batch = self.batcher.take(now)
        assert batch is not None, "the line gave a slot to one who has nothing to send"
        if not self.batcher.ready(now):
            del self.line.senders[self]
        self.circuit.sends()
        self.line.bucket.load(slot, len(batch.questions), batch.callers)
        self._boarding.add(batch)
        task = self.loop.create_task(self.fly(batch, slot))
        self.flights.tasks.add(task)
        task.add_done_callback(partial(self._flight_over, batch, slot))

    def place(self, solo: Solo) -> None:
        """Let a caller that isn't alone any more wait like all others."""
        if solo.unseen or not solo.ticket.done():
            self.batcher.callers -= 1  # it was one already
            self.batcher.add(solo.ticket, solo.priority, solo.since)
        self.wake()

    def dispatch_solo(self, solo: Solo) -> Coroutine[Any, Any, None] | None:
        """The flight of a caller who is alone still; None where it has to wait."""
        line, now = self.line, self.loop.time()
        if not line.is_boarded(solo):
            return None
        slot = None
        if (
            now >= self.host.closed_until
            and self.batcher.lets_pass
            and self.circuit.refusal(now) is None
            and (solo.unseen or not solo.ticket.done())
        ):
            slot = line.bucket.take(now)
        if slot is None:
            line.unboard()
            return None
        line.departs()
        self.batcher.launch(solo, now)
        self.circuit.sends()
        line.bucket.load(slot, len(solo.asks), solo.callers)
        return self.flights.solo(solo, self.fly(solo, slot))

    def _flight_over(self, batch: Batch, slot: Any, task: asyncio.Task[None]) -> None:
        self.flights.tasks.discard(task)
        if batch in self._boarding:  # cancelled before its first step, it could do nothing
            self._boarding.discard(batch)
            self.line.bucket.unsent(slot, self.loop.time())
            self.line.wake()
            unsent = ClientClosedError(f"{self.endpoint.name}: cancelled unsent")
            self.circuit.saw(unsent, self.loop.time())
            self._fail(batch, unsent)

    async def fly(self, batch: Batch, slot: Any) -> None:
        """Send the batch, and see to what becomes of it."""
        self._boarding.discard(batch)
        if not self._departs(batch, slot):
            return
        version = self.host.clock_version
        outcome: OKXError | None = None
        rows: list[Any] = []
        fresh = False
        try:
            try:
                response = await self._send(self.endpoint, build_target(self.endpoint, batch.keys))
                fresh = response.fresh
                rows = parse_response(self.endpoint, response, self._redact)
            except OKXError as error:
                outcome = error
            except asyncio.CancelledError:
                self.line.bucket.lost(slot, self.loop.time())
                self._tell_answer(batch, slot, ClientClosedError())
                raise
            except Exception as error:
                outcome = self._unexpected(error)
            self._arrived(batch, slot, outcome, fresh)
            if outcome is None:
                self._answered(batch, rows)
            elif isinstance(outcome, ClockSkewError):
                await self._set_clock(batch, outcome, version)
            else:
                self._failed(batch, outcome)
            return
        except asyncio.CancelledError as cancelled:
            self._cancelled(batch)
            words = cancelled.args
        except Exception as mistake:  # ours, in whatever comes after the answer
            self._fail(batch, self._unexpected(mistake))
            return
        # Another one, for the first one's traceback leads to what was signed.
        raise asyncio.CancelledError(*words)

    def _departs(self, batch: Batch, slot: Any) -> bool:
        """Count the request that leaves; False when all have left since the batch was chosen."""
        now = self.loop.time()
        if not self.batcher.trim(batch, now):
            self.line.bucket.unsent(slot, now)
            self.circuit.saw(ClientClosedError("nobody waits any more"), now)
            self.wake()
            return False
        self.tally.requests += 1
        if batch.repeated:
            self.tally.retries += 1
        if batch.failures == 0:
            self.host.budget.first()
        if self.teller is not None:
            self.teller.departure(batch, self.line.key.user)
        return True

    def _arrived(self, batch: Batch, slot: Any, outcome: OKXError | None, fresh: bool) -> None:
        """The slot goes back; whoever keeps account of slots, hosts and keys is told."""
        now, bucket = self.loop.time(), self.line.bucket
        frozen = 0.0
        if outcome is None:
            bucket.answered(slot, now, warm=not fresh)
        elif isinstance(outcome, RateLimitError):
            frozen = bucket.refused(slot, now, outcome.retry_after)
        elif isinstance(outcome, ResponseError):
            bucket.answered(slot, now, warm=False)
        else:
            (bucket.lost if outcome.sent else bucket.unsent)(slot, now)
        self.last_trip = now - slot.sent_at
        if self.line.senders:
            self.line.wake()
        if outcome is not None:
            self._hush(outcome)
        self._tell_answer(batch, slot, outcome, frozen)
        if not isinstance(outcome, ConnectError):
            self.host.reached()
        self._judge_key(outcome, now)

    def _answered(self, batch: Batch, rows: list[Any]) -> None:
        self.host.budget.succeeded(again=batch.failures > 0)
        rows_of = self._rows_by_key(rows)
        if isinstance(batch, Solo) and batch.unseen:
            self.batcher.settle_solo(batch, rows_of)
        else:
            self._hand_out(self.batcher.settle(batch, rows_of))
        if batch.trial is not None:
            self.batcher.part_passed(batch, self.loop.time())
            self.wake()

    def _unexpected(self, mistake: Exception) -> ProtocolError:
        """One of ours: it is told of without what it may hold."""
        name = type(mistake).__name__
        where = "".join(traceback.format_tb(mistake.__traceback__))
        logger.error("%s: unexpected %s\n%s", self.endpoint, name, where)
        return ProtocolError(f"{self.endpoint}: unexpected {name}")

    def _rows_by_key(self, rows: list[Any]) -> Callable[[Key], list[Any]]:
        """Rows belong to the key they name, never to a place; without keys, all to the one."""
        if self.endpoint.max_keys == 1:
            return lambda _: rows
        by_ccy: dict[str, list[Any]] = {}
        for row in rows:
            name = row.ccy.upper()
            of_this = by_ccy.get(name)
            if of_this is None:
                by_ccy[name] = [row]
            elif row not in of_this:  # callers may have spelled one currency in two ways
                of_this.append(row)

        def of(key: Key) -> list[Any]:
            if key is None:
                return rows
            return by_ccy.get(key) or by_ccy.get(key.upper(), [])

        return of

    def _hand_out(self, answering: Iterator[None]) -> None:
        for _ in answering:
            self.loop.call_soon(self._hand_out, answering)
            return

    def _tell_answer(
        self, batch: Batch, slot: Any, outcome: OKXError | None, frozen: float = 0.0
    ) -> None:
        if self.teller is not None:
            took = self.loop.time() - slot.sent_at
            self.teller.answer(batch, self.line.key.user, took, outcome, frozen)

    # -- failures --------------------------------------------------------------------------

    def _judge_key(self, outcome: OKXError | None, now: float) -> None:
        pause = self.circuit.saw(outcome, now)
        if not pause:
            return
        user = self.line.key.user
        logger.warning(
            "OKX goes on refusing the key of %s (%s): it rests for %g s",
            user,
            type(outcome).__name__,
            pause,
        )
        for member in list(self.circuit.members):
            if isinstance(member, Dispatcher):
                member.line.wake()  # whoever waits there is told

    def _cancelled(self, batch: Batch) -> None:
        """The task of the flight was cancelled; on its way or while OKX's time was asked for."""
        closed: OKXError = ClientClosedError(f"{self.endpoint.name}: closed in flight")
        closed.sent = True
        if not self.endpoint.retry_is_safe:
            closed = self.unknown("closed in flight")
        self.circuit.saw(closed, self.loop.time())
        if isinstance(batch, Solo) and not (self.closed and batch in self.flights.aborted):
            batch.count(requests=1)
            batch.ticket.cancel()
            self._again(batch, closed)  # for whoever joined it meanwhile
        else:
            self._fail(batch, closed)

    def unknown(self, reason: object) -> OutcomeUnknownError:
        """For whoever can't be told whether it took effect."""
        return OutcomeUnknownError(
            f"{self.endpoint}: whether it took effect is unknown; look it up before asking again "
            f"({reason})"
        )

    def _failed(self, batch: Batch, error: OKXError) -> None:
        batch.aloft = False
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
            error = self.unknown(error) if may_have_worked(error) else error
            kind = None
        if batch.everything and isinstance(error, DecodeError | ResponseTooLargeError):
            self._demote(batch, error)
            return
        if kind is None:
            self._fail(batch, error)
            return
        batch.count(failures=1, requests=error.sent)
        most = self.policy.max_retries
        spent = [ticket for ticket, past in batch.tickets() if past.failures > most]
        if batch.wanted(without=spent) and (not error.sent or self.host.budget.spend()):
            self._hand_out(self._failing(spent, error))
            self._again(batch, error, delay(error, kind, failures, random.random()))
        else:
            self._fail(batch, error)

    def _refused(self, batch: Batch, error: RateLimitError) -> None:
        self.tally.refused += 1
        batch.count(refusals=1, requests=1)
        most = self.policy.max_refusals
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
            await self._learn_clock()
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
            name, reason = self.endpoint.name, type(error).__name__
            logger.debug("%s: batch %d goes back in %.3f s: %s", name, batch.number, wait, reason)
            if self.teller is not None:
                self.teller.retry(batch, self.line.key.user, wait, error)
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
        self.wake()

    def _demote(self, batch: Batch, error: OKXError) -> None:
        """OKX doesn't want to be asked for everything at once, or can't answer it."""
        self.batcher.demote(self.loop.time())
        batch.count(requests=1)
        self._again(batch, error)

    def _fail(self, batch: Batch, error: OKXError) -> None:
        batch.aloft = False
        tickets = [ticket for ticket, _ in batch.tickets()]
        self._hand_out(self._failing(tickets, error, batch))
        if batch.trial is not None:
            self.batcher.part_failed(batch, self.loop.time())
            self.wake()

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
        self.wake()
