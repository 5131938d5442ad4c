"""A session with a road instead of sockets, and a judge of arrivals at its end."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from okx_funding import (
    Credentials,
    FundingClient,
    OKXError,
    RateLimit,
    RequestTimeoutError,
    Session,
)
from okx_funding.api.spec import Endpoint
from okx_funding.api.table import ENDPOINTS
from okx_funding.scheduler.context import Context
from okx_funding.scheduler.host import Host
from okx_funding.simulator import Judge, make_judge
from okx_funding.wire.request import Request
from okx_funding.wire.response import Response
from tests.support import ASSETS, envelope, row, someone

REFUSED = b'{"code":"50011","msg":"Too Many Requests"}'
VALUED = b'{"code":"0","data":[{"totalBal":"1","ts":"1","details":{}}],"msg":""}'

Trouble = Callable[["Trip"], Response | OKXError | None]
"""What becomes of a request instead: an answer, an error of the transport, or None for nothing."""


@dataclass
class Trip:
    """One request. Times are the loop's."""

    endpoint: str
    user: str
    keys: tuple[str, ...]
    sent: float
    arrived: float = -1.0
    refused: bool = False


class Road(Session):
    """Each way takes ``way`` seconds and by chance up to ``jitter`` more."""

    def __init__(
        self,
        limit: RateLimit | None = None,
        *,
        judge: str = "sliding",
        way: float = 0.022,
        jitter: float = 0.0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.way, self.jitter = way, jitter
        self.limit = limit
        self.judge = judge
        self.judges: dict[tuple[str, str], Judge] = {}
        self.trips: list[Trip] = []
        self.next: list[Trouble] = []
        """What becomes of the next requests."""
        self.uids: dict[str, str] = {}
        """Whose an API key is, where its credentials don't say."""
        self.owner: Credentials | None = None
        """The first client's."""
        self._chance = random.Random(seed)

    def client(self, **options: Any) -> FundingClient:
        """One more client, of a user of its own unless ``credentials`` are given."""
        credentials = options.pop("credentials", None) or someone()
        self.owner = self.owner or credentials
        if self.limit is not None:
            options.setdefault("rate_limits", dict.fromkeys(ENDPOINTS, self.limit))
        return FundingClient(credentials, session=self, **options)

    @property
    def arrivals(self) -> list[float]:
        """When requests arrived, in that order."""
        return sorted(trip.arrived for trip in self.trips if trip.arrived >= 0)

    @property
    def refused(self) -> list[Trip]:
        return [trip for trip in self.trips if trip.refused]

    def spend(self, endpoint: str = ASSETS) -> bool:
        """Another program of the first client's user asks for something."""
        assert self.owner is not None
        now = asyncio.get_running_loop().time()
        return self._judge(self._user(self.owner), endpoint).admit(now)

    def _user(self, credentials: Credentials | None) -> str:
        if credentials is None:
            return "this address"
        return credentials.user_id or self.uids.get(credentials.api_key, credentials.api_key)

    def _judge(self, user: str, endpoint: str) -> Judge:
        if (user, endpoint) not in self.judges:
            limit = self.limit or ENDPOINTS[endpoint].limits[0]
            self.judges[user, endpoint] = make_judge(self.judge, limit.count, limit.period)
        return self.judges[user, endpoint]

    def one_way(self) -> float:
        return self.way + self._chance.random() * self.jitter

    def arrive(self, trip: Trip) -> None:
        """From now on it counts."""
        trip.arrived = asyncio.get_running_loop().time()
        trip.refused = not self._judge(trip.user, trip.endpoint).admit(trip.arrived)

    async def _send(
        self, profile: Context, host: Host, endpoint: Endpoint, request: Request
    ) -> Response:
        loop = asyncio.get_running_loop()
        _, _, query = request.target.partition("?ccy=")
        keys = tuple(query.split(",")) if query else ()
        trip = Trip(endpoint.name, self._user(profile.credentials), keys, loop.time())
        self.trips.append(trip)
        trouble = self.next.pop(0) if self.next else lambda _: None
        outcome = trouble(trip)
        if isinstance(outcome, OKXError) and not outcome.sent:
            self.trips.remove(trip)
            raise outcome
        if isinstance(outcome, RequestTimeoutError):  # it arrives, though nobody waits any more
            loop.call_later(min(0.24, self.one_way()), self.arrive, trip)
            raise outcome
        await asyncio.sleep(self.one_way())
        self.arrive(trip)
        await asyncio.sleep(self.one_way())
        if isinstance(outcome, OKXError):
            raise outcome
        return outcome or self._answer(endpoint, trip)

    def _answer(self, endpoint: Endpoint, trip: Trip) -> Response:
        if trip.refused:
            return Response(429, REFUSED)
        if endpoint.batch_size > 1:
            return Response(200, envelope(*map(row, trip.keys)))
        if endpoint.name == "get_account_config":
            uid = trip.user.encode()
            return Response(200, b'{"code":"0","data":[{"uid":"%s"}],"msg":""}' % uid)
        return Response(200, VALUED)


def batches(n: int, name: str = "C") -> list[list[str]]:
    """The currencies of ``n`` calls that fill a request each."""
    return [[f"{name}{call}.{index}" for index in range(20)] for call in range(n)]
