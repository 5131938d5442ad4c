"""Money that moves exactly once: intents, outcomes, journals, and the protocol between them.

A call that moves money ends in exactly one of Done (with OKX's id), NotDone (surely, with the
reason) or Unknown (with a handle that can be resolved later, in another process too). It reaches
the wire at most once, but for refusals that OKX itself gave for the rate limit or the timestamp.
"""

from __future__ import annotations

from .client import Money, MoneyOptions
from .intent import Account, Intent, client_id_for
from .journal import Journal, Record
from .outcome import Done, NotDone, Outcome, Unknown
from .port import Answer, BeforeSend, MoneyPort
from .postgres import PostgresJournal
from .protocol import MoneyProtocol
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
