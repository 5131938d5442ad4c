"""What the journals in SQL databases have in common: one thread, one connection, five statements.

Every statement decides by itself whether it applies, so that tasks, threads and processes may
share the database: an INSERT that a primary key refuses, an UPDATE whose WHERE doesn't hold.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar, TypeVar

from okx_funding.errors import JournalError

from .intent import Intent
from .journal import Record, reused_client_id
from .outcome import Done, NotDone, Outcome
from .stored import outcome_from_json, outcome_to_json

T = TypeVar("T")

SCHEMA = """
CREATE TABLE IF NOT EXISTS okx_funding_intents (
    client_id TEXT PRIMARY KEY,
    number {serial},
    kind TEXT NOT NULL,
    account TEXT NOT NULL,
    host TEXT NOT NULL,
    intent TEXT NOT NULL,
    signed_at BIGINT,
    outcome TEXT
)
"""
OPEN_INDEX = """
CREATE INDEX IF NOT EXISTS okx_funding_open_intents
    ON okx_funding_intents (number) WHERE outcome IS NULL
"""
_RECORD = """
INSERT INTO okx_funding_intents (client_id, kind, account, host, intent, number)
VALUES (?, ?, ?, ?, ?, {next_number}) ON CONFLICT (client_id) DO NOTHING
"""
_STAMP = """
UPDATE okx_funding_intents SET signed_at = ?
WHERE client_id = ? AND outcome IS NULL AND (signed_at IS NULL OR signed_at < ?)
"""
_CLOSE_DONE = "UPDATE okx_funding_intents SET outcome = ? WHERE client_id = ?"
_CLOSE_NOT_DONE = """
UPDATE okx_funding_intents SET outcome = ?
WHERE client_id = ? AND outcome IS NULL AND {same_stamp}
"""
_OPEN = """
SELECT intent, signed_at FROM okx_funding_intents WHERE outcome IS NULL ORDER BY number
"""
_FIND = "SELECT intent, signed_at, outcome FROM okx_funding_intents WHERE client_id = ?"


class SQLJournal:
    """A journal whose statements run in one thread of its own; see `Journal`."""

    placeholder: ClassVar[str]
    next_number: ClassVar[str]
    same_stamp: ClassVar[str]

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._thread: ThreadPoolExecutor | None = None
        self._pid = os.getpid()
        self._connection: Any = None

    def _connect(self) -> Any:
        """A connection that commits each statement by itself; the table exists."""
        raise NotImplementedError

    # -- the journal -----------------------------------------------------------------------

    async def record(self, intent: Intent) -> None:
        """Write down ``intent``; InvalidArgumentError where its client id was used before."""
        values = (intent.client_id, intent.kind, intent.account, intent.host, intent.to_json())

        def statement() -> Record | None:
            if self._run(_RECORD, values):
                return None
            return self._find(intent.client_id)

        first = await self._in_thread(statement)
        if first is not None:
            raise reused_client_id(first.intent, first.outcome)

    async def stamp(self, intent: Intent, signed_at: int) -> None:
        """Write down when the request was signed; JournalError where the record isn't open."""
        values = (signed_at, intent.client_id, signed_at)
        if not await self._in_thread(lambda: self._run(_STAMP, values)):
            raise JournalError(
                f"the record of {intent.client_id} isn't open any more, or was stamped later: "
                "nothing was sent"
            )

    async def settle(self, intent: Intent, outcome: Outcome) -> None:
        """Close the record; JournalError where a NotDone comes too late."""
        if isinstance(outcome, Done):
            values: tuple[Any, ...] = (outcome_to_json(outcome), intent.client_id)
            await self._in_thread(lambda: self._run(_CLOSE_DONE, values))
        elif isinstance(outcome, NotDone):
            values = (outcome_to_json(outcome), intent.client_id, intent.signed_at)
            if not await self._in_thread(lambda: self._run(_CLOSE_NOT_DONE, values)):
                raise JournalError(
                    f"the record of {intent.client_id} was stamped or closed in the meantime"
                )

    async def open_intents(self) -> list[Intent]:
        """All open intents, oldest first."""
        rows = await self._in_thread(lambda: self._rows(_OPEN, ()))
        return [Intent.from_json(text).stamped(signed_at) for text, signed_at in rows]

    async def find(self, client_id: str) -> Record | None:
        """What is known of a client id, or None."""
        return await self._in_thread(lambda: self._find(client_id))

    async def aclose(self) -> None:
        """Close the connection and end the thread; the next use opens them again."""
        with self._lock:
            thread, self._thread = self._thread, None
        if thread is None:
            return
        try:
            await asyncio.get_running_loop().run_in_executor(thread, self._disconnect)
        finally:
            thread.shutdown(wait=False)

    # -- in the thread ---------------------------------------------------------------------

    def _find(self, client_id: str) -> Record | None:
        for text, signed_at, outcome in self._rows(_FIND, (client_id,)):
            intent = Intent.from_json(text).stamped(signed_at)
            return Record(intent, None if outcome is None else outcome_from_json(intent, outcome))
        return None

    def _run(self, statement: str, values: Sequence[Any]) -> int:
        """How many rows it changed."""
        changed: int = self._execute(statement, values).rowcount
        return changed

    def _rows(self, statement: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        rows: list[tuple[Any, ...]] = self._execute(statement, values).fetchall()
        return rows

    def _execute(self, statement: str, values: Sequence[Any]) -> Any:
        statement = statement.format(next_number=self.next_number, same_stamp=self.same_stamp)
        if self._connection is None:
            self._connection = self._connect()
        try:
            return self._connection.execute(statement.replace("?", self.placeholder), values)
        except BaseException:
            self._disconnect()  # a connection that broke is opened again at the next use
            raise

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    async def _in_thread(self, work: Callable[[], T]) -> T:
        with self._lock:
            if self._pid != os.getpid():  # a child must not touch its parent's connection
                self._pid, self._thread, self._connection = os.getpid(), None, None
            if self._thread is None:
                name = f"okx_funding-{type(self).__name__}"
                self._thread = ThreadPoolExecutor(1, thread_name_prefix=name)
            future = self._thread.submit(work)
        return await asyncio.wrap_future(future)
