"""The command line: what may be typed, and what becomes of errors.

Commands live in modules of their own, loaded when they are run: ``--help`` needs none of them.
"""

from __future__ import annotations

import argparse
import importlib
import math
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from .outcome import EXIT_CODES, OK, USAGE, Failure, one_line

_CODES = "\n".join(f"  {code:<4} {meaning}" for code, meaning in EXIT_CODES.items())
_EPILOG = f"""\
examples:
  okx-funding demo                               see it work: no key, no network
  okx-funding non-tradable-assets                all of them
  okx-funding non-tradable-assets CELT MEME      these two
  okx-funding asset-valuation --ccy USDT         what all accounts are worth, in USDT
  okx-funding asset-valuation --json | jq -r .totalBal
  okx-funding simulate --port 8080               an exchange to test a bot against

keys:
  Keys are never arguments, where every user of the machine could read them. They come from the
  environment (OKX_API_KEY, OKX_SECRET_KEY, OKX_PASSPHRASE) or from a profile of OKX's own
  ~/.okx/config.toml. Read permission is enough. Also read: OKX_DEMO, OKX_API_BASE_URL, OKX_PROXY,
  OKX_USER_ID. A profile named with --profile comes before the environment.

exit codes:
{_CODES}
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and give its exit code. Bad usage raises SystemExit(2), as argparse does."""
    parser = _parser()
    args = parser.parse_args(argv)
    if not hasattr(args, "run"):
        parser.print_help(sys.stderr)
        return USAGE
    try:
        with _warnings_in_one_line():
            run: Callable[[argparse.Namespace], None] = args.run
            run(args)
            sys.stdout.flush()
    except Failure as failure:
        return _complain(str(failure), failure.exit_code)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever read our output has seen enough. The interpreter must not flush into it again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return OK


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="okx-funding",
        description="Ask OKX's funding account, within OKX's rate limits.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="show the version and exit")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")

    def command(
        name: str, run: str, summary: str, text: str, *parents: argparse.ArgumentParser
    ) -> argparse.ArgumentParser:
        added = commands.add_parser(
            name,
            help=summary,
            description=text,
            parents=parents,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        added.set_defaults(run=_lazily(run))
        return added

    demo = command(
        "demo",
        "demo:demo",
        "see it work, without a key and without network",
        "Start a simulated exchange on this machine, let some hundred callers ask it for a few\n"
        "hundred currencies all at once, and show what it took. Ends within seconds.",
    )
    demo.add_argument("--callers", type=_count, default=300, help="how many (default: 300)")
    demo.add_argument(
        "--currencies", type=_count, default=500, help="of how many they choose (default: 500)"
    )
    demo.add_argument("--json", action="store_true", help="print the figures as JSON")

    asking = _asking()
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

    simulate = command(
        "simulate",
        "simulate:simulate",
        "run a simulated exchange until Ctrl-C",
        "Run a simulated exchange on this machine, for tests of your own programs in whatever\n"
        "language. It checks signatures, counts limits and answers with OKX's codes. The keys\n"
        "that it prints are made up and of no use anywhere else.",
    )
    simulate.add_argument("--port", type=_port, default=8080, help="0 takes a free one (8080)")
    simulate.add_argument("--host", default="127.0.0.1", help="where to listen (127.0.0.1)")
    simulate.add_argument(
        "--judge",
        default="sliding",
        help="how it counts: sliding, fixed, fixed-first, token-bucket or weighted (sliding)",
    )
    simulate.add_argument(
        "--latency", type=_seconds_or_zero, default=0.0, help="seconds, each way (0)"
    )
    simulate.add_argument(
        "--jitter", type=_seconds_or_zero, default=0.0, help="up to so many seconds more (0)"
    )
    return parser


def _asking() -> argparse.ArgumentParser:
    """The options of every command that asks OKX."""
    asking = argparse.ArgumentParser(add_help=False)
    group = asking.add_argument_group("connection")
    group.add_argument("--profile", metavar="NAME", help="a profile of ~/.okx/config.toml")
    group.add_argument(
        "--base-url",
        metavar="URL",
        help="OKX's host for you: https://www.okx.com, https://eea.okx.com, https://us.okx.com",
    )
    group.add_argument(
        "--demo",
        action=argparse.BooleanOptionalAction,
        help="demo trading, with a demo key; or live after all",
    )
    group.add_argument(
        "--timeout",
        type=_seconds,
        default=30.0,
        metavar="SECONDS",
        help="for the whole call, waiting included (30)",
    )
    asking.add_argument(
        "--json",
        action="store_true",
        help="print JSON with OKX's field names and amounts as text; null is nothing",
    )
    return asking


class _Version(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from okx_funding import __version__

        print(f"okx-funding {__version__}")  # noqa: T201
        parser.exit()


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


def _complain(text: str, exit_code: int) -> int:
    print(f"okx-funding: {one_line(text)}", file=sys.stderr)  # noqa: T201
    return exit_code


@contextmanager
def _warnings_in_one_line() -> Iterator[None]:
    def show(message: Warning | str, *_: object, **__: object) -> None:
        print(f"okx-funding: warning: {one_line(str(message))}", file=sys.stderr)  # noqa: T201

    with warnings.catch_warnings():
        warnings.simplefilter("always", UserWarning)
        warnings.showwarning = show
        yield
