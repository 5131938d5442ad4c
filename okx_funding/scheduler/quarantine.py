"""Keys that OKX refused a while ago: they share no request, so as to spoil none."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator

from .calls import Key

QUARANTINE = 300.0
"""Seconds for which a key that OKX refused shares no request."""
QUARANTINED = 1024
"""Keys that are in quarantine at most."""


class Quarantine:
    """Keys, and until when each shares no request."""

    def __init__(self) -> None:
        self._until: OrderedDict[Key, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._until)

    def __iter__(self) -> Iterator[Key]:
        return iter(self._until)

    def holds(self, key: Key, now: float) -> bool:
        """Tell whether ``key`` must be asked alone."""
        until = self._until.get(key)
        if until is not None and until < now:
            del self._until[key]
            return False
        return until is not None

    def add(self, key: Key, now: float) -> None:
        """Put ``key`` into quarantine; what is over, or too much, goes."""
        until = self._until
        until[key] = now + QUARANTINE
        until.move_to_end(key)
        while len(until) > QUARANTINED or until[next(iter(until))] < now:
            until.popitem(last=False)

    def discard(self, key: Key) -> None:
        """Release ``key``: OKX answered for it."""
        self._until.pop(key, None)
