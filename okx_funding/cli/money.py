"""The commands that move money or change something: they ask before they send.

A movement's client id and intent are shown before anything is sent, so that whatever happens to
this process or the network, its outcome can be asked for. Nothing is ever sent twice.
"""

from __future__ import annotations

import argparse
import asyncio
import shlex
from typing import Any

from okx_funding.client import FundingClient
from okx_funding.errors import OKXError
from okx_funding.money import Done, Intent, Journal, NotDone, Outcome, Unknown, client_id_for
from okx_funding.money.prepare import prepare_subaccount_transfer

from . import connection, rows, show
from .declared import QUOTED, Declared, method_of
from .options import arguments
from .outcome import UNKNOWN, Failure, exit_code, one_line
from .question import announce, confirm, recorded, show_request
from .reads import show_answer, usage_in_options

_PREPARE = {
    "funds_transfer": "prepare_transfer",
    "withdrawal": "prepare_withdrawal",
    "convert_trade": "prepare_convert",
    "create_fiat_withdrawal": "prepare_fiat_withdrawal",
    "buy_sell_trade": "prepare_buy_sell",
}


def change(args: argparse.Namespace) -> None:
    """Run the command of ``args.command``, which changes something but moves no money."""
    command: Declared = args.command
    given = arguments(command.parameters, args)
    with usage_in_options(it.name for it in command.parameters):
        endpoint, params = asyncio.run(recorded(command.method, given))
    if args.dry_run:
        show_request(args, endpoint, params)
        return
    connection.needed_credentials(args)
    announce(f"{command.name}:", params)
    confirm(args)

    async def send() -> Any:
        async with connection.client_of(args) as client:
            return await command.method(client, **given, timeout=args.timeout)

    show_answer(args, command, connection.run(args, send()), given)


def move(args: argparse.Namespace) -> None:
    """Run the command of ``args.command``, which moves money."""
    command: Declared = args.command
    connection.needed_credentials(args)
    quote = connection.run(args, _quote(args, command)) if command.endpoint.name in QUOTED else None
    intent = _prepared(args, command, quote)
    if args.dry_run:
        show_request(args, command.endpoint, intent.body)
        return
    announce(f"{intent.kind.replace('_', ' ')}:", intent.body | _besides(quote))
    show.console(stderr=True).print(
        f"client id: {intent.client_id}\nintent: {intent.to_json()}", soft_wrap=True
    )
    confirm(args)
    outcome = connection.run(args, _submitted(args, command, intent))
    show_outcome(args, outcome, hint=_how_to_resolve(args, intent, outcome))


async def _quote(args: argparse.Namespace, command: Declared) -> Any:
    method = method_of(QUOTED[command.endpoint.name])
    parameters = [it for it in command.parameters if it.name in _names_of(method)]
    given = arguments(parameters, args)
    async with connection.client_of(args) as client:
        with usage_in_options(given):
            return await method(client, **given, timeout=args.timeout)


def _names_of(method: Any) -> set[str]:
    code = method.__code__
    return {*code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]}


def _besides(quote: Any) -> dict[str, Any]:
    """What the quote says of the price."""
    if quote is None:
        return {}
    fields = show.plain(quote)
    names = ("cnvtPx", "baseSz", "quoteSz", "baseAmt", "quoteAmt", "quotePx", "ttlMs")
    return {name: fields[name] for name in names if fields.get(name) not in (None, "")}


def _prepared(args: argparse.Namespace, command: Declared, quote: Any) -> Intent:
    """The intent, made without any I/O."""
    name = command.endpoint.name
    given = arguments(command.parameters, args)
    given.pop("check", None)
    if args.client_id_for is not None:
        args.client_id = client_id_for(args.client_id_for)
    client = FundingClient(
        profile=args.profile,
        base_url=args.base_url,
        demo=args.demo,
        allow_http=args.allow_http,
    )
    with usage_in_options((*given, "client_id")):
        if name == "subaccount_transfer":
            if not given.pop("acknowledge_no_handle", False):
                raise Failure(
                    "a lost answer of this one can never be resolved, for OKX takes no client id: "
                    "use two commands transfer (--type 2, then --type 1), or say "
                    "--acknowledge-no-handle",
                    exit_code=2,
                )
            port = client._money().port
            return prepare_subaccount_transfer(port.owner, round(port.now() * 1000), **given)
        if quote is not None:
            own = _names_of(method_of(name))
            given = {key: value for key, value in given.items() if key in own and key != "side"}
            return getattr(client, _PREPARE[name])(quote, **given, client_id=args.client_id)  # type: ignore[no-any-return]
        return getattr(client, _PREPARE[name])(**given, client_id=args.client_id)  # type: ignore[no-any-return]


async def _submitted(args: argparse.Namespace, command: Declared, intent: Intent) -> Outcome:
    check = getattr(args, "param_check", True)
    async with connection.client_of(args, journal=journal_of(args.journal)) as client:
        try:
            with usage_in_options(it.name for it in command.parameters):
                return await client.submit(intent, check=check, timeout=args.timeout)
        except asyncio.CancelledError as cancelled:
            if isinstance(cancelled.__cause__, OKXError):
                return Unknown(intent, cancelled.__cause__)
            show.console(stderr=True).print("okx-funding: interrupted, nothing was sent")
            raise


def journal_of(path: str | None) -> Journal | None:
    """The journal at ``path``: a file, or a database named by a postgresql:// URL."""
    if path is None:
        return None
    if path.startswith(("postgres://", "postgresql://")):
        from okx_funding.money.postgres import PostgresJournal

        return PostgresJournal(path)
    from okx_funding.money.sqlite import SQLiteJournal

    return SQLiteJournal(path)


def show_outcome(args: argparse.Namespace, outcome: Outcome, *, hint: str) -> None:
    """Done: OKX's row. NotDone and Unknown are Failures that say what to do."""
    if isinstance(outcome, Done):
        if args.json:
            show.print_json(outcome.row)
        elif getattr(args, "csv", False):
            rows.print_all(type(outcome.row), [outcome.row], "csv")
        else:
            rows.print_rows([outcome.row])
            show.console().print("Done, once.")
        return
    if isinstance(outcome, NotDone):
        raise not_done(outcome)
    raise Failure(
        f"{why_unknown(outcome)}. It may have moved money: don't send it again. {hint}", UNKNOWN
    )


def not_done(outcome: NotDone) -> Failure:
    """What to tell of a movement that surely didn't take place."""
    advice = {
        True: "the same may be sent again, with another client id",
        False: "don't send the same again",
        None: "look at the bills before you send it again",
    }[outcome.error.repeat_is_safe]
    text = f"not done ({outcome.reason}), nothing moved: {outcome.error}; {advice}"
    return Failure(text, exit_code(outcome.error))


def why_unknown(outcome: Unknown) -> str:
    """Why nobody can know, in the words of the error, without its advice for programs."""
    text = one_line(str(outcome.error)).partition(". It may have moved money")[0]
    return f"unknown: {text}"


def _how_to_resolve(args: argparse.Namespace, intent: Intent, outcome: Outcome) -> str:
    if args.journal is not None:
        return f"Ask OKX later: okx-funding journal {shlex.quote(args.journal)} --resolve"
    known = outcome.intent if isinstance(outcome, Unknown) else intent
    return f"Ask OKX later: okx-funding resolve {shlex.quote(known.to_json())}"


def described(intent: Intent) -> str:
    """A movement in a few words, such as ``1.5 USDT``."""
    body = intent.body
    amount = body.get("amt") or body.get("sz") or body.get("rfqAmt") or ""
    ccy = body.get("ccy") or body.get("szCcy") or body.get("rfqCcy") or ""
    return one_line(f"{amount} {ccy}")
