"""Where a batch, a slot and the wire meet: one way for all requests, retries included.

The way of a call, and who decides what:

    caller                lane              dispatcher (credentials, endpoint)   line (one bucket)
      asks for keys ──▶ waiter, queued ──▶ has something to send ──────────────▶ wake, once a turn
      sleeps on its waiter                                               assign_slots: a slot is won
                                           now the batch is chosen ◀───────────  for the oldest
                                           send: sign, send, read, give the slot back
      ◀── rows, in slices ──────────────── resolve
                                           or put back, or fail each caller by itself

All decisions are synchronous functions between two awaits: nothing can be cancelled halfway
through one. A slot is taken only when a batch is sure to leave, and it is given back in exactly
one place, at the end of the task that holds it. A retry takes no special way: its keys go back to
the queue, at their old rank, and must win a slot like all others.
"""

from __future__ import annotations

import asyncio
import copy
import logging
import random
import time
import traceback
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from okx_funding.api.spec import Endpoint
from okx_funding.errors import (
    BucketsUnreachableError,
    ClientClosedError,
    ClockSkewError,
    ConnectError,
    HTTPStatusError,
    InvalidParameterError,
    OKXError,
    ProtocolError,
    RateLimitError,
    ResponseError,
)
from okx_funding.ratelimit.circuit_breaker import EndpointCircuit
from okx_funding.ratelimit.combined import Combined
from okx_funding.ratelimit.interface import Bucket
from okx_funding.scheduler.host import Host
from okx_funding.scheduler.queue import SlotQueue
from okx_funding.telemetry import log
from okx_funding.telemetry.counters import Counters, TotalCounters
from okx_funding.wire.request import Request, build_request
from okx_funding.wire.response import Response, parse_response

from .batch import Batch
from .batcher import Batcher
from .calls import Args, Key, Waiter, params_of
from .context import Policy
from .emitter import EventEmitter
from .in_flight import InFlight
from .outcome import Bisect, Fail, FixClock, Reject, Retry, decide, outcome_unknown
from .pending import BACKING_OFF
from .resolve import PART, Job

logger: logging.Logger = logging.getLogger("okx_funding.dispatcher")


Send = Callable[[Endpoint[Any], Request], Awaitable[Response]]


class Dispatcher:
    """Sends the batches of one `Batcher`, and resolves them."""

    def __init__(
        self,
        endpoint: Endpoint[Any],
        queue: SlotQueue,
        host: Host,
        send: Send,
        *,
        args: Args = (),
        others: Sequence[Bucket] = (),
        max_retries: int = 2,
        policy: Policy = Policy(),  # noqa: B008 - frozen
        in_flight: InFlight,
        total: TotalCounters,
        emitter: EventEmitter | None = None,
        circuit: EndpointCircuit | None = None,
        redact: Callable[[str], str] = str,
        learn_clock: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self.endpoint = endpoint
        self.queue = queue
        queue.members.add(self)
        self.loop: asyncio.AbstractEventLoop = queue.loop
        self.host = host
        self.max_retries = max_retries
        self.policy = policy
        self.args: Args = args
        """What all its requests ask besides the keys."""
        self._others = others
        self.batcher: Batcher = Batcher(endpoint.batch_size)
        self.circuit: EndpointCircuit = circuit or EndpointCircuit()
        self.circuit.members.add(self)
        self.in_flight = in_flight
        self.counters: Counters = Counters(total)
        self.emitter = emitter
        self.last_trip: float = 0.0
        """Seconds that its last request took."""
        self.closed: bool = False
        self._send = send
        self._redact = redact
        self._learn_clock = learn_clock
        self._backing_off: dict[Batch, asyncio.TimerHandle] = {}
        self._unstarted: set[Batch] = set()
        """Batches whose tasks didn't begin yet."""
        self._refusing = False
        """Whether callers are being failed because the circuit is open."""
        self._any_closed = False
        """Whether a client was closed while others go on."""

    def __repr__(self) -> str:
        return f"<Dispatcher {self.endpoint.name}: {self.batcher!r}, {self.queue.bucket!r}>"

    # -- in the queue -----------------------------------------------------------------------

    def schedule(self) -> None:
        """There is something to send."""
        self.queue.senders[self] = None
        self.queue.schedule()

    @property
    def bucket(self) -> Any:
        """What it takes its slots from: one bucket, or all that its requests count for."""
        bucket = self.queue.bucket
        return Combined((bucket, *self._others)) if self._others else bucket

    def take(self, now: float) -> Any:
        """Take a slot for a request that leaves now."""
        bucket = self.bucket if self._others else self.queue.bucket
        return bucket.take(now)

    def free_at(self, now: float) -> float:
        """When its host and its further limits let it send."""
        host = self.host
        at = host.closed_until if host.limiter is None else host.free_at(now)
        for bucket in self._others:
            at = max(at, bucket.next_free(now))
        return at

    def ready(self, now: float) -> bool:
        """Tell whether there is something to send; where the circuit is open, callers fail."""
        if not self.batcher.is_ready() or self.closed:
            return False
        refusal = self.circuit.refusal(now)
        if refusal is None:
            return True
        if not self._refusing:
            self._refusing = True
            self.in_flight.run(self._refuse_all(self.batcher.queued_waiters(), refusal))
        return False

    def _refuse_all(self, waiters: Iterable[Waiter], refusal: OKXError) -> Job:
        yield from self._failing(waiters, refusal)
        self._refusing = False
        if self.batcher.is_ready():  # what was on the wire meanwhile came back
            self.schedule()

    def fail_waiters(self, reason: str, *, only_without_deadline: bool) -> None:
        """Fail whoever waits, or only who has no deadline: there won't be a slot."""
        for waiter in self.batcher.queued_waiters():
            if not waiter.done() and (waiter.timer is None or not only_without_deadline):
                self.fail_unreachable(waiter, reason)

    def fail_unreachable(self, waiter: Waiter, reason: str) -> None:
        """Nobody can tell whether there is a slot."""
        sent = self.batcher.was_sent(waiter)
        what = "a request had been sent before" if sent else "nothing was sent"
        error = BucketsUnreachableError(f"{self.endpoint.name}: {reason}; {what}", sent=sent)
        self.batcher.fail(waiter, error)

    def close(self, counters: Counters | None = None) -> None:
        """Tell everybody who waits, or everybody of ``counters``, that the client is closed.

        What is on the wire goes on; if it fails, it isn't tried again for them.
        """
        if counters is None:
            self.closed = True
        else:
            counters.shut = counters.over = self._any_closed = True
        waiters = self.batcher.queued_waiters()
        self.in_flight.run(self._closing(waiters))
        for batch, timer in list(self._backing_off.items()):
            waiters = {waiter: None for waiter, _ in batch.waiters()}
            if all(self._is_closed_for(waiter) for waiter in waiters):
                timer.cancel()
                del self._backing_off[batch]
                self.in_flight.run(self._closing(waiters, batch))
            else:
                self.in_flight.run(self._closing(waiters))
        self.queue.schedule()

    def _is_closed_for(self, waiter: Waiter) -> bool:
        return self.closed or waiter.counters.over

    def _closing(self, waiters: Iterable[Waiter], batch: Batch | None = None) -> Job:
        ended = 0
        for waiter in waiters:
            if self._is_closed_for(waiter) and not waiter.done():
                error = ClientClosedError(f"{self.endpoint.name}: closed while the call waited")
                error.sent = self.batcher.was_sent(waiter)
                self.batcher.fail(waiter, error)
            ended += 1
            if ended == PART:
                yield ended
                ended = 0
        if batch is not None:
            self._put_back(batch)
        elif ended:  # else it had better not be held for one more turn
            self.schedule()
        yield ended

    # -- sending ---------------------------------------------------------------------------

    def dispatch(self, slot: Any, now: float) -> None:
        """Use a slot that was won: choose the batch, and send it."""
        batch = self.batcher.take(now)
        assert batch is not None, "the line gave a slot to one who has nothing to send"
        if not self.batcher.is_ready():
            del self.queue.senders[self]
        self.circuit.sends()
        self.bucket.load(slot, len(batch.pending), batch.callers)
        self._unstarted.add(batch)
        task = self.loop.create_task(self.send(batch, slot))
        self.in_flight.tasks.add(task)
        task.add_done_callback(partial(self._send_over, batch, slot))

    def _send_over(self, batch: Batch, slot: Any, task: asyncio.Task[None]) -> None:
        self.in_flight.tasks.discard(task)
        if batch in self._unstarted:  # cancelled before its first step, it could do nothing
            self._unstarted.discard(batch)
            self.bucket.unsent(slot, self.loop.time())
            error = ClientClosedError(f"{self.endpoint.name}: cancelled unsent")
            self.circuit.saw(error, self.loop.time())
            self.schedule()
            self._fail(batch, error)

    async def send(self, batch: Batch, slot: Any) -> None:
        """Send the batch, and see to what becomes of it."""
        self._unstarted.discard(batch)
        if not self._before_send(batch, slot):
            return
        version = self.host.clock_version
        outcome: OKXError | None = None
        rows: list[Any] = []
        fresh = False
        try:
            try:
                request = build_request(
                    self.endpoint, params_of(self.endpoint, batch.pending, self.args)
                )
                response = await self._send(self.endpoint, request)
                fresh = response.fresh
                rows = parse_response(self.endpoint, response, self._redact)
            except OKXError as error:
                outcome = error
            except asyncio.CancelledError:
                self.bucket.lost(slot, self.loop.time())
                self._emit_answer(batch, slot, ClientClosedError())
                raise
            except Exception as error:
                outcome = self._unexpected(error)
            self._after_send(batch, slot, outcome, fresh)
            if outcome is None:
                self._resolve(batch, rows)
            else:
                await self._on_error(batch, outcome, version)
            return
        except asyncio.CancelledError as cancelled:
            self._cancelled(batch)
            reason = cancelled.args
        except Exception as mistake:  # ours, in whatever comes after the answer
            self._fail(batch, self._unexpected(mistake))
            return
        # Another one, for the first one's traceback leads to what was signed.
        raise asyncio.CancelledError(*reason)

    def _before_send(self, batch: Batch, slot: Any) -> bool:
        """Count the request that leaves; False when all have left since the batch was chosen."""
        now = self.loop.time()
        if not self.batcher.trim(batch):
            self.bucket.unsent(slot, now)
            self.circuit.saw(ClientClosedError("nobody waits any more"), now)
            self.schedule()
            return False
        if not self.bucket.holds(slot, now):  # this process was stopped after it took it
            self.bucket.unsent(slot, now)
            late = BucketsUnreachableError(f"{self.endpoint.name}: the slot came too late")
            self.circuit.saw(late, now)
            self._again(batch, late)
            return False
        self.counters.requests += 1
        if batch.is_first:
            self.host.budget.first()
        else:
            self.counters.retries += batch.is_repeated
            if batch.failures == 0:
                self.host.budget.first()
        if self.emitter is not None:
            self.emitter.batch_dispatched(batch, self.queue.key.user)
        return True

    def _after_send(self, batch: Batch, slot: Any, outcome: OKXError | None, fresh: bool) -> None:
        """Give the slot back, and tell whoever keeps account of slots, hosts and keys."""
        now, bucket = self.loop.time(), self.bucket
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
        if self.queue.senders:
            self.queue.schedule()
        if outcome is not None:
            self._redact_error(outcome)
        if outcome is not None or log.requests.isEnabledFor(logging.DEBUG):
            self._log_answer(batch, outcome, frozen, now)
        if self.emitter is not None:
            self._emit_answer(batch, slot, outcome, frozen)
        if self.host.missed and not isinstance(outcome, ConnectError):
            self.host.reached()
        pause = self.circuit.saw(outcome, now)
        if pause:
            self._tell_members(pause)

    def _log_answer(
        self, batch: Batch, outcome: OKXError | None, frozen: float, now: float
    ) -> None:
        name, user = self.endpoint.name, self.queue.key.user
        word = "ok" if outcome is None else type(outcome).__name__
        keys, callers = len(batch.pending), batch.callers
        log.request(name, user, batch.number, keys, callers, self.last_trip, word)
        if isinstance(outcome, RateLimitError):
            log.REFUSALS.refused(self.queue.bucket, name, user, now, frozen)

    def _emit_answer(
        self, batch: Batch, slot: Any, outcome: OKXError | None, frozen: float = 0.0
    ) -> None:
        if self.emitter is not None:
            took = self.loop.time() - slot.sent_at
            self.emitter.response_received(batch, self.queue.key.user, took, outcome, frozen)

    # -- resolving -------------------------------------------------------------------------

    def _resolve(self, batch: Batch, rows: list[Any]) -> None:
        self.host.budget.succeeded(again=not batch.is_first and batch.failures > 0)
        job = self.batcher.resolve(batch, self._rows_by_key(batch, rows))
        if job is not None:
            self.in_flight.run(job)
        if batch.bisection is not None:
            self.batcher.bisections.passed(batch, self.loop.time())
            self.schedule()

    def _rows_by_key(self, batch: Batch, rows: list[Any]) -> Mapping[Key, list[Any]]:
        """Rows belong to the key they name, never to a place; without keys, all to the one."""
        pending = batch.pending
        if self.endpoint.batch_size == 1 or None in pending:
            return dict.fromkeys(pending, rows)
        if "".join(map(str, pending)).isupper():
            found: dict[Key, list[Any]] = {key: [] for key in pending}
            try:
                for row in rows:
                    found[row.ccy].append(row)
                return found
            except KeyError:
                pass
        # Somebody spelled a currency in another way than OKX does, maybe in two.
        by_ccy: dict[str, dict[Any, None]] = {}
        for row in rows:
            by_ccy.setdefault(row.ccy.upper(), {})[row] = None
        return {key: list(by_ccy.get(str(key).upper(), ())) for key in pending}

    def _unexpected(self, mistake: Exception) -> ProtocolError:
        """Make an error of a mistake of ours; without what it may hold."""
        name = type(mistake).__name__
        where = "".join(traceback.format_tb(mistake.__traceback__))
        logger.error("%s: unexpected %s\n%s", self.endpoint, name, where)
        return ProtocolError(f"{self.endpoint}: unexpected {name}")

    async def _on_error(self, batch: Batch, error: OKXError, version: int) -> None:
        batch.joinable = False
        now = self.loop.time()
        if isinstance(error, HTTPStatusError) and error.http_status == 429:
            self.host.close_gate(now, error.retry_after)
        if isinstance(error, ConnectError) and error.may_pass:
            self.host.unreachable(now, random.random())
        decision = decide(
            error,
            self.endpoint,
            failures=batch.failures,
            keys=len(batch.pending),
            dice=random.random(),
        )
        match decision, error:
            case FixClock(), ClockSkewError():
                await self._fix_clock(batch, error, version)
            case Reject() | Bisect(), InvalidParameterError():
                self._find_invalid(batch, error)
            case Retry(), _:
                self._retry(batch, error, decision)
            case Fail(), _:
                self._fail(batch, decision.error)

    def _retry(self, batch: Batch, error: OKXError, retry: Retry) -> None:
        """Queue it again for callers who have attempts left, and fail the others."""
        failures, refusals = self.max_retries, self.policy.max_refusals - 1
        if retry.refused:
            self.counters.refused += 1
            batch.count(refusals=1, requests=1)
        else:
            batch.count(failures=1, requests=error.sent)
        if batch.has_waiters_within(failures, refusals) and (
            retry.refused or not error.sent or self.host.budget.spend()
        ):
            self.in_flight.run(self._failing(batch.spent(failures, refusals), error))
            self._again(batch, error, retry.after)
        else:
            self._fail(batch, error)

    async def _fix_clock(self, batch: Batch, error: ClockSkewError, version: int) -> None:
        """Learn OKX's time once; what was signed by the old clock is signed anew."""
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
        """Queue it once more, in ``wait`` seconds, for whoever still waits."""
        batch.set_state(BACKING_OFF)
        if self.closed or self._any_closed:
            waiters = {waiter: None for waiter, _ in batch.waiters()}
            if all(self._is_closed_for(waiter) for waiter in waiters):
                self.in_flight.run(self._closing(waiters, batch))
                return
            self.in_flight.run(self._closing(waiters))
        if batch.has_waiters():
            name, reason = self.endpoint.name, type(error).__name__
            logger.debug("%s: batch %d goes back in %.3f s: %s", name, batch.number, wait, reason)
            if self.emitter is not None:
                self.emitter.retry_scheduled(batch, self.queue.key.user, wait, error)
        else:
            wait = 0.0
        if wait > 0:
            self._backing_off[batch] = self.loop.call_later(wait, self._put_back, batch)
        else:
            self._put_back(batch)

    def _put_back(self, batch: Batch) -> None:
        self._backing_off.pop(batch, None)
        self.batcher.put_back(batch, self.loop.time())
        self.schedule()

    def _find_invalid(self, batch: Batch, error: InvalidParameterError) -> None:
        """OKX refused the batch for a parameter: find out whose it is."""
        batcher, now = self.batcher, self.loop.time()
        batch.count(requests=1)
        if batch.bisection is not None:
            self.in_flight.run(batcher.bisections.refused(batch, error, now))
        elif len(batch.pending) == 1:
            self.in_flight.run(batcher.bisections.mark_invalid(batch, error, now))
        elif not batcher.bisections.start(batch, error, now):
            self._again(batch, error)
        self.schedule()

    # -- failing ---------------------------------------------------------------------------

    def _cancelled(self, batch: Batch) -> None:
        """The task was cancelled, on the wire or while OKX's time was asked for."""
        closed: OKXError = ClientClosedError(f"{self.endpoint.name}: closed in flight")
        closed.sent = True
        if not self.endpoint.repeatable:
            closed = outcome_unknown(self.endpoint, "closed in flight")
        self.circuit.saw(closed, self.loop.time())
        self.queue.schedule()  # the slot is back in due time, and somebody must look for it then
        self._fail(batch, closed)

    def _fail(self, batch: Batch, error: OKXError) -> None:
        batch.joinable = False
        self.in_flight.run(self._failing((waiter for waiter, _ in batch.waiters()), error, batch))
        if batch.bisection is not None:
            self.batcher.bisections.failed(batch, self.loop.time())
            self.schedule()

    def _failing(
        self, waiters: Iterable[Waiter | None], error: OKXError, batch: Batch | None = None
    ) -> Job:
        ended = 0
        for waiter in waiters:
            if waiter is not None and not waiter.done():
                self.batcher.fail(waiter, copy.copy(error))
            ended += 1
            if ended == PART:
                yield ended
                ended = 0
        if batch is not None:
            self.batcher.over(batch)
        yield ended

    def _tell_members(self, pause: float) -> None:
        """The circuit opened: whoever waits for a request of the key is told."""
        log.key_at_rest(self.queue.key.user, pause)
        for member in list(self.circuit.members):
            if isinstance(member, Dispatcher):
                member.queue.schedule()

    def _redact_error(self, error: OKXError) -> None:
        """Gateways repeat what they were sent: no secret goes on from here."""
        error.__traceback__ = None  # its frames hold the answer, and in a circle the error
        error.args = tuple(self._redact(str(arg)) for arg in error.args)
        for name, value in vars(error).items():
            if isinstance(value, str):
                setattr(error, name, self._redact(value))
