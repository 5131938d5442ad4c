"""What became of the intents of one client: asked for one of them, or for all after a crash."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from okx_funding.errors import ClientIdReusedError, InvalidArgumentError, JournalError, OKXError

from .accepted import ACCEPTED
from .intent import Intent
from .journal import Journal, JournalHolds, Record, find, logger, reused_client_id
from .outcome import Done, NotDone, Outcome, Unknown, never_sent, unknown
from .port import MoneyPort
from .resolver import AbsenceRules, Resolver, absence_rules

RESOLVE_TIME = 7.0
"""Seconds for one `Recovery.resolve`."""
RECOVER_TIME = 23.0
_IDENTIFY_TIME = 3.0
_FIND_TIME = 2.0


class Recovery:
    """Resolves and recovers; never sends. ``absence_proves_after``: see `absence_rules`."""

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
        return loud(await self._settle(intent, outcome, None if record is None else journal))

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
        """Close the record; a NotDone that the journal doesn't take is Unknown."""
        if isinstance(outcome, Unknown):
            return outcome
        try:
            if journal is not None:
                await journal.settle(intent, outcome)
        except Exception as error:
            if isinstance(outcome, NotDone):
                return unknown(intent, "another process is at it, or the journal can't be written")
            logger.warning("%s couldn't be settled: %r", intent.client_id, error)
        entry = ACCEPTED.get(intent)
        if entry is not None and not entry.in_flight:
            entry.outcome = outcome
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

    def _use(self, journal: Journal | None) -> Journal | None:
        if journal is not None:
            _check_journal(journal)
        else:
            journal = self._journal
        if journal is not None:
            self._holds.hold(journal)
        return journal


def loud(outcome: Outcome) -> Outcome:
    """The outcome, or the ClientIdReusedError that must not be overlooked."""
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
