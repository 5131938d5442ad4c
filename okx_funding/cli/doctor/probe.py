"""One request of the doctor, sent like all others."""

from __future__ import annotations

import time
from typing import Any

from okx_funding.api.account import GET_SYSTEM_TIME
from okx_funding.api.spec import Endpoint
from okx_funding.auth.credentials import Credentials
from okx_funding.errors import ConnectError, OKXError
from okx_funding.scheduler.calls import keys_of
from okx_funding.scheduler.context import Context
from okx_funding.session import Session
from okx_funding.telemetry.counters import Counters


class Probe:
    """Asks one endpoint once, through the session's lanes and their buckets."""

    def __init__(self, session: Session, origin: str, demo: bool, timeout: float) -> None:
        self.session = session
        self.origin = origin
        self.demo = demo
        self.timeout = timeout
        """Seconds for each step."""

    def context(self, credentials: Credentials | None, origin: str | None = None) -> Context:
        return Context(
            credentials,
            origin or self.origin,
            self.demo,
            self.timeout,
            max_retries=0,
        )

    async def ask(self, endpoint: Endpoint[Any], context: Context) -> tuple[Any, float]:
        """The answer's row, and the seconds from send to answer."""
        lane = self.session.lane(endpoint, context)
        rows = await lane.ask(keys_of(endpoint, {}), Counters(), timeout=self.timeout)
        return rows[0] if rows else None, lane.last_trip

    async def time(self, origin: str | None = None) -> tuple[float, float]:
        """OKX's clock less this machine's, and the round trip; both in seconds."""
        row, trip = await self.ask(GET_SYSTEM_TIME, self.context(None, origin))
        return row.ts / 1000 + trip / 2 - time.time(), trip


def way_out(error: OKXError) -> str:
    if isinstance(error, ConnectError):
        return "look for a firewall, and for a proxy that OKX_PROXY should name"
    if isinstance(error, TimeoutError):
        return "try again, or give it more time with --timeout"
    return ""
