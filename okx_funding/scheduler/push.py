"""One connection for what OKX pushes: login, subscriptions, silence, and coming back.

The connection is opened for the first listener and closed after the last one. Its one task runs
`PushConnection._run`: connect (paced over the whole process by `paced`), log in, subscribe, read.
What comes goes to every listener of its channel at once, as `Pushed`; `Up` tells a listener that
the connection is new, so that it fills the gap from the history, and comes before everything
that is pushed on it.

https://www.okx.com/docs-v5/en/#overview-websocket-connect
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
import weakref
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from okx_funding.errors import (
    BacklogExceededError,
    ClientClosedError,
    ConnectError,
    OKXError,
    ProtocolError,
    PushStoppedError,
)

logger: logging.Logger = logging.getLogger("okx_funding.push")

IDLE = 25.0
"""Seconds without a frame after which a ping is sent: OKX closes after 30 s of silence."""
PONG = 5.0
"""Seconds within which anything must come after a ping."""
CONNECT_TIMEOUT = 10.0
"""Seconds for connecting, and once more for logging in and subscribing."""
CONNECT_INTERVAL = 0.4
"""Seconds between two connections to one host: OKX refuses more than 3 in a second."""
LONGEST_PAUSE = 30.0
"""Seconds between two attempts at most, before jitter."""

# https://www.okx.com/docs-v5/en/#error-code-websocket and the table of close frames
FINAL_CLOSES = frozenset({1009, 4001, 4002, 4003, 4007, 4008, 4009})
FINAL_CODES = frozenset(
    "60005 60007 60008 60009 60011 60018 60024 60028 60031 60032 64001 64002".split()
)
CLOCK_CODES = frozenset({"60004", "60006"})
SERVICE_UPGRADE = "64008"


class Socket(Protocol):
    """What a connection is, as far as it matters here; see `okx_funding.wire.websocket`."""

    async def send(self, text: str) -> None:
        """Send one text frame."""

    async def receive(self) -> Any:
        """Wait for a text frame, or for ``Closed(code, reason)``."""

    async def close(self) -> None:
        """Close it."""


class Pushed(NamedTuple):
    """Rows of one push, as OKX sent them: the JSON text of a list."""

    rows: bytes


class Up(NamedTuple):
    """The connection is new: what happened before it must be read from the history."""

    number: int
    lost_at: float
    """When the one before was lost, by the loop's clock; when it was asked for the first time."""


@dataclass(slots=True)
class PushStatistics:
    """What one connection did, and how it is now."""

    url: str
    state: str = "closed"
    """"connecting", "open", "waiting" (for the next attempt), "stopped" or "closed"."""
    connections: int = 0
    """How many were made; all but the first are reconnects."""
    last_message_ago: float | None = None
    """Seconds since anything was heard."""
    listeners: int = 0
    backlog: int = 0
    """Pushes that the slowest listener hasn't taken."""
    gaps_filled: int = 0


class Listener:
    """What one watch hears of one channel, in order; bounded."""

    def __init__(self, connection: PushConnection, channel: str, max_backlog: int) -> None:
        self.channel = channel
        self._connection = connection
        self._max = max_backlog
        self._items: deque[Pushed | Up] = deque()
        self._failure: OKXError | None = None
        self._wake: asyncio.Future[None] | None = None

    def __len__(self) -> int:
        return len(self._items)

    def put(self, item: Pushed | Up) -> None:
        """Append, unless the listener is too far behind; then it ends with an error."""
        if self._failure is not None:
            return
        before = self._items[-1] if self._items else None
        if isinstance(item, Up) and isinstance(before, Up):
            self._items.pop()  # nothing was pushed in between: one gap, from its loss on
            item = Up(item.number, before.lost_at)
        if len(self._items) >= self._max:
            self._items.clear()
            self.fail(
                BacklogExceededError(
                    f"more than max_backlog={self._max} events wait: the consumer is too slow"
                )
            )
            return
        self._items.append(item)
        self._notify()

    def fail(self, error: OKXError) -> None:
        """End it: what was heard is given first, then ``error`` is raised."""
        if self._failure is None:
            self._failure = error
            self._notify()

    def _notify(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    async def get(self) -> Pushed | Up:
        """Wait for the next item."""
        while not self._items:
            if self._failure is not None:
                raise self._failure
            self._wake = asyncio.get_running_loop().create_future()
            try:
                await self._wake
            finally:
                self._wake = None
        return self._items.popleft()

    def close(self) -> None:
        """Listen no more; the last listener closes the connection."""
        self._connection.leave(self)

    def filled(self) -> None:
        """Count a gap that was filled."""
        self._connection.gaps_filled += 1


_next_connect: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, float]] = (
    weakref.WeakKeyDictionary()
)


async def paced(url: str) -> None:
    """Wait until one more connection to ``url`` may be opened, over all clients of the loop."""
    loop = asyncio.get_running_loop()
    turns = _next_connect.setdefault(loop, {})
    turn = max(loop.time(), turns.get(url, 0.0))
    turns[url] = turn + CONNECT_INTERVAL
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
    ) -> None:
        self.url = url
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
        self._closing: set[asyncio.Task[None]] = set()
        self._state = "closed"
        self._connections = 0
        self._heard_at = 0.0

    def __repr__(self) -> str:
        return f"<PushConnection {self.url}: {self._state}, {len(self._listeners)} listeners>"

    # -- listeners -------------------------------------------------------------------------

    def listen(self, channel: str, max_backlog: int) -> Listener:
        """Hear what is pushed on ``channel`` from now on; the first item is `Up`."""
        listener = Listener(self, channel, max_backlog)
        self._listeners[listener] = None
        loop = asyncio.get_running_loop()
        if self._task is None:
            self._channels.add(channel)
            self._task = loop.create_task(self._run())
        elif channel not in self._channels:
            self._channels.add(channel)
            if self._socket is not None:  # subscribed late: `Up` follows the acknowledgement
                self._background(self._subscribe_late(self._socket, channel))
        elif self._state == "open":
            listener.put(Up(self._connections, loop.time()))
        return listener

    def leave(self, listener: Listener) -> None:
        """``listener`` wants nothing more."""
        self._listeners.pop(listener, None)
        if not self._listeners and self._task is not None:
            task, self._task = self._task, None
            self._channels.clear()
            task.cancel()
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    def _background(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def aclose(self) -> None:
        """Close it; every listener ends with a ClientClosedError."""
        for listener in list(self._listeners):
            listener.fail(ClientClosedError("the client was closed while it watched"))
            self.leave(listener)
        if self._closing:
            await asyncio.wait(set(self._closing))

    def statistics(self) -> PushStatistics:
        """What it did, and how it is now."""
        heard = self._heard_at and asyncio.get_running_loop().time() - self._heard_at
        return PushStatistics(
            url=self.url,
            state=self._state,
            connections=self._connections,
            last_message_ago=heard or None,
            listeners=len(self._listeners),
            backlog=max(map(len, self._listeners), default=0),
            gaps_filled=self.gaps_filled,
        )

    # -- the connection --------------------------------------------------------------------

    async def _run(self) -> None:
        """Keep a connection open until nobody listens, or until coming back can't help."""
        loop = asyncio.get_running_loop()
        failures, lost_at = 0, loop.time()
        try:
            while True:
                self._state = "connecting"
                try:
                    await self._open(lost_at)
                    failures = 0
                    await self._read()
                except PushStoppedError as error:
                    self._stop(error)
                    return
                except OKXError as error:
                    if isinstance(error, ConnectError) and not error.may_pass:
                        self._stop(error)
                        return
                    logger.debug("%s: %s", self.url, error)
                if self._state == "open":
                    lost_at = loop.time()
                await self._drop()
                self._state = "waiting"
                pause = min(LONGEST_PAUSE, 0.5 * 2.0**failures)
                failures = min(failures + 1, 10)
                await asyncio.sleep(random.random() * pause)
        except Exception as mistake:  # ours: nobody waits for ever for it
            logger.exception("%s: unexpected %s", self.url, type(mistake).__name__)
            self._stop(PushStoppedError(f"unexpected {type(mistake).__name__}"))
        finally:
            self._state = "stopped" if self._state == "stopped" else "closed"
            await self._drop()

    def _stop(self, error: OKXError) -> None:
        self._state = "stopped"
        self._task = None
        logger.warning("%s: %s", self.url, error)
        for listener in list(self._listeners):
            listener.fail(error)
        self._listeners.clear()

    async def _drop(self) -> None:
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
                await self._log_in(socket)
                while not acknowledged >= self._channels:  # one may be added meanwhile
                    for channel in sorted(self._channels - asked):
                        asked.add(channel)
                        await socket.send(_subscription(channel))
                    message = await self._message(socket)
                    if message.get("event") == "subscribe":
                        acknowledged.add(message.get("arg", {}).get("channel"))
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

    async def _log_in(self, socket: Socket) -> None:
        for attempt in range(2):
            await socket.send(self._login())
            while True:
                message = await self._message(socket, raising=False)
                event, code = message.get("event"), str(message.get("code", ""))
                if event == "login" and code == "0":
                    return
                if event in ("login", "error"):
                    break
            if code in CLOCK_CODES and attempt == 0:
                await self._learn_clock()
                continue
            raise self._refused(message)

    async def _subscribe_late(self, socket: Socket, channel: str) -> None:
        try:
            await socket.send(_subscription(channel))
        except OKXError:
            return  # the reader notices, and subscribes on the next connection

    async def _message(self, socket: Socket, *, raising: bool = True) -> dict[str, Any]:
        """Read the next JSON object; an OKXError where the connection ended or says an error."""
        while True:
            frame = await socket.receive()
            self._heard_at = asyncio.get_running_loop().time()
            if not isinstance(frame, str):
                raise self._ended(frame.code, frame.reason)
            if not frame or frame == "pong":
                return {}
            try:
                message = json.loads(frame)
            except (ValueError, RecursionError):
                raise ProtocolError("the WebSocket sent what isn't JSON") from None
            if not isinstance(message, dict):
                raise ProtocolError("the WebSocket sent what isn't an object")
            if message.get("event") == "error" and raising:
                raise self._refused(message)
            return message

    async def _read(self) -> None:
        """Hand on what is pushed, until the connection ends."""
        while self._socket is not None:
            socket = self._socket
            try:
                async with asyncio.timeout(IDLE):
                    message = await self._message(socket)
            except TimeoutError:
                await self._ping(socket)
                continue
            if str(message.get("code", "")) == SERVICE_UPGRADE:
                await self._replace(socket)
                continue
            self._dispatch(message)

    async def _ping(self, socket: Socket) -> None:
        await socket.send("ping")
        try:
            async with asyncio.timeout(PONG):
                self._dispatch(await self._message(socket))
        except TimeoutError:
            failure = ProtocolError(f"the WebSocket was silent for {IDLE + PONG:g} s")
        else:
            return
        raise failure

    async def _replace(self, old: Socket) -> None:
        """Open a second connection before the first one is closed: no gap, doubled pushes only."""
        opening = asyncio.get_running_loop().create_task(self._open_socket())
        try:
            while not opening.done():
                reading = asyncio.ensure_future(self._message(old))
                await asyncio.wait({opening, reading}, return_when=asyncio.FIRST_COMPLETED)
                if reading.done():
                    self._dispatch(reading.result())
                else:
                    reading.cancel()
                    await asyncio.wait({reading})
            self._socket, early = opening.result()
        except BaseException:
            opening.cancel()
            await asyncio.wait({opening})
            if not opening.cancelled() and opening.exception() is None:
                await opening.result()[0].close()
            raise
        self._connections += 1
        self._background(old.close())
        for message in early:
            self._dispatch(message)

    # -- messages --------------------------------------------------------------------------

    def _dispatch(self, message: dict[str, Any]) -> None:
        if message.get("event") == "subscribe":  # of a channel that was subscribed late
            up = Up(self._connections, asyncio.get_running_loop().time())
            self._tell(message.get("arg", {}).get("channel"), up)
        elif "data" in message and isinstance(message.get("arg"), dict):
            rows = json.dumps(message["data"], separators=(",", ":")).encode()
            self._tell(message["arg"].get("channel"), Pushed(rows))

    def _tell(self, channel: str | None, item: Pushed | Up) -> None:
        for listener in self._listeners:
            if listener.channel == channel:
                listener.put(item)

    def _refused(self, message: dict[str, Any]) -> OKXError:
        code, text = str(message.get("code", "")), self._redact(str(message.get("msg", ""))[:200])
        said = f"the WebSocket refused with {code}: {text}"
        if code in FINAL_CODES:
            return PushStoppedError(f"{said}; look at key, passphrase and region", code=code)
        return ProtocolError(said)

    def _ended(self, code: int, reason: str) -> OKXError:
        said = f"the WebSocket was closed with {code} {self._redact(reason[:120])}".rstrip()
        if code in FINAL_CLOSES:
            return PushStoppedError(said, code=str(code))
        return ProtocolError(said)


def _subscription(channel: str) -> str:
    return json.dumps({"op": "subscribe", "args": [{"channel": channel}]}, separators=(",", ":"))
