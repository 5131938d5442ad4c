"""The exchange's time: its wall clock, and what it does by itself when time passes."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable


class Clock:
    """Wall clock, skew, and the time that ``advance`` put on top.

    Two clocks, because tests run in virtual time: what *takes* time is timed by the event loop,
    and what is *stamped* with a time takes it from the wall clock. Both move with ``advance``.
    """

    def __init__(self, wall: Callable[[], float]) -> None:
        self._wall = wall
        self.skew: float = 0.0
        self.advanced: float = 0.0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._origin = 0.0
        self._before = 0.0

    def run_on(self, loop: asyncio.AbstractEventLoop | None) -> None:
        """Go on by this loop's clock; None stands still."""
        self._before = self._running()
        self._loop, self._origin = loop, loop.time() if loop else 0.0

    @property
    def loop(self) -> asyncio.AbstractEventLoop | None:
        return self._loop

    def wall(self) -> float:
        """Seconds since the epoch, by which signatures are held valid."""
        return self._wall() + self.skew

    def elapsed(self) -> float:
        """Seconds by which delays are measured."""
        return self._running() + self.advanced

    def stamp(self) -> int:
        """Milliseconds since the epoch, as rows bear them."""
        return int((self.wall() + self.advanced) * 1000)

    def _running(self) -> float:
        return self._before + (self._loop.time() - self._origin if self._loop else 0.0)


class Agenda:
    """What is to happen later. Steps run in the order of their times, never inside another."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self._steps: list[tuple[float, int, Callable[[], None]]] = []
        self._serial = itertools.count()
        self._timer: asyncio.TimerHandle | None = None
        self._running = False

    def __len__(self) -> int:
        return len(self._steps)

    def after(self, seconds: float, step: Callable[[], None]) -> None:
        """Run ``step`` when so much time has passed; at once where that is none."""
        if seconds <= 0:
            step()
            return
        due = self.clock.elapsed() + seconds
        heapq.heappush(self._steps, (due, next(self._serial), step))
        self.arm()

    def advance(self, seconds: float) -> None:
        """Let time pass at once, step by step. Raises ValueError for time that goes back."""
        if not seconds >= 0:
            raise ValueError(f"time can't be advanced by {seconds!r} s")
        end = self.clock.advanced + seconds
        while self._steps and self._steps[0][0] <= self.clock.elapsed() + end - self.clock.advanced:
            behind = self._steps[0][0] - self.clock.elapsed()
            self.clock.advanced += max(behind, 0.0)
            self.run_due(1)
        self.clock.advanced = max(end, self.clock.advanced)

    def run_due(self, most: int | None = None) -> None:
        """Run the steps whose time has come."""
        if self._running:
            return
        self._running = True
        try:
            # A step may be a rounding error early: elapsed() adds what advance() took apart.
            while self._steps and self._steps[0][0] <= self.clock.elapsed() + 1e-6:
                heapq.heappop(self._steps)[2]()
                if most is not None:
                    most -= 1
                    if most <= 0:
                        break
        finally:
            self._running = False

    def arm(self) -> None:
        """Have the loop's timer wake us for the next step."""
        loop = self.clock.loop
        if loop is not None:
            loop.call_soon_threadsafe(self._arm)

    def stop(self) -> None:
        """No timer any more; the steps stay."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self) -> None:
        self.stop()
        loop = self.clock.loop
        if loop is None or not self._steps:
            return
        delay = max(self._steps[0][0] - self.clock.elapsed(), 0.0)
        self._timer = loop.call_later(delay, self._wake)

    def _wake(self) -> None:
        self._timer = None
        self.run_due()
        self._arm()
