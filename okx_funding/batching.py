"""What goes into the next request: pure state that never awaits.

Questions are placed in a queue; `Batcher.take` picks those of one request, in the order in
which their first callers came, when a slot has been won and not before. From then on they are
the batch's, and a newcomer who wants the same key asks anew: an answer is never older than its
question, unless the caller says how old it may be.

A caller places at most one request's worth of keys a turn; the rest of its keys is placed
behind everybody who came meanwhile. A step of priority weighs as much as having come ``AGING``
seconds earlier, so nobody starves.

When OKX refuses a batch for a parameter, its keys stand trial: an `Inquest` decides which of them
are asked next, ahead of the queue. A key stands one trial at a time, and until its verdict is
known nobody asks for it elsewhere: a newcomer joins it, or waits for the verdict of the part that
is on the wire.
"""

from __future__ import annotations

import math
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

from .callers import AGING, REFUSED, Batch, Key, Question, Solo, Ticket, Trial, Turns
from .errors import InvalidParameterError

MEMORY = 4096
"""Keys whose last answers are kept for callers who accept an old one."""
SUSPICION = 300.0
"""Seconds for which a key that OKX refused is asked alone, or all keys aren't asked at once."""
SUSPECTS = 1024
"""Keys that are under suspicion at most."""
SLICE = 500
"""Callers that are answered in one step of the loop."""

Answers = dict[Key, Any]
"""Of a caller with several keys: see `Ticket.answers`."""


class Batcher:
    """The waiting callers of one lane."""

    def __init__(self, max_keys: int, promote_above: int | None = None) -> None:
        self.max_keys = max_keys
        self.promote_above: int | None = promote_above if max_keys > 1 else None
        """Full batches waiting above which everything is asked for at once; None: never."""
        self.callers: int = 0
        """Callers that aren't answered yet, those on the wire included."""
        self.placed: int = 0
        """Keys that are placed in the queue."""
        self._waiting: dict[Key, Question] = {}
        self._queues: dict[tuple[int, bool], OrderedDict[Key, Question]] = {}
        self._trials: deque[Trial] = deque()
        self._accused: dict[Key, Question] = {}
        self._out: dict[Batch, None] = {}
        self._departures = 0
        self._memory: OrderedDict[Key, tuple[float, list[Any]]] = OrderedDict()
        self._suspects: OrderedDict[Key, float] = OrderedDict()
        self._demoted_until = -math.inf
        self._serial = 0
        self._batches = 0

    def __repr__(self) -> str:
        return f"<Batcher: {self.callers} callers, {self.placed} keys placed>"

    def ready(self, now: float) -> bool:
        """Whether there is something to send."""
        while self._trials and not self._part(self._trials[0], now):
            self._trials.popleft()
        return bool(self.placed or self._trials)

    def requests(self, now: float) -> int:
        """How many requests those who are placed will need."""
        return 1 if self._too_many(now) else math.ceil(self.placed / self.max_keys)

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
            long = ticket.turns = Turns(priority)
        for key in keys:
            question = waiting.get(key)
            if question is None:
                question = waiting[key] = Question(key, now)
                if key in self._accused:
                    question.held = True
                    self._rank(question, priority, now)
            if question.queue is None and not question.held:
                if long is None:
                    self._place(question, priority, now)
                elif long.placed < self.max_keys:
                    self._place_turn(question, ticket, long, now)
                else:
                    long.later.append(question)
            elif priority > question.priority:
                self._overtake(question, priority, now)
            question.askers[ticket] = question.past

    def knows(self, keys: Sequence[Key], since: float) -> bool:
        """Whether all of them were answered or asked since then: nobody waits for a slot."""
        return all(
            self._remembered(key, since) is not None or self._flying(key, since) is not None
            for key in keys
        )

    def _remembered(self, key: Key, since: float) -> list[Any] | None:
        """What OKX answered to a question that was asked since then."""
        asked_at, rows = self._memory.get(key, (-math.inf, None))
        return rows if asked_at >= since else None

    def _flying(self, key: Key, since: float) -> Question | None:
        """The question on the wire that was asked last, and since then."""
        for batch in reversed(self._out):
            if batch.aloft and key in batch.questions:
                return batch.questions[key] if batch.sent_at >= since else None
        return None

    def _recall(self, ticket: Ticket, since: float) -> list[Key]:
        """Answer from memory or join what is on the wire; gives the keys that remain."""
        remaining: list[Key] = []
        for key in ticket.keys:
            rows = self._remembered(key, since)
            if rows is not None:
                if ticket.answers is None:
                    self._finish(ticket, rows.copy())
                else:
                    self._answer_one(ticket, ticket.answers, key, tuple(rows))
            elif (flying := self._flying(key, since)) is not None:
                flying.askers[ticket] = flying.past
            else:
                remaining.append(key)
        return remaining

    def leave(self, ticket: Ticket) -> None:
        """The caller left: what nobody else wants needn't be sent."""
        self.callers -= 1
        self._departures += 1
        for key in ticket.keys:
            question = self._waiting.get(key)
            if question is None or question.askers.pop(ticket, None) is None:
                continue
            if question.owner is ticket:
                question.owner = None
            if not question.askers and self._accused.get(key) is not question:
                self._unplace(question)
                del self._waiting[key]

    def asked(self, ticket: Ticket) -> bool:
        """Whether a request for any of the ticket's keys has left."""
        answers = ticket.answers
        if answers is not None and (
            ticket.error is not None or any(type(rows) is list for rows in answers.values())
        ):
            return True
        for key in ticket.keys:
            question = self._waiting.get(key)
            if question is not None and ticket in question.askers:
                if question.past.requests > question.askers[ticket].requests:
                    return True
                continue
            for batch in self._out:
                question = batch.questions.get(key)
                if question is None or ticket not in question.askers:
                    continue
                if not batch.resting or question.past.requests > question.askers[ticket].requests:
                    return True
        return False

    def solo_of(self, ticket: Ticket) -> Solo | None:
        """What the caller sends in its own task, if it does."""
        for batch in self._out:
            if isinstance(batch, Solo) and not batch.unseen and batch.ticket is ticket:
                return batch
        return None

    def waiters(self) -> set[Ticket]:
        """Everybody who waits for something that isn't on the wire."""
        return {ticket for question in self._waiting.values() for ticket in question.askers}

    def everybody(self) -> set[Ticket]:
        """Everybody who isn't answered yet."""
        everybody = self.waiters()
        for batch in self._out:
            everybody.update(ticket for ticket, _ in batch.tickets())
        return everybody

    # -- the queue -------------------------------------------------------------------------

    def _rank(self, question: Question, priority: int, now: float) -> None:
        self._serial += 1
        question.priority = priority
        question.rank = (now - priority * AGING, self._serial)

    def _place(self, question: Question, priority: int, now: float) -> None:
        self._rank(question, priority, now)
        question.queue = queue = self._queue(question, now)
        queue[question.key] = question
        self.placed += 1

    def _place_turn(self, question: Question, ticket: Ticket, long: Turns, now: float) -> None:
        self._place(question, long.priority, now)
        question.owner = ticket
        long.placed += 1

    def _queue(self, question: Question, now: float) -> OrderedDict[Key, Question]:
        key = question.key
        question.alone = key is None or (bool(self._suspects) and self._must_be_alone(key, now))
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
        if now - priority * AGING >= question.rank[0]:
            return
        if question.held:
            self._rank(question, priority, now)
        else:
            self._unplace(question)
            self._place(question, priority, now)

    def _must_be_alone(self, key: Key, now: float) -> bool:
        """ "All" shares no request, nor does who was refused of late."""
        if key is None:
            return True
        if key not in self._suspects:
            return False
        if self._suspects[key] < now:
            del self._suspects[key]
            return False
        return True

    def rank(self) -> tuple[float, int]:
        """Of the question that is next; the smaller, the earlier."""
        if self._trials:
            return self._trials[0].rank
        head = self._head()
        return head.rank if head is not None else (math.inf, 0)

    def ahead_of(self, keys: Sequence[Key], priority: int, now: float) -> int:
        """How many placed keys are asked before the last of the first turn of ``keys``."""
        if self._too_many(now):
            return 0
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

    def priority(self) -> int:
        """Of the question that is next."""
        head = self._head()
        if head is not None and not (self._trials and self._trials[0].rank < head.rank):
            return head.priority
        questions = self._trials[0].questions.values() if self._trials else ()
        return max([question.priority for question in questions], default=0)

    # -- sending ---------------------------------------------------------------------------

    def take(self, now: float) -> Batch | None:
        """What the request that leaves now asks for; None when nobody waits."""
        batch = self._take_part(now) if self._trials else None
        if batch is None and self.promote_above is not None:
            batch = self._take_everything(now)
        if batch is None:
            batch = self._take_some(now)
        if batch is not None:
            self.launch(batch, now)
        return batch

    @property
    def lets_pass(self) -> bool:
        """Whether keys that come while nobody waits are asked at once, just as they come."""
        return not (self._suspects or self._accused or self.promote_above == 0)

    def launch(self, batch: Batch, now: float) -> None:
        """The request that leaves now is for this batch."""
        self._batches += 1
        batch.number = self._batches
        batch.sent_at = now
        batch.aloft = True
        batch.departures = self._departures
        self._out[batch] = None

    def trim(self, batch: Batch, now: float) -> bool:
        """What nobody wants any more leaves the batch before it is sent; False if that is all."""
        if batch.departures == self._departures:
            return True
        unwanted = [key for key, question in batch.questions.items() if not question.wanted()]
        if not unwanted:
            return True
        for key in unwanted:
            del batch.questions[key]
        if batch.trial is not None:
            self._drop(batch.trial, [key for key in unwanted if key is not None], now)
        if batch.questions:
            return True
        self.over(batch)
        if batch.trial is not None:
            self._trials.appendleft(batch.trial)
        return False

    def _take_some(self, now: float) -> Batch | None:
        questions = self._take_plain(now)
        while self.placed and len(questions) < self.max_keys:
            question = self._head(companions=bool(questions))
            if question is None:
                break
            self._unplace(question)
            del self._waiting[question.key]
            questions.append(question)
            self._turn_over(question, now)
            if question.alone:
                break
        return Batch(questions) if questions else None

    def _take_plain(self, now: float) -> list[Question]:
        """The first ones, where all that are placed wait in one queue and may have company."""
        plain: list[Question] = []
        for (_, alone), queue in self._queues.items():
            if len(queue) == self.placed and not alone:
                for _ in range(min(self.max_keys, self.placed)):
                    key, question = queue.popitem(last=False)
                    question.queue = None
                    del self._waiting[key]
                    plain.append(question)
                self.placed -= len(plain)
                for question in plain:
                    self._turn_over(question, now)
                break
        return plain

    def _turn_over(self, question: Question, now: float) -> None:
        """One key of its caller's turn left; after the last one the next turn is placed."""
        ticket, question.owner = question.owner, None
        if ticket is None:
            return
        long = ticket.turns
        assert long is not None
        long.placed -= 1
        if long.placed:
            return
        while long.later and long.placed < self.max_keys:
            later = long.later.popleft()
            if later.queue is None and not later.held and self._waiting.get(later.key) is later:
                self._place_turn(later, ticket, long, now)

    def _take_everything(self, now: float) -> Batch | None:
        if not self._too_many(now):
            return None
        questions = [
            question
            for question in self._waiting.values()
            if not question.held
            and (question.key is None or not self._must_be_alone(question.key, now))
        ]
        for question in questions:
            if question.queue is None:  # a later turn's
                self._rank(question, 0, now)
            self._unplace(question)
            del self._waiting[question.key]
        for question in questions:
            self._turn_over(question, now)
        return Batch(questions, everything=True) if questions else None

    def _too_many(self, now: float) -> bool:
        """Whether so many keys wait that all there are had better be asked for at once."""
        if self.promote_above is None or now < self._demoted_until:
            return False
        enough = self.promote_above * self.max_keys
        if len(self._waiting) <= enough:
            return False
        alone = sum(len(queue) for (_, alone), queue in self._queues.items() if alone)
        return len(self._waiting) - len(self._accused) - alone > enough

    def demote(self, now: float) -> None:
        """OKX didn't answer for everything at once: batches are asked for a while."""
        self._demoted_until = now + SUSPICION

    def put_back(self, batch: Batch, now: float) -> bool:
        """The batch goes back to the head, with whoever still waits; False when nobody does."""
        self.over(batch)
        batch.resting = False
        questions = batch.questions.values()
        if batch.trial is not None:
            self._hold(questions, now)
            self._trials.appendleft(batch.trial)
            return True
        back = False
        for question in sorted(questions, key=lambda each: each.rank, reverse=True):
            question.forget_leavers()
            if not question.askers:
                continue
            back = True
            newer = self._waiting.get(question.key)
            if newer is not None and newer.held:
                newer.welcome(question)
                continue
            self._replace(newer, question, now)
            if question.key in self._accused:
                question.held = True
            else:
                self._place_by_rank(question, now)
        return back

    def _replace(self, newer: Question | None, question: Question, now: float) -> None:
        """Whoever asked for the same key meanwhile gets the same answer, a newer one."""
        self._waiting[question.key] = question
        if newer is None or newer is question:
            return
        self._unplace(newer)
        question.welcome(newer)
        self._turn_over(newer, now)

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

    def over(self, batch: Batch) -> None:
        """Nobody waits for the batch any more, or not for this one."""
        batch.aloft = False
        self._out.pop(batch, None)

    # -- the trial of a refused batch ------------------------------------------------------

    def accuse(self, batch: Batch, error: InvalidParameterError, now: float) -> bool:
        """OKX refused the whole batch, so its keys stand trial.

        False where some of them stand another trial already: that may explain the refusal, so
        the others should be asked once more without them.
        """
        if not self._accused.keys().isdisjoint(batch.questions):
            return False
        self.over(batch)
        trial = Trial(batch, error)
        self._accused.update(trial.questions)
        self._hold(trial.questions.values(), now)
        self._trials.append(trial)
        return True

    def part_passed(self, batch: Batch, now: float) -> None:
        """OKX answered for all keys of a part."""
        assert batch.trial is not None
        batch.trial.inquest.passed(batch.keys)
        self._acquit(batch.trial, batch.keys, now)
        self._trials.appendleft(batch.trial)

    def part_refused(
        self, batch: Batch, error: InvalidParameterError, now: float
    ) -> Iterator[None]:
        """OKX refused a part; who stood alone is the culprit. Gives the errors to hand out."""
        trial = batch.trial
        assert trial is not None
        self._trials.appendleft(trial)
        errors: Iterator[None] = iter(())
        if trial.inquest.refused(batch.keys, error.msg) is None:
            self.over(batch)
            self._hold(batch.questions.values(), now)
        else:
            errors = self.blame(batch, error, now)
            self._acquit(trial, batch.keys, now)
        if trial.inquest.hopeless:
            rest = Batch(self._drop(trial, trial.inquest.left, now))
            self._out[rest] = None
            errors = chain(errors, self._refuse_all(rest, trial.error, None))
        return errors

    def part_failed(self, batch: Batch, now: float) -> None:
        """All who waited for a part got an error: its keys aren't asked for any more."""
        assert batch.trial is not None
        self._drop(batch.trial, batch.keys, now)
        self._trials.appendleft(batch.trial)

    def _take_part(self, now: float) -> Batch | None:
        if self._trials:
            self.ready(now)
        if not self._trials:
            return None
        trial = self._trials.popleft()
        batch = Batch(self._part(trial, now), trial)
        for key in batch.questions:
            del self._waiting[key]
        return batch

    def _part(self, trial: Trial, now: float) -> list[Question]:
        """What a trial wants asked next; empty when it is over."""
        unwanted = [key for key in trial.inquest.left if not trial.questions[key].wanted()]
        if unwanted:
            self._drop(trial, unwanted, now)
        return [trial.questions[key] for key in trial.inquest.part()]

    def _drop(self, trial: Trial, keys: Sequence[str], now: float) -> list[Question]:
        """No verdict: nobody waits for them any more."""
        trial.inquest.forget(keys)
        return self._acquit(trial, keys, now)

    def _acquit(self, trial: Trial, keys: Iterable[str], now: float) -> list[Question]:
        """They don't stand trial any more; whoever waited for that is placed."""
        questions = [trial.questions[key] for key in keys]
        for question in questions:
            self._accused.pop(question.key, None)
            waiting = self._waiting.get(question.key)
            if waiting is question:
                del self._waiting[question.key]
            elif waiting is not None:
                waiting.held = False
                self._place_by_rank(waiting, now)
        return questions

    def _hold(self, questions: Iterable[Question], now: float) -> None:
        """Their trial decides when they are asked: they may be joined, but aren't placed."""
        for question in questions:
            question.held = True
            question.forget_leavers()
            self._replace(self._waiting.get(question.key), question, now)

    def blame(self, batch: Batch, error: InvalidParameterError, now: float) -> Iterator[None]:
        """OKX refuses this one key: it is a suspect now. Gives the errors to hand out."""
        (key,) = batch.questions
        if key is not None:
            self._suspects[key] = now + SUSPICION
            self._suspects.move_to_end(key)
            if len(self._suspects) > SUSPECTS:
                self._suspects.popitem(last=False)
            newer = self._waiting.get(key)
            if newer is not None and newer.queue is not None and not newer.alone:
                self._unplace(newer)
                self._place_by_rank(newer, now)
        return self._refuse_all(batch, error, key)

    # -- answering -------------------------------------------------------------------------

    def settle(self, batch: Batch, rows_of: Callable[[Key], list[Any]]) -> Iterator[None]:
        """Give each caller its rows; yields now and then, so that the loop can do other work."""
        batch.aloft = False
        steps = 0
        for key, question in batch.questions.items():
            rows = rows_of(key)
            self._remember(key, batch.sent_at, rows)
            for ticket in question.askers:
                if not ticket.done():
                    answers = ticket.answers
                    if answers is None:
                        self._finish(ticket, rows.copy())
                    else:
                        answers[key] = rows
                        ticket.left -= 1
                        if not ticket.left:
                            self._finish_several(ticket, answers)
                steps += 1
                if steps % SLICE == 0:
                    yield
        self._out.pop(batch, None)

    def settle_solo(self, solo: Solo, rows_of: Callable[[Key], list[Any]]) -> None:
        """Give its rows to a caller who is alone and of whom nobody knows."""
        del self._out[solo]
        solo.rows = []
        for key in solo.asks:
            rows = rows_of(key)
            self._remember(key, solo.sent_at, rows)
            solo.rows += rows
        self.callers -= 1
        solo.tally.answered += 1

    def _remember(self, key: Key, asked_at: float, rows: list[Any]) -> None:
        memory = self._memory
        if self._suspects:
            self._suspects.pop(key, None)
        if key in memory:
            if memory[key][0] > asked_at:
                return
            memory.move_to_end(key)
        memory[key] = (asked_at, rows)
        if len(memory) > MEMORY:
            memory.popitem(last=False)

    def _answer_one(self, ticket: Ticket, answers: Answers, key: Key, rows: Sequence[Any]) -> None:
        answers[key] = rows
        ticket.left -= 1
        if not ticket.left:
            self._finish_several(ticket, answers)

    def _finish_several(self, ticket: Ticket, answers: Answers) -> None:
        if ticket.error is not None:
            self._refuse(ticket, ticket.error, answers)
        else:
            self._finish(ticket, list(chain.from_iterable(answers.values())))

    def _finish(self, ticket: Ticket, rows: list[Any]) -> None:
        self.callers -= 1
        ticket.tally.answered += 1
        if ticket.timer is not None:
            ticket.timer.pop(ticket, None)
        ticket.set_result(rows)

    def _refuse_all(
        self, batch: Batch, error: InvalidParameterError, culprit: Key
    ) -> Iterator[None]:
        """Give each caller its error; yields now and then."""
        steps = 0
        for key, question in batch.questions.items():
            for ticket in question.askers:
                answers = ticket.answers
                if ticket.done():
                    pass
                elif answers is None:
                    self._refuse(ticket, error, {key: REFUSED if key == culprit else None})
                elif key == culprit:
                    ticket.error = error
                    self._answer_one(ticket, answers, key, REFUSED)
                else:
                    self._refuse(ticket, error, answers)
                steps += 1
                if steps % SLICE == 0:
                    yield
        self.over(batch)

    def _refuse(self, ticket: Ticket, error: InvalidParameterError, answers: Answers) -> None:
        own = InvalidParameterError(
            error.code,
            error.msg,
            error.http_status,
            error.endpoint,
            tuple(key for key, rows in answers.items() if rows is REFUSED and key is not None),
            tuple(row for rows in answers.values() for row in rows or ()),
        )
        self.fail(ticket, own)

    def fail(self, ticket: Ticket, error: Exception) -> None:
        """The caller gets ``error``, which is its own, and leaves."""
        self.leave(ticket)
        ticket.tally.failed += 1
        if ticket.timer is not None:
            ticket.timer.pop(ticket, None)
        ticket.set_exception(error)
        ticket.exception()  # seen, whether or not anybody is there to ask for it
