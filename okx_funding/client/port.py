"""How the money protocol reaches the wire: once, on a connection that surely lives."""

from __future__ import annotations

import asyncio
import dataclasses
import time
import weakref
from collections.abc import Mapping, Sequence
from typing import Any

from okx_funding.api.spec import Endpoint
from okx_funding.api.table import ENDPOINTS
from okx_funding.auth.signing import timestamp
from okx_funding.errors import APIError, ClockSkewError, DeadlineExceededError, OKXError
from okx_funding.money.intent import Account
from okx_funding.money.port import Answer, BeforeSend
from okx_funding.scheduler.single import SingleRequest
from okx_funding.session import Session
from okx_funding.wire.request import build_request
from okx_funding.wire.response import parse_response

from .calls import Calls

_locks: weakref.WeakKeyDictionary[
    asyncio.AbstractEventLoop, weakref.WeakValueDictionary[object, asyncio.Lock]
] = weakref.WeakKeyDictionary()
"""One movement at a time for each user and currency, over all clients of the loop."""


class ClientPort:
    """The `MoneyPort` of one client."""

    def __init__(self, calls: Calls, *, read_only: bool) -> None:
        self._calls = calls
        self._read_only = read_only
        self._waiting: weakref.WeakSet[SingleRequest] = weakref.WeakSet()

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
        """Ask OKX's clock; raises ClockSkewError where that doesn't help."""
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
        loop = asyncio.get_running_loop()
        post = _Post(self, session, row, body, before_send)
        locks = _locks.setdefault(loop, weakref.WeakValueDictionary())
        key = (self._calls.context.origin, self._calls.context.demo, self.owner.name, lane)
        lock = locks.get(key)
        if lock is None:
            lock = locks[key] = asyncio.Lock()
        try:
            async with asyncio.timeout(timeout), lock:
                return await self._send(session, row, body, post)
        except TimeoutError as error:
            if isinstance(error, OKXError):
                raise
            failure = DeadlineExceededError(
                f"{row}: the time was over "
                + ("before OKX's answer was read" if post.sent else "before it was sent"),
                sent=post.sent,
            )
        raise failure

    async def _send(
        self, session: Session, row: Endpoint[Any], body: Mapping[str, Any], post: _Post
    ) -> Answer:
        context = self._calls.context
        limits = self._calls.limits(row)
        queue, others = session.queues(row, context, limits, body)
        single = SingleRequest(
            queue, [each.bucket for each in others], session.host(context.origin)
        )
        session.claim(single, (queue, *others), limits, row, context)
        self._waiting.add(single)
        answer: Answer = await single.send(post)
        return answer

    @property
    def calls(self) -> Calls:
        """What the client calls by."""
        return self._calls

    def close(self) -> None:
        """Whoever waits for a slot gets a ClientClosedError."""
        for single in list(self._waiting):
            single.close()


class _Post:
    """The one request of a movement."""

    def __init__(
        self,
        port: ClientPort,
        session: Session,
        endpoint: Endpoint[Any],
        body: Mapping[str, Any],
        before_send: BeforeSend,
    ) -> None:
        self.sent = False
        """Whether a byte may have left."""
        self._port = port
        self._session = session
        self._endpoint = endpoint
        self._request = build_request(endpoint, body)
        self._before_send = before_send

    async def __call__(self) -> tuple[Answer, OKXError | None, bool]:
        """Stamp, sign, send and read; for `SingleRequest.send`."""
        context = self._port.calls.context
        signed_at = round(self._port.now() * 1000)
        await self._before_send(signed_at)
        self.sent = True
        response = await self._session.send_signed(
            context, self._endpoint, self._request, timestamp(signed_at / 1000), fresh=True
        )
        redact = context.credentials.redact if context.credentials is not None else str
        try:
            rows = parse_response(self._endpoint, response, redact)
        except APIError as error:
            error.__traceback__ = None  # its frames hold the answer
            return Answer(response.status, (), error), error, response.fresh
        return Answer(response.status, rows, None), None, response.fresh


_copies: dict[str, Endpoint[Any]] = {}


def _unshared(name: str) -> Endpoint[Any]:
    """The same read, of which every call makes a request of its own."""
    copy = _copies.get(name)
    if copy is None:
        copy = _copies[name] = dataclasses.replace(
            ENDPOINTS[name], shared=False, batch_by=None, batch_size=1
        )
    return copy
