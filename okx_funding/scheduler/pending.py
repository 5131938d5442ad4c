"""One key that somebody waits for, and the order in which such keys are asked.

Every pending key is in exactly one state:

| state | where it is | a newcomer | what comes next |
|---|---|---|---|
| LATER | in a later chunk of the call that brought it | joins | QUEUED; IN_FLIGHT never directly |
| QUEUED | in the queue, at its rank | joins | IN_FLIGHT |
| IN_FLIGHT | in a batch on the wire | asks anew, or joins by ``max_age`` | DONE, BACKING_OFF, |
| | | | QUEUED (refused for the limit), SUSPECT |
| BACKING_OFF | in a batch whose next attempt has its time | asks anew | QUEUED, SUSPECT, merged |
| SUSPECT | in a bisection, between two steps | joins | IN_FLIGHT, DONE |
| HELD | nowhere: an older one of its key is being bisected | joins | QUEUED, merged |
| DONE | nowhere | asks anew | nothing |

A newcomer that asks anew makes a pending key of its own; when the older one must be asked again,
the two are merged. A key whose waiters all left is DONE, but for a suspect: the bisection drops it
at its next step.
"""

from __future__ import annotations

import enum
import math
from bisect import bisect_left, insort
from collections.abc import Iterator
from typing import NamedTuple

from .calls import Key, Waiter

AGING = 10.0
"""Seconds of waiting that one step of priority is worth."""

Rank = tuple[float, int]
"""Place in the order of all keys: when it came, less what its priority is worth; then a number."""
FIRST_RANK: Rank = (-math.inf, 0)
LAST_RANK: Rank = (math.inf, 0)


class State(enum.Enum):
    """Where a pending key is; see the table above."""

    LATER = enum.auto()
    QUEUED = enum.auto()
    IN_FLIGHT = enum.auto()
    BACKING_OFF = enum.auto()
    SUSPECT = enum.auto()
    HELD = enum.auto()
    DONE = enum.auto()


LATER, QUEUED, IN_FLIGHT, BACKING_OFF, SUSPECT, HELD, DONE = State


class Attempts(NamedTuple):
    """What became of a pending key so far."""

    failures: int = 0
    """Attempts that failed in a way that may pass."""
    refusals: int = 0
    """Attempts that OKX refused for the rate limit."""
    requests: int = 0
    """Attempts that left."""

    def since(self, before: Attempts) -> Attempts:
        """Count what came after ``before``."""
        return Attempts(
            self.failures - before.failures,
            self.refusals - before.refusals,
            self.requests - before.requests,
        )


NO_ATTEMPTS = Attempts()


class PendingKey:
    """One key, shared by all callers who wait for it."""

    __slots__ = (
        "alone", "attempts", "chunk_of", "key", "priority", "rank", "since", "state", "waiters",
    )  # fmt: skip

    def __init__(self, key: Key, now: float) -> None:
        self.key: Key = key
        self.state: State = LATER
        self.waiters: dict[Waiter, Attempts] = {}
        """Who waits for it, and its attempts when each of them came."""
        self.attempts: Attempts = NO_ATTEMPTS
        self.priority: int = 0
        self.since: float = now
        """When somebody wanted it first."""
        self.rank: Rank = LAST_RANK
        self.alone: bool = False
        """Whether it must not share a request."""
        self.chunk_of: Waiter | None = None
        """The caller of whose current chunk it is a part."""

    def __repr__(self) -> str:
        return f"<PendingKey {self.key!r}: {self.state.name}, {len(self.waiters)} waiters>"

    def has_waiters(self) -> bool:
        """Tell whether anybody waits still."""
        return any(not waiter.done() for waiter in self.waiters)

    def prune_done(self) -> None:
        """Forget callers who are answered, or left while it was on the wire."""
        for waiter in [waiter for waiter in self.waiters if waiter.done()]:
            del self.waiters[waiter]

    def merge(self, newer: PendingKey) -> None:
        """Take over the waiters of ``newer``, with as many attempts left."""
        for waiter, before in newer.waiters.items():
            self.waiters[waiter] = self.attempts.since(newer.attempts.since(before))
        self.rank = min(self.rank, newer.rank)


Entry = tuple[float, int, PendingKey]


class PendingQueue:
    """Pending keys in the order of their ranks.

    A sorted list in pieces: adding, removing and counting cost about the same whatever its length.
    """

    PIECE = 1000

    def __init__(self) -> None:
        self._pieces: list[list[Entry]] = []
        self._last: list[Entry] = []
        """The last entry of each piece."""
        self.length: int = 0
        """How many there are."""

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[PendingKey]:
        for piece in self._pieces:
            for _, _, pending in piece:
                yield pending

    def add(self, pending: PendingKey) -> None:
        """Put in ``pending`` at its rank, which mustn't change as long as it is here."""
        entry = (*pending.rank, pending)
        pieces, last = self._pieces, self._last
        self.length += 1
        if not pieces:
            pieces.append([entry])
            last.append(entry)
            return
        piece = pieces[-1]
        if entry > last[-1] and len(piece) < self.PIECE:  # most come last
            piece.append(entry)
            last[-1] = entry
            return
        index = min(bisect_left(last, entry), len(last) - 1)
        piece = pieces[index]
        insort(piece, entry)
        if len(piece) > 2 * self.PIECE:
            pieces.insert(index + 1, piece[self.PIECE :])
            del piece[self.PIECE :]
            last.insert(index, piece[-1])
        else:
            last[index] = piece[-1]

    def extend(self, entries: list[Entry]) -> None:
        """Put in several in their order; most often they come after all others."""
        pieces, last = self._pieces, self._last
        if not pieces:
            pieces.append(entries)
            last.append(entries[-1])
            self.length = len(entries)
        elif entries[0] > last[-1] and len(pieces[-1]) < self.PIECE:
            pieces[-1] += entries
            last[-1] = entries[-1]
            self.length += len(entries)
        else:
            for _, _, pending in entries:
                self.add(pending)

    def remove(self, pending: PendingKey) -> None:
        """Take out ``pending``."""
        entry = (*pending.rank, pending)
        index = bisect_left(self._last, entry)
        piece = self._pieces[index]
        del piece[bisect_left(piece, entry)]
        self.length -= 1
        self._shrunk(index)

    def first(self) -> PendingKey | None:
        """Tell which comes first."""
        return self._pieces[0][0][2] if self._pieces else None

    def pop(self, count: int) -> list[PendingKey]:
        """Take out the first ones, ``count`` of them or fewer where its pieces end."""
        if not self._pieces:
            return []
        piece = self._pieces[0]
        popped = [entry[2] for entry in piece[:count]]
        del piece[:count]
        self.length -= len(popped)
        if not piece:
            del self._pieces[0], self._last[0]
        return popped

    def _shrunk(self, index: int) -> None:
        piece = self._pieces[index]
        if piece:
            self._last[index] = piece[-1]
        else:
            del self._pieces[index], self._last[index]

    def count_before(self, rank: Rank) -> int:
        """Count those that come before ``rank``."""
        index = bisect_left(self._last, rank)
        count = sum(map(len, self._pieces[:index]))
        if index < len(self._pieces):
            count += bisect_left(self._pieces[index], rank)
        return count
