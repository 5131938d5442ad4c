"""The protocol of money for one client: submit, resolve, recover, close.

A movement ends in exactly one of Done, NotDone and Unknown, and reaches the wire at most once, but
for what OKX itself refused for the rate or the timestamp.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from okx_funding.errors import (
    ClientClosedError,
    ClientIdReusedError,
    DeadlineExceededError,
    InvalidArgumentError,
    JournalError,
    OKXError,
)

from . import withdrawal_check
from .accepted import ACCEPTED
from .checks import seconds
from .intent import Intent
from .journal import Journal, JournalHolds, Record, find, logger, reused_client_id
from .outcome import Done, NotDone, Outcome, Unknown, never_sent, unknown
from .port import MoneyPort
from .resolver import AbsenceRules, Resolver, absence_rules
from .submission import Submission

TIMEOUT = 30.0
"""Seconds for a whole money call, by default."""
OVERTIME = 1.8
"""Seconds beyond its timeout after which a call ends whatever still hangs."""
RESOLVE_TIME = 7.0
RECOVER_TIME = 23.0
CLOSE_TIME = 10.0
_IDENTIFY_TIME = 3.0
_FIND_TIME = 2.0


class MoneyProtocol:
    """Moves the money of one client. ``absence_proves_after``: see `absence_rules`."""

    def __init__(
        self,
        port: MoneyPort,
        *,
        journal: Journal | None = None,
        absence_proves_after: float | AbsenceRules | None = None,
    ) -> None:
        if journal is not None:
            _check_journal(journal)
        self.port = port
        self._journal = journal
        self._resolver = Resolver(port, absence_rules(absence_proves_after))
        self._holds = JournalHolds()
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
        return _loud(outcome)

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

    # -- resolve ---------------------------------------------------------------------------

    async def resolve(
        self,
        intent: Intent,
        *,
        journal: Journal | None = None,
        absence_proves_after: float | AbsenceRules | None = None,
    ) -> Outcome:
        """Ask OKX what became of ``intent``; within 8 s, and without sending it."""
        if not isinstance(intent, Intent):
            raise InvalidArgumentError("resolve needs an Intent, such as error.intent")
        deadline = asyncio.get_running_loop().time() + RESOLVE_TIME
        rules = None if absence_proves_after is None else absence_rules(absence_proves_after)
        journal = self._use(journal)
        await self._check_own(intent)
        record = await self._record_of(intent, journal)
        entry = ACCEPTED.get(intent)
        here = entry is not None and entry.in_flight
        if record is not None:
            if record.intent.body != intent.body or record.intent.kind != intent.kind:
                raise reused_client_id(record.intent, record.outcome)
            if record.outcome is not None and not _may_change(record.outcome):
                return record.outcome
        if entry is not None and isinstance(entry.outcome, Done):
            return entry.outcome
        stamps = [intent.signed_at]
        stamps += [each.intent.signed_at for each in (record, entry) if each is not None]
        signed_at = max((stamp for stamp in stamps if stamp is not None), default=None)
        intent = intent.stamped(signed_at)
        if record is not None and record.outcome is None and signed_at is None and not here:
            return await self._close_unsent(intent, journal)
        outcome = await self._resolver.resolve(intent, deadline, rules=rules)
        outcome = await self._settle(intent, outcome, journal if record is not None else None)
        if entry is not None and not here and isinstance(outcome, Done | NotDone):
            entry.outcome = outcome
        return _loud(outcome)

    async def recover(
        self, journal: Journal | None = None
    ) -> AsyncIterator[tuple[Intent, Outcome]]:
        """Resolve every open intent of this client's account in the journal, within 25 s.

        What has no stamp is closed as NotDone("never sent"): whoever recorded it, and still
        lives, sends nothing any more. Intents that this process is at are left to it.
        """
        journal = self._use(journal)
        if journal is None:
            raise InvalidArgumentError(
                "recover needs a journal: FundingClient(journal=...) or recover(journal)"
            )
        loop = asyncio.get_running_loop()
        deadline = loop.time() + RECOVER_TIME
        tasks = [
            loop.create_task(self._recover(intent, journal, deadline))
            for intent in await self._mine(await journal.open_intents())
        ]
        try:
            for each in asyncio.as_completed(tasks):
                yield await each
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _recover(
        self, intent: Intent, journal: Journal, deadline: float
    ) -> tuple[Intent, Outcome]:
        if intent.signed_at is None:
            return intent, await self._close_unsent(intent, journal)
        outcome = await self._resolver.resolve(intent, deadline)
        return intent, await self._settle(intent, outcome, journal)

    async def _mine(self, intents: list[Intent]) -> list[Intent]:
        """Those of this client's account that this process isn't at."""
        owner = self.port.owner
        here = [each for each in intents if (each.host, each.demo) == (owner.host, owner.demo)]
        if any(each.account not in self.port.names for each in here):
            with contextlib.suppress(OKXError):
                await self.port.learn_names(_IDENTIFY_TIME)
        mine = []
        for each in here:
            entry = ACCEPTED.get(each)
            if each.account in self.port.names and (entry is None or not entry.in_flight):
                mine.append(each)
        return mine

    async def _close_unsent(self, intent: Intent, journal: Journal | None) -> Outcome:
        """Close a record without a stamp, unless somebody stamps it first."""
        error = JournalError("the process that wrote it down ended before it sent anything")
        return await self._settle(intent, never_sent(error), journal)

    async def _settle(self, intent: Intent, outcome: Outcome, journal: Journal | None) -> Outcome:
        if journal is None or isinstance(outcome, Unknown):
            return outcome
        try:
            await journal.settle(intent, outcome)
        except Exception as error:
            if isinstance(outcome, NotDone):
                return unknown(intent, "another process is at it, or the journal can't be written")
            logger.warning("%s couldn't be settled: %r", intent.client_id, error)
        return outcome

    async def _record_of(self, intent: Intent, journal: Journal | None) -> Record | None:
        try:
            async with asyncio.timeout(_FIND_TIME):
                return await find(journal, intent.client_id)
        except Exception as error:
            logger.warning("the journal couldn't be read for %s: %r", intent.client_id, error)
            return None

    async def _check_own(self, intent: Intent) -> None:
        """Raises InvalidArgumentError where ``intent`` is of another account or host."""
        owner = self.port.owner
        if (intent.host, intent.demo) == (owner.host, owner.demo):
            if intent.account in self.port.names:
                return
            with contextlib.suppress(OKXError):
                await self.port.learn_names(_IDENTIFY_TIME)
            if intent.account in self.port.names:
                return
        mode = "demo" if intent.demo else "live"
        raise InvalidArgumentError(
            f"the {intent.kind} {intent.client_id} belongs to account {intent.account} ({mode}) at "
            f"{intent.host}, not to this client: nothing was sent"
        )

    # -- journals and the end --------------------------------------------------------------

    def _use(self, journal: Journal | None) -> Journal | None:
        if journal is not None:
            _check_journal(journal)
        else:
            journal = self._journal
        if journal is not None:
            self._holds.hold(journal)
        return journal

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


def _loud(outcome: Outcome) -> Outcome:
    if isinstance(outcome, Unknown) and isinstance(outcome.error, ClientIdReusedError):
        raise outcome.error
    return outcome


def _may_change(outcome: Outcome) -> bool:
    """Whether OKX might tell otherwise later: absence is the only end that isn't told by OKX."""
    return isinstance(outcome, NotDone) and outcome.reason == "absent"


def _check_journal(journal: object) -> None:
    if not isinstance(journal, Journal):
        raise InvalidArgumentError(
            "journal must have record, stamp, settle and open_intents, as SQLiteJournal has, not "
            f"{type(journal).__name__}"
        )
