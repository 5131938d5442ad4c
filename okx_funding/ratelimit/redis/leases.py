"""The leases of one process in one bucket: renewed while requests are out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from .messages import Renewal, SharedSlot
from .scripts import LEASE

RENEW_AFTER = 1.25
"""Seconds after which a slot that is still held is renewed: most never are."""


class Leases:
    """The slots that a process holds. One timer for all."""

    def __init__(self, renew: Callable[[Renewal], None]) -> None:
        self._renew = renew
        self._slots: set[SharedSlot] = set()
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._slots)

    def add(self, slot: SharedSlot) -> None:
        """It is held from now on."""
        self._slots.add(slot)
        if self._timer is None:
            self._arm(slot.lease_until - LEASE + RENEW_AFTER)

    def remove(self, slot: SharedSlot) -> None:
        """It was given back."""
        self._slots.discard(slot)
        if not self._slots:
            self.stop()

    def stop(self) -> None:
        """Renew nothing more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self, at: float) -> None:
        self._timer = asyncio.get_running_loop().call_at(at, self._ring)

    def _ring(self) -> None:
        now = asyncio.get_running_loop().time()
        due = [slot for slot in self._slots if slot.lease_until - LEASE + RENEW_AFTER <= now + 0.1]
        by_bucket: dict[str, list[SharedSlot]] = {}
        for slot in due:
            by_bucket.setdefault(slot.bucket[0], []).append(slot)
        for slots in by_bucket.values():
            self._renew(Renewal(slots))
        later = [slot.lease_until - LEASE + RENEW_AFTER for slot in self._slots if slot not in due]
        self._arm(min([now + RENEW_AFTER, *later]))
