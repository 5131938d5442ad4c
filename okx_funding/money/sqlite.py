"""The journal in a file: the standard library's sqlite3, off the event loop."""

from __future__ import annotations

import os
import sqlite3
import time
from pathlib import Path
from typing import Any

from .sql_journal import OPEN_INDEX, SCHEMA, SQLJournal

_PATIENCE = 10.0
"""Seconds to wait for another process that writes at the moment."""


class SQLiteJournal(SQLJournal):
    """A journal in the file ``path``, which is made at the first use.

    Several tasks, threads and processes of one machine may share the file. What it returns from
    is on the disk (write-ahead log, ``synchronous=FULL``). It can be inspected with any SQLite
    tool: table ``okx_funding_intents``. The file must not be on a network share.
    """

    placeholder = "?"
    next_number = "(SELECT COALESCE(MAX(number), 0) + 1 FROM okx_funding_intents)"
    same_stamp = "signed_at IS ?"

    def __init__(self, path: str | os.PathLike[str]) -> None:
        super().__init__()
        self.path: Path = Path(path)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.path)!r})"

    def _connect(self) -> sqlite3.Connection:
        if not self.path.exists():  # amounts and addresses are nobody else's business
            os.close(os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600))
        connection = sqlite3.connect(
            self.path, timeout=_PATIENCE, isolation_level=None, check_same_thread=False
        )
        try:
            _persistently(connection, "PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            _persistently(connection, SCHEMA.format(serial="INTEGER NOT NULL"))
            _persistently(connection, OPEN_INDEX)
        except BaseException:
            connection.close()
            raise
        return connection


def _persistently(connection: sqlite3.Connection, statement: str) -> Any:
    """Execute what several processes may begin with at once: SQLite doesn't wait there itself."""
    end = time.monotonic() + _PATIENCE
    while True:
        try:
            return connection.execute(statement).fetchall()
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > end:
                raise
            time.sleep(0.01)
