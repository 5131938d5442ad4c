"""What the loggers ``okx_funding.*`` say of OKX: a line per request, and warnings once per event.

A request is one line at DEBUG, by ``okx_funding.requests``. What an operator has to act on is one
WARNING by ``okx_funding.warnings`` when it begins, however many requests it concerns.
"""

from __future__ import annotations

import logging
import math
import weakref

requests: logging.Logger = logging.getLogger("okx_funding.requests")
warnings: logging.Logger = logging.getLogger("okx_funding.warnings")

QUIET = 10.0
"""Seconds without a further refusal after which the next one is an event of its own."""
CLOCK_OFF = 5.0
"""Seconds that a clock may be off before anybody is told."""


class Refusals:
    """Warns of refusals for the rate limit, once for each time that somebody spends a limit."""

    def __init__(self) -> None:
        self._over_at: weakref.WeakKeyDictionary[object, float] = weakref.WeakKeyDictionary()

    def refused(self, limit: object, endpoint: str, user: str, now: float, pause: float) -> None:
        """A request against ``limit`` was refused, and nothing is sent for ``pause`` seconds."""
        is_new = now >= self._over_at.get(limit, -math.inf)
        self._over_at[limit] = now + max(0.0, pause) + QUIET
        if is_new:
            warnings.warning(
                "OKX refused %s of %s for the rate limit: another program spends it too; "
                "nothing is sent for %.1f s",
                endpoint,
                user,
                pause,
            )


REFUSALS = Refusals()


def request(
    endpoint: str, user: str, number: int, keys: int, callers: int, seconds: float, outcome: str
) -> None:
    """One request is over; ``outcome`` is "ok" or the name of the error."""
    requests.debug(
        "%s of %s: request %d, %d keys for %d callers: %s after %.3f s",
        endpoint,
        user,
        number,
        keys,
        callers,
        outcome,
        seconds,
    )


def clock(host: str, offset: float, before: float) -> None:
    """A host's clock less this machine's was learned; ``before`` is what was believed until now."""
    was_right = abs(before) <= CLOCK_OFF
    if abs(offset) > CLOCK_OFF and (was_right or abs(offset - before) > CLOCK_OFF):
        warnings.warning(
            "this machine's clock is %.1f s %s that of %s: set it by NTP; requests are stamped "
            "by theirs meanwhile",
            abs(offset),
            "behind" if offset > 0 else "ahead of",
            host,
        )


def key_at_rest(user: str, seconds: float) -> None:
    """OKX goes on refusing a key, and nothing is sent with it for ``seconds``."""
    warnings.warning("OKX goes on refusing the key of %s: it rests for %g s", user, seconds)
