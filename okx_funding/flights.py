"""All that one session has on the wire, and how it ends when the session does."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from .callers import Ticket


class Flights:
    """Requests on the wire, in tasks of their own and in the tasks of their callers."""

    def __init__(self) -> None:
        self.tasks: set[asyncio.Task[None]] = set()
        self.pilots: dict[Ticket, asyncio.Task[Any]] = {}
        """Callers that send for themselves, and in which task."""
        self.aborted: set[Ticket] = set()
        """Pilots whose tasks were cancelled by us: that mustn't get any further."""
        self._landing: asyncio.Future[None] | None = None

    def __len__(self) -> int:
        return len(self.tasks) + len(self.pilots)

    async def piloted(self, pilot: Ticket, flight: Coroutine[Any, Any, None]) -> None:
        """A flight as part of its caller's task, which must be the current one."""
        task = asyncio.current_task()
        assert task is not None
        before = task.cancelling()
        self.pilots[pilot] = task
        try:
            await flight
        except asyncio.CancelledError:
            if pilot not in self.aborted or task.uncancel() > before:
                raise
        finally:
            del self.pilots[pilot]
            if self.aborted:
                self.aborted.discard(pilot)
            if self._landing is not None and not (self.pilots or self._landing.done()):
                self._landing.set_result(None)

    def abort(self, pilot: Ticket) -> None:
        """What a caller sends for itself, if it does, is in vain: it has an error, or will."""
        task = self.pilots.get(pilot)
        if task is not None and pilot not in self.aborted:
            self.aborted.add(pilot)
            task.cancel()

    async def land(self, grace: float) -> None:
        """Wait until nothing is on the wire; after ``grace`` seconds whatever still is, ends."""
        waiting: set[asyncio.Future[Any]] = set(self.tasks)
        if self.pilots:
            self._landing = asyncio.get_running_loop().create_future()
            waiting.add(self._landing)
        if waiting:
            await asyncio.wait(waiting, timeout=grace)
        for pilot in list(self.pilots):
            self.abort(pilot)
        for task in self.tasks:
            task.cancel()
        if self.tasks:
            await asyncio.wait(self.tasks)
        if self.pilots and self._landing is not None:
            await self._landing
