"""Deadlines of many callers on few timers."""

from __future__ import annotations

import asyncio
from math import ceil

from .callers import Ticket

GRAIN = 0.025
"""Seconds by which a deadline may fire late."""


class Deadlines:
    """Tells a ticket's lane when its time is over; one timer for all of one grain."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._timers: dict[int, tuple[dict[Ticket, None], asyncio.TimerHandle]] = {}

    def add(self, ticket: Ticket, deadline: float) -> None:
        """``ticket.timer`` holds its place from now on: leaving is deleting it there."""
        grain = ceil(deadline / GRAIN)
        entry = self._timers.get(grain)
        if entry is None:
            timer = self._loop.call_at(grain * GRAIN, self._fire, grain)
            entry = self._timers[grain] = ({}, timer)
        entry[0][ticket] = None
        ticket.timer = entry[0]

    def close(self) -> None:
        """No more deadlines."""
        for _, timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def _fire(self, grain: int) -> None:
        tickets, _ = self._timers.pop(grain)
        for ticket in list(tickets):
            if not ticket.done():
                ticket.lane.expire(ticket)
