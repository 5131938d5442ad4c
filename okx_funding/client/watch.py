"""Deposits and withdrawals as they happen: pushes, and the history where there was a gap.

A watch listens to one channel of the connection that all watches of its API key share. Whenever
that connection is new it walks the history back to where it stands, asks for records that are
still open and older than that by their ids, and tells what changed; what is pushed meanwhile
waits. `Tracker` decides what is told, so that nothing is told twice.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Generic, Literal, TypeVar, overload
from urllib.parse import urlsplit

import msgspec

from okx_funding.api.deposits import Deposit
from okx_funding.api.params import count, milliseconds
from okx_funding.api.withdrawals import Withdrawal
from okx_funding.auth.settings import origin_of
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
from okx_funding.wire.codec import codec_of

from .calls import Asking
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
        bookmark = Bookmark.parse(since, source.channel) if isinstance(since, str) else None
        moment = int(clock() * 1000)
        if since is not None and not isinstance(since, str):
            moment = milliseconds("since", since)
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


def push_url(given: str | None, origin: str, demo: bool, *, allow_http: bool) -> str:
    """The WebSocket's URL: what was given, OKX_WS_URL, or what follows from the REST host.

    Raises InvalidArgumentError for what is no URL, and for plain ws beyond loopback.
    """
    url = given if given is not None else os.environ.get("OKX_WS_URL", "").strip() or None
    if url is not None:
        parts = urlsplit(url) if isinstance(url, str) else None
        if parts is None or parts.scheme not in ("ws", "wss") or not parts.hostname:
            raise InvalidArgumentError(
                "ws_url must be a whole URL, such as wss://ws.okx.com/ws/v5/business"
            )
        origin_of(f"http{url[2:]}".partition(parts.netloc)[0] + parts.netloc, allow_http)
        return url
    scheme, _, host = origin.partition("://")
    region = _REGIONS.get(host.partition(".")[0])
    if scheme == "https" and host.endswith(".okx.com") and region is not None:
        return f"wss://ws{region}{'pap' if demo else ''}.okx.com{_PATH}"
    return f"ws{scheme.removeprefix('http')}://{host}{_PATH}"


_PATH = "/ws/v5/business"
# https://www.okx.com/docs-v5/en/#overview-production-trading-services
_REGIONS = {"www": "", "openapi": "", "eea": "eea", "us": "us", "tr": "tr"}

_DEPOSIT_FINAL = frozenset({"2"})
_WITHDRAWAL_FINAL = frozenset({"-2", "-1", "2"})


class Watches(Asking):
    """The methods that tell what happens."""

    __slots__ = ()

    _push_url: str

    @overload
    def watch_deposits(
        self,
        ccy: str | None = None,
        *,
        since: str | datetime | int | None = None,
        gaps: Literal[False] = False,
        details: bool = False,
        max_backlog: int = 10_000,
    ) -> AsyncIterator[Deposit]: ...
    @overload
    def watch_deposits(
        self,
        ccy: str | None = None,
        *,
        since: str | datetime | int | None = None,
        gaps: Literal[True],
        details: bool = False,
        max_backlog: int = 10_000,
    ) -> AsyncIterator[Deposit | Gap]: ...
    def watch_deposits(
        self,
        ccy: str | None = None,
        *,
        since: str | datetime | int | None = None,
        gaps: bool = False,
        details: bool = False,
        max_backlog: int = 10_000,
    ) -> AsyncIterator[Deposit | Gap]:
        """Yield each state of each deposit as it comes, and what was missed meanwhile.

        ``async for deposit in client.watch_deposits(): ...`` doesn't end by itself. Every record
        and every final state is told once, over lost connections and, with ``since=`` the
        ``bookmark`` of the last event, over restarts; a state that came and went while nobody
        was connected can't be known. ``since`` is also a moment (an aware datetime or
        milliseconds); without it the watch begins now, and older records are told only when their
        state changes. ``details`` tells changes of confirmations and transaction id as well;
        ``gaps`` yields a `Gap` after each reconnect, for records of sub-accounts can't be read.

        Raises BacklogExceededError where more than ``max_backlog`` events wait for a slow
        consumer, and PushStoppedError where coming back can't help; both hold the ``bookmark``.

        https://www.okx.com/docs-v5/en/#funding-account-websocket-deposit-info-channel
        """
        source: Source[Deposit] = Source(
            "deposit-info",
            _DEPOSIT_FINAL,
            identify=lambda row: row.dep_id,
            detail=lambda row: f"{row.tx_id} {row.actual_dep_blk_confirm}",
            decode=partial(_decode, Deposit),
            walk=lambda since: self.iter_deposit_history(since=since, priority=BACKGROUND),  # type: ignore[attr-defined]
            read=lambda key: self.get_deposit_history(dep_id=key, priority=BACKGROUND),  # type: ignore[attr-defined]
        )
        return self._watch(source, ccy, since, gaps, details, max_backlog)

    @overload
    def watch_withdrawals(
        self,
        ccy: str | None = None,
        *,
        since: str | datetime | int | None = None,
        gaps: Literal[False] = False,
        details: bool = False,
        max_backlog: int = 10_000,
    ) -> AsyncIterator[Withdrawal]: ...
    @overload
    def watch_withdrawals(
        self,
        ccy: str | None = None,
        *,
        since: str | datetime | int | None = None,
        gaps: Literal[True],
        details: bool = False,
        max_backlog: int = 10_000,
    ) -> AsyncIterator[Withdrawal | Gap]: ...
    def watch_withdrawals(
        self,
        ccy: str | None = None,
        *,
        since: str | datetime | int | None = None,
        gaps: bool = False,
        details: bool = False,
        max_backlog: int = 10_000,
    ) -> AsyncIterator[Withdrawal | Gap]:
        """Yield each state of each withdrawal as it comes; see `watch_deposits`.

        https://www.okx.com/docs-v5/en/#funding-account-websocket-withdrawal-info-channel
        """
        source: Source[Withdrawal] = Source(
            "withdrawal-info",
            _WITHDRAWAL_FINAL,
            identify=lambda row: row.wd_id,
            detail=lambda row: row.tx_id,
            decode=partial(_decode, Withdrawal),
            walk=lambda since: self.iter_withdrawal_history(since=since, priority=BACKGROUND),  # type: ignore[attr-defined]
            read=lambda key: self.get_withdrawal_history(wd_id=key, priority=BACKGROUND),  # type: ignore[attr-defined]
        )
        return self._watch(source, ccy, since, gaps, details, max_backlog)

    def _watch(
        self,
        source: Source[R],
        ccy: str | None,
        since: str | datetime | int | None,
        gaps: bool,
        details: bool,
        max_backlog: int,
    ) -> AsyncIterator[R | Gap]:
        count("max_backlog", max_backlog, 1)
        session = self._calls.started()
        context = self._calls.context
        push = session.push(context, self._push_url)
        listener = push.listen(source.channel, max_backlog)
        listeners = self._calls.listeners
        listeners.add(listener)
        try:
            watch = Watch(
                source,
                listener,
                lambda: time.time() + self._calls.clock_offset(),
                ccy=ccy,
                since=since,
                gaps=gaps,
                details=details,
            )
        except BaseException:
            listener.close()
            raise
        return watch.events()

    async def _close_watches(self) -> None:
        for listener in list(self._calls.listeners):
            listener.fail(ClientClosedError("the client was closed while it watched"))
            listener.close()


def _decode(row: Any, rows: bytes) -> list[Any]:
    """The rows of a push: the same structs as the history's."""
    found: list[Any] = codec_of(row).look(b'{"code":"0","msg":"","data":' + rows + b"}")
    return found
