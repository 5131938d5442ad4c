"""A bot to run several times: all of them together keep one limit, counted in a Redis.

    redis-server --save ''
    okx-funding simulate
    python examples/shared_bot.py            in as many terminals as you like
    python examples/shared_bot.py --live     against OKX, with the keys of the environment

Each second it says what it sent, and what all bots sent together. Kill one, stop the Redis, start
it again: nothing is ever refused. ``okx-funding limits --buckets redis://localhost:6379/0`` shows
the same from outside.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import time

from okx_funding import FundingClient, OKXError, Session
from okx_funding.ratelimit.redis import inspect_buckets
from okx_funding.simulator import SimulatedExchange

CALLERS = 5


async def ask_without_end(client: FundingClient, currencies: list[str]) -> None:
    """One of several callers. Each asks for so many currencies that it needs a whole request."""
    while True:
        try:
            await client.get_non_tradable_assets(currencies, timeout=10)
        except OKXError as error:
            print(error)
            await asyncio.sleep(1)


async def report(client: FundingClient, buckets: str) -> None:
    """A line each second."""
    before, all_before, then = 0, 0, time.monotonic()
    while True:
        await asyncio.sleep(1)
        told = client.statistics()
        together = 0
        with contextlib.suppress(OKXError):
            together = sum(it.requests_sent for it in await inspect_buckets(buckets))
        now = time.monotonic()
        mine = (told.requests - before) / (now - then)
        ours = (together - all_before) / (now - then)
        print(
            f"sent {told.requests} ({mine:.1f}/s), refused {told.refused}; "
            f"all bots: {together} ({ours:.1f}/s)",
            flush=True,
        )
        before, all_before, then = told.requests, together, now


async def main(options: argparse.Namespace) -> None:
    """Ask until Ctrl-C, or for so many seconds."""
    pretended = SimulatedExchange()  # knows the made-up keys of ``okx-funding simulate``
    async with Session(buckets=options.buckets) as session:
        if options.live:
            client = FundingClient(session=session)
            rows = await client.get_non_tradable_assets()
            currencies = [row.ccy for row in rows][:100] or ["CELT"]
        else:
            client = FundingClient(
                pretended.credentials, session=session, base_url=options.base_url
            )
            currencies = pretended.currencies[:100]
        share = -(-len(currencies) // CALLERS)
        async with contextlib.AsyncExitStack() as stack:
            stack.enter_context(contextlib.suppress(TimeoutError))
            await stack.enter_async_context(asyncio.timeout(options.seconds))
            async with asyncio.TaskGroup() as group:
                group.create_task(report(client, options.buckets))
                for start in range(0, len(currencies), share):
                    some = currencies[start : start + share]
                    group.create_task(ask_without_end(client, some))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="One of several bots that keep one limit.")
    parser.add_argument("--buckets", default="redis://localhost:6379/0", help="where all count")
    parser.add_argument("--base-url", default="http://127.0.0.1:8080", help="the exchange")
    parser.add_argument("--live", action="store_true", help="ask OKX itself")
    parser.add_argument("--seconds", type=float, help="end after so long")
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(parser.parse_args()))
