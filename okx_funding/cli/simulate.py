"""``okx-funding simulate``: a simulated exchange until Ctrl-C."""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import signal
import socket
from collections.abc import Sequence

from okx_funding.auth.credentials import Credentials
from okx_funding.simulator import ALL_FAULTS, MONEY_FAULTS, Fault, SimulatedExchange

from . import show
from .outcome import USAGE, Failure

_FAULTS: dict[str, tuple[Fault, ...]] = {
    "all": ALL_FAULTS,
    "money": MONEY_FAULTS,
    "lost": (Fault.reset().after_commit(), Fault.hang(2.0).after_commit()),
    "reset": (Fault.reset(),),
    "close": (Fault.close(),),
    "hang": (Fault.hang(2.0),),
    "slow": (Fault.slow(),),
    "drip": (Fault.drip(),),
    "truncated": (Fault.truncated(),),
    "garbage": (Fault.garbage(),),
    "empty": (Fault.empty(),),
    "huge": (Fault.huge(),),
    "redirect": (Fault.redirect(),),
}
_WHOLE = 1000
"""Parts that shares are counted in."""
_EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104 - compared with, not listened at
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


def simulate(args: argparse.Namespace) -> None:
    """Run until Ctrl-C or SIGTERM, which are its ordinary end, and tell what came."""
    users = _users(args.users, args.seed)
    try:
        exchange = SimulatedExchange(
            users,
            host=args.host,
            port=args.port,
            judge=args.judge,
            latency=args.latency,
            jitter=args.jitter,
            page=True,
            seed=args.seed,
            balances=dict(args.balance) if args.balance else None,
            strict=args.strict,
        )
        set_faults(exchange, args.fault or ())
    except ValueError as error:
        raise Failure(str(error), USAGE) from None
    try:
        asyncio.run(_run(exchange, args, users))
    except KeyboardInterrupt:
        pass  # Where signals can't be handled within the loop, as on Windows.
    except OSError as error:
        raise Failure(f"can't listen at {args.host}:{args.port}: {error.strerror}") from None
    requests, refused = len(exchange.requests()), len(exchange.refused)
    if not args.json:
        show.console().print(f"{requests} requests came, {refused} refused for the rate limit.")


def set_faults(exchange: SimulatedExchange, wanted: Sequence[tuple[str, float]]) -> None:
    """Let each named fault happen to its share of the requests.

    Raises ValueError for an unknown name, and for shares of more than 1 in all.
    """
    share = sum(part for _, part in wanted)
    if share > 1:
        raise ValueError(f"--fault: the shares make {share:g} together, more than 1")
    mixed: list[Fault] = []
    for name, part in wanted:
        faults = _fault(name)
        # Each fault as often as its share is large, so that one draw among all of them is right.
        times = max(1, math.floor(part * _WHOLE / len(faults) + 0.5))
        mixed += faults * times
    if mixed:
        exchange.chaos(share, mixed)


def _fault(name: str) -> tuple[Fault, ...]:
    if name in _FAULTS:
        return _FAULTS[name]
    if name.isascii() and name.isdigit() and len(name) == 3 and 400 <= int(name) < 600:
        return (Fault.html(int(name)),)
    if name.isascii() and name.isdigit() and len(name) == 5:
        return (Fault.code(name),)
    raise ValueError(
        f"--fault: no {name!r}; there are {', '.join(_FAULTS)}, HTTP statuses such as 503 and "
        "codes of OKX's such as 50011"
    )


def _users(count: int, seed: int) -> list[Credentials]:
    """Made-up keys, the same ones for the same seed; the first are those of SimulatedExchange."""
    others = (
        Credentials(
            f"simulated-key-{seed}-{n}",
            f"simulated-secret-{seed}-{n}",
            f"Simulated-{seed}-{n}",
            user_id=str(800_000_000_000_000_000 + n),
        )
        for n in range(2, count + 1)
    )
    return [SimulatedExchange(seed=seed).credentials, *others]


async def _run(
    exchange: SimulatedExchange, args: argparse.Namespace, users: Sequence[Credentials]
) -> None:
    over = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        try:
            loop.add_signal_handler(number, over.set)
        except (NotImplementedError, RuntimeError, ValueError):
            break  # Windows, or not the main thread: KeyboardInterrupt does.
    async with exchange:
        url = _reachable(exchange.base_url, args.host)
        if args.json:
            settings = [_settings(url, it) for it in users]
            print(json.dumps({"baseUrl": url, "users": settings}), flush=True)  # noqa: T201
        else:
            _tell(exchange, url, users, everywhere=args.host not in _LOOPBACK)
            page = exchange.base_url.replace("//0.0.0.0:", "//127.0.0.1:")
            show.console().print(f"\nIts page, in a browser of this machine: {page}/")
        await over.wait()


def _reachable(url: str, host: str) -> str:
    """The address that another machine can use, where it listens to all of them."""
    if host not in _EVERYWHERE:
        return url
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{socket.gethostname()}:{rest.rpartition(':')[2]}"


def _settings(url: str, credentials: Credentials) -> dict[str, str]:
    api_key, secret_key, passphrase = credentials.reveal()
    return {
        "OKX_API_BASE_URL": url,
        "OKX_API_KEY": api_key,
        "OKX_SECRET_KEY": secret_key,
        "OKX_PASSPHRASE": passphrase,
    }


def _tell(
    exchange: SimulatedExchange, url: str, users: Sequence[Credentials], *, everywhere: bool
) -> None:
    console = show.console()
    console.print(f"A simulated exchange at {url}, until Ctrl-C. Made-up keys:")
    for number, credentials in enumerate(users, 1):
        console.print(f"\n# user {number}" if len(users) > 1 else "")
        for name, value in _settings(url, credentials).items():
            console.print(f"export {name}={value}", soft_wrap=True)
    owned = exchange.account().balances()
    console.print(
        f"\n{'It' if len(users) == 1 else 'Each'} owns "
        f"{', '.join(f'{amt:f} {ccy}' for ccy, amt in list(owned.items())[:5])}, and non-tradable "
        f"{', '.join(exchange.currencies[:3])} and so on."
    )
    if everywhere:
        console.print(
            "Clients on other machines want to be told that http is fine: --allow-http on the "
            "command line, allow_http=True in a program."
        )
