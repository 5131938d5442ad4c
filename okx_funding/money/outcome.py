"""What became of a movement of money: Done, NotDone or Unknown, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

from okx_funding.errors import ClientIdReusedError, OKXError, OutcomeUnknownError

from .intent import Intent

R_co = TypeVar("R_co", covariant=True)

Reason = Literal["refused", "failed", "never sent", "absent"]


@dataclass(frozen=True, slots=True)
class Done(Generic[R_co]):
    """It took place, once. ``row`` is OKX's answer, or what a look-up shows in its form."""

    row: R_co


@dataclass(frozen=True, slots=True)
class NotDone:
    """It surely didn't take place, or the money is back.

    ``reason``: "refused" by OKX, "failed" after OKX had begun, "never sent", or "absent" at OKX
    after the time that the rules of absence ask. ``error`` is what the short call raises.
    """

    reason: Reason
    error: OKXError


@dataclass(frozen=True, slots=True)
class Unknown:
    """Nobody can know yet: ``client.resolve(intent)`` asks again, now or in another process.

    ``error`` is what the short call raises: `OutcomeUnknownError`, or `ClientIdReusedError`
    where OKX shows somebody else's movement under the same client id.
    """

    intent: Intent
    error: OKXError


Outcome = Done[Any] | NotDone | Unknown


def unknown(intent: Intent, why: str) -> Unknown:
    """The Unknown of an intent, with the error that says what to do."""
    error = OutcomeUnknownError(
        f"{intent.kind} {intent.client_id}: {why}. It may have moved money: don't send it again, "
        "ask client.resolve(error.intent) later",
        intent=intent,
    )
    return Unknown(intent, error)


def reused(intent: Intent, shown: str) -> Unknown:
    """The Unknown of an intent under whose client id OKX shows another movement."""
    error = ClientIdReusedError(
        f"{intent.kind} {intent.client_id}: OKX shows {shown} under this client id. Somebody used "
        "it twice: compare with the bills, and send nothing before that is clear",
        intent=intent,
    )
    return Unknown(intent, error)


def never_sent(error: OKXError) -> NotDone:
    """The NotDone of what didn't reach the wire."""
    return NotDone("never sent", error)
