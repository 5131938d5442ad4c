"""Deposits and withdrawals as they happen: pushes, and the history where there was a gap.

A watch listens to one channel of the connection that all watches of its API key share. Whenever
that connection is new it walks the history back to where it stands, asks for records that are
still open and older than that by their ids, and tells what changed; what is pushed meanwhile
waits. `Tracker` decides what is told, so that nothing is told twice.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, Generic, TypeVar

import msgspec

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
"""Milliseconds that a watch without ``since=`` looks back for records that are still open."""
SECOND_LOOK = 60.0
"""Seconds after a gap was filled at which it is read once more: OKX's histories lag a little."""
BACKGROUND = -20
"""Priority of the reads that fill a gap: whoever asks for something goes first."""
LONGEST_PAUSE = 30.0

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
    walk: Callable[[int], AsyncIterator[R]]
    """The history back to a moment in milliseconds, the newest first."""
    read: Callable[[str], Awaitable[list[R]]]
    """The record of one id."""


class Watch(Generic[R]):
    """The state of one watch; `events` is what the caller iterates over."""

    def __init__(
        self,
        source: Source[R],
        listener: Listener,
        clock: Callable[[], float],
        *,
        ccy: str | None,
        since: str | datetime | int | None,
        gaps: bool,
        details: bool,
    ) -> None:
        self._source = source
        self._listener = listener
        self._clock = clock
        self._ccy = ccy
        self._gaps = gaps
        now = int(clock() * 1000)
        bookmark = Bookmark.parse(since, source.channel) if isinstance(since, str) else None
        moment = milliseconds(since) if isinstance(since, datetime | int) else now
        self._begins_now = since is None
        self._second_look_at: float | None = None
        self._second_look_back_to = 0
        self._tracker = Tracker(
            source.channel, source.final, details=details, since=moment, bookmark=bookmark
        )

    @property
    def bookmark(self) -> str:
        """Where it stands, as the text that ``since=`` takes."""
        return str(self._tracker.bookmark())

    async def events(self) -> AsyncIterator[R | Gap]:
        """Yield each event once, for ever."""
        first = True
        loop = asyncio.get_running_loop()
        try:
            while True:
                item = await self._next()
                if item is None:
                    async for row in self._fill(self._second_look_back_to):
                        yield row
                    continue
                if isinstance(item, Pushed):
                    for row in self._source.decode(item.rows):
                        if self._is_event(row, row.p_time or row.ts, pushed=True):
                            yield self._marked(row)
                    continue
                horizon = self._tracker.horizon
                if first and self._begins_now:
                    await self._patiently(self._baseline)
                else:
                    async for row in self._fill(horizon):
                        yield row
                    self._listener.filled()
                    if self._gaps:
                        lost = self._clock() - (loop.time() - item.lost_at)
                        now = int(self._clock() * 1000)
                        yield Gap(self._source.channel, int(lost * 1000), now)
                self._second_look_at = loop.time() + SECOND_LOOK
                self._second_look_back_to = horizon
                first = False
        except (BacklogExceededError, PushStoppedError) as error:
            error.bookmark = self.bookmark
            raise
        finally:
            self._listener.close()

    async def _next(self) -> Pushed | Up | None:
        """What is heard next; None when it is time to look into the history once more."""
        if self._second_look_at is None or len(self._listener):
            return await self._listener.get()
        try:
            async with asyncio.timeout_at(self._second_look_at):
                return await self._listener.get()
        except TimeoutError:
            self._second_look_at = None
            return None

    def _is_event(self, row: R, at: int, *, pushed: bool) -> bool:
        if self._ccy is not None and row.ccy != self._ccy:
            return False
        source = self._source
        return self._tracker.accept(
            source.identify(row), row, at, pushed=pushed, detail=source.detail(row)
        )

    def _marked(self, row: R) -> R:
        marked: R = msgspec.structs.replace(row, bookmark=self.bookmark)
        return marked

    # -- reading ---------------------------------------------------------------------------

    async def _fill(self, horizon: int) -> AsyncIterator[R]:
        """What the history knows and nobody was told, the oldest first.

        All of it is read before any of it is told: a read that fails is begun again, and the
        bookmark of an event never promises more than was told.
        """
        rows: list[tuple[R, int]] = await self._patiently(partial(self._read, horizon))
        for row, at in rows:
            if self._is_event(row, at, pushed=False):
                yield self._marked(row)

    async def _read(self, horizon: int) -> list[tuple[R, int]]:
        source, tracker = self._source, self._tracker
        found: list[tuple[R, int]] = []
        at = int(self._clock() * 1000)
        async for row in source.walk(horizon):
            found.append((row, at))
        found.reverse()
        missing: list[tuple[R, int]] = []
        for key in tracker.open_before(horizon):
            at = int(self._clock() * 1000)
            missing += [(row, at) for row in await source.read(key)]
        return missing + found

    async def _baseline(self) -> None:
        """Know what is open already, so that its final state can't be lost in a gap."""
        source, tracker = self._source, self._tracker
        async for row in source.walk(tracker.since - BASELINE):
            if self._ccy is None or row.ccy == self._ccy:
                tracker.know(source.identify(row), row, source.detail(row))

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


def milliseconds(moment: datetime | int) -> int:
    """A moment as OKX counts it; InvalidArgumentError for a naive datetime."""
    if isinstance(moment, datetime):
        if moment.tzinfo is None:
            raise InvalidArgumentError("since must be an aware datetime: give it a time zone")
        return int(moment.astimezone(UTC).timestamp() * 1000)
    return moment


def wall_clock(offset: Callable[[], float]) -> Callable[[], float]:
    """OKX's clock as far as it was learned, in seconds."""
    return lambda: time.time() + offset()
