"""What arrived, held against the limits."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from typing import Any

from . import arrivals
from .arrivals import Arrival, Log
from .limits import AnyLimit, Limits
from .state import ExchangeState
from .table import route


class Traffic(ExchangeState):
    """The log of arrivals and the limits, as tests ask for them."""

    _log: Log
    _limits: Limits
    _loop: asyncio.AbstractEventLoop | None

    @property
    def log(self) -> list[Arrival]:
        """What arrived, the oldest first."""
        return list(self._log.arrivals)

    @property
    def refused(self) -> list[Arrival]:
        """What the limits' judges refused."""
        return [arrival for arrival in self._log.arrivals if arrival.refused]

    def requests(self, endpoint: str | None = None, user: str | None = None) -> list[Arrival]:
        """What arrived at an endpoint, by name, and from a user, by user id; None takes all."""
        with contextlib.suppress(ValueError):  # a path, of what isn't in the table
            endpoint = endpoint and route(endpoint).name
        return self._log.select(endpoint, user)

    def limit(self, endpoint: str) -> AnyLimit:
        """The limit in force, the first of several. Raises ValueError for an unknown endpoint."""
        return self._limits.rule(endpoint)

    def busiest_window(self, endpoint: str, user: str | None = None) -> int:
        """The most arrivals, refused ones too, in any window of the limit's period.

        ``user`` is the first user where it isn't given, and everybody where OKX counts by address.
        """
        times = [arrival.at for arrival in self._counted(endpoint, user)]
        return arrivals.busiest_window(times, self.limit(endpoint).period)

    def utilisation(self, endpoint: str, user: str | None = None) -> float:
        """The share of the limit that admitted arrivals used, from the first to the last."""
        times = [arrival.at for arrival in self._counted(endpoint, user) if not arrival.refused]
        limit = self.limit(endpoint)
        return arrivals.utilisation(times, limit.count, limit.period)

    def spend(
        self,
        endpoint: str,
        user: str | None = None,
        n: int = 1,
        params: Mapping[str, Any] | None = None,
    ) -> int:
        """Spend ``n`` requests of a user's limit, as another program would; the log has none of it.

        ``params`` hold what the limit counts by besides the user, such as ``{"ccy": "BTC"}``.
        Gives how many of them were admitted. Raises RuntimeError before ``start``.
        """
        if self._loop is None:
            raise RuntimeError("the exchange counts by its loop's clock, and wasn't started")
        who = self.user_ids[0] if user is None else user
        now = self._loop.time()
        row = route(endpoint)
        return sum(self._limits.admit(who, row, params or {}, now) for _ in range(n))

    def _counted(self, endpoint: str, user: str | None) -> list[Arrival]:
        if route(endpoint).by_address:
            user = None
        elif user is None:
            user = self.user_ids[0]
        return [arrival for arrival in self.requests(endpoint, user) if arrival.counted]
