"""Which request gets which fault: what was ordered for the next ones, an outage, or chaos."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from .faults import Fault
from .table import route

_OUTAGE = Fault.html(503)


@dataclass(slots=True)
class _Chaos:
    share: float
    faults: tuple[Fault, ...]
    chance: random.Random

    def next(self) -> Fault | None:
        return self.chance.choice(self.faults) if self.chance.random() < self.share else None


class FaultInjector:
    """The faults to come. ``outage`` answers everything with a CDN's 503."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._ordered: deque[tuple[Fault, str | None]] = deque()
        self.calm()

    def calm(self) -> None:
        """No faults any more, of any kind."""
        self.outage = False
        self._ordered.clear()
        self._chaos: dict[str | None, _Chaos] = {}

    @property
    def ordered(self) -> list[tuple[str, str | None]]:
        """The faults to come in their order, each with the endpoint that it is for."""
        return [(fault.name, only) for fault, only in self._ordered]

    def fail_next(self, n: int, fault: Fault, endpoint: str | None) -> None:
        """Order the fault ``n`` times, behind what was ordered before."""
        self._ordered.extend([(fault, endpoint and route(endpoint).name)] * n)

    def chaos(
        self, share: float, faults: Iterable[Fault], seed: int | None, endpoint: str | None
    ) -> None:
        """From now on, a share of the requests gets one of the faults, by chance."""
        if not 0 <= share <= 1:
            raise ValueError(f"share must be from 0 to 1, not {share!r}")
        faults = tuple(faults)
        if not faults:
            raise ValueError("chaos needs at least one fault")
        name = endpoint and route(endpoint).name
        if not share and name is None:
            self._chaos.clear()
            return
        seed = self._seed if seed is None else seed
        chance = random.Random(f"{seed}/chaos" + (f"/{name}" if name else ""))
        self._chaos[name] = _Chaos(share, faults, chance)

    def next(self, endpoint: str) -> Fault | None:
        """The fault of the request that has arrived at ``endpoint``."""
        if self.outage:
            return _OUTAGE
        for position, (fault, only) in enumerate(self._ordered):
            if only in (None, endpoint):
                del self._ordered[position]
                return fault
        chaos = self._chaos.get(endpoint) or self._chaos.get(None)
        return chaos.next() if chaos else None
