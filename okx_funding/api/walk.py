"""How the histories are paged, as data, and the walk along them, as a pure state.

All are walked from the newest row to the oldest. OKX's page says "rows older than this moment",
and many rows may share a millisecond: rows of one millisecond at the edge of a page would get
lost. So a walk asks again from one millisecond later and drops the rows it has had. A full page
that holds nothing else means that a millisecond has more rows than a page: the walk goes on by
the ids of another endpoint if there is one, and ends in a `PagingStuckError` otherwise.
Nothing here waits or looks at a clock.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Generic, Self, TypeVar
from urllib.parse import quote, unquote

from okx_funding.errors import InvalidArgumentError, PagingStuckError

from .params import MAX_PAGE
from .rows import EPOCH, moment_of
from .spec import Endpoint, Param, Row

R = TypeVar("R", bound=Row)


@dataclass(frozen=True, slots=True, eq=False)
class Pages(Generic[R]):
    """How an endpoint's rows are paged.

    ``ident`` and ``moment`` name the fields that tell rows apart and say when they were.
    ``older`` is the parameter for rows before a moment, ``inclusive`` whether rows of that very
    moment come too; ``since`` the parameter that bounds the range from below, given as
    ``since_offset`` milliseconds after it, where OKX documents both ends of a range. ``by_id``:
    ``older`` takes an id when ``pagingType`` is 2. ``depth`` is how far back OKX keeps rows, and
    ``further`` the method that reaches further. ``by_ids`` has the same rows, paged by id.
    """

    endpoint: Endpoint[R]
    ident: str
    moment: str = "ts"
    older: str = "after"
    inclusive: bool = False
    since: str | None = None
    since_offset: int = 0
    by_id: bool = False
    depth: timedelta | datetime | None = None
    further: str | None = None
    by_ids: Pages[R] | None = None
    same_filters: frozenset[str] = frozenset()
    """The filters that ``by_ids`` takes as well."""
    narrow: tuple[str, ...] = ("ccy",)
    """The arguments that divide the rows of a crowded millisecond."""

    def first_moment(self, now: int) -> int | None:
        """The earliest moment that OKX keeps, in milliseconds, as of ``now``; None if unknown."""
        if self.depth is None:
            return None
        if isinstance(self.depth, datetime):
            return (self.depth - EPOCH) // timedelta(milliseconds=1)
        return now - self.depth // timedelta(milliseconds=1)

    def key(self, row: R) -> tuple[int, str]:
        """Moment and id of ``row``."""
        return getattr(row, self.moment), getattr(row, self.ident)


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far a walk came: the moment of its last row and the ids given of that millisecond.

    ``str(cursor)`` can be kept in a file; `parse` reads it back, and ``cursor=`` takes both.
    """

    endpoint: str
    moment: int
    ids: tuple[str, ...] = ()

    def __str__(self) -> str:
        return (
            f"{self.endpoint}@{self.moment}:{','.join(quote(each, safe='') for each in self.ids)}"
        )

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``str(cursor)``; InvalidArgumentError for another text."""
        endpoint, at, rest = text.partition("@")
        moment, colon, ids = rest.partition(":")
        if not (at and colon and endpoint.isidentifier() and moment.isascii() and moment.isdigit()):
            raise InvalidArgumentError(
                "cursor isn't a cursor's text: keep str(it.cursor) and hand it in as it was"
            )
        return cls(endpoint, int(moment), tuple(map(unquote, ids.split(","))) if ids else ())


class Walk(Generic[R]):
    """Which page comes next, and which of its rows are new.

    `request` says what to ask, `take` what an answer brings. ``over`` is set when nothing is
    left. A request may be asked again, as nothing changes until its answer is taken.
    """

    def __init__(
        self,
        pages: Pages[R],
        filters: Mapping[str, Param],
        *,
        since: int | None = None,
        until: int | None = None,
        cursor: Cursor | None = None,
    ) -> None:
        self._pages = pages
        self._filters = {name: value for name, value in filters.items() if value is not None}
        self._since = since
        self._until = until
        # The position: rows newer than _moment were passed, and of that moment those with _ids.
        self._moment = until
        self._ids: dict[str, None] = {}
        if cursor is not None:
            self._moment = cursor.moment
            self._ids = dict.fromkeys(cursor.ids)
        self._after: str | None = None
        """The id behind which rows of a crowded millisecond are asked for; None otherwise."""
        self._overlap: str | None = None
        """The id that the first page by id must begin with, proof that none is left out."""
        self.over: bool = False

    def request(self) -> tuple[Endpoint[R], dict[str, Param]]:
        """The endpoint and parameters of the next page."""
        pages = self._pages
        if self._after is not None and pages.by_ids is not None:
            return pages.by_ids.endpoint, self._page_by_id(self._after)
        if pages.by_id and (self._ids or self._moment is None):
            return pages.endpoint, self._page_by_id(next(reversed(self._ids), None))
        params: dict[str, Param] = {**self._filters, "limit": str(MAX_PAGE)}
        if pages.by_id:  # the first page of a range: from there on by id
            params["pagingType"] = "1"
        if self._moment is not None:
            params[pages.older] = str(self._moment if pages.inclusive else self._moment + 1)
        if pages.since is not None and self._since is not None:
            params[pages.since] = str(self._since + pages.since_offset)
        return pages.endpoint, params

    def _page_by_id(self, after: str | None) -> dict[str, Param]:
        params: dict[str, Param] = {**self._filters, "limit": str(MAX_PAGE), "pagingType": "2"}
        if after is not None:
            params["after"] = after
        return params

    def take(self, rows: Sequence[R]) -> list[R]:
        """The new rows of the answer to `request`; the position moves behind them.

        Raises PagingStuckError when no page can follow that is sure to leave nothing out.
        """
        if self._after is not None:
            return self._take_crowded(rows)
        new = self._new(rows, ordered=not self._pages.by_id)
        if new:
            return self._advance(new)
        if len(rows) < MAX_PAGE:
            self.over = True
        else:
            self._stuck(rows)
        return []

    def _take_crowded(self, rows: Sequence[R]) -> list[R]:
        """The new rows of a page by id, within a millisecond that has more rows than a page.

        These pages begin again at its newest row, so that the order of ids had doesn't matter.
        """
        ids = [self._pages.key(row)[1] for row in rows]
        if self._overlap is not None and ids[:1] != [self._overlap]:
            raise self._error(
                f"at least {MAX_PAGE} rows share a millisecond, and {self._pages.further} doesn't "
                f"have them yet: go on in a minute from the cursor",
                self._moment,
            )
        self._overlap = None
        if ids and ids[-1] == self._after:
            raise self._error("a page by id came twice", self._moment)
        new = self._new(rows, ordered=False)
        crowded = self._moment
        given = self._advance(new) if new else []
        if len(rows) < MAX_PAGE and not new:
            self.over = True
        self._after = ids[-1] if ids and self._moment == crowded else None
        return given

    def _within(self, moment: int) -> bool:
        return (self._since is None or self._since <= moment) and (
            self._until is None or moment <= self._until
        )

    def _new(self, rows: Sequence[R], ordered: bool) -> list[R]:
        """The rows that weren't passed before, each once."""
        new: list[R] = []
        seen: set[tuple[int, str]] = set()
        newest: int | None = None
        for row in rows:
            key = moment, ident = self._pages.key(row)
            if ordered and newest is not None and moment > newest:
                raise self._error("the rows of a page aren't the newest first", moment)
            newest = moment
            if ident in self._ids and (moment == self._moment or not ordered):
                continue
            if not self._pages.by_id and self._moment is not None and moment > self._moment:
                continue
            if key not in seen:
                seen.add(key)
                new.append(row)
        return new

    def _advance(self, new: Sequence[R]) -> list[R]:
        """Move the position behind ``new``; gives those of them within the range."""
        moment, _ = self._pages.key(new[-1])
        if moment != self._moment or self._pages.by_id:
            self._ids = {}
            self._moment = moment
        for row in new:
            at, ident = self._pages.key(row)
            if at == moment or self._pages.by_id:
                self._ids[ident] = None
        if self._since is not None and moment < self._since:
            self.over = True
        return [row for row in new if self._within(self._pages.key(row)[0])]

    def _stuck(self, full: Sequence[R]) -> None:
        """Go on by ids behind the first row of a full page; PagingStuckError if that can't be."""
        pages = self._pages
        if pages.by_ids is not None and self._filters.keys() <= pages.same_filters:
            self._after, self._overlap = (pages.key(row)[1] for row in full[:2])
            return
        if pages.by_id:
            raise self._error("a full page brought no new row", self._moment)
        raise self._error(
            f"at least {MAX_PAGE} rows share a millisecond, and OKX's pages can't divide it: "
            f"narrow the walk by {' or '.join(pages.narrow)} and walk each part",
            self._moment,
        )

    def _error(self, problem: str, moment: int | None) -> PagingStuckError:
        when = "" if moment is None else f" at {moment_of(moment).isoformat()} ({moment})"
        return PagingStuckError(
            f"{self._pages.endpoint}{when}: {problem}",
            endpoint=str(self._pages.endpoint),
            moment=moment,
        )
