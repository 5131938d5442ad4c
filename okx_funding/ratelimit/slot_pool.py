"""The slots of one bucket: a heap of idle ones, and the set of those in flight."""

from __future__ import annotations

import math
from heapq import heapify, heappop, heappush, nsmallest

from .slot import Slot

STILL_ON_ITS_WAY = 0.25
"""Seconds within which a request that got no answer may still arrive, at least; as long as the
longest round trip of late, where that is longer."""


class SlotPool:
    """Slots, made when they are first needed.

    There may be fewer than the limit allows, those that were never needed, and for a while more,
    when the limit shrank or two buckets became one: the surplus goes as it becomes free.
    """

    def __init__(self, remember: float) -> None:
        self.remember: float = remember
        """Seconds that the limits of all who use the bucket look back, at most."""
        self.idle: list[tuple[float, int, Slot]] = []
        """A heap, by when each is free."""
        self.in_flight: set[Slot] = set()
        self._forgotten = -math.inf
        """The latest moment at which a request was seen for which no slot stands any more."""
        self._serial = 0

    def __len__(self) -> int:
        return len(self.idle) + len(self.in_flight)

    # -- taking ----------------------------------------------------------------------------

    def take(self, count: int, window: float, now: float) -> Slot | None:
        """Take one of ``count`` slots for a request that leaves now, if one is free."""
        idle = self.idle
        unmade = count - len(idle) - len(self.in_flight)
        while idle and idle[0][0] <= now:
            _, _, slot = heappop(idle)
            self._forgotten = max(self._forgotten, slot.seen_by - slot.credit)
            if unmade >= 0:
                break
            unmade += 1  # it was one too many
        else:
            if unmade <= 0:
                return None
            slot = Slot(window)
        slot.take(window, now)
        self.in_flight.add(slot)
        return slot

    def next_free(self, count: int, now: float) -> float:
        """Tell when the next of ``count`` slots is free; inf while all are in flight."""
        surplus = len(self) - count
        if surplus < 0:
            return now
        if surplus >= len(self.idle):
            return math.inf
        return nsmallest(surplus + 1, self.idle)[-1][0] if surplus else self.idle[0][0]

    def busy(self, now: float) -> int:
        """Count those that nothing can use now."""
        return len(self.in_flight) + sum(free_at > now for free_at, _, _ in self.idle)

    def cooling(self, now: float) -> int:
        """Count idle ones that stay out longer than their window, after a refusal."""
        return sum(slot.cooldown_until > now for _, _, slot in self.idle)

    # -- giving back -----------------------------------------------------------------------

    def release(self, slot: Slot, seen_by: float, credit: float) -> None:
        """Take back a slot whose request was seen by ``seen_by``."""
        self.in_flight.remove(slot)
        slot.release(seen_by, credit)
        self._push_idle(slot)

    def release_unsent(self, slot: Slot) -> None:
        """Take back a slot whose request never left: it is as free as it was."""
        self.in_flight.remove(slot)
        self._push_idle(slot)

    def reduce_credit(self, credit: float) -> None:
        """Trust no more than ``credit``: what is idle was credited too much."""
        for _, _, slot in self.idle:
            slot.reduce_credit(credit)
        self.idle = [(slot.free_at, serial, slot) for _, serial, slot in self.idle]
        heapify(self.idle)

    def _push_idle(self, slot: Slot) -> None:
        self._serial += 1
        heappush(self.idle, (slot.free_at, self._serial, slot))

    # -- changing --------------------------------------------------------------------------

    def assume_spent(self, count: int, now: float) -> None:
        """Take the history as unknown: any of ``count`` requests may have been seen until now."""
        self._forgotten = max(self._forgotten, now)
        self._make_all(count)

    def set_window(self, count: int, remember: float) -> None:
        """Count every request for ``remember`` seconds; there are ``count`` slots now."""
        self.remember = remember
        slots = [slot for _, _, slot in self.idle]
        self.idle.clear()
        for slot in slots:
            slot.rebase(remember, self._forgotten)
            self._push_idle(slot)
        for slot in self.in_flight:
            slot.rebase(remember)
        self._make_all(count)

    def _make_all(self, count: int) -> None:
        """Make all slots: one made later would be free at once, whatever is forgotten."""
        if self._forgotten > -math.inf:
            while len(self) < count:
                self._push_idle(Slot(self.remember, self._forgotten))

    def merge_from(self, other: SlotPool) -> None:
        """Take over all slots of ``other``, which has none afterwards."""
        for _, _, slot in other.idle:
            self._push_idle(slot)
        self.in_flight |= other.in_flight
        self._forgotten = max(self._forgotten, other._forgotten)
        other.idle.clear()
        other.in_flight.clear()

    def rebind(self, last: float, shift: float) -> SlotPool:
        """Move all slots into a pool for a clock that is ``shift`` seconds ahead.

        Of those in flight nothing is heard any more: the last moment known here is ``last``.
        """
        pool = SlotPool(self.remember)
        for _, _, slot in self.idle:
            slot.rebase(slot.window, shift=shift)
            pool._push_idle(slot)
        for slot in self.in_flight:
            pool._push_idle(Slot(slot.window, last + STILL_ON_ITS_WAY + shift))
        pool._forgotten = self._forgotten + shift
        return pool
