"""One submission: record, slot, stamp, send once, read the answer, look up, settle.

Where tasks and processes could race, three things decide, each in one step: the client ids that
this process accepted, the primary key of the journal, and the stamp, which only an open record
takes. A request leaves only after all three.
"""

from __future__ import annotations

import asyncio
from typing import Any

from okx_funding.errors import (
    APIError,
    ClientIdReusedError,
    DeadlineExceededError,
    InvalidArgumentError,
    JournalError,
    OKXError,
)

from . import refusals
from .accepted import ACCEPTED, Entry
from .intent import Intent
from .journal import Journal, logger
from .kinds import KINDS
from .outcome import Done, NotDone, Outcome, Unknown, never_sent, unknown
from .port import Answer, MoneyPort
from .resolver import Resolver, failed

SETTLE_TIMEOUT = 0.8
"""Seconds that writing down an outcome may hold up the call; it goes on without it."""
EXTRA_TIME = 0.8
"""Seconds beyond the deadline for one look-up, where the lost answer left no time for any."""
MAX_POSTS = 2
"""One, and one more after a refusal for the rate or the timestamp."""


class Submission:
    """One intent on its way, in a task of its own that outlives its caller."""

    def __init__(
        self,
        intent: Intent,
        entry: Entry,
        port: MoneyPort,
        resolver: Resolver,
        journal: Journal | None,
        deadline: float,
    ) -> None:
        self.intent: Intent = intent
        self.may_have_sent: bool = False
        """Whether a byte may have left, or may leave at any moment."""
        self._entry = entry
        self._port = port
        self._resolver = resolver
        self._journal = journal
        self._deadline = deadline
        self._recorded = journal is None
        self._abandoned: OKXError | None = None

    @property
    def outcome(self) -> Outcome | None:
        """As far as it is known."""
        return self._entry.outcome

    def abandon(self, error: OKXError) -> bool:
        """Send nothing any more, for this reason; False where a byte may have left."""
        if self.may_have_sent:
            return False
        self._abandoned = error
        return True

    async def run(self) -> Outcome:
        """Carry it through. Once a byte may have left it ends by itself only."""
        try:
            try:
                await self._record()
            except JournalError as error:
                return never_sent(error)
            outcome = await self._send()
        except asyncio.CancelledError:
            if not self.may_have_sent:
                why = self._abandoned or DeadlineExceededError("cancelled before it was sent")
                await self._settle(never_sent(why))
            raise
        finally:
            self._entry.in_flight = False
        await self._settle(outcome)
        return outcome

    # -- before the first byte -------------------------------------------------------------

    async def _record(self) -> None:
        if self._journal is None:
            return
        try:
            await self._journal.record(self.intent)
        except Exception as error:
            ACCEPTED.forget(self.intent)
            if isinstance(error, InvalidArgumentError):
                raise  # the client id was used before, in another process
            raise JournalError(
                f"the intent couldn't be written down ({type(error).__name__}): nothing was sent"
            ) from error
        self._recorded = True

    async def _before_send(self, signed_at: int) -> None:
        """The last step before the first byte: from here on nobody's cancelling stops it."""
        if self._abandoned is not None:
            raise self._abandoned
        self.may_have_sent = True
        before, self.intent = self.intent, self.intent.stamped(signed_at)
        self._entry.intent = self.intent
        try:
            if self._journal is not None:
                await self._journal.stamp(self.intent, signed_at)
            if asyncio.get_running_loop().time() >= self._deadline:
                raise DeadlineExceededError("the time was over before the request could leave")
        except BaseException as error:
            self.may_have_sent = False
            if isinstance(error, JournalError):
                # Somebody else closed the record: this stamp isn't in it, and nothing is to settle.
                self.intent = self._entry.intent = before
                self._recorded = False
            if isinstance(error, OKXError) or not isinstance(error, Exception):
                raise
            raise JournalError(
                f"the stamp couldn't be written down ({type(error).__name__}): nothing was sent"
            ) from error

    # -- the one request -------------------------------------------------------------------

    async def _send(self) -> Outcome:
        refusal: APIError | None = None
        for _ in range(MAX_POSTS):
            self.may_have_sent = False
            try:
                answer = await self._post()
            except asyncio.CancelledError:
                raise
            except Exception as error:
                sent = error.sent if isinstance(error, OKXError) else True
                if not (self.may_have_sent and sent):
                    self.may_have_sent = False
                    if refusal is not None:
                        return _refused(refusal)
                    if isinstance(error, OKXError):
                        return never_sent(error)
                    raise
                return await self._follow(f"no whole answer came ({type(error).__name__})")
            if answer.error is None:
                return await self._accepted(answer)
            refusal = answer.error
            reading = refusals.read(self.intent.kind, refusal.code, answer.http_status)
            if reading == "in doubt":
                return await self._follow(
                    f"OKX answered {refusal.code} (HTTP {answer.http_status})", refusal
                )
            if reading == "refused" or not await self._may_go_again(refusal):
                return _refused(refusal)
        assert refusal is not None
        return _refused(refusal)

    async def _post(self) -> Answer:
        kind = KINDS[self.intent.kind]
        left = self._deadline - asyncio.get_running_loop().time()
        if left <= 0:
            raise DeadlineExceededError("the time was over before the request could leave")
        return await self._port.post_once(
            kind.endpoint,
            self.intent.body,
            lane=kind.lane_of(self.intent),
            timeout=left,
            before_send=self._before_send,
        )

    async def _may_go_again(self, refusal: APIError) -> bool:
        if refusal.code != refusals.CLOCK:
            return True
        try:
            await self._port.learn_clock(self._left())
        except OKXError:
            return False  # with the same clock it would be refused again
        return True

    def _left(self) -> float:
        return max(self._deadline - asyncio.get_running_loop().time(), 0.001)

    # -- after it --------------------------------------------------------------------------

    async def _accepted(self, answer: Answer) -> Outcome:
        """OKX said code 0. That is an acceptance only with its id and our client id."""
        kind = KINDS[self.intent.kind]
        if len(answer.rows) != 1:
            return await self._follow(f"OKX accepted it with {len(answer.rows)} rows")
        row = answer.rows[0]
        ours = kind.handle is None or getattr(row, kind.handle, None) == self.intent.client_id
        if not getattr(row, kind.id_of, None) or not ours:
            return await self._follow("OKX accepted it without its id or our client id")
        if kind.difference(self.intent, row) is not None:
            return await self._follow("OKX accepted it with another currency or amount")
        state = kind.state_of(row)
        if state == "failed":
            return failed(self.intent, row)
        if state == "done":
            return Done(row)
        return await self._follow("OKX accepted it, but hasn't finished it", accepted=row)

    async def _follow(
        self, why: str, error: OKXError | None = None, *, accepted: Any = None
    ) -> Outcome:
        """Ask what became of it, for as long as there is time, and once in any case."""
        loop = asyncio.get_running_loop()
        deadline = max(self._deadline, loop.time() + EXTRA_TIME)
        outcome = await self._resolver.resolve(
            self.intent, deadline, patient=True, accepted=accepted
        )
        if isinstance(outcome, Unknown) and not isinstance(outcome.error, ClientIdReusedError):
            outcome = unknown(self.intent, why)
            outcome.error.__cause__ = error
        return outcome

    async def _settle(self, outcome: Outcome) -> None:
        """Write the outcome down. It is true whether or not that works."""
        self._entry.outcome = outcome
        if self._journal is None or not self._recorded or not isinstance(outcome, Done | NotDone):
            return
        try:
            async with asyncio.timeout(SETTLE_TIMEOUT):
                await self._journal.settle(self.intent, outcome)
        except Exception:
            logger.exception(
                "%s %s couldn't be settled in the journal; recover() will find it open",
                self.intent.kind,
                self.intent.client_id,
            )


def _refused(error: APIError) -> NotDone:
    error.repeat_is_safe = True
    return NotDone("refused", error)
