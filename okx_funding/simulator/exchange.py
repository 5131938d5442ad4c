"""The other side of the wire: a server on loopback that keeps accounts and limits like OKX."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Literal, Self

from okx_funding.auth.credentials import Credentials

from . import answers, channels
from .answers import Answer
from .arrivals import Log
from .auth import Request
from .books import Rules
from .channels import WebSockets
from .counting import Judge
from .fault_injector import FaultInjector
from .fault_lists import ALL_FAULTS
from .faults import Fault
from .frames import accept_key
from .handler import Handler, endpoint_name
from .http import Connection
from .limits import Limits, Overrides
from .page import Actions, Page, View
from .traffic import Traffic
from .websocket import WebSocket

_log = logging.getLogger(__name__)


class SimulatedExchange(Traffic):
    """OKX's funding account on loopback, for tests, benchmarks and the demo.

        async with SimulatedExchange(users=[Credentials(...)]) as exchange:
            client = FundingClient(exchange.credentials, base_url=exchange.base_url)

    ``users``: credentials, one or more for each user id (without one, the API key stands in); by
    default the exchange makes one user of its own. ``judge``: how arrivals are counted, a name of
    ``JUDGES`` or a function of count and period. ``limits`` overrides the table, keyed by the
    endpoint's name. ``latency`` and ``jitter``: each way takes ``latency`` seconds and by chance
    up to ``jitter`` more. A request counts when it has arrived, before the way back. ``clock``:
    the wall clock, in seconds since the epoch. ``demo``: the keys belong to demo trading.
    ``currencies``: how many non-tradable ones each user owns. ``balances``: what each funding
    account has at first, over its usual some hundred USDT, BTC and ETH. ``unknown``, ``bad_code``,
    ``bad_named``, ``strict``, ``duplicate_ids``: see Rules. ``log_size``: how many arrivals the log
    remembers. ``seed`` decides all that is left to chance. ``page``: serve a page at ``/`` that
    shows what happens and has buttons for it, to browsers of this machine only.

    Attributes that may be changed at any time: ``latency``, ``jitter``, ``clock_skew`` (seconds by
    which the exchange's wall clock is ahead), and those of ``rules``. ``movements`` and ``ledger``
    tell what became of the money; ``account()`` gives tests hands.

    Raises ValueError for an unknown judge or endpoint, and for an API key that is given twice with
    different parts. ``start``, and so ``async with``, raises OSError where the port is taken.
    """

    def __init__(
        self,
        users: Iterable[Credentials] | None = None,
        *,
        judge: str | Callable[[int, float], Judge] = "sliding",
        latency: float = 0.0,
        jitter: float = 0.0,
        limits: Overrides | None = None,
        clock: Callable[[], float] = time.time,
        seed: int = 0,
        host: str = "127.0.0.1",
        port: int = 0,
        demo: bool = False,
        currencies: int = 500,
        balances: Mapping[str, str] | None = None,
        unknown: str | None = None,
        bad_code: str = "51000",
        bad_named: bool = False,
        strict: bool = False,
        duplicate_ids: Literal["accept", "refuse"] = "accept",
        log_size: int = 100_000,
        page: bool = False,
    ) -> None:
        rules = Rules(
            unknown=unknown,
            bad_code=bad_code,
            bad_named=bad_named,
            strict=strict,
            duplicate_ids=duplicate_ids,
        )
        super().__init__(users, rules, clock, seed, currencies, demo=demo, balances=balances)
        self.latency = latency
        self.jitter = jitter
        self._host = host
        self._port = port
        self._limits = Limits(judge, limits or {})
        self._handler = Handler(self._books, self._limits, self.account)
        self._injector = FaultInjector(seed)
        self._log = Log(log_size)
        self._way = random.Random(f"{seed}/way")
        self._connections: set[Connection] = set()
        self.websockets: WebSockets = WebSockets(self._books, seed)
        self._server: asyncio.Server | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._page: Page | None = None
        if page:
            view = View(self._books, self._log, self._limits, self._injector)
            self._page = Page(view, Actions(self))

    def __repr__(self) -> str:
        log, users = self._log, len(self._users.masters)
        return (
            f"<SimulatedExchange {self.base_url if self._server else 'not listening'}, "
            f"judge {self._limits.judge}, {users} user{'s' * (users != 1)}, "
            f"{log.requests} requests, {log.refused} refused, {log.faults} faults>"
        )

    # --- life -----------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def start(self) -> None:
        """Listen. Raises OSError where the port is taken, RuntimeError while listening already."""
        if self._server is not None:
            raise RuntimeError("this exchange is listening already")
        self._loop = asyncio.get_running_loop()
        self._time.run_on(self._loop)
        self.websockets.run_on(self._loop)
        self._books.agenda.arm()
        self._server = await self._loop.create_server(
            lambda: Connection(self._read, self._connections), self._host, self._port
        )
        self._port = self._server.sockets[0].getsockname()[1]

    async def aclose(self) -> None:
        """Stop listening and drop all connections, whatever hangs on them. May be called again."""
        server, self._server = self._server, None
        if server is None:
            return
        self._books.agenda.stop()
        self._time.run_on(None)
        server.close()
        self.websockets.run_on(None)
        connections: list[Connection | WebSocket] = [*self._connections, *self.websockets.open]
        for connection in connections:
            connection.abort()
        for connection in connections:
            await connection.ended()
        await server.wait_closed()

    async def stop_listening(self) -> None:
        """Be gone: connections are dropped and refused until ``resume``."""
        await self.aclose()

    async def resume(self) -> None:
        """Listen again, on the same port."""
        await self.start()

    @property
    def base_url(self) -> str:
        """Where it listens. Raises RuntimeError before the first ``start`` on a port of choice."""
        if not self._port:
            raise RuntimeError("the exchange has no port before it was started")
        return f"http://{f'[{self._host}]' if ':' in self._host else self._host}:{self._port}"

    def reset(self) -> None:
        """Forget the log, the limits' history and all faults; keep users and what they own."""
        self._log.clear()
        self._limits.forget()
        self.calm()

    @property
    def ws_url(self) -> str:
        """Where the WebSocket of deposits and withdrawals is. Raises like ``base_url``."""
        return f"ws{self.base_url.removeprefix('http')}{channels.BUSINESS}"

    def remove_key(self, api_key: str) -> None:
        """From now on the key is unknown (50111), and its WebSockets are closed (4007).

        Raises KeyError where it was unknown before.
        """
        super().remove_key(api_key)
        self.websockets.key_removed(api_key)

    # --- what may go wrong ------------------------------------------------------------------------

    def fail_next(self, n: int, fault: Fault, endpoint: str | None = None) -> None:
        """Give the next ``n`` requests, of one endpoint or of all, this fault.

        Called again, it queues behind. Raises ValueError for an unknown endpoint.
        """
        self._injector.fail_next(n, fault, endpoint)

    def chaos(
        self,
        share: float = 0.2,
        faults: Iterable[Fault] = ALL_FAULTS,
        seed: int | None = None,
        endpoint: str | None = None,
    ) -> None:
        """From now on give a share of the requests one of the faults, by chance. 0 ends it.

        An endpoint may have chaos of its own, next to that of all others:

            exchange.chaos(0.2, MONEY_FAULTS, endpoint="withdrawal")

        Raises ValueError for a share that isn't from 0 to 1 and for an unknown endpoint.
        """
        self._injector.chaos(share, faults, seed, endpoint)

    def calm(self) -> None:
        """No faults any more: no ordered ones, no chaos, no outage, no clock skew."""
        self._injector.calm()
        self.clock_skew = 0.0

    @property
    def outage(self) -> bool:
        """Whether everything is answered with 503 and a CDN's page. May be set."""
        return self._injector.outage

    @outage.setter
    def outage(self, outage: bool) -> None:
        self._injector.outage = outage

    def drop_connections(self) -> None:
        """Close all connections once what was written has left, as a server does that restarts."""
        for connection in list(self._connections):
            connection.close()

    # --- the way of one request -----------------------------------------------------------------

    def _delay(self) -> float:
        return self.latency + (self._way.random() * self.jitter if self.jitter else 0.0)

    def _read(self, request: Request, connection: Connection) -> None:
        if self._page is not None and self._page.serves(request):
            assert self._loop is not None
            connection.respond(self._page.answer(request, self._loop.time()))
            return
        delay = self._delay()
        if delay:
            assert self._loop is not None
            self._loop.call_later(delay, self._arrive, request, connection)
        else:
            self._arrive(request, connection)

    def _arrive(self, request: Request, connection: Connection) -> None:
        if self._server is None or self._loop is None:
            return
        if request.path in channels.PATHS:
            self._open_websocket(request, connection)
            return
        fault = self._injector.next(endpoint_name(request))
        wall = self._time.wall()
        if fault is not None and fault.arrival_delay:
            later = fault.arrival_delay
            self._loop.call_later(later, self._handle, request, connection, fault, wall + later)
        else:
            self._handle(request, connection, fault, wall)

    def _open_websocket(self, request: Request, connection: Connection) -> None:
        assert self._loop is not None
        key = request.headers.get("sec-websocket-key")
        if request.headers.get("upgrade", "").lower() != "websocket" or not key:
            connection.respond(answers.html(426))
            return
        status = 503 if self.outage else self.websockets.admit(request.peer, self._loop.time())
        if status is not None:
            connection.respond(answers.html(status))
            return
        head = (
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Accept: {accept_key(key)}\r\n\r\n"
        )
        connection.upgrade(self.websockets.accept(request.peer, request.path), head.encode())

    def _handle(
        self, request: Request, connection: Connection, fault: Fault | None, wall: float
    ) -> None:
        if self._server is None or self._loop is None:
            return
        self._books.agenda.run_due()
        # In virtual time the wall clock may stand still while the request was on its way.
        wall = max(wall, self._time.wall())
        answer, arrival = self._handler.decide(request, self._loop.time(), wall, fault)
        self._log.add(arrival)
        delay = self._delay()
        if fault is not None and (fault.delivery or fault.delay):
            connection.run(_misdeliver(fault, answer, connection, delay + fault.delay))
        elif delay:
            self._loop.call_later(delay, connection.respond, answer)
        else:
            connection.respond(answer)


async def _misdeliver(fault: Fault, answer: Answer, connection: Connection, delay: float) -> None:
    try:
        await asyncio.sleep(delay)
        if fault.delivery is None:
            connection.respond(answer)
        else:
            await fault.delivery(answer, connection)
    except Exception:
        _log.exception("%r could not be delivered", fault)
        connection.reset()
