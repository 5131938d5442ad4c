"""Who of twenty is to blame: group testing, as pure rules.

OKX refuses a whole request for one bad currency and rarely says which. A refused request is
known to hold a culprit; a third of it is asked next. If that passes, the rest holds the culprit
without being asked; if it is refused, the culprit is in there, and the rest goes to those of
whom nothing is known, who are asked later by halves. Only who is refused alone is a culprit.
One in twenty costs at most 9 further requests, two cost 14, four 22: the shares were chosen by
trying all places that the culprits can have.

Where nothing passes at all, perhaps no key is to blame. So that a handful of culprits can't look
like that, whoever has seen nothing pass asks for single keys after a while.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

HOPELESS = 12
"""Refused parts without one success after which it is not a currency that is wrong."""
WARY = 6
"""Refused parts without one success after which keys are asked one by one."""


class Inquest:
    """One refused batch. `part` is what to ask next; tell how it went by `passed`, `refused`.

    ``message`` is OKX's text: if it names keys, the others are asked first, all at once.
    """

    def __init__(self, keys: Sequence[str], message: str = "") -> None:
        self._guilty: list[str] = []
        self._unknown: list[str] = []
        self._first = 0
        self._successes = 0
        self._refusals = 0
        self._suspect(keys, message)

    @property
    def hopeless(self) -> bool:
        """Whether it can't be a currency."""
        return not self._successes and self._refusals >= HOPELESS

    @property
    def left(self) -> list[str]:
        """Those who are neither cleared nor found guilty."""
        return self._unknown + self._guilty

    def part(self) -> list[str]:
        """What to ask next; empty when all is known."""
        pool, share = (self._guilty, 0.35) if self._guilty else (self._unknown, 0.5)
        if self._refusals >= WARY and not self._successes:
            return pool[:1]
        if self._guilty or len(pool) > 3:
            return pool[: self._first or max(1, round(len(pool) * share))]
        return list(pool)

    def passed(self, part: Sequence[str]) -> None:
        """OKX answered for all of ``part``."""
        self._successes += 1
        self._drop(part)

    def refused(self, part: Sequence[str], message: str = "") -> str | None:
        """OKX refused ``part``. Gives the culprit when it stood alone."""
        self._refusals += 1
        # The largest part set aside comes first: it is the likeliest to be clean.
        self._unknown = [key for key in self.left if key not in part]
        self._suspect(part if len(part) > 1 else (), message)
        return part[0] if len(part) == 1 else None

    def _suspect(self, keys: Sequence[str], message: str) -> None:
        """A culprit is among ``keys``; whom the message names comes last, alone."""
        named = names(keys, message)
        others = [key for key in keys if key not in named]
        self._guilty = others + named
        self._first = len(others) if named else 0

    def forget(self, keys: Iterable[str]) -> None:
        """Nobody wants ``keys`` any more; without them nothing is known of the others."""
        self._drop(keys)
        self._guilty, self._unknown = [], self.left

    def _drop(self, keys: Iterable[str]) -> None:
        gone = set(keys)
        self._first = 0
        self._guilty = [key for key in self._guilty if key not in gone]
        self._unknown = [key for key in self._unknown if key not in gone]


def names(keys: Sequence[str], message: str) -> list[str]:
    """The keys that ``message`` names, as words of their own."""
    return [
        key
        for key in keys
        if re.search(rf"(?<![A-Za-z0-9._-]){re.escape(key)}(?![A-Za-z0-9_-])", message)
    ]
