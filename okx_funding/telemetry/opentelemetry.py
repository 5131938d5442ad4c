"""Traces for OpenTelemetry: ``pip install 'okx-funding[opentelemetry]'``.

One span for each call, within the span of whoever calls; one span for each request. Many calls
share a request and one call may need several, so they are linked, both ways, and neither is the
other's parent.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from importlib.metadata import version
from urllib.parse import urlsplit

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, SpanKind, Status, StatusCode, TracerProvider

from okx_funding.telemetry.events import (
    BatchDispatched,
    CallEnded,
    CallStarted,
    Event,
    Refused,
    ResponseReceived,
    RetryScheduled,
)

_LINKS = 128
"""What OpenTelemetry keeps of a span by default. A call's link to its request is always made."""
_REMEMBERED = 256


class OpenTelemetryObserver:
    """Makes spans of what clients tell.

        client = FundingClient(..., observer=OpenTelemetryObserver())

    ``tracer_provider`` is the global one unless another is given. The spans are called
    ``okx_funding.<method>`` (of a call) and ``okx_funding.<method> request``.
    Requests have OpenTelemetry's attributes of HTTP clients, such as ``server.address``;
    docs/how-to/observability.md has the table.
    """

    def __init__(self, tracer_provider: TracerProvider | None = None) -> None:
        self._tracer = trace.get_tracer("okx_funding", version("okx-funding"), tracer_provider)
        self._calls: dict[int, Span] = {}
        self._batches: dict[int, Span] = {}
        self._served: OrderedDict[int, tuple[int, ...]] = OrderedDict()

    def __call__(self, event: Event) -> None:
        """Begin a span, end it, or note something in it."""
        match event:
            case CallStarted():
                self._call_started(event)
            case CallEnded():
                self._call_ended(event)
            case BatchDispatched():
                self._batch_dispatched(event)
            case ResponseReceived():
                self._response_received(event)
            case Refused():
                self._note(event, "refused", {"okx_funding.frozen_for": event.frozen_for})
            case RetryScheduled():
                note: dict[str, str | float] = {
                    "okx_funding.delay": event.delay,
                    "error.type": event.reason,
                }
                self._note(event, "retry scheduled", note)

    def _call_started(self, event: CallStarted) -> None:
        self._calls[event.call] = self._tracer.start_span(
            f"okx_funding.{event.endpoint}",
            attributes={"okx_funding.user": event.user, "okx_funding.keys": event.keys},
        )

    def _call_ended(self, event: CallEnded) -> None:
        span = self._calls.pop(event.call, None)
        if span is not None:
            _end(span, event.outcome)

    def _batch_dispatched(self, event: BatchDispatched) -> None:
        calls = [span for call in event.calls if (span := self._calls.get(call)) is not None]
        address = urlsplit(event.host)
        port = address.port or (80 if address.scheme == "http" else 443)
        span = self._tracer.start_span(
            f"okx_funding.{event.endpoint} request",
            context=Context(),  # a root: it belongs to no single caller
            kind=SpanKind.CLIENT,
            attributes={
                "server.address": address.hostname or "",
                "server.port": port,
                "http.request.method": event.method,
                "url.scheme": address.scheme,
                "url.path": event.path,
                "okx_funding.user": event.user,
                "okx_funding.batch": event.batch,
                "okx_funding.keys": event.keys,
                "okx_funding.callers": len(event.calls),
                "okx_funding.waited": event.waited,
            },
            links=[Link(call.get_span_context()) for call in calls[:_LINKS]],
        )
        for call in calls:
            call.add_link(span.get_span_context())
        self._batches[event.batch] = span
        self._served[event.batch] = event.calls

    def _response_received(self, event: ResponseReceived) -> None:
        span = self._batches.pop(event.batch, None)
        if span is not None:
            if event.http_status is not None:
                span.set_attribute("http.response.status_code", event.http_status)
            _end(span, event.outcome)
        if event.outcome == "ok":
            self._served.pop(event.batch, None)
        while len(self._served) > len(self._batches) + _REMEMBERED:
            self._served.popitem(last=False)  # it failed long ago, and nothing was told of it

    def _note(
        self, event: Refused | RetryScheduled, name: str, attributes: dict[str, str | float]
    ) -> None:
        """In the calls that wait for the batch: its own span has ended with the answer."""
        for call in self._served.get(event.batch, ()):
            span = self._calls.get(call)
            if span is not None:
                span.add_event(name, attributes, time.time_ns())


def _end(span: Span, outcome: str) -> None:
    if outcome not in ("ok", "cancelled"):
        span.set_status(Status(StatusCode.ERROR, outcome))
        span.set_attribute("error.type", outcome)
    elif outcome == "cancelled":
        span.set_attribute("okx_funding.cancelled", True)
    span.end()
