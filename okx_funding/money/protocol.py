"""The protocol of money for one client: submit, resolve, recover, close.

A movement ends in exactly one of Done, NotDone and Unknown, and reaches the wire at most once, but
for what OKX itself refused for the rate or the timestamp.
"""

from __future__ import annotations

import asyncio

from okx_funding.errors import (
    ClientClosedError,
    DeadlineExceededError,
    InvalidArgumentError,
    JournalError,
    OKXError,
)

from . import withdrawal_check
from .accepted import ACCEPTED
from .checks import seconds
from .intent import Intent
from .journal import Journal, find, logger, reused_client_id
from .outcome import Outcome, never_sent, unknown
from .port import MoneyPort
from .recovery import Recovery, loud
from .resolver import AbsenceRules
from .submission import Submission

TIMEOUT = 30.0
"""Seconds for a whole money call, by default."""
OVERTIME = 1.8
"""Seconds beyond its timeout after which a call ends whatever still hangs."""
CLOSE_TIME = 10.0


class MoneyProtocol(Recovery):
    """Moves the money of one client. ``absence_proves_after``: see `absence_rules`."""

    def __init__(
        self,
        port: MoneyPort,
        *,
        journal: Journal | None = None,
        absence_proves_after: float | AbsenceRules | None = None,
    ) -> None:
        super().__init__(port, journal=journal, absence_proves_after=absence_proves_after)
        self._running: dict[asyncio.Task[Outcome], Submission] = {}
        self._closed = False

    # -- submit ----------------------------------------------------------------------------

    async def submit(
        self,
        intent: Intent,
        *,
        check: bool = True,
        timeout: float = TIMEOUT,
        journal: Journal | None = None,
    ) -> Outcome:
        """Move the money of ``intent``, once.

        Raises InvalidArgumentError where the client id was used before (nothing was sent) or a
        withdrawal breaks a rule of OKX's tables, ClientIdReusedError where OKX shows another
        movement under the client id.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds("timeout", timeout)
        self._check_may_send(intent)
        journal = self._use(journal)
        ACCEPTED.check(intent)
        try:
            async with asyncio.timeout_at(deadline):
                await self._check_own(intent)
                await self._check_new(intent, journal)
                if check and intent.kind == "withdrawal":
                    await withdrawal_check.check(self.port, intent, timeout)
        except InvalidArgumentError:
            raise
        except (OKXError, TimeoutError) as error:
            if not isinstance(error, OKXError):
                error = DeadlineExceededError("the time was over before it was sent")
            error.repeat_is_safe = True  # at most a read went out; nothing moved
            return never_sent(error)
        self._check_may_send(intent)  # the client may have been closed meanwhile
        entry = ACCEPTED.accept(intent)  # nothing is awaited between this and the task
        submission = Submission(intent, entry, self.port, self._resolver, journal, deadline)
        task = loop.create_task(submission.run(), name=f"okx_funding {intent.kind}")
        self._running[task] = submission
        task.add_done_callback(self._forget)
        outcome = await self._wait(task, submission, deadline + OVERTIME)
        return loud(outcome)

    async def _check_new(self, intent: Intent, journal: Journal | None) -> None:
        """Raises where the journal knows the client id: before anything is asked of OKX."""
        if not hasattr(journal, "find"):
            return  # its record() will tell
        try:
            record = await find(journal, intent.client_id)
        except Exception as error:
            raise JournalError(
                f"the journal couldn't be read ({type(error).__name__}): nothing was sent"
            ) from error
        if record is not None:
            raise reused_client_id(record.intent, record.outcome)

    async def _wait(
        self, task: asyncio.Task[Outcome], submission: Submission, end: float
    ) -> Outcome:
        """Wait for a submission, which goes on without its caller once a byte may have left."""
        loop = asyncio.get_running_loop()
        try:
            await asyncio.wait({task}, timeout=max(end - loop.time(), 0))
        except asyncio.CancelledError as cancelled:
            if submission.abandon(DeadlineExceededError("cancelled before it was sent")):
                if submission.outcome is None:  # else it is being written down
                    task.cancel()
            else:
                cancelled.__cause__ = unknown(
                    submission.intent, "its caller was cancelled after it may have been sent"
                ).error
            raise
        if task.done() and not task.cancelled():
            return task.result()
        late = DeadlineExceededError("the time was over before it was sent")
        if task.done() and submission.may_have_sent:
            return unknown(submission.intent, "the event loop was shut down around it")
        if task.done():
            return submission.outcome or never_sent(late)
        if submission.abandon(late):
            task.cancel()
            return never_sent(late)
        return unknown(submission.intent, "the time was over before OKX's answer was read")

    def _forget(self, task: asyncio.Task[Outcome]) -> None:
        self._running.pop(task, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.debug("a submission ended with %r", error)

    def _check_may_send(self, intent: Intent) -> None:
        if not isinstance(intent, Intent):
            raise InvalidArgumentError("submit needs an Intent, as client.prepare_... makes it")
        if self.port.read_only:
            raise InvalidArgumentError("this client was made with read_only=True: nothing was sent")
        if self._closed:
            raise ClientClosedError("the client is closed: nothing was sent")

    # -- the end ---------------------------------------------------------------------------

    async def aclose(self, timeout: float = CLOSE_TIME) -> list[Intent]:
        """Send nothing any more, wait for what may have been sent, close the journals.

        Gives the intents that are still open after ``timeout`` seconds; they are logged, too.
        """
        self._closed = True
        for task, submission in list(self._running.items()):
            if submission.abandon(ClientClosedError("the client was closed before it was sent")):
                task.cancel()
        still_open: list[Intent] = []
        if self._running:
            await asyncio.wait(list(self._running), timeout=timeout)
            late = {task: each for task, each in self._running.items() if not task.done()}
            for task, submission in late.items():
                still_open.append(submission.intent)
                logger.warning(
                    "closed while the %s %s may be under way: resolve it later",
                    submission.intent.kind,
                    submission.intent.client_id,
                )
                task.cancel()
            if late:
                await asyncio.wait(list(late), timeout=1.0)
        await self._holds.release()
        return still_open
