"""What the money protocol needs of the client below it, and nothing more.

The protocol decides *whether* something is sent; whoever implements this Protocol sends it. The
two rules that everything rests on: `MoneyPort.post_once` puts a request on the wire at most once,
and an error says by ``sent`` whether a byte of it may have left.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from okx_funding.errors import APIError

from .intent import Account

BeforeSend = Callable[[int], Awaitable[None]]
"""Called with the request's timestamp in Unix milliseconds, right before its first byte."""


@dataclass(frozen=True, slots=True)
class Answer:
    """OKX's whole, well-formed envelope to one POST, whatever its code."""

    http_status: int
    rows: Sequence[Any] = ()
    """The rows of a ``code`` 0, as structs of the endpoint's row type."""
    error: APIError | None = None
    """The typed error of any other code, or of a row's ``sCode``; None for code 0."""


class MoneyPort(Protocol):
    """What sends and reads for the money protocol. Endpoints are named as in ``ENDPOINTS``."""

    @property
    def owner(self) -> Account:
        """Whose money is moved, and where; new intents carry it."""

    @property
    def names(self) -> frozenset[str]:
        """All names by which the account is known so far: User ID and fingerprint of the key."""

    @property
    def read_only(self) -> bool:
        """Whether nothing may be sent that moves money."""

    def now(self) -> float:
        """Unix time in seconds, by OKX's clock as far as it is known."""

    async def learn_clock(self, timeout: float) -> None:
        """Ask OKX's clock, so that `now` and the next timestamp go by it; raises an OKXError."""

    async def learn_names(self, timeout: float) -> None:
        """Ask OKX for the User ID if it isn't known, so that `names` is whole; may raise."""

    async def post_once(
        self,
        endpoint: str,
        body: Mapping[str, Any],
        *,
        lane: str,
        timeout: float,
        before_send: BeforeSend,
    ) -> Answer:
        """Send one POST, at most once, and give OKX's answer to it.

        Waits for its turn: one at a time for each user and ``lane`` (the currency), then for a
        slot of the rate limit. Then takes the timestamp, awaits ``before_send(timestamp)``, and
        sends: if that raises, nothing is sent and its error goes on as it is. The connection is
        opened for the request, or gave an answer within the last 5 s. ``timeout`` is seconds for
        all of it, the attempt itself bounded by ``request_timeout``; cancelling before
        ``before_send`` was called sends nothing.

        Raises an OKXError where no whole envelope came; its ``sent`` is False only where surely
        no byte left. Never retries, whatever comes; a refusal for the rate or the timestamp makes
        its lane wait as any other.
        """

    async def read(
        self, endpoint: str, params: Mapping[str, str], *, timeout: float
    ) -> Sequence[Any]:
        """Ask a read that nobody shares and no memory answers; rows as structs.

        May retry within ``timeout`` seconds. Raises an OKXError.
        """
