"""``machine``: one limit over the processes of one machine, kept in a small file."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import shutil
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from typing import Any

from okx_funding import Credentials, FundingClient, RateLimit, Session
from okx_funding.api.assets import GET_NON_TRADABLE_ASSETS
from okx_funding.ratelimit.bucket import Claim, TokenBucket
from okx_funding.ratelimit.machine import MachineLimits
from okx_funding.ratelimit.registry import BucketKey
from okx_funding.simulator import SimulatedExchange

from .harness import Benchmark, Options, Report, Table

ENDPOINT = GET_NON_TRADABLE_ASSETS.name
CALLERS = 3
LATENCY = 0.01
COUNTS = (1, 2, 8, 32)
SHARED_MEMORY = "/dev/shm" if os.path.isdir("/dev/shm") else None
_USED_ALONE = RateLimit(6, 0.0001)


# -- one process -----------------------------------------------------------------------------


async def _work(orders: dict[str, Any]) -> None:
    user = Credentials(*orders["key"], user_id=orders["user"])
    names = orders["currencies"]
    calls, answers, longest = orders["calls"], 0, 0.0
    async with (
        Session(limits=MachineLimits(orders["path"])) as session,
        FundingClient(user, session=session, base_url=orders["base_url"]) as client,
    ):

        async def caller(number: int) -> None:
            nonlocal answers, longest
            while calls is None or answers < calls:
                began = time.monotonic()
                await client.get_non_tradable_assets(names[20 * number : 20 * number + 20])
                answers += 1
                longest = max(longest, time.monotonic() - began)

        tasks = [asyncio.create_task(caller(number)) for number in range(orders["callers"])]
        told = asyncio.ensure_future(asyncio.to_thread(sys.stdin.readline))
        if calls is None:
            await told
        else:
            await asyncio.wait(tasks)
        print(json.dumps({"answers": answers, "longest": longest, "cpu": time.process_time()}))
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


class _Process:
    """One bot in a process of its own."""

    def __init__(self, exchange: SimulatedExchange, path: str, calls: int | None = None) -> None:
        self._orders = {
            "path": path,
            "base_url": exchange.base_url,
            "key": exchange.credentials.reveal(),
            "user": exchange.user_ids[0],
            "currencies": exchange.currencies[:100],
            "callers": CALLERS if calls is None else 1,
            "calls": calls,
        }

    async def start(self) -> _Process:
        pipe = asyncio.subprocess.PIPE
        command = (sys.executable, "-m", "benchmarks.machine", json.dumps(self._orders))
        self.it = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe)
        return self

    async def stop(self) -> dict[str, Any]:
        out, _ = await self.it.communicate(b"stop\n")
        result: dict[str, Any] = json.loads(out)
        return result

    async def end(self) -> None:
        if self.it.returncode is None:
            self.it.kill()
        await self.it.wait()


@contextlib.asynccontextmanager
async def _place(**settings: Any) -> AsyncIterator[tuple[SimulatedExchange, str]]:
    folder = tempfile.mkdtemp(dir=SHARED_MEMORY)
    try:
        async with SimulatedExchange(latency=LATENCY, **settings) as exchange:
            yield exchange, os.path.join(folder, "limits")
    finally:
        shutil.rmtree(folder)


# -- what is measured ------------------------------------------------------------------------


async def _together(processes: int, seconds: float) -> dict[str, Any]:
    async with _place() as (exchange, path):
        limit = exchange.limit(ENDPOINT)
        running = [await _Process(exchange, path).start() for _ in range(processes)]
        try:
            while not exchange.log:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
            began = exchange.log[0].at
            await asyncio.sleep(seconds)
            reports = [await process.stop() for process in running]
        finally:
            for process in running:
                await process.end()
        counted = [it.at for it in exchange.requests(ENDPOINT) if not it.refused]
        # Bursts of N don't blur it: each is compared with the one N before it.
        times = [at for at in counted if at <= began + seconds]
        cycles = [late - at for at, late in zip(times, times[limit.count :], strict=False)]
        answers = [each["answers"] for each in reports]
        return {
            "processes": processes,
            "requests": len(exchange.requests(ENDPOINT)),
            "refused": len(exchange.refused),
            "utilisation": round(limit.period / statistics.mean(cycles), 4),
            "answers": [min(answers), max(answers)],
            "longest wait": round(max(each["longest"] for each in reports), 2),
            "cpu ms a request": round(
                1000 * sum(each["cpu"] for each in reports) / sum(answers), 2
            ),
        }


async def _starts() -> dict[str, Any]:
    """Four processes, one after the other, that ask once each."""
    async with _place() as (exchange, path):
        waits = []
        for _ in range(4):
            process = await _Process(exchange, path, calls=1).start()
            try:
                waits.append(round((await process.stop())["longest"], 3))
            finally:
                await process.end()
        return {"first answers": waits, "refused": len(exchange.refused)}


async def _storm(seconds: float, processes: int = 8, every: float = 0.4) -> dict[str, Any]:
    """Kill, stop and, now and then, damage."""
    dice = random.Random(1)
    done = {"kill": 0, "stop": 0, "damage": 0}
    async with _place() as (exchange, path):
        running = [await _Process(exchange, path).start() for _ in range(processes)]
        loop = asyncio.get_running_loop()
        ends = loop.time() + seconds
        try:
            while loop.time() < ends:
                await asyncio.sleep(every)
                (what,) = dice.choices(list(done), (5, 5, 1))
                done[what] += 1
                place = dice.randrange(processes)
                if what == "kill":
                    await running[place].end()
                    running[place] = await _Process(exchange, path, None).start()
                elif what == "stop":
                    pid = running[place].it.pid
                    os.kill(pid, signal.SIGSTOP)
                    loop.call_later(dice.uniform(0.2, 5), _go_on, pid)
                else:
                    _damage(path, dice)
        finally:
            for process in running:
                await process.end()
        return {
            **done,
            "requests": len(exchange.requests(ENDPOINT)),
            "refused": len(exchange.refused),
        }


def _go_on(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGCONT)


def _damage(path: str, dice: random.Random) -> None:
    with contextlib.suppress(OSError):
        for name in os.listdir(path):
            if not name.endswith(".limit"):
                continue
            file = os.path.join(path, name)
            match dice.randrange(3):
                case 0:
                    os.unlink(file)
                case 1:
                    os.truncate(file, dice.randrange(200))
                case _:
                    with open(file, "r+b") as opened:
                        opened.write(dice.randbytes(100))


async def _cost(rounds: int) -> dict[str, float]:
    """Microseconds to take a slot and to give it back, beside a bucket of the process."""
    folder = tempfile.mkdtemp(dir=SHARED_MEMORY)
    limits = MachineLimits(folder)
    loop = asyncio.get_running_loop()
    claim = Claim(_USED_ALONE)
    try:
        shared = limits.bucket(BucketKey("https://example", False, "user", ENDPOINT), claim)
        local = TokenBucket(claim)
        found = {}
        for name, bucket in (("file", shared), ("process", local)):
            times: list[float] = []
            while len(times) < rounds:
                began = time.perf_counter()
                slot: Any = bucket.take(loop.time())
                if slot is not None:
                    bucket.answered(slot, loop.time())
                    times.append(time.perf_counter() - began)
            found[name] = round(statistics.median(times) * 1e6, 1)
        return found
    finally:
        await limits.aclose()
        shutil.rmtree(folder)


def run(options: Options) -> Report:
    """In real time, on loopback. ``--quick``: some seconds of each."""
    seconds = options.pick(30, 5)
    together = Table(
        f"{CALLERS} callers each, 6 requests per 1 s, {2000 * LATENCY:.0f} ms round trip",
        (
            "processes",
            "requests",
            "refused",
            "limit used",
            "answers each",
            "longest wait",
            "CPU ms",
        ),
    )
    figures: dict[str, Any] = {"together": []}
    for processes in COUNTS[: options.pick(4, 2)]:
        found = asyncio.run(_together(processes, seconds))
        figures["together"].append(found)
        least, most = found["answers"]
        together.rows.append(
            (
                str(processes),
                str(found["requests"]),
                str(found["refused"]),
                f"{found['utilisation']:.1%}",
                f"{least} to {most}",
                f"{found['longest wait']} s",
                str(found["cpu ms a request"]),
            )
        )
    others = Table("Starts, costs and a storm", ("", ""))
    figures["starts"] = asyncio.run(_starts())
    figures["cost"] = asyncio.run(_cost(options.pick(5000, 1000)))
    figures["storm"] = asyncio.run(_storm(options.pick(600, 20)))
    for name in ("starts", "cost", "storm"):
        others.rows += [(f"{name}: {key}", str(value)) for key, value in figures[name].items()]
    return Report([together, others], figures=figures)


BENCHMARK = Benchmark("machine", "Do processes of one machine keep one limit?", run)

if __name__ == "__main__":
    asyncio.run(_work(json.loads(sys.argv[1])))
