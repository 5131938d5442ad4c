"""The way to an exchange and back, in virtual time, and the exchange that counts at its end."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from okx_funding.api.spec import RateLimit
from okx_funding.simulator import Judge, make_judge

FOUR = ("sliding", "fixed", "fixed-first", "token-bucket")
"""The judges that every strategy has to satisfy. Only even pacing satisfies "weighted" too."""

ONE_WAY = 0.022
"""Half of a round trip of 44 ms."""

_LONGEST = 3.0


@dataclass(frozen=True)
class Jitter:
    """What chance adds to each way: ``scale`` seconds at most, or at the median twice over.

    "uniform" adds 0 to ``scale``. "heavy" is lognormal (sigma 1) and "pareto" a power law (alpha
    1.5), both with the median of the uniform one, half of ``scale``, and cut off at 3 s.
    """

    scale: float = 0.0
    shape: str = "uniform"

    def __str__(self) -> str:
        return f"{self.scale * 1000:g} ms {self.shape}" if self.scale else "none"

    def draw(self, chance: random.Random) -> float:
        """Seconds more."""
        if not self.scale:
            return 0.0
        if self.shape == "uniform":
            return self.scale * chance.random()
        if self.shape == "heavy":
            return min(_LONGEST, self.scale / 2 * math.exp(chance.gauss(0, 1)))
        excess = math.pow(1 - chance.random(), -1 / 1.5) - 1
        return min(_LONGEST, self.scale / 2 * excess / (math.pow(2, 1 / 1.5) - 1))


Way = Callable[[float], float]
"""Seconds of one way without jitter, by the time."""


def steady(seconds: float = ONE_WAY) -> Way:
    """A way that never changes."""
    return lambda now: seconds


def alternating(seconds: Sequence[float], every: float) -> Way:
    """A way that is another after every so many seconds, in turns."""
    return lambda now: seconds[int(now / every) % len(seconds)]


COLD = (0.060, 0.180)
"""Seconds that DNS, TCP and TLS take before the first request of a connection leaves."""


@dataclass
class Road:
    """Both ways, over connections that are kept alive."""

    jitter: Jitter = Jitter()
    out: Way = field(default_factory=steady)
    back: Way = field(default_factory=steady)
    keep_alive: float | None = None
    """Seconds that an idle connection lives; without one, connections cost no time to make."""
    lost: float = 0.0
    """Share of the requests whose sender gives up before the answer; they arrive all the same."""
    seed: int = 0

    def __post_init__(self) -> None:
        self.chance = random.Random(f"road/{self.seed}")
        self._idle: list[float] = []

    def way_out(self, now: float) -> tuple[float, bool]:
        """Seconds from the send to the exchange, and whether a connection is made first."""
        delay = self.out(now) + self.jitter.draw(self.chance)
        if self.keep_alive is None:
            return delay, False
        if self._idle and self._idle[-1] > now - self.keep_alive:
            self._idle.pop()
            return delay, False
        return delay + self.chance.uniform(*COLD), True

    def way_back(self, now: float) -> float:
        """Seconds from the exchange to the end of the answer."""
        return self.back(now) + self.jitter.draw(self.chance)

    def answered(self, now: float) -> None:
        """The connection is idle again."""
        if self.keep_alive is not None:
            self._idle.append(now)


class Exchange:
    """Counts arrivals by every judge; the ``live`` one decides the answers."""

    def __init__(
        self, limit: RateLimit, live: str = "sliding", judges: Sequence[str] = (*FOUR, "weighted")
    ) -> None:
        self.judges: dict[str, Judge] = {
            name: make_judge(name, limit.count, limit.period) for name in judges
        }
        self.live = live
        self.limit = limit
        self.arrivals: list[float] = []
        self.refused = dict.fromkeys(judges, 0)
        self.refused_at: list[int] = []
        """Which arrivals the live judge refused."""
        self.foreign = self.foreign_refused = 0

    def arrive(self, now: float) -> bool:
        """Whether a request of ours that arrives now is admitted."""
        admitted = True
        for name, judge in self.judges.items():
            if not judge.admit(now):
                self.refused[name] += 1
                if name == self.live:
                    admitted = False
                    self.refused_at.append(len(self.arrivals))
        self.arrivals.append(now)
        return admitted

    def spend(self, now: float) -> None:
        """Another program of the same user asks for something."""
        self.foreign += 1
        for name, judge in self.judges.items():
            if not judge.admit(now) and name == self.live:
                self.foreign_refused += 1

    def worst(self) -> tuple[str, float]:
        """The judge of the four that refused most, and how many of 1000 requests."""
        name = max(FOUR, key=lambda judge: self.refused[judge])
        return name, self.per_mille(name)

    def per_mille(self, name: str) -> float:
        """How many of 1000 requests the judge refused."""
        return 1000 * self.refused[name] / max(1, len(self.arrivals))

    def utilisation(self, name: str = "sliding") -> float:
        """Share of the limit that admitted arrivals used, from the first to the last."""
        if not self.arrivals:
            return 0.0
        span = self.arrivals[-1] - self.arrivals[0] + self.limit.period
        return (len(self.arrivals) - self.refused[name]) / (self.limit.rate * span)


async def another_program(exchange: Exchange, rate: float, chance: random.Random) -> None:
    """Spend ``rate`` requests a second of the same limit, at random moments, for ever."""
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(chance.expovariate(rate))
        exchange.spend(loop.time())
