"""One watch: what is pushed, and the history where there was a gap.

A watch listens to one channel of the connection that all watches of its API key share. It begins
with a look at what is open. Whenever the connection is new it walks the history back to where it
stands, asks for records that are still open and older than that by their ids, and tells what
changed; what is pushed meanwhile waits. `Tracker` decides what is told, so that nothing is told
twice.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Generic, Protocol, TypeVar

import msgspec

from okx_funding.api.pages import PageIterator
from okx_funding.api.params import MAX_PAGE, milliseconds
from okx_funding.errors import (
    AuthenticationError,
    BacklogExceededError,
    ClientClosedError,
    InvalidArgumentError,
    OKXError,
    PermissionDeniedError,
    PushStoppedError,
)
from okx_funding.scheduler.push import Listener, Pushed, Up

from .tracker import Bookmark, Tracker

logger: logging.Logger = logging.getLogger("okx_funding.push")

BASELINE = 7 * 24 * 3600 * 1000
"""Milliseconds before its begin in which a watch looks for records that are still open."""
SECOND_LOOK = 60.0
"""Seconds after a gap was filled at which it is read once more: OKX's histories lag a little."""
LONGEST_PAUSE = 30.0
"""Seconds between two attempts to read the history, at most."""

R = TypeVar("R", bound=Any)


@dataclass(frozen=True, slots=True)
class Gap:
    """What can't be known: told by a watch with ``gaps=True`` after each reconnect.

    Records of sub-accounts are pushed to their master's key, and no read gives them to it: what
    became of them between ``since`` and ``until`` (milliseconds) only their own keys can tell.
    """

    channel: str
    since: int
    until: int
    reason: str = "records of sub-accounts"


@dataclass(frozen=True, slots=True)
class Source(Generic[R]):
    """Where one channel's records come from."""

    channel: str
    final: frozenset[str]
    identify: Callable[[R], str]
    detail: Callable[[R], str]
    decode: Callable[[bytes], list[R]]
    """Rows of a push."""
    walk: Callable[[int, int | None], PageIterator[R]]
    """The history from a moment back to another, in milliseconds, the newest first."""
    read: Callable[[str], Awaitable[list[R]]]
    """The record of one id."""


class Clock(Protocol):
    """OKX's clock."""

    def now(self) -> int:
        """Milliseconds since the epoch, as far as it is known."""

    async def learn(self) -> None:
        """Ask OKX for it."""


class Watch(Generic[R]):
    """The state of one watch; `events` is what the caller iterates over."""

    def __init__(
        self,
        source: Source[R],
        listen: Callable[[], Listener],
        clock: Clock,
        *,
        ccy: str | None,
        since: str | datetime | int | None,
        gaps: bool,
        details: bool,
    ) -> None:
        self._source = source
        self._listen = listen
        self._clock = clock
        self._ccy = ccy
        self._gaps = gaps
        self._begins_now = since is None
        self._made_at = time.time()
        self._second_look_at: float | None = None
        self._second_look_back_to = 0
        bookmark = Bookmark.parse(since, source.channel) if isinstance(since, str) else None
        self._goes_on = bookmark is not None
        moment = clock.now()
        if since is not None and not isinstance(since, str):
            moment = milliseconds("since", since)
        self._tracker = Tracker(
            source.channel, source.final, details=details, since=moment, bookmark=bookmark
        )

    @property
    def bookmark(self) -> str:
        """Where it stands, as the text that ``since=`` takes."""
        return str(self._tracker.bookmark())

    async def events(self) -> AsyncGenerator[R | Gap, None]:
        """Yield each event once, for ever."""
        loop = asyncio.get_running_loop()
        await self._clock.learn()  # the login is stamped by it, and all that is told ordered
        listener = self._listen()
        first = True
        try:
            await self._begin()
            while True:
                item = await self._next(listener)
                if isinstance(item, Pushed):
                    for row in self._source.decode(item.rows):
                        foreign = bool(row.sub_acct) and row.uid != (item.uid or row.uid)
                        if self._is_event(row, row.p_time or row.ts, pushed=True, foreign=foreign):
                            yield self._marked(row)
                    continue
                began, told = loop.time(), 0
                horizon = self._second_look_back_to if item is None else self._tracker.horizon
                gap_since = self._gap_since(item, first) if item is not None else None
                for row, at in await self._patiently(partial(self._read, horizon)):
                    if self._is_event(row, at, pushed=False):
                        told += 1
                        yield self._marked(row)
                if item is None:
                    continue
                if gap_since is not None:
                    listener.filled(told, loop.time() - began)
                    if self._gaps:
                        yield Gap(self._source.channel, gap_since, self._clock.now())
                self._second_look_at = loop.time() + SECOND_LOOK
                self._second_look_back_to = horizon
                first = False
        except (BacklogExceededError, PushStoppedError) as error:
            error.bookmark = self.bookmark
            raise
        finally:
            listener.close()

    async def _next(self, listener: Listener) -> Pushed | Up | None:
        """What is heard next; None when it is time to look into the history once more."""
        if self._second_look_at is None or len(listener):
            return await listener.get()
        try:
            async with asyncio.timeout_at(self._second_look_at):
                return await listener.get()
        except TimeoutError:
            self._second_look_at = None
            return None

    def _gap_since(self, up: Up, first: bool) -> int | None:
        """When the gap before a new connection began; None where the watch began with it."""
        if first:
            return None if self._begins_now else self._tracker.last
        ago = asyncio.get_running_loop().time() - up.lost_at
        return self._clock.now() - int(ago * 1000)

    def _is_event(self, row: R, at: int, *, pushed: bool, foreign: bool = False) -> bool:
        if self._ccy is not None and row.ccy != self._ccy:
            return False
        source = self._source
        return self._tracker.accept(
            source.identify(row),
            row,
            at,
            pushed=pushed,
            detail=source.detail(row),
            foreign=foreign,
        )

    def _marked(self, row: R) -> R:
        marked: R = msgspec.structs.replace(row, bookmark=self.bookmark)
        return marked

    # -- reading ---------------------------------------------------------------------------

    async def _begin(self) -> None:
        """Learn what is open already.

        Only who knows an open record asks for it by its id, so that its end can't be lost in a
        gap. What changes from here on is told: by a push, or by the read that follows `Up`.
        """
        if self._goes_on:
            return
        tracker = self._tracker
        if self._begins_now:  # when the watch was asked for, by the clock that is known now
            waited = int((time.time() - self._made_at) * 1000)
            tracker.since = tracker.last = self._clock.now() - waited
        await self._patiently(self._baseline)

    async def _baseline(self) -> None:
        source, tracker = self._source, self._tracker
        async for row in source.walk(tracker.since - BASELINE, tracker.since - 1):
            if self._ccy is None or row.ccy == self._ccy:
                tracker.know(source.identify(row), row, source.detail(row))

    async def _read(self, horizon: int) -> list[tuple[R, int]]:
        """What the history knows and how old that is at most, the oldest record first.

        It is walked back to ``horizon``, and on while each page has records of ours that are
        open; what is left of these is asked for by id. All of it is read before any of it is
        told: a read that fails is begun again, and the bookmark of an event never promises more
        than was told.
        """
        source, tracker = self._source, self._tracker
        tracker.forget(self._clock.now())
        rest = tracker.open_before(horizon)
        found: list[tuple[R, int]] = []
        walk = source.walk(min([horizon, *rest.values()]), None)
        page, at, asked, useless = 0, 0, self._clock.now(), 0
        async with walk:
            async for row in walk:
                if walk.pages != page:  # the next page is asked for with the first row of this one
                    page, at, asked = walk.pages, asked, self._clock.now()
                if row.ts >= horizon:
                    found.append((row, at))
                elif rest.pop(source.identify(row), None) is not None:
                    found.append((row, at))
                    useless = 0
                else:
                    useless += 1
                if row.ts < horizon and (not rest or useless >= MAX_PAGE):
                    break
        for key in rest:
            at = self._clock.now()
            found += [(row, at) for row in await source.read(key)]
        return sorted(found, key=lambda each: int(each[0].ts))

    async def _patiently(self, read: Callable[[], Awaitable[Any]]) -> Any:
        """Read again until it succeeds: a gap that can't be filled now is filled later."""
        failures = 0
        while True:
            try:
                return await read()
            except (InvalidArgumentError, PushStoppedError):
                raise
            except OKXError as error:
                if is_final(error):
                    raise
                logger.debug("%s: the history can't be read: %s", self._source.channel, error)
            failures = min(failures + 1, 6)
            await asyncio.sleep(min(LONGEST_PAUSE, 0.5 * 2.0**failures))


def is_final(error: OKXError) -> bool:
    """Whether asking again can't help: the key, a permission, a closed client."""
    return isinstance(error, AuthenticationError | PermissionDeniedError | ClientClosedError)
