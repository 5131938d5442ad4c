"""Ways to keep a limit: this project's, and those that others use. All send as fast as they may."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import itertools
import math
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from aiolimiter import AsyncLimiter

from okx_funding import Credentials, FundingClient, Policy, RateLimit, Session
from okx_funding.api.assets import VALUATION_UNITS
from okx_funding.errors import ProtocolError
from okx_funding.telemetry.events import Statistics
from okx_funding.wire.response import Response

from .harness import missing, optional
from .road import Exchange, Road


@dataclass
class Run:
    """What came of sending ``total`` requests."""

    exchange: Exchange
    trips: list[Trip] = field(default_factory=list)
    """Every request in the order of sending."""
    errors: Counter[str] = field(default_factory=Counter)
    """What callers saw instead of an answer."""
    statistics: Statistics | None = None

    def first_burst(self) -> float:
        """Seconds until the last of the first N requests, all wanted at once, had left."""
        return self.trips[self.exchange.limit.count - 1].sent - self.trips[0].sent

    def circumstances(self) -> Iterator[str]:
        """How each refusal came about: the arrival, and the one that it came too soon after."""
        count, period = self.exchange.limit.count, self.exchange.limit.period
        admitted = sorted(trip.arrived for trip in self.trips if not trip.refused)
        by_arrival = {trip.arrived: trip for trip in self.trips}
        for trip in self.trips:
            if not trip.refused:
                continue
            earlier = [at for at in admitted if at < trip.arrived][-count:]
            if len(earlier) < count or trip.arrived - earlier[0] >= period:
                yield f"{trip}: another program's doing, or another judge's"
                continue
            early = period - (trip.arrived - earlier[0])
            yield f"{early * 1000:.2f} ms early: {trip}, after {by_arrival[earlier[0]]}"


@dataclass
class Trip:
    """One request. Times are the loop's."""

    sent: float
    arrived: float = math.nan
    answered: float = math.nan
    refused: bool = False

    def __str__(self) -> str:
        return f"sent {self.sent:.4f}, arrived {self.arrived:.4f}, answered {self.answered:.4f}"


class Strategy(Protocol):
    """Sends ``total`` requests to the exchange, as fast as it dares."""

    name: str
    effort: float
    """Which share of the usual number of requests it is worth: polling takes long."""

    async def drive(self, road: Road, exchange: Exchange, total: int) -> Run:
        """Return when all have arrived."""
        ...


# -- this project's --------------------------------------------------------------------------

_OK = (
    b'{"code":"0","msg":"","data":[{"details":{"classic":"","earn":"1","funding":"2",'
    b'"trading":"3"},"totalBal":"6","ts":"1637566660769"}]}'
)
_REFUSED = b'{"code":"50011","msg":"Too Many Requests"}'
_UNITS = sorted(VALUATION_UNITS)


class _Wire:
    """Stands in for the sockets: a road in virtual time."""

    started = False

    def __init__(self, road: Road, run: Run, total: int) -> None:
        self.all_sent: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._road = road
        self._run = run
        self._total = total

    async def send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: str,
        *,
        label: str,
        timeout: float,
        fresh: bool = False,
    ) -> Response:
        """Send once, as the transport of a `Session` does."""
        del method, url, headers, body, label, timeout, fresh
        loop, road, run = asyncio.get_running_loop(), self._road, self._run
        if len(run.trips) >= self._total:
            if not self.all_sent.done():
                self.all_sent.set_result(None)
            await asyncio.Future()
        trip = Trip(loop.time())
        run.trips.append(trip)
        out, fresh = road.way_out(trip.sent)
        if road.lost and road.chance.random() < road.lost:
            loop.call_at(trip.sent + out, self._arrive, trip)
            await asyncio.sleep(2 * out * road.chance.random())
            raise ProtocolError("the connection broke")
        await asyncio.sleep(out)
        self._arrive(trip)
        await asyncio.sleep(road.way_back(loop.time()))
        trip.answered = loop.time()
        road.answered(trip.answered)
        if trip.refused:
            return Response(429, _REFUSED, fresh=fresh)
        return Response(200, _OK, fresh=fresh)

    def _arrive(self, trip: Trip) -> None:
        trip.arrived = asyncio.get_running_loop().time()
        trip.refused = not self._run.exchange.arrive(trip.arrived)

    async def aclose(self) -> None:
        """Nothing is open."""


class Ours:
    """Twenty callers of a `FundingClient` who ask again and again; only the sockets are made up.

    Each asks for the valuation in a unit of its own, so each request serves one caller.
    ``cancelled`` is the share of calls that are cancelled at a random moment. With a ``pause``
    of some seconds N callers come at once after each of them, instead.
    """

    effort = 1.0
    _users = itertools.count()

    def __init__(
        self,
        name: str = "okx_funding",
        *,
        spread: bool = False,
        cancelled: float = 0.0,
        refusal_cooldown: float = 15.0,
        pause: float = 0.0,
    ) -> None:
        self.name = name
        self._spread = spread
        self._cancelled = cancelled
        self._refusal_cooldown = refusal_cooldown
        self._pause = pause

    async def drive(self, road: Road, exchange: Exchange, total: int) -> Run:
        """Return when all have arrived."""
        run = Run(exchange)
        wire = _Wire(road, run, total)
        session = Session()
        session._transport = wire
        # Limits belong to users, and each run begins with one that nobody has seen before.
        user = f"virtual-{next(self._users)}"
        client = FundingClient(
            Credentials(user, "secret", "passphrase", user_id=user),
            session=session,
            base_url="http://127.0.0.1",
            demo=False,
            max_retries=0 if road.lost else 2,
            rate_limits={
                "get_asset_valuation": dataclasses.replace(exchange.limit, spread=self._spread)
            },
            policy=Policy(refusal_cooldown=self._refusal_cooldown),
        )
        callers: set[asyncio.Task[None]] = set()

        def come(unit: str, *, stay: bool) -> None:
            caller = asyncio.create_task(self._call(client, unit, road, run, stay=stay))
            callers.add(caller)
            caller.add_done_callback(callers.discard)

        async with session:
            while not wire.all_sent.done():
                for unit in _UNITS[: exchange.limit.count] if self._pause else _UNITS:
                    come(unit, stay=not self._pause)
                await (asyncio.sleep(self._pause) if self._pause else wire.all_sent)
            run.statistics = client.statistics()
            for caller in callers:
                caller.cancel()
            await asyncio.wait(callers)
        return run

    async def _call(
        self, client: FundingClient, unit: str, road: Road, run: Run, *, stay: bool
    ) -> None:
        loop = asyncio.get_running_loop()
        while True:
            call = asyncio.ensure_future(client.get_asset_valuation(unit))
            if self._cancelled and road.chance.random() < self._cancelled:
                loop.call_later(road.chance.uniform(0, 2.5), call.cancel)
            try:
                await asyncio.wait([call])
            finally:
                call.cancel()
            if not call.cancelled() and (error := call.exception()) is not None:
                run.errors[type(error).__name__] += 1
            if not stay:
                return


# -- others' ---------------------------------------------------------------------------------

Acquire = Callable[[], Awaitable[object]]


class Limiter:
    """Many tasks that each acquire, send and don't look back."""

    def __init__(
        self, name: str, make: Callable[[RateLimit], Acquire], effort: float = 1.0
    ) -> None:
        self.name = name
        self.effort = effort
        self._make = make

    async def drive(self, road: Road, exchange: Exchange, total: int) -> Run:
        """Return when all have arrived."""
        loop = asyncio.get_running_loop()
        run = Run(exchange)
        acquire = self._make(exchange.limit)
        arrived = loop.create_future()

        def arrive(trip: Trip) -> None:
            trip.arrived = now = loop.time()
            trip.refused = not exchange.arrive(now)
            if road.keep_alive is not None:
                loop.call_at(now + road.way_back(now), lambda: road.answered(loop.time()))
            if len(exchange.arrivals) == total:
                arrived.set_result(None)

        async def work() -> None:
            while len(run.trips) < total:
                await acquire()
                if len(run.trips) < total:
                    trip = Trip(loop.time())
                    run.trips.append(trip)
                    loop.call_at(trip.sent + road.way_out(trip.sent)[0], arrive, trip)

        tasks = [asyncio.create_task(work()) for _ in range(3 * exchange.limit.count)]
        await arrived
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        return run


def _burst(limit: RateLimit) -> Acquire:
    return AsyncLimiter(limit.count, limit.period).acquire


def _spaced(margin: float) -> Callable[[RateLimit], Acquire]:
    return lambda limit: AsyncLimiter(1, margin * limit.period / limit.count).acquire


class SendLog:
    """At most N sends in any window and ``guard`` seconds more, in the order of asking."""

    def __init__(self, limit: RateLimit, guard: float) -> None:
        self._sends: deque[float] = deque(maxlen=limit.count)
        self._limit = limit
        self._window = limit.period + guard
        self._turn = asyncio.Lock()

    async def acquire(self) -> None:
        """Return when one more may be sent."""
        loop = asyncio.get_running_loop()
        async with self._turn:
            if len(self._sends) == self._limit.count:
                await asyncio.sleep(max(0.0, self._sends[0] + self._window - loop.time()))
            self._sends.append(loop.time())


def _send_log(guard: float) -> Callable[[RateLimit], Acquire]:
    return lambda limit: SendLog(limit, guard).acquire


OTHERS = (
    Limiter("AsyncLimiter(6, 1)", _burst),
    Limiter("AsyncLimiter(1, 1/6)", _spaced(1.0)),
    Limiter("AsyncLimiter(1, 1.03/6)", _spaced(1.03)),
    Limiter("log of send times, 30 ms", _send_log(0.030)),
)


# ccxt's throttler reads the wall clock and a table of settings. In a rolling window, one window is
# the limit's period. Its OKX class paces instead, by 110 ms (100 ms and 10 % tolerance) times 5/3,
# which is this endpoint's cost in its table: https://github.com/ccxt/ccxt


def _ccxt_rolling(limit: RateLimit) -> dict[str, Any]:
    window = 1000.0 * limit.period
    return {"algorithm": "rollingWindow", "windowSize": window, "rateLimit": window / limit.count}


def _ccxt_leaky(limit: RateLimit) -> dict[str, Any]:
    wait = 1000.0 * limit.period / limit.count * 1.1
    return {"algorithm": "leakyBucket", "rateLimit": wait, "refillRate": 1 / wait}


def ccxt_strategies() -> list[Limiter]:
    """ccxt's two; none where ccxt isn't installed."""
    if missing("ccxt"):
        return []
    throttler = optional("ccxt.async_support.base.throttler").Throttler

    def make(settings: Callable[[RateLimit], dict[str, Any]]) -> Callable[[RateLimit], Acquire]:
        def acquire_of(limit: RateLimit) -> Acquire:
            throttle: Acquire = throttler(settings(limit), asyncio.get_running_loop())
            return throttle

        return acquire_of

    return [
        Limiter("ccxt, rolling window", make(_ccxt_rolling)),
        Limiter("ccxt, as for OKX", make(_ccxt_leaky), effort=0.1),
    ]


@contextlib.contextmanager
def ccxt_on_virtual_time() -> Iterator[None]:
    """Let ccxt's throttler read the running loop's clock instead of the wall's."""
    if missing("ccxt"):
        yield
        return
    throttler = optional("ccxt.async_support.base.throttler")
    clock = throttler.time
    throttler.time = lambda: asyncio.get_running_loop().time()
    try:
        yield
    finally:
        throttler.time = clock
