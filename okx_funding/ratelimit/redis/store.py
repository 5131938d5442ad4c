"""All buckets of one session in one Redis."""

from __future__ import annotations

import asyncio
import os
import re
import secrets
import socket
from collections.abc import Mapping
from typing import Literal

from okx_funding.api.spec import RateLimit
from okx_funding.api.table import ENDPOINTS
from okx_funding.errors import InvalidArgumentError
from okx_funding.ratelimit.interface import Claim
from okx_funding.ratelimit.registry import BucketKey

from .bucket import SharedBucket
from .connection import PING_AFTER, ServerConnection
from .connector import Connector, RedisCredentials
from .identity import UserProof
from .messages import Release, Renewal
from .scripts import FORMATS, PREFIX, Message

OnLoss = Literal["closed", "share"]

_LATE = 0.5
"""Seconds that a timer may be late when others rely on it."""
SWEEP_FROM = 256


class SharedLimits:
    """One limit for all processes and machines that use the same Redis, or what speaks like it.

        async with Session(limits=SharedLimits("redis://user:password@host:6379/0")) as session: ...

    ``url`` is redis-py's: ``redis://``, ``rediss://`` for TLS, ``unix://``. Without one it is taken
    from the environment variable ``OKX_BUCKETS``, so that no password stands on a command line.
    ``credentials`` gives user and password for each new connection instead, where they rotate: a
    function, or a coroutine function.

    ``when_lost`` says what happens while Redis can't be reached: ``"closed"``, nothing is sent; or
    ``"share"``, each of ``processes`` goes on with its share of the limits, where they can be
    divided. A mapping says so by method name.

    ``prefix`` begins the names of all keys and channels, for teams or stages that use one Redis.
    ``address`` names the address that requests come from: then limits by IP address are shared by
    all processes that say the same name. Without it each process keeps them by itself.

    Raises InvalidArgumentError for a URL that can't be used.
    """

    proves_user = True
    """Processes that call one user by two names would each use the whole limit: so a session asks
    OKX once for the user id, before its first request, and compares."""

    def __init__(
        self,
        url: str | None = None,
        *,
        when_lost: OnLoss | Mapping[str, OnLoss] = "closed",
        processes: int | None = None,
        prefix: str = PREFIX,
        credentials: RedisCredentials | None = None,
        address: str | None = None,
    ) -> None:
        for name, value in (("prefix", prefix), ("address", address)):
            if value is not None and not re.fullmatch(r"[\w.-]{1,64}", value, re.ASCII):
                raise InvalidArgumentError(
                    f"{name} must be up to 64 letters, digits, or any of _.-"
                )
        connector = Connector(url, credentials)
        self.where: str = connector.where
        self.process: str = _name_of_this_process()
        self.prefix: str = prefix
        self.address: str | None = address
        self.formats: tuple[int, ...] = FORMATS
        self.longest_request: float = 0.0
        self._notice = PING_AFTER + connector.answer_within + _LATE
        self.users: UserProof = UserProof()
        self._buckets: dict[BucketKey, SharedBucket] = {}
        self._by_tag: dict[str, SharedBucket] = {}
        self._sweep_at = SWEEP_FROM
        self._sharing = _sharing(when_lost, processes)
        self._processes = processes or 1
        self._connection = ServerConnection(
            connector, self.process, prefix, self, attentive=bool(self._sharing)
        )
        self.check({name: endpoint.limits[0] for name, endpoint in ENDPOINTS.items()})

    def __repr__(self) -> str:
        if not hasattr(self, "_connection"):  # a traceback asks while __init__ is still at work
            return f"<{type(self).__name__}>"
        return f"<{type(self).__name__} at {self.where}: {self.unavailable_reason or 'well'}>"

    # -- buckets ---------------------------------------------------------------------------

    def check(self, limits: Mapping[str, RateLimit]) -> None:
        """Raises InvalidArgumentError where processes are to share a limit and can't."""
        for name, limit in limits.items():
            if "ip" not in ENDPOINTS[name].limits[0].per:
                self.share_of(name, limit)

    def share_of(self, name: str, limit: RateLimit) -> int:
        """Slots of this process when Redis is lost; 0 where nobody may send then.

        Raises InvalidArgumentError where the limit can't be divided.
        """
        name = name.partition("/")[0].partition("#")[0]  # a rule may name values, and its number
        if name not in self._sharing:
            return 0
        share = limit.count // self._processes
        if not share:
            raise InvalidArgumentError(
                f"{self._processes} processes can't share {name}'s {limit} when Redis is lost: "
                f"leave it closed, as in on_loss={{'get_non_tradable_assets': 'share'}}"
            )
        return share

    def bucket(self, key: BucketKey, claim: Claim) -> SharedBucket:
        """This process's view of one bucket."""
        bucket = self._buckets.get(key)
        if bucket is None:
            self.share_of(key.rule, claim.limit)
            if len(self._buckets) >= self._sweep_at:
                self._sweep()
            bucket = self._buckets[key] = SharedBucket(tag_of(key), claim, self)
            self._by_tag[bucket.tag] = bucket
            if self.unavailable_reason is not None:
                self._lose(key, bucket)
        return bucket

    def keys_of(self, user: str) -> list[BucketKey]:
        """The keys of all buckets of ``user``."""
        return [key for key in self._buckets if key.user == user]

    def forget(self, key: BucketKey) -> SharedBucket:
        """The bucket of ``key``, which nobody takes from any more."""
        bucket = self._buckets.pop(key)
        del self._by_tag[bucket.tag]
        return bucket

    def _sweep(self) -> None:
        for key in [key for key, bucket in self._buckets.items() if bucket.idle()]:
            self.forget(key)
        self._sweep_at = max(SWEEP_FROM, 2 * len(self._buckets))

    # -- what buckets want to know and say ---------------------------------------------------

    @property
    def unavailable_reason(self) -> str | None:
        """Why Redis can't be used, if that is so."""
        return self._connection.unavailable_reason

    @property
    def is_fatal(self) -> bool:
        """Whether waiting is of no use then."""
        return self._connection.is_fatal

    @property
    def settle(self) -> float:
        """Seconds that others may go on by themselves when Redis is back."""
        return self._notice if self._sharing else 0.0

    @property
    def server(self) -> str:
        """The run id of the server, or nothing where it isn't known."""
        return self._connection.server

    def ask(self, bucket: SharedBucket) -> None:
        """Have its question asked as soon as it can be."""
        self._connection.ask(bucket)

    def give(self, back: Release) -> None:
        """Have a slot given back; nobody waits for it."""
        self._connection.send(back)

    def renew(self, renewal: Renewal) -> None:
        """Have slots held for longer."""
        self._connection.send(renewal)

    # -- what the link tells -----------------------------------------------------------------

    def waits(self) -> bool:
        """Whether a message is waited for."""
        return any(bucket.waits for bucket in self._buckets.values())

    def on_lost(self) -> None:
        """From now on nothing can be asked."""
        for key, bucket in list(self._buckets.items()):
            self._lose(key, bucket)

    def _lose(self, key: BucketKey, bucket: SharedBucket) -> None:
        now = asyncio.get_running_loop().time()
        bucket.on_lost(self.share_of(key.rule, bucket.limit), now + self._notice)

    def on_restored(self, *, silent: bool) -> None:
        """Asking is possible again. ``silent``: something may have been sent meanwhile."""
        for bucket in list(self._buckets.values()):
            bucket.on_restored(silent=silent)

    def on_message(self, message: Message) -> None:
        """A message for one of the buckets."""
        bucket = self._by_tag.get(message.tag)
        if bucket is None:
            return
        now = asyncio.get_running_loop().time()
        if message.kind == "call":
            bucket.on_call(message.after, now)
        elif message.kind == "freeze":
            bucket.on_freeze(message.after, now)

    def fail_waiters(self, reason: str, *, only_without_deadline: bool) -> None:
        """Tell those who would wait for ever, or everybody, that waiting is of no use."""
        for bucket in list(self._buckets.values()):
            bucket.fail_waiters(reason, only_without_deadline=only_without_deadline)

    # -- closing -----------------------------------------------------------------------------

    async def aclose(self) -> None:
        """Give back what is in hand, leave all queues, and part from Redis."""
        await self.users.aclose()
        for bucket in self._buckets.values():
            bucket.close()
        await self._connection.aclose()

    def abandon(self) -> None:
        """Part without a word, where nobody may await."""
        self._connection.abandon()


class RedisBuckets(SharedLimits):
    """What ``Session(buckets=, on_loss=, processes=)`` makes of its arguments."""

    def __init__(
        self,
        url: str,
        *,
        on_loss: OnLoss | Mapping[str, OnLoss] = "closed",
        processes: int | None = None,
    ) -> None:
        super().__init__(url, when_lost=on_loss, processes=processes)


def tag_of(key: BucketKey) -> str:
    """The bucket's name in Redis without prefix and format.

    What stands in braces decides where a cluster keeps it.
    """
    host = key.origin.partition("://")[2] + ("/demo" if key.demo else "")
    return f"{{{host}:{key.user}:{key.rule}}}"


def _name_of_this_process() -> str:
    host = re.sub(r"[^\w.-]", "_", socket.gethostname(), flags=re.ASCII)
    return f"{host}-{os.getpid()}-{secrets.token_hex(3)}"


def _sharing(when_lost: OnLoss | Mapping[str, OnLoss], processes: int | None) -> frozenset[str]:
    """The endpoints whose limit is divided when Redis is lost."""
    modes: dict[str, object]
    modes = dict.fromkeys(ENDPOINTS, when_lost) if isinstance(when_lost, str) else dict(when_lost)
    for name, mode in modes.items():
        if name not in ENDPOINTS or mode not in ("closed", "share"):
            raise InvalidArgumentError(
                "when_lost must be 'closed' or 'share', or say so by method name, not "
                f"{name!r}: {mode!r}"
            )
    sharing = frozenset(name for name, mode in modes.items() if mode == "share")
    if bool(sharing) == (processes is None):
        raise InvalidArgumentError(
            "processes is how many processes divide the limits: give it with when_lost='share', "
            "and only then"
        )
    if processes is not None and (type(processes) is not int or processes < 1):
        raise InvalidArgumentError(f"processes must be a whole number from 1 on: {processes!r}")
    return sharing
