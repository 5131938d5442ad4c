"""What one watch hears of one channel, in order and bounded."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Protocol

from okx_funding.errors import BacklogExceededError, OKXError
from okx_funding.telemetry.events import GapFilled, Observer
from okx_funding.telemetry.observers import emit

from .push_messages import Pushed, Up


class Connection(Protocol):
    """What a listener hears by."""

    user: str
    gaps_filled: int

    def leave(self, listener: Listener) -> None:
        """``listener`` wants nothing more."""


class Listener:
    """What one watch hears of one channel, in order; bounded."""

    def __init__(
        self,
        connection: Connection,
        channel: str,
        max_backlog: int,
        observer: Observer | None = None,
    ) -> None:
        self.channel = channel
        self.observer = observer
        self._connection = connection
        self._max = max_backlog
        self._items: deque[Pushed | Up] = deque()
        self._failure: OKXError | None = None
        self._wake: asyncio.Future[None] | None = None

    def __len__(self) -> int:
        return len(self._items)

    def put(self, item: Pushed | Up) -> None:
        """Append, unless the listener is too far behind; then it ends with an error."""
        if self._failure is not None:
            return
        before = self._items[-1] if self._items else None
        if isinstance(item, Up) and isinstance(before, Up):
            self._items.pop()  # nothing was pushed in between: one gap, from its loss on
            item = Up(item.number, before.lost_at)
        if len(self._items) >= self._max:
            self._items.clear()
            self.fail(
                BacklogExceededError(
                    f"more than max_backlog={self._max} events wait: the consumer is too slow"
                )
            )
            return
        self._items.append(item)
        self._notify()

    def fail(self, error: OKXError) -> None:
        """End it: what was heard is given first, then ``error`` is raised."""
        if self._failure is None:
            self._failure = error
            self._notify()

    def _notify(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    async def get(self) -> Pushed | Up:
        """Wait for the next item."""
        while not self._items:
            if self._failure is not None:
                raise self._failure
            self._wake = asyncio.get_running_loop().create_future()
            try:
                await self._wake
            finally:
                self._wake = None
        return self._items.popleft()

    def close(self) -> None:
        """Listen no more; the last listener closes the connection."""
        self._items.clear()
        self._connection.leave(self)

    def filled(self, events: int, seconds: float) -> None:
        """Count a gap that was filled: ``events`` of it were told, ``seconds`` it took."""
        connection = self._connection
        connection.gaps_filled += 1
        if self.observer is not None:
            emit(self.observer, GapFilled(self.channel, connection.user, events, seconds))
