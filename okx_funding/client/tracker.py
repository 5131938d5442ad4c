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
FOREIGN_KEPT = 7 * 24 * 3600 * 1000
"""Milliseconds for which a sub-account's open record is remembered after the last word of it."""
OPEN_KEPT = 180 * 24 * 3600 * 1000
"""The same for a record of our own: by then no history has it."""
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
    """Transaction id and confirmations of the last row told; kept with ``details`` only."""
    foreign: bool = False
    """Whether it is a sub-account's, pushed to its master: no read gives it to us."""


@dataclass(frozen=True, slots=True)
class Bookmark:
    """Where a watch stands, as text both ways."""

    channel: str
    since: int
    """Records made before it are told only when they are open, in milliseconds."""
    last: int
    """The latest moment at which a record that was told was made, in milliseconds."""
    open: dict[str, Told]
    """The records that aren't final yet."""
    recent: dict[str, str]
    """The final state of the records that were made, or ended, within ``OVERLAP`` of the last."""

    def __str__(self) -> str:
        opened = {
            key: [told.ts, told.states, told.detail, int(told.foreign)]
            for key, told in self.open.items()
        }
        return json.dumps(
            {
                "v": FORMAT,
                "channel": self.channel,
                "since": self.since,
                "last": self.last,
                "open": opened,
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
                    str(key): Told(int(ts), 0, list(map(str, states)), str(detail), bool(foreign))
                    for key, (ts, states, detail, foreign) in given["open"].items()
                }
                recent = {str(key): str(state) for key, state in given["recent"].items()}
                return cls(channel, int(given["since"]), int(given["last"]), opened, recent)
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
        self._latest = 0
        """The latest moment as of which anything was told."""
        if bookmark is not None:
            self.last = bookmark.last
            self.since = max(bookmark.since, bookmark.last - OVERLAP)
            self._open.update(bookmark.open)
            for key, state in bookmark.recent.items():
                self._over[key] = Told(bookmark.last, 0, [state])

    @property
    def horizon(self) -> int:
        """How far a read must go back, in milliseconds; open records before it are asked by id."""
        return max(0, self.last - OVERLAP)

    def open_before(self, moment: int) -> dict[str, int]:
        """Our own open records that were made before ``moment``: their ids, and when that was."""
        return {
            key: told.ts
            for key, told in self._open.items()
            if told.ts < moment and not told.foreign
        }

    def __len__(self) -> int:
        return len(self._open)

    def know(self, key: str, row: Record, detail: str = "") -> None:
        """Take the state of an open record as told: it was there before the watch began."""
        if row.state not in self._final and key not in self._open:
            self._open[key] = Told(row.ts, 0, [row.state], detail if self._details else "")

    def forget(self, now: int) -> None:
        """Let go of open records of which nothing can be known any more.

        A sub-account's whose end fell into a gap would stay for ever; so would one of our own
        that OKX's history has dropped.
        """
        for key, told in list(self._open.items()):
            kept = FOREIGN_KEPT if told.foreign else OPEN_KEPT
            if max(told.ts, told.at) < now - kept:
                del self._open[key]

    def accept(
        self,
        key: str,
        row: Record,
        at: int,
        *,
        pushed: bool,
        detail: str = "",
        foreign: bool = False,
    ) -> bool:
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
        self._note(key, row, at, detail, foreign)
        return True

    def _note(self, key: str, row: Record, at: int, detail: str, foreign: bool) -> None:
        self.last = max(self.last, row.ts)
        self._latest = max(self._latest, at)
        told = self._open.get(key)
        if told is None:
            told = self._open[key] = Told(row.ts, foreign=foreign)
        if row.state not in told.states:
            told.states.append(row.state)
        told.at = max(told.at, at)
        told.detail = detail if self._details else ""
        if row.state in self._final:
            self._over[key] = self._open.pop(key)
            while len(self._over) > REMEMBERED:
                self._over.popitem(last=False)

    def bookmark(self) -> Bookmark:
        """Where the watch stands now."""
        recent = {
            key: told.states[-1]
            for key, told in self._over.items()
            if told.ts >= self.last - OVERLAP or told.at >= self._latest - OVERLAP
        }
        opened = {
            key: Told(told.ts, 0, list(told.states), told.detail, told.foreign)
            for key, told in self._open.items()
        }
        return Bookmark(self._channel, self.since, self.last, opened, recent)
