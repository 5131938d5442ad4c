"""Which request gets which fault: what was ordered for the next ones, an outage, or chaos."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterable

from .faults import Fault
from .limits import known

_OUTAGE = Fault.html(503)


class Mischief:
    """The faults to come. ``outage`` answers everything with a CDN's 503."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._ordered: deque[tuple[Fault, str | None]] = deque()
        self.calm()

    def calm(self) -> None:
        """No faults any more, of any kind."""
        self.outage = False
        self._ordered.clear()
        self._share = 0.0
        self._faults: tuple[Fault, ...] = ()
        self._endpoint: str | None = None
        self._chance = random.Random()

    def fail_next(self, n: int, fault: Fault, endpoint: str | None) -> None:
        """Order the fault ``n`` times, behind what was ordered before."""
        self._ordered.extend([(fault, endpoint and known(endpoint))] * n)

    def chaos(
        self, share: float, faults: Iterable[Fault], seed: int | None, endpoint: str | None
    ) -> None:
        """From now on, a share of the requests gets one of the faults, by chance."""
        if not 0 <= share <= 1:
            raise ValueError(f"share must be from 0 to 1, not {share!r}")
        faults = tuple(faults)
        if not faults:
            raise ValueError("chaos needs at least one fault")
        self._endpoint = endpoint and known(endpoint)
        self._share, self._faults = share, faults
        self._chance = random.Random(f"{self._seed if seed is None else seed}/chaos")

    def next(self, endpoint: str) -> Fault | None:
        """The fault of the request that has arrived at ``endpoint``."""
        if self.outage:
            return _OUTAGE
        for position, (fault, only) in enumerate(self._ordered):
            if only in (None, endpoint):
                del self._ordered[position]
                return fault
        if not self._share or self._endpoint not in (None, endpoint):
            return None
        return self._chance.choice(self._faults) if self._chance.random() < self._share else None
