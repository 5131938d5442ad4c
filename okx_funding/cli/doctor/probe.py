"""One request of the doctor, sent like all others."""

from __future__ import annotations

import time
from typing import Any

from okx_funding.auth.credentials import Credentials
from okx_funding.endpoints import GET_TIME, Endpoint
from okx_funding.errors import ConnectError, OKXError
from okx_funding.ratelimit.bucket import Claim
from okx_funding.scheduler.dispatcher import Policy
from okx_funding.session import Profile, Session
from okx_funding.telemetry.counters import Counters


class Probe:
    """Asks one endpoint once, through the session's lanes and their buckets."""

    def __init__(self, session: Session, origin: str, demo: bool, timeout: float) -> None:
        self.session = session
        self.origin = origin
        self.demo = demo
        self.timeout = timeout
        """Seconds for each step."""

    def profile(self, credentials: Credentials | None, origin: str | None = None) -> Profile:
        return Profile(
            credentials,
            origin or self.origin,
            self.demo,
            self.timeout,
            Policy(max_retries=0, max_refusals=1),
        )

    async def ask(self, endpoint: Endpoint, profile: Profile) -> tuple[Any, float]:
        """The answer's row, and the seconds from send to answer."""
        lane = self.session.lane(endpoint, profile, Claim(endpoint.limit))
        rows = await lane.ask((None,), Counters(), timeout=self.timeout)
        return rows[0] if rows else None, lane.last_trip

    async def time(self, origin: str | None = None) -> tuple[float, float]:
        """OKX's clock less this machine's, and the round trip; both in seconds."""
        row, trip = await self.ask(GET_TIME, self.profile(None, origin))
        return row.ts / 1000 + trip / 2 - time.time(), trip


def way_out(error: OKXError) -> str:
    if isinstance(error, ConnectError):
        return "look for a firewall, and for a proxy that OKX_PROXY should name"
    if isinstance(error, TimeoutError):
        return "try again, or give it more time with --timeout"
    return ""
