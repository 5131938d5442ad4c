"""A loop whose time is set by hand, for rules that never wait, and a bucket on it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from okx_funding.ratelimit.bucket import TokenBucket
from okx_funding.ratelimit.slot import Slot

T = TypeVar("T")


class Clock(asyncio.SelectorEventLoop):
    """``clock(f)`` calls ``f`` inside the loop, at ``clock.now``."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def time(self) -> float:
        return self.now

    def __call__(self, function: Callable[[], T]) -> T:
        async def run() -> T:
            return function()

        return self.run_until_complete(run())


class Hands:
    """A bucket on a clock that is set by hand."""

    def __init__(self, clock: Clock, bucket: TokenBucket) -> None:
        self.clock = clock
        self.bucket = bucket

    def take(self, at: float, n: int = 1) -> list[Slot]:
        """``n`` slots at this moment; fewer where there are fewer."""
        self.clock.now = at
        slots = [self.clock(lambda: self.bucket.take(at)) for _ in range(n)]
        return [slot for slot in slots if slot is not None]

    def give(self, how: str, at: float, *slots: Slot, **more: Any) -> None:
        self.clock.now = at
        for slot in slots:
            self.clock(partial(getattr(self.bucket, how), slot, at, **more))

    def free(self, at: float) -> int:
        self.clock.now = at
        return self.bucket.slots_free(at)

    def frees(self, n: int = 1) -> float:
        """When so many slots are free at once."""
        bucket, now = self.bucket, self.clock.now
        moments = [now, bucket.frozen_until, *(free_at for free_at, _, _ in bucket.slots.idle)]
        return min(at for at in moments if at >= now and bucket.slots_free(at) >= n)
