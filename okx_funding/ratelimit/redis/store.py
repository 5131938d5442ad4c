"""All buckets of one session in one Redis."""

from __future__ import annotations

import asyncio
import os
import re
import secrets
import socket
from collections.abc import Mapping
from typing import Literal

from okx_funding.endpoints import ENDPOINTS, RateLimit
from okx_funding.errors import InvalidArgumentError
from okx_funding.ratelimit.bucket import Claim
from okx_funding.ratelimit.registry import BucketKey

from .bucket import SharedBucket
from .connection import PING_AFTER, Connector, ServerConnection
from .scripts import PREFIX
from .messages import Release

OnLoss = Literal["closed", "share"]

LEASE_MARGIN = 5.0
"""Seconds by which a lease outlasts the longest request."""
_LATE = 0.5
"""Seconds that a timer may be late when others rely on it."""
_BUSY = 2.0
"""Seconds that the loop may be busy between an answer of Redis and the request."""
SWEEP_FROM = 256


class RedisBuckets:
    """All buckets of one session in one Redis, or in what speaks like it.

    ``url`` is redis-py's: ``redis://user:password@host:6379/0``, ``rediss://``, ``unix://``.
    """

    def __init__(
        self,
        url: str,
        *,
        on_loss: OnLoss | Mapping[str, OnLoss] = "closed",
        processes: int | None = None,
    ) -> None:
        connector = Connector(url)
        self.where: str = connector.where
        self.process: str = _name_of_this_process()
        self.longest_request: float = 0.0
        self._notice = PING_AFTER + connector.answer_within + _LATE
        self._answer_within = connector.answer_within
        self._buckets: dict[BucketKey, SharedBucket] = {}
        self._by_name: dict[str, SharedBucket] = {}
        self._sweep_at = SWEEP_FROM
        self._sharing = _sharing(on_loss, processes)
        self._processes = processes or 1
        self._connection = ServerConnection(connector, self.process, self, attentive=bool(self._sharing))
        self.check({name: endpoint.limit for name, endpoint in ENDPOINTS.items()})

    def __repr__(self) -> str:
        if not hasattr(self, "_connection"):  # a traceback asks while __init__ is still at work
            return "<RedisBuckets>"
        return f"<RedisBuckets at {self.where}: {self.unavailable_reason or 'well'}>"

    # -- buckets ---------------------------------------------------------------------------

    def check(self, limits: Mapping[str, RateLimit]) -> None:
        """Raises InvalidArgumentError where processes are to share a limit and can't."""
        for name, limit in limits.items():
            if ENDPOINTS[name].scope != "ip":
                self.share_of(name, limit)

    def share_of(self, name: str, limit: RateLimit) -> int:
        """Slots of this process when Redis is lost; 0 where nobody may send then.

        Raises InvalidArgumentError where the limit can't be divided.
        """
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
            bucket = self._buckets[key] = SharedBucket(name_of(key), claim, self)
            self._by_name[bucket.name] = bucket
            if self.unavailable_reason is not None:
                self._lose(key, bucket)
        return bucket

    def keys_of(self, user: str) -> list[BucketKey]:
        """The keys of all buckets of ``user``."""
        return [key for key in self._buckets if key.user == user]

    def forget(self, key: BucketKey) -> SharedBucket:
        """The bucket of ``key``, which nobody takes from any more."""
        bucket = self._buckets.pop(key)
        del self._by_name[bucket.name]
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
    def fresh(self) -> float:
        """Seconds after the ask within which a slot must be used."""
        return self._answer_within + _BUSY

    @property
    def lease(self) -> float:
        """Seconds after the ask for which a slot is held at most."""
        return self.fresh + self.longest_request + LEASE_MARGIN

    def ask(self, bucket: SharedBucket) -> None:
        """Have its question asked as soon as it can be."""
        self._connection.ask(bucket)

    def give(self, back: Release) -> None:
        """Have a slot given back; nobody waits for it."""
        self._connection.give(back)

    # -- what the link tells -----------------------------------------------------------------

    def lost(self) -> None:
        """From now on nothing can be asked."""
        for key, bucket in list(self._buckets.items()):
            self._lose(key, bucket)

    def _lose(self, key: BucketKey, bucket: SharedBucket) -> None:
        now = asyncio.get_running_loop().time()
        bucket.lose(self.share_of(key.rule, bucket.limit), now + self._notice)

    def found(self, *, silent: bool) -> None:
        """Asking is possible again. ``silent``: something may have been sent meanwhile."""
        for bucket in list(self._buckets.values()):
            bucket.find(silent=silent)

    def on_hint(self, name: str, due_in: float) -> None:
        """A message for the bucket ``name``."""
        bucket = self._by_name.get(name)
        if bucket is not None:
            bucket.on_hint(due_in, asyncio.get_running_loop().time())

    def outlasted(self, reason: str, *, only_without_deadline: bool) -> None:
        """Tell those who would wait for ever, or everybody, that waiting is of no use."""
        for bucket in list(self._buckets.values()):
            bucket.fail_waiters(reason, only_without_deadline=only_without_deadline)

    # -- closing -----------------------------------------------------------------------------

    async def aclose(self) -> None:
        """Give back what is in hand, leave all queues, and part from Redis."""
        for bucket in self._buckets.values():
            bucket.close()
        await self._connection.aclose()

    def abandon(self) -> None:
        """Part without a word, where nobody may await."""
        self._connection.abandon()


def name_of(key: BucketKey) -> str:
    """The bucket's key in Redis; what stands in braces decides where a cluster keeps it."""
    host = key.origin.partition("://")[2] + ("/demo" if key.demo else "")
    return f"{PREFIX}{{{host}:{key.user}:{key.rule}}}"


def _name_of_this_process() -> str:
    host = re.sub(r"[^\w.-]", "_", socket.gethostname(), flags=re.ASCII)
    return f"{host}-{os.getpid()}-{secrets.token_hex(3)}"


def _sharing(on_loss: OnLoss | Mapping[str, OnLoss], processes: int | None) -> frozenset[str]:
    """The endpoints whose limit is divided when Redis is lost."""
    modes: dict[str, object]
    modes = dict.fromkeys(ENDPOINTS, on_loss) if isinstance(on_loss, str) else dict(on_loss)
    for name, mode in modes.items():
        if name not in ENDPOINTS or mode not in ("closed", "share"):
            raise InvalidArgumentError(
                "on_loss must be 'closed' or 'share', or say so by method name, not "
                f"{name!r}: {mode!r}"
            )
    sharing = frozenset(name for name, mode in modes.items() if mode == "share")
    if bool(sharing) == (processes is None):
        raise InvalidArgumentError(
            "processes is how many processes divide the limits: give it with on_loss='share', "
            "and only then"
        )
    if processes is not None and (type(processes) is not int or processes < 1):
        raise InvalidArgumentError(f"processes must be a whole number from 1 on: {processes!r}")
    return sharing
