"""Whose requests are counted together, and by which judge."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from okx_funding.endpoints import ENDPOINTS, Endpoint, RateLimit

from .judge import Judge, make_judge


class Limits:
    """A judge for each user, or address, and endpoint; made when first needed.

    https://www.okx.com/docs-v5/en/#overview-rate-limits
    """

    def __init__(
        self, judge: str | Callable[[int, float], Judge], overrides: Mapping[str, RateLimit]
    ) -> None:
        self._judge = judge
        self._rules = {name: endpoint.limit for name, endpoint in ENDPOINTS.items()}
        for name, rule in overrides.items():
            self._rules[known(name)] = rule
        self._judges: dict[tuple[str, str], Judge] = {}
        self._make(RateLimit(1))  # so that an unknown judge is told now, not to a request

    @property
    def judge(self) -> str:
        """What the judge is called."""
        return getattr(self._judge, "__name__", str(self._judge))

    def rule(self, endpoint: str) -> RateLimit:
        """The limit in force. Raises ValueError for an unknown endpoint."""
        return self._rules[known(endpoint)]

    def admit(self, who: str, endpoint: Endpoint, now: float) -> bool:
        """Whether the arrival is within the limit of ``who``: a user id, or an address."""
        key = (who, endpoint.name)
        judge = self._judges.get(key)
        if judge is None:
            judge = self._judges[key] = self._make(self._rules[endpoint.name])
        return judge.admit(now)

    def forget(self) -> None:
        """Begin anew with fresh judges."""
        self._judges.clear()

    def _make(self, rule: RateLimit) -> Judge:
        if isinstance(self._judge, str):
            return make_judge(self._judge, rule.count, rule.period)
        return self._judge(rule.count, rule.period)


def known(endpoint: str) -> str:
    """The name itself. Raises ValueError where no endpoint is called so."""
    if endpoint not in ENDPOINTS:
        raise ValueError(f"no endpoint is called {endpoint!r}; there are {', '.join(ENDPOINTS)}")
    return endpoint
