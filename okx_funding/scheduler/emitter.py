"""Emitting what happens to the calls and the requests of one endpoint."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

from okx_funding.api.spec import Endpoint
from okx_funding.telemetry.events import (
    BatchDispatched,
    CallEnded,
    CallStarted,
    Event,
    Observer,
    Refused,
    ResponseReceived,
    RetryScheduled,
)
from okx_funding.telemetry.observers import emit

from .batch import Batch
from .calls import Waiter

_numbers = itertools.count(1)


def call_number() -> int:
    """The number of one more call; no other of the process has it."""
    return next(_numbers)


class ObservedWaiter(Waiter):
    """A waiter that emits an event the moment its call ends."""

    __slots__ = ("emitter", "number", "since", "user")

    number: int
    since: float
    emitter: EventEmitter
    user: str

    def set_result(self, result: list[Any], /) -> None:
        """Answer."""
        super().set_result(result)
        self.emitter.call_ended(self, "ok")

    def set_exception(self, exception: type | BaseException, /) -> None:
        """Fail."""
        super().set_exception(exception)
        self.emitter.call_ended(self, type(exception).__name__)

    def cancel(self, msg: Any | None = None) -> bool:
        """Leave."""
        if not super().cancel(msg):
            return False
        self.emitter.call_ended(self, "cancelled")
        return True


class EventEmitter:
    """Makes events of what happens to the calls and requests of one endpoint."""

    def __init__(
        self,
        observer: Observer,
        endpoint: Endpoint[Any],
        host: str,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._observer = observer
        self._endpoint = endpoint.name
        self._request = (host, endpoint.method, endpoint.path)
        self._loop = loop

    def waiter(self, user: str, now: float) -> ObservedWaiter:
        """Make one for a caller who comes now; tell of it when it has all that a waiter has."""
        waiter = ObservedWaiter(loop=self._loop)
        waiter.emitter, waiter.user = self, user
        waiter.number, waiter.since = call_number(), now
        return waiter

    def call_started(self, waiter: Waiter) -> None:
        """Tell that a call was accepted."""
        assert isinstance(waiter, ObservedWaiter)
        self._emit(CallStarted(self._endpoint, waiter.user, waiter.number, len(waiter.keys)))

    def call_ended(self, waiter: ObservedWaiter, outcome: str) -> None:
        """Tell that a call is over."""
        seconds = self._loop.time() - waiter.since
        self._emit(CallEnded(self._endpoint, waiter.user, waiter.number, seconds, outcome))

    def batch_dispatched(self, batch: Batch, user: str) -> None:
        """Tell that a request leaves."""
        waited = batch.sent_at - min(each.since for each in batch.pending.values())
        waiters = dict.fromkeys(waiter for waiter, _ in batch.waiters())
        calls = tuple(each.number for each in waiters if isinstance(each, ObservedWaiter))
        keys, callers = len(batch.pending), batch.callers
        self._emit(
            BatchDispatched(
                self._endpoint, user, batch.number, keys, callers, calls, waited, *self._request
            )
        )

    def response_received(
        self, batch: Batch, user: str, seconds: float, outcome: Exception | None, frozen: float = 0
    ) -> None:
        """Tell that an answer came, or none will."""
        name = "ok" if outcome is None else type(outcome).__name__
        status = 200 if outcome is None else getattr(outcome, "http_status", None)
        self._emit(ResponseReceived(self._endpoint, user, batch.number, seconds, name, status))
        if frozen:
            self._emit(Refused(self._endpoint, user, batch.number, frozen))

    def retry_scheduled(self, batch: Batch, user: str, wait: float, reason: Exception) -> None:
        """Tell that a batch goes back to the queue."""
        name = type(reason).__name__
        self._emit(RetryScheduled(self._endpoint, user, batch.number, wait, name))

    def _emit(self, event: Event) -> None:
        emit(self._observer, event)
