"""One process of many: clients of one user each, that ask without end until they are told to stop.

``python -m tests.redis.bot`` reads one line of JSON with what to do, and another to stop; then
it writes one line with what came of it.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter
from typing import Any

from okx_funding import Credentials, FundingClient, OKXError, Session


def set_clock(ahead: float) -> None:
    clock = time.time
    time.time = lambda: clock() + ahead


class Bot:
    """Some callers of one client, each of whom needs a request of its own."""

    def __init__(self, work: dict[str, Any]) -> None:
        self.work = work
        self.answered: list[float] = []
        self.errors: Counter[str] = Counter()
        self.told: list[str] = []

    async def run(self) -> None:
        work = self.work
        user = Credentials(*work["key"], user_id=work["user"])
        async with (
            Session(buckets=work["redis"], **work.get("session", {})) as session,
            FundingClient(
                user, session=session, base_url=work["base_url"], **work.get("client", {})
            ) as client,
        ):
            self.client = client
            names = work["currencies"]
            callers = range(work.get("callers", 3))
            await asyncio.gather(*(self.call(client, names[20 * n : 20 * n + 20]) for n in callers))

    async def call(self, client: FundingClient, ccy: list[str]) -> None:
        while True:
            try:
                await client.get_non_tradable_assets(ccy, timeout=self.work.get("timeout"))
            except OKXError as error:
                self.errors[type(error).__name__] += 1
                self.told.append(str(error))
                await asyncio.sleep(0.05)
            else:
                self.answered.append(time.monotonic())

    def report(self) -> dict[str, Any]:
        statistics = self.client.statistics()
        return {
            "answered": len(self.answered),
            "errors": self.errors,
            "told": self.told[:5],
            "requests": statistics.requests,
            "refused": statistics.refused,
            "cpu": time.process_time(),
        }


async def main() -> None:
    orders = json.loads(sys.stdin.readline())
    if orders.get("clock"):
        set_clock(orders["clock"])
    bots = [Bot(work) for work in orders["bots"]]
    tasks = [asyncio.create_task(bot.run()) for bot in bots]
    stop = asyncio.ensure_future(asyncio.to_thread(sys.stdin.readline))
    done, _ = await asyncio.wait([stop, *tasks], return_when=asyncio.FIRST_COMPLETED)
    sys.stdout.write(json.dumps([bot.report() for bot in bots]) + "\n")
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    for task in done - {stop}:
        task.result()


if __name__ == "__main__":
    asyncio.run(main())
