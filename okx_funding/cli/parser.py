"""What may be typed. Nothing is loaded here that a command needs to run."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Callable
from typing import Any

from . import own
from .arguments import Command, changing, connecting, output, version
from .help import grouped
from .outcome import EXIT_CODES

_CODES = "\n".join(f"  {code:<4} {meaning}" for code, meaning in EXIT_CODES.items())
_EPILOG = f"""\
examples:
  okx-funding demo                               see it work: no key, no network
  okx-funding doctor                             is all well between this machine and OKX?
  okx-funding balances BTC USDT                  the funding account
  okx-funding asset-valuation --json | jq -r .totalBal
  okx-funding bills-history --since 2026-01-01 --csv > bills.csv
  okx-funding transfer --ccy USDT --amt 1.5 --from funding --to trading
  okx-funding transfer --help                    what a command takes
  okx-funding watch deposits                     as they come, until Ctrl-C
  okx-funding accounts                           all profiles, a line each
  okx-funding simulate --port 8080               an exchange to test a bot against

keys:
  Keys are never arguments, where every user of the machine could read them. They come from the
  environment (OKX_API_KEY, OKX_SECRET_KEY, OKX_PASSPHRASE) or from a profile of OKX's own
  ~/.okx/config.toml. Read permission is enough for what only reads. Also read: OKX_DEMO,
  OKX_SITE, OKX_API_BASE_URL, OKX_WS_URL, OKX_PROXY, OKX_USER_ID and OKX_PROFILE. A profile named
  with --profile comes before the environment.

limits:
  All commands and programs of this machine that use MachineLimits share OKX's limits of a user,
  so that several of them in a row or at once aren't refused. --no-machine-limits turns it off.

colours:
  A terminal gets them, a pipe doesn't. NO_COLOR=1 turns them off, FORCE_COLOR=1 on.

exit codes:
{_CODES}
"""

_TRY, _SEVERAL, _RECOVER, _OPERATE = (
    "try it, and look whether all is well",
    "several accounts",
    "money whose outcome isn't known",
    "operate",
)
OWN_GROUPS = {
    "demo": _TRY,
    "doctor": _TRY,
    "simulate": _TRY,
    "watch": "as it happens",
    "accounts": _SEVERAL,
    "sub-accounts": _SEVERAL,
    "journal": _RECOVER,
    "resolve": _RECOVER,
    "limits": _OPERATE,
    "completion": _OPERATE,
}
"""Commands that don't come from the table of endpoints, and the titles they stand under."""


def make_parser(first: str | None = None) -> argparse.ArgumentParser:
    """The parser of ``okx-funding``. Parsed arguments hold the command to call as ``run``.

    The table's commands are left out where ``first``, the first word typed, is none of them:
    loading it takes longer than some commands do.
    """
    groups: dict[str, str] = {}
    parser = argparse.ArgumentParser(
        prog="okx-funding",
        description="OKX's funding account on the command line, within OKX's rate limits.",
        epilog=_EPILOG,
        formatter_class=grouped(groups),
        allow_abbrev=False,
    )
    version(parser)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")

    def command(
        name: str,
        run: str,
        summary: str,
        text: str,
        *parents: argparse.ArgumentParser,
        group: str = "",
        **more: Any,
    ) -> argparse.ArgumentParser:
        groups[name] = group or OWN_GROUPS[name]
        added = commands.add_parser(
            name,
            help=summary[:1].upper() + summary[1:],
            description=text,
            parents=parents,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
            **more,
        )
        version(added)
        added.set_defaults(run=_lazily(run))
        return added

    own.demo(command)
    own.doctor(command)
    own.simulate(command)
    if first not in OWN_GROUPS:
        _table(command)
    own.watch(command)
    own.accounts(command)
    own.journal(command)
    own.limits(command)
    own.completion(command)
    return parser


def _table(command: Command) -> None:
    from .declared import GROUPS, add_options, declared

    for each in declared():
        endpoint = each.endpoint
        asks = "" if each.role == "read" else " It asks before it sends."
        wait = "for the whole call, waiting included"
        added = command(
            each.name,
            {"read": "reads:read", "change": "money:change", "money": "money:move"}[each.role],
            each.summary.replace("%", "%%"),
            f"{each.summary}.{asks}\n{endpoint}, {' and '.join(map(str, endpoint.limits))}.\n"
            f"{endpoint.docs}",
            group=GROUPS[endpoint.group],
        )
        add_options(added, each)
        output(added)
        if each.role != "read":
            changing(added, money=each.role == "money")
        connecting(added, 30.0, wait if not each.walk else "for each page, waiting included")
        added.set_defaults(command=each)


def _lazily(name: str) -> Callable[[argparse.Namespace], None]:
    module, _, function = name.partition(":")

    def run(args: argparse.Namespace) -> None:
        getattr(importlib.import_module(f".{module}", __package__), function)(args)

    return run
