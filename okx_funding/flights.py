"""All that one session has on the wire, and how it ends when the session does."""

from __future__ import annotations

import asyncio


class Flights:
    """The tasks of requests on the wire."""

    def __init__(self) -> None:
        self.tasks: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self.tasks)

    async def land(self, grace: float) -> None:
        """Wait until nothing is on the wire; after ``grace`` seconds whatever still is, ends."""
        if self.tasks:
            await asyncio.wait(self.tasks, timeout=grace)
        for task in self.tasks:
            task.cancel()
        if self.tasks:
            await asyncio.wait(self.tasks)
