"""What goes into the next request: pure state that never awaits.

Questions are placed in a queue; `Batcher.take` picks those of one request, in the order in
which their first callers came, when a slot has been won and not before. From then on they are
the batch's, and a newcomer who wants the same key asks anew: an answer is never older than its
question, unless the caller says how old it may be.

A caller places at most one request's worth of keys a turn; the rest of its keys is placed
behind everybody who came meanwhile. A step of priority weighs as much as having come ``AGING``
seconds earlier, so nobody starves.
"""

from __future__ import annotations

import math
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from .callers import Batch, Key, Question, Several, Ticket
from .errors import InvalidParameterError

AGING = 10.0
"""Seconds that one step of priority is worth."""
MEMORY = 4096
"""Keys whose last answers are kept for callers who accept an old one."""
SUSPICION = 300.0
"""Seconds for which a key that OKX refused is asked alone."""
SUSPECTS = 1024
"""Keys that are under suspicion at most."""
SLICE = 500
"""Callers that are answered in one step of the loop."""


class Batcher:
    """The waiting callers of one lane."""

    def __init__(self, max_keys: int, promote_above: int | None = None) -> None:
        self.max_keys = max_keys
        self.promote_above = promote_above
        """Full batches waiting above which everything is asked for at once; None: never."""
        self.callers = 0
        """Callers that aren't answered yet, those on the wire included."""
        self.placed = 0
        """Keys that are placed in the queue."""
        self._waiting: dict[Key, Question] = {}
        self._queues: dict[tuple[int, bool], OrderedDict[Key, Question]] = {}
        self._parts: deque[Batch] = deque()
        self._flying: dict[Key, tuple[float, Question]] = {}
        self._memory: OrderedDict[Key, tuple[float, list[Any]]] = OrderedDict()
        self._suspects: OrderedDict[Key, float] = OrderedDict()
        self._serial = 0
        self._batches = 0

    def __repr__(self) -> str:
        return f"<Batcher: {self.callers} callers, {self.placed} keys placed>"

    @property
    def ready(self) -> bool:
        """Whether there is something to send."""
        return bool(self.placed or self._parts)

    # -- coming and leaving ----------------------------------------------------------------

    def add(self, ticket: Ticket, priority: int, now: float, max_age: float | None = None) -> None:
        """``ticket`` wants its keys; answers that were asked ``max_age`` seconds ago will do."""
        self.callers += 1
        keys = ticket.keys
        waiting = self._waiting
        if max_age is not None:
            keys = self._recall(ticket, now - max_age)
        long = None
        if len(keys) > self.max_keys:
            long = ticket.several
            assert long is not None
            long.later, long.priority = deque(), priority
        for key in keys:
            question = waiting.get(key)
            if question is None:
                question = waiting[key] = Question(key)
            if question.queue is None and not question.held:
                if long is None:
                    self._place(question, priority, now)
                elif long.placed < self.max_keys:
                    self._place_turn(question, ticket, long, now)
                elif long.later is not None:
                    long.later.append(question)
            elif priority > question.priority:
                self._overtake(question, priority, now)
            question.askers[ticket] = question.attempts

    def _recall(self, ticket: Ticket, since: float) -> list[Key]:
        """Answer from memory or join what is on the wire; gives the keys that remain."""
        remaining: list[Key] = []
        for key in ticket.keys:
            asked_at, rows = self._memory.get(key, (-math.inf, []))
            sent_at, question = self._flying.get(key, (-math.inf, None))
            if asked_at >= since:
                self._answer(ticket, key, rows)
            elif question is not None and sent_at >= since:
                question.askers[ticket] = question.attempts
            else:
                remaining.append(key)
        return remaining

    def knows(self, keys: Sequence[Key], since: float) -> bool:
        """Whether all of them were answered or asked since then: nobody waits for a slot."""
        never = (-math.inf, None)
        return all(
            self._memory.get(key, never)[0] >= since or self._flying.get(key, never)[0] >= since
            for key in keys
        )

    def leave(self, ticket: Ticket) -> None:
        """The caller left: what nobody else wants needn't be sent."""
        self.callers -= 1
        for key in ticket.keys:
            question = self._waiting.get(key)
            if question is None or question.askers.pop(ticket, None) is None:
                continue
            if question.owner is ticket:
                question.owner = None
            if not question.askers and not question.held:
                self._unplace(question)
                del self._waiting[key]

    def asked(self, ticket: Ticket) -> bool:
        """Whether a request for any of the ticket's keys has left."""
        for key in ticket.keys:
            question = self._waiting.get(key)
            if question is None or ticket not in question.askers:
                return True
        return False

    def waiters(self) -> set[Ticket]:
        """Everybody who waits for something that isn't on the wire."""
        return {ticket for question in self._waiting.values() for ticket in question.askers}

    def flyers(self) -> set[Ticket]:
        """Everybody who waits for something that is on the wire."""
        return {ticket for _, question in self._flying.values() for ticket in question.askers}

    # -- the queue -------------------------------------------------------------------------

    def _place(self, question: Question, priority: int, now: float) -> None:
        self._serial += 1
        question.priority = priority
        question.since = now
        question.rank = (now - priority * AGING, self._serial)
        queue = self._queue(question, now)
        queue[question.key] = question
        question.queue = queue
        self.placed += 1

    def _place_turn(self, question: Question, ticket: Ticket, long: Several, now: float) -> None:
        self._place(question, long.priority, now)
        question.owner = ticket
        long.placed += 1

    def _queue(self, question: Question, now: float) -> OrderedDict[Key, Question]:
        question.alone = self._must_be_alone(question.key, now)
        level = (question.priority, question.alone)
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
        if question.queue is not None and now - priority * AGING < question.rank[0]:
            self._unplace(question)
            self._place(question, priority, now)

    def _must_be_alone(self, key: Key, now: float) -> bool:
        """ "All" shares no request, nor does who was refused of late."""
        if key is None:
            return True
        if not self._suspects or key not in self._suspects:
            return False
        if self._suspects[key] < now:
            del self._suspects[key]
            return False
        return True

    def rank(self) -> tuple[float, int]:
        """Of the question that is next; the smaller, the earlier."""
        if self._parts:
            return min(question.rank for question in self._parts[0].questions)
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
        if last[1] > self._serial and all(level >= priority for level, _ in self._queues):
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
        batch = self._take_part() or self._take_everything() or self._take_some(now)
        if batch is not None:
            self._batches += 1
            batch.number = self._batches
            batch.sent_at = now
            for question in batch.questions:
                self._flying[question.key] = (now, question)
        return batch

    def _take_some(self, now: float) -> Batch | None:
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
            if question.alone:
                break
        return Batch(questions) if questions else None

    def _turn_over(self, ticket: Ticket, now: float) -> None:
        """One key of the caller's turn left; after the last one its next turn is placed."""
        long = ticket.several
        assert long is not None
        long.placed -= 1
        if long.placed:
            return
        while long.later and long.placed < self.max_keys:
            question = long.later.popleft()
            if (
                question.queue is None
                and not question.held
                and self._waiting.get(question.key) is question
            ):
                self._place_turn(question, ticket, long, now)

    def _take_everything(self) -> Batch | None:
        if self.promote_above is None or self.placed <= self.promote_above * self.max_keys:
            return None
        questions = [
            question
            for question in self._waiting.values()
            if not question.held and (question.key is None or not question.alone)
        ]
        for question in questions:
            self._unplace(question)
            question.owner = None
            del self._waiting[question.key]
        return Batch(questions, everything=True)

    def put_back(self, batch: Batch, now: float) -> bool:
        """The batch goes back to the head, with whoever still waits; False when nobody does."""
        self.landed(batch)
        if batch.inquest is not None:
            self.put_part(batch)
            return True
        back = False
        for question in batch.questions:
            for ticket in [ticket for ticket in question.askers if ticket.done()]:
                del question.askers[ticket]
            self._join_newcomers(question)
            if question.askers:
                self._waiting[question.key] = question
                self._place_by_rank(question, now)
                back = True
        return back

    def _join_newcomers(self, question: Question) -> None:
        """Whoever asked for the same key meanwhile gets the same answer, a newer one."""
        newer = self._waiting.pop(question.key, None)
        if newer is None or newer is question:
            return
        self._unplace(newer)
        for ticket, attempts in newer.askers.items():
            question.askers[ticket] = question.attempts - newer.attempts + attempts
        question.rank = min(question.rank, newer.rank)
        question.owner = newer.owner

    def _place_by_rank(self, question: Question, now: float) -> None:
        queue = self._queue(question, now)
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

    def landed(self, batch: Batch) -> None:
        """The batch isn't on the wire any more."""
        for question in batch.questions:
            flying = self._flying.get(question.key)
            if flying is not None and flying[1] is question:
                del self._flying[question.key]

    # -- the parts of a refused batch ------------------------------------------------------

    def hold(self, questions: list[Question]) -> None:
        """An inquest decides when they are asked: they may be joined, but aren't placed."""
        for question in questions:
            question.held = True
            self._join_newcomers(question)
            self._waiting[question.key] = question

    def release(self, questions: list[Question]) -> None:
        """The inquest has nothing to ask about them any more."""
        for question in questions:
            if self._waiting.get(question.key) is question:
                del self._waiting[question.key]

    def put_part(self, batch: Batch) -> None:
        """A part of an inquest goes to the head of the queue."""
        self.hold(batch.questions)
        self._parts.append(batch)

    def _take_part(self) -> Batch | None:
        if not self._parts:
            return None
        batch = self._parts.popleft()
        self.release(batch.questions)
        return batch

    def drop_unwanted_part(self) -> Batch | None:
        """A part that nobody waits for any more, if there is one."""
        for batch in self._parts:
            if not batch.wanted():
                self._parts.remove(batch)
                return batch
        return None

    # -- answering -------------------------------------------------------------------------

    def settle(self, batch: Batch, rows_of: Callable[[Key], list[Any]]) -> Iterator[None]:
        """Give each caller its rows; yields now and then, so that the loop can do other work."""
        self.landed(batch)
        steps = 0
        for question in batch.questions:
            rows = rows_of(question.key)
            self._remember(question.key, batch.sent_at, rows)
            for ticket in question.askers:
                if not ticket.done():
                    self._answer(ticket, question.key, rows)
                steps += 1
                if steps % SLICE == 0:
                    yield

    def _remember(self, key: Key, asked_at: float, rows: list[Any]) -> None:
        memory = self._memory
        if self._suspects:
            self._suspects.pop(key, None)
        if asked_at < memory.get(key, (-math.inf, rows))[0]:
            return
        memory[key] = (asked_at, rows)
        memory.move_to_end(key)
        if len(memory) > MEMORY:
            memory.popitem(last=False)

    def _answer(self, ticket: Ticket, key: Key, rows: list[Any]) -> None:
        if ticket.several is None:
            self._finish(ticket, rows.copy())
        else:
            self._answer_one(ticket, ticket.several, key, rows)

    def blame(self, question: Question, error: InvalidParameterError, now: float) -> None:
        """OKX refuses this key: its askers get that, beside the rows of their other keys."""
        if question.key is not None:
            self._suspects[question.key] = now + SUSPICION
            self._suspects.move_to_end(question.key)
            if len(self._suspects) > SUSPECTS:
                self._suspects.popitem(last=False)
        for ticket in question.askers:
            if ticket.done():
                continue
            if ticket.several is None:
                self._finish_with_error(ticket, error, {question.key: None})
            else:
                ticket.several.error = error
                self._answer_one(ticket, ticket.several, question.key, None)

    def _answer_one(
        self, ticket: Ticket, several: Several, key: Key, rows: list[Any] | None
    ) -> None:
        answers = several.answers
        answers[key] = rows
        several.left -= 1
        if several.left:
            return
        if several.error is not None:
            self._finish_with_error(ticket, several.error, answers)
        else:
            self._finish(ticket, [row for key in ticket.keys for row in answers[key] or ()])

    def _finish(self, ticket: Ticket, rows: list[Any]) -> None:
        self.callers -= 1
        ticket.tally.answered += 1
        if ticket.timer is not None:
            ticket.timer.pop(ticket, None)
        ticket.set_result(rows)

    def _finish_with_error(
        self,
        ticket: Ticket,
        error: InvalidParameterError,
        answers: dict[Key, list[Any] | None],
    ) -> None:
        own = InvalidParameterError(
            error.code,
            error.msg,
            error.http_status,
            error.endpoint,
            tuple(key for key in ticket.keys if key is not None and answers[key] is None),
            tuple(row for key in ticket.keys for row in answers[key] or ()),
        )
        self.fail(ticket, own)

    def fail(self, ticket: Ticket, error: Exception) -> None:
        """The caller gets ``error``, which is its own, and leaves."""
        self.leave(ticket)
        ticket.tally.failed += 1
        if ticket.timer is not None:
            ticket.timer.pop(ticket, None)
        ticket.set_exception(error)
        ticket.exception()  # seen: a caller who is cancelled this very moment never asks
