"""Who waits for what: a caller's ticket, the questions it asks, and the batch that asks them.

A caller is a `Ticket`, the future it sleeps on. What it wants is one `Question` for each key
(a currency, a unit, or None for "all"), shared with whoever else wants that key and waits too.
"""

from __future__ import annotations

import asyncio
import math
import operator
from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol

from .errors import InvalidParameterError
from .inquest import Inquest
from .tally import Tally

Key = str | None
AGING = 10.0
"""Seconds that one step of priority is worth."""


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


class _Refused(tuple[Any, ...]):
    """No rows; and not ``()``, of which there is only one, and which is an answer too."""

    __slots__ = ()


REFUSED: tuple[Any, ...] = _Refused()
"""In place of the rows of a key that OKX refuses."""


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
        self.priority: int = priority
        self.placed: int = 0
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
        self.key: Key = key
        self.askers: dict[Ticket, Past] = {}
        """Who wants it, and what its past was when each of them came."""
        self.past: Past = NOTHING
        self.priority: int = 0
        self.since: float = now
        """When somebody wanted it first."""
        self.rank: tuple[float, int] = (math.inf, 0)
        """Its place among all placed questions; the smaller, the earlier."""
        self.alone: bool = False
        """Whether it must not share a request."""
        self.held: bool = False
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
        "number",
        "questions",
        "resting",
        "sent_at",
        "trial",
    )

    def __init__(self, questions: Iterable[Question], trial: Trial | None = None) -> None:
        self.number: int = 0
        self.questions: dict[Key, Question] = {each.key: each for each in questions}
        """What it asks, by key."""
        self.trial: Trial | None = trial
        """Whose part it is, where OKX refused a larger batch for a parameter."""
        self.sent_at: float = math.inf
        self.departures: int = 0
        """How many callers had left the lane when it was chosen."""
        self.aloft: bool = False
        """Whether it is on the wire, so that it can be joined."""
        self.resting: bool = False
        """Whether it failed and waits for the time of its next attempt."""

    @property
    def keys(self) -> list[str]:
        """The keys to send; none for "all"."""
        return [key for key in self.questions if key is not None]

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
        self.inquest: Inquest = Inquest(batch.keys, error.msg)
        self.error: InvalidParameterError = error
        """How OKX refused all of them."""
        self.questions: dict[Key, Question] = batch.questions
        self.rank: tuple[float, int] = min(question.rank for question in batch.questions.values())
