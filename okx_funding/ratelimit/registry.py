"""Who shares a bucket: one for each user, place and rule, in one event loop at a time."""

from __future__ import annotations

import asyncio
import threading
import time
import weakref
from collections import OrderedDict
from dataclasses import dataclass

from okx_funding.api.spec import RateLimit
from okx_funding.auth.credentials import Credentials
from okx_funding.errors import WrongLoopError

from .bucket import TokenBucket
from .circuit_breaker import AuthCircuit, EndpointCircuit
from .interface import Claim
from .merging import assume_spent, is_abandoned, is_over, merge, rebind

_USERS = 100_000
_FEW = 256


@dataclass(frozen=True, slots=True)
class BucketKey:
    """Whose limit, for what, where."""

    origin: str
    demo: bool
    user: str
    rule: str


class Registry:
    """Every bucket of the process: one for each key, in one event loop at a time.

    A bucket stays as long as a client lives with it or its history matters.
    """

    def __init__(self) -> None:
        self._buckets: dict[BucketKey, TokenBucket] = {}
        self._keys: dict[str, set[BucketKey]] = {}
        """The keys of all buckets, by user."""
        self._users: OrderedDict[str, str] = OrderedDict()
        self._circuits: dict[
            object, tuple[weakref.ref[asyncio.AbstractEventLoop], AuthCircuit]
        ] = {}
        """Each with the loop whose clock it goes by."""
        self._sweep_at = self._sweep_circuits_at = _FEW
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._buckets)

    def user_of(self, credentials: Credentials) -> str | None:
        """The user id of a key, given now or once before; None when it isn't known."""
        if credentials.user_id is not None:
            self.learn(credentials, credentials.user_id)
            return credentials.user_id
        with self._lock:
            return self._users.get(credentials.mark)

    def learn(self, credentials: Credentials, user: str) -> None:
        """The key is ``user``'s from now on."""
        mark = credentials.mark
        with self._lock:
            self._users[mark] = user
            self._users.move_to_end(mark)
            if len(self._users) > _USERS:
                self._users.popitem(last=False)

    def buckets_of(self, user: str) -> list[BucketKey]:
        """The keys of all buckets of ``user``."""
        with self._lock:
            return list(self._keys.get(user, ()))

    def bucket(self, key: BucketKey, claim: Claim, loop: asyncio.AbstractEventLoop) -> TokenBucket:
        """The bucket of ``key``; WrongLoopError where another loop lives with it."""
        with self._lock:
            bucket = self._buckets.get(key)
            if bucket is None:
                if len(self._buckets) >= self._sweep_at:
                    self._sweep()
                bucket = TokenBucket(claim)
                if claim.silent_start:
                    assume_spent(bucket, loop.time())
            elif not self._belongs(bucket, key, loop):
                bucket = rebind(bucket, loop.time())
            bucket.loop = weakref.ref(loop)
            self._put(key, bucket)
            return bucket

    def _put(self, key: BucketKey, bucket: TokenBucket) -> None:
        self._buckets[key] = bucket
        self._keys.setdefault(key.user, set()).add(key)

    def _drop(self, key: BucketKey) -> None:
        del self._buckets[key]
        keys = self._keys[key.user]
        keys.discard(key)
        if not keys:
            del self._keys[key.user]

    def circuit(
        self,
        origin: str,
        demo: bool,
        credentials: Credentials | None,
        endpoint: str,
        loop: asyncio.AbstractEventLoop,
    ) -> EndpointCircuit:
        """What a request with these very credentials to this endpoint goes through."""
        if credentials is None:
            return EndpointCircuit()
        # The hash is salted, and covers all three parts: none of them is kept alive here.
        key = (origin, demo, credentials.mark, hash(credentials))
        with self._lock:
            of_key = self._circuit(key, "this API key", loop)
            what = f"this API key at {endpoint}"
            own = self._circuit((*key, endpoint), what, loop, of_key.members)
            return EndpointCircuit(of_key, own)

    def _circuit(
        self,
        key: object,
        what: str,
        loop: asyncio.AbstractEventLoop,
        members: weakref.WeakSet[object] | None = None,
    ) -> AuthCircuit:
        entry = self._circuits.get(key)
        if entry is not None and entry[0]() is loop:
            return entry[1]
        machine = time.monotonic()
        ahead = loop.time() - machine
        if entry is not None:
            circuit = entry[1].by_clock(ahead, members)
        else:
            if len(self._circuits) >= self._sweep_circuits_at:
                self._sweep_circuits(machine)
            circuit = AuthCircuit(what, ahead, members)
        self._circuits[key] = (weakref.ref(loop), circuit)
        return circuit

    def _sweep_circuits(self, machine: float) -> None:
        for key, (_, circuit) in list(self._circuits.items()):
            if circuit.over(machine + circuit.ahead):
                del self._circuits[key]
        self._sweep_circuits_at = max(_FEW, 2 * len(self._circuits))

    def _belongs(
        self, bucket: TokenBucket, key: BucketKey, loop: asyncio.AbstractEventLoop
    ) -> bool:
        owner = bucket.loop() if bucket.loop is not None else None
        if owner is loop:
            return True
        if owner is not None and not owner.is_closed() and bucket.claims:
            raise WrongLoopError(
                f"another event loop, of this process or of the one it was forked from, already "
                f"spends the limit of {key.user} for {key.rule}: two loops can't keep one limit. "
                "Use one loop for all clients of a user (asyncio.run_coroutine_threadsafe reaches "
                "it from other threads), and close clients before forking"
            )
        return False

    def rename(
        self, old: BucketKey, new: BucketKey, loop: asyncio.AbstractEventLoop
    ) -> TokenBucket:
        """What was counted under ``old`` counts under ``new`` from now on.

        Gives the bucket that stood under ``old``; its heir stands under ``new``.
        """
        bucket = self.bucket(old, Claim(RateLimit(1)), loop)
        heir = self.bucket(new, Claim(bucket.limit), loop) if new in self._buckets else None
        with self._lock:
            self._drop(old)
            if heir is None:
                self._put(new, bucket)
        if heir is not None:
            merge(bucket, heir, loop.time())
        return bucket

    def _sweep(self) -> None:
        for key, bucket in list(self._buckets.items()):
            loop = bucket.loop() if bucket.loop is not None else None
            if loop is None or loop.is_closed():
                over = is_abandoned(bucket)
            else:
                over = is_over(bucket, loop.time())
            if over:
                self._drop(key)
        self._sweep_at = max(_FEW, 2 * len(self._buckets))


REGISTRY = Registry()
