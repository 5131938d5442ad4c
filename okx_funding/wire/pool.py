"""A pool of connections that sends each request once, and ends it when its time is over.

What aiohttp would do unasked is off: a request isn't sent again when a kept-alive connection
dies, and a connection on which something came that nobody asked for isn't used again.
"""

from __future__ import annotations

import asyncio
import socket
import weakref
from contextvars import ContextVar
from functools import partial
from math import ceil
from typing import Any

import aiohttp

RECENT = 5.0
"""Seconds after an answer in which a kept-alive connection counts as surely alive."""
GRAIN = 0.025
"""Seconds by which a request may be ended late."""


class Attempt:
    """How far one request came. A pool that isn't ours tells nothing of it: the worst is taken."""

    __slots__ = ("connected", "connection", "expired", "fresh", "made", "ours")

    def __init__(self, ours: bool, fresh: bool = False) -> None:
        self.ours: bool = ours
        self.fresh: bool = fresh
        """Whether it may go out on a new or recently used connection only."""
        self.connected: bool = not ours
        """Whether there was a connection, so that the first byte may have left."""
        self.made: bool = not ours
        """Whether a connection had to be made."""
        self.connection: aiohttp.connector.Connection | None = None
        self.expired: bool = False
        """Whether its time was over before the answer was whole."""

    def expire(self) -> None:
        """Its time is over: whoever waits for the answer is told by the connection's end."""
        self.expired = True
        # A connection that went back into the pool has no transport for us any more.
        transport = None if self.connection is None else self.connection.transport
        if transport is not None:
            transport.abort()


attempt: ContextVar[Attempt] = ContextVar("attempt")


class Connector(aiohttp.TCPConnector):
    """aiohttp's pool, which hands out idle connections with unread answers on them."""

    def __init__(self) -> None:
        super().__init__(limit=0, ttl_dns_cache=60, socket_factory=_open_socket)
        self._answered: weakref.WeakKeyDictionary[object, float] | None = None
        """When the last answer was read on each connection, once somebody has to know."""

    async def connect(self, *args: Any, **options: Any) -> Any:
        current = attempt.get()
        if current.fresh and self._answered is None:
            self._answered = weakref.WeakKeyDictionary()
        while True:
            current.made = False
            connection = await super().connect(*args, **options)
            if current.expired:
                connection.close()
                raise TimeoutError
            protocol = connection.protocol
            if protocol is None or (
                not protocol.should_close
                and (not current.fresh or current.made or self._is_recent(protocol))
            ):
                current.connected = True
                current.connection = connection
                if self._answered is not None and protocol is not None:
                    connection.add_callback(partial(self._released, protocol))
                return connection
            connection.close()

    def _is_recent(self, protocol: object) -> bool:
        answered = None if self._answered is None else self._answered.get(protocol)
        return answered is not None and _now() - answered <= RECENT

    def _released(self, protocol: object) -> None:
        if self._answered is not None:
            self._answered[protocol] = _now()


def _now() -> float:
    return asyncio.get_running_loop().time()


def _open_socket(address: aiohttp.AddrInfoType) -> socket.socket:
    attempt.get().made = True
    family, kind, protocol, _, _ = address
    return socket.socket(family=family, type=kind, proto=protocol)


class Dropped(Exception):
    """The connection died. Not aiohttp's own error, which makes it send once more."""

    def __init__(self, *, stale: bool) -> None:
        super().__init__()
        self.stale = stale


async def one_shot(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Keep aiohttp from sending a second time: https://github.com/aio-libs/aiohttp/issues/10790."""
    current = attempt.get()
    try:
        return await handler(request)
    except aiohttp.ClientConnectorError:
        raise
    except aiohttp.ServerDisconnectedError:
        stale = not (current.ours and current.made)
    except aiohttp.ClientOSError:
        stale = current.ours and not current.made
    raise Dropped(stale=stale)


class Deadlines:
    """Ends requests whose time is over; one timer for all of one grain."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._grains: dict[int, dict[Attempt, None]] = {}
        self._timers: dict[int, asyncio.TimerHandle] = {}

    def add(self, ends: Attempt, seconds: float) -> dict[Attempt, None]:
        """End it after so many seconds, unless it is taken out of the dict that this gives."""
        grain = ceil((self._loop.time() + seconds) / GRAIN)
        same = self._grains.get(grain)
        if same is None:
            same = self._grains[grain] = {}
            self._timers[grain] = self._loop.call_at(grain * GRAIN, self._fire, grain)
        same[ends] = None
        return same

    def _fire(self, grain: int) -> None:
        del self._timers[grain]
        for ends in list(self._grains.pop(grain)):
            ends.expire()

    def close(self) -> None:
        """End nothing any more."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        self._grains.clear()
