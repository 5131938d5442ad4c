"""How calls end: each caller gets its rows or an error of its own, in slices that may pause."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

from okx_funding.errors import InvalidParameterError

from .batch import Batch, Batches
from .calls import Key, Waiter
from .pending import DONE, SUSPECT, PendingKey
from .pending_keys import PendingKeys

PART = 100
"""Callers that are answered before the job that does it may pause."""

Job = Iterator[int]
"""Ends some calls at each step, and gives how many."""


class Resolver:
    """Ends the calls of one lane."""

    def __init__(self, keys: PendingKeys, batches: Batches) -> None:
        self.callers: int = 0
        """Callers that aren't answered yet, those on the wire included."""
        self.departures: int = 0
        """How many callers left."""
        self._keys = keys
        self._batches = batches

    def leave(self, waiter: Waiter) -> None:
        """Forget a caller; what nobody else wants needn't be sent."""
        self._close(waiter)
        self.departures += 1
        by_key = self._keys.by_key
        for key in waiter.keys:
            pending = by_key.get(key)
            if pending is None or pending.waiters.pop(waiter, None) is None:
                continue
            if pending.chunk_of is waiter:
                pending.chunk_of = None
            if not pending.waiters and pending.state is not SUSPECT:
                self._keys.drop(pending)

    def _close(self, waiter: Waiter) -> None:
        self.callers -= 1
        if waiter.timer is not None:
            waiter.timer.pop(waiter, None)
        if waiter.answers is not None and waiter.chunks is not None:
            self._keys.long.pop(waiter, None)

    def fail(self, waiter: Waiter, error: Exception) -> None:
        """Give the caller ``error``, which is its own, and forget it."""
        self.leave(waiter)
        waiter.counters.failed += 1
        waiter.set_exception(error)
        waiter.exception()  # seen, whether or not anybody is there to ask for it

    def resolve_one(self, batch: Batch, answered: list[tuple[PendingKey, list[Any]]]) -> bool:
        """Give the only caller of a batch all its rows; False where there are several, or more."""
        waiters = answered[0][0].waiters
        if len(waiters) != 1:
            return False
        (waiter,) = waiters
        answers = waiter.answers
        if answers is None:
            if len(answered) > 1 or waiter.done():
                return False
            rows = answered[0][1].copy()
        else:
            if waiter.left != len(answered) or waiter.error is not None or waiter.done():
                return False
            for pending, found in answered:
                if waiter not in pending.waiters or len(pending.waiters) > 1:
                    return False
                answers[pending.key] = found
            rows = list(chain.from_iterable(found or () for found in answers.values()))
        self._batches.discard(batch)
        self._finish(waiter, rows)
        return True

    def resolving(self, batch: Batch, answered: list[tuple[PendingKey, list[Any]]]) -> Job:
        """Give each caller its rows."""
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
        self._batches.discard(batch)
        yield steps

    def answer(self, waiter: Waiter, key: Key, rows: list[Any]) -> None:
        """Give a caller the rows of one of its keys, which is the end of it if it was the last."""
        answers = waiter.answers
        if answers is None:
            self._finish(waiter, rows.copy())
        else:
            self._answer_one(waiter, answers, key, rows)

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

    def rejecting(
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
        self._batches.discard(batch)
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
