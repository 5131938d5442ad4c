"""For tests of synchronous code, and of other processes."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager

from .exchange import SimulatedExchange


@contextmanager
def in_thread(exchange: SimulatedExchange) -> Iterator[SimulatedExchange]:
    """Run an exchange, which wasn't started yet, in a thread of its own while the block lasts.

        with in_thread(SimulatedExchange()) as exchange:
            api = okx.Funding.FundingAPI(*exchange.credentials.reveal(), ...)

    The log may be read from outside, and settings and faults set. Raises what ``start`` raises.
    """
    started: Future[None] = Future()
    stop = asyncio.Event()
    loops: list[asyncio.AbstractEventLoop] = []

    async def run() -> None:
        loops.append(asyncio.get_running_loop())
        async with exchange:
            started.set_result(None)
            await stop.wait()

    def main() -> None:
        try:
            asyncio.run(run())
        except BaseException as error:
            if started.done():
                raise
            started.set_exception(error)

    thread = threading.Thread(target=main, name="simulated-exchange", daemon=True)
    thread.start()
    try:
        started.result()
        yield exchange
    finally:
        if not started.exception():
            loops[0].call_soon_threadsafe(stop.set)
        thread.join()
