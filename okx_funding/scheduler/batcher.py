"""What goes into the next request: pure state that never awaits.

Keys are queued; `Batcher.take` picks those of one request, in the order in which their first
callers came, when a slot has been won and not before. From then on they are the batch's, and a
newcomer who wants the same key asks anew: an answer is never older than its call, unless the
caller says how old it may be.

A call queues at most one request's worth of keys at a time; its next chunk is queued behind
everybody who came meanwhile. A step of priority weighs as much as having come ``AGING`` seconds
earlier, so nobody starves.

When OKX refuses a batch for a parameter, its keys go into a `Bisection`, which decides which of
them are asked next. Its steps never overtake a higher priority, and an ordinary batch goes between
two of them. A key is in one bisection at a time, and until it is over nobody asks for that key
elsewhere: a newcomer joins it, or is held until the answer to the group on the wire.
"""

from __future__ import annotations

import itertools
import math
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

from okx_funding.errors import InvalidParameterError

from .answers import Answers
from .batch import Batch
from .bisection import Bisection
from .calls import Chunks, Key, Waiter
from .pending import (
    AGING,
    BACKING_OFF,
    DONE,
    FIRST_RANK,
    HELD,
    IN_FLIGHT,
    LAST_RANK,
    LATER,
    QUEUED,
    SUSPECT,
    PendingKey,
    PendingQueue,
    Rank,
)

QUARANTINE = 300.0
"""Seconds for which a key that OKX refused shares no request."""
QUARANTINED = 1024
"""Keys that are in quarantine at most."""
CROWDING = 3
"""By how much more than what is left of other long calls a long call waits for them."""
PART = 100
"""Callers that are answered before the job that does it may pause."""

Job = Iterator[int]
"""Tells some callers how their calls ended, and how many since it was asked last."""
_numbers = itertools.count(1)


def request_number() -> int:
    """The number of one more request; no other of the process has it."""
    return next(_numbers)


class Batcher:
    """The waiting callers of one lane."""

    def __init__(self, batch_size: int) -> None:
        self.batch_size = batch_size
        self.callers: int = 0
        """Callers that aren't answered yet, those on the wire included."""
        self._waiting: dict[Key, PendingKey] = {}
        """All that may be joined, by key."""
        self._shared = PendingQueue()
        self._alone = PendingQueue()
        self._long: dict[Waiter, Chunks] = {}
        """Calls of which some keys aren't queued yet."""
        self._bisections: list[Bisection] = []
        """Those of which no group is on the wire."""
        self._ordinary_next = False
        """Whether a bisection had its step, so that another batch goes before its next one."""
        self._suspects: dict[Key, PendingKey] = {}
        self._out: dict[Batch, None] = {}
        """What is on the wire, backs off, or is being handed out."""
        self._departures = 0
        self._answers = Answers()
        self._quarantine: OrderedDict[Key, float] = OrderedDict()
        self._serial = 0

    def __repr__(self) -> str:
        return f"<Batcher: {self.callers} callers, {self.queued} keys queued>"

    @property
    def queued(self) -> int:
        """Keys in the queue."""
        return len(self._shared) + len(self._alone)

    def is_ready(self) -> bool:
        """Tell whether there is something to send."""
        return bool(self._shared or self._alone or self._next_bisection())

    # -- coming and leaving ----------------------------------------------------------------

    def add(self, waiter: Waiter, priority: int, now: float, max_age: float | None = None) -> None:
        """Queue the keys of ``waiter``; answers that were asked ``max_age`` seconds ago will do."""
        self.callers += 1
        keys = waiter.keys
        waiting = self._waiting
        if max_age is not None:
            keys = self._recall(waiter, now - max_age)
        chunks = None
        if len(keys) > self.batch_size:
            chunks = waiter.chunks = self._long[waiter] = Chunks(priority)
        for key in keys:
            pending = waiting.get(key)
            if pending is None:
                pending = waiting[key] = PendingKey(key, now)
                if key in self._suspects:
                    pending.state = HELD
                    self._set_rank(pending, priority, now)
            if pending.state is LATER:
                if chunks is None:
                    self._enqueue(pending, priority, now)
                else:
                    chunks.later.append(pending)
            elif priority > pending.priority:
                self._raise_priority(pending, priority, now)
            pending.waiters[waiter] = pending.attempts
        if chunks is not None:
            self._queue_chunk(waiter, chunks, now)

    def _recall(self, waiter: Waiter, since: float) -> list[Key]:
        """Answer from memory or join what is on the wire; gives the keys that remain."""
        self._answers.enabled = True
        remaining: list[Key] = []
        for key in waiter.keys:
            rows = self._answers.get(key, since)
            if rows is not None:
                if waiter.answers is None:
                    self._finish(waiter, rows.copy())
                else:
                    self._answer_one(waiter, waiter.answers, key, rows)
            elif (in_flight := self._in_flight(key, since)) is not None:
                in_flight.waiters[waiter] = in_flight.attempts
            else:
                remaining.append(key)
        return remaining

    def _in_flight(self, key: Key, since: float) -> PendingKey | None:
        """What was sent last for ``key``, if that was at ``since`` or later."""
        for batch in reversed(self._out):
            if batch.joinable and key in batch.pending:
                return batch.pending[key] if batch.sent_at >= since else None
        return None

    def knows(self, keys: Sequence[Key], since: float) -> bool:
        """Tell whether all of them were answered or asked since then: nobody needs a slot."""
        return all(
            self._answers.get(key, since) is not None or self._in_flight(key, since) is not None
            for key in keys
        )

    def leave(self, waiter: Waiter) -> None:
        """Forget a caller; what nobody else wants needn't be sent."""
        self._close(waiter)
        self._departures += 1
        for key in waiter.keys:
            pending = self._waiting.get(key)
            if pending is None or pending.waiters.pop(waiter, None) is None:
                continue
            if pending.chunk_of is waiter:
                pending.chunk_of = None
            if not pending.waiters and pending.state is not SUSPECT:
                self._dequeue(pending)
                pending.state = DONE
                del self._waiting[key]

    def _close(self, waiter: Waiter) -> None:
        self.callers -= 1
        if waiter.timer is not None:
            waiter.timer.pop(waiter, None)
        if waiter.answers is not None and waiter.chunks is not None:
            self._long.pop(waiter, None)

    def was_sent(self, waiter: Waiter) -> bool:
        """Tell whether a request for any of the waiter's keys has left."""
        if waiter.sent:
            return True
        for key in waiter.keys:
            pending = self._waiting.get(key)
            if pending is not None and waiter in pending.waiters:
                if pending.attempts.requests > pending.waiters[waiter].requests:
                    return True
                continue
            for batch in self._out:
                pending = batch.pending.get(key)
                if pending is None or waiter not in pending.waiters:
                    continue
                since = pending.attempts.since(pending.waiters[waiter])
                if pending.state is not BACKING_OFF or since.requests:
                    return True
        return False

    def queued_waiters(self) -> dict[Waiter, None]:
        """Give everybody who waits for something that isn't on the wire."""
        return {waiter: None for each in self._waiting.values() for waiter in each.waiters}

    def open_waiters(self) -> dict[Waiter, None]:
        """Give everybody who isn't answered yet."""
        waiters = self.queued_waiters()
        for batch in self._out:
            waiters.update((waiter, None) for waiter, _ in batch.waiters())
        return waiters

    # -- the order -------------------------------------------------------------------------

    def _set_rank(self, pending: PendingKey, priority: int, now: float) -> None:
        self._serial += 1
        pending.priority = priority
        pending.rank = (now - priority * AGING, self._serial)

    def _enqueue(self, pending: PendingKey, priority: int, now: float) -> None:
        self._set_rank(pending, priority, now)
        self._enqueue_by_rank(pending, now)

    def _enqueue_by_rank(self, pending: PendingKey, now: float) -> None:
        pending.state = QUEUED
        key = pending.key
        pending.alone = key is None or (bool(self._quarantine) and self._is_quarantined(key, now))
        (self._alone if pending.alone else self._shared).add(pending)

    def _dequeue(self, pending: PendingKey) -> None:
        if pending.state is QUEUED:
            (self._alone if pending.alone else self._shared).remove(pending)

    def _raise_priority(self, pending: PendingKey, priority: int, now: float) -> None:
        if now - priority * AGING >= pending.rank[0]:
            return
        if pending.state is QUEUED:
            self._dequeue(pending)
            self._enqueue(pending, priority, now)
        elif pending.state is HELD or pending.state is SUSPECT:
            self._set_rank(pending, priority, now)

    def _is_quarantined(self, key: Key, now: float) -> bool:
        until = self._quarantine.get(key)
        if until is not None and until < now:
            del self._quarantine[key]
            return False
        return until is not None

    def _queue_chunk(self, waiter: Waiter, chunks: Chunks, now: float) -> None:
        """Queue the next keys of a long call: one request's worth."""
        room = self.batch_size
        while chunks.later and room > 0:
            pending = chunks.later.popleft()
            if pending.state is LATER:
                self._enqueue(pending, chunks.priority, now)
                pending.chunk_of = waiter
                chunks.queued += 1
                room -= self.batch_size if pending.alone else 1
        if not chunks.later:
            self._long.pop(waiter, None)

    def _left_queue(self, pending: PendingKey, now: float) -> None:
        """When the last key of a chunk has left the queue, the next chunk is queued."""
        waiter, pending.chunk_of = pending.chunk_of, None
        if waiter is None or waiter.chunks is None:
            return
        waiter.chunks.queued -= 1
        if not waiter.chunks.queued and not waiter.done():
            self._queue_chunk(waiter, waiter.chunks, now)

    def _first(self) -> PendingKey | None:
        shared, alone = self._shared.first(), self._alone.first()
        if shared is None or alone is None:
            return shared or alone
        return min(shared, alone, key=lambda each: each.rank)

    def rank(self) -> Rank:
        """Give the rank of what is sent next."""
        bisection = self._choose_bisection()
        if bisection is not None:
            return bisection.rank
        first = self._first()
        return first.rank if first is not None else LAST_RANK

    def priority(self) -> int:
        """Give the priority of what is sent next."""
        bisection = self._choose_bisection()
        if bisection is not None:
            return max([each.priority for each in bisection.pending.values()], default=0)
        first = self._first()
        return first.priority if first is not None else 0

    # -- forecasts -------------------------------------------------------------------------

    def requests(self) -> int:
        """Count the requests that the queued keys will need."""
        return self._requests_for(len(self._shared)) + len(self._alone)

    def _requests_for(self, keys: int) -> int:
        return -(-keys // self.batch_size)

    def requests_before(self, keys: Sequence[Key], priority: int, now: float) -> int:
        """Count the requests that leave before the last one for ``keys``.

        Of a call that takes several turns, every other such call takes as many. What is left
        of those counts thrice, for calls that come later take turns too, and would make all late.
        """
        newcomer = (now - priority * AGING, self._serial + 1)
        if len(keys) <= self.batch_size:
            last = FIRST_RANK
            for key in keys:
                pending = self._waiting.get(key)
                queued = pending is not None and pending.state is QUEUED
                last = max(last, pending.rank if pending is not None and queued else newcomer)
            return (
                self._shared.count_before(last) // self.batch_size
                + self._alone.count_before(last)
            )  # fmt: skip
        own = len(keys) - sum(map(self._waiting.__contains__, keys))
        others = sum(
            [
                min(own, CROWDING * len(each.later))
                for each in self._long.values()
                if each.priority >= priority
            ]
        )
        shared = own + others + self._shared.count_before(newcomer)
        return max(0, self._requests_for(shared) - 1) + self._alone.count_before(newcomer)

    def requests_of_others_before(self, priority: int, now: float) -> int:
        """Count the requests that leave before one for a new key of this ``priority``."""
        newcomer = (now - priority * AGING, self._serial + 1)
        return self._requests_for(self._shared.count_before(newcomer)) + (
            self._alone.count_before(newcomer)
        )

    # -- sending ---------------------------------------------------------------------------

    def take(self, now: float) -> Batch | None:
        """Choose what the request that leaves now asks for; None when nobody waits."""
        bisection = self._choose_bisection()
        if bisection is not None:
            batch = self._take_group(bisection)
        elif self._shared or self._alone:
            batch = self._take_queued(now)
        else:
            return None
        self._ordinary_next = bisection is not None
        batch.number = request_number()
        batch.sent_at = now
        batch.joinable = True
        batch.departures = self._departures
        batch.set_state(IN_FLIGHT)
        self._out[batch] = None
        return batch

    def _take_queued(self, now: float) -> Batch:
        batch: list[PendingKey] = []
        first = self._first()
        while first is not None and len(batch) < self.batch_size:
            queue = self._alone if first.alone else self._shared
            pending = queue.pop()
            pending.state = IN_FLIGHT
            del self._waiting[pending.key]
            batch.append(pending)
            if pending.chunk_of is not None:
                self._left_queue(pending, now)
            if pending.alone:
                break
            first = self._shared.first()
        return Batch(batch)

    def trim(self, batch: Batch) -> bool:
        """Drop what nobody wants any more before it is sent; False where that is all."""
        if batch.departures == self._departures:
            return True
        unwanted = [key for key, each in batch.pending.items() if not each.has_waiters()]
        if not unwanted:
            return True
        dropped = [batch.pending.pop(key) for key in unwanted]
        bisection = batch.bisection
        if bisection is not None:
            self._forget(bisection, unwanted)
        for pending in dropped:
            pending.state = DONE
        if batch.pending:
            return True
        self.over(batch)
        if bisection is not None:
            self._bisections.append(bisection)
        return False

    def back_off(self, batch: Batch) -> None:
        """Set a failed batch aside until its next attempt."""
        batch.set_state(BACKING_OFF)

    def put_back(self, batch: Batch, now: float) -> None:
        """Queue the batch at its old rank, for whoever still waits."""
        self.over(batch)
        if batch.bisection is not None:
            self._hold(batch.pending.values(), now)
            self._bisections.append(batch.bisection)
            return
        for pending in batch.pending.values():
            pending.prune_done()
            pending.state = DONE
            if not pending.waiters:
                continue
            newer = self._waiting.get(pending.key)
            if newer is not None and newer.state in (HELD, SUSPECT):
                newer.merge(pending)
                continue
            self._replace(newer, pending, now)
            if pending.key in self._suspects:
                pending.state = HELD
            else:
                self._enqueue_by_rank(pending, now)

    def _replace(self, newer: PendingKey | None, pending: PendingKey, now: float) -> None:
        """Whoever asked for the same key meanwhile gets the same answer, a newer one."""
        self._waiting[pending.key] = pending
        if newer is None or newer is pending:
            return
        self._dequeue(newer)
        newer.state = DONE
        pending.merge(newer)
        self._left_queue(newer, now)

    def over(self, batch: Batch) -> None:
        """Forget a batch: nobody waits for it, or not for this one."""
        batch.joinable = False
        self._out.pop(batch, None)

    # -- bisections ------------------------------------------------------------------------

    def start_bisection(self, batch: Batch, error: InvalidParameterError, now: float) -> bool:
        """Find the bad keys of a refused batch.

        False where some of its keys are in another bisection already: that may explain the
        refusal, so the others should be asked once more without them.
        """
        if not self._suspects.keys().isdisjoint(batch.pending):
            return False
        self.over(batch)
        bisection = Bisection(batch.pending.values(), error)
        self._suspects.update(bisection.pending)
        self._hold(bisection.pending.values(), now)
        self._bisections.append(bisection)
        return True

    def _choose_bisection(self) -> Bisection | None:
        """Tell whose step is next, if it isn't an ordinary batch's turn."""
        if not self._bisections or (self._ordinary_next and (self._shared or self._alone)):
            return None
        bisection, first = self._next_bisection(), self._first()
        if bisection is None or (first is not None and first.rank < bisection.rank):
            return None
        return bisection

    def _next_bisection(self) -> Bisection | None:
        """Give the first one that wants something asked; those that are over are dropped."""
        while self._bisections:
            bisection = min(self._bisections, key=lambda each: each.rank)
            unwanted = [
                key for key in bisection.suspects if not bisection.pending[key].has_waiters()
            ]
            if unwanted:
                self._forget(bisection, unwanted)
            if bisection.suspects:
                return bisection
            self._bisections.remove(bisection)
        return None

    def _take_group(self, bisection: Bisection) -> Batch:
        self._bisections.remove(bisection)
        group = [bisection.pending[key] for key in bisection.next_group()]
        for pending in group:
            del self._waiting[pending.key]
        return Batch(group, bisection)

    def group_passed(self, batch: Batch, now: float) -> None:
        """OKX answered for all keys of a group."""
        bisection = batch.bisection
        assert bisection is not None
        bisection.passed(batch.keys)
        self._release(bisection, batch.keys, now)
        self._bisections.append(bisection)

    def group_refused(self, batch: Batch, error: InvalidParameterError, now: float) -> Job:
        """OKX refused a group. Gives the job that tells callers of invalid keys."""
        bisection = batch.bisection
        assert bisection is not None
        self._bisections.append(bisection)
        job: Job = iter(())
        if bisection.refused(batch.keys, error.msg) is None:
            self.over(batch)
            self._hold(batch.pending.values(), now)
        else:
            job = self.mark_invalid(batch, error, now)
            self._release(bisection, batch.keys, now)
        if bisection.is_inconclusive:
            rest = Batch([bisection.pending[key] for key in bisection.suspects])
            self._forget(bisection, list(rest.pending), now)
            self._out[rest] = None
            job = chain(job, self._rejecting(rest, bisection.error))
        return job

    def group_failed(self, batch: Batch, now: float) -> None:
        """Everybody who waited for a group got an error: its keys aren't asked any more."""
        assert batch.bisection is not None
        self._forget(batch.bisection, batch.keys, now)
        self._bisections.append(batch.bisection)

    def _forget(self, bisection: Bisection, keys: Sequence[Key], now: float = -math.inf) -> None:
        bisection.forget(keys)
        self._release(bisection, keys, now)

    def _release(self, bisection: Bisection, keys: Iterable[Key], now: float) -> None:
        """End a bisection for these keys; who was held by it is queued."""
        for key in keys:
            pending = bisection.pending[key]
            self._suspects.pop(key, None)
            waiting = self._waiting.get(key)
            if pending.state is SUSPECT:
                pending.state = DONE
            if waiting is pending:
                del self._waiting[key]
            elif waiting is not None and waiting.state is HELD:
                self._enqueue_by_rank(waiting, now)

    def _hold(self, suspects: Iterable[PendingKey], now: float) -> None:
        """Let suspects be joined until their bisection asks for them."""
        for pending in suspects:
            pending.prune_done()
            self._replace(self._waiting.get(pending.key), pending, now)
            pending.state = SUSPECT

    def mark_invalid(self, batch: Batch, error: InvalidParameterError, now: float) -> Job:
        """OKX refuses this one key, which goes into quarantine. Gives the job that says so."""
        (key,) = batch.pending
        if isinstance(key, str):
            quarantine = self._quarantine
            quarantine[key] = now + QUARANTINE
            quarantine.move_to_end(key)
            while len(quarantine) > QUARANTINED or quarantine[next(iter(quarantine))] < now:
                quarantine.popitem(last=False)
            newer = self._waiting.get(key)
            if newer is not None and newer.state is QUEUED and not newer.alone:
                self._dequeue(newer)
                self._enqueue_by_rank(newer, now)
        return self._rejecting(batch, error, (key,))

    # -- answering -------------------------------------------------------------------------

    def resolve(self, batch: Batch, rows_of: Callable[[Key], list[Any]]) -> Job:
        """Give each caller its rows, by the job that comes back."""
        batch.joinable = False
        answered = []
        for key, pending in batch.pending.items():
            rows = rows_of(key)
            pending.state = DONE
            if self._quarantine:
                self._quarantine.pop(key, None)
            self._answers.put(key, batch.sent_at, rows)
            answered.append((pending, rows))
        return self._resolving(batch, answered)

    def _resolving(self, batch: Batch, answered: list[tuple[PendingKey, list[Any]]]) -> Job:
        steps = 0
        for pending, rows in answered:
            key = pending.key
            for waiter in pending.waiters:
                if not waiter.done():
                    answers = waiter.answers
                    if answers is None:
                        self._finish(waiter, rows.copy())
                    else:
                        waiter.sent = True
                        self._answer_one(waiter, answers, key, rows)
                steps += 1
                if steps == PART:
                    yield steps
                    steps = 0
        self._out.pop(batch, None)
        yield steps

    def _answer_one(
        self, waiter: Waiter, answers: dict[Key, Any], key: Key, rows: Sequence[Any]
    ) -> None:
        answers[key] = rows
        waiter.left -= 1
        if not waiter.left:
            if waiter.error is not None:
                self._reject(waiter, waiter.error)
            else:
                self._finish(waiter, list(chain.from_iterable(answers.values())))

    def _finish(self, waiter: Waiter, rows: list[Any]) -> None:
        self._close(waiter)
        waiter.counters.answered += 1
        waiter.set_result(rows)

    def _rejecting(
        self, batch: Batch, error: InvalidParameterError, invalid: Sequence[Key] = ()
    ) -> Job:
        """Give each caller its error; who asked for other keys too may wait for those."""
        batch.set_state(DONE)
        batch.joinable = False
        steps = 0
        for key, pending in batch.pending.items():
            for waiter in pending.waiters:
                answers = waiter.answers
                if waiter.done():
                    pass
                elif answers is None:
                    self._reject(waiter, error, invalid)
                else:
                    waiter.sent = True
                    if key in invalid:
                        waiter.error = error
                        waiter.invalid.append(key)
                        self._answer_one(waiter, answers, key, ())
                    else:
                        self._reject(waiter, error)
                steps += 1
                if steps == PART:
                    yield steps
                    steps = 0
        self._out.pop(batch, None)
        yield steps

    def _reject(
        self, waiter: Waiter, error: InvalidParameterError, invalid: Sequence[Key] = ()
    ) -> None:
        if waiter.answers is not None:
            invalid = [key for key in waiter.answers if key in waiter.invalid]
        own = InvalidParameterError(
            error.code,
            error.msg,
            error.http_status,
            error.endpoint,
            tuple([key for key in invalid if isinstance(key, str)]),
            waiter.rows(),
        )
        self.fail(waiter, own)

    def fail(self, waiter: Waiter, error: Exception) -> None:
        """Give the caller ``error``, which is its own, and forget it."""
        self.leave(waiter)
        waiter.counters.failed += 1
        waiter.set_exception(error)
        waiter.exception()  # seen, whether or not anybody is there to ask for it
