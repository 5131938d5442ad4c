"""What every method of a client is built on: its lanes, its counters, its life."""

from __future__ import annotations

import asyncio
import weakref
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from okx_funding.api.account import GET_ACCOUNT_CONFIG
from okx_funding.api.params import number
from okx_funding.api.spec import Caller, Endpoint, Options, Param, RateLimit, ReadOptions, Row
from okx_funding.errors import ClientClosedError, DecodeError, InvalidArgumentError
from okx_funding.scheduler.calls import Waiter, args_of, keys_of
from okx_funding.scheduler.context import Context
from okx_funding.scheduler.lane import Lane
from okx_funding.scheduler.push import Listener
from okx_funding.session import Session, snapshot
from okx_funding.telemetry.counters import Counters
from okx_funding.telemetry.events import Statistics

R = TypeVar("R", bound=Row)

_FOREVER = 1e9
"""Seconds, some thirty years: no deadline, and no timer that can't be set."""
_KEPT = 256
"""Lanes with arguments of their own that a client keeps."""


class Calls:
    """The calls of one client, over a session that was given or is its own."""

    def __init__(
        self,
        context: Context,
        limits: Mapping[str, RateLimit],
        session: Session | None,
        proxy: str | None,
        name: str,
    ) -> None:
        self.context = context
        self._limits = limits
        self._proxy = proxy
        self._name = name
        self._given = session
        self.session: Session | None = session
        """Its session, once there is one."""
        self.counters: Counters | None = None
        self.singles: Counters | None = None
        """The requests that moved money."""
        self.lanes: dict[object, Lane] = {}
        """Its lanes: by the endpoint's name, and by name and arguments where these matter."""
        self._few: OrderedDict[object, Lane] = OrderedDict()
        """Those with arguments, the one used last at the end."""
        self.listeners: weakref.WeakSet[Listener] = weakref.WeakSet()
        """The watches that go on."""
        self._work = Counters()
        self.closed: bool = False

    def started(self) -> Session:
        """The session, made at the first use where none was given."""
        if self.closed:
            raise ClientClosedError(f"{self._name} is closed: make a new one")
        if self.session is None:
            self.session = Session(proxy=self._proxy)
            self.session.name = self._name
        if self.counters is None:
            self.counters, self.singles = self.session.counters(), self.session.counters()
        return self.session

    def limits(self, endpoint: Endpoint[Any]) -> Sequence[RateLimit]:
        """The limits in force; one that was given stands for the first of several."""
        given = self._limits.get(endpoint.name)
        return endpoint.limits if given is None else (given, *endpoint.limits[1:])

    def lane(self, endpoint: Endpoint[Any], params: Mapping[str, Any]) -> Lane:
        """The lane for a call, kept as long as the client lives or many others were used since."""
        args = args_of(params, endpoint.batch_by) if endpoint.batch_by is not None else ()
        values = tuple(limit.values(params) for limit in endpoint.limits)
        key: object = endpoint.name
        special = bool(args or any(values) or endpoint.row is dict or not endpoint.shared)
        if special:
            key = (endpoint.name, endpoint.row, endpoint.shared, args, values)
        lane = self.lanes.get(key)
        if lane is None:
            session = self.started()
            limits = self.limits(endpoint)
            lane = self.lanes[key] = session.lane(endpoint, self.context, limits, params)
        if special:
            self._few[key] = lane
            self._few.move_to_end(key)
            if len(self._few) > _KEPT:
                oldest, _ = self._few.popitem(last=False)
                self._work.include(self.lanes.pop(oldest).counters)
        return lane

    def ask(
        self,
        endpoint: Endpoint[Any],
        params: Mapping[str, Param],
        *,
        timeout: float | None = None,
        priority: int = 0,
        max_age: float | None = None,
        **unknown: object,
    ) -> Waiter:
        """Ask; what is given back is to be awaited."""
        if unknown:
            raise TypeError(f"{endpoint.name}() got an unexpected option {next(iter(unknown))!r}")
        lane = self.lanes.get(endpoint.name) if len(params) < 2 and endpoint.shared else None
        if lane is None or endpoint.row is dict:
            lane = self.lane(endpoint, params)
        if timeout is not None:
            timeout = number("timeout", timeout)
            if timeout > _FOREVER:
                timeout = None
        if max_age is not None:
            max_age = number("max_age", max_age)
        if type(priority) is not int or not -100 <= priority <= 100:
            raise InvalidArgumentError(f"priority must be an int from -100 to 100: {priority!r}")
        assert self.counters is not None
        return lane.ask(keys_of(endpoint, params), self.counters, timeout, priority, max_age)

    def known_user_id(self) -> str | None:
        """The User ID that the key belongs to, if it is known."""
        return Session.known_user_id(self.context)

    def clock_offset(self) -> float:
        """Seconds by which OKX's clock is ahead of this machine's, as far as it was learned."""
        if self.session is None:
            return 0.0
        return self.session.host(self.context.origin).clock_offset

    async def get_user_id(self, timeout: float | None = None) -> str:
        """Ask for the User ID unless it is known; from then on it counts for the limits."""
        session = self.started()
        known = self.known_user_id()
        if known is None:
            rows = await self.ask(GET_ACCOUNT_CONFIG, {}, timeout=timeout)
            if not rows or not rows[0].uid:
                raise DecodeError(f"{GET_ACCOUNT_CONFIG} answered no uid")
            known = str(rows[0].uid)
            session.learn_user_id(self.context, known)
        return known

    def statistics(self) -> Statistics:
        """The calls of this client, and its buckets as they are now."""
        work = Counters()
        for lane in self.lanes.values():
            work.include(lane.counters)
        work.include(self._work)
        if self.singles is not None:
            work.include(self.singles)
        session, credentials = self.session, self.context.credentials
        pushes = session.pushes(credentials) if session is not None and credentials else ()
        return snapshot(self.counters or Counters(), work, list(self.lanes.values()), pushes)

    async def aclose(self, *, drain: bool, timeout: float | None) -> None:
        """Close, and the session too if it is its own."""
        self.closed = True
        session, counters = self.session, self.counters
        own = session if session is not self._given else None
        lanes = list(self.lanes.values())
        try:
            if counters is not None and session is not None:
                counters.shut = True
                if drain:
                    await session.drained(lanes, counters, timeout)
        finally:
            if own is not None:
                await own.aclose()
            elif counters is not None and session is not None:
                await session.dismiss(lanes, counters)
            await asyncio.sleep(0)  # requests that just ended hold their lanes for a turn
            queues = {lane.queue for lane in lanes}
            for counted in [lane.counters for lane in lanes]:
                self._work.include(counted)
            lanes.clear()
            self.lanes.clear()
            self._few.clear()
            for queue in queues:  # a strict limit may have ended with its lane
                queue.schedule()


class Asking(Caller):
    """The methods that those of each section are built on."""

    __slots__ = ()

    _calls: Calls

    def _rows(
        self, endpoint: Endpoint[R], params: Mapping[str, Param], options: ReadOptions | Options
    ) -> Waiter:
        return self._calls.ask(endpoint, params, **options)

    async def _row(
        self, endpoint: Endpoint[R], params: Mapping[str, Param], options: ReadOptions | Options
    ) -> R:
        rows = await self._calls.ask(endpoint, params, **options)
        if len(rows) != 1:
            raise DecodeError(f"{endpoint} answered {len(rows)} rows, not one")
        row: R = rows[0]
        return row
