"""``okx-funding simulate``: a simulated exchange until Ctrl-C."""

from __future__ import annotations

import argparse
import asyncio
import signal

from okx_funding.simulator import SimulatedExchange

from . import show
from .outcome import USAGE, Failure


def simulate(args: argparse.Namespace) -> None:
    """Run until Ctrl-C or SIGTERM, which are its ordinary end, and tell what came."""
    try:
        exchange = SimulatedExchange(
            host=args.host,
            port=args.port,
            judge=args.judge,
            latency=args.latency,
            jitter=args.jitter,
            page=True,
        )
    except ValueError as error:
        raise Failure(str(error), USAGE) from None
    try:
        asyncio.run(_run(exchange))
    except KeyboardInterrupt:
        pass  # Where signals can't be handled within the loop, as on Windows.
    except OSError as error:
        raise Failure(f"can't listen at {args.host}:{args.port}: {error.strerror}") from None
    requests, refused = len(exchange.requests()), len(exchange.refused)
    show.console().print(f"{requests} requests came, {refused} refused for the rate limit.")


async def _run(exchange: SimulatedExchange) -> None:
    over = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        try:
            loop.add_signal_handler(number, over.set)
        except (NotImplementedError, RuntimeError, ValueError):
            break  # Windows, or not the main thread: KeyboardInterrupt does.
    async with exchange:
        api_key, secret_key, passphrase = exchange.credentials.reveal()
        settings = {
            "OKX_API_BASE_URL": exchange.base_url,
            "OKX_API_KEY": api_key,
            "OKX_SECRET_KEY": secret_key,
            "OKX_PASSPHRASE": passphrase,
        }
        console = show.console()
        console.print(f"A simulated exchange at {exchange.base_url}, until Ctrl-C. Made-up keys:\n")
        for name, value in settings.items():
            console.print(f"export {name}={value}", soft_wrap=True)
        page = exchange.base_url.replace("//0.0.0.0:", "//127.0.0.1:")
        console.print(f"\nWatch it, and make things happen, in a browser of this machine: {page}/")
        console.print(f"It owns {', '.join(exchange.currencies[:5])} and so on.")
        await over.wait()
