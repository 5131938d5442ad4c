"""The pending keys of one request, and all such batches of a lane."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

from .bisection import Bisection
from .calls import Key, Waiter
from .pending import BACKING_OFF, NO_ATTEMPTS, Attempts, PendingKey, State


class Batch:
    """What one request asks for, and who waits for it."""

    __slots__ = ("bisection", "departures", "joinable", "number", "pending", "sent_at")

    def __init__(self, pending: Iterable[PendingKey], bisection: Bisection | None = None) -> None:
        self.number: int = 0
        """Its number in events; no other batch of the process has it."""
        self.pending: dict[Key, PendingKey] = {each.key: each for each in pending}
        self.bisection: Bisection | None = bisection
        """Whose group it is, where OKX refused a larger batch for a parameter."""
        self.sent_at: float = math.inf
        self.departures: int = 0
        """How many callers had left the lane when it was chosen."""
        self.joinable: bool = False
        """Whether it is on the wire and may be joined by ``max_age``."""

    @property
    def keys(self) -> list[Key]:
        """The keys to send; None for "all"."""
        return list(self.pending)

    @property
    def callers(self) -> int:
        """How many callers wait for it, each key's counted."""
        return sum([len(each.waiters) for each in self.pending.values()])

    @property
    def failures(self) -> int:
        """The most attempts that failed for one of its keys."""
        return max([each.attempts.failures for each in self.pending.values()], default=0)

    @property
    def is_repeated(self) -> bool:
        """Whether any of it was asked before, in vain."""
        return any(
            each.attempts is not NO_ATTEMPTS and (each.attempts.failures or each.attempts.refusals)
            for each in self.pending.values()
        )

    def set_state(self, state: State) -> None:
        """Put all its keys into ``state``."""
        for pending in self.pending.values():
            pending.state = state

    def count(self, *, failures: int = 0, refusals: int = 0, requests: int = 0) -> None:
        """Add an attempt to each key."""
        for pending in self.pending.values():
            past = pending.attempts
            pending.attempts = Attempts(
                past.failures + failures, past.refusals + refusals, past.requests + requests
            )

    def has_waiters(self) -> bool:
        """Tell whether anybody waits still."""
        return any(pending.has_waiters() for pending in self.pending.values())

    def has_waiters_within(self, failures: float, refusals: float) -> bool:
        """Tell whether anybody waits who saw no more failures and refusals than these.

        Callers who came last are asked first: they saw the fewest.
        """
        for pending in self.pending.values():
            most = pending.attempts
            few = most.failures - failures, most.refusals - refusals
            for waiter, before in reversed(pending.waiters.items()):
                if before.failures >= few[0] and before.refusals >= few[1] and not waiter.done():
                    return True
        return False

    def spent(self, failures: int, refusals: int) -> Iterator[Waiter | None]:
        """Give who saw more failures or refusals than these, and None for each who didn't."""
        attempts = [(each, each.attempts) for each in self.pending.values()]

        def search() -> Iterator[Waiter | None]:
            for pending, past in attempts:
                for waiter, before in list(pending.waiters.items()):
                    seen = past.since(before)
                    over = seen.failures > failures or seen.refusals > refusals
                    yield waiter if over else None

        return search()

    def waiters(self) -> Iterator[tuple[Waiter, Attempts]]:
        """Give who still waits for any of it, and its attempts since then; once for each key."""
        for pending in self.pending.values():
            for waiter, before in list(pending.waiters.items()):
                if not waiter.done():
                    yield waiter, pending.attempts.since(before)


class Batches:
    """The batches of a lane that are on the wire, back off, or are being handed out."""

    def __init__(self) -> None:
        self._batches: dict[Batch, None] = {}

    def __len__(self) -> int:
        return len(self._batches)

    def add(self, batch: Batch) -> None:
        """Keep ``batch`` until nobody waits for it."""
        self._batches[batch] = None

    def discard(self, batch: Batch) -> None:
        """Forget a batch: nobody waits for it, or not for this one."""
        batch.joinable = False
        self._batches.pop(batch, None)

    def find(self, key: Key, since: float) -> PendingKey | None:
        """Give what was sent last for ``key``, if that was at ``since`` or later."""
        for batch in reversed(self._batches):
            if batch.joinable and key in batch.pending:
                return batch.pending[key] if batch.sent_at >= since else None
        return None

    def was_sent(self, waiter: Waiter, key: Key) -> bool:
        """Tell whether a request for ``key`` has left on behalf of ``waiter``."""
        for batch in self._batches:
            pending = batch.pending.get(key)
            if pending is None or waiter not in pending.waiters:
                continue
            since = pending.attempts.since(pending.waiters[waiter])
            if pending.state is not BACKING_OFF or since.requests:
                return True
        return False

    def waiters(self) -> Iterator[Waiter]:
        """Give who waits for any of them, once for each key."""
        for batch in self._batches:
            for waiter, _ in batch.waiters():
                yield waiter
