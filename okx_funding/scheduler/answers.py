"""The last answers of a lane, for callers who accept an old one."""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import Any

from .calls import Key

CACHE_SIZE = 4096
"""Keys whose last answers are kept."""


class Answers:
    """The rows of each key, and when they were asked. Nothing is kept until `enabled`."""

    def __init__(self) -> None:
        self.enabled: bool = False
        """Whether anybody ever accepted an old answer."""
        self._rows: OrderedDict[Key, tuple[float, list[Any]]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._rows)

    def get(self, key: Key, since: float) -> list[Any] | None:
        """Give the rows of ``key`` if they were asked at ``since`` or later."""
        asked_at, rows = self._rows.get(key, (-math.inf, None))
        return rows if asked_at >= since else None

    def put(self, key: Key, asked_at: float, rows: list[Any]) -> None:
        """Keep ``rows``, unless a newer answer is there."""
        if not self.enabled:
            return
        known = self._rows
        if key in known:
            if known[key][0] > asked_at:
                return
            known.move_to_end(key)
        known[key] = (asked_at, rows)
        if len(known) > CACHE_SIZE:
            known.popitem(last=False)
