"""The client ids that this process accepted: each once, whatever becomes of it."""

from __future__ import annotations

import copy
from dataclasses import replace

from .intent import Intent
from .journal import reused_client_id
from .outcome import Done, Outcome


class Entry:
    """One accepted client id."""

    __slots__ = ("_outcome", "in_flight", "intent")

    def __init__(self, intent: Intent) -> None:
        self.intent: Intent = intent
        """With its stamp, once there is one."""
        self._outcome: Outcome | None = None
        self.in_flight: bool = True
        """Whether a task of this process is at it."""

    @property
    def outcome(self) -> Outcome | None:
        """What became of it, as far as it is known."""
        return self._outcome

    @outcome.setter
    def outcome(self, outcome: Outcome | None) -> None:
        # Entries stay for ever: an error in them must not keep the frames that it went through.
        if outcome is not None and not isinstance(outcome, Done):
            outcome = replace(outcome, error=copy.copy(outcome.error))
        self._outcome = outcome


class AcceptedIds:
    """Decides synchronously, so that two tasks can't both go on with one client id."""

    def __init__(self) -> None:
        self._entries: dict[tuple[str, bool, str], Entry] = {}

    def get(self, intent: Intent) -> Entry | None:
        """What is known of its client id."""
        return self._entries.get(_key(intent))

    def check(self, intent: Intent) -> None:
        """Raises InvalidArgumentError where its client id was accepted before."""
        entry = self.get(intent)
        if entry is not None:
            raise reused_client_id(entry.intent, entry.outcome)

    def accept(self, intent: Intent) -> Entry:
        """Accept its client id, or raise as `check` does."""
        self.check(intent)
        entry = self._entries[_key(intent)] = Entry(intent)
        return entry

    def forget(self, intent: Intent) -> None:
        """Its record couldn't be written, so it wasn't accepted at all."""
        self._entries.pop(_key(intent), None)


def _key(intent: Intent) -> tuple[str, bool, str]:
    return intent.host, intent.demo, intent.client_id


ACCEPTED = AcceptedIds()
