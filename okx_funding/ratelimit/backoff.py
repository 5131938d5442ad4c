"""How long refusals for the limit keep a bucket still, and a slot out of it."""

from __future__ import annotations

import math

from okx_funding.api.spec import RateLimit

from .slot import GUARD

REFUSAL_COOLDOWN = 15.0
"""Seconds that a refused slot stays out at first; 0 turns it off."""
LONGEST_COOLDOWN = 4
"""How many times longer it stays out at last, when its return brings refusals."""
RECENT = 60.0
"""Seconds within which the next refusals are no accident any more: somebody else spends."""
LONGEST_FREEZE = 8
"""Windows that a bucket waits at last, when nothing but refusals comes."""
RETRY_AFTER_CAP = 60.0
"""Seconds of a Retry-After that a bucket heeds."""


class RefusalBackoff:
    """Decides how long a bucket rests after refusals, and how long one slot stays out of it.

    Refusals of requests that were on their way together count as one. The first freezes the bucket
    and that is all, for it may be what an earlier process sent. When another comes within `RECENT`
    seconds somebody else spends the limit, and one slot stays out for a while.
    """

    def __init__(self) -> None:
        self.cooldown: float = 0.0
        """Seconds for which a refused slot stays out; doubled while refusals go on."""
        self._cooldown_ends = -math.inf
        self._frozen_at = -math.inf
        self._consecutive = 0

    def refused(
        self,
        sent_at: float,
        now: float,
        limit: RateLimit,
        refusal_cooldown: float,
        retry_after: float | None,
    ) -> tuple[float, float | None]:
        """Note a request that was refused.

        Gives the seconds for which nobody may send, and until when the slot that was refused
        stays out, None where it doesn't. Refusals that count as one keep one slot out at most.
        """
        pause, until = limit.period, None
        if sent_at >= self._frozen_at:
            self._consecutive += 1
            pause *= min(2.0 ** (self._consecutive - 1), LONGEST_FREEZE)
            if now < self._cooldown_ends + self.cooldown:
                self.cooldown = min(2 * self.cooldown, refusal_cooldown * LONGEST_COOLDOWN)
            else:
                self.cooldown = refusal_cooldown if now < self._frozen_at + RECENT else 0.0
            if self.cooldown > 0:
                self._cooldown_ends = until = now + self.cooldown
        self._frozen_at = now
        if retry_after is not None:
            pause = max(pause, min(retry_after, RETRY_AFTER_CAP))
        return pause + GUARD, until

    def succeeded(self, sent_at: float) -> None:
        """Note a request sent at ``sent_at`` that wasn't refused."""
        if sent_at >= self._frozen_at:
            self._consecutive = 0

    def recent(self, now: float) -> bool:
        """Tell whether refusals of late say that somebody else spends this limit."""
        return now < max(self._cooldown_ends, self._frozen_at + RECENT)

    def merge_from(self, other: RefusalBackoff, shift: float) -> None:
        """Heed what ``other`` saw too, by a clock ``shift`` seconds behind."""
        self.cooldown = max(self.cooldown, other.cooldown)
        self._cooldown_ends = max(self._cooldown_ends, other._cooldown_ends + shift)
        self._frozen_at = max(self._frozen_at, other._frozen_at + shift)
        self._consecutive = max(self._consecutive, other._consecutive)
