"""The log: what arrived when, and what may be read from it. Nothing secret is kept."""

from __future__ import annotations

import itertools
import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Arrival:
    """One request as it arrived.

    ``at`` is in seconds of the loop's clock. ``endpoint`` is a name of the endpoints' table, or
    the path where it isn't there. ``user`` is the user id that the API key belongs to, None for
    an unknown key. ``keys`` are the currencies named. ``counted`` tells whether the limit's judge
    was asked, ``refused`` whether it said no. ``fault`` names what was made to go wrong.
    ``status`` and ``code`` are those of the answer, whether or not it got through. ``body`` is
    what was posted, and empty where that holds a passphrase.
    """

    at: float
    endpoint: str
    user: str | None
    keys: tuple[str, ...]
    status: int
    code: str
    counted: bool
    refused: bool
    fault: str | None
    method: str
    target: str
    body: bytes = field(default=b"", repr=False)


class Log:
    """The last arrivals, the oldest first, and how many there ever were."""

    def __init__(self, size: int) -> None:
        self.arrivals: deque[Arrival] = deque(maxlen=size)
        self.cleared: int = 0
        self.clear()

    def clear(self) -> None:
        self.arrivals.clear()
        self.cleared += 1
        self.requests: int = 0
        self.refused: int = 0
        self.faults: int = 0

    def add(self, arrival: Arrival) -> None:
        self.arrivals.append(arrival)
        self.requests += 1
        self.refused += arrival.refused
        self.faults += arrival.fault is not None

    def since(self, number: int, most: int) -> list[Arrival]:
        """The arrivals after the first ``number``, at most the last ``most`` of them."""
        n = min(self.requests - number, most, len(self.arrivals))
        return list(itertools.islice(reversed(self.arrivals), max(n, 0)))[::-1]

    def select(self, endpoint: str | None, user: str | None) -> list[Arrival]:
        """Those of the endpoint and the user; None takes all."""
        return [
            arrival
            for arrival in self.arrivals
            if endpoint in (None, arrival.endpoint) and user in (None, arrival.user)
        ]


def busiest_window(times: Sequence[float], period: float) -> int:
    """The most of these times, which never fall, in any half-open window of ``period`` seconds."""
    most = first = 0
    for last, time in enumerate(times):
        while time >= times[first] + period:
            first += 1
        most = max(most, last - first + 1)
    return most


def utilisation(times: Sequence[float], count: int, period: float) -> float:
    """The share of the limit that was used from the first of these times to the last.

    1.0 is the most that ``count`` in any window allow; 0.0 where nothing arrived.
    """
    if not times:
        return 0.0
    windows = math.floor((times[-1] - times[0]) / period + 1e-9) + 1
    return len(times) / (count * windows)
