"""Who waits for what: a caller's ticket, the questions it asks, and the batch that asks them.

A caller is a `Ticket`, the future it sleeps on. What it wants is one `Question` for each key
(a currency, a unit, or None for "all"), shared with whoever else wants that key and waits too.
"""

from __future__ import annotations

import asyncio
import math
import operator
import weakref
from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol

from .errors import InvalidParameterError
from .inquest import Inquest

Key = str | None


class Past(NamedTuple):
    """What became of a question so far."""

    failures: int = 0
    """Attempts that failed in a way that may pass."""
    refusals: int = 0
    """Attempts that OKX refused for the rate limit."""
    requests: int = 0
    """Attempts that left."""

    def since(self, before: Past) -> Past:
        """What came after ``before``."""
        return Past(*map(operator.sub, self, before))


NOTHING = Past()
REFUSED: tuple[Any, ...] = ()
"""In place of the rows of a key that OKX refuses."""


class Tally:
    """What was counted for one client, or for one lane.

    ``total`` is the sum for a whole session: it asks its living parts, and inherits from a part
    that ends, so that counting costs one addition.
    """

    __slots__ = (
        "__weakref__",
        "answered",
        "calls",
        "cancelled",
        "failed",
        "over",
        "refused",
        "requests",
        "retries",
        "shut",
        "total",
    )

    def __init__(self, total: Total | None = None) -> None:
        self.calls = self.answered = self.failed = self.cancelled = 0
        self.requests = self.refused = self.retries = 0
        self.shut = False
        """Whether its client takes no more calls."""
        self.over = False
        """Whether its client is closed: nothing is asked once more for it."""
        self.total = total
        if total is not None:
            total.living.add(self)

    def __del__(self) -> None:
        if self.total is not None:
            self.total.ended.include(self)

    def include(self, other: Tally) -> None:
        """Count all that ``other`` counted."""
        self.calls += other.calls
        self.answered += other.answered
        self.failed += other.failed
        self.cancelled += other.cancelled
        self.requests += other.requests
        self.refused += other.refused
        self.retries += other.retries


class Total:
    """The sum of tallies that live and of those that ended."""

    def __init__(self) -> None:
        self.living: weakref.WeakSet[Tally] = weakref.WeakSet()
        self.ended = Tally()

    def shut(self) -> None:
        """No more calls are taken."""
        for tally in list(self.living):
            tally.shut = True

    def sum(self) -> Tally:
        """All that was counted."""
        everything = Tally()
        for tally in (self.ended, *self.living):
            everything.include(tally)
        return everything


class Home(Protocol):
    """Where a ticket belongs."""

    def leave(self, ticket: Ticket) -> None:
        """Its caller was cancelled."""

    def expire(self, ticket: Ticket) -> None:
        """Its caller's time is over."""


class Ticket(asyncio.Future[list[Any]]):
    """One waiting caller. Its result is a list of rows of its own."""

    __slots__ = ("answers", "error", "keys", "lane", "left", "tally", "timer", "turns")

    lane: Home
    tally: Tally
    keys: Sequence[Key]
    answers: dict[Key, Any] | None
    """None where it has one key only. Else what is known of each: a list of rows from the wire, a
    tuple of rows from memory, REFUSED, or None for a key that isn't answered yet; and then too:"""
    left: int
    """How many of ``answers`` aren't there yet."""
    error: InvalidParameterError | None
    """Why OKX refused some of its keys."""
    turns: Turns | None
    """What it will ask in later turns, if it has more keys than a request holds."""
    timer: dict[Ticket, None] | None
    """Where its deadline is kept."""

    def cancel(self, msg: Any | None = None) -> bool:
        """The caller leaves."""
        if not super().cancel(msg):
            return False
        self.lane.leave(self)
        return True


class Turns:
    """The turns of a caller with more keys than a request holds."""

    __slots__ = ("later", "placed", "priority")

    def __init__(self, priority: int) -> None:
        self.priority = priority
        self.placed = 0
        """How many of its keys are placed in this turn."""
        self.later: deque[Question] = deque()
        """What it will place in later turns."""


class Question:
    """One key that somebody wants."""

    __slots__ = (
        "alone",
        "askers",
        "held",
        "key",
        "owner",
        "past",
        "priority",
        "queue",
        "rank",
        "since",
    )

    def __init__(self, key: Key, now: float) -> None:
        self.key = key
        self.askers: dict[Ticket, Past] = {}
        """Who wants it, and what its past was when each of them came."""
        self.past = NOTHING
        self.priority = 0
        self.since = now
        """When somebody wanted it first."""
        self.rank: tuple[float, int] = (math.inf, 0)
        """Its place among all placed questions; the smaller, the earlier."""
        self.alone = False
        """Whether it must not share a request."""
        self.held = False
        """Whether it waits for what a trial finds out about its key, in no queue."""
        self.queue: OrderedDict[Key, Question] | None = None
        """The queue it is placed in, or None."""
        self.owner: Ticket | None = None
        """The caller whose turn it is part of."""

    def wanted(self) -> bool:
        """Whether anybody still waits for it."""
        return any(not ticket.done() for ticket in self.askers)

    def forget_leavers(self) -> None:
        """Nobody who is answered, or left while it was on the wire, is an asker any more."""
        for ticket in [ticket for ticket in self.askers if ticket.done()]:
            del self.askers[ticket]

    def welcome(self, newer: Question) -> None:
        """Whoever waits for ``newer`` waits for this one, with as many attempts left."""
        for ticket, before in newer.askers.items():
            self.askers[ticket] = self.past.since(newer.past.since(before))
        self.rank = min(self.rank, newer.rank)


class Batch:
    """The questions of one request."""

    __slots__ = (
        "aloft",
        "departures",
        "everything",
        "number",
        "pilot",
        "questions",
        "resting",
        "sent_at",
        "trial",
    )

    def __init__(
        self, questions: Iterable[Question], trial: Trial | None = None, everything: bool = False
    ) -> None:
        self.number = 0
        self.questions: dict[Key, Question] = {}
        for question in questions:
            self.questions[question.key] = question
        self.trial = trial
        """Whose part it is, where OKX refused a larger batch for a parameter."""
        self.everything = everything
        """Whether it asks for all there is, without naming keys."""
        self.sent_at = math.inf
        self.departures = 0
        """How many callers had left the lane when it was chosen."""
        self.pilot: Ticket | None = None
        """The caller that sends it in its own task."""
        self.aloft = False
        """Whether it is on the wire, so that it can be joined."""
        self.resting = False
        """Whether it failed and waits for the time of its next attempt."""

    @property
    def keys(self) -> list[str]:
        """The keys to send; none for "all"."""
        if self.everything or None in self.questions:
            return []
        return list(self.questions)  # type: ignore[arg-type]

    @property
    def callers(self) -> int:
        """How many callers wait for it, each key's counted."""
        callers = 0
        for question in self.questions.values():
            callers += len(question.askers)
        return callers

    @property
    def failures(self) -> int:
        """The most attempts that failed for one of its questions."""
        most = 0
        for question in self.questions.values():
            if question.past is not NOTHING:
                most = max(most, question.past.failures)
        return most

    @property
    def repeated(self) -> bool:
        """Whether any of it was asked before, in vain."""
        for question in self.questions.values():
            past = question.past
            if past is not NOTHING and (past.failures or past.refusals):
                return True
        return False

    def is_only_for(self, ticket: Ticket) -> bool:
        """Whether nobody else waits for any of it, and it is all that the caller wants."""
        if len(self.questions) != len(ticket.keys):
            return False
        for question in self.questions.values():
            if len(question.askers) > 1 or ticket not in question.askers:
                return False
        return True

    def count(self, *, failures: int = 0, refusals: int = 0, requests: int = 0) -> None:
        """One more attempt is past."""
        for question in self.questions.values():
            past = question.past
            question.past = Past(
                past.failures + failures, past.refusals + refusals, past.requests + requests
            )

    def wanted(self, without: Iterable[Ticket] = ()) -> bool:
        """Whether anybody still waits for it, apart from some."""
        others = set(without)
        return any(ticket not in others for ticket, _ in self.tickets())

    def tickets(self) -> Iterator[tuple[Ticket, Past]]:
        """Who still waits for any of it, and what became of that since; once for each key."""
        for question in self.questions.values():
            for ticket, before in list(question.askers.items()):
                if not ticket.done():
                    yield ticket, question.past.since(before)


class Trial:
    """The questions of a refused batch, and the inquest that finds the culprits among them."""

    __slots__ = ("error", "inquest", "questions", "rank")

    def __init__(self, batch: Batch, error: InvalidParameterError) -> None:
        self.inquest = Inquest(batch.keys, error.msg)
        self.error = error
        """How OKX refused all of them."""
        self.questions = batch.questions
        self.rank = min(question.rank for question in batch.questions.values())
