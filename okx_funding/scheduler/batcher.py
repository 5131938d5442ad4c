"""What goes into the next request: pure state that never awaits.

Keys are queued; `Batcher.take` picks those of one request, in the order in which their first
callers came, when a slot has been won and not before. From then on they are the batch's, and a
newcomer who wants the same key asks anew: an answer is never older than its call, unless the
caller says how old it may be.

When OKX refuses a batch for a parameter, its keys go into a `Bisection`, which decides which of
them are asked next.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from .answers import Answers
from .batch import Batch, Batches
from .bisections import Bisections
from .calls import Chunks, Key, Waiter
from .forecast import Forecast
from .pending import DONE, HELD, IN_FLIGHT, LAST_RANK, LATER, SUSPECT, PendingKey, Rank
from .pending_keys import PendingKeys
from .resolve import Job, Resolver

_numbers = itertools.count(1)


def request_number() -> int:
    """The number of one more request; no other of the process has it."""
    return next(_numbers)


class Batcher:
    """The waiting callers of one lane."""

    def __init__(self, batch_size: int) -> None:
        self.batch_size = batch_size
        self._keys = PendingKeys(batch_size)
        self._batches = Batches()
        self._resolver = Resolver(self._keys, self._batches)
        self._answers = Answers()
        self.bisections: Bisections = Bisections(self._keys, self._batches, self._resolver)
        self.forecast: Forecast = Forecast(self._keys)

    def __repr__(self) -> str:
        return f"<Batcher: {self.callers} callers, {self.queued} keys queued>"

    @property
    def callers(self) -> int:
        """Callers that aren't answered yet, those on the wire included."""
        return self._resolver.callers

    @property
    def queued(self) -> int:
        """Keys in the queue."""
        return len(self._keys)

    # -- coming and leaving ----------------------------------------------------------------

    def add(self, waiter: Waiter, priority: int, now: float, max_age: float | None = None) -> bool:
        """Queue the keys of ``waiter``; answers that were asked ``max_age`` seconds ago will do.

        Gives whether any was queued that wasn't before.
        """
        queued = False
        self._resolver.callers += 1
        keys, waiting, suspects = waiter.keys, self._keys, self.bisections.suspects
        by_key = waiting.by_key
        if max_age is not None:
            keys = self._recall(waiter, now - max_age)
        elif (
            len(keys) <= self.batch_size
            and not suspects
            and waiting.enqueue_new(waiter, priority, now)
        ):
            return True
        chunks = None
        if len(keys) > self.batch_size:
            chunks = waiter.chunks = waiting.long[waiter] = Chunks(priority)
        for key in keys:
            pending = by_key.get(key)
            if pending is None:
                pending = by_key[key] = PendingKey(key, now)
                if key in suspects:
                    pending.state = HELD
                    waiting.set_rank(pending, priority, now)
            if pending.state is LATER:
                if chunks is None:
                    waiting.enqueue(pending, now, priority)
                    queued = True
                else:
                    chunks.later.append(pending)
            elif priority > pending.priority:
                waiting.raise_priority(pending, priority, now)
            pending.waiters[waiter] = pending.attempts
        if chunks is not None:
            waiting.queue_chunk(waiter, chunks, now)
        return queued or chunks is not None

    def _recall(self, waiter: Waiter, since: float) -> list[Key]:
        """Answer from memory or join what is on the wire; gives the keys that remain."""
        self._answers.enabled = True
        remaining: list[Key] = []
        for key in waiter.keys:
            rows = self._answers.get(key, since)
            if rows is not None:
                self._resolver.answer(waiter, key, rows)
            elif (in_flight := self._batches.find(key, since)) is not None:
                in_flight.waiters[waiter] = in_flight.attempts
            else:
                remaining.append(key)
        return remaining

    def knows(self, keys: Sequence[Key], since: float) -> bool:
        """Tell whether all of them were answered or asked since then: nobody needs a slot."""
        return all(
            self._answers.get(key, since) is not None or self._batches.find(key, since) is not None
            for key in keys
        )

    def leave(self, waiter: Waiter) -> None:
        """Forget a caller; what nobody else wants needn't be sent."""
        self._resolver.leave(waiter)

    def fail(self, waiter: Waiter, error: Exception) -> None:
        """Give the caller ``error``, which is its own, and forget it."""
        self._resolver.fail(waiter, error)

    def was_sent(self, waiter: Waiter) -> bool:
        """Tell whether a request for any of the waiter's keys has left."""
        if waiter.sent:
            return True
        for key in waiter.keys:
            pending = self._keys.by_key.get(key)
            if pending is not None and waiter in pending.waiters:
                if pending.attempts.requests > pending.waiters[waiter].requests:
                    return True
            elif self._batches.was_sent(waiter, key):
                return True
        return False

    def queued_waiters(self) -> dict[Waiter, None]:
        """Give everybody who waits for something that isn't on the wire."""
        pending_keys = self._keys.by_key.values()
        return {waiter: None for pending in pending_keys for waiter in pending.waiters}

    def open_waiters(self) -> dict[Waiter, None]:
        """Give everybody who isn't answered yet."""
        return self.queued_waiters() | dict.fromkeys(self._batches.waiters())

    # -- what is next ----------------------------------------------------------------------

    def is_ready(self) -> bool:
        """Tell whether there is something to send."""
        keys, bisections = self._keys, self.bisections
        if keys.shared.length or keys.alone.length:
            return True
        return bool(bisections.idle) and bisections.next() is not None

    def rank(self) -> Rank:
        """Give the rank of what is sent next."""
        bisection = self.bisections.choose()
        if bisection is not None:
            return bisection.rank
        first = self._keys.first()
        return first.rank if first is not None else LAST_RANK

    def priority(self) -> int:
        """Give the priority of what is sent next."""
        bisection = self.bisections.choose()
        if bisection is not None:
            return max([each.priority for each in bisection.pending.values()], default=0)
        first = self._keys.first()
        return first.priority if first is not None else 0

    # -- sending ---------------------------------------------------------------------------

    def take(self, now: float) -> Batch | None:
        """Choose what the request that leaves now asks for; None when nobody waits."""
        bisection = self.bisections.choose() if self.bisections.idle else None
        if bisection is not None:
            batch = self.bisections.take_group(bisection)
            batch.set_state(IN_FLIGHT)
        elif self._keys.shared.length or self._keys.alone.length:
            batch = Batch(self._keys.pop_batch(now))
        else:
            return None
        self.bisections.ordinary_next = bisection is not None
        batch.number = request_number()
        batch.sent_at = now
        batch.joinable = True
        batch.departures = self._resolver.departures
        self._batches.add(batch)
        return batch

    def trim(self, batch: Batch) -> bool:
        """Drop what nobody wants any more before it is sent; False where that is all."""
        if batch.departures == self._resolver.departures:
            return True
        unwanted = [key for key, each in batch.pending.items() if not each.has_waiters()]
        if not unwanted:
            return True
        dropped = [batch.pending.pop(key) for key in unwanted]
        if batch.bisection is not None:
            self.bisections.forget(batch.bisection, unwanted)
        for pending in dropped:
            pending.state = DONE
        if batch.pending:
            return True
        self.over(batch)
        if batch.bisection is not None:
            self.bisections.take_back(batch, batch.sent_at)
        return False

    def put_back(self, batch: Batch, now: float) -> None:
        """Queue the batch at its old rank, for whoever still waits."""
        self.over(batch)
        if batch.bisection is not None:
            self.bisections.take_back(batch, now)
            return
        for pending in batch.pending.values():
            pending.prune_done()
            pending.state = DONE
            if not pending.waiters:
                continue
            newer = self._keys.by_key.get(pending.key)
            if newer is not None and newer.state in (HELD, SUSPECT):
                newer.merge(pending)
                continue
            self._keys.replace(pending, now)
            if pending.key in self.bisections.suspects:
                pending.state = HELD
            else:
                self._keys.enqueue(pending, now)

    def over(self, batch: Batch) -> None:
        """Forget a batch: nobody waits for it, or not for this one."""
        self._batches.discard(batch)

    # -- answering -------------------------------------------------------------------------

    def resolve(self, batch: Batch, rows_by_key: Mapping[Key, list[Any]]) -> Job | None:
        """Give each caller its rows: now if there is one, else by the job that comes back."""
        batch.joinable = False
        quarantine, remember = self._keys.quarantine, self._answers.enabled
        answered = []
        for key, pending in batch.pending.items():
            rows = rows_by_key[key]
            pending.state = DONE
            if quarantine.until:
                quarantine.discard(key)
            if remember:
                self._answers.put(key, batch.sent_at, rows)
            answered.append((pending, rows))
        if self._resolver.resolve_one(batch, answered):
            return None
        return self._resolver.resolving(batch, answered)
