"""What a client tells of itself: snapshots for reading, events for observers. No secrets here."""

from __future__ import annotations

from typing import Protocol

import msgspec


class BucketStatistics(msgspec.Struct, frozen=True):
    """One bucket at one moment. Times are seconds."""

    endpoint: str
    """The rule: the name of the endpoint's method."""
    user: str
    """The user id, or the masked API key that stands in for it."""
    host: str
    demo: bool
    count: int
    period: float
    """The limit in force: ``count`` requests in any ``period``."""
    slots_free: int
    next_slot_in: float
    """Until the next slot is free; 0 when one is, inf when every slot is in flight."""
    callers_waiting: int
    estimated_wait: float
    """What a caller who comes now would wait for its slot."""
    requests_sent: int
    requests_refused: int
    keys_sent: int
    """Currencies (or other keys) that the requests named, in all."""
    max_keys: int
    """The most keys that one request of this endpoint may name."""
    callers_served: int
    """Callers, or the parts of one that needed several requests, that the requests answered."""
    utilisation: float
    """Share of the limit used over the last windows, 0 to 1."""
    shared_with_others: bool
    """True when refusals said that somebody else spends this user's limit of late."""

    @property
    def batch_fill(self) -> float:
        """Keys per request against the most that fit, 0 to 1."""
        return self.keys_sent / (self.requests_sent * self.max_keys) if self.requests_sent else 0.0

    @property
    def requests_saved(self) -> int:
        """Requests that batching made unnecessary, against one for each caller."""
        return max(0, self.callers_served - self.requests_sent)

    def __repr__(self) -> str:
        wait = f", next in {self.next_slot_in:.3f} s" if self.next_slot_in > 0 else ""
        return (
            f"{self.endpoint} of {self.user}{' (demo)' if self.demo else ''} at {self.host}: "
            f"{self.slots_free} of {self.count} slots free{wait}, "
            f"{self.callers_waiting} callers waiting, {self.requests_sent} sent, "
            f"{self.requests_refused} refused, {self.utilisation:.0%} of "
            f"{self.count} per {self.period:g} s used"
        )


class HostStatistics(msgspec.Struct, frozen=True):
    """One host at one moment."""

    host: str
    clock_offset: float
    """OKX's clock less this machine's, in seconds, once it had to be learned; else 0."""
    retries_left: float
    """How many further attempts the retry budget allows now."""
    keys_at_rest: int
    """API keys with which nothing is sent for a while, because OKX goes on refusing them."""


class PushStatistics(msgspec.Struct, frozen=True):
    """One WebSocket connection at one moment."""

    url: str
    user: str
    """The user id, or the masked API key that stands in for it."""
    state: str = "closed"
    """"connecting", "open", "waiting" (for the next attempt), "stopped" or "closed"."""
    connections: int = 0
    """How many were made."""
    last_message_ago: float | None = None
    """Seconds since anything was heard; None before the first message."""
    listeners: int = 0
    """Watches that hear by it."""
    backlog: int = 0
    """Pushes that the slowest watch hasn't taken."""
    gaps_filled: int = 0
    """How often a watch read the history for what was missed."""

    @property
    def reconnects(self) -> int:
        """Connections after the first one."""
        return max(0, self.connections - 1)


class Statistics(msgspec.Struct, frozen=True):
    """Totals since the start, and every bucket as it is now."""

    calls: int
    """Calls that were made and accepted."""
    answered: int
    failed: int
    """Calls that ended with an error of okx_funding."""
    cancelled: int
    """Calls whose caller left."""
    waiting: int
    """Calls that are neither answered nor over."""
    requests: int
    """Requests sent, retries included."""
    refused: int
    """Requests that OKX refused for the rate limit."""
    retries: int
    """Requests that repeated an earlier one."""
    buckets: tuple[BucketStatistics, ...]
    hosts: tuple[HostStatistics, ...] = ()
    pushes: tuple[PushStatistics, ...] = ()
    """The WebSocket connections that watches hear by."""

    def __str__(self) -> str:
        head = (
            f"{self.calls} calls ({self.answered} answered, {self.failed} failed, "
            f"{self.cancelled} cancelled, {self.waiting} waiting) in {self.requests} requests "
            f"({self.refused} refused, {self.retries} retries)"
        )
        if len(self.buckets) <= _SHOWN:
            return "\n".join([head, *(f"  {bucket}" for bucket in self.buckets)])
        by_endpoint: dict[str, list[BucketStatistics]] = {}
        for bucket in self.buckets:
            by_endpoint.setdefault(bucket.endpoint, []).append(bucket)
        return "\n".join([head, *(f"  {_together(them)}" for them in by_endpoint.values())])


_SHOWN = 8
"""Buckets that a text shows one by one; of more it shows a line for each endpoint."""


def _together(buckets: list[BucketStatistics]) -> str:
    busiest = max(buckets, key=lambda bucket: (bucket.callers_waiting, bucket.utilisation))
    return (
        f"{busiest.endpoint} of {len(buckets)} users: "
        f"{sum(it.slots_free for it in buckets)} of {sum(it.count for it in buckets)} slots free, "
        f"{sum(it.callers_waiting for it in buckets)} callers waiting, "
        f"{sum(it.requests_sent for it in buckets)} sent, "
        f"{sum(it.requests_refused for it in buckets)} refused; busiest {busiest.user}: "
        f"{busiest.callers_waiting} waiting, {busiest.utilisation:.0%} used"
    )


class CallStarted(msgspec.Struct, frozen=True):
    """A call was accepted. Told in the caller's own task, before it waits.

    ``call`` is its number, the same in all events of one call, and of no other of the process.
    """

    endpoint: str
    user: str
    call: int
    keys: int


class CallEnded(msgspec.Struct, frozen=True):
    """A call is over: ``outcome`` is "ok", "cancelled" or the name of the error."""

    endpoint: str
    user: str
    call: int
    seconds: float
    outcome: str


class BatchDispatched(msgspec.Struct, frozen=True):
    """A request leaves. ``batch`` is its number, the same in all events of one request.

    No other request of the process has that number.

    ``calls`` are the numbers of the calls that wait for it; ``waited`` is how many seconds the
    oldest of them waited for the slot.
    """

    endpoint: str
    user: str
    batch: int
    keys: int
    callers: int
    calls: tuple[int, ...] = ()
    waited: float = 0.0
    host: str = ""
    """Scheme, host and port, such as ``https://www.okx.com``."""
    method: str = "GET"
    path: str = ""
    """Without the query."""


class ResponseReceived(msgspec.Struct, frozen=True):
    """An answer came, good or bad, or none will: ``outcome`` is "ok" or the name of the error.

    ``http_status`` is None where there is no answer, or none that is whole.
    """

    endpoint: str
    user: str
    batch: int
    seconds: float
    outcome: str
    http_status: int | None = None


class Refused(msgspec.Struct, frozen=True):
    """OKX refused a request for the rate limit; the bucket is frozen for ``frozen_for`` s."""

    endpoint: str
    user: str
    batch: int
    frozen_for: float


class RetryScheduled(msgspec.Struct, frozen=True):
    """A batch goes back to the queue after ``delay`` seconds, because of ``reason``."""

    endpoint: str
    user: str
    batch: int
    delay: float
    reason: str


class PushConnected(msgspec.Struct, frozen=True):
    """A WebSocket is open and subscribed: the ``number``-th of its connection."""

    url: str
    user: str
    number: int


class PushDisconnected(msgspec.Struct, frozen=True):
    """A WebSocket that was open is lost; another one is opened."""

    url: str
    user: str
    reason: str


class GapFilled(msgspec.Struct, frozen=True):
    """A watch has read the history for what was missed: ``events`` were told of it."""

    channel: str
    user: str
    events: int
    seconds: float


Event = (
    CallStarted
    | CallEnded
    | BatchDispatched
    | ResponseReceived
    | Refused
    | RetryScheduled
    | PushConnected
    | PushDisconnected
    | GapFilled
)


class Observer(Protocol):
    """Is told of every event. It must not block; what it raises is logged and harms nobody."""

    def __call__(self, event: Event, /) -> object: ...
