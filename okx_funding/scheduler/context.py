"""Who asks, where, and how: what the calls of one client have in common."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from okx_funding.auth.credentials import Credentials
from okx_funding.errors import InvalidArgumentError
from okx_funding.ratelimit.backoff import REFUSAL_COOLDOWN
from okx_funding.telemetry.events import Observer

MAX_REFUSALS = 10
"""Refusals for the rate limit in a row after which a call gets a RateLimitError."""


@dataclass(frozen=True, slots=True)
class Policy:
    """What few programs need to set.

    refusal_cooldown: seconds that a part of the limit stays unused while refusals say that another
    program spends it; 0 turns it off. assume_spent: treat the limit as spent at the start, for a
    process that may follow close upon another of the same user. max_queue: callers that may wait
    for one endpoint at a time. max_refusals: refusals for the rate limit in a row after which a
    call gets a RateLimitError.

    Raises InvalidArgumentError, a ValueError, for a value that can't be used.
    """

    refusal_cooldown: float = REFUSAL_COOLDOWN
    assume_spent: bool = False
    max_queue: int = 200_000
    max_refusals: int = MAX_REFUSALS

    def __post_init__(self) -> None:
        cooldown = self.refusal_cooldown
        if isinstance(cooldown, bool) or not isinstance(cooldown, int | float):
            raise InvalidArgumentError(f"refusal_cooldown must be seconds, not {cooldown!r}")
        if not 0 <= cooldown < math.inf:
            raise InvalidArgumentError(f"refusal_cooldown must be seconds from 0 on: {cooldown!r}")
        if not isinstance(self.assume_spent, bool):
            raise InvalidArgumentError("assume_spent must be True or False")
        for name in ("max_queue", "max_refusals"):
            most = getattr(self, name)
            if isinstance(most, bool) or not isinstance(most, int) or most < 1:
                raise InvalidArgumentError(f"{name} must be a whole number from 1 on, not {most!r}")


@dataclass(frozen=True, slots=True)
class Context:
    """Clients with equal contexts share lanes, hence requests."""

    credentials: Credentials | None
    origin: str
    demo: bool = False
    request_timeout: float = 10.0
    max_retries: int = 2
    policy: Policy = Policy()
    observer: Observer | None = field(default=None, compare=False)
    observer_id: int = field(init=False)
    """Which observer: itself and no equal one is meant, and it needn't have a hash."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "observer_id", id(self.observer))
