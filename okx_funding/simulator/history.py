"""Histories: records in the order of their times, and the pages that OKX cuts from them.

Cursors by time are exclusive (``after``: older, ``before``: newer), a range by ``begin`` and
``end`` is inclusive, and the newest come first. https://www.okx.com/docs-v5/en/#overview-pagination
"""

from __future__ import annotations

import bisect
import math
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Generic, Protocol, TypeVar

PAGE = 100
"""The most rows of a page, and how many come without ``limit``."""


class Record(Protocol):
    """What a history keeps. ``serial`` grows with each new record and orders equal times."""

    @property
    def ts(self) -> int: ...
    @property
    def hidden(self) -> bool: ...
    @property
    def serial(self) -> int: ...

    def names(self) -> tuple[str, ...]:
        """Its ids: what it may be found by."""
        ...


R = TypeVar("R", bound=Record)


def _accept(_: Record) -> bool:
    return True


class History(Generic[R]):
    """Records of one kind and one user."""

    def __init__(self) -> None:
        self._by_time: list[R] = []
        self._by_serial: list[R] = []
        self._by_name: defaultdict[str, list[R]] = defaultdict(list)

    def __len__(self) -> int:
        return len(self._by_time)

    def __iter__(self) -> Iterator[R]:
        return iter(list(self._by_serial))

    def add(self, record: R) -> None:
        """Put a record where its time belongs."""
        bisect.insort(self._by_time, record, key=_time)
        self._by_serial.append(record)
        for name in record.names():
            self._by_name[name].append(record)

    def last(self, n: int) -> list[R]:
        """The last ``n`` records that were added, the oldest first."""
        return self._by_serial[-n:]

    def named(self, name: str) -> list[R]:
        """The records with this id, their own or the client's, the oldest first."""
        return self._by_name.get(name, [])

    def page(
        self,
        *,
        older_than: float = math.inf,
        newer_than: float = -math.inf,
        limit: int = PAGE,
        accept: Callable[[R], bool] = _accept,
        name: str | None = None,
    ) -> list[R]:
        """The newest records between these times, both exclusive; only those with this id."""
        records = self._by_time if name is None else sorted(self.named(name), key=_time)
        # Times are whole milliseconds, and serials above zero: (t, 0) sorts before all of t.
        end = (
            len(records)
            if older_than == math.inf
            else bisect.bisect_left(records, (older_than, 0), key=_time)
        )
        return _take(records, end, limit, accept, lambda it: it.ts > newer_than)

    def page_by_serial(
        self, older_than: float = math.inf, *, limit: int = PAGE, accept: Callable[[R], bool]
    ) -> list[R]:
        """The newest records before this serial number, exclusive."""
        end = (
            len(self._by_serial)
            if older_than == math.inf
            else bisect.bisect_left(self._by_serial, older_than, key=_serial)
        )
        return _take(self._by_serial, end, limit, accept, lambda _: True)


def _take(
    records: list[R],
    end: int,
    limit: int,
    accept: Callable[[R], bool],
    within: Callable[[R], bool],
) -> list[R]:
    found: list[R] = []
    for position in range(end - 1, -1, -1):
        record = records[position]
        if len(found) == limit or not within(record):
            break
        if not record.hidden and accept(record):
            found.append(record)
    return found


def _time(record: Record) -> tuple[float, int]:
    return record.ts, record.serial


def _serial(record: Record) -> int:
    return record.serial
