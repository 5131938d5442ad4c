"""The way to Redis: one connection, on which asks leave, and answers and messages come.

Commands leave as they come and are answered in order: a far Redis costs one round trip for each
ask, however many buckets ask, and none for a return. Messages come on the same connection, so that
it can't be deaf unnoticed. Whatever fails the server is a loss: the connection is closed, and from
then on it is tried to come back. What fails one bucket is that bucket's.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import re
from collections import deque
from typing import Any, Protocol

from redis import exceptions
from redis.asyncio.connection import AbstractConnection

from .bucket import SharedBucket
from .connector import ANSWER_WITHIN, Connector, close_quietly, is_push
from .diagnosis import diagnosis, is_of_one_bucket
from .messages import Command, Release, Renewal
from .scripts import GIVE, RENEW, TAKE, Message, inbox

logger: logging.Logger = logging.getLogger("okx_funding.ratelimit.bucket")

PATIENCE = 60.0
"""Seconds of outage after which even callers without a deadline are told."""
PING_AFTER = 1.0
"""Seconds after which a connection on which something is waited for says something."""
_BACKOFF = (0.25, 1.0)
"""Seconds within which the first attempt to come back is made, and the others about; at random, so
that many processes don't come at once."""
_PACKET = 100
_BUSY = 0.05
"""A timer that is late by so many seconds says that this loop was busy: the answer may be there."""


class Store(Protocol):
    """Who is told how the connection fares."""

    def waits(self) -> bool:
        """Whether a message is waited for."""

    def on_lost(self) -> None:
        """From now on nothing can be asked."""

    def on_restored(self, *, silent: bool) -> None:
        """Asking is possible again. ``silent``: something may have been sent meanwhile."""

    def on_message(self, message: Message) -> None:
        """A message for one of its buckets."""

    def fail_waiters(self, reason: str, *, only_without_deadline: bool) -> None:
        """Tell those who would wait for ever, or everybody, that waiting is of no use."""


class ServerConnection:
    """What one session says to Redis and hears from it, from the first word until `aclose`.

    ``attentive``: it must notice every outage soon, even when nobody asks anything.
    """

    def __init__(
        self, connector: Connector, process: str, prefix: str, store: Store, *, attentive: bool
    ) -> None:
        self.process = process
        self.unavailable_reason: str | None = None
        """Why nothing can be asked, if that is so."""
        self.is_fatal: bool = False
        """Whether waiting is of no use then."""
        self.server: str = ""
        """The server's run id, where it tells."""
        self._prefix = prefix
        self._connector = connector
        self._store = store
        self._attentive = attentive
        self._asks: dict[SharedBucket, None] = {}
        self._others: deque[Release | Renewal] = deque()
        self._pending: deque[Command | None] = deque()
        """What was sent and not answered yet; None for a ping."""
        self._outgoing = asyncio.Event()
        self._owing = asyncio.Event()
        self._drained = asyncio.Event()
        self._heard_at = 0.0
        self._failures = self._reported = 0
        self._lost_at = 0.0
        self._task: asyncio.Task[None] | None = None

    # -- sending ---------------------------------------------------------------------------

    def ask(self, bucket: SharedBucket) -> None:
        """Have the bucket's ask sent as soon as it can be."""
        self._asks[bucket] = None
        self._wake()

    def send(self, command: Release | Renewal) -> None:
        """Have it sent; nobody waits for it."""
        if self.unavailable_reason is None or isinstance(command, Release):
            self._others.append(command)
            self._wake()

    def _wake(self) -> None:
        self._drained.clear()
        self._outgoing.set()
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._live())

    async def aclose(self) -> None:
        """Say what is left to say, if Redis hears it within a second, and part."""
        if self._task is None:
            return
        if self.unavailable_reason is None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(ANSWER_WITHIN):
                    await self._drained.wait()
        self.abandon()
        await asyncio.wait([self._task])

    def abandon(self) -> None:
        """Part without a word."""
        if self._task is not None:
            self._task.cancel()

    # -- connecting ------------------------------------------------------------------------

    async def _live(self) -> None:
        """Connect, converse until something fails, and begin anew."""
        while True:
            try:
                connection = await self._connector.connect()
                try:
                    await self._prove(connection)
                    async with asyncio.TaskGroup() as group:
                        group.create_task(self._write(connection))
                        group.create_task(self._read(connection))
                        group.create_task(self._watch())
                finally:
                    await close_quietly(connection)
            except* Exception as failed:
                self._on_failure(failed.exceptions[0])
            first, later = _BACKOFF
            spread = (0.0, first) if self._failures < 2 else (0.5 * later, 1.5 * later)
            await asyncio.sleep(random.uniform(*spread))

    async def _prove(self, connection: AbstractConnection) -> None:
        """See that scripts can be run there, may do what they have to do, and are heard."""
        channel, scratch = inbox(self._prefix, self.process), f"{self._prefix}:check:{self.process}"
        info, *answers = await self._connector.ask(
            connection,
            [
                ("INFO", "server"),
                *(script.load() for script in (TAKE, GIVE, RENEW)),
                *_needed_commands(scratch),
                ("PUBLISH", f"{channel}:check", ""),
            ],
        )
        for answer in answers:
            if isinstance(answer, Exception):
                raise answer
        await connection.send_command("SUBSCRIBE", channel, check_health=False)
        async with asyncio.timeout(self._connector.answer_within):
            await self._connector.read(connection)
        self._owing.clear()
        found = None if isinstance(info, Exception) else re.search(rb"run_id:(\w+)", info)
        self._on_connected(found[1].decode() if found else "")

    def _on_connected(self, server: str) -> None:
        same = bool(server) and server == self.server
        self.server = server
        if self.unavailable_reason is not None:
            # Where processes may go on by their shares, some may not know yet that they needn't.
            silent = not same or (self._attentive and self._failures > 1)
            self.unavailable_reason, self.is_fatal = None, False
            self._store.on_restored(silent=silent)

    def _on_failure(self, error: BaseException) -> None:
        now = asyncio.get_running_loop().time()
        reason, is_fatal = diagnosis(error)
        self.is_fatal = is_fatal and not (
            self._connector.rotates and isinstance(error, exceptions.AuthenticationError)
        )
        was_connected = self.unavailable_reason is None
        self.unavailable_reason = (
            f"the shared buckets at {self._connector.where} can't be used: {reason}"
        )
        self._failures += 1
        if self._failures == 1:
            self._lost_at, self._reported = now, 0
        if self._failures == 2 or (self._failures == 1 and isinstance(error, TimeoutError)):
            logger.warning("%s", self.unavailable_reason)
        if was_connected:
            self._asks.clear()
            kept = [sent for sent in self._pending if isinstance(sent, Release)]
            self._others = deque([*kept, *(o for o in self._others if isinstance(o, Release))])
            self._pending.clear()
            self._store.on_lost()
        if self.is_fatal:
            self._store.fail_waiters(self.unavailable_reason, only_without_deadline=False)
        elif now - self._lost_at > PATIENCE * (self._reported + 1):
            self._reported += 1
            self._store.fail_waiters(self.unavailable_reason, only_without_deadline=True)

    def _on_success(self) -> None:
        """A script was run, so that all is well."""
        if self._failures > 1:
            logger.warning("the shared buckets at %s are back", self._connector.where)
        self._failures = 0

    # -- conversing ------------------------------------------------------------------------

    async def _write(self, connection: AbstractConnection) -> None:
        loop = asyncio.get_running_loop()
        while True:
            if not self._pending:
                self._heard_at = loop.time()
            commands = self._packet(loop.time())
            if not commands:
                self._outgoing.clear()
                watched = self._attentive or bool(self._pending) or self._store.waits()
                try:
                    async with asyncio.timeout(PING_AFTER if watched else None):
                        await self._outgoing.wait()
                    continue
                except TimeoutError:
                    if not (self._attentive or self._store.waits()):
                        continue
                    if self._pending:
                        continue
                    commands = [("PING",)]
                    self._heard_at = loop.time()
                    self._pending.append(None)
            self._owing.set()
            packed = connection.pack_commands(commands)
            await connection.send_packed_command(packed, check_health=False)

    def _packet(self, now: float) -> list[tuple[Any, ...]]:
        """The next commands; those whose answers are owed are noted."""
        commands: list[tuple[Any, ...]] = []
        while (self._others or self._asks) and len(commands) < _PACKET:
            command: Command
            if self._others:
                command = self._others.popleft()
            else:
                command = next(iter(self._asks))
                del self._asks[command]
            commands.append(command.command(self.process, self._prefix, now))
            self._pending.append(command)
        return commands

    async def _read(self, connection: AbstractConnection) -> None:
        """Hand on answers and messages."""
        loop = asyncio.get_running_loop()
        while True:
            if not (self._pending or self._others or self._asks):
                self._drained.set()
            failure: str | None = None
            try:
                answer = await self._connector.read(connection)
            except exceptions.ResponseError as error:
                if not is_of_one_bucket(error):
                    raise
                answer, failure = None, diagnosis(error)[0]
            if is_push(answer):
                if answer[0] == b"message":
                    self._store.on_message(Message.of(answer[2]))
                continue
            self._heard_at = loop.time()
            command = self._pending.popleft()
            if command is None:
                continue
            if failure is not None:
                command.on_error(failure, loop.time())
                continue
            if self._failures:
                self._on_success()
            command.on_reply(answer, loop.time())

    async def _watch(self) -> None:
        """Raise TimeoutError when an answer is late. It says that the server is late, not we."""
        loop, within = asyncio.get_running_loop(), self._connector.answer_within
        while True:
            if not self._pending:
                self._owing.clear()
                await self._owing.wait()
                continue
            due = self._heard_at + within
            await asyncio.sleep(due - loop.time())
            if self._pending and self._heard_at + within <= due:
                if loop.time() < due + _BUSY:
                    raise TimeoutError
                self._heard_at = loop.time()


def _needed_commands(key: str) -> list[tuple[Any, ...]]:
    """All that scripts do, once, on a key that is gone afterwards."""
    queue = f"{key}:queue"
    return [
        ("HSET", key, "may", "write"),
        ("HGET", key, "may"),
        ("HGETALL", key),
        ("EXPIRE", key, 60),
        ("HDEL", key, "may"),
        ("ZADD", queue, 1, "me"),
        ("ZRANK", queue, "me"),
        ("ZCARD", queue),
        ("ZRANGE", queue, 0, 0),
        ("ZREM", queue, "me"),
        ("TIME",),
    ]
