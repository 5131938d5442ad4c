"""The asynchronous iterator over the rows of a history, page by page."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from types import TracebackType
from typing import Generic, Self, TypeVar

from okx_funding.errors import InvalidArgumentError

from .params import Moment, milliseconds
from .rows import moment_of
from .spec import Endpoint, Options, Param, ReadOptions, Row
from .walk import Cursor, Pages, Walk

__all__ = ["Cursor", "PageIterator", "Pages", "walk"]

R = TypeVar("R", bound=Row)

_MINUTE = 60_000
Ask = Callable[[Endpoint[R], Mapping[str, Param], ReadOptions | Options], Awaitable[list[R]]]
"""Asks for one page: `Caller._rows`."""


class PageIterator(Generic[R]):
    """The rows of a history, the newest first, each once.

    async for bill in client.iter_bills(ccy="BTC", since=yesterday):
        ...

    Every page is a call of its own, with its own place in the queue, retries and ``timeout``.
    While the rows of one page are handed out, the next one is asked for; not more than one.
    Rows that arrive meanwhile are newer, and left to the next walk.

    A call that fails raises here; the iterator may then be asked on, and repeats that page.
    Another iterator goes on from ``cursor=it.cursor`` or ``cursor=str(it.cursor)``, given the
    same filters. Leave a loop early with ``await it.aclose()``, or use ``async with it:``, and
    the page asked ahead is dropped.

    Raises the errors of a call, and PagingStuckError where OKX's pages lead no further.
    """

    def __init__(
        self,
        ask: Ask[R],
        pages: Pages[R],
        walk: Walk[R],
        options: ReadOptions | Options,
        cursor: Cursor | None = None,
    ) -> None:
        self._ask = ask
        self._pages = pages
        self._walk = walk
        self._options = options
        self._rows: deque[R] = deque()
        self._ahead: asyncio.Task[list[R]] | None = None
        self._running = False
        self._closed = False
        self._moment = cursor.moment if cursor else None
        self._ids: dict[str, None] = dict.fromkeys(cursor.ids if cursor else ())
        self.pages: int = 0
        """Pages that came so far."""
        self.rows: int = 0
        """Rows that were given so far."""

    @property
    def cursor(self) -> Cursor | None:
        """Where another walk goes on, behind the last row given; None before the first one."""
        if self._moment is None:
            return None
        return Cursor(self._pages.endpoint.name, self._moment, tuple(self._ids))

    @property
    def reached(self) -> datetime | None:
        """The moment of the last row given, None before the first one."""
        return None if self._moment is None else moment_of(self._moment)

    def __repr__(self) -> str:
        reached = "" if self._moment is None else f", at {moment_of(self._moment).isoformat()}"
        return (
            f"<PageIterator {self._pages.endpoint.name}: {self.rows} rows "
            f"of {self.pages} pages{reached}>"
        )

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> R:
        if self._running:
            raise RuntimeError("two tasks ask one PageIterator at once: give each its own")
        self._running = True
        try:
            while not self._rows:
                if self._closed or self._walk.over:
                    raise StopAsyncIteration
                rows = await self._next_page()
                if self._closed:  # closed by another task while the page was on its way
                    raise StopAsyncIteration
                self.pages += 1
                self._rows.extend(self._walk.take(rows))
        finally:
            self._running = False
        row = self._rows.popleft()
        if self._ahead is None and not self._walk.over:
            self._ahead = asyncio.create_task(self._page(), name=f"page ahead of {self!r}")
            self._ahead.add_done_callback(_look_at)
        self._passed(row)
        return row

    def _passed(self, row: R) -> None:
        moment, ident = self._pages.key(row)
        if moment != self._moment or self._pages.by_id:
            self._moment = moment
            self._ids.clear()
        self._ids[ident] = None
        self.rows += 1

    async def _next_page(self) -> list[R]:
        """The page asked ahead, or one asked now.

        To cancel this cancels the page on its way too; the walk hasn't moved, so that the page
        can be asked again.
        """
        ahead, self._ahead = self._ahead, None
        return await (self._page() if ahead is None else ahead)

    async def _page(self) -> list[R]:
        endpoint, params = self._walk.request()
        return await self._ask(endpoint, params, self._options)

    async def aclose(self) -> None:
        """End the walk; a page on its way is dropped. Nothing is left behind."""
        self._closed = True
        self._rows.clear()
        ahead, self._ahead = self._ahead, None
        if ahead is not None:
            ahead.cancel()
            await asyncio.wait([ahead])

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()


def _look_at(page: asyncio.Task[list[R]]) -> None:
    """Take note of an error: nobody may come for a page that was asked ahead."""
    if not page.cancelled():
        page.exception()


def walk(
    ask: Ask[R],
    pages: Pages[R],
    filters: Mapping[str, Param],
    options: ReadOptions | Options,
    *,
    since: Moment | None,
    until: Moment | None,
    cursor: Cursor | str | None,
) -> PageIterator[R]:
    """An iterator along ``pages``, once its arguments are found usable.

    Raises InvalidArgumentError for a moment that isn't one, a range that holds nothing, a
    ``since`` before all that OKX keeps there, and a cursor of another walk.
    """
    first = None if since is None else milliseconds("since", since)
    last = None if until is None else milliseconds("until", until)
    if first is not None and last is not None and last < first:
        raise InvalidArgumentError("until must not be before since")
    earliest = pages.first_moment(int(time.time() * 1000))
    # A minute of grace: "30 days ago" was reckoned a moment before it is looked at here.
    if first is not None and earliest is not None and first < earliest - _MINUTE:
        there = f"{pages.further} reaches further" if pages.further else "no method reaches further"
        raise InvalidArgumentError(
            f"since is before {moment_of(earliest):%Y-%m-%d %H:%M} UTC, the earliest that OKX "
            f"keeps here; {there}"
        )
    if cursor is not None:
        cursor = _cursor(cursor, pages)
    steps = Walk(pages, filters, since=first, until=last, cursor=cursor)
    return PageIterator(ask, pages, steps, options, cursor)


def _cursor(cursor: Cursor | str, pages: Pages[R]) -> Cursor:
    if isinstance(cursor, str):
        cursor = Cursor.parse(cursor)
    if not isinstance(cursor, Cursor):
        raise InvalidArgumentError("cursor must be a Cursor or its text")
    if cursor.endpoint != pages.endpoint.name:
        raise InvalidArgumentError(
            f"cursor belongs to {cursor.endpoint}, this walk is of {pages.endpoint.name}"
        )
    return cursor
