"""Money that moves exactly once: intents, outcomes, journals, and the protocol between them.

A call that moves money ends in exactly one of Done (with OKX's id), NotDone (surely, with the
reason) or Unknown (with a handle that can be resolved later, in another process too). It reaches
the wire at most once, but for refusals that OKX itself gave for the rate limit or the timestamp.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from .client import Money, MoneyOptions
from .intent import Account, Intent, client_id_for
from .journal import Journal, Record
from .outcome import Done, NotDone, Outcome, Unknown
from .port import Answer, BeforeSend, MoneyPort
from .protocol import MoneyProtocol

if TYPE_CHECKING:
    from .postgres import PostgresJournal
    from .sqlite import SQLiteJournal

__all__ = [
    "Account",
    "Answer",
    "BeforeSend",
    "Done",
    "Intent",
    "Journal",
    "Money",
    "MoneyOptions",
    "MoneyPort",
    "MoneyProtocol",
    "NotDone",
    "Outcome",
    "PostgresJournal",
    "Record",
    "SQLiteJournal",
    "Unknown",
    "client_id_for",
]

_JOURNALS = {"PostgresJournal": ".postgres", "SQLiteJournal": ".sqlite"}


def __getattr__(name: str) -> Any:
    """Import a journal when it is first asked for: threads and sqlite3 come with it."""
    if name not in _JOURNALS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_JOURNALS[name], __name__), name)
