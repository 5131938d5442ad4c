"""Metrics for Prometheus: ``pip install 'okx-funding[prometheus]'``."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import TimeoutError as TooLate
from typing import Any, Protocol

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from okx_funding.telemetry.events import (
    BatchDispatched,
    BucketStatistics,
    CallEnded,
    Event,
    HostStatistics,
    Refused,
    ResponseReceived,
    RetryScheduled,
    Statistics,
)

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_KEYS = (1, 2, 5, 10, 15, 19, 20, 50, 100)
_CALLERS = (1, 2, 5, 10, 20, 50, 100, 1_000, 10_000)

_GAUGES: dict[str, tuple[str, Callable[[Iterable[float]], float], Callable[..., float]]] = {
    "slots": ("Requests that the limit allows per period", sum, lambda it: it.count),
    "slots_free": ("Requests that could leave now", sum, lambda it: it.slots_free),
    "callers_waiting": ("Callers without an answer", sum, lambda it: it.callers_waiting),
    "limit_used": ("Share of the limit used of late, 0 to 1", max, lambda it: it.utilisation),
    "limit_shared": (
        "1 where refusals said that somebody else spends the limit",
        max,
        lambda it: float(it.shared_with_others),
    ),
}
"""What is read of the buckets at each scrape, and how it is put together for several users."""


def _furthest(offsets: Iterable[float]) -> float:
    return max(offsets, key=abs)


_HOST_GAUGES: dict[
    str, tuple[str, Callable[[Iterable[float]], float], Callable[[HostStatistics], float]]
] = {
    "clock_offset_seconds": (
        "OKX's clock less this machine's, where it had to be learned",
        _furthest,
        lambda it: it.clock_offset,
    ),
    "retries_left": (
        "Further attempts that the retry budget allows",
        min,
        lambda it: it.retries_left,
    ),
    "keys_at_rest": ("API keys that OKX goes on refusing", max, lambda it: it.keys_at_rest),
}
"""What is read of the hosts at each scrape; of several sessions the worst is shown."""


class Source(Protocol):
    """A FundingClient or a Session."""

    def statistics(self) -> Statistics:
        """What it looks like now."""


class PrometheusObserver:
    """Counts what clients tell, and shows their buckets when it is scraped.

        observer = PrometheusObserver()
        client = FundingClient(..., observer=observer)
        observer.track(client)

    ``registry`` is prometheus_client's own unless another is given, and takes one observer for
    each ``namespace``: give the same observer to all clients. ``by_user`` adds a label with the
    user id, or the masked API key: a row of time series for each user.

    Metrics are named ``okx_funding_...``; docs/how-to/observability.md has the table.
    """

    def __init__(
        self,
        registry: CollectorRegistry | None = None,
        *,
        namespace: str = "okx_funding",
        by_user: bool = False,
    ) -> None:
        registry = REGISTRY if registry is None else registry
        self._by_user = by_user
        self._namespace = namespace
        self._children: dict[tuple[Any, ...], Any] = {}
        labels = self._labels()

        def counter(name: str, text: str, *more: str) -> Counter:
            return Counter(f"{namespace}_{name}", text, (*labels, *more), registry=registry)

        def histogram(name: str, text: str, buckets: Iterable[float]) -> Histogram:
            return Histogram(
                f"{namespace}_{name}", text, labels, registry=registry, buckets=tuple(buckets)
            )

        self._calls = counter("calls", "Calls that are over, by outcome", "outcome")
        self._call_seconds = histogram("call_seconds", "From call to answer", _SECONDS)
        self._slot_wait = histogram("slot_wait_seconds", "Wait for a turn", _SECONDS)
        self._batch_keys = histogram("batch_keys", "Currencies in a request", _KEYS)
        self._batch_callers = histogram("batch_callers", "Callers of a request", _CALLERS)
        self._requests = counter("requests", "Answers to requests, by outcome", "outcome")
        self._request_seconds = histogram("request_seconds", "From send to answer", _SECONDS)
        self._refusals = counter("refusals", "Requests that OKX refused for the rate limit")
        self._frozen = counter("frozen_seconds", "Seconds that refusals froze a bucket")
        self._retries = counter("retries", "Requests that go out again, by reason", "reason")
        self._sources: weakref.WeakKeyDictionary[Source, asyncio.AbstractEventLoop] = (
            weakref.WeakKeyDictionary()
        )
        registry.register(self)

    def __call__(self, event: Event) -> None:
        """Count it."""
        match event:
            case CallEnded():
                self._of(event, self._calls, event.outcome).inc()
                self._of(event, self._call_seconds).observe(event.seconds)
            case BatchDispatched():
                self._of(event, self._slot_wait).observe(event.waited)
                self._of(event, self._batch_keys).observe(event.keys)
                self._of(event, self._batch_callers).observe(len(event.calls))
            case ResponseReceived():
                self._of(event, self._requests, event.outcome).inc()
                self._of(event, self._request_seconds).observe(event.seconds)
            case Refused():
                self._of(event, self._refusals).inc()
                self._of(event, self._frozen).inc(event.frozen_for)
            case RetryScheduled():
                self._of(event, self._retries, event.reason).inc()

    def track(self, source: Source) -> None:
        """Show the buckets of a client or a session at each scrape, for as long as it lives.

        Call it within the event loop of ``source``. A scrape from another thread asks that loop.
        """
        self._sources[source] = asyncio.get_running_loop()

    def collect(self) -> Iterator[Metric]:
        """For prometheus_client: the buckets of all that is tracked, as they are now."""
        read_now = [
            statistics
            for source, loop in list(self._sources.items())
            if (statistics := _statistics(source, loop)) is not None
        ]
        found = {
            (bucket.host, bucket.demo, bucket.user, bucket.endpoint): bucket
            for statistics in read_now
            for bucket in statistics.buckets
        }  # once, where two clients share it
        rows: dict[tuple[str, ...], list[BucketStatistics]] = {}
        for bucket in found.values():
            rows.setdefault(self._values(bucket), []).append(bucket)
        for name, (text, together, read) in _GAUGES.items():
            family = GaugeMetricFamily(f"{self._namespace}_{name}", text, labels=self._labels())
            for values, buckets in rows.items():
                family.add_metric(values, together(read(bucket) for bucket in buckets))
            yield family
        hosts: dict[str, list[HostStatistics]] = {}
        for host in (host for statistics in read_now for host in statistics.hosts):
            hosts.setdefault(host.host, []).append(host)
        for name, (text, worst, read_host) in _HOST_GAUGES.items():
            family = GaugeMetricFamily(f"{self._namespace}_{name}", text, labels=("host",))
            for where, several in hosts.items():
                family.add_metric((where,), worst(map(read_host, several)))
            yield family

    def describe(self) -> Iterator[Metric]:
        """For prometheus_client: what `collect` will give."""
        for name, (text, _, _) in _GAUGES.items():
            yield GaugeMetricFamily(f"{self._namespace}_{name}", text, labels=self._labels())
        for name, (text, _, _) in _HOST_GAUGES.items():
            yield GaugeMetricFamily(f"{self._namespace}_{name}", text, labels=("host",))

    def _labels(self) -> tuple[str, ...]:
        return ("endpoint", "user") if self._by_user else ("endpoint",)

    def _values(self, told: Any) -> tuple[str, ...]:
        return (told.endpoint, told.user) if self._by_user else (told.endpoint,)

    def _of(self, event: Any, metric: Any, *more: str) -> Any:
        """The time series of an event; looked up once, as `labels` takes its time."""
        key = (metric, event.endpoint, event.user if self._by_user else "", *more)
        child = self._children.get(key)
        if child is None:
            child = self._children[key] = metric.labels(*self._values(event), *more)
        return child


def _statistics(source: Source, loop: asyncio.AbstractEventLoop) -> Statistics | None:
    """Read in the thread of ``loop``; None where that loop is busy or over."""
    try:
        here = asyncio.get_running_loop() is loop
    except RuntimeError:
        here = False
    if here:
        return source.statistics()
    if not loop.is_running():
        return None

    async def read() -> Statistics:
        return source.statistics()

    future = asyncio.run_coroutine_threadsafe(read(), loop)
    try:
        return future.result(1.0)
    except TooLate:
        future.cancel()
        return None
