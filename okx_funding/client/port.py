"""How the money protocol reaches the wire: once, on a connection that surely lives."""

from __future__ import annotations

import asyncio
import dataclasses
import time
import weakref
from collections.abc import Awaitable, Mapping, Sequence
from typing import Any

from okx_funding.api.spec import Endpoint
from okx_funding.api.table import ENDPOINTS
from okx_funding.auth.signing import timestamp
from okx_funding.errors import APIError, ClockSkewError, DeadlineExceededError, OKXError
from okx_funding.money.intent import Account
from okx_funding.money.port import Answer, BeforeSend
from okx_funding.ratelimit.registry import REGISTRY
from okx_funding.scheduler.single import SingleRequest, Surroundings
from okx_funding.session import Session
from okx_funding.wire.request import Request, build_request
from okx_funding.wire.response import Response

from .calls import Calls

_OVERTIME = 0.5
"""Seconds beyond the time of a request that has left: the transport ends it by then, and knows
whether a byte has left, which a cancelled task doesn't."""

_locks: weakref.WeakKeyDictionary[
    asyncio.AbstractEventLoop, weakref.WeakValueDictionary[object, asyncio.Lock]
] = weakref.WeakKeyDictionary()
"""One movement at a time for each user and currency, over all clients of the loop."""


class _ClaimOwner:
    """Lives with the buckets that the money of one client counts for, as long as the client."""


class ClientPort:
    """The `MoneyPort` of one client."""

    def __init__(self, calls: Calls, *, read_only: bool) -> None:
        self._calls = calls
        self._read_only = read_only
        self._waiting: set[SingleRequest] = set()
        self._claim_owner: _ClaimOwner | None = None

    @property
    def owner(self) -> Account:
        """Whose money is moved, and where."""
        context = self._calls.context
        assert context.credentials is not None
        name = self._calls.known_user_id() or context.credentials.mark
        return Account(name, context.origin, context.demo)

    @property
    def names(self) -> frozenset[str]:
        """User ID and fingerprint of the key, as far as they are known."""
        credentials = self._calls.context.credentials
        assert credentials is not None
        known = self._calls.known_user_id()
        return frozenset([credentials.mark, *([known] if known else ())])

    @property
    def read_only(self) -> bool:
        """Whether nothing may be sent that moves money."""
        return self._read_only

    def now(self) -> float:
        """Unix time by OKX's clock as far as it is known."""
        return time.time() + self._calls.clock_offset()

    async def learn_clock(self, timeout: float) -> None:
        """Ask OKX's clock; raises ClockSkewError where it didn't answer in time."""
        session = self._calls.started()
        host = session.host(self._calls.context.origin)
        version = host.clock_version
        try:
            async with asyncio.timeout(timeout):
                await session.learn_clock(self._calls.context)
        except TimeoutError:
            pass
        if host.clock_version == version:
            raise ClockSkewError("50102", "OKX's clock couldn't be learned", 0, "the clock")

    async def learn_names(self, timeout: float) -> None:
        """Ask OKX for the User ID."""
        await self._calls.get_user_id(timeout=timeout)

    async def read(
        self, endpoint: str, params: Mapping[str, str], *, timeout: float
    ) -> Sequence[Any]:
        """Ask a read that nobody shares and no memory answers."""
        return await self._calls.ask(_unshared(endpoint), dict(params), timeout=timeout)

    async def post_once(
        self,
        endpoint: str,
        body: Mapping[str, Any],
        *,
        lane: str,
        timeout: float,
        before_send: BeforeSend,
    ) -> Answer:
        """Send one POST, at most once; see `okx_funding.money.port.MoneyPort`."""
        row = ENDPOINTS[endpoint]
        session = self._calls.started()
        request = build_request(row, body)
        deadline = asyncio.get_running_loop().time() + timeout
        single: SingleRequest | None = None
        try:
            async with asyncio.timeout_at(deadline) as limit, self._lock(lane):
                single = self._single(session, row, body)
                return await self._send(session, single, row, request, before_send, limit)
        except TimeoutError as error:
            if isinstance(error, OKXError):
                raise
        sent = single is not None and single.sent
        raise DeadlineExceededError(
            f"{row}: the time was over "
            + ("before OKX's answer was read" if sent else "before it was sent"),
            sent=sent,
        )

    async def _send(
        self,
        session: Session,
        single: SingleRequest,
        row: Endpoint[Any],
        request: Request,
        before_send: BeforeSend,
        limit: asyncio.Timeout,
    ) -> Answer:
        context, signed_at = self._calls.context, 0

        async def before() -> None:
            nonlocal signed_at
            signed_at = round(self.now() * 1000)
            await before_send(signed_at)

        def send() -> Awaitable[Response]:
            deadline = limit.when()
            assert deadline is not None
            left = max(deadline - asyncio.get_running_loop().time(), 0.001)
            limit.reschedule(deadline + _OVERTIME)
            stamp = timestamp(signed_at / 1000)
            return session.send_signed(context, row, request, stamp, fresh=True, timeout=left)

        self._waiting.add(single)
        try:
            return Answer(200, await single.send(before, send))
        except APIError as error:
            if not error.sent:
                raise  # the circuit is open: it is an earlier answer
            return Answer(error.http_status, (), error)
        finally:
            self._waiting.discard(single)

    def _lock(self, lane: str) -> asyncio.Lock:
        """What lets one movement at a time pass, until OKX's answer to it was read."""
        locks = _locks.setdefault(asyncio.get_running_loop(), weakref.WeakValueDictionary())
        context = self._calls.context
        return locks.setdefault(
            (context.origin, context.demo, self.owner.name, lane), asyncio.Lock()
        )

    def _single(
        self, session: Session, row: Endpoint[Any], body: Mapping[str, Any]
    ) -> SingleRequest:
        context, calls = self._calls.context, self._calls
        assert context.credentials is not None
        assert calls.counters is not None
        assert calls.singles is not None
        limits = calls.limits(row)
        queue, others = session.queues(row, context, limits, body)
        if self._claim_owner is None:
            self._claim_owner = _ClaimOwner()
        session.claim(self._claim_owner, (queue, *others), limits, row, context)
        circuit = REGISTRY.circuit(
            context.origin, context.demo, context.credentials, row.name, queue.loop
        )
        surroundings = Surroundings(
            host=session.host(context.origin),
            circuit=circuit,
            calls=calls.counters,
            work=calls.singles,
            redact=context.credentials.redact,
            observer=context.observer,
        )
        return SingleRequest(row, queue, [each.bucket for each in others], surroundings)

    def close(self) -> None:
        """Whoever waits for a slot gets a ClientClosedError, and the buckets lose their claims."""
        self._claim_owner = None  # its claims, which are kept weakly, go with it
        for single in list(self._waiting):
            single.close()


_copies: dict[str, Endpoint[Any]] = {}


def _unshared(name: str) -> Endpoint[Any]:
    """The same read, of which every call makes a request of its own."""
    copy = _copies.get(name)
    if copy is None:
        copy = _copies[name] = dataclasses.replace(
            ENDPOINTS[name], shared=False, batch_by=None, batch_size=1
        )
    return copy
