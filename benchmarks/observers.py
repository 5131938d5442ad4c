"""``observers``: what it costs to be watched, by the call and by the caller."""

from __future__ import annotations

import asyncio
import contextlib

from okx_funding.telemetry.events import Event, Observer

from .call import USERS, Setting, bench
from .coalescing import HOT, SLOTS, a_client, a_loop, together
from .harness import Benchmark, Cost, Options, Report, Work, compare, cost_table, missing
from .server import CURRENCIES, serving

SETTINGS = (Setting(1, 1), Setting(USERS, 1))
AT_ONCE = 1_000

Watchers = dict[str, Observer | None]


def _nothing(event: Event) -> None:
    """Looks away."""


def _prometheus() -> Observer:
    """Into a registry of its own, which nobody scrapes."""
    from prometheus_client import CollectorRegistry

    from okx_funding.telemetry.prometheus import PrometheusObserver

    return PrometheusObserver(CollectorRegistry())


def _opentelemetry() -> Observer:
    """Every span is made, kept and ended by the SDK, and exported to nowhere."""
    from opentelemetry.sdk.trace import TracerProvider

    from okx_funding.telemetry.opentelemetry import OpenTelemetryObserver

    return OpenTelemetryObserver(TracerProvider(shutdown_on_exit=False))


def watchers(report: Report) -> Watchers:
    """Who watches; nobody is the yardstick."""
    found: Watchers = {"no observer": None, "one that does nothing": _nothing}
    if missing("prometheus_client"):
        report.skipped.append("prometheus: its client isn't installed (the extra prometheus)")
    else:
        found["okx_funding.telemetry.prometheus"] = _prometheus()
    if missing("opentelemetry.sdk"):
        report.skipped.append("opentelemetry: its SDK isn't installed (the extra test has it)")
    else:
        found["okx_funding.telemetry.opentelemetry"] = _opentelemetry()
    return found


def _tell(report: Report, heading: str, title: str, costs: dict[str, Cost], note: str = "") -> None:
    report.tables.append(cost_table(title, costs, note))
    report.figures[heading] = {name: cost.figures() for name, cost in costs.items()}


def _calls(options: Options, base_url: str, observers: Watchers, report: Report) -> None:
    with contextlib.ExitStack() as stack:
        benches = {
            name: stack.enter_context(bench(base_url, asyncio.new_event_loop(), observer))
            for name, observer in observers.items()
        }
        for setting in SETTINGS:
            works = {name: it.work(it.ours(), setting) for name, it in benches.items()}
            costs = compare(works, options.pick(320, 64), options.pick(31, 5))
            _tell(report, str(setting), f"One call, {setting}, watched: CPU of the client", costs)


def _callers(options: Options, base_url: str, observers: Watchers, report: Report) -> None:
    with contextlib.ExitStack() as stack:

        def work(observer: Observer | None) -> Work:
            loop = stack.enter_context(a_loop())
            client = stack.enter_context(a_client(loop, base_url, SLOTS, observer))
            ask = client.get_non_tradable_assets

            def once(callers: int) -> None:
                for _ in range(callers // AT_ONCE):
                    wants = (CURRENCIES[number % HOT] for number in range(AT_ONCE))
                    loop.run_until_complete(together(ask(ccy) for ccy in wants))

            return once

        works = {name: work(observer) for name, observer in observers.items()}
        callers = AT_ONCE * options.pick(20, 5)
        costs = compare(works, callers, options.pick(21, 5), collector=False)
    heading = f"one of {AT_ONCE:,} callers who share a request"
    note = "The caller's task and its share of the request are in it. Collector off."
    _tell(report, heading, f"CPU of {heading}, watched", costs, note)


def run(options: Options) -> Report:
    """One call after the other, sixteen users at a time, and a thousand callers of one request."""
    report = Report()
    observers = watchers(report)
    with serving() as base_url:
        _calls(options, base_url, observers, report)
        _callers(options, base_url, observers, report)
    return report


BENCHMARK = Benchmark("observers", "What does it cost to be watched?", run)
