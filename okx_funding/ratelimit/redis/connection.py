"""The way to Redis: one connection for asks and returns, one on which messages come.

Asks and returns leave as they come and are answered in order: a far Redis costs one round trip
for each ask, however many buckets ask, and none for a return. Whatever fails is a loss: both
connections are closed, and from then on the link tries to come back.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol
from urllib.parse import urlsplit

from redis import exceptions
from redis.asyncio.connection import AbstractConnection, Connection, parse_url

from okx_funding.auth.secret import Secret
from okx_funding.errors import InvalidArgumentError

from .bucket import SharedBucket
from .diagnosis import diagnosis
from .scripts import GIVE, INBOX, TAKE, Taken, hint_of
from .messages import Release

logger: logging.Logger = logging.getLogger("okx_funding.ratelimit.bucket")

ANSWER_WITHIN = 1.0
"""Seconds within which Redis has to answer, unless the URL names a ``socket_timeout``."""
PATIENCE = 60.0
"""Seconds of outage after which even callers without a deadline are told."""
PING_AFTER = 1.0
"""Seconds after which a link that must notice every outage says something."""
_BACKOFF = (0.0, 0.05, 0.1, 0.2, 0.5, 1.0)
_PACKET = 100
_BUSY = 0.05
"""A timer that is late by so many seconds says that this loop was busy: the answer may be there."""


class Connector:
    """Makes connections to the Redis of a URL, and shows no password."""

    def __init__(self, url: str) -> None:
        settings = _settings_of(url)
        if settings is None:
            raise InvalidArgumentError(
                "buckets must be the URL of a Redis: redis://host:6379/0, rediss://... or unix://..."
            )
        parts = urlsplit(url)
        self.where: str = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
        if parts.scheme == "unix":
            self.where += parts.path
        self._make: Callable[..., Any] = settings.pop("connection_class", Connection)
        for name in settings:
            if "password" in name:
                settings[name] = Secret(settings[name])
        self.answer_within: float = settings.get("socket_timeout") or ANSWER_WITHIN
        settings |= {"socket_connect_timeout": self.answer_within, "socket_timeout": None}
        settings |= {"retry_on_timeout": False, "decode_responses": False, "protocol": 2}
        self._settings = settings

    async def connect(self) -> AbstractConnection:
        """A new connection. Raises what redis-py raises, and TimeoutError."""
        connection: AbstractConnection = self._make(**self._settings)
        try:
            async with asyncio.timeout(self.answer_within):
                await connection.connect()  # type: ignore[no-untyped-call]
        except BaseException:
            await close_quietly(connection)
            raise
        return connection

    async def answer(self, connection: AbstractConnection) -> Any:
        """The next answer that it owes. TimeoutError says that the server is late, not we."""
        loop = asyncio.get_running_loop()
        while True:
            until = loop.time() + self.answer_within
            answer = await connection.read_response(timeout=self.answer_within)
            if answer is not None:
                return answer
            if loop.time() < until + _BUSY:
                raise TimeoutError


def _settings_of(url: str) -> dict[str, Any] | None:
    """What redis-py makes of a URL; None when it makes nothing of it."""
    try:
        return {**parse_url(url)}
    except (ValueError, TypeError, AttributeError):
        return None


async def close_quietly(connection: AbstractConnection) -> None:
    """Close it, whatever its state."""
    with contextlib.suppress(exceptions.RedisError, OSError, TimeoutError):
        await connection.disconnect(nowait=True)


class Store(Protocol):
    """Who is told how the link fares."""

    def lost(self) -> None:
        """From now on nothing can be asked."""

    def found(self, *, silent: bool) -> None:
        """Asking is possible again. ``silent``: something may have been sent meanwhile."""

    def on_hint(self, name: str, due_in: float) -> None:
        """A message for the bucket ``name``."""

    def outlasted(self, reason: str, *, only_without_deadline: bool) -> None:
        """Tell those who would wait for ever, or everybody, that waiting is of no use."""


class ServerConnection:
    """What one session says to Redis and hears from it, from the first word until `aclose`.

    ``attentive``: it must notice every outage soon, even when nobody asks anything.
    """

    def __init__(
        self, connector: Connector, process: str, store: Store, *, attentive: bool
    ) -> None:
        self.process = process
        self.unavailable_reason: str | None = None
        """Why nothing can be asked, if that is so."""
        self.is_fatal: bool = False
        """Whether waiting is of no use then."""
        self._connector = connector
        self._store = store
        self._attentive = attentive
        self._asks: dict[SharedBucket, None] = {}
        self._returns: deque[Release] = deque()
        self._owed: deque[SharedBucket | Release | None] = deque()
        self._something_to_say = asyncio.Event()
        self._something_owed = asyncio.Event()
        self._all_said = asyncio.Event()
        self._server: bytes | None = None
        self._failures = self._told = 0
        self._lost_at = 0.0
        self._task: asyncio.Task[None] | None = None

    # -- saying ----------------------------------------------------------------------------

    def ask(self, bucket: SharedBucket) -> None:
        """Have the bucket's question asked as soon as it can be."""
        self._asks[bucket] = None
        self._say()

    def give(self, back: Release) -> None:
        """Have a slot given back; nobody waits for it."""
        self._returns.append(back)
        self._say()

    def _say(self) -> None:
        self._all_said.clear()
        self._something_to_say.set()
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._live())

    async def aclose(self) -> None:
        """Say what is left to say, if Redis hears it within a second, and part."""
        if self._task is None:
            return
        if self.unavailable_reason is None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(ANSWER_WITHIN):
                    await self._all_said.wait()
        self.abandon()
        await asyncio.wait([self._task])

    def abandon(self) -> None:
        """Part without a word."""
        if self._task is not None:
            self._task.cancel()

    # -- being in touch --------------------------------------------------------------------

    async def _live(self) -> None:
        """Connect, converse until something fails, and begin anew."""
        while True:
            try:
                async with contextlib.AsyncExitStack() as closing:
                    talk, messages = await self._connect(closing)
                    async with asyncio.TaskGroup() as group:
                        group.create_task(self._write(talk))
                        group.create_task(self._read(talk))
                        group.create_task(self._hear(messages))
            except* Exception as failed:
                self._failed(failed.exceptions[0])
            await asyncio.sleep(_BACKOFF[min(self._failures, len(_BACKOFF)) - 1])

    async def _connect(
        self, closing: contextlib.AsyncExitStack
    ) -> tuple[AbstractConnection, AbstractConnection]:
        """Both connections, when the server has proved that scripts may write and be heard."""
        answer = self._connector.answer
        inbox = INBOX + self.process
        talk = await self._connector.connect()
        closing.push_async_callback(close_quietly, talk)
        writing = (("HSET", inbox, "may", "write"), ("HDEL", inbox, "may"))
        for command in (("INFO", "server"), TAKE.load(), GIVE.load(), *writing):
            await talk.send_command(*command, check_health=False)
        server = None
        with contextlib.suppress(exceptions.NoPermissionError):
            server = re.search(rb"run_id:(\w+)", await answer(talk))
        for _ in range(4):
            await answer(talk)
        messages = await self._connector.connect()
        closing.push_async_callback(close_quietly, messages)
        await messages.send_command("SUBSCRIBE", inbox, check_health=False)
        await answer(messages)
        self._connected(server and server[1])
        return talk, messages

    def _connected(self, server: bytes | None) -> None:
        same = server is not None and server == self._server
        self._server = server
        if self.unavailable_reason is not None:
            # Where processes may go on by their shares, some may not know yet that they needn't.
            silent = not same or (self._attentive and self._failures > 1)
            self.unavailable_reason, self.is_fatal = None, False
            self._store.found(silent=silent)

    def _failed(self, error: BaseException) -> None:
        now = asyncio.get_running_loop().time()
        words, self.is_fatal = diagnosis(error)
        in_touch = self.unavailable_reason is None
        self.unavailable_reason = (
            f"the shared buckets at {self._connector.where} can't be used: {words}"
        )
        self._failures += 1
        if self._failures == 1:
            self._lost_at, self._told = now, 0
        elif self._failures == 2:
            logger.warning("%s", self.unavailable_reason)
        if in_touch:
            self._asks.clear()
            self._returns.extendleft(owed for owed in self._owed if isinstance(owed, Release))
            self._owed.clear()
            self._store.lost()
        if self.is_fatal:
            self._store.outlasted(self.unavailable_reason, only_without_deadline=False)
        elif now - self._lost_at > PATIENCE * (self._told + 1):
            self._told += 1
            self._store.outlasted(self.unavailable_reason, only_without_deadline=True)

    def _in_touch(self) -> None:
        """A script was run, so that all is well."""
        if self._failures > 1:
            logger.warning("the shared buckets at %s are back", self._connector.where)
        self._failures = 0

    # -- conversing ------------------------------------------------------------------------

    async def _write(self, talk: AbstractConnection) -> None:
        loop = asyncio.get_running_loop()
        while True:
            commands = self._packet(loop.time())
            if not commands:
                self._something_to_say.clear()
                try:
                    async with asyncio.timeout(PING_AFTER if self._attentive else None):
                        await self._something_to_say.wait()
                    continue
                except TimeoutError:
                    commands = [("PING",)]
                    self._owed.append(None)
            self._something_owed.set()
            await talk.send_packed_command(talk.pack_commands(commands), check_health=False)

    def _packet(self, now: float) -> list[tuple[Any, ...]]:
        """The next commands; whose answers are owed is noted."""
        commands: list[tuple[Any, ...]] = []
        while self._returns and len(commands) < _PACKET:
            back = self._returns.popleft()
            commands.append(GIVE.on(back.bucket, back.arguments(self.process, now)))
            self._owed.append(back)
        while self._asks and len(commands) < _PACKET:
            bucket = next(iter(self._asks))
            del self._asks[bucket]
            commands.append(TAKE.on(bucket.name, bucket.arguments(now)))
            self._owed.append(bucket)
        return commands

    async def _read(self, talk: AbstractConnection) -> None:
        loop = asyncio.get_running_loop()
        while True:
            if not self._owed:
                if not self._returns and not self._asks:
                    self._all_said.set()
                self._something_owed.clear()
                await self._something_owed.wait()
            answer = await self._connector.answer(talk)
            owed = self._owed.popleft()
            if self._failures and owed is not None:
                self._in_touch()
            if isinstance(owed, SharedBucket):
                owed.on_reply(Taken.of(answer), loop.time())

    async def _hear(self, messages: AbstractConnection) -> None:
        while True:
            kind, _, message = await messages.read_response()
            if kind == b"message":
                self._store.on_hint(*hint_of(message))
