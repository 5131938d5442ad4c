"""One call that waits: the future it sleeps on, and how far its keys are."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from okx_funding.api.spec import Endpoint, Param
from okx_funding.errors import InvalidParameterError
from okx_funding.telemetry.counters import Counters

if TYPE_CHECKING:
    from .pending import PendingKey

Key = Hashable
"""What a call asks for: a value of ``batch_by`` (None for all), the arguments of a call that has
no such parameter, or an object that equals nothing where calls share nothing."""


class Unshared:
    """The arguments of one call that shares nothing: equal to nothing but itself."""

    __slots__ = ("args",)

    def __init__(self, args: Mapping[str, Any]) -> None:
        self.args: Mapping[str, Any] = args


Args = tuple[tuple[str, Any], ...]
"""Arguments by name, in an order of their own, so that equal ones are equal."""


def args_of(params: Mapping[str, Param | bool], without: str | None = None) -> Args:
    """Make the arguments of a read; a parameter that is None is left out."""
    found = []
    for name, value in params.items():
        if value is not None and name != without:
            if isinstance(value, list | tuple):
                value = ",".join([str(each) for each in value if each is not None])
            found.append((name, value))
    found.sort()
    return tuple(found)


def keys_of(endpoint: Endpoint[Any], params: Mapping[str, Param | bool]) -> tuple[Key, ...]:
    """Make the keys of a call."""
    if endpoint.batch_by is not None:
        values = params.get(endpoint.batch_by)
        return tuple(values) if isinstance(values, list | tuple) else (values,)
    return (args_of(params),) if endpoint.shared else (Unshared(params),)


def params_of(endpoint: Endpoint[Any], keys: Sequence[Key], args: Args) -> Mapping[str, Any]:
    """Make the parameters of the request for ``keys``, in a lane of calls with ``args``."""
    if endpoint.batch_by is not None:
        values = [key for key in keys if isinstance(key, str)]
        return {**dict(args), endpoint.batch_by: values} if values else dict(args)
    (key,) = keys
    if isinstance(key, Unshared):
        return key.args
    return dict(key) if isinstance(key, tuple) else {}


class WaiterHome(Protocol):
    """Where a waiter belongs."""

    def on_cancel(self, waiter: Waiter) -> None:
        """Forget a waiter that was cancelled."""

    def on_timeout(self, waiter: Waiter) -> None:
        """End a waiter whose time is over."""


class Waiter(asyncio.Future[list[Any]]):
    """One waiting caller. Its result is a list of rows of its own."""

    __slots__ = (
        "answers",
        "chunks",
        "counters",
        "error",
        "invalid",
        "keys",
        "lane",
        "left",
        "sent",
        "timer",
    )  # fmt: skip

    lane: WaiterHome
    counters: Counters
    keys: Sequence[Key]
    answers: dict[Key, Sequence[Any] | None] | None
    """The rows of each key, None where they aren't there yet; None where it has one key only."""
    left: int
    """How many of ``answers`` aren't there yet."""
    error: InvalidParameterError | None
    """Why OKX refused some of its keys, and which:"""
    invalid: list[Key]
    sent: bool
    """Whether OKX answered a request for some of several keys."""
    chunks: Chunks | None
    """What it asks in later turns, where it has more keys than a request holds."""
    timer: dict[Waiter, None] | None
    """Where its deadline is kept."""

    def cancel(self, msg: Any | None = None) -> bool:
        """Leave."""
        if not super().cancel(msg):
            return False
        self.lane.on_cancel(self)
        return True

    def rows(self) -> tuple[Any, ...]:
        """The rows that are there, of a call for several keys."""
        if self.answers is None:
            return ()
        return tuple(row for rows in self.answers.values() for row in rows or ())


class Chunks:
    """The turns of a call with more keys than a request holds: one chunk is queued at a time."""

    __slots__ = ("later", "priority", "queued")

    def __init__(self, priority: int) -> None:
        self.priority: int = priority
        self.queued: int = 0
        """How many keys of this turn are in the queue still."""
        self.later: deque[PendingKey] = deque()
