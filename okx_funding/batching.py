"""Who waits for what, and what goes into the next request: pure state that never awaits.

A caller is a `Ticket`, the future it sleeps on. What it wants is one `Question` for each key
(a currency, a unit, or None for "all"), shared with whoever else wants that key and waits too.
Questions are placed in a queue; `Batcher.take` picks those of one request, in the order in
which their first callers came, when a slot has been won and not before. From then on they are
the `Batch`'s, and a newcomer who wants the same key asks anew: an answer is never older than
its question.

A caller places at most one request's worth of keys a turn; the rest of its keys is placed
behind everybody who came meanwhile. A step of priority weighs as much as having come ``AGING``
seconds earlier, so nobody starves.
"""

from __future__ import annotations

import asyncio
import math
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

Key = str | None

AGING = 10.0
SLICE = 500
"""Callers that are answered in one step of the loop."""


class Tally:
    """What was counted for one client, or for all of a session."""

    __slots__ = (
        "answered",
        "calls",
        "cancelled",
        "failed",
        "refused",
        "requests",
        "retries",
        "total",
    )

    def __init__(self, total: Tally | None = None) -> None:
        self.calls = self.answered = self.failed = self.cancelled = 0
        self.requests = self.refused = self.retries = 0
        self.total = self if total is None else total
        """Who counts the same for everybody."""

    def include(self, other: Tally) -> None:
        """Count all that ``other`` counted, here alone."""
        for what in self.__slots__:
            if what != "total":
                setattr(self, what, getattr(self, what) + getattr(other, what))

    def add(self, what: str) -> None:
        """Count one more ``what``, here and in the total."""
        setattr(self, what, getattr(self, what) + 1)
        if self.total is not self:
            self.total.add(what)


class Home(Protocol):
    """Where a ticket belongs."""

    def leave(self, ticket: Ticket) -> None:
        """Its caller was cancelled."""

    def expire(self, ticket: Ticket) -> None:
        """Its caller's time is over."""


class Ticket(asyncio.Future[list[Any]]):
    """One waiting caller. Its result is a list of rows of its own."""

    __slots__ = ("answers", "keys", "lane", "left", "tally", "timer", "turns")

    lane: Home
    tally: Tally
    """Whose call it is."""
    keys: Sequence[Key]
    left: int
    """Keys without an answer yet."""
    answers: dict[Key, list[Any]] | None
    """Rows by key, for callers with several keys."""
    turns: Turns | None
    timer: dict[Ticket, None] | None
    """Where its deadline is kept."""

    def cancel(self, msg: Any | None = None) -> bool:
        if not super().cancel(msg):
            return False
        self.lane.leave(self)
        return True


class Turns:
    """What a caller with more keys than a request holds has still to place."""

    __slots__ = ("later", "placed", "priority")

    def __init__(self, priority: int) -> None:
        self.later: deque[Question] = deque()
        self.placed = 0
        self.priority = priority


class Question:
    """One key that somebody wants."""

    __slots__ = (
        "askers",
        "attempts",
        "key",
        "owner",
        "priority",
        "queue",
        "rank",
        "refusals",
        "since",
    )

    def __init__(self, key: Key) -> None:
        self.key = key
        self.askers: dict[Ticket, int] = {}
        """Who wants it, and how many attempts had failed when each of them came."""
        self.attempts = 0
        self.refusals = 0
        self.rank: tuple[float, int] = (math.inf, 0)
        self.since = 0.0
        """When it was placed first."""
        self.priority = 0
        self.queue: OrderedDict[Key, Question] | None = None
        """The queue it is placed in, or None."""
        self.owner: Ticket | None = None
        """The caller whose turn it is part of."""


class Batch:
    """The questions of one request."""

    __slots__ = ("number", "questions", "resigned")

    def __init__(self, number: int, questions: list[Question]) -> None:
        self.number = number
        self.questions = questions
        self.resigned = False
        """Whether it was signed anew after the clock was set."""

    @property
    def keys(self) -> list[str]:
        """The keys to send; none for "all"."""
        return [question.key for question in self.questions if question.key is not None]

    def callers(self) -> int:
        """How many callers wait for it, each key's counted."""
        return sum(len(question.askers) for question in self.questions)

    def wanted(self) -> bool:
        """Whether anybody still waits for it."""
        return any(not ticket.done() for question in self.questions for ticket in question.askers)


class Batcher:
    """The waiting callers of one lane."""

    def __init__(self, max_keys: int) -> None:
        self.max_keys = max_keys
        self.callers = 0
        """Callers that aren't answered yet, those on the wire included."""
        self.placed = 0
        """Keys that are placed in the queue."""
        self._waiting: dict[Key, Question] = {}
        self._queues: dict[tuple[int, bool], OrderedDict[Key, Question]] = {}
        self._serial = 0
        self._batches = 0

    def __len__(self) -> int:
        return len(self._waiting)

    # -- coming and leaving ----------------------------------------------------------------

    def add(self, ticket: Ticket, priority: int, now: float) -> None:
        """``ticket`` wants its keys."""
        self.callers += 1
        keys = ticket.keys
        waiting = self._waiting
        long = len(keys) > self.max_keys
        turns = ticket.turns = Turns(priority) if long else None
        for key in keys:
            question = waiting.get(key)
            if question is None:
                question = waiting[key] = Question(key)
            if question.queue is None:
                if turns is None:
                    self._place(question, priority, now)
                elif turns.placed < self.max_keys:
                    self._place(question, priority, now)
                    question.owner = ticket
                    turns.placed += 1
                else:
                    turns.later.append(question)
            elif priority > question.priority:
                self._overtake(question, priority, now)
            question.askers[ticket] = question.attempts

    def leave(self, ticket: Ticket) -> None:
        """The caller left: what nobody else wants needn't be sent."""
        self.callers -= 1
        for key in ticket.keys:
            question = self._waiting.get(key)
            if question is None or question.askers.pop(ticket, None) is None:
                continue
            if question.owner is ticket:
                question.owner = None
            if not question.askers:
                self._unplace(question)
                del self._waiting[key]

    def asked(self, ticket: Ticket) -> bool:
        """Whether a request for any of the ticket's keys has left."""
        for key in ticket.keys:
            question = self._waiting.get(key)
            if question is None or ticket not in question.askers:
                return True
        return False

    # -- the queue -------------------------------------------------------------------------

    def _place(self, question: Question, priority: int, now: float) -> None:
        self._serial += 1
        question.priority = priority
        question.since = now
        question.rank = (now - priority * AGING, self._serial)
        queue = self._queue(question)
        queue[question.key] = question
        question.queue = queue
        self.placed += 1

    def _queue(self, question: Question) -> OrderedDict[Key, Question]:
        level = (question.priority, self.alone(question.key))
        queue = self._queues.get(level)
        if queue is None:
            queue = self._queues[level] = OrderedDict()
        return queue

    def _unplace(self, question: Question) -> None:
        if question.queue is not None:
            del question.queue[question.key]
            question.queue = None
            self.placed -= 1

    def _overtake(self, question: Question, priority: int, now: float) -> None:
        if now - priority * AGING < question.rank[0]:
            self._unplace(question)
            self._place(question, priority, now)

    def alone(self, key: Key) -> bool:
        """Whether ``key`` may not share a request."""
        return key is None

    def rank(self) -> tuple[float, int]:
        """Of the question that is next; the smaller, the earlier."""
        head = self._head()
        return head.rank if head is not None else (math.inf, 0)

    def ahead_of(self, keys: Sequence[Key], priority: int, now: float) -> int:
        """How many placed keys are asked before the last of the first turn of ``keys``."""
        last = (-math.inf, 0)
        for key in keys[: self.max_keys]:
            question = self._waiting.get(key)
            if question is None or question.queue is None:
                last = max(last, (now - priority * AGING, self._serial + 1))
            else:
                last = max(last, question.rank)
        if len(self._queues) == 1 and last[1] > self._serial:
            return self.placed
        return sum(
            question.rank < last for queue in self._queues.values() for question in queue.values()
        )

    def _head(self, companions: bool = False) -> Question | None:
        first: Question | None = None
        for (_, alone), queue in self._queues.items():
            if queue and not (companions and alone):
                question = next(iter(queue.values()))
                if first is None or question.rank < first.rank:
                    first = question
        return first

    # -- sending ---------------------------------------------------------------------------

    def take(self, now: float) -> Batch | None:
        """What the request that leaves now asks for; None when nobody waits."""
        questions: list[Question] = []
        while len(questions) < self.max_keys:
            question = self._head(companions=bool(questions))
            if question is None:
                break
            self._unplace(question)
            del self._waiting[question.key]
            questions.append(question)
            if question.owner is not None:
                self._turn_over(question.owner, now)
                question.owner = None
            if self.alone(question.key):
                break
        if not questions:
            return None
        self._batches += 1
        return Batch(self._batches, questions)

    def _turn_over(self, ticket: Ticket, now: float) -> None:
        turns = ticket.turns
        assert turns is not None
        turns.placed -= 1
        if turns.placed:
            return
        while turns.later and turns.placed < self.max_keys:
            question = turns.later.popleft()
            if question.queue is None and self._waiting.get(question.key) is question:
                self._place(question, turns.priority, now)
                question.owner = ticket
                turns.placed += 1

    def put_back(self, batch: Batch) -> bool:
        """The batch goes back to the head, with whoever still waits; False when nobody does."""
        back = False
        for question in batch.questions:
            for ticket in [ticket for ticket in question.askers if ticket.done()]:
                del question.askers[ticket]
            newer = self._waiting.pop(question.key, None)
            if newer is not None:
                self._merge(question, newer)
            if question.askers:
                self._waiting[question.key] = question
                self._place_by_rank(question)
                back = True
        return back

    def _merge(self, question: Question, newer: Question) -> None:
        self._unplace(newer)
        for ticket, attempts in newer.askers.items():
            question.askers[ticket] = question.attempts - newer.attempts + attempts
        question.rank = min(question.rank, newer.rank)
        question.owner = newer.owner

    def _place_by_rank(self, question: Question) -> None:
        queue = self._queue(question)
        ahead = []
        while queue:
            first = next(iter(queue.values()))
            if first.rank > question.rank:
                break
            ahead.append(queue.popitem(last=False)[1])
        for earlier in (question, *reversed(ahead)):
            queue[earlier.key] = earlier
            queue.move_to_end(earlier.key, last=False)
        question.queue = queue
        self.placed += 1

    # -- answering -------------------------------------------------------------------------

    def settle(self, batch: Batch, rows_of: Callable[[Key], list[Any]]) -> Iterator[None]:
        """Give each caller its rows; yields now and then, so that the loop can do other work."""
        steps = 0
        for question in batch.questions:
            rows = rows_of(question.key)
            for ticket in question.askers:
                if ticket.done():
                    continue
                if ticket.answers is None:
                    self.finish(ticket, rows.copy())
                else:
                    ticket.answers[question.key] = rows
                    ticket.left -= 1
                    if not ticket.left:
                        answers = ticket.answers
                        self.finish(ticket, [row for key in ticket.keys for row in answers[key]])
                steps += 1
                if steps % SLICE == 0:
                    yield

    def finish(self, ticket: Ticket, rows: list[Any]) -> None:
        """The caller has what it came for."""
        self.callers -= 1
        ticket.tally.add("answered")
        if ticket.timer is not None:
            ticket.timer.pop(ticket, None)
        ticket.set_result(rows)

    def fail(self, ticket: Ticket, error: Exception) -> None:
        """The caller gets ``error``, which is its own, and leaves."""
        self.leave(ticket)
        ticket.tally.add("failed")
        if ticket.timer is not None:
            ticket.timer.pop(ticket, None)
        ticket.set_exception(error)
        ticket.exception()  # seen: a caller who is cancelled this very moment never asks

    def tickets(self) -> Iterator[Ticket]:
        """Everybody who waits for something that isn't on the wire."""
        seen: set[Ticket] = set()
        for question in self._waiting.values():
            seen.update(question.askers)
        yield from seen
