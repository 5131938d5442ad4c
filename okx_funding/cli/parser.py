"""What may be typed. Nothing is loaded here that a command needs to run."""

from __future__ import annotations

import argparse
import importlib
import math
from collections.abc import Callable
from typing import Any

from .outcome import EXIT_CODES

SHELLS = ("bash", "zsh", "fish")
JUDGES = ("sliding", "fixed", "fixed-first", "token-bucket", "weighted")
"""How a simulated exchange may count, as in ``okx_funding.simulator.judge``; nothing is loaded."""

_CODES = "\n".join(f"  {code:<4} {meaning}" for code, meaning in EXIT_CODES.items())
_EPILOG = f"""\
examples:
  okx-funding demo                               see it work: no key, no network
  okx-funding doctor                             is all well between this machine and OKX?
  okx-funding non-tradable-assets                all of them
  okx-funding non-tradable-assets CELT MEME      these two
  okx-funding asset-valuation --ccy USDT         what all accounts are worth, in USDT
  okx-funding asset-valuation --json | jq -r .totalBal
  okx-funding watch CELT --unit USDT             both, again and again, until Ctrl-C
  okx-funding simulate --port 8080               an exchange to test a bot against

keys:
  Keys are never arguments, where every user of the machine could read them. They come from the
  environment (OKX_API_KEY, OKX_SECRET_KEY, OKX_PASSPHRASE) or from a profile of OKX's own
  ~/.okx/config.toml. Read permission is enough. Also read: OKX_DEMO, OKX_SITE, OKX_API_BASE_URL,
  OKX_PROXY, OKX_USER_ID and OKX_PROFILE. A profile named with --profile comes before the
  environment.

colours:
  A terminal gets them, a pipe doesn't. NO_COLOR=1 turns them off, FORCE_COLOR=1 on.

exit codes:
{_CODES}
"""

Command = Callable[..., argparse.ArgumentParser]


def make_parser() -> argparse.ArgumentParser:
    """The parser of ``okx-funding``. Parsed arguments hold the command to call as ``run``."""
    parser = argparse.ArgumentParser(
        prog="okx-funding",
        description="Ask OKX's funding account, within OKX's rate limits.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    _version(parser)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")

    def command(
        name: str, run: str, summary: str, text: str, *parents: argparse.ArgumentParser, **more: Any
    ) -> argparse.ArgumentParser:
        added = commands.add_parser(
            name,
            help=summary,
            description=text,
            parents=parents,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
            **more,
        )
        _version(added)
        added.set_defaults(run=_lazily(run))
        return added

    _demo(command)
    _doctor(command)
    _questions(command)
    _watch(command)
    _limits(command)
    _simulate(command)
    _completion(command)
    return parser


def _demo(command: Command) -> None:
    demo = command(
        "demo",
        "demo:demo",
        "see it work, without a key and without network",
        "Start a simulated exchange on this machine, let some hundred callers ask it for a few\n"
        "hundred currencies all at once, and show what it took. Ends within seconds.",
    )
    demo.add_argument(
        "--chaos",
        action="store_true",
        help="ten thousand callers of 40 users, while a fifth of the requests goes wrong",
    )
    demo.add_argument("--callers", type=_count, help="how many (default: 300, or 10000)")
    demo.add_argument(
        "--currencies",
        type=_count,
        default=500,
        help="how many currencies they choose from (default: 500)",
    )
    demo.add_argument("--json", action="store_true", help="print the figures as JSON")


def _doctor(command: Command) -> None:
    doctor = command(
        "doctor",
        "doctor:doctor",
        "check the way to OKX, the clock and the key",
        "Check versions, settings, DNS, TLS, round trip, clock and key, and show for each whether\n"
        "it is ok, a warning or a problem, and what to do. It sends a few requests, all of them\n"
        "reading, and within the limits. No secret is shown.",
        _connecting(10.0, "for each step"),
        epilog="The exit code is 0 without a problem, 3 where the key is the problem, else 1 or 4.",
    )
    doctor.add_argument(
        "--find-host",
        action="store_true",
        help="where the host doesn't know the key, send it to OKX's other hosts to find its own",
    )
    doctor.add_argument("--json", action="store_true", help="print the findings as JSON")


def _questions(command: Command) -> None:
    asking = _connecting(30.0, "for the whole call, waiting included")
    asking.add_argument(
        "--json",
        action="store_true",
        help="print JSON with OKX's field names and amounts as text; null is nothing",
    )
    assets = command(
        "non-tradable-assets",
        "ask:non_tradable_assets",
        "show assets that can be withdrawn but not traded",
        "Show the non-tradable assets of the account, one line for each currency and chain.\n"
        "More than 20 currencies take several requests, within OKX's 6 per second.",
        asking,
    )
    assets.add_argument("ccy", nargs="*", metavar="CCY", help="a currency; none: all of them")
    valuation = command(
        "asset-valuation",
        "ask:asset_valuation",
        "show what all accounts are worth together",
        "Show what the funding, trading and earn accounts are worth. OKX's limit: 1 per second.",
        asking,
    )
    valuation.add_argument("--ccy", metavar="UNIT", help="the unit, such as USDT (default: BTC)")


def _watch(command: Command) -> None:
    watch = command(
        "watch",
        "watch:watch",
        "show assets and valuation again and again",
        "Show assets, valuation and how much of the limits is in use, again and again, until\n"
        "Ctrl-C, which is its ordinary end. A pipe gets a line for each thing that is new.\n"
        "However short the interval, OKX's limits are kept.",
        _connecting(30.0, "for one update, waiting included"),
    )
    watch.add_argument("ccy", nargs="*", metavar="CCY", help="a currency; none: all of them")
    watch.add_argument("--unit", metavar="UNIT", help="of the valuation, such as USDT (BTC)")
    watch.add_argument(
        "--every", type=_seconds, default=2.0, metavar="SECONDS", help="between two updates (2)"
    )
    watch.add_argument("--count", type=_count, metavar="N", help="end after N updates")


def _limits(command: Command) -> None:
    limits = command(
        "limits",
        "limits:limits",
        "show the built-in table of OKX's limits",
        "Show the limits that are kept unless rate_limits= says otherwise, and OKX's page that\n"
        "each comes from. Nothing is sent. With --buckets: the limits that processes share in a\n"
        "Redis, of all users, as they are in use now.",
    )
    limits.add_argument(
        "--buckets",
        metavar="URL",
        nargs="?",
        const="",
        help="the URL of SharedLimits, such as redis://localhost:6379/0; OKX_BUCKETS if not given",
    )
    limits.add_argument("--json", action="store_true", help="print the table as JSON")


def _simulate(command: Command) -> None:
    simulate = command(
        "simulate",
        "simulate:simulate",
        "run a simulated exchange until Ctrl-C",
        "Run a simulated exchange on this machine, for tests of your own programs in whatever\n"
        "language. It checks signatures, counts limits and answers with OKX's codes. The keys\n"
        "that it prints are made up and of no use anywhere else. Its page, at / in a browser of\n"
        "this machine, shows accounts, limits and requests live, and has buttons for deposits,\n"
        "faults and the clock.",
    )
    simulate.add_argument("--port", type=_port, default=8080, help="0 takes a free one (8080)")
    simulate.add_argument("--host", default="127.0.0.1", help="where to listen (127.0.0.1)")
    simulate.add_argument(
        "--judge",
        choices=JUDGES,
        default="sliding",
        help="how it counts requests against a limit (sliding)",
    )
    simulate.add_argument(
        "--latency", type=_seconds_or_zero, default=0.0, help="seconds, each way (0)"
    )
    simulate.add_argument(
        "--jitter", type=_seconds_or_zero, default=0.0, help="up to this many seconds more (0)"
    )


def _completion(command: Command) -> None:
    completion = command(
        "completion",
        "completion:completion",
        "print a script that completes commands in a shell",
        "Print a script by which a shell completes this command's arguments.",
        epilog=(
            "bash:  okx-funding completion bash > ~/.local/share/bash-completion/completions/"
            "okx-funding\n"
            "zsh:   okx-funding completion zsh > DIR/_okx-funding, with DIR in your fpath\n"
            "fish:  okx-funding completion fish > ~/.config/fish/completions/okx-funding.fish"
        ),
    )
    completion.add_argument("shell", choices=SHELLS, help=f"one of {', '.join(SHELLS)}")


def _connecting(timeout: float, of_what: str) -> argparse.ArgumentParser:
    """The options of every command that asks OKX."""
    connecting = argparse.ArgumentParser(add_help=False)
    group = connecting.add_argument_group("connection")
    group.add_argument("--profile", metavar="NAME", help="a profile of ~/.okx/config.toml")
    group.add_argument(
        "--base-url",
        metavar="URL",
        help="OKX's host for you: https://www.okx.com, https://eea.okx.com, https://us.okx.com",
    )
    group.add_argument(
        "--allow-http",
        action="store_true",
        help="allow http:// to another machine, which sends the passphrase in clear",
    )
    group.add_argument(
        "--demo",
        action=argparse.BooleanOptionalAction,
        help="demo trading, with a demo key; or live after all",
    )
    group.add_argument(
        "--timeout",
        type=_seconds,
        default=timeout,
        metavar="SECONDS",
        help=f"{of_what} ({timeout:g})",
    )
    return connecting


class _Version(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from okx_funding import __version__

        print(f"okx-funding {__version__}")  # noqa: T201
        parser.exit()


def _version(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--version", action=_Version, nargs=0, help="show the version and exit")


def _lazily(name: str) -> Callable[[argparse.Namespace], None]:
    module, _, function = name.partition(":")

    def run(args: argparse.Namespace) -> None:
        getattr(importlib.import_module(f".{module}", __package__), function)(args)

    return run


def _count(text: str) -> int:
    number = int(text) if text.isascii() and text.isdigit() else 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"a whole number from 1 on, not {text!r}")
    return number


def _port(text: str) -> int:
    number = int(text) if text.isascii() and text.isdigit() else -1
    if not 0 <= number < 65536:
        raise argparse.ArgumentTypeError(f"a number from 0 to 65535, not {text!r}")
    return number


def _seconds_or_zero(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise argparse.ArgumentTypeError(f"seconds, not {text!r}")
    return seconds


def _seconds(text: str) -> float:
    seconds = _seconds_or_zero(text)
    if not seconds:
        raise argparse.ArgumentTypeError("more than 0 seconds")
    return seconds
