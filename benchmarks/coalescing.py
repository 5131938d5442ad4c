"""``coalescing``: what a waiting caller costs when a request serves thousands of them."""

from __future__ import annotations

import asyncio
import asyncio.events
import contextlib
import gc
import random
import statistics
import time
import tracemalloc
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from okx_funding import FundingClient, Observer, RateLimit, Session

from .call import NEVER_WAITS, fresh_user
from .harness import Benchmark, Options, Report, Table, compare, ratio_of
from .server import CURRENCIES, serving

T = TypeVar("T")

HOT = 20
SLOTS = RateLimit(6, 0.001)
"""As many slots as OKX gives, none of which is ever waited for."""
_ONCE_A_DAY = RateLimit(1, 86400.0)


@contextlib.contextmanager
def a_loop() -> Iterator[asyncio.AbstractEventLoop]:
    """An event loop of one's own."""
    loop = asyncio.new_event_loop()
    try:
        yield loop
    finally:
        loop.run_until_complete(asyncio.sleep(0.01))
        loop.close()


@contextlib.contextmanager
def a_client(
    loop: asyncio.AbstractEventLoop,
    base_url: str,
    limit: RateLimit,
    observer: Observer | None = None,
) -> Iterator[FundingClient]:
    """A client of a user of its own."""

    async def make() -> tuple[Session, FundingClient]:
        session = Session()
        client = FundingClient(
            fresh_user(),
            session=session,
            base_url=base_url,
            demo=False,
            rate_limits={"get_non_tradable_assets": limit},
            observer=observer,
        )
        return session, client

    session, client = loop.run_until_complete(make())
    try:
        yield client
    finally:
        loop.run_until_complete(session.aclose())


async def together(callers: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Run them as tasks of one turn. `gather` would cost a callback for each, and a long step."""
    tasks = [asyncio.create_task(caller) for caller in callers]
    return [await task for task in tasks]


async def _in_small_steps(callers: Iterable[Coroutine[Any, Any, T]]) -> list[asyncio.Task[T]]:
    """The same, without a long step of its own at the end, not even to free the tasks."""
    done = asyncio.get_running_loop().create_future()
    tasks = [asyncio.create_task(caller) for caller in callers]
    left = len(tasks)

    def one_less(task: asyncio.Task[object]) -> None:
        nonlocal left
        left -= 1
        if not left:
            done.set_result(None)

    for task in tasks:
        task.add_done_callback(one_less)
    await done
    return tasks


async def _bare() -> None:
    return None


# -- CPU of a caller ---------------------------------------------------------------------------


def _callers(options: Options, base_url: str, report: Report) -> None:
    table = Table(
        f"CPU of a coalesced caller, one of {HOT} hot currencies each, collector off",
        ("callers at once", "bare task µs", "caller µs", "above it µs", "with timeout=", "control"),
        note=(
            "All callers of a round are answered by one request; its own cost (a call for all "
            f"{HOT} currencies) is\ntaken off. With timeout=: a caller with a deadline against one "
            "without, the task included."
        ),
    )
    with a_loop() as loop, a_client(loop, base_url, SLOTS) as client:
        hot = CURRENCIES[:HOT]

        def work(count: int, timeout: float | None = None) -> Callable[[int], None]:
            ask = client.get_non_tradable_assets

            def once(rounds: int) -> None:
                for _ in range(rounds):
                    wants = (hot[number % HOT] for number in range(count))
                    callers = (ask(ccy, timeout=timeout) for ccy in wants)
                    loop.run_until_complete(together(callers))

            return once

        def bare(count: int) -> Callable[[int], None]:
            def once(rounds: int) -> None:
                for _ in range(rounds):
                    loop.run_until_complete(together(_bare() for _ in range(count)))

            return once

        def request(rounds: int) -> None:
            for _ in range(rounds):
                loop.run_until_complete(client.get_non_tradable_assets(hot))

        for count in (1_000, 10_000):
            works = {
                "caller": work(count),
                "with timeout": work(count, timeout=60.0),
                "bare": bare(count),
                "request": request,
            }
            repeat = max(1, options.pick(20_000, 10_000) // count)
            costs = compare(works, repeat, options.pick(21, 5), collector=False)
            task = costs["bare"].microseconds / count
            own = costs["request"].microseconds / count
            caller = costs["caller"].microseconds / count - own
            deadline = costs["with timeout"].microseconds / count - own
            control = ratio_of(costs, "control", "caller")
            ratio = deadline / caller
            table.rows.append(
                (
                    f"{count:,}",
                    f"{task:.2f}",
                    f"{caller:.2f}",
                    f"{caller - task:.2f}",
                    f"{ratio:.2f}",
                    f"{control:.3f}",
                )
            )
            report.figures[f"caller at {count}"] = {
                "bare_us": round(task, 3),
                "caller_us": round(caller, 3),
                "above_bare_us": round(caller - task, 3),
                "request_us_per_caller": round(own, 3),
                "timeout_ratio": round(ratio, 3),
                "control": round(control, 4),
            }
    report.tables.append(table)


# -- a hundred thousand ------------------------------------------------------------------------


class _Steps:
    """The longest steps of the loop: CPU and wall time of each handle."""

    def __init__(self) -> None:
        self.cpu = self.wall = 0.0

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """Time every handle that the loop runs meanwhile."""
        run = asyncio.events.Handle._run

        def timed(handle: asyncio.events.Handle) -> None:
            wall, cpu = time.perf_counter(), time.thread_time()
            run(handle)
            self.cpu = max(self.cpu, time.thread_time() - cpu)
            self.wall = max(self.wall, time.perf_counter() - wall)

        asyncio.events.Handle._run = timed  # type: ignore[assignment,method-assign]
        try:
            yield
        finally:
            asyncio.events.Handle._run = run  # type: ignore[method-assign]

    def forget(self) -> None:
        """Begin anew: what came before was the benchmark's own."""
        self.cpu = self.wall = 0.0


@dataclass
class _Crowd:
    cpu: float
    bare: float
    requests: int
    step_cpu: float
    step_wall: float


def _crowd(base_url: str, wants: Sequence[str | list[str]]) -> _Crowd:
    with a_loop() as loop, a_client(loop, base_url, NEVER_WAITS) as client:
        loop.run_until_complete(client.get_non_tradable_assets(CURRENCIES[-1]))  # connects
        steps = _Steps()

        def spent(callers: Iterable[Coroutine[Any, Any, T]]) -> tuple[float, list[T]]:
            gc.collect()
            gc.disable()
            try:
                began = time.process_time()
                answers = loop.run_until_complete(together(callers))
                return time.process_time() - began, answers
            finally:
                gc.enable()

        ask = client.get_non_tradable_assets
        before = client.statistics().requests
        cpu, answers = spent(ask(ccy) for ccy in wants)
        requests = client.statistics().requests - before
        for ccy, rows in zip(wants, answers, strict=True):
            assert [row.ccy for row in rows] == ([ccy] if isinstance(ccy, str) else ccy)
        del answers
        bare, _ = spent(_bare() for _ in wants)
        with steps.watched():
            loop.call_soon(lambda: loop.call_soon(steps.forget))  # after the tasks were made
            gc.disable()
            tasks = loop.run_until_complete(_in_small_steps(ask(ccy) for ccy in wants))
            gc.enable()
        del tasks
    return _Crowd(cpu, bare, requests, steps.cpu, steps.wall)


def _crowds(options: Options, base_url: str, report: Report) -> None:
    count = options.pick(100_000, 20_000)
    table = Table(
        f"{count:,} concurrent callers over 2000 currencies, over loopback, collector off",
        ("", "CPU s", "bare tasks s", "requests", "longest step ms", "on the wall ms"),
        note=(
            "CPU of the whole: tasks, asking, requests, decoding, handing out. Steps are timed "
            "in a run of their own; on\nthe wall, other programs of the machine count too. Medians."
        ),
    )
    chance = random.Random(1)
    kinds: dict[str, Sequence[str | list[str]]] = {
        "one each": [CURRENCIES[number % 2000] for number in range(count)],
        "1 to 3 each": [
            chance.sample(CURRENCIES[:2000], chance.randint(1, 3)) for _ in range(count)
        ],
    }
    for name, wants in kinds.items():
        runs = [_crowd(base_url, wants) for _ in range(options.pick(5, 1))]
        middle = {
            key: statistics.median(getattr(run, key) for run in runs)
            for key in ("cpu", "bare", "requests", "step_cpu", "step_wall")
        }
        table.rows.append(
            (
                name,
                f"{middle['cpu']:.3f}",
                f"{middle['bare']:.3f}",
                f"{middle['requests']:.0f}",
                f"{1000 * middle['step_cpu']:.1f}",
                f"{1000 * middle['step_wall']:.1f}",
            )
        )
        report.figures[f"{count} callers, {name}"] = middle
    report.tables.append(table)


# -- memory, and leaving -------------------------------------------------------------------------


@contextlib.contextmanager
def _waiting(
    base_url: str, wants: Sequence[str | list[str]]
) -> Iterator[tuple[asyncio.AbstractEventLoop, list[asyncio.Task[Any]]]]:
    """Callers who wait for a limit that is spent."""
    with a_loop() as loop, a_client(loop, base_url, _ONCE_A_DAY) as client:
        loop.run_until_complete(client.get_non_tradable_assets(CURRENCIES[-1]))
        tasks: list[asyncio.Task[Any]] = []

        async def start() -> None:
            for ccy in wants:
                tasks.append(asyncio.create_task(client.get_non_tradable_assets(ccy)))
            for _ in range(3):
                await asyncio.sleep(0)

        gc.collect()
        loop.run_until_complete(start())
        try:
            yield loop, tasks
        finally:
            loop.run_until_complete(_leave(tasks))


async def _leave(tasks: list[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


def _memory(options: Options, base_url: str, report: Report) -> None:
    count = options.pick(20_000, 5_000)
    chance = random.Random(2)
    kinds: dict[str, Sequence[str | list[str]]] = {
        f"one of {HOT} currencies": [CURRENCIES[number % HOT] for number in range(count)],
        "one of 2000": [CURRENCIES[number % 2000] for number in range(count)],
        "1 to 3 of 2000": [
            chance.sample(CURRENCIES[:2000], chance.randint(1, 3)) for _ in range(count)
        ],
    }
    table = Table(
        f"Memory of a waiting caller, {count:,} of them (tracemalloc)",
        ("", "bytes", "bare task", "above it"),
        note="The caller's own task and coroutine are in it; a bare task waits for a future.",
    )
    bare = _bytes_of_bare(count)
    for name, wants in kinds.items():
        tracemalloc.start()
        try:
            before = tracemalloc.get_traced_memory()[0]
            with _waiting(base_url, wants):
                gc.collect()
                each = (tracemalloc.get_traced_memory()[0] - before) / count
        finally:
            tracemalloc.stop()
        table.rows.append((name, f"{each:.0f}", f"{bare:.0f}", f"{each - bare:.0f}"))
        report.figures[f"bytes, {name}"] = {"whole": round(each), "bare_task": round(bare)}
    report.tables.append(table)


def _bytes_of_bare(count: int) -> float:
    with a_loop() as loop:
        tasks: list[asyncio.Task[None]] = []

        async def wait(future: asyncio.Future[None]) -> None:
            await future

        async def start() -> None:
            for _ in range(count):
                tasks.append(asyncio.create_task(wait(loop.create_future())))
            await asyncio.sleep(0)

        tracemalloc.start()
        try:
            loop.run_until_complete(start())
            gc.collect()
            return tracemalloc.get_traced_memory()[0] / count
        finally:
            tracemalloc.stop()
            loop.run_until_complete(_leave(tasks))


def _cancelling(options: Options, base_url: str, report: Report) -> None:
    table = Table(
        "Cancelling all who wait, CPU per caller",
        ("callers", "µs each", "against 1,000"),
        note="Collector off, medians. One of 2000 currencies each.",
    )
    sizes = (1_000, 10_000, 30_000)
    spent: dict[int, list[float]] = {size: [] for size in sizes}
    for _ in range(options.pick(9, 3)):
        for size in sizes:
            for _ in range(max(1, 10_000 // size) if not options.quick else 1):
                wants = [CURRENCIES[number % 2000] for number in range(size)]
                with _waiting(base_url, wants) as (loop, tasks):
                    gc.disable()
                    began = time.process_time()
                    loop.run_until_complete(_leave(tasks))
                    spent[size].append((time.process_time() - began) / size)
                    gc.enable()
    least = statistics.median(spent[sizes[0]])
    for size in sizes:
        middle = statistics.median(spent[size])
        table.rows.append((f"{size:,}", f"{1e6 * middle:.2f}", f"{middle / least:.2f}"))
        report.figures[f"cancelling {size}"] = {
            "us": round(1e6 * middle, 3),
            "against_1000": round(middle / least, 3),
        }
    report.tables.append(table)


def run(options: Options) -> Report:
    """All of it, over a lean server in another process."""
    report = Report()
    with serving() as base_url:
        _callers(options, base_url, report)
        _crowds(options, base_url, report)
        _memory(options, base_url, report)
        _cancelling(options, base_url, report)
    return report


BENCHMARK = Benchmark(
    "coalescing", "What does one more waiting caller cost, and does it stay so for 100 000?", run
)
