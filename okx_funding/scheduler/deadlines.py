"""Deadlines of many callers on few timers."""

from __future__ import annotations

import asyncio
from itertools import islice
from math import ceil

from okx_funding.scheduler.calls import Waiter

GRAIN = 0.025
"""Seconds by which a deadline may fire late."""
SLICE = 150
"""Callers that end in one step of the loop."""


class Deadlines:
    """Tells a ticket's lane when its time is over; one timer for all of one grain."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._timers: dict[int, tuple[dict[Waiter, None], asyncio.Handle]] = {}
        self._sweep_at = 64

    def add(self, ticket: Waiter, deadline: float) -> None:
        """``ticket.timer`` holds its place from now on: leaving is deleting it there."""
        grain = ceil(deadline / GRAIN)
        entry = self._timers.get(grain)
        if entry is None:
            if len(self._timers) >= self._sweep_at:
                self._sweep()
            timer = self._loop.call_at(grain * GRAIN, self._fire, grain)
            entry = self._timers[grain] = ({}, timer)
        entry[0][ticket] = None
        ticket.timer = entry[0]

    def close(self) -> None:
        """No more deadlines."""
        for _, timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def _sweep(self) -> None:
        """Drop timers of which every call was answered long before its time."""
        for grain, (tickets, timer) in list(self._timers.items()):
            if not tickets:
                timer.cancel()
                del self._timers[grain]
        self._sweep_at = 2 * len(self._timers) + 64

    def _fire(self, grain: int) -> None:
        tickets, _ = self._timers.pop(grain)
        for ticket in list(islice(tickets, SLICE)):
            if not ticket.done():
                ticket.lane.on_timeout(ticket)
            tickets.pop(ticket, None)
        if tickets:
            self._timers[grain] = (tickets, self._loop.call_soon(self._fire, grain))
