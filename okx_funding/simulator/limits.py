"""Whose requests are counted together, and by which counter."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from .counting import Judge, make_judge
from .table import BY_NAME, Limit, Route, route

_QUOTA = 3600.0
"""Longer periods, in seconds, are counted by a time that ``advance`` moves, too."""


class AnyLimit(Protocol):
    """A limit as tests give it, ours or a client's ``RateLimit``."""

    @property
    def count(self) -> int: ...
    @property
    def period(self) -> float: ...


Overrides = Mapping[str, AnyLimit | Sequence[AnyLimit]]


class Limits:
    """A counter for each limit and whom it counts; made when first needed.

    https://www.okx.com/docs-v5/en/#overview-rate-limits
    """

    def __init__(self, judge: str | Callable[[int, float], Judge], overrides: Overrides) -> None:
        self._judge = judge
        self._rules: dict[str, tuple[Limit, ...]] = {
            name: row.limits for name, row in BY_NAME.items()
        }
        self._given: dict[str, AnyLimit] = {}
        for name, given in overrides.items():
            row = route(name)
            limits = list(given) if isinstance(given, Sequence) else [given]
            per = row.limits[0].per
            self._given[row.name] = limits[0]
            self._rules[row.name] = tuple(
                Limit(it.count, it.period, getattr(it, "per", None) or per) for it in limits
            )
        self._judges: dict[tuple[str, int, tuple[str, ...]], Judge] = {}
        self._make(Limit(1))  # so that an unknown judge is told now, not to a request

    @property
    def judge(self) -> str:
        """What the judge is called."""
        return getattr(self._judge, "__name__", str(self._judge))

    def rule(self, endpoint: str) -> AnyLimit:
        """The first limit in force. Raises ValueError for an unknown endpoint."""
        name = route(endpoint).name
        return self._given.get(name) or self._rules[name][0]

    def rules(self, endpoint: str) -> tuple[Limit, ...]:
        """All limits in force. Raises ValueError for an unknown endpoint."""
        return self._rules[route(endpoint).name]

    def admit(
        self, who: str, row: Route, params: Mapping[str, Any], now: float, advanced: float = 0.0
    ) -> bool:
        """Whether the arrival is within all limits; the widest is asked first.

        ``who`` is a user id, or an address. An arrival that a later limit refuses has been
        counted by those before it, which is the stricter reading.
        """
        for position, limit in enumerate(self._rules[row.name]):
            key = (row.name, position, limit.key(who, params))
            judge = self._judges.get(key)
            if judge is None:
                judge = self._judges[key] = self._make(limit)
            if not judge.admit(now + advanced if limit.period > _QUOTA else now):
                return False
        return True

    def forget(self) -> None:
        """Begin anew with fresh judges."""
        self._judges.clear()

    def _make(self, rule: Limit) -> Judge:
        if isinstance(self._judge, str):
            return make_judge(self._judge, rule.count, rule.period)
        return self._judge(rule.count, rule.period)
