"""All that one session has on the wire, and how it ends when the session does."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from .callers import Solo


class Flights:
    """Requests on the wire, in tasks of their own and in the tasks of their callers."""

    def __init__(self) -> None:
        self.tasks: set[asyncio.Task[None]] = set()
        self.solos: dict[Solo, asyncio.Task[Any]] = {}
        """What callers send for themselves, and in which task."""
        self.aborted: set[Solo] = set()
        """Those whose tasks were cancelled by us: that mustn't get any further."""
        self._landing: asyncio.Future[None] | None = None

    def __len__(self) -> int:
        return len(self.tasks) + len(self.solos)

    async def solo(self, solo: Solo, flight: Coroutine[Any, Any, None]) -> None:
        """A flight as part of its caller's task, which must be the current one."""
        task = asyncio.current_task()
        assert task is not None
        before = task.cancelling()
        self.solos[solo] = task
        try:
            await flight
        except asyncio.CancelledError:
            if solo not in self.aborted or task.uncancel() > before:
                raise
        finally:
            del self.solos[solo]
            self.aborted.discard(solo)
            if self._landing is not None and not (self.solos or self._landing.done()):
                self._landing.set_result(None)

    def abort(self, solo: Solo) -> None:
        """What a caller sends for itself, if it does, is in vain: it has an error, or will."""
        task = self.solos.get(solo)
        if task is not None and solo not in self.aborted:
            self.aborted.add(solo)
            task.cancel()

    async def land(self, grace: float) -> None:
        """Wait until nothing is on the wire; after ``grace`` seconds whatever still is, ends."""
        waiting: set[asyncio.Future[Any]] = set(self.tasks)
        if self.solos:
            self._landing = asyncio.get_running_loop().create_future()
            waiting.add(self._landing)
        if waiting:
            await asyncio.wait(waiting, timeout=grace)
        for solo in list(self.solos):
            self.abort(solo)
        for task in self.tasks:
            task.cancel()
        if self.tasks:
            await asyncio.wait(self.tasks)
        if self.solos and self._landing is not None:
            await self._landing
