"""Finding the bad keys of a refused request: group testing, as pure rules.

OKX refuses a whole request for one bad currency and rarely says which. A refused group is known to
hold a bad key; a third of it is asked next. If that passes, the rest holds it without being asked;
if it is refused, the bad key is in there, and the rest goes to those of whom nothing is known, who
are asked later by halves. Only a key that is refused alone is invalid. One in twenty costs at most
9 further requests, two cost 14, four 22: the shares were chosen by trying all places that bad keys
can have.

Where nothing passes at all, perhaps no key is bad. So that a handful of bad ones can't look like
that, single keys are asked after a while without a success.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from okx_funding.errors import InvalidParameterError

from .calls import Key
from .pending import LAST_RANK, PendingKey, Rank

INCONCLUSIVE_AFTER = 12
"""Refused groups without one success after which it is not a key that is wrong."""
SINGLE_AFTER = 6
"""Refused groups without one success after which keys are asked one by one."""
FAILING_SHARE = 0.35
UNKNOWN_SHARE = 0.5


class Bisection:
    """The keys of one refused batch, until it is known of each whether OKX accepts it.

    `next_group` is what to ask next; tell how it went by `passed` or `refused`. If the text of
    ``error`` names keys, the others are asked first, all at once.
    """

    def __init__(self, pending: Iterable[PendingKey], error: InvalidParameterError) -> None:
        self.pending: dict[Key, PendingKey] = {each.key: each for each in pending}
        self.error: InvalidParameterError = error
        """How OKX refused all of them."""
        self._failing: list[Key] = []
        """Keys among which there is a bad one."""
        self._unknown: list[Key] = []
        self._first = 0
        self._successes = 0
        self._refusals = 0
        self._set_failing(list(self.pending), error.msg)

    @property
    def is_inconclusive(self) -> bool:
        """Whether it can't be a key."""
        return not self._successes and self._refusals >= INCONCLUSIVE_AFTER

    @property
    def rank(self) -> Rank:
        """The earliest rank of its suspects: who joins one may raise it."""
        return min([self.pending[key].rank for key in self.suspects], default=LAST_RANK)

    @property
    def suspects(self) -> list[Key]:
        """Keys of which it isn't known yet."""
        return self._unknown + self._failing

    def next_group(self) -> list[Key]:
        """Choose what to ask next; nothing when all is known."""
        failing = bool(self._failing)
        keys, share = (self._failing, FAILING_SHARE) if failing else (self._unknown, UNKNOWN_SHARE)
        if self._refusals >= SINGLE_AFTER and not self._successes:
            return keys[:1]
        if failing or len(keys) > 3:
            return keys[: self._first or max(1, round(len(keys) * share))]
        return list(keys)

    def passed(self, group: Sequence[Key]) -> None:
        """Note that OKX answered for all of ``group``."""
        self._successes += 1
        self._remove(group)

    def refused(self, group: Sequence[Key], message: str = "") -> Key | None:
        """Note that OKX refused ``group``. Gives the invalid key when it stood alone."""
        self._refusals += 1
        # The largest group set aside comes first: it is the likeliest to be clean.
        self._unknown = [key for key in self.suspects if key not in group]
        self._set_failing(group if len(group) > 1 else (), message)
        return group[0] if len(group) == 1 else None

    def forget(self, keys: Iterable[Key]) -> None:
        """Drop keys that nobody wants any more; without them nothing is known of the others."""
        self._remove(keys)
        self._failing, self._unknown = [], self.suspects

    def _set_failing(self, keys: Sequence[Key], message: str) -> None:
        """A bad key is among ``keys``; those that the message names come last, alone."""
        named = named_in(keys, message)
        others = [key for key in keys if key not in named]
        self._failing = others + named
        self._first = len(others) if named else 0

    def _remove(self, keys: Iterable[Key]) -> None:
        gone = set(keys)
        self._first = 0
        self._failing = [key for key in self._failing if key not in gone]
        self._unknown = [key for key in self._unknown if key not in gone]


def named_in(keys: Sequence[Key], message: str) -> list[Key]:
    """Give the keys that ``message`` names, as words of their own."""
    return [
        key
        for key in keys
        if isinstance(key, str)
        and re.search(rf"(?<![A-Za-z0-9._-]){re.escape(key)}(?![A-Za-z0-9_-])", message)
    ]
