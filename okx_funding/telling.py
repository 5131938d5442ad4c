"""Telling an observer what happens to the calls and the requests of one endpoint."""

from __future__ import annotations

import asyncio
import itertools
import logging
from typing import Any

from .callers import Batch, Ticket
from .endpoints import Endpoint
from .events import (
    BatchDispatched,
    CallEnded,
    CallStarted,
    Event,
    Observer,
    Refused,
    ResponseReceived,
    RetryScheduled,
)

logger: logging.Logger = logging.getLogger("okx_funding.observers")
_numbers = itertools.count(1)


def tell(observer: Observer, event: Event) -> None:
    """Tell an observer; what it raises is logged and harms nobody."""
    try:
        observer(event)
    except Exception:
        logger.exception("an observer failed at %s", type(event).__name__)


class WatchedTicket(Ticket):
    """A caller of whose end an observer is told, the moment it comes."""

    __slots__ = ("number", "since", "teller", "user")

    number: int
    since: float
    teller: Teller
    user: str

    def set_result(self, result: list[Any], /) -> None:
        """Answered."""
        super().set_result(result)
        self.teller.ended(self, "ok")

    def set_exception(self, exception: type | BaseException, /) -> None:
        """Failed."""
        super().set_exception(exception)
        self.teller.ended(self, type(exception).__name__)

    def cancel(self, msg: Any | None = None) -> bool:
        """The caller leaves."""
        if not super().cancel(msg):
            return False
        self.teller.ended(self, "cancelled")
        return True


class Teller:
    """Makes events of what happens to the calls and requests of one endpoint."""

    def __init__(
        self, observer: Observer, endpoint: Endpoint, host: str, loop: asyncio.AbstractEventLoop
    ) -> None:
        self._observer = observer
        self._endpoint = endpoint.name
        self._request = (host, endpoint.method, endpoint.path)
        self._loop = loop

    def ticket(self, user: str, now: float) -> WatchedTicket:
        """For a caller who comes now; tell of it when it has all that a ticket has."""
        ticket = WatchedTicket(loop=self._loop)
        ticket.teller, ticket.user = self, user
        ticket.number, ticket.since = next(_numbers), now
        return ticket

    def started(self, ticket: Ticket) -> None:
        """A call was accepted."""
        assert isinstance(ticket, WatchedTicket)
        self._tell(CallStarted(self._endpoint, ticket.user, ticket.number, len(ticket.keys)))

    def ended(self, ticket: WatchedTicket, outcome: str) -> None:
        """A call is over."""
        seconds = self._loop.time() - ticket.since
        self._tell(CallEnded(self._endpoint, ticket.user, ticket.number, seconds, outcome))

    def departure(self, batch: Batch, user: str) -> None:
        """A request leaves."""
        waited = batch.sent_at - min(question.since for question in batch.questions.values())
        tickets = dict.fromkeys(ticket for ticket, _ in batch.tickets())
        calls = tuple(ticket.number for ticket in tickets if isinstance(ticket, WatchedTicket))
        keys, callers = len(batch.questions), batch.callers
        self._tell(
            BatchDispatched(
                self._endpoint, user, batch.number, keys, callers, calls, waited, *self._request
            )
        )

    def answer(
        self, batch: Batch, user: str, seconds: float, outcome: Exception | None, frozen: float = 0
    ) -> None:
        """An answer came, or none will."""
        word = "ok" if outcome is None else type(outcome).__name__
        status = 200 if outcome is None else getattr(outcome, "http_status", None)
        self._tell(ResponseReceived(self._endpoint, user, batch.number, seconds, word, status))
        if frozen:
            self._tell(Refused(self._endpoint, user, batch.number, frozen))

    def retry(self, batch: Batch, user: str, wait: float, reason: Exception) -> None:
        """A batch goes back to the queue."""
        name = type(reason).__name__
        self._tell(RetryScheduled(self._endpoint, user, batch.number, wait, name))

    def _tell(self, event: Event) -> None:
        tell(self._observer, event)
