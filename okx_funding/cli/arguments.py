"""Options that several commands have, and what may be typed for them."""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Callable

Command = Callable[..., argparse.ArgumentParser]
"""Adds a command: name, what to run, summary, description."""


def connecting(
    parser: argparse.ArgumentParser, timeout: float, of_what: str, *, profile: bool = True
) -> None:
    """Add the options of every command that asks OKX."""
    group = parser.add_argument_group("connection")
    if profile:
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
        type=seconds,
        default=timeout,
        metavar="SECONDS",
        help=f"{of_what} ({timeout:g})",
    )
    group.add_argument(
        "--no-machine-limits",
        action="store_true",
        help="don't share the limits with the other processes of this machine",
    )


def output(parser: argparse.ArgumentParser) -> None:
    """Add the forms that rows may be printed in."""
    form = parser.add_argument_group("output").add_mutually_exclusive_group()
    form.add_argument(
        "--json",
        action="store_true",
        help="JSON with OKX's field names and amounts as text; null is nothing",
    )
    form.add_argument("--csv", action="store_true", help="CSV, a column for each field")


def changing(parser: argparse.ArgumentParser, *, money: bool) -> None:
    """Add the options of every command that asks before it sends."""
    group = parser.add_argument_group("sending")
    group.add_argument("--yes", action="store_true", help="send without a question, for scripts")
    group.add_argument(
        "--dry-run", action="store_true", help="show the exact request, and send nothing"
    )
    if not money:
        return
    group.add_argument(
        "--journal",
        metavar="PATH",
        help="write it down there before it is sent: a file, or a postgresql:// URL",
    )
    handle = group.add_mutually_exclusive_group()
    handle.add_argument(
        "--client-id", metavar="ID", help="your own id: up to 32 letters and digits, used once"
    )
    handle.add_argument(
        "--client-id-for",
        metavar="TEXT",
        help="make the id from a text that names this movement, such as payout-4711; with "
        "--journal the same text never sends twice",
    )


class _Version(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from okx_funding import __version__

        print(f"okx-funding {__version__}")  # noqa: T201
        parser.exit()


def version(parser: argparse.ArgumentParser) -> None:
    """Add ``--version``."""
    parser.add_argument("--version", action=_Version, nargs=0, help="show the version and exit")


def count(text: str) -> int:
    """A whole number from 1 on."""
    number = int(text) if text.isascii() and text.isdigit() else 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"a whole number from 1 on, not {text!r}")
    return number


def port(text: str) -> int:
    """The number of a port."""
    number = int(text) if text.isascii() and text.isdigit() else -1
    if not 0 <= number < 65536:
        raise argparse.ArgumentTypeError(f"a number from 0 to 65535, not {text!r}")
    return number


def seconds_or_zero(text: str) -> float:
    """Seconds, none of them below zero."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise argparse.ArgumentTypeError(f"seconds, not {text!r}")
    return seconds


def seconds(text: str) -> float:
    """Seconds above zero."""
    seconds = seconds_or_zero(text)
    if not seconds:
        raise argparse.ArgumentTypeError("more than 0 seconds")
    return seconds


def balance(text: str) -> tuple[str, str]:
    """A currency and an amount, such as ``USDT=1000``."""
    found = re.fullmatch(r"([A-Za-z0-9._-]{1,32})=([0-9]{1,30}(?:[.][0-9]{1,30})?)", text)
    if found is None:
        raise argparse.ArgumentTypeError(f"a currency and an amount as USDT=1000, not {text!r}")
    return found[1].upper(), found[2]


def fault(text: str) -> tuple[str, float]:
    """The name of a fault and its share, such as ``reset:0.1``."""
    name, colon, share = text.partition(":")
    try:
        number = float(share) if colon else 0.05
    except ValueError:
        number = math.nan
    if not name or not 0 < number <= 1:
        raise argparse.ArgumentTypeError(f"a name and a share up to 1 as reset:0.1, not {text!r}")
    return name, number
