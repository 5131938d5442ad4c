"""All that one session has under way, and how it ends when the session does."""

from __future__ import annotations

import asyncio
from collections import deque

from .resolve import Job

SLICE = 500
"""Callers that are told how their calls ended in one step of the loop."""


class InFlight:
    """The tasks of requests on the wire, and the callers who are being told."""

    def __init__(self) -> None:
        self.tasks: set[asyncio.Task[None]] = set()
        self._jobs: deque[Job] = deque()
        self._left = SLICE
        """Callers who may still be told in this step of the loop."""
        self._running = False
        self._renewing = False
        self._all_told: asyncio.Future[None] | None = None

    def __len__(self) -> int:
        return len(self.tasks)

    def tell(self, job: Job) -> None:
        """Do ``job`` now, as far as this step of the loop has time for it, and the rest later."""
        self._jobs.append(job)
        if not self._running:  # an observer may call, and be told, within a job
            self._run()

    def _run(self) -> None:
        self._running = True
        try:
            while self._jobs and self._left > 0:
                told = next(self._jobs[0], None)
                if told is None:
                    self._jobs.popleft()
                else:
                    self._left -= max(told, 1)
        finally:
            self._running = False
        if not self._renewing and self._left < SLICE:
            self._renewing = True
            asyncio.get_running_loop().call_soon(self._renew)
        if not self._jobs and self._all_told is not None and not self._all_told.done():
            self._all_told.set_result(None)

    def _renew(self) -> None:
        self._renewing = False
        self._left = SLICE
        self._run()

    async def told(self) -> None:
        """Wait until everybody who is to be told was."""
        if self._jobs:
            if self._all_told is None or self._all_told.done():
                self._all_told = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._all_told)

    async def drain(self, grace: float) -> None:
        """Wait until nothing is on the wire; after ``grace`` seconds whatever still is, ends."""
        if self.tasks:
            await asyncio.wait(self.tasks, timeout=grace)
        for task in self.tasks:
            task.cancel()
        if self.tasks:
            await asyncio.wait(self.tasks)
        await self.told()
