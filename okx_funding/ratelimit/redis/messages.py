"""What a shared bucket deals in: slots won, slots on their way back, and those it talks to."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from .scripts import microseconds

if TYPE_CHECKING:
    from .bucket import SharedBucket


class Queue(Protocol):
    """Who waits before a bucket, in this process."""

    loop: asyncio.AbstractEventLoop

    def schedule(self) -> None:
        """A slot may be had: take it, in the next turn of the loop."""

    def ahead(self) -> int:
        """Requests that those who wait now will need."""

    def fail_waiters(self, reason: str, *, only_without_deadline: bool) -> None:
        """There will be no slot: tell whoever waits, or only who would wait for ever."""


class Backend(Protocol):
    """The way to Redis and back."""

    @property
    def process(self) -> str:
        """What Redis knows this process by."""

    @property
    def unavailable_reason(self) -> str | None:
        """Why Redis can't be used, if that is so."""

    @property
    def is_fatal(self) -> bool:
        """Whether waiting is of no use then."""

    @property
    def settle(self) -> float:
        """Seconds that others may go on by themselves when Redis is back."""

    @property
    def fresh(self) -> float:
        """Seconds after the ask within which a slot must be used: who slept gives it back."""

    @property
    def lease(self) -> float:
        """Seconds after the ask for which a slot is held at most."""

    def ask(self, bucket: SharedBucket) -> None:
        """Have its question asked as soon as it can be."""

    def give(self, back: Release) -> None:
        """Have a slot given back; nobody waits for it."""


class SharedSlot:
    """One slot won in Redis."""

    __slots__ = ("asked_at", "callers", "keys", "name", "sent_at", "serial")

    def __init__(self, name: str, serial: int, asked_at: float) -> None:
        self.name: str = name
        self.serial: int = serial
        self.asked_at: float = asked_at
        self.sent_at: float = asked_at
        self.keys: int = 0
        self.callers: int = 0


@dataclass(frozen=True, slots=True)
class Release:
    """A slot on its way back. Times are the loop's."""

    bucket: str
    slot: SharedSlot
    seen_by: float | None
    """When the exchange had surely seen its request; None: nothing was sent."""
    freeze_until: float | None = None
    bench_until: float | None = None

    def arguments(self, process: str, now: float) -> dict[str, Any]:
        """What ``give.lua`` wants to know, now that it leaves."""
        ask: dict[str, Any] = {"me": process, "serial": self.slot.serial, "id": self.slot.name}
        if self.seen_by is None:
            ask["unsent"] = True
        else:
            ask["seen"] = microseconds(self.seen_by - now)
        if self.freeze_until is not None:
            ask["freeze"] = max(0, microseconds(self.freeze_until - now))
        if self.bench_until is not None:
            ask["bench"] = microseconds(self.bench_until - now)
        return ask
