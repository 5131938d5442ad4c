"""One connection for what OKX pushes: login, subscriptions, silence, and coming back.

The connection is opened for the first listener and closed after the last one. Its one task runs
`PushConnection._run`: connect (paced over all connections of the loop by `paced`), log in,
subscribe, read. What comes goes to every listener of its channel at once, as `Pushed`; `Up` tells
a listener that the connection is new, so that it fills the gap from the history, and comes before
everything that is pushed on it.

https://www.okx.com/docs-v5/en/#overview-websocket-connect
"""

from __future__ import annotations

import asyncio
import logging
import random
import weakref
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Protocol
from urllib.parse import urlsplit

from okx_funding.errors import (
    ClientClosedError,
    ConnectError,
    OKXError,
    ProtocolError,
    PushStoppedError,
)
from okx_funding.telemetry.events import (
    Event,
    Observer,
    PushConnected,
    PushDisconnected,
    PushStatistics,
)
from okx_funding.telemetry.observers import emit

from .push_listener import Listener
from .push_messages import (
    CLOCK_CODES,
    FINAL_CLOSES,
    FINAL_CODES,
    PONG,
    SERVICE_UPGRADE,
    TOO_FREQUENT,
    Pushed,
    RefusedError,
    Up,
    channel_of,
    ended,
    parse,
    pushed,
    refused,
    subscription,
)

__all__ = ["FINAL_CLOSES", "FINAL_CODES", "Listener", "PushConnection", "Pushed", "Up", "paced"]

logger: logging.Logger = logging.getLogger("okx_funding.push")

IDLE = 25.0
"""Seconds without a frame after which a ping is sent: OKX closes after 30 s of silence."""
PONG_WITHIN = 5.0
"""Seconds within which anything must come after a ping."""
CONNECT_TIMEOUT = 10.0
"""Seconds for connecting, and once more for logging in and subscribing."""
CONNECT_INTERVAL = 0.4
"""Seconds between two connections to one host: OKX refuses more than 3 in a second."""
LONGEST_PAUSE = 30.0
"""Seconds between two attempts at most, before jitter."""
MOST_CLOCK_REFUSALS = 3
"""Logins in a row that may be refused for the clock, which is learned after each."""


class Socket(Protocol):
    """What a connection is, as far as it matters here; see `okx_funding.wire.websocket`."""

    async def send(self, text: str) -> None:
        """Send one text frame."""

    async def receive(self) -> Any:
        """Wait for a text frame, or for ``Closed(code, reason)``."""

    async def close(self) -> None:
        """Close it."""


_next_connect: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, float]] = (
    weakref.WeakKeyDictionary()
)


async def paced(url: str) -> None:
    """Wait until one more connection to the host of ``url`` may be opened, over all clients."""
    loop = asyncio.get_running_loop()
    turns = _next_connect.setdefault(loop, {})
    host = urlsplit(url).netloc
    turn = max(loop.time(), turns.get(host, 0.0))
    turns[host] = turn + CONNECT_INTERVAL
    await asyncio.sleep(turn - loop.time())


class PushConnection:
    """The connection of one API key to one host, for both channels and any number of listeners."""

    def __init__(
        self,
        url: str,
        *,
        connect: Callable[[], Awaitable[Socket]],
        login: Callable[[], str],
        learn_clock: Callable[[], Awaitable[None]],
        redact: Callable[[str], str] = str,
        user: str = "",
    ) -> None:
        self.url = url
        self.user: str = user
        """The User ID, or the masked API key that stands in for it."""
        self.gaps_filled: int = 0
        self._connect = connect
        self._login = login
        self._learn_clock = learn_clock
        self._redact = redact
        self._listeners: dict[Listener, None] = {}
        self._channels: set[str] = set()
        """What is subscribed, or will be as soon as there is a connection."""
        self._socket: Socket | None = None
        self._task: asyncio.Task[None] | None = None
        self._replacing: asyncio.Task[None] | None = None
        self._ending: set[asyncio.Task[None]] = set()
        self._state = "closed"
        self._connections = 0
        self._heard_at: float | None = None

    def __repr__(self) -> str:
        return f"<PushConnection {self.url}: {self._state}, {len(self._listeners)} listeners>"

    # -- listeners -------------------------------------------------------------------------

    def listen(self, channel: str, max_backlog: int, observer: Observer | None = None) -> Listener:
        """Hear what is pushed on ``channel`` from now on; the first item is `Up`."""
        listener = Listener(self, channel, max_backlog, observer)
        self._listeners[listener] = None
        loop = asyncio.get_running_loop()
        if self._task is None:
            self._channels = {channel}
            self._task = loop.create_task(self._run())
        elif channel not in self._channels:
            self._channels.add(channel)
            if self._socket is not None:  # subscribed late: `Up` follows the acknowledgement
                self._keep(loop.create_task(self._subscribe_late(self._socket, channel)))
        elif self._state == "open":
            listener.put(Up(self._connections, loop.time()))
        return listener

    def leave(self, listener: Listener) -> None:
        """``listener`` wants nothing more."""
        self._listeners.pop(listener, None)
        if not self._listeners and self._task is not None:
            task, self._task = self._task, None
            task.cancel()
            self._keep(task)

    def _keep(self, task: asyncio.Task[None]) -> None:
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    @property
    def in_use(self) -> bool:
        """Whether anybody listens, or something still has to end."""
        return bool(self._listeners or self._ending)

    async def aclose(self) -> None:
        """Close it; every listener ends with a ClientClosedError."""
        for listener in list(self._listeners):
            listener.fail(ClientClosedError("the client was closed while it watched"))
            self.leave(listener)
        if self._ending:
            await asyncio.wait(set(self._ending))

    def statistics(self) -> PushStatistics:
        """What it did, and how it is now."""
        heard, now = self._heard_at, asyncio.get_running_loop().time()
        return PushStatistics(
            url=self.url,
            user=self.user,
            state=self._state,
            connections=self._connections,
            last_message_ago=None if heard is None else now - heard,
            listeners=len(self._listeners),
            backlog=max(map(len, self._listeners), default=0),
            gaps_filled=self.gaps_filled,
        )

    def _emit(self, event: Event) -> None:
        told: list[Observer] = []
        for listener in self._listeners:
            observer = listener.observer
            if observer is not None and not any(each is observer for each in told):
                told.append(observer)
                emit(observer, event)

    # -- the connection --------------------------------------------------------------------

    async def _run(self) -> None:
        """Keep a connection open until nobody listens, or until coming back can't help."""
        if self._ending:  # one that was left a moment ago has the socket until it has ended
            await asyncio.wait(set(self._ending))
        loop = asyncio.get_running_loop()
        failures = clock_refusals = 0
        lost_at = loop.time()
        try:
            while True:
                self._state, code = "connecting", ""
                opened_at: float | None = None
                try:
                    await self._open(lost_at)
                    opened_at, clock_refusals = loop.time(), 0
                    await self._read()
                except OKXError as error:
                    if self._is_final(error, clock_refusals):
                        self._stop(error)
                        return
                    logger.debug("%s: %s", self.url, error)
                    code = error.code if isinstance(error, RefusedError) else ""
                    if opened_at is not None:
                        lost_at = opened_at if self._heard_at is None else self._heard_at
                        self._emit(PushDisconnected(self.url, self.user, str(error)))
                        if loop.time() - opened_at >= IDLE:
                            failures = 0
                await self._drop()
                self._state = "waiting"
                if code in CLOCK_CODES:
                    clock_refusals += 1
                    await self._learn_clock()
                pause = random.random() * min(LONGEST_PAUSE, 0.5 * 2.0**failures)
                failures = min(failures + 1, 10)
                await asyncio.sleep(pause + (code == TOO_FREQUENT))
        except Exception as mistake:  # ours: nobody waits for ever for it
            logger.exception("%s: unexpected %s", self.url, type(mistake).__name__)
            self._stop(PushStoppedError(f"unexpected {type(mistake).__name__}"))
        finally:
            self._state = "stopped" if self._state == "stopped" else "closed"
            await self._drop()

    @staticmethod
    def _is_final(error: OKXError, clock_refusals: int) -> bool:
        match error:
            case PushStoppedError():
                return True
            case ConnectError():
                return not error.may_pass
            case RefusedError():
                return error.code in CLOCK_CODES and clock_refusals >= MOST_CLOCK_REFUSALS
        return False

    def _stop(self, error: OKXError) -> None:
        self._state = "stopped"
        task, self._task = self._task, None
        if task is not None:
            self._keep(task)
        logger.warning("%s: %s", self.url, error)
        code = str(getattr(error, "code", ""))
        for listener in self._listeners:  # each has an error of its own, for its own bookmark
            listener.fail(PushStoppedError(str(error), code=code))
        self._listeners.clear()

    async def _drop(self) -> None:
        replacing, self._replacing = self._replacing, None
        if replacing is not None:
            replacing.cancel()
            await asyncio.wait({replacing})
        socket, self._socket = self._socket, None
        if socket is not None:
            await socket.close()

    async def _open(self, lost_at: float) -> None:
        """Make the connection, log in and subscribe; tell the listeners that it is new."""
        socket, early = await self._open_socket()
        self._socket = socket
        self._state = "open"
        self._connections += 1
        up = Up(self._connections, lost_at)
        for listener in self._listeners:
            listener.put(up)
        self._emit(PushConnected(self.url, self.user, self._connections))
        for message in early:
            self._dispatch(message)

    async def _open_socket(self) -> tuple[Socket, list[dict[str, Any]]]:
        """A connection with all subscriptions, and what was pushed before the last of them."""
        await paced(self.url)
        socket = await self._connect()
        asked: set[str] = set()
        acknowledged: set[str] = set()
        early: list[dict[str, Any]] = []
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                await socket.send(self._login())
                while (await self._message(socket)).get("event") != "login":
                    pass
                while not acknowledged >= self._channels:  # one may be added meanwhile
                    for channel in sorted(self._channels - asked):
                        asked.add(channel)
                        await socket.send(subscription(channel))
                    message = await self._message(socket)
                    if message.get("event") == "subscribe":
                        acknowledged.add(channel_of(message))
                    else:
                        early.append(message)
        except TimeoutError:
            failure: OKXError = ProtocolError(
                f"the WebSocket didn't acknowledge login and subscriptions in {CONNECT_TIMEOUT:g} s"
            )
        except BaseException:
            await socket.close()
            raise
        else:
            return socket, early
        await socket.close()
        raise failure

    async def _subscribe_late(self, socket: Socket, channel: str) -> None:
        try:
            await socket.send(subscription(channel))
        except OKXError:
            return  # the reader notices, and subscribes on the next connection

    async def _message(self, socket: Socket) -> dict[str, Any]:
        """Read the next JSON object; an OKXError where the connection ended or says an error."""
        frame = await socket.receive()
        if not isinstance(frame, str):
            raise ended(frame.code, frame.reason, self._redact)
        self._heard_at = asyncio.get_running_loop().time()
        message = parse(frame)
        if message.get("event") == "error":
            raise refused(message, self._redact)
        return message

    async def _hear(self, socket: Socket) -> dict[str, Any]:
        """The next message; a ping after `IDLE` seconds, and ProtocolError where none helps."""
        try:
            async with asyncio.timeout(IDLE):
                return await self._message(socket)
        except TimeoutError:
            pass
        try:
            async with asyncio.timeout(PONG_WITHIN):
                await socket.send("ping")
                return await self._message(socket)
        except TimeoutError:
            pass
        raise ProtocolError(f"the WebSocket was silent for {IDLE + PONG_WITHIN:g} s")

    async def _read(self) -> None:
        """Hand on what is pushed, until the connection ends."""
        while (socket := self._socket) is not None:
            try:
                while True:
                    message = await self._hear(socket)
                    if str(message.get("code", "")) == SERVICE_UPGRADE:
                        self._replace_soon(socket)
                    elif message is PONG and self._socket is not socket:
                        break  # all that OKX sent on the first one before it was left is read
                    else:
                        self._dispatch(message)
            except OKXError:
                if self._socket is socket:
                    raise

    # -- the second connection before a service upgrade ------------------------------------

    def _replace_soon(self, old: Socket) -> None:
        if self._replacing is None or self._replacing.done():
            work: Coroutine[Any, Any, None] = self._replace(old)
            self._replacing = asyncio.get_running_loop().create_task(work)

    async def _replace(self, old: Socket) -> None:
        """Open a second connection before the first one is left: no gap, doubled pushes only.

        While none comes about the first one goes on; when that ends, the ordinary way begins.
        """
        pause = 1.0
        while True:
            try:
                self._socket, early = await self._open_socket()
                break
            except OKXError as error:
                logger.debug("%s: no second connection yet: %s", self.url, error)
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)
        self._connections += 1
        self._emit(PushConnected(self.url, self.user, self._connections))
        for message in early:
            self._dispatch(message)
        try:
            async with asyncio.timeout(PONG_WITHIN):
                await old.send("ping")  # its pong comes behind everything that was pushed there
                await asyncio.sleep(PONG_WITHIN)
        except (OKXError, TimeoutError):
            pass
        finally:
            await old.close()

    # -- messages --------------------------------------------------------------------------

    def _dispatch(self, message: dict[str, Any]) -> None:
        item: Pushed | Up | None = pushed(message)
        if message.get("event") == "subscribe":  # of a channel that was subscribed late
            item = Up(self._connections, asyncio.get_running_loop().time())
        if item is None:
            return
        channel = channel_of(message)
        for listener in self._listeners:
            if listener.channel == channel:
                listener.put(item)
