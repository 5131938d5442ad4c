"""The journal in PostgreSQL, for services on several machines.

It needs the extra ``postgres``: ``pip install 'okx-funding[postgres]'``.
"""

from __future__ import annotations

from typing import Any

from .sql_journal import OPEN_INDEX, SCHEMA, SQLJournal

_SCHEMA_LOCK = 0x6F6B785F66756E64
"""The number of the advisory lock under which the table is made."""


class PostgresJournal(SQLJournal):
    """A journal in the PostgreSQL database that ``conninfo`` names; see psycopg's conninfo.

    The table ``okx_funding_intents`` is made at the first use. What it returns from is committed
    with ``synchronous_commit=on``. A connection that breaks is opened again at the next use.
    """

    placeholder = "%s"
    next_number = "DEFAULT"
    same_stamp = "signed_at IS NOT DISTINCT FROM ?::bigint"

    def __init__(self, conninfo: str) -> None:
        super().__init__()
        self._conninfo = conninfo  # may hold a password: never shown

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    def __reduce__(self) -> Any:
        raise TypeError("a PostgresJournal holds a password and can't be pickled")

    def _connect(self) -> Any:
        try:
            import psycopg
        except ImportError:
            raise ImportError(
                "PostgresJournal needs psycopg: pip install 'okx-funding[postgres]'"
            ) from None
        connection = psycopg.connect(self._conninfo, autocommit=True, connect_timeout=10)
        try:
            connection.execute("SET synchronous_commit = on")
            connection.execute("SET client_min_messages = warning")
            with connection.transaction():
                connection.execute("SELECT pg_advisory_xact_lock(%s)", (_SCHEMA_LOCK,))
                connection.execute(SCHEMA.format(serial="BIGSERIAL").encode())
                connection.execute(OPEN_INDEX.encode())
        except BaseException:
            connection.close()
            raise
        return connection
