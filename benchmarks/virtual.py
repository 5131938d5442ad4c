"""Time that jumps: an event loop on which an hour takes seconds and repeats to the digit."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

TURN = 1e-6
"""Seconds that every turn of the loop takes. aiolimiter re-arms a timer for ever on a clock that
stands still between two timers without a delay."""


class _Jump(selectors.SelectSelector):
    """Waits for nothing: it moves the clock to the next timer. Sockets are never looked at."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("nothing is left to happen, and somebody still waits")
        self.now += max(timeout, TURN)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """Runs callbacks in the order of their times and never waits. Its clock starts at 0."""

    def __init__(self) -> None:
        self.clock = _Jump()
        super().__init__(self.clock)

    def time(self) -> float:
        return self.clock.now


def run(main: Coroutine[Any, Any, T]) -> T:
    """What ``main`` returns, on a loop of its own whose time is virtual."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)
