"""How many requests leave before one: what a deadline is judged by."""

from __future__ import annotations

from collections.abc import Sequence

from .calls import Key
from .pending import FIRST_RANK, QUEUED
from .pending_keys import PendingKeys

CROWDING = 3
"""By how much more than what is left of other long calls a long call waits for them."""


class Forecast:
    """Counts the requests that the pending keys of one lane will need."""

    def __init__(self, keys: PendingKeys) -> None:
        self._keys = keys

    def requests(self) -> int:
        """Count the requests that the queued keys will need."""
        return self._requests_for(len(self._keys.shared)) + len(self._keys.alone)

    def requests_before(self, keys: Sequence[Key], priority: int, now: float) -> int:
        """Count the requests that leave before the last one for ``keys``.

        Of a call that takes several turns, every other such call takes as many. What is left
        of those counts thrice, for calls that come later take turns too, and would make all late.
        """
        waiting = self._keys
        newcomer = waiting.rank_of_newcomer(priority, now)
        if len(keys) <= waiting.batch_size:
            last = FIRST_RANK
            for key in keys:
                pending = waiting.by_key.get(key)
                queued = pending is not None and pending.state is QUEUED
                last = max(last, pending.rank if pending is not None and queued else newcomer)
            shared = waiting.shared.count_before(last)
            return shared // waiting.batch_size + waiting.alone.count_before(last)
        own = len(keys) - sum(map(waiting.by_key.__contains__, keys))
        others = sum(
            [
                min(own, CROWDING * len(each.later))
                for each in waiting.long.values()
                if each.priority >= priority
            ]
        )
        shared = own + others + waiting.shared.count_before(newcomer)
        return max(0, self._requests_for(shared) - 1) + waiting.alone.count_before(newcomer)

    def requests_of_others_before(self, priority: int, now: float) -> int:
        """Count the requests that leave before one for a new key of this ``priority``."""
        newcomer = self._keys.rank_of_newcomer(priority, now)
        shared = self._requests_for(self._keys.shared.count_before(newcomer))
        return shared + self._keys.alone.count_before(newcomer)

    def _requests_for(self, keys: int) -> int:
        return -(-keys // self._keys.batch_size)
