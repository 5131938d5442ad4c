"""What became of a movement, asked of OKX: when absence proves nothing, and when it does.

A request that was signed at a moment can be accepted by OKX for 30 s, by OKX's clock. Before that
has surely passed (the fence) a movement that isn't found may still come. After it, absence counts
only if it is seen three times, a second apart, if the bills show nothing either, and if the time
has passed that the rules of absence ask for the kind: for withdrawals no time is enough.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from okx_funding.errors import (
    APIError,
    InvalidArgumentError,
    MovementAbsentError,
    OKXError,
    RequestTimeoutError,
    TransferFailedError,
)

from .intent import Intent
from .kinds import KINDS, row_type
from .lookups import (
    LOOK_UP_TIMEOUT,
    TRANSFER_DEPTH,
    WALK_TIMEOUT,
    Different,
    Finding,
    Found,
    has_bills,
    look_up,
)
from .outcome import Done, NotDone, Outcome, reused, unknown
from .port import MoneyPort

FENCE = 60.0
"""Seconds after the stamp in which absence proves nothing: 30 s in which OKX takes the request, and
30 s by which two clocks may differ."""
FIRST_PAUSE = 0.2
LONGEST_PAUSE = 5.0
BETWEEN_ABSENCES = 1.05
"""Seconds between two look-ups whose absence counts."""
LAST_LOOK_UP = 0.5
"""Seconds before the deadline of the last look-up."""
ABSENCES = 3
CLOCK_LIFE = 60.0
"""Seconds for which the learned clock is trusted in a proof of absence."""

AbsenceRules = Mapping[str, float | None]
"""Seconds after the stamp, or after the quote's end, from which absence is proof, by kind of
intent; None means never."""


def absence_rules(given: float | AbsenceRules | None) -> AbsenceRules:
    """The default rules, with those given in their place."""
    rules: dict[str, float | None] = {}
    for kind in KINDS.values():
        rules[kind.name] = kind.absence_proves_after
    for name, seconds in given.items() if isinstance(given, Mapping) else ():
        if name not in KINDS:
            raise InvalidArgumentError(
                f"absence_proves_after knows no {name!r}; its keys are {', '.join(KINDS)}"
            )
        rules[name] = _seconds(seconds)
    if given is not None and not isinstance(given, Mapping):
        rules.update(dict.fromkeys(rules, _seconds(given)))
    rules["subaccount_transfer"] = None  # without a handle nothing can be seen to be absent
    return rules


def _seconds(value: object) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        raise InvalidArgumentError(
            f"absence_proves_after must be seconds above zero or None, not {value!r}"
        )
    return float(value)


class Resolver:
    """Looks movements up for one client."""

    def __init__(self, port: MoneyPort, rules: AbsenceRules) -> None:
        self._port = port
        self._rules = rules
        self._clock_learned_at = float("-inf")

    async def resolve(
        self,
        intent: Intent,
        deadline: float,
        *,
        patient: bool = False,
        accepted: Any = None,
        rules: AbsenceRules | None = None,
    ) -> Outcome:
        """Ask until the outcome is known, at most until ``deadline`` of the loop's clock.

        Without ``patient`` a movement that isn't found, and whose absence can't prove anything
        yet, is Unknown at once. ``accepted`` is OKX's row, if it accepted the movement.
        """
        loop = asyncio.get_running_loop()
        absences, pause, why = 0, FIRST_PAUSE, "OKX couldn't be asked"
        rules = self._rules if rules is None else rules
        while True:
            left = deadline - loop.time()
            try:
                finding = await self._look_up(intent, left, accepted)
                outcome = self._read(intent, finding, accepted)
                if outcome is not None:
                    return outcome
            except OKXError as error:
                finding, why = None, f"OKX couldn't be asked: {type(error).__name__}"
            if isinstance(finding, Found):
                why = "OKX hasn't finished it"
            elif finding is not None:
                why = "OKX doesn't show it"
                if accepted is None and self._may_prove(intent, rules):
                    absences += 1
                    if absences == ABSENCES:
                        return await self._absent(intent, deadline, rules)
                elif not patient:
                    return unknown(intent, why)
            left = deadline - loop.time() - LAST_LOOK_UP
            if left <= 0 or (absences and left < BETWEEN_ABSENCES):
                return unknown(intent, why)
            await asyncio.sleep(BETWEEN_ABSENCES if absences else min(pause, left))
            pause = min(2 * pause, LONGEST_PAUSE)

    async def _look_up(self, intent: Intent, timeout: float, accepted: Any) -> Finding:
        longest = WALK_TIMEOUT if intent.kind == "fiat_withdrawal" else LOOK_UP_TIMEOUT
        timeout = max(min(timeout, longest), 0.001)
        try:
            async with asyncio.timeout(timeout):
                return await look_up(self._port, intent, timeout=timeout, accepted=accepted)
        except TimeoutError as error:
            if isinstance(error, OKXError):
                raise
            raise RequestTimeoutError("the look-up took too long") from None

    def _read(self, intent: Intent, finding: Finding, accepted: Any) -> Outcome | None:
        """The outcome that a look-up shows; None where it shows none yet."""
        kind = KINDS[intent.kind]
        if isinstance(finding, Different):
            return reused(intent, finding.shown)
        if not isinstance(finding, Found) or finding.state == "pending":
            return None
        if finding.state == "failed":
            return failed(intent, finding.row)
        if isinstance(accepted, row_type(kind.endpoint)):
            return Done(accepted)
        return Done(kind.answer_row(intent, finding.row))

    def _may_prove(self, intent: Intent, rules: AbsenceRules) -> bool:
        """Whether absence counts by now: the fence and the time of the rule have passed."""
        after = rules[intent.kind]
        if after is None or intent.signed_at is None:
            return False  # it may be sent, or may come to light, at any time
        stamp, now = intent.signed_at / 1000, self._port.now()
        if intent.kind == "transfer" and now - stamp > TRANSFER_DEPTH:
            return False
        begin = stamp if intent.quote_ends_at is None else intent.quote_ends_at / 1000
        return now >= max(stamp + FENCE, begin + after)

    async def _absent(self, intent: Intent, deadline: float, rules: AbsenceRules) -> Outcome:
        """Three times absent: with OKX's own clock and the bills it becomes a proof."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout_at(deadline):
                if loop.time() - self._clock_learned_at > CLOCK_LIFE:
                    await self._port.learn_clock(LOOK_UP_TIMEOUT)
                    self._clock_learned_at = loop.time()
                if await has_bills(self._port, intent, timeout=LOOK_UP_TIMEOUT):
                    return unknown(intent, "OKX doesn't show it, but its bills do")
        except (OKXError, TimeoutError) as error:
            return unknown(intent, f"OKX couldn't be asked: {type(error).__name__}")
        if not self._may_prove(intent, rules):
            return unknown(intent, "OKX doesn't show it, and this machine's clock was wrong")
        absent = MovementAbsentError(
            f"{intent.kind} {intent.client_id}: OKX shows no such movement, long after the request "
            "could have been accepted"
        )
        return NotDone("absent", absent)


def failed(intent: Intent, row: Any) -> NotDone:
    """The NotDone of a movement that OKX began and gave back."""
    kind = KINDS[intent.kind]
    error: APIError = TransferFailedError(
        str(row.state), f"{intent.kind} {intent.client_id} ended so, the money is back", 200,
        f"{kind.endpoint} / {kind.look_up}",
    )  # fmt: skip
    error.repeat_is_safe = True
    return NotDone("failed", error)
