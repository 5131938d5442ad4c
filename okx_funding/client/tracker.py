"""Which states of deposits and withdrawals were told, and what is new: pure rules, no clock.

Rows come from two sources, pushes and reads of the history, late, twice and in any order.
`Tracker.accept` says of each whether it is an event:

* A state of a record is told once. Without ``details`` a change of confirmations or of the
  transaction id alone is no event.
* Within one record, by OKX's own times: a row older than the last one told is dropped. A pushed
  row counts as of its ``pTime``, a read one as of the moment of its request.
* Nothing follows a final state.

A `Bookmark` is what a later process needs to go on: the last moment, the records that are still
open, and what was told of the records of the last minutes.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol

from okx_funding.errors import InvalidArgumentError

OVERLAP = 120_000
"""Milliseconds that a read goes back beyond the last moment: OKX's histories lag a little."""
REMEMBERED = 10_000
"""Records whose final state is remembered, so that a late copy of a push isn't told again."""
FORMAT = 1


class Record(Protocol):
    """A deposit or a withdrawal, as far as its order and state go."""

    @property
    def state(self) -> str:
        """OKX's state."""

    @property
    def ts(self) -> int:
        """When it was made, in milliseconds; it never changes."""

    @property
    def tx_id(self) -> str:
        """The transaction id; empty until there is one."""


@dataclass(slots=True)
class Told:
    """What was told of one record."""

    ts: int
    """When the record was made, in milliseconds."""
    at: int = 0
    """As of when the last state told is true, by OKX's clock in milliseconds."""
    states: list[str] = field(default_factory=list)
    """Every state told, the last one last."""
    detail: str = ""
    """Transaction key and confirmations of the last row told."""


@dataclass(frozen=True, slots=True)
class Bookmark:
    """Where a watch stands, as text both ways."""

    channel: str
    last: int
    """The latest moment at which a record that was told was made, in milliseconds."""
    open: dict[str, tuple[int, list[str]]]
    """The records that aren't final yet: when each was made, and its states told."""
    recent: dict[str, str]
    """The final state of the records made within ``OVERLAP`` before ``last``."""

    def __str__(self) -> str:
        return json.dumps(
            {
                "v": FORMAT,
                "channel": self.channel,
                "last": self.last,
                "open": self.open,
                "recent": self.recent,
            },
            separators=(",", ":"),
        )

    @classmethod
    def parse(cls, text: str, channel: str) -> Bookmark:
        """Read a bookmark; InvalidArgumentError where it is none, or one of another channel."""
        try:
            given = json.loads(text)
            version, whose = given["v"], given["channel"]
            if version == FORMAT and whose == channel:
                opened = {
                    str(key): (int(ts), [str(state) for state in states])
                    for key, (ts, states) in given["open"].items()
                }
                recent = {str(key): str(state) for key, state in given["recent"].items()}
                return cls(channel, int(given["last"]), opened, recent)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            raise InvalidArgumentError(
                "since isn't a bookmark: give the text of an event's .bookmark"
            ) from None
        if version != FORMAT:
            raise InvalidArgumentError(f"the bookmark has format {version!r}, not {FORMAT}")
        raise InvalidArgumentError(f"the bookmark belongs to {whose!r}, not to {channel!r}")


class Tracker:
    """What one watch has told."""

    def __init__(
        self,
        channel: str,
        final: Iterable[str],
        *,
        details: bool = False,
        since: int = 0,
        bookmark: Bookmark | None = None,
    ) -> None:
        self._channel = channel
        self._final = frozenset(final)
        self._details = details
        self._open: dict[str, Told] = {}
        self._over: OrderedDict[str, Told] = OrderedDict()
        self.since: int = since
        """Records made before it are told only when they are open, in milliseconds."""
        self.last: int = since
        """The latest moment at which a record that is known was made."""
        if bookmark is not None:
            self.last = bookmark.last
            self.since = bookmark.last - OVERLAP
            for key, (ts, states) in bookmark.open.items():
                self._open[key] = Told(ts, 0, list(states))
            for key, state in bookmark.recent.items():
                self._over[key] = Told(bookmark.last, 0, [state])

    @property
    def horizon(self) -> int:
        """How far a read must go back, in milliseconds; open records before it are asked by id."""
        return max(0, self.last - OVERLAP)

    def open_before(self, moment: int) -> list[str]:
        """The ids of open records that were made before ``moment``, the oldest first."""
        old = sorted((told.ts, key) for key, told in self._open.items() if told.ts < moment)
        return [key for _, key in old]

    def __len__(self) -> int:
        return len(self._open)

    def know(self, key: str, row: Record, detail: str = "") -> None:
        """Take a record as told: it was there before the watch began."""
        self._note(key, row, 0, detail)

    def accept(self, key: str, row: Record, at: int, *, pushed: bool, detail: str = "") -> bool:
        """Say whether ``row``, true as of ``at``, is an event; if so, it is told from now on."""
        if key in self._over:
            self._over.move_to_end(key)
            return False
        told = self._open.get(key)
        if told is None:
            if not pushed and row.ts < self.since:
                return False  # an older record that was final before, or isn't ours to tell
        elif row.state in told.states:
            changed = self._details and row.state == told.states[-1] and detail != told.detail
            if not changed or at < told.at:
                return False
        elif at < told.at and row.state not in self._final:
            return False
        self._note(key, row, at, detail)
        return True

    def _note(self, key: str, row: Record, at: int, detail: str) -> None:
        self.last = max(self.last, row.ts)
        told = self._open.get(key)
        if told is None:
            told = self._open[key] = Told(row.ts)
        if row.state not in told.states:
            told.states.append(row.state)
        told.at, told.detail = max(told.at, at), detail
        if row.state in self._final:
            self._over[key] = self._open.pop(key)
            while len(self._over) > REMEMBERED:
                self._over.popitem(last=False)

    def bookmark(self) -> Bookmark:
        """Where the watch stands now."""
        recent = {
            key: told.states[-1]
            for key, told in self._over.items()
            if told.ts >= self.last - OVERLAP
        }
        opened = {key: (told.ts, list(told.states)) for key, told in self._open.items()}
        return Bookmark(self._channel, self.last, opened, recent)
