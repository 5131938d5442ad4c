"""One process of many, whose callers ask without end until they are told to stop.

``python -m tests.machine_limits.bot`` reads one line of JSON with what to do, and another to
stop; then it writes one line with what came of it.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from okx_funding import Credentials, FundingClient, OKXError, Session
from okx_funding.ratelimit.machine import MachineLimits, layout
from okx_funding.ratelimit.machine.file import LimitFile


def stop_in_lock(nth: int) -> None:
    """Stop this process while it holds the lock of the file, for the n-th time."""
    encode = layout.encode
    count = 0

    def stopping(*args: Any) -> bytes:
        nonlocal count
        count += 1
        if count == nth:
            os.kill(os.getpid(), signal.SIGSTOP)
        return encode(*args)

    setattr(layout, "encode", stopping)  # noqa: B010 -- mypy minds the plain one


def kill_at(step: str, nth: int) -> None:
    """End this process at one step between the lock and the send."""
    owner: Any = {"encode": layout, "write": LimitFile, "unlock": LimitFile}[step]
    original: Callable[..., Any] = getattr(owner, step)
    count = 0

    def killing(*args: Any, **more: Any) -> Any:
        nonlocal count
        count += 1
        result = original(*args, **more)
        if count == nth:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(owner, step, killing)


HOOKS: dict[str, Callable[..., None]] = {"stop_in_lock": stop_in_lock, "kill_at": kill_at}


class Bot:
    """Some callers of one client, each of whom needs a request of its own."""

    def __init__(self, orders: dict[str, Any]) -> None:
        self.orders = orders
        self.answered: list[float] = []
        self.errors: Counter[str] = Counter()
        self.longest = 0.0

    async def run(self) -> None:
        orders = self.orders
        user = Credentials(*orders["key"], user_id=orders["user"])
        async with (
            Session(limits=MachineLimits(orders["path"])) as session,
            FundingClient(user, session=session, base_url=orders["base_url"]) as client,
        ):
            names = orders["currencies"]
            callers = range(orders.get("callers", 3))
            await asyncio.gather(*(self.call(client, names[20 * n : 20 * n + 20]) for n in callers))

    async def call(self, client: FundingClient, ccy: list[str]) -> None:
        for _ in range(self.orders.get("calls", 10**9)):
            began = time.monotonic()
            try:
                await client.get_non_tradable_assets(ccy, timeout=self.orders.get("timeout"))
            except OKXError as error:
                self.errors[type(error).__name__] += 1
            else:
                self.answered.append(time.monotonic())
                self.longest = max(self.longest, self.answered[-1] - began)

    def report(self) -> dict[str, Any]:
        return {
            "answered": len(self.answered),
            "times": self.answered,
            "longest": self.longest,
            "errors": self.errors,
            "cpu": time.process_time(),
        }


async def main() -> None:
    orders = json.loads(sys.stdin.readline())
    if hook := orders.get("hook"):
        HOOKS[hook[0]](*hook[1:])
    bot = Bot(orders)
    task = asyncio.create_task(bot.run())
    stop = asyncio.ensure_future(asyncio.to_thread(sys.stdin.readline))
    await asyncio.wait([task] if "calls" in orders else [stop, task], return_when="FIRST_COMPLETED")
    sys.stdout.write(json.dumps(bot.report()) + "\n")
    sys.stdout.flush()
    task.cancel()
    await asyncio.wait([task])
    if not task.cancelled():
        task.result()


if __name__ == "__main__":
    asyncio.run(main())
