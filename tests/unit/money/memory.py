"""A journal in memory that outlives clients, with a hook before each of its steps."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from okx_funding.errors import JournalError
from okx_funding.money import Done, Intent, NotDone, Outcome, Record
from okx_funding.money.journal import reused_client_id


class MemoryJournal:
    """The rules of `Journal` once more, in plain Python."""

    def __init__(self) -> None:
        self.records: dict[str, Record] = {}
        self.before: Callable[[str], Awaitable[None]] | None = None
        self.steps: list[str] = []
        self.closed = 0

    async def _step(self, name: str) -> None:
        self.steps.append(name)
        if self.before is not None:
            await self.before(name)

    async def record(self, intent: Intent) -> None:
        await self._step("record")
        first = self.records.get(intent.client_id)
        if first is not None:
            raise reused_client_id(first.intent, first.outcome)
        self.records[intent.client_id] = Record(intent)

    async def stamp(self, intent: Intent, signed_at: int) -> None:
        await self._step("stamp")
        record = self.records[intent.client_id]
        if record.outcome is not None:
            raise JournalError("closed")
        record.intent = record.intent.stamped(signed_at)

    async def settle(self, intent: Intent, outcome: Outcome) -> None:
        await self._step("settle")
        record = self.records[intent.client_id]
        if isinstance(outcome, Done):
            record.outcome = outcome
        elif isinstance(outcome, NotDone):
            if record.outcome is not None or record.intent.signed_at != intent.signed_at:
                raise JournalError("stamped or closed")
            record.outcome = outcome

    async def open_intents(self) -> list[Intent]:
        return [each.intent for each in self.records.values() if each.outcome is None]

    async def aclose(self) -> None:
        self.closed += 1

    def outcome_of(self, intent: Intent) -> Any:
        return self.records[intent.client_id].outcome
