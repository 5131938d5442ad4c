"""What a failed request means for the batch: pure rules, no clock, no dice of their own."""

from __future__ import annotations

from typing import Any

import msgspec

from okx_funding.api.spec import Endpoint
from okx_funding.errors import (
    ClockSkewError,
    InvalidParameterError,
    OKXError,
    OutcomeUnknownError,
    RateLimitError,
)

from .retry import delay, may_have_worked, may_pass


class Retry(msgspec.Struct, frozen=True):
    """Send it again in ``after`` seconds."""

    after: float = 0.0
    refused: bool = False
    """Whether OKX refused it for the rate limit, which is no fault of anybody."""


class Reject(msgspec.Struct, frozen=True):
    """Tell the callers of its only key that OKX refuses it."""


class Bisect(msgspec.Struct, frozen=True):
    """Find out which of its keys OKX refuses."""


class FixClock(msgspec.Struct, frozen=True):
    """Learn OKX's time, then send it again."""


class Fail(msgspec.Struct, frozen=True):
    """Tell every caller of ``error``."""

    error: OKXError


Decision = Retry | Reject | Bisect | FixClock | Fail


def decide(
    error: OKXError, endpoint: Endpoint[Any], *, failures: int, keys: int, dice: float
) -> Decision:
    """Decide what becomes of a batch of ``keys`` keys whose request ended with ``error``.

    ``failures`` counts its attempts that failed before, ``dice`` in [0, 1) spreads the delay.
    """
    match error:
        case RateLimitError():  # nothing was done, so that it may be sent again in any case
            return Retry(refused=True)
        case ClockSkewError():
            return FixClock()
        case InvalidParameterError():
            return Reject() if keys == 1 else Bisect()
    if error.sent and not endpoint.repeatable:
        return Fail(outcome_unknown(endpoint, error) if may_have_worked(error) else error)
    kind = may_pass(error, failures)
    return Fail(error) if kind is None else Retry(delay(error, kind, failures, dice))


def outcome_unknown(endpoint: Endpoint[Any], reason: object) -> OutcomeUnknownError:
    """Make the error of a call of which nobody knows whether it took effect."""
    return OutcomeUnknownError(
        f"{endpoint}: whether it took effect is unknown; look it up before asking again ({reason})"
    )
