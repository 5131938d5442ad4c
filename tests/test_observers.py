"""Who watches: events, logs, metrics and traces tell what happens, and none of them a secret."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from okx_funding import Credentials, FundingClient, RateLimit, RateLimitError, errors
from okx_funding.scheduler.calls import Waiter
from okx_funding.simulator import Fault
from okx_funding.telemetry.events import (
    BatchDispatched,
    CallEnded,
    CallStarted,
    Event,
    ResponseReceived,
)
from okx_funding.telemetry.observers import together

from .support import ASSETS, VALUATION, failure_of
from .wireless import Wireless, names, nothing_left

CANARIES = ("canary-observed-4711", "canary-secret-4712", "canary-phrase-4713")
MARK = "cana...11"
DASHBOARD = Path(__file__).parent.parent / "docs" / "grafana-dashboard.json"


@pytest.fixture
def okx_credentials():
    return Credentials(*CANARIES)


class Recorder:
    """Remembers what it is told."""

    def __init__(self):
        self.events: list[Event] = []

    def __call__(self, event: Event) -> None:
        self.events.append(event)


@pytest.fixture
def observer() -> Recorder:
    return Recorder()


@pytest.fixture
def okx_client_options(observer):
    return {"observer": observer}


def of(observer, kind):
    return [event for event in observer.events if type(event) is kind]


async def troubles(exchange, client):
    """Calls that go well, go wrong, are cancelled, refused and repeated."""
    await client.get_non_tradable_assets("CELT")
    exchange.fail_next(1, Fault.code("50011"), ASSETS)
    exchange.fail_next(1, Fault.html(502), ASSETS)
    await client.get_non_tradable_assets(["CELT", "MEME"])
    exchange.bad_currencies.add("SCAM")
    await failure_of(client.get_non_tradable_assets("SCAM"), errors.InvalidParameterError)
    left = asyncio.ensure_future(client.get_asset_valuation())
    await asyncio.sleep(0)
    left.cancel()
    echo = " ".join(CANARIES).encode()
    exchange.fail_next(1, Fault.status(400, echo), ASSETS)
    await failure_of(client.get_non_tradable_assets("MEME"), errors.HTTPStatusError)


# Events.


async def test_each_call_begins_and_ends_once(okx_client, observer):
    await asyncio.gather(*(okx_client.get_non_tradable_assets("CELT") for _ in range(3)))
    started, ended = of(observer, CallStarted), of(observer, CallEnded)
    assert [event.call for event in started] == [event.call for event in ended]
    assert len({event.call for event in started}) == 3
    assert {event.outcome for event in ended} == {"ok"}


async def test_a_request_tells_whose_calls_it_serves(okx_client, observer):
    await asyncio.gather(
        okx_client.get_non_tradable_assets(["CELT", "MEME"]),
        okx_client.get_non_tradable_assets("MEME"),
    )
    (batch,) = of(observer, BatchDispatched)
    assert batch.calls == tuple(event.call for event in of(observer, CallStarted))
    assert batch.keys == 2


@pytest.mark.okx_client(max_refusals=1)
async def test_the_outcome_of_a_call_is_its_own(okx_exchange, okx_client, observer):
    okx_exchange.fail_next(1, Fault.code("50011"))
    await failure_of(okx_client.get_non_tradable_assets("CELT"), RateLimitError)
    task = asyncio.ensure_future(okx_client.get_asset_valuation())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.sleep(0.0)
    await asyncio.sleep(0.0)
    assert [event.outcome for event in of(observer, CallEnded)] == ["RateLimitError", "cancelled"]


async def test_an_answer_that_is_remembered_ends_a_call_without_a_request(okx_client, observer):
    await okx_client.get_asset_valuation(max_age=0)
    await okx_client.get_asset_valuation(max_age=60)
    await asyncio.sleep(0)
    assert [event.outcome for event in of(observer, CallEnded)] == ["ok", "ok"]
    assert len(of(observer, ResponseReceived)) == 1


async def test_several_observers_are_told_whatever_the_others_raise(okx_exchange, caplog):
    heard: list[Event] = []

    def broken(event: Event) -> None:
        raise RuntimeError("broken")

    observer = together(broken, heard.append)
    async with FundingClient(
        okx_exchange.credentials, base_url=okx_exchange.base_url, observer=observer
    ) as client:
        await client.get_non_tradable_assets("CELT")
    assert len(heard) == 4
    assert {record.name for record in caplog.records} == {"okx_funding.observers"}
    caplog.clear()


@pytest.mark.looptime
@pytest.mark.skipif(sys.version_info < (3, 12), reason="no eager tasks before 3.12")
@pytest.mark.parametrize("kind", [CallStarted, BatchDispatched, ResponseReceived, CallEnded])
async def test_who_is_told_may_call_at_once(kind):
    begin_at_once: Any = asyncio.eager_task_factory  # type: ignore[attr-defined,unused-ignore]
    others: list[Any] = []

    def curious(event):
        if type(event) is kind and not others:
            others.append("now")
            call = client.get_non_tradable_assets("OTHER")
            others[:] = [begin_at_once(asyncio.get_running_loop(), call)]

    async with Wireless() as session:
        client = session.client(observer=curious)
        assert names(await client.get_non_tradable_assets("THIS", timeout=9)) == ["THIS"]
        assert names(await others[0]) == ["OTHER"]
        await nothing_left(session)


# Logs.


def warned(caplog) -> list[str]:
    """What is said above DEBUG."""
    return [it.getMessage() for it in caplog.records if it.levelno > logging.DEBUG]


@pytest.mark.looptime
async def test_nothing_is_said_above_debug_of_what_heals_itself(okx_exchange, okx_client, caplog):
    caplog.set_level(logging.INFO)
    okx_exchange.fail_next(1, Fault.html(502), ASSETS)
    okx_exchange.bad_currencies.add("SCAM")
    await okx_client.get_non_tradable_assets("CELT")
    await failure_of(okx_client.get_non_tradable_assets("SCAM"), errors.InvalidParameterError)
    assert warned(caplog) == []


@pytest.mark.looptime
async def test_refusals_of_one_time_are_one_warning(okx_exchange, okx_client, caplog):
    okx_exchange.spend(ASSETS, okx_exchange.user_ids[0], 6)
    names = okx_exchange.currencies[:60]
    await asyncio.gather(*(okx_client.get_non_tradable_assets(ccy) for ccy in names))
    assert len(okx_exchange.refused) > 1
    (text,) = warned(caplog)
    assert text.startswith(f"OKX refused {ASSETS} of {MARK}")
    assert "another program spends it too" in text


@pytest.mark.looptime
async def test_refusals_much_later_are_one_more_warning(okx_exchange, okx_client, caplog):
    for _ in range(2):
        okx_exchange.fail_next(1, Fault.code("50011"))
        await okx_client.get_non_tradable_assets("CELT")
        await asyncio.sleep(60)
    assert len(warned(caplog)) == 2


@pytest.mark.looptime
@pytest.mark.parametrize(("skew", "way"), [(90, "behind"), (-90, "ahead of")])
async def test_a_wrong_clock_is_one_warning(okx_exchange, okx_client, caplog, skew, way):
    okx_exchange.clock_skew = skew
    for _ in range(3):
        await okx_client.get_non_tradable_assets("CELT")
    (text,) = warned(caplog)
    assert re.match(rf"this machine's clock is (89\.9|90\.\d) s {way} that of http", text)


@pytest.mark.looptime
async def test_a_key_at_rest_is_one_warning(okx_exchange, okx_client, caplog):
    okx_exchange.fail_next(5, Fault.code("50111"))
    for _ in range(8):
        await failure_of(okx_client.get_non_tradable_assets("CELT"), errors.AuthenticationError)
    (text,) = warned(caplog)
    assert text.startswith(f"OKX goes on refusing the key of {MARK}")
    assert text.endswith(": it rests for 30 s")


@pytest.mark.looptime
async def test_at_debug_there_is_a_line_for_each_request(okx_exchange, okx_client, caplog):
    caplog.set_level(logging.DEBUG)
    await troubles(okx_exchange, okx_client)
    lines = [it.getMessage() for it in caplog.records if it.name == "okx_funding.requests"]
    assert len(lines) == len(okx_exchange.log)
    assert re.fullmatch(
        rf"{ASSETS} of {re.escape(MARK)}#\w+: request \d+, 1 keys for 1 callers: ok after .* s",
        lines[0],
    )
    assert sum("RateLimitError" in line for line in lines) == 1


@pytest.mark.looptime
async def test_loggers_are_ours_tell_of_retries_at_debug_and_hold_no_secret(
    okx_exchange, okx_client, caplog
):
    caplog.set_level(logging.DEBUG)
    await troubles(okx_exchange, okx_client)
    ours = [record for record in caplog.records if record.name.startswith("okx_funding.")]
    assert any("goes back in" in record.getMessage() for record in ours)
    assert not [canary for canary in CANARIES if canary in caplog.text]


@pytest.mark.looptime
async def test_no_event_holds_a_secret(okx_exchange, okx_client, observer):
    await troubles(okx_exchange, okx_client)
    text = repr(observer.events)
    assert len({type(event) for event in observer.events}) == 6
    assert MARK in text
    assert not [canary for canary in CANARIES if canary in text]


# Prometheus.


@pytest.fixture
def prometheus():
    """An observer with a registry of its own, and what is scraped."""
    pytest.importorskip("prometheus_client", reason="pip install 'okx-funding[prometheus]'")
    import prometheus_client

    from okx_funding.telemetry.prometheus import PrometheusObserver

    class Metrics:
        def __init__(self, **options):
            self.registry = prometheus_client.CollectorRegistry()
            self.observer = PrometheusObserver(self.registry, **options)

        def __call__(self, name, **labels):
            return self.registry.get_sample_value(f"okx_funding_{name}", labels)

        @property
        def text(self):
            return prometheus_client.generate_latest(self.registry).decode()

    return Metrics


@pytest.mark.looptime
async def test_metrics_count_calls_requests_refusals_and_retries(
    okx_exchange, okx_client, observer, prometheus
):
    await troubles(okx_exchange, okx_client)
    metrics = prometheus()
    for event in observer.events:
        metrics.observer(event)
    of_assets = {"endpoint": ASSETS}
    assert metrics("calls_total", outcome="ok", **of_assets) == 2
    assert metrics("calls_total", outcome="InvalidParameterError", **of_assets) == 1
    assert metrics("calls_total", outcome="cancelled", endpoint=VALUATION) == 1
    assert metrics("requests_total", outcome="ok", **of_assets) == 2
    assert metrics("requests_total", outcome="HTTPStatusError", **of_assets) == 2
    assert metrics("refusals_total", **of_assets) == 1
    assert metrics("frozen_seconds_total", **of_assets) > 1
    assert metrics("retries_total", reason="RateLimitError", **of_assets) == 1
    assert metrics("retries_total", reason="HTTPStatusError", **of_assets) == 1
    assert metrics("call_seconds_count", **of_assets) == 4
    assert metrics("slot_wait_seconds_count", **of_assets) == len(okx_exchange.requests(ASSETS))
    assert metrics("batch_keys_sum", **of_assets) == 1 + 3 * 2 + 1 + 1
    assert metrics("batch_callers_sum", **of_assets) == 6
    assert metrics("request_seconds_count", **of_assets) == 6


async def test_a_scrape_shows_the_buckets_as_they_are(okx_exchange, okx_client, prometheus):
    metrics = prometheus()
    metrics.observer.track(okx_client)
    await okx_client.get_non_tradable_assets("CELT")
    assert metrics("slots", endpoint=ASSETS) == 6
    assert metrics("slots_free", endpoint=ASSETS) == 5
    assert metrics("callers_waiting", endpoint=ASSETS) == 0
    assert metrics("limit_used", endpoint=ASSETS) == pytest.approx(1 / 6)
    assert metrics("limit_shared", endpoint=ASSETS) == 0


@pytest.mark.looptime
async def test_a_scrape_shows_what_is_wrong_with_keys_clocks_and_retries(
    okx_exchange, okx_client, prometheus
):
    host = {"host": okx_exchange.base_url.partition("://")[2]}
    metrics = prometheus()
    metrics.observer.track(okx_client)
    okx_exchange.clock_skew = 90
    okx_exchange.fail_next(1, Fault.html(502))
    await okx_client.get_non_tradable_assets("CELT")
    assert metrics("clock_offset_seconds", **host) == pytest.approx(90, abs=1)
    assert metrics("retries_left", **host) == 5 - 1 + 1  # one was spent, and its success repaid it
    assert metrics("keys_at_rest", **host) == 0
    okx_exchange.fail_next(5, Fault.code("50111"))
    for _ in range(5):
        await failure_of(okx_client.get_non_tradable_assets("CELT"), errors.AuthenticationError)
    assert metrics("keys_at_rest", **host) == 1
    await asyncio.sleep(31)
    assert metrics("keys_at_rest", **host) == 0


async def test_a_bucket_of_two_clients_is_shown_once(okx_exchange, okx_client, prometheus):
    metrics = prometheus()
    async with FundingClient(okx_exchange.credentials, base_url=okx_exchange.base_url) as other:
        for client in (okx_client, other):
            metrics.observer.track(client)
            await client.get_non_tradable_assets("CELT")
        assert metrics("slots", endpoint=ASSETS) == 6
        assert metrics("slots_free", endpoint=ASSETS) == 4


async def test_a_scrape_from_another_thread_asks_the_loop(okx_client, prometheus):
    metrics = prometheus()
    metrics.observer.track(okx_client)
    await okx_client.get_non_tradable_assets("CELT")
    assert "okx_funding_slots_free{" in await asyncio.to_thread(lambda: metrics.text)


async def test_a_client_that_is_gone_is_shown_no_more(okx_exchange, prometheus):
    metrics = prometheus()
    async with FundingClient(okx_exchange.credentials, base_url=okx_exchange.base_url) as client:
        metrics.observer.track(client)
        await client.get_non_tradable_assets("CELT")
        assert "okx_funding_slots_free{" in metrics.text
    del client
    assert "okx_funding_slots_free{" not in metrics.text


def test_a_scrape_after_the_loop_has_ended_shows_no_buckets(prometheus):
    metrics = prometheus()
    clients = []

    async def make():
        client = FundingClient(Credentials(*CANARIES))
        metrics.observer.track(client)
        clients.append(client)

    asyncio.run(make())
    assert "okx_funding_slots_free{" not in metrics.text


async def test_users_are_told_apart_when_asked_to(okx_client, observer, prometheus):
    await okx_client.get_non_tradable_assets("CELT")
    metrics = prometheus(by_user=True)
    metrics.observer.track(okx_client)
    for event in observer.events:
        metrics.observer(event)
    assert re.search(rf'requests_total{{[^}}]*user="{re.escape(MARK)}#[0-9a-f]+"', metrics.text)
    assert re.search(rf'slots_free{{[^}}]*user="{re.escape(MARK)}#[0-9a-f]+"', metrics.text)


@pytest.mark.looptime
async def test_metrics_hold_no_secret(okx_exchange, okx_client, observer, prometheus):
    metrics = prometheus(by_user=True)
    metrics.observer.track(okx_client)
    await troubles(okx_exchange, okx_client)
    for event in observer.events:
        metrics.observer(event)
    assert MARK in metrics.text
    assert not [canary for canary in CANARIES if canary in metrics.text]


def test_the_dashboard_asks_for_metrics_that_exist(prometheus):
    board = json.loads(DASHBOARD.read_text("utf-8"))
    queries = [target["expr"] for panel in board["panels"] for target in panel.get("targets", [])]
    asked = set(re.findall(r"okx_funding_\w+", " ".join(queries)))
    metrics = prometheus()
    there = set(re.findall(r"# TYPE (\w+)", metrics.text))
    known = there | {f"{name}_{end}" for name in there for end in ("bucket", "count", "sum")}
    assert len(queries) >= 8
    assert asked <= known


# OpenTelemetry.


@pytest.fixture
def traces():
    """An observer with a provider of its own, and the spans that have ended."""
    pytest.importorskip("opentelemetry.sdk", reason="pip install opentelemetry-sdk")
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    from okx_funding.telemetry.opentelemetry import OpenTelemetryObserver

    class Traces:
        def __init__(self):
            self.exporter = InMemorySpanExporter()
            self.provider = TracerProvider()
            self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))
            self.observer = OpenTelemetryObserver(self.provider)

        def spans(self, name):
            return [it for it in self.exporter.get_finished_spans() if it.name == name]

    return Traces()


@pytest.fixture
async def traced(okx_exchange, traces):
    async with FundingClient(
        okx_exchange.credentials, base_url=okx_exchange.base_url, observer=traces.observer
    ) as client:
        yield client


CALL, REQUEST = f"okx_funding.{ASSETS}", f"okx_funding.{ASSETS} request"


async def test_each_call_has_a_span_that_is_linked_to_its_request(traced, traces):
    await asyncio.gather(*(traced.get_non_tradable_assets("CELT") for _ in range(3)))
    (request,) = traces.spans(REQUEST)
    calls = traces.spans(CALL)
    assert len(calls) == 3
    for call in calls:
        assert [link.context.span_id for link in call.links] == [request.context.span_id]
    assert {link.context.span_id for link in request.links} == {it.context.span_id for it in calls}
    assert request.parent is None
    assert request.attributes["okx_funding.callers"] == 3


async def test_two_clients_of_one_user_lose_no_span(okx_exchange, traces):
    for retries in (1, 2):  # other settings, hence requests of their own
        async with (
            FundingClient(
                okx_exchange.credentials,
                base_url=okx_exchange.base_url,
                observer=traces.observer,
                max_retries=retries,
            ) as one,
            FundingClient(
                okx_exchange.credentials, base_url=okx_exchange.base_url, observer=traces.observer
            ) as other,
        ):
            await asyncio.gather(
                one.get_non_tradable_assets("CELT"), other.get_non_tradable_assets("CELT")
            )
    arrived = okx_exchange.requests(ASSETS)
    assert len(arrived) == 4
    assert len(traces.spans(REQUEST)) == 4


async def test_the_spans_of_requests_have_the_attributes_of_http(okx_exchange, traced, traces):
    await traced.get_non_tradable_assets("CELT")
    (span,) = traces.spans(REQUEST)
    host, _, port = okx_exchange.base_url.removeprefix("http://").partition(":")
    told = {name: value for name, value in span.attributes.items() if "okx" not in name}
    assert told == {
        "server.address": host,
        "server.port": int(port),
        "http.request.method": "GET",
        "http.response.status_code": 200,
        "url.scheme": "http",
        "url.path": "/api/v5/asset/non-tradable-assets",
    }


async def test_a_span_tells_the_http_status_of_a_failure(okx_exchange, traced, traces):
    okx_exchange.fail_next(1, Fault.html(404), ASSETS)
    await failure_of(traced.get_non_tradable_assets("CELT"), errors.HTTPStatusError)
    (span,) = traces.spans(REQUEST)
    assert span.attributes["http.response.status_code"] == 404


async def test_a_call_of_several_requests_is_linked_to_all(okx_exchange, traced, traces):
    await traced.get_non_tradable_assets(okx_exchange.currencies[:45])
    (call,) = traces.spans(CALL)
    requests = traces.spans(REQUEST)
    assert len(requests) == 3
    assert {link.context.span_id for link in call.links} == {it.context.span_id for it in requests}


async def test_a_call_stands_in_the_span_of_whoever_calls(traced, traces):
    tracer = traces.provider.get_tracer("bot")

    async def look(name):
        with tracer.start_as_current_span(name):
            await traced.get_non_tradable_assets("CELT")

    await asyncio.gather(look("one"), look("two"))
    bots = [traces.spans(name)[0].context.span_id for name in ("one", "two")]
    assert sorted(call.parent.span_id for call in traces.spans(CALL)) == sorted(bots)


async def test_a_call_that_fails_says_why(okx_exchange, traced, traces):
    okx_exchange.fail_next(1, Fault.code("50120"))
    await failure_of(traced.get_non_tradable_assets("CELT"), errors.PermissionDeniedError)
    for name in (CALL, REQUEST):
        (span,) = traces.spans(name)
        assert span.status.status_code.name == "ERROR"
        assert span.attributes["error.type"] == "PermissionDeniedError"


@pytest.mark.looptime
async def test_refusals_and_retries_are_noted_in_the_calls_they_delay(okx_exchange, traced, traces):
    okx_exchange.fail_next(1, Fault.code("50011"))
    await traced.get_non_tradable_assets("CELT")
    (call,) = traces.spans(CALL)
    assert [event.name for event in call.events] == ["refused", "retry scheduled"]
    assert len(call.links) == 2


@pytest.mark.looptime
async def test_a_request_that_is_closed_in_flight_ends_its_span(okx_exchange, traced, traces):
    okx_exchange.latency = 30
    call = asyncio.ensure_future(traced.get_non_tradable_assets("CELT"))
    await asyncio.sleep(0.1)
    await traced.aclose()
    await failure_of(call, errors.ClientClosedError)
    (span,) = traces.spans(REQUEST)
    assert span.attributes["error.type"] == "ClientClosedError"


async def test_nothing_is_kept_of_what_is_over(okx_exchange, traced, traces):
    await asyncio.gather(
        *(traced.get_non_tradable_assets(ccy) for ccy in okx_exchange.currencies[:50])
    )
    kept = vars(traces.observer)
    assert [name for name, value in kept.items() if isinstance(value, dict) and value] == []


@pytest.mark.looptime
async def test_traces_hold_no_secret(okx_exchange, traced, traces):
    await troubles(okx_exchange, traced)
    text = "".join(span.to_json() for span in traces.exporter.get_finished_spans())
    assert MARK in text
    assert not [canary for canary in CANARIES if canary in text]


# What it costs where nobody watches.


async def test_without_an_observer_nothing_is_hung_on_a_call(okx_exchange):
    async with FundingClient(
        okx_exchange.credentials,
        base_url=okx_exchange.base_url,
        rate_limits={ASSETS: RateLimit(6, 0.01)},
    ) as client:
        call = asyncio.ensure_future(client.get_non_tradable_assets("CELT"))
        await asyncio.sleep(0)
        (lane,) = client._calls.lanes.values()
        assert all(type(waiter) is Waiter for waiter in lane.open_waiters())
        assert lane.dispatcher.emitter is None
        await call


async def test_the_text_of_statistics_is_short_for_many_users():
    async with Wireless() as session:
        clients = [session.client() for _ in range(20)]
        for client in clients:
            await client.get_non_tradable_assets("CELT")
        head, *lines = str(session.statistics()).splitlines()
        assert head.startswith("20 calls (20 answered")
        (line,) = lines
        assert line.strip().startswith(f"{ASSETS} of 20 users: ")
        assert "of 120 slots free, 0 callers waiting, " in line
        assert "20 sent, 0 refused" in line


async def test_the_text_of_statistics_shows_few_buckets_one_by_one(okx_exchange, okx_client):
    await okx_client.get_non_tradable_assets("CELT")
    _, line = str(okx_client.statistics()).splitlines()
    assert f"{ASSETS} of {MARK}" in line
