"""Whether and when a failed request is worth another: pure rules, no clock, no dice of its own."""

from __future__ import annotations

from typing import Literal

from okx_funding.errors import (
    APIError,
    ConnectError,
    DecodeError,
    HTTPStatusError,
    OKXError,
    ProtocolError,
    RequestTimeoutError,
)

Kind = Literal["fault", "throttle"]

# 50005 is HTTP 410, an endpoint taken away; https://www.okx.com/docs-v5/en/#error-code
_PASSING_CODES = frozenset({"50001", "50004", "50026"})
_UNDER_WAY = frozenset({"50013", "58124"})

_BASE: dict[Kind, float] = {"fault": 0.1, "throttle": 1.0}
_CAP: dict[Kind, float] = {"fault": 5.0, "throttle": 20.0}

RETRY_AFTER_CAP = 60.0
"""A Retry-After above so many seconds is passed to the caller and not waited for."""


def may_pass(error: OKXError, failures: int) -> Kind | None:
    """What kind of trouble ``error`` is if it may pass by itself, else None.

    ``failures`` counts the attempts that failed before this one.
    """
    match error:
        case ConnectError():
            return "fault" if error.may_pass else None
        case RequestTimeoutError() | ProtocolError():
            return "fault"
        case DecodeError():  # a body cut short without a length looks like one, but only once
            return "fault" if failures == 0 else None
        case HTTPStatusError(retry_after=wait) if (wait or 0.0) > RETRY_AFTER_CAP:
            return None
        case HTTPStatusError(http_status=status):
            return "throttle" if status == 429 else "fault" if status >= 500 else None
        case APIError(code="50013"):
            return "throttle"
        case APIError(code=code):
            unknown = type(error) is APIError and error.http_status >= 500
            return "fault" if unknown or code in _PASSING_CODES else None
    return None


def may_have_worked(error: OKXError) -> bool:
    """Whether the request may have taken effect although it failed: ask before repeating it."""
    match error:
        case HTTPStatusError(http_status=status):
            return status < 300 or status in (408, 429) or status >= 500
        case APIError(code=code, http_status=status):
            return status >= 500 or code in _PASSING_CODES or code in _UNDER_WAY
    return error.sent


def delay(error: OKXError, kind: Kind, failures: int, dice: float) -> float:
    """Seconds until the next attempt, full jitter by ``dice`` in [0, 1).

    A keep-alive connection that died under the first attempt says nothing of the exchange, so
    the second one starts at once.
    """
    if isinstance(error, ProtocolError) and error.stale and failures == 0:
        return 0.0
    wait = dice * min(_CAP[kind], _BASE[kind] * 2.0 ** min(failures, 9))
    if isinstance(error, HTTPStatusError) and error.retry_after is not None:
        wait = max(wait, error.retry_after)
    return wait


class RetryBudget:
    """Retries against first attempts of one host: a tenth of them, and a few to begin with.

    So an exchange that is down isn't asked much more often for being down. A retry that succeeds
    costs nothing in the end, four first attempts that succeed earn one. Old attempts fade.
    """

    SHARE = 0.1
    RESERVE = 5
    EARNED = 0.25
    MEMORY = 1000

    def __init__(self) -> None:
        self.firsts: float = 0.0
        self.retries: float = 0.0

    def first(self) -> None:
        """A request was sent for the first time."""
        self.firsts += 1
        if self.firsts > self.MEMORY:
            self.firsts /= 2
            self.retries /= 2

    @property
    def left(self) -> float:
        """How many retries are affordable now."""
        return max(self.RESERVE, self.SHARE * self.firsts) - self.retries

    def spend(self) -> bool:
        """Whether one more retry is affordable; if so, it is paid."""
        if self.left < 1:
            return False
        self.retries += 1
        return True

    def succeeded(self, *, again: bool) -> None:
        """A request succeeded; ``again`` tells whether it was a retry."""
        self.retries = max(0.0, self.retries - (1 if again else self.EARNED))
