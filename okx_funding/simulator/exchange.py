"""The other side of the wire: a server on loopback that judges like OKX and keeps a log."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Self

from okx_funding.auth.credentials import Credentials
from okx_funding.endpoints import ENDPOINTS, RateLimit

from . import arrivals
from .accounts import Account
from .answers import Answer
from .arrivals import Arrival, Log
from .auth import Key, Request
from .connection import Connection
from .desk import Desk, endpoint_name
from .directory import Directory, own_user
from .faults import ALL_FAULTS, Fault
from .judge import Judge
from .limits import Limits, known
from .mischief import Mischief
from .services import Rules

_log = logging.getLogger(__name__)


class SimulatedExchange:
    """OKX's funding account on loopback, for tests, benchmarks and the demo.

        async with SimulatedExchange(users=[Credentials(...)]) as exchange:
            client = FundingClient(exchange.credentials, base_url=exchange.base_url)

    ``users``: credentials, one or more for each user id (without one, the API key stands in); by
    default the exchange makes one user of its own. ``judge``: how arrivals are counted, a name of
    ``JUDGES`` or a function of count and period. ``limits`` overrides the table, keyed by the
    endpoint's name. ``latency`` and ``jitter``: each way takes ``latency`` seconds and by chance
    up to ``jitter`` more. A request counts when it has arrived, before the way back. ``clock``:
    the wall clock, in seconds since the epoch. ``demo``: the keys belong to demo trading.
    ``currencies``: how many each user owns. ``unknown``, ``bad_code``, ``bad_named``: see Rules.
    ``log_size``: how many arrivals the log remembers. ``seed`` decides all that is left to chance.

    Attributes that may be changed at any time: ``latency``, ``jitter``, ``clock_skew`` (seconds by
    which the exchange's wall clock is ahead), and those of ``rules``.

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
        limits: Mapping[str, RateLimit] | None = None,
        clock: Callable[[], float] = time.time,
        seed: int = 0,
        host: str = "127.0.0.1",
        port: int = 0,
        demo: bool = False,
        currencies: int = 500,
        unknown: str | None = None,
        bad_code: str = "51000",
        bad_named: bool = False,
        log_size: int = 100_000,
    ) -> None:
        self.latency = latency
        self.jitter = jitter
        self.clock_skew: float = 0.0
        self.rules: Rules = Rules(unknown=unknown, bad_code=bad_code, bad_named=bad_named)
        self._clock = clock
        self._host = host
        self._port = port
        self._limits = Limits(judge, limits or {})
        self._directory = Directory(seed, currencies, demo=demo)
        for user in users or [own_user(seed)]:
            self._directory.add(user)
        self._desk = Desk(self._directory, self._limits, self.rules)
        self._mischief = Mischief(seed)
        self._log = Log(log_size)
        self._way = random.Random(f"{seed}/way")
        self._connections: set[Connection] = set()
        self._server: asyncio.Server | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def __repr__(self) -> str:
        log, users = self._log, len(self._directory.accounts)
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
        self._server = await self._loop.create_server(
            lambda: Connection(self._read, self._connections), self._host, self._port
        )
        self._port = self._server.sockets[0].getsockname()[1]

    async def aclose(self) -> None:
        """Stop listening and drop all connections, whatever hangs on them. May be called again."""
        server, self._server = self._server, None
        if server is None:
            return
        server.close()
        connections = list(self._connections)
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

    # --- users ----------------------------------------------------------------------------------

    @property
    def credentials(self) -> Credentials:
        """The first user's."""
        return self._directory.users[0]

    @property
    def users(self) -> list[Credentials]:
        """The credentials of all keys, in the order they came."""
        return list(self._directory.users)

    @property
    def user_ids(self) -> list[str]:
        """Each user once, in the order they came."""
        return list(self._directory.accounts)

    def add_user(self, credentials: Credentials) -> None:
        """One more user, or one more key of a user. Raises ValueError like the constructor."""
        self._directory.add(credentials)

    def remove_key(self, api_key: str) -> None:
        """From now on the key is unknown (50111). Raises KeyError where it was before."""
        self._directory.remove(api_key)

    def key(self, api_key: str | None = None) -> Key:
        """The settings of a key (permissions, ips, demo), by default of the first one."""
        return self._directory.keys[self.credentials.api_key if api_key is None else api_key]

    def account(self, user_id: str | None = None) -> Account:
        """What a user owns, an `Account`; by default the first user's. KeyError for an unknown one.

        ``account().set_balance("CELT", "5")`` changes a balance, ``account().assets = []`` all.
        """
        return self._directory.accounts[self.user_ids[0] if user_id is None else user_id]

    @property
    def currencies(self) -> list[str]:
        """The currencies of the first user's non-tradable assets."""
        return self.account().currencies

    @property
    def bad_currencies(self) -> set[str]:
        """Upper-case names that are refused as wrong parameters; a set to add to."""
        return self.rules.bad_currencies

    # --- the log --------------------------------------------------------------------------------

    @property
    def log(self) -> list[Arrival]:
        """What arrived, the oldest first."""
        return list(self._log.arrivals)

    @property
    def refused(self) -> list[Arrival]:
        """What the limits' judges refused."""
        return [arrival for arrival in self._log.arrivals if arrival.refused]

    def requests(self, endpoint: str | None = None, user: str | None = None) -> list[Arrival]:
        """What arrived at an endpoint, by name, and from a user, by user id; None takes all."""
        return self._log.select(endpoint, user)

    def limit(self, endpoint: str) -> RateLimit:
        """The limit in force. Raises ValueError for an unknown endpoint."""
        return self._limits.rule(endpoint)

    def busiest_window(self, endpoint: str, user: str | None = None) -> int:
        """The most arrivals, refused ones too, in any window of the limit's period.

        ``user`` is the first user where it isn't given, and everybody where OKX counts by address.
        """
        times = [arrival.at for arrival in self._counted(endpoint, user)]
        return arrivals.busiest_window(times, self.limit(endpoint).period)

    def utilisation(self, endpoint: str, user: str | None = None) -> float:
        """The share of the limit that admitted arrivals used, from the first to the last."""
        times = [arrival.at for arrival in self._counted(endpoint, user) if not arrival.refused]
        limit = self.limit(endpoint)
        return arrivals.utilisation(times, limit.count, limit.period)

    def reset(self) -> None:
        """Forget the log, the limits' history and all faults; keep users and what they own."""
        self._log.clear()
        self._limits.forget()
        self.calm()

    def _counted(self, endpoint: str, user: str | None) -> list[Arrival]:
        if ENDPOINTS[known(endpoint)].scope == "ip":
            user = None
        elif user is None:
            user = self.user_ids[0]
        return [arrival for arrival in self.requests(endpoint, user) if arrival.counted]

    # --- what may go wrong ------------------------------------------------------------------------

    def fail_next(self, n: int, fault: Fault, endpoint: str | None = None) -> None:
        """Give the next ``n`` requests, of one endpoint or of all, this fault.

        Called again, it queues behind. Raises ValueError for an unknown endpoint.
        """
        self._mischief.fail_next(n, fault, endpoint)

    def chaos(
        self,
        share: float = 0.2,
        faults: Iterable[Fault] = ALL_FAULTS,
        seed: int | None = None,
        endpoint: str | None = None,
    ) -> None:
        """From now on give a share of the requests one of the faults, by chance. 0 ends it.

        Raises ValueError for a share that isn't from 0 to 1 and for an unknown endpoint.
        """
        self._mischief.chaos(share, faults, seed, endpoint)

    def calm(self) -> None:
        """No faults any more: no ordered ones, no chaos, no outage, no clock skew."""
        self._mischief.calm()
        self.clock_skew = 0.0

    @property
    def outage(self) -> bool:
        """Whether everything is answered with 503 and a CDN's page. May be set."""
        return self._mischief.outage

    @outage.setter
    def outage(self, outage: bool) -> None:
        self._mischief.outage = outage

    def drop_connections(self) -> None:
        """Close all connections once what was written has left, as a server does that restarts."""
        for connection in list(self._connections):
            connection.close()

    def spend(self, endpoint: str, user: str | None = None, n: int = 1) -> int:
        """Spend ``n`` requests of a user's limit, as another program would; the log has none of it.

        Gives how many of them were admitted. Raises RuntimeError before ``start``.
        """
        if self._loop is None:
            raise RuntimeError("the exchange counts by its loop's clock, and wasn't started")
        who = self.user_ids[0] if user is None else user
        now = self._loop.time()
        row = ENDPOINTS[known(endpoint)]
        return sum(self._limits.admit(who, row, now) for _ in range(n))

    # --- the way of one request -----------------------------------------------------------------

    def _delay(self) -> float:
        return self.latency + (self._way.random() * self.jitter if self.jitter else 0.0)

    def _read(self, request: Request, connection: Connection) -> None:
        delay = self._delay()
        if delay:
            assert self._loop is not None
            self._loop.call_later(delay, self._arrive, request, connection)
        else:
            self._arrive(request, connection)

    def _arrive(self, request: Request, connection: Connection) -> None:
        if self._server is None or self._loop is None:
            return
        wall = self._clock() + self.clock_skew
        fault = self._mischief.next(endpoint_name(request))
        answer, arrival = self._desk.decide(request, self._loop.time(), wall, fault)
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
