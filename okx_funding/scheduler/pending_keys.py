"""The keys of one lane that wait: found by key, and sent in the order of their ranks.

A call queues at most one request's worth of keys at a time; its next chunk is queued behind
everybody who came meanwhile. A step of priority weighs as much as having come ``AGING`` seconds
earlier, so nobody starves.
"""

from __future__ import annotations

from .calls import Chunks, Key, Waiter
from .pending import (
    AGING,
    DONE,
    HELD,
    IN_FLIGHT,
    LATER,
    QUEUED,
    SUSPECT,
    PendingKey,
    PendingQueue,
    Rank,
)
from .quarantine import Quarantine


class PendingKeys:
    """All pending keys that may be joined, and the queues of those that are sent next."""

    def __init__(self, batch_size: int) -> None:
        self.batch_size = batch_size
        self.by_key: dict[Key, PendingKey] = {}
        """All that may be joined."""
        self.shared: PendingQueue = PendingQueue()
        self.alone: PendingQueue = PendingQueue()
        """Those that share no request."""
        self.long: dict[Waiter, Chunks] = {}
        """Calls of which some keys aren't queued yet."""
        self.quarantine: Quarantine = Quarantine()
        self._serial = 0

    def __len__(self) -> int:
        """Count the keys in the queues."""
        return len(self.shared) + len(self.alone)

    def rank_of_newcomer(self, priority: int, now: float) -> Rank:
        """Give the rank that a key of ``priority`` would have that came now."""
        return (now - priority * AGING, self._serial + 1)

    def set_rank(self, pending: PendingKey, priority: int, now: float) -> None:
        """Rank ``pending`` as if it came now."""
        self._serial += 1
        pending.priority = priority
        pending.rank = (now - priority * AGING, self._serial)

    def raise_priority(self, pending: PendingKey, priority: int, now: float) -> None:
        """Rank ``pending`` as if it came now with ``priority``, if that is earlier."""
        if now - priority * AGING >= pending.rank[0]:
            return
        if pending.state is QUEUED:
            self.dequeue(pending)
            self.enqueue(pending, priority, now)
        elif pending.state is HELD or pending.state is SUSPECT:
            self.set_rank(pending, priority, now)

    # -- the queues ------------------------------------------------------------------------

    def enqueue(self, pending: PendingKey, priority: int, now: float) -> None:
        """Queue ``pending`` as one that came now."""
        self.set_rank(pending, priority, now)
        self.enqueue_by_rank(pending, now)

    def enqueue_by_rank(self, pending: PendingKey, now: float) -> None:
        """Queue ``pending`` at the rank that it has."""
        pending.state = QUEUED
        key = pending.key
        pending.alone = key is None or (bool(self.quarantine) and self.quarantine.holds(key, now))
        (self.alone if pending.alone else self.shared).add(pending)

    def dequeue(self, pending: PendingKey) -> None:
        """Take ``pending`` out of the queue, if it is there."""
        if pending.state is QUEUED:
            (self.alone if pending.alone else self.shared).remove(pending)

    def first(self) -> PendingKey | None:
        """Tell which key is sent next."""
        shared, alone = self.shared.first(), self.alone.first()
        if shared is None or alone is None:
            return shared or alone
        return min(shared, alone, key=lambda each: each.rank)

    def pop_batch(self, now: float) -> list[PendingKey]:
        """Take out the keys of the next request."""
        batch: list[PendingKey] = []
        first = self.first()
        while first is not None and len(batch) < self.batch_size:
            pending = (self.alone if first.alone else self.shared).pop()
            pending.state = IN_FLIGHT
            del self.by_key[pending.key]
            batch.append(pending)
            if pending.chunk_of is not None:
                self._left_queue(pending, now)
            if pending.alone:
                break
            first = self.shared.first()
        return batch

    def drop(self, pending: PendingKey) -> None:
        """Forget ``pending``, which nobody wants."""
        self.dequeue(pending)
        pending.state = DONE
        del self.by_key[pending.key]

    def replace(self, pending: PendingKey, now: float) -> None:
        """Let ``pending`` be joined again; who asked for its key meanwhile joins it.

        They get the same answer, which is a newer one than they want.
        """
        newer = self.by_key.get(pending.key)
        self.by_key[pending.key] = pending
        if newer is None or newer is pending:
            return
        self.dequeue(newer)
        newer.state = DONE
        pending.merge(newer)
        self._left_queue(newer, now)

    def set_apart(self, key: Key, now: float) -> None:
        """Put ``key`` into quarantine; whoever asked for it meanwhile asks for it alone."""
        self.quarantine.add(key, now)
        newer = self.by_key.get(key)
        if newer is not None and newer.state is QUEUED and not newer.alone:
            self.dequeue(newer)
            self.enqueue_by_rank(newer, now)

    # -- chunks ----------------------------------------------------------------------------

    def queue_chunk(self, waiter: Waiter, chunks: Chunks, now: float) -> None:
        """Queue the next keys of a long call: one request's worth."""
        room = self.batch_size
        while chunks.later and room > 0:
            pending = chunks.later.popleft()
            if pending.state is LATER:
                self.enqueue(pending, chunks.priority, now)
                pending.chunk_of = waiter
                chunks.queued += 1
                room -= self.batch_size if pending.alone else 1
        if not chunks.later:
            self.long.pop(waiter, None)

    def _left_queue(self, pending: PendingKey, now: float) -> None:
        """Queue the next chunk when the last key of one has left the queue."""
        waiter, pending.chunk_of = pending.chunk_of, None
        if waiter is None or waiter.chunks is None:
            return
        waiter.chunks.queued -= 1
        if not waiter.chunks.queued and not waiter.done():
            self.queue_chunk(waiter, waiter.chunks, now)
