"""The queue before one bucket: who sends next, and when.

It looks when a caller came, when an answer gave a slot back, and when its one timer rings. A look
is one turn of the loop after the first caller came, so that all who ask in that turn share
requests.
"""

from __future__ import annotations

import asyncio
import math
import weakref
from collections.abc import Sequence
from typing import Any, Protocol

from okx_funding.ratelimit.interface import Bucket
from okx_funding.ratelimit.registry import BucketKey
from okx_funding.scheduler.calls import Key
from okx_funding.scheduler.host import Host
from okx_funding.scheduler.pending import Rank
from okx_funding.telemetry.events import BucketStatistics

_NOTHING_PROMISED = (0, math.inf)


class Forecast(Protocol):
    """How many requests leave for what a sender has to send."""

    def requests(self) -> int:
        """How many requests it takes."""

    def requests_before(self, keys: Sequence[Key], priority: int, now: float) -> int:
        """How many of them leave before the last one for ``keys``."""

    def requests_of_others_before(self, priority: int, now: float) -> int:
        """How many of them leave before one for a new key of this ``priority``."""


class Pending(Protocol):
    """What a sender has to send, as far as its place in the queue goes."""

    @property
    def callers(self) -> int:
        """Callers that aren't answered yet."""

    @property
    def forecast(self) -> Forecast:
        """How many requests it takes."""

    def rank(self) -> Rank:
        """The rank of what is sent next."""

    def priority(self) -> int:
        """Its priority."""


class Sender(Protocol):
    """Who waits in a queue for slots, on behalf of callers."""

    queue: SlotQueue
    host: Host

    @property
    def batcher(self) -> Pending:
        """What it has to send."""

    def ready(self, now: float) -> bool:
        """Whether there is something to send that somebody wants."""

    def free_at(self, now: float) -> float:
        """When its host and its further limits let it send; inf where an answer must come first."""

    def take(self, now: float) -> Any:
        """A slot for a request that leaves now, of every limit that it counts for; or None."""

    def dispatch(self, slot: Any, now: float) -> None:
        """A slot is won: send something."""

    def fail_waiters(self, reason: str, *, only_without_deadline: bool) -> None:
        """There won't be a slot: whoever waits is told, or only who has no deadline."""


class SlotQueue:
    """The queue before one bucket: those that have something to send. One timer for all."""

    def __init__(self, key: BucketKey, bucket: Bucket, loop: asyncio.AbstractEventLoop):
        self.key = key
        self.bucket = bucket
        self.loop = loop
        self.senders: dict[Sender, None] = {}
        """Who has something to send, or had a moment ago. First is whose turn is longest ago."""
        self.members: weakref.WeakSet[Sender] = weakref.WeakSet()
        self.soon: bool = False
        """Whether somebody will look for slots, in this turn of the loop or the next."""
        self._timer: asyncio.TimerHandle | None = None
        self._promise = _NOTHING_PROMISED

    def __str__(self) -> str:
        return (
            f"{self.key.rule}: {self.bucket.slots_free(self.loop.time())} of "
            f"{self.bucket.limit.count} slots free, {self.waiting()} callers waiting"
        )

    # -- matching --------------------------------------------------------------------------

    def schedule(self) -> None:
        """Something changed: look once, when everybody of this turn of the loop has asked."""
        if not self.soon:
            self.soon = True
            self.loop.call_soon(self.assign_slots)

    def assign_slots(self) -> None:
        """Match those who wait with free slots; then sleep until the next slot is due."""
        self.soon = False
        self._promise = _NOTHING_PROMISED
        now = self.loop.time()
        until = math.inf
        while self.senders:
            sender = self._next(now)
            if sender is None:
                until = min([each.free_at(now) for each in self.senders], default=math.inf)
                break
            slot = sender.take(now)
            if slot is None:
                until = max(self.bucket.next_free(now), sender.free_at(now))
                break
            del self.senders[sender]
            self.senders[sender] = None  # it had its turn, and is the last now
            sender.host.spend()
            sender.dispatch(slot, now)
        if self._timer is not None or until < math.inf:
            self._sleep(until)

    def _next(self, now: float) -> Sender | None:
        """Who sends next: of those with the priority of the oldest, each in turn."""
        senders = self.senders
        for sender in [sender for sender in senders if not sender.ready(now)]:
            del senders[sender]
        able = [sender for sender in senders if sender.free_at(now) <= now]
        if len(able) < 2:
            return able[0] if able else None
        priority = min(able, key=lambda sender: sender.batcher.rank()).batcher.priority()
        return next(sender for sender in able if sender.batcher.priority() == priority)

    def _sleep(self, until: float) -> None:
        if self._timer is not None:
            if self._timer.when() == until and not self._timer.cancelled():
                return
            self._timer.cancel()
            self._timer = None
        if until < math.inf:
            self._timer = self.loop.call_at(until, self._ring)

    def _ring(self) -> None:
        self._timer = None
        self.assign_slots()

    def move_to(self, heir: SlotQueue) -> None:
        """All its members queue before another bucket from now on."""
        if heir is self:
            return
        self._sleep(math.inf)
        for sender in list(self.members):
            sender.queue = heir
            heir.members.add(sender)
        heir.senders.update(self.senders)
        self.senders.clear()
        heir.schedule()

    def fail_waiters(self, reason: str, *, only_without_deadline: bool) -> None:
        """There won't be a slot: whoever waits is told, or only who has no deadline."""
        for sender in list(self.members):
            sender.fail_waiters(reason, only_without_deadline=only_without_deadline)

    # -- foretelling -----------------------------------------------------------------------

    def waiting(self) -> int:
        """Callers whose questions aren't all answered."""
        return sum(sender.batcher.callers for sender in self.members)

    def ahead(self) -> int:
        """Requests that those who wait now will need."""
        return sum([sender.batcher.forecast.requests() for sender in self.senders])

    def ahead_of(self, sender: Sender, keys: Sequence[Key], priority: int, now: float) -> int:
        """Requests that leave before the one with the last of the first turn of ``keys``."""
        requests = sender.batcher.forecast.requests_before(keys, priority, now)
        turns = requests + 1
        for other in self.senders:
            if other is not sender and other.host.closed_until <= now:
                ahead = other.batcher.forecast.requests_of_others_before(priority, now)
                equal = other.batcher.priority() <= priority
                requests += min(ahead, turns) if equal else ahead
        return requests

    def estimate(self, requests: int, now: float, *asking: Sender) -> float:
        """About the seconds until a slot is won, after so many other requests."""
        gates = [sender.host.closed_until for sender in asking]
        return max(0.0, self.bucket.nth_free(requests, now, max(gates, default=-math.inf)) - now)

    def surely(self, requests: int, now: float, asking: Sender) -> float:
        """Seconds within which a slot is won after so many other requests, and many more.

        One reckoning serves everybody who comes until the next assign_slots.
        """
        promised, by = self._promise
        if requests > promised:
            promised = 2 * requests + 8
            by = now + self.estimate(promised, now, asking)
            self._promise = (promised, by)
        return by - now

    def statistics(self, max_keys: int) -> BucketStatistics:
        """What it looks like now."""
        now, bucket, key = self.loop.time(), self.bucket, self.key
        return BucketStatistics(
            endpoint=key.rule,
            user=key.user,
            host=key.origin.partition("://")[2],
            demo=key.demo,
            count=bucket.limit.count,
            period=bucket.limit.period,
            slots_free=bucket.slots_free(now),
            next_slot_in=max(0.0, bucket.next_free(now) - now),
            callers_waiting=self.waiting(),
            estimated_wait=self.estimate(self.ahead(), now, *self.members),
            requests_sent=bucket.sent,
            requests_refused=bucket.refusals,
            keys_sent=bucket.keys_sent,
            max_keys=max_keys,
            callers_served=bucket.callers_served,
            utilisation=bucket.utilisation(now),
            shared_with_others=bucket.shared_with_others(now),
        )
