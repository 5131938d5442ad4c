"""What a shared bucket deals in: slots won, commands with their replies, and those it talks to."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from .scripts import AHEAD, GIVE, HEARTBEAT_SLACK, LEASE, RENEW, inbox, microseconds

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

    process: str
    """What Redis knows this process by."""
    prefix: str
    """What all keys and channels begin with."""
    formats: tuple[int, ...]
    """The formats of a bucket that are understood, rising."""

    @property
    def server(self) -> str:
        """The run id of the server, or nothing where it isn't known."""

    @property
    def unavailable_reason(self) -> str | None:
        """Why Redis can't be used, if that is so."""

    @property
    def is_fatal(self) -> bool:
        """Whether waiting is of no use then."""

    @property
    def settle(self) -> float:
        """Seconds that others may go on by themselves when Redis is back."""

    def ask(self, bucket: SharedBucket) -> None:
        """Have its command sent as soon as it can be."""

    def give(self, back: Release) -> None:
        """Have a slot given back; nobody waits for it."""

    def renew(self, renewal: Renewal) -> None:
        """Have slots held for longer."""


class Command(Protocol):
    """What is sent to Redis, and hears what came of it."""

    def command(self, process: str, prefix: str, now: float) -> tuple[Any, ...]:
        """What to send, now that it leaves."""

    def on_reply(self, reply: Any, now: float) -> None:
        """The answer."""

    def on_error(self, reason: str, now: float) -> None:
        """The answer is an error, and only this command's."""


class SharedSlot:
    """One slot won in Redis. Times are the loop's."""

    __slots__ = (
        "bucket",
        "callers",
        "keys",
        "lease_until",
        "name",
        "sent_at",
        "serial",
        "usable_at",
    )

    def __init__(
        self, bucket: Sequence[str], name: str, serial: int, usable_at: float, lease_until: float
    ) -> None:
        self.bucket: Sequence[str] = bucket
        """The keys of its bucket in Redis."""
        self.name: str = name
        self.serial: int = serial
        """The number of the ask that won it."""
        self.usable_at: float = usable_at
        self.lease_until: float = lease_until
        """When Redis gives it to somebody else, unless the lease is renewed."""
        self.sent_at: float = usable_at
        self.keys: int = 0
        self.callers: int = 0


@dataclass(frozen=True, slots=True)
class Release:
    """A slot on its way back. Times are the loop's."""

    slot: SharedSlot
    seen_by: float | None
    """When the exchange had surely seen its request; None: nothing was sent."""
    freeze_until: float | None = None
    cooldown_until: float | None = None

    def command(self, process: str, prefix: str, now: float) -> tuple[Any, ...]:
        """What to send: how long ago things were, now that it leaves."""
        slot = self.slot
        ask: dict[str, Any] = {"me": process, "serial": slot.serial, "id": slot.name}
        ask |= {"ahead": microseconds(AHEAD), "slack": microseconds(HEARTBEAT_SLACK)}
        ask["channel"] = inbox(prefix)
        if self.seen_by is None:
            ask["unsent"] = True
        else:
            ask["seen"] = microseconds(self.seen_by - now)
        if self.freeze_until is not None:
            ask["freeze"] = max(0, microseconds(self.freeze_until - now))
        if self.cooldown_until is not None:
            ask["cooldown"] = microseconds(self.cooldown_until - now)
        return GIVE.on(slot.bucket[:3], ask)

    def on_reply(self, reply: Any, now: float) -> None:
        """Nobody waits for it."""

    def on_error(self, reason: str, now: float) -> None:
        """It is dropped: the slot comes back when its lease ends."""


class Renewal:
    """Slots of one bucket to be held for longer."""

    def __init__(self, slots: Sequence[SharedSlot]) -> None:
        self.slots = slots
        self._asked_at = 0.0

    def command(self, process: str, prefix: str, now: float) -> tuple[Any, ...]:  # noqa: ARG002
        """What to send."""
        self._asked_at = now
        ids = [[slot.name, slot.serial] for slot in self.slots]
        ask = {"me": process, "slots": ids, "lease": microseconds(LEASE)}
        return RENEW.on(self.slots[0].bucket[:3], ask)

    def on_reply(self, reply: Any, now: float) -> None:  # noqa: ARG002
        """Note which are held still."""
        for slot, is_held in zip(self.slots, reply, strict=True):
            slot.lease_until = self._asked_at + LEASE if is_held else -1.0

    def on_error(self, reason: str, now: float) -> None:
        """Their leases end."""
