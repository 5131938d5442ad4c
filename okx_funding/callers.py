"""Who waits for what: a caller's ticket, the questions it asks, and the batch that asks them.

A caller is a `Ticket`, the future it sleeps on. What it wants is one `Question` for each key
(a currency, a unit, or None for "all"), shared with whoever else wants that key and waits too.
"""

from __future__ import annotations

import asyncio
import math
import weakref
from collections import OrderedDict, deque
from collections.abc import Sequence
from typing import Any, Protocol

from .errors import InvalidParameterError
from .inquest import Inquest

Key = str | None


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
        "refused",
        "requests",
        "retries",
        "total",
    )

    def __init__(self, total: Total | None = None) -> None:
        self.calls = self.answered = self.failed = self.cancelled = 0
        self.requests = self.refused = self.retries = 0
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

    __slots__ = ("keys", "lane", "several", "tally", "timer")

    lane: Home
    tally: Tally
    keys: Sequence[Key]
    several: Several | None
    """What is known of its keys so far, where it has more than one."""
    timer: dict[Ticket, None] | None
    """Where its deadline is kept."""

    def cancel(self, msg: Any | None = None) -> bool:
        """The caller leaves."""
        if not super().cancel(msg):
            return False
        self.lane.leave(self)
        return True


class Several:
    """How far a caller with several keys has come."""

    __slots__ = ("answers", "error", "later", "left", "placed", "priority")

    def __init__(self, keys: int) -> None:
        self.left = keys
        """Keys without an answer yet."""
        self.answers: dict[Key, list[Any] | None] = {}
        """Rows by key; None for a key that OKX refused."""
        self.error: InvalidParameterError | None = None
        """Why OKX refused some of the keys."""
        self.later: deque[Question] | None = None
        """What it will place in later turns, if it has more keys than a request holds."""
        self.placed = 0
        """How many of its keys are placed in this turn."""
        self.priority = 0


class Question:
    """One key that somebody wants."""

    __slots__ = (
        "alone",
        "askers",
        "attempts",
        "held",
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
        self.priority = 0
        self.since = 0.0
        """When it was placed."""
        self.rank: tuple[float, int] = (math.inf, 0)
        """Its place among all placed questions; the smaller, the earlier."""
        self.alone = False
        """Whether it must not share a request."""
        self.held = False
        """Whether an inquest decides when it is asked, not the queue."""
        self.queue: OrderedDict[Key, Question] | None = None
        """The queue it is placed in, or None."""
        self.owner: Ticket | None = None
        """The caller whose turn it is part of."""

    def wanted(self) -> bool:
        """Whether anybody still waits for it."""
        return any(not ticket.done() for ticket in self.askers)


class Batch:
    """The questions of one request."""

    __slots__ = ("everything", "inquest", "number", "questions", "sent_at")

    def __init__(
        self, questions: list[Question], inquest: Inquest | None = None, everything: bool = False
    ) -> None:
        self.number = 0
        self.questions = questions
        self.inquest = inquest
        """Whose part it is, where OKX refused a larger batch for a parameter."""
        self.everything = everything
        """Whether it asks for all there is, without naming keys."""
        self.sent_at = math.inf

    @property
    def keys(self) -> list[str]:
        """The keys to send; none for "all"."""
        if self.everything:
            return []
        return [question.key for question in self.questions if question.key is not None]

    @property
    def callers(self) -> int:
        """How many callers wait for it, each key's counted."""
        return sum(len(question.askers) for question in self.questions)

    def wanted(self) -> bool:
        """Whether anybody still waits for it."""
        return any(question.wanted() for question in self.questions)
