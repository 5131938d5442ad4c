"""One connection pool and one set of lanes for any number of users."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import math
import time
import warnings
import weakref
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from okx_funding.api.account import GET_SYSTEM_TIME
from okx_funding.api.params import count
from okx_funding.api.spec import Endpoint, RateLimit
from okx_funding.auth.secret import Secret
from okx_funding.auth.signing import login, timestamp
from okx_funding.errors import ClientClosedError, InvalidArgumentError, OKXError, WrongLoopError
from okx_funding.ratelimit.circuit_breaker import EndpointCircuit
from okx_funding.ratelimit.interface import Bucket, Claim
from okx_funding.ratelimit.registry import REGISTRY, BucketKey
from okx_funding.scheduler.calls import Args, args_of
from okx_funding.scheduler.context import Context
from okx_funding.scheduler.deadlines import Deadlines
from okx_funding.scheduler.dispatcher import Dispatcher
from okx_funding.scheduler.emitter import EventEmitter
from okx_funding.scheduler.host import Host
from okx_funding.scheduler.in_flight import InFlight
from okx_funding.scheduler.lane import WRONG_LOOP, Lane
from okx_funding.scheduler.outcome import outcome_unknown
from okx_funding.scheduler.push import CONNECT_TIMEOUT, PushConnection
from okx_funding.scheduler.queue import SlotQueue
from okx_funding.telemetry import log
from okx_funding.telemetry.counters import Counters, TotalCounters
from okx_funding.telemetry.events import HostStatistics, PushStatistics, Statistics
from okx_funding.wire.request import Request
from okx_funding.wire.response import Response
from okx_funding.wire.transport import AiohttpTransport, Transport

if TYPE_CHECKING:
    import aiohttp
    from aiolimiter import AsyncLimiter

    from okx_funding.auth.credentials import Credentials
    from okx_funding.ratelimit.machine import MachineLimits
    from okx_funding.ratelimit.redis import OnLoss, RedisBuckets, SharedLimits
    from okx_funding.ratelimit.store import LimitStore


_NOTHING: Mapping[str, Any] = {}


class Session:
    """One connection pool and one set of lanes, for any number of users and clients.

    ``http`` is an aiohttp.ClientSession of your own; it is used and never closed. ``proxy`` is
    the URL of an HTTP proxy (the environment's are ignored). ``max_body`` bounds an answer, in
    bytes after decompression. ``limiter`` is an ``aiolimiter.AsyncLimiter`` of your own that all
    requests of the session pass, whoever's they are, such as ``AsyncLimiter(50, 1)``: as for what
    OKX counts by address. It bounds what is sent beside the limits of each user.

    ``buckets`` is the URL of a Redis in which the limits of all processes with that URL are kept
    together: ``redis://localhost:6379/0`` (``pip install redis``). While it can't
    be reached nothing is sent (``on_loss="closed"``); with ``on_loss="share"`` each of
    ``processes`` goes on with its share of the limits, where they can be divided. ``on_loss``
    may say so by method name: ``{"get_non_tradable_assets": "share"}``.

    ``limits`` is a ``MachineLimits()``: the limits of all processes of this machine are kept
    together in small files, without a server; or a ``SharedLimits(url)``, which says more of a
    Redis than ``buckets`` does. Give ``limits`` or ``buckets``, not both.

    Raises InvalidArgumentError, a ValueError, for an argument that can't be used.

    Use it with ``async with``, or call `aclose`. It belongs to the event loop of its first use.
    """

    def __init__(
        self,
        *,
        http: aiohttp.ClientSession | None = None,
        proxy: str | None = None,
        max_body: int = 8 * 2**20,
        limiter: AsyncLimiter | None = None,
        buckets: str | None = None,
        on_loss: OnLoss | Mapping[str, OnLoss] = "closed",
        processes: int | None = None,
        limits: MachineLimits | SharedLimits | None = None,
        transport: Transport | None = None,
    ) -> None:
        count("max_body", max_body, 1)
        if proxy is not None and not isinstance(proxy, str):
            raise InvalidArgumentError("proxy must be a URL, such as http://localhost:3128")
        if limiter is not None:
            _check_limiter(limiter)
        if buckets is not None:
            if not isinstance(buckets, str):
                raise InvalidArgumentError("buckets must be a URL, such as redis://localhost:6379")
            buckets = Secret(buckets)
        self._store: LimitStore | None = limits
        if limits is not None and (buckets is not None or not hasattr(limits, "keys_of")):
            raise InvalidArgumentError(
                "limits must be MachineLimits() or SharedLimits(), without buckets beside it"
            )
        if buckets is not None:
            self._store = _open_store(buckets, on_loss, processes)
        if transport is not None and (http is not None or proxy is not None):
            raise InvalidArgumentError(
                "transport stands for the pool: http and proxy don't go with it"
            )
        self._transport: Any = transport or AiohttpTransport(http, proxy=proxy, max_body=max_body)
        self._lanes: weakref.WeakValueDictionary[object, Lane] = weakref.WeakValueDictionary()
        self._limiter = limiter
        self._hosts: dict[str, Host] = {}
        self._in_flight = InFlight()
        self._pushes: dict[tuple[Credentials, str], PushConnection] = {}
        self._clocks: dict[str, asyncio.Task[None]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._deadlines: Deadlines | None = None
        self._closed = False
        self._closing: asyncio.Task[None] | None = None
        self._total = TotalCounters()
        self.name = ""
        """How a warning names it when it was never closed."""

    async def __aenter__(self) -> Self:
        self._bind()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        if not hasattr(self, "_total"):  # a traceback asks while __init__ is still at work
            return "<Session>"
        state = "closed" if self._closed else f"{len(self._lanes)} lanes"
        return f"<Session: {state}, {len(self._in_flight)} requests in flight>"

    def __del__(self, _warn: object = warnings.warn) -> None:
        transport = getattr(self, "_transport", None)
        if not isinstance(transport, AiohttpTransport) or not transport.started:
            return
        transport.abandon()
        if self._store is not None and not transport.inherited:
            self._store.abandon()
        if callable(_warn) and not transport.inherited:
            _warn(
                f"{self.name or repr(self)} was never closed: use async with, or await aclose()",
                ResourceWarning,
                source=self,
            )

    def _bind(self) -> asyncio.AbstractEventLoop:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            raise WrongLoopError(WRONG_LOOP) from None
        if self._closed:
            raise ClientClosedError("the session is closed")
        if self._loop is None:
            self._loop = loop
            self._deadlines = Deadlines(loop)
        elif loop is not self._loop:
            raise WrongLoopError(WRONG_LOOP)
        return loop

    def must_be_here(self) -> None:
        """WrongLoopError where it belongs to another event loop than the running one."""
        if self._loop is not None and asyncio.get_running_loop() is not self._loop:
            raise WrongLoopError(WRONG_LOOP)

    # -- lanes -----------------------------------------------------------------------------

    def lane(
        self,
        endpoint: Endpoint[Any],
        context: Context,
        limits: Sequence[RateLimit] | None = None,
        params: Mapping[str, Any] = _NOTHING,
    ) -> Lane:
        """The lane of one endpoint for one context. It lives as long as somebody holds it.

        Calls that batch by one parameter share a lane if they are equal in all others; calls that
        OKX counts by the values of a parameter share one if these are equal.
        """
        loop = self._bind()
        limits = endpoint.limits if limits is None else tuple(limits)
        args = args_of(params, endpoint.batch_by) if endpoint.batch_by is not None else ()
        values = tuple(limit.values(params) for limit in endpoint.limits)
        key = (endpoint.name, endpoint.row, endpoint.shared, context, limits, args, values)
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = self._make_lane(endpoint, context, limits, params, args, loop)
        return lane

    def _make_lane(
        self,
        endpoint: Endpoint[Any],
        context: Context,
        limits: Sequence[RateLimit],
        params: Mapping[str, Any],
        args: Args,
        loop: asyncio.AbstractEventLoop,
    ) -> Lane:
        assert self._deadlines is not None
        queue, others = self.queues(endpoint, context, limits, params)
        host = self.host(context.origin)
        credentials, observer = context.credentials, context.observer
        dispatcher = Dispatcher(
            endpoint,
            queue,
            host,
            partial(self._send, context, host),
            args=args,
            others=[other.bucket for other in others],
            max_retries=context.max_retries,
            policy=context.policy,
            in_flight=self._in_flight,
            total=self._total,
            emitter=EventEmitter(observer, endpoint, context.origin, loop)
            if observer is not None
            else None,
            circuit=REGISTRY.circuit(
                context.origin, context.demo, credentials, endpoint.name, loop
            ),
            redact=credentials.redact if credentials is not None else str,
            learn_clock=partial(self.learn_clock, context) if credentials else None,
        )
        self.claim(dispatcher, (queue, *others), limits, endpoint, context)
        return Lane(dispatcher, self._deadlines)

    def _claim(self, limit: RateLimit, published: RateLimit, context: Context) -> Claim:
        policy = context.policy
        claim = Claim(limit, policy.refusal_cooldown, policy.assume_spent)
        return claim.within(published)

    def host(self, origin: str) -> Host:
        """What is known of one host."""
        host = self._hosts.get(origin)
        if host is None:
            host = self._hosts[origin] = Host(origin, self._limiter)
        return host

    def queues(
        self,
        endpoint: Endpoint[Any],
        context: Context,
        limits: Sequence[RateLimit],
        params: Mapping[str, Any] = _NOTHING,
    ) -> tuple[SlotQueue, list[SlotQueue]]:
        """The queue before the first limit of a request, and those of its further limits."""
        loop = self._bind()
        queues = []
        for number, (limit, published) in enumerate(zip(limits, endpoint.limits, strict=True), 1):
            rule = "/".join((endpoint.name, *published.values(params)))
            if number > 1:
                rule += f"#{number}"
            queues.append(self._queue(rule, limit, published, context, loop))
        return queues[0], queues[1:]

    def _queue(
        self,
        rule: str,
        limit: RateLimit,
        published: RateLimit,
        context: Context,
        loop: asyncio.AbstractEventLoop,
    ) -> SlotQueue:
        by_address = "ip" in published.per or context.credentials is None
        if by_address or context.credentials is None:
            user = "this address"
        else:
            mark = context.credentials.mark
            user = REGISTRY.user_of(context.credentials) or mark
            if user != mark:
                self._move(mark, user, loop)
        key = BucketKey(context.origin, context.demo, user, rule)
        claim = self._claim(limit, published, context)
        if self._store is not None and not by_address:
            self._store.longest_request = max(self._store.longest_request, context.request_timeout)
            return _queue_of(self._store.bucket(key, claim), key, loop)
        return _local_queue(key, claim, loop)

    def check(self, limits: Mapping[str, RateLimit]) -> None:
        """InvalidArgumentError for limits that can't be kept when shared buckets are lost."""
        if self._store is not None:
            self._store.check(limits)

    @staticmethod
    def known_user_id(context: Context) -> str | None:
        """The User ID of the context's key, if it is known."""
        return REGISTRY.user_of(context.credentials) if context.credentials else None

    def claim(
        self,
        owner: object,
        queues: Sequence[SlotQueue],
        limits: Sequence[RateLimit],
        endpoint: Endpoint[Any],
        context: Context,
    ) -> None:
        """``owner`` lives with the buckets behind ``queues`` as long as it exists."""
        for queue, limit, published in zip(queues, limits, endpoint.limits, strict=True):
            claim = self._claim(limit, published, context)
            queue.bucket.claim(owner, claim, queue.loop.time())

    def learn_user_id(self, context: Context, user: str) -> None:
        """The context's key is ``user``'s: what it sent counts as the user's."""
        loop = self._bind()
        if context.credentials is not None:
            self._move(context.credentials.mark, user, loop)
            REGISTRY.learn(context.credentials, user)

    def _move(self, old: str, new: str, loop: asyncio.AbstractEventLoop) -> None:
        """What a key did on its own account counts as its user's from now on."""
        for key in REGISTRY.buckets_of(old):
            target = dataclasses.replace(key, user=new)
            bucket = REGISTRY.rename(key, target, loop)
            queue = bucket.queue() if bucket.queue is not None else None
            if isinstance(queue, SlotQueue):
                queue.move_to(_local_queue(target, Claim(bucket.limit), loop))
        for key in self._store.keys_of(old) if self._store is not None else ():
            self._move_shared(key, dataclasses.replace(key, user=new), loop)

    def _move_shared(self, old: BucketKey, new: BucketKey, loop: asyncio.AbstractEventLoop) -> None:
        assert self._store is not None
        bucket = self._store.forget(old)
        heir = self._store.bucket(new, Claim(bucket.limit))
        heir.inherit(bucket, loop.time())
        queue = bucket.queue() if bucket.queue is not None else None
        if isinstance(queue, SlotQueue):
            queue.move_to(_queue_of(heir, new, loop))
        bucket.close()

    # -- pushes ----------------------------------------------------------------------------

    def push(self, context: Context, url: str) -> PushConnection:
        """The connection on which OKX pushes, one for each API key and URL."""
        self._bind()
        credentials = context.credentials
        assert credentials is not None
        key = (credentials, url)
        connection = self._pushes.get(key)
        if connection is None:
            self._pushes = {each: push for each, push in self._pushes.items() if push.in_use}
            host = self.host(context.origin)
            connection = self._pushes[key] = PushConnection(
                url,
                connect=partial(self._transport.connect, url, timeout=CONNECT_TIMEOUT),
                login=lambda: login(credentials, time.time() + host.clock_offset),
                learn_clock=partial(self.learn_clock, context),
                redact=credentials.redact,
            )
        connection.user = REGISTRY.user_of(credentials) or credentials.mark
        return connection

    def pushes(self, credentials: Credentials | None = None) -> tuple[PushStatistics, ...]:
        """The push connections in use, of one API key or of all."""
        return tuple(
            push.statistics()
            for (whose, _), push in self._pushes.items()
            if push.in_use and credentials in (None, whose)
        )

    # -- sending ---------------------------------------------------------------------------

    def _send(
        self,
        context: Context,
        host: Host,
        endpoint: Endpoint[Any],
        request: Request,
    ) -> Awaitable[Response]:
        """Stamp, sign and send at this very moment; what is signed is what is sent."""
        stamp = timestamp(time.time() + host.clock_offset)
        return self.send_signed(context, endpoint, request, stamp, fresh=False)

    def send_signed(
        self,
        context: Context,
        endpoint: Endpoint[Any],
        request: Request,
        stamp: str,
        *,
        fresh: bool,
        timeout: float | None = None,
    ) -> Awaitable[Response]:
        """Sign with ``stamp`` and send; ``fresh`` wants a connection that surely lives.

        ``timeout`` may shorten the context's ``request_timeout``.
        """
        credentials = context.credentials
        if credentials is None or endpoint.permission == "none":
            headers: dict[str, str] = {}
        else:
            headers = credentials.headers(stamp, *request, demo=context.demo)
        sending: Awaitable[Response] = self._transport.send(
            request.method,
            context.origin + request.target,
            headers,
            request.body,
            label=f"{endpoint.method} {endpoint.path}",
            timeout=min(context.request_timeout, math.inf if timeout is None else timeout),
            fresh=fresh,
        )
        return sending

    async def learn_clock(self, context: Context) -> None:
        """Set the host's clock by OKX's own, once for all who find theirs wrong."""
        host = self.host(context.origin)
        task = self._clocks.get(host.origin)
        if task is None:
            task = asyncio.ensure_future(self._ask_time(context, host))
            self._clocks[host.origin] = task
            task.add_done_callback(lambda _: self._clocks.pop(host.origin, None))
        await asyncio.wait([task])

    async def _ask_time(self, context: Context, host: Host) -> None:
        # https://www.okx.com/docs-v5/en/#public-data-rest-api-get-system-time
        context = dataclasses.replace(context, credentials=None, observer=None)
        for attempt in range(5):  # everybody who signs depends on it
            with contextlib.suppress(OKXError):
                lane = self.lane(GET_SYSTEM_TIME, context)
                rows = await lane.ask(((),), Counters(), timeout=context.request_timeout)
                if rows:
                    wall = time.time()
                    offset = rows[0].ts / 1000 + lane.last_trip / 2 - wall
                    log.clock(host.origin, offset, host.clock_offset)
                    host.set_clock(offset, lane.loop.time(), wall)
                    return
            await asyncio.sleep(0.1 * 2**attempt)

    # -- reporting -------------------------------------------------------------------------

    def statistics(self) -> Statistics:
        """What all its lanes did, and every bucket as it is now."""
        total = self._total.sum()
        return snapshot(total, total, list(self._lanes.values()), self.pushes())

    def counters(self) -> Counters:
        """Counters for one more client."""
        return Counters(self._total)

    # -- closing ---------------------------------------------------------------------------

    @property
    def closed(self) -> bool:
        """Whether it takes no more calls."""
        return self._closed

    async def drained(
        self, lanes: Iterable[Lane], counters: Counters | None = None, timeout: float | None = None
    ) -> None:
        """Wait until everybody (of ``counters``) is answered, for ``timeout`` seconds at most."""
        waiting = {waiter for lane in lanes for waiter in lane.open_waiters(counters)}
        if waiting:
            await asyncio.wait(waiting, timeout=timeout)

    async def dismiss(self, lanes: Iterable[Lane], counters: Counters) -> None:
        """Close for everybody of ``counters``; what is on the wire may take `GRACE` seconds more.

        Requests that others wait for too go on.
        """
        lanes = list(lanes)
        for lane in lanes:
            lane.dispatcher.close(counters)
        await self.drained(lanes, counters, GRACE)
        for lane in lanes:
            for waiter in lane.open_waiters(counters):
                sent = lane.batcher.was_sent(waiter)
                error: OKXError = ClientClosedError(f"{lane.endpoint.name}: closed in flight")
                if sent and not lane.endpoint.repeatable:
                    error = outcome_unknown(lane.endpoint, "closed in flight")
                error.sent = sent
                lane.batcher.fail(waiter, error)

    async def aclose(self, *, drain: bool = False, timeout: float | None = None) -> None:
        """Close: whoever waits gets a ClientClosedError now, what is on the wire may finish.

        With ``drain`` those who wait are answered first, within ``timeout`` seconds if it is
        given; new calls are refused meanwhile. Closing twice, or from several tasks, waits for
        the one closing.
        """
        self.must_be_here()
        self._closed = True
        if self._loop is None:
            return
        self._total.shut()
        try:
            if drain and self._closing is None:
                await self.drained(list(self._lanes.values()), timeout=timeout)
        finally:
            if self._closing is None:
                for lane in list(self._lanes.values()):
                    lane.dispatcher.close()
                self._closing = self._loop.create_task(self._shut())
        await asyncio.shield(self._closing)

    async def _shut(self) -> None:
        for push in self._pushes.values():
            await push.aclose()
        await self._in_flight.drain(GRACE)
        clocks = list(self._clocks.values())
        for task in clocks:
            task.cancel()
        if clocks:
            await asyncio.wait(clocks)
        for lane in list(self._lanes.values()):
            lane.dispatcher.close()
            lane.queue.bucket.release(lane.dispatcher, lane.loop.time())
        if self._deadlines is not None:
            self._deadlines.close()
        if self._store is not None:
            await self._store.aclose()
        await self._transport.aclose()


GRACE = 1.0
"""Seconds that requests on the wire may still take when a session closes."""


def _local_queue(key: BucketKey, claim: Claim, loop: asyncio.AbstractEventLoop) -> SlotQueue:
    """The one queue before a bucket in this loop, for all sessions of the process."""
    return _queue_of(REGISTRY.bucket(key, claim, loop), key, loop)


def _queue_of(bucket: Bucket, key: BucketKey, loop: asyncio.AbstractEventLoop) -> SlotQueue:
    queue = bucket.queue() if bucket.queue is not None else None
    if not isinstance(queue, SlotQueue) or queue.loop is not loop:
        queue = SlotQueue(key, bucket, loop)
        bucket.queue = weakref.ref(queue)
    queue.key = key  # the bucket's name is another once its user is known
    return queue


def _check_limiter(limiter: object) -> None:
    from aiolimiter import AsyncLimiter

    if not isinstance(limiter, AsyncLimiter):
        raise InvalidArgumentError("limiter must be an aiolimiter.AsyncLimiter")


def _open_store(
    url: str, on_loss: OnLoss | Mapping[str, OnLoss], processes: int | None
) -> RedisBuckets:
    try:
        from okx_funding.ratelimit.redis import RedisBuckets
    except ImportError:
        raise InvalidArgumentError("buckets= needs redis-py: pip install redis") from None
    return RedisBuckets(url, on_loss=on_loss, processes=processes)


def snapshot(
    calls: Counters,
    work: Counters,
    lanes: list[Lane],
    pushes: tuple[PushStatistics, ...] = (),
) -> Statistics:
    """The calls of one counters, the requests of another, and the buckets of ``lanes``."""
    lines = {lane.queue: lane.endpoint.batch_size for lane in lanes}
    return Statistics(
        calls=calls.calls,
        answered=calls.answered,
        failed=calls.failed,
        cancelled=calls.cancelled,
        waiting=calls.calls - calls.answered - calls.failed - calls.cancelled,
        requests=work.requests,
        refused=work.refused,
        retries=work.retries,
        buckets=tuple(queue.statistics(max_keys) for queue, max_keys in lines.items()),
        hosts=_hosts_of(lanes),
        pushes=pushes,
    )


def _hosts_of(lanes: list[Lane]) -> tuple[HostStatistics, ...]:
    resting: dict[Host, set[EndpointCircuit]] = {}
    for lane in lanes:
        dispatcher = lane.dispatcher
        circuits = resting.setdefault(dispatcher.host, set())
        if dispatcher.circuit.refusal(lane.loop.time()) is not None:
            circuits.add(dispatcher.circuit)
    return tuple(
        HostStatistics(
            host=host.origin.partition("://")[2],
            clock_offset=host.clock_offset,
            retries_left=host.budget.left,
            keys_at_rest=len(circuits),
        )
        for host, circuits in resting.items()
    )
