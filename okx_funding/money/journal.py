"""Where movements of money are written down before they are sent, so that a crash loses none."""

from __future__ import annotations

import logging
from typing import Protocol, runtime_checkable

from okx_funding.errors import InvalidArgumentError

from .intent import Intent
from .outcome import Done, NotDone, Outcome, unknown

logger: logging.Logger = logging.getLogger("okx_funding.money")


@runtime_checkable
class Journal(Protocol):
    """A durable list of intents. Any object with these four methods will do.

    Each method returns only when what it says is durable, and raises what it likes where it
    can't: then nothing is sent. A journal may also have ``find(client_id)``, which gives the
    `Record` of an id or None, and ``aclose()``, which the last client that holds the journal
    calls; after that it may be used again.
    """

    async def record(self, intent: Intent) -> None:
        """Write down ``intent``, which is open from now on.

        A client id is accepted once for ever: where it is known already, in whatever process,
        raise `reused_client_id` with the first intent and its outcome.
        """

    async def stamp(self, intent: Intent, signed_at: int) -> None:
        """Write down that a request signed at ``signed_at`` (Unix ms) may leave now.

        Raises `okx_funding.errors.JournalError` where the record isn't open any more.
        """

    async def settle(self, intent: Intent, outcome: Outcome) -> None:
        """Close the record of ``intent``; an Unknown leaves it open.

        Done closes it whatever was known. NotDone closes it only while it is open and its stamp
        is ``intent.signed_at``, in one step, else it raises JournalError: somebody else sent it,
        or closed it, in the meantime.
        """

    async def open_intents(self) -> list[Intent]:
        """All intents that are open, oldest first, each with its ``signed_at``."""


class Record:
    """What a journal, or this process, knows of a client id."""

    __slots__ = ("intent", "outcome")

    def __init__(self, intent: Intent, outcome: Done[object] | NotDone | None = None) -> None:
        self.intent: Intent = intent
        """With its stamp, if there is one."""
        self.outcome: Done[object] | NotDone | None = outcome
        """None as long as it is open."""

    def __repr__(self) -> str:
        return f"Record({self.intent!r}, {self.outcome!r})"


def reused_client_id(first: Intent, outcome: Outcome | None) -> InvalidArgumentError:
    """The error for a client id that was used before."""
    known = "see its .outcome"
    if outcome is None:
        known = "its outcome isn't known yet"
        outcome = unknown(first, known)
    error = InvalidArgumentError(
        f"client_id {first.client_id} was used before, for the {first.kind} in .intent ({known}): "
        "nothing was sent. Another movement needs another client_id"
    )
    error.intent = first
    error.outcome = outcome
    error.repeat_is_safe = False
    return error


async def find(journal: Journal | None, client_id: str) -> Record | None:
    """What the journal knows of a client id; a journal without ``find`` knows the open ones."""
    if journal is None:
        return None
    method = getattr(journal, "find", None)
    if method is not None:
        record: Record | None = await method(client_id)
        return record
    for intent in await journal.open_intents():
        if intent.client_id == client_id:
            return Record(intent)
    return None


class JournalHolds:
    """The journals that one client uses; the last client of a journal closes it."""

    _clients: dict[int, int] = {}  # noqa: RUF012 - one count for all clients of the process

    def __init__(self) -> None:
        self._held: dict[int, Journal] = {}

    def hold(self, journal: Journal) -> None:
        """This client uses the journal, until `release`."""
        if id(journal) not in self._held:
            self._held[id(journal)] = journal
            self._clients[id(journal)] = self._clients.get(id(journal), 0) + 1

    async def release(self) -> None:
        """This client is done with its journals: an error while closing is logged."""
        held, self._held = self._held, {}
        for key, journal in held.items():
            self._clients[key] -= 1
            if self._clients[key]:
                continue
            del self._clients[key]
            close = getattr(journal, "aclose", None)
            if close is None:
                continue
            try:
                await close()
            except Exception:
                logger.exception("closing %s failed", type(journal).__name__)
